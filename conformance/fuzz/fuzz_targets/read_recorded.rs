//! Any bytes as a recorded run: no panic; an error says where it is.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    lockstep_conformance::fuzzing::read_recorded(bytes);
});

//! Any bytes as a trace that is drawn and replayed: no panic.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    lockstep_conformance::fuzzing::replay_trace(bytes);
});

//! Any bytes as a trace: no panic; a trace survives being written and read; an error says where it is.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    lockstep_traces::fuzzing::read_trace(bytes);
});

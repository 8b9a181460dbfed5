//! Any lines as replies of a program with typed messages: no panic; a view survives being printed and read.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    lockstep_conformance::fuzzing::read_replies(bytes);
});

//! Any lines as replies of a program with opaque messages: no panic; a view survives being printed and read.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    lockstep_conformance::fuzzing::read_opaque_replies(bytes);
});

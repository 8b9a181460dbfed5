//! Any bytes as each type of the wire format: no panic; a value survives being encoded and decoded.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    lockstep_raft::wire::fuzzing::decode_all(bytes);
});

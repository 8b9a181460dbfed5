//! Any bytes as the first segment of a log: no panic, no endless loop, no more memory than bytes.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    lockstep_wal::fuzzing::read_segment(bytes);
    lockstep_wal::fuzzing::read_repaired_segment(bytes);
});

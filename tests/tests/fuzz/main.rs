//! The bodies of the fuzz targets on changed inputs, without a fuzzer and on a stable compiler.
//!
//! Each input has a number, which it is made from. `LOCKSTEP_FUZZ_INPUTS` sets how many are made for each target, and
//! `LOCKSTEP_FUZZ_SEED` the number of the first. A failure prints the number that makes the input again, and saves the
//! input as a file for `cargo fuzz run TARGET FILE`.

mod mutate;
mod seeds;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;

/// The number of inputs of a target where nothing else is said, and the number of the first.
const INPUTS: u64 = 3_000;
const FIRST: u64 = 1;

/// The body of a fuzz target: true if it takes the input. A panic is a bug.
type Body<'a> = &'a dyn Fn(&[u8]) -> bool;

/// The value of a variable, a number.
fn number(name: &str, otherwise: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{name} is {text:?}, must be a number")),
        Err(_) => otherwise,
    }
}

/// The counts of a run.
#[derive(Debug, PartialEq, Eq)]
struct Counts {
    taken: u64,
    refused: u64,
}

/// An input on which the body panicked.
#[derive(Debug)]
struct Failure {
    seed: u64,
    input: Vec<u8>,
    panic: Box<dyn std::any::Any + Send>,
}

fn run(body: Body<'_>, from: &[Vec<u8>], seeds: std::ops::Range<u64>) -> Result<Counts, Failure> {
    let mut counts = Counts {
        taken: 0,
        refused: 0,
    };
    for seed in seeds {
        let input = mutate::input(seed, from);
        match catch_unwind(AssertUnwindSafe(|| body(&input))) {
            Ok(true) => counts.taken += 1,
            Ok(false) => counts.refused += 1,
            Err(panic) => return Err(Failure { seed, input, panic }),
        }
    }
    Ok(counts)
}

/// Runs a target, on the seeds as they are and then changed.
fn fuzz(target: &str, body: Body<'_>, from: &[Vec<u8>], share: u64) {
    assert!(!from.is_empty(), "{target} has no seeds");
    for seed in from {
        assert!(body(seed), "{target} refuses a seed: {}", shown(seed));
    }
    let first = number("LOCKSTEP_FUZZ_SEED", FIRST);
    let inputs = number("LOCKSTEP_FUZZ_INPUTS", INPUTS / share);
    let end = first.saturating_add(inputs);
    println!("{target}: {inputs} inputs from LOCKSTEP_FUZZ_SEED={first} on");
    match run(body, from, first..end) {
        Ok(counts) => {
            println!("{target}: {counts:?}");
            if inputs >= 300 {
                // Both sides of the property were put to the test.
                assert!(counts.taken > 0 && counts.refused > 0, "{counts:?}");
            }
        }
        Err(failure) => {
            let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
                .join(format!("fuzz-{target}-{}", failure.seed));
            std::fs::write(&file, &failure.input).expect("the input can be saved");
            eprintln!(
                "{target} panics; LOCKSTEP_FUZZ_SEED={} LOCKSTEP_FUZZ_INPUTS=1 repeats it, and {} is the input:\n{}",
                failure.seed,
                file.display(),
                shown(&failure.input)
            );
            resume_unwind(failure.panic);
        }
    }
}

/// The beginning of an input.
fn shown(input: &[u8]) -> String {
    let beginning = &input[..input.len().min(2_000)];
    String::from_utf8_lossy(beginning)
        .escape_debug()
        .to_string()
}

#[test]
fn traces_are_read() {
    let body = lockstep_traces::fuzzing::read_trace;
    fuzz("read_trace", &body, &seeds::traces(), 1);
}

#[test]
fn traces_are_replayed() {
    let body = lockstep_conformance::fuzzing::replay_trace;
    fuzz("replay_trace", &body, &seeds::traces(), 3);
}

#[test]
fn messages_are_decoded() {
    let body = lockstep_raft::wire::fuzzing::decode_all;
    fuzz(
        "decode",
        &body,
        &seeds::folder("impl/raft/fuzz/seeds/decode"),
        1,
    );
}

#[test]
fn recorded_runs_are_read() {
    let body = lockstep_conformance::fuzzing::read_recorded;
    fuzz(
        "read_recorded",
        &body,
        &seeds::folder("conformance/fuzz/seeds/read_recorded"),
        3,
    );
}

#[test]
fn replies_are_read() {
    let body = lockstep_conformance::fuzzing::read_replies;
    fuzz(
        "read_replies",
        &body,
        &seeds::folder("conformance/fuzz/seeds/read_replies"),
        1,
    );
}

#[test]
fn opaque_replies_are_read() {
    let body = lockstep_conformance::fuzzing::read_opaque_replies;
    let from = seeds::folder("conformance/fuzz/seeds/read_opaque_replies");
    fuzz("read_opaque_replies", &body, &from, 1);
}

/// The broken twin: a reader that takes the largest number for one that has a successor.
#[test]
fn a_reader_that_panics_is_found_and_its_input_made_again() {
    let body = |input: &[u8]| {
        let text = String::from_utf8_lossy(input);
        let numbers = text.split(|c: char| !c.is_ascii_digit());
        for number in numbers.filter_map(|it| it.parse::<u64>().ok()) {
            assert!(number.checked_add(1).is_some(), "no successor");
        }
        true
    };
    let from = seeds::traces();
    let failure = run(&body, &from, 0..5_000).expect_err("the largest number is among the words");
    let text = String::from_utf8_lossy(&failure.input).into_owned();
    assert!(text.contains("18446744073709551615"), "{text}");
    assert_eq!(mutate::input(failure.seed, &from), failure.input);
    let again = run(&body, &from, failure.seed..failure.seed + 1);
    assert_eq!(again.expect_err("it is repeated").input, failure.input);
}

/// Seeds are copies: what they were copied from is still there.
#[test]
fn seeds_of_the_wire_format_are_recorded_cases() {
    let recorded = include_str!("../../../impl/raft/tests/wire_data/raftpb.tsv");
    let is_recorded = |bytes: &[u8]| {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        recorded.contains(&format!("\t{hex}\t"))
    };
    let seeds = seeds::folder("impl/raft/fuzz/seeds/decode");
    assert!(seeds.len() >= 20);
    assert!(seeds.iter().all(|seed| is_recorded(seed)));
    assert!(!is_recorded(b"\xff\xff"));
}

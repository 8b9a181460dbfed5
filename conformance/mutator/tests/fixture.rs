//! The whole way on a program of a few lines: a mutation that matters is killed, one that changes nothing
//! survives, one that is never run is known as such, and no list of reasons hides any of it.

use lockstep_mutator::campaign::{self, Results};
use lockstep_mutator::find::find;
use lockstep_mutator::ladder::{Baseline, End, Rung, Side};
use lockstep_mutator::reasons::Reasons;
use lockstep_mutator::report::{Class, Report};
use lockstep_mutator::schema::{Numbered, schema};
use lockstep_mutator::switch;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// A program with an equivalent mutant (`larger` may return either of two equal numbers) and a function that nobody
/// calls, `forgotten`.
const PROGRAM: &str = r#"
mod lockstep_mutant;

fn larger(a: u64, b: u64) -> u64 {
    if a < b { b } else { a }
}

fn count(to: u64) -> u64 {
    let mut at = 0;
    while at < to {
        at += 1;
    }
    at
}

pub fn forgotten(a: u64) -> u64 {
    a + 7
}

fn main() {
    let sum: u64 = [larger(1, 2), larger(2, 1), larger(2, 2), count(3)].iter().sum();
    std::process::exit(if sum == 9 { 0 } else { 1 });
}
"#;

fn numbered(text: &str) -> Vec<Numbered> {
    let found = find("main.rs", text).unwrap();
    let of_functions = found.into_iter().filter(|it| it.function != "main");
    let numbers = of_functions.enumerate();
    numbers
        .map(|(at, mutant)| Numbered {
            number: at + 1,
            mutant,
        })
        .collect()
}

fn rung(folder: &Path, text: &str, mutants: &[Numbered]) -> Rung {
    let all: Vec<&Numbered> = mutants.iter().collect();
    let source = schema(text, &all, "crate::lockstep_mutant::active");
    fs::write(folder.join("main.rs"), source).unwrap();
    fs::write(
        folder.join("lockstep_mutant.rs"),
        switch::module(1, mutants.len()),
    )
    .unwrap();
    let program = folder.join("fixture");
    let compiled = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
        .args(["--edition", "2024", "--cap-lints", "allow", "-o"])
        .arg(&program)
        .arg(folder.join("main.rs"))
        .status()
        .unwrap();
    assert!(compiled.success());
    Rung {
        name: "fixture".to_owned(),
        side: Side::Comparison,
        program,
        arguments: Vec::new(),
        environment: Vec::new(),
        folder: None,
    }
}

fn climbed(folder: &Path, ladder: &[Baseline], mutants: &[Numbered]) -> Results {
    let mut results = Results::open(&folder.join("results.jsonl"), 1, false).unwrap();
    let all: Vec<&Numbered> = mutants.iter().collect();
    campaign::run(&all, ladder, &mut results, folder, 2, |_, _, _| ()).unwrap();
    results
}

fn class(report: &Report, after: &str) -> Class {
    let mut rows = report.rows.iter().filter(|it| it.mutant.after == after);
    let row = rows.next().unwrap_or_else(|| panic!("no mutant {after}"));
    row.class
}

#[test]
fn what_matters_is_killed_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let mutants = numbered(PROGRAM);
    let rung = rung(folder.path(), PROGRAM, &mutants);
    // Without a mutant the program passes, or this fails.
    let mut baseline = rung.baseline(folder.path()).unwrap();
    baseline.limit = Duration::from_secs(2);
    let unmet = mutants.iter().filter(|it| !baseline.meets(it.number));
    assert!(unmet.clone().all(|it| it.mutant.function == "forgotten"));
    assert!(unmet.count() > 0);

    let ladder = [baseline];
    let results = climbed(folder.path(), &ladder, &mutants);
    let none = BTreeSet::new();
    let no_reasons = Reasons::default();
    let report = Report::new(&mutants, &none, &results, &no_reasons);
    assert_eq!(class(&report, "a > b"), Class::Comparison);
    assert_eq!(class(&report, "at -= 1"), Class::Comparison);
    assert_eq!(class(&report, "at *= 1"), Class::TimedOut);
    assert_eq!(class(&report, "a <= b"), Class::Survivor);
    assert_eq!(class(&report, "a - 7"), Class::Survivor);
    assert!(!report.holds());
    let never_run = report.rows.iter().filter(|it| it.outcome.unwrap().met == 0);
    assert!(never_run.clone().all(|it| it.class == Class::Survivor));

    // All survivors explained: the run holds. One explanation too many: it does not.
    let survivors: Vec<String> = report
        .of(Class::Survivor)
        .map(|it| it.mutant.key())
        .collect();
    let explained = |names: &[String]| {
        let list = serde_json::json!([{
            "verdict": "equivalent", "why": "of equal numbers either is the larger", "mutants": names
        }]);
        Reasons::read(&list.to_string()).unwrap()
    };
    let reasons = explained(&survivors);
    assert!(Report::new(&mutants, &none, &results, &reasons).holds());
    let killed = report.of(Class::Comparison).next().unwrap().mutant.key();
    for other in [killed, "main.rs gone [logic] a => b".to_owned()] {
        let reasons = explained(&[survivors.clone(), vec![other]].concat());
        let report = Report::new(&mutants, &none, &results, &reasons);
        assert_eq!((report.stale.len(), report.holds()), (1, false));
    }

    // What is known need not be tried again; of another state of the workspace nothing is known.
    let path = folder.path().join("results.jsonl");
    let known = |fingerprint| {
        let results = Results::open(&path, fingerprint, false).unwrap();
        mutants
            .iter()
            .filter(|it| results.of(&it.mutant.key()).is_some())
            .count()
    };
    assert_eq!((known(1), known(2)), (mutants.len(), 0));
}

#[test]
fn a_program_that_fails_by_itself_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let text = PROGRAM.replace("sum == 9", "sum == 8");
    let rung = rung(folder.path(), &text, &numbered(&text));
    assert!(rung.baseline(folder.path()).is_err());
}

#[test]
fn a_panic_and_a_verdict_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let text = PROGRAM.replace("    at\n", "    assert!(at == to);\n    at\n");
    let mutants = numbered(&text);
    let baseline = rung(folder.path(), &text, &mutants)
        .baseline(folder.path())
        .unwrap();
    let end = |after: &str| {
        let it = mutants.iter().find(|it| it.mutant.after == after).unwrap();
        baseline.run(it.number, folder.path()).unwrap()
    };
    assert_eq!(end("at <= to"), End::Panicked);
    assert_eq!(end("a > b"), End::Failed);
    assert_eq!(end("a <= b"), End::Passed);
}

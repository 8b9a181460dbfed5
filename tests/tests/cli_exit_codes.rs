//! Every exit code of `lockstep`, and that nothing checked is never success.

use assert_cmd::Command;
use lockstep_tests::binary;
use std::path::Path;
use tempfile::TempDir;

const HOLDS: i32 = 0;
const VIOLATED: i32 = 1;
const USAGE: i32 = 2;
const INPUT: i32 = 3;
const STOPPED: i32 = 4;

/// Runs the command line in a folder of its own and returns what it wrote, its streams together.
fn run(folder: &Path, arguments: &str, code: i32) -> String {
    let assert = Command::from_std(binary::lockstep())
        .args(arguments.split_whitespace())
        .current_dir(folder)
        .assert()
        .code(code);
    let output = assert.get_output();
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8(text).expect("it writes text")
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("there is a place for temporary files")
}

/// A trace of the smoke preset, which the specification itself follows.
fn trace(folder: &Path) -> String {
    let arguments = "conform --target spec --plant wrong_state --trace-out trace.ndjson -q";
    run(folder, arguments, VIOLATED);
    std::fs::read_to_string(folder.join("trace.ndjson")).expect("the divergence was saved")
}

#[test]
fn a_search_to_the_end_holds() {
    let text = run(folder().path(), "check --preset smoke", HOLDS);
    assert!(text.contains("check smoke: exhausted"), "{text}");
}

#[test]
fn stateright_agrees() {
    let here = folder();
    let ours = run(here.path(), "check --preset smoke --format json", HOLDS);
    let theirs = run(
        here.path(),
        "check --preset smoke --format json --engine stateright",
        HOLDS,
    );
    let counts = |text: &str| {
        let report: serde_json::Value = serde_json::from_str(text).expect("a report in JSON");
        let facts = report["jobs"][0]["facts"]
            .as_array()
            .expect("facts")
            .clone();
        let wanted = ["distinct states", "transitions", "depth"];
        let value = |name: &str| {
            let fact = facts.iter().find(|fact| fact["name"] == name);
            fact.unwrap_or_else(|| panic!("no {name} in {text}"))["value"].clone()
        };
        wanted.map(value)
    };
    assert_eq!(counts(&ours), counts(&theirs));
}

#[test]
fn a_comparison_to_the_end_is_a_bisimulation() {
    let text = run(
        folder().path(),
        "conform --preset smoke --target spec",
        HOLDS,
    );
    assert!(text.contains("bisimilar within the bound"), "{text}");
}

#[test]
fn a_divergence_is_shown_saved_and_replayed() {
    let here = folder();
    let text = run(
        here.path(),
        "conform --target spec --plant wrong_state",
        VIOLATED,
    );
    for part in [
        "diverged",
        "wrong vote",
        "What differs",
        "lockstep replay divergence.ndjson",
    ] {
        assert!(text.contains(part), "{part} is missing in {text}");
    }
    run(here.path(), "replay divergence.ndjson --target spec", HOLDS);
    let again = "replay divergence.ndjson --target spec --plant wrong_state";
    let text = run(here.path(), again, VIOLATED);
    assert!(text.contains("wrong vote"), "{text}");
}

#[test]
fn a_limit_is_no_pass() {
    let here = folder();
    for limit in ["--max-states 50", "--max-depth 3", "--timeout 0"] {
        let text = run(
            here.path(),
            &format!("check --preset smoke {limit}"),
            STOPPED,
        );
        assert!(text.contains("bounded ("), "{text}");
        assert!(!text.contains("holds"), "{text}");
    }
    let text = run(
        here.path(),
        "conform --target spec --max-states 50",
        STOPPED,
    );
    assert!(text.contains("bounded (states)"), "{text}");
    let text = run(
        here.path(),
        "check --engine stateright --timeout 0",
        STOPPED,
    );
    assert!(text.contains("bounded (time)"), "{text}");
}

#[test]
fn a_gap_in_the_coverage_fails() {
    let text = run(folder().path(), "coverage smoke --max-depth 2", VIOLATED);
    assert!(text.contains("gaps"), "{text}");
}

#[test]
fn bad_usage() {
    let here = folder();
    for arguments in [
        "",
        "nonsense",
        "check --nonsense",
        "check --preset nonsense",
        "check --timeouts many",
        "check --servers 0",
        "check --only nonsense",
        "check --resume",
        "check --engine stateright --symmetry",
        "check --engine stateright --max-depth 3",
        "check --junit no/such/folder/report.xml",
        "conform --target nonsense",
        "conform --target exec:./no-such-program",
        "conform --target spec --max-depth 3",
        "conform --target spec --plant nonsense",
        "replay",
    ] {
        let text = run(here.path(), arguments, USAGE);
        assert!(!text.trim().is_empty(), "{arguments} is refused in silence");
    }
}

#[test]
fn nothing_checked_is_no_success() {
    let here = folder();
    let idle = "--max-in-flight 0 --timeouts 0 --restarts 0 --preset smoke";
    run(here.path(), &format!("check {idle}"), USAGE);
    run(
        here.path(),
        &format!("check {idle} --engine stateright"),
        USAGE,
    );
    std::fs::create_dir(here.path().join("empty")).expect("a folder of our own");
    run(here.path(), "replay empty", INPUT);
    let whole = trace(here.path());
    let header = whole.lines().next().expect("a header");
    let empty = format!("{header}\n{{\"end\":{{\"steps\":0}}}}\n");
    std::fs::write(here.path().join("none.ndjson"), empty).expect("a file of our own");
    run(here.path(), "replay none.ndjson --target spec", INPUT);
    run(here.path(), "verify --corpus empty --target spec", INPUT);
}

#[test]
fn bad_input_is_named_with_file_line_and_field() {
    let here = folder();
    let whole = trace(here.path());
    let write = |text: &str| {
        std::fs::write(here.path().join("bad.ndjson"), text).expect("a file of our own");
        run(here.path(), "replay bad.ndjson --target spec", INPUT)
    };
    let cut: String = whole
        .lines()
        .take(3)
        .map(|line| format!("{line}\n"))
        .collect();
    assert!(write(&cut).contains("bad.ndjson:4: the file stops"));
    let text = write(&whole.replacen("\"term\":0", "\"term\":-1", 1));
    assert!(
        text.contains("bad.ndjson:2: `expect.view.term`: invalid value"),
        "{text}"
    );
    let text = write(&whole.replacen("\"lockstep_trace\":1", "\"lockstep_trace\":99", 1));
    assert!(text.contains("version 99 is not known"), "{text}");
    assert!(write("\u{0}\u{1}").contains("bad.ndjson:1"));
    run(here.path(), "replay no-such-file.ndjson", INPUT);
}

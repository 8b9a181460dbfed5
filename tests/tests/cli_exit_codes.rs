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
        let wanted = ["distinct states", "transitions"];
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
fn the_production_raft_is_bisimilar() {
    let text = run(folder().path(), "conform --preset smoke", HOLDS);
    assert!(
        text.contains("conform smoke on lockstep-raft: bisimilar within the bound"),
        "{text}"
    );
}

#[test]
fn every_planted_mistake_is_caught() {
    let here = folder();
    for mistake in [
        "wrong_state",
        "wrong_message",
        "missing_message",
        "extra_message",
        "wrong_refusal",
        "hidden_state",
        "failure",
    ] {
        let text = run(here.path(), &format!("conform --plant {mistake}"), VIOLATED);
        let expected = if mistake == "hidden_state" {
            "digest hides state"
        } else {
            "diverged"
        };
        assert!(text.contains(expected), "{mistake}: {text}");
    }
}

#[test]
fn walks_that_commit_hold_and_others_do_not() {
    let here = folder();
    let text = run(here.path(), "walk --seeds 5 --steps 500", HOLDS);
    assert!(text.contains("sampled"), "{text}");
    let text = run(here.path(), "walk --seeds 1 --steps 1", USAGE);
    assert!(text.contains("nothing was committed"), "{text}");
    run(here.path(), "walk --seeds 0", USAGE);
}

#[test]
fn generated_traces_cover_and_are_replayed() {
    let here = folder();
    let generated = run(
        here.path(),
        "generate --preset single --cover states --out traces",
        HOLDS,
    );
    assert!(generated.contains("every one covered"), "{generated}");
    run(here.path(), "replay traces --target spec", HOLDS);
    // The same command again makes the same files.
    let read = || {
        let mut files: Vec<_> = std::fs::read_dir(here.path().join("traces"))
            .expect("the folder was made")
            .map(|entry| entry.expect("an entry").path())
            .map(|path| (path.clone(), std::fs::read(path).expect("a trace")))
            .collect();
        files.sort();
        files
    };
    let first = read();
    run(
        here.path(),
        "generate --preset single --cover states --out traces",
        HOLDS,
    );
    assert_eq!(first, read());
    run(
        here.path(),
        "generate --preset single --cover edges --out edges",
        HOLDS,
    );
    run(here.path(), "replay edges --target spec", HOLDS);
    run(here.path(), "replay traces edges --target raft-rs", HOLDS);
}

#[test]
fn the_corpus_is_replayed() {
    let corpus = binary::repository().join("traces/corpus");
    let here = folder();
    for target in ["spec", "lockstep-raft"] {
        let text = run(
            here.path(),
            &format!("replay {} --target {target}", corpus.display()),
            HOLDS,
        );
        assert!(text.contains("every trace agrees"), "{text}");
    }
}

#[test]
fn a_simulation_is_a_sample_and_can_be_repeated() {
    let here = folder();
    let text = run(
        here.path(),
        "simulate --preset smoke --runs 4 --seed 7",
        HOLDS,
    );
    assert!(text.contains("sampled (4 runs)"), "{text}");
    let again = text
        .split("lockstep simulate")
        .nth(1)
        .and_then(|rest| rest.lines().next());
    let again = format!("simulate{}", again.expect("the command that repeats it"));
    let steps = |text: &str| {
        let line = text
            .lines()
            .find(|line| line.trim_start().starts_with("steps  "));
        line.expect("the steps are counted").to_owned()
    };
    assert_eq!(steps(&run(here.path(), &again, HOLDS)), steps(&text));
    run(here.path(), "simulate --runs 0", USAGE);
    run(here.path(), "simulate --timeout 0", STOPPED);
}

#[test]
fn a_checkpoint_is_resumed_or_refused() {
    let here = folder();
    let search = "check --preset smoke --checkpoint saved";
    run(here.path(), &format!("{search} --max-states 5000"), STOPPED);
    let other = "check --preset single --checkpoint saved --resume";
    let text = run(here.path(), other, INPUT);
    assert!(text.contains("cannot be resumed"), "{text}");
    let resumed = run(here.path(), &format!("{search} --resume"), HOLDS);
    let whole = run(here.path(), "check --preset smoke", HOLDS);
    let counted = |text: &str| {
        let line = text.lines().find(|line| line.contains("distinct states"));
        line.expect("the states are counted").to_owned()
    };
    assert_eq!(counted(&resumed), counted(&whole));
    run(here.path(), &format!("{search} --max-states 5000"), STOPPED);
    std::fs::write(here.path().join("saved/manifest"), "nonsense").expect("a file of our own");
    run(here.path(), &format!("{search} --resume"), INPUT);
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

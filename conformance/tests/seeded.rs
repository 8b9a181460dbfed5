//! The binary with seeded bugs: what a violation looks like from outside.
//!
//! Each test builds a copy of the sources with Cargo, unless it is there already; so they are ignored, and
//! `.ci/run` runs them once it has that build.

use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

const HOLDS: i32 = 0;
const VIOLATED: i32 = 1;
const USAGE: i32 = 2;

struct Ran {
    text: String,
    out: String,
}

/// Runs the command line in a folder of its own.
fn run(folder: &Path, arguments: &str, code: i32) -> Ran {
    let output = Command::new(env!("CARGO_BIN_EXE_lockstep"))
        .args(arguments.split_whitespace())
        .current_dir(folder)
        .output()
        .expect("the binary starts");
    let out = String::from_utf8(output.stdout).expect("it writes text");
    let errors = String::from_utf8(output.stderr).expect("it writes text");
    let text = format!("{out}{errors}");
    assert_eq!(output.status.code(), Some(code), "{arguments}\n{text}");
    Ran { text, out }
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("there is a place for temporary files")
}

/// The arguments that follow `words` in a report, up to the end of the line.
fn command(text: &str, words: &str) -> String {
    let rest = text.split(words).nth(1);
    let line = rest.and_then(|rest| rest.lines().next());
    let line = line.unwrap_or_else(|| panic!("no {words:?} in {text}"));
    line.trim().trim_start_matches("lockstep ").to_owned()
}

/// The number of steps that a verdict names.
fn steps(text: &str) -> usize {
    let rest = text.split("committed_on_quorum_inv, ").nth(1);
    let number = rest.and_then(|rest| rest.split(' ').next()?.parse().ok());
    number.unwrap_or_else(|| panic!("no verdict in {text}"))
}

/// The report in this folder has a page for the path to the violation, and links to it.
fn has_a_page(folder: &Path, property: &str) {
    let index = std::fs::read_to_string(folder.join("index.html")).expect("a page");
    let pages = std::fs::read_dir(folder).expect("a folder");
    let names = pages.map(|it| {
        it.expect("a file")
            .file_name()
            .into_string()
            .expect("a name")
    });
    let stories: Vec<_> = names
        .filter(|name| name.ends_with(".html") && name != "index.html")
        .collect();
    let [story] = stories.as_slice() else {
        panic!("the pages are {stories:?}");
    };
    assert!(
        index.contains(story.as_str()),
        "no link to {story} in {index}"
    );
    let page = std::fs::read_to_string(folder.join(story)).expect("a page");
    for part in [format!("{property} is violated"), "<svg".to_owned()] {
        assert!(page.contains(&part), "no {part} in {page}");
    }
}

#[test]
#[ignore = "builds a copy of the sources; .ci/run runs it"]
fn a_violation_is_found_shown_saved_and_replayed() {
    let here = folder();
    let search = "check --preset smoke --plant CM-04 --only committed_on_quorum_inv";
    let found = run(
        here.path(),
        &format!("{search} --trace-out found.ndjson --junit report.xml"),
        VIOLATED,
    );
    let depth = steps(&found.text);
    for part in [
        "check smoke with the seeded bug CM-04: violated (committed_on_quorum_inv,",
        &format!("A shortest path to the violation, {depth} steps"),
        "violates it: \"a log entry is committed once the leader",
        "What breaks committed_on_quorum_inv at step",
        "commit",
        "Timeout",
    ] {
        assert!(
            found.text.contains(part),
            "{part} is missing in {}",
            found.text
        );
    }
    // With the bug the property is violated again, without it the trace is no longer what happens.
    let again = command(&found.text, "the counterexample, again: ");
    let violated = run(here.path(), &again, VIOLATED).text;
    for part in [
        "violated: committed_on_quorum_inv",
        "What breaks committed_on_quorum_inv at step",
    ] {
        assert!(violated.contains(part), "{part} is missing in {violated}");
    }
    let right = again.replace(" --plant CM-04", "");
    assert_ne!(right, again);
    let departs = run(here.path(), &right, HOLDS);
    for part in ["wrong commit", "committed_on_quorum_inv is not violated"] {
        assert!(departs.text.contains(part), "{}", departs.text);
    }
    // Any other target is judged by what it does.
    let production = right.replace("--target spec", "--target lockstep-raft");
    let departs = run(here.path(), &production, HOLDS);
    let part = "committed_on_quorum_inv is not violated";
    assert!(departs.text.contains(part), "{}", departs.text);
    // For machines.
    let xml = std::fs::read_to_string(here.path().join("report.xml")).expect("a report");
    assert!(xml.contains("<failure"), "{xml}");
    assert!(xml.contains("committed_on_quorum_inv"), "{xml}");
    let json = run(here.path(), &format!("{search} --format json"), VIOLATED);
    let report: serde_json::Value = serde_json::from_str(&json.out).expect("a report in JSON");
    assert_eq!(report["status"], "violated");
    assert_eq!(report["exit_code"], VIOLATED);
    let rows = report["jobs"][0]["steps"]["rows"]
        .as_array()
        .expect("steps");
    assert_eq!(rows.len(), depth);
}

/// Each search violates the property; only a breadth-first search of one level after the other promises the
/// shortest way.
#[test]
#[ignore = "builds a copy of the sources; .ci/run runs it"]
fn every_search_finds_it() {
    let here = folder();
    let plain = run(
        here.path(),
        "check --preset smoke --plant CM-04 --only committed_on_quorum_inv --threads 1",
        VIOLATED,
    );
    let depth = steps(&plain.text);
    let threads = run(
        here.path(),
        "check --preset smoke --plant CM-04 --only committed_on_quorum_inv --threads 2",
        VIOLATED,
    );
    assert_eq!(steps(&threads.text), depth);
    let theirs = run(
        here.path(),
        "check --preset smoke --plant CM-04 --engine stateright --report theirs",
        VIOLATED,
    );
    assert!(steps(&theirs.text) >= depth);
    has_a_page(&here.path().join("theirs"), "committed_on_quorum_inv");
    // Up to symmetry it is as short, and its servers are real ones: the trace is followed.
    let arguments = "check --preset smoke --plant CM-04 --only committed_on_quorum_inv --symmetry --trace-out found.ndjson";
    let symmetric = run(here.path(), arguments, VIOLATED);
    assert_eq!(steps(&symmetric.text), depth);
    let again = command(&symmetric.text, "the counterexample, again: ");
    run(here.path(), &again, VIOLATED);
}

#[test]
#[ignore = "builds a copy of the sources; .ci/run runs it"]
fn a_simulation_finds_it_and_its_printed_command_repeats_it() {
    let here = folder();
    let arguments = "simulate --plant CM-04 --only committed_on_quorum_inv --runs 50 --seed 3";
    let found = run(
        here.path(),
        &format!("{arguments} --trace-out found.ndjson --report simulated"),
        VIOLATED,
    );
    has_a_page(&here.path().join("simulated"), "committed_on_quorum_inv");
    let again = command(&found.text, "repeat it with");
    let repeated = run(here.path(), &again, VIOLATED);
    let walk = |ran: &Ran| {
        let rest = ran.text.split("A walk to the violation").nth(1);
        let table = rest.unwrap_or_else(|| panic!("no walk in {}", ran.text));
        let table = table.split("The same as a diagram:").next();
        table.map(str::to_owned)
    };
    assert_eq!(walk(&found), walk(&repeated), "{again}");
    run(
        here.path(),
        "replay found.ndjson --target spec --plant CM-04",
        VIOLATED,
    );
}

#[test]
#[ignore = "builds a copy of the sources; .ci/run runs it"]
fn an_implementation_bug_is_found_and_its_command_repeats_it() {
    let here = folder();
    for (id, what) in [("CM-04", "wrong commit"), ("PS-08", "wrong message")] {
        let found = run(here.path(), &format!("conform --plant {id}"), VIOLATED);
        assert!(found.text.contains(what), "{}", found.text);
        let again = command(&found.text, "repeat it with: ");
        assert!(again.ends_with(&format!("--plant {id}")), "{again}");
        let repeated = run(here.path(), &again, VIOLATED);
        assert!(repeated.text.contains(what), "{}", repeated.text);
        // Without the bug the trace holds: it is the specification that made it.
        let healthy = again.replace(&format!(" --plant {id}"), "");
        run(here.path(), &healthy, HOLDS);
    }
}

#[test]
#[ignore = "builds a copy of the sources; .ci/run runs it"]
fn a_bug_of_the_other_side_is_refused() {
    let here = folder();
    for (arguments, id, side) in [
        ("check --plant XX-01", "XX-01", "specification"),
        ("check --plant RP-12a", "RP-12a", "specification"),
        ("conform --plant XX-01", "XX-01", "implementation"),
        ("conform --plant LS-01", "LS-01", "implementation"),
        (
            "replay . --target spec --plant RP-12a",
            "RP-12a",
            "specification",
        ),
    ] {
        let refused = run(here.path(), arguments, USAGE);
        let text = refused
            .text
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ");
        let reason = format!("there is no seeded bug {id} in the {side}");
        assert!(text.contains(&reason), "{arguments}: {text}");
    }
}

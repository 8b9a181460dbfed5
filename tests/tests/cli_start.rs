//! Mistakes that can be known before the work begins.

use lockstep_tests::command::{HOLDS, INPUT, PATIENCE, USAGE};
use lockstep_tests::command::{corpus, end, folder, run, start, words};
use serde_json::Value;
use std::time::Instant;

/// An argument that makes no sense is refused at once, and not after the search of a graph that takes minutes.
#[test]
fn what_can_be_known_at_the_start_is_said_at_the_start() {
    let here = folder();
    let python = "exec:python3 old.py";
    let old = r#"
import json, sys
for line in sys.stdin:
    print(json.dumps({"op": "describe", "protocol": 1, "name": "old", "version": "1", "features": ["one_entry_per_append"], "fields": ["term"]}), flush=True)
"#;
    std::fs::write(here.path().join("old.py"), old).expect("a file of our own");
    let corpus = corpus();
    std::fs::create_dir(here.path().join("damaged")).expect("a folder of our own");
    std::fs::write(here.path().join("damaged/it.ndjson"), "{}").expect("a file of our own");
    let began = Instant::now();
    let mut cases: Vec<(Vec<&str>, i32, &str)> = vec![
        (
            vec!["conform", "--preset", "deep", "--target", "nosuch"],
            USAGE,
            "nosuch",
        ),
        (
            vec!["verify", "--corpus", &corpus, "--target", "nosuch"],
            USAGE,
            "nosuch",
        ),
        (vec!["verify", "--corpus", "nosuch"], INPUT, "nosuch"),
        (vec!["verify", "--corpus", "damaged"], INPUT, "it.ndjson"),
        (
            vec!["check", "--preset", "deep", "--threads", "2000"],
            USAGE,
            "at most",
        ),
        (vec!["coverage", "deep", "nosuch"], USAGE, "nosuch"),
        (vec!["bench", "deep", "nosuch"], USAGE, "nosuch"),
        (
            vec!["conform", "--reply-timeout", "0", "--preset", "deep"],
            USAGE,
            "reply-timeout",
        ),
        (
            vec!["check", "--memory", "18446744073709551615"],
            USAGE,
            "memory",
        ),
        (
            vec!["generate", "--preset", "deep", "--out", "old.py"],
            USAGE,
            "old.py",
        ),
        (
            vec!["generate", "--max-depth", "3", "--out", "out"],
            USAGE,
            "depth",
        ),
        (
            vec![
                "simulate",
                "--preset",
                "deep",
                "--first-run",
                "18446744073709551615",
            ],
            USAGE,
            "the number of the last run",
        ),
        (
            vec![
                "walk",
                "--seeds",
                "1000000000",
                "--seed",
                "18446744073709551615",
            ],
            USAGE,
            "the last seed would be above",
        ),
        (
            vec![
                "graph",
                "--preset",
                "wide",
                "--max-states",
                "10000000",
                "--out",
                "missing/graph.dot",
            ],
            USAGE,
            "cannot be written",
        ),
        (
            vec!["check", "--preset", "deep", "--read-indexes", "5"],
            USAGE,
            "--read-indexes has no effect without --reads",
        ),
        (
            vec!["check", "--preset", "deep", "--timing", "elapsed"],
            USAGE,
            "--timing has no effect without --reads lease_based",
        ),
        (
            vec!["conform", "--preset", "deep", "--max-outstanding", "3"],
            USAGE,
            "--max-outstanding has no effect without --storage async",
        ),
        (
            vec!["simulate", "--preset", "deep", "--learners", "3"],
            USAGE,
            "--learners has no effect without --voters",
        ),
        (
            vec!["check", "--preset", "deep", "--copies", "2"],
            USAGE,
            "--copies and --input are for a program",
        ),
        (
            vec![
                "check",
                "--preset",
                "deep",
                "--target",
                "lockstep-raft",
                "--input",
                "tick=3",
            ],
            USAGE,
            "--copies and --input are for a program",
        ),
        (
            vec!["check", "--preset", "deep", "--checkpoint", "old.py"],
            USAGE,
            "old.py",
        ),
    ];
    if lockstep_tests::python::is_here() {
        cases.push((
            vec!["conform", "--preset", "deep", "--target", python],
            USAGE,
            "pre_vote",
        ));
    }
    for (arguments, code, part) in cases {
        let what = arguments.join(" ");
        let output = end(start(here.path(), &arguments), &what);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{what}\n{errors}");
        assert!(words(&errors).contains(part), "{what}\n{errors}");
    }
    // `deep` has more than a hundred million states.
    assert!(began.elapsed() < PATIENCE);
}

/// A wrong name is said before any other target is asked, which may take long.
#[cfg(unix)]
#[test]
fn a_wrong_name_among_targets_is_said_before_any_is_asked() {
    let here = folder();
    let asked = here.path().join("asked");
    let program = format!("exec:sh -c 'touch {}; sleep 1000'", asked.display());
    let arguments = ["targets", "--target", &program, "--target", "nosuch"];
    let output = end(start(here.path(), &arguments), "targets");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(USAGE), "{errors}");
    assert!(errors.contains("nosuch"), "{errors}");
    assert!(errors.contains("lockstep-raft"), "{errors}");
    assert!(!asked.exists(), "the program was started");
}

/// A search that was to go on from a checkpoint, and cannot, says so before it begins and in its report.
#[test]
fn a_checkpoint_that_is_missing_is_said() {
    for verb in [
        "check --preset single",
        "check --preset single --target lockstep-raft",
        "conform --preset single",
    ] {
        let here = folder();
        let first = format!("{verb} --checkpoint saved --resume --format json");
        let (out, errors) = run(here.path(), &first, HOLDS);
        let missing = "there is no checkpoint to go on from";
        assert!(errors.contains(missing), "{verb}: {errors}");
        let report: Value = serde_json::from_str(&out).expect("a report");
        let notes = report["jobs"][0]["notes"].to_string();
        let beginning = "it started from the beginning";
        assert!(notes.contains(beginning), "{verb}: {notes}");
        // The twin: where there is one, neither is said.
        let (out, errors) = run(here.path(), &first, HOLDS);
        assert!(!errors.contains(missing), "{verb}: {errors}");
        assert!(!out.contains(beginning), "{verb}: {out}");
    }
}

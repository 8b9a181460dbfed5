//! `lockstep validate` as its users meet it: folders, links, marks, files that are damaged.

use lockstep_tests::binary;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

fn recorded(name: &str) -> PathBuf {
    binary::repository().join("traces/recorded").join(name)
}

const RUN: &str = "etcd-3.6-crashes.ndjson";

/// The exit code and the report.
fn validate(folder: &Path, arguments: &[&str]) -> (i32, Value) {
    let output = binary::lockstep()
        .args(["validate", "-q", "--format", "json"])
        .args(arguments)
        .current_dir(folder)
        .output()
        .expect("it starts");
    let report = serde_json::from_slice(&output.stdout).expect("a report");
    (output.status.code().expect("it exits"), report)
}

fn statuses(report: &Value) -> Vec<(&str, &str)> {
    let text = |job: &Value, key: &str| job[key].as_str().expect("text").len();
    let jobs = report["jobs"].as_array().expect("jobs");
    let nonempty = jobs.iter().filter(|job| text(job, "name") > 0);
    nonempty
        .map(|job| {
            let of = |key: &str| job[key].as_str().expect("text");
            (of("name"), of("status"))
        })
        .collect()
}

/// A link is followed once, and what is not read is named.
#[cfg(unix)]
#[test]
fn a_folder_is_read_once_and_what_is_not_read_is_named() {
    let here = tempfile::tempdir().expect("a folder");
    let runs = here.path().join("runs");
    fs::create_dir_all(runs.join("sub")).expect("a folder");
    fs::copy(recorded(RUN), runs.join("a.ndjson")).expect("a copy");
    fs::copy(recorded(RUN), runs.join("other.json")).expect("a copy");
    std::os::unix::fs::symlink("..", runs.join("sub/loop")).expect("a link");
    std::os::unix::fs::symlink("a.ndjson", runs.join("b.ndjson")).expect("a link");
    let (code, report) = validate(here.path(), &["runs", "runs/a.ndjson"]);
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(statuses(&report), [("runs/a.ndjson", "holds")]);
    let text = report.to_string();
    for name in ["runs/other.json", "runs/sub/loop", "runs/b.ndjson"] {
        assert!(text.contains(&format!("{name} was not read")), "{report:#}");
    }
}

/// Of a file that is damaged the report says so, and the results of the others stand.
#[test]
fn a_damaged_file_hides_no_result() {
    let here = tempfile::tempdir().expect("a folder");
    let run = fs::read_to_string(recorded(RUN)).expect("a run");
    let without = |line: usize| -> String {
        let lines = run.lines().enumerate();
        let kept = lines.filter(|(place, _)| *place != line);
        kept.map(|(_, text)| format!("{text}\n")).collect()
    };
    let invalid = (10..60).map(without).find(|text| {
        fs::write(here.path().join("invalid.ndjson"), text).expect("written");
        validate(here.path(), &["invalid.ndjson"]).0 == 1
    });
    assert!(invalid.is_some(), "some line is needed");
    fs::write(here.path().join("damaged.ndjson"), "{\n").expect("written");
    fs::copy(recorded(RUN), here.path().join("good.ndjson")).expect("a copy");
    let arguments = ["invalid.ndjson", "damaged.ndjson", "good.ndjson"];
    let (code, report) = validate(here.path(), &arguments);
    assert_eq!(code, 1, "{report:#}");
    let expected = ["violated", "stopped", "holds"];
    let found = statuses(&report);
    let expected: Vec<_> = arguments.into_iter().zip(expected).collect();
    assert_eq!(found, expected);
}

#[test]
fn a_byte_order_mark_is_no_fault() {
    let here = tempfile::tempdir().expect("a folder");
    let run = fs::read_to_string(recorded(RUN)).expect("a run");
    fs::write(here.path().join("run.ndjson"), format!("\u{feff}{run}")).expect("written");
    let (code, report) = validate(here.path(), &["run.ndjson"]);
    assert_eq!(code, 0, "{report:#}");
    let text = format!("\u{feff}{report}");
    fs::write(here.path().join("report.json"), text).expect("written");
    let status = binary::lockstep()
        .args(["report", "report.json", "--out", "page"])
        .current_dir(here.path())
        .output();
    assert_eq!(status.expect("it starts").status.code(), Some(0));
}

/// With `--report`, a run that is invalid has a page that shows the last lines, and in red the one that nothing explains.
#[test]
fn an_invalid_run_has_a_page() {
    let here = tempfile::tempdir().expect("a folder");
    let run = fs::read_to_string(recorded(RUN)).expect("the run is there");
    let elected = run.lines().position(|it| it.contains("BecomeLeader"));
    let elected = elected.expect("somebody leads");
    let others = run.lines().enumerate().filter(|(at, _)| *at != elected);
    let lines: Vec<_> = others.map(|(_, line)| line).collect();
    fs::write(here.path().join("bad.ndjson"), lines.join("\n")).expect("it is written");
    fs::copy(recorded(RUN), here.path().join("good.ndjson")).expect("a copy");
    let (code, _) = validate(
        here.path(),
        &["bad.ndjson", "good.ndjson", "--report", "page"],
    );
    assert_eq!(code, 1);
    let read = |name: &str| fs::read_to_string(here.path().join("page").join(name));
    let html = read("validate-bad-ndjson.html").expect("there is a page");
    let line = format!("line {}: ", elected + 1);
    assert!(html.contains(&line), "{line} is not on the page");
    assert_eq!(html.matches("class=\"lk-row lk-differs\"").count(), 1);
    assert!(html.contains("BecomeLeader"));
    let index = read("index.html").expect("there is a report");
    assert!(index.contains("href=\"validate-bad-ndjson.html\""));
    assert!(read("validate-good-ndjson.html").is_err());
}

//! Results beside which something fails: files that cannot be written, streams that are closed or full. The verdict
//! stays what it is.

use lockstep_tests::binary;
use lockstep_tests::command::{HOLDS, INPUT, STOPPED, USAGE, VIOLATED};
use lockstep_tests::command::{corpus, end, folder, run};
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Stdio};

/// A file beside the result that cannot be written is said before the work and after it, and takes nothing
/// with it: a divergence stays one, what holds is shown as such and only its exit code says that something
/// is missing.
#[test]
fn a_side_output_that_fails_hides_nothing() {
    let here = folder();
    let differs = "conform --target spec --plant wrong_state";
    for missing in [
        "--junit missing/report.xml",
        "--trace-out missing/trace.ndjson",
    ] {
        let arguments = format!("{differs} {missing}");
        let (out, errors) = run(here.path(), &arguments, VIOLATED);
        assert!(out.contains("diverged"), "{out}");
        assert_eq!(errors.matches("missing/").count(), 2, "{errors}");
    }
    let (out, _) = run(here.path(), "check --junit missing/report.xml", USAGE);
    assert!(out.contains("exhausted") && out.contains("holds"), "{out}");
    let arguments = "check --format json --junit missing/report.xml";
    let (out, _) = run(here.path(), arguments, USAGE);
    let report: Value = serde_json::from_str(&out).expect("a report");
    assert_eq!(
        (&report["status"], &report["exit_code"]),
        (&"holds".into(), &USAGE.into())
    );
    let unwritten = report["unwritten"][0].as_str().expect("it is named");
    assert!(unwritten.contains("missing/report.xml"), "{unwritten}");
    // It was asked for, and whether there will be something to write is not known.
    for verb in [
        "check --preset single",
        "check --preset single --target lockstep-raft",
        "simulate --preset single",
        "conform --preset single",
        "conform --preset single --target raft-rs",
        "walk --seeds 1",
        "check",
    ] {
        let arguments = format!("{verb} --trace-out missing/trace.ndjson --format json");
        let (out, errors) = run(here.path(), &arguments, USAGE);
        let report: Value = serde_json::from_str(&out).expect("a report");
        assert_eq!(report["status"], "holds", "{verb}");
        let unwritten = report["unwritten"].as_array().expect("it is named");
        assert_eq!(unwritten.len(), 1, "{verb}: {unwritten:?}");
        let unwritten = unwritten[0].as_str().expect("text");
        assert!(unwritten.contains("missing/trace.ndjson"), "{unwritten}");
        assert!(errors.contains("the work is done all the same"), "{errors}");
    }
    let (out, _) = run(
        here.path(),
        "check --preset single --trace-out missing/it -q",
        USAGE,
    );
    assert!(out.contains("not written: missing/it"), "{out}");
    run(here.path(), "generate --out /dev/null/no", USAGE);
    let left = std::fs::read_dir(here.path()).expect("a folder of our own");
    let left: Vec<_> = left.map(|it| it.expect("an entry").file_name()).collect();
    assert_eq!(left, ["divergence.ndjson"]);
}

/// A device is written to, not replaced by a file.
#[cfg(target_os = "linux")]
#[test]
fn a_trace_into_a_device_leaves_the_device() {
    let here = folder();
    let fifo = here.path().join("pipe");
    let made = Command::new("mkfifo").arg(&fifo).status();
    assert!(made.expect("there is mkfifo").success());
    let reader = Command::new("cat")
        .arg(&fifo)
        .stdout(Stdio::piped())
        .spawn();
    let reader = reader.expect("there is cat");
    let arguments = "conform --target spec --plant wrong_state --trace-out pipe";
    run(here.path(), arguments, VIOLATED);
    let read = end(reader, "cat").stdout;
    let text = String::from_utf8(read).expect("text");
    assert!(text.starts_with("{\"lockstep_trace\":1"), "{text}");
    let kind = std::fs::metadata(&fifo).expect("it is there").file_type();
    assert!(!kind.is_file());
}

#[cfg(target_os = "linux")]
#[test]
fn standard_error_that_is_full_changes_nothing() {
    let here = folder();
    for (arguments, code) in [
        ("check --preset smoke --junit report.xml", HOLDS),
        ("check --preset nosuch", USAGE),
        ("check --junit missing/report.xml", USAGE),
        ("replay /nonexistent", INPUT),
        ("conform --target spec --plant wrong_state", VIOLATED),
    ] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full");
        let output = binary::lockstep()
            .args(arguments.split_whitespace())
            .current_dir(here.path())
            .stderr(full.expect("there is /dev/full"))
            .output()
            .expect("the binary starts");
        assert_eq!(output.status.code(), Some(code), "{arguments}");
        let said = !output.stdout.is_empty();
        assert_eq!(
            said,
            code != INPUT && !arguments.contains("nosuch"),
            "{arguments}"
        );
    }
    assert!(here.path().join("report.xml").exists());
}

/// The reader of standard output that goes away has seen enough; a full disk is another matter.
#[cfg(target_os = "linux")]
#[test]
fn standard_output_may_be_closed_and_must_not_be_full() {
    let here = folder();
    let corpus = corpus();
    let replay = format!("replay {corpus}");
    let differs = "conform --target spec --plant wrong_state";
    for (arguments, code) in [
        ("--help", HOLDS),
        ("presets", HOLDS),
        ("check --preset smoke", HOLDS),
        ("check --preset smoke --format json", HOLDS),
        (&replay, HOLDS),
        (differs, VIOLATED),
    ] {
        let mut child = binary::lockstep()
            .args(arguments.split_whitespace())
            .current_dir(here.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        drop(child.stdout.take());
        let output = end(child, arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments}");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(errors, "", "{arguments}");
    }
    for (arguments, code) in [("check --preset smoke", USAGE), (differs, VIOLATED)] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full");
        let output = binary::lockstep()
            .args(arguments.split_whitespace())
            .current_dir(here.path())
            .stdout(full.expect("there is /dev/full"))
            .output()
            .expect("the binary starts");
        assert_eq!(output.status.code(), Some(code), "{arguments}");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(
            errors.contains("standard output: cannot be written"),
            "{errors}"
        );
    }
}

/// A file that cannot grow is to a search what a full disk is: what was found is reported, and the search
/// goes on from its last checkpoint later.
#[cfg(target_os = "linux")]
#[test]
fn a_checkpoint_that_cannot_grow_keeps_the_result() {
    let here = folder();
    let search = "check --preset votes --checkpoint saved -q";
    let program = binary::lockstep();
    let program = program.get_program().to_string_lossy();
    // In blocks of 512 bytes or 1 KiB; the signal that comes with it is ignored as by whoever runs a job.
    let limited =
        format!("trap '' XFSZ; ulimit -f 300; exec '{program}' {search} --checkpoint-every 0");
    let output = Command::new("sh")
        .args(["-c", &limited])
        .current_dir(here.path())
        .output()
        .expect("there is a shell");
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(STOPPED), "{text}{errors}");
    for part in ["bounded (disk)", "a file failed: ", "distinct states"] {
        assert!(text.contains(part), "{part} is missing in {text}");
    }
    let counted = |text: &str| {
        let line = text.lines().find(|line| line.contains("distinct states"));
        line.expect("the states are counted").to_owned()
    };
    let (resumed, _) = run(here.path(), &format!("{search} --resume"), HOLDS);
    let (whole, _) = run(here.path(), "check --preset votes -q", HOLDS);
    assert_eq!(counted(&resumed), counted(&whole));
}

/// Runs the command line where no file can be larger than that, in blocks of 512 bytes or 1 KiB.
#[cfg(target_os = "linux")]
fn where_files_cannot_grow(folder: &Path, blocks: u32, arguments: &str) -> (Option<i32>, String) {
    let program = binary::lockstep();
    let program = program.get_program().to_string_lossy();
    let limited = format!("trap '' XFSZ; ulimit -f {blocks}; exec '{program}' {arguments}");
    let output = Command::new("sh")
        .args(["-c", &limited])
        .current_dir(folder)
        .output()
        .expect("there is a shell");
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).expect("text"))
}

#[cfg(target_os = "linux")]
fn names(folder: &Path) -> Vec<String> {
    let files = std::fs::read_dir(folder).expect("a folder of our own");
    let names = files.map(|it| it.expect("an entry").file_name());
    names.map(|it| it.to_string_lossy().into_owned()).collect()
}

/// The traces that were written before the disk was full are whole, and are counted; so are those that were not.
#[cfg(target_os = "linux")]
#[test]
fn traces_on_a_full_disk_are_whole_or_missing_and_counted() {
    let here = folder();
    for (cover, known) in [
        ("corpus", true),
        ("inputs --preset smoke", true),
        ("edges --preset single", false),
    ] {
        let blocks = if known { 12 } else { 1 };
        let arguments = format!("generate --cover {cover} --out traces -q --format json");
        let (code, text) = where_files_cannot_grow(here.path(), blocks, &arguments);
        assert_eq!(code, Some(USAGE), "{cover}: {text}");
        let mut reports = serde_json::Deserializer::from_str(&text).into_iter::<Value>();
        let report = reports.next().expect("a report").expect("in JSON");
        assert_eq!(report["status"], "error");
        let job = &report["jobs"][0];
        assert_eq!(job["status"], "stopped");
        let fact = |name: &str| {
            let mut facts = job["facts"].as_array().expect("facts").iter();
            facts
                .find(|it| it["name"] == name)
                .map(|it| it["value"].clone())
        };
        let written = names(&here.path().join("traces"));
        assert_eq!(
            fact("traces"),
            Some(written.len().into()),
            "{cover}: {text}"
        );
        assert_eq!(
            fact("traces that are not written").is_some(),
            known,
            "{text}"
        );
        assert!(
            written.iter().all(|it| it.ends_with(".ndjson")),
            "{written:?}"
        );
        if !written.is_empty() {
            run(here.path(), "replay traces --target spec", HOLDS);
        }
        std::fs::remove_dir_all(here.path().join("traces")).expect("a folder of our own");
    }
}

/// An output that cannot be written whole leaves the old file in place.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_leaves_the_old_file() {
    let here = folder();
    run(
        here.path(),
        "conform --target spec --plant wrong_state --trace-out t.ndjson",
        VIOLATED,
    );
    std::fs::create_dir(here.path().join("page")).expect("a folder of our own");
    for (file, arguments) in [
        ("out", "show t.ndjson --as html --out out"),
        ("out", "graph --preset single --out out"),
        ("out", "check --preset single --junit out"),
        ("page/report.json", "check --preset single --report page"),
        ("lockstep.1", "man --out ."),
        (
            "t.ndjson",
            "conform --target spec --plant wrong_state --trace-out t.ndjson",
        ),
    ] {
        let path = here.path().join(file);
        let trace = std::fs::read(here.path().join("t.ndjson")).expect("it is there");
        if file != "t.ndjson" {
            std::fs::write(&path, "before").expect("a file of our own");
        }
        let old = std::fs::read(&path).expect("it is there");
        let (code, text) = where_files_cannot_grow(here.path(), 1, arguments);
        assert!(
            matches!(code, Some(USAGE | VIOLATED)),
            "{arguments}: {text}"
        );
        assert!(text.contains("cannot be written"), "{arguments}: {text}");
        assert_eq!(std::fs::read(&path).expect("it stays"), old, "{arguments}");
        assert_eq!(
            std::fs::read(here.path().join("t.ndjson")).expect("it stays"),
            trace
        );
        for name in names(here.path()) {
            assert!(!name.starts_with(".lockstep"), "{arguments} leaves {name}");
        }
    }
}

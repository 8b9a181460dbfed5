//! Input from outside is not trusted: programs behind the exec protocol, files, and the terminal.

use assert_cmd::Command;
use lockstep_tests::{binary, python};
use std::ffi::OsStr;
use std::path::Path;
use std::process::Output;
use tempfile::TempDir;

const HOLDS: i32 = 0;
const VIOLATED: i32 = 1;
const USAGE: i32 = 2;
const INPUT: i32 = 3;

fn folder() -> TempDir {
    tempfile::tempdir().expect("there is a place for temporary files")
}

fn run<'a>(folder: &Path, arguments: impl IntoIterator<Item = &'a str>, code: i32) -> Output {
    let assert = Command::from_std(binary::lockstep())
        .args(arguments)
        .current_dir(folder)
        .assert()
        .code(code);
    assert.get_output().clone()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("it writes text")
}

/// A program behind the exec protocol that follows the body for every request but `describe`. The body has
/// `r`, the request, and may call `fine()` to answer as a server would that never does anything.
fn target(folder: &Path, body: &str) -> String {
    let code = format!(
        r#"import json, os, sys, time
def say(x): print(json.dumps(x), flush=True)
view = {{"role": "follower", "term": 0}}
for line in sys.stdin:
    r = json.loads(line)
    op = {{"op": r["op"], "session": r.get("session")}}
    def fine():
        if r["op"] == "apply": say({{**op, "results": [{{"outcome": "accepted"}} for _ in r["inputs"]]}})
        elif r["op"] == "open": say({{**op, "views": [view for _ in r["servers"]]}})
        else: say({{**op, "views": [None] * 3}})
    if r["op"] == "describe":
        say({{"op": "describe", "protocol": 1, "name": "test", "version": "0",
             "features": ["pre_vote", "check_quorum", "one_entry_per_append"], "fields": ["term"]}})
        continue
{body}
"#
    );
    std::fs::write(folder.join("target.py"), code).expect("a file of our own");
    "exec:python3 target.py".to_owned()
}

/// The way to the crash is shown, with what the program said, on every way on which a result is given.
#[test]
fn a_program_that_crashes_at_an_input_diverges_there() {
    if !python::is_here() {
        return;
    }
    let here = folder();
    let target = target(
        here.path(),
        r#"
    if r["op"] == "apply" and any(i == "lease_expire" for _, i in r["inputs"]): raise ValueError("no lease here")
    fine()
"#,
    );
    let arguments = ["conform", "--target", &target, "--junit", "report.xml"];
    let report = text(&run(here.path(), arguments, VIOLATED).stdout);
    for part in [
        "diverged",
        "1 step, as it is expected",
        "step 1: LeaseExpire(",
        "the target broke down",
        "exit status: 1",
        "Traceback",
        "ValueError: no lease here",
        "lockstep replay divergence.ndjson",
    ] {
        assert!(report.contains(part), "{part} is missing in {report}");
    }
    let xml = std::fs::read_to_string(here.path().join("report.xml")).expect("a report");
    for part in [
        "LeaseExpire(",
        "expected: an answer",
        "actual: ",
        "ValueError: no lease here",
    ] {
        assert!(xml.contains(part), "{part} is missing in {xml}");
    }
    let again = ["replay", "divergence.ndjson", "--target", &target];
    let again = text(&run(here.path(), again, VIOLATED).stdout);
    assert!(again.contains("ValueError: no lease here"), "{again}");
}

/// A program that says nothing more is no different from one that ends.
#[test]
fn a_program_that_falls_silent_diverges_there() {
    if !python::is_here() {
        return;
    }
    let here = folder();
    let target = target(
        here.path(),
        r#"
    if r["op"] == "apply" and any(i == "lease_expire" for _, i in r["inputs"]): time.sleep(600)
    fine()
"#,
    );
    let arguments = ["conform", "--target", &target, "--reply-timeout", "5"];
    let report = text(&run(here.path(), arguments, VIOLATED).stdout);
    assert!(report.contains("no reply for 5 s"), "{report}");
}

#[test]
fn a_line_without_end_is_refused() {
    let here = folder();
    let arguments = ["conform", "--target", "exec:cat /dev/zero"];
    if !Path::new("/dev/zero").exists() {
        return;
    }
    let output = run(here.path(), arguments, USAGE);
    let errors = text(&output.stderr);
    assert!(errors.contains("16777216 bytes"), "{errors}");
    assert!(errors.len() < 4_000, "{errors}");
}

/// Replies that say nothing, one after the other, are no reason to wait for the next.
#[test]
fn replies_without_end_are_a_divergence() {
    if !python::is_here() {
        return;
    }
    let here = folder();
    let target = target(
        here.path(),
        r#"
    while r["op"] == "apply": say({**op, "results": []})
    fine()
"#,
    );
    let corpus = corpus().display().to_string();
    for verb in [&["conform"][..], &["replay", &corpus], &["walk"]] {
        let arguments = [verb, &["--target", &target, "--reply-timeout", "5"]].concat();
        let report = text(&run(here.path(), arguments, VIOLATED).stdout);
        assert!(report.contains("the target broke down"), "{report}");
    }
}

/// Neither a trace nor a result is read without end.
#[test]
fn a_file_without_end_is_refused() {
    let here = folder();
    if !Path::new("/dev/zero").exists() {
        return;
    }
    for arguments in [
        &["replay", "/dev/zero"][..],
        &["show", "/dev/zero"],
        &["verify", "--corpus", "/dev/zero"],
        &["report", "/dev/zero", "--out", "page"],
    ] {
        let output = run(here.path(), arguments.iter().copied(), INPUT);
        let errors = text(&output.stderr);
        assert!(errors.contains("/dev/zero"), "{errors}");
        assert!(errors.contains("is longer than"), "{errors}");
    }
}

/// Finds a character, in the output of Lockstep, that a terminal or a reader of XML would act on.
fn active(text: &str) -> Option<char> {
    let plain = |c: char| c == '\n' || c == '\t';
    let acts =
        |c: &char| c.is_control() && !plain(*c) || ['\u{202e}', '\u{ffff}', '\u{2028}'].contains(c);
    text.chars().find(acts)
}

#[test]
fn what_a_program_says_is_shown_and_does_nothing() {
    if !python::is_here() {
        return;
    }
    let here = folder();
    let target = target(
        here.path(),
        r#"
    bad = "\x1b[2J\x1b[31mpanicked\x1b[0m \0 \x08 \x9b1m ]]> <&\"' \uffff \u202e \u2028 end\n\nholds: 1 job"
    print(bad, file=sys.stderr, flush=True)
    if r["op"] == "apply": say({**op, "results": [{"crashed": bad} for _ in r["inputs"]]})
    else: fine()
"#,
    );
    for more in [&["--format", "json"][..], &["--verbose"], &["--quiet"]] {
        let arguments = ["conform", "--target", &target, "--junit", "report.xml"];
        let output = run(
            here.path(),
            arguments.into_iter().chain(more.iter().copied()),
            VIOLATED,
        );
        let xml = std::fs::read_to_string(here.path().join("report.xml")).expect("a report");
        for said in [text(&output.stdout), text(&output.stderr), xml] {
            assert_eq!(active(&said), None, "{said}");
            assert!(!said.contains("\nholds: 1 job"), "{said}");
        }
    }
    let whole = ["conform", "--target", &target, "--format", "json"];
    let whole = run(here.path(), whole, VIOLATED).stdout;
    let report: serde_json::Value = serde_json::from_slice(&whole).expect("JSON");
    assert!(
        report["jobs"][0]["differences"]["rows"]
            .to_string()
            .contains("panicked")
    );

    // The same where there is no report.
    let gives_up = "exec:printf 'no \\033[31mreply\\n'";
    let errors = text(&run(here.path(), ["conform", "--target", gives_up], USAGE).stderr);
    assert!(errors.contains("[31mreply"), "{errors}");
    assert_eq!(active(&errors), None, "{errors}");
}

fn corpus() -> std::path::PathBuf {
    binary::repository().join("traces/corpus")
}

fn a_trace() -> std::path::PathBuf {
    let mut traces: Vec<_> = std::fs::read_dir(corpus())
        .expect("there is a corpus")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    traces.sort();
    traces.swap_remove(0)
}

#[cfg(unix)]
#[test]
fn what_lies_in_a_folder_is_read_or_named() {
    use std::os::unix::fs::symlink;
    let here = folder();
    let traces = here.path().join("traces");
    std::fs::create_dir(&traces).expect("a folder of our own");
    std::fs::copy(a_trace(), traces.join("one.ndjson")).expect("a copy");
    std::fs::write(traces.join("README"), "about").expect("a file");
    symlink("one.ndjson", traces.join("again.ndjson")).expect("a link");
    symlink(a_trace(), traces.join("linked.ndjson")).expect("a link");
    let replay = [
        "replay",
        "traces",
        "--target",
        "spec",
        "--junit",
        "report.xml",
    ];
    let report = text(&run(here.path(), replay, HOLDS).stdout);
    let has = |name: &str, value: &str| {
        let mut lines = report.lines().map(str::trim);
        lines.any(|line| line.starts_with(name) && line.ends_with(value))
    };
    assert!(has("traces ", " 2"), "{report}");
    for part in [
        "README",
        "does not end in .ndjson",
        "again.ndjson",
        "the same as traces/one.ndjson",
    ] {
        assert!(report.contains(part), "{part} is missing in {report}");
    }
    let xml = std::fs::read_to_string(here.path().join("report.xml")).expect("a report");
    assert_eq!(xml.matches("<skipped").count(), 2, "{xml}");

    symlink("nowhere", traces.join("dangling.ndjson")).expect("a link");
    let output = run(here.path(), replay, INPUT);
    let errors = text(&output.stderr);
    assert!(errors.contains("dangling.ndjson: No such file"), "{errors}");
    assert!(output.stdout.is_empty());
    let verify = ["verify", "--corpus", "traces", "--target", "spec"];
    run(here.path(), verify, INPUT);
}

/// A name that is no text names its file, in what is read and in the command that is printed.
#[cfg(target_os = "linux")]
#[test]
fn a_file_name_may_be_any_bytes() {
    use std::os::unix::ffi::OsStrExt;
    let here = folder();
    let name = OsStr::from_bytes(b"caf\xe9 \x1b[31m.ndjson");
    std::fs::copy(a_trace(), here.path().join(name)).expect("a copy");
    let replay = |paths: &[&OsStr], code| {
        let assert = Command::from_std(binary::lockstep())
            .args([OsStr::new("replay")])
            .args(paths)
            .args([
                "--target",
                "spec",
                "--plant",
                "extra_message",
                "--junit",
                "report.xml",
            ])
            .current_dir(here.path())
            .assert()
            .code(code);
        text(&assert.get_output().stdout)
    };
    for paths in [[name], [OsStr::new(".")]] {
        let report = replay(&paths, VIOLATED);
        assert_eq!(active(&report), None, "{report}");
        let command = report.split("repeat it with: lockstep").nth(1);
        let command = command
            .and_then(|rest| rest.lines().next())
            .expect("a command");
        let output = std::process::Command::new("sh")
            .args(["-c", &format!("\"$0\" {command} -q")])
            .arg(binary::lockstep().get_program())
            .current_dir(here.path())
            .output()
            .expect("there is a shell");
        assert_eq!(
            output.status.code(),
            Some(VIOLATED),
            "{}",
            text(&output.stderr)
        );
    }
    let target = format!("--trace-out={}", here.path().join("x").display());
    let mut out = std::ffi::OsString::from(target);
    out.push(OsStr::from_bytes(b"\xff.ndjson"));
    Command::from_std(binary::lockstep())
        .args([
            "conform",
            "--target",
            "spec",
            "--plant",
            "wrong_state",
            "-q",
        ])
        .arg(out)
        .current_dir(here.path())
        .assert()
        .code(VIOLATED);
    assert!(
        here.path()
            .join(OsStr::from_bytes(b"x\xff.ndjson"))
            .exists()
    );
}

/// Whether a text has colours. A line that rewrites itself moves the cursor, which is no colour.
fn is_coloured(text: &str) -> bool {
    text.split("\x1b[").skip(1).any(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != ';');
        end.is_some_and(|end| rest[end..].starts_with('m'))
    })
}

/// Runs the command line on a terminal and returns all that it shows there.
fn on_a_terminal(arguments: &[&str], variables: &[(&str, &str)]) -> String {
    let code = r#"
import os, pty, sys
pid, terminal = pty.fork()
if pid == 0: os.execv(sys.argv[1], sys.argv[1:])
out = b""
while True:
    try: chunk = os.read(terminal, 65536)
    except OSError: break
    if not chunk: break
    out += chunk
os.waitpid(pid, 0)
sys.stdout.buffer.write(out)
"#;
    let mut command = std::process::Command::new("python3");
    command
        .args(["-c", code])
        .arg(binary::lockstep().get_program())
        .args(arguments);
    for name in [
        "NO_COLOR",
        "CLICOLOR",
        "CLICOLOR_FORCE",
        "TERM",
        "COLUMNS",
        "CI",
    ] {
        command.env_remove(name);
    }
    let output = command
        .envs(variables.iter().copied())
        .output()
        .expect("Python is here");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A target that shows nothing would agree with everything: it is refused as soon as it has said so.
#[test]
fn a_target_that_shows_no_field_is_compared_with_nothing() {
    if !python::is_here() {
        return;
    }
    let here = folder();
    let trace = a_trace().display().to_string();
    // It answers `describe` and nothing else.
    let target = target(here.path(), "    sys.exit(1)");
    let code = here.path().join("target.py");
    let shows = std::fs::read_to_string(&code).expect("a file of our own");
    let shows = shows.replace(r#""fields": ["term"]"#, r#""fields": []"#);
    std::fs::write(&code, shows).expect("a file of our own");
    for arguments in [
        vec!["conform", "--preset", "pair"],
        vec!["walk"],
        vec!["verify"],
        vec!["replay", "corpus:"],
        vec!["replay", &trace],
        vec!["show", &trace],
        vec!["explore", "--port", "0"],
    ] {
        let arguments = arguments.into_iter().chain(["--target", &target]);
        let output = run(here.path(), arguments, INPUT);
        let errors = text(&output.stderr);
        assert!(errors.contains("nothing can be compared"), "{errors}");
    }
    // It can be asked what it is.
    let output = run(here.path(), ["targets", "--target", &target], HOLDS);
    assert!(text(&output.stdout).contains("not compared"));
}

#[cfg(unix)]
#[test]
fn a_terminal_gets_what_it_can_show() {
    if !python::is_here() {
        return;
    }
    let xterm = ("TERM", "xterm-256color");
    let commands: [&[&str]; 4] = [
        &["check", "--preset", "smoke", "--max-states", "2000"],
        &["check", "--preset", "nosuch"],
        &["--nosuch"],
        &["--help"],
    ];
    for arguments in commands {
        let coloured =
            |variables: &[(&str, &str)]| is_coloured(&on_a_terminal(arguments, variables));
        assert!(coloured(&[xterm]), "{arguments:?}");
        for variables in [
            &[("TERM", "dumb")][..],
            &[("TERM", "dumb"), ("CI", "1")],
            &[("TERM", "dumb"), ("CLICOLOR", "1")],
            &[],
        ] {
            let shown = on_a_terminal(arguments, variables);
            assert!(
                !shown.contains('\x1b'),
                "{arguments:?} {variables:?}: {shown:?}"
            );
        }
        for refusal in [("NO_COLOR", "1"), ("CLICOLOR", "0")] {
            assert!(!coloured(&[xterm, refusal]), "{arguments:?} {refusal:?}");
        }
        assert!(
            coloured(&[("TERM", "dumb"), ("CLICOLOR_FORCE", "1")]),
            "{arguments:?}"
        );
    }
}

#[test]
fn colours_can_be_forced_into_a_pipe_and_are_not_by_a_zero() {
    let here = folder();
    for (value, coloured) in [("1", true), ("0", false), ("", false)] {
        for arguments in [
            &["presets"][..],
            &["--help"],
            &["check", "--preset", "nosuch"],
        ] {
            let output = Command::from_std(binary::lockstep())
                .args(arguments)
                .current_dir(here.path())
                .env("CLICOLOR_FORCE", value)
                .env_remove("NO_COLOR")
                .output()
                .expect("the binary starts");
            let all = text(&[output.stdout, output.stderr].concat());
            assert_eq!(
                all.contains('\x1b'),
                coloured,
                "{arguments:?} {value:?}: {all}"
            );
        }
    }
}

/// Running text keeps to 80 columns where nothing says how wide a line is, and to the width that is said.
#[test]
fn text_keeps_to_the_width() {
    let here = folder();
    let widest = |arguments: &[&str], columns: Option<&str>| {
        let mut command = binary::lockstep();
        command.env_remove("COLUMNS");
        command.envs(columns.map(|columns| ("COLUMNS", columns)));
        let output = command
            .args(arguments)
            .current_dir(here.path())
            .output()
            .expect("it starts");
        let all = text(&[output.stdout, output.stderr].concat());
        let width = |line: &str| line.chars().count();
        all.lines().map(width).max().expect("it says something")
    };
    for verb in [
        "verify", "check", "conform", "replay", "walk", "generate", "presets",
    ] {
        assert!(widest(&[verb, "--help"], None) <= 80, "{verb}");
    }
    assert!(widest(&["--help"], None) <= 80);
    assert!(widest(&["--help"], Some("60")) <= 60);
    assert!(widest(&["presets"], Some("72")) <= 72);
}

/// Every verb keeps its facts, tables, notes and titles to the width, however wide the names of its facts are. What is
/// wider is a command to be copied, or a word.
#[test]
fn every_verb_keeps_to_the_width() {
    let here = folder();
    let verbs: [&[&str]; 18] = [
        &["check", "--max-states", "200", "-q"],
        &["check", "--preset", "smoke", "-q"],
        &["check", "--preset", "single", "-v"],
        &["check", "--preset", "smoke", "--max-states", "2000", "-q"],
        &["check", "--preset", "single", "--target", "lockstep-raft"],
        &["conform", "--preset", "single"],
        &["conform", "--preset", "single", "--target", "raft-rs", "-v"],
        &["conform", "--target", "spec", "--plant", "wrong_state"],
        &["replay", "corpus:"],
        &["replay", "corpus:", "--plant", "wrong_state"],
        &["walk", "--seeds", "2", "--steps", "500"],
        &["walk", "--seeds", "1", "--plant", "wrong_state"],
        &["simulate", "--preset", "single"],
        &["coverage", "single"],
        &["generate", "--preset", "single", "--out", "traces"],
        &["targets"],
        &["presets"],
        &["show", "divergence.ndjson", "--target", "raft-rs"],
    ];
    for columns in [40, 80, 100] {
        for arguments in verbs {
            let output = Command::from_std(binary::lockstep())
                .args(arguments)
                .current_dir(here.path())
                .env("COLUMNS", columns.to_string())
                .env_remove("LOCKSTEP_REQUIRE_GO")
                .output()
                .expect("the binary starts");
            let all = text(&[output.stdout, output.stderr].concat());
            assert!(all.lines().count() > 1, "{arguments:?}: {all}");
            for line in all.lines().filter(|line| line.chars().count() > columns) {
                let copied = line.contains("lockstep replay")
                    || line.contains("lockstep walk")
                    || line.contains("lockstep simulate");
                // One that is too wide for the rest of its line.
                let last = line.split_whitespace().last().unwrap_or_default();
                let word = last.chars().count() > columns / 2;
                assert!(copied || word, "{columns} {arguments:?}: {line}\n{all}");
            }
        }
    }
}

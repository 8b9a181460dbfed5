//! The output of `lockstep`: help, JSON, JUnit, progress, colours, the Explorer.

use assert_cmd::Command;
use lockstep_tests::binary;
use serde_json::Value;
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::Stdio;
use tempfile::TempDir;

fn folder() -> TempDir {
    tempfile::tempdir().expect("there is a place for temporary files")
}

/// Standard output and standard error.
fn run(folder: &TempDir, arguments: &str) -> (String, String) {
    let output = Command::from_std(binary::lockstep())
        .args(arguments.split_whitespace())
        .current_dir(folder.path())
        .output()
        .expect("the binary starts");
    let text = |bytes| String::from_utf8(bytes).expect("it writes text");
    (text(output.stdout), text(output.stderr))
}

#[test]
fn help() {
    let here = folder();
    let (text, _) = run(&here, "--help");
    insta::assert_snapshot!(text);
}

#[test]
fn every_verb_has_help() {
    let here = folder();
    let (text, _) = run(&here, "--help");
    let verbs = text.lines().skip_while(|line| *line != "Commands:").skip(1);
    let verbs: Vec<_> = verbs
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next())
        .filter(|verb| verb.chars().all(char::is_alphanumeric) && *verb != "help")
        .collect();
    assert!(verbs.len() > 5, "{verbs:?}");
    for verb in verbs
        .iter()
        .filter(|verb| text.contains(&format!("\n  {verb} ")))
    {
        let (help, errors) = run(&here, &format!("{verb} --help"));
        assert!(
            help.contains(&format!("Usage: lockstep {verb}")),
            "{help}{errors}"
        );
    }
}

/// The paths of all fields, with the kind of each; lists are merged. This is the schema that readers of
/// the JSON form rely on: a path more is an addition, anything else needs a new version.
fn schema(value: &Value, path: &str, out: &mut std::collections::BTreeSet<String>) {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    out.insert(format!("{path}: {kind}"));
    match value {
        Value::Array(items) => items
            .iter()
            .for_each(|it| schema(it, &format!("{path}[]"), out)),
        // What the library says in full is not part of the schema.
        Value::Object(fields) => fields
            .iter()
            .filter(|(name, _)| *name != "detail")
            .for_each(|(name, it)| schema(it, &format!("{path}.{name}"), out)),
        _ => {}
    }
}

#[test]
fn the_json_form_has_a_stable_schema() {
    let here = folder();
    let mut paths = std::collections::BTreeSet::new();
    for arguments in [
        "check --preset smoke --format json",
        "conform --target spec --preset smoke --format json",
        "conform --target spec --plant wrong_message --format json",
        "check --preset smoke --max-states 10 --format json",
    ] {
        let (text, errors) = run(&here, arguments);
        let report: Value = serde_json::from_str(&text).unwrap_or_else(|error| {
            panic!("{arguments}: {error}: {text}{errors}");
        });
        assert_eq!(report["lockstep_report"], 2);
        schema(&report, "", &mut paths);
    }
    let paths: Vec<_> = paths.into_iter().collect();
    insta::assert_snapshot!(paths.join("\n"));
}

#[test]
fn the_json_form_and_the_exit_code_agree() {
    let here = folder();
    for (arguments, code, status) in [
        ("check --preset smoke --format json", 0, "holds"),
        (
            "conform --target spec --plant wrong_message --format json",
            1,
            "violated",
        ),
        (
            "check --preset smoke --max-states 10 --format json",
            4,
            "stopped",
        ),
    ] {
        let assert = Command::from_std(binary::lockstep())
            .args(arguments.split_whitespace())
            .current_dir(here.path())
            .assert()
            .code(code);
        let report: Value =
            serde_json::from_slice(&assert.get_output().stdout).expect("a report in JSON");
        assert_eq!(report["exit_code"], code);
        assert_eq!(report["status"], status);
    }
}

#[test]
fn junit_counts_what_does_not_hold() {
    let here = folder();
    for (arguments, failures, errors) in [
        ("check --preset smoke", false, false),
        ("conform --target spec --plant wrong_message", true, false),
        ("check --preset smoke --max-states 10", false, true),
    ] {
        run(&here, &format!("{arguments} --junit report.xml"));
        let xml = std::fs::read_to_string(here.path().join("report.xml")).expect("a report");
        assert!(xml.starts_with("<?xml"), "{xml}");
        assert!(xml.trim_end().ends_with("</testsuites>"), "{xml}");
        assert_eq!(xml.contains("<failure"), failures, "{xml}");
        assert_eq!(xml.contains("<error"), errors, "{xml}");
    }
}

/// A CI server follows a test case by its name, so a failure has no name that a pass does not have.
#[test]
fn names_of_junit_cases_do_not_depend_on_the_result() {
    let here = folder();
    let names = |arguments: &str| -> BTreeSet<String> {
        run(&here, &format!("{arguments} --junit report.xml"));
        let xml = std::fs::read_to_string(here.path().join("report.xml")).expect("a report");
        let names = xml.split("<testcase name=\"").skip(1);
        let names = names.filter_map(|it| it.split('"').next());
        names.map(str::to_owned).collect()
    };
    for arguments in [
        "conform --target spec",
        "conform --target raft-rs",
        "replay corpus: --target spec",
    ] {
        let holds = names(arguments);
        let violated = names(&format!("{arguments} --plant wrong_message"));
        assert!(holds.len() > 1, "{arguments}: {holds:?}");
        assert!(violated.len() > 1, "{arguments}: {violated:?}");
        let other: Vec<_> = violated.difference(&holds).collect();
        assert!(other.is_empty(), "{arguments}: {other:?}");
    }
}

#[test]
fn no_escape_codes_where_there_is_no_terminal() {
    let here = folder();
    let (out, errors) = run(&here, "check --preset smoke");
    assert!(
        !out.contains('\x1b') && !errors.contains('\x1b'),
        "{out}{errors}"
    );
}

#[test]
fn the_result_goes_to_standard_output_alone() {
    let here = folder();
    let (out, errors) = run(&here, "check --preset smoke --quiet");
    assert!(out.contains("exhausted"));
    assert_eq!(errors, "");
    let (out, errors) = run(&here, "check --preset nonsense");
    assert_eq!(out, "");
    assert!(
        errors.contains("there is no preset \"nonsense\""),
        "{errors}"
    );
}

#[test]
fn presets_and_targets_are_listed() {
    let here = folder();
    let (presets, _) = run(&here, "presets");
    for preset in lockstep_model::Preset::all() {
        assert!(
            presets.contains(&format!("preset {}: ", preset.name)),
            "{presets}"
        );
    }
    let (targets, _) = run(&here, "targets");
    for name in [
        "lockstep-raft",
        "raft-rs",
        "etcd",
        "etcd@3.6.0",
        "etcd@3.7.0",
        "spec",
        "exec:CMD",
    ] {
        assert!(targets.contains(&format!("target {name}: ")), "{targets}");
    }
    // Each that can be started says which version it is, and what it shows and does not.
    for version in ["lockstep-raft 0.", "raft-rs 0.7.0", "spec 0."] {
        let said = targets
            .lines()
            .any(|line| line.starts_with("  target ") && line.contains(version));
        assert!(said, "{version}: {targets}");
    }
    assert!(
        targets.matches("  fields compared").count() >= 3,
        "{targets}"
    );
    let missing = |line: &&str| line.contains("fields not shown") && line.contains("commit_sent");
    assert!(targets.lines().any(|line| missing(&line)), "{targets}");
}

/// A process that is ended when the test is over, however it ends.
struct Guard(std::process::Child);

impl Drop for Guard {
    fn drop(&mut self) {
        // It may have ended by itself, which the test has noticed by then.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_explorer_answers_on_loopback() {
    let child = binary::lockstep()
        .args(["explore", "--preset", "smoke", "--port", "0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary starts");
    let mut child = Guard(child);
    let out = child.0.stdout.take().expect("its output is a pipe");
    let mut line = String::new();
    BufReader::new(out)
        .read_line(&mut line)
        .expect("it says where it listens");
    let address = line
        .split("http://")
        .nth(1)
        .and_then(|rest| rest.split('/').next());
    let address = address.unwrap_or_else(|| panic!("no address in {line}"));
    assert!(address.starts_with("127.0.0.1:"), "{address}");
    let initial = get(address, "/.states/");
    assert!(initial.contains("\"state\":"), "{initial}");
    let next = get(address, "/.states/0");
    for part in ["\"action\":\"Timeout(1)\"", "role Follower → PreCandidate"] {
        assert!(next.contains(part), "{part} is missing in {next}");
    }
    assert!(get(address, "/").contains("<html"), "the page itself");
    let start: Value = json_of(&get(address, "/api/start"));
    assert_eq!(start["model"], "smoke");
    let page: Value = json_of(&get(address, "/api/state?model=smoke&path=00"));
    assert_eq!(page["at"], 2);
    assert!(
        page["svg"]
            .as_str()
            .is_some_and(|it| it.starts_with("<svg"))
    );
    assert!(get(address, "/stateright/").contains("Stateright"));
    // A page elsewhere that resolves its own name to this address gets nothing.
    let foreign = ask(address, "GET /api/start", "example.com");
    assert!(foreign.starts_with("HTTP/1.1 403"), "{foreign}");
    let wrong = ask(address, "GET /api/state?model=smoke&path=%21", address);
    assert!(
        wrong.starts_with("HTTP/1.1 400") && wrong.contains("was it copied whole?"),
        "{wrong}"
    );
}

/// The JSON after the head of an answer.
fn json_of(answer: &str) -> Value {
    let (_, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {body}"))
}

/// An answer whose body is one piece: it may come in chunks, each after its length in bytes.
fn in_one_piece(answer: Vec<u8>) -> Vec<u8> {
    let split = |bytes: &[u8], mark: &[u8]| {
        let at = bytes.windows(mark.len()).position(|it| it == mark)?;
        Some((bytes[..at].to_vec(), bytes[at + mark.len()..].to_vec()))
    };
    let Some((head, mut rest)) = split(&answer, b"\r\n\r\n") else {
        return answer;
    };
    let chunked = String::from_utf8_lossy(&head).to_lowercase();
    if !chunked.contains("transfer-encoding: chunked") {
        return answer;
    }
    let mut whole = [&head[..], b"\r\n\r\n"].concat();
    while let Some((length, data)) = split(&rest, b"\r\n") {
        let length = std::str::from_utf8(&length).expect("a number");
        let length = usize::from_str_radix(length, 16).expect("a length");
        if length == 0 {
            break;
        }
        whole.extend_from_slice(&data[..length]);
        rest = data[length + 2..].to_vec();
    }
    whole
}

/// A request that is answered.
fn get(address: &str, path: &str) -> String {
    let answer = ask(address, &format!("GET {path}"), address);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    answer
}

/// A request in the plainest form; the server listens a moment after it has said where.
fn ask(address: &str, request: &str, host: &str) -> String {
    let mut stream = (0..100)
        .find_map(|_| {
            let stream = TcpStream::connect(address).ok();
            if stream.is_none() {
                std::thread::sleep(std::time::Duration::from_millis(50));
            }
            stream
        })
        .expect("the Explorer listens");
    write!(
        stream,
        "{request} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    )
    .expect("a request");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an answer");
    String::from_utf8_lossy(&in_one_piece(answer)).into_owned()
}

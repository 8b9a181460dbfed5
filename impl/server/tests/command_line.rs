//! The binary as other programs meet it: its signals, its streams, and what it refuses.
#![cfg(target_os = "linux")]

use std::fs::{self, OpenOptions};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Nothing here takes longer, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

const PORTS: [&str; 2] = [
    "--listen-client-urls=http://127.0.0.1:0",
    "--listen-peer-urls=http://127.0.0.1:0",
];

fn server() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lockstep-server"));
    for name in [
        "NO_COLOR",
        "CLICOLOR",
        "CLICOLOR_FORCE",
        "ETCD_NAME",
        "ETCD_DATA_DIR",
    ] {
        command.env_remove(name);
    }
    command.stdin(Stdio::null());
    command
}

fn full() -> fs::File {
    let full = OpenOptions::new().write(true).open("/dev/full");
    full.expect("there is /dev/full")
}

fn send(signal: &str, process: u32) {
    let status = Command::new("kill")
        .args([format!("-{signal}"), process.to_string()])
        .status();
    assert!(status.expect("there is kill").success());
}

/// The end of a process; it is killed if it does not end.
fn end(child: Child, what: &str) -> Output {
    let process = child.id();
    let (done, output) = mpsc::channel();
    let reader = std::thread::spawn(move || done.send(child.wait_with_output()));
    let Ok(output) = output.recv_timeout(PATIENCE) else {
        send("KILL", process);
        panic!("{what}: it does not end");
    };
    reader.join().expect("a reader").expect("a receiver");
    output.expect("its output")
}

fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn names(folder: &Path) -> Vec<String> {
    let files = fs::read_dir(folder).expect("a folder of our own");
    let names = files.map(|it| it.expect("an entry").file_name());
    names.map(|it| it.to_string_lossy().into_owned()).collect()
}

/// Whether this process, and so what it starts, ignores SIGHUP.
fn ignores_hangups() -> bool {
    let status = fs::read_to_string("/proc/self/status").expect("a status");
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|set| u64::from_str_radix(set.trim(), 16).ok());
    ignored.is_some_and(|set| set & 1 == 1)
}

fn signals() -> Vec<&'static str> {
    let mut signals = vec!["INT", "TERM"];
    if ignores_hangups() {
        println!("not tried with HUP: the tests run under nohup, which is kept to");
    } else {
        signals.push("HUP");
    }
    signals
}

#[test]
fn each_signal_ends_the_demonstration_and_leaves_nothing() {
    for signal in signals() {
        let here = tempfile::tempdir().expect("a place for temporary files");
        let mut child = server()
            .args(["demo", "--any-ports"])
            .env("TMPDIR", here.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        let mut first = String::new();
        let out = child.stdout.as_mut().expect("a pipe");
        BufReader::new(out).read_line(&mut first).expect("a line");
        assert!(first.starts_with("Three servers are up."), "{first}");
        send(signal, child.id());
        assert_eq!(end(child, signal).status.code(), Some(0), "{signal}");
        assert_eq!(names(here.path()), [""; 0], "{signal}");
    }
}

/// It need not be up: the signals are heard from the start.
#[test]
fn a_signal_during_the_start_leaves_nothing_either() {
    for signal in signals() {
        let here = tempfile::tempdir().expect("a place for temporary files");
        let child = server()
            .args(["demo", "--any-ports"])
            .env("TMPDIR", here.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        wait_for("the folder", || !names(here.path()).is_empty());
        send(signal, child.id());
        assert_eq!(end(child, signal).status.code(), Some(0), "{signal}");
        assert_eq!(names(here.path()), [""; 0], "{signal}");
    }
}

#[test]
fn standard_error_that_is_full_changes_nothing() {
    let here = tempfile::tempdir().expect("a place for temporary files");
    for (arguments, code) in [
        ("--nosuch", 2),
        ("serve --log-level a=b=c", 2),
        ("serve --election-timeout 10", 2),
        ("serve --data-dir /proc/none", 1),
        ("check-data none", 1),
    ] {
        let status = server()
            .args(arguments.split(' '))
            .args(PORTS.iter().filter(|_| arguments.contains("data-dir")))
            .current_dir(here.path())
            .stdout(Stdio::null())
            .stderr(full())
            .status();
        assert_eq!(status.expect("it starts").code(), Some(code), "{arguments}");
    }
    // A server that has something to say serves all the same.
    let mut child = server()
        .args(["demo", "--any-ports", "--log-level=debug"])
        .env("TMPDIR", here.path())
        .stdout(Stdio::piped())
        .stderr(full())
        .spawn()
        .expect("it starts");
    let (said, heard) = mpsc::channel();
    let out = child.stdout.take().expect("a pipe");
    std::thread::spawn(move || {
        let mut first = String::new();
        let _ = BufReader::new(out).read_line(&mut first); // It may have been killed.
        let _ = said.send(first);
    });
    let first = heard.recv_timeout(PATIENCE);
    send("TERM", child.id());
    let code = end(child, "demo").status.code();
    assert!(
        first.is_ok_and(|it| it.starts_with("Three")),
        "it is not up"
    );
    assert_eq!(code, Some(0));
}

/// A pipe that holds no more, and whoever reads it, who does not.
fn full_pipe() -> (std::io::PipeReader, std::io::PipeWriter) {
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    let filled = std::thread::spawn(move || {
        // So much it takes without a reader.
        writer.write_all(&[b'x'; 1 << 16]).expect("there is room");
        writer
    });
    let writer = filled.join().expect("it takes that much");
    (reader, writer)
}

/// Neither a log nor an explanation that nobody reads makes it deaf.
#[test]
fn a_reader_that_does_not_read_keeps_no_signal_away() {
    for log in [true, false] {
        let here = tempfile::tempdir().expect("a place for temporary files");
        let (_reader, writer) = full_pipe();
        let mut command = server();
        command
            .args(["demo", "--any-ports", "--log-level=debug"])
            .env("TMPDIR", here.path());
        let child = match log {
            true => command.stdout(Stdio::null()).stderr(writer).spawn(),
            false => command.stdout(writer).stderr(Stdio::null()).spawn(),
        };
        let child = child.expect("it starts");
        wait_for("the folder", || !names(here.path()).is_empty());
        std::thread::sleep(Duration::from_secs(3));
        send("TERM", child.id());
        assert_eq!(end(child, "demo").status.code(), Some(0));
        assert_eq!(names(here.path()), [""; 0]);
    }
}

/// A reader of standard output that goes away has seen enough; a full disk is another matter.
#[test]
fn standard_output_may_be_closed_and_must_not_be_full() {
    let here = tempfile::tempdir().expect("a place for temporary files");
    for (arguments, closed, on_full) in [
        ("--help", 0, 1),
        ("serve --help", 0, 1),
        ("check-data none", 1, 1),
    ] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let output = |out: Stdio| {
            let mut command = server();
            command
                .args(arguments.split(' '))
                .current_dir(here.path())
                .stdout(out)
                .output()
        };
        let gone = output(writer.into()).expect("it starts");
        assert_eq!(gone.status.code(), Some(closed), "{arguments}");
        assert_eq!(String::from_utf8_lossy(&gone.stderr), "", "{arguments}");
        let unwritten = output(full().into()).expect("it starts");
        assert_eq!(unwritten.status.code(), Some(on_full), "{arguments}");
        let errors = String::from_utf8_lossy(&unwritten.stderr);
        assert!(errors.contains("standard output: "), "{errors}");
    }
}

#[test]
fn colours_are_for_terminals() {
    let here = tempfile::tempdir().expect("a place for temporary files");
    for (forced, coloured) in [(None, false), (Some("1"), true), (Some("0"), false)] {
        let mut child = server()
            .arg("serve")
            .args(PORTS)
            .current_dir(here.path())
            .envs(forced.map(|value| ("CLICOLOR_FORCE", value)))
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut first = [0; 200];
        let errors = child.stderr.as_mut().expect("a pipe");
        errors.read_exact(&mut first).expect("it says something");
        send("TERM", child.id());
        assert_eq!(end(child, "serve").status.code(), Some(0));
        assert_eq!(first.contains(&0x1b), coloured, "{forced:?}");
    }
}

/// A senseless argument is bad usage; the error names the flag, and nothing is made before.
#[test]
fn what_makes_no_sense_is_said_at_once() {
    let here = tempfile::tempdir().expect("a place for temporary files");
    for (arguments, part) in [
        ("--heartbeat-interval=0", "heartbeat-interval"),
        (
            "--heartbeat-interval=3689348814741910324",
            "heartbeat-interval",
        ),
        (
            "--election-timeout=18446744073709551615",
            "election-timeout",
        ),
        ("--election-timeout=400", "five times"),
        ("--max-request-bytes=0", "max-request-bytes"),
        (
            "--max-request-bytes=18446744073709551615",
            "max-request-bytes",
        ),
        ("--listen-client-urls=https://127.0.0.1:1", "TLS"),
        ("--listen-peer-urls=127.0.0.1:1", "--listen-peer-urls"),
        ("--listen-metrics-urls=http://127.0.0.1", "HOST:PORT"),
        (
            "--advertise-client-urls=nonsense",
            "--advertise-client-urls",
        ),
        (
            "--initial-advertise-peer-urls=nonsense",
            "--initial-advertise-peer-urls",
        ),
        ("--initial-cluster=default", "NAME=URL"),
        (
            "--initial-cluster=a=http://127.0.0.1:99999",
            "--initial-cluster",
        ),
        ("--initial-cluster=a=http://127.0.0.1:1", "\"default\""),
        ("--initial-cluster=,,", "\"default\""),
        ("--name=", "--name"),
    ] {
        let flag = arguments.split('=').next().unwrap_or_default();
        let output = server()
            .args(["serve", arguments])
            .args(PORTS.iter().filter(|it| !it.starts_with(flag)))
            .current_dir(here.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map(|child| end(child, arguments))
            .expect("it starts");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments}: {errors}");
        assert!(errors.contains(part), "{arguments}: {errors}");
    }
}

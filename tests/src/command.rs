//! Runs of the `lockstep` binary: to their end, or until they are interrupted.

use crate::binary;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Exit code: everything that was asked was answered, and holds.
pub const HOLDS: i32 = 0;
/// Exit code: a property is violated, or two sides differ.
pub const VIOLATED: i32 = 1;
/// Exit code: the command makes no sense, or a file beside the result cannot be written.
pub const USAGE: i32 = 2;
/// Exit code: a file cannot be read.
pub const INPUT: i32 = 3;
/// Exit code: an answer was not reached.
pub const STOPPED: i32 = 4;

/// Far longer than anything takes on a machine with other things to do.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A temporary folder, removed when it is dropped.
///
/// # Panics
/// If it cannot be made.
pub fn folder() -> TempDir {
    tempfile::tempdir().expect("there is a place for temporary files")
}

/// The path of the corpus in the repository.
pub fn corpus() -> String {
    let corpus = binary::repository().join("traces/corpus");
    corpus.display().to_string()
}

/// Runs `lockstep` in `folder` to its end, with `arguments` split at spaces. Returns standard output and standard
/// error.
///
/// # Panics
/// If it does not end with `code`, or writes something else than text.
pub fn run(folder: &Path, arguments: &str, code: i32) -> (String, String) {
    let output = binary::lockstep()
        .args(arguments.split_whitespace())
        .current_dir(folder)
        .output()
        .expect("the binary starts");
    let text = |bytes| String::from_utf8(bytes).expect("it writes text");
    let (out, errors) = (text(output.stdout), text(output.stderr));
    assert_eq!(
        output.status.code(),
        Some(code),
        "{arguments}\n{out}{errors}"
    );
    (out, errors)
}

/// Starts `lockstep` in `folder`, with its temporary files in the folder `tmp` below that.
///
/// # Panics
/// If it cannot be started.
pub fn start(folder: &Path, arguments: &[&str]) -> Child {
    let temporary = folder.join("tmp");
    std::fs::create_dir_all(&temporary).expect("a folder of our own");
    binary::lockstep()
        .args(arguments)
        .env("TMPDIR", temporary)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts")
}

/// Returns the output of a process that has been asked to end.
///
/// # Panics
/// If it does not end within [`PATIENCE`]; it is killed then.
pub fn end(child: Child, what: &str) -> Output {
    let process = child.id();
    let (done, output) = std::sync::mpsc::channel();
    // It reads all the while, so that the process does not wait for its reader.
    let reader = std::thread::spawn(move || done.send(child.wait_with_output()));
    let Ok(output) = output.recv_timeout(PATIENCE) else {
        send("KILL", process);
        panic!("{what}: deaf");
    };
    reader.join().expect("a reader").expect("a receiver");
    output.expect("its output")
}

/// Returns the words of a message, as one line wherever it was folded.
pub fn words(text: &str) -> String {
    let text = text.replace('│', " ");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Sends a signal, named as `kill` names it, to a process that is there.
///
/// # Panics
/// If it is not there.
pub fn send(signal: &str, process: u32) {
    let command = format!("kill -{signal} {process}");
    let status = Command::new("sh").args(["-c", &command]).status();
    assert!(status.expect("there is a shell").success(), "{command}");
}

/// Waits until `is_so`.
///
/// # Panics
/// If that takes longer than [`PATIENCE`].
pub fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Seconds of processor time that a process has used; infinite for one that is gone.
pub fn cpu_seconds(process: u32) -> f64 {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{process}/stat")) else {
        return f64::INFINITY;
    };
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks = fields.split_whitespace().skip(11).take(2);
    ticks.filter_map(|it| it.parse::<f64>().ok()).sum::<f64>() / 100.0
}

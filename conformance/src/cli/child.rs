//! Other processes: with a time-out, and ended with all that they started.

use crate::targets::exec::Group;
use std::io::Read;
use std::ops::ControlFlow;
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// The pause between two looks at the limit and `poll`.
const PAUSE: Duration = Duration::from_millis(50);

/// The end of a process.
pub struct Ended {
    /// Its exit status.
    pub status: ExitStatus,
    /// Its standard output.
    pub stdout: Vec<u8>,
    /// Its standard error, if that was a pipe.
    pub stderr: Vec<u8>,
}

/// Runs a command to its end. It is killed after `limit`, or once `poll` breaks; then the reason is the
/// error.
///
/// # Errors
///
/// It cannot be started, or was killed.
pub fn run(
    mut command: Command,
    limit: Duration,
    mut poll: impl FnMut() -> ControlFlow<()>,
) -> Result<Ended, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let failed = |error: std::io::Error| format!("{name}: {error}");
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut group = Group::start(&mut command).map_err(failed)?;
    let stdout = group.child().stdout.take().map(read_all);
    let stderr = group.child().stderr.take().map(read_all);
    let start = Instant::now();
    let status = loop {
        if let Some(status) = group.wait(PAUSE) {
            break Ok(status);
        }
        let reason = if start.elapsed() > limit {
            Some(format!("it was ended after {} s", limit.as_secs()))
        } else if poll().is_break() {
            Some("interrupted before the end".to_owned())
        } else {
            None
        };
        if let Some(reason) = reason {
            group.end();
            break Err(reason);
        }
    };
    let collect = |reader: Option<thread::JoinHandle<Vec<u8>>>| {
        let bytes = reader.map(|it| it.join().unwrap_or_default());
        bytes.unwrap_or_default()
    };
    let status = status?;
    Ok(Ended {
        status,
        stdout: collect(stdout),
        stderr: collect(stderr),
    })
}

fn read_all(mut pipe: impl Read + Send + 'static) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // What was read before an error is shown.
        let _ = pipe.read_to_end(&mut bytes);
        bytes
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(line: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", line]).stderr(Stdio::piped());
        command
    }

    #[test]
    fn output_and_code_come_back() {
        let go_on = || ControlFlow::Continue(());
        let minute = Duration::from_secs(60);
        let ended = run(shell("echo out; echo err >&2; exit 3"), minute, go_on).unwrap();
        assert_eq!(ended.status.code(), Some(3));
        assert_eq!(
            (ended.stdout, ended.stderr),
            (b"out\n".into(), b"err\n".into())
        );
    }

    #[test]
    fn what_takes_too_long_or_is_interrupted_is_ended() {
        let go_on = || ControlFlow::Continue(());
        let slow = || {
            let mut command = Command::new("sleep");
            command.arg("600");
            command
        };
        let error = run(slow(), Duration::ZERO, go_on).err().unwrap();
        assert!(error.contains("ended after 0 s"), "{error}");
        let stop = || ControlFlow::Break(());
        let error = run(slow(), Duration::from_secs(600), stop).err().unwrap();
        assert!(error.contains("interrupted"), "{error}");
    }
}

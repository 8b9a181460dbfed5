//! A program that is run once for what it says, with limits on its time and on its words.

use super::group::Group;
use crate::stop;
use std::io::{self, Read};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// The part of a program's output that is kept, in bytes.
const KEPT_BYTES: u64 = 64 << 10;

/// The pause between two looks at whether the program has ended or the work is to stop.
const LOOK: Duration = Duration::from_millis(50);

/// The time that the end of a stream is waited for once the program has ended.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// The result of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Its exit status.
    pub status: ExitStatus,
    /// The beginning of what it wrote to its standard error.
    pub stderr: String,
}

/// Runs a program to its end, without input and without its standard output. When the time is over, or the
/// work is to stop, it is ended, with all that it started.
///
/// # Errors
/// It cannot be started, takes too long ([`io::ErrorKind::TimedOut`]), or was stopped
/// ([`io::ErrorKind::Interrupted`]).
pub fn output(mut command: Command, at_most: Duration) -> io::Result<Output> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut group = Group::start(&mut command)?;
    let stderr = group.child().stderr.take();
    let (said, hear) = mpsc::channel();
    thread::spawn(move || {
        let mut kept = Vec::new();
        if let Some(stderr) = stderr {
            let mut rest = stderr.take(KEPT_BYTES);
            // Whatever could be read is better than nothing.
            let _ = rest.read_to_end(&mut kept);
            // The program must not wait for somebody who reads on.
            let _ = io::copy(&mut rest.into_inner(), &mut io::sink());
        }
        let _ = said.send(kept);
    });
    let deadline = Instant::now() + at_most;
    let status = loop {
        if let Some(status) = group.wait(LOOK) {
            break status;
        }
        if stop::requested() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        if Instant::now() >= deadline {
            let text = format!("it did not end within {} s", at_most.as_secs_f64());
            return Err(io::Error::new(io::ErrorKind::TimedOut, text));
        }
    };
    let stderr = hear.recv_timeout(LAST_WORDS).unwrap_or_default();
    Ok(Output {
        status,
        stderr: String::from_utf8_lossy(&stderr).trim().to_owned(),
    })
}

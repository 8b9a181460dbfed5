//! A running program: two threads that keep its standard input and output busy, one that remembers what
//! it last said on standard error, and a clear error for every way in which it can fail.

use super::wire::Reply;
use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, TryRecvError};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// How many of the last lines on standard error go into an error.
const STDERR_LINES: usize = 12;

/// How much of a malformed line goes into an error, in bytes.
const LINE_EXCERPT_BYTES: usize = 300;

/// How long a program may take to end once its input has ended, before it is killed.
const GRACE: Duration = Duration::from_millis(500);

/// How long the last words of a program that has ended are waited for. They are there at once, unless a
/// process that it started still holds its standard error.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Why a program cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}{}", stderr_note(.stderr))]
pub struct ExecError {
    /// What went wrong, for people.
    pub what: String,
    /// The last lines that the program wrote to its standard error.
    pub stderr: Vec<String>,
}

fn stderr_note(lines: &[String]) -> String {
    if lines.is_empty() {
        return "; it wrote nothing to its standard error".to_owned();
    }
    format!(
        "; its last lines on standard error:\n  {}",
        lines.join("\n  ")
    )
}

/// What the reader thread hands on.
enum FromChild {
    Reply(Reply),
    Malformed(String),
    Ended,
}

/// A running program.
pub struct Connection {
    child: Child,
    requests: Option<Sender<Vec<u8>>>,
    replies: Receiver<FromChild>,
    stderr: Arc<Mutex<VecDeque<String>>>,
    stderr_done: Receiver<()>,
    reply_timeout: Duration,
}

impl Connection {
    /// Starts the program.
    ///
    /// # Errors
    /// When the operating system cannot start it.
    pub fn start(mut command: Command, reply_timeout: Duration) -> Result<Connection, ExecError> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| ExecError {
                what: format!("cannot start {:?}: {error}", command.get_program()),
                stderr: Vec::new(),
            })?;
        let (stdin, stdout, stderr) =
            match (child.stdin.take(), child.stdout.take(), child.stderr.take()) {
                (Some(stdin), Some(stdout), Some(stderr)) => (stdin, stdout, stderr),
                _ => unreachable!("all three were asked to be pipes"),
            };

        let (requests, to_write) = mpsc::channel();
        thread::spawn(move || write_requests(stdin, &to_write));

        let (to_read, replies) = mpsc::channel();
        thread::spawn(move || read_replies(BufReader::with_capacity(1 << 18, stdout), &to_read));

        let last_lines = Arc::new(Mutex::new(VecDeque::new()));
        let (done, stderr_done) = mpsc::channel();
        let lines = Arc::clone(&last_lines);
        thread::spawn(move || {
            remember_lines(BufReader::new(stderr), &lines);
            // Nobody listens once the connection is gone; that is fine.
            let _ = done.send(());
        });

        Ok(Connection {
            child,
            requests: Some(requests),
            replies,
            stderr: last_lines,
            stderr_done,
            reply_timeout,
        })
    }

    /// Queues a line for the program. Never waits: an ended program shows in [`Connection::receive`].
    pub fn send(&self, line: Vec<u8>) {
        if let Some(requests) = &self.requests {
            // The writer is gone when the program has closed its input; the reader will say so.
            let _ = requests.send(line);
        }
    }

    /// The next reply, in the order in which the program wrote them.
    ///
    /// # Errors
    /// When the program has ended, is silent for longer than the time-out, gives up, or writes a line
    /// that is no reply.
    pub fn receive(&mut self) -> Result<Reply, ExecError> {
        match self.replies.recv_timeout(self.reply_timeout) {
            Ok(FromChild::Reply(Reply::Error(message))) => {
                Err(self.failure(format!("the program gave up: {message}")))
            }
            Ok(FromChild::Reply(reply)) => Ok(reply),
            Ok(FromChild::Malformed(what)) => Err(self.failure(what)),
            Ok(FromChild::Ended) | Err(RecvTimeoutError::Disconnected) => {
                let status = match self.wait(GRACE) {
                    Some(status) => status.to_string(),
                    None => "it closed its standard output and still runs".to_owned(),
                };
                Err(self.failure(format!(
                    "the program ended before it answered everything ({status})"
                )))
            }
            Err(RecvTimeoutError::Timeout) => Err(self.failure(format!(
                "no reply for {} s",
                self.reply_timeout.as_secs_f64()
            ))),
        }
    }

    /// Ends the program, and returns an error with what it last wrote to its standard error.
    ///
    /// Replies and standard error arrive by different ways. Only once the program has ended, and its
    /// standard error with it, is everything read that it wrote before the reply that made no sense.
    pub fn failure(&mut self, what: impl Into<String>) -> ExecError {
        self.end(Duration::ZERO);
        let _ = self.stderr_done.recv_timeout(LAST_WORDS);
        let lines = self
            .stderr
            .lock()
            .expect("no code panics while it holds the lock");
        ExecError {
            what: what.into(),
            stderr: lines.iter().cloned().collect(),
        }
    }

    /// Ends the program: first by the end of its input, then by force.
    fn end(&mut self, grace: Duration) {
        self.requests = None;
        if self.wait(grace).is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }

    /// Waits at most so long for the program to end.
    fn wait(&mut self, at_most: Duration) -> Option<std::process::ExitStatus> {
        let deadline = Instant::now() + at_most;
        loop {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Some(status);
            }
            if Instant::now() >= deadline {
                return None;
            }
            thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.end(GRACE);
    }
}

/// Writes lines until there are no more to come; flushes when none is waiting.
fn write_requests(stdin: ChildStdin, requests: &Receiver<Vec<u8>>) {
    let mut stdin = BufWriter::with_capacity(1 << 18, stdin);
    let mut write_all = || -> io::Result<()> {
        while let Ok(line) = requests.recv() {
            stdin.write_all(&line)?;
            loop {
                match requests.try_recv() {
                    Ok(line) => stdin.write_all(&line)?,
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => return stdin.flush(),
                }
            }
            stdin.flush()?;
        }
        Ok(())
    };
    // A program that does not read any more has ended or will be silent: the reader notices.
    let _ = write_all();
}

fn read_replies(mut stdout: impl BufRead, replies: &Sender<FromChild>) {
    let mut line = Vec::new();
    loop {
        line.clear();
        let from_child = match stdout.read_until(b'\n', &mut line) {
            Ok(0) => FromChild::Ended,
            Ok(_) => parse(&line),
            Err(error) => FromChild::Malformed(format!("cannot read from the program: {error}")),
        };
        let last = !matches!(from_child, FromChild::Reply(_));
        if replies.send(from_child).is_err() || last {
            return;
        }
    }
}

fn parse(line: &[u8]) -> FromChild {
    let parsed = std::str::from_utf8(line)
        .map_err(|error| error.to_string())
        .and_then(Reply::parse);
    match parsed {
        Ok(reply) => FromChild::Reply(reply),
        Err(why) => {
            let excerpt = &line[..line.len().min(LINE_EXCERPT_BYTES)];
            FromChild::Malformed(format!(
                "the program wrote a line that is no reply ({why}): {}",
                String::from_utf8_lossy(excerpt).trim_end()
            ))
        }
    }
}

fn remember_lines(mut stderr: impl BufRead, last: &Mutex<VecDeque<String>>) {
    let mut line = Vec::new();
    while matches!(stderr.read_until(b'\n', &mut line), Ok(count) if count > 0) {
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        let mut last = last.lock().expect("no code panics while it holds the lock");
        if last.len() == STDERR_LINES {
            last.pop_front();
        }
        last.push_back(text);
        line.clear();
    }
}

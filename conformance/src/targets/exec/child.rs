//! The connection to a running program: two threads that keep its standard input and output busy, one that
//! remembers what it last said on standard error, and a clear error for every way in which it can fail.

use super::ExecOptions;
use super::group::Group;
use super::limits::{self, EXCERPT_BYTES, REPLIES_WAITING, STDERR_LINE_BYTES, STDERR_LINES};
use super::wire::Reply;
use crate::stop;
use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, SyncSender, TryRecvError};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// The time that a program may take for its first reply, however short the time for the others is.
const STARTUP: Duration = Duration::from_secs(30);

/// The time that a program may take to end once its input has ended, before it is killed.
const GRACE: Duration = Duration::from_millis(500);

/// The time that the last words of a program that has ended are waited for. They are there at once, unless a process
/// that has left its group still holds the pipe.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// The pause between two looks at whether the program has ended or the work is to stop.
const LOOK: Duration = Duration::from_millis(100);

/// Why a program cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}{}", stderr_note(.stderr))]
pub struct ExecError {
    /// The mistake, for people.
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

/// A line that a program writes.
pub trait ReplyLine: Send + Sized + 'static {
    /// Reads one line.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    fn parse(line: &str) -> Result<Self, String>;

    /// The reply, or why the program gives up.
    ///
    /// # Errors
    /// The words of the program.
    fn unless_given_up(self) -> Result<Self, String>;
}

impl ReplyLine for Reply {
    fn parse(line: &str) -> Result<Reply, String> {
        Reply::parse(line)
    }

    fn unless_given_up(self) -> Result<Reply, String> {
        match self {
            Reply::Error(message) => Err(message),
            reply => Ok(reply),
        }
    }
}

/// A message of the reader thread.
enum FromChild<R> {
    Reply(R),
    Malformed(String),
    Ended,
}

/// A running program that writes replies of the type `R`.
pub struct Connection<R = Reply> {
    group: Group,
    requests: Option<Sender<Vec<u8>>>,
    replies: Receiver<FromChild<R>>,
    stderr: Arc<Mutex<VecDeque<String>>>,
    stderr_done: Receiver<()>,
    options: ExecOptions,
}

/// Why there is no reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoReply {
    /// The program broke down.
    Broken(ExecError),
    /// It said nothing for longer than it may.
    Silent(ExecError),
    /// Nobody wants to know any more.
    Interrupted,
}

impl<R: ReplyLine> Connection<R> {
    /// Starts the program.
    ///
    /// # Errors
    /// When the operating system cannot start it.
    pub fn start(mut command: Command, options: ExecOptions) -> Result<Connection<R>, ExecError> {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut group = Group::start_marked(&mut command).map_err(|error| ExecError {
            what: format!("cannot start {:?}: {error}", command.get_program()),
            stderr: Vec::new(),
        })?;
        let child = group.child();
        let (stdin, stdout, stderr) =
            match (child.stdin.take(), child.stdout.take(), child.stderr.take()) {
                (Some(stdin), Some(stdout), Some(stderr)) => (stdin, stdout, stderr),
                _ => unreachable!("all three were asked to be pipes"),
            };

        let (requests, to_write) = mpsc::channel();
        thread::spawn(move || write_requests(stdin, &to_write));

        let (to_read, replies) = mpsc::sync_channel(REPLIES_WAITING);
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
            group,
            requests: Some(requests),
            replies,
            stderr: last_lines,
            stderr_done,
            options,
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
    /// that is no reply; and when the work is to stop.
    pub fn receive(&mut self) -> Result<R, NoReply> {
        self.receive_within(self.options.reply_timeout)
    }

    /// The first reply of the program, which may take a while to start.
    ///
    /// # Errors
    /// As [`Connection::receive`].
    pub fn receive_first(&mut self) -> Result<R, NoReply> {
        self.receive_within(self.options.reply_timeout.max(STARTUP))
    }

    fn receive_within(&mut self, at_most: Duration) -> Result<R, NoReply> {
        let mut deadline = Instant::now() + at_most;
        let mut ended = false;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.replies.recv_timeout(left.min(LOOK)) {
                Ok(FromChild::Reply(reply)) => {
                    let reply = reply.unless_given_up();
                    return reply
                        .map_err(|message| self.broken(format!("the program gave up: {message}")));
                }
                Ok(FromChild::Malformed(what)) => return Err(self.broken(what)),
                Ok(FromChild::Ended) | Err(RecvTimeoutError::Disconnected) => {
                    return Err(self.ended());
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
            if stop::requested() {
                return Err(NoReply::Interrupted);
            }
            // What it started may hold the pipe open. Nothing more comes from the program itself.
            if !ended && self.group.wait(Duration::ZERO).is_some() {
                ended = true;
                deadline = deadline.min(Instant::now() + LAST_WORDS);
            }
            if Instant::now() >= deadline {
                if ended {
                    return Err(self.ended());
                }
                let seconds = at_most.as_secs_f64();
                return Err(NoReply::Silent(
                    self.failure(format!("no reply for {seconds} s")),
                ));
            }
        }
    }

    fn ended(&mut self) -> NoReply {
        let status = match self.group.wait(GRACE) {
            Some(status) => status.to_string(),
            None => "it closed its standard output and still runs".to_owned(),
        };
        self.broken(format!(
            "the program ended before it answered everything ({status})"
        ))
    }

    fn broken(&mut self, what: String) -> NoReply {
        NoReply::Broken(self.failure(what))
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
}

impl<R> Connection<R> {
    /// Ends the program and all that it started: first by the end of its input, then by force.
    fn end(&mut self, grace: Duration) {
        self.requests = None;
        if self.group.wait(grace).is_none() {
            self.group.end();
        }
    }
}

impl<R> Drop for Connection<R> {
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

fn read_replies<R: ReplyLine>(mut stdout: impl BufRead, replies: &SyncSender<FromChild<R>>) {
    let mut line = Vec::new();
    loop {
        let from_child = match read_line(&mut stdout, &mut line, limits::REPLY_BYTES) {
            Ok(Line::End) => FromChild::Ended,
            Ok(Line::Whole) => match parse(&line) {
                Ok(reply) => FromChild::Reply(reply),
                Err(why) => FromChild::Malformed(why),
            },
            Ok(Line::TooLong) => FromChild::Malformed(format!(
                "the program wrote a line of more than {} bytes: {}",
                limits::REPLY_BYTES,
                excerpt(&line)
            )),
            Err(error) => FromChild::Malformed(format!("cannot read from the program: {error}")),
        };
        let last = !matches!(from_child, FromChild::Reply(_));
        if replies.send(from_child).is_err() || last {
            return;
        }
        // One long reply does not take its memory for ever.
        line.shrink_to(1 << 20);
    }
}

/// The next part of a stream.
enum Line {
    Whole,
    TooLong,
    End,
}

/// Reads a line, or the beginning of one that is too long.
fn read_line(source: &mut impl BufRead, line: &mut Vec<u8>, limit: u64) -> io::Result<Line> {
    line.clear();
    let count = source.by_ref().take(limit + 1).read_until(b'\n', line)?;
    Ok(match count {
        0 => Line::End,
        count if count as u64 > limit => Line::TooLong,
        _ => Line::Whole,
    })
}

/// Reads one line.
///
/// # Errors
/// A complaint about the line, of limited length.
pub fn parse<R: ReplyLine>(line: &[u8]) -> Result<R, String> {
    let parsed = std::str::from_utf8(line)
        .map_err(|error| error.to_string())
        // Some systems put a byte order mark before the first line that a program writes.
        .and_then(|line| R::parse(line.trim_start_matches('\u{feff}')));
    parsed.map_err(|why| {
        format!(
            "the program wrote a line that is no reply ({}): {}",
            limits::shortened(why, EXCERPT_BYTES),
            excerpt(line)
        )
    })
}

fn excerpt(line: &[u8]) -> String {
    let excerpt = &line[..line.len().min(EXCERPT_BYTES)];
    String::from_utf8_lossy(excerpt).trim_end().to_owned()
}

fn remember_lines(mut stderr: impl BufRead, last: &Mutex<VecDeque<String>>) {
    let mut line = Vec::new();
    // The rest of a line that is too long is not remembered.
    let mut inside = false;
    loop {
        let (whole, mark) = match read_line(&mut stderr, &mut line, STDERR_LINE_BYTES) {
            Ok(Line::Whole) => (true, ""),
            Ok(Line::TooLong) => (line.ends_with(b"\n"), "…"),
            Ok(Line::End) | Err(_) => return,
        };
        if !std::mem::replace(&mut inside, !whole) {
            let text = String::from_utf8_lossy(&line);
            let mut last = last.lock().expect("no code panics while it holds the lock");
            if last.len() == STDERR_LINES {
                last.pop_front();
            }
            last.push_back(format!("{}{mark}", text.trim_end()));
        }
    }
}

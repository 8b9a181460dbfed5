//! The work is done by a thread of its own, and this one waits for it and for signals. So nothing is deaf:
//! not even work that waits for a disk, a pipe or another program, and looks at no flag meanwhile.

use super::progress::Reporter;
use super::signals::Signals;
use super::streams::say;
use crate::stop;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

/// The interval at which signals are looked for.
const POLL: Duration = Duration::from_millis(50);

/// The time in which work must see a request to stop, and end after it was last seen to look. A loop looks within a
/// second; work that takes longer waits for something.
const GRACE: Duration = Duration::from_secs(3);

/// The size of the thread's stack: as much as that of a main thread and some more.
const STACK_BYTES: usize = 32 << 20;

/// The exit code of a process that was ended by the second signal, as of one that Ctrl-C has ended.
const ENDED: i32 = 130;

/// The outcome of the work.
pub enum Outcome<T> {
    /// It came to its end, stopped or not.
    Done(T),
    /// It was asked to stop and did not hear it.
    Deaf,
    /// It panicked, and has said so.
    Panicked,
}

/// Does the work. The first signal asks it to stop, and after a while it is no longer waited for; the
/// second ends the process.
pub fn supervise<T: Send + 'static>(
    reporter: &Reporter,
    work: impl FnOnce() -> T + Send + 'static,
) -> Outcome<T> {
    let signals = Signals::listen().unwrap_or_else(|error| {
        say(format!(
            "Ctrl-C will end the process without a report: {error}"
        ));
        Signals::default()
    });
    let (done, result) = mpsc::channel();
    let thread = thread::Builder::new()
        .name("work".to_owned())
        .stack_size(STACK_BYTES)
        .spawn(move || {
            // Nobody waits any more if it was deaf.
            let _ = done.send(work());
        });
    if let Err(error) = thread {
        say(format!("no thread can be started: {error}"));
        return Outcome::Panicked;
    }
    loop {
        match result.recv_timeout(POLL) {
            Ok(result) => return Outcome::Done(result),
            Err(RecvTimeoutError::Disconnected) => return Outcome::Panicked,
            Err(RecvTimeoutError::Timeout) => {}
        }
        if signals.arrived() {
            if stop::unheard_for().is_some() {
                reporter.finish();
                reporter.clean_up();
                std::process::exit(ENDED);
            }
            stop::request();
        }
        if stop::unheard_for().is_some_and(|since| since > GRACE) {
            return Outcome::Deaf;
        }
    }
}

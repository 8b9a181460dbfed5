//! The signals that ask a process to end: Ctrl-C, `kill`, and the terminal that is closed. All mean the
//! same.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::thread;
use std::time::Duration;

#[cfg(unix)]
const SIGNALS: [i32; 3] = [
    signal_hook::consts::SIGINT,
    signal_hook::consts::SIGTERM,
    signal_hook::consts::SIGHUP,
];
#[cfg(not(unix))]
const SIGNALS: [i32; 2] = [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM];

/// The time for writing a result, after which a signal ends the process.
const WHILE: Duration = Duration::from_secs(1);

/// True once the work is done, so that a signal ends the process as it would any other.
static DONE: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);

/// Lets the next signal end the process: from here on it only hands over its result, and may wait for
/// whoever reads it.
pub fn end_at_the_next() {
    DONE.store(true, Ordering::Release);
}

/// The same after a while, since what is written meanwhile takes no longer, unless somebody reads it who does not read.
/// Whoever asks twice within that time, as a supervisor does, gets the whole result all the same.
pub fn end_soon() {
    thread::spawn(|| {
        thread::sleep(WHILE);
        end_at_the_next();
    });
}

/// The signals that this process has received.
#[derive(Clone, Default)]
pub struct Signals(Arc<AtomicBool>);

impl Signals {
    /// Listens for the signals from now on.
    ///
    /// # Errors
    /// The system refuses; then a signal ends the process without a report.
    pub fn listen() -> io::Result<Signals> {
        let signals = Signals::default();
        for signal in SIGNALS {
            // `nohup` asks for work that outlives its terminal.
            if !hang_up_is_ignored(signal) {
                signal_hook::flag::register_conditional_default(signal, Arc::clone(&DONE))?;
                signal_hook::flag::register(signal, Arc::clone(&signals.0))?;
            }
        }
        Ok(signals)
    }

    /// Whether one arrived since the last time this was asked.
    pub fn arrived(&self) -> bool {
        self.0.swap(false, Ordering::AcqRel)
    }
}

/// Whether this is SIGHUP, and whoever started the process had it ignored. Only Linux tells; elsewhere it
/// is heard.
fn hang_up_is_ignored(signal: i32) -> bool {
    #[cfg(unix)]
    if signal == signal_hook::consts::SIGHUP {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
        return mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1);
    }
    let _ = signal;
    false
}

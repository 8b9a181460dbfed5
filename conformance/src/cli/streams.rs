//! Writing to standard output and standard error. Neither need be there: nothing that is said on standard
//! error is worth a result, and a reader of standard output that goes away has seen enough.

use super::error::CliError;
use super::{files, terminal};
use std::fmt::Display;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

/// The time that the reader of standard error may take for a line.
const PATIENCE: Duration = Duration::from_secs(2);

/// True once the reader of standard error has been found not to read.
static UNREAD: AtomicBool = AtomicBool::new(false);

/// Says something on standard error, if anybody can hear it; on a terminal, no line is wider than that. A pipe that
/// is full and that nobody reads holds up nothing: what is said then is lost.
pub fn say(line: impl Display) {
    if UNREAD.load(Ordering::Relaxed) {
        return;
    }
    let line = terminal::folded(&line.to_string(), &io::stderr());
    let (done, written) = mpsc::channel();
    let writer = thread::Builder::new().spawn(move || {
        let _ = writeln!(io::stderr(), "{line}");
        let _ = done.send(());
    });
    let waited = writer.map(|_| written.recv_timeout(PATIENCE));
    if let Ok(Err(RecvTimeoutError::Timeout)) = waited {
        UNREAD.store(true, Ordering::Relaxed);
    }
}

/// Writes to standard output. That its reader has gone is no error.
///
/// # Errors
/// It cannot be written for another reason, such as a full disk.
pub fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// Writes the result of a verb that has no report: to the file that was asked for, or to standard output.
///
/// # Errors
/// It cannot be written.
pub fn deliver(file: Option<&Path>, text: &str) -> Result<(), CliError> {
    match file {
        Some(path) => write_file(path, text.as_bytes()),
        None => print(text).map_err(|source| CliError::Output {
            path: PathBuf::from("standard output"),
            source,
        }),
    }
}

/// Writes a whole file.
///
/// # Errors
/// It cannot be written.
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<(), CliError> {
    files::write(path, bytes).map_err(|source| CliError::Output {
        path: path.to_owned(),
        source,
    })
}

//! Temporary folders that are gone when the process ends, however it ends: a process that exits in the middle
//! of its work calls [`remove_all`].

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The folders that are there; none once [`remove_all`] was called, and no new one then.
static LIVING: Mutex<Option<BTreeSet<PathBuf>>> = Mutex::new(Some(BTreeSet::new()));

/// The number of attempts at removing a folder into which somebody still writes.
const ATTEMPTS: usize = 5;

fn living() -> MutexGuard<'static, Option<BTreeSet<PathBuf>>> {
    LIVING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A temporary folder, which is removed with all that is in it when this is dropped.
#[derive(Debug)]
pub struct TemporaryFolder(tempfile::TempDir);

impl TemporaryFolder {
    /// A new folder inside `place`, whose name begins with `prefix`.
    ///
    /// # Errors
    /// It cannot be made, or the process is about to exit ([`io::ErrorKind::Interrupted`]).
    pub fn new(place: &Path, prefix: &str) -> io::Result<TemporaryFolder> {
        let mut living = living();
        let Some(living) = living.as_mut() else {
            return Err(io::ErrorKind::Interrupted.into());
        };
        let folder = tempfile::Builder::new().prefix(prefix).tempdir_in(place)?;
        living.insert(folder.path().to_owned());
        Ok(TemporaryFolder(folder))
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        if let Some(living) = living().as_mut() {
            living.remove(self.0.path());
        }
    }
}

/// Removes every [`TemporaryFolder`] of this process. For a process that is about to exit: no new one can be
/// made any more.
pub fn remove_all() {
    let folders = living().take();
    for folder in folders.iter().flatten() {
        for _ in 0..ATTEMPTS {
            match std::fs::remove_dir_all(folder) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {}
                _ => break,
            }
        }
    }
}

//! Whole files. What is written is replaced in one piece: on a disk that is full, the old file stays, or there is
//! none. What is read has a limit.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The most links that are followed, as in Linux.
const MOST_LINKS: usize = 40;

/// The most bytes of a file that is read whole: far more than any result has, and less than any machine.
const MOST_BYTES: u64 = 256 << 20;

/// It says nothing in UTF-8, and is no JSON.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// The files that are not whole yet.
static PARTIAL: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

fn partial() -> MutexGuard<'static, BTreeSet<PathBuf>> {
    PARTIAL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writes a whole file. A pipe, a device or a file of the process itself (`/dev/stdout`) is written to, and a
/// link leads to the file that is replaced.
///
/// # Errors
/// It cannot be written; then everything is as it was.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let behind = behind_links(path);
    let there = fs::metadata(path).ok();
    if of_the_system(path)
        || of_the_system(&behind)
        || there.as_ref().is_some_and(|it| !it.is_file())
    {
        return fs::write(path, bytes);
    }
    if there.is_some() {
        // Somebody may have forbidden to change it.
        OpenOptions::new().write(true).open(path)?;
    }
    let beside = match Partial::beside(&behind) {
        Ok(beside) => beside,
        // The folder takes no new file, but the old one can be written.
        Err(error) if there.is_some() && is_forbidden(&error) => return fs::write(path, bytes),
        Err(error) => return Err(error),
    };
    beside.fill(bytes)?;
    if let Some(there) = there {
        fs::set_permissions(&beside.0, there.permissions())?;
    }
    fs::rename(&beside.0, &behind)
}

/// Reads a whole file. A pipe or device that never ends is refused as too long.
///
/// # Errors
/// It cannot be read, or is longer than 256 MiB.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    read_at_most(path, MOST_BYTES)
}

/// Reads a whole file of text, without the byte order mark that some systems put before it.
///
/// # Errors
/// The file cannot be read, or is longer than 256 MiB.
pub fn read_text(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = read(path)?;
    if bytes.starts_with(BYTE_ORDER_MARK) {
        bytes.drain(..BYTE_ORDER_MARK.len());
    }
    Ok(bytes)
}

fn read_at_most(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(most + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > most {
        true => Err(io::Error::other(format!("it is longer than {most} bytes"))),
        false => Ok(bytes),
    }
}

/// Removes what is not whole. For a process that is about to exit.
pub fn remove_partial() {
    for path in partial().iter() {
        let _ = fs::remove_file(path);
    }
}

/// The file behind a link, which need not be there.
pub fn behind_links(path: &Path) -> PathBuf {
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        // What a link there leads to is what this process, or another, has open.
        if of_the_system(&path) {
            break;
        }
        match fs::read_link(&path) {
            Ok(target) => path = path.parent().unwrap_or(Path::new("")).join(target),
            Err(_) => break,
        }
    }
    path
}

/// Whether a file stands for something that is no file, such as an open one of this process.
fn of_the_system(path: &Path) -> bool {
    cfg!(unix) && (path.starts_with("/dev") || path.starts_with("/proc"))
}

fn is_forbidden(error: &io::Error) -> bool {
    let kinds = [
        io::ErrorKind::PermissionDenied,
        io::ErrorKind::ReadOnlyFilesystem,
    ];
    kinds.contains(&error.kind())
}

/// A file beside the one that it is going to replace; removed unless it did.
struct Partial(PathBuf);

impl Partial {
    fn beside(path: &Path) -> io::Result<Partial> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!(".lockstep-{}-{number}", std::process::id());
        let it = Partial(path.with_file_name(name));
        partial().insert(it.0.clone());
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&it.0)?;
        Ok(it)
    }

    fn fill(&self, bytes: &[u8]) -> io::Result<()> {
        let mut file = File::options().write(true).open(&self.0)?;
        file.write_all(bytes)
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // Not there if it was renamed.
        let _ = fs::remove_file(&self.0);
        partial().remove(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let files = fs::read_dir(folder).expect("a folder of our own");
        let name = |it: io::Result<fs::DirEntry>| it.expect("an entry").file_name();
        let mut names: Vec<_> = files
            .map(|it| name(it).to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_replaced_and_nothing_stays_beside_it() {
        let folder = tempfile::tempdir().expect("there is a place for temporary files");
        let path = folder.path().join("it");
        for text in ["first", "second"] {
            write(&path, text.as_bytes()).expect("it is written");
            assert_eq!(fs::read_to_string(&path).expect("it is there"), text);
        }
        assert!(write(&folder.path().join("missing/it"), b"").is_err());
        assert!(write(folder.path(), b"").is_err());
        assert_eq!(names(folder.path()), ["it"]);
    }

    #[test]
    fn a_file_that_is_read_has_a_limit() {
        let folder = tempfile::tempdir().expect("there is a place for temporary files");
        let path = folder.path().join("it");
        fs::write(&path, "four").expect("it is written");
        assert_eq!(read_at_most(&path, 4).expect("it fits"), b"four");
        let error = read_at_most(&path, 3).expect_err("it does not fit");
        assert!(error.to_string().contains("longer than 3 bytes"), "{error}");
        assert!(read(&folder.path().join("missing")).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn a_link_and_the_permissions_stay() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let folder = tempfile::tempdir().expect("there is a place for temporary files");
        let (path, link) = (folder.path().join("it"), folder.path().join("link"));
        symlink("it", &link).expect("it can be linked");
        write(&link, b"through a link").expect("it is written");
        assert_eq!(fs::read(&path).expect("it is there"), b"through a link");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("it is ours");
        write(&link, b"again").expect("it is written");
        assert_eq!(fs::read(&path).expect("it is there"), b"again");
        let mode = fs::metadata(&path)
            .expect("it is there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o640);
        assert!(link.is_symlink());
        assert_eq!(names(folder.path()), ["it", "link"]);
    }

    /// A file that this process has open, such as `/dev/stdout`, is not replaced.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_device_is_written_to() {
        assert!(of_the_system(&behind_links(Path::new("/dev/stdout"))));
        write(Path::new("/dev/null"), b"gone").expect("it is written");
        assert!(!fs::metadata("/dev/null").expect("it is there").is_file());
        let full = write(Path::new("/dev/full"), b"too much").expect_err("it is full");
        assert_eq!(full.kind(), io::ErrorKind::StorageFull);
    }
}

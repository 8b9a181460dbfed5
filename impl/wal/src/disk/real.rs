//! The disk of this machine.

use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Disk, DiskFile};
use crate::error::Error;

/// The name of the file that is locked while the folder is in use.
const LOCK: &str = "LOCK";

/// A locked folder.
#[derive(Clone, Debug)]
pub(crate) struct RealDisk {
    folder: Arc<Locked>,
}

#[derive(Debug)]
struct Locked {
    path: PathBuf,
    /// Unlocked when it is closed, also by the end of the process.
    _lock: Option<File>,
}

impl RealDisk {
    /// Creates the folder if it does not exist, and locks it.
    pub(crate) fn lock(path: &Path) -> Result<RealDisk, Error> {
        create_folder(path).map_err(|it| Error::io("create", &path.display().to_string(), it))?;
        let lock = system::lock(&path.join(LOCK), true).map_err(|it| not_locked(path, it))?;
        Ok(RealDisk::new(path, Some(lock)))
    }

    /// Locks a folder to be read. Creates nothing: without a folder the result is `None`, and where
    /// nobody has ever written there is nothing to lock.
    pub(crate) fn visit(path: &Path) -> Result<Option<RealDisk>, Error> {
        if !path.try_exists().map_err(|it| not_locked(path, it))? {
            return Ok(None);
        }
        let lock = match system::lock(&path.join(LOCK), false) {
            Err(it) if it.kind() == io::ErrorKind::NotFound => None,
            lock => Some(lock.map_err(|it| not_locked(path, it))?),
        };
        Ok(Some(RealDisk::new(path, lock)))
    }

    fn new(path: &Path, lock: Option<File>) -> RealDisk {
        RealDisk {
            folder: Arc::new(Locked {
                path: path.to_owned(),
                _lock: lock,
            }),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path.join(name)
    }
}

fn not_locked(path: &Path, error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::WouldBlock => Error::Locked {
            folder: path.to_owned(),
        },
        _ => Error::io("lock", &path.display().to_string(), error),
    }
}

impl Disk for RealDisk {
    type File = File;

    fn list(&self) -> io::Result<Vec<String>> {
        let files = fs::read_dir(&self.folder.path)?;
        let names = files.map(|file| Ok(file?.file_name().to_string_lossy().into_owned()));
        names.collect()
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        fs::read(self.path(name))
    }

    fn create(&self, name: &str, length: u64) -> io::Result<File> {
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(true);
        let file = options.open(self.path(name))?;
        system::reserve(&file, length)?;
        Ok(file)
    }

    fn open(&self, name: &str) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).open(self.path(name))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path(from), self.path(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path(name))
    }

    fn sync_folder(&self) -> io::Result<()> {
        system::sync_folder(&self.folder.path)
    }

    fn nonce(&self) -> u64 {
        RandomState::new().hash_one(0)
    }
}

impl DiskFile for File {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        system::write_at(self, offset, bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}

/// Creates a folder and those above it, durably: each is a name in the one above.
fn create_folder(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let above = path.parent().filter(|it| !it.as_os_str().is_empty());
    let above = above.unwrap_or(Path::new("."));
    create_folder(above)?;
    match fs::create_dir(path) {
        Err(it) if it.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
        created => created?,
    }
    system::sync_folder(above)
}

/// Writes zeros where the file system cannot reserve space.
fn write_zeros(file: &File, length: u64) -> io::Result<()> {
    let zeros = [0; 1 << 16];
    let mut offset = 0;
    while offset < length {
        let some = (length - offset).min(zeros.len() as u64);
        system::write_at(file, offset, &zeros[..some as usize])?;
        offset += some;
    }
    Ok(())
}

#[cfg(unix)]
mod system {
    use std::fs::{File, OpenOptions};
    use std::io;
    use std::os::unix::fs::FileExt;
    use std::path::Path;

    use rustix::fs::{FallocateFlags, FlockOperation, fallocate, flock};
    use rustix::io::Errno;

    pub(super) fn lock(path: &Path, create: bool) -> io::Result<File> {
        let mut options = OpenOptions::new();
        let options = options.write(true).create(create).truncate(false);
        let file = options.open(path)?;
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        Ok(file)
    }

    pub(super) fn reserve(file: &File, length: u64) -> io::Result<()> {
        if length == 0 {
            return Ok(());
        }
        match fallocate(file, FallocateFlags::empty(), 0, length) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => super::write_zeros(file, length),
            result => Ok(result?),
        }
    }

    pub(super) fn write_at(file: &File, offset: u64, bytes: &[u8]) -> io::Result<()> {
        file.write_all_at(bytes, offset)
    }

    pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }
}

#[cfg(not(unix))]
mod system {
    use std::fs::{File, OpenOptions};
    use std::io::{self, Seek, SeekFrom, Write};
    use std::path::Path;

    /// On Windows nobody else can open the file while this one is open.
    pub(super) fn lock(path: &Path, create: bool) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.write(true).create(create).truncate(false);
        #[cfg(windows)]
        std::os::windows::fs::OpenOptionsExt::share_mode(&mut options, 0);
        options.open(path).map_err(|it| match it.raw_os_error() {
            // ERROR_SHARING_VIOLATION
            Some(32) => io::ErrorKind::WouldBlock.into(),
            _ => it,
        })
    }

    pub(super) fn reserve(file: &File, length: u64) -> io::Result<()> {
        super::write_zeros(file, length)
    }

    pub(super) fn write_at(mut file: &File, offset: u64, bytes: &[u8]) -> io::Result<()> {
        file.seek(SeekFrom::Start(offset))?;
        file.write_all(bytes)
    }

    /// Names are durable with their files on the file systems that such systems use.
    pub(super) fn sync_folder(_path: &Path) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_locked_until_it_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new").join("folder");
        let disk = RealDisk::lock(&path).unwrap();
        assert!(matches!(RealDisk::lock(&path), Err(Error::Locked { .. })));
        drop(disk);
        RealDisk::lock(&path).unwrap();
    }

    #[test]
    fn new_files_are_zeros_of_their_whole_length() {
        let folder = tempfile::tempdir().unwrap();
        let disk = RealDisk::lock(folder.path()).unwrap();
        for length in [0, 1, 100_000] {
            let mut file = disk.create("file", length).unwrap();
            file.write_at(0, &[1; 9][..length.min(9) as usize]).unwrap();
            file.sync().unwrap();
            let bytes = disk.read("file").unwrap();
            assert_eq!(bytes.len() as u64, length);
            assert!(bytes.iter().skip(9).all(|byte| *byte == 0));
        }
        let file = disk.create("zeros", 0).unwrap();
        write_zeros(&file, 100_000).unwrap();
        assert_eq!(disk.read("zeros").unwrap(), [0; 100_000]);
    }
}

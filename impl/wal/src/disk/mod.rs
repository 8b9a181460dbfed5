//! The few calls to a file system that the log makes, all in one folder without subfolders.

mod real;

pub(crate) use real::RealDisk;

use std::io;

use crate::error::Error;

/// One folder.
///
/// The contract is that of POSIX, no more: a write is durable after [`DiskFile::sync`], a created,
/// renamed or removed name after [`Disk::sync_folder`].
pub(crate) trait Disk: Clone + Send + Sync + 'static {
    type File: DiskFile;

    /// The names of all files.
    fn list(&self) -> io::Result<Vec<String>>;
    /// All bytes of a file.
    fn read(&self, name: &str) -> io::Result<Vec<u8>>;
    /// A new file of `length` zeros, with room reserved for them. An old one is replaced.
    fn create(&self, name: &str, length: u64) -> io::Result<Self::File>;
    /// An existing file, to be written.
    fn open(&self, name: &str) -> io::Result<Self::File>;
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    fn remove(&self, name: &str) -> io::Result<()>;
    fn sync_folder(&self) -> io::Result<()>;
    /// A random number.
    fn nonce(&self) -> u64;
}

/// A file that is open for writing.
pub(crate) trait DiskFile: Send + 'static {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    fn sync(&mut self) -> io::Result<()>;
}

/// A [`Disk`] whose errors name the file.
#[derive(Clone, Debug)]
pub(crate) struct Folder<D>(pub D);

/// A [`DiskFile`] whose errors name it.
#[derive(Debug)]
pub(crate) struct NamedFile<F> {
    name: String,
    file: F,
}

/// Ending of files that are not finished. They get their real name once they are durable.
const UNFINISHED: &str = ".tmp";

/// True for the name of an unfinished file.
pub(crate) fn is_unfinished(name: &str) -> bool {
    name.ends_with(UNFINISHED)
}

impl<D: Disk> Folder<D> {
    pub(crate) fn list(&self) -> Result<Vec<String>, Error> {
        self.0.list().map_err(|it| Error::io("list", "folder", it))
    }

    pub(crate) fn read(&self, name: &str) -> Result<Vec<u8>, Error> {
        self.0.read(name).map_err(|it| Error::io("read", name, it))
    }

    pub(crate) fn open(&self, name: &str) -> Result<NamedFile<D::File>, Error> {
        let file = self.0.open(name);
        let file = file.map_err(|it| Error::io("open", name, it))?;
        Ok(NamedFile {
            name: name.to_owned(),
            file,
        })
    }

    pub(crate) fn remove(&self, name: &str) -> Result<(), Error> {
        let removed = self.0.remove(name);
        removed.map_err(|it| Error::io("remove", name, it))
    }

    pub(crate) fn sync(&self) -> Result<(), Error> {
        let synced = self.0.sync_folder();
        synced.map_err(|it| Error::io("sync", "folder", it))
    }

    /// Creates a file that has its name only when its contents are durable, and whose name is
    /// durable at the end. `parts` are its first bytes; zeros follow up to `length`.
    pub(crate) fn create_whole(
        &self,
        name: &str,
        length: u64,
        parts: &[&[u8]],
    ) -> Result<NamedFile<D::File>, Error> {
        let unfinished = format!("{name}{UNFINISHED}");
        let created = self.0.create(&unfinished, length);
        let file = created.map_err(|it| Error::io("create", name, it));
        let file = file.and_then(|file| {
            let mut file = NamedFile {
                name: name.to_owned(),
                file,
            };
            let mut offset = 0;
            for part in parts {
                file.write_at(offset, part)?;
                offset += part.len() as u64;
            }
            file.sync()?;
            Ok(file)
        });
        let file = match file {
            Ok(file) => file,
            Err(error) => {
                // Gives the space back. If it fails, the next opening removes the file.
                let _ = self.0.remove(&unfinished);
                return Err(error);
            }
        };
        let renamed = self.0.rename(&unfinished, name);
        renamed.map_err(|it| Error::io("rename", name, it))?;
        self.sync()?;
        Ok(file)
    }
}

impl<F: DiskFile> NamedFile<F> {
    pub(crate) fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        let written = self.file.write_at(offset, bytes);
        written.map_err(|it| Error::io("write", &self.name, it))
    }

    pub(crate) fn sync(&mut self) -> Result<(), Error> {
        let synced = self.file.sync();
        synced.map_err(|it| Error::io("sync", &self.name, it))
    }
}

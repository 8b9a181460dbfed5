//! Snapshots from the leader, in files until they are restored.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use lockstep_net::SnapshotSink;
use lockstep_raft::{Body, EntryId, Message};

use crate::store::DumpReader;

/// The file of a complete snapshot that ends with this entry.
pub(super) fn file(dir: &Path, id: EntryId) -> PathBuf {
    dir.join(format!(
        "{:016x}-{:016x}.dump",
        id.term.get(),
        id.index.get()
    ))
}

/// Removes all snapshots: those that were broken off, and those that are restored.
pub(super) fn clean(dir: &Path) -> io::Result<()> {
    for file in fs::read_dir(dir)? {
        fs::remove_file(file?.path())?;
    }
    Ok(())
}

/// A snapshot that arrives. It gets its final name once it is complete, sound and durable.
pub(super) struct Incoming {
    dir: PathBuf,
    part: PathBuf,
    target: PathBuf,
    file: File,
}

impl Incoming {
    pub(super) fn begin(dir: &Path, message: &Message) -> io::Result<Incoming> {
        let Body::InstallSnapshot { snapshot } = &message.body else {
            return Err(io::Error::other("the message installs no snapshot"));
        };
        let target = file(dir, snapshot.id());
        // The leader that sends it is in the name: an earlier one may still be at it.
        let part = target.with_extension(format!(
            "{:x}-{:x}.part",
            message.from.get(),
            message.term.get()
        ));
        let file = File::create(&part)?;
        Ok(Incoming {
            dir: dir.to_owned(),
            part,
            target,
            file,
        })
    }
}

impl SnapshotSink for Incoming {
    fn write(&mut self, chunk: Bytes) -> io::Result<()> {
        self.file.write_all(&chunk)
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        self.file.sync_all()?;
        let read = io::BufReader::new(File::open(&self.part)?);
        let sound = DumpReader::new(read).and_then(DumpReader::verify);
        sound.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
        fs::rename(&self.part, &self.target)?;
        File::open(&self.dir)?.sync_all()
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        // Gone already if it was finished.
        let _ = fs::remove_file(&self.part);
    }
}

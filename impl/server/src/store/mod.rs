//! The replicated key-value store: etcd's multi-version semantics in a [`redb`] database.
//!
//! Every change has a main revision, which all changes of one command share, and a sub revision. The
//! empty store is at revision 1. The applied index and the configuration of the group are written in
//! the same transaction as the commands, so an entry of the log takes effect exactly once: after a
//! crash the store is as of some applied index, and the log goes on from there.
//!
//! Commits are not synced one by one. [`Store::sync`] makes durable what was committed; until then a
//! crash may lose commits from the end, never from the middle, and the log still has their entries.
//!
//! Not in here: leases and watches.

mod batch;
mod dump;
mod error;
mod meta;
#[cfg(test)]
mod oracle;
mod overlay;
mod range;
mod snapshot;
mod span;
mod tables;
#[cfg(test)]
mod tests;
mod txn;
mod view;

use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use redb::{Database, Durability, ReadableDatabase};

pub use batch::{Batch, writes_values};
pub use dump::{Dump, Reader as DumpReader, copy as copy_dump};
pub use error::{Refusal, Result, StoreError};
pub use snapshot::Snapshot;
pub(crate) use span::Span;
pub use txn::{is_read_only, is_serializable};

use crate::log::Identity;
use overlay::Overlay;
use tables::{ALARMS, INDEX, LATEST, MEMBERS, META, REMOVED, REVISIONS};

/// The memory for pages of the database.
const CACHE_BYTES: usize = 256 << 20;
/// The number of attempts at a defragmentation while reads are going on.
const DEFRAGMENT_TRIES: u32 = 50;

/// A store in a file.
pub struct Store {
    // Behind a lock only for `defragment`, which needs it alone.
    database: RwLock<Database>,
    path: PathBuf,
}

impl Store {
    /// Opens the store in a file, or makes an empty one.
    ///
    /// # Errors
    /// A failure of the database, also if another process has it open; a layout of another version.
    pub fn open(path: impl AsRef<Path>) -> Result<Store> {
        let database = Database::builder()
            .set_cache_size(CACHE_BYTES)
            .create(path.as_ref())?;
        Store::with(database, path.as_ref())
    }

    /// Opens the store in a file without ever changing the file: what is written stays in memory. All
    /// checksums are compared, and what an unfinished shutdown has left is repaired in memory.
    ///
    /// # Errors
    /// There is no file; it is damaged; a failure of the database; a layout of another version.
    pub fn examine(path: impl AsRef<Path>) -> Result<Store> {
        let overlay = Overlay::open(path.as_ref())?;
        let mut database = Database::builder()
            .set_cache_size(CACHE_BYTES)
            .create_with_backend(overlay)?;
        if !database.check_integrity()? {
            return Err(StoreError::corrupt("checksums do not match"));
        }
        Store::with(database, path.as_ref())
    }

    fn with(database: Database, path: &Path) -> Result<Store> {
        let txn = database.begin_write()?;
        {
            let mut meta = txn.open_table(META)?;
            let version = meta::number(&meta, meta::FORMAT)?.unwrap_or(meta::FORMAT_VERSION);
            if version != meta::FORMAT_VERSION {
                return Err(StoreError::corrupt(format!(
                    "the layout has version {version}, and this server knows version {}",
                    meta::FORMAT_VERSION
                )));
            }
            meta.insert(meta::FORMAT, version.to_be_bytes().as_slice())?;
            txn.open_table(LATEST)?;
            txn.open_table(INDEX)?;
            txn.open_table(REVISIONS)?;
            txn.open_table(MEMBERS)?;
            txn.open_table(REMOVED)?;
            txn.open_table(ALARMS)?;
        }
        txn.commit()?;
        Ok(Store {
            database: RwLock::new(database),
            path: path.to_owned(),
        })
    }

    fn database(&self) -> RwLockReadGuard<'_, Database> {
        // A panic in a reader leaves the database as it was.
        self.database.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state of the store as of now; later writes do not show in it.
    ///
    /// # Errors
    /// A failure of the database.
    pub fn snapshot(&self) -> Result<Snapshot> {
        Snapshot::open(&self.database().begin_read()?)
    }

    /// Carries out a batch of changes as a whole. If `work` fails, nothing of it is done.
    ///
    /// # Errors
    /// That of `work`; a failure of the database.
    pub fn write<T>(&self, work: impl FnOnce(&mut Batch<'_>) -> Result<T>) -> Result<T> {
        self.transact(Durability::None, work)
    }

    fn transact<T>(
        &self,
        durability: Durability,
        work: impl FnOnce(&mut Batch<'_>) -> Result<T>,
    ) -> Result<T> {
        let database = self.database();
        let mut txn = database.begin_write()?;
        txn.set_durability(durability)?;
        let mut batch = Batch::open(&txn)?;
        let done = work(&mut batch)?;
        batch.close()?;
        txn.commit()?;
        Ok(done)
    }

    /// Sets the owner of the store, durably.
    ///
    /// # Errors
    /// A failure of the database.
    pub fn set_identity(&self, identity: Identity) -> Result<()> {
        self.transact(Durability::Immediate, |batch| batch.set_identity(identity))
    }

    /// Makes durable what was written before.
    ///
    /// # Errors
    /// A failure of the database.
    pub fn sync(&self) -> Result<()> {
        let database = self.database();
        let mut txn = database.begin_write()?;
        txn.set_durability(Durability::Immediate)?;
        txn.commit()?;
        Ok(())
    }

    /// Replaces everything in the store but its owner by a dump, durably and as a whole.
    ///
    /// # Errors
    /// A damaged dump, and nothing changes; a failure of the database.
    pub fn restore(&self, dump: impl std::io::Read) -> Result<()> {
        let identity = self.snapshot()?.identity()?;
        let database = self.database();
        let mut txn = database.begin_write()?;
        txn.set_durability(Durability::Immediate)?;
        txn.delete_table(LATEST)?;
        txn.delete_table(INDEX)?;
        txn.delete_table(REVISIONS)?;
        txn.delete_table(MEMBERS)?;
        txn.delete_table(REMOVED)?;
        txn.delete_table(ALARMS)?;
        txn.delete_table(META)?;
        dump::restore(&txn, dump)?;
        if let Some(identity) = identity {
            Batch::open(&txn)?.set_identity(identity)?;
        }
        txn.commit()?;
        Ok(())
    }

    /// Gives unused space back to the file system.
    ///
    /// # Errors
    /// A failure of the database, also if reads that go on do not end.
    pub fn defragment(&self) -> Result<()> {
        for left in (0..DEFRAGMENT_TRIES).rev() {
            let mut database = self
                .database
                .write()
                .unwrap_or_else(PoisonError::into_inner);
            match database.compact() {
                Ok(_) => return Ok(()),
                Err(redb::CompactionError::TransactionInProgress) if left > 0 => {}
                Err(error) => return Err(error.into()),
            }
            drop(database);
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        Ok(())
    }

    /// The size of the file in bytes.
    ///
    /// # Errors
    /// The file cannot be examined.
    pub fn file_bytes(&self) -> Result<u64> {
        Ok(std::fs::metadata(&self.path)?.len())
    }
}

//! Failures of commands and of the store itself.

/// A command that cannot be carried out. All servers refuse it alike, and nothing changes. The texts are etcd's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    /// The revision lies before the last compaction.
    #[error("etcdserver: mvcc: required revision has been compacted")]
    Compacted,
    /// The revision is not there yet.
    #[error("etcdserver: mvcc: required revision is a future revision")]
    FutureRevision,
    /// A put that keeps the value or the lease of a key that does not exist.
    #[error("etcdserver: key not found")]
    KeyNotFound,
    /// The lease does not exist. There are no leases here yet, so no lease does.
    #[error("etcdserver: requested lease not found")]
    LeaseNotFound,
    /// The alarm for space is raised.
    #[error("etcdserver: mvcc: database space exceeded")]
    NoSpace,
}

/// An error of the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The command is refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The database failed. The server must stop.
    #[error("store: {0}")]
    Database(Box<redb::Error>),
    /// The database holds bytes that this version cannot read, or a snapshot is damaged.
    #[error("store: {0}")]
    Corrupt(String),
    /// A file could not be read or written.
    #[error("store: {0}")]
    Io(#[from] std::io::Error),
}

impl StoreError {
    /// A damaged value of the database.
    pub(crate) fn corrupt(what: impl std::fmt::Display) -> StoreError {
        StoreError::Corrupt(what.to_string())
    }
}

macro_rules! from_redb {
    ($($error:ident),+) => {
        $(impl From<redb::$error> for StoreError {
            fn from(error: redb::$error) -> StoreError {
                StoreError::Database(Box::new(error.into()))
            }
        })+
    };
}

from_redb!(
    StorageError,
    TableError,
    TransactionError,
    CommitError,
    DatabaseError,
    CompactionError,
    SetDurabilityError
);

/// The result of work on the store.
pub type Result<T> = std::result::Result<T, StoreError>;

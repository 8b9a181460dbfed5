//! The layout of the data folder.

use std::path::{Path, PathBuf};

/// The folder of the log.
pub(super) fn log(data_dir: &Path) -> PathBuf {
    data_dir.join("member").join("wal")
}

/// The folder of snapshots that arrive.
pub(super) fn snapshots(data_dir: &Path) -> PathBuf {
    data_dir.join("member").join("snap")
}

/// The file of the store.
pub(super) fn store(data_dir: &Path) -> PathBuf {
    data_dir.join("member").join("store.redb")
}

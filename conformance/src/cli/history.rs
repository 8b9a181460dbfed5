//! Sizes of earlier runs of the same work, from which a run estimates its progress. They are kept beside the program;
//! if they cannot be kept, there is no estimate.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use xxhash_rust::xxh3::xxh3_64;

/// Entries that are kept; the file stays small.
const MOST: usize = 500;

/// The file, which another run may write at the same time.
fn file() -> Option<PathBuf> {
    let program = std::env::current_exe().ok()?;
    Some(program.with_file_name("lockstep-history.json"))
}

fn key(work: &str) -> String {
    format!("{:016x}", xxh3_64(work.as_bytes()))
}

fn load() -> BTreeMap<String, u64> {
    let text = file().and_then(|file| std::fs::read(file).ok());
    let entries = text.and_then(|text| serde_json::from_slice(&text).ok());
    entries.unwrap_or_default()
}

/// Returns the size of this work when it last came to its end.
pub fn known(work: &str) -> Option<u64> {
    load().get(&key(work)).copied()
}

/// Keeps how much there was to do. What cannot be written is not known the next time, no more.
pub fn remember(work: &str, size: u64) {
    let mut entries = load();
    if entries.get(&key(work)) == Some(&size) {
        return;
    }
    if entries.len() >= MOST {
        entries.clear();
    }
    entries.insert(key(work), size);
    let _ = save(&entries);
}

/// Whole or not at all, whoever else writes it.
fn save(entries: &BTreeMap<String, u64>) -> Option<()> {
    let file = file()?;
    let mut partial = tempfile::NamedTempFile::new_in(file.parent()?).ok()?;
    let text = serde_json::to_vec(entries).ok()?;
    partial.write_all(&text).ok()?;
    partial.persist(file).ok()?;
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_known() {
        let work = format!("a test of process {}", std::process::id());
        assert_eq!(known(&work), None);
        remember(&work, 7);
        assert_eq!(known(&work), Some(7));
        remember(&work, 8);
        assert_eq!(known(&work), Some(8));
    }
}

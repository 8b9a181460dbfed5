//! The catalogue of real mistakes: what each is, where it was made, and what it waits for.

use super::Side;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

const CATALOGUE: &str = include_str!("catalogue.json");

/// One real mistake that an implementation or a specification of Raft shipped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Its name, such as `EL-01`.
    pub id: String,
    /// The part of Raft that it is about.
    pub section: String,
    /// The mistake, in a few words.
    pub title: String,
    /// S safety, L liveness, C crash, I internal invariant.
    pub kind: String,
    /// The property that it breaks.
    pub violates: String,
    /// The place where it was made and mended.
    pub source: String,
    /// The feature that the specification would need before the entry can be seeded, one of
    /// [`FEATURES`]; `None` for the entries that apply today.
    pub waits_for: Option<String>,
    /// Of an entry that applies: why it is not seeded on a side.
    #[serde(default)]
    pub not_seeded: BTreeMap<Side, String>,
}

/// The features that an entry can wait for: parts of Raft that the specification does not have yet.
pub const FEATURES: &[&str] = &[
    "asynchronous fetch of entries",
    "asynchronous storage",
    "a limit on uncommitted entries",
    "client acknowledgements",
    "inflight limits in bytes",
    "leadership transfer",
    "membership",
    "pages of committed entries",
    "proposal forwarding",
    "reads",
    "snapshots and compaction",
    "storage faults",
];

/// Every entry, in the order of the catalogue.
///
/// # Panics
///
/// If the catalogue that is compiled in cannot be read; a test reads it.
pub fn catalogue() -> Vec<Entry> {
    serde_json::from_str(CATALOGUE).expect("the catalogue is valid JSON")
}

/// The entry that a seeded bug belongs to: its own name, less the letter of a variant.
pub fn entry_of<'a>(entries: &'a [Entry], bug: &str) -> Option<&'a Entry> {
    let id = bug.trim_end_matches(|c: char| c.is_ascii_lowercase());
    entries.iter().find(|entry| entry.id == id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn entries_have_distinct_names() {
        let entries = catalogue();
        let names: BTreeSet<_> = entries.iter().map(|entry| &entry.id).collect();
        assert_eq!(names.len(), entries.len());
        assert!(entries.len() >= 100, "{} entries", entries.len());
    }

    #[test]
    fn a_variant_belongs_to_its_entry() {
        let entries = catalogue();
        let entry = entry_of(&entries, "EL-07b").expect("it is there");
        assert_eq!(entry.id, "EL-07");
        assert!(entry_of(&entries, "XX-01").is_none());
    }
}

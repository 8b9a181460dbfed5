//! The inputs that the fuzz targets start from.

use lockstep_tests::binary::repository;
use std::fs;

/// The shortest traces of the corpus: changes of long ones rarely meet anything new.
pub fn traces() -> Vec<Vec<u8>> {
    let mut all: Vec<_> = lockstep_traces::corpus()
        .iter()
        .map(|it| it.text.as_bytes().to_vec())
        .collect();
    all.sort_by_key(Vec::len);
    all.truncate(60);
    all
}

/// The files of a folder of the repository, by name.
pub fn folder(path: &str) -> Vec<Vec<u8>> {
    let folder = repository().join(path);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{path}: {error}"));
    let mut files: Vec<_> = entries
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.sort();
    files
        .iter()
        .map(|file| fs::read(file).expect("a file"))
        .collect()
}

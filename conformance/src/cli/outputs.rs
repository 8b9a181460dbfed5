//! The files and folders that a command line names, and that no two of them are the same: whatever is written
//! last would take the place of the other.

use super::error::CliError;
use super::files::behind_links;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

/// A file or folder that a command reads or writes.
#[derive(Clone, Debug)]
pub struct Place {
    /// The option or argument that names it.
    by: &'static str,
    path: PathBuf,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A file that is written.
    File,
    /// A folder that files are written into.
    Folder,
    /// A file or folder that is read.
    Read,
}

impl Place {
    /// A file that is written.
    pub fn file(by: &'static str, path: impl Into<PathBuf>) -> Place {
        let (path, kind) = (path.into(), Kind::File);
        Place { by, path, kind }
    }

    /// A folder that files are written into.
    pub fn folder(by: &'static str, path: impl Into<PathBuf>) -> Place {
        let (path, kind) = (path.into(), Kind::Folder);
        Place { by, path, kind }
    }

    /// A file or folder that is read.
    pub fn read(by: &'static str, path: impl Into<PathBuf>) -> Place {
        let (path, kind) = (path.into(), Kind::Read);
        Place { by, path, kind }
    }

    /// Whether what is written to one would take the place of the other, or lie in a file as if in a folder.
    fn clashes(&self, other: &Place) -> bool {
        let (one, two) = (resolved(&self.path), resolved(&other.path));
        match (self.kind, other.kind) {
            (Kind::Read | Kind::Folder, Kind::Read | Kind::Folder) => false,
            (Kind::File, Kind::File) => one.starts_with(&two) || two.starts_with(&one),
            (Kind::File, _) => two.starts_with(&one),
            (_, Kind::File) => one.starts_with(&two),
        }
    }
}

/// Refuses a command line on which two places are the same.
///
/// # Errors
/// Two are.
pub fn distinct(places: &[Place]) -> Result<(), CliError> {
    // Pipes and devices take everything.
    let takes_all = |path: &Path| fs::metadata(path).is_ok_and(|it| !it.is_file() && !it.is_dir());
    let mut before: Vec<&Place> = Vec::new();
    for place in places.iter().filter(|it| !takes_all(&it.path)) {
        if let Some(other) = before.iter().find(|it| it.clashes(place)) {
            return Err(CliError::SamePlace(format!(
                "{} {} and {} {} are the same file or folder, or one contains the other; one would overwrite the other",
                other.by,
                other.path.display(),
                place.by,
                place.path.display()
            )));
        }
        before.push(place);
    }
    Ok(())
}

/// The path without links, `.` and `..`, as far as it is there; the rest as it is spelled.
fn resolved(path: &Path) -> PathBuf {
    let path = behind_links(path);
    let path = std::path::absolute(&path).unwrap_or(path);
    let mut here = path.as_path();
    let mut rest = Vec::new();
    let mut known = loop {
        match (here.canonicalize(), here.parent()) {
            (Ok(known), _) => break known,
            (Err(_), Some(parent)) => {
                rest.push(here.file_name().unwrap_or(OsStr::new("..")));
                here = parent;
            }
            (Err(_), None) => break here.to_owned(),
        }
    };
    for part in rest.into_iter().rev() {
        if part == ".." {
            known.pop();
        } else {
            known.push(part);
        }
    }
    known
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_place_has_many_spellings() {
        let folder = tempfile::tempdir().expect("there is a place for temporary files");
        let here = folder.path();
        fs::create_dir(here.join("sub")).expect("a folder of our own");
        fs::write(here.join("it"), "").expect("a file of our own");
        let clash = |one: Place, two: Place| distinct(&[one, two]).is_err();
        let file = |path: &str| Place::file("--file", here.join(path));
        let folder = |path: &str| Place::folder("--folder", here.join(path));
        let read = |path: &str| Place::read("FILE", here.join(path));
        for same in ["it", "./it", "sub/../it", "sub/.././it", "none/../it"] {
            assert!(clash(file("it"), file(same)), "{same}");
            assert!(clash(read(same), file("it")), "{same}");
        }
        assert!(clash(file("new"), file("sub/../new")));
        assert!(clash(file("new"), folder("new")));
        assert!(clash(folder("new/folder"), file("new")));
        assert!(!clash(folder("new"), file("new/file")));
        assert!(!clash(folder("new"), folder("new")));
        assert!(!clash(read("it"), read("it")));
        assert!(!clash(file("it"), file("it2")));
        if cfg!(unix) {
            assert!(!clash(file("/dev/null"), file("/dev/null")));
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_link_is_what_it_leads_to() {
        let folder = tempfile::tempdir().expect("there is a place for temporary files");
        let here = folder.path();
        std::os::unix::fs::symlink("new", here.join("link")).expect("it can be linked");
        let file = |path: &str| Place::file("--file", here.join(path));
        assert!(distinct(&[file("new"), file("link")]).is_err());
    }
}

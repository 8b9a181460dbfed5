use super::{Problem, TraceError};
use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// The extension of trace files, without the dot.
pub const TRACE_EXTENSION: &str = "ndjson";

/// The number of entries of a folder that an error names.
const NAMED: usize = 20;

/// The maximum number of entries of a folder, with all below it. A link may lead to the whole machine.
const MAX_ENTRIES: usize = 1_000_000;

/// The files that a path stands for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TraceFiles {
    /// The files to read, in order.
    pub traces: Vec<PathBuf>,
    /// The other entries, in order.
    pub passed_over: Vec<PassedOver>,
}

impl TraceFiles {
    /// Adds what another path stands for.
    pub fn append(&mut self, mut other: TraceFiles) {
        self.traces.append(&mut other.traces);
        self.passed_over.append(&mut other.passed_over);
    }
}

/// An entry of a folder that is not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassedOver {
    /// The entry.
    pub path: PathBuf,
    /// Why it is not read.
    pub why: Why,
}

/// Why an entry of a folder is not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// It has another ending than traces have.
    OtherEnding,
    /// It leads to a file or folder that is read under another name.
    SameAs(PathBuf),
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Why::OtherEnding => write!(f, "its name does not end in .{TRACE_EXTENSION}"),
            Why::SameAs(path) => write!(f, "it is the same as {}", path.display()),
        }
    }
}

/// The trace files that a path stands for: the file itself, whatever its name, or every `*.ndjson` below a
/// directory. Links are followed; what can be come by on several ways is taken once.
///
/// # Errors
/// The path cannot be read, or is a directory without any trace, or with anything in it that cannot be read:
/// nothing to check is an error, and so is what nobody could look at.
pub fn trace_files(path: &Path) -> Result<TraceFiles, TraceError> {
    let fail = |problem| TraceError {
        source_name: path.display().to_string(),
        line: 0,
        field: String::new(),
        problem,
    };
    let is_folder = fs::metadata(path).map_err(|error| fail(Problem::Io(error)))?;
    if !is_folder.is_dir() {
        return Ok(TraceFiles {
            traces: vec![path.to_owned()],
            passed_over: Vec::new(),
        });
    }
    let mut collection = Collection::default();
    collection.entry(path);
    let Collection {
        mut found,
        mut unreadable,
        ..
    } = collection;
    if !unreadable.is_empty() {
        unreadable.sort();
        let what = match unreadable.len() {
            1 => "there is an entry that cannot be read".to_owned(),
            count => format!("there are {count} entries that cannot be read"),
        };
        return Err(fail(Problem::Invalid(named(&what, &unreadable))));
    }
    found.traces.sort();
    found.passed_over.sort_by(|a, b| a.path.cmp(&b.path));
    if found.traces.is_empty() {
        let others = found.passed_over.iter();
        let others: Vec<_> = others
            .map(|it| format!("{}: {}", it.path.display(), it.why))
            .collect();
        let text = named(
            &format!("the directory holds no .{TRACE_EXTENSION} file"),
            &others,
        );
        return Err(fail(Problem::Invalid(text)));
    }
    Ok(found)
}

/// A sentence with a list, of which the beginning is shown.
fn named(what: &str, list: &[String]) -> String {
    let mut text = what.to_owned();
    for line in list.iter().take(NAMED) {
        text += &format!("\n  {line}");
    }
    if list.len() > NAMED {
        text += &format!("\n  and {} more", list.len() - NAMED);
    }
    text
}

#[derive(Default)]
struct Collection {
    found: TraceFiles,
    unreadable: Vec<String>,
    entries: usize,
    /// Under which name a file or folder was first come by, by its name without links.
    names: BTreeMap<PathBuf, PathBuf>,
}

impl Collection {
    fn entry(&mut self, path: &Path) {
        self.entries += 1;
        if self.entries > MAX_ENTRIES {
            if self.entries == MAX_ENTRIES + 1 {
                let text = format!("{}: more than {MAX_ENTRIES} entries", path.display());
                self.unreadable.push(text);
            }
        } else if let Err(error) = self.look_at(path) {
            self.unreadable.push(format!("{}: {error}", path.display()));
        }
    }

    fn look_at(&mut self, path: &Path) -> io::Result<()> {
        let kind = fs::metadata(path)?;
        let is_trace = path.extension().is_some_and(|it| it == TRACE_EXTENSION);
        let why = if !kind.is_dir() && !is_trace {
            Some(Why::OtherEnding)
        } else {
            let real = fs::canonicalize(path)?;
            let first = self.names.entry(real).or_insert_with(|| path.to_owned());
            (first != path).then(|| Why::SameAs(first.clone()))
        };
        if let Some(why) = why {
            let path = path.to_owned();
            self.found.passed_over.push(PassedOver { path, why });
        } else if kind.is_dir() {
            self.folder(path)?;
        } else if kind.is_file() {
            // Before the first is replayed, not when its turn comes.
            File::open(path)?;
            self.found.traces.push(path.to_owned());
        } else {
            // A pipe, say: whoever opened it could wait for ever.
            return Err(io::Error::other("is neither a file nor a folder"));
        }
        Ok(())
    }

    /// Entries that are no links come first, so that a file is read under its own name.
    fn folder(&mut self, path: &Path) -> io::Result<()> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            entries.push((entry.file_type()?.is_symlink(), entry.path()));
        }
        entries.sort();
        entries.iter().for_each(|(_, path)| self.entry(path));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path, paths: &[PathBuf]) -> Vec<String> {
        let name = |path: &PathBuf| path.strip_prefix(folder).unwrap().display().to_string();
        paths.iter().map(name).collect()
    }

    #[test]
    fn a_directory_stands_for_its_traces_in_order() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("sub")).unwrap();
        for name in ["b.ndjson", "a.ndjson", "README.md", "sub/c.ndjson"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        let found = trace_files(dir.path()).unwrap();
        assert_eq!(
            names(dir.path(), &found.traces),
            ["a.ndjson", "b.ndjson", "sub/c.ndjson"]
        );
        let [readme] = &found.passed_over[..] else {
            panic!("{found:?}");
        };
        assert_eq!(readme.path, dir.path().join("README.md"));
        assert_eq!(readme.why, Why::OtherEnding);
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_once() {
        use std::os::unix::fs::symlink;
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("far.ndjson"), "").unwrap();
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir(at("sub")).unwrap();
        fs::write(at("sub/own.ndjson"), "").unwrap();
        symlink(outside.path(), at("linked")).unwrap();
        symlink("sub/own.ndjson", at("again.ndjson")).unwrap();
        symlink("..", at("sub/up")).unwrap();
        symlink("other.ndjson", at("sub/first.ndjson")).unwrap();
        fs::write(at("sub/other.ndjson"), "").unwrap();
        let found = trace_files(dir.path()).unwrap();
        assert_eq!(
            names(dir.path(), &found.traces),
            ["linked/far.ndjson", "sub/other.ndjson", "sub/own.ndjson"]
        );
        let others: Vec<_> = found
            .passed_over
            .into_iter()
            .map(|it| (it.path, it.why))
            .collect();
        assert_eq!(
            others,
            [
                (at("again.ndjson"), Why::SameAs(at("sub/own.ndjson"))),
                (at("sub/first.ndjson"), Why::SameAs(at("sub/other.ndjson"))),
                (at("sub/up"), Why::SameAs(dir.path().to_owned())),
            ]
        );
    }

    #[cfg(unix)]
    #[test]
    fn what_cannot_be_read_is_an_error() {
        use std::os::unix::fs::symlink;
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("fine.ndjson"), "").unwrap();
        symlink("nowhere.ndjson", dir.path().join("dangling.ndjson")).unwrap();
        symlink("circle", dir.path().join("circle")).unwrap();
        let socket = dir.path().join("socket.ndjson");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let error = trace_files(dir.path()).unwrap_err().to_string();
        for part in [
            "3 entries",
            "dangling.ndjson: ",
            "circle: ",
            "socket.ndjson: is neither",
        ] {
            assert!(error.contains(part), "{part}: {error}");
        }
    }

    #[test]
    fn nothing_to_check_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        assert!(trace_files(dir.path()).is_err());
        assert!(trace_files(&dir.path().join("missing")).is_err());
        fs::write(dir.path().join("trace.json"), "").unwrap();
        let error = trace_files(dir.path()).unwrap_err().to_string();
        assert!(
            error.contains("trace.json: its name does not end in .ndjson"),
            "{error}"
        );
    }
}

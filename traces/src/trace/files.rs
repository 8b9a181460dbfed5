use super::{Problem, TraceError};
use std::path::{Path, PathBuf};

/// The extension of trace files, without the dot.
pub const TRACE_EXTENSION: &str = "ndjson";

/// The trace files that a path stands for, in order: the file itself, whatever its name, or every
/// `*.ndjson` below a directory.
///
/// # Errors
/// The path cannot be read, or is a directory without any trace: nothing to check is an error.
pub fn trace_files(path: &Path) -> Result<Vec<PathBuf>, TraceError> {
    let fail = |problem| TraceError {
        source_name: path.display().to_string(),
        line: 0,
        field: String::new(),
        problem,
    };
    let mut found = Vec::new();
    collect(path, true, &mut found).map_err(|error| fail(Problem::Io(error)))?;
    if found.is_empty() {
        let text = format!("the directory holds no .{TRACE_EXTENSION} file");
        return Err(fail(Problem::Invalid(text)));
    }
    found.sort();
    Ok(found)
}

fn collect(path: &Path, named: bool, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    if std::fs::metadata(path)?.is_dir() {
        for entry in std::fs::read_dir(path)? {
            let entry = entry?;
            // A link below the named path is not followed: it may lead back up.
            if !entry.file_type()?.is_symlink() {
                collect(&entry.path(), false, found)?;
            }
        }
    } else if named || path.extension().is_some_and(|it| it == TRACE_EXTENSION) {
        found.push(path.to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_stands_for_its_traces_in_order() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("sub")).unwrap();
        for name in ["b.ndjson", "a.ndjson", "README.md", "sub/c.ndjson"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        let names: Vec<_> = trace_files(dir.path())
            .unwrap()
            .into_iter()
            .map(|path| path.strip_prefix(dir.path()).unwrap().to_owned())
            .collect();
        assert_eq!(
            names,
            ["a.ndjson", "b.ndjson", "sub/c.ndjson"].map(PathBuf::from)
        );
    }

    #[test]
    fn nothing_to_check_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        assert!(trace_files(dir.path()).is_err());
        assert!(trace_files(&dir.path().join("missing")).is_err());
    }
}

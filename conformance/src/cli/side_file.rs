//! Files beside the result: JUnit, traces, tables. Each is tried before the work begins, so that a mistyped
//! path is known at once; one that cannot be written is reported and takes nothing else with it.

use super::error::CliError;
use super::files;
use super::progress::Reporter;
use lockstep_traces::Trace;
use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

/// A file that is written at the end of the work.
#[derive(Clone, Debug)]
pub struct SideFile {
    path: PathBuf,
    /// The path that somebody asked for, if it is not the usual one.
    asked: Option<PathBuf>,
}

impl SideFile {
    /// A file that was asked for. It is tried, and if it cannot be written, that is said now, and it is missing
    /// unless it can be later; whether there will be something to write or not.
    pub fn named(path: &Path, reporter: &Reporter) -> SideFile {
        let file = SideFile::at(path);
        if let Err(source) = attempt(path) {
            reporter.unwritable(path, file.failed(source));
        }
        file
    }

    /// The same for one file of each of these names. Where none can be written, that is said once, of the path
    /// that was asked for.
    pub fn named_about(path: &Path, names: &[String], reporter: &Reporter) -> Vec<SideFile> {
        let whole = SideFile::at(path);
        let files: Vec<_> = names.iter().map(|name| whole.about(name)).collect();
        let failed = files.iter().filter_map(|file| {
            let source = attempt(&file.path).err()?;
            Some((file, source))
        });
        let mut failed: Vec<_> = failed.collect();
        if failed.len() == files.len()
            && let Some((_, source)) = failed.pop()
        {
            reporter.unwritable(path, whole.failed(source));
        } else {
            for (file, source) in failed {
                reporter.unwritable(&file.path, file.failed(source));
            }
        }
        files
    }

    /// The usual file, of which nothing is said unless it is needed.
    pub fn usual(path: &str) -> SideFile {
        SideFile {
            path: PathBuf::from(path),
            asked: None,
        }
    }

    /// A file that was asked for, and tried before.
    pub fn at(path: &Path) -> SideFile {
        SideFile {
            path: path.to_owned(),
            asked: Some(path.to_owned()),
        }
    }

    /// One of several files of this kind, with the name of what it is about before its ending. All that go to
    /// a pipe or a device go to the same.
    #[must_use]
    pub fn about(&self, what: &str) -> SideFile {
        let elsewhere = fs::metadata(&self.path).is_ok_and(|there| !there.is_file());
        if elsewhere {
            return self.clone();
        }
        let mut name = self.path.file_stem().unwrap_or_default().to_owned();
        name.push("-");
        let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
        name.push(what.chars().map(plain).collect::<String>());
        if let Some(ending) = self.path.extension() {
            name.push(".");
            name.push(ending);
        }
        SideFile {
            path: self.path.with_file_name(name),
            asked: self.asked.clone(),
        }
    }

    /// Says that a file is going to be replaced that was there before.
    pub fn replaces(&self) -> Option<String> {
        let there = fs::metadata(&self.path).is_ok_and(|it| it.is_file() && it.len() > 0);
        let path = self.path.display();
        there.then(|| format!("{path} was there before, and has been replaced"))
    }

    /// Returns its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the whole file. A failure is reported, and is no other's.
    pub fn write(&self, bytes: &[u8], reporter: &Reporter) -> Result<(), String> {
        self.done(files::write(&self.path, bytes), reporter)
    }

    /// Writes the file as a trace. A failure is reported, and is no other's.
    pub fn save(&self, trace: &Trace, reporter: &Reporter) -> Result<(), String> {
        self.done(save(trace, &self.path), reporter)
    }

    fn done(&self, written: io::Result<()>, reporter: &Reporter) -> Result<(), String> {
        match (written, &self.asked) {
            (Ok(()), asked) => {
                reporter.written(&self.path);
                asked.iter().for_each(|asked| reporter.written(asked));
                Ok(())
            }
            (Err(source), asked) => {
                let error = self.failed(source);
                if asked.is_some() {
                    reporter.unwritten(&self.path, error.clone());
                }
                Err(error)
            }
        }
    }

    fn failed(&self, source: io::Error) -> String {
        let path = self.path.clone();
        CliError::Output { path, source }.to_string()
    }
}

/// Writes a trace to a file.
///
/// # Errors
/// It cannot be written; then everything is as it was.
pub fn save(trace: &Trace, path: &Path) -> io::Result<()> {
    let mut bytes = Vec::new();
    trace.write(&mut bytes)?;
    files::write(path, &bytes)
}

/// Checks that the result itself can be written to a file, before the work.
///
/// # Errors
/// It cannot.
pub fn can_be_written(path: Option<&Path>) -> Result<(), CliError> {
    let Some(path) = path else {
        return Ok(());
    };
    attempt(path).map_err(|source| CliError::Output {
        path: path.to_owned(),
        source,
    })
}

/// Checks that a file can be written there, as far as that can be known without writing it. A file that was not there
/// is not there afterwards.
fn attempt(path: &Path) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(there) if there.is_file() => OpenOptions::new().write(true).open(path).map(drop),
        Ok(there) if there.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        // To open a pipe or a device can wait, or mean something.
        Ok(_) => Ok(()),
        Err(_) => {
            // What a link leads to is made, and is not there yet.
            let path = files::behind_links(path);
            OpenOptions::new()
                .write(true)
                .create_new(true)
                .open(&path)?;
            fs::remove_file(&path)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_of_several_files_has_a_name_of_its_own() {
        let about = |path: &str, what: &str| SideFile::at(Path::new(path)).about(what).path;
        assert_eq!(
            about("divergence.ndjson", "conform two votes"),
            Path::new("divergence-conform-two-votes.ndjson")
        );
        assert_eq!(about("out/it", "walk"), Path::new("out/it-walk"));
        assert_eq!(about("a.b/c.d.e", "x"), Path::new("a.b/c.d-x.e"));
        if cfg!(unix) {
            assert_eq!(about("/dev/null", "walk"), Path::new("/dev/null"));
        }
    }

    #[test]
    fn a_file_that_is_replaced_is_named() {
        let folder = tempfile::tempdir().expect("there is a place for temporary files");
        let file = SideFile::at(&folder.path().join("it.ndjson"));
        assert_eq!(file.replaces(), None);
        fs::write(file.path(), "before").expect("it is written");
        let said = file.replaces().expect("it is there");
        assert!(said.contains("it.ndjson was there before"), "{said}");
    }

    #[test]
    fn a_trial_leaves_everything_as_it_was() {
        let folder = tempfile::tempdir().expect("there is a place for temporary files");
        let path = folder.path().join("report.xml");
        attempt(&path).expect("it can be made");
        assert!(!path.exists());
        fs::write(&path, "before").expect("it is written");
        attempt(&path).expect("it can be written again");
        assert_eq!(fs::read_to_string(&path).expect("it is there"), "before");
        assert!(attempt(folder.path()).is_err());
        assert!(attempt(&folder.path().join("missing/report.xml")).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn a_link_is_tried_where_it_leads() {
        use std::os::unix::fs::symlink;
        let folder = tempfile::tempdir().expect("there is a place for temporary files");
        let link = |name: &str, to: &str| {
            let link = folder.path().join(name);
            symlink(to, &link).expect("it can be linked");
            link
        };
        attempt(&link("new", "report.xml")).expect("it can be made");
        assert!(!folder.path().join("report.xml").exists());
        assert!(attempt(&link("nowhere", "missing/report.xml")).is_err());
        assert!(attempt(&link("round", "round")).is_err());
    }
}

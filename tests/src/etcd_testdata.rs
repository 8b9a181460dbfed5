//! Finding etcd's own test scripts, which are not part of this repository.
//!
//! The environment variable [`VARIABLE`] names a folder in one of two layouts: `quorum/`,
//! `confchange/` and `interaction/`, or that of etcd's Go module, `quorum/testdata/`,
//! `confchange/testdata/` and `testdata/`. Every script of such a folder is taken; there is no list
//! of scripts to leave out. [`VARIABLE`] is for v3.6.0; [`Version`] names the one of each version.

use std::ffi::OsStr;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::datadriven_script::Failure;

/// The environment variable that names the folder.
pub const VARIABLE: &str = "LOCKSTEP_ETCD_TESTDATA";

/// The environment variable that makes it an error if a suite is not there (our CI sets it).
pub const REQUIRED: &str = "LOCKSTEP_REQUIRE_ETCD_TESTDATA";

/// A version of etcd's raft. The scripts of the two differ in how some lines are worded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// v3.6.0.
    #[default]
    V3_6,
    /// v3.7.0.
    V3_7,
}

impl Version {
    const ALL: [Version; 2] = [Version::V3_6, Version::V3_7];

    /// The environment variable that names the folder with its scripts.
    pub const fn variable(self) -> &'static str {
        match self {
            Version::V3_6 => VARIABLE,
            Version::V3_7 => "LOCKSTEP_ETCD_TESTDATA_3_7",
        }
    }

    fn how_to_get(self) -> String {
        let variable = self.variable();
        let module = match self {
            Version::V3_6 => "go.etcd.io/raft/v3@v3.6.0",
            Version::V3_7 => "go.etcd.io/raft/v3@v3.7.0",
        };
        format!(
            "to run them: `go mod download {module}`, then set {variable} to the folder that \
             `go list -m -f '{{{{.Dir}}}}' {module}` or `$(go env GOMODCACHE)/{module}` names"
        )
    }
}

/// A group of scripts that one runner understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suite {
    /// Committed indexes and votes of majority and joint quorums.
    Quorum,
    /// Changes of the membership.
    ConfChange,
    /// Whole clusters.
    Interaction,
}

impl Suite {
    const ALL: [Suite; 3] = [Suite::Quorum, Suite::ConfChange, Suite::Interaction];

    /// Returns the folders of the scripts, the Go module's layout first: there `quorum/` itself holds code.
    const fn folders(self) -> [&'static str; 2] {
        match self {
            Suite::Quorum => ["quorum/testdata", "quorum"],
            Suite::ConfChange => ["confchange/testdata", "confchange"],
            Suite::Interaction => ["testdata", "interaction"],
        }
    }

    fn folder_in(self, root: &Path) -> Option<PathBuf> {
        self.folders()
            .map(|folder| root.join(folder))
            .into_iter()
            .find(|folder| folder.is_dir())
    }
}

/// Runs every script of the suite in the folders that the variables of the versions name, in the order of their
/// names.
///
/// `run` returns the number of commands it ran. If a variable is not set, or the folder lacks this
/// suite but has another, a line on standard error says that nothing was run, and why; where
/// [`REQUIRED`] is set, that is a failure, but for a newer version whose variable is not set.
///
/// # Panics
///
/// With a report of every script that failed; or if the variable names something that holds no
/// suite, or a suite without scripts: then nothing was checked, which is no success.
pub fn run_suite(suite: Suite, mut run: impl FnMut(&Path, Version) -> Result<usize, Failure>) {
    for version in Version::ALL {
        let root = std::env::var_os(version.variable()).map(|root| absolute(&root));
        let wanted = version == Version::V3_6 || root.is_some();
        let required = wanted && std::env::var_os(REQUIRED).is_some();
        let run = |script: &Path| run(script, version);
        match run_suite_in(root.as_deref(), version, suite, required, run) {
            Ok(summary) => say(&summary),
            Err(report) => panic!("{report}"),
        }
    }
}

/// As [`run_suite`], for one version in this folder, if any, and with a missing suite as a failure if it is
/// `required`. The summary or the report is a text for a person.
///
/// # Errors
///
/// Whatever makes [`run_suite`] panic.
pub fn run_suite_in(
    root: Option<&Path>,
    version: Version,
    suite: Suite,
    required: bool,
    mut run: impl FnMut(&Path) -> Result<usize, Failure>,
) -> Result<String, String> {
    let missing = |why: String| match required {
        true => Err(format!(
            "{suite:?} scripts of etcd {version:?}: {why}, and {REQUIRED} is set"
        )),
        false => Ok(format!(
            "{suite:?} scripts of etcd {version:?}: SKIPPED, {why}"
        )),
    };
    let how_to_get = version.how_to_get();
    let Some(root) = root else {
        return missing(format!("{} is not set; {how_to_get}", version.variable()));
    };
    let Some(folder) = suite.folder_in(root) else {
        return match Suite::ALL
            .into_iter()
            .find_map(|suite| suite.folder_in(root))
        {
            Some(_) => missing(format!("none in {}", root.display())),
            None => Err(format!(
                "{} holds no scripts of etcd; {how_to_get}",
                root.display()
            )),
        };
    };
    let scripts = scripts_in(&folder)?;
    if scripts.is_empty() {
        return Err(format!("{} holds no script", folder.display()));
    }
    let mut commands = 0;
    let mut failures = Vec::new();
    for script in &scripts {
        match run(script) {
            Ok(count) => commands += count,
            Err(failure) => failures.push(failure.to_string()),
        }
    }
    let total = scripts.len();
    if failures.is_empty() {
        return Ok(format!(
            "{suite:?} scripts of etcd {version:?}: {total} passed, {commands} commands"
        ));
    }
    Err(format!(
        "{} of {total} {suite:?} scripts failed\n\n{}",
        failures.len(),
        failures.join("\n")
    ))
}

/// Past the test harness, which would show the standard streams of failed tests only.
fn say(line: &str) {
    // If standard error is closed there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// A relative path is meant from where the command was given: the top of the workspace. Cargo runs
/// tests in the folder of their package.
fn absolute(path: &OsStr) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// Every file below the folder, by name; not the hidden files and backups of editors.
fn scripts_in(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let unreadable = |error| format!("{} cannot be read: {error}", folder.display());
    let mut scripts = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with('.') || name.ends_with('~') || name.starts_with('#') {
            continue;
        }
        if path.is_dir() {
            scripts.extend(scripts_in(&path)?);
        } else {
            scripts.push(path);
        }
    }
    scripts.sort();
    Ok(scripts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for file in files {
            let path = root.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        root
    }

    fn names(files: &[&str], suite: Suite) -> Result<(Vec<String>, String), String> {
        let root = folder(files);
        let mut names = Vec::new();
        let summary = run_suite_in(Some(root.path()), Version::V3_7, suite, false, |script| {
            let name = script.strip_prefix(root.path()).unwrap();
            names.push(name.to_string_lossy().into_owned());
            Ok(2)
        })?;
        Ok((names, summary))
    }

    #[test]
    fn both_layouts_are_understood() {
        let plain = [
            "quorum/b.txt",
            "quorum/deep/a.txt",
            "interaction/c.txt",
            "quorum/.x",
            "quorum/a~",
        ];
        let (names_found, summary) = names(&plain, Suite::Quorum).unwrap();
        assert_eq!(names_found, ["quorum/b.txt", "quorum/deep/a.txt"]);
        assert!(summary.contains("2 passed, 4 commands"), "{summary}");
        let module = [
            "quorum/testdata/a.txt",
            "quorum/quorum.go",
            "testdata/c.txt",
        ];
        assert_eq!(
            names(&module, Suite::Quorum).unwrap().0,
            ["quorum/testdata/a.txt"]
        );
        assert_eq!(
            names(&module, Suite::Interaction).unwrap().0,
            ["testdata/c.txt"]
        );
    }

    #[test]
    fn a_suite_that_is_not_there_is_skipped_aloud() {
        let (names, summary) = names(&["quorum/a.txt"], Suite::ConfChange).unwrap();
        assert!(names.is_empty() && summary.contains("SKIPPED"), "{summary}");
    }

    #[test]
    fn a_suite_that_is_required_must_be_there() {
        let root = folder(&["quorum/a.txt"]);
        let run =
            |root, suite, required| run_suite_in(root, Version::V3_6, suite, required, |_| Ok(1));
        for suite in [Suite::ConfChange, Suite::Interaction] {
            let report = run(Some(root.path()), suite, true).unwrap_err();
            assert!(
                report.contains("none in") && report.contains(REQUIRED),
                "{report}"
            );
        }
        assert!(run(Some(root.path()), Suite::Quorum, true).is_ok());
        for suite in Suite::ALL {
            assert!(run(None, suite, true).unwrap_err().contains(REQUIRED));
            assert!(run(None, suite, false).unwrap().contains("SKIPPED"));
        }
    }

    #[test]
    fn nothing_to_run_is_no_success() {
        assert!(names(&["other/a.txt"], Suite::Quorum).is_err());
        assert!(
            names(&["quorum/.hidden"], Suite::Quorum)
                .unwrap_err()
                .contains("no script")
        );
    }

    #[test]
    fn every_failure_is_reported() {
        let root = folder(&["confchange/a.txt", "confchange/b.txt", "confchange/c.txt"]);
        let run = |script: &Path| {
            if script.ends_with("b.txt") {
                return Ok(1);
            }
            Err(Failure {
                path: script.to_owned(),
                line: 3,
                report: "wrong".to_owned(),
            })
        };
        let root = Some(root.path());
        let report = run_suite_in(root, Version::V3_7, Suite::ConfChange, false, run).unwrap_err();
        assert!(
            report.starts_with("2 of 3 ConfChange scripts failed"),
            "{report}"
        );
        assert!(
            report.contains("a.txt:3") && report.contains("c.txt:3"),
            "{report}"
        );
    }
}

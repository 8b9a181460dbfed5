//! The sources of the workspace, copies of them, and Cargo in a copy.

use crate::mutant::fnv;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Everything of the workspace that a copy holds.
const COPIED: [&str; 7] = [
    "Cargo.toml",
    "Cargo.lock",
    "traces",
    "model",
    "impl",
    "conformance",
    "tests",
];

/// Something went wrong outside of the bugs and mutants.
#[derive(Debug)]
pub struct Failure(pub String);

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure(error.to_string())
    }
}

/// The sources, by their paths from the top of the workspace.
#[derive(Clone, Debug)]
pub struct Checkout(BTreeMap<PathBuf, Vec<u8>>);

impl Checkout {
    /// Reads the sources.
    ///
    /// # Errors
    ///
    /// A file cannot be read.
    pub fn read(workspace: &Path) -> Result<Checkout, Failure> {
        let mut files = BTreeMap::new();
        for name in COPIED {
            collect(workspace, Path::new(name), &mut files)?;
        }
        Ok(Checkout(files))
    }

    /// The paths.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.0.keys().map(PathBuf::as_path)
    }

    /// The text of a file.
    ///
    /// # Errors
    ///
    /// There is no such file, or it is no text.
    pub fn text(&self, path: &Path) -> Result<&str, Failure> {
        let missing = || Failure(format!("there is no {}", path.display()));
        let bytes = self.0.get(path).ok_or_else(missing)?;
        let not_text = |_| Failure(format!("{} is no text", path.display()));
        std::str::from_utf8(bytes).map_err(not_text)
    }

    /// Puts a text in the place of a file, or adds it.
    pub fn put(&mut self, path: impl Into<PathBuf>, text: String) {
        self.0.insert(path.into(), text.into_bytes());
    }

    /// Gives the packages a version of their own. Cargo names what it makes of a package by version and place
    /// in the workspace; so a copy shares a folder with the checkout, and in it everything that both
    /// depend on.
    ///
    /// # Errors
    ///
    /// `Cargo.toml` has no version for all packages.
    pub fn label(&mut self, label: &str) -> Result<(), Failure> {
        let manifest = Path::new("Cargo.toml");
        let version = "[workspace.package]\nversion = \"";
        let text = self.text(manifest)?;
        let found = text.split_once(version);
        let Some((of_all, _)) = found.and_then(|(_, rest)| rest.split_once('"')) else {
            let text = "Cargo.toml does not begin [workspace.package] with a version";
            return Err(Failure(text.to_owned()));
        };
        // The packages ask for each other by the version that they all have.
        let asked = format!("version = \"{of_all}\"");
        let text = text.replace(
            &asked,
            &format!("version = \"0.0.0-{label}.from.{of_all}\""),
        );
        self.put(manifest, text);
        Ok(())
    }

    /// A number that changes with anything that could change a result.
    pub fn fingerprint(&self) -> u64 {
        let counts = |path: &Path| {
            let name = path.to_string_lossy();
            !name.ends_with(".md") && !name.starts_with("conformance/mutator")
        };
        let files = self.0.iter().filter(|(path, _)| counts(path));
        files.fold(fnv(b"1"), |hash, (path, bytes)| {
            let name = path.to_string_lossy();
            fnv(&[&hash.to_le_bytes(), name.as_bytes(), bytes].concat())
        })
    }

    /// Writes the files that `wanted` names into a folder, and removes sources that are no longer there. A
    /// file that is the same keeps its time, so that it is not compiled again.
    ///
    /// # Errors
    ///
    /// A file cannot be written.
    pub fn write(&self, folder: &Path, wanted: impl Fn(&Path) -> bool) -> Result<(), Failure> {
        self.remove_others(folder, folder)?;
        for (path, bytes) in self.0.iter().filter(|(path, _)| wanted(path)) {
            write_if_changed(&folder.join(path), bytes)?;
        }
        Ok(())
    }

    fn remove_others(&self, root: &Path, folder: &Path) -> io::Result<()> {
        let Ok(entries) = fs::read_dir(folder) else {
            return Ok(());
        };
        for entry in entries {
            let path = entry?.path();
            if path.is_dir() {
                self.remove_others(root, &path)?;
            } else if let Ok(name) = path.strip_prefix(root)
                && name
                    .extension()
                    .is_some_and(|it| it == "rs" || it == "ndjson")
                && !self.0.contains_key(name)
            {
                fs::remove_file(&path)?;
            }
        }
        Ok(())
    }
}

fn collect(root: &Path, path: &Path, into: &mut BTreeMap<PathBuf, Vec<u8>>) -> Result<(), Failure> {
    let name = path.file_name().map(|it| it.to_string_lossy().into_owned());
    if name.is_some_and(|name| name.starts_with('.') || name == "target") {
        return Ok(());
    }
    let full = root.join(path);
    if full.is_dir() {
        for entry in fs::read_dir(&full)? {
            collect(root, &path.join(entry?.file_name()), into)?;
        }
    } else {
        let bytes =
            fs::read(&full).map_err(|error| Failure(format!("{}: {error}", full.display())))?;
        into.insert(path.to_path_buf(), bytes);
    }
    Ok(())
}

/// Writes a file, unless it is the same already.
///
/// # Errors
///
/// It cannot be written.
pub fn write_if_changed(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, bytes)
}

/// The folder that Cargo builds the workspace in.
pub fn target(workspace: &Path) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR");
    workspace.join(target.map_or_else(|| "target".into(), PathBuf::from))
}

/// The short name of the commit of a workspace, with a word if its sources are changed.
///
/// # Errors
///
/// Git cannot be run, or knows no commit.
pub fn commit(workspace: &Path) -> Result<String, Failure> {
    let output = Command::new("git")
        .args(["describe", "--always", "--dirty=, with changes"])
        .current_dir(workspace)
        .stdin(Stdio::null())
        .output()?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned()),
        false => Err(Failure(
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )),
    }
}

/// The end of a run of Cargo.
pub struct Messages {
    /// Whether it succeeded.
    pub success: bool,
    /// Its messages in JSON.
    pub lines: Vec<Value>,
    /// Its standard error.
    pub stderr: String,
}

impl Messages {
    /// The errors of the compiler.
    pub fn errors(&self) -> impl Iterator<Item = &Value> {
        let messages = self.lines.iter().map(|line| &line["message"]);
        messages.filter(|message| message["level"] == "error")
    }

    /// The programs that were built: the name of each, and its place.
    pub fn programs(&self) -> Vec<(String, PathBuf)> {
        let program = |line: &Value| {
            let path = PathBuf::from(line["executable"].as_str()?);
            Some((line["target"]["name"].as_str()?.to_owned(), path))
        };
        self.lines.iter().filter_map(program).collect()
    }
}

/// Runs Cargo in a folder, with these environment variables besides. It uses no network.
///
/// # Errors
///
/// Cargo cannot be started.
pub fn cargo(
    folder: &Path,
    arguments: &[&str],
    environment: &[(&str, &Path)],
) -> Result<Messages, Failure> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(arguments)
        .args(["--message-format=json", "--offline"])
        .current_dir(folder)
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let lines = text.lines();
    Ok(Messages {
        success: output.status.success(),
        lines: lines
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

//! A copy of the workspace in which every mutant waits for its number, and the programs built from it.

use crate::find::find;
use crate::mutant::{Shape, fnv};
use crate::schema::{Numbered, mutants_at, schema};
use crate::switch;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What is mutated: files and folders of `impl/src`.
pub const MUTATED: [&str; 9] = [
    "core",
    "log",
    "tracker",
    "quorum",
    "confchange",
    "raw_node.rs",
    "ready.rs",
    "status.rs",
    "timer.rs",
];

/// What is left out of those, with the tests: drawings for people, and checks of debug builds only.
const LEFT_OUT: [&str; 2] = ["quorum/describe.rs", "core/invariants.rs"];

/// What the copy holds.
const COPIED: [&str; 7] = [
    "Cargo.toml",
    "Cargo.lock",
    "traces",
    "model",
    "impl",
    "conformance",
    "tests",
];

/// The module with the switch.
const SWITCH: &str = "impl/src/lockstep_mutant.rs";

/// Something went wrong outside of the mutants.
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

/// A copy with its mutants.
#[derive(Debug)]
pub struct Copy {
    folder: PathBuf,
    target: PathBuf,
    /// Every mutant, by its number less one.
    pub mutants: Vec<Numbered>,
    /// Numbers of those that do not compile.
    pub unviable: BTreeSet<usize>,
    /// Changes with anything that could change a result.
    pub fingerprint: u64,
    texts: BTreeMap<String, String>,
}

impl Copy {
    /// Copies the workspace at `from` into the folder `to`, and finds the mutants of its core.
    ///
    /// # Errors
    ///
    /// Files cannot be read or written, or are no Rust.
    pub fn make(from: &Path, to: &Path) -> Result<Copy, Failure> {
        let folder = to.join("workspace");
        let mut wanted = BTreeMap::new();
        for name in COPIED {
            collect(from, Path::new(name), &mut wanted)?;
        }
        let mut fingerprint = fnv(b"1");
        for (path, bytes) in &wanted {
            let name = path.to_string_lossy();
            if name.ends_with(".md") || name.starts_with("conformance/mutator") {
                continue;
            }
            fingerprint = fnv(&[&fingerprint.to_le_bytes(), name.as_bytes(), bytes].concat());
        }
        let mut texts = BTreeMap::new();
        for (path, bytes) in &wanted {
            let name = path.to_string_lossy();
            let inner = name.strip_prefix("impl/src/").unwrap_or_default();
            let is = |it: &&str| {
                inner == *it
                    || inner
                        .strip_prefix(*it)
                        .is_some_and(|rest| rest.starts_with('/'))
            };
            let is_test = path.iter().any(|it| it == "tests" || it == "tests.rs");
            if MUTATED.iter().any(is) && !LEFT_OUT.iter().any(is) && !is_test {
                let text = String::from_utf8(bytes.clone())
                    .map_err(|_| Failure(format!("{name} is no text")))?;
                texts.insert(inner.to_owned(), text);
            }
        }
        let mut mutants = Vec::new();
        for (name, text) in &texts {
            let found = find(name, text).map_err(|error| Failure(format!("{name}: {error}")))?;
            mutants.extend(found);
        }
        let mutants = mutants.into_iter().enumerate();
        let mutants: Vec<Numbered> = mutants
            .map(|(at, mutant)| Numbered {
                number: at + 1,
                mutant,
            })
            .collect();
        remove_others(&folder, &folder, &wanted)?;
        for (path, bytes) in &wanted {
            let inner = path.strip_prefix("impl/src").ok().map(Path::to_path_buf);
            let inner = inner.map(|it| it.to_string_lossy().into_owned());
            let is_rewritten = inner
                .as_ref()
                .is_some_and(|it| it == "lib.rs" || texts.contains_key(it));
            if !is_rewritten {
                write_if_changed(&folder.join(path), bytes)?;
            }
        }
        let lib = wanted
            .get(Path::new("impl/src/lib.rs"))
            .ok_or_else(|| Failure("there is no impl/src/lib.rs".to_owned()))?;
        let lib = [lib.as_slice(), b"\nmod lockstep_mutant;\n"].concat();
        write_if_changed(&folder.join("impl/src/lib.rs"), &lib)?;
        let module = switch::module(mutants.len());
        write_if_changed(&folder.join(SWITCH), module.as_bytes())?;
        Ok(Copy {
            folder,
            target: to.join("build"),
            mutants,
            unviable: BTreeSet::new(),
            fingerprint,
            texts,
        })
    }

    /// The folder of the copy.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes the mutated files, and leaves out what does not compile until the rest does.
    ///
    /// # Errors
    ///
    /// The compiler complains of something that is no mutant.
    pub fn settle(&mut self, mut say: impl FnMut(&str)) -> Result<(), Failure> {
        let names: BTreeSet<String> = fs::read(self.memory())
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default();
        // What did not compile before need not be tried again: a name says what the change is.
        for it in &self.mutants {
            if names.contains(&it.mutant.key()) {
                self.unviable.insert(it.number);
            }
        }
        loop {
            let schemata = self.write()?;
            let dropped = self.check(&schemata)?;
            if dropped.is_empty() {
                break;
            }
            say(&format!(
                "{} mutants do not compile and are left out",
                dropped.len()
            ));
            self.unviable.extend(dropped);
            self.remember()?;
        }
        self.remember()
    }

    fn remember(&self) -> Result<(), Failure> {
        let names: BTreeSet<String> = self
            .mutants
            .iter()
            .filter(|it| self.unviable.contains(&it.number))
            .map(|it| it.mutant.key())
            .collect();
        let names = serde_json::to_vec(&names).unwrap_or_default();
        Ok(fs::write(self.memory(), names)?)
    }

    fn memory(&self) -> PathBuf {
        self.folder.join("unviable.json")
    }

    fn write(&self) -> Result<BTreeMap<String, String>, Failure> {
        let mut schemata = BTreeMap::new();
        for (name, text) in &self.texts {
            let mutants: Vec<&Numbered> = self
                .mutants
                .iter()
                .filter(|it| it.mutant.file == *name && !self.unviable.contains(&it.number))
                .collect();
            let schema = schema(text, &mutants, "crate::lockstep_mutant::active");
            write_if_changed(&self.folder.join("impl/src").join(name), schema.as_bytes())?;
            schemata.insert(name.clone(), schema);
        }
        Ok(schemata)
    }

    /// The numbers of the mutants that the compiler does not accept.
    fn check(&self, schemata: &BTreeMap<String, String>) -> Result<BTreeSet<usize>, Failure> {
        let messages = self.cargo(&["check", "-p", "lockstep-raft", "--lib"], false)?;
        let mut dropped = BTreeSet::new();
        let mut others = Vec::new();
        for message in &messages.lines {
            let message = &message["message"];
            if message["level"] != "error" {
                continue;
            }
            let mut at = Vec::new();
            for span in message["spans"].as_array().into_iter().flatten() {
                at.extend(mutants_of(span, schemata));
                if span["is_primary"] == true && !at.is_empty() {
                    break;
                }
            }
            if at.is_empty() {
                at = self.jumps_between(&message["spans"], schemata);
            }
            if at.is_empty() && message["spans"].as_array().is_some_and(|it| !it.is_empty()) {
                let text = message["rendered"].as_str().unwrap_or_default();
                others.push(text.to_owned());
            }
            dropped.extend(at);
        }
        if dropped.is_empty() && !messages.success {
            let text = others.first().map_or("the copy does not compile", |it| it);
            return Err(Failure(text.to_owned()));
        }
        Ok(dropped)
    }

    /// An error outside of all mutants: a value is used after a branch that moved it, since the branch may
    /// not jump away any more. It is the jump between the places that the error names.
    fn jumps_between(&self, spans: &Value, schemata: &BTreeMap<String, String>) -> Vec<usize> {
        let spans = spans.as_array().map_or(&[][..], Vec::as_slice);
        let Some((schema, _)) = spans.first().and_then(|it| place_of(it, schemata)) else {
            return Vec::new();
        };
        let places: Vec<_> = spans
            .iter()
            .filter_map(|it| place_of(it, schemata))
            .map(|(_, place)| place)
            .collect();
        let start = places.iter().map(|it| it.start).min().unwrap_or_default();
        let end = places.iter().map(|it| it.end).max().unwrap_or_default();
        let is_jump = |number: &usize| {
            self.mutants.get(number - 1).is_some_and(|it| {
                let jumps = ["return", "break", "continue"];
                it.mutant.shape == Shape::Statement
                    && jumps.iter().any(|jump| it.mutant.before.starts_with(jump))
            })
        };
        mutants_at(schema, start..end)
            .into_iter()
            .filter(is_jump)
            .collect()
    }

    /// Builds programs of the copy; gives the name of each and where it is.
    ///
    /// # Errors
    ///
    /// They cannot be built.
    pub fn build(&self, arguments: &[&str]) -> Result<Vec<(String, PathBuf)>, Failure> {
        let messages = self.cargo(arguments, true)?;
        if !messages.success {
            return Err(Failure(format!("cargo {} fails", arguments.join(" "))));
        }
        let programs = messages.lines.iter().filter_map(|it| {
            let path = it["executable"].as_str()?;
            Some((
                it["target"]["name"].as_str()?.to_owned(),
                PathBuf::from(path),
            ))
        });
        Ok(programs.collect())
    }

    fn cargo(&self, arguments: &[&str], show: bool) -> Result<Messages, Failure> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let format = match show {
            true => "--message-format=json-render-diagnostics",
            false => "--message-format=json",
        };
        let output = Command::new(cargo)
            .args(arguments)
            .args([format, "--locked"])
            .current_dir(&self.folder)
            .env("CARGO_TARGET_DIR", &self.target)
            // The warnings of generated code help nobody.
            .stderr(
                match show && std::env::var_os("LOCKSTEP_SHOW_CARGO").is_some() {
                    true => Stdio::inherit(),
                    false => Stdio::piped(),
                },
            )
            .output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let lines = text
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect();
        if !output.status.success() && show {
            let text = String::from_utf8_lossy(&output.stderr);
            let from = text.find("error").unwrap_or_default();
            return Err(Failure(format!(
                "cargo {}: {}",
                arguments.join(" "),
                &text[from..]
            )));
        }
        Ok(Messages {
            success: output.status.success(),
            lines,
        })
    }
}

struct Messages {
    success: bool,
    lines: Vec<Value>,
}

fn mutants_of(span: &Value, schemata: &BTreeMap<String, String>) -> Vec<usize> {
    place_of(span, schemata).map_or(Vec::new(), |(schema, place)| mutants_at(schema, place))
}

fn place_of<'a>(
    span: &Value,
    schemata: &'a BTreeMap<String, String>,
) -> Option<(&'a str, Range<usize>)> {
    let file = span["file_name"].as_str()?;
    let schema = schemata.get(file.strip_prefix("impl/src/")?)?;
    let place = |name: &str| Some(span[name].as_u64()? as usize);
    Some((schema, place("byte_start")?..place("byte_end")?))
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

/// A file that is the same keeps its time, so that it is not compiled again.
fn write_if_changed(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, bytes)
}

/// What an earlier copy left and the workspace has not.
fn remove_others(
    root: &Path,
    folder: &Path,
    wanted: &BTreeMap<PathBuf, Vec<u8>>,
) -> io::Result<()> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Ok(());
    };
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            remove_others(root, &path, wanted)?;
        } else if let Ok(name) = path.strip_prefix(root)
            && name
                .extension()
                .is_some_and(|it| it == "rs" || it == "ndjson")
            && !wanted.contains_key(name)
            && name != Path::new(SWITCH)
        {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

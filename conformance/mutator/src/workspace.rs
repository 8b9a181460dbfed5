//! A copy of the workspace in which every mutant waits for its number, and the programs built from it.

use crate::checkout::{Checkout, Failure, Messages, cargo, target, write_if_changed};
use crate::find::find;
use crate::mutant::{Mutant, Shape};
use crate::package::{IMPLEMENTATION, Package, SPECIFICATION};
use crate::schema::{Numbered, mutants_at, schema};
use crate::seeded::MARK;
use crate::switch;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// The sources that are mutated.
#[derive(Clone, Copy, Debug)]
pub struct Subject {
    /// Their package.
    pub package: Package,
    /// Files and folders, from the folder of the sources.
    pub mutated: &'static [&'static str],
    /// Files of those that are left out; tests are left out always.
    pub left_out: &'static [&'static str],
    /// Functions that are left out.
    pub functions_left_out: &'static [&'static str],
}

/// The core of the production Raft, without drawings for people and checks of debug builds.
pub const CORE: Subject = Subject {
    package: IMPLEMENTATION,
    mutated: &[
        "core",
        "log",
        "tracker",
        "quorum",
        "confchange",
        "raw_node.rs",
        "ready.rs",
        "status.rs",
        "timer.rs",
    ],
    left_out: &["quorum/describe.rs", "core/invariants.rs"],
    functions_left_out: &[],
};

/// The rules of the specification, without the view of a server, which is compared and no rule, and without
/// what must hold of every server, which is a property.
pub const RULES: Subject = Subject {
    package: SPECIFICATION,
    mutated: &["server"],
    // What a server shows, and what a recorder of a run sees, are no rules.
    left_out: &["server/view.rs", "server/recorded.rs"],
    functions_left_out: &["Server::check", "Queue::check", "Queue::is_of_follower"],
};

impl Subject {
    /// The name of a mutated file from the folder of the sources; `None` for every other file.
    fn name(&self, path: &Path) -> Option<String> {
        let inner = path.strip_prefix(self.package.sources).ok()?;
        let is_test = inner.iter().any(|it| it == "tests" || it == "tests.rs");
        let is = |it: &&str| inner.starts_with(it);
        let is_mutated = self.mutated.iter().any(is) && !self.left_out.iter().any(is);
        (is_mutated && !is_test).then(|| inner.to_string_lossy().into_owned())
    }

    /// The mutated files: name and text of each.
    fn texts(&self, sources: &Checkout) -> Result<BTreeMap<String, String>, Failure> {
        let mut texts = BTreeMap::new();
        for path in sources.paths() {
            if let Some(name) = self.name(path) {
                texts.insert(name, sources.text(path)?.to_owned());
            }
        }
        Ok(texts)
    }

    /// Every mutant of these sources.
    ///
    /// # Errors
    ///
    /// A file is no Rust.
    pub fn mutants(&self, sources: &Checkout) -> Result<Vec<Mutant>, Failure> {
        let mut mutants = Vec::new();
        for (name, text) in self.texts(sources)? {
            let found = find(&name, &text).map_err(|error| Failure(format!("{name}: {error}")))?;
            let left_out = |function: &str| self.functions_left_out.contains(&function);
            mutants.extend(found.into_iter().filter(|it| !left_out(&it.function)));
        }
        Ok(mutants)
    }
}

/// A copy with its mutants.
#[derive(Debug)]
pub struct Copy {
    subject: Subject,
    folder: PathBuf,
    target: PathBuf,
    shared: PathBuf,
    /// Every mutant, by its number less one.
    pub mutants: Vec<Numbered>,
    /// Numbers of those that do not compile.
    pub unviable: BTreeSet<usize>,
    /// Changes with anything that could change a result.
    pub fingerprint: u64,
    texts: BTreeMap<String, String>,
}

impl Copy {
    /// Copies the workspace at `from` into the folder `to`, and finds the mutants of the subject.
    ///
    /// # Errors
    ///
    /// Files cannot be read or written, or are no Rust.
    pub fn make(from: &Path, to: &Path, subject: Subject) -> Result<Copy, Failure> {
        let folder = to.join("workspace");
        let mut sources = Checkout::read(from)?;
        let fingerprint = sources.fingerprint();
        let texts = subject.texts(&sources)?;
        let mutants = subject.mutants(&sources)?;
        let mutants = mutants.into_iter().enumerate();
        let mutants: Vec<Numbered> = mutants
            .map(|(at, mutant)| Numbered {
                number: at + 1,
                mutant,
            })
            .collect();
        let package = Path::new(subject.package.sources);
        let lib = package.join("lib.rs");
        let with_switch = format!("{}\nmod lockstep_mutant;\n", sources.text(&lib)?);
        sources.put(lib, with_switch);
        sources.put(package.join(switch::FILE), switch::module(1, mutants.len()));
        sources.label(&subject.package.name.replace("lockstep-", "mutated-"))?;
        sources.write(&folder, |path| subject.name(path).is_none())?;
        Ok(Copy {
            subject,
            folder,
            target: to.join("build"),
            shared: target(&from.canonicalize()?),
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
            let path = self.folder.join(self.subject.package.sources).join(name);
            write_if_changed(&path, schema.as_bytes())?;
            schemata.insert(name.clone(), schema);
        }
        Ok(schemata)
    }

    /// The numbers of the mutants that the compiler does not accept.
    fn check(&self, schemata: &BTreeMap<String, String>) -> Result<BTreeSet<usize>, Failure> {
        let messages = self.cargo(&["check", "-p", self.subject.package.name, "--lib"])?;
        let mut dropped = BTreeSet::new();
        let mut others = Vec::new();
        for message in messages.errors() {
            let mut at = Vec::new();
            for span in message["spans"].as_array().into_iter().flatten() {
                at.extend(self.mutants_of(span, schemata));
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
        let Some((schema, _)) = spans.first().and_then(|it| self.place_of(it, schemata)) else {
            return Vec::new();
        };
        let places: Vec<_> = spans
            .iter()
            .filter_map(|it| self.place_of(it, schemata))
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
        let messages = self.cargo(arguments)?;
        if !messages.success {
            let arguments = arguments.join(" ");
            return Err(Failure(format!("cargo {arguments}:\n{}", messages.stderr)));
        }
        Ok(messages.programs())
    }

    fn cargo(&self, arguments: &[&str]) -> Result<Messages, Failure> {
        let environment = [
            ("CARGO_TARGET_DIR", self.target.as_path()),
            ("CARGO_BUILD_BUILD_DIR", self.shared.as_path()),
            (MARK, Path::new("1")),
        ];
        cargo(&self.folder, arguments, &environment)
    }

    fn mutants_of(&self, span: &Value, schemata: &BTreeMap<String, String>) -> Vec<usize> {
        let place = self.place_of(span, schemata);
        place.map_or(Vec::new(), |(schema, place)| mutants_at(schema, place))
    }

    fn place_of<'a>(
        &self,
        span: &Value,
        schemata: &'a BTreeMap<String, String>,
    ) -> Option<(&'a str, Range<usize>)> {
        let file = Path::new(span["file_name"].as_str()?);
        let name = file.strip_prefix(self.subject.package.sources).ok()?;
        let schema = schemata.get(name.to_str()?)?;
        let place = |name: &str| Some(span[name].as_u64()? as usize);
        Some((schema, place("byte_start")?..place("byte_end")?))
    }
}

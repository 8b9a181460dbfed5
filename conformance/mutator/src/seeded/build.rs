//! One binary with the edits of all seeded bugs and rules in it, each behind its number.

use super::{Edit, Kind, Side, apply, read, read_rules};
use crate::checkout::{Checkout, Failure, Messages, cargo, target};
use crate::schema::mutants_at;
use crate::switch;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Name of the environment variable that is set while the binary is compiled: it tells the binary that it
/// has seeded bugs.
pub const MARK: &str = "LOCKSTEP_SEEDED_BUILD";

/// The binary and the edits in it.
#[derive(Clone, Debug, Serialize)]
pub struct Built {
    /// The binary `lockstep`.
    pub program: PathBuf,
    /// Every bug.
    pub bugs: Vec<Listed>,
    /// Every rule of the specification.
    pub rules: Vec<ListedRule>,
}

/// A bug in the list.
#[derive(Clone, Debug, Serialize)]
pub struct Listed {
    /// The number by which it is switched on.
    pub number: usize,
    /// The text it is in.
    pub side: Side,
    /// Its name.
    pub id: String,
    /// Its effect.
    pub what: String,
    /// The rules of the specification that it breaks.
    pub breaks: Vec<String>,
    /// The property or witness that notices it, of a bug in the specification.
    pub caught_by: Option<String>,
    /// The preset in which that happens.
    pub preset: Option<String>,
}

/// A rule in the list.
#[derive(Clone, Debug, Serialize)]
pub struct ListedRule {
    /// The number by which it is taken away.
    pub number: usize,
    /// The text it is in.
    pub side: Side,
    /// Its name.
    pub id: String,
    /// The rule.
    pub what: String,
    /// The effect on the specification of taking it away.
    pub kind: Kind,
    /// The property or witness that needs it.
    pub caught_by: Option<String>,
    /// The preset in which that is seen.
    pub preset: Option<String>,
}

/// Everything that is listed, with numbers.
#[derive(Clone, Debug, Default)]
pub struct Lists {
    /// The bugs.
    pub bugs: Vec<Listed>,
    /// The rules.
    pub rules: Vec<ListedRule>,
}

/// Applies the edits of all bugs and rules to the sources, and lists them.
///
/// # Errors
///
/// A list cannot be read, or an edit does not apply.
pub fn apply_all(workspace: &Path, sources: &mut Checkout) -> Result<Lists, Failure> {
    let mut lists = Lists::default();
    let mut next = 1;
    for side in Side::ALL {
        let first = next;
        let bugs = read(workspace, side)?;
        let rules = match side {
            Side::Specification => read_rules(workspace)?,
            Side::Implementation => Vec::new(),
        };
        let mut edits: Vec<(usize, &str, &Edit)> = Vec::new();
        for bug in &bugs {
            edits.extend(bug.edit.iter().map(|edit| (next, bug.id.as_str(), edit)));
            lists.bugs.push(Listed {
                number: next,
                side,
                id: bug.id.clone(),
                what: bug.what.clone(),
                breaks: bug.breaks.clone(),
                caught_by: bug.caught_by.clone(),
                preset: bug.preset.clone(),
            });
            next += 1;
        }
        for rule in &rules {
            edits.extend(rule.edit.iter().map(|edit| (next, rule.id.as_str(), edit)));
            lists.rules.push(ListedRule {
                number: next,
                side,
                id: rule.id.clone(),
                what: rule.rule.clone(),
                kind: rule.kind,
                caught_by: rule.caught_by.clone(),
                preset: rule.preset.clone(),
            });
            next += 1;
        }
        let folder = Path::new(side.package().sources);
        let mut by_file: BTreeMap<&str, Vec<(usize, &str, &Edit)>> = BTreeMap::new();
        for edit in edits {
            by_file.entry(&edit.2.file).or_default().push(edit);
        }
        for (file, edits) in by_file {
            let path = folder.join(file);
            let (_, id, _) = edits[0];
            let text = sources.text(&path);
            let text = text.map_err(|error| Failure(format!("{id}: {error}")))?;
            let text = apply(text, &edits, "crate::lockstep_mutant::number").map_err(Failure)?;
            sources.put(path, text);
        }
        let lib = folder.join("lib.rs");
        let with_switch = format!("{}\nmod lockstep_mutant;\n", sources.text(&lib)?);
        sources.put(lib, with_switch);
        sources.put(folder.join(switch::FILE), switch::module(first, next - 1));
    }
    Ok(lists)
}

/// Arguments of Cargo for the binary of a copy. It is built as a release is, so that what it depends on is
/// shared with the build of the checkout.
pub const BINARY: &[&str] = &[
    "build",
    "--release",
    "-p",
    "lockstep-conformance",
    "--bin",
    "lockstep",
];

/// Builds the binary under `target/seeded` of the workspace.
///
/// # Errors
///
/// An edit does not apply or does not compile, or the rest does not.
pub fn build(workspace: &Path) -> Result<Built, Failure> {
    let mut sources = Checkout::read(workspace)?;
    let lists = apply_all(workspace, &mut sources)?;
    sources.label("seeded")?;
    let target = target(workspace);
    let out = target.join("seeded");
    let folder = out.join("workspace");
    sources.write(&folder, |_| true)?;
    let messages = cargo(
        &folder,
        BINARY,
        &[
            ("CARGO_TARGET_DIR", &out.join("build")),
            ("CARGO_BUILD_BUILD_DIR", &target),
            (MARK, Path::new("1")),
        ],
    )?;
    if !messages.success {
        return Err(blame(&messages, &sources, &lists));
    }
    let programs = messages.programs().into_iter();
    let mut programs = programs.filter(|(name, _)| name == "lockstep");
    let (_, program) = programs
        .next()
        .ok_or_else(|| Failure("there is no program lockstep".to_owned()))?;
    Ok(Built {
        program,
        bugs: lists.bugs,
        rules: lists.rules,
    })
}

/// The bugs whose edits do not compile, with the errors.
fn blame(messages: &Messages, sources: &Checkout, lists: &Lists) -> Failure {
    let mut guilty = BTreeSet::new();
    let mut errors = String::new();
    for error in messages.errors() {
        errors += error["rendered"].as_str().unwrap_or_default();
        for span in error["spans"].as_array().into_iter().flatten() {
            let place = |name: &str| span[name].as_u64().map(|it| it as usize);
            if let Some(file) = span["file_name"].as_str()
                && let Ok(text) = sources.text(Path::new(file))
                && let (Some(start), Some(end)) = (place("byte_start"), place("byte_end"))
            {
                guilty.extend(mutants_at(text, start..end));
            }
        }
    }
    let bugs = lists.bugs.iter().map(|it| (it.number, it.id.as_str()));
    let rules = lists.rules.iter().map(|it| (it.number, it.id.as_str()));
    let names = bugs
        .chain(rules)
        .filter(|(number, _)| guilty.contains(number));
    let names: Vec<_> = names.map(|(_, id)| id).collect();
    let whose = match names.is_empty() {
        true => "the copy with the seeded bugs".to_owned(),
        false => format!("the edit of {}", names.join(", ")),
    };
    let reason = match errors.is_empty() {
        true => &messages.stderr,
        false => &errors,
    };
    Failure(format!("{whose} does not compile:\n{reason}"))
}

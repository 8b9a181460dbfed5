//! One binary with every seeded bug in it, each behind its number.

use super::{Bug, Edit, Side, apply, read};
use crate::checkout::{Checkout, Failure, Messages, cargo};
use crate::schema::mutants_at;
use crate::switch;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Name of the environment variable that is set while the binary is compiled: it tells the binary that it
/// has seeded bugs.
pub const MARK: &str = "LOCKSTEP_SEEDED_BUILD";

/// The binary and its bugs.
#[derive(Clone, Debug, Serialize)]
pub struct Built {
    /// The binary `lockstep`.
    pub program: PathBuf,
    /// Every bug, by its number.
    pub bugs: Vec<Listed>,
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
    /// The property or witness that notices it, of a bug in the specification.
    pub caught_by: Option<String>,
    /// The preset in which that happens.
    pub preset: Option<String>,
}

/// Applies every bug to the sources, and lists them.
///
/// # Errors
///
/// A list cannot be read, or an edit does not apply.
pub fn apply_all(workspace: &Path, sources: &mut Checkout) -> Result<Vec<Listed>, Failure> {
    let mut listed = Vec::new();
    for side in Side::ALL {
        let first = listed.len() + 1;
        let bugs = read(workspace, side)?;
        let mut by_file: BTreeMap<&str, Vec<(usize, &str, &Edit)>> = BTreeMap::new();
        for (place, bug) in bugs.iter().enumerate() {
            for edit in &bug.edit {
                let edits = by_file.entry(&edit.file).or_default();
                edits.push((first + place, &bug.id, edit));
            }
            listed.push(list(first + place, side, bug));
        }
        let folder = Path::new(side.package().sources);
        for (file, edits) in by_file {
            let path = folder.join(file);
            let (_, id, _) = edits[0];
            let text = sources.text(&path);
            let text = text.map_err(|error| Failure(format!("the seeded bug {id}: {error}")))?;
            let text = apply(text, &edits, "crate::lockstep_mutant::number").map_err(Failure)?;
            sources.put(path, text);
        }
        let last = listed.len();
        let lib = folder.join("lib.rs");
        let with_switch = format!("{}\nmod lockstep_mutant;\n", sources.text(&lib)?);
        sources.put(lib, with_switch);
        sources.put(folder.join(switch::FILE), switch::module(first, last));
    }
    Ok(listed)
}

fn list(number: usize, side: Side, bug: &Bug) -> Listed {
    Listed {
        number,
        side,
        id: bug.id.clone(),
        what: bug.what.clone(),
        caught_by: bug.caught_by.clone(),
        preset: bug.preset.clone(),
    }
}

/// Builds the binary under `target/seeded` of the workspace.
///
/// # Errors
///
/// An edit does not apply or does not compile, or the rest does not.
pub fn build(workspace: &Path) -> Result<Built, Failure> {
    let mut sources = Checkout::read(workspace)?;
    let bugs = apply_all(workspace, &mut sources)?;
    // Cargo names what it makes of a package by version and place in the workspace. With a version of their
    // own the changed packages share a folder with the others, and so everything that both depend on.
    let manifest = Path::new("Cargo.toml");
    let version = "[workspace.package]\nversion = \"";
    let text = sources.text(manifest)?;
    if !text.contains(version) {
        return Err(Failure(
            "Cargo.toml does not begin [workspace.package] with a version".into(),
        ));
    }
    let text = text.replacen(version, &format!("{version}0.0.0-seeded.from."), 1);
    sources.put(manifest, text);
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
    let target = workspace.join(target);
    let out = target.join("seeded");
    let folder = out.join("workspace");
    sources.write(&folder, |_| true)?;
    let arguments = [
        "build",
        "--release",
        "-p",
        "lockstep-conformance",
        "--bin",
        "lockstep",
    ];
    let messages = cargo(
        &folder,
        &arguments,
        &[
            ("CARGO_TARGET_DIR", &out.join("build")),
            ("CARGO_BUILD_BUILD_DIR", &target),
            (MARK, Path::new("1")),
        ],
    )?;
    if !messages.success {
        return Err(blame(&messages, &sources, &bugs));
    }
    let programs = messages.programs().into_iter();
    let mut programs = programs.filter(|(name, _)| name == "lockstep");
    let (_, program) = programs
        .next()
        .ok_or_else(|| Failure("there is no program lockstep".to_owned()))?;
    Ok(Built { program, bugs })
}

/// The bugs whose edits do not compile, with the errors.
fn blame(messages: &Messages, sources: &Checkout, bugs: &[Listed]) -> Failure {
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
    let names = bugs.iter().filter(|bug| guilty.contains(&bug.number));
    let names: Vec<_> = names.map(|bug| bug.id.as_str()).collect();
    let whose = match names.is_empty() {
        true => "the copy with the seeded bugs".to_owned(),
        false => format!("the seeded bug {}", names.join(", ")),
    };
    let reason = match errors.is_empty() {
        true => &messages.stderr,
        false => &errors,
    };
    Failure(format!("{whose} does not compile:\n{reason}"))
}

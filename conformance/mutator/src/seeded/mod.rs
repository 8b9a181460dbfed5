//! Seeded bugs: mistakes that people made, each written as an edit of the sources.
//!
//! The rules of the specification and of the production Raft know nothing of them. `conformance/seeded/`
//! lists them; [`apply()`] puts all of them into copies of the sources, each behind its number, and
//! [`build()`] makes one binary of the copies, in which an environment variable says which of them is active.

mod apply;
mod build;
mod tokens;

pub use apply::apply;
pub use build::{BINARY, Built, Listed, ListedRule, Lists, MARK, apply_all, build};

use crate::checkout::Failure;
use crate::package::{IMPLEMENTATION, Package, SPECIFICATION};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The folder of the lists, from the top of the checkout.
pub const FOLDER: &str = "conformance/seeded";

/// The text that a bug is seeded into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The specification.
    Specification,
    /// The production Raft.
    Implementation,
}

impl Side {
    /// Both, in the order of their numbers.
    pub const ALL: [Side; 2] = [Side::Specification, Side::Implementation];

    /// The package that holds the text.
    pub fn package(self) -> Package {
        match self {
            Side::Specification => SPECIFICATION,
            Side::Implementation => IMPLEMENTATION,
        }
    }

    fn file(self) -> &'static str {
        match self {
            Side::Specification => "specification.toml",
            Side::Implementation => "implementation.toml",
        }
    }
}

/// One seeded bug.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bug {
    /// Its name in the catalogue, with a letter where an entry is seeded in several ways.
    pub id: String,
    /// The effect, in a sentence.
    pub what: String,
    /// The rules of the specification that it breaks, by name; none if no rule speaks of it.
    pub breaks: Vec<String>,
    /// Of a bug in the specification: a property that is violated, or a witness that is no longer reached.
    pub caught_by: Option<String>,
    /// The preset of that search.
    pub preset: Option<String>,
    /// The changes of the sources; all of them are made together.
    pub edit: Vec<Edit>,
}

/// One change of one function.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Edit {
    /// The file, from the folder `src` of the package.
    pub file: String,
    /// The function, `name` or `Type::name`.
    pub function: String,
    /// The text that is replaced. It is compared token by token, so that neither spaces nor comments
    /// matter, and stands exactly once in the body of the function.
    pub find: String,
    /// The text that stands there instead.
    pub replace: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    bug: Vec<Bug>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rules {
    rule: Vec<Rule>,
}

/// Reads the rules, in the order of the list.
///
/// # Errors
///
/// The list is missing or malformed, names a rule twice, or has one without what its kind needs.
pub fn read_rules(workspace: &Path) -> Result<Vec<Rule>, Failure> {
    let path = workspace.join(FOLDER).join("rules.toml");
    let place = |error: &dyn std::fmt::Display| Failure(format!("{}: {error}", path.display()));
    let text = fs::read_to_string(&path).map_err(|error| place(&error))?;
    let list: Rules = toml::from_str(&text).map_err(|error| place(&error))?;
    let mut ids = BTreeSet::new();
    for rule in &list.rule {
        let id = &rule.id;
        if !ids.insert(id) {
            return Err(place(&format!("there are two rules {id}")));
        }
        if rule.edit.is_empty() {
            return Err(place(&format!("{id} has no edit")));
        }
        let complete = match rule.kind {
            Kind::Safety => rule.why.is_none() && rule.caught_by.is_some() && rule.preset.is_some(),
            _ => rule.why.is_some() && rule.caught_by.is_none() && rule.preset.is_none(),
        };
        if !complete {
            let text =
                "a rule of safety, and no other, has caught_by and preset; the others have why";
            return Err(place(&format!("{id}: {text}")));
        }
    }
    Ok(list.rule)
}

/// A rule of the specification, and the edit that takes it away.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Its name.
    pub id: String,
    /// The section of the paper or thesis; `etcd` for a rule that they do not have.
    pub section: String,
    /// The rule, in a sentence.
    pub rule: String,
    /// The guarantee that rests on it.
    pub protects: String,
    /// The effect on the specification of taking it away.
    pub kind: Kind,
    /// Of a rule that no property needs: the argument.
    pub why: Option<String>,
    /// A property that is violated without it, or a witness that is no longer reached.
    pub caught_by: Option<String>,
    /// The preset in which that happens.
    pub preset: Option<String>,
    /// The changes of the sources; all of them are made together.
    pub edit: Vec<Edit>,
}

/// The effect on the specification of taking a rule away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A property is violated, or something is no longer reached.
    Safety,
    /// Messages come at another pace, and nothing else changes.
    Pacing,
    /// Something may wait for ever.
    Liveness,
    /// It behaves as with the rule.
    Equivalent,
}

/// Reads the bugs of one side, in the order of the list.
///
/// # Errors
///
/// The list is missing or malformed, names a bug twice, or has a bug that changes nothing.
pub fn read(workspace: &Path, side: Side) -> Result<Vec<Bug>, Failure> {
    let path = workspace.join(FOLDER).join(side.file());
    let place = |error: &dyn std::fmt::Display| Failure(format!("{}: {error}", path.display()));
    let text = fs::read_to_string(&path).map_err(|error| place(&error))?;
    let list: List = toml::from_str(&text).map_err(|error| place(&error))?;
    let mut ids = BTreeSet::new();
    for bug in &list.bug {
        if !ids.insert(&bug.id) {
            return Err(place(&format!("there are two bugs {}", bug.id)));
        }
        if bug.edit.is_empty() {
            return Err(place(&format!("{} has no edit", bug.id)));
        }
        let searched = bug.caught_by.is_some() && bug.preset.is_some();
        if searched != (side == Side::Specification) {
            let text = "a bug in the specification, and no other, has caught_by and preset";
            return Err(place(&format!("{}: {text}", bug.id)));
        }
    }
    Ok(list.bug)
}

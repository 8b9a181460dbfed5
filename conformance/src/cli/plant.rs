//! `--plant ID`: the same command line in the build with the seeded bugs, with one of them switched on.
//!
//! Seeded bugs are edits of the sources (`conformance/seeded/`). No other build has them, so a command that
//! plants one makes that build (Cargo does nothing if it is up to date) and becomes its binary.

use super::child;
use super::error::CliError;
use crate::seeded::{Bug, Build, Side};
use crate::stop;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Name of the environment variable with the numbers of the bugs that are switched on.
const ACTIVE: &str = "LOCKSTEP_MUTANT";

/// The folder that tells a checkout.
const LISTS: &str = "conformance/seeded";

/// The longest time that the build may take.
const BUILD_LIMIT: Duration = Duration::from_secs(1800);

/// Whether the sources of this binary had seeded bugs in them.
pub fn is_seeded_build() -> bool {
    option_env!("LOCKSTEP_SEEDED_BUILD").is_some()
}

/// Goes on only in a process that has this bug switched on; every other process becomes one.
///
/// # Errors
/// There is no such bug, or the build cannot be made.
pub fn enter(side: Side, id: &str) -> Result<(), CliError> {
    if is_seeded_build() {
        return match std::env::var_os(ACTIVE) {
            Some(_) => Ok(()),
            None => Err(CliError::Usage(format!("{ACTIVE} is not set"))),
        };
    }
    // Before the build, which can take minutes.
    let ids = listed(&here()?, side)?;
    if !ids.iter().any(|it| it == id) {
        return Err(CliError::Usage(format!(
            "there is no seeded bug {id} in the {side}; there are {}",
            ids.join(", ")
        )));
    }
    let build = build(&mut stop::flow)?;
    let mut bugs = build.bugs.iter();
    let Some(bug) = bugs.find(|bug| bug.side == side && bug.id == id) else {
        let text = format!("the build with the seeded bugs lacks {id} in the {side}");
        return Err(CliError::Usage(text));
    };
    let mut command = with(&build, &[bug]);
    command.args(std::env::args_os().skip(1));
    Err(match go_on_as(command) {
        Ok(never) => match never {},
        Err(error) => CliError::Usage(format!("{}: {error}", build.program.display())),
    })
}

/// The binary of the build with these bugs switched on, at most one on each side.
pub fn with(build: &Build, bugs: &[&Bug]) -> Command {
    let numbers: Vec<_> = bugs.iter().map(|bug| bug.number.to_string()).collect();
    let mut command = Command::new(&build.program);
    command.env(ACTIVE, numbers.join(","));
    command
}

/// Makes the build.
///
/// # Errors
/// There is no checkout or no Cargo, an edit does not apply any more, or the build fails.
pub fn build(poll: &mut dyn FnMut() -> ControlFlow<()>) -> Result<Build, CliError> {
    let checkout = here()?;
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .args(["run", "--quiet", "-p", "lockstep-mutator", "--", "seeded"])
        .current_dir(&checkout);
    let failed = |text: String| match stop::requested() {
        true => CliError::Interrupted,
        false => CliError::Usage(format!("the build with the seeded bugs: {text}")),
    };
    let ended = child::run(command, BUILD_LIMIT, poll).map_err(failed)?;
    if !ended.status.success() {
        return Err(failed("it cannot be made; the reason is above".to_owned()));
    }
    serde_json::from_slice(&ended.stdout).map_err(|error| failed(error.to_string()))
}

/// The names of all seeded bugs and of all rules that can be taken away, as the lists of the checkout have them.
///
/// # Errors
/// There is no checkout, or one of its lists cannot be read.
pub fn names() -> Result<BTreeSet<String>, CliError> {
    let checkout = here()?;
    let mut names = BTreeSet::new();
    for side in [Side::Implementation, Side::Specification] {
        names.extend(listed(&checkout, side)?);
    }
    names.extend(read_list(&checkout.join(LISTS).join("rules.toml"))?);
    Ok(names)
}

/// The names of the bugs of one side, in the order of the list.
fn listed(checkout: &Path, side: Side) -> Result<Vec<String>, CliError> {
    read_list(&checkout.join(LISTS).join(format!("{side}.toml")))
}

/// A list, as far as it has names; `lockstep-mutator` reads the rest.
#[derive(Deserialize)]
struct List {
    #[serde(alias = "rule")]
    bug: Vec<Named>,
}

#[derive(Deserialize)]
struct Named {
    id: String,
}

fn read_list(path: &Path) -> Result<Vec<String>, CliError> {
    let failed =
        |error: &dyn std::fmt::Display| CliError::Usage(format!("{}: {error}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| failed(&error))?;
    let list: List = toml::from_str(&text).map_err(|error| failed(&error))?;
    Ok(list.bug.into_iter().map(|it| it.id).collect())
}

/// The checkout that this process works on.
fn here() -> Result<PathBuf, CliError> {
    let here = std::env::current_dir().unwrap_or_default();
    let compiled = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    checkout(&here, compiled)
}

/// The top of the checkout: around the current folder, or where this binary was compiled.
fn checkout(here: &Path, compiled: Option<&Path>) -> Result<PathBuf, CliError> {
    let mut places = here.ancestors().chain(compiled);
    let found = places.find(|place| place.join(LISTS).is_dir());
    found.map(Path::to_path_buf).ok_or_else(|| {
        CliError::Usage(format!(
            "seeded bugs are edits of Lockstep's sources, and there is no checkout of them here: no \
             folder above {} has a {LISTS}",
            here.display()
        ))
    })
}

/// Replaces this process.
#[cfg(unix)]
fn go_on_as(mut command: Command) -> std::io::Result<Infallible> {
    use std::os::unix::process::CommandExt;
    Err(command.exec())
}

/// Waits for the other process and ends with its code.
#[cfg(not(unix))]
fn go_on_as(mut command: Command) -> std::io::Result<Infallible> {
    let status = command.status()?;
    std::process::exit(status.code().unwrap_or(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_lists() {
        let names = names().expect("this is a checkout");
        for name in ["EL-01", "EL-13a", "LS-63", "pre-vote-first"] {
            assert!(names.contains(name), "{name}");
        }
        assert!(!names.contains("EL-99"));
        let folder = tempfile::tempdir().expect("there is a place for temporary files");
        let error = listed(folder.path(), Side::Specification).expect_err("there is none");
        assert!(error.to_string().contains("specification.toml"), "{error}");
    }

    #[test]
    fn without_a_checkout_the_error_says_so() {
        let folder = tempfile::tempdir().expect("there is a place for temporary files");
        let (here, inner) = (folder.path(), folder.path().join("inner"));
        let error = checkout(&inner, None).expect_err("there is none");
        assert!(error.to_string().contains("no checkout"), "{error}");
        assert_eq!(error.exit(), crate::cli::exit::Exit::Usage);
        std::fs::create_dir_all(here.join(LISTS)).expect("it can be made");
        assert_eq!(checkout(&inner, None).expect("it is above"), here);
        let elsewhere = Path::new("/nonexistent");
        assert_eq!(checkout(elsewhere, Some(here)).expect("it was there"), here);
    }
}

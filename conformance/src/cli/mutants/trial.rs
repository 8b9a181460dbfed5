//! The processes in which bugs are tried.

use super::{LIMIT, MutantsArgs, read_corpus};
use crate::cli::child;
use crate::cli::error::CliError;
use crate::cli::plant;
use crate::cli::progress::{Reporter, Tick};
use crate::cli::streams;
use lockstep_conformance::seeded::{
    Bug, Build, Finding, Rung, Side, try_implementation, try_specification,
};
use lockstep_conformance::stop;
use std::ops::ControlFlow;
use std::process::Stdio;

/// Tries these bugs, each in a process of its own, in the order of the report. An interruption ends the list early.
///
/// # Errors
/// A process cannot be run or fails.
pub fn try_all(
    args: &MutantsArgs,
    build: &Build,
    bugs: &[Bug],
    progress: &Reporter,
) -> Result<Vec<Finding>, CliError> {
    let worth_trying = |bug: &&Bug| !args.search_only || bug.caught_by.is_some();
    let asked = |bug: &&Bug| worth_trying(bug) && args.asks_for(&bug.id);
    let mut findings: Vec<Finding> = Vec::new();
    // In the order of the report.
    for side in [Side::Implementation, Side::Specification] {
        let bugs = bugs.iter().filter(|bug| bug.side == side);
        for bug in bugs.filter(asked) {
            let note = match findings.last() {
                Some(last) => match &last.caught {
                    Some(caught) => format!("{}: {}", last.id, caught.rung),
                    None => format!("{}: not caught", last.id),
                },
                None => String::new(),
            };
            let tick = Tick {
                done: findings.len() as u64,
                unit: "bugs",
                note,
                ..Tick::default()
            };
            let poll = &mut || progress.tick(&tick);
            match try_one(args, build, &[bug], poll) {
                Err(CliError::Interrupted) => return Ok(findings),
                found => findings.push(found?),
            }
        }
    }
    Ok(findings)
}

/// Seeds each bug that both sides have into both of them. The comparison of one with the other then sees
/// it only where the two are not the same mistake; the corpus, which was recorded without it, is left out.
///
/// # Errors
/// A process cannot be run or fails.
pub fn try_both(
    args: &MutantsArgs,
    build: &Build,
    progress: &Reporter,
) -> Result<Vec<Finding>, CliError> {
    let comparing = MutantsArgs {
        rung: vec![Rung::Smoke, Rung::Ci, Rung::Walks],
        ..args.clone()
    };
    let mut findings = Vec::new();
    let on = |side| build.bugs.iter().filter(move |bug| bug.side == side);
    for bug in on(Side::Implementation).filter(|bug| args.asks_for(&bug.id)) {
        if let Some(other) = on(Side::Specification).find(|it| it.id == bug.id) {
            let tick = Tick {
                done: findings.len() as u64,
                unit: "bugs on both sides",
                ..Tick::default()
            };
            let poll = &mut || progress.tick(&tick);
            match try_one(&comparing, build, &[bug, other], poll) {
                Err(CliError::Interrupted) => return Ok(findings),
                found => findings.push(found?),
            }
        }
    }
    Ok(findings)
}

/// Tries the first of these bugs in a process of its own, in which all of them are switched on.
fn try_one(
    args: &MutantsArgs,
    build: &Build,
    bugs: &[&Bug],
    poll: &mut dyn FnMut() -> ControlFlow<()>,
) -> Result<Finding, CliError> {
    let bug = bugs[0];
    let failed = |text: String| match stop::requested() {
        true => CliError::Interrupted,
        false => CliError::Usage(format!("{}: {text}", bug.key())),
    };
    let text = serde_json::to_string(bug).map_err(|error| failed(error.to_string()))?;
    let mut command = plant::with(build, bugs);
    command.args(["mutants", "--try", &text, "--corpus"]);
    command.arg(&args.corpus).stderr(Stdio::piped());
    for rung in args.rungs() {
        command.args(["--rung", &rung.to_string()]);
    }
    for (asked, flag) in [(args.all, "--all"), (args.search_only, "--search-only")] {
        if asked {
            command.arg(flag);
        }
    }
    if let Some(folder) = &args.traces {
        command.arg("--traces").arg(folder);
    }
    let ended = child::run(command, LIMIT, poll).map_err(failed)?;
    if !ended.status.success() {
        let stderr = String::from_utf8_lossy(&ended.stderr);
        return Err(failed(format!("{}: {stderr}", ended.status)));
    }
    serde_json::from_slice(&ended.stdout).map_err(|error| failed(error.to_string()))
}

/// Tries the bug that is switched on in this process, and prints the finding.
///
/// # Errors
/// This is not the build with the bugs, or the corpus is damaged.
pub fn try_this(args: &MutantsArgs, bug: &str) -> Result<(), CliError> {
    let usage = |error: serde_json::Error| CliError::Usage(error.to_string());
    let bug: Bug = serde_json::from_str(bug).map_err(usage)?;
    plant::enter(bug.side, &bug.id)?;
    let rungs = args.rungs();
    let finding = match bug.side {
        Side::Implementation => {
            let corpus = match rungs.contains(&Rung::Corpus) {
                true => read_corpus(&args.corpus)?,
                false => Vec::new(),
            };
            try_implementation(&bug, &rungs, &corpus, args.all)
        }
        Side::Specification => try_specification(&bug, &rungs, args.all, &args.within),
    };
    if let Some(folder) = &args.traces
        && let Some(trace) = finding.caught.as_ref().and_then(|it| it.trace.as_ref())
    {
        let path = folder.join(format!("{}.ndjson", finding.key().replace(' ', "-")));
        let failed = |source| CliError::Output {
            path: path.clone(),
            source,
        };
        trace.save(&path).map_err(failed)?;
    }
    let line = format!("{}\n", serde_json::to_string(&finding).map_err(usage)?);
    streams::print(&line).map_err(|error| CliError::Usage(error.to_string()))
}

//! The processes in which bugs are tried.

use super::{LIMIT, MutantsArgs, read_corpus};
use crate::cli::child;
use crate::cli::error::CliError;
use crate::cli::plant;
use crate::cli::progress::{Reporter, Tick};
use crate::cli::side_file::save;
use crate::cli::streams;
use crate::seeded::{Bug, Build, Finding, Rung, Side, try_implementation, try_specification};
use crate::stop;
use std::ops::ControlFlow;
use std::process::Stdio;

/// The results of the bugs that were tried.
#[derive(Debug, Default)]
pub struct Tried {
    /// The findings.
    pub findings: Vec<Finding>,
    /// The bugs about which nothing was found out, each with the reason.
    pub failed: Vec<(String, String)>,
}

/// Tries these bugs, each in a process of its own, in the order of the report. An interruption ends the list early.
pub fn try_all(args: &MutantsArgs, build: &Build, bugs: &[Bug], progress: &Reporter) -> Tried {
    let worth_trying = |bug: &&Bug| !args.search_only || bug.caught_by.is_some();
    let asked = |bug: &&Bug| worth_trying(bug) && args.asks_for(&bug.id);
    // In the order of the report.
    let sides = [Side::Implementation, Side::Specification].into_iter();
    let of_side = |side| bugs.iter().filter(move |bug| bug.side == side);
    let bugs = sides.flat_map(of_side).filter(asked).map(|bug| vec![bug]);
    each("bugs", bugs, progress, &mut |bugs, poll| {
        try_one(args, build, bugs, poll)
    })
}

/// Seeds each bug that both sides have into both of them. The comparison of one with the other then sees
/// it only where the two are not the same mistake; the corpus, which was recorded without it, is left out.
pub fn try_both(args: &MutantsArgs, build: &Build, progress: &Reporter) -> Tried {
    let comparing = MutantsArgs {
        rung: vec![Rung::Smoke, Rung::Ci, Rung::Walks],
        ..args.clone()
    };
    let on = |side| build.bugs.iter().filter(move |bug| bug.side == side);
    let asked = on(Side::Implementation).filter(|bug| args.asks_for(&bug.id));
    let pairs = asked.filter_map(|bug| {
        let other = on(Side::Specification).find(|it| it.id == bug.id)?;
        Some(vec![bug, other])
    });
    each("bugs on both sides", pairs, progress, &mut |bugs, poll| {
        try_one(&comparing, build, bugs, poll)
    })
}

/// Tries bugs that are switched on together, and returns what was found.
type Try<'a> =
    &'a mut dyn FnMut(&[&Bug], &mut dyn FnMut() -> ControlFlow<()>) -> Result<Finding, CliError>;

/// Tries one after the other. One about which nothing is found out does not keep the others from it.
fn each<'a>(
    unit: &'static str,
    bugs: impl Iterator<Item = Vec<&'a Bug>>,
    progress: &Reporter,
    try_one: Try<'_>,
) -> Tried {
    let mut tried = Tried::default();
    for bugs in bugs {
        let note = match tried.findings.last() {
            Some(last) => match &last.caught {
                Some(caught) => format!("{}: {}", last.id, caught.rung),
                None => format!("{}: not caught", last.id),
            },
            None => String::new(),
        };
        let tick = Tick {
            done: (tried.findings.len() + tried.failed.len()) as u64,
            unit,
            note,
            ..Tick::default()
        };
        match try_one(&bugs, &mut || progress.tick(&tick)) {
            Ok(finding) => tried.findings.push(finding),
            Err(CliError::Interrupted) => break,
            Err(error) => {
                progress.warn(format!("{error}; the others are tried all the same"));
                tried.failed.push((bugs[0].key(), error.to_string()));
            }
        }
    }
    tried
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
        save(trace, &path).map_err(failed)?;
    }
    let line = format!("{}\n", serde_json::to_string(&finding).map_err(usage)?);
    streams::print(&line).map_err(|error| CliError::Usage(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bug(id: &str) -> Bug {
        Bug {
            number: 1,
            side: Side::Specification,
            id: id.to_owned(),
            what: String::new(),
            breaks: Vec::new(),
            caught_by: None,
            preset: None,
        }
    }

    fn finding(bug: &Bug) -> Finding {
        Finding {
            id: bug.id.clone(),
            side: bug.side,
            what: String::new(),
            caught: None,
            seen: Vec::new(),
            searched: None,
            breaks: Vec::new(),
            graphs: Vec::new(),
            seconds: 0.0,
        }
    }

    /// Tries three bugs, of which the second ends so.
    fn three(second: fn() -> CliError) -> Tried {
        let bugs = ["EL-01", "EL-02", "EL-03"].map(bug);
        let reporter = Reporter::new(true);
        let one = |bug| vec![bug];
        each(
            "bugs",
            bugs.iter().map(one),
            &reporter,
            &mut |bugs, _| match bugs[0].id.as_str() {
                "EL-02" => Err(second()),
                _ => Ok(finding(bugs[0])),
            },
        )
    }

    #[test]
    fn an_error_in_one_process_keeps_the_findings_of_the_others() {
        let tried = three(|| CliError::Usage("exit status: 101: it panicked".to_owned()));
        let found: Vec<_> = tried.findings.iter().map(|it| it.id.as_str()).collect();
        assert_eq!(found, ["EL-01", "EL-03"]);
        let [(key, why)] = &tried.failed[..] else {
            panic!("{:?}", tried.failed);
        };
        assert_eq!(key, "specification EL-02");
        assert!(why.contains("it panicked"), "{why}");
        let job = crate::cli::mutants::jobs::not_tried(&tried.failed).expect("there is one");
        let report = crate::report::Report::new("mutants", 0.0, vec![job], Vec::new());
        assert_eq!(report.exit(), crate::cli::exit::Exit::Stopped);
    }

    #[test]
    fn an_interruption_ends_the_list() {
        let tried = three(|| CliError::Interrupted);
        assert_eq!((tried.findings.len(), tried.failed.len()), (1, 0));
    }
}

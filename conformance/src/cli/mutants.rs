//! `lockstep mutants`: real mistakes, seeded one at a time, and the rung that catches each.

use super::child;
use super::error::CliError;
use super::plant;
use super::progress::{Reporter, Tick};
use super::side_file::SideFile;
use super::streams;
use crate::report::{Job, Status, Table};
use clap::Args;
use lockstep_conformance::seeded::catalogue::{Entry, catalogue, entry_of};
use lockstep_conformance::seeded::report::{explanations, markdown, must_be_caught, unaccounted};
use lockstep_conformance::seeded::{
    Bug, Build, CONTROL, Finding, Rung, Side, search_for, seeded, try_control, try_implementation,
    try_specification,
};
use lockstep_conformance::stop;
use lockstep_model::Preset;
use lockstep_traces::{Trace, trace_files};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

/// Options of `lockstep mutants`.
#[derive(Clone, Debug, Args)]
pub struct MutantsArgs {
    /// The rungs to climb, in this order; all of them if none is named
    #[arg(long, value_name = "RUNG")]
    rung: Vec<Rung>,
    /// Only these seeded bugs, such as EL-01; may be given more than once
    #[arg(long, value_name = "ID")]
    only: Vec<String>,
    /// The traces of the rung `corpus`
    #[arg(long, value_name = "DIR", default_value = "traces/corpus")]
    corpus: PathBuf,
    /// Write the table for people to this file
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// Write the trace that shows each bug into this folder
    #[arg(long, value_name = "DIR")]
    traces: Option<PathBuf>,
    /// Fail only for a bug that the list of this file says these rungs catch, and that they do not;
    /// the list is the JSON that `--write-expected` wrote
    #[arg(long, value_name = "FILE")]
    expected: Option<PathBuf>,
    /// Write which rung caught which bug, for `--expected`
    #[arg(long, value_name = "FILE", conflicts_with = "expected")]
    write_expected: Option<PathBuf>,
    /// Make every run of the rungs for each bug, and show how many see it
    #[arg(long)]
    all: bool,
    /// With `--try`: climb no rung, only search for the property that the bug names
    #[arg(long, hide = true)]
    search_only: bool,
    /// Try the bug that is switched on in this process, and print the finding as JSON
    #[arg(long = "try", value_name = "BUG", hide = true)]
    this: Option<String>,
}

/// The rung that caught a bug, by side and name.
type Expected = BTreeMap<String, Rung>;

/// The longest time that all rungs may take for one bug.
const LIMIT: Duration = Duration::from_secs(3600);

impl MutantsArgs {
    /// Whether this process only tries one bug, for another process.
    pub fn is_one_of_many(&self) -> bool {
        self.this.is_some()
    }

    fn asks_for(&self, id: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|it| it == id)
    }

    fn rungs(&self) -> Vec<Rung> {
        match self.rung.as_slice() {
            _ if self.search_only => Vec::new(),
            [] => Rung::ALL.to_vec(),
            rungs => rungs.to_vec(),
        }
    }
}

/// Tries every bug that was asked for.
///
/// # Errors
/// No bug has such a name, the build with the bugs cannot be made, the corpus is missing or damaged, or a
/// file cannot be written.
pub fn run(args: &MutantsArgs, progress: &Reporter) -> Result<Vec<Job>, CliError> {
    if let Some(bug) = &args.this {
        try_this(args, bug)?;
        return Ok(Vec::new());
    }
    let rungs = args.rungs();
    let expected = args.expected.as_deref().map(read_expected).transpose()?;
    if rungs.contains(&Rung::Corpus) {
        read_corpus(&args.corpus)?;
    }
    if let Some(folder) = &args.traces {
        make_folder(folder)?;
    }
    let side = |path: &Option<PathBuf>| {
        let path = path.as_ref();
        path.map(|path| SideFile::named(path, progress))
    };
    let (page, list) = (side(&args.markdown), side(&args.write_expected));
    let entries = catalogue();
    progress.begin("mutants");
    let build = plant::build(&mut || {
        progress.tick(&Tick {
            unit: "bugs",
            note: "building the copy with the seeded bugs".to_owned(),
            ..Tick::default()
        })
    })?;
    let findings = try_all(args, &build, &build.bugs, progress)?;
    let search = MutantsArgs {
        search_only: true,
        all: false,
        ..args.clone()
    };
    let rules = try_all(&search, &build, &build.rules, progress)?;
    let cut = stop::requested();
    let control = match args.asks_for(CONTROL) && !cut {
        true => Some(try_control().map_err(|error| CliError::Usage(error.to_string()))?),
        false => None,
    };
    let findings: Vec<_> = findings.into_iter().chain(control).collect();
    if findings.is_empty() && rules.is_empty() && !cut {
        let text = format!("no seeded bug or rule is called {}", args.only.join(" or "));
        return Err(CliError::Usage(text));
    }
    // What is written of a part would pass for the whole. A failure is in the report.
    if let Some(file) = page.filter(|_| !cut) {
        let _ = file.write(markdown(&entries, &findings).as_bytes(), progress);
    }
    if let Some(file) = list.filter(|_| !cut) {
        let caught = findings
            .iter()
            .filter_map(|it| Some((it.key(), it.caught.as_ref()?.rung)));
        let list: Expected = caught.collect();
        let mut text = serde_json::to_string_pretty(&list).unwrap_or_default();
        text.push('\n');
        let _ = file.write(text.as_bytes(), progress);
    }
    let mut jobs = vec![account(&entries, &build)];
    jobs.extend(
        [Side::Implementation, Side::Specification]
            .into_iter()
            .filter_map(|side| job(side, &findings, &rungs, &entries, expected.as_ref())),
    );
    jobs.extend(searched("each by its property", &findings));
    jobs.extend(searched("without each rule of the specification", &rules));
    if cut {
        let name = "the other bugs";
        jobs.push(Job::not_reached("mutants", name, "interrupted"));
    }
    Ok(jobs)
}

/// Whether every entry of the catalogue is seeded, waits for something or is explained.
fn account(entries: &[Entry], build: &Build) -> Job {
    let seeded = seeded(build.bugs.iter().map(|bug| (bug.side, bug.id.as_str())));
    let gaps = unaccounted(entries, &seeded, &explanations());
    let waiting = entries.iter().filter(|it| it.waits_for.is_some()).count();
    let verdict = match gaps.len() {
        0 => "every entry is accounted for".to_owned(),
        gaps => format!("{gaps} entries are not accounted for"),
    };
    let mut job = Job::new("mutants", "the catalogue", Status::Holds, verdict);
    job.fact("entries", entries.len());
    job.fact("seeded bugs", seeded.len());
    job.fact("entries that wait for a feature", waiting);
    for gap in gaps {
        job.failed(gap, Status::Violated, "not accounted for");
    }
    job
}

fn try_all(
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
            match try_one(args, build, bug, &mut || progress.tick(&tick)) {
                Err(CliError::Interrupted) => return Ok(findings),
                found => findings.push(found?),
            }
        }
    }
    Ok(findings)
}

/// Tries one bug in a process of its own.
fn try_one(
    args: &MutantsArgs,
    build: &Build,
    bug: &Bug,
    poll: &mut dyn FnMut() -> ControlFlow<()>,
) -> Result<Finding, CliError> {
    let failed = |text: String| match stop::requested() {
        true => CliError::Interrupted,
        false => CliError::Usage(format!("{}: {text}", bug.key())),
    };
    let text = serde_json::to_string(bug).map_err(|error| failed(error.to_string()))?;
    let mut command = plant::with(build, &[bug]);
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

/// Tries the bug that is switched on in this process.
fn try_this(args: &MutantsArgs, bug: &str) -> Result<(), CliError> {
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
        Side::Specification => try_specification(&bug, &rungs, args.all),
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

fn read_corpus(folder: &Path) -> Result<Vec<(String, Trace)>, CliError> {
    let mut traces = Vec::new();
    for path in trace_files(folder)? {
        traces.push((path.display().to_string(), Trace::read(&path)?));
    }
    Ok(traces)
}

fn read_expected(path: &Path) -> Result<Expected, CliError> {
    let place =
        |error: &dyn std::fmt::Display| CliError::Input(format!("{}: {error}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| place(&error))?;
    let list: Expected = serde_json::from_str(&text).map_err(|error| place(&error))?;
    if list.is_empty() {
        return Err(place(&"the list is empty"));
    }
    Ok(list)
}

fn make_folder(folder: &Path) -> Result<(), CliError> {
    std::fs::create_dir_all(folder).map_err(|source| CliError::Output {
        path: folder.to_owned(),
        source,
    })
}

fn job(
    side: Side,
    findings: &[Finding],
    rungs: &[Rung],
    entries: &[Entry],
    expected: Option<&Expected>,
) -> Option<Job> {
    let findings: Vec<_> = findings.iter().filter(|it| it.side == side).collect();
    if findings.is_empty() {
        return None;
    }
    let caught = findings.iter().filter(|it| it.caught.is_some()).count();
    let name = match side {
        Side::Implementation => "seeded in the production Raft",
        Side::Specification => "seeded in the specification",
    };
    let verdict = format!("{caught} of {} caught", findings.len());
    let mut job = Job::new("mutants", name, Status::Holds, verdict);
    job.seconds = findings.iter().map(|it| it.seconds).sum();
    let climbed: Vec<_> = rungs.iter().map(Rung::to_string).collect();
    job.fact("rungs", climbed.join(", "));
    job.fact("bugs", findings.len());
    for rung in rungs {
        let by = |it: &&&Finding| it.caught.as_ref().is_some_and(|it| it.rung == *rung);
        job.fact(
            &format!("caught by {rung}"),
            findings.iter().filter(by).count(),
        );
    }
    for finding in &findings {
        judge(&mut job, finding, rungs, entries, expected);
    }
    job.tables.push(table(&findings));
    job.detail = serde_json::to_value(&findings).unwrap_or_default();
    Some(job)
}

/// Whether a bug that is not caught is a failure: against the list of what is expected, if there is one;
/// else if it endangers more than liveness and nobody has explained it.
fn judge(
    job: &mut Job,
    finding: &Finding,
    rungs: &[Rung],
    entries: &[Entry],
    expected: Option<&Expected>,
) {
    let case = format!("{} is caught", finding.id);
    let explained = explanations().remove(&finding.key());
    if finding.caught.is_some() {
        match explained {
            Some(_) => {
                let text = "it is caught, and there is an explanation why it cannot be";
                job.failed(case, Status::Violated, text);
            }
            None => job.passed(case),
        }
        return;
    }
    let (fails, why) = match expected {
        Some(list) => match list.get(&finding.key()) {
            Some(rung) if rungs.contains(rung) => (true, format!("the rung {rung} used to")),
            _ => (false, "no rung that was climbed is expected to".to_owned()),
        },
        None => match explained {
            Some(why) => (false, why),
            // A bug that is not of the catalogue is one of our own, made to be caught.
            None => (
                entry_of(entries, &finding.id).is_none_or(must_be_caught),
                "no rung that was climbed catches it".to_owned(),
            ),
        },
    };
    if fails {
        job.failed(case, Status::Violated, why);
    } else {
        job.notes
            .push(format!("{} is not caught: {why}", finding.id));
    }
}

fn table(findings: &[&Finding]) -> Table {
    let columns = ["bug", "caught by", "seen in", "states", "seconds", "events"];
    let rows = findings.iter().map(|finding| match &finding.caught {
        Some(it) => vec![
            finding.id.as_str().into(),
            format!("{}: {}", it.rung, it.run).into(),
            it.by.as_str().into(),
            it.states.into(),
            it.seconds.into(),
            it.steps.into(),
        ],
        None => vec![finding.id.as_str().into(), "nothing".into()],
    });
    Table {
        title: "Seeded bugs and what catches them".to_owned(),
        columns: columns.map(str::to_owned).to_vec(),
        rows: rows.collect(),
        shown: true,
    }
}

/// Whether each bug in the specification is noticed by the property or witness that it names, in the
/// preset that it names, by a search with and one without collapsed states.
fn searched(name: &str, findings: &[Finding]) -> Option<Job> {
    let mut job = Job::new("mutants", name, Status::Holds, String::new());
    let mut wrong = 0;
    for finding in findings {
        let Some(searched) = &finding.searched else {
            continue;
        };
        let result = match searched {
            it if !it.same_without_collapse => {
                Err("a search without collapsed states finds something else")
            }
            it if it.violated => Ok(()),
            it if it.reached => Err("the witness is reached all the same"),
            // Otherwise it is a property that holds, or a witness that is not reached, but would be.
            it => match Preset::named(&it.preset).map(|preset| search_for(&it.only, preset)) {
                Some(without) if without.reached => Ok(()),
                _ => Err("the property holds"),
            },
        };
        let case = format!("{}: {}", finding.id, searched.only);
        match result {
            Ok(()) => job.passed(case),
            Err(why) => {
                wrong += 1;
                job.failed(case, Status::Violated, why);
            }
        }
    }
    let all = job.cases.len();
    job.verdict = format!(
        "{} of {all} are noticed by the property they name",
        all - wrong
    );
    (all > 0).then_some(job)
}

//! `lockstep check --target exec:CMD`: model-check any program, whatever its messages are.

use super::check::{self, CheckArgs, LimitArgs};
use super::counterexample;
use super::error::CliError;
use super::model::Chosen;
use super::progress::Reporter;
use super::side_file::SideFile;
use super::target::lacks_text;
use crate::divergence::replay_command;
use crate::opaque::{
    Description, NotDeterministic, Opaque, OpaqueBounds, OpaqueReport, OpaqueStep, OpaqueTrace,
    PROPERTIES, Started, not_put_to_the_test, replay,
};
use crate::report::steps::{StepRow, StepTable, count};
use crate::report::{Job, Status, Table};
use crate::target::Needs;
use crate::targets::exec::{ExecOptions, Program};
use crate::verdict::{Strength, Verdict as Established};
use clap::Args;
use lockstep_engine::{Report, Verdict};
use lockstep_model::{Bounds, Budget, Kind};
use lockstep_traces::Config;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

/// Options for a program behind the exec protocol.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Program (exec:CMD)")]
pub struct ProgramArgs {
    /// Copies of the program that run at the same time [default: as many as threads]
    #[arg(long, value_name = "N", value_parser = check::threads)]
    copies: Option<usize>,
    /// Seconds that the program may take for one reply
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=MOST_PATIENCE_SECONDS))]
    reply_timeout: u64,
    /// Budget of an input of the program's own, such as tick=3; may be given for each
    #[arg(long, value_name = "NAME=BUDGET", value_parser = own_budget)]
    input: Vec<(String, Budget)>,
}

/// Nobody waits longer for one reply: a year.
const MOST_PATIENCE_SECONDS: u64 = 365 * 24 * 3600;

fn own_budget(text: &str) -> Result<(String, Budget), String> {
    let (name, budget) = text
        .split_once('=')
        .ok_or("it has the form NAME=BUDGET, such as tick=3")?;
    let budget: Result<Budget, _> = budget.parse();
    Ok((name.to_owned(), budget.map_err(|error| error.to_string())?))
}

impl ProgramArgs {
    /// Refuses what is of a program, where there is none.
    ///
    /// # Errors
    /// One of the options is given.
    pub fn without_program(&self) -> Result<(), CliError> {
        match self.copies.is_none() && self.input.is_empty() {
            true => Ok(()),
            false => Err(CliError::Usage(
                "--copies and --input are for a program, --target exec:CMD".to_owned(),
            )),
        }
    }

    fn options(&self) -> ExecOptions {
        ExecOptions {
            reply_timeout: Duration::from_secs(self.reply_timeout),
            ..ExecOptions::default()
        }
    }
}

/// Explores one program within the bounds of one model; without a report if there was nothing to explore.
pub fn run(
    args: &CheckArgs,
    (program, line): (&Program, &str),
    chosen: &Chosen,
    limits: &LimitArgs,
    trace_out: Option<&SideFile>,
    progress: &Reporter,
) -> Result<(Job, Option<Report>), CliError> {
    let config = chosen.cluster.settings().config();
    let copies = args.program.copies.unwrap_or(limits.threads);
    let started = Started::new(program, args.program.options(), &config, copies)?;
    let description = started.description().clone();
    let name = format!("{} of exec:{line}", chosen.name);
    let own: BTreeMap<_, _> = args.program.input.iter().cloned().collect();
    known_inputs(&description, &own)?;
    let bounds = chosen.cluster.bounds();
    let lacks = lacks(&description, &config, bounds);
    if !lacks.is_empty() {
        let why = lacks_text(&lacks.join(", "));
        let verdict = format!("not applicable: {why}");
        let mut job = Job::new("check", name, Status::Skipped, verdict);
        job.skipped("it was explored", why);
        return Ok((job, None));
    }
    let bounds = OpaqueBounds::new(&description, bounds, &own);
    let opaque = started.within(&config, bounds)?;
    let only = args.only.clone();
    let found = opaque.check(|search| {
        progress.begin(format!("check {name}"));
        let search = check::with_limits(search, limits, progress);
        if only.is_empty() {
            search
        } else {
            search.only(only)
        }
    })?;
    let mut job = job(&name, chosen, &opaque, &found)?;
    if let (Some(path), Verdict::Violated { property, .. }) =
        (&found.checked.counterexample, &found.checked.report.verdict)
    {
        let trace = opaque.trace(path, property);
        let title = format!(
            "A shortest path to the violation, {}",
            count(trace.steps.len())
        );
        explain(&mut job, property, &trace);
        job.steps = Some(table(title, &trace.steps));
        if let Some(file) = trace_out {
            save(&mut job, file, &trace, line, progress);
        }
    }
    Ok((job, Some(found.checked.report)))
}

/// Refuses a bound on an input that the program does not have.
fn known_inputs(of: &Description, own: &BTreeMap<String, Budget>) -> Result<(), CliError> {
    let names = of.inputs.iter().filter(|it| it.kind.is_none());
    let names: Vec<_> = names.map(|it| it.name.as_str()).collect();
    match own.keys().find(|name| !names.contains(&name.as_str())) {
        None => Ok(()),
        Some(name) => Err(CliError::Usage(format!(
            "--input {name}: {} has no input of its own of this name; it has {}",
            of.name,
            if names.is_empty() {
                "none".to_owned()
            } else {
                names.join(", ")
            }
        ))),
    }
}

/// Returns the needs of a model that a program does not meet: switches of the configuration, and inputs that a preset
/// is about.
fn lacks(of: &Description, config: &Config, bounds: &Bounds) -> Vec<String> {
    let needs = Needs::of_config(config);
    let missing = needs
        .features()
        .filter(|name| !of.features.iter().any(|it| it == name));
    let inputs = Kind::MORE
        .into_iter()
        .filter(|kind| bounds.have(*kind) && !of.takes(*kind));
    let inputs = inputs.map(|kind| crate::path::budget_name(kind).replace('_', " "));
    missing.map(str::to_owned).chain(inputs).collect()
}

fn job(
    name: &str,
    chosen: &Chosen,
    opaque: &Opaque,
    found: &OpaqueReport,
) -> Result<Job, CliError> {
    let report = &found.checked.report;
    let transitions = check::transitions(report)?;
    let (status, verdict) = match (&report.verdict, &found.contradiction, &found.failure) {
        (_, Some(_), _) => (Status::Violated, "not deterministic".to_owned()),
        (Verdict::Exhausted, None, Some(_)) => (
            Status::Violated,
            "it broke down when it was asked again".to_owned(),
        ),
        (searched, ..) => {
            let established = Established::of_search(searched, Strength::CodeChecked);
            let verdict = match established {
                Established::Holds(_) => established.to_string(),
                _ => searched.to_string(),
            };
            (established.status(), verdict)
        }
    };
    let mut job = Job::new("check", name, status, verdict);
    job.seconds = report.time.total_seconds;
    facts(&mut job, chosen, opaque, found, transitions);
    check::cases(&mut job, report);
    for (name, why) in not_put_to_the_test(opaque.description()) {
        job.skipped(name, why);
    }
    let always = "the program always does the same in a state of the same name";
    match (&found.contradiction, &report.verdict) {
        (Some(found), _) => {
            job.failed(
                always,
                Status::Violated,
                "two paths to one state part: see below",
            );
            contradiction(&mut job, found);
        }
        (None, Verdict::Exhausted) if found.failure.is_none() => job.passed(always),
        _ => {}
    }
    if let Some(failure) = &found.failure {
        job.notes.push(format!("the program: {failure}"));
    }
    check::tables(&mut job, report);
    job.detail = serde_json::to_value(report).unwrap_or_default();
    Ok(job)
}

fn facts(job: &mut Job, chosen: &Chosen, opaque: &Opaque, found: &OpaqueReport, transitions: u64) {
    let of = opaque.description();
    let report = &found.checked.report;
    job.fact("target", format!("{} {}", of.name, of.version));
    job.fact("purpose", chosen.purpose.as_str());
    job.fact("servers", opaque.config().servers);
    let shows: Vec<_> = of.shows.iter().map(|field| field.name()).collect();
    job.fact("fields shown", shows);
    let rows = opaque.bounds().rows(of).into_iter();
    let rows: Vec<_> = rows
        .map(|(name, value)| format!("{name} {value}"))
        .collect();
    job.fact("bounds", rows.join(", "));
    let first = [
        Kind::LeaseExpire,
        Kind::Heartbeat,
        Kind::CheckQuorum,
        Kind::Restart,
        Kind::Propose,
    ];
    let left_out = first.into_iter().filter(|kind| {
        chosen.cluster.bounds().budget(*kind) != Budget::Times(0) && !of.takes(*kind)
    });
    let left_out: Vec<_> = left_out.map(crate::path::budget_name).collect();
    if !left_out.is_empty() {
        job.fact("of the preset, not taken by the program", left_out);
    }
    job.fact("cluster states", report.distinct);
    job.fact("transitions", transitions);
    job.fact("depth", report.depth);
    let program = &found.program;
    job.fact("distinct server states", program.states);
    job.fact("distinct questions (state, input)", program.inputs);
    job.fact(
        "questions in all, with those asked again",
        program.questions,
    );
    job.fact("asked again along another path", program.inputs_again);
    job.fact(
        "asked again from the start, for want of another path",
        program.inputs_from_start,
    );
    job.fact(
        "not asked again, for want of another path",
        program.inputs_without_second_path,
    );
    job.fact("threads", report.threads);
    job.fact("copies of the program", opaque.copies());
    job.fact("collision probability", report.collision_probability);
    job.fact("properties", report.checked.len());
}

/// The two paths on which a program parts from itself.
fn contradiction(job: &mut Job, found: &NotDeterministic) {
    let path = |inputs: &[Value]| {
        let lines = inputs.iter().map(in_words);
        lines.collect::<Vec<_>>().join("\n")
    };
    let input = match &found.input {
        Some(input) => in_words(input),
        None => "nothing: what it shows is different already".to_owned(),
    };
    let how = if found.restored {
        "the first time (from a state that it had saved)"
    } else {
        "the first time"
    };
    let rows = [
        (
            "inputs before".to_owned(),
            path(&found.first_path),
            path(&found.second_path),
        ),
        ("then".to_owned(), input.clone(), input),
        (
            "it does".to_owned(),
            found.first.to_string(),
            found.second.to_string(),
        ),
    ];
    let rows = rows.map(|(what, first, second)| vec![what.into(), first.into(), second.into()]);
    let title = format!("Server {} does not always do the same", found.server);
    let columns = ["what", how, "another time, from its start"];
    job.differences = Some(Table::new(title, &columns, rows.to_vec()));
}

/// An input in a line.
fn in_words(input: &Value) -> String {
    match (input, input.get("deliver")) {
        (Value::String(name), _) => name.clone(),
        (_, Some(it)) => format!("receives from {}: {}", it["from"], it["message"]),
        (other, None) => other.to_string(),
    }
}

/// The steps as a table: for each server, what changed.
fn table(title: String, steps: &[OpaqueStep]) -> StepTable {
    let mut before: BTreeMap<u64, &Value> = BTreeMap::new();
    let rows = steps.iter().enumerate().map(|(place, step)| {
        let then = step.server.and_then(|server| before.get(&server).copied());
        let changes = step.changes(then);
        if let (Some(server), Some(view)) = (step.server, &step.view) {
            before.insert(server, view);
        }
        StepRow {
            step: place + 1,
            event: step.event_in_words(),
            changes,
            sent: step.sent_in_words(),
            rules: Vec::new(),
        }
    });
    StepTable {
        title,
        rows: rows.collect(),
    }
}

/// Says at its case what the property says.
fn explain(job: &mut Job, property: &str, trace: &OpaqueTrace) {
    let rule = PROPERTIES.iter().find(|rule| rule.name == property);
    let Some(rule) = rule else {
        return;
    };
    let last = trace
        .steps
        .last()
        .map(OpaqueStep::event_in_words)
        .unwrap_or_default();
    let text = format!(
        "step {}, {last}, violates it: {}",
        trace.steps.len(),
        rule.statement()
    );
    if let Some(case) = job.cases.iter_mut().find(|case| case.name == property) {
        case.message = Some(text);
    }
}

fn save(job: &mut Job, file: &SideFile, trace: &OpaqueTrace, line: &str, progress: &Reporter) {
    counterexample::keep(job, trace, file, progress, |path| {
        let again = replay_command(path, &format!("exec:{line}"));
        vec![("what the program did, again", again)]
    });
}

/// A file as a trace of a program with opaque messages; `None` if it is another kind of file.
///
/// # Errors
/// It is such a trace, and there is a mistake in it.
pub fn read(path: &Path) -> Result<Option<OpaqueTrace>, CliError> {
    const MOST_BYTES: u64 = 64 << 20;
    let small = std::fs::metadata(path).is_ok_and(|it| it.is_file() && it.len() <= MOST_BYTES);
    let Some(text) = small.then(|| std::fs::read_to_string(path).ok()).flatten() else {
        return Ok(None);
    };
    let first = text.lines().next().unwrap_or_default();
    if !first.contains("\"lockstep_opaque_trace\"") {
        return Ok(None);
    }
    let trace = OpaqueTrace::parse(&text);
    let trace = trace.map_err(|error| CliError::Input(format!("{}: {error}", path.display())))?;
    Ok(Some(trace))
}

/// Gives a program once more what a trace says that happened to it.
pub fn run_again(
    path: &Path,
    trace: &OpaqueTrace,
    (program, line): (&Program, &str),
    options: ExecOptions,
) -> Result<Job, CliError> {
    let begun = Instant::now();
    let config: Config = serde_json::from_value(trace.head.config.clone()).map_err(|error| {
        CliError::Input(format!("{}: line 1: `config`: {error}", path.display()))
    })?;
    let parts = replay(trace, program, options, &config)?;
    let name = format!("{} on exec:{line}", path.display());
    let case = "the program does what the trace says";
    let mut job = Job::new("replay", name, Status::Holds, "the same again".to_owned());
    job.seconds = begun.elapsed().as_secs_f64();
    job.fact("recorded of", trace.head.program.as_str());
    job.fact("steps", trace.steps.len());
    job.fact("violates", trace.head.violates.as_str());
    job.steps = Some(table(
        format!("The trace, {}", count(trace.steps.len())),
        &trace.steps,
    ));
    match parts {
        None => job.passed(case),
        Some(parts) => {
            let step = parts.step + 1;
            job.verdict = format!("the program does something else at step {step}");
            job.failed(case, Status::Violated, format!("step {step} is different"));
            let rows = vec![vec![
                step.into(),
                parts.expected.to_string().into(),
                parts.actual.to_string().into(),
            ]];
            let columns = ["step", "in the trace", "now"];
            job.differences = Some(Table::new("Where they part", &columns, rows));
        }
    }
    Ok(job)
}

//! `lockstep replay`: traces on an implementation. A trace carries what is expected; for a target that is held to a
//! dialect of the specification it is translated first.

use super::divergence;
use super::error::CliError;
use super::opaque;
use super::outputs::Place;
use super::progress::{Reporter, Tick};
use super::target::{self, TargetArgs, Visit};
use super::violation;
use crate::Target;
use crate::properties::{Counterexample, CounterexampleFate, Judges};
use crate::replay::{InDialect, NotDriven, ReplayError, ReplayReport, in_dialect, replay_read};
use crate::report::human::grouped;
use crate::report::steps::count;
use crate::report::{Job, Status, Table, sentence};
use crate::stop;
use crate::target::{DialectUse, Needs};
use crate::targets::spec::Spec;
use crate::verdict::{Strength, Verdict};
use clap::Args;
use lockstep_model::Dialect;
use lockstep_traces::{
    CorpusTrace, Field, FieldSet, Header, PassedOver, Problem, Trace, TraceError, TraceReader,
    corpus, trace_files,
};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Metadata};
use std::io::{BufRead, Cursor};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// The assertion, named alike in every run.
const AGREES: &str = "every trace agrees in every step that was driven";

/// Options of `lockstep replay`.
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// Traces, directories of traces, or `corpus:` for the traces that are part of this program (`corpus:NAME`
    /// for one of them)
    #[arg(required = true, value_name = "FILE|DIR|corpus:")]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    pub target: TargetArgs,
}

impl ReplayArgs {
    /// Returns the files that are read.
    pub fn places(&self) -> Vec<Place> {
        let in_program = |path: &&PathBuf| path.to_str().is_some_and(|it| it.starts_with(CORPUS));
        let files = self.paths.iter().filter(|path| !in_program(path));
        files.map(|path| Place::read("FILE", path)).collect()
    }
}

/// Replays every trace that was named.
///
/// # Errors
/// A file is not a trace, a directory holds none, or the target cannot be started.
pub fn run(args: &ReplayArgs, progress: &Reporter) -> Result<Vec<Job>, CliError> {
    if let ([path], Some(program)) = (args.paths.as_slice(), args.target.program())
        && let Some(trace) = opaque::read(path)?
    {
        let job = opaque::run_again(path, &trace, program, args.target.options())?;
        return Ok(vec![job]);
    }
    let mut sources = Sources::default();
    for path in &args.paths {
        sources.append(Sources::of(path)?);
    }
    let names: Vec<_> = args
        .paths
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    let name = format!("{} on {}", names.join(" "), args.target.target);
    let visit = Replay {
        name,
        sources,
        target: &args.target,
        progress,
    };
    args.target.visit(visit).map(|job| vec![job])
}

/// The prefix that names the corpus of this program, or one trace of it, in place of a file.
pub const CORPUS: &str = "corpus:";

/// The longest trace that is translated into the dialect of a target, in bytes of its file. A longer one is compared
/// as it was recorded.
const TRANSLATED_BYTES: u64 = 64 << 20;

/// The origin of a trace: a file or the corpus of this program.
#[derive(Clone, Debug)]
pub enum Source {
    /// A file.
    File(PathBuf),
    /// The corpus that is part of this program.
    Corpus(CorpusTrace),
}

impl Source {
    /// Returns the argument by which `lockstep replay` finds it.
    fn path(&self) -> PathBuf {
        match self {
            Source::File(path) => path.clone(),
            Source::Corpus(trace) => format!("{CORPUS}{}", trace.name).into(),
        }
    }

    /// Reads the header.
    fn open(&self) -> Result<TraceReader<Box<dyn BufRead>>, TraceError> {
        Ok(match self {
            Source::File(path) => TraceReader::open(path)?.boxed(),
            Source::Corpus(trace) => trace.reader(&self.path().display().to_string())?.boxed(),
        })
    }

    /// Whether the trace can be read twice, and at once.
    fn is_translatable(&self) -> bool {
        let is_usual = |it: Metadata| it.is_file() && it.len() <= TRANSLATED_BYTES;
        fs::metadata(self.path()).map_or(true, is_usual)
    }

    /// The trace; `None` if there was a request to stop before its end.
    fn read(&self) -> Result<Option<Trace>, TraceError> {
        let mut reader = self.open()?;
        let header = reader.header().clone();
        let mut steps = Vec::new();
        for step in reader.by_ref() {
            if stop::requested() {
                return Ok(None);
            }
            steps.push(step?);
        }
        Ok(Some(Trace { header, steps }))
    }

    /// Reads the trace to its end, or until a request to stop, and keeps nothing of it.
    ///
    /// # Errors
    /// It is no complete and well-formed trace.
    pub fn check(&self) -> Result<(), TraceError> {
        for step in self.open()?.take_while(|_| !stop::requested()) {
            step?;
        }
        Ok(())
    }
}

/// Traces, and what lies beside them.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// Each is a trace.
    pub traces: Vec<Source>,
    /// The files that are not read.
    pub passed_over: Vec<PassedOver>,
}

impl Sources {
    /// The corpus that is part of this program.
    pub fn corpus() -> Sources {
        let traces = corpus().iter().copied().map(Source::Corpus);
        Sources {
            traces: traces.collect(),
            passed_over: Vec::new(),
        }
    }

    /// Finds the traces that a path stands for.
    ///
    /// # Errors
    /// A folder cannot be read, or the corpus has no trace of that name.
    pub fn of(path: &Path) -> Result<Sources, CliError> {
        let Some(name) = path.to_str().and_then(|it| it.strip_prefix(CORPUS)) else {
            let found = trace_files(path)?;
            let traces = found.traces.into_iter().map(Source::File);
            return Ok(Sources {
                traces: traces.collect(),
                passed_over: found.passed_over,
            });
        };
        let mut all = Sources::corpus();
        all.traces.retain(|it| {
            let is_it = |trace: &CorpusTrace| name.is_empty() || trace.name == name;
            matches!(it, Source::Corpus(trace) if is_it(trace))
        });
        if all.traces.is_empty() {
            let text = format!("the corpus of this program has no trace {name:?}");
            return Err(CliError::Input(text));
        }
        Ok(all)
    }

    fn append(&mut self, mut other: Sources) {
        self.traces.append(&mut other.traces);
        self.passed_over.append(&mut other.passed_over);
    }
}

/// Traces from files, on whichever target.
pub struct Replay<'a> {
    /// The name of the job.
    pub name: String,
    /// The traces, and what lies beside them.
    pub sources: Sources,
    /// The options that name the target.
    pub target: &'a TargetArgs,
    /// The reporter of progress.
    pub progress: &'a Reporter,
}

/// The fate of traces before they are replayed.
#[derive(Default)]
struct Prepared {
    /// The traces that are expected otherwise than recorded, with the departures that they need.
    translated: Vec<(String, Vec<DialectUse>)>,
    /// The traces that the target cannot be given, with the reason.
    not_applicable: Vec<(String, String)>,
}

impl Prepared {
    /// The trace as the target is to be given it; `None` if it is not applicable.
    fn take<T: Target>(
        &mut self,
        source: &Source,
        name: &str,
        target: &T,
    ) -> Result<Option<Reader>, TraceError> {
        let reader = source.open()?;
        let lacks = target.lacks(&needs(source, reader.header()));
        if !lacks.is_empty() {
            let why = target::lacks_text(&lacks.join(", "));
            self.not_applicable.push((name.to_owned(), why));
            return Ok(None);
        }
        let dialect = target.dialect();
        let is_judged = reader.header().property.is_some();
        if dialect == Dialect::ETCD || is_judged || !source.is_translatable() {
            return Ok(Some(reader));
        }
        let Some(trace) = source.read()? else {
            return Ok(Some(reader));
        };
        // A request to stop is seen by who replays it.
        match in_dialect(&trace, dialect).unwrap_or(InDialect::AsRecorded) {
            InDialect::AsRecorded => Ok(Some(reader)),
            InDialect::Translated(trace, departures) => {
                self.translated.push((name.to_owned(), departures));
                let mut text = Vec::new();
                let written = trace.write(&mut text);
                written.map_err(|error| TraceError {
                    source_name: name.to_owned(),
                    line: 1,
                    field: String::new(),
                    problem: Problem::Invalid(error.to_string()),
                })?;
                Ok(Some(TraceReader::new(Cursor::new(text), name)?.boxed()))
            }
            InDialect::NotApplicable { step, departures } => {
                let why = format!(
                    "step {step} does not happen in the dialect of the target: {}",
                    names(&departures)
                );
                self.not_applicable.push((name.to_owned(), why));
                Ok(None)
            }
        }
    }
}

type Reader = TraceReader<Box<dyn BufRead>>;

/// The features that a trace needs of a target. It is read for that step by step; errors are reported when it is
/// replayed.
fn needs(source: &Source, header: &Header) -> Needs {
    let needs = Needs::of_config(&header.config);
    // A pipe can be read once.
    let again = fs::metadata(source.path()).map_or(true, |it| it.is_file());
    let steps = again.then(|| source.open()).into_iter().flatten().flatten();
    steps
        .take_while(|_| !stop::requested())
        .flatten()
        .fold(needs, |needs, step| needs.and(Needs::of_event(&step.event)))
}

impl Visit for Replay<'_> {
    type Output = Job;

    fn visit<T: Target>(self, target: T) -> Result<Job, CliError> {
        self.progress.begin(format!("replay {}", self.name));
        let clock = Instant::now();
        let files = self.sources.traces.len();
        let prepared = RefCell::new(Prepared::default());
        let prepare = |source: &Source| {
            let name = source.path().display().to_string();
            let mut prepared = prepared.borrow_mut();
            let reader = prepared.take(source, &name, &target)?;
            Ok(reader.map(|reader| (name, reader)))
        };
        let readers = self.sources.traces.iter();
        let readers = readers.filter_map(|source| prepare(source).transpose());
        let judges = Judges {
            specification: target.description().name == Spec.description().name,
            dialect: target.dialect(),
        };
        let report = replay_read(&target, readers, Some(judges), &mut |it| {
            self.progress.tick(&Tick {
                done: it.compared,
                unit: "steps",
                note: format!("{} of {files} traces", it.traces),
                ..Tick::default()
            })
        })?;
        let prepared = prepared.into_inner();
        if let (0, [(_, why), ..], false) = (
            report.traces,
            prepared.not_applicable.as_slice(),
            stop::requested(),
        ) {
            return Err(CliError::Usage(format!(
                "{}: nothing was compared, for no trace is applicable: {why}",
                self.name
            )));
        }
        let mut job = job(&self.name, &report, &self.sources.traces, self.target)?;
        for (source, it) in &report.counterexamples {
            counterexample(&mut job, source, it, &self.sources.traces)?;
        }
        passed_over(&mut job, &self.sources.passed_over);
        translated(&mut job, &prepared.translated);
        not_applicable(&mut job, &prepared.not_applicable, files);
        job.seconds = clock.elapsed().as_secs_f64();
        Ok(job)
    }
}

/// Turns the report of a replay into a job.
fn job(
    name: &str,
    report: &ReplayReport,
    sources: &[Source],
    target: &TargetArgs,
) -> Result<Job, CliError> {
    let in_part = format!(
        "({} of {} steps, {:.2} %)",
        grouped(report.compared),
        grouped(report.steps),
        report.share() * 100.0
    );
    let verdict = report.verdict();
    let said = match verdict {
        Verdict::Holds(_) if report.is_of_counterexamples() => {
            "sampled: no counterexample violates its property".to_owned()
        }
        Verdict::Holds(Strength::SampledWhereDriven) => format!(
            "sampled: every trace agrees where it can be driven {in_part}; the other steps are to \
             change nothing"
        ),
        Verdict::Holds(_) => "sampled: every trace agrees".to_owned(),
        Verdict::InPart(_) => {
            format!("sampled in part: not every input could be driven {in_part}")
        }
        Verdict::Violated => violated(report),
        Verdict::Unanswered => format!("stopped ({verdict})"),
        Verdict::Bounded { stopped_by } => format!("stopped ({stopped_by})"),
        Verdict::NothingChecked => {
            let text = format!("{name}: nothing was compared in {} traces", report.traces);
            return Err(CliError::Input(text));
        }
        Verdict::Diverged | Verdict::HiddenState => verdict.to_string(),
    };
    let status = match verdict {
        Verdict::InPart(_) if target.partial => Status::Holds,
        verdict => verdict.status(),
    };
    let mut job = Job::new("replay", name, status, said);
    divergence::target_facts(&mut job, &report.target);
    job.fact("traces", report.traces);
    job.fact("traces that agree in every step", report.agreed);
    if report.agreed_where_driven > 0 {
        job.fact(
            "traces that agree where they can be driven",
            report.agreed_where_driven,
        );
    }
    job.fact("steps of servers", report.steps);
    job.fact("steps compared", report.compared);
    job.fact("share of steps compared, %", report.share() * 100.0);
    not_driven(&mut job, &report.not_driven, "steps", target.partial);
    not_reached(&mut job, report);
    if let Some((source, found)) = &report.divergence {
        let left_out = report.left_out;
        let summary = divergence::summary_after(left_out, found);
        job.failed(AGREES, Status::Violated, format!("{source}: {summary}"));
        divergence::describe_after(&mut job, left_out, found);
        // A name that is no text is shown as one, but the command has the name itself.
        let mut paths = sources.iter().map(Source::path);
        if let Some(file) = paths.find(|it| it.display().to_string() == *source) {
            job.shown_by(&file, left_out + found.trace.steps.len());
            job.command("repeat it with", target.replay_command(&file));
        }
    } else if status == Status::Holds && report.agreed + report.agreed_where_driven > 0 {
        job.passed(AGREES);
    }
    Ok(job)
}

/// The properties that are violated again.
fn violated(report: &ReplayReport) -> String {
    let fates = report.counterexamples.iter().map(|(_, it)| it);
    let violated = fates.filter(|it| matches!(it.fate, CounterexampleFate::Violated(_)));
    let names: BTreeSet<_> = violated.map(|it| it.property.as_str()).collect();
    format!(
        "violated: {}",
        names.into_iter().collect::<Vec<_>>().join(", ")
    )
}

/// Reports the fate of a counterexample. The first one that is violated is shown step by step.
fn counterexample(
    job: &mut Job,
    source: &str,
    found: &Counterexample,
    sources: &[Source],
) -> Result<(), CliError> {
    let Counterexample {
        property,
        fate,
        departure,
        not_shown,
    } = found;
    match fate {
        CounterexampleFate::Violated(violation) if job.violations.is_empty() => {
            let mut sources = sources.iter();
            let read = sources.find(|it| it.path().display().to_string() == *source);
            if let Some(trace) = read.map(Source::read).transpose()?.flatten() {
                let title = format!("{source}, {}, as it expects them", count(violation.step));
                let config = &trace.header.config;
                violation::describe(job, violation.clone(), title, config, &trace.steps);
            }
        }
        CounterexampleFate::Violated(violation) => {
            let name = format!("{source}: {property}");
            job.failed(name, Status::Violated, sentence(violation));
            job.violations.push(violation.clone());
        }
        CounterexampleFate::Held { steps, whole } => {
            let far = match whole {
                true => "to its end",
                false => "as far as the target follows it",
            };
            job.passed(format!("{source}: {property}"));
            let steps = count(*steps);
            job.notes.push(format!(
                "{property} is not violated: it holds in {steps} of {source}, {far}"
            ));
        }
        CounterexampleFate::Unanswered { why } => {
            job.failed(format!("{source}: {property}"), Status::Stopped, why);
        }
    }
    if let Some(departure) = departure {
        let step = departure.trace.steps.len();
        let rows = departure.differences.iter().map(divergence::row).collect();
        let title = format!("Step {step} of {source} is no longer what happens");
        let table = Table::new(title, &["what", "the trace", "the target"], rows);
        job.tables.push(table.shown());
    }
    let fact = "fields not shown, so taken from the counterexample";
    if *not_shown != FieldSet::NONE && job.facts.iter().all(|it| it.name != fact) {
        let names: Vec<_> = not_shown.iter().map(Field::name).collect();
        job.fact(fact, names);
    }
    Ok(())
}

/// Names what lies beside the traces and was not read: a table for everybody, and an assertion that was not
/// put to the test for each.
pub(super) fn passed_over(job: &mut Job, files: &[PassedOver]) {
    if files.is_empty() {
        return;
    }
    job.fact("files and folders that were not read", files.len());
    let mut rows = Vec::new();
    for PassedOver { path, why } in files {
        let (path, why) = (path.display().to_string(), why.to_string());
        job.skipped(format!("{path} was not read"), why.as_str());
        rows.push(vec![path.into(), why.into()]);
    }
    let table = Table::new("What was not read", &["path", "why"], rows);
    job.tables.push(table.shown());
}

/// Names the traces in which the target is held to other rules than the specification as it is.
fn translated(job: &mut Job, traces: &[(String, Vec<DialectUse>)]) {
    if traces.is_empty() {
        return;
    }
    job.fact(
        "traces translated into the dialect of the target",
        traces.len(),
    );
    let rows = traces.iter().map(|(name, departures)| {
        let departures = names(departures);
        vec![name.as_str().into(), departures.into()]
    });
    let title = "Expected otherwise than recorded, in the dialect of the target";
    let columns = ["trace", "departures"];
    job.tables
        .push(Table::new(title, &columns, rows.collect()).shown());
}

/// The names of departures, each with the number of steps at which it makes a difference.
fn names(departures: &[DialectUse]) -> String {
    let names = departures.iter().map(|it| match it.uses {
        1 => format!("{} (1 step)", it.name),
        uses => format!("{} ({uses} steps)", it.name),
    });
    names.collect::<Vec<_>>().join(", ")
}

/// Names the traces that the target cannot be given, and why not.
fn not_applicable(job: &mut Job, traces: &[(String, String)], of: usize) {
    if traces.is_empty() {
        return;
    }
    job.verdict += &format!("; {} of {of} traces are not applicable", traces.len());
    job.fact("traces that are not applicable", traces.len());
    let mut rows = Vec::new();
    for (name, why) in traces {
        job.skipped(format!("{name} is not applicable"), why.as_str());
        rows.push(vec![name.as_str().into(), why.as_str().into()]);
    }
    let columns = ["trace", "why"];
    job.tables
        .push(Table::new("What is not applicable", &columns, rows).shown());
}

/// Names what could not be driven, `counted` as these: a table for everybody, and an assertion that was not
/// put to the test for each kind of input and reason. One that was to change or send something stops the
/// job, unless it was `excused`.
pub fn not_driven(job: &mut Job, found: &BTreeMap<NotDriven, u64>, counted: &str, excused: bool) {
    if found.is_empty() {
        return;
    }
    job.fact(
        &format!("{counted} that could not be driven"),
        found.values().sum::<u64>(),
    );
    let mut rows = Vec::new();
    for (why, count) in found {
        let NotDriven {
            input,
            reason,
            changes_nothing,
        } = why;
        let name = format!("{input} was not driven: {reason}");
        let was_to = if *changes_nothing {
            "change nothing"
        } else {
            "change or send something"
        };
        let message = format!("{} {counted}, which were to {was_to}", grouped(*count));
        if *changes_nothing || excused {
            job.skipped(name, message);
        } else {
            job.failed(name, Status::Stopped, message);
        }
        rows.push(vec![
            (*input).into(),
            reason.as_str().into(),
            was_to.into(),
            (*count).into(),
        ]);
    }
    let columns = ["input", "why", "was to", counted];
    job.tables
        .push(Table::new("What was not driven", &columns, rows).shown());
}

/// The steps of servers that had missed one.
pub fn not_reached(job: &mut Job, report: &ReplayReport) {
    if report.not_reached > 0 {
        job.fact(
            "steps not compared, after one that was not driven",
            report.not_reached,
        );
    }
}

impl From<ReplayError> for CliError {
    fn from(error: ReplayError) -> CliError {
        match error {
            ReplayError::Trace(error) => error.into(),
            ReplayError::Target(error) => error.into(),
        }
    }
}

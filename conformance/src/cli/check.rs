//! `lockstep check`: model-check the specification.

use super::checkpoint::CheckpointArgs;
use super::counterexample;
use super::error::CliError;
use super::history;
use super::model::{Chosen, ModelArgs, PlantArgs};
use super::opaque::ProgramArgs;
use super::outputs::Place;
use super::progress::{self, Reporter, Tick};
use super::side_file::SideFile;
use super::target::TargetArgs;
use super::tested::{self, Tested, never_tested};
use super::violation;
use crate::TargetSpec;
use crate::divergence::replay_command;
use crate::path::{steps_along, supposed};
use crate::properties::Judge;
use crate::report::steps::count;
use crate::report::{Job, Status, Table};
use crate::seeded::Side;
use crate::show::Story;
use crate::verdict::{Strength, Verdict as Established};
use clap::{Args, ValueEnum};
use lockstep_engine::bench::peak_bytes;
use lockstep_engine::temporary::TemporaryFolder;
use lockstep_engine::{Checkable, Checked, PropertyKind, Search, Verdict};
use lockstep_model::properties::witnesses;
use lockstep_model::{Cluster, Departure, Dialect};
use lockstep_traces::{Header, Provenance, Step, Trace};
use serde_json::Value;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Options of `lockstep check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    #[command(flatten)]
    pub limits: LimitArgs,
    #[command(flatten)]
    pub plant: PlantArgs,
    #[command(flatten)]
    pub program: ProgramArgs,
    /// The engine: Lockstep's own, or stateright's breadth-first search as a cross-check
    #[arg(long, value_enum, default_value_t = Engine::Lockstep)]
    engine: Engine,
    /// Explore the code of this implementation instead of the specification: lockstep-raft, raft-rs, or exec:CMD
    /// for any program (conformance/targets/README.md)
    #[arg(long, value_name = "TARGET")]
    target: Option<TargetSpec>,
    /// Put a rule of another implementation in place of the specification's; may be given more than once. The unsafe
    /// ones violate a property: leads-before-own-vote and reads-by-context, for example
    #[arg(
        long = "departure",
        value_name = "NAME",
        value_parser = departure,
        conflicts_with_all = ["target", "plant"]
    )]
    departures: Vec<Departure>,
    /// Count states that differ only in the names of servers as one
    #[arg(long)]
    pub symmetry: bool,
    /// From every reachable state, run a fair schedule that must bring the cluster back: a leader that every member
    /// hears, a new entry applied by all of them, no joint configuration, no transfer, every peer caught up
    #[arg(long, conflicts_with_all = ["target", "symmetry", "checkpoint", "resume"])]
    recovery: bool,
    /// Check only this property; may be given more than once
    #[arg(long, value_name = "NAME")]
    pub only: Vec<String>,
    #[command(flatten)]
    pub checkpoints: CheckpointArgs,
    /// Fail if a property was never put to the test, because the case that it is about never came up
    #[arg(long)]
    strict: bool,
    /// Write the counterexample to this file, as a trace that names its property. Of several presets each has
    /// a file, with its name: found-smoke.ndjson
    #[arg(long, value_name = "FILE")]
    pub trace_out: Option<PathBuf>,
}

impl CheckArgs {
    /// The bug that is seeded into what is checked, and the text that it is in.
    ///
    /// # Errors
    /// A seeded bug is asked for in a target that has none.
    pub fn seeded(&self) -> Result<Option<(Side, String)>, CliError> {
        let Some(id) = self.plant.id() else {
            return Ok(None);
        };
        match &self.target {
            Some(target) => TargetArgs::of(target).planted(Some(id)).seeded(),
            None => Ok(Some((Side::Specification, id.to_owned()))),
        }
    }

    /// The specification with the departures that were asked for.
    pub fn dialect(&self) -> Dialect {
        let departures = self.departures.iter().copied();
        departures.fold(Dialect::ETCD, Dialect::with)
    }

    /// Returns the places that traces and checkpoints go to.
    pub fn places(&self) -> Vec<Place> {
        let mut places = Vec::new();
        if let Some(path) = &self.trace_out {
            let presets = self.model.presets();
            let whole = SideFile::at(path);
            let files = presets.iter().map(|preset| match presets.len() {
                1 => whole.clone(),
                _ => whole.about(preset),
            });
            places.extend(files.map(|file| Place::file("--trace-out", file.path())));
        }
        places.extend(self.checkpoints.places());
        places
    }
}

/// A departure by its name.
fn departure(name: &str) -> Result<Departure, String> {
    let known = Departure::ALL.into_iter().find(|it| it.name() == name);
    known.ok_or_else(|| {
        let names = Departure::ALL.map(Departure::name).join(", ");
        format!("the specification knows {names}")
    })
}

/// Limits of a search.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Limits")]
pub struct LimitArgs {
    /// Threads; the result is the same for any number
    #[arg(long, value_name = "N", default_value_t = default_threads(), value_parser = threads)]
    pub threads: usize,
    /// Memory for states, in MiB; what does not fit goes to disk: the states that wait, the ways to
    /// all of them, and the fingerprints of those found long ago
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(..=MOST_MEBIBYTES))]
    pub memory: Option<u64>,
    /// Stop after N distinct states
    #[arg(long, value_name = "N")]
    pub max_states: Option<u64>,
    /// Maximum depth, in steps
    #[arg(long, value_name = "STEPS")]
    pub max_depth: Option<u32>,
    /// Stop after N seconds for all presets together. The other limits are for each preset
    #[arg(long, value_name = "SECONDS")]
    pub timeout: Option<u64>,
}

impl LimitArgs {
    /// Whether anything limits the search.
    pub fn limits(&self) -> bool {
        let LimitArgs {
            threads: _,
            memory,
            max_states,
            max_depth,
            timeout,
        } = self;
        memory.is_some() || max_states.is_some() || max_depth.is_some() || timeout.is_some()
    }

    /// Returns limits without a bound, on this number of threads.
    pub fn threads(threads: usize) -> LimitArgs {
        LimitArgs {
            threads,
            memory: None,
            max_states: None,
            max_depth: None,
            timeout: None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Engine {
    /// Level by level, step properties, shortest counterexamples
    Lockstep,
    /// stateright's search: state properties only
    Stateright,
}

pub fn default_threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// More memory than any machine has, in MiB; the number of bytes still fits.
const MOST_MEBIBYTES: u64 = 1 << 40;

/// Parses a number of threads: at least one, and at most four times what the machine can run at once, or 64 if that is
/// more.
pub fn threads(text: &str) -> Result<usize, String> {
    let most = (4 * default_threads()).max(64);
    match text.parse() {
        Ok(0) => Err("at least one thread is needed".to_owned()),
        Ok(threads) if threads > most => Err(format!(
            "at most {most} threads, four times what this machine can run at once or 64"
        )),
        Ok(threads) => Ok(threads),
        Err(error) => Err(format!("{error}")),
    }
}

/// Checks one model, or every model that `verify` checks.
///
/// # Errors
/// The options make no sense together, or the search cannot be done.
pub fn run(args: &CheckArgs, progress: &Reporter) -> Result<Vec<Job>, CliError> {
    let dialect = args.dialect();
    let chosen = args.model.choose_all()?.into_iter();
    let chosen = chosen.map(|it| it.in_dialect(dialect));
    let chosen: Vec<_> = chosen.map(|it| args.plant.within(it)).collect();
    let [chosen] = chosen.as_slice() else {
        return several(args, &chosen, progress).map(|()| Vec::new());
    };
    args.checkpoints.begin(progress);
    let trace_out = args.trace_out.as_deref();
    let trace_out = trace_out.map(|path| SideFile::named(path, progress));
    let (mut job, report) = one(args, &args.limits, chosen, trace_out.as_ref(), progress)?;
    if job.status == Status::Skipped {
        return Err(nothing_to_check(&job));
    }
    if let Some(report) = &report {
        witnesses_asked_for(&mut job, report, &args.only);
        tested::none(&mut job, report);
        tested::in_verdict(&mut job, report, args.strict);
    }
    Ok(vec![job])
}

/// A run in which nothing is applicable to the target is no pass: the job says why.
fn nothing_to_check(job: &Job) -> CliError {
    CliError::Usage(format!("{}: {}", job.title(), job.verdict))
}

/// Checks several models one after the other, and whether they put every property to the test together.
fn several(args: &CheckArgs, all: &[Chosen], progress: &Reporter) -> Result<(), CliError> {
    if args.checkpoints.are_kept() {
        let text = "a checkpoint is of one search: --checkpoint and --resume need a --preset";
        return Err(CliError::Usage(text.to_owned()));
    }
    if args.engine == Engine::Stateright {
        let text = "stateright's search would take hours for every preset of `verify`: --engine stateright \
                    needs a --preset";
        return Err(CliError::Usage(text.to_owned()));
    }
    // A file for each: one would take the place of the other.
    let presets: Vec<_> = all.iter().map(|chosen| chosen.preset.clone()).collect();
    let files = match &args.trace_out {
        Some(path) => SideFile::named_about(path, &presets, progress),
        None => Vec::new(),
    };
    let begun = Instant::now();
    let mut tested = Tested::default();
    progress.plan(all.len() + 1);
    let (mut left_out, mut applicable) = (None, 0);
    for (place, chosen) in all.iter().enumerate() {
        progress.job("check", &chosen.name, || {
            // The time is for all together.
            let spent = begun.elapsed().as_secs();
            let limits = LimitArgs {
                timeout: args
                    .limits
                    .timeout
                    .map(|seconds| seconds.saturating_sub(spent)),
                ..args.limits.clone()
            };
            let (job, report) = one(args, &limits, chosen, files.get(place), progress)?;
            if let Some(report) = &report {
                tested.add(&chosen.name, report);
            }
            match job.status {
                Status::Skipped => left_out = Some(job.clone()),
                _ => applicable += 1,
            }
            Ok(job)
        })?;
    }
    if let (Some(job), 0) = (left_out, applicable) {
        return Err(nothing_to_check(&job));
    }
    progress.job("tested", "by all presets", || {
        Ok(tested.job(&args.only, args.strict))
    })
}

/// Checks one model; with the report, unless stateright made it.
fn one(
    args: &CheckArgs,
    limits: &LimitArgs,
    chosen: &Chosen,
    trace_out: Option<&SideFile>,
    progress: &Reporter,
) -> Result<(Job, Option<lockstep_engine::Report>), CliError> {
    if !matches!(args.target, Some(TargetSpec::Exec { .. })) {
        args.program.without_program()?;
    }
    if let (Some(target), Engine::Stateright) = (&args.target, args.engine) {
        let text = format!("stateright's search is of the specification, not of {target}");
        return Err(CliError::Usage(text));
    }
    if let Some(target) = &args.target {
        return super::code::run(args, target, chosen, limits, trace_out, progress);
    }
    if args.engine == Engine::Stateright {
        if !args.only.is_empty() || args.trace_out.is_some() {
            let text = "stateright's search checks every state property and writes no trace: \
                        --only and --trace-out are for Lockstep's own";
            return Err(CliError::Usage(text.to_owned()));
        }
        let more = args.symmetry || args.recovery || args.checkpoints.are_kept();
        if more || args.limits.memory.is_some() {
            let text =
                "stateright's search has no exact symmetry, recovery, checkpoint or memory limit";
            return Err(CliError::Usage(text.to_owned()));
        }
        if args.strict {
            let text = "stateright's search does not count how often a property was put to the test: \
                        --strict is for Lockstep's own";
            return Err(CliError::Usage(text.to_owned()));
        }
        let job = super::stateright::run(chosen, limits, progress)?;
        return Ok((job, None));
    }
    if args.recovery {
        return super::recovery::run(args, chosen, limits, trace_out, progress);
    }
    let room = room_on_disk(limits)?;
    let mut search =
        limited(&chosen.cluster, limits, &chosen.name, progress).symmetry(args.symmetry);
    if let Some(room) = &room {
        search = search.spill_folder(room.path());
    }
    if args.symmetry {
        // The size that is known is that of the whole.
        progress.begin(format!("check {} by symmetry", chosen.name));
    }
    if !args.only.is_empty() {
        search = search.only(args.only.iter().cloned());
    }
    let checked = args.checkpoints.of(search).run()?;
    let mut job = job(chosen, &checked)?;
    if let (Some(file), Some(found)) = (trace_out, &checked.counterexample) {
        let trace = trace_of("counterexample", chosen, &checked.report.verdict, found);
        counterexample::keep(&mut job, &trace, file, progress, |path| {
            // No target is the specification with a departure.
            let again = args.departures.is_empty().then(|| {
                let plant = args.plant.command_line();
                let again = replay_command(path, "spec") + &plant;
                ("the counterexample, again", again)
            });
            again.into_iter().collect()
        });
    }
    args.checkpoints.note(&mut job, checked.resumed_at);
    Ok((job, Some(checked.report)))
}

/// A counterexample as a trace of that name.
pub fn trace_of(
    name: &str,
    chosen: &Chosen,
    verdict: &Verdict,
    found: &lockstep_engine::Trace<Cluster>,
) -> Trace {
    let actions: Vec<_> = found.actions().copied().collect();
    let header = header(chosen, name, &verdict.to_string());
    Trace {
        header: match verdict {
            Verdict::Violated { property, .. } => header.violating(property),
            _ => header,
        },
        steps: steps_along(&chosen.cluster, &actions),
    }
}

/// Explains the violation at the end of a path of the specification.
pub fn explain(job: &mut Job, chosen: &Chosen, property: &str, title: &str, steps: &[Step]) {
    let settings = chosen.cluster.settings();
    if let (Some(judge), false) = (Judge::specified(property, settings), steps.is_empty()) {
        let violation = judge.at_the_end_of(steps);
        let title = format!("{title}, {}", count(steps.len()));
        violation::describe(job, violation, title, &settings.config(), steps);
    }
}

/// A folder for what does not fit into memory, if memory is limited: made before the work begins, since it may
/// be that none can be.
pub fn room_on_disk(limits: &LimitArgs) -> Result<Option<TemporaryFolder>, CliError> {
    let place = std::env::temp_dir();
    let folder = limits
        .memory
        .map(|_| TemporaryFolder::new(&place, "lockstep-"));
    folder.transpose().map_err(|source| CliError::Output {
        path: std::env::temp_dir(),
        source,
    })
}

/// A witness that was asked for by name must be reached: unlike one that merely was not met within a
/// small bound, it is what the search was for.
fn witnesses_asked_for(job: &mut Job, report: &lockstep_engine::Report, only: &[String]) {
    if report.verdict != Verdict::Exhausted {
        return;
    }
    let asked = |it: &&lockstep_engine::Witness| only.contains(&it.name);
    let mut missed = Vec::new();
    for witness in report.witnesses.iter().filter(asked) {
        match witness.depth {
            Some(depth) => job.passed(format!("{} (after {depth} steps)", witness.name)),
            None => {
                missed.push(witness.name.as_str());
                let text = "no state or step within the bound is one";
                job.failed(&witness.name, Status::Violated, text);
            }
        }
    }
    if !missed.is_empty() {
        job.verdict = format!("{}, {} not reached", job.verdict, missed.join(", "));
    }
}

/// The name of the search of a model, by which its size is known the next time.
fn work(cluster: &Cluster) -> String {
    format!("check {}", cluster.identity())
}

/// A search with these limits that reports its progress.
pub fn limited<'a>(
    cluster: &'a Cluster,
    limits: &LimitArgs,
    name: &str,
    progress: &'a Reporter,
) -> Search<'a, Cluster> {
    progress.begin_known(format!("check {name}"), Some(&work(cluster)));
    with_limits(Search::new(cluster), limits, progress)
}

/// `search` with these limits, reporting its progress. The caller has begun the report.
pub fn with_limits<'a, M: Checkable>(
    search: Search<'a, M>,
    limits: &LimitArgs,
    progress: &'a Reporter,
) -> Search<'a, M> {
    let mut search =
        search
            .threads(limits.threads)
            .coverage(true)
            .on_progress(progress::INTERVAL, move |it| {
                progress.tick(&Tick {
                    done: it.distinct,
                    unit: "states",
                    queue: Some(it.queue),
                    memory_bytes: Some(it.memory_bytes),
                    note: format!("depth {}", it.depth),
                })
            });
    if let Some(mebibytes) = limits.memory {
        search = search.max_memory(mebibytes << 20);
    }
    if let Some(states) = limits.max_states {
        search = search.max_states(states);
    }
    if let Some(depth) = limits.max_depth {
        search = search.max_depth(depth);
    }
    if let Some(seconds) = limits.timeout {
        search = search.max_time(Duration::from_secs(seconds));
    }
    search
}

/// The number of transitions that a search took.
///
/// # Errors
/// It took none at all although it was not cut off: that is not a pass.
pub fn transitions(report: &lockstep_engine::Report) -> Result<u64, CliError> {
    let transitions = report.levels.iter().map(|level| level.generated).sum();
    if transitions == 0 && report.verdict == Verdict::Exhausted {
        let text = "nothing was checked: the search took no transition within the bound";
        return Err(CliError::Usage(text.to_owned()));
    }
    Ok(transitions)
}

/// The result of a search, as a job.
///
/// # Errors
/// The search took no transition at all: that is not a pass.
pub fn job(chosen: &Chosen, checked: &Checked<Cluster>) -> Result<Job, CliError> {
    let report = &checked.report;
    let transitions = transitions(report)?;
    let status = Established::of_search(&report.verdict, Strength::Exhausted).status();
    let mut job = Job::new("check", &chosen.name, status, report.verdict.to_string());
    job.seconds = report.time.total_seconds;
    if report.verdict == Verdict::Exhausted && !report.symmetry {
        history::remember(&work(&chosen.cluster), report.distinct);
    }
    facts(&mut job, chosen, report, transitions);
    cases(&mut job, report);
    tables(&mut job, report);
    if let Some(found) = &checked.counterexample {
        let steps = steps_along(
            &chosen.cluster,
            &found.actions().copied().collect::<Vec<_>>(),
        );
        let title = "A shortest path to the violation";
        if let Verdict::Violated { property, .. } = &report.verdict {
            explain(&mut job, chosen, property, title, &steps);
        }
    }
    job.witnesses = witness_stories(chosen, checked);
    let idle = report.actions.iter().filter(|it| it.fired == 0);
    let idle: Vec<_> = idle.map(|it| it.kind.as_str()).collect();
    if !idle.is_empty() && status == Status::Holds {
        job.notes.push(format!(
            "never fired within this bound: {}",
            idle.join(", ")
        ));
    }
    let unreached: Vec<_> = report.unreached().collect();
    if !unreached.is_empty() && status == Status::Holds {
        job.notes.push(format!(
            "not reached within this bound: {}",
            unreached.join(", ")
        ));
    }
    if let Some(trouble) = &checked.trouble {
        job.notes.push(format!("a file failed: {trouble}"));
    }
    job.detail = serde_json::to_value(report).unwrap_or_default();
    Ok(job)
}

/// The shortest paths to the witnesses that were reached.
fn witness_stories(chosen: &Chosen, checked: &Checked<Cluster>) -> Vec<Story> {
    let config = chosen.cluster.settings().config();
    let stories = checked.witnesses.iter().map(|(name, trace)| {
        let actions: Vec<_> = trace.actions().copied().collect();
        let mut story = Story::of_steps(&config, &steps_along(&chosen.cluster, &actions));
        story.name.clone_from(name);
        let witness = witnesses().iter().find(|it| it.name == name);
        let what = witness.map_or("", |it| it.story);
        let preset = &chosen.name;
        story.purpose = format!("A shortest path of {preset} to this: {what}.");
        story
    });
    stories.collect()
}

pub fn facts(job: &mut Job, chosen: &Chosen, report: &lockstep_engine::Report, transitions: u64) {
    let seconds = report.time.total_seconds;
    job.fact("purpose", chosen.purpose.as_str());
    job.fact("protocol", chosen.switches());
    job.fact("bounds", chosen.bounds());
    if report.symmetry {
        job.fact("symmetry", "states up to permutations of the servers");
    }
    job.fact("distinct states", report.distinct);
    job.fact("transitions", transitions);
    job.fact(
        "transitions per state",
        branching(transitions, report.distinct),
    );
    job.fact("depth", report.depth);
    if seconds > 0.0 {
        job.fact(
            "states per second",
            (report.distinct as f64 / seconds) as u64,
        );
    }
    job.fact("threads", report.threads);
    job.fact("peak memory, MiB", report.memory.peak >> 20);
    job.fact("peak of the process, MiB", peak_bytes() >> 20);
    if report.memory.disk > 0 {
        job.fact("on disk, MiB", report.memory.disk >> 20);
    }
    job.fact("collision probability", report.collision_probability);
    let reached = report.witnesses.len() - report.unreached().count();
    job.fact("properties", report.checked.len());
    job.fact(
        "witnesses reached",
        format!("{reached} of {}", report.witnesses.len()),
    );
}

/// Transitions for each state.
fn branching(transitions: u64, states: u64) -> Value {
    let mean = transitions as f64 / states.max(1) as f64;
    ((mean * 100.0).round() / 100.0).into()
}

pub fn cases(job: &mut Job, report: &lockstep_engine::Report) {
    let untested = never_tested(report);
    for property in &report.checked {
        match &report.verdict {
            _ if untested.contains(&property.as_str()) => job.skipped(property, tested::UNTESTED),
            Verdict::Exhausted => job.passed(property),
            Verdict::Violated {
                property: bad,
                kind,
                depth,
            } if bad == property => {
                let what = match kind {
                    PropertyKind::State => "state",
                    PropertyKind::Step => "step",
                };
                let text = format!("the last {what} of a path of {depth} steps violates it");
                job.failed(property, Status::Violated, text);
            }
            Verdict::Bounded { stopped_by } => {
                let text = format!("held in what was explored; stopped by: {stopped_by}");
                job.held_so_far(property, text);
            }
            Verdict::Violated { property: bad, .. } => {
                let text = format!("held in what was explored, up to the violation of {bad}");
                job.held_so_far(property, text);
            }
        }
    }
}

pub fn tables(job: &mut Job, report: &lockstep_engine::Report) {
    let levels = report.levels.iter().enumerate().map(|(depth, it)| {
        vec![
            depth.into(),
            it.distinct.into(),
            it.generated.into(),
            branching(it.generated, it.distinct),
            it.terminal.into(),
        ]
    });
    let mut add = |title: &str, columns: &[&str], rows: Vec<Vec<Value>>| {
        if !rows.is_empty() {
            job.tables.push(Table::new(title, columns, rows));
        }
    };
    let columns = ["depth", "distinct", "transitions", "branching", "terminal"];
    add("States per depth", &columns, levels.collect());
    let actions = report.actions.iter().map(|it| {
        vec![
            it.kind.as_str().into(),
            it.enabled.into(),
            it.fired.into(),
            it.discovered.into(),
        ]
    });
    let columns = ["action", "enabled", "fired", "led to a new state"];
    add("Actions", &columns, actions.collect());
    let witnesses = report
        .witnesses
        .iter()
        .map(|it| vec![it.name.as_str().into(), it.depth.into()]);
    let columns = ["witness", "shortest path"];
    add("Witnesses", &columns, witnesses.collect());
    let tested = report
        .antecedents
        .iter()
        .map(|it| vec![it.property.as_str().into(), it.held.into()]);
    let title = "How often a property was put to the test";
    add(title, &["property", "times"], tested.collect());
    let pairs = report
        .pairs
        .iter()
        .map(|it| vec![it.pair.as_str().into(), it.met.into()]);
    add("Role and message met", &["pair", "times"], pairs.collect());
    let time = &report.time;
    let times = [
        ("expanding states", time.expand_seconds),
        ("inserting fingerprints", time.insert_seconds),
        ("writing the next level and the links", time.emit_seconds),
        ("checkpoints", time.checkpoint_seconds),
        ("in all", time.total_seconds),
    ];
    let rows = times
        .map(|(what, seconds)| vec![what.into(), seconds.into()])
        .to_vec();
    add("Time", &["for", "seconds"], rows);
    let memory = &report.memory;
    let bytes = [
        ("fingerprints", memory.fingerprints),
        ("states waiting", memory.frontier),
        ("links", memory.links),
        ("the batch at work", memory.batch),
        ("the peak of the sum", memory.peak),
        ("on disk", memory.disk),
    ];
    let rows = bytes
        .map(|(what, bytes)| vec![what.into(), bytes.into()])
        .to_vec();
    add("Memory", &["for", "bytes"], rows);
}

/// The header of a trace through this model.
pub fn header(chosen: &Chosen, name: &str, purpose: &str) -> Header {
    let config = chosen.cluster.settings().config();
    Header::new(name, purpose, config, provenance(chosen))
}

/// The provenance of a trace through this model.
pub fn provenance(chosen: &Chosen) -> Provenance {
    Provenance {
        generator: format!("lockstep {} check", env!("CARGO_PKG_VERSION")),
        preset: Some(chosen.preset.clone()),
        bounds: chosen.bound_numbers(),
        seed: None,
        timing: supposed(chosen.cluster.bounds().timing),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::replay;
    use crate::report::human::{self, Style};
    use crate::targets::spec::Spec;
    use std::ops::ControlFlow;

    /// A finished search, of which the tests change the verdict: the specification violates nothing.
    fn checked(chosen: &Chosen) -> Checked<Cluster> {
        Search::new(&chosen.cluster)
            .run()
            .expect("the search needs nothing")
    }

    #[test]
    fn a_violation_is_shown_step_by_step() {
        let chosen = Chosen::preset("smoke").expect("there is a preset smoke");
        let mut checked = checked(&chosen);
        let name = "leader_elected_reachable";
        let found = checked.witnesses.iter().position(|(it, _)| it == name);
        let (_, path) = checked
            .witnesses
            .swap_remove(found.expect("a leader is elected"));
        checked.report.verdict = Verdict::Violated {
            property: "election_safety_inv".to_owned(),
            kind: PropertyKind::State,
            depth: u32::try_from(path.steps.len()).expect("a short path"),
        };
        checked.counterexample = Some(path);
        let job = job(&chosen, &checked).expect("there were transitions");
        assert_eq!(job.status, Status::Violated);
        let shown = Job {
            facts: Vec::new(),
            ..job
        };
        let text = human::render_job(&shown, Style::default());
        insta::assert_snapshot!(format!("(the path to {name})\n{text}"));
    }

    /// The file that `--trace-out` writes is a trace, and the specification follows it.
    #[test]
    fn a_counterexample_is_saved_as_a_trace_that_replays() {
        let chosen = Chosen::preset("smoke").expect("there is a preset smoke");
        let checked = checked(&chosen);
        let (name, path) = checked.witnesses.last().expect("a witness is reached");
        let verdict = Verdict::Violated {
            property: (*name).to_owned(),
            kind: PropertyKind::State,
            depth: u32::try_from(path.steps.len()).expect("a short path"),
        };
        let folder = tempfile::tempdir().expect("there is a place for temporary files");
        let file = folder.path().join("found.ndjson");
        let found = trace_of("counterexample", &chosen, &verdict, path);
        found.save(&file).expect("it is written");
        let trace = Trace::read(&file).expect("it is a trace");
        assert_eq!(trace.header.purpose, verdict.to_string());
        assert_eq!(trace.steps.len(), path.steps.len());
        let read = [Ok(("found".to_owned(), trace))];
        let report = replay(&Spec, read, &mut |_| ControlFlow::Continue(())).expect("it runs");
        let sampled = Established::Holds(Strength::Sampled);
        assert_eq!(report.verdict(), sampled);
    }

    #[test]
    fn a_search_without_a_transition_is_no_pass() {
        let chosen = Chosen::preset("smoke").expect("there is a preset smoke");
        let mut checked = checked(&chosen);
        assert_eq!(
            job(&chosen, &checked)
                .expect("there were transitions")
                .status,
            Status::Holds
        );
        checked.report.levels.clear();
        assert!(job(&chosen, &checked).is_err());
    }

    #[test]
    fn every_property_is_a_case() {
        let chosen = Chosen::preset("smoke").expect("there is a preset smoke");
        let checked = checked(&chosen);
        let job = job(&chosen, &checked).expect("there were transitions");
        let names: Vec<_> = job.cases.iter().map(|case| case.name.clone()).collect();
        assert_eq!(names, checked.report.checked);
        assert!(names.len() >= 10, "{names:?}");
    }
}

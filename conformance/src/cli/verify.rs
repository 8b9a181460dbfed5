//! `lockstep verify`: the main job. The specification is checked, the implementation is compared with it
//! at every edge, its code is explored by itself, and the corpus is replayed, with the presets that are part of every
//! change; the production Raft is also walked through by ticks.

use super::check::{self, LimitArgs};
use super::conform;
use super::dialect;
use super::divergence::TraceOutArgs;
use super::error::CliError;
use super::model::Chosen;
use super::outputs::Place;
use super::progress::Reporter;
use super::recovery;
use super::replay::{CORPUS, Replay, Sources};
use super::target::{TargetArgs, lacks_text};
use super::tested;
use crate::Target;
use crate::report::{Job, Status, Table};
use crate::target::Needs;
use clap::Args;
use lockstep_engine::{Report as Searched, Verdict};
use lockstep_model::Preset;
use lockstep_model::Rule;
use lockstep_model::properties::witnesses;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Options of `lockstep verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    #[command(flatten)]
    pub target: TargetArgs,
    /// Replay the traces of this folder instead of those that are part of this program
    #[arg(long, value_name = "DIR")]
    corpus: Option<PathBuf>,
    /// Threads; the result is the same for any number
    #[arg(long, value_name = "N", default_value_t = check::default_threads(), value_parser = check::threads)]
    threads: usize,
    #[command(flatten)]
    trace_out: TraceOutArgs,
}

impl VerifyArgs {
    /// Returns the files that are read, and the places of traces.
    pub fn places(&self) -> Vec<Place> {
        let mut places = self.trace_out.places_of(&jobs_with_traces(&ci_presets()));
        let corpus = self.corpus.iter();
        places.extend(corpus.map(|folder| Place::read("--corpus", folder)));
        places
    }
}

/// The presets that are part of every change.
fn ci_presets() -> Vec<&'static Preset> {
    Preset::all().iter().filter(|preset| preset.ci).collect()
}

/// The presets whose graphs are so large that exploring the code of an implementation takes a second or more: `check
/// --target` does it in `.ci/nightly`.
const LARGE_AS_CODE: [&str; 4] = ["default", "conflict", "overtaken", "flow"];

/// Whether the code of the target is explored within the bounds of this preset.
fn is_explored(preset: &str) -> bool {
    !LARGE_AS_CODE.contains(&preset)
}

/// The names of the traces of all jobs that may have one: a comparison and an exploration with each preset, and the walks.
fn jobs_with_traces(presets: &[&Preset]) -> Vec<String> {
    let compared = presets.iter().map(|it| format!("conform-{}", it.name));
    let explored = presets.iter().map(|it| format!("code-{}", it.name));
    compared.chain(explored).chain([WALK.to_owned()]).collect()
}

/// The name of the trace of a walk.
const WALK: &str = "walk";

/// Everything, in order; a job that fails does not keep the others from running.
///
/// # Errors
/// The target cannot be started, or the corpus is missing or damaged.
pub fn run(args: &VerifyArgs, progress: &Reporter) -> Result<Vec<Job>, CliError> {
    let presets = ci_presets();
    let mut chosen = Vec::new();
    for preset in &presets {
        chosen.push(Chosen::preset(preset.name)?);
    }
    let trace_out = args.trace_out.files(&jobs_with_traces(&presets), progress);
    // Before minutes of work: a missing or damaged corpus, or a target that does not start or does not know
    // what the presets need, is found at once.
    let target = args.target.start()?;
    let dialect = target.dialect();
    let sources = match &args.corpus {
        Some(folder) => Sources::of(folder)?,
        None => Sources::corpus(),
    };
    for source in &sources.traces {
        source.check()?;
    }
    let mut lacking = Vec::new();
    for it in &chosen {
        let config = it.cluster.settings().config();
        let lacks = target.lacks(&Needs::of_model(&config, it.cluster.bounds()));
        if lacks.is_empty() {
            target.accepts(&config)?;
        }
        lacking.push(lacks.join(", "));
    }
    if lacking.iter().all(|it| !it.is_empty()) {
        return Err(CliError::Usage(format!(
            "no preset is applicable to {}: the first needs {}",
            args.target.target, lacking[0]
        )));
    }
    drop(target);
    let limits = LimitArgs::threads(args.threads);
    let walks = args.target.keeps_timers();
    let explored = chosen.iter().filter(|it| is_explored(&it.name));
    let explored = if args.target.is_explored() {
        explored.count()
    } else {
        0
    };
    progress.plan(2 * chosen.len() + 2 + explored + usize::from(walks));
    let mut searched = Vec::new();
    for chosen in &chosen {
        progress.job("check", &chosen.name, || {
            let search = check::limited(&chosen.cluster, &limits, &chosen.name, progress);
            let (mut job, report) = match recovery::is_of_verify(&chosen.name) {
                true => recovery::tried(chosen, search)?,
                false => {
                    let checked = search.run()?;
                    (check::job(chosen, &checked)?, checked.report)
                }
            };
            tested::none(&mut job, &report);
            searched.push((chosen.name.clone(), report));
            Ok(job)
        })?;
    }
    let names: Vec<_> = presets.iter().map(|preset| preset.name).collect();
    progress.job("coverage", &names.join(", "), || {
        Ok(coverage(&names, &searched))
    })?;
    let compared = chosen.iter().zip(&lacking).zip(&trace_out);
    for ((chosen, lacks), trace_out) in compared {
        let chosen = &chosen.clone().in_dialect(dialect);
        let name = format!("{} on {}", chosen.name, args.target.target);
        progress.job("conform", &name, || {
            if !lacks.is_empty() {
                return Ok(not_applicable("conform", &name, lacks));
            }
            conform::one(chosen, &args.target, &limits, trace_out, progress)
        })?;
    }
    if let Some(job) = dialect::together(&progress.done()) {
        progress.keep(job);
    }
    let traces = trace_out.iter().skip(chosen.len());
    let code = chosen.iter().zip(traces).filter(|_| explored > 0);
    for (chosen, trace_out) in code.filter(|(chosen, _)| is_explored(&chosen.name)) {
        let name = format!("{} of {}", chosen.name, args.target.target);
        progress.job("check", &name, || {
            super::code::one(chosen, &args.target, &limits, trace_out, progress)
        })?;
    }
    let folder = args.corpus.as_deref().unwrap_or(Path::new(CORPUS));
    let name = format!("{} on {}", folder.display(), args.target.target);
    progress.job("replay", &name, || {
        args.target.visit(Replay {
            name: name.clone(),
            sources,
            target: &args.target,
            progress,
        })
    })?;
    if let (Some(trace_out), true) = (trace_out.last(), walks) {
        progress.job("walk", &format!("on {}", args.target.target), || {
            super::walk::standard(&args.target, trace_out, progress)
        })?;
    }
    Ok(Vec::new())
}

/// A comparison that was not made, since the target lacks what the preset turns on. It is no pass.
fn not_applicable(kind: &str, name: &str, lacks: &str) -> Job {
    let verdict = format!("not applicable: {}", lacks_text(lacks));
    let mut job = Job::new(kind, name, Status::Skipped, verdict);
    job.skipped("it was compared", lacks_text(lacks));
    job
}

/// Reports the gaps in the coverage of these presets together. A property that was never put to the test, an action
/// that never fired, a pair that never met or a witness that no search reached is a gap, and a gap is a failure. As
/// long as a search is missing or was stopped, though, nobody knows what it would have met.
pub fn coverage(names: &[&str], searched: &[(String, Searched)]) -> Job {
    let open = open_searches(names, searched);
    let gap = if open.is_empty() {
        Status::Violated
    } else {
        Status::Stopped
    };
    let mut job = Job::new("coverage", names.join(", "), Status::Holds, String::new());
    let mut tally = Tally::default();
    for (preset, report) in searched {
        for it in &report.actions {
            tally.add("action", &it.kind, it.fired, preset);
        }
        for it in &report.pairs {
            match it.pair.strip_prefix("rule ") {
                Some(rule) => tally.add("rule", rule, it.met, preset),
                None => tally.add("pair", &it.pair, it.met, preset),
            }
        }
        for it in &report.antecedents {
            tally.add("antecedent", &it.property, it.held, preset);
        }
        for it in &report.witnesses {
            tally.add("witness", &it.name, u64::from(it.depth.is_some()), preset);
        }
    }
    let mut gaps = 0;
    for (kind, plural) in [
        ("action", "kinds of action fired"),
        ("pair", "role and message met"),
        ("rule", "rules applied"),
        ("antecedent", "properties put to the test"),
        ("witness", "witnesses reached"),
    ] {
        let rows: Vec<_> = tally.0.iter().filter(|((it, _), _)| *it == kind).collect();
        let met = rows.iter().filter(|(_, (times, _))| *times > 0).count();
        job.fact(plural, format!("{met} of {}", rows.len()));
        if rows.is_empty() {
            gaps += 1;
            job.failed(plural, gap, "there is nothing of this kind to meet");
        }
        for ((_, name), (times, _)) in rows {
            if *times == 0 {
                gaps += 1;
                let text = "met in none of the presets".to_owned();
                job.failed(format!("{kind} {name}"), gap, text);
            } else {
                job.passed(format!("{kind} {name}"));
            }
        }
    }
    // Reached elsewhere is not enough: the preset was chosen because it reaches the witness.
    for witness in witnesses() {
        let of = searched.iter().find(|(name, _)| name == witness.preset);
        let missed = of.is_some_and(|(_, report)| report.unreached().any(|it| it == witness.name));
        if missed {
            gaps += 1;
            let text = format!("not reached in `{}`, which it names", witness.preset);
            job.failed(format!("witness {}", witness.name), gap, text);
        }
    }
    job.verdict = match gaps {
        0 => "no gaps".to_owned(),
        1 => "1 gap".to_owned(),
        gaps => format!("{gaps} gaps"),
    };
    if !open.is_empty() {
        job.verdict = format!("bounded ({})", open.join(", "));
        let text = format!("{} so far", if gaps == 0 { "no gaps" } else { "gaps" });
        job.failed("the presets were searched to their ends", gap, text);
    }
    let rows = |wanted: &str, cell: fn(&(u64, Vec<&str>)) -> Value| {
        let rows = tally.0.iter().filter(|((kind, _), _)| *kind == wanted);
        rows.map(|((_, name), met)| vec![name.as_str().into(), cell(met)])
            .collect()
    };
    let title = "Witnesses and the presets that reach them";
    let witnesses = rows("witness", |(_, presets)| presets.join(", ").into());
    job.tables
        .push(Table::new(title, &["witness", "presets"], witnesses));
    let times = |(times, _): &(u64, Vec<&str>)| (*times).into();
    let enabled = enabled(searched);
    let actions = tally.0.iter().filter(|((kind, _), _)| *kind == "action");
    let actions = actions.map(|((_, name), (fired, _))| {
        let enabled = enabled.get(name.as_str()).copied().unwrap_or_default();
        vec![name.as_str().into(), enabled.into(), (*fired).into()]
    });
    let title = "Actions, over all presets";
    let columns = ["action", "enabled", "fired"];
    job.tables
        .push(Table::new(title, &columns, actions.collect()));
    let title = "How often a property was put to the test, over all presets";
    let tested = rows("antecedent", times);
    job.tables
        .push(Table::new(title, &["property", "times"], tested));
    let title = "Role and message met, over all presets";
    let pairs = rows("pair", times);
    job.tables
        .push(Table::new(title, &["pair", "times"], pairs));
    let applied = Rule::ALL.iter().filter_map(|rule| {
        let (times, _) = tally.0.get(&("rule", rule.name().to_owned()))?;
        let place = rule.specification().to_string();
        Some(vec![rule.name().into(), place.into(), (*times).into()])
    });
    let title = "Rules applied, over all presets";
    let columns = ["rule", "function of the specification", "times"];
    job.tables
        .push(Table::new(title, &columns, applied.collect()));
    job
}

/// The presets that were not searched to their ends, and why not.
fn open_searches(names: &[&str], searched: &[(String, Searched)]) -> Vec<String> {
    let mut open = Vec::new();
    for name in names {
        match searched.iter().find(|(searched, _)| searched == name) {
            Some((_, report)) if report.verdict == Verdict::Exhausted => {}
            Some((_, report)) => open.push(format!("{name}: {}", report.verdict)),
            None => open.push(format!("{name}: not searched")),
        }
    }
    open
}

/// Counts how often each kind of action was possible, over all searches.
fn enabled(searched: &[(String, Searched)]) -> BTreeMap<&str, u64> {
    let mut enabled = BTreeMap::new();
    for it in searched.iter().flat_map(|(_, report)| &report.actions) {
        *enabled.entry(it.kind.as_str()).or_default() += it.enabled;
    }
    enabled
}

/// By kind and name: how often it was met, and in which presets.
#[derive(Default)]
struct Tally<'a>(BTreeMap<(&'static str, String), (u64, Vec<&'a str>)>);

impl<'a> Tally<'a> {
    fn add(&mut self, kind: &'static str, name: &str, times: u64, preset: &'a str) {
        let entry = self.0.entry((kind, name.to_owned())).or_default();
        entry.0 += times;
        if times > 0 {
            entry.1.push(preset);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockstep_engine::Search;

    const NAMES: [&str; 1] = ["single"];

    /// A search of a space so small that it meets little.
    fn searched(coverage: bool) -> Vec<(String, Searched)> {
        let chosen = Chosen::preset("single").expect("there is a preset single");
        let search = Search::new(&chosen.cluster).coverage(coverage);
        let checked = search.run().expect("the search needs nothing");
        vec![(chosen.name, checked.report)]
    }

    #[test]
    fn what_was_never_met_is_a_gap() {
        let job = coverage(&NAMES, &searched(true));
        assert_eq!(job.status, Status::Violated);
        assert!(job.cases.iter().any(|case| case.status == Status::Violated));
    }

    /// A search that was stopped, by a limit or an interruption, leaves gaps unknown.
    #[test]
    fn coverage_gaps_are_known_only_after_every_search() {
        let mut cut = searched(true);
        cut[0].1.verdict = Verdict::Bounded {
            stopped_by: lockstep_engine::Limit::Interrupted,
        };
        let more = ["single", "smoke"];
        for job in [coverage(&NAMES, &cut), coverage(&more, &searched(true))] {
            assert_eq!(job.status, Status::Stopped, "{}", job.verdict);
            let violated = |case: &&crate::report::Case| case.status == Status::Violated;
            assert_eq!(job.cases.iter().find(violated).map(|it| &it.name), None);
        }
    }

    /// A search that counted nothing must not look like one that missed nothing.
    #[test]
    fn nothing_counted_is_a_gap() {
        assert_eq!(coverage(&NAMES, &searched(false)).status, Status::Violated);
        assert_eq!(coverage(&[], &[]).status, Status::Violated);
    }

    /// A gap of one preset is none if another preset fills it.
    #[test]
    fn presets_are_taken_together() {
        let mut both = searched(true);
        both[0].0 = "part".to_owned();
        let mut full = both[0].1.clone();
        for it in &mut full.actions {
            it.fired = 1;
        }
        for it in &mut full.pairs {
            it.met = 1;
        }
        for it in &mut full.antecedents {
            it.held = 1;
        }
        for it in &mut full.witnesses {
            it.depth = Some(1);
        }
        both.push(("full".to_owned(), full));
        let job = coverage(&["part", "full"], &both);
        assert_eq!(
            (job.status, job.verdict.as_str()),
            (Status::Holds, "no gaps")
        );
    }
}

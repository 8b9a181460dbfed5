//! Replays traces on a target and compares after every step. Needs no specification: a trace carries
//! what is expected.
//!
//! # Inputs that a target cannot be given
//!
//! Such a step is never silently a pass: it is counted by the kind of the input and the target's reason
//! ([`NotDriven`]), and the server must be as it was before. What follows depends on what was to happen:
//!
//! * Nothing (a timer of a role that has none, say): the other steps still mean something, and a trace with
//!   such steps is [`TraceResult::AgreedWhereDriven`].
//! * Something: the trace is [`TraceResult::Partial`], which is no pass. A server's state depends on its own
//!   inputs alone, so if it was to change, the later steps of *that* server are not compared; the other
//!   servers of the trace go on.

use crate::compare::{Difference, Wanted, compare, compare_bystander, compare_start, start_view};
use crate::divergence::{Actual, Divergence};
use crate::properties::{Counterexample, CounterexampleFate, Judge, Judges, Replayed, evaluate};
use crate::stop;
use crate::target::{Description, Reaction, Run, Script, Target, TargetError};
use lockstep_traces::{
    Event, Expected, FieldSet, NodeView, Outcome, Problem, ServerId, Trace, TraceError,
};
use serde::Serialize;
use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::ops::ControlFlow;

/// Traces that are on their way to the target at once.
const BATCH: usize = 256;

/// How one trace fared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TraceResult {
    /// Every step of a server was driven and compared, and all agree.
    Agreed,
    /// What was driven agrees, and the rest was to change nothing.
    AgreedWhereDriven,
    /// What was driven agrees, but something was not that was to change or send something.
    Partial,
    /// There is no step, or no field could be compared.
    NothingCompared,
    /// A step differs.
    Diverged,
    /// It is a counterexample, whose property was evaluated.
    Counterexample,
}

/// What a replay established.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplayVerdict {
    /// Every trace agreed in full.
    Agreed,
    /// Every trace agreed in all that could be driven, and the rest was to change nothing.
    AgreedWhereDriven,
    /// Nothing differs, but steps were not driven that were to change or send something.
    Partial,
    /// There was nothing to compare: no trace, one without steps, or no step that could be driven.
    NothingCompared,
    /// A trace differs.
    Diverged,
    /// The property of a counterexample is violated again.
    Violated,
    /// There were counterexamples only, and their properties hold.
    NotViolated,
    /// The property of a counterexample could not be evaluated.
    Unanswered,
    /// It was stopped before the end; nothing differs so far.
    Interrupted,
}

/// Inputs that a target could not be given: those of one kind, for one reason.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct NotDriven {
    /// The kind of the input, as traces name it.
    pub input: &'static str,
    /// Why not, as the target says.
    pub reason: String,
    /// Whether the input was to be accepted, to change nothing and to send nothing.
    pub changes_nothing: bool,
}

/// What became of a step of a server that was given its input, or could not be.
pub(crate) enum StepFate<'a> {
    Agreed,
    NotDriven(&'a NotDriven),
}

/// The counts of a replay, and the first divergence.
#[derive(Clone, Debug)]
pub struct ReplayReport {
    /// Who was compared.
    pub target: Description,
    /// Traces that were replayed, and of those, how each fared.
    pub traces: u64,
    /// Traces of which every step was driven, compared and agreed.
    pub agreed: u64,
    /// Traces that agreed wherever they could be driven, the rest being to change nothing.
    pub agreed_where_driven: u64,
    /// Traces of which some steps were not driven that were to change or send something.
    pub partial: u64,
    /// Traces without steps, or without a field to compare.
    pub nothing_compared: u64,
    /// Steps at which a server moves.
    pub steps: u64,
    /// Of those, the steps that were driven and compared.
    pub compared: u64,
    /// Of those, the steps that could not be driven.
    pub not_driven: BTreeMap<NotDriven, u64>,
    /// Of those, the steps of a server that came after one that was to change it and was not driven.
    pub not_reached: u64,
    /// Steps at which only the network moves; there is nothing to compare.
    pub network: u64,
    /// The first trace that differs, and the file or name that it came from.
    pub divergence: Option<(String, Box<Divergence>)>,
    /// The counterexamples whose properties were evaluated, each with the file or name that it came from.
    pub counterexamples: Vec<(String, Counterexample)>,
    interrupted: bool,
}

impl ReplayReport {
    /// The share of the steps that was driven and compared, from 0 to 1; 0 if there was none.
    pub fn share(&self) -> f64 {
        if self.steps == 0 {
            0.0
        } else {
            self.compared as f64 / self.steps as f64
        }
    }

    /// The fields that were compared.
    pub fn fields_compared(&self) -> FieldSet {
        self.target.compared()
    }

    /// The fields that were not, because the target does not show them.
    pub fn fields_not_compared(&self) -> FieldSet {
        self.target.not_shown()
    }

    /// What was established.
    pub fn verdict(&self) -> ReplayVerdict {
        let fates = || self.counterexamples.iter().map(|(_, it)| &it.fate);
        if fates().any(|fate| matches!(fate, CounterexampleFate::Violated(_))) {
            ReplayVerdict::Violated
        } else if self.divergence.is_some() {
            ReplayVerdict::Diverged
        } else if fates().any(|fate| matches!(fate, CounterexampleFate::Unanswered { .. })) {
            ReplayVerdict::Unanswered
        } else if self.interrupted {
            ReplayVerdict::Interrupted
        } else if self.compared == 0 || self.nothing_compared > 0 {
            ReplayVerdict::NothingCompared
        } else if self.partial > 0 {
            ReplayVerdict::Partial
        } else if self.agreed_where_driven > 0 {
            ReplayVerdict::AgreedWhereDriven
        } else if self.agreed == 0 && !self.counterexamples.is_empty() {
            ReplayVerdict::NotViolated
        } else {
            ReplayVerdict::Agreed
        }
    }

    fn new(target: Description) -> ReplayReport {
        ReplayReport {
            target,
            traces: 0,
            agreed: 0,
            agreed_where_driven: 0,
            partial: 0,
            nothing_compared: 0,
            steps: 0,
            compared: 0,
            not_driven: BTreeMap::new(),
            not_reached: 0,
            network: 0,
            divergence: None,
            counterexamples: Vec::new(),
            interrupted: false,
        }
    }

    fn add(&mut self, source: &str, trace: &Trace, fate: Fate) {
        self.traces += 1;
        self.steps += fate.steps;
        self.compared += fate.compared.len() as u64;
        self.not_reached += fate.not_reached;
        self.network += trace.steps.len() as u64 - fate.steps;
        match fate.result() {
            TraceResult::Agreed => self.agreed += 1,
            TraceResult::AgreedWhereDriven => self.agreed_where_driven += 1,
            TraceResult::Partial => self.partial += 1,
            TraceResult::NothingCompared => self.nothing_compared += 1,
            TraceResult::Diverged | TraceResult::Counterexample => {}
        }
        for (_, not_driven) in fate.not_driven {
            *self.not_driven.entry(not_driven).or_default() += 1;
        }
        if let Some(counterexample) = fate.counterexample {
            self.counterexamples
                .push((source.to_owned(), counterexample));
        }
        if self.divergence.is_none() {
            self.divergence = fate.divergence.map(|it| (source.to_owned(), Box::new(it)));
        }
    }
}

/// Why a replay could not be done.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// A trace cannot be read.
    #[error(transparent)]
    Trace(#[from] TraceError),
    /// The target cannot be started.
    #[error(transparent)]
    Target(#[from] TargetError),
}

/// Replays traces, each with the name of where it came from, until one differs. `progress` is called
/// now and then with the counts so far and may stop the replay.
///
/// # Errors
///
/// A trace cannot be read, or the target cannot be started.
pub fn replay<T: Target>(
    target: &T,
    traces: impl IntoIterator<Item = Result<(String, Trace), TraceError>>,
    progress: &mut dyn FnMut(&ReplayReport) -> ControlFlow<()>,
) -> Result<ReplayReport, ReplayError> {
    replay_watched(target, traces, None, progress, &mut |_, _, _| {})
}

/// [`replay`], but of a counterexample the property that it names is evaluated on what the target does: that the
/// target does otherwise than the trace is then no divergence.
///
/// # Errors
///
/// As [`replay`], or a counterexample names a property that does not exist.
pub fn replay_and_judge<T: Target>(
    target: &T,
    traces: impl IntoIterator<Item = Result<(String, Trace), TraceError>>,
    judges: Judges,
    progress: &mut dyn FnMut(&ReplayReport) -> ControlFlow<()>,
) -> Result<ReplayReport, ReplayError> {
    let known = traces.into_iter().map(|trace| {
        let (source, trace) = trace?;
        match &trace.header.property {
            Some(name) if !Judge::knows(name) => Err(TraceError {
                source_name: source,
                line: 1,
                field: "property".to_owned(),
                problem: Problem::Invalid(format!("there is no property {name}")),
            }),
            _ => Ok((source, trace)),
        }
    });
    replay_watched(target, known, Some(judges), progress, &mut |_, _, _| {})
}

/// What is told of every step that agreed or could not be driven: the position of the trace, that of the
/// step in it, and its fate.
type Watch<'a> = &'a mut dyn FnMut(usize, usize, StepFate<'_>);

/// [`replay`], with a call for every step that agreed or could not be driven.
pub(crate) fn replay_watched<T: Target, B: Borrow<Trace>>(
    target: &T,
    traces: impl IntoIterator<Item = Result<(String, B), TraceError>>,
    judges: Option<Judges>,
    progress: &mut dyn FnMut(&ReplayReport) -> ControlFlow<()>,
    watch: Watch<'_>,
) -> Result<ReplayReport, ReplayError> {
    let mut report = ReplayReport::new(target.description());
    let mut batch: Vec<(String, B)> = Vec::new();
    for trace in traces {
        let (source, trace) = trace?;
        let same = batch
            .last()
            .is_none_or(|(_, last)| last.borrow().header.config == trace.borrow().header.config);
        if !same || batch.len() == BATCH {
            replay_batch(target, &batch, judges, &mut report, watch)?;
            batch.clear();
            report.interrupted |= progress(&report).is_break();
            if report.divergence.is_some() || report.interrupted {
                return Ok(report);
            }
        }
        batch.push((source, trace));
    }
    replay_batch(target, &batch, judges, &mut report, watch)?;
    report.interrupted |= stop::requested();
    Ok(report)
}

/// Replays traces of one configuration.
fn replay_batch<T: Target, B: Borrow<Trace>>(
    target: &T,
    batch: &[(String, B)],
    judges: Option<Judges>,
    report: &mut ReplayReport,
    watch: Watch<'_>,
) -> Result<(), TargetError> {
    let Some((_, first)) = batch.first() else {
        return Ok(());
    };
    let scripts: Vec<Script<'_>> = batch
        .iter()
        .map(|(_, trace)| script(trace.borrow()))
        .collect();
    let mut fates: Vec<Option<Fate>> = batch.iter().map(|_| None).collect();
    let shown = report.target.shows;
    let ended = target.run(
        &first.borrow().header.config,
        &scripts,
        &mut |position, run| {
            let trace = batch[position].1.borrow();
            fates[position] = Some(match (&trace.header.property, judges) {
                (Some(property), Some(judges)) => {
                    Fate::of_counterexample(trace, evaluate(trace, property, run, judges, shown))
                }
                _ => judge(trace, run, shown),
            });
        },
    );
    let diverged = |fate: &Fate| fate.divergence.is_some();
    let given_up = match ended {
        Ok(()) => fates.iter().flatten().any(diverged),
        Err(TargetError::Interrupted) => {
            report.interrupted = true;
            true
        }
        // What was seen to differ stands, whatever came after it.
        Err(_) if fates.iter().flatten().any(diverged) => true,
        Err(error) => return Err(error),
    };
    let before = report.traces as usize;
    for (position, ((source, trace), fate)) in batch.iter().zip(fates).enumerate() {
        let Some(fate) = fate else {
            if given_up {
                continue;
            }
            return Err(TargetError::Setup(format!(
                "the target lost the trace {source}"
            )));
        };
        let number = before + position;
        for step in &fate.compared {
            watch(number, *step, StepFate::Agreed);
        }
        for (step, not_driven) in &fate.not_driven {
            watch(number, *step, StepFate::NotDriven(not_driven));
        }
        report.add(source, trace.borrow(), fate);
    }
    Ok(())
}

fn script(trace: &Trace) -> Script<'_> {
    let steps = trace.steps.iter().filter_map(|step| match &step.event {
        Event::Server { server, input } => Some((*server, input)),
        Event::Duplicate(_) | Event::Drop(_) => None,
    });
    Script {
        steps: steps.collect(),
    }
}

/// How one trace fared, with its counts.
#[derive(Default)]
struct Fate {
    steps: u64,
    /// The positions of the steps that were driven and agreed.
    compared: Vec<usize>,
    /// The positions of the steps that could not be driven.
    not_driven: Vec<(usize, NotDriven)>,
    not_reached: u64,
    divergence: Option<Divergence>,
    counterexample: Option<Counterexample>,
    /// Whether there is any field to compare.
    fields: bool,
}

impl Fate {
    fn of_counterexample(trace: &Trace, replayed: Replayed) -> Fate {
        Fate {
            steps: script(trace).steps.len() as u64,
            compared: replayed.compared,
            counterexample: Some(replayed.counterexample),
            fields: true,
            ..Fate::default()
        }
    }

    fn result(&self) -> TraceResult {
        if self.counterexample.is_some() {
            TraceResult::Counterexample
        } else if self.divergence.is_some() {
            TraceResult::Diverged
        } else if self.steps == 0 || !self.fields {
            TraceResult::NothingCompared
        } else if self.compared.len() as u64 == self.steps {
            TraceResult::Agreed
        } else if self.not_reached == 0 && self.not_driven.iter().all(|(_, it)| it.changes_nothing)
        {
            TraceResult::AgreedWhereDriven
        } else {
            TraceResult::Partial
        }
    }
}

/// What the trace last said of a server, and whether its inputs still mean anything.
struct Tracked {
    id: ServerId,
    view: NodeView,
    lost: bool,
}

/// Compares what happened with what the trace expects.
fn judge(trace: &Trace, run: Run, shown: FieldSet) -> Fate {
    let mut fate = Fate {
        fields: shown != FieldSet::NONE,
        ..Fate::default()
    };
    let config = &trace.header.config;
    let mut servers: Vec<Tracked> = config
        .server_ids()
        .map(|id| Tracked {
            id,
            view: start_view(),
            lost: false,
        })
        .collect();
    fate.steps = script(trace).steps.len() as u64;
    let starts = servers.iter().zip(&run.initial);
    let started: Vec<Difference> = starts
        .filter_map(|(tracked, view)| compare_start(tracked.id, view, shown))
        .collect();
    if !started.is_empty() {
        fate.divergence = Some(divergence(trace, 0, started, None));
        return fate;
    }
    let mut observations = run.steps.into_iter();
    for (position, step) in trace.steps.iter().enumerate() {
        let (Event::Server { server, input }, Some(expected)) = (&step.event, &step.expected)
        else {
            continue;
        };
        let Some(tracked) = servers.iter_mut().find(|tracked| tracked.id == *server) else {
            continue;
        };
        let Some(seen) = observations.next() else {
            let error = run
                .failed
                .unwrap_or_else(|| "it answered too few inputs".to_owned());
            let differences = vec![Difference::Failed { error }];
            fate.divergence = Some(divergence(trace, position, differences, None));
            return fate;
        };
        if tracked.lost {
            fate.not_reached += 1;
            continue;
        }
        let output = match &seen.reaction {
            Reaction::Driven(output) => output,
            Reaction::NotDriven { reason } => {
                // It has not changed, says the target, and is held to it.
                if let Some(moved) = compare_bystander(*server, &tracked.view, &seen.view, shown) {
                    fate.divergence = Some(divergence(trace, position, vec![moved], None));
                    return fate;
                }
                let not_driven = NotDriven {
                    input: input.name(),
                    reason: reason.clone(),
                    changes_nothing: changes_nothing(expected, &tracked.view),
                };
                fate.not_driven.push((position, not_driven));
                tracked.lost = expected.view != tracked.view;
                continue;
            }
        };
        let wanted = Wanted::new(expected, tracked.view.applied);
        let differences = compare(&wanted, output, &seen.view, shown);
        if !differences.is_empty() {
            let actual = Actual::new(seen.reaction, seen.view);
            fate.divergence = Some(divergence(trace, position, differences, actual));
            return fate;
        }
        fate.compared.push(position);
        tracked.view.clone_from(&expected.view);
    }
    let end = trace.steps.len() - 1;
    if let Some(error) = run.failed {
        let differences = vec![Difference::Failed { error }];
        fate.divergence = Some(divergence(trace, end, differences, None));
        return fate;
    }
    let moved = bystanders(&servers, &run.last, shown);
    if !moved.is_empty() {
        fate.divergence = Some(divergence(trace, end, moved, None));
    }
    fate
}

/// Servers that are not as the trace left them, although every one of their own inputs agreed.
fn bystanders(servers: &[Tracked], last: &[NodeView], shown: FieldSet) -> Vec<Difference> {
    servers
        .iter()
        .zip(last)
        .filter(|(tracked, _)| !tracked.lost)
        .filter_map(|(tracked, view)| compare_bystander(tracked.id, &tracked.view, view, shown))
        .collect()
}

fn changes_nothing(expected: &Expected, before: &NodeView) -> bool {
    expected.outcome == Outcome::Accepted && expected.view == *before && expected.sent.is_empty()
}

/// The divergence at that step of the trace.
fn divergence(
    trace: &Trace,
    position: usize,
    differences: Vec<Difference>,
    actual: Option<Actual>,
) -> Divergence {
    let mut trace = trace.clone();
    trace.steps.truncate(position + 1);
    Divergence {
        trace,
        differences,
        actual,
    }
}

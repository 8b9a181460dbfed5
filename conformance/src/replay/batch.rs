//! Traces that go to the target at once.

use super::judge::{Fate, Judge, Judged, parted_at};
use super::reasons::Reasons;
use super::{NotDriven, ReplayReport, StepFate, Watch};
use crate::compare::Difference;
use crate::divergence::Divergence;
use crate::properties::{Judges, Replayed, evaluate};
use crate::target::{Run, Script, Target, TargetError};
use lockstep_traces::{Event, FieldSet, Step, Trace};
use std::borrow::Borrow;

/// The most traces at once.
const TRACES: usize = 256;

/// The most steps at once, unless a single trace has more. Each is a view of a server, three times over.
const STEPS: usize = 50_000;

/// Traces of one configuration, each with the name of where it came from.
pub(super) struct Batch<B> {
    traces: Vec<(String, B)>,
    steps: usize,
}

impl<B> Default for Batch<B> {
    fn default() -> Self {
        Batch {
            traces: Vec::new(),
            steps: 0,
        }
    }
}

impl<B: Borrow<Trace>> Batch<B> {
    /// Whether another trace can go with these.
    pub fn takes(&self, trace: &Trace) -> bool {
        let Some((_, last)) = self.traces.last() else {
            return true;
        };
        self.traces.len() < TRACES
            && self.steps + trace.steps.len() <= STEPS
            && last.borrow().header.config == trace.header.config
    }

    pub fn push(&mut self, source: String, trace: B) {
        self.steps += trace.borrow().steps.len();
        self.traces.push((source, trace));
    }

    /// Replays them and adds to the report what became of them.
    pub fn replay<T: Target>(
        self,
        target: &T,
        judges: Option<Judges>,
        report: &mut ReplayReport,
        reasons: &mut Reasons,
        watch: Watch<'_>,
    ) -> Result<(), TargetError> {
        let Some((_, first)) = self.traces.first() else {
            return Ok(());
        };
        let traces = self.traces.iter().map(|(_, trace)| trace.borrow());
        let scripts: Vec<Script<'_>> = traces.map(script).collect();
        let mut judged: Vec<Option<Whole>> = scripts.iter().map(|_| None).collect();
        let shown = report.target.shows;
        let config = &first.borrow().header.config;
        let ended = target.run(config, &scripts, &mut |position, run| {
            let trace = self.traces[position].1.borrow();
            judged[position] = Some(match (&trace.header.property, judges) {
                (Some(property), Some(judges)) => {
                    let replayed = evaluate(trace, property, run, judges, shown);
                    of_counterexample(trace, replayed)
                }
                _ => judge(trace, run, shown),
            });
        });
        let diverged = |whole: &Whole| whole.fate.divergence.is_some();
        let given_up = match ended {
            Ok(()) => judged.iter().flatten().any(diverged),
            Err(TargetError::Interrupted) => {
                report.interrupted = true;
                true
            }
            // What was seen to differ stands, whatever came after it.
            Err(_) if judged.iter().flatten().any(diverged) => true,
            Err(error) => return Err(error),
        };
        let before = report.traces as usize;
        for (position, ((source, _), whole)) in self.traces.iter().zip(judged).enumerate() {
            let Some(Whole { fate, steps }) = whole else {
                if given_up {
                    continue;
                }
                return Err(TargetError::Setup(format!(
                    "the target lost the trace {source}"
                )));
            };
            let number = before + position;
            for (step, not_driven) in steps {
                let not_driven = not_driven.map(|it| reasons.count(it, &mut report.not_driven));
                let fate = not_driven.as_ref();
                watch(
                    number,
                    step,
                    fate.map_or(StepFate::Agreed, StepFate::NotDriven),
                );
            }
            report.count(fate.counts);
            report.conclude(source, fate);
        }
        Ok(())
    }
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

/// The fate of a trace.
struct Whole {
    fate: Fate,
    /// The positions of the steps that agreed, and of those that could not be driven with the reason.
    steps: Vec<(usize, Option<NotDriven>)>,
}

/// The result for the property of a counterexample.
fn of_counterexample(trace: &Trace, replayed: Replayed) -> Whole {
    let mut fate = counted(trace, FieldSet::ALL);
    fate.counts.compared = replayed.compared.len() as u64;
    fate.counterexample = Some(replayed.counterexample);
    let compared = replayed.compared.into_iter();
    Whole {
        fate,
        steps: compared.map(|position| (position, None)).collect(),
    }
}

/// A fate of which only the steps are counted.
fn counted(trace: &Trace, shown: FieldSet) -> Fate {
    let mut fate = Fate::new(shown);
    let servers = |it: &&Step| it.event.server().is_some();
    fate.counts.steps = trace.steps.iter().filter(servers).count() as u64;
    fate.counts.network = trace.steps.len() as u64 - fate.counts.steps;
    fate
}

/// Compares what happened with what the trace expects.
fn judge(trace: &Trace, run: Run, shown: FieldSet) -> Whole {
    let mut fate = counted(trace, shown);
    let mut judge = Judge::new(&trace.header.config, shown);
    let mut steps = Vec::new();
    fate.divergence = first_difference(trace, run, &mut judge, &mut fate, &mut steps);
    Whole { fate, steps }
}

fn first_difference(
    trace: &Trace,
    run: Run,
    judge: &mut Judge,
    fate: &mut Fate,
    steps: &mut Vec<(usize, Option<NotDriven>)>,
) -> Option<Divergence> {
    let upto = |position: usize| {
        let mut trace = trace.clone();
        trace.steps.truncate(position + 1);
        trace
    };
    let failed = |error: String| vec![Difference::Failed { error }];
    let started = judge.start(&run.initial);
    if !started.is_empty() {
        return Some(parted_at(upto(0), started, None));
    }
    let mut observations = run.steps.into_iter();
    for (position, step) in trace.steps.iter().enumerate() {
        let (Event::Server { server, input }, Some(expected)) = (&step.event, &step.expected)
        else {
            continue;
        };
        let Some(seen) = observations.next() else {
            let error = run.failed;
            let error = error.unwrap_or_else(|| "it answered too few inputs".to_owned());
            return Some(parted_at(upto(position), failed(error), None));
        };
        let judged = judge.step(*server, input, expected, seen);
        fate.note(&judged);
        match judged {
            Judged::Agreed => steps.push((position, None)),
            Judged::NotReached => {}
            Judged::NotDriven(not_driven) => steps.push((position, Some(not_driven))),
            Judged::Parted(differences, actual) => {
                return Some(parted_at(upto(position), differences, actual.map(|it| *it)));
            }
        }
    }
    let end = trace.steps.len().checked_sub(1)?;
    if let Some(error) = run.failed {
        return Some(parted_at(upto(end), failed(error), None));
    }
    let moved = judge.bystanders(&run.last);
    (!moved.is_empty()).then(|| parted_at(upto(end), moved, None))
}

//! Replays traces on a target and compares after every step. Needs no specification: a trace carries
//! what is expected.
//!
//! # Inputs that a target cannot be given
//!
//! Such a step is never silently a pass: it is counted by the kind of the input and the target's reason
//! ([`NotDriven`]), and the server must be as it was before. What follows depends on what was to happen:
//!
//! * Nothing (a timer of a role that has none, say): the other steps still mean something, and a trace with
//!   such steps [holds where it could be driven](Strength::SampledWhereDriven).
//! * Something: the trace is compared [in part](Verdict::InPart), which is no pass. A server's state depends on its own
//!   inputs alone, so if it was to change, the later steps of *that* server are not compared; the other
//!   servers of the trace go on.
//!
//! # Long traces
//!
//! Traces of usual length go to the target many at a time. A longer one is never in memory as a whole: it is
//! read step by step and given to the target input by input. Of a divergence in it the last steps are shown,
//! and [`ReplayReport::left_out`] counts those before them.

mod batch;
mod dialect;
mod judge;
mod long;
mod reasons;

use crate::divergence::Divergence;
use crate::properties::{Counterexample, CounterexampleFate, Judges};
use crate::stop;
use crate::target::{Description, Target, TargetError};
use crate::verdict::{Strength, Verdict};
use batch::Batch;
pub use dialect::{InDialect, in_dialect};
use judge::{Counts, Fate};
use lockstep_engine::Limit;
use lockstep_traces::{FieldSet, Trace, TraceError, TraceReader};
pub(crate) use reasons::Reasons;
use serde::Serialize;
use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::io::BufRead;
use std::ops::ControlFlow;

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

/// The fate of a step of a server.
pub(crate) enum StepFate<'a> {
    Agreed,
    NotDriven(&'a NotDriven),
}

/// The counts of a replay, and the first divergence.
#[derive(Clone, Debug)]
pub struct ReplayReport {
    /// The target that was compared.
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
    /// The counterexamples whose properties were evaluated, each with the file or name that it came from.
    pub counterexamples: Vec<(String, Counterexample)>,
    /// The first trace that differs, and the file or name that it came from.
    pub divergence: Option<(String, Box<Divergence>)>,
    /// The number of steps that come before those of the divergence's trace: not zero only if the trace is a long
    /// one.
    pub left_out: usize,
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

    /// The verdict.
    pub fn verdict(&self) -> Verdict {
        let fates = || self.counterexamples.iter().map(|(_, it)| &it.fate);
        if fates().any(|fate| matches!(fate, CounterexampleFate::Violated(_))) {
            Verdict::Violated
        } else if self.divergence.is_some() {
            Verdict::Diverged
        } else if fates().any(|fate| matches!(fate, CounterexampleFate::Unanswered { .. })) {
            Verdict::Unanswered
        } else if self.interrupted {
            Verdict::Bounded {
                stopped_by: Limit::Interrupted,
            }
        } else if self.compared == 0 || self.nothing_compared > 0 {
            Verdict::NothingChecked
        } else if self.partial > 0 {
            Verdict::InPart(Strength::Sampled)
        } else if self.agreed_where_driven > 0 {
            Verdict::Holds(Strength::SampledWhereDriven)
        } else {
            Verdict::Holds(Strength::Sampled)
        }
    }

    /// Whether there were counterexamples only, of which none violates its property.
    pub fn is_of_counterexamples(&self) -> bool {
        self.agreed == 0 && !self.counterexamples.is_empty()
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
            counterexamples: Vec::new(),
            divergence: None,
            left_out: 0,
            interrupted: false,
        }
    }

    /// Adds what was done.
    fn count(&mut self, counts: Counts) {
        self.steps += counts.steps;
        self.compared += counts.compared;
        self.not_reached += counts.not_reached;
        self.network += counts.network;
    }

    /// Adds the result of a trace.
    fn conclude(&mut self, source: &str, fate: Fate) {
        self.traces += 1;
        match fate.verdict() {
            Some(Verdict::Holds(Strength::Sampled)) => self.agreed += 1,
            Some(Verdict::Holds(_)) => self.agreed_where_driven += 1,
            Some(Verdict::InPart(_)) => self.partial += 1,
            Some(Verdict::NothingChecked) => self.nothing_compared += 1,
            _ => {}
        }
        if let Some(counterexample) = fate.counterexample {
            self.counterexamples
                .push((source.to_owned(), counterexample));
        }
        if self.divergence.is_none()
            && let Some(found) = fate.divergence
        {
            self.divergence = Some((source.to_owned(), Box::new(found)));
            self.left_out = fate.left_out;
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
    progress: Progress<'_>,
) -> Result<ReplayReport, ReplayError> {
    replay_watched(target, traces, None, progress, &mut |_, _, _| {})
}

/// Replays traces as they are read, each with the name of where it comes from, until one differs. A trace may be
/// longer than memory.
///
/// With `judges`, the property that a counterexample names is evaluated on what the target does: that the target
/// does otherwise than the trace is then no divergence.
///
/// # Errors
///
/// A trace cannot be read, the target cannot be started, or a counterexample names a property that does not exist.
pub fn replay_read<T: Target, R: BufRead>(
    target: &T,
    readers: impl IntoIterator<Item = Result<(String, TraceReader<R>), TraceError>>,
    judges: Option<Judges>,
    progress: Progress<'_>,
) -> Result<ReplayReport, ReplayError> {
    let mut replay = Replay::new(target, judges, progress);
    for reader in readers {
        let (source, reader) = reader?;
        long::read(&mut replay, source, reader)?;
        if replay.is_over() {
            break;
        }
    }
    replay.end()
}

/// A callback with the counts so far, which may stop the replay.
pub type Progress<'a> = &'a mut dyn FnMut(&ReplayReport) -> ControlFlow<()>;

/// A callback for every step that agreed or could not be driven: the position of the trace, that of the step in it, and
/// its fate.
type Watch<'a> = &'a mut dyn FnMut(usize, usize, StepFate<'_>);

/// [`replay`], with a call for every step that agreed or could not be driven.
pub(crate) fn replay_watched<T: Target, B: Borrow<Trace>>(
    target: &T,
    traces: impl IntoIterator<Item = Result<(String, B), TraceError>>,
    judges: Option<Judges>,
    progress: Progress<'_>,
    watch: Watch<'_>,
) -> Result<ReplayReport, ReplayError> {
    let mut replay = Replay::new(target, judges, progress);
    for trace in traces {
        let (source, trace) = trace?;
        replay.add(source, trace, watch)?;
        if replay.is_over() {
            break;
        }
    }
    replay.flush(watch)?;
    replay.end()
}

/// A replay under way.
struct Replay<'a, T, B> {
    target: &'a T,
    judges: Option<Judges>,
    report: ReplayReport,
    reasons: Reasons,
    batch: Batch<B>,
    progress: Progress<'a>,
}

impl<'a, T: Target, B: Borrow<Trace>> Replay<'a, T, B> {
    fn new(target: &'a T, judges: Option<Judges>, progress: Progress<'a>) -> Self {
        Replay {
            target,
            judges,
            report: ReplayReport::new(target.description()),
            reasons: Reasons::default(),
            batch: Batch::default(),
            progress,
        }
    }

    /// Whether there is nothing more to do.
    fn is_over(&self) -> bool {
        self.report.divergence.is_some() || self.report.interrupted
    }

    /// Adds a trace, and replays those before it if they cannot go together.
    fn add(&mut self, source: String, trace: B, watch: Watch<'_>) -> Result<(), TargetError> {
        if !self.batch.takes(trace.borrow()) {
            self.flush(watch)?;
            self.tick();
        }
        self.batch.push(source, trace);
        Ok(())
    }

    /// Replays the traces that wait, unless there is nothing more to do.
    fn flush(&mut self, watch: Watch<'_>) -> Result<(), TargetError> {
        let batch = std::mem::take(&mut self.batch);
        if self.is_over() {
            return Ok(());
        }
        batch.replay(
            self.target,
            self.judges,
            &mut self.report,
            &mut self.reasons,
            watch,
        )
    }

    fn tick(&mut self) {
        self.report.interrupted |= (self.progress)(&self.report).is_break();
    }

    fn end(mut self) -> Result<ReplayReport, ReplayError> {
        self.flush(&mut |_, _, _| {})?;
        self.report.interrupted |= stop::requested();
        Ok(self.report)
    }
}

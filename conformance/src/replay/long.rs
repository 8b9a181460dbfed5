//! A trace that may be longer than memory.

use super::judge::{self, Fate, Judged, parted_at};
use super::{Replay, ReplayError};
use crate::compare::Difference;
use crate::divergence::Actual;
use crate::properties::Judge;
use crate::stop;
use crate::target::{Target, TargetError};
use lockstep_traces::{Event, Header, Problem, Step, Trace, TraceError, TraceReader};
use std::collections::VecDeque;
use std::io::BufRead;

/// The longest trace that is read at once, in bytes of its file. Those of the corpus have some hundred
/// kilobytes.
const USUAL_BYTES: u64 = 4 << 20;

/// The longest counterexample, in bytes of its file: its property is evaluated on the whole.
const JUDGED_BYTES: u64 = 64 << 20;

/// The most steps of a divergence in a long trace that are shown, and how long their lines may be together
/// unless there is only one.
const SHOWN_STEPS: usize = 200;
const SHOWN_BYTES: u64 = 16 << 20;

/// The number of steps made between two looks at the progress.
const LOOK: usize = 256;

/// Reads a trace and replays it, at once or later with others.
pub(super) fn read<T: Target, R: BufRead>(
    replay: &mut Replay<'_, T, Trace>,
    source: String,
    reader: TraceReader<R>,
) -> Result<(), ReplayError> {
    let mut steps = Steps {
        begun: VecDeque::new(),
        reader,
    };
    let header = steps.reader.header().clone();
    let judged = header.property.as_ref().filter(|_| replay.judges.is_some());
    let wrong = |text: String| TraceError {
        source_name: source.clone(),
        line: 1,
        field: "property".to_owned(),
        problem: Problem::Invalid(text),
    };
    if let Some(property) = judged.filter(|property| !Judge::knows(property)) {
        return Err(wrong(format!("there is no property {property}")).into());
    }
    let most = judged.map_or(USUAL_BYTES, |_| JUDGED_BYTES);
    while steps.reader.bytes() <= most {
        if stop::requested() {
            replay.report.interrupted = true;
            return Ok(());
        }
        match steps.read() {
            Some(step) => steps.begun.push_back(step?),
            None => {
                let steps = steps.begun.into_iter().map(|(step, _)| step).collect();
                let trace = Trace { header, steps };
                return Ok(replay.add(source, trace, &mut |_, _, _| {})?);
            }
        }
    }
    if judged.is_some() {
        let most = JUDGED_BYTES >> 20;
        let text = format!("a counterexample of more than {most} MiB is not judged");
        return Err(wrong(text).into());
    }
    // Those before it come first: one of them may differ.
    replay.flush(&mut |_, _, _| {})?;
    replay.tick();
    if replay.is_over() {
        return Ok(());
    }
    let mut fate = Fate::new(replay.report.target.shows);
    let mut tail = Tail::default();
    let parted = stream(replay, &mut fate, &mut tail, &header, &mut steps)?;
    replay.report.count(std::mem::take(&mut fate.counts));
    if let Some((differences, actual)) = parted {
        fate.left_out = tail.left_out;
        let steps = tail.steps.into_iter().map(|(step, _)| step).collect();
        fate.divergence = Some(parted_at(Trace { header, steps }, differences, actual));
    }
    if fate.divergence.is_some() || !replay.report.interrupted {
        replay.report.conclude(&source, fate);
    }
    Ok(())
}

/// The steps of a trace, each with the length of its line in bytes.
struct Steps<R> {
    /// The steps that were read ahead.
    begun: VecDeque<(Step, u64)>,
    reader: TraceReader<R>,
}

impl<R: BufRead> Steps<R> {
    fn read(&mut self) -> Option<Result<(Step, u64), TraceError>> {
        let before = self.reader.bytes();
        let step = self.reader.next()?;
        Some(step.map(|step| (step, self.reader.bytes() - before)))
    }
}

impl<R: BufRead> Iterator for Steps<R> {
    type Item = Result<(Step, u64), TraceError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.begun.pop_front() {
            Some(step) => Some(Ok(step)),
            None => self.read(),
        }
    }
}

/// The last steps, each with the length of its line in bytes.
#[derive(Default)]
struct Tail {
    steps: VecDeque<(Step, u64)>,
    bytes: u64,
    left_out: usize,
}

impl Tail {
    /// Adds a step, and returns it.
    fn push(&mut self, step: Step, bytes: u64) -> &Step {
        self.bytes += bytes;
        while self.steps.len() >= SHOWN_STEPS || self.bytes > SHOWN_BYTES {
            let Some((_, bytes)) = self.steps.pop_front() else {
                break;
            };
            self.bytes -= bytes;
            self.left_out += 1;
        }
        self.steps.push_back((step, bytes));
        &self.steps[self.steps.len() - 1].0
    }
}

type Parted = (Vec<Difference>, Option<Actual>);

/// Gives the steps to the target one by one. Returns what differs at the last step of the tail, if something does.
fn stream<T: Target>(
    replay: &mut Replay<'_, T, Trace>,
    fate: &mut Fate,
    tail: &mut Tail,
    header: &Header,
    steps: &mut Steps<impl BufRead>,
) -> Result<Option<Parted>, ReplayError> {
    let target = replay.target;
    let mut judge = judge::Judge::new(&header.config, replay.report.target.shows);
    let mut cluster = target.cluster(&header.config)?;
    let mut started = Some(cluster.initial());
    for (number, step) in steps.enumerate() {
        let (step, bytes) = step?;
        let step = tail.push(step, bytes);
        if let Some(initial) = started.take() {
            let differences = match initial {
                Ok(initial) => judge.start(&initial),
                Err(error) => broken(error)?,
            };
            if !differences.is_empty() {
                return Ok(Some((differences, None)));
            }
        }
        if stop::requested() || number % LOOK == 0 {
            replay.report.count(std::mem::take(&mut fate.counts));
            replay.tick();
            if replay.report.interrupted {
                return Ok(None);
            }
        }
        let (Event::Server { server, input }, Some(expected)) = (&step.event, &step.expected)
        else {
            fate.counts.network += 1;
            continue;
        };
        fate.counts.steps += 1;
        let seen = match cluster.apply(*server, input) {
            Ok(seen) => seen,
            Err(TargetError::Interrupted) => {
                replay.report.interrupted = true;
                return Ok(None);
            }
            Err(error) => return Ok(Some((broken(error)?, None))),
        };
        let judged = judge.step(*server, input, expected, seen);
        fate.note(&judged);
        match judged {
            Judged::Agreed | Judged::NotReached => {}
            Judged::NotDriven(it) => {
                replay.reasons.count(it, &mut replay.report.not_driven);
            }
            Judged::Parted(differences, actual) => {
                return Ok(Some((differences, actual.map(|it| *it))));
            }
        }
    }
    let differences = match cluster.last() {
        Ok(last) => judge.bystanders(&last),
        Err(TargetError::Interrupted) => {
            replay.report.interrupted = true;
            return Ok(None);
        }
        Err(error) => broken(error)?,
    };
    Ok((!differences.is_empty()).then_some((differences, None)))
}

/// A target that broke down, as a difference.
fn broken(error: TargetError) -> Result<Vec<Difference>, TargetError> {
    match error {
        TargetError::Failed(error) => Ok(vec![Difference::Failed { error }]),
        error => Err(error),
    }
}

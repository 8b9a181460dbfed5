//! A counterexample on a target: the property that it names, evaluated on what the target does.

use super::{Cause, Did, Follower, Judge, Violation};
use crate::code::DOES_NOT_FAIL;
use crate::compare::{Difference, Wanted, compare};
use crate::divergence::{Actual, Divergence};
use crate::target::{Observation, Reaction, Run};
use lockstep_model::{Dialect, Settings, Timing};
use lockstep_traces::{
    Config, Emitted, Event, Expected, Field, FieldSet, Index, NodeView, PeerView, ServerId, Trace,
};
use std::collections::BTreeMap;

/// The properties by which a target is judged.
#[derive(Clone, Copy, Debug)]
pub struct Judges {
    /// The target is the specification: its own properties come before those of implementations.
    pub specification: bool,
    /// The dialect that the target is held to.
    pub dialect: Dialect,
}

impl Judges {
    /// The property of that name; `None` if the configuration is none of the specification's.
    pub(crate) fn judge(self, name: &str, config: &Config) -> Option<Judge> {
        let settings = || Some(Settings::new(config).ok()?.with_dialect(self.dialect));
        let specified = || Judge::specified(name, &settings()?);
        let of_implementations = || Judge::of_implementations(name, config);
        match self.specification {
            true => specified().or_else(of_implementations),
            false => of_implementations().or_else(specified),
        }
    }
}

/// A counterexample that was replayed.
#[derive(Clone, Debug)]
pub struct Counterexample {
    /// The name of the property.
    pub property: String,
    /// Its fate.
    pub fate: CounterexampleFate,
    /// The first step at which the target departs from the trace.
    pub departure: Option<Box<Divergence>>,
    /// The fields that the target does not show: they are taken from the trace.
    pub not_shown: FieldSet,
}

/// The fate of a property that was evaluated again.
#[derive(Clone, Debug)]
pub enum CounterexampleFate {
    /// It is violated again.
    Violated(Violation),
    /// It holds.
    Held {
        /// The number of steps of servers at which it held.
        steps: usize,
        /// Whether these are all steps of the trace: a target that does otherwise is not given messages that it
        /// did not send.
        whole: bool,
    },
    /// It cannot be evaluated.
    Unanswered {
        /// The reason.
        why: String,
    },
}

/// The observations of a replay of a counterexample.
pub(crate) struct Replayed {
    pub counterexample: Counterexample,
    /// The positions of the steps that were driven and compared.
    pub compared: Vec<usize>,
}

/// Evaluates the property along what the target did.
pub(crate) fn evaluate(
    trace: &Trace,
    property: &str,
    run: Run,
    judges: Judges,
    shown: FieldSet,
) -> Replayed {
    let config = &trace.header.config;
    let mut compared = Vec::new();
    let mut departure = None;
    let hidden: FieldSet = Field::ALL
        .into_iter()
        .filter(|field| !shown.contains(*field))
        .collect();
    let fate = match judges.judge(property, config) {
        None => unanswered("the specification does not take the configuration of the trace"),
        Some(judge) => {
            let mut evaluation = Evaluation {
                judge,
                trace,
                shown,
                run: Follower::under(config, timing(trace)),
                expected: BTreeMap::new(),
                departure: &mut departure,
                compared: &mut compared,
            };
            match evaluation.along(run) {
                CounterexampleFate::Held { steps: 0, .. } => {
                    unanswered("no step of the trace could be followed")
                }
                fate => fate,
            }
        }
    };
    let counterexample = Counterexample {
        property: property.to_owned(),
        fate,
        departure,
        not_shown: hidden,
    };
    Replayed {
        counterexample,
        compared,
    }
}

/// Returns the assumption about clocks under which the counterexample was found.
fn timing(trace: &Trace) -> Timing {
    let named = trace.header.made.timing.as_deref();
    named.map_or(Timing::Silent, |name| name.parse().unwrap_or_default())
}

fn unanswered(why: impl Into<String>) -> CounterexampleFate {
    CounterexampleFate::Unanswered { why: why.into() }
}

struct Evaluation<'a> {
    judge: Judge,
    trace: &'a Trace,
    shown: FieldSet,
    run: Follower,
    /// The last view of each server in the trace.
    expected: BTreeMap<ServerId, &'a NodeView>,
    departure: &'a mut Option<Box<Divergence>>,
    compared: &'a mut Vec<usize>,
}

impl<'a> Evaluation<'a> {
    fn along(&mut self, run: Run) -> CounterexampleFate {
        let mut seen = run.steps.into_iter();
        let mut steps = 0;
        for (position, step) in self.trace.steps.iter().enumerate() {
            let Some(expected) = &step.expected else {
                if self.run.step(&step.event, None).is_err() {
                    return CounterexampleFate::Held {
                        steps,
                        whole: false,
                    };
                }
                continue;
            };
            let Some(Observation { reaction, view }) = seen.next() else {
                let error = run.failed.as_deref();
                return self.failed(
                    position,
                    steps,
                    error.unwrap_or("it answered too few inputs"),
                );
            };
            let output = match &reaction {
                Reaction::Driven(output) => output,
                Reaction::NotDriven { reason } => {
                    return unanswered(format!("step {} cannot be driven: {reason}", position + 1));
                }
            };
            self.compared.push(position);
            let differences = match self.departure {
                Some(_) => Vec::new(),
                None => self.compare(&step.event, expected, output, &view),
            };
            let broke = differences.iter().find_map(|difference| match difference {
                Difference::WrongOutput { actual, .. } => Some(actual.to_string()),
                _ => None,
            });
            if let (Some(handed), DOES_NOT_FAIL) = (broke, self.judge.name()) {
                return self.failed(
                    position,
                    steps,
                    &format!("its application was handed {handed}"),
                );
            }
            if !differences.is_empty() {
                let actual = Actual::new(reaction.clone(), view.clone());
                self.depart(position, differences, actual);
            }
            let (view, sent) = completed(&view, &output.sent, expected, self.shown);
            let did = Did {
                view: &view,
                sent: &sent,
                outcome: output.outcome,
                read_states: &output.read_states,
            };
            let taken = match self.run.step(&step.event, Some(did)) {
                Ok(Some(taken)) => taken,
                Ok(None) => continue,
                Err(_) => {
                    return CounterexampleFate::Held {
                        steps,
                        whole: false,
                    };
                }
            };
            match self.judge.holds(&taken) {
                Some(true) => steps += 1,
                Some(false) if self.departure.is_some() && self.is_partial() => {
                    return unanswered(format!(
                        "the target does otherwise than the trace by step {}, and does not show everything",
                        position + 1
                    ));
                }
                Some(false) => {
                    return CounterexampleFate::Violated(self.judge.violation(position, &taken));
                }
                None => {
                    return unanswered(format!(
                        "what the target shows after step {} is no state of the specification",
                        position + 1
                    ));
                }
            }
        }
        match run.failed {
            Some(error) => self.failed(self.trace.steps.len() - 1, steps, &error),
            None => CounterexampleFate::Held { steps, whole: true },
        }
    }

    /// Whether the target hides something that a property can be about.
    fn is_partial(&self) -> bool {
        let beside = [
            Field::Outcome,
            Field::AfterPersist,
            Field::Handed,
            Field::InflightCount,
        ];
        let mut all = Field::ALL
            .into_iter()
            .filter(|field| !beside.contains(field));
        all.any(|field| !self.shown.contains(field))
    }

    fn compare(
        &mut self,
        event: &Event,
        expected: &'a Expected,
        output: &crate::target::Output,
        view: &NodeView,
    ) -> Vec<Difference> {
        let before = event
            .server()
            .and_then(|id| self.expected.insert(id, &expected.view));
        let applied = before.map_or(Index(0), |view| view.applied);
        compare(&Wanted::new(expected, applied), output, view, self.shown)
    }

    fn depart(&mut self, position: usize, differences: Vec<Difference>, actual: Option<Actual>) {
        let mut trace = self.trace.clone();
        trace.steps.truncate(position + 1);
        self.departure.get_or_insert_with(|| {
            Box::new(Divergence {
                trace,
                differences,
                actual,
            })
        });
    }

    /// The target broke down, which is one property's matter.
    fn failed(&mut self, position: usize, steps: usize, error: &str) -> CounterexampleFate {
        if self.judge.name() == DOES_NOT_FAIL {
            let event = &self.trace.steps[position].event;
            let mut violation = self.judge.at(position, event);
            violation.causes = vec![Cause {
                what: "the target".to_owned(),
                value: error.to_owned(),
                holds_with: Some("an answer".to_owned()),
            }];
            return CounterexampleFate::Violated(violation);
        }
        let error = error.to_owned();
        self.depart(position, vec![Difference::Failed { error }], None);
        CounterexampleFate::Held {
            steps,
            whole: false,
        }
    }
}

/// Completes a target's view and messages with the trace's values of the fields that the target does not show.
fn completed(
    view: &NodeView,
    sent: &[Emitted],
    expected: &Expected,
    shown: FieldSet,
) -> (NodeView, Vec<Emitted>) {
    let (mut view, mut sent) = (view.clone(), sent.to_vec());
    for field in Field::ALL
        .into_iter()
        .filter(|field| !shown.contains(*field))
    {
        let from = &expected.view;
        let peers: fn(&mut PeerView, &PeerView) = match field {
            Field::Role => {
                view.role = from.role;
                continue;
            }
            Field::Term => {
                view.term = from.term;
                continue;
            }
            Field::Vote => {
                view.vote = from.vote;
                continue;
            }
            Field::Leader => {
                view.leader = from.leader;
                continue;
            }
            Field::Log => {
                view.log.clone_from(&from.log);
                continue;
            }
            Field::Commit => {
                view.commit = from.commit;
                continue;
            }
            Field::Applied => {
                view.applied = from.applied;
                continue;
            }
            Field::Lease => {
                view.lease = from.lease;
                continue;
            }
            Field::Votes => {
                view.votes.clone_from(&from.votes);
                continue;
            }
            Field::Snapshot => {
                view.snapshot.clone_from(&from.snapshot);
                continue;
            }
            Field::Configuration => {
                view.configuration.clone_from(&from.configuration);
                continue;
            }
            Field::PendingConfIndex => {
                view.pending_conf_index = from.pending_conf_index;
                continue;
            }
            Field::Transferee => {
                view.transferee = from.transferee;
                continue;
            }
            Field::Uncommitted => {
                view.uncommitted = from.uncommitted;
                continue;
            }
            Field::Durable => {
                view.durable.clone_from(&from.durable);
                continue;
            }
            Field::PostponedReads => {
                view.postponed_reads.clone_from(&from.postponed_reads);
                continue;
            }
            Field::UnconfirmedReads => {
                view.unconfirmed_reads.clone_from(&from.unconfirmed_reads);
                continue;
            }
            Field::ForwardedReads => {
                view.forwarded_reads.clone_from(&from.forwarded_reads);
                continue;
            }
            Field::ConfirmedReads => {
                view.confirmed_reads = from.confirmed_reads;
                continue;
            }
            Field::HandedOver => {
                view.handed_over = from.handed_over;
                continue;
            }
            Field::Stable => {
                view.stable = from.stable;
                continue;
            }
            Field::UnstableSnapshot => {
                view.unstable_snapshot = from.unstable_snapshot;
                continue;
            }
            Field::OwnMatch => {
                view.own_match = from.own_match;
                continue;
            }
            Field::Appends => {
                view.appends.clone_from(&from.appends);
                continue;
            }
            Field::Applies => {
                view.applies.clone_from(&from.applies);
                continue;
            }
            Field::Messages => {
                sent.clone_from(&expected.sent);
                continue;
            }
            Field::Outcome
            | Field::AfterPersist
            | Field::Handed
            | Field::ReadStates
            | Field::InflightCount => continue,
            Field::Match => |peer, from| peer.matched = from.matched,
            Field::Next => |peer, from| peer.next = from.next,
            Field::ProgressState => |peer, from| peer.state = from.state,
            Field::Paused => |peer, from| peer.paused = from.paused,
            Field::RecentActive => |peer, from| peer.recent_active = from.recent_active,
            Field::CommitSent => |peer, from| peer.commit_sent = from.commit_sent,
            Field::Inflight => |peer, from| peer.inflight.clone_from(&from.inflight),
            Field::PendingSnapshot => |peer, from| peer.pending_snapshot = from.pending_snapshot,
        };
        for (id, from) in &from.peers {
            view.peers.entry(*id).and_modify(|peer| peers(peer, from));
        }
    }
    (view, sent)
}

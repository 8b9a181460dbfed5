//! The comparison of a cluster with the expectations of a trace, step by step.

use super::NotDriven;
use crate::compare::{Difference, Wanted, compare, compare_bystander, compare_start, start_view};
use crate::divergence::{Actual, Divergence};
use crate::properties::Counterexample;
use crate::target::{Observation, Reaction};
use crate::verdict::{Strength, Verdict};
use lockstep_traces::{Config, Expected, FieldSet, Input, NodeView, Outcome, ServerId, Trace};

/// The work done in a trace, or in a part of it.
#[derive(Clone, Copy, Default)]
pub(super) struct Counts {
    /// Steps at which a server moves.
    pub steps: u64,
    /// Steps at which only the network moves.
    pub network: u64,
    /// Steps that were driven and agree.
    pub compared: u64,
    /// Steps of a server that missed one before.
    pub not_reached: u64,
}

/// The result of a trace.
pub(super) struct Fate {
    /// The counts that have not been added to the report yet.
    pub counts: Counts,
    pub divergence: Option<Divergence>,
    pub counterexample: Option<Counterexample>,
    /// The number of steps that come before those of the divergence's trace.
    pub left_out: usize,
    /// Whether there is any field to compare.
    fields: bool,
    /// Whether a server has moved.
    moved: bool,
    /// Whether every step of a server was driven.
    driven: bool,
    /// Whether all steps that were not driven were to change and send nothing.
    idle: bool,
}

impl Fate {
    pub fn new(shown: FieldSet) -> Fate {
        Fate {
            counts: Counts::default(),
            divergence: None,
            counterexample: None,
            left_out: 0,
            fields: shown != FieldSet::NONE,
            moved: false,
            driven: true,
            idle: true,
        }
    }

    /// Takes note of what became of a step of a server.
    pub fn note(&mut self, judged: &Judged) {
        self.moved = true;
        match judged {
            Judged::Agreed => self.counts.compared += 1,
            Judged::NotReached => {
                self.counts.not_reached += 1;
                (self.driven, self.idle) = (false, false);
            }
            Judged::NotDriven(it) => {
                self.driven = false;
                self.idle &= it.changes_nothing;
            }
            Judged::Parted(..) => {}
        }
    }

    /// The verdict on the trace; `None` on a counterexample, of which the property was evaluated instead.
    pub fn verdict(&self) -> Option<Verdict> {
        if self.counterexample.is_some() {
            return None;
        }
        Some(if self.divergence.is_some() {
            Verdict::Diverged
        } else if !self.moved || !self.fields {
            Verdict::NothingChecked
        } else if self.driven {
            Verdict::Holds(Strength::Sampled)
        } else if self.idle {
            Verdict::Holds(Strength::SampledWhereDriven)
        } else {
            Verdict::InPart(Strength::Sampled)
        })
    }
}

/// The judgement on a step of a server.
pub(super) enum Judged {
    Agreed,
    /// It was not compared: the server missed a step before.
    NotReached,
    NotDriven(NotDriven),
    /// The sides part, and how; what the target did, unless it could not be driven.
    Parted(Vec<Difference>, Option<Box<Actual>>),
}

/// The last view of a server in the trace, and a mark for a server whose inputs no longer mean anything.
struct Tracked {
    id: ServerId,
    view: NodeView,
    lost: bool,
}

/// The servers of a trace, as it has left them so far.
pub(super) struct Judge {
    config: Config,
    servers: Vec<Tracked>,
    shown: FieldSet,
}

impl Judge {
    pub fn new(config: &Config, shown: FieldSet) -> Judge {
        let tracked = |id| Tracked {
            id,
            view: start_view(config),
            lost: false,
        };
        Judge {
            config: config.clone(),
            servers: config.server_ids().map(tracked).collect(),
            shown,
        }
    }

    /// The differences before the first step.
    pub fn start(&self, initial: &[NodeView]) -> Vec<Difference> {
        let starts = self.servers.iter().zip(initial);
        starts
            .filter_map(|(tracked, view)| compare_start(&self.config, tracked.id, view, self.shown))
            .collect()
    }

    /// Compares the observation of an input with the expectation of the trace.
    pub fn step(
        &mut self,
        server: ServerId,
        input: &Input,
        expected: &Expected,
        seen: Observation,
    ) -> Judged {
        let tracked = self.servers.iter_mut().find(|it| it.id == server);
        let Some(tracked) = tracked.filter(|it| !it.lost) else {
            return Judged::NotReached;
        };
        let output = match &seen.reaction {
            Reaction::Driven(output) => output,
            Reaction::NotDriven { reason } => {
                // It has not changed, says the target, and is held to it.
                if let Some(moved) =
                    compare_bystander(server, &tracked.view, &seen.view, self.shown)
                {
                    return Judged::Parted(vec![moved], None);
                }
                tracked.lost = expected.view != tracked.view;
                return Judged::NotDriven(NotDriven {
                    input: input.name(),
                    reason: reason.clone(),
                    changes_nothing: changes_nothing(expected, &tracked.view),
                });
            }
        };
        let wanted = Wanted::new(expected, tracked.view.applied);
        let differences = compare(&wanted, output, &seen.view, self.shown);
        if !differences.is_empty() {
            let actual = Actual::new(seen.reaction, seen.view);
            return Judged::Parted(differences, actual.map(Box::new));
        }
        tracked.view.clone_from(&expected.view);
        Judged::Agreed
    }

    /// Servers that are not as the trace left them, although every one of their own inputs agreed.
    pub fn bystanders(&self, last: &[NodeView]) -> Vec<Difference> {
        self.servers
            .iter()
            .zip(last)
            .filter(|(tracked, _)| !tracked.lost)
            .filter_map(|(tracked, view)| {
                compare_bystander(tracked.id, &tracked.view, view, self.shown)
            })
            .collect()
    }
}

fn changes_nothing(expected: &Expected, before: &NodeView) -> bool {
    expected.outcome == Outcome::Accepted && expected.view == *before && expected.sent.is_empty()
}

/// The divergence at the last step of that trace.
pub(super) fn parted_at(
    trace: Trace,
    differences: Vec<Difference>,
    actual: Option<Actual>,
) -> Divergence {
    Divergence {
        trace,
        differences,
        actual,
    }
}

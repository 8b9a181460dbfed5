//! The properties of the paper that need no look into a message, on what a program shows of itself.
//!
//! Most are those of implementations in process ([`PROPERTIES`]), on the same views; four say the same of less.

use super::components::OpaqueState;
use super::wire::{Description, Shown};
use super::{Action, Opaque};
use crate::code::{CodeProperty, Node, PROPERTIES};
use lockstep_engine::{Antecedent, StepProperty};
use lockstep_model::Id;
use lockstep_traces::{Role, Term};
use stateright::Property as Stateright;

/// A property of programs with opaque messages.
pub struct Rule {
    /// Its name.
    pub name: &'static str,
    /// Its statement, with the source.
    pub source: &'static str,
    /// The fields without which it cannot be put to the test.
    pub needs: &'static [Shown],
    kind: RuleKind,
}

type OnState = fn(&Opaque, &OpaqueState) -> bool;
type OnStep = fn(&Opaque, &OpaqueState, &Action, &OpaqueState) -> bool;

#[derive(Clone, Copy)]
enum RuleKind {
    State { holds: OnState, says: OnState },
    Step { holds: OnStep, says: OnStep },
}

/// A property of states of implementations in process.
macro_rules! state_of_code {
    ($name:literal, $needs:expr) => {
        Rule {
            name: $name,
            source: "",
            needs: $needs,
            kind: RuleKind::State {
                holds: |opaque, state| {
                    of_code($name).holds(&opaque.observed, &state.shown, &NOBODY, &state.shown)
                },
                says: |opaque, state| {
                    of_code($name).says(&opaque.observed, &state.shown, &NOBODY, &state.shown)
                },
            },
        }
    };
}

/// A property of steps of implementations in process.
macro_rules! step_of_code {
    ($name:literal, $needs:expr) => {
        Rule {
            name: $name,
            source: "",
            needs: $needs,
            kind: RuleKind::Step {
                holds: |opaque, before, action, after| {
                    let moved = move_of(opaque, before, action);
                    of_code($name).holds(&opaque.observed, &before.shown, &moved, &after.shown)
                },
                says: |opaque, before, action, after| {
                    let moved = move_of(opaque, before, action);
                    of_code($name).says(&opaque.observed, &before.shown, &moved, &after.shown)
                },
            },
        }
    };
}

const COMMITTED: &[Shown] = &[Shown::Log, Shown::Commit];
const LED: &[Shown] = &[Shown::Role, Shown::Term, Shown::Log, Shown::Commit];

/// Every property: those of states and those of steps, in the order in which they are looked at.
pub static ALL: &[Rule] = &[
    state_of_code!("well_formed_inv", LED),
    state_of_code!("election_safety_inv", &[Shown::Role, Shown::Term]),
    state_of_code!("log_matching_inv", &[Shown::Log]),
    state_of_code!("leader_completeness_inv", LED),
    state_of_code!("state_machine_safety_inv", COMMITTED),
    state_of_code!("committed_on_quorum_inv", COMMITTED),
    state_of_code!(
        "match_is_replicated_inv",
        &[Shown::Match, Shown::Role, Shown::Log]
    ),
    Rule {
        name: "up_to_date_vote_inv",
        source: "\"the voter denies its vote if its own log is more up-to-date than that of the candidate\" (paper, \
                 section 5.4.1), seen as long as the candidate waits and its term has had no leader, since no log of \
                 that term changes before",
        needs: &[Shown::Vote, Shown::Role, Shown::Term, Shown::Log],
        kind: RuleKind::State {
            holds: |_, state| votes(state).all(|(i, candidate)| last(candidate) >= last(i)),
            says: |_, state| votes(state).any(|(i, _)| !i.view.log.is_empty()),
        },
    },
    step_of_code!("does_not_fail_step", &[]),
    step_of_code!("term_monotonic_step", &[Shown::Term]),
    Rule {
        name: "commit_monotonic_step",
        source: "commitIndex: \"index of highest log entry known to be committed (initialized to 0, increases \
                 monotonically)\"; it is volatile (paper, figure 2), so this is between restarts",
        needs: &[Shown::Commit],
        kind: RuleKind::Step {
            holds: |opaque, before, action, after| {
                moved(opaque, before, action, after).is_none_or(|(i, next, restart)| {
                    restart
                        || (next.view.commit >= i.view.commit
                            && next.view.applied >= i.view.applied)
                })
            },
            says: |opaque, before, action, after| {
                let moved = moved(opaque, before, action, after);
                moved.is_some_and(|(i, next, _)| next.view.commit != i.view.commit)
            },
        },
    },
    Rule {
        name: "committed_entries_step",
        source: "State Machine Safety over time: what a server has committed stays in its log (paper, figure 3 and \
                 section 5.4.3), over a restart as far as it is durable",
        needs: COMMITTED,
        kind: RuleKind::Step {
            holds: |opaque, before, action, after| {
                moved(opaque, before, action, after).is_none_or(|(i, next, restart)| {
                    let durable = i.view.durable.log.len();
                    let commit = usize::try_from(i.view.commit.0).unwrap_or(usize::MAX);
                    let stays = commit.min(i.view.log.len());
                    let stays = if restart { stays.min(durable) } else { stays };
                    next.view.log.get(..stays) == Some(&i.view.log[..stays])
                })
            },
            says: |opaque, before, action, after| {
                let moved = moved(opaque, before, action, after);
                moved.is_some_and(|(i, next, _)| i.view.commit.0 > 0 && next.view.log != i.view.log)
            },
        },
    },
    step_of_code!(
        "leader_append_only_step",
        &[Shown::Role, Shown::Term, Shown::Log]
    ),
    step_of_code!("current_term_commit_step", LED),
    step_of_code!("one_vote_per_term_step", &[Shown::Vote, Shown::Term]),
    step_of_code!("durable_monotonic_step", &[Shown::Durable]),
    Rule {
        name: "restart_step",
        source: "currentTerm, votedFor and log[] are \"updated on stable storage before responding to RPCs\", and \
                 no server starts up as a candidate or leader (paper, figure 2 and section 5.2): a restart keeps what is durable",
        needs: &[Shown::Role, Shown::Term, Shown::Log],
        kind: RuleKind::Step {
            holds: |opaque, before, action, after| {
                moved(opaque, before, action, after).is_none_or(|(i, next, restart)| {
                    let (durable, next) = (&i.view.durable, &next.view);
                    !restart
                        || (!matches!(next.role, Role::Candidate | Role::Leader)
                            && (durable.term, durable.vote, &durable.log)
                                == (next.term, next.vote, &next.log))
                })
            },
            says: |opaque, before, action, after| {
                moved(opaque, before, action, after).is_some_and(|(_, _, restart)| restart)
            },
        },
    },
];

/// The properties of implementations in process that no program with opaque messages is put to, each with the reason.
pub const NOT_APPLICABLE: [(&str, &str); 21] = [
    ("message_terms_inv", "it looks into messages"),
    (
        "up_to_date_vote_step",
        "it looks into messages; up_to_date_vote_inv stands in for it where votes are shown",
    ),
    ("acknowledged_is_stored_step", "it looks into messages"),
    ("pre_vote_step", "it looks into messages"),
    ("lease_step", "it looks into messages"),
    (
        "check_quorum_step",
        "it needs to know from whom a leader has heard",
    ),
    (
        "persistent_inv",
        "it needs storage that is atomic; restart_step stands in for it",
    ),
    ("vote_is_stored_step", "it looks into messages"),
    ("elected_by_quorum_step", "it looks into messages"),
    (
        "committed_by_quorum_step",
        "it looks into messages; committed_on_quorum_inv stands in for it",
    ),
    ("configuration_inv", "programs show no configuration"),
    ("snapshot_is_committed_inv", SNAPSHOT),
    ("snapshot_sent_step", SNAPSHOT),
    ("snapshot_keeps_log_step", SNAPSHOT),
    ("compaction_step", SNAPSHOT),
    ("leader_is_durable_inv", STORAGE),
    ("applied_is_durable_inv", STORAGE),
    ("sane_after_crash_inv", STORAGE),
    ("linearizable_reads_inv", READS),
    ("linearizable_lease_reads_inv", READS),
    ("read_is_committed_inv", READS),
];

const SNAPSHOT: &str = "programs show whole logs";
const STORAGE: &str = "programs show no outstanding appends";
const READS: &str = "programs show no answers to reads";

impl Rule {
    /// Whether a program with this description can be put to it.
    pub fn applies(&self, to: &Description) -> bool {
        to.shows(self.needs)
    }

    /// Its statement, with the source.
    pub fn statement(&self) -> &'static str {
        match self.source {
            "" => of_code(self.name).source,
            own => own,
        }
    }
}

/// The properties that a program is not put to, each with the reason.
pub fn not_put_to_the_test(of: &Description) -> Vec<(&'static str, String)> {
    let missing = ALL.iter().filter(|rule| !rule.applies(of)).map(|rule| {
        let fields = rule.needs.iter().filter(|field| !of.shows(&[**field]));
        let fields: Vec<_> = fields.map(|field| field.name()).collect();
        (
            rule.name,
            format!("the program does not show {}", fields.join(", ")),
        )
    });
    let never = NOT_APPLICABLE
        .iter()
        .map(|(name, why)| (*name, (*why).to_owned()));
    missing.chain(never).collect()
}

/// No server moves.
const NOBODY: lockstep_model::Action = lockstep_model::Action::Drop(0);

fn of_code(name: &str) -> &'static CodeProperty {
    let found = PROPERTIES.iter().find(|property| property.name == name);
    found.expect("it is a property of implementations in process")
}

/// The action of an implementation in process that moves the same server. Properties that look into messages are not
/// asked about it.
fn move_of(opaque: &Opaque, before: &OpaqueState, action: &Action) -> lockstep_model::Action {
    let Some(i) = server_of(before, action).and_then(|slot| Id::new(slot as u8 + 1)) else {
        return NOBODY;
    };
    match action {
        _ if opaque.is_restart(*action) => lockstep_model::Action::Restart(i),
        _ => lockstep_model::Action::Heartbeat(i),
    }
}

fn server_of(before: &OpaqueState, action: &Action) -> Option<usize> {
    match action {
        Action::Local(slot, _) => Some(usize::from(*slot)),
        Action::Deliver(at) => Some(before.packets[*at as usize].to.get() as usize - 1),
        Action::Duplicate(_) | Action::Drop(_) => None,
    }
}

/// The server that moves, before and after, and whether it is restarted.
fn moved<'a>(
    opaque: &Opaque,
    before: &'a OpaqueState,
    action: &Action,
    after: &'a OpaqueState,
) -> Option<(&'a Node, &'a Node, bool)> {
    let slot = server_of(before, action)?;
    let nodes = (
        before.shown.servers.get(slot)?,
        after.shown.servers.get(slot)?,
    );
    Some((nodes.0, nodes.1, opaque.is_restart(*action)))
}

/// Every server that has voted for another one that still waits for votes, in a term that has had no leader.
fn votes(state: &OpaqueState) -> impl Iterator<Item = (&Node, &Node)> {
    let servers = &state.shown.servers;
    servers.iter().filter_map(move |i| {
        let vote = i.view.vote.filter(|vote| *vote != i.id)?;
        let candidate = servers.get(vote.get() as usize - 1)?;
        let term = i.view.term;
        let led = state
            .shown
            .history
            .leaders
            .iter()
            .any(|(led, _)| *led == term);
        let waits = candidate.view.role == Role::Candidate && candidate.view.term == term;
        (waits && !led).then_some((i, candidate))
    })
}

/// The last entry's term, and the length of the log.
fn last(i: &Node) -> (Term, usize) {
    let log = &i.view.log;
    (log.last().map_or(Term(0), |entry| entry.term), log.len())
}

fn applicable(opaque: &Opaque) -> impl Iterator<Item = &'static Rule> {
    ALL.iter().filter(|rule| rule.applies(opaque.description()))
}

/// The properties of states, for the engine.
pub(super) fn states(opaque: &Opaque) -> Vec<Stateright<Opaque>> {
    let states = applicable(opaque).filter_map(|rule| match rule.kind {
        RuleKind::State { holds, .. } => Some(Stateright::always(rule.name, holds)),
        RuleKind::Step { .. } => None,
    });
    states.collect()
}

/// The properties of steps, for the engine.
pub(super) fn steps(opaque: &Opaque) -> Vec<StepProperty<Opaque>> {
    let steps = applicable(opaque).filter_map(|rule| match rule.kind {
        RuleKind::Step { holds, .. } => Some(StepProperty::new(rule.name, holds)),
        RuleKind::State { .. } => None,
    });
    steps.collect()
}

/// The cases in which the properties say anything, for the engine.
pub(super) fn antecedents(opaque: &Opaque) -> Vec<Antecedent<Opaque>> {
    let all = applicable(opaque).map(|rule| match rule.kind {
        RuleKind::State { says, .. } => Antecedent::state(rule.name, says),
        RuleKind::Step { says, .. } => Antecedent::step(rule.name, says),
    });
    all.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A property that is added to those in process is either used here or named with a reason.
    #[test]
    fn every_property_in_process_is_used_or_accounted_for() {
        for property in PROPERTIES.iter() {
            let used = ALL.iter().any(|rule| rule.name == property.name);
            let named = NOT_APPLICABLE
                .iter()
                .any(|(name, _)| *name == property.name);
            assert!(used != named, "{}", property.name);
        }
        assert!(ALL.iter().all(|rule| rule.statement().len() > 20));
    }
}

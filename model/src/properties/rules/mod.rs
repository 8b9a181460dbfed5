//! The rules of figure 2 of the paper and of the thesis, sentence by sentence, each as a property of the
//! step that applies it.
//!
//! Figure 3 says what must never be seen; most broken rules need many steps until it is. These properties
//! look at one step of one server, and see a broken rule where it is first applied. They are written
//! from the sentences, and call nothing of `server/` but what reads a log or counts a quorum.

mod election;
mod inputs;
mod membership;
mod reads;
mod replication;
mod snapshot;
mod storage;
mod transfer;
mod votes;

use super::membership::members_throughout;
use super::server_step::is_strange;
use super::{ServerStep, TransitionProperty};
use crate::cluster::Action;
use crate::configuration::ConfChange;
use crate::ids::Id;
use crate::message::{Body, Message, Payload, Payloads};
use crate::network::Network;
use crate::server::{Append, Server, Storage};
use lockstep_traces::Role;
use smallvec::SmallVec;

/// The rules, in the order in which they are looked at.
pub(super) const ALL: [&[TransitionProperty]; 9] = [
    election::ALL,
    votes::ALL,
    membership::ALL,
    replication::ALL,
    transfer::ALL,
    snapshot::ALL,
    storage::ALL,
    reads::ALL,
    inputs::ALL,
];

/// A property that says something of the steps that satisfy `$when`: that they satisfy `$then`.
macro_rules! rule {
    ($name:literal, $source:literal, $when:expr => $then:expr) => {
        $crate::properties::TransitionProperty {
            name: $name,
            source: $source,
            holds: |it| !($when)(it) || ($then)(it),
            antecedent: |it| ($when)(it),
        }
    };
}
use rule;

impl<'a> ServerStep<'a> {
    /// The messages said in the step, sorted: with asynchronous storage also those that have to wait, and not those that
    /// have waited.
    fn sent(&self) -> SmallVec<[&'a Message; 6]> {
        let mut sent = self.left();
        if self.settings.is_async {
            for message in self.had_waited() {
                if let Some(place) = sent.iter().position(|it| *it == message) {
                    sent.remove(place);
                }
            }
            sent.extend(self.waits());
            sent.sort_unstable();
        }
        sent
    }

    /// The append that is handed over in the step.
    fn handed_over(&self) -> Option<&'a Append> {
        let (i, next) = (self.i.storage.as_deref()?, self.next.storage.as_deref()?);
        let old = i.appends.len() - usize::from(self.persisted().is_some());
        let grows = next.appends.len() > old && !self.crashes();
        next.appends.last().filter(|_| grows)
    }

    /// The messages to others that waited for what is durable now.
    fn had_waited(&self) -> impl Iterator<Item = &'a Message> + use<'a> {
        let own = self.i.id;
        let responses = self.persisted().into_iter().flat_map(|it| &it.responses);
        responses.filter(move |m| m.to != own)
    }

    /// The messages to others that have to wait from now on.
    fn waits(&self) -> impl Iterator<Item = &'a Message> + use<'a> {
        let own = self.i.id;
        let responses = self.handed_over().into_iter().flat_map(|it| &it.responses);
        responses.filter(move |m| m.to != own)
    }

    /// Whether the server crashes and may lose something.
    fn crashes(&self) -> bool {
        super::step::is_crash(self.i, &self.action)
    }

    /// Whether the server is what it was, but for an answer that may wait.
    fn only_answers(&self) -> bool {
        let mut old = self.i.clone();
        old.storage.clone_from(&self.next.storage);
        let same_storage = match (&self.i.storage, &self.next.storage) {
            (Some(i), Some(next)) => {
                let mut i = Storage::clone(i);
                let answers = |it: &&Append| it.hard_state.is_none() && it.first == 0;
                i.appends
                    .extend(self.handed_over().filter(answers).cloned());
                i == **next
            }
            (i, next) => i == next,
        };
        old == *self.next && same_storage
    }

    /// Whether a message of which `wanted` holds was said. Mostly none is in flight, and there is nothing to compare.
    fn sends_some(&self, wanted: impl Fn(&Message) -> bool) -> bool {
        self.can_have_sent(&wanted) && self.sent().into_iter().any(wanted)
    }

    /// Whether exactly these messages were sent.
    fn sends(&self, expected: impl IntoIterator<Item = (Id, u32, Body)>) -> bool {
        let from = self.i.id;
        let expected = expected.into_iter().map(|(to, term, body)| Message {
            from,
            to,
            term,
            body,
        });
        let expected: Network = expected.collect();
        self.sent().into_iter().eq(expected.iter())
    }

    /// The message, if it counts: a stale one does not.
    fn current(&self) -> Option<&'a Message> {
        self.message.filter(|m| m.term >= self.i.term)
    }

    /// The message, if it is of a leader that the server must follow.
    fn of_leader(&self) -> Option<&'a Message> {
        let own_rival = self.i.role == Role::Leader;
        self.current().filter(|m| {
            let of_leader = matches!(
                m.body,
                Body::AppendEntries { .. } | Body::Heartbeat { .. } | Body::InstallSnapshot { .. }
            );
            of_leader && !(own_rival && m.term == self.i.term)
        })
    }

    /// The message, if it is an answer to the leader of the term.
    fn for_leader(&self) -> Option<&'a Message> {
        let leads = self.i.role == Role::Leader;
        self.message.filter(|m| {
            leads
                && m.term == self.i.term
                && matches!(
                    m.body,
                    Body::AppendEntriesAccepted { .. }
                        | Body::AppendEntriesRejected { .. }
                        | Body::HeartbeatResponse { .. }
                )
        })
    }

    /// Whether the message asks for a vote and the lease of a leader forbids any reaction.
    fn refused_by_lease(&self) -> bool {
        let held = self.i.lease || self.i.role == Role::Leader;
        self.message.is_some_and(|m| {
            self.settings.check_quorum
                && held
                && m.term > self.i.term
                && super::step::respects_lease(m)
        })
    }

    /// The other members before the step.
    fn others(&self) -> impl Iterator<Item = Id> + use<> {
        self.i.others()
    }

    /// The other members that are so before the step, after it, and all the time between.
    fn who_stay(&self) -> impl Iterator<Item = Id> + use<> {
        let applied = self.applied();
        let members = members_throughout(self.next, self.i.configuration, applied);
        self.i.others().filter(move |j| members.contains(*j))
    }

    /// The other voters before the step, of both halves of a joint configuration.
    fn voters(&self) -> impl Iterator<Item = Id> + use<> {
        let own = self.i.id;
        let voters = self.i.configuration.all_voters().iter();
        voters.filter(move |j| *j != own)
    }

    /// The indexes that are applied.
    fn applied(&self) -> std::ops::RangeInclusive<u32> {
        self.i.applied() + 1..=self.next.applied()
    }

    /// Whether a change of the configuration is applied.
    fn reconfigures(&self) -> bool {
        let mut applied = self.applied();
        let log = &self.next.log;
        applied.any(|index| {
            let entry = log.entry(index);
            entry.is_some_and(|entry| entry.payload.as_conf_change().is_some())
        })
    }

    /// Whether it is a voter of its configuration before the step.
    fn votes(&self) -> bool {
        self.i.configuration.all_voters().contains(self.i.id)
    }

    /// Whether before the step it may campaign: it votes, and has nothing committed and not applied that changes who does.
    fn may_campaign(&self) -> bool {
        may_campaign(self.i)
    }

    /// Whether before the step it leads, is part of its own configuration, and does not hand over.
    fn takes_proposals(&self) -> bool {
        let member = self.i.configuration.members().contains(self.i.id);
        self.i.role == Role::Leader && member && self.i.transferee.is_none()
    }

    /// Returns the proposal of a client, here or at the server that forwarded it.
    fn proposal(&self) -> Option<Payloads> {
        let one = |payload| std::iter::once(payload).collect();
        match (self.action, self.change, self.message) {
            (Action::Propose(_), ..) => Some(Payload::value(self.value).into_iter().collect()),
            (_, Some(change), _) => Some(one(Payload::conf_change(change))),
            (_, _, Some(m)) if m.term == 0 => match &m.body {
                Body::Propose { payloads } => Some(payloads.clone()),
                _ => None,
            },
            _ => None,
        }
    }

    /// Whether a leader has too much uncommitted to take more proposals.
    fn is_full(&self, payloads: &Payloads) -> bool {
        let more = payloads.iter().filter(|it| carries_something(*it)).count() as u32;
        let (limit, uncommitted) = (self.settings.max_uncommitted, self.i.uncommitted);
        limit > 0 && uncommitted > 0 && more > 0 && uncommitted + more > limit
    }

    /// Whether it leads in the step, but may have applied its own removal and stepped down at its end.
    fn leads(&self) -> bool {
        self.next.role == Role::Leader || self.was_removed_as_leader()
    }

    /// Whether it led, and has stepped down because it applied its own removal.
    fn was_removed_as_leader(&self) -> bool {
        self.i.role == Role::Leader
            && self.next.role == Role::Follower
            && self.i.term == self.next.term
            && self.reconfigures()
    }

    /// Whether the message is the answer of a server that is no member.
    fn refuses_stranger(&self) -> bool {
        self.delivered.is_some_and(|m| is_strange(self.i, m))
    }

    /// Whether it led before and afterwards, in the same term.
    fn still_leads(&self) -> bool {
        self.i.role == Role::Leader
            && self.next.role == Role::Leader
            && self.i.term == self.next.term
    }
}

/// Whether a server votes, has nothing committed and not applied that changes who does, and waits for no snapshot.
fn may_campaign(i: &Server) -> bool {
    let mut unapplied = i.applied() + 1..=i.commit;
    let changes = |index: u32| {
        let entry = i.log.entry(index);
        entry.is_some_and(|entry| entry.payload.as_conf_change().is_some())
    };
    let votes = i.configuration.all_voters().contains(i.id);
    votes && !i.has_unstable_snapshot() && !unapplied.any(changes)
}

/// Whether an entry counts as uncommitted: what begins a term, or leaves a joint configuration, has no size.
fn carries_something(payload: Payload) -> bool {
    payload != Payload::EMPTY && payload != Payload::conf_change(ConfChange::LEAVE_JOINT)
}

fn always(_: &ServerStep<'_>) -> bool {
    true
}

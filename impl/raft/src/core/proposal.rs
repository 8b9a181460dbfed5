//! Proposals, and the leader's own appends.

use bytes::Bytes;

use super::Core;
use crate::confchange::ConfChangeError;
use crate::error::{CallError, DropReason, Error};
use crate::observer::{ConfChangeObstacle, Event, Observer, ProposedConfChange};
use crate::storage::Storage;
use crate::types::{
    Body, ConfChange, ConfChangeV2, Entry, EntryKind, Index, Message, NodeId, Role, Term,
    payloads_len,
};
use crate::wire;

impl<S: Storage, O: Observer> Core<S, O> {
    /// Proposes a command. A leader appends it; a follower passes it on to its leader, if
    /// [`proposal_forwarding`](crate::Config::proposal_forwarding) is on. Whether it is ever
    /// committed shows only when it comes back among the committed entries.
    ///
    /// # Errors
    ///
    /// [`Error::ProposalDropped`] with the reason; [`Error::Storage`].
    pub fn propose(&mut self, data: Bytes) -> Result<(), Error> {
        self.propose_checked(vec![Entry::proposal(EntryKind::Normal, data)])
    }

    /// Proposes several entries at once: all of them or none, in this order, without others in
    /// between. Terms and indexes are filled in.
    ///
    /// # Errors
    ///
    /// Those of [`propose`](Core::propose); [`DropReason::ConfChange`] at a leader, for a change of
    /// membership that it cannot take now (unless
    /// [`conf_change_validation`](crate::Config::conf_change_validation) is off);
    /// [`CallError::EmptyProposal`] if there are none;
    /// [`CallError::Undecodable`] for an entry that says to be a change of membership and is none;
    /// [`ConfChangeError::ReservedId`] for one that names a storage thread.
    pub fn propose_entries(&mut self, entries: Vec<Entry>) -> Result<(), Error> {
        if entries.is_empty() {
            return Err(CallError::EmptyProposal.into());
        }
        if let Some(defect) = entries.iter().find_map(defect) {
            return Err(defect.into());
        }
        self.propose_checked(entries)
    }

    /// Proposes a change of membership, as an entry of the kind [`EntryKind::ConfChangeV2`]. The
    /// default value proposes to leave a joint configuration. A leader that cannot take now what a
    /// follower passes on appends an empty entry in its place (as etcd does always), unless
    /// [`conf_change_validation`](crate::Config::conf_change_validation) is off.
    ///
    /// A group with servers that read only [`EntryKind::ConfChange`] is sent such an entry by
    /// [`propose_entries`](Core::propose_entries).
    ///
    /// # Errors
    ///
    /// Those of [`propose_entries`](Core::propose_entries).
    pub fn propose_conf_change(&mut self, change: impl Into<ConfChangeV2>) -> Result<(), Error> {
        let data = wire::encode_conf_change_v2(&change.into());
        self.propose_entries(vec![Entry::proposal(EntryKind::ConfChangeV2, data)])
    }

    fn propose_checked(&mut self, entries: Vec<Entry>) -> Result<(), Error> {
        let id = self.settings.id;
        let result = match self.role {
            Role::Leader => self.handle_proposal(entries, Misfits::Refuse),
            _ => self.handle(Message {
                from: id,
                to: id,
                term: Term::ZERO,
                body: Body::Propose { entries },
            }),
        };
        self.check_invariants();
        result
    }

    pub(super) fn drop_proposal(&mut self, reason: DropReason) -> Result<(), Error> {
        self.watch.report(Event::ProposalDropped {
            reason,
            term: self.term,
        });
        Err(reason.into())
    }

    /// A leader takes a proposal.
    pub(super) fn handle_proposal(
        &mut self,
        mut entries: Vec<Entry>,
        misfits: Misfits,
    ) -> Result<(), Error> {
        if !self.tracker.progress.contains(self.settings.id) {
            return self.drop_proposal(DropReason::NotMember);
        }
        if let Some(to) = self.lead_transferee {
            return self.drop_proposal(DropReason::TransferInProgress { to });
        }
        let pending = self.check_changes(&mut entries, misfits)?;
        if !self.has_room(&entries) {
            return self.drop_proposal(DropReason::UncommittedLimit);
        }
        self.pending_conf_index = pending;
        self.append(entries)?;
        self.broadcast_append()
    }

    /// Looks at the changes of membership in a proposal. What cannot be taken now is refused, or becomes an empty
    /// entry. Returns the index up to which a leader that appends the entries has to apply before the next change.
    fn check_changes(&mut self, entries: &mut [Entry], misfits: Misfits) -> Result<Index, Error> {
        let first = self.log.last_index()?.next();
        let mut pending = self.pending_conf_index;
        for (at, entry) in entries.iter_mut().enumerate() {
            let Some(change) = decode(entry) else {
                continue;
            };
            match self.conf_change_obstacle(&change, pending) {
                Some(obstacle)
                    if self.settings.conf_change_validation && misfits == Misfits::Refuse =>
                {
                    self.drop_proposal(DropReason::ConfChange(obstacle))?;
                }
                Some(obstacle) if self.settings.conf_change_validation => {
                    self.watch.report(Event::ConfChangeIgnored {
                        change: change.borrowed(),
                        config: &self.tracker.config,
                        obstacle,
                    });
                    *entry = Entry::default();
                }
                _ => pending = first + at as u64,
            }
        }
        Ok(pending)
    }

    /// Why a change does not fit the active configuration. A best effort: the configuration is
    /// that of the applied entries, and others may be on their way.
    fn conf_change_obstacle(
        &self,
        change: &DecodedChange,
        pending: Index,
    ) -> Option<ConfChangeObstacle> {
        let leaves = match change {
            DecodedChange::V1(_) => false,
            DecodedChange::V2(change) => change.changes.is_empty(),
        };
        let applied = self.log.applied();
        if pending > applied {
            return Some(ConfChangeObstacle::Pending {
                index: pending,
                applied,
            });
        }
        match (self.tracker.config.voters.is_joint(), leaves) {
            (true, false) => Some(ConfChangeObstacle::MustLeaveJoint),
            (false, true) => Some(ConfChangeObstacle::NotJoint),
            _ => None,
        }
    }

    /// Passes a proposal on to the leader, or drops it.
    pub(super) fn forward_proposal(&mut self, message: Message) -> Result<(), Error> {
        let Some(leader) = self.leader else {
            return self.drop_proposal(DropReason::NoLeader);
        };
        if !self.settings.proposal_forwarding {
            return self.drop_proposal(DropReason::ForwardingDisabled { leader });
        }
        self.forward(message, leader, Term::ZERO);
        Ok(())
    }

    /// Whether the uncommitted end of the log has room for the entries. For empty payloads it always has: Raft's
    /// own entries must go through. So it has for anything that follows nothing.
    fn has_room(&self, entries: &[Entry]) -> bool {
        let (limit, bytes) = (self.settings.max_uncommitted_bytes, payloads_len(entries));
        limit == 0
            || bytes == 0
            || self.uncommitted_bytes == 0
            || self.uncommitted_bytes.saturating_add(bytes) <= limit
    }

    /// Appends to a leader's own log, in its term.
    pub(super) fn append(&mut self, mut entries: Vec<Entry>) -> Result<(), Error> {
        let first = self.log.last_index()?.next();
        for (entry, index) in entries.iter_mut().zip(first.0..) {
            entry.term = self.term;
            entry.index = index.into();
        }
        self.uncommitted_bytes += payloads_len(&entries);
        let last = first.prev() + entries.len() as u64;
        self.log.append(entries.into_iter(), first, &mut self.watch);
        // The leader counts itself when its own write is durable, like everybody else's.
        self.acknowledge(self.settings.id, last);
        Ok(())
    }
}

/// The fate of a change of membership that a leader cannot take now.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Misfits {
    /// The proposal is refused, and whoever made it is told.
    Refuse,
    /// An empty entry takes its place. Nobody waits for an answer.
    Replace,
}

/// A change of membership as it was proposed.
enum DecodedChange {
    V1(ConfChange),
    V2(ConfChangeV2),
}

impl DecodedChange {
    fn borrowed(&self) -> ProposedConfChange<'_> {
        match self {
            DecodedChange::V1(change) => ProposedConfChange::V1(change),
            DecodedChange::V2(change) => ProposedConfChange::V2(change),
        }
    }

    fn servers(&self) -> impl Iterator<Item = NodeId> {
        let (one, several) = match self {
            DecodedChange::V1(change) => (change.node, &[][..]),
            DecodedChange::V2(change) => (None, change.changes.as_slice()),
        };
        one.into_iter()
            .chain(several.iter().filter_map(|change| change.node))
    }
}

/// Checks an entry that should hold a change of membership, and returns its defect. A change of nobody (the server is
/// `None`, zero on the wire) is void and as good as any other: etcd's scripts have it.
pub(super) fn defect(entry: &Entry) -> Option<CallError> {
    if entry.kind == EntryKind::Normal {
        return None;
    }
    let Some(change) = decode(entry) else {
        return Some(CallError::Undecodable);
    };
    let reserved = change.servers().find(|server| server.is_storage_thread())?;
    Some(ConfChangeError::ReservedId(reserved).into())
}

fn decode(entry: &Entry) -> Option<DecodedChange> {
    match entry.kind {
        EntryKind::Normal => None,
        EntryKind::ConfChange => wire::decode_conf_change(&entry.data)
            .ok()
            .map(DecodedChange::V1),
        EntryKind::ConfChangeV2 => wire::decode_conf_change_v2(&entry.data)
            .ok()
            .map(DecodedChange::V2),
    }
}

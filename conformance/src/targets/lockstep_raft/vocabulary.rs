//! The vocabulary in the production Raft's own types, and back.

use crate::target::TargetError;
use bytes::Bytes;
use lockstep_raft::{ConfChangeKind, ConfChangeV2, ConfState, NodeId};
use lockstep_traces::{
    Body, ConfChange, ConfChangeSingle, Configuration, Entry, Handed, Index, Message, Payload,
    ReadState, RejectHint, Role, ServerId, Snapshot, Term, Transition,
};
use std::collections::BTreeSet;

/// The bytes of every payload that is not empty, so that a limit in bytes is one in entries, as the specification
/// counts them. A change of up to four members fits.
pub(crate) const PAYLOAD_BYTES: usize = 32;

/// The bytes of a value: its digits.
pub(crate) fn value(value: u64) -> Bytes {
    Bytes::from(format!("{value:0PAYLOAD_BYTES$}"))
}

/// The bytes of the context of a read: its digits.
pub(super) fn context(context: u64) -> Bytes {
    Bytes::from(context.to_string())
}

pub(super) fn read_context(context: &Bytes) -> Result<u64, TargetError> {
    let digits = std::str::from_utf8(context).ok();
    let number = digits.and_then(|digits| digits.parse().ok());
    number.ok_or_else(|| {
        TargetError::Failed(format!(
            "a read that nobody asked for, with the context {context:?}"
        ))
    })
}

/// The answer to a read.
pub(super) fn read_state(given: &lockstep_raft::ReadState) -> Result<ReadState, TargetError> {
    let lockstep_raft::ReadState {
        index: at,
        context: asked,
    } = given;
    Ok(ReadState {
        context: read_context(asked)?,
        index: at.map(index),
    })
}

/// The context of the heartbeats of a round of reads; empty if they are of none.
fn round_context(round: u64) -> Bytes {
    match round {
        0 => Bytes::new(),
        _ => Bytes::copy_from_slice(&round.to_be_bytes()),
    }
}

fn round_of(context: &Bytes) -> Option<u64> {
    match context.as_ref() {
        [] => Some(0),
        bytes => {
            let round = u64::from_be_bytes(bytes.try_into().ok()?);
            (round > 0).then_some(round)
        }
    }
}

/// A committed entry that the application was handed.
pub(super) fn handed(given: &lockstep_raft::Entry) -> Result<Handed, TargetError> {
    Ok(Handed {
        index: index(given.index),
        entry: entry(given)?,
    })
}

/// Consecutive entries, the first of which must have the index `first`.
pub(super) fn entries(
    log: &[lockstep_raft::Entry],
    first: lockstep_raft::Index,
) -> Result<Vec<Entry>, TargetError> {
    let one = |(offset, it): (u64, &lockstep_raft::Entry)| {
        let must = first + offset;
        if it.index != must {
            let text = format!("an entry at {must} says that its index is {}", it.index);
            return Err(TargetError::Failed(text));
        }
        entry(it)
    };
    (0..).zip(log).map(one).collect()
}

fn entry(given: &lockstep_raft::Entry) -> Result<Entry, TargetError> {
    let foreign = || TargetError::Failed(format!("an entry that nobody proposed: {given:?}"));
    let lockstep_raft::Entry {
        term: of,
        index: _, // Its position: whoever has a list of entries compares it.
        kind,
        data,
    } = given;
    if *kind != lockstep_raft::EntryKind::Normal {
        let change = lockstep_raft::wire::conf_change_of(given);
        let change = change.ok().flatten().ok_or_else(foreign)?;
        return Ok(Entry {
            term: term(*of),
            payload: Payload::ConfChange(conf_change(change).ok_or_else(foreign)?),
        });
    }
    let payload = match data.as_ref() {
        [] => Payload::Empty,
        digits => {
            let digits = std::str::from_utf8(digits)
                .ok()
                .and_then(|text| text.parse().ok());
            Payload::Value(digits.ok_or_else(foreign)?)
        }
    };
    Ok(Entry {
        term: term(*of),
        payload,
    })
}

/// A message of the vocabulary as the production Raft receives it.
pub(crate) fn to_raft(message: &Message) -> lockstep_raft::Message {
    use lockstep_raft::Body as To;
    let body = match &message.body {
        Body::RequestVote {
            last_index,
            last_term,
            transfer,
        } => To::RequestVote {
            last: position(*last_term, *last_index),
            force: *transfer,
        },
        Body::RequestVoteResponse { granted } => To::RequestVoteResponse { granted: *granted },
        Body::RequestPreVote {
            last_index,
            last_term,
        } => To::RequestPreVote {
            last: position(*last_term, *last_index),
        },
        Body::RequestPreVoteResponse { granted } => {
            To::RequestPreVoteResponse { granted: *granted }
        }
        Body::AppendEntries {
            prev_index,
            prev_term,
            entries,
            commit,
        } => To::AppendEntries {
            prev: position(*prev_term, *prev_index),
            entries: (1..)
                .zip(entries)
                .map(|(offset, entry)| raft_entry(*prev_index, offset, entry))
                .collect(),
            commit: lockstep_raft::Index(commit.0),
        },
        Body::AppendEntriesResponse { index, rejected } => To::AppendEntriesResponse {
            index: lockstep_raft::Index(index.0),
            rejection: rejected.map(|hint| lockstep_raft::Rejection {
                hint_index: lockstep_raft::Index(hint.index.0),
                hint_term: lockstep_raft::Term(hint.term.0),
            }),
        },
        Body::Heartbeat { commit, round } => To::Heartbeat {
            commit: lockstep_raft::Index(commit.0),
            context: round_context(*round),
        },
        Body::HeartbeatResponse => To::HeartbeatResponse {
            context: Bytes::new(),
        },
        Body::RoundResponse { round } => To::HeartbeatResponse {
            context: round_context(*round),
        },
        Body::ReadIndex { context, .. } => To::ReadIndex {
            context: self::context(*context),
        },
        Body::ReadIndexResponse { context, index } => To::ReadIndexResponse {
            index: lockstep_raft::Index(index.0),
            context: self::context(*context),
        },
        Body::TimeoutNow => To::TimeoutNow,
        Body::TransferLeader { .. } => To::TransferLeader,
        Body::Propose { payloads } => To::Propose {
            entries: payloads.iter().map(proposal).collect(),
        },
        Body::InstallSnapshot { snapshot } => To::InstallSnapshot {
            snapshot: Box::new(raft_snapshot(snapshot)),
        },
    };
    let from = match &message.body {
        // It comes in the name of the server that is to lead.
        Body::TransferLeader { transferee } => *transferee,
        // It comes in the name of the server whose client reads.
        Body::ReadIndex { origin, .. } => *origin,
        _ => message.from,
    };
    lockstep_raft::Message {
        from: node(from),
        to: node(message.to),
        term: lockstep_raft::Term(message.term.0),
        body,
    }
}

fn raft_entry(prev: Index, offset: u64, entry: &Entry) -> lockstep_raft::Entry {
    lockstep_raft::Entry {
        term: lockstep_raft::Term(entry.term.0),
        index: lockstep_raft::Index(prev.0 + offset),
        ..proposal(&entry.payload)
    }
}

/// An entry that is not in a log yet.
pub(super) fn proposal(payload: &Payload) -> lockstep_raft::Entry {
    let normal = lockstep_raft::EntryKind::Normal;
    let (kind, data) = match payload {
        Payload::Empty => (normal, Bytes::new()),
        Payload::Value(value) => (normal, self::value(*value)),
        Payload::ConfChange(change) => {
            let data = encode(raft_conf_change(change));
            (lockstep_raft::EntryKind::ConfChangeV2, data)
        }
    };
    lockstep_raft::Entry {
        kind,
        data,
        ..lockstep_raft::Entry::default()
    }
}

/// A change of membership in as many bytes as any payload: its context fills what is missing. One that leaves a joint
/// configuration has to be empty.
fn encode(mut change: ConfChangeV2) -> Bytes {
    let data = lockstep_raft::wire::encode_conf_change_v2(&change);
    let header = 2; // The context's tag and length.
    match PAYLOAD_BYTES.checked_sub(data.len() + header) {
        Some(missing) if !change.changes.is_empty() => {
            change.context = Bytes::from(vec![FILLER; missing]);
            lockstep_raft::wire::encode_conf_change_v2(&change)
        }
        _ => data,
    }
}

/// A byte of a context that nobody reads.
const FILLER: u8 = b'.';

/// A change of membership in the production Raft's types.
pub(super) fn raft_conf_change(change: &ConfChange) -> ConfChangeV2 {
    let ConfChange {
        changes,
        transition,
    } = change;
    let single = |change: &ConfChangeSingle| match *change {
        ConfChangeSingle::AddVoter(id) => {
            lockstep_raft::ConfChangeSingle::new(ConfChangeKind::AddNode, node(id))
        }
        ConfChangeSingle::AddLearner(id) => {
            lockstep_raft::ConfChangeSingle::new(ConfChangeKind::AddLearner, node(id))
        }
        ConfChangeSingle::Remove(id) => {
            lockstep_raft::ConfChangeSingle::new(ConfChangeKind::RemoveNode, node(id))
        }
    };
    ConfChangeV2 {
        transition: match transition {
            Transition::Auto => lockstep_raft::Transition::Auto,
            Transition::Implicit => lockstep_raft::Transition::JointImplicit,
            Transition::Explicit => lockstep_raft::Transition::JointExplicit,
        },
        changes: changes.iter().map(single).collect(),
        context: Bytes::new(),
    }
}

/// A change of membership in the vocabulary; `None` if it has no word for it.
fn conf_change(change: ConfChangeV2) -> Option<ConfChange> {
    let ConfChangeV2 {
        transition,
        changes,
        context,
    } = change;
    let single = |change: lockstep_raft::ConfChangeSingle| {
        let id = server(change.node?);
        match change.kind {
            ConfChangeKind::AddNode => Some(ConfChangeSingle::AddVoter(id)),
            ConfChangeKind::AddLearner => Some(ConfChangeSingle::AddLearner(id)),
            ConfChangeKind::RemoveNode => Some(ConfChangeSingle::Remove(id)),
            ConfChangeKind::UpdateNode => None,
        }
    };
    let changes: Option<Vec<_>> = changes.into_iter().map(single).collect();
    let known = context.iter().all(|byte| *byte == FILLER);
    known.then_some(ConfChange {
        changes: changes?.into(),
        transition: match transition {
            lockstep_raft::Transition::Auto => Transition::Auto,
            lockstep_raft::Transition::JointImplicit => Transition::Implicit,
            lockstep_raft::Transition::JointExplicit => Transition::Explicit,
        },
    })
}

/// The state of the application at an index: in this harness its digits.
pub(super) fn snapshot_data(index: lockstep_raft::Index) -> Bytes {
    Bytes::from(index.to_string())
}

fn raft_snapshot(snapshot: &Snapshot) -> lockstep_raft::Snapshot {
    let Snapshot {
        index,
        term,
        configuration,
    } = snapshot;
    let index = lockstep_raft::Index(index.0);
    lockstep_raft::Snapshot {
        data: snapshot_data(index),
        metadata: lockstep_raft::SnapshotMetadata {
            conf_state: conf_state(configuration),
            index,
            term: lockstep_raft::Term(term.0),
        },
    }
}

fn conf_state(configuration: &Configuration) -> ConfState {
    let Configuration {
        voters,
        outgoing,
        learners,
        learners_next,
        auto_leave,
    } = configuration;
    let nodes = |ids: &BTreeSet<ServerId>| ids.iter().copied().map(node).collect();
    ConfState {
        voters: nodes(voters),
        learners: nodes(learners),
        voters_outgoing: nodes(outgoing),
        learners_next: nodes(learners_next),
        auto_leave: *auto_leave,
    }
}

/// A snapshot of the production Raft in the vocabulary.
pub(super) fn snapshot(of: &lockstep_raft::Snapshot) -> Result<Snapshot, TargetError> {
    let lockstep_raft::Snapshot {
        data,
        metadata:
            lockstep_raft::SnapshotMetadata {
                conf_state,
                index: at,
                term: of,
            },
    } = of;
    if *data != snapshot_data(*at) {
        let text = format!("a snapshot at {at} holds {data:?}, which no application made");
        return Err(TargetError::Failed(text));
    }
    Ok(Snapshot {
        index: index(*at),
        term: term(*of),
        configuration: configuration(conf_state),
    })
}

/// A configuration of the production Raft in the vocabulary.
pub(super) fn configuration(of: &ConfState) -> Configuration {
    let ConfState {
        voters,
        learners,
        voters_outgoing,
        learners_next,
        auto_leave,
    } = of;
    let servers = |ids: &[NodeId]| ids.iter().copied().map(server).collect();
    Configuration {
        voters: servers(voters),
        outgoing: servers(voters_outgoing),
        learners: servers(learners),
        learners_next: servers(learners_next),
        auto_leave: *auto_leave,
    }
}

/// The payloads of proposals, which have neither index nor term yet.
fn payloads(given: &[lockstep_raft::Entry]) -> Result<Vec<Payload>, TargetError> {
    let one = |it: &lockstep_raft::Entry| {
        let placed = it.index.0 > 0 || it.term.0 > 0;
        if placed {
            let text = format!("a forwarded proposal has a place in a log: {it:?}");
            return Err(TargetError::Failed(text));
        }
        entry(it).map(|entry| entry.payload)
    };
    given.iter().map(one).collect()
}

/// A message that server `sender` of the production Raft sent, in the vocabulary.
pub(crate) fn from_raft(
    message: &lockstep_raft::Message,
    sender: NodeId,
) -> Result<Message, TargetError> {
    use lockstep_raft::Body as From;
    let foreign = || {
        TargetError::Failed(format!(
            "the server sent a message that must not leave it: {message:?}"
        ))
    };
    let lockstep_raft::Message {
        from,
        to,
        term: of,
        body,
    } = message;
    let body = match body {
        From::RequestVote { last, force } => Body::RequestVote {
            last_index: index(last.index),
            last_term: term(last.term),
            transfer: *force,
        },
        From::RequestVoteResponse { granted } => Body::RequestVoteResponse { granted: *granted },
        From::RequestPreVote { last } => Body::RequestPreVote {
            last_index: index(last.index),
            last_term: term(last.term),
        },
        From::RequestPreVoteResponse { granted } => {
            Body::RequestPreVoteResponse { granted: *granted }
        }
        From::AppendEntries {
            prev,
            entries: new,
            commit,
        } => Body::AppendEntries {
            prev_index: index(prev.index),
            prev_term: term(prev.term),
            entries: entries(new, prev.index.next())?,
            commit: index(*commit),
        },
        From::AppendEntriesResponse {
            index: acknowledged,
            rejection,
        } => Body::AppendEntriesResponse {
            index: index(*acknowledged),
            rejected: rejection.map(|rejection| RejectHint {
                index: index(rejection.hint_index),
                term: term(rejection.hint_term),
            }),
        },
        From::Heartbeat { commit, context } => Body::Heartbeat {
            commit: index(*commit),
            round: round_of(context).ok_or_else(foreign)?,
        },
        From::HeartbeatResponse { context } => match round_of(context).ok_or_else(foreign)? {
            0 => Body::HeartbeatResponse,
            round => Body::RoundResponse { round },
        },
        From::ReadIndex { context } => Body::ReadIndex {
            origin: server(*from),
            context: read_context(context)?,
        },
        From::ReadIndexResponse { index: at, context } => Body::ReadIndexResponse {
            context: read_context(context)?,
            index: index(*at),
        },
        From::TimeoutNow => Body::TimeoutNow,
        From::TransferLeader => Body::TransferLeader {
            transferee: server(*from),
        },
        From::Propose { entries } => Body::Propose {
            payloads: payloads(entries)?,
        },
        From::InstallSnapshot { snapshot: it } => Body::InstallSnapshot {
            snapshot: snapshot(it)?,
        },
        _ => return Err(foreign()),
    };
    // A request to transfer is passed on in the name of the server that is to lead, and a proposal in the name of the
    // one at which it was made; nobody looks at the latter.
    let from = match body {
        Body::TransferLeader { .. } | Body::Propose { .. } | Body::ReadIndex { .. } => sender,
        _ => *from,
    };
    if from != sender {
        return Err(foreign());
    }
    Ok(Message {
        from: server(from),
        to: server(*to),
        term: term(*of),
        body,
    })
}

fn position(term: Term, index: Index) -> lockstep_raft::EntryId {
    lockstep_raft::EntryId::new(lockstep_raft::Term(term.0), lockstep_raft::Index(index.0))
}

pub(super) fn role(role: lockstep_raft::Role) -> Role {
    match role {
        lockstep_raft::Role::Follower => Role::Follower,
        lockstep_raft::Role::PreCandidate => Role::PreCandidate,
        lockstep_raft::Role::Candidate => Role::Candidate,
        lockstep_raft::Role::Leader => Role::Leader,
    }
}

pub(super) fn node(id: ServerId) -> NodeId {
    NodeId::new(id.get()).unwrap_or_else(|| unreachable!("a server's name is never zero"))
}

pub(super) fn server(id: NodeId) -> ServerId {
    ServerId::new(id.get()).unwrap_or_else(|| unreachable!("a node's id is never zero"))
}

pub(super) fn index(index: lockstep_raft::Index) -> Index {
    Index(index.0)
}

pub(super) fn term(term: lockstep_raft::Term) -> Term {
    Term(term.0)
}

//! The vocabulary in the production Raft's own types, and back.

use crate::target::TargetError;
use bytes::Bytes;
use lockstep_raft::NodeId;
use lockstep_traces::{
    Body, Entry, Handed, Index, Message, Payload, RejectHint, Role, ServerId, Term,
};

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
        return Err(foreign());
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
        } => To::RequestVote {
            last: position(*last_term, *last_index),
            force: false,
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
        Body::Heartbeat { commit } => To::Heartbeat {
            commit: lockstep_raft::Index(commit.0),
            context: Bytes::new(),
        },
        Body::HeartbeatResponse => To::HeartbeatResponse {
            context: Bytes::new(),
        },
    };
    lockstep_raft::Message {
        from: node(message.from),
        to: node(message.to),
        term: lockstep_raft::Term(message.term.0),
        body,
    }
}

fn raft_entry(prev: Index, offset: u64, entry: &Entry) -> lockstep_raft::Entry {
    lockstep_raft::Entry {
        term: lockstep_raft::Term(entry.term.0),
        index: lockstep_raft::Index(prev.0 + offset),
        kind: lockstep_raft::EntryKind::Normal,
        data: match entry.payload {
            Payload::Empty => Bytes::new(),
            Payload::Value(value) => Bytes::from(value.to_string()),
        },
    }
}

/// A message of the production Raft in the vocabulary.
pub(crate) fn from_raft(message: &lockstep_raft::Message) -> Result<Message, TargetError> {
    use lockstep_raft::Body as From;
    let foreign = || TargetError::Failed(format!("it sent what has no place here: {message:?}"));
    let lockstep_raft::Message {
        from,
        to,
        term: of,
        body,
    } = message;
    let body = match body {
        From::RequestVote { last, force: false } => Body::RequestVote {
            last_index: index(last.index),
            last_term: term(last.term),
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
        From::Heartbeat { commit, context } if context.is_empty() => Body::Heartbeat {
            commit: index(*commit),
        },
        From::HeartbeatResponse { context } if context.is_empty() => Body::HeartbeatResponse,
        _ => return Err(foreign()),
    };
    Ok(Message {
        from: server(*from),
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

//! Messages of the vocabulary to and from those of the library.

use super::dialect::{Normalisation, Uses};
use lockstep_traces as vocabulary;
use lockstep_traces::{
    Body, ConfChange, ConfChangeSingle, Configuration, Index, Payload, RejectHint, ServerId, Term,
    Transition,
};
use protobuf::Message as _;
use raft::eraftpb::{
    ConfChangeSingle as RaftChange, ConfChangeTransition, ConfChangeType, ConfChangeV2, ConfState,
    Entry, EntryType, Message, MessageType, Snapshot,
};
use std::collections::BTreeSet;

/// The mark of a request for votes that the leader asked for; its name in the library is private.
const CAMPAIGN_TRANSFER: &[u8] = b"CampaignTransfer";

/// The bytes of every payload, so that a limit in bytes is a number of proposals.
pub const PAYLOAD_BYTES: usize = 32;

/// A byte of a context that nobody reads.
const FILLER: u8 = b'.';

/// The library's form of a message.
pub fn to_raft(m: &vocabulary::Message) -> Message {
    let mut out = Message {
        from: m.from.get(),
        to: m.to.get(),
        term: m.term.0,
        ..Message::default()
    };
    match &m.body {
        Body::RequestVote {
            last_index,
            last_term,
            transfer,
        } => {
            if *transfer {
                out.context = CAMPAIGN_TRANSFER.to_vec().into();
            }
            out.set_msg_type(MessageType::MsgRequestVote);
            (out.index, out.log_term) = (last_index.0, last_term.0);
        }
        Body::RequestPreVote {
            last_index,
            last_term,
        } => {
            out.set_msg_type(MessageType::MsgRequestPreVote);
            (out.index, out.log_term) = (last_index.0, last_term.0);
        }
        Body::RequestVoteResponse { granted } => {
            out.set_msg_type(MessageType::MsgRequestVoteResponse);
            out.reject = !granted;
        }
        Body::RequestPreVoteResponse { granted } => {
            out.set_msg_type(MessageType::MsgRequestPreVoteResponse);
            out.reject = !granted;
        }
        Body::AppendEntries {
            prev_index,
            prev_term,
            entries,
            commit,
        } => {
            out.set_msg_type(MessageType::MsgAppend);
            (out.index, out.log_term, out.commit) = (prev_index.0, prev_term.0, commit.0);
            let entries = entries.iter().zip(prev_index.0 + 1..);
            out.entries = entries
                .map(|(entry, index)| Entry {
                    term: entry.term.0,
                    index,
                    ..proposal(&entry.payload)
                })
                .collect();
        }
        Body::AppendEntriesResponse { index, rejected } => {
            out.set_msg_type(MessageType::MsgAppendResponse);
            out.index = index.0;
            if let Some(hint) = rejected {
                out.reject = true;
                (out.reject_hint, out.log_term) = (hint.index.0, hint.term.0);
            }
        }
        Body::Heartbeat { commit } => {
            out.set_msg_type(MessageType::MsgHeartbeat);
            out.commit = commit.0;
        }
        Body::HeartbeatResponse => out.set_msg_type(MessageType::MsgHeartbeatResponse),
        Body::TimeoutNow => out.set_msg_type(MessageType::MsgTimeoutNow),
        Body::TransferLeader { transferee } => {
            // It comes in the name of the server that is to lead.
            out.from = transferee.get();
            out.set_msg_type(MessageType::MsgTransferLeader);
        }
        Body::Propose { payloads } => {
            out.set_msg_type(MessageType::MsgPropose);
            out.entries = payloads.iter().map(proposal).collect();
        }
        Body::InstallSnapshot { snapshot } => {
            out.set_msg_type(MessageType::MsgSnapshot);
            let into = out.mut_snapshot();
            into.data = snapshot_data(snapshot.index.0).into();
            let meta = into.mut_metadata();
            (meta.index, meta.term) = (snapshot.index.0, snapshot.term.0);
            meta.set_conf_state(conf_state(&snapshot.configuration));
        }
    }
    out
}

/// An entry that is not in a log yet.
pub fn proposal(payload: &Payload) -> Entry {
    let mut entry = Entry::default();
    match payload {
        Payload::Empty => {}
        Payload::Value(value) => entry.data = value_data(*value).into(),
        Payload::ConfChange(change) => {
            entry.set_entry_type(EntryType::EntryConfChangeV2);
            entry.data = change_data(&raft_change(change)).into();
        }
    }
    entry
}

/// The bytes of a value: its digits.
pub fn value_data(value: u64) -> Vec<u8> {
    format!("{value:0PAYLOAD_BYTES$}").into_bytes()
}

/// The state of the application at an index: its digits.
pub fn snapshot_data(index: u64) -> Vec<u8> {
    index.to_string().into_bytes()
}

/// The library's form of a change, with a context that makes it as long as any payload. One that leaves a joint
/// configuration has to be empty.
pub fn raft_change(change: &ConfChange) -> ConfChangeV2 {
    let ConfChange {
        changes,
        transition,
    } = change;
    let single = |change: &ConfChangeSingle| {
        let (kind, id) = match *change {
            ConfChangeSingle::AddVoter(id) => (ConfChangeType::AddNode, id),
            ConfChangeSingle::AddLearner(id) => (ConfChangeType::AddLearnerNode, id),
            ConfChangeSingle::Remove(id) => (ConfChangeType::RemoveNode, id),
        };
        let mut out = RaftChange {
            node_id: id.get(),
            ..RaftChange::default()
        };
        out.set_change_type(kind);
        out
    };
    let mut out = ConfChangeV2::default();
    out.set_transition(match transition {
        Transition::Auto => ConfChangeTransition::Auto,
        Transition::Implicit => ConfChangeTransition::Implicit,
        Transition::Explicit => ConfChangeTransition::Explicit,
    });
    out.set_changes(changes.iter().map(single).collect());
    let header = 2; // The context's tag and length.
    if let Some(missing) = PAYLOAD_BYTES.checked_sub(change_data(&out).len() + header)
        && !changes.is_empty()
    {
        out.context = vec![FILLER; missing].into();
    }
    out
}

fn change_data(change: &ConfChangeV2) -> Vec<u8> {
    change
        .write_to_bytes()
        .unwrap_or_else(|error| unreachable!("a message in memory has a form: {error}"))
}

/// The change that an entry carries; `None` for an entry of another kind.
///
/// # Errors
/// What cannot be read.
pub fn change_of(entry: &Entry) -> Result<Option<ConfChangeV2>, String> {
    match entry.get_entry_type() {
        EntryType::EntryNormal => Ok(None),
        EntryType::EntryConfChangeV2 => ConfChangeV2::parse_from_bytes(&entry.data)
            .map(Some)
            .map_err(|error| format!("has a change that nobody can read: {error}")),
        EntryType::EntryConfChange => Err(format!("has a change of the first version: {entry:?}")),
    }
}

/// A change of the library in the vocabulary; `None` if it has no word for it.
fn from_raft_change(change: &ConfChangeV2) -> Option<ConfChange> {
    let single = |change: &RaftChange| {
        let id = ServerId::new(change.node_id)?;
        Some(match change.get_change_type() {
            ConfChangeType::AddNode => ConfChangeSingle::AddVoter(id),
            ConfChangeType::AddLearnerNode => ConfChangeSingle::AddLearner(id),
            ConfChangeType::RemoveNode => ConfChangeSingle::Remove(id),
        })
    };
    let changes: Option<Vec<_>> = change.get_changes().iter().map(single).collect();
    let known = change.context.iter().all(|byte| *byte == FILLER);
    known.then_some(ConfChange {
        changes: changes?.into(),
        transition: match change.get_transition() {
            ConfChangeTransition::Auto => Transition::Auto,
            ConfChangeTransition::Implicit => Transition::Implicit,
            ConfChangeTransition::Explicit => Transition::Explicit,
        },
    })
}

/// The library's form of a configuration.
pub fn conf_state(of: &Configuration) -> ConfState {
    let Configuration {
        voters,
        outgoing,
        learners,
        learners_next,
        auto_leave,
    } = of;
    let ids = |set: &BTreeSet<ServerId>| set.iter().map(|id| id.get()).collect::<Vec<_>>();
    ConfState {
        voters: ids(voters),
        learners: ids(learners),
        voters_outgoing: ids(outgoing),
        learners_next: ids(learners_next),
        auto_leave: *auto_leave,
        ..ConfState::default()
    }
}

/// A configuration of the library in the vocabulary.
pub fn configuration(of: &ConfState) -> Configuration {
    let set = |ids: &[u64]| ids.iter().filter_map(|id| ServerId::new(*id)).collect();
    Configuration {
        voters: set(&of.voters),
        outgoing: set(&of.voters_outgoing),
        learners: set(&of.learners),
        learners_next: set(&of.learners_next),
        auto_leave: of.auto_leave,
    }
}

/// A snapshot of the library in the vocabulary.
///
/// # Errors
/// If no application made it.
pub fn snapshot_from_raft(of: &Snapshot) -> Result<vocabulary::Snapshot, String> {
    let meta = of.get_metadata();
    if of.data.as_ref() != snapshot_data(meta.index).as_slice() {
        return Err(format!("has a snapshot that no application made: {of:?}"));
    }
    Ok(vocabulary::Snapshot {
        index: Index(meta.index),
        term: Term(meta.term),
        configuration: configuration(meta.get_conf_state()),
    })
}

/// The vocabulary's form of a message that server `sender` sent. Fields that it does not have are dropped where the dialect says
/// so, which is counted.
///
/// # Errors
/// What the vocabulary cannot express.
pub fn from_raft(
    mut m: Message,
    sender: ServerId,
    uses: &Uses,
) -> Result<vocabulary::Message, String> {
    let text = format!("{m:?}");
    let inexpressible = || format!("sent a message that the vocabulary cannot express: {text}");
    let server = |id| ServerId::new(id).ok_or_else(inexpressible);
    let (from, to, term) = (m.from, server(m.to)?, Term(m.term));
    (m.from, m.to, m.term) = (0, 0, 0);

    // What is taken out of the message is expressed; what is left at the end is not.
    let take_commit = |m: &mut Message| {
        if m.commit != 0 || m.commit_term != 0 {
            uses.count(match m.get_msg_type() {
                MessageType::MsgAppendResponse | MessageType::MsgHeartbeatResponse => {
                    Normalisation::CommitInAcknowledgements
                }
                _ => Normalisation::CommitInVotes,
            });
        }
        (m.commit, m.commit_term) = (0, 0);
    };
    let body = match m.get_msg_type() {
        kind @ (MessageType::MsgRequestVote | MessageType::MsgRequestPreVote) => {
            take_commit(&mut m);
            let last_index = Index(std::mem::take(&mut m.index));
            let last_term = Term(std::mem::take(&mut m.log_term));
            if kind == MessageType::MsgRequestVote {
                Body::RequestVote {
                    last_index,
                    last_term,
                    transfer: m.take_context().as_ref() == CAMPAIGN_TRANSFER,
                }
            } else {
                Body::RequestPreVote {
                    last_index,
                    last_term,
                }
            }
        }
        kind @ (MessageType::MsgRequestVoteResponse | MessageType::MsgRequestPreVoteResponse) => {
            take_commit(&mut m);
            let granted = !std::mem::take(&mut m.reject);
            if kind == MessageType::MsgRequestVoteResponse {
                Body::RequestVoteResponse { granted }
            } else {
                Body::RequestPreVoteResponse { granted }
            }
        }
        MessageType::MsgAppend => {
            let prev_index = std::mem::take(&mut m.index);
            let entries: Vec<Entry> = m.take_entries().into();
            Body::AppendEntries {
                prev_index: Index(prev_index),
                prev_term: Term(std::mem::take(&mut m.log_term)),
                entries: log_from_raft(&entries, prev_index + 1)?,
                commit: Index(std::mem::take(&mut m.commit)),
            }
        }
        MessageType::MsgAppendResponse => {
            take_commit(&mut m);
            let rejected = std::mem::take(&mut m.reject).then(|| RejectHint {
                index: Index(std::mem::take(&mut m.reject_hint)),
                term: Term(std::mem::take(&mut m.log_term)),
            });
            Body::AppendEntriesResponse {
                index: Index(std::mem::take(&mut m.index)),
                rejected,
            }
        }
        MessageType::MsgHeartbeat => Body::Heartbeat {
            commit: Index(std::mem::take(&mut m.commit)),
        },
        MessageType::MsgHeartbeatResponse => {
            take_commit(&mut m);
            Body::HeartbeatResponse
        }
        MessageType::MsgTimeoutNow => Body::TimeoutNow,
        MessageType::MsgTransferLeader => Body::TransferLeader {
            transferee: server(from)?,
        },
        MessageType::MsgPropose => {
            let entries: Vec<Entry> = m.take_entries().into();
            let payload = |entry: &Entry| match (entry.index, entry.term) {
                (0, 0) => entry_from_raft(entry).map(|entry| entry.payload),
                _ => Err(inexpressible()),
            };
            Body::Propose {
                payloads: entries.iter().map(payload).collect::<Result<_, _>>()?,
            }
        }
        MessageType::MsgSnapshot => Body::InstallSnapshot {
            snapshot: snapshot_from_raft(&m.take_snapshot())?,
        },
        _ => return Err(inexpressible()),
    };
    // A request to transfer comes in the name of the server that is to lead, and a proposal in that of the one at which it
    // was made, or of nobody; nobody looks at the latter.
    let passed_on = matches!(body, Body::TransferLeader { .. } | Body::Propose { .. });
    if !passed_on && from != sender.get() {
        return Err(inexpressible());
    }
    m.set_msg_type(MessageType::default());
    if m.get_snapshot() == &Snapshot::default() {
        m.clear_snapshot();
    }
    if m != Message::default() {
        return Err(inexpressible());
    }
    Ok(vocabulary::Message {
        from: sender,
        to,
        term,
        body,
    })
}

/// Consecutive entries, the first of which must have the index `first`.
///
/// # Errors
/// What the vocabulary cannot express.
pub fn log_from_raft(entries: &[Entry], first: u64) -> Result<Vec<vocabulary::Entry>, String> {
    let one = |(entry, index): (&Entry, u64)| {
        if entry.index == index {
            entry_from_raft(entry)
        } else {
            Err(format!(
                "has an entry at index {index} that says otherwise: {entry:?}"
            ))
        }
    };
    entries.iter().zip(first..).map(one).collect()
}

/// An entry without its index.
///
/// # Errors
/// What the vocabulary cannot express.
pub fn entry_from_raft(entry: &Entry) -> Result<vocabulary::Entry, String> {
    let payload = match change_of(entry)? {
        Some(change) => from_raft_change(&change).map(Payload::ConfChange),
        None => match std::str::from_utf8(&entry.data) {
            Ok("") => Some(Payload::Empty),
            Ok(digits) => digits.parse().ok().map(Payload::Value),
            Err(_) => None,
        },
    };
    let mut rest = entry.clone();
    (rest.term, rest.index) = (0, 0);
    rest.set_entry_type(EntryType::default());
    rest.data.clear();
    match payload {
        // What is left is not expressed.
        Some(payload) if rest == Entry::default() => Ok(vocabulary::Entry {
            term: Term(entry.term),
            payload,
        }),
        _ => Err(format!(
            "has an entry that the vocabulary cannot express: {entry:?}"
        )),
    }
}

//! Messages of the vocabulary to and from those of the library.

use super::dialect::{Normalisation, Uses};
use lockstep_traces as vocabulary;
use lockstep_traces::{Body, Index, Payload, RejectHint, ServerId, Term};
use raft::eraftpb::{Entry, Message, MessageType, Snapshot};

/// The mark of a request for votes that the leader asked for; its name in the library is private.
const CAMPAIGN_TRANSFER: &[u8] = b"CampaignTransfer";

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
                    data: payload_data(&entry.payload).into(),
                    ..Entry::default()
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
        Body::Heartbeat { commit, round: _ } => {
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
            let entry = |payload: &Payload| Entry {
                data: payload_data(payload).into(),
                ..Entry::default()
            };
            out.entries = payloads.iter().map(entry).collect();
        }
        Body::InstallSnapshot { snapshot } => {
            out.set_msg_type(MessageType::MsgSnapshot);
            let meta = out.mut_snapshot().mut_metadata();
            (meta.index, meta.term) = (snapshot.index.0, snapshot.term.0);
            let voters = &snapshot.configuration.voters;
            meta.mut_conf_state().voters = voters.iter().map(|id| id.get()).collect();
        }
        // Nobody reads: `lacks` says so.
        Body::RoundResponse { .. } | Body::ReadIndex { .. } | Body::ReadIndexResponse { .. } => {}
    }
    out
}

/// The bytes that an entry carries.
pub fn payload_data(payload: &Payload) -> Vec<u8> {
    match payload {
        // Nobody proposes a change to it: `lacks` says so.
        Payload::Empty | Payload::ConfChange(_) => Vec::new(),
        Payload::Value(value) => value.to_string().into_bytes(),
    }
}

/// The vocabulary's form of a message. Fields that it does not have are dropped where the dialect says
/// so, which is counted.
///
/// # Errors
/// What the vocabulary cannot express.
pub fn from_raft(mut m: Message, uses: &Uses) -> Result<vocabulary::Message, String> {
    let text = format!("{m:?}");
    let inexpressible = || format!("sent a message that the vocabulary cannot express: {text}");
    let server = |id| ServerId::new(id).ok_or_else(inexpressible);
    let (from, to, term) = (server(m.from)?, server(m.to)?, Term(m.term));
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
            round: 0,
        },
        MessageType::MsgHeartbeatResponse => {
            take_commit(&mut m);
            Body::HeartbeatResponse
        }
        _ => return Err(inexpressible()),
    };
    m.set_msg_type(MessageType::default());
    if m.get_snapshot() == &Snapshot::default() {
        m.clear_snapshot();
    }
    if m != Message::default() {
        return Err(inexpressible());
    }
    Ok(vocabulary::Message {
        from,
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
    let payload = match std::str::from_utf8(&entry.data) {
        Ok("") => Some(Payload::Empty),
        Ok(digits) => digits.parse().ok().map(Payload::Value),
        Err(_) => None,
    };
    let mut rest = entry.clone();
    (rest.term, rest.index) = (0, 0);
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

//! Messages: which fields of `raftpb` each kind uses.

use bytes::Bytes;

use super::{Wire, WireError, non_empty, optional_server, raftpb, server};
use crate::types::{
    Body, Entry, EntryId, HardState, Index, Message, MessageKind, NodeId, Rejection, Snapshot,
    StorageAppend, Term,
};

/// The context by which a vote request says that a leader asked for the campaign.
const CAMPAIGN_TRANSFER: &[u8] = b"CampaignTransfer";

/// The kinds of `raftpb` that a server sends to itself: `MsgHup`, `MsgBeat`, `MsgUnreachable`,
/// `MsgSnapStatus` and `MsgCheckQuorum`. Here they are calls, and no messages.
const TO_ITSELF: [i32; 5] = [0, 1, 10, 11, 12];

/// Both directions from one table; the compiler sees to it that no kind is missing.
macro_rules! wire_numbers {
    ($($kind:ident = $number:literal,)+) => {
        impl MessageKind {
            /// The number of the kind on the wire, as in etcd's `raftpb.MessageType`.
            pub const fn wire_number(self) -> i32 {
                match self {
                    $(MessageKind::$kind => $number,)+
                }
            }

            /// The kind with this number on the wire.
            pub const fn from_wire_number(number: i32) -> Option<MessageKind> {
                match number {
                    $($number => Some(MessageKind::$kind),)+
                    _ => None,
                }
            }
        }
    };
}

wire_numbers! {
    Propose = 2,
    AppendEntries = 3,
    AppendEntriesResponse = 4,
    RequestVote = 5,
    RequestVoteResponse = 6,
    InstallSnapshot = 7,
    Heartbeat = 8,
    HeartbeatResponse = 9,
    TransferLeader = 13,
    TimeoutNow = 14,
    ReadIndex = 15,
    ReadIndexResponse = 16,
    RequestPreVote = 17,
    RequestPreVoteResponse = 18,
    StorageAppend = 19,
    StorageAppendResponse = 20,
    StorageApply = 21,
    StorageApplyResponse = 22,
    ForgetLeader = 23,
}

/// The storage append message has one set of fields for its own term and that of the hard state. As
/// in etcd they are those of the hard state, or zero if it has not changed; so is
/// [`Message::term`] after decoding.
impl Wire for Message {
    type Raw = raftpb::Message;

    fn to_raw(&self) -> raftpb::Message {
        let mut raw = blank(self.kind());
        raw.to = Some(self.to.get());
        raw.from = Some(self.from.get());
        raw.term = Some(self.term.0);
        match &self.body {
            Body::TransferLeader | Body::TimeoutNow | Body::ForgetLeader => {}
            Body::Propose { entries } | Body::StorageApplyResponse { entries } => {
                raw.entries = entries_to_raw(entries);
            }
            Body::AppendEntries {
                prev,
                entries,
                commit,
            } => {
                set_id(&mut raw, *prev);
                raw.entries = entries_to_raw(entries);
                raw.commit = Some(commit.0);
            }
            Body::AppendEntriesResponse { index, rejection } => {
                raw.index = Some(index.0);
                if let Some(rejection) = rejection {
                    raw.reject = Some(true);
                    raw.reject_hint = Some(rejection.hint_index.0);
                    raw.log_term = Some(rejection.hint_term.0);
                }
            }
            Body::RequestVote { last, force } => {
                set_id(&mut raw, *last);
                raw.context = force.then(|| Bytes::from_static(CAMPAIGN_TRANSFER));
            }
            Body::RequestPreVote { last } => set_id(&mut raw, *last),
            Body::RequestVoteResponse { granted } | Body::RequestPreVoteResponse { granted } => {
                raw.reject = Some(!granted);
            }
            Body::InstallSnapshot { snapshot } => raw.snapshot = Some(snapshot.to_raw()),
            Body::Heartbeat { commit, context } => {
                raw.commit = Some(commit.0);
                raw.context = non_empty(context);
            }
            Body::HeartbeatResponse { context } => raw.context = non_empty(context),
            Body::ReadIndex { context } => raw.entries = vec![context_to_raw(context)],
            Body::ReadIndexResponse { index, context } => {
                raw.index = Some(index.0);
                raw.entries = vec![context_to_raw(context)];
            }
            Body::StorageAppend(append) => {
                let StorageAppend {
                    hard_state,
                    entries,
                    snapshot,
                    responses,
                } = &**append;
                let hard_state = hard_state.unwrap_or_default();
                raw.term = Some(hard_state.term.0);
                raw.vote = Some(hard_state.vote.map_or(0, NodeId::get));
                raw.commit = Some(hard_state.commit.0);
                raw.entries = entries_to_raw(entries);
                raw.snapshot = snapshot.as_ref().map(Wire::to_raw);
                raw.responses = responses.iter().map(Wire::to_raw).collect();
            }
            Body::StorageAppendResponse { last, snapshot } => {
                set_id(&mut raw, last.unwrap_or_default());
                raw.snapshot = snapshot.as_deref().map(Wire::to_raw);
            }
            Body::StorageApply { entries, responses } => {
                raw.entries = entries_to_raw(entries);
                raw.responses = responses.iter().map(Wire::to_raw).collect();
            }
        }
        raw
    }

    fn from_raw(raw: raftpb::Message) -> Result<Message, WireError> {
        let number = raw.r#type.unwrap_or_default();
        let kind = match MessageKind::from_wire_number(number) {
            Some(kind) => kind,
            None if TO_ITSELF.contains(&number) => return Err(WireError::ToItself(number)),
            None => {
                return Err(WireError::Unknown {
                    what: "type of message",
                    value: number,
                });
            }
        };
        Ok(Message {
            from: server(raw.from, "the sender")?,
            to: server(raw.to, "the addressee")?,
            term: Term(raw.term.unwrap_or_default()),
            body: body_from_raw(kind, raw)?,
        })
    }
}

fn body_from_raw(kind: MessageKind, raw: raftpb::Message) -> Result<Body, WireError> {
    let index = Index(raw.index.unwrap_or_default());
    let id = EntryId::new(Term(raw.log_term.unwrap_or_default()), index);
    let commit = Index(raw.commit.unwrap_or_default());
    let reject = raw.reject.unwrap_or_default();
    Ok(match kind {
        MessageKind::TransferLeader => Body::TransferLeader,
        MessageKind::TimeoutNow => Body::TimeoutNow,
        MessageKind::ForgetLeader => Body::ForgetLeader,
        MessageKind::Propose => Body::Propose {
            entries: entries_from_raw(raw.entries)?,
        },
        MessageKind::AppendEntries => Body::AppendEntries {
            prev: id,
            entries: entries_from_raw(raw.entries)?,
            commit,
        },
        MessageKind::AppendEntriesResponse => Body::AppendEntriesResponse {
            index,
            rejection: reject.then_some(Rejection {
                hint_index: Index(raw.reject_hint.unwrap_or_default()),
                hint_term: id.term,
            }),
        },
        MessageKind::RequestVote => Body::RequestVote {
            last: id,
            force: raw
                .context
                .is_some_and(|context| context == CAMPAIGN_TRANSFER),
        },
        MessageKind::RequestPreVote => Body::RequestPreVote { last: id },
        MessageKind::RequestVoteResponse => Body::RequestVoteResponse { granted: !reject },
        MessageKind::RequestPreVoteResponse => Body::RequestPreVoteResponse { granted: !reject },
        MessageKind::InstallSnapshot => Body::InstallSnapshot {
            snapshot: Box::new(Snapshot::from_raw(raw.snapshot.unwrap_or_default())?),
        },
        MessageKind::Heartbeat => Body::Heartbeat {
            commit,
            context: raw.context.unwrap_or_default(),
        },
        MessageKind::HeartbeatResponse => Body::HeartbeatResponse {
            context: raw.context.unwrap_or_default(),
        },
        MessageKind::ReadIndex => Body::ReadIndex {
            context: context_from_raw(kind, raw.entries)?,
        },
        MessageKind::ReadIndexResponse => Body::ReadIndexResponse {
            index,
            context: context_from_raw(kind, raw.entries)?,
        },
        MessageKind::StorageAppend => {
            let hard_state = HardState {
                term: Term(raw.term.unwrap_or_default()),
                vote: optional_server(raw.vote),
                commit,
            };
            Body::StorageAppend(Box::new(StorageAppend {
                hard_state: (!hard_state.is_empty()).then_some(hard_state),
                entries: entries_from_raw(raw.entries)?,
                snapshot: snapshot_from_raw(raw.snapshot)?,
                responses: responses_from_raw(raw.responses)?,
            }))
        }
        MessageKind::StorageAppendResponse => Body::StorageAppendResponse {
            last: (id != EntryId::ZERO).then_some(id),
            snapshot: snapshot_from_raw(raw.snapshot)?.map(Box::new),
        },
        MessageKind::StorageApply => Body::StorageApply {
            entries: entries_from_raw(raw.entries)?,
            responses: responses_from_raw(raw.responses)?,
        },
        MessageKind::StorageApplyResponse => Body::StorageApplyResponse {
            entries: entries_from_raw(raw.entries)?,
        },
    })
}

/// A message of this kind in which every number and flag is an explicit zero.
fn blank(kind: MessageKind) -> raftpb::Message {
    raftpb::Message {
        r#type: Some(kind.wire_number()),
        to: Some(0),
        from: Some(0),
        term: Some(0),
        log_term: Some(0),
        index: Some(0),
        entries: Vec::new(),
        commit: Some(0),
        snapshot: None,
        reject: Some(false),
        reject_hint: Some(0),
        context: None,
        vote: Some(0),
        responses: Vec::new(),
    }
}

fn set_id(raw: &mut raftpb::Message, id: EntryId) {
    raw.log_term = Some(id.term.0);
    raw.index = Some(id.index.0);
}

fn entries_to_raw(entries: &[Entry]) -> Vec<raftpb::Entry> {
    entries.iter().map(Wire::to_raw).collect()
}

fn entries_from_raw(entries: Vec<raftpb::Entry>) -> Result<Vec<Entry>, WireError> {
    entries.into_iter().map(Entry::from_raw).collect()
}

fn responses_from_raw(responses: Vec<raftpb::Message>) -> Result<Vec<Message>, WireError> {
    responses.into_iter().map(Message::from_raw).collect()
}

/// An empty snapshot is none: old versions of etcd put one into messages that need none.
fn snapshot_from_raw(raw: Option<raftpb::Snapshot>) -> Result<Option<Snapshot>, WireError> {
    let snapshot = raw.map(Snapshot::from_raw).transpose()?;
    Ok(snapshot.filter(|snapshot| !snapshot.is_empty()))
}

/// The context of a read travels as the payload of an entry that is no entry.
fn context_to_raw(context: &Bytes) -> raftpb::Entry {
    let carrier = Entry {
        data: context.clone(),
        ..Entry::default()
    };
    carrier.to_raw()
}

fn context_from_raw(kind: MessageKind, entries: Vec<raftpb::Entry>) -> Result<Bytes, WireError> {
    match <[raftpb::Entry; 1]>::try_from(entries) {
        Ok([carrier]) => Ok(carrier.data.unwrap_or_default()),
        Err(entries) => Err(WireError::Context {
            kind,
            entries: entries.len(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_have_the_numbers_of_raftpb() {
        for number in 0..24 {
            match MessageKind::from_wire_number(number) {
                Some(kind) => assert_eq!(kind.wire_number(), number),
                None => assert!(TO_ITSELF.contains(&number), "{number}"),
            }
        }
        assert_eq!(MessageKind::from_wire_number(24), None);
        assert_eq!(MessageKind::from_wire_number(-1), None);
    }
}

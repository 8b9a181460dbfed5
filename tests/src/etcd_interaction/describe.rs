//! The form in which the scripts show entries, messages, states and snapshots.

use std::fmt::Write;

use lockstep_raft::{
    Body, ConfChangeKind, ConfChangeSingle, ConfState, Entry, EntryId, EntryKind, HardState, Index,
    Message, MessageKind, NodeId, Ready, Role, Snapshot, SoftState, StorageAppend, Term, wire,
};

use super::go_text::{list, quote};

/// A server's number, zero for none: in messages and states as decimal, in log lines as hexadecimal.
pub(super) fn number(id: Option<NodeId>) -> u64 {
    id.map_or(0, NodeId::get)
}

pub(super) fn role(role: Role) -> &'static str {
    match role {
        Role::Follower => "StateFollower",
        Role::PreCandidate => "StatePreCandidate",
        Role::Candidate => "StateCandidate",
        Role::Leader => "StateLeader",
    }
}

fn soft_state(state: &SoftState) -> String {
    format!("Lead:{} State:{}", number(state.leader), role(state.role))
}

fn hard_state(state: &HardState) -> String {
    let vote = state
        .vote
        .map_or(String::new(), |vote| format!(" Vote:{}", vote.get()));
    format!("Term:{}{vote} Commit:{}", state.term, state.commit)
}

fn conf_state(state: &ConfState) -> String {
    let ids = |ids: &[NodeId]| list(ids.iter().map(|id| id.get()));
    format!(
        "Voters:{} VotersOutgoing:{} Learners:{} LearnersNext:{} AutoLeave:{}",
        ids(&state.voters),
        ids(&state.voters_outgoing),
        ids(&state.learners),
        ids(&state.learners_next),
        state.auto_leave
    )
}

fn snapshot(snapshot: &Snapshot) -> String {
    let metadata = &snapshot.metadata;
    let conf_state = conf_state(&metadata.conf_state);
    format!(
        "Index:{} Term:{} ConfState:{conf_state}",
        metadata.index, metadata.term
    )
}

pub(super) fn conf_changes(changes: &[ConfChangeSingle]) -> String {
    let change = |change: &ConfChangeSingle| {
        let letter = match change.kind {
            ConfChangeKind::AddNode => 'v',
            ConfChangeKind::AddLearner => 'l',
            ConfChangeKind::RemoveNode => 'r',
            ConfChangeKind::UpdateNode => 'u',
        };
        format!("{letter}{}", number(change.node))
    };
    changes.iter().map(change).collect::<Vec<_>>().join(" ")
}

fn entry(entry: &Entry) -> String {
    let kind = match entry.kind {
        EntryKind::Normal => "EntryNormal",
        EntryKind::ConfChange => "EntryConfChange",
        EntryKind::ConfChangeV2 => "EntryConfChangeV2",
    };
    let content = match wire::conf_change_of(entry) {
        Ok(None) => quote(&entry.data),
        Ok(Some(change)) => conf_changes(&change.changes),
        Err(problem) => problem.to_string(),
    };
    let space = if content.is_empty() { "" } else { " " };
    format!("{}/{} {kind}{space}{content}", entry.term, entry.index)
}

/// Entries, one a line.
pub(super) fn entries(entries: &[Entry]) -> String {
    entries.iter().map(|e| entry(e) + "\n").collect()
}

/// Describes a [`Ready`], part by part.
pub(super) fn ready(ready: &Ready) -> String {
    let mut text = String::new();
    if let Some(state) = &ready.soft_state {
        text += &format!("{}\n", soft_state(state));
    }
    if let Some(state) = &ready.hard_state {
        text += &format!("HardState {}\n", hard_state(state));
    }
    if !ready.read_states.is_empty() {
        let states = ready.read_states.iter().filter_map(|state| {
            Some(format!(
                "{{{} {}}}",
                state.index?,
                list(state.context.iter())
            ))
        });
        text += &format!("ReadStates {}\n", list(states));
    }
    if !ready.entries.is_empty() {
        text += &format!("Entries:\n{}", entries(&ready.entries));
    }
    if let Some(snap) = &ready.snapshot {
        text += &format!("Snapshot {}\n", snapshot(snap));
    }
    if !ready.committed_entries.is_empty() {
        text += &format!("CommittedEntries:\n{}", entries(&ready.committed_entries));
    }
    if !ready.messages.is_empty() {
        text += "Messages:\n";
        for m in &ready.messages {
            text += &message(m);
            text.push('\n');
        }
    }
    if text.is_empty() {
        return "<empty Ready>".to_owned();
    }
    format!("Ready MustSync={}:\n{text}", ready.must_sync)
}

pub(super) fn message_kind(kind: MessageKind) -> &'static str {
    match kind {
        MessageKind::Propose => "MsgProp",
        MessageKind::AppendEntries => "MsgApp",
        MessageKind::AppendEntriesResponse => "MsgAppResp",
        MessageKind::RequestVote => "MsgVote",
        MessageKind::RequestVoteResponse => "MsgVoteResp",
        MessageKind::RequestPreVote => "MsgPreVote",
        MessageKind::RequestPreVoteResponse => "MsgPreVoteResp",
        MessageKind::InstallSnapshot => "MsgSnap",
        MessageKind::Heartbeat => "MsgHeartbeat",
        MessageKind::HeartbeatResponse => "MsgHeartbeatResp",
        MessageKind::ReadIndex => "MsgReadIndex",
        MessageKind::ReadIndexResponse => "MsgReadIndexResp",
        MessageKind::TransferLeader => "MsgTransferLeader",
        MessageKind::TimeoutNow => "MsgTimeoutNow",
        MessageKind::ForgetLeader => "MsgForgetLeader",
        MessageKind::StorageAppend => "MsgStorageAppend",
        MessageKind::StorageAppendResponse => "MsgStorageAppendResp",
        MessageKind::StorageApply => "MsgStorageApply",
        MessageKind::StorageApplyResponse => "MsgStorageApplyResp",
        other => unreachable!("{other:?} has a name in raftpb"),
    }
}

/// The kind with this name, as the `type` argument of a command gives it.
pub(super) fn parse_message_kind(name: &str) -> Option<MessageKind> {
    MESSAGE_KINDS
        .into_iter()
        .find(|kind| message_kind(*kind) == name)
}

const MESSAGE_KINDS: [MessageKind; 19] = [
    MessageKind::Propose,
    MessageKind::AppendEntries,
    MessageKind::AppendEntriesResponse,
    MessageKind::RequestVote,
    MessageKind::RequestVoteResponse,
    MessageKind::RequestPreVote,
    MessageKind::RequestPreVoteResponse,
    MessageKind::InstallSnapshot,
    MessageKind::Heartbeat,
    MessageKind::HeartbeatResponse,
    MessageKind::ReadIndex,
    MessageKind::ReadIndexResponse,
    MessageKind::TransferLeader,
    MessageKind::TimeoutNow,
    MessageKind::ForgetLeader,
    MessageKind::StorageAppend,
    MessageKind::StorageAppendResponse,
    MessageKind::StorageApply,
    MessageKind::StorageApplyResponse,
];

/// A message, without a newline at its end; it takes several lines if it carries several entries, a
/// snapshot or responses.
pub(super) fn message(message: &Message) -> String {
    message_indented("", message)
}

/// A message to a storage thread without the responses that it carries.
pub(super) fn message_without_responses(message: &Message) -> String {
    let fields = Fields {
        responses: &[],
        ..Fields::of(message)
    };
    fields.describe("", message)
}

fn message_indented(indent: &str, message: &Message) -> String {
    Fields::of(message).describe(indent, message)
}

fn address(id: NodeId) -> String {
    match id {
        NodeId::APPEND_THREAD => "AppendThread".to_owned(),
        NodeId::APPLY_THREAD => "ApplyThread".to_owned(),
        id => format!("{:x}", id.get()),
    }
}

/// The fields of a message in the flat form in which the scripts show it, where every kind of message
/// has all of them.
#[derive(Default)]
struct Fields<'a> {
    term: Term,
    log: EntryId,
    /// The hint, if the message is a refusal.
    refused: Option<Index>,
    commit: Index,
    vote: u64,
    entries: Vec<Entry>,
    snapshot: Option<&'a Snapshot>,
    responses: &'a [Message],
}

impl<'a> Fields<'a> {
    fn of(message: &'a Message) -> Fields<'a> {
        let blank = Fields {
            term: message.term,
            ..Fields::default()
        };
        let refused_unless = |granted: bool| (!granted).then_some(Index::ZERO);
        let context_entry =
            |context: &bytes::Bytes| vec![Entry::proposal(EntryKind::Normal, context.clone())];
        match &message.body {
            Body::Propose { entries } => Fields {
                entries: entries.clone(),
                ..blank
            },
            Body::AppendEntries {
                prev,
                entries,
                commit,
            } => Fields {
                log: *prev,
                entries: entries.clone(),
                commit: *commit,
                ..blank
            },
            Body::AppendEntriesResponse { index, rejection } => Fields {
                log: EntryId::new(rejection.map_or(Term::ZERO, |r| r.hint_term), *index),
                refused: rejection.map(|r| r.hint_index),
                ..blank
            },
            Body::RequestVote { last, .. } | Body::RequestPreVote { last } => Fields {
                log: *last,
                ..blank
            },
            Body::RequestVoteResponse { granted } | Body::RequestPreVoteResponse { granted } => {
                Fields {
                    refused: refused_unless(*granted),
                    ..blank
                }
            }
            Body::InstallSnapshot { snapshot } => Fields {
                snapshot: Some(snapshot),
                ..blank
            },
            Body::Heartbeat { commit, .. } => Fields {
                commit: *commit,
                ..blank
            },
            Body::ReadIndex { context } => Fields {
                entries: context_entry(context),
                ..blank
            },
            Body::ReadIndexResponse { index, context } => Fields {
                log: EntryId::new(Term::ZERO, *index),
                entries: context_entry(context),
                ..blank
            },
            Body::StorageAppend(append) => {
                let StorageAppend {
                    hard_state,
                    entries,
                    snapshot,
                    responses,
                } = &**append;
                let state = hard_state.unwrap_or_default();
                Fields {
                    term: state.term,
                    commit: state.commit,
                    vote: number(state.vote),
                    entries: entries.clone(),
                    snapshot: snapshot.as_ref(),
                    responses,
                    ..blank
                }
            }
            Body::StorageAppendResponse { last, snapshot } => Fields {
                log: last.unwrap_or(EntryId::ZERO),
                snapshot: snapshot.as_deref(),
                ..blank
            },
            Body::StorageApply { entries, responses } => Fields {
                entries: entries.clone(),
                responses,
                ..blank
            },
            Body::StorageApplyResponse { entries } => Fields {
                entries: entries.clone(),
                ..blank
            },
            Body::HeartbeatResponse { .. }
            | Body::TransferLeader
            | Body::TimeoutNow
            | Body::ForgetLeader => blank,
            other => unreachable!("{other:?} has fields in raftpb"),
        }
    }

    fn describe(&self, indent: &str, message: &Message) -> String {
        let mut text = format!(
            "{indent}{}->{} {} Term:{} Log:{}/{}",
            address(message.from),
            address(message.to),
            message_kind(message.kind()),
            self.term,
            self.log.term,
            self.log.index
        );
        self.describe_optional(indent, &mut text)
            .expect("writing to a string succeeds");
        text
    }

    fn describe_optional(&self, indent: &str, text: &mut String) -> std::fmt::Result {
        if let Some(hint) = self.refused {
            write!(text, " Rejected (Hint: {hint})")?;
        }
        if !self.commit.is_zero() {
            write!(text, " Commit:{}", self.commit)?;
        }
        if self.vote != 0 {
            write!(text, " Vote:{}", self.vote)?;
        }
        match self.entries.as_slice() {
            [] => {}
            [only] => write!(text, " Entries:[{}]", entry(only))?,
            several => {
                write!(text, " Entries:[")?;
                for e in several {
                    write!(text, "\n{indent}  {}", entry(e))?;
                }
                write!(text, "\n{indent}]")?;
            }
        }
        if let Some(snap) = self.snapshot.filter(|snapshot| !snapshot.is_empty()) {
            write!(text, "\n{indent}  Snapshot: {}", snapshot(snap))?;
        }
        if !self.responses.is_empty() {
            write!(text, " Responses:[")?;
            for response in self.responses {
                write!(
                    text,
                    "\n{}",
                    message_indented(&format!("{indent}  "), response)
                )?;
            }
            write!(text, "\n{indent}]")?;
        }
        Ok(())
    }
}

//! Messages, entries and configurations in the words of the format.

use crate::digest::digest;
use lockstep_raft::{
    Body, ConfChangeKind, ConfChangeV2, ConfState, Entry, EntryKind, Message, NodeId, Role,
    Transition, wire,
};
use serde::ser::{SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant};
use serde::{Serialize, Serializer};

/// The number of a server, zero for nobody.
pub(crate) fn number(id: Option<NodeId>) -> u64 {
    id.map_or(0, NodeId::get)
}

pub(crate) fn role(role: Role) -> &'static str {
    match role {
        Role::Follower => "follower",
        Role::PreCandidate => "pre_candidate",
        Role::Candidate => "candidate",
        Role::Leader => "leader",
    }
}

/// A message.
pub(crate) struct Said<'a>(pub(crate) &'a Message);

impl Serialize for Said<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_struct("Message", 4)?;
        out.serialize_field("from", &self.0.from.get())?;
        out.serialize_field("to", &self.0.to.get())?;
        out.serialize_field("term", &self.0.term.get())?;
        out.serialize_field("body", &Content(self.0))?;
        out.end()
    }
}

struct Content<'a>(&'a Message);

impl Serialize for Content<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0.body {
            Body::RequestVote { last, force } => {
                let mut out = serializer.serialize_struct_variant("Body", 0, "request_vote", 3)?;
                out.serialize_field("last_index", &last.index.get())?;
                out.serialize_field("last_term", &last.term.get())?;
                if *force {
                    out.serialize_field("transfer", force)?;
                }
                out.end()
            }
            Body::RequestVoteResponse { granted } => {
                let name = "request_vote_response";
                one(serializer, name, "granted", granted)
            }
            Body::RequestPreVote { last } => {
                let mut out =
                    serializer.serialize_struct_variant("Body", 0, "request_pre_vote", 2)?;
                out.serialize_field("last_index", &last.index.get())?;
                out.serialize_field("last_term", &last.term.get())?;
                out.end()
            }
            Body::RequestPreVoteResponse { granted } => {
                let name = "request_pre_vote_response";
                one(serializer, name, "granted", granted)
            }
            Body::AppendEntries {
                prev,
                entries,
                commit,
            } => {
                let mut out =
                    serializer.serialize_struct_variant("Body", 0, "append_entries", 4)?;
                out.serialize_field("prev_index", &prev.index.get())?;
                out.serialize_field("prev_term", &prev.term.get())?;
                out.serialize_field("entries", &Entries(entries))?;
                out.serialize_field("commit", &commit.get())?;
                out.end()
            }
            Body::AppendEntriesResponse { index, rejection } => {
                let rejected = rejection.map(|it| Hint {
                    index: it.hint_index.get(),
                    term: it.hint_term.get(),
                });
                let name = "append_entries_response";
                let mut out = serializer.serialize_struct_variant("Body", 0, name, 2)?;
                out.serialize_field("index", &index.get())?;
                out.serialize_field("rejected", &rejected)?;
                out.end()
            }
            Body::Heartbeat { commit, context } => {
                let mut out = serializer.serialize_struct_variant("Body", 0, "heartbeat", 2)?;
                out.serialize_field("commit", &commit.get())?;
                out.serialize_field("round", &round(context))?;
                out.end()
            }
            Body::HeartbeatResponse { context } => match round(context) {
                0 => serializer.serialize_unit_variant("Body", 0, "heartbeat_response"),
                round => one(serializer, "round_response", "round", &round),
            },
            Body::TimeoutNow => serializer.serialize_unit_variant("Body", 0, "timeout_now"),
            Body::TransferLeader => {
                let transferee = self.0.from.get();
                one(serializer, "transfer_leader", "transferee", &transferee)
            }
            Body::Propose { entries } => one(serializer, "propose", "payloads", &Payloads(entries)),
            Body::InstallSnapshot { snapshot } => {
                let metadata = &snapshot.metadata;
                let snapshot = Last {
                    index: metadata.index.get(),
                    term: metadata.term.get(),
                    configuration: Members(&metadata.conf_state),
                };
                one(serializer, "install_snapshot", "snapshot", &snapshot)
            }
            Body::ReadIndex { context } => {
                let mut out = serializer.serialize_struct_variant("Body", 0, "read_index", 2)?;
                out.serialize_field("origin", &self.0.from.get())?;
                out.serialize_field("context", &digest(context))?;
                out.end()
            }
            Body::ReadIndexResponse { index, context } => {
                let name = "read_index_response";
                let mut out = serializer.serialize_struct_variant("Body", 0, name, 2)?;
                out.serialize_field("context", &digest(context))?;
                out.serialize_field("index", &index.get())?;
                out.end()
            }
            other => {
                let kind = format!("{:?}", other.kind());
                serializer.serialize_newtype_variant("Body", 0, "other", &kind)
            }
        }
    }
}

fn one<S: Serializer, T: Serialize>(
    serializer: S,
    name: &'static str,
    field: &'static str,
    value: &T,
) -> Result<S::Ok, S::Error> {
    let mut out = serializer.serialize_struct_variant("Body", 0, name, 1)?;
    out.serialize_field(field, value)?;
    out.end()
}

/// The round of reads that a heartbeat belongs to: zero for none, and a digest for a context that is no number of a round.
fn round(context: &[u8]) -> u64 {
    match <[u8; 8]>::try_from(context) {
        Ok(bytes) => u64::from_be_bytes(bytes),
        Err(_) if context.is_empty() => 0,
        Err(_) => digest(context),
    }
}

#[derive(Serialize)]
struct Hint {
    index: u64,
    term: u64,
}

#[derive(Serialize)]
struct Last<'a> {
    index: u64,
    term: u64,
    configuration: Members<'a>,
}

/// Entries of a log.
pub(crate) struct Entries<'a>(pub(crate) &'a [Entry]);

impl Serialize for Entries<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_seq(Some(self.0.len()))?;
        for entry in self.0 {
            out.serialize_element(&Placed(entry))?;
        }
        out.end()
    }
}

struct Placed<'a>(&'a Entry);

impl Serialize for Placed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_struct("Entry", 2)?;
        out.serialize_field("term", &self.0.term.get())?;
        out.serialize_field("payload", &Payload(self.0))?;
        out.end()
    }
}

/// The payloads of entries that have no place yet.
pub(crate) struct Payloads<'a>(pub(crate) &'a [Entry]);

impl Serialize for Payloads<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_seq(Some(self.0.len()))?;
        for entry in self.0 {
            out.serialize_element(&Payload(entry))?;
        }
        out.end()
    }
}

struct Payload<'a>(&'a Entry);

impl Serialize for Payload<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let entry = self.0;
        if entry.kind != EntryKind::Normal {
            let change = wire::conf_change_of(entry).ok().flatten();
            return match change.as_ref().filter(|it| has_words(it)) {
                Some(change) => serializer.serialize_newtype_variant(
                    "Payload",
                    0,
                    "conf_change",
                    &Change(change),
                ),
                None => {
                    let digest = digest(&entry.data);
                    serializer.serialize_newtype_variant("Payload", 0, "other", &digest)
                }
            };
        }
        match entry.data.is_empty() {
            true => serializer.serialize_unit_variant("Payload", 0, "empty"),
            false => {
                let digest = digest(&entry.data);
                serializer.serialize_newtype_variant("Payload", 0, "value", &digest)
            }
        }
    }
}

/// Whether the format has words for a change of membership. It has none for changes that change nothing in Raft.
pub(crate) fn has_words(change: &ConfChangeV2) -> bool {
    let mut changes = change.changes.iter();
    changes.all(|it| it.node.is_some() && it.kind != ConfChangeKind::UpdateNode)
}

/// A change of membership.
pub(crate) struct Change<'a>(pub(crate) &'a ConfChangeV2);

impl Serialize for Change<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_map(None)?;
        let changes: Vec<Single> = self.0.changes.iter().map(Single::of).collect();
        out.serialize_entry("changes", &changes)?;
        match self.0.transition {
            Transition::Auto => {}
            Transition::JointImplicit => out.serialize_entry("transition", "implicit")?,
            Transition::JointExplicit => out.serialize_entry("transition", "explicit")?,
        }
        out.end()
    }
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Single {
    AddVoter(u64),
    AddLearner(u64),
    Remove(u64),
    Other(u64),
}

impl Single {
    fn of(change: &lockstep_raft::ConfChangeSingle) -> Single {
        let id = number(change.node);
        match change.kind {
            ConfChangeKind::AddNode => Single::AddVoter(id),
            ConfChangeKind::AddLearner => Single::AddLearner(id),
            ConfChangeKind::RemoveNode => Single::Remove(id),
            ConfChangeKind::UpdateNode => Single::Other(id),
        }
    }
}

/// A configuration.
pub(crate) struct Members<'a>(pub(crate) &'a ConfState);

impl Serialize for Members<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let ConfState {
            voters,
            learners,
            voters_outgoing,
            learners_next,
            auto_leave,
        } = self.0;
        let mut out = serializer.serialize_map(None)?;
        out.serialize_entry("voters", &Names(voters))?;
        let rest = [
            ("outgoing", voters_outgoing),
            ("learners", learners),
            ("learners_next", learners_next),
        ];
        for (name, ids) in rest {
            if !ids.is_empty() {
                out.serialize_entry(name, &Names(ids))?;
            }
        }
        if *auto_leave {
            out.serialize_entry("auto_leave", auto_leave)?;
        }
        out.end()
    }
}

/// Servers.
pub(crate) struct Names<'a>(pub(crate) &'a [NodeId]);

impl Serialize for Names<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|id| id.get()))
    }
}

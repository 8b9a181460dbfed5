//! Entries, snapshots and states.

use super::{Wire, WireError, non_empty, optional_server, raftpb, server};
use crate::types::{
    ConfState, Entry, EntryKind, HardState, Index, NodeId, Snapshot, SnapshotMetadata, Term,
};

impl Wire for Entry {
    type Raw = raftpb::Entry;

    fn to_raw(&self) -> raftpb::Entry {
        let kind = match self.kind {
            EntryKind::Normal => 0,
            EntryKind::ConfChange => 1,
            EntryKind::ConfChangeV2 => 2,
        };
        raftpb::Entry {
            r#type: Some(kind),
            term: Some(self.term.0),
            index: Some(self.index.0),
            data: non_empty(&self.data),
        }
    }

    fn from_raw(raw: raftpb::Entry) -> Result<Entry, WireError> {
        let kind = match raw.r#type.unwrap_or_default() {
            0 => EntryKind::Normal,
            1 => EntryKind::ConfChange,
            2 => EntryKind::ConfChangeV2,
            value => {
                return Err(WireError::Unknown {
                    what: "kind of entry",
                    value,
                });
            }
        };
        Ok(Entry {
            term: Term(raw.term.unwrap_or_default()),
            index: Index(raw.index.unwrap_or_default()),
            kind,
            data: raw.data.unwrap_or_default(),
        })
    }
}

impl Wire for HardState {
    type Raw = raftpb::HardState;

    fn to_raw(&self) -> raftpb::HardState {
        raftpb::HardState {
            term: Some(self.term.0),
            vote: Some(self.vote.map_or(0, NodeId::get)),
            commit: Some(self.commit.0),
        }
    }

    fn from_raw(raw: raftpb::HardState) -> Result<HardState, WireError> {
        Ok(HardState {
            term: Term(raw.term.unwrap_or_default()),
            vote: optional_server(raw.vote),
            commit: Index(raw.commit.unwrap_or_default()),
        })
    }
}

impl Wire for ConfState {
    type Raw = raftpb::ConfState;

    fn to_raw(&self) -> raftpb::ConfState {
        let list = |ids: &[NodeId]| ids.iter().map(|id| id.get()).collect();
        raftpb::ConfState {
            voters: list(&self.voters),
            learners: list(&self.learners),
            voters_outgoing: list(&self.voters_outgoing),
            learners_next: list(&self.learners_next),
            auto_leave: Some(self.auto_leave),
        }
    }

    fn from_raw(raw: raftpb::ConfState) -> Result<ConfState, WireError> {
        let list = |ids: Vec<u64>| {
            ids.into_iter()
                .map(|id| server(Some(id), "a member"))
                .collect::<Result<Vec<NodeId>, WireError>>()
        };
        Ok(ConfState {
            voters: list(raw.voters)?,
            learners: list(raw.learners)?,
            voters_outgoing: list(raw.voters_outgoing)?,
            learners_next: list(raw.learners_next)?,
            auto_leave: raw.auto_leave.unwrap_or_default(),
        })
    }
}

impl Wire for Snapshot {
    type Raw = raftpb::Snapshot;

    fn to_raw(&self) -> raftpb::Snapshot {
        raftpb::Snapshot {
            data: non_empty(&self.data),
            metadata: Some(raftpb::SnapshotMetadata {
                conf_state: Some(self.metadata.conf_state.to_raw()),
                index: Some(self.metadata.index.0),
                term: Some(self.metadata.term.0),
            }),
        }
    }

    fn from_raw(raw: raftpb::Snapshot) -> Result<Snapshot, WireError> {
        let metadata = raw.metadata.unwrap_or_default();
        Ok(Snapshot {
            data: raw.data.unwrap_or_default(),
            metadata: SnapshotMetadata {
                conf_state: ConfState::from_raw(metadata.conf_state.unwrap_or_default())?,
                index: Index(metadata.index.unwrap_or_default()),
                term: Term(metadata.term.unwrap_or_default()),
            },
        })
    }
}

//! Changes of the membership.

use super::{Wire, WireError, non_empty, optional_server, raftpb};
use crate::types::{
    ConfChange, ConfChangeKind, ConfChangeSingle, ConfChangeV2, NodeId, Transition,
};

fn kind_to_raw(kind: ConfChangeKind) -> i32 {
    match kind {
        ConfChangeKind::AddNode => 0,
        ConfChangeKind::RemoveNode => 1,
        ConfChangeKind::UpdateNode => 2,
        ConfChangeKind::AddLearner => 3,
    }
}

fn kind_from_raw(raw: Option<i32>) -> Result<ConfChangeKind, WireError> {
    match raw.unwrap_or_default() {
        0 => Ok(ConfChangeKind::AddNode),
        1 => Ok(ConfChangeKind::RemoveNode),
        2 => Ok(ConfChangeKind::UpdateNode),
        3 => Ok(ConfChangeKind::AddLearner),
        value => Err(WireError::Unknown {
            what: "kind of configuration change",
            value,
        }),
    }
}

impl Wire for ConfChange {
    type Raw = raftpb::ConfChange;

    fn to_raw(&self) -> raftpb::ConfChange {
        raftpb::ConfChange {
            id: Some(self.id),
            r#type: Some(kind_to_raw(self.kind)),
            node_id: Some(self.node.map_or(0, NodeId::get)),
            context: non_empty(&self.context),
        }
    }

    fn from_raw(raw: raftpb::ConfChange) -> Result<ConfChange, WireError> {
        Ok(ConfChange {
            id: raw.id.unwrap_or_default(),
            kind: kind_from_raw(raw.r#type)?,
            node: optional_server(raw.node_id),
            context: raw.context.unwrap_or_default(),
        })
    }
}

impl Wire for ConfChangeV2 {
    type Raw = raftpb::ConfChangeV2;

    fn to_raw(&self) -> raftpb::ConfChangeV2 {
        let transition = match self.transition {
            Transition::Auto => 0,
            Transition::JointImplicit => 1,
            Transition::JointExplicit => 2,
        };
        let single = |change: &ConfChangeSingle| raftpb::ConfChangeSingle {
            r#type: Some(kind_to_raw(change.kind)),
            node_id: Some(change.node.map_or(0, NodeId::get)),
        };
        raftpb::ConfChangeV2 {
            transition: Some(transition),
            changes: self.changes.iter().map(single).collect(),
            context: non_empty(&self.context),
        }
    }

    fn from_raw(raw: raftpb::ConfChangeV2) -> Result<ConfChangeV2, WireError> {
        let transition = match raw.transition.unwrap_or_default() {
            0 => Transition::Auto,
            1 => Transition::JointImplicit,
            2 => Transition::JointExplicit,
            value => {
                return Err(WireError::Unknown {
                    what: "transition",
                    value,
                });
            }
        };
        let single = |change: raftpb::ConfChangeSingle| {
            Ok(ConfChangeSingle {
                kind: kind_from_raw(change.r#type)?,
                node: optional_server(change.node_id),
            })
        };
        Ok(ConfChangeV2 {
            transition,
            changes: raw
                .changes
                .into_iter()
                .map(single)
                .collect::<Result<_, WireError>>()?,
            context: raw.context.unwrap_or_default(),
        })
    }
}

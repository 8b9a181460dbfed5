//! Membership: configurations and changes of them (thesis §4).

use super::NodeId;
use bytes::Bytes;

/// The membership of a group, as stored in snapshots and handed to applications.
///
/// Equality and hash are those of the lists as they stand; the lists that this library makes are
/// in ascending order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ConfState {
    /// The voters; in a joint configuration those of the incoming half.
    pub voters: Vec<NodeId>,
    /// Servers that receive the log and do not vote.
    pub learners: Vec<NodeId>,
    /// The voters of the outgoing half; not empty exactly in a joint configuration.
    pub voters_outgoing: Vec<NodeId>,
    /// Voters of the outgoing half that become learners when the joint configuration is left.
    pub learners_next: Vec<NodeId>,
    /// Whether the leader leaves the joint configuration on its own as soon as it may.
    pub auto_leave: bool,
}

/// The kind of change of one server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConfChangeKind {
    /// Makes the server a voter; a learner is promoted.
    #[default]
    AddNode,
    /// Removes the server, voter or learner.
    RemoveNode,
    /// Changes nothing in Raft; tells the application that, say, an address changed.
    UpdateNode,
    /// Makes the server a learner; a voter is demoted.
    AddLearner,
}

/// A change of one server, of the first kind of entry ([`EntryKind::ConfChange`](super::EntryKind)).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ConfChange {
    /// A number for the application's own use.
    pub id: u64,
    /// The kind of change.
    pub kind: ConfChangeKind,
    /// The server. `None` (zero on the wire) makes the change void: applying it changes nothing.
    pub node: Option<NodeId>,
    /// Opaque bytes for the application, such as the address of the new server.
    pub context: Bytes,
}

/// The way in which a [`ConfChangeV2`] is carried out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transition {
    /// In one step if it touches at most one voter, else jointly and left automatically.
    #[default]
    Auto,
    /// Jointly; the leader leaves the joint configuration on its own.
    JointImplicit,
    /// Jointly; the application must propose an empty change to leave.
    JointExplicit,
}

/// One server's part in a [`ConfChangeV2`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConfChangeSingle {
    /// The kind of change.
    pub kind: ConfChangeKind,
    /// The server. `None` (zero on the wire) makes the change void: applying it changes nothing.
    pub node: Option<NodeId>,
}

impl ConfChangeSingle {
    /// A change of this kind to this server.
    pub const fn new(kind: ConfChangeKind, node: NodeId) -> ConfChangeSingle {
        ConfChangeSingle {
            kind,
            node: Some(node),
        }
    }
}

/// Any change of membership, in one step or by joint consensus (thesis §4.3).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ConfChangeV2 {
    /// In one step or jointly.
    pub transition: Transition,
    /// The servers that change. Empty, with [`Transition::Auto`]: leave the joint configuration.
    pub changes: Vec<ConfChangeSingle>,
    /// Opaque bytes for the application.
    pub context: Bytes,
}

impl ConfChangeV2 {
    /// Returns whether this change leaves the joint configuration automatically; `None` if it needs no joint
    /// configuration.
    pub fn enter_joint(&self) -> Option<bool> {
        match self.transition {
            Transition::Auto if self.changes.len() <= 1 => None,
            Transition::Auto | Transition::JointImplicit => Some(true),
            Transition::JointExplicit => Some(false),
        }
    }

    /// Whether this is the change that leaves a joint configuration; its context does not matter.
    pub fn leaves_joint(&self) -> bool {
        self.transition == Transition::Auto && self.changes.is_empty()
    }
}

impl From<&ConfChangeV2> for ConfChangeV2 {
    fn from(change: &ConfChangeV2) -> ConfChangeV2 {
        change.clone()
    }
}

impl From<&ConfChange> for ConfChangeV2 {
    fn from(change: &ConfChange) -> ConfChangeV2 {
        change.clone().into()
    }
}

/// The same change in the general form, which has no number.
impl From<ConfChange> for ConfChangeV2 {
    fn from(change: ConfChange) -> ConfChangeV2 {
        let ConfChange {
            id: _,
            kind,
            node,
            context,
        } = change;
        ConfChangeV2 {
            transition: Transition::Auto,
            changes: vec![ConfChangeSingle { kind, node }],
            context,
        }
    }
}

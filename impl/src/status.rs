//! The state of a server for people and for metrics.

use crate::tracker::{Configuration, ProgressMap};
use crate::types::{HardState, Index, NodeId, SoftState};

/// The state of a server in numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BasicStatus {
    /// The server.
    pub id: NodeId,
    /// Term, vote and commit index, as of now (not: as stored).
    pub hard_state: HardState,
    /// Role and leader.
    pub soft_state: SoftState,
    /// What the application has applied.
    pub applied: Index,
    /// At a leader: who shall lead next.
    pub lead_transferee: Option<NodeId>,
}

/// The state of a server with its view of the group.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Status {
    /// The numbers.
    pub basic: BasicStatus,
    /// The active configuration.
    pub config: Configuration,
    /// At a leader the progress of every member, itself included; elsewhere empty.
    pub progress: ProgressMap,
}

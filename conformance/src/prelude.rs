//! Everything that a target is written with, to be imported at once.
//!
//! ```
//! use lockstep_conformance::prelude::*;
//!
//! /// A server that takes no input at all.
//! #[derive(Clone, Hash)]
//! struct Deaf;
//!
//! impl TargetServer for Deaf {
//!     fn apply(&mut self, _: &Input) -> Result<Reaction, TargetError> {
//!         Ok(Reaction::Driven(Output::default()))
//!     }
//!
//!     fn view(&mut self) -> Result<NodeView, TargetError> {
//!         Ok(NodeView::default())
//!     }
//! }
//!
//! // What can be copied and hashed has `Fork`.
//! assert_eq!(Deaf.digest(), Deaf.fork().digest());
//! ```

pub use crate::digest::digest_of;
pub use crate::target::{
    Description, Fork, Needs, Output, Reaction, StartedBy, Target, TargetError, TargetServer,
};
pub use crate::{Targets, cli, serve};
pub use lockstep_traces::{
    Body, ConfChange, Config, Configuration, DurableImage, Emitted, Entry, Field, FieldSet, Handed,
    Index, Input, Message, NodeView, Outcome, Payload, PeerView, ProgressState, Refusal,
    RejectHint, Role, ServerId, Snapshot, Term,
};

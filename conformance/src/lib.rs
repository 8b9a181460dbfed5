//! Walks an implementation of Raft and the specification through one state graph in lockstep, and
//! compares the two after every step.
//!
//! * [`target`]: the trait that an implementation is put behind, and what it may say of itself.
//! * [`compare`]: what "the two agree" means, field by field and message by message.
//! * [`replay`]: traces on any target; needs no specification.
//! * [`divergence`]: where the two sides part.
//! * [`targets`]: the implementations.
//! * [`planted`]: targets with one deliberate mistake each, to show that the comparison finds it.

pub mod compare;
pub mod divergence;
pub mod planted;
pub mod replay;
pub mod target;
pub mod targets;

pub use compare::{Difference, compare};
pub use divergence::{Actual, Divergence, Side};
pub use target::{
    Description, Fork, Observation, Reaction, Run, Strength, Target, TargetError, TargetServer,
};

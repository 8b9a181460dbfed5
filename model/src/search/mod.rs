//! A breadth-first model-checking engine over any [`stateright::Model`] whose states can be encoded.
//!
//! It knows nothing of Raft. See [`Search`] for how it is used and [`Checkable`] for what a model
//! has to tell it.
//!
//! What it guarantees:
//!
//! 1. A counterexample and a witness is a shortest one.
//! 2. Counts, depths, verdicts and traces are the same for any number of threads.
//! 3. A verdict names its bound: [`Verdict::Exhausted`], [`Verdict::Bounded`] with what stopped the
//!    search, or [`Verdict::Violated`]. A search that was cut off is never reported as a pass.

pub mod bench;
mod builder;
mod checkpoint;
mod conclude;
pub mod crosscheck;
mod engine;
mod error;
mod expand;
mod fingerprints;
mod frontier;
mod links;
mod parallel;
mod rebuild;
mod records;
mod report;
mod selected;
mod simulate;
mod tally;
#[cfg(test)]
mod tests;
mod traits;
mod varint;

pub use builder::Search;
pub use error::SearchError;
pub use report::{
    ActionCount, AntecedentCount, Checked, Gap, Level, Limit, MemorySplit, PairCount, Progress,
    PropertyKind, Report, TimeSplit, Trace, Verdict, Witness,
};
pub use simulate::{Swarm, SwarmReport, SwarmSettings, Swarmed};
pub use traits::{
    Antecedent, AntecedentCondition, Checkable, StepCondition, StepProperty, Symmetry, encoded,
};

//! A breadth-first model-checking engine over any [`stateright::Model`] whose states can be encoded.
//!
//! It knows nothing of Raft. See [`Search`] for how it is used and [`Checkable`] for what a model
//! has to tell it.
//!
//! # What it guarantees
//!
//! 1. *Shortest.* A counterexample ends in the first depth at which any checked property is violated, and
//!    the witness of a `sometimes` property or a step witness in the first depth at which there is one.
//! 2. *Deterministic.* Counts, depths, verdicts and traces are the same for any number of threads, with
//!    or without spilling to disk, and after any number of resumes. (With `max_time`, where a search
//!    stops depends on the clock; with `max_memory`, on nothing but the model.)
//! 3. *Honest.* A verdict names its bound: [`Verdict::Exhausted`], [`Verdict::Bounded`] with what stopped
//!    the search, or [`Verdict::Violated`]. A search that was cut off is never reported as a pass. The
//!    report has the probability that two states had the same 64-bit fingerprint.
//! 4. *The same space as stateright's.* States outside `within_boundary` are neither counted nor
//!    expanded, and `distinct` and `generated` are stateright's `unique_state_count` and `state_count`
//!    ([`crosscheck`]). (An initial state that is listed twice is expanded once here.)
//! 5. *Bounded memory.* With `max_memory`, frontier and links go to disk, and then the fingerprints of old
//!    levels; the search goes on until the batch at work and 1.3 bytes a state no longer fit. Everything
//!    stays exact: on disk, nothing is counted, found or missed that would not be in memory.
//! 6. *Exact symmetry.* With [`Symmetry`], one representative for every orbit; traces are rebuilt with
//!    real states and end in a real violation, or the search fails with
//!    [`SearchError::NotReproducible`].
//! 7. *Resumable.* Killed at any moment, a search with a checkpoint is resumed to the same report; a
//!    checkpoint that is damaged or of another search is refused.
//! 8. *Reproducible simulation.* A run of a [`Swarm`] depends on its [`SwarmSettings`] alone.
//!
//! # How it works
//!
//! A level is expanded in batches of blocks of encoded states. A batch has three phases, each shared out
//! among the threads: expanding lists, block by block, what the states lead to, and the fingerprints;
//! inserting gives every shard of the table of fingerprints to one thread, which takes the successors in
//! the order of blocks, states and actions; writing out goes by block again, and of new states only. So
//! there is no lock or atomic in the table, and which of two equal successors counts as the first does not
//! depend on the threads. What a batch looks up in a shard is loaded all at once before it is looked at,
//! because the table does not fit into any cache.
//!
//! The table knows the depth of every fingerprint. Those of old levels, which hardly any successor is found
//! among, are merged into one sorted file when memory is short; a byte of each stays, which answers "no"
//! for nearly all states that are new. The file is scratch: what a resume needs is in the checkpoint's log.
//!
//! A model may have a [`Shortcut`]: then states are not decoded, executed and encoded, but known by a short
//! form, and what was executed and checked once, by any thread, is looked up. It may also tell that a step
//! leads to a state that is known already (sleep sets): then it is counted, and not looked up. Nothing but the
//! time may change by all that, and tests compare whole reports with and without.
//!
//! | module | what it is for |
//! | --- | --- |
//! | `traits` | what a model tells the engine |
//! | `builder`, `engine`, `conclude` | a search from the request to the report |
//! | `expand`, `parallel` | the three phases of a batch, and the threads |
//! | `short`, `steps` | the same with a model's [`Shortcut`], which knows states by a short form |
//! | `fingerprints` | the set of states: 9 to 12 bytes a state in the table |
//! | `sealed` | fingerprints of old levels: 8 bytes a state on disk, 1.3 in memory |
//! | `room` | what goes to disk, and when |
//! | `frontier`, `links` | states that wait, and two bytes a state to rebuild paths |
//! | `records`, `checkpoint` | files with checksums, and the manifest that makes them a checkpoint |
//! | `rebuild` | executing a path again, with symmetry too |
//! | `simulate` | random runs |
//! | `crosscheck`, `bench` | stateright's searches on the same model |
//!
//! Deliberately absent: liveness (`eventually` is refused), leaving out states or steps by partial-order
//! reduction, hash compaction below 64 bits, and anything about Raft.

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
mod room;
mod sealed;
mod selected;
mod short;
mod simulate;
mod steps;
mod tally;
#[cfg(test)]
mod tests;
mod traits;
mod varint;

pub use builder::Search;
pub use error::SearchError;
pub use frontier::{Packed, States};
pub use report::{
    ActionCount, AntecedentCount, Checked, Gap, Level, Limit, MemorySplit, PairCount, Progress,
    PropertyKind, Report, TimeSplit, Trace, Verdict, Witness,
};
pub use simulate::{Swarm, SwarmReport, SwarmSettings, Swarmed};
pub use steps::{Open, Reached, Steps};
#[doc(hidden)]
pub use tally::Cover;
pub use traits::{
    Antecedent, AntecedentCondition, Checkable, Fate, Route, Shortcut, StepCondition, StepProperty,
    Symmetry, encoded,
};

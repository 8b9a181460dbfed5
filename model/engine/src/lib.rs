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
//! A model that is a cluster of machines ([`Machines`]) is explored by collapsed states: ids of components, which
//! are neither decoded nor encoded, and what was executed and checked once, by any thread, is looked up. The engine
//! also tells that a step leads to a state that is known already (sleep sets): then it is counted, and not looked
//! up. Nothing but the time may change by all that, and tests compare whole reports with and without.
//!
//! | module | what it is for |
//! | --- | --- |
//! | `traits` | what a model tells the engine |
//! | `cluster` | clusters of machines: collapse compression, transition memo, incremental hash, sleep sets |
//! | `builder`, `engine`, `conclude` | a search from the request to the report |
//! | `expand`, `parallel` | the three phases of a batch, and the threads |
//! | `collapsed_states`, `steps` | the same with collapsed states |
//! | `fingerprints` | the set of states: 9 to 12 bytes a state in the table |
//! | `disk_fingerprints` | fingerprints of old levels: 8 bytes a state on disk, 1.3 in memory |
//! | `memory_budget` | what goes to disk, and when |
//! | `frontier`, `predecessors` | states that wait, and two bytes a state to rebuild paths |
//! | `record_file`, `checkpoint` | files with checksums, and the manifest that makes them a checkpoint |
//! | `temporary` | folders that are gone when the process ends |
//! | `counterexample` | executing a path again, with symmetry too |
//! | `simulate` | random runs |
//! | `crosscheck`, `bench` | stateright's searches on the same model |
//!
//! Deliberately absent: liveness (`eventually` is refused; a condition that decides it for one state may be evaluated in
//! each, [`Search::each_state`]), leaving out states or steps by partial-order
//! reduction, hash compaction below 64 bits, and anything about Raft.

pub mod bench;
mod builder;
mod checkpoint;
mod cluster;
mod collapsed_states;
mod conclude;
mod counterexample;
pub mod crosscheck;
mod disk_fingerprints;
mod engine;
mod error;
mod expand;
mod fingerprints;
mod frontier;
mod memory_budget;
mod parallel;
mod predecessors;
mod record_file;
mod report;
mod selected;
mod simulate;
mod steps;
mod tally;
pub mod temporary;
#[cfg(test)]
mod tests;
mod traits;
pub mod varint;

pub use builder::Search;
pub use cluster::{
    Canonical, Collapsed, Component, Components, Dependent, Event, Footprint, Generator, Happened,
    Interner, KindSet, MAX_SERVERS, Machines, MessageFacts, Replacement, ServerFacts, Shape,
    Tables, View, check_independence, incremental_hash,
};
pub use error::SearchError;
pub use frontier::{Packed, States};
pub use report::{
    ActionCount, AntecedentCount, Checked, Gap, Level, Limit, MemorySplit, PairCount, Progress,
    PropertyKind, Report, TimeSplit, Trace, Verdict, Witness,
};
pub use simulate::{Swarm, SwarmReport, SwarmSettings, Swarmed};
pub use steps::{Lookup, Open, Reached, Steps, SuccessorKey};
#[doc(hidden)]
pub use tally::Cover;
pub use traits::{
    Antecedent, AntecedentCondition, AskShared, Checkable, Collapse, OwnCondition, StateCondition,
    StepCondition, StepProperty, Symmetry, encoded,
};

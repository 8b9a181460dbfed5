//! Walks an implementation of Raft and the specification through one state graph in lockstep, and
//! compares the two after every step.
//!
//! * [`target`]: the trait that an implementation is put behind, and what it may say of itself.
//! * [`code`]: an implementation explored by itself, against the properties of the paper.
//! * [`opaque`]: any program, explored by itself, whatever its messages are.
//! * [`mod@compare`]: what "the two agree" means, field by field and message by message.
//! * [`corpus`]: the traces that are checked in, and how each is made.
//! * [`cover`]: traces that cover a graph, and conformance of targets that cannot be copied.
//! * [`seeded`]: real mistakes, seeded one at a time, and what catches them.
//! * [`stop`]: the request to stop, which all long work hears.
//! * [`replay`]: traces on any target; needs no specification.
//! * [`product`]: the exhaustive product of the specification and an implementation.
//! * [`properties`]: the properties along a trace, and the values that break one.
//! * [`divergence`]: where the two sides part.
//! * [`mod@validate`]: recorded runs of real clusters against the specification.
//! * [`verdict`]: what a verb establishes.
//! * [`walk`]: random walks by ticks.
//! * [`targets`]: the implementations.
//! * [`mod@text`]: text from outside, made harmless.
//! * [`minimise`]: the shortest way to a divergence.
//! * [`explore`]: the state graph in a browser.
//! * [`export`]: traces and small graphs for other tools.
//! * [`show`]: traces as diagrams and pages.
//! * [`words`]: events, messages and states in words.
//! * [`planted`]: targets with one deliberate mistake each, to show that the comparison finds it.
//! * [`prelude`]: everything that a target is written with.
//! * [`registry`]: the targets that a program knows by name.
//! * [`cli`]: the command line, for a program with targets of its own.

pub mod cli;
pub mod code;
pub mod compare;
pub mod corpus;
pub mod cover;
pub mod digest;
pub mod divergence;
pub mod explore;
pub mod export;
#[doc(hidden)]
pub mod fuzzing;
pub mod minimise;
mod needs;
pub mod opaque;
pub mod path;
pub mod planted;
pub mod prelude;
pub mod product;
pub mod properties;
pub mod registry;
pub mod replay;
mod report;
pub mod rules;
pub mod seeded;
mod serve;
pub mod show;
mod shrink;
mod states;
pub mod stop;
pub mod target;
pub mod targets;
pub mod text;
mod timers;
pub mod validate;
pub mod verdict;
pub mod walk;
pub mod words;

pub use compare::{Difference, compare};
pub use divergence::{Actual, Divergence, Side};
pub use product::Counts;
pub use registry::{TargetSpec, Targets};
pub use serve::{serve, serve_on};
pub use target::{
    Cluster, Description, DialectUse, Digest, Fork, Observation, Output, Reaction, Run, Target,
    TargetError, TargetServer,
};
pub use verdict::{Strength, Verdict};

/// A callback during the search of a graph; a break stops the search.
pub type OnProgress<'a> =
    Box<dyn FnMut(&lockstep_engine::Progress) -> std::ops::ControlFlow<()> + 'a>;

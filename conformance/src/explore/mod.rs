//! The Explorer: a state graph in the browser, on endpoints of its own over [`Cluster`].
//!
//! The server keeps no state of a visitor: a page names its model and its path in its address, and every
//! answer is a function of the two. So an address can be sent to somebody else, and the browser's own
//! history is the history of the walk.
//!
//! * [`link`](mod@link): a path as a few letters.
//! * [`models`]: a preset with changes as a word, and back.
//! * [`page`]: everything that the browser shows of a state.
//! * [`condition`]: "two leaders", "s2.commit >= 3 and no candidate".
//! * [`seek`]: the shortest way to a condition, by the engine.
//! * [`import`]: a trace file as a path.
//! * [`server`]: the endpoints.
//! * [`stateright`](mod@stateright): stateright's own Explorer, unchanged, below `/stateright`.
//!
//! [`Cluster`]: lockstep_model::Cluster

pub mod condition;
pub mod import;
mod jobs;
pub mod link;
pub mod models;
pub mod page;
pub mod seek;
pub mod server;
pub mod stateright;
#[cfg(test)]
mod tests;

pub use server::{Explorer, ServeError, Settings};

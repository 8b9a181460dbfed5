//! Traces and small state graphs in the forms of other tools.

mod dot;
mod itf;
mod shiviz;
#[cfg(test)]
mod tests;

pub use dot::{Graph, GraphError, dot};
pub use itf::itf;
pub use shiviz::shiviz;

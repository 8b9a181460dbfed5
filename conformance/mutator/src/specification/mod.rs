//! Changes of the specification, with its properties and witnesses as the only test.
//!
//! A change of the specification alone is no different from one on both sides, and there the comparison with
//! an implementation sees nothing. So here a change counts as noticed only if a search of a preset of
//! `lockstep verify` finds a property violated, or a witness that it no longer reaches. Two kinds of changes:
//! each [rule](crate::seeded::Rule) is taken away by hand, and every mechanical mutant of
//! `model/src/server` is tried.

mod campaign;
mod page;
mod trial;

pub use campaign::{Options, folder, run};
pub use page::{Mutation, Row, RuleRow, head, page};
pub use trial::{Change, Runner, Sight, Trial, Way};

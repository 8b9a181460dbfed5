//! A mechanical mutator over the core of the production Raft, with the lockstep comparison as the test.
//!
//! `lockstep mutants` plants mistakes that people made. This is the other direction: every small change
//! that can be made mechanically ([`find`](find::find)), whether it makes sense or not, and the question
//! which of them nothing notices. Such a change is either the same program in other words, and says so in
//! `reasons.json`, or shows what no test looks at.
//!
//! Building once for each mutant would take many hours. So all of them are put into one text, each behind
//! a number ([`schema`](schema::schema)), which is built once ([`Copy`](workspace::Copy)); an environment
//! variable says which one is active. Every mutant climbs the [`ladder`] that is then made of the programs:
//! first `lockstep` itself, then the tests; a rung that does not meet a mutant is left out.

pub mod campaign;
pub mod find;
pub mod ladder;
pub mod mutant;
mod plain;
pub mod reasons;
pub mod report;
pub mod schema;
pub mod switch;
pub mod workspace;

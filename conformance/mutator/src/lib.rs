//! Changes the sources on purpose, to see what notices it.
//!
//! Two kinds of changes. *Seeded bugs* ([`seeded`]) are mistakes that people made, written down by hand as edits;
//! `lockstep mutants` tries them. *Mutants* are mechanical: every small change of the core of the production
//! Raft that can be made mechanically ([`find`](find::find)), whether it makes sense or not, and the question
//! which of them nothing notices. Such a change is either the same program in other words, and says so in
//! `reasons.json`, or shows what no test looks at.
//!
//! Building once for each mutant would take many hours. So all of them are put into one text, each behind
//! a number ([`schema`](schema::schema)), which is built once ([`Copy`](workspace::Copy)); an environment
//! variable says which one is active. Every mutant climbs the [`ladder`] that is then made of the programs:
//! first `lockstep` itself, then the tests; a rung that does not meet a mutant is left out.

pub mod campaign;
pub mod checkout;
pub mod find;
pub mod ladder;
pub mod mutant;
pub mod package;
mod plain;
pub mod reasons;
pub mod report;
pub mod schema;
pub mod seeded;
pub mod specification;
pub mod switch;
pub mod workspace;

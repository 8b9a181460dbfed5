//! Runs the `interaction` scripts of etcd's raft library against `lockstep-raft`.
//!
//! A script adds nodes, makes them campaign, propose, tick and exchange messages, and states after
//! each command what is printed: every `Ready`, every message and every line of the log. Here a node
//! is a [`RawNode`](lockstep_raft::RawNode) over a memory storage; the lines of the log are made from
//! the events of an observer. The sentences of the log and the form in which messages are shown are
//! expected output of the scripts, so they live here and nowhere in the library.
//!
//! What each command does follows etcd's own environment for these scripts (`rafttest` of
//! `go.etcd.io/raft/v3` v3.6.0). Nothing is filtered: what the nodes do is printed, in the order in
//! which it happens.

mod command;
mod conf_change;
mod describe;
mod environment;
mod go_text;
mod log_lines;
mod node;
mod output;

pub use conf_change::parse_changes;
pub use environment::InteractionEnv;
pub use go_text::parse_bool;

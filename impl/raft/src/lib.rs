//! A production Raft: the protocol as a sans-IO library, with the feature set of etcd's raft v3.6.
//!
//! This crate has no clock, no network, no disk and no threads of its own (the optional feature `node`,
//! an async handle on tokio, aside). See the README for a walk from an empty project to a replicated map.

#[doc(hidden)]
pub mod confchange;
mod config;
mod core;
mod error;
mod health;
mod log;
#[cfg(feature = "node")]
pub mod node;
pub mod observer;
pub mod quorum;
mod raw_node;
mod ready;
mod status;
pub mod storage;
mod timer;
pub mod tracker;
pub mod types;
pub mod wire;

pub use confchange::{ConfChangeError, InvariantViolation};
pub use config::{Config, ReadOnly};
pub use core::{Core, SnapshotStatus, TimerEvent, TimerReset};
pub use error::{
    Blame, CallError, ConfigError, DropReason, Error, PeerError, Refusal, StorageError,
};
pub use health::{RefusedMessages, ShortLog};
#[doc(hidden)]
pub use log::{RaftLog, Unstable};
pub use observer::{Event, NoObserver, Observer};
pub use raw_node::RawNode;
pub use ready::Ready;
pub use status::{BasicStatus, PendingReads, ReadRound, Status};
pub use storage::{MemoryStorage, Storage};
pub use timer::Timer;
pub use types::{
    Body, ConfChange, ConfChangeKind, ConfChangeSingle, ConfChangeV2, ConfState, Entry, EntryId,
    EntryKind, HardState, Index, Message, MessageKind, NodeId, ReadState, Rejection, Role,
    Snapshot, SnapshotMetadata, SoftState, StorageAppend, Term, Transition,
};

/// The programs in the README are compiled and run as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

//! A recorder for [`lockstep_raft`]: one line of JSON for each input of a server, with what its caller was told, the
//! messages that it sent, and what changed of its state.
//!
//! The recorder is an [`Observer`](lockstep_raft::Observer): a server does and sends the same with it and without it. It keeps no
//! more than one buffer in memory. Every line up to a `Ready` is in the file before the server hands that `Ready` out, so a
//! process that is killed leaves a record in which all is sent that others received. The README has the format.
//!
//! ```
//! use lockstep_raft::{ConfState, Config, MemoryStorage, NodeId, RawNode};
//! use lockstep_record::Recorder;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let folder = folder.path();
//! let id = NodeId::new(1).ok_or("no id")?;
//! let members = ConfState { voters: vec![id], ..ConfState::default() };
//! let recorder = Recorder::open(folder, id, 64 << 20)?;
//! let storage = MemoryStorage::with_conf_state(members);
//! let mut node = RawNode::with_observer(&Config::new(id), storage, recorder)?;
//! node.campaign()?;
//! # let ready = node.ready()?;
//! # drop(ready);
//! # let text = std::fs::read_to_string(folder.join("server-1.000001.ndjson"))?;
//! # assert_eq!(text.lines().count(), 4);
//! # assert!(node.observer().failure().is_none());
//! # Ok(())
//! # }
//! ```

mod digest;
mod recorder;
mod sink;
mod view;
mod words;

pub use digest::digest;
pub use recorder::{Cause, FORMAT_VERSION, Recorder};
pub use sink::{Files, Memory, Sink};

/// The programs in the README are compiled and run as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

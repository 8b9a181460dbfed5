//! The vocabulary that every part of Lockstep speaks: the names of servers, terms and log indexes,
//! the events of the environment, the messages of the protocol, and the view of one server that is
//! compared after every step.
//!
//! This crate knows no rule of Raft. It holds plain data, its JSON form, and the trace format; the
//! specification (`lockstep-model`) and the targets (`lockstep-conformance`) translate to and from it.
//! The production Raft (`lockstep-raft`) does not know it at all.

mod config;
mod configuration;
mod corpus;
mod event;
mod field_set;
mod fields;
#[doc(hidden)]
pub mod fuzzing;
mod ids;
mod message;
mod parts;
mod payload;
pub mod recording;
#[cfg(feature = "schema")]
mod schema;
mod server_set;
mod show;
mod table;
mod trace;
mod view;

pub use config::{Config, Reads, Storage};
pub use configuration::{ConfChange, ConfChangeSingle, Configuration, NoConfChange, Transition};
pub use corpus::{CorpusTrace, corpus};
pub use event::{Event, Input, Outcome, Refusal};
pub use field_set::FieldSet;
pub use fields::{
    Append, Body, DurableImage, Emitted, Entry, Field, Fields, Handed, HardState, Message, Name,
    NodeView, Output, Pairs, Part, PeerView, ReadRequest, ReadState, RejectHint, Snapshot,
    StorageAcknowledgement, UnconfirmedRead, Value, for_each_peer, names,
};
pub use ids::{Index, ServerId, Term};
pub use payload::Payload;
#[cfg(feature = "schema")]
pub use schema::schema;
pub use server_set::{NoServerSet, ServerSet};
pub use show::Show;
pub use trace::{
    Expected, FORMAT_VERSION, Header, MAX_NUMBER, MAX_SERVERS, PassedOver, Problem, Provenance,
    Step, TRACE_EXTENSION, Trace, TraceError, TraceFiles, TraceReader, TraceWriter, Why,
    check_header, check_step, json_text, trace_files,
};
pub use view::{ProgressState, Role};

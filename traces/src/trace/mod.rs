//! The trace format: what happened to a cluster, event by event, and what must be seen after each.
//!
//! A trace is NDJSON: a header line, one line an event, and a last line that counts the events, so that
//! a file that lost its tail is never taken for a shorter trace. `traces/README.md` describes the
//! format for readers in other languages; [`TraceReader`] and [`TraceWriter`] are the ones in Rust.
//!
//! This module checks that a trace is well formed: that its servers exist, that a delivery goes to the
//! server it is addressed to, that indexes point into the log. Whether the trace is *right* is for the
//! specification and the targets to say.

mod error;
mod files;
mod reader;
mod validate;
mod writer;

pub use error::{Problem, TraceError, json_text};
pub use files::{PassedOver, TRACE_EXTENSION, TraceFiles, Why, trace_files};
pub use reader::TraceReader;
pub use validate::{MAX_NUMBER, MAX_SERVERS, check_header, check_step};
pub use writer::TraceWriter;

use crate::{Config, Emitted, Event, NodeView, Outcome, ReadState};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

/// The newest version of the format. Version 2 adds [`Header::property`], transfer of leadership, forwarding and limits
/// of proposals, snapshots, configurations that change ([`Config::voters`]), asynchronous storage ([`Config::storage`]),
/// reads ([`Config::reads`]) and what goes with them; a trace without any
/// of it is written as version 1, which older readers take as well. Readers refuse every other version.
pub const FORMAT_VERSION: u64 = 2;

/// The first line of a trace: what it is about and how it came to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// The version of the format: 1 unless the trace has something of version 2.
    #[serde(rename = "lockstep_trace")]
    pub version: u64,
    /// A short name, also the stem of the file: letters, digits, `.`, `_` and `-`.
    pub name: String,
    /// A sentence that says why the trace exists.
    pub purpose: String,
    /// The configuration of the servers.
    pub config: Config,
    /// The provenance of the trace, so that it can be made again.
    pub made: Provenance,
    /// For a counterexample: the name of the property that its last step violates. Replaying it evaluates that
    /// property on what the target does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub property: Option<String>,
}

impl Header {
    /// The header of a trace that is no counterexample: of version 1, unless its configuration is of version 2.
    pub fn new(
        name: impl Into<String>,
        purpose: impl Into<String>,
        config: Config,
        made: Provenance,
    ) -> Header {
        Header {
            version: if config.is_of_version_1() { 1 } else { 2 },
            name: name.into(),
            purpose: purpose.into(),
            config,
            made,
            property: None,
        }
    }

    /// The same header for a trace with inputs, messages or fields of version 2.
    #[must_use]
    pub fn extended(mut self) -> Header {
        self.version = FORMAT_VERSION;
        self
    }

    /// The same header for a counterexample of this property.
    #[must_use]
    pub fn violating(mut self, property: impl Into<String>) -> Header {
        self.version = FORMAT_VERSION;
        self.property = Some(property.into());
        self
    }
}

/// The provenance of a trace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    /// The generator: a command, or "by hand".
    pub generator: String,
    /// The preset of the specification that it is a path of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preset: Option<String>,
    /// The bounds of the specification that it keeps to, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub bounds: BTreeMap<String, u64>,
    /// The seed of the random choices, where there were any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// The assumption about clocks, which leases need: `elapsed` or `silent` (`lockstep check --help`). A reader that
    /// knows neither word judges no read that was answered by lease.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timing: Option<String>,
}

/// One event of a trace and what must be seen after it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Step {
    /// The event.
    pub event: Event,
    /// The expected reaction of the server that moves; `None` exactly for an event of the network, at which no server
    /// moves. No other server may change at any event.
    pub expected: Option<Expected>,
}

/// The expected reaction of a server to an input.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Expected {
    /// The outcome that the caller is told.
    pub outcome: Outcome,
    /// The server after the event.
    pub view: NodeView,
    /// The messages that left, in any order; a message that left twice is here twice.
    pub sent: Vec<Emitted>,
    /// The reads of clients of the server that were answered or given up, in this order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub read_states: Vec<ReadState>,
}

/// A whole trace in memory. Long traces are better streamed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// The first line.
    pub header: Header,
    /// The events; at least one.
    pub steps: Vec<Step>,
}

impl Trace {
    /// Reads a file to its end.
    ///
    /// # Errors
    /// The file cannot be read, or is not a complete and well-formed trace.
    pub fn read(path: &Path) -> Result<Trace, TraceError> {
        TraceReader::open(path)?.into_trace()
    }

    /// Reads a trace from memory; `source` names it in errors.
    ///
    /// # Errors
    /// The bytes are not a complete and well-formed trace.
    pub fn parse(bytes: &[u8], source: &str) -> Result<Trace, TraceError> {
        TraceReader::new(bytes, source)?.into_trace()
    }

    /// Writes the trace, footer included.
    ///
    /// # Errors
    /// The sink fails, or the trace is one that [`Trace::parse`] would refuse.
    pub fn write(&self, sink: impl Write) -> io::Result<()> {
        let mut writer = TraceWriter::new(sink, &self.header)?;
        for step in &self.steps {
            writer.step(step)?;
        }
        writer.finish().map(drop)
    }

    /// Writes the trace to a file that appears complete or not at all. What is no file, such as a pipe, is
    /// written to, and not replaced.
    ///
    /// # Errors
    /// As [`Trace::write`], or the file cannot be created.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        let mut bytes = Vec::new();
        self.write(&mut bytes)?;
        if std::fs::metadata(path).is_ok_and(|there| !there.is_file()) {
            return std::fs::write(path, bytes);
        }
        let partial = path.with_extension("ndjson.partial");
        std::fs::write(&partial, bytes)?;
        std::fs::rename(partial, path)
    }
}

/// A line as it stands in the file; which of the two kinds it is shows in the fields that are there.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    step: Option<u64>,
    event: Option<Event>,
    expect: Option<Expected>,
    end: Option<End>,
}

/// A step as it is written.
#[derive(Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct StepLine<'a> {
    /// Its number, from 1 on.
    step: u64,
    /// The event.
    event: &'a Event,
    /// The expected reaction of the server that moves. Absent exactly if no server moves.
    #[serde(skip_serializing_if = "Option::is_none")]
    expect: Option<&'a Expected>,
}

/// The last line.
#[derive(Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct EndLine {
    /// The length of the trace.
    end: End,
}

#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
struct End {
    /// The number of steps.
    steps: u64,
}

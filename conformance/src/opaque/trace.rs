//! The way to a violation, as a file: what happened to the cluster, and what the program showed and sent.

use super::components::Step;
use super::{Action, Opaque};
use crate::text::line;
use lockstep_engine::Trace;
use lockstep_traces::json_text;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The version of the format.
pub const TRACE_VERSION: u32 = 1;

/// Why a file is no such trace.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct TraceError {
    /// Counted from one.
    pub line: usize,
    /// The mistake.
    pub what: String,
}

/// The head of the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// The version of the format; the key tells it from other traces.
    pub lockstep_opaque_trace: u32,
    /// Name and version of the program.
    pub program: String,
    /// The configuration that the program was given.
    pub config: Value,
    /// The bounds of the search.
    pub bounds: BTreeMap<String, String>,
    /// The property that the last step violates, or leads to a state that does.
    pub violates: String,
    /// Its statement.
    pub says: String,
}

/// One event, and what came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpaqueStep {
    /// The server that moved; `None` if only the network did.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub server: Option<u64>,
    /// Its input, or `{"duplicate":…}` or `{"drop":…}` with a message.
    pub event: Value,
    /// The server afterwards, as the program wrote it; `None` if it broke down or did not move.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub view: Option<Value>,
    /// The messages that it sent.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub sent: Vec<Value>,
    /// The error message of its breakdown.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub failed: Option<String>,
}

/// A way to a violation.
#[derive(Clone, Debug, PartialEq)]
pub struct OpaqueTrace {
    /// The head.
    pub head: Head,
    /// The events.
    pub steps: Vec<OpaqueStep>,
}

impl OpaqueTrace {
    /// The lines of the file.
    pub fn to_lines(&self) -> String {
        let mut lines = serde_json::to_string(&self.head).expect("a head has a JSON form");
        for step in &self.steps {
            lines.push('\n');
            lines.push_str(&serde_json::to_string(step).expect("a step has a JSON form"));
        }
        lines.push('\n');
        lines
    }

    /// Reads the lines of a file.
    ///
    /// # Errors
    ///
    /// The first line that is none of such a trace.
    pub fn parse(text: &str) -> Result<OpaqueTrace, TraceError> {
        let mut lines = text.lines().enumerate();
        let failed = |number: usize, error: serde_json::Error| TraceError {
            line: number + 1,
            what: json_text(&error),
        };
        let (_, first) = lines.next().ok_or(TraceError {
            line: 1,
            what: "the file is empty".to_owned(),
        })?;
        let head: Head = serde_json::from_str(first).map_err(|error| failed(0, error))?;
        if head.lockstep_opaque_trace != TRACE_VERSION {
            let version = head.lockstep_opaque_trace;
            let what = format!("`lockstep_opaque_trace` is {version}, must be {TRACE_VERSION}");
            return Err(TraceError { line: 1, what });
        }
        let steps = lines.map(|(number, text)| {
            serde_json::from_str(text).map_err(|error| failed(number, error))
        });
        Ok(OpaqueTrace {
            head,
            steps: steps.collect::<Result<_, _>>()?,
        })
    }
}

impl Opaque {
    /// The trace along a path.
    pub fn trace(&self, path: &Trace<Opaque>, violates: &str) -> OpaqueTrace {
        let rule = super::PROPERTIES.iter().find(|rule| rule.name == violates);
        let of = self.description();
        let mut before = &path.init;
        let mut steps = Vec::new();
        for (action, after) in &path.steps {
            steps.push(self.trace_step(before, *action));
            before = after;
        }
        OpaqueTrace {
            head: Head {
                lockstep_opaque_trace: TRACE_VERSION,
                program: format!("{} {}", of.name, of.version),
                config: serde_json::to_value(&self.config).unwrap_or_default(),
                bounds: self.bounds.rows(of).into_iter().collect(),
                violates: violates.to_owned(),
                says: rule
                    .map(|rule| rule.statement().to_owned())
                    .unwrap_or_default(),
            },
            steps,
        }
    }

    fn trace_step(&self, before: &super::OpaqueState, action: Action) -> OpaqueStep {
        let network = |what: &str, at: u32| {
            let packet = &before.packets[at as usize];
            let packet =
                json!({ "from": packet.from, "to": packet.to, "message": packet.message() });
            OpaqueStep {
                server: None,
                event: json!({ what: packet }),
                view: None,
                sent: Vec::new(),
                failed: None,
            }
        };
        let (slot, input) = match (self.input(before, action), action) {
            (Some(input), _) => input,
            (None, Action::Duplicate(at)) => return network("duplicate", at),
            (None, Action::Drop(at) | Action::Deliver(at)) => return network("drop", at),
            (None, Action::Local(..)) => unreachable!("a local event has an input"),
        };
        let Step { node, sent } = self.step(before, slot, &input);
        let number = self.states.number_of(node.id, node.digest);
        let sent = sent
            .iter()
            .map(|it| json!({ "to": it.to, "message": it.message() }));
        OpaqueStep {
            server: Some(slot as u64 + 1),
            event: input.to_json(),
            view: number.map(|number| self.states.shown(number)),
            sent: sent.collect(),
            failed: node.fault.and_then(|fault| self.states.fault(fault)),
        }
    }
}

impl OpaqueStep {
    /// The event in words.
    pub fn event_in_words(&self) -> String {
        let text = match (&self.event, self.server) {
            (Value::String(name), Some(server)) => format!("server {server}: {name}"),
            (event, Some(server)) => match event.get("deliver") {
                Some(it) => format!(
                    "server {server} receives from {}: {}",
                    it["from"], it["message"]
                ),
                None => format!("server {server}: {event}"),
            },
            (event, None) => {
                let (what, it) = match event.get("duplicate") {
                    Some(it) => ("duplicated", it),
                    None => ("lost", &event["drop"]),
                };
                format!(
                    "{what}: from {} to {}: {}",
                    it["from"], it["to"], it["message"]
                )
            }
        };
        line(&text).into_owned()
    }

    /// The messages that were sent, in words.
    pub fn sent_in_words(&self) -> Vec<String> {
        let sent = self.sent.iter();
        sent.map(|it| line(&format!("to {}: {}", it["to"], it["message"])).into_owned())
            .collect()
    }

    /// The fields that are not what they were in `before`.
    pub fn changes(&self, before: Option<&Value>) -> Vec<String> {
        if let Some(failed) = &self.failed {
            return vec![format!("it fails: {failed}")];
        }
        let Some(Value::Object(view)) = &self.view else {
            return Vec::new();
        };
        let changed = view.iter().filter(|(key, now)| {
            let then = before.and_then(|before| before.get(key.as_str()));
            then != Some(*now)
        });
        let changed = changed.map(|(key, now)| line(&format!("{key} = {now}")).into_owned());
        let changed: Vec<_> = changed.collect();
        if changed.is_empty() {
            return vec!["nothing".to_owned()];
        }
        changed
    }
}

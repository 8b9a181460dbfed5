//! The Informal Trace Format of Apalache and Quint: a JSON object of states, each a value for every
//! variable. Whole numbers are `{"#bigint": "…"}`, maps `{"#map": […]}`, as the format has it.

use lockstep_traces::{Emitted, Event, Input, Message, NodeView, ServerId, Trace};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

use crate::compare::start_view;
use crate::words;

/// The trace in the Informal Trace Format. The variables are `servers` (a map from id to view), `network` (a
/// map from message to number of copies), `action` and `outcome`.
pub fn itf(trace: &Trace) -> String {
    let ids = trace.header.config.server_ids();
    let mut servers: BTreeMap<ServerId, NodeView> = ids
        .map(|id| (id, start_view(&trace.header.config)))
        .collect();
    let mut network: BTreeMap<Message, u64> = BTreeMap::new();
    let mut states = vec![state(0, &servers, &network, "Init", "accepted")];
    for (number, step) in trace.steps.iter().enumerate() {
        follow(&mut network, &step.event);
        let mut outcome = "accepted".to_owned();
        if let (Some(server), Some(expected)) = (step.event.server(), &step.expected) {
            servers.insert(server, expected.view.clone());
            for Emitted { message, .. } in &expected.sent {
                *network.entry(message.clone()).or_default() += 1;
            }
            outcome = words::outcome(expected.outcome);
        }
        let action = words::event(&step.event);
        states.push(state(number + 1, &servers, &network, &action, &outcome));
    }
    let whole = json!({
        "#meta": {
            "format": "ITF",
            "format-description": "https://apalache-mc.org/docs/adr/015adr-trace.html",
            "source": trace.header.name,
            "description": trace.header.purpose,
        },
        "vars": ["action", "outcome", "servers", "network"],
        "states": states,
    });
    format!("{whole:#}\n")
}

/// Takes out, or copies, the message that an event is about.
fn follow(network: &mut BTreeMap<Message, u64>, event: &Event) {
    let (message, copies) = match event {
        Event::Server {
            input: Input::Deliver(message),
            ..
        }
        | Event::Drop(message) => (message, None),
        Event::Duplicate(message) => (message, Some(1)),
        Event::Server { .. } => return,
    };
    match copies {
        Some(more) => *network.entry(message.clone()).or_default() += more,
        None => {
            if let Some(left) = network.get_mut(message) {
                *left -= 1;
                if *left == 0 {
                    network.remove(message);
                }
            }
        }
    }
}

fn state(
    index: usize,
    servers: &BTreeMap<ServerId, NodeView>,
    network: &BTreeMap<Message, u64>,
    action: &str,
    outcome: &str,
) -> Value {
    let servers = servers
        .iter()
        .map(|(id, view)| json!([whole(id.get()), plain(view)]));
    let network = network
        .iter()
        .map(|(message, copies)| json!([plain(message), whole(*copies)]));
    json!({
        "#meta": {"index": index},
        "action": action,
        "outcome": outcome,
        "servers": {"#map": servers.collect::<Vec<_>>()},
        "network": {"#map": network.collect::<Vec<_>>()},
    })
}

fn whole(number: u64) -> Value {
    json!({"#bigint": number.to_string()})
}

/// A value of the vocabulary, in the format's forms.
fn plain<T: serde::Serialize>(value: &T) -> Value {
    // Views and messages are plain data with string keys.
    convert(serde_json::to_value(value).unwrap_or_default())
}

fn convert(value: Value) -> Value {
    match value {
        Value::Number(number) => json!({"#bigint": number.to_string()}),
        // The format has no null: nobody is the empty string.
        Value::Null => json!(""),
        Value::Array(items) => items.into_iter().map(convert).collect(),
        Value::Object(fields) => {
            let numbered =
                !fields.is_empty() && fields.keys().all(|key| key.parse::<u64>().is_ok());
            if numbered {
                let pairs = fields.into_iter().map(|(key, value)| {
                    let key = json!({"#bigint": key});
                    json!([key, convert(value)])
                });
                return json!({"#map": pairs.collect::<Vec<_>>()});
            }
            let fields = fields.into_iter().map(|(key, value)| (key, convert(value)));
            Value::Object(fields.collect::<Map<_, _>>())
        }
        other => other,
    }
}

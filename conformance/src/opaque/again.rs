//! A trace once more: the same program is given the same events.

use super::copies::{Copies, NoAnswer, Question};
use super::trace::OpaqueTrace;
use super::wire::Answer;
use crate::target::TargetError;
use crate::targets::exec::{ExecOptions, Program};
use lockstep_traces::{Config, ServerId};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The first step at which a program departs from a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts {
    /// The step, counted from zero.
    pub step: usize,
    /// The view and the messages in the trace.
    pub expected: Value,
    /// The view and the messages of the program.
    pub actual: Value,
}

/// Gives a program the events of a trace; the first step at which it does something else, if there is one.
///
/// # Errors
///
/// The program cannot be started, or a step names no server.
pub fn replay(
    trace: &OpaqueTrace,
    program: &Program,
    options: ExecOptions,
    config: &Config,
) -> Result<Option<Parts>, TargetError> {
    let copies = Copies::start(program, options, config, 1)?;
    let mut inputs: BTreeMap<ServerId, Vec<Value>> = BTreeMap::new();
    for (number, step) in trace.steps.iter().enumerate() {
        let Some(server) = step.server else {
            continue;
        };
        let server = ServerId::new(server).filter(|id| id.get() <= config.servers);
        let server = server.ok_or_else(|| {
            TargetError::Setup(format!(
                "line {}: `server` must be 1 to {}, the servers of the cluster",
                number + 2,
                config.servers
            ))
        })?;
        let given = inputs.entry(server).or_default();
        given.push(step.event.clone());
        let question = Question {
            server,
            saved: None,
            inputs: given.clone(),
        };
        let answer = copies.ask(&[question]).pop();
        let actual = match answer {
            Some(Ok(Answer::Moved { text, sent, .. })) => {
                let view: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
                let sent = sent
                    .iter()
                    .map(|it| json!({ "to": it.to, "message": it.message }));
                json!({ "view": view, "sent": sorted(sent.collect()) })
            }
            Some(Ok(Answer::Crashed(_)) | Err(NoAnswer::Broken(_))) => json!({ "failed": true }),
            Some(Err(NoAnswer::NotAsked)) | None => return Err(TargetError::Interrupted),
        };
        let expected = match (&step.failed, &step.view) {
            (Some(_), _) => json!({ "failed": true }),
            (None, view) => json!({ "view": view, "sent": sorted(step.sent.clone()) }),
        };
        if actual != expected {
            return Ok(Some(Parts {
                step: number,
                expected,
                actual,
            }));
        }
    }
    Ok(None)
}

/// Messages in an order of their own.
fn sorted(mut sent: Vec<Value>) -> Vec<Value> {
    sent.sort_by_key(Value::to_string);
    sent
}

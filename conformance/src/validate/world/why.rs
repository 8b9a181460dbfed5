//! Why an explanation does not go on, in words.

use super::super::line::Line;
use super::super::moment::{Moment, Seen, Shown};
use super::{Attempt, Attempts, Plan};
use lockstep_model::recorded::Stimulus;

pub(super) fn fail(attempts: &mut Attempts, inputs: &str, why: &str) {
    if let Some(attempts) = attempts {
        attempts.push(Attempt {
            inputs: inputs.to_owned(),
            why: why.to_owned(),
        });
    }
}

/// In which fields a line differs from what the specification has.
pub(super) fn differs(shown: &Shown, line: &Line) -> String {
    let fields = shown.differences(line);
    let fields: Vec<String> = fields
        .iter()
        .map(|(name, here, there)| format!("{name} is {here}, the line has {there}"))
        .collect();
    match fields.is_empty() {
        true => "the message is another one".to_owned(),
        false => fields.join("; "),
    }
}

pub(super) fn mismatch(expected: &Moment, line: &Line) -> String {
    if expected.kind != line.kind {
        return format!("the next line of the server would be {expected}");
    }
    let mut why = differs(&expected.shown, line);
    if let Some((seen, _)) = expected
        .message
        .as_ref()
        .filter(|(seen, _)| Some(seen) != line.message.as_ref())
    {
        why = format!("the message would be {seen}; {why}");
    }
    why
}

/// The inputs of a plan in words.
pub(super) fn names(plan: &Plan) -> String {
    let name = |stimulus: &Stimulus| match stimulus {
        Stimulus::Deliver(message) => match Seen::of(message) {
            Some(seen) => format!("Deliver({seen})"),
            None => format!("Deliver({:?})", message.body),
        },
        Stimulus::HearItself(message) => format!("HearItself({:?})", message.body),
        other => format!("{other:?}"),
    };
    let main = plan.main.iter().map(name);
    let silent = plan.silent.iter().map(|it| format!("[{}]", name(it)));
    let all: Vec<String> = silent.chain(main).collect();
    match all.is_empty() {
        true => "nothing else".to_owned(),
        false => all.join(", "),
    }
}

//! The story of a trace: each step in words, and each message from its sender to its end.

mod recorded;

use crate::compare::{Difference, start_view};
use crate::divergence::{self, Divergence};
use crate::rules::{RuleNote, rules_of_steps};
use crate::words::{self, SaidDifference};
use lockstep_model::Rule;
use lockstep_traces::{
    Config, Emitted, Event, Index, Input, Message, NodeView, Outcome, Role, ServerId, Step, Term,
    Trace,
};
use serde::Serialize;
use std::collections::BTreeMap;

/// A path through the state graph, ready to be drawn.
#[derive(Clone, Debug, Serialize)]
pub struct Story {
    /// A short name.
    pub name: String,
    /// Why somebody should look at it.
    pub purpose: String,
    /// The configuration of the servers.
    pub config: Config,
    /// The servers, in order.
    pub servers: Vec<ServerId>,
    /// The state of every server before the first step.
    pub start: NodeView,
    /// The steps, in order.
    pub steps: Vec<StoryStep>,
    /// The messages, in the order in which they were sent.
    pub flights: Vec<Flight>,
    /// The rules that the steps apply, by name.
    pub rules: BTreeMap<&'static str, RuleNote>,
}

/// One step.
#[derive(Clone, Debug, Serialize)]
pub struct StoryStep {
    /// The server that moves, if one does.
    pub server: Option<ServerId>,
    /// The kind of the event, as in traces.
    pub kind: &'static str,
    /// The event, as a sentence.
    pub sentence: String,
    /// The event, in the words of the specification.
    pub event: String,
    /// An input that is not a message, in a few words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The answer to the caller.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// The server that moves, afterwards.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub view: Option<NodeView>,
    /// The changes, field by field.
    pub changes: Vec<String>,
    /// The messages sent.
    pub sent: Vec<String>,
    /// The names of the rules that it applies; [`Story::rules`] has more of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<&'static str>,
    /// A mark on the lifeline: changes of role, term and commit index.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mark: Option<Mark>,
    /// The behaviour of the implementation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actual: Option<Actual>,
    /// In what the two sides differ.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<SaidDifference>,
}

/// The behaviour of the implementation at a step.
#[derive(Clone, Debug, Serialize)]
pub struct Actual {
    /// The answer to the caller.
    pub outcome: String,
    /// The messages that it sent.
    pub sent: Vec<String>,
    /// Its state afterwards.
    pub view: NodeView,
    /// The fields of the view that differ in what is compared.
    pub wrong: Vec<&'static str>,
}

/// A change that a lifeline shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Mark {
    /// The role afterwards.
    pub role: Role,
    /// The role is another one.
    pub new_role: bool,
    /// The new term.
    pub term: Option<Term>,
    /// The new commit index.
    pub commit: Option<Index>,
}

/// A message on its way.
#[derive(Clone, Debug, Serialize)]
pub struct Flight {
    /// The sender.
    pub from: ServerId,
    /// The recipient.
    pub to: ServerId,
    /// The kind, as the paper calls it.
    pub kind: &'static str,
    /// A few words for an arrow.
    pub label: String,
    /// The message as a sentence.
    pub sentence: String,
    /// The step that sent or duplicated it, from zero; `None` if no step of the trace did.
    pub born: Option<usize>,
    /// The flight that it is a copy of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub copy_of: Option<usize>,
    /// It had to wait until something was durable.
    pub after_persist: bool,
    /// Its end.
    pub fate: Fate,
    /// None in a recorded run, of which no line has a whole message.
    #[serde(skip)]
    message: Option<Message>,
}

/// The end of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// Delivered at this step.
    Delivered(usize),
    /// Lost at this step.
    Lost(usize),
    /// Still on its way.
    InFlight,
}

impl Story {
    /// The story of a trace.
    pub fn of_trace(trace: &Trace) -> Story {
        let header = &trace.header;
        let mut story = Story::of_steps(&header.config, &trace.steps);
        story.name.clone_from(&header.name);
        story.purpose.clone_from(&header.purpose);
        story
    }

    /// The story of a divergence: expected beside actual at the last step.
    pub fn of_divergence(found: &Divergence) -> Story {
        let mut story = Story::of_trace(&found.trace);
        let actual = found.actual.as_ref();
        let last = story.steps.len().saturating_sub(1);
        story.set_actual(last, actual, &found.differences);
        story
    }

    /// The story of these steps from the beginning of a cluster on.
    pub fn of_steps(config: &Config, steps: &[Step]) -> Story {
        let mut story = Story {
            name: String::new(),
            purpose: String::new(),
            config: config.clone(),
            servers: config.server_ids().collect(),
            start: start_view(config),
            steps: Vec::with_capacity(steps.len()),
            flights: Vec::new(),
            rules: BTreeMap::new(),
        };
        let rules = rules_of_steps(config, steps);
        let mut views: BTreeMap<ServerId, NodeView> = BTreeMap::new();
        for (position, step) in steps.iter().enumerate() {
            story.follow_message(position, &step.event);
            let mut told = story.tell(position, step, &mut views);
            told.rules = rules[position].iter().map(Rule::name).collect();
            let notes = rules[position]
                .iter()
                .map(|rule| (rule.name(), rule.into()));
            story.rules.extend(notes);
            story.steps.push(told);
        }
        story
    }

    /// Puts what the implementation did beside what is expected at a step.
    pub fn set_actual(
        &mut self,
        step: usize,
        actual: Option<&divergence::Actual>,
        differences: &[Difference],
    ) {
        let Some(step) = self.steps.get_mut(step) else {
            return;
        };
        step.actual = actual.map(|it| Actual {
            outcome: words::outcome(it.output.outcome),
            sent: it.output.sent.iter().map(words::emitted).collect(),
            view: it.view.clone(),
            wrong: wrong_fields(differences),
        });
        step.differences = differences.iter().map(words::difference).collect();
    }

    /// Returns the view of a server after this number of steps.
    pub fn view_after(&self, steps: usize, server: ServerId) -> &NodeView {
        let before = self.steps.iter().take(steps).rev();
        let mut moves = before.filter(|step| step.server == Some(server));
        let view = moves.find_map(|step| step.view.as_ref());
        view.unwrap_or(&self.start)
    }

    /// The messages in flight after the last step.
    pub fn in_flight(&self) -> impl Iterator<Item = &Flight> {
        self.flights.iter().filter(|it| it.fate == Fate::InFlight)
    }

    fn tell(
        &mut self,
        position: usize,
        step: &Step,
        views: &mut BTreeMap<ServerId, NodeView>,
    ) -> StoryStep {
        let server = step.event.server();
        let mut told = StoryStep {
            server,
            kind: words::event_kind(&step.event),
            sentence: words::sentence(&step.event),
            event: words::event(&step.event),
            label: label(&step.event),
            outcome: None,
            view: None,
            changes: Vec::new(),
            sent: Vec::new(),
            rules: Vec::new(),
            mark: None,
            actual: None,
            differences: Vec::new(),
        };
        if let (Some(server), Some(expected)) = (server, &step.expected) {
            let before = views.get(&server);
            told.changes = words::changes(before, expected);
            told.mark = mark(before.unwrap_or(&self.start), &expected.view);
            told.sent = expected.sent.iter().map(words::emitted).collect();
            told.outcome = match expected.outcome {
                Outcome::Accepted => None,
                refused @ Outcome::Refused(_) => Some(words::outcome(refused)),
            };
            told.view = Some(expected.view.clone());
            views.insert(server, expected.view.clone());
            for emitted in &expected.sent {
                let flight = flight(emitted, Some(position));
                self.flights.push(flight);
            }
        }
        told
    }

    /// Ends or copies the message that an event is about: of equal ones the oldest.
    fn follow_message(&mut self, position: usize, event: &Event) {
        let (message, fate) = match event {
            Event::Server {
                input: Input::Deliver(message),
                ..
            } => (message, Some(Fate::Delivered(position))),
            Event::Server { .. } => return,
            Event::Duplicate(message) => (message, None),
            Event::Drop(message) => (message, Some(Fate::Lost(position))),
        };
        let waits = |it: &Flight| it.fate == Fate::InFlight && it.message.as_ref() == Some(message);
        let found = self.flights.iter().position(waits).unwrap_or_else(|| {
            // A stranger sent it, or nobody.
            let emitted = Emitted {
                message: message.clone(),
                after_persist: false,
            };
            self.flights.push(flight(&emitted, None));
            self.flights.len() - 1
        });
        match fate {
            Some(fate) => self.flights[found].fate = fate,
            None => {
                let copy = Flight {
                    born: Some(position),
                    copy_of: Some(found),
                    ..self.flights[found].clone()
                };
                self.flights.push(copy);
            }
        }
    }
}

/// The fields of a view, as traces name them, in which the two sides differ.
fn wrong_fields(differences: &[Difference]) -> Vec<&'static str> {
    let fields = differences.iter().filter_map(|it| match it {
        Difference::WrongState { peer: Some(_), .. } => Some("peers"),
        Difference::WrongState { field, .. }
        | Difference::Bystander { field, .. }
        | Difference::WrongStart { field, .. } => Some(field.name()),
        _ => None,
    });
    let mut fields: Vec<_> = fields.collect();
    fields.dedup();
    fields
}

fn label(event: &Event) -> Option<String> {
    match event {
        Event::Server {
            input: Input::Deliver(_),
            ..
        }
        | Event::Duplicate(_)
        | Event::Drop(_) => None,
        Event::Server { input, .. } => Some(words::input_label(input)),
    }
}

fn mark(before: &NodeView, after: &NodeView) -> Option<Mark> {
    let mark = Mark {
        role: after.role,
        new_role: before.role != after.role,
        term: (before.term != after.term).then_some(after.term),
        commit: (before.commit != after.commit).then_some(after.commit),
    };
    (mark.new_role || mark.term.is_some() || mark.commit.is_some()).then_some(mark)
}

fn flight(emitted: &Emitted, born: Option<usize>) -> Flight {
    let message = &emitted.message;
    Flight {
        from: message.from,
        to: message.to,
        kind: words::message_kind(&message.body),
        label: words::message_label(message),
        sentence: words::message_sentence(message),
        born,
        copy_of: None,
        after_persist: emitted.after_persist,
        fate: Fate::InFlight,
        message: Some(message.clone()),
    }
}

//! The story of a recorded run that the specification does not allow: its last lines, each with the state that explains
//! it, and the line that nothing explains beside what it would have to say.

use super::{Fate, Flight, Story, StoryStep, mark};
use crate::compare::start_view;
use crate::validate::line::Line;
use crate::validate::moment::{Kind, Seen};
use crate::validate::told::Told;
use crate::words::{self, SaidDifference};
use lockstep_traces::{Config, Expected, NodeView, Outcome, ServerId};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The lines after the sending of a message for which it is shown on its way. Of an older one nobody can say whether
/// it is lost: a recorded run has no line for that.
const ON_ITS_WAY: usize = 12;

impl Story {
    /// The story of these lines; `wrong` is what the last one would have to say.
    pub fn of_recorded(
        name: &str,
        purpose: String,
        config: &Config,
        told: &[Told],
        wrong: &[SaidDifference],
    ) -> Story {
        let mut story = Story {
            name: name.to_owned(),
            purpose,
            config: config.clone(),
            servers: config.server_ids().collect(),
            start: start_view(config),
            steps: Vec::with_capacity(told.len()),
            flights: Vec::new(),
            rules: BTreeMap::new(),
        };
        let mut views: BTreeMap<ServerId, Arc<NodeView>> = BTreeMap::new();
        let mut sent: Vec<Seen> = Vec::new();
        for (position, it) in told.iter().enumerate() {
            let server = ServerId::from(it.line.server);
            story.follow_seen(position, &it.line, &mut sent);
            let mut step = step_of(&it.line);
            let before = views.get(&server).map(|it| &**it);
            if it.line.kind == Kind::InitState && before.is_some() {
                step.kind = "restart";
                step.label = Some("restart".to_owned());
            }
            if let Some(view) = &it.view {
                if let Some(before) = before {
                    step.changes = words::changes(Some(before), &expected(view));
                    step.mark = mark(before, view);
                }
                step.view = Some(NodeView::clone(view));
                views.insert(server, Arc::clone(view));
            } else {
                step.differences = wrong.to_vec();
            }
            story.steps.push(step);
        }
        let last = told.len();
        story.flights.retain(|it| {
            let recent = it.born.is_some_and(|born| born + ON_ITS_WAY >= last);
            it.fate != Fate::InFlight || recent
        });
        story
    }

    /// Begins or ends the message of a line.
    fn follow_seen(&mut self, position: usize, line: &Line, sent: &mut Vec<Seen>) {
        let Some(seen) = line.message.as_ref().filter(|it| it.from != it.to) else {
            return;
        };
        let mut flights = self.flights.iter().zip(&*sent);
        let waiting = flights.position(|(flight, it)| it == seen && flight.fate == Fate::InFlight);
        match (line.kind.receives(), waiting) {
            (true, Some(place)) => self.flights[place].fate = Fate::Delivered(position),
            (receives, _) => {
                let (born, fate) = match receives {
                    true => (None, Fate::Delivered(position)),
                    false => (Some(position), Fate::InFlight),
                };
                self.flights.push(Flight {
                    from: seen.from.into(),
                    to: seen.to.into(),
                    kind: seen.body,
                    label: label(seen),
                    sentence: seen.to_string(),
                    born,
                    copy_of: None,
                    after_persist: false,
                    fate,
                    message: None,
                });
                sent.push(seen.clone());
            }
        }
    }
}

fn step_of(line: &Line) -> StoryStep {
    let name = line.kind.name();
    let (number, server) = (line.number, line.server);
    let sentence = match &line.message {
        Some(seen) if line.kind.receives() => format!("line {number}: receives {seen}"),
        Some(seen) => format!("line {number}: sends {seen}"),
        None => format!("line {number}: {name} of server {server}"),
    };
    StoryStep {
        server: Some(server.into()),
        kind: "recorded",
        sentence,
        event: line.to_string(),
        label: line.message.is_none().then(|| name.to_owned()),
        outcome: None,
        view: None,
        changes: Vec::new(),
        sent: Vec::new(),
        rules: Vec::new(),
        mark: None,
        actual: None,
        differences: Vec::new(),
    }
}

fn expected(view: &NodeView) -> Expected {
    Expected {
        outcome: Outcome::Accepted,
        view: view.clone(),
        sent: Vec::new(),
        read_states: Vec::new(),
    }
}

/// A message in as few words as fit on an arrow.
fn label(seen: &Seen) -> String {
    let sign = if seen.reject { '✗' } else { '✓' };
    match (seen.body, seen.entries) {
        ("AppendEntries", 1) => format!("AppendEntries {}", seen.index + 1),
        ("AppendEntries", many @ 2..) => {
            format!("AppendEntries {}..{}", seen.index + 1, seen.index + many)
        }
        ("AppendEntriesAccepted", _) => format!("AppendResponse ✓{}", seen.index),
        ("AppendEntriesRejected", _) => format!("AppendResponse ✗{}", seen.index),
        ("RequestVoteResponse", _) => format!("VoteResponse {sign}"),
        ("RequestPreVoteResponse", _) => format!("PreVoteResponse {sign}"),
        (body, _) => body.to_owned(),
    }
}

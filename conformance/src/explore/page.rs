//! Everything that the browser shows of a state, as one JSON object.

use super::link::{LinkError, Walked, encode, menu};
use super::models::{NamedModel, Setting, settings};
use crate::path::{budget_name, steps_along};
use crate::show::{Beside, Story, svg};
use crate::words;
use lockstep_model::properties::{state_properties, step_properties, witnesses};
use lockstep_model::{Action, Bounds, Budget, Cluster, ClusterState, Kind};
use lockstep_traces::{Event, Input, Message, Outcome, ServerId, Step};
use serde::Serialize;

/// A state, the way to it, and what may happen next.
#[derive(Debug, Serialize)]
pub struct Page {
    /// The model.
    pub model: ModelInfo,
    /// The link of the path up to here.
    pub path: String,
    /// The link of what follows, as far as the visitor went before.
    pub future: String,
    /// By which a link of another version of the specification is noticed.
    pub seal: String,
    /// The number of steps that lead here.
    pub at: usize,
    /// The whole path, with what follows.
    pub story: Story,
    /// Its diagram.
    pub svg: String,
    /// The next events at servers.
    pub servers: Vec<ServerActions>,
    /// The next events to messages.
    pub messages: Vec<MessageActions>,
    /// The rest of each budget.
    pub budgets: Vec<BudgetRow>,
    /// Properties, here and at the last step.
    pub properties: Vec<PropertyRow>,
    /// Witnesses reached on the path.
    pub witnesses: Vec<WitnessRow>,
    /// Whether the state is within the bounds.
    pub within_bounds: bool,
    /// The first step at which the implementation differs, from zero.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub diverged_at: Option<usize>,
}

/// A model, as shown.
#[derive(Clone, Debug, Serialize)]
pub struct ModelInfo {
    /// The word that names it in addresses.
    pub key: String,
    /// The preset.
    pub preset: &'static str,
    /// The purpose of the preset.
    pub purpose: &'static str,
    /// Switches and bounds.
    pub settings: Vec<Setting>,
}

/// The actions of one server.
#[derive(Debug, Serialize)]
pub struct ServerActions {
    /// The server.
    pub server: ServerId,
    /// Its actions.
    pub actions: Vec<ActionRow>,
}

/// The next events to one message.
#[derive(Debug, Serialize)]
pub struct MessageActions {
    /// The sender.
    pub from: ServerId,
    /// The recipient.
    pub to: ServerId,
    /// Its kind.
    pub kind: &'static str,
    /// The message as a sentence.
    pub sentence: String,
    /// The number of copies in flight.
    pub copies: usize,
    /// Its actions.
    pub actions: Vec<ActionRow>,
}

/// An action.
#[derive(Debug, Serialize)]
pub struct ActionRow {
    /// The letters that it adds to a link.
    pub link: String,
    /// The kind of event, as in traces.
    pub kind: &'static str,
    /// The event, as a sentence.
    pub sentence: String,
    /// Its effect, in a few words.
    pub effect: String,
    /// Why it is not taken within the bounds; absent if it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disabled: Option<String>,
}

/// A budget.
#[derive(Debug, Serialize)]
pub struct BudgetRow {
    /// Its name.
    pub name: &'static str,
    /// The part of it that is spent.
    pub spent: u16,
    /// The limit.
    pub limit: u16,
}

/// A property.
#[derive(Debug, Serialize)]
pub struct PropertyRow {
    /// Its name.
    pub name: &'static str,
    /// Its statement, with the source.
    pub source: &'static str,
    /// `state` or `step`.
    pub kind: &'static str,
    /// Whether it says anything here.
    pub antecedent: bool,
    /// Whether it holds here.
    pub holds: bool,
    /// The first step of the path that violates it, from zero.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub violated_at: Option<usize>,
}

/// A witness.
#[derive(Debug, Serialize)]
pub struct WitnessRow {
    /// Its name.
    pub name: &'static str,
    /// The story.
    pub story: &'static str,
    /// A preset in which it is reached.
    pub preset: &'static str,
    /// The first step of the path that reaches it, from zero.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reached_at: Option<usize>,
}

/// The path of a link and of what follows it.
pub struct Visit {
    /// Both together.
    pub walked: Walked,
    /// The number of steps of it that are the path.
    pub at: usize,
}

impl Visit {
    /// Follows a link, and what follows it.
    ///
    /// # Errors
    ///
    /// One of them leads nowhere.
    pub fn follow(cluster: &Cluster, path: &str, future: &str) -> Result<Visit, LinkError> {
        let at = super::link::decode(path)?.len();
        let walked = Walked::follow(cluster, &format!("{path}{future}"))?;
        Ok(Visit { walked, at })
    }

    /// The state that is looked at.
    pub fn state(&self) -> &ClusterState {
        &self.walked.states[self.at]
    }

    /// The steps, with what the specification expects at each.
    pub fn steps(&self, cluster: &Cluster) -> Vec<Step> {
        steps_along(cluster, &self.walked.actions)
    }

    /// The path alone.
    pub fn path(&self) -> Walked {
        Walked {
            numbers: self.walked.numbers[..self.at].to_vec(),
            actions: self.walked.actions[..self.at].to_vec(),
            states: self.walked.states[..=self.at].to_vec(),
        }
    }
}

/// The page of a visit; `beside` is what the implementation did along the steps.
pub fn page(model: &NamedModel, visit: &Visit, beside: Option<&Beside>) -> Page {
    let cluster = &model.cluster;
    let config = cluster.settings().config();
    let mut story = Story::of_steps(&config, &visit.steps(cluster));
    story.name = model.key.clone();
    if let Some(beside) = beside {
        beside.tell(&mut story);
    }
    let state = visit.state();
    let (servers, messages) = actions(cluster, state);
    let path = visit.path();
    Page {
        model: info(model),
        path: path.link(),
        future: encode(&visit.walked.numbers[visit.at..]),
        seal: path.seal(cluster),
        at: visit.at,
        svg: svg(&story),
        servers,
        messages,
        budgets: budgets(cluster, state),
        properties: properties(cluster, &path),
        witnesses: reached(cluster, &path),
        within_bounds: cluster.is_within(state),
        diverged_at: beside.and_then(Beside::first_difference),
        story,
    }
}

/// Describes a model.
pub fn info(model: &NamedModel) -> ModelInfo {
    let cluster = &model.cluster;
    ModelInfo {
        key: model.key.clone(),
        preset: model.preset.name,
        purpose: model.preset.purpose,
        settings: settings(&cluster.settings().config(), cluster.bounds()),
    }
}

/// Every action of a state by server and message, with the reason where the bounds do not allow it.
fn actions(cluster: &Cluster, state: &ClusterState) -> (Vec<ServerActions>, Vec<MessageActions>) {
    let mut servers: Vec<ServerActions> = state
        .servers()
        .map(|server| ServerActions {
            server: server.id(),
            actions: Vec::new(),
        })
        .collect();
    let mut messages: Vec<(Message, MessageActions)> = state
        .network()
        .map(|(message, copies)| {
            let shown = MessageActions {
                from: message.from,
                to: message.to,
                kind: words::message_kind(&message.body),
                sentence: words::message_sentence(&message),
                copies,
                actions: Vec::new(),
            };
            (message, shown)
        })
        .collect();
    messages.sort_by_key(|(message, _)| (message.to, message.from));
    let (mut enabled, mut matter) = (Vec::new(), Vec::new());
    cluster.enabled(state, &mut enabled);
    Cluster::new(*cluster.settings(), Bounds::UNLIMITED).enabled(state, &mut matter);
    for (number, action) in menu(cluster, state).into_iter().enumerate() {
        let event = cluster.event(state, &action);
        let standing = if enabled.contains(&action) {
            Standing::Enabled
        } else if matter.contains(&action) {
            Standing::Spent
        } else {
            Standing::Idle
        };
        let row = row(cluster, state, action, number, standing);
        match event {
            Event::Server {
                input: Input::Deliver(message),
                ..
            }
            | Event::Duplicate(message)
            | Event::Drop(message) => {
                let mut all = messages.iter_mut();
                if let Some((_, shown)) = all.find(|(it, _)| *it == message) {
                    shown.actions.push(row);
                }
            }
            Event::Server { server, .. } => {
                let mut all = servers.iter_mut();
                if let Some(shown) = all.find(|it| it.server == server) {
                    shown.actions.push(row);
                }
            }
        }
    }
    let messages = messages.into_iter().map(|(_, shown)| shown).collect();
    (servers, messages)
}

/// The status of an action within the bounds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// It is enabled.
    Enabled,
    /// It would be, but for a budget.
    Spent,
    /// It is an input that the server ignores or refuses.
    Idle,
}

fn row(
    cluster: &Cluster,
    state: &ClusterState,
    action: Action,
    number: usize,
    standing: Standing,
) -> ActionRow {
    let event = cluster.event(state, &action);
    let transition = cluster.apply(state, &action);
    let changed = transition.next.servers().zip(state.servers());
    let idle = changed.into_iter().all(|(next, now)| next == now) && transition.sent.is_empty();
    let effect = match (transition.outcome, transition.moved) {
        (refused @ Outcome::Refused(_), _) => words::outcome(refused),
        (Outcome::Accepted, None) => String::new(),
        (Outcome::Accepted, Some(_)) if idle => "changes nothing".to_owned(),
        (Outcome::Accepted, Some(_)) => match transition.sent.len() {
            0 => String::new(),
            1 => "sends 1 message".to_owned(),
            many => format!("sends {many} messages"),
        },
    };
    let disabled = match standing {
        Standing::Enabled if transition.within_bound => None,
        Standing::Idle => Some("means nothing in this role".to_owned()),
        _ => Some(reason(cluster, state, action, &transition.next)),
    };
    ActionRow {
        link: encode(&[number]),
        kind: words::event_kind(&event),
        sentence: words::sentence(&event),
        effect,
        disabled,
    }
}

/// Why an action is not taken within the bounds.
fn reason(cluster: &Cluster, state: &ClusterState, action: Action, next: &ClusterState) -> String {
    let bounds = cluster.bounds();
    if let Some(kind) = action.kind() {
        if let Budget::Times(limit) = bounds.budget(kind) {
            let spent = state.spent().of(kind);
            if spent >= limit {
                let name = budget_name(kind).replace('_', " ");
                if limit == 0 {
                    return format!("no {name} within the bounds");
                }
                return format!("budget spent: {spent} of {limit} {name}");
            }
        }
        if let Budget::Times(limit) = bounds.disturbances
            && !bounds.allow(kind, state.spent())
        {
            let spent = state.spent().disturbances();
            return format!("budget spent: {spent} of {limit} disturbances");
        }
    }
    let term = next.servers().map(|it| it.term().0).max().unwrap_or(0);
    if term > u64::from(bounds.max_term) {
        return format!(
            "leads out of the bound: term {term} of at most {}",
            bounds.max_term
        );
    }
    let (many, most) = (next.in_flight(), bounds.max_in_flight);
    format!("leads out of the bound: {many} messages in flight of at most {most}")
}

fn budgets(cluster: &Cluster, state: &ClusterState) -> Vec<BudgetRow> {
    let bounds = cluster.bounds();
    let limited = Kind::ALL.into_iter().filter_map(|kind| {
        let Budget::Times(limit) = bounds.budget(kind) else {
            return None;
        };
        Some(BudgetRow {
            name: budget_name(kind),
            spent: state.spent().of(kind),
            limit,
        })
    });
    let mut rows: Vec<_> = limited.collect();
    if let Budget::Times(limit) = bounds.disturbances {
        rows.push(BudgetRow {
            name: "disturbances",
            spent: state.spent().disturbances(),
            limit,
        });
    }
    let sizes = [
        (
            "term",
            state.servers().map(|it| it.term().0).max().unwrap_or(0),
            u64::from(bounds.max_term),
        ),
        (
            "in_flight",
            state.in_flight() as u64,
            bounds.max_in_flight as u64,
        ),
    ];
    rows.extend(sizes.into_iter().filter_map(|(name, spent, limit)| {
        Some(BudgetRow {
            name,
            spent: u16::try_from(spent).ok()?,
            limit: u16::try_from(limit).ok()?,
        })
    }));
    rows
}

/// Every property with its antecedent, at the last state and step of a path.
fn properties(cluster: &Cluster, path: &Walked) -> Vec<PropertyRow> {
    let state = path.last();
    let states = state_properties().iter().map(|it| PropertyRow {
        name: it.name,
        source: it.source,
        kind: "state",
        antecedent: it.antecedent(cluster, state),
        holds: it.holds(cluster, state),
        violated_at: path
            .states
            .iter()
            .position(|state| !it.holds(cluster, state)),
    });
    let last = path.actions.len().checked_sub(1);
    let at = |number: usize| {
        let (before, after) = (&path.states[number], &path.states[number + 1]);
        (before, &path.actions[number], after)
    };
    let steps = step_properties().iter().map(|it| PropertyRow {
        name: it.name,
        source: it.source,
        kind: "step",
        antecedent: last
            .map(at)
            .is_some_and(|(before, action, after)| it.antecedent(cluster, before, action, after)),
        holds: last
            .map(at)
            .is_none_or(|(before, action, after)| it.holds(cluster, before, action, after)),
        violated_at: (0..path.actions.len()).find(|number| {
            let (before, action, after) = at(*number);
            !it.holds(cluster, before, action, after)
        }),
    });
    states.chain(steps).collect()
}

/// Every witness, and where the path reaches it.
fn reached(cluster: &Cluster, path: &Walked) -> Vec<WitnessRow> {
    let rows = witnesses().iter().map(|it| {
        let reached_at = (0..path.actions.len()).find(|number| {
            let (before, after) = (&path.states[*number], &path.states[number + 1]);
            it.is_state(cluster, after)
                || it.is_step(cluster, before, &path.actions[*number], after)
        });
        WitnessRow {
            name: it.name,
            story: it.story,
            preset: it.preset,
            reached_at,
        }
    });
    rows.collect()
}

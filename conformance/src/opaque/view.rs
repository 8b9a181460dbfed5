//! The view that a program shows of a server, in the vocabulary of the properties.

use super::wire::{Description, Shown, View};
use crate::digest::digest_of;
use lockstep_model::{Server, Settings};
use lockstep_traces::{Config, Entry, Index, NodeView, Payload, Role, ServerId, Term};
use serde_json::Value;

/// Payloads that are no small numbers are known by a digest with this bit.
const DIGEST: u64 = 1 << 62;

/// The view, with what the program does not show worked out so that it breaks no property.
///
/// # Errors
///
/// A field that it declared is missing, or one that it did not declare is there.
pub fn node_view(id: ServerId, view: &View, declared: &Description) -> Result<NodeView, String> {
    let optional = [
        (Shown::Vote, view.vote.is_some()),
        (Shown::Applied, view.applied.is_some()),
        (Shown::Leader, view.leader.is_some()),
        (
            Shown::Match,
            view.matched.is_some() || view.role != Role::Leader,
        ),
        (Shown::Durable, view.durable.is_some()),
    ];
    for (field, there) in optional {
        let name = field.name();
        let declares = declared.shows(&[field]);
        if declares && !there {
            return Err(format!(
                "`{name}` is missing from a view, and the program declared that it shows it"
            ));
        }
        if !declares && there && field != Shown::Match {
            return Err(format!(
                "`{name}` is in a view, and the program did not declare it"
            ));
        }
    }
    let mut shown = template(id)?;
    let leader = (view.role == Role::Leader).then_some(id);
    shown.role = view.role;
    shown.term = Term(view.term);
    shown.vote = view.vote.flatten();
    shown.leader = view.leader.unwrap_or(leader);
    shown.log = log(&view.log);
    shown.commit = Index(view.commit);
    shown.applied = Index(view.applied.unwrap_or(view.commit));
    shown.votes.clear();
    shown.peers.clear();
    if let Some(matched) = &view.matched {
        shown.peers = matched
            .iter()
            .map(|(peer, index)| (*peer, peer_view(*index)))
            .collect();
    }
    let durable = view.durable.as_ref();
    shown.durable.term = durable.map_or(shown.term, |it| Term(it.term));
    shown.durable.vote = durable.map_or(shown.vote, |it| it.vote);
    shown.durable.log = durable.map_or_else(|| shown.log.clone(), |it| log(&it.log));
    Ok(shown)
}

/// A view in which nothing has happened.
fn template(id: ServerId) -> Result<NodeView, String> {
    let settings = Settings::new(&Config::PAPER).map_err(|error| error.to_string())?;
    let id = if id.get() <= Config::PAPER.servers {
        id
    } else {
        ServerId::new(1).unwrap_or(id)
    };
    Ok(Server::new(&settings, id).view(&settings))
}

fn peer_view(matched: u64) -> lockstep_traces::PeerView {
    lockstep_traces::PeerView {
        matched: Index(matched),
        next: Index(matched.saturating_add(1)),
        state: lockstep_traces::ProgressState::Replicate,
        paused: false,
        recent_active: true,
        commit_sent: Index(0),
        inflight: Vec::new(),
        pending_snapshot: None,
    }
}

fn log(entries: &[(u64, Value)]) -> Vec<Entry> {
    let entries = entries.iter().map(|(term, payload)| Entry {
        term: Term(*term),
        payload: payload_of(payload),
    });
    entries.collect()
}

fn payload_of(value: &Value) -> Payload {
    match value {
        Value::Null => Payload::Empty,
        Value::Number(number) if number.as_u64().is_some_and(|it| it < DIGEST) => {
            Payload::Value(number.as_u64().unwrap_or_default())
        }
        other => Payload::Value((digest_of(&other.to_string()) as u64 % DIGEST) | DIGEST),
    }
}

/// The highest number in a log that a client has proposed.
pub fn highest_value(view: &NodeView) -> u64 {
    let value = |entry: &Entry| match entry.payload {
        Payload::Value(value) if value < DIGEST => value,
        _ => 0,
    };
    view.log.iter().map(value).max().unwrap_or(0)
}

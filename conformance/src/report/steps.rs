//! A trace as a table: what happened at each step, what it changed, and what was sent.

use super::Table;
use lockstep_conformance::compare::start_view;
use lockstep_traces::{
    Body, Emitted, Entry, Event, Expected, Input, Message, NodeView, Outcome, Payload, PeerView,
    ProgressState, Refusal, Role, ServerId, Step,
};
use serde::Serialize;
use std::collections::BTreeMap;

/// A path through the state graph, step by step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StepTable {
    /// What the path shows.
    pub title: String,
    /// One row a step.
    pub rows: Vec<StepRow>,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StepRow {
    /// Counted from one.
    pub step: usize,
    /// What happened.
    pub event: String,
    /// What it changed at the server that moved, field by field; "nothing" is said in words.
    pub changes: Vec<String>,
    /// The messages that were sent.
    pub sent: Vec<String>,
}

impl StepTable {
    /// The table of these steps, from the beginning of a cluster on.
    pub fn new(title: impl Into<String>, steps: &[Step]) -> StepTable {
        let mut before = BTreeMap::new();
        let rows = steps.iter().enumerate().map(|(position, step)| {
            let (changes, sent) = match (step.event.server(), &step.expected) {
                (Some(server), Some(expected)) => {
                    let old = before.insert(server, &expected.view);
                    (
                        changes(old, expected),
                        expected.sent.iter().map(emitted).collect(),
                    )
                }
                _ => (Vec::new(), Vec::new()),
            };
            StepRow {
                step: position + 1,
                event: event(&step.event),
                changes,
                sent,
            }
        });
        StepTable {
            title: title.into(),
            rows: rows.collect(),
        }
    }

    /// The rows as cells.
    pub fn to_table(&self) -> Table {
        let rows = self.rows.iter().map(|row| {
            vec![
                row.step.into(),
                row.event.clone().into(),
                row.changes.join("\n").into(),
                row.sent.join("\n").into(),
            ]
        });
        let columns = ["step", "event", "changes", "sends"];
        Table::new(self.title.clone(), &columns, rows.collect())
    }

    /// The rows as plain lines.
    pub fn to_text(&self) -> String {
        let lines = self.rows.iter().map(|row| {
            let changes = row.changes.join("; ");
            let sent = row.sent.join("; ");
            format!("{}. {} | {changes} | {sent}", row.step, row.event)
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}

/// What an input changed at a server and what it sent, line by line.
pub fn describe(before: &NodeView, expected: &Expected) -> String {
    let sent = expected
        .sent
        .iter()
        .map(|it| format!("sends {}", emitted(it)));
    let lines = changes(Some(before), expected).into_iter().chain(sent);
    lines.collect::<Vec<_>>().join("\n")
}

fn changes(old: Option<&NodeView>, expected: &Expected) -> Vec<String> {
    let mut rows = Vec::new();
    if let Outcome::Refused(why) = expected.outcome {
        let why = match why {
            Refusal::ProposalDropped => "proposal dropped",
            Refusal::UnknownPeer => "unknown peer",
            Refusal::LocalMessage => "local message",
        };
        rows.push(format!("refused: {why}"));
    }
    let initial = start_view();
    let (old, new) = (old.unwrap_or(&initial), &expected.view);
    let mut change = |name: &str, old: String, new: String| {
        if old != new {
            rows.push(format!("{name} {old} → {new}"));
        }
    };
    change("role", role(old.role), role(new.role));
    change("term", old.term.to_string(), new.term.to_string());
    change("vote", server(old.vote), server(new.vote));
    change("leader", server(old.leader), server(new.leader));
    change("lease", live(old.lease), live(new.lease));
    change("votes", votes(&old.votes), votes(&new.votes));
    change("log", log(&old.log), log(&new.log));
    change("commit", old.commit.to_string(), new.commit.to_string());
    change("applied", old.applied.to_string(), new.applied.to_string());
    for (id, peer) in &new.peers {
        let before = old.peers.get(id).map_or_else(|| "–".to_owned(), progress);
        change(&format!("peer {id}"), before, progress(peer));
    }
    let durable = |view: &NodeView| {
        let image = &view.durable;
        let same = image.term == view.term
            && image.vote == view.vote
            && image.commit == view.commit
            && image.log == view.log;
        if same {
            "current".to_owned()
        } else {
            let (term, vote) = (image.term, server(image.vote));
            format!(
                "term {term} vote {vote} commit {} log {}",
                image.commit,
                log(&image.log)
            )
        }
    };
    change("durable", durable(old), durable(new));
    if rows.is_empty() {
        rows.push("nothing".to_owned());
    }
    rows
}

/// An event in words: the moving server first, as in the specification's action names.
pub fn event(event: &Event) -> String {
    match event {
        Event::Server { server, input } => match input {
            Input::Timeout => format!("Timeout({server})"),
            Input::LeaseExpire => format!("LeaseExpire({server})"),
            Input::Heartbeat => format!("Heartbeat({server})"),
            Input::CheckQuorum => format!("CheckQuorum({server})"),
            Input::Propose(value) => format!("Propose({server}, {value})"),
            Input::Deliver(it) => format!("Deliver {}", message(it)),
            Input::Restart => format!("Restart({server})"),
        },
        Event::Duplicate(it) => format!("Duplicate {}", message(it)),
        Event::Drop(it) => format!("Drop {}", message(it)),
    }
}

/// A message that was sent, and whether it had to wait until something was durable.
pub fn emitted(emitted: &Emitted) -> String {
    let wait = if emitted.after_persist {
        " (after persist)"
    } else {
        ""
    };
    format!("{}{wait}", message(&emitted.message))
}

/// A message in one line: from, to, kind, term, and what it says.
pub fn message(message: &Message) -> String {
    let Message {
        from,
        to,
        term,
        body,
    } = message;
    let (kind, says) = match body {
        Body::RequestVote {
            last_index,
            last_term,
        } => ("RequestVote", format!(" last {last_index}@{last_term}")),
        Body::RequestVoteResponse { granted } => ("RequestVoteResponse", grant(*granted)),
        Body::RequestPreVote {
            last_index,
            last_term,
        } => ("RequestPreVote", format!(" last {last_index}@{last_term}")),
        Body::RequestPreVoteResponse { granted } => ("RequestPreVoteResponse", grant(*granted)),
        Body::AppendEntries {
            prev_index,
            prev_term,
            entries,
            commit,
        } => {
            let entries = log(entries);
            let says = format!(" prev {prev_index}@{prev_term} entries {entries} commit {commit}");
            ("AppendEntries", says)
        }
        Body::AppendEntriesResponse {
            index,
            rejected: None,
        } => ("AppendEntriesResponse", format!(" accepted {index}")),
        Body::AppendEntriesResponse {
            index,
            rejected: Some(hint),
        } => {
            let says = format!(" rejected {index} hint {}@{}", hint.index, hint.term);
            ("AppendEntriesResponse", says)
        }
        Body::Heartbeat { commit } => ("Heartbeat", format!(" commit {commit}")),
        Body::HeartbeatResponse => ("HeartbeatResponse", String::new()),
    };
    format!("{from}→{to} {kind} term {term}{says}")
}

fn grant(granted: bool) -> String {
    if granted { " granted" } else { " refused" }.to_owned()
}

fn role(role: Role) -> String {
    match role {
        Role::Follower => "Follower",
        Role::PreCandidate => "PreCandidate",
        Role::Candidate => "Candidate",
        Role::Leader => "Leader",
    }
    .to_owned()
}

fn server(id: Option<ServerId>) -> String {
    id.map_or_else(|| "–".to_owned(), |id| id.to_string())
}

fn live(lease: bool) -> String {
    if lease { "live" } else { "none" }.to_owned()
}

fn votes(votes: &BTreeMap<ServerId, bool>) -> String {
    let sign = |granted: bool| if granted { '+' } else { '-' };
    let votes = votes
        .iter()
        .map(|(id, granted)| format!("{}{id}", sign(*granted)));
    format!("{{{}}}", votes.collect::<Vec<_>>().join(" "))
}

/// A log as its entries, each `value@term`; an empty entry is `∅`.
fn log(entries: &[Entry]) -> String {
    let entries = entries.iter().map(|entry| match entry.payload {
        Payload::Empty => format!("∅@{}", entry.term),
        Payload::Value(value) => format!("{value}@{}", entry.term),
    });
    format!("[{}]", entries.collect::<Vec<_>>().join(" "))
}

fn progress(peer: &PeerView) -> String {
    let state = match peer.state {
        ProgressState::Probe => "Probe",
        ProgressState::Replicate => "Replicate",
        ProgressState::Snapshot => "Snapshot",
    };
    let mut text = format!(
        "{state} match {} next {} commit sent {}",
        peer.matched, peer.next, peer.commit_sent
    );
    if peer.paused {
        text.push_str(" paused");
    }
    if peer.recent_active {
        text.push_str(" active");
    }
    if !peer.inflight.is_empty() {
        let inflight: Vec<_> = peer.inflight.iter().map(ToString::to_string).collect();
        text.push_str(&format!(" inflight {}", inflight.join(" ")));
    }
    text
}

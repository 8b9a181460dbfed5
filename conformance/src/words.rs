//! Events, messages and states in words: one place for every table, diagram and page.

use crate::compare::Difference;
use lockstep_traces::{
    Body, DurableImage, Emitted, Entry, Event, Expected, Field, Fields, Index, Input, Message,
    NodeView, Outcome, Pairs, Payload, ReadState, RejectHint, Role, ServerId, Show, Snapshot, Term,
    Value, for_each_peer,
};
use serde::Serialize;
use std::collections::BTreeMap;

/// Describes the changes at a server and the messages it sent on an input, line by line.
pub fn describe(before: &NodeView, expected: &Expected) -> String {
    let sent = expected
        .sent
        .iter()
        .map(|it| format!("sends {}", emitted(it)));
    let lines = changes(Some(before), expected).into_iter().chain(sent);
    lines.collect::<Vec<_>>().join("\n")
}

/// Describes the changes at a server on an input, field by field; the word "nothing" if there are none.
pub fn changes(old: Option<&NodeView>, expected: &Expected) -> Vec<String> {
    let Expected {
        outcome,
        view: new,
        sent: _, // In a column of its own.
        read_states,
    } = expected;
    let initial = NodeView::default();
    let old = old.unwrap_or(&initial);
    let mut changes = Changes {
        rows: Vec::new(),
        durable_is_current: [old, new].map(durable_is_current),
    };
    if let Outcome::Refused(_) = outcome {
        changes.rows.push(outcome.show());
    }
    let answered = read_states
        .iter()
        .map(|ReadState { context, index }| match index {
            Some(index) => format!("answers read {context} at index {index}"),
            None => format!("gives up read {context}"),
        });
    changes.rows.extend(answered);
    NodeView::pair(Some(old), Some(new), None, &mut changes);
    if changes.rows.is_empty() {
        changes.rows.push("nothing".to_owned());
    }
    changes.rows
}

/// One row a field that changed, and one a peer.
struct Changes {
    rows: Vec<String>,
    /// The durable image repeats the state, and then it is shown by this word: old and new.
    durable_is_current: [bool; 2],
}

impl Changes {
    fn row(&mut self, name: &str, [old, new]: [Option<String>; 2]) {
        if old != new {
            let text = |side: Option<String>| side.unwrap_or_else(|| "–".to_owned());
            self.rows
                .push(format!("{name} {} → {}", text(old), text(new)));
        }
    }
}

impl Pairs for Changes {
    fn whole<T: Value>(
        &mut self,
        [field]: [Field; 1],
        _: Option<ServerId>,
        old: Option<&T>,
        new: Option<&T>,
    ) {
        let current = match field {
            Field::Durable => self.durable_is_current,
            _ => [false; 2],
        };
        let text = |value: Option<&T>, current: bool| match current {
            true => Some("current".to_owned()),
            false => value.map(Show::show),
        };
        let sides = [text(old, current[0]), text(new, current[1])];
        self.row(&field.in_words(), sides);
    }

    fn each<T: Fields + Show>(
        &mut self,
        _: [Field; 0],
        _: Option<ServerId>,
        old: Option<&BTreeMap<ServerId, T>>,
        new: Option<&BTreeMap<ServerId, T>>,
    ) {
        for_each_peer(old, new, |peer, old, new| {
            self.row(
                &format!("peer {peer}"),
                [old, new].map(|it| it.map(Show::show)),
            );
        });
    }
}

fn durable_is_current(view: &NodeView) -> bool {
    let DurableImage {
        term,
        vote,
        commit,
        log,
        snapshot,
    } = &view.durable;
    let plain = (*term, *vote, *commit) == (view.term, view.vote, view.commit);
    plain && (log, snapshot) == (&view.log, &view.snapshot)
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
            Input::TransferLeadership { to } => format!("TransferLeadership({server}, {to})"),
            Input::ProposeConfChange(change) => {
                format!("ProposeConfChange({server}, {})", change.show())
            }
            Input::ForgetLeader => format!("ForgetLeader({server})"),
            Input::Compact => format!("Compact({server})"),
            Input::ReportUnreachable { peer } => format!("ReportUnreachable({server}, {peer})"),
            Input::ReportSnapshot { peer, ok } => {
                format!("ReportSnapshot({server}, {peer}, {})", arrived(*ok))
            }
            Input::Persist => format!("Persist({server})"),
            Input::Apply => format!("Apply({server})"),
            Input::RestartKeeping { writes } => format!("RestartKeeping({server}, {writes})"),
            Input::ReadIndex { context } => format!("ReadIndex({server}, {context})"),
        },
        Event::Duplicate(it) => format!("Duplicate {}", message(it)),
        Event::Drop(it) => format!("Drop {}", message(it)),
    }
}

/// An event in as few words as a list of events in one line can do with: who moves, or the kind of the message
/// and its way.
pub fn brief(event: &Event) -> String {
    let way = |it: &Message| {
        let Message { from, to, body, .. } = it;
        format!("{} {from}→{to}", message_kind(body))
    };
    match event {
        Event::Server { server, input } => match input {
            Input::Deliver(it) => way(it),
            Input::Propose(_) => format!("Propose {server}"),
            Input::Timeout => format!("Timeout {server}"),
            Input::LeaseExpire => format!("LeaseExpire {server}"),
            Input::Heartbeat => format!("Heartbeat {server}"),
            Input::CheckQuorum => format!("CheckQuorum {server}"),
            Input::Restart => format!("Restart {server}"),
            Input::TransferLeadership { to } => format!("TransferLeadership {server}→{to}"),
            Input::ProposeConfChange(_) => format!("ProposeConfChange {server}"),
            Input::ForgetLeader => format!("ForgetLeader {server}"),
            Input::Compact => format!("Compact {server}"),
            Input::ReportUnreachable { peer } => format!("ReportUnreachable {server}→{peer}"),
            Input::ReportSnapshot { peer, ok } => {
                format!("ReportSnapshot {server}→{peer} {}", arrived(*ok))
            }
            Input::Persist => format!("Persist {server}"),
            Input::Apply => format!("Apply {server}"),
            Input::RestartKeeping { writes } => format!("Restart {server} keeping {writes}"),
            Input::ReadIndex { .. } => format!("ReadIndex {server}"),
        },
        Event::Duplicate(it) => format!("duplicate {}", way(it)),
        Event::Drop(it) => format!("drop {}", way(it)),
    }
}

/// An event as a sentence, for readers who do not know the names of inputs.
pub fn sentence(event: &Event) -> String {
    match event {
        Event::Server { server, input } => match input {
            Input::Timeout => format!("server {server}'s election timer fires"),
            Input::LeaseExpire => format!("the leader's lease at server {server} runs out"),
            Input::Heartbeat => format!("server {server}'s heartbeat timer fires"),
            Input::CheckQuorum => format!("server {server} checks its quorum"),
            Input::Propose(value) => format!("a client proposes {value} at server {server}"),
            Input::Deliver(it) => format!("deliver {}", message_sentence(it)),
            Input::Restart => format!("server {server} crashes and restarts"),
            Input::TransferLeadership { to } => {
                format!("server {server} is asked to have leadership transferred to server {to}")
            }
            Input::ProposeConfChange(change) => {
                format!(
                    "a client proposes the change of membership {} at server {server}",
                    change.show()
                )
            }
            Input::ForgetLeader => format!("server {server} is told to forget its leader"),
            Input::Compact => format!("server {server} makes a snapshot and compacts its log"),
            Input::ReportUnreachable { peer } => {
                format!("server {server} hears that server {peer} could not be reached")
            }
            Input::ReportSnapshot { peer, ok } => {
                let what = if *ok {
                    "arrived at"
                } else {
                    "did not arrive at"
                };
                format!("server {server} hears that its snapshot {what} server {peer}")
            }
            Input::Persist => format!("server {server}'s oldest outstanding write is durable"),
            Input::Apply => format!("server {server}'s oldest outstanding entries are applied"),
            Input::RestartKeeping { writes: 1 } => {
                format!("server {server} crashes, keeps one outstanding write, and restarts")
            }
            Input::RestartKeeping { writes } => {
                format!("server {server} crashes, keeps {writes} outstanding writes, and restarts")
            }
            Input::ReadIndex { context } => {
                format!("a client asks server {server} for a read with context {context}")
            }
        },
        Event::Duplicate(it) => format!("duplicate {}", message_sentence(it)),
        Event::Drop(it) => format!("lose {}", message_sentence(it)),
    }
}

/// The kind of an event: the key of its input in a trace, or what the network does.
pub fn event_kind(event: &Event) -> &'static str {
    match event {
        Event::Server { input, .. } => input.name(),
        Event::Duplicate(_) => "duplicate",
        Event::Drop(_) => "drop",
    }
}

/// An input that is not a message, in as few words as fit beside a lifeline.
pub fn input_label(input: &Input) -> String {
    match input {
        Input::Timeout => "election timeout".to_owned(),
        Input::LeaseExpire => "lease runs out".to_owned(),
        Input::Heartbeat => "heartbeat timer".to_owned(),
        Input::CheckQuorum => "quorum check".to_owned(),
        Input::Propose(value) => format!("client proposes {value}"),
        Input::Deliver(it) => message_label(it),
        Input::Restart => "crash, restart".to_owned(),
        Input::TransferLeadership { to } => format!("transfer to {to}"),
        Input::ProposeConfChange(change) => format!("change {}", change.show()),
        Input::ForgetLeader => "forget leader".to_owned(),
        Input::Compact => "compact".to_owned(),
        Input::ReportUnreachable { peer } => format!("{peer} unreachable"),
        Input::ReportSnapshot { peer, ok } => format!("snapshot for {peer} {}", arrived(*ok)),
        Input::Persist => "write durable".to_owned(),
        Input::Apply => "applied".to_owned(),
        Input::RestartKeeping { writes } => format!("crash keeping {writes}, restart"),
        Input::ReadIndex { context } => format!("client reads {context}"),
    }
}

/// A message as a part of a sentence: from, to, kind, term, and what it says.
pub fn message_sentence(message: &Message) -> String {
    in_style(Style::Sentence, message)
}

/// A message in as few words as fit on an arrow: kind, and what matters most of what it says.
pub fn message_label(message: &Message) -> String {
    let kind = message_kind(&message.body);
    match &message.body {
        Body::AppendEntries {
            prev_index,
            entries,
            ..
        } if !entries.is_empty() => {
            let first = prev_index.0 + 1;
            let last = prev_index.0 + entries.len() as u64;
            if first == last {
                format!("{kind} {first}")
            } else {
                format!("{kind} {first}..{last}")
            }
        }
        Body::RequestVoteResponse { granted } | Body::RequestPreVoteResponse { granted } => {
            let sign = if *granted { '✓' } else { '✗' };
            format!("{} {sign}", kind.replace("Request", ""))
        }
        Body::AppendEntriesResponse {
            index,
            rejected: None,
        } => format!("AppendResponse ✓{index}"),
        Body::AppendEntriesResponse {
            index,
            rejected: Some(_),
        } => format!("AppendResponse ✗{index}"),
        _ => kind.to_owned(),
    }
}

/// The paper's name of a kind of message.
pub fn message_kind(body: &Body) -> &'static str {
    body.kind()
}

/// Names the fate of a snapshot.
fn arrived(ok: bool) -> &'static str {
    if ok { "arrived" } else { "failed" }
}

/// Lists the payloads that a follower forwards.
fn proposed(payloads: &[Payload]) -> String {
    let one = |payload: &Payload| match payload {
        Payload::Empty => "∅".to_owned(),
        Payload::Value(value) => value.to_string(),
        Payload::ConfChange(change) => change.show(),
    };
    payloads.iter().map(one).collect::<Vec<_>>().join(" ")
}

fn entry_span(prev: Index, entries: usize) -> String {
    let (first, last) = (prev.0 + 1, prev.0 + entries as u64);
    match entries {
        0 => "no entries".to_owned(),
        1 => format!("entry {first}"),
        _ => format!("entries {first}..{last}"),
    }
}

/// A message that was sent, and whether it had to wait until something was durable.
pub fn emitted(emitted: &Emitted) -> String {
    let Emitted {
        message: it,
        after_persist,
    } = emitted;
    let wait = if *after_persist {
        " (after persist)"
    } else {
        ""
    };
    format!("{}{wait}", message(it))
}

/// A message as a row of a table: from, to, kind, term, and what it says, with the entries themselves.
pub fn message(message: &Message) -> String {
    in_style(Style::Row, message)
}

/// The two ways of writing what a message says.
#[derive(Clone, Copy)]
enum Style {
    /// Names and values.
    Row,
    /// Words, with commas between the parts.
    Sentence,
}

impl Style {
    fn pick<T>(self, row: T, sentence: T) -> T {
        match self {
            Style::Row => row,
            Style::Sentence => sentence,
        }
    }
}

fn in_style(style: Style, message: &Message) -> String {
    let Message {
        from,
        to,
        term,
        body,
    } = message;
    let mut text = format!("{from}→{to} {} term {term}", message_kind(body));
    for part in said(style, body) {
        text.push_str(style.pick(" ", ", "));
        text.push_str(&part);
    }
    text
}

/// The fields of a message, one part of its text each: the one table of what messages say.
fn said(style: Style, body: &Body) -> Vec<String> {
    let pick = |row: &'static str, sentence: &'static str| style.pick(row, sentence);
    let last = |index: &Index, term: &Term| {
        let what = pick("last", "last entry");
        format!("{what} {index}@{term}")
    };
    match body {
        Body::RequestVote {
            last_index,
            last_term,
            transfer,
        } => {
            let transfer = transfer.then(|| pick("transfer", "by transfer").to_owned());
            let last = last(last_index, last_term);
            [last].into_iter().chain(transfer).collect()
        }
        Body::RequestPreVote {
            last_index,
            last_term,
        } => vec![last(last_index, last_term)],
        Body::RequestVoteResponse { granted } | Body::RequestPreVoteResponse { granted } => {
            let refused = pick("refused", "rejected");
            vec![if *granted { "granted" } else { refused }.to_owned()]
        }
        Body::AppendEntries {
            prev_index,
            prev_term,
            entries,
            commit,
        } => {
            let prev = format!("{prev_index}@{prev_term}");
            let appended = match style {
                Style::Row => format!("prev {prev} entries {}", log(entries)),
                Style::Sentence => {
                    format!("{} after {prev}", entry_span(*prev_index, entries.len()))
                }
            };
            vec![appended, format!("commit {commit}")]
        }
        Body::AppendEntriesResponse {
            index,
            rejected: None,
        } => vec![format!("{} {index}", pick("accepted", "accepted up to"))],
        Body::AppendEntriesResponse {
            index,
            rejected: Some(RejectHint { index: hint, term }),
        } => vec![format!("rejected {index}"), format!("hint {hint}@{term}")],
        Body::Heartbeat { commit, round } => {
            let of_round = (*round > 0).then(|| format!("round {round}"));
            [format!("commit {commit}")]
                .into_iter()
                .chain(of_round)
                .collect()
        }
        Body::RoundResponse { round } => vec![format!("round {round}")],
        Body::HeartbeatResponse | Body::TimeoutNow => Vec::new(),
        Body::ReadIndex { origin, context } => {
            vec![format!(
                "read {context} {} {origin}",
                pick("of", "of server")
            )]
        }
        Body::ReadIndexResponse { context, index } => {
            vec![
                format!("read {context}"),
                format!("{} {index}", pick("at", "at index")),
            ]
        }
        Body::TransferLeader { transferee } => {
            vec![format!("{} {transferee}", pick("to", "to server"))]
        }
        Body::Propose { payloads } => vec![proposed(payloads)],
        Body::InstallSnapshot { snapshot } => {
            let Snapshot {
                index,
                term,
                configuration,
            } = snapshot;
            let position = format!("{} {index}@{term}", pick("snapshot", "up to"));
            vec![position, configuration.show()]
        }
    }
}

/// A role in a word.
pub fn role(role: Role) -> String {
    role.show()
}

/// The name of a server, if there is one.
pub(crate) fn server(id: Option<ServerId>) -> String {
    id.show()
}

/// A lease in a word.
pub(crate) fn live(lease: bool) -> String {
    if lease { "live" } else { "none" }.to_owned()
}

/// Lists the voters that have granted (`+`) and those that have not (`-`).
pub(crate) fn votes(votes: &BTreeMap<ServerId, bool>) -> String {
    votes.show()
}

/// A log as its entries, each `value@term`; an empty entry is `∅`.
pub fn log(entries: &Vec<Entry>) -> String {
    entries.show()
}

/// Names a difference, without the two values.
pub fn difference_name(difference: &Difference) -> String {
    match difference {
        Difference::WrongState {
            field, peer: None, ..
        } => format!("wrong {field}"),
        Difference::WrongState {
            field,
            peer: Some(peer),
            ..
        } => {
            format!("wrong {field} of peer {peer}")
        }
        Difference::WrongRefusal { .. } => "wrong refusal".to_owned(),
        Difference::WrongMessage { .. } => "wrong message".to_owned(),
        Difference::MissingMessage { .. } => "missing message".to_owned(),
        Difference::ExtraMessage { .. } => "extra message".to_owned(),
        Difference::WrongOutput { field, .. } => format!("wrong {field}"),
        Difference::Bystander { server, field, .. } => {
            format!("server {server} changed its {field} though it was given nothing")
        }
        Difference::WrongStart { server, field, .. } => {
            format!("server {server} starts with a wrong {field}")
        }
        Difference::Failed { .. } => "the target broke down".to_owned(),
    }
}

/// A difference in words: what differs, what it must be, and what it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SaidDifference {
    /// The name of the difference.
    pub what: String,
    /// The value that it must have.
    pub expected: String,
    /// The value that it has.
    pub actual: String,
}

/// A difference in words.
pub fn difference(difference: &Difference) -> SaidDifference {
    let (expected, actual) = match difference {
        Difference::WrongState {
            expected, actual, ..
        }
        | Difference::WrongStart {
            expected, actual, ..
        }
        | Difference::WrongOutput {
            expected, actual, ..
        }
        | Difference::Bystander {
            expected, actual, ..
        } => (expected.to_string(), actual.to_string()),
        Difference::WrongRefusal { expected, actual } => (outcome(*expected), outcome(*actual)),
        Difference::WrongMessage { expected, actual } => (emitted(expected), emitted(actual)),
        Difference::MissingMessage { expected } => (emitted(expected), "nothing".to_owned()),
        Difference::ExtraMessage { actual } => ("nothing".to_owned(), emitted(actual)),
        Difference::Failed { error } => ("an answer".to_owned(), error.clone()),
    };
    SaidDifference {
        what: difference_name(difference),
        expected,
        actual,
    }
}

/// Names the outcome that the caller of an input is told.
pub fn outcome(outcome: Outcome) -> String {
    outcome.show()
}

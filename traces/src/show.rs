//! Values in words, as tables and pages show them.

use crate::{
    Append, Body, ConfChange, ConfChangeSingle, Configuration, DurableImage, Emitted, Entry, Field,
    Fields, Handed, HardState, Index, Message, Outcome, Pairs, Payload, PeerView, ProgressState,
    ReadRequest, ReadState, Refusal, Role, ServerId, Snapshot, Term, Transition, UnconfirmedRead,
    Value,
};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// A value in words. Without an implementation of its own a type is shown as JSON.
pub trait Show: Serialize {
    /// The value.
    fn show(&self) -> String {
        serde_json::to_string(self).unwrap_or_else(|error| error.to_string())
    }

    /// The value with its name, as one of many in a row; empty for what goes without saying.
    fn show_named(&self, name: &str) -> String {
        format!("{name} {}", self.show())
    }
}

impl Show for Role {
    fn show(&self) -> String {
        match self {
            Role::Follower => "Follower",
            Role::PreCandidate => "PreCandidate",
            Role::Candidate => "Candidate",
            Role::Leader => "Leader",
        }
        .to_owned()
    }

    fn show_named(&self, _: &str) -> String {
        self.show()
    }
}

impl Show for ProgressState {
    fn show(&self) -> String {
        match self {
            ProgressState::Probe => "Probe",
            ProgressState::Replicate => "Replicate",
            ProgressState::Snapshot => "Snapshot",
        }
        .to_owned()
    }

    fn show_named(&self, _: &str) -> String {
        self.show()
    }
}

impl Show for bool {
    fn show(&self) -> String {
        if *self { "yes" } else { "no" }.to_owned()
    }

    fn show_named(&self, name: &str) -> String {
        if *self { name } else { "" }.to_owned()
    }
}

impl Show for Term {
    fn show(&self) -> String {
        self.to_string()
    }
}

impl Show for Index {
    fn show(&self) -> String {
        self.to_string()
    }
}

impl Show for usize {}

/// A number that is mostly zero.
impl Show for u64 {
    fn show_named(&self, name: &str) -> String {
        match self {
            0 => String::new(),
            number => format!("{name} {number}"),
        }
    }
}

/// An index that is mostly not there.
impl Show for Option<Index> {
    fn show(&self) -> String {
        self.map_or_else(|| "–".to_owned(), |index| index.to_string())
    }

    fn show_named(&self, name: &str) -> String {
        self.map_or_else(String::new, |index| format!("{name} {index}"))
    }
}

/// A snapshot as `index@term` and the configuration there.
impl Show for Option<Snapshot> {
    fn show(&self) -> String {
        let show = |it: &Snapshot| {
            let Snapshot {
                index,
                term,
                configuration,
            } = it;
            format!("{index}@{term} {}", configuration.show())
        };
        self.as_ref().map_or_else(|| "–".to_owned(), show)
    }

    fn show_named(&self, name: &str) -> String {
        match self {
            None => String::new(),
            Some(_) => format!("{name} {}", self.show()),
        }
    }
}

impl Show for Option<ServerId> {
    fn show(&self) -> String {
        self.map_or_else(|| "–".to_owned(), |id| id.to_string())
    }
}

/// Indexes on their way, oldest first.
impl Show for Vec<Index> {
    fn show(&self) -> String {
        let indexes: Vec<_> = self.iter().map(ToString::to_string).collect();
        indexes.join(" ")
    }

    fn show_named(&self, name: &str) -> String {
        if self.is_empty() {
            return String::new();
        }
        format!("{name} {}", self.show())
    }
}

/// The answers of voters, each with its sign.
impl Show for BTreeMap<ServerId, bool> {
    fn show(&self) -> String {
        let sign = |granted: bool| if granted { '+' } else { '-' };
        let votes = self
            .iter()
            .map(|(id, granted)| format!("{}{id}", sign(*granted)));
        format!("{{{}}}", votes.collect::<Vec<_>>().join(" "))
    }
}

/// Each entry as `value@term`; an empty entry is `∅`.
impl Show for Vec<Entry> {
    fn show(&self) -> String {
        let entries = self.iter().map(|Entry { term, payload }| match payload {
            Payload::Empty => format!("∅@{term}"),
            Payload::Value(value) => format!("{value}@{term}"),
            Payload::ConfChange(change) => format!("{}@{term}", change.show()),
        });
        format!("[{}]", entries.collect::<Vec<_>>().join(" "))
    }
}

/// As in etcd's scripts: `(v4 r1 explicit)`; `(leave)` leaves the joint configuration.
impl Show for ConfChange {
    fn show(&self) -> String {
        let single = |change: &ConfChangeSingle| match change {
            ConfChangeSingle::AddVoter(id) => format!("v{id}"),
            ConfChangeSingle::AddLearner(id) => format!("l{id}"),
            ConfChangeSingle::Remove(id) => format!("r{id}"),
        };
        let mut words: Vec<String> = self.changes.iter().map(single).collect();
        if words.is_empty() {
            words.push("leave".to_owned());
        }
        match self.transition {
            Transition::Auto => {}
            Transition::Implicit => words.push("implicit".to_owned()),
            Transition::Explicit => words.push("explicit".to_owned()),
        }
        format!("({})", words.join(" "))
    }
}

/// As in etcd's scripts: `voters=(1 2 4)&&(1 2 3) learners=(5) autoleave`.
impl Show for Configuration {
    fn show(&self) -> String {
        let set = |ids: &BTreeSet<ServerId>| {
            let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
            format!("({})", ids.join(" "))
        };
        let mut text = format!("voters={}", set(&self.voters));
        if !self.outgoing.is_empty() {
            text += &format!("&&{}", set(&self.outgoing));
        }
        for (name, ids) in [
            ("learners", &self.learners),
            ("learners_next", &self.learners_next),
        ] {
            if !ids.is_empty() {
                text += &format!(" {name}={}", set(ids));
            }
        }
        if self.auto_leave {
            text += " autoleave";
        }
        text
    }

    fn show_named(&self, name: &str) -> String {
        match self.is_empty() {
            true => String::new(),
            false => format!("{name} {}", self.show()),
        }
    }
}

impl Show for DurableImage {
    fn show(&self) -> String {
        let DurableImage {
            term,
            vote,
            commit,
            log,
            snapshot,
        } = self;
        let before = snapshot.show_named(" snapshot");
        format!(
            "term {term} vote {} commit {commit}{before} log {}",
            vote.show(),
            log.show()
        )
    }
}

/// Each as `{…}`: the parts that it has, and the messages that wait for it.
impl Show for Vec<Append> {
    fn show(&self) -> String {
        let appends: Vec<String> = self.iter().map(show_append).collect();
        appends.join(" ")
    }

    fn show_named(&self, name: &str) -> String {
        match self.is_empty() {
            true => String::new(),
            false => format!("{name} {}", self.show()),
        }
    }
}

fn show_append(append: &Append) -> String {
    let Append {
        hard_state,
        snapshot,
        first,
        entries,
        responses,
        acknowledges,
    } = append;
    let mut words = Vec::new();
    if let Some(HardState { term, vote, commit }) = hard_state {
        words.push(format!("term {term} vote {} commit {commit}", vote.show()));
    }
    words.extend(snapshot.as_ref().map(|_| snapshot.show_named("snapshot")));
    if !entries.is_empty() || first.0 > 0 {
        words.push(format!("from {first} {}", entries.show()));
    }
    words.extend(responses.iter().map(show_waiting));
    if let Some(acknowledges) = acknowledges {
        let (index, term) = (acknowledges.last_index, acknowledges.last_term);
        words.push(format!(
            "stable {index}@{term} in term {}",
            acknowledges.term
        ));
        words.extend(
            acknowledges
                .snapshot
                .map(|index| format!("snapshot {index}")),
        );
    }
    format!("{{{}}}", words.join(", "))
}

/// A message that waits. Only votes, pre-votes and acknowledgements should.
fn show_waiting(message: &Message) -> String {
    let Message {
        from,
        to,
        term,
        body,
    } = message;
    let granted = |granted: bool| if granted { "granted" } else { "refused" };
    let said = match body {
        Body::RequestVoteResponse { granted: vote }
        | Body::RequestPreVoteResponse { granted: vote } => granted(*vote).to_owned(),
        Body::AppendEntriesResponse {
            index,
            rejected: None,
        } => format!("accepted {index}"),
        Body::AppendEntriesResponse {
            index,
            rejected: Some(hint),
        } => format!("rejected {index} hint {}@{}", hint.index, hint.term),
        other => format!("{other:?}"),
    };
    format!("{from}→{to} {} term {term} {said}", body.kind())
}

impl Show for PeerView {
    fn show(&self) -> String {
        let mut row = Row(Vec::new());
        PeerView::pair(Some(self), None, None, &mut row);
        row.0.join(" ")
    }
}

impl Show for Refusal {
    fn show(&self) -> String {
        match self {
            Refusal::ProposalDropped => "proposal dropped",
            Refusal::UnknownPeer => "unknown peer",
            Refusal::LocalMessage => "local message",
            Refusal::NoLeader => "no leader",
        }
        .to_owned()
    }
}

impl Show for Outcome {
    fn show(&self) -> String {
        match self {
            Outcome::Accepted => "accepted".to_owned(),
            Outcome::Refused(why) => format!("refused: {}", why.show()),
        }
    }
}

impl Show for Vec<Emitted> {}

impl Show for Vec<Handed> {}

/// Each read as `context of origin`.
impl Show for Vec<ReadRequest> {
    fn show(&self) -> String {
        let one = |it: &ReadRequest| format!("{} of {}", it.context, it.origin);
        in_brackets(self.iter().map(one))
    }

    fn show_named(&self, name: &str) -> String {
        unless_empty(self, name)
    }
}

/// Each context.
impl Show for Vec<u64> {
    fn show(&self) -> String {
        in_brackets(self.iter().map(ToString::to_string))
    }

    fn show_named(&self, name: &str) -> String {
        unless_empty(self, name)
    }
}

/// Each read as `context of origin at index by (who has answered)`.
impl Show for Vec<UnconfirmedRead> {
    fn show(&self) -> String {
        let one = |it: &UnconfirmedRead| {
            let acks: Vec<String> = it.acks.iter().map(ToString::to_string).collect();
            let acks = acks.join(" ");
            format!(
                "{} of {} at {} by ({acks})",
                it.context, it.origin, it.index
            )
        };
        in_brackets(self.iter().map(one))
    }

    fn show_named(&self, name: &str) -> String {
        unless_empty(self, name)
    }
}

/// Each answer as `context at index`, each read that is given up as `context given up`.
impl Show for Vec<ReadState> {
    fn show(&self) -> String {
        let one = |it: &ReadState| match it.index {
            Some(index) => format!("{} at {index}", it.context),
            None => format!("{} given up", it.context),
        };
        in_brackets(self.iter().map(one))
    }

    fn show_named(&self, name: &str) -> String {
        unless_empty(self, name)
    }
}

fn in_brackets(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(", "))
}

fn unless_empty<T>(items: &Vec<T>, name: &str) -> String
where
    Vec<T>: Show,
{
    match items.is_empty() {
        true => String::new(),
        false => format!("{name} {}", items.show()),
    }
}

/// The fields of the left side in a row.
struct Row(Vec<String>);

impl Pairs for Row {
    fn whole<T: Value>(
        &mut self,
        [field]: [Field; 1],
        _: Option<ServerId>,
        left: Option<&T>,
        _: Option<&T>,
    ) {
        let said = left.map(|value| value.show_named(&field.in_words()));
        self.0.extend(said.filter(|text| !text.is_empty()));
    }

    /// The contents, from which everyone sees the length.
    fn list<T>(
        &mut self,
        [_, contents]: [Field; 2],
        peer: Option<ServerId>,
        left: Option<&Vec<T>>,
        right: Option<&Vec<T>>,
    ) where
        Vec<T>: Value,
    {
        self.whole([contents], peer, left, right);
    }
}

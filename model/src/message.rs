//! The messages of the protocol in the compact form that the specification computes with, and their
//! translation to and from the vocabulary of traces.

use crate::configuration::{ConfChange, Configuration};
use crate::ids::{Id, OutOfRange};
use crate::seq::Seq;
use lockstep_traces as vocabulary;

/// The payload of an entry, in 32 bits: zero for nothing; with both highest bits set, a change of the configuration;
/// else the client's value plus one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Payload(u32);

impl Payload {
    /// The payload of the entry that a new leader appends.
    pub const EMPTY: Payload = Payload(0);

    /// The payload of a client's value; `None` if the value does not fit into 31 bits.
    pub fn value(value: u64) -> Option<Payload> {
        narrow(value).ok().map(|value| Payload(value + 1))
    }

    /// The client's value; `None` for a payload of another kind.
    pub fn as_value(self) -> Option<u64> {
        match self.as_conf_change() {
            None => self.0.checked_sub(1).map(u64::from),
            Some(_) => None,
        }
    }

    /// The payload of a change of the configuration.
    pub const fn conf_change(change: ConfChange) -> Payload {
        Payload(CONF_CHANGE | change.code())
    }

    /// The change of the configuration; `None` for a payload of another kind.
    pub const fn as_conf_change(self) -> Option<ConfChange> {
        match self.0 & CONF_CHANGE {
            CONF_CHANGE => Some(ConfChange::from_code(self.0 & !CONF_CHANGE)),
            _ => None,
        }
    }

    pub(crate) const fn code(self) -> u32 {
        self.0
    }

    pub(crate) const fn from_code(code: u32) -> Payload {
        Payload(code)
    }
}

/// The bits that mark a change of the configuration: no value plus one has both.
const CONF_CHANGE: u32 = 3 << 30;

/// One entry of a log; its index is its position.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Entry {
    /// The term of the leader that created it.
    pub term: u32,
    /// Its payload.
    pub payload: Payload,
}

/// The entries of an append.
pub type Entries = Seq<Entry, 2>;

/// The proposed payloads.
pub type Payloads = Seq<Payload, 2>;

/// One payload.
pub(crate) fn one(payload: Payload) -> Payloads {
    std::iter::once(payload).collect()
}

/// An index and the term of the entry there; zero and zero before the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The term of the entry.
    // First, so that the derived order is the order "at least as up-to-date" (paper, section 5.4.1).
    pub term: u32,
    /// Its index.
    pub index: u32,
}

/// A message from one server to another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Message {
    /// The sender.
    pub from: Id,
    /// The recipient.
    pub to: Id,
    /// The sender's term; in a pre-vote request and its grant the term asked for.
    pub term: u32,
    /// Its statement.
    pub body: Body,
}

/// The body of a message; see [`lockstep_traces::Body`] for the meaning of each.
#[expect(missing_docs, reason = "the vocabulary says what each is")]
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Body {
    RequestVote {
        last: Position,
        transfer: bool,
    },
    RequestVoteResponse {
        granted: bool,
    },
    RequestPreVote {
        last: Position,
    },
    RequestPreVoteResponse {
        granted: bool,
    },
    AppendEntries {
        prev: Position,
        entries: Entries,
        commit: u32,
    },
    AppendEntriesAccepted {
        index: u32,
    },
    AppendEntriesRejected {
        index: u32,
        hint: Position,
    },
    /// Of a round of reads, or of none if that is zero.
    Heartbeat {
        commit: u32,
        round: u32,
    },
    HeartbeatResponse {
        round: u32,
    },
    TimeoutNow,
    TransferLeader {
        transferee: Id,
    },
    Propose {
        payloads: Payloads,
    },
    InstallSnapshot {
        last: Position,
        configuration: Configuration,
    },
    ReadIndex {
        origin: Id,
        context: u8,
    },
    ReadIndexResponse {
        context: u8,
        index: u32,
    },
}

impl Body {
    /// The names of the kinds, by [`Body::number`].
    pub const NAMES: [&'static str; 15] = [
        "RequestVote",
        "RequestVoteResponse",
        "RequestPreVote",
        "RequestPreVoteResponse",
        "AppendEntries",
        "AppendEntriesAccepted",
        "AppendEntriesRejected",
        "Heartbeat",
        "HeartbeatResponse",
        "TimeoutNow",
        "TransferLeader",
        "Propose",
        "InstallSnapshot",
        "ReadIndex",
        "ReadIndexResponse",
    ];

    /// The number of the kind.
    pub fn number(&self) -> u8 {
        match self {
            Body::RequestVote { .. } => 0,
            Body::RequestVoteResponse { .. } => 1,
            Body::RequestPreVote { .. } => 2,
            Body::RequestPreVoteResponse { .. } => 3,
            Body::AppendEntries { .. } => 4,
            Body::AppendEntriesAccepted { .. } => 5,
            Body::AppendEntriesRejected { .. } => 6,
            Body::Heartbeat { .. } => 7,
            Body::HeartbeatResponse { .. } => 8,
            Body::TimeoutNow => 9,
            Body::TransferLeader { .. } => 10,
            Body::Propose { .. } => 11,
            Body::InstallSnapshot { .. } => 12,
            Body::ReadIndex { .. } => 13,
            Body::ReadIndexResponse { .. } => 14,
        }
    }
}

impl Message {
    /// Whether the message may leave only when everything the sender did in the same event is durable:
    /// acknowledgements and answers to (pre-)vote requests promise something about durable state
    /// (thesis, section 3.8). With asynchronous storage it waits inside the server.
    pub fn after_persist(&self) -> bool {
        let promises_nothing = matches!(
            self.body,
            Body::HeartbeatResponse { .. } | Body::ReadIndexResponse { .. }
        );
        self.is_response() && !promises_nothing
    }

    /// Whether it answers another message. A response is accepted from members only.
    pub fn is_response(&self) -> bool {
        match self.body {
            Body::RequestVote { .. }
            | Body::RequestPreVote { .. }
            | Body::AppendEntries { .. }
            | Body::Heartbeat { .. }
            | Body::TimeoutNow
            | Body::TransferLeader { .. }
            | Body::Propose { .. }
            | Body::InstallSnapshot { .. }
            | Body::ReadIndex { .. } => false,
            Body::RequestVoteResponse { .. }
            | Body::RequestPreVoteResponse { .. }
            | Body::AppendEntriesAccepted { .. }
            | Body::AppendEntriesRejected { .. }
            | Body::HeartbeatResponse { .. }
            | Body::ReadIndexResponse { .. } => true,
        }
    }

    /// The same message in the vocabulary, with its mark.
    pub fn emitted(&self) -> vocabulary::Emitted {
        vocabulary::Emitted {
            message: self.into(),
            after_persist: self.after_persist(),
        }
    }
}

fn index(index: u32) -> vocabulary::Index {
    vocabulary::Index(u64::from(index))
}

fn term(term: u32) -> vocabulary::Term {
    vocabulary::Term(u64::from(term))
}

/// Half of the range, so that a sum or a successor of two numbers never overflows.
const MAX_NUMBER: u32 = u32::MAX / 2;

fn narrow(number: u64) -> Result<u32, OutOfRange> {
    u32::try_from(number)
        .ok()
        .filter(|number| *number <= MAX_NUMBER)
        .ok_or(OutOfRange)
}

/// Returns the context by which a client knows the answer to a read: 8 bits, and not zero.
pub(crate) fn read_context(context: u64) -> Option<u8> {
    u8::try_from(context).ok().filter(|context| *context > 0)
}

impl From<Entry> for vocabulary::Entry {
    fn from(entry: Entry) -> vocabulary::Entry {
        vocabulary::Entry {
            term: term(entry.term),
            payload: entry.payload.into(),
        }
    }
}

impl From<Payload> for vocabulary::Payload {
    fn from(payload: Payload) -> vocabulary::Payload {
        match (payload.as_value(), payload.as_conf_change()) {
            (Some(value), _) => vocabulary::Payload::Value(value),
            (None, Some(change)) => vocabulary::Payload::ConfChange(change.into()),
            (None, None) => vocabulary::Payload::Empty,
        }
    }
}

impl TryFrom<&vocabulary::Payload> for Payload {
    type Error = OutOfRange;

    fn try_from(payload: &vocabulary::Payload) -> Result<Payload, OutOfRange> {
        match payload {
            vocabulary::Payload::Empty => Ok(Payload::EMPTY),
            vocabulary::Payload::Value(value) => Payload::value(*value).ok_or(OutOfRange),
            vocabulary::Payload::ConfChange(change) => change.try_into().map(Payload::conf_change),
        }
    }
}

/// A snapshot whose last entry is at that position, in that configuration.
pub(crate) fn snapshot(last: Position, configuration: Configuration) -> vocabulary::Snapshot {
    vocabulary::Snapshot {
        index: index(last.index),
        term: term(last.term),
        configuration: configuration.view(),
    }
}

impl TryFrom<&vocabulary::Entry> for Entry {
    type Error = OutOfRange;

    fn try_from(entry: &vocabulary::Entry) -> Result<Entry, OutOfRange> {
        Ok(Entry {
            term: narrow(entry.term.0)?,
            payload: (&entry.payload).try_into()?,
        })
    }
}

impl From<&Message> for vocabulary::Message {
    fn from(m: &Message) -> vocabulary::Message {
        use vocabulary::Body as To;
        vocabulary::Message {
            from: m.from.into(),
            to: m.to.into(),
            term: term(m.term),
            body: match &m.body {
                Body::RequestVote { last, transfer } => To::RequestVote {
                    last_index: index(last.index),
                    last_term: term(last.term),
                    transfer: *transfer,
                },
                Body::RequestVoteResponse { granted } => {
                    To::RequestVoteResponse { granted: *granted }
                }
                Body::RequestPreVote { last } => To::RequestPreVote {
                    last_index: index(last.index),
                    last_term: term(last.term),
                },
                Body::RequestPreVoteResponse { granted } => {
                    To::RequestPreVoteResponse { granted: *granted }
                }
                Body::AppendEntries {
                    prev,
                    entries,
                    commit,
                } => To::AppendEntries {
                    prev_index: index(prev.index),
                    prev_term: term(prev.term),
                    entries: entries.iter().map(vocabulary::Entry::from).collect(),
                    commit: index(*commit),
                },
                Body::AppendEntriesAccepted {
                    index: acknowledged,
                } => To::AppendEntriesResponse {
                    index: index(*acknowledged),
                    rejected: None,
                },
                Body::AppendEntriesRejected {
                    index: refused,
                    hint,
                } => To::AppendEntriesResponse {
                    index: index(*refused),
                    rejected: Some(vocabulary::RejectHint {
                        index: index(hint.index),
                        term: term(hint.term),
                    }),
                },
                Body::Heartbeat { commit, round } => To::Heartbeat {
                    commit: index(*commit),
                    round: (*round).into(),
                },
                Body::HeartbeatResponse { round: 0 } => To::HeartbeatResponse,
                Body::HeartbeatResponse { round } => To::RoundResponse {
                    round: (*round).into(),
                },
                Body::TimeoutNow => To::TimeoutNow,
                Body::TransferLeader { transferee } => To::TransferLeader {
                    transferee: (*transferee).into(),
                },
                Body::Propose { payloads } => To::Propose {
                    payloads: payloads.iter().map(vocabulary::Payload::from).collect(),
                },
                Body::InstallSnapshot {
                    last,
                    configuration,
                } => To::InstallSnapshot {
                    snapshot: snapshot(*last, *configuration),
                },
                Body::ReadIndex { origin, context } => To::ReadIndex {
                    origin: (*origin).into(),
                    context: (*context).into(),
                },
                Body::ReadIndexResponse {
                    context,
                    index: read,
                } => To::ReadIndexResponse {
                    context: (*context).into(),
                    index: index(*read),
                },
            },
        }
    }
}

impl TryFrom<&vocabulary::Message> for Message {
    type Error = OutOfRange;

    fn try_from(m: &vocabulary::Message) -> Result<Message, OutOfRange> {
        use vocabulary::Body as From;
        let position = |index: vocabulary::Index, term: vocabulary::Term| {
            Ok::<_, OutOfRange>(Position {
                term: narrow(term.0)?,
                index: narrow(index.0)?,
            })
        };
        Ok(Message {
            from: m.from.try_into()?,
            to: m.to.try_into()?,
            term: narrow(m.term.0)?,
            body: match &m.body {
                From::RequestVote {
                    last_index,
                    last_term,
                    transfer,
                } => Body::RequestVote {
                    last: position(*last_index, *last_term)?,
                    transfer: *transfer,
                },
                From::RequestVoteResponse { granted } => {
                    Body::RequestVoteResponse { granted: *granted }
                }
                From::RequestPreVote {
                    last_index,
                    last_term,
                } => Body::RequestPreVote {
                    last: position(*last_index, *last_term)?,
                },
                From::RequestPreVoteResponse { granted } => {
                    Body::RequestPreVoteResponse { granted: *granted }
                }
                From::AppendEntries {
                    prev_index,
                    prev_term,
                    entries,
                    commit,
                } => Body::AppendEntries {
                    prev: position(*prev_index, *prev_term)?,
                    entries: entries
                        .iter()
                        .map(Entry::try_from)
                        .collect::<Result<_, _>>()?,
                    commit: narrow(commit.0)?,
                },
                From::AppendEntriesResponse {
                    index,
                    rejected: None,
                } => Body::AppendEntriesAccepted {
                    index: narrow(index.0)?,
                },
                From::AppendEntriesResponse {
                    index,
                    rejected: Some(hint),
                } => Body::AppendEntriesRejected {
                    index: narrow(index.0)?,
                    hint: position(hint.index, hint.term)?,
                },
                From::Heartbeat { commit, round } => Body::Heartbeat {
                    commit: narrow(commit.0)?,
                    round: narrow(*round)?,
                },
                From::HeartbeatResponse => Body::HeartbeatResponse { round: 0 },
                From::RoundResponse { round } => Body::HeartbeatResponse {
                    round: narrow(*round)?,
                },
                From::TimeoutNow => Body::TimeoutNow,
                From::TransferLeader { transferee } => Body::TransferLeader {
                    transferee: (*transferee).try_into()?,
                },
                From::Propose { payloads } => Body::Propose {
                    payloads: payloads
                        .iter()
                        .map(Payload::try_from)
                        .collect::<Result<_, _>>()?,
                },
                From::InstallSnapshot { snapshot } => Body::InstallSnapshot {
                    last: position(snapshot.index, snapshot.term)?,
                    configuration: (&snapshot.configuration).try_into()?,
                },
                From::ReadIndex { origin, context } => Body::ReadIndex {
                    origin: (*origin).try_into()?,
                    context: read_context(*context).ok_or(OutOfRange)?,
                },
                From::ReadIndexResponse { context, index } => Body::ReadIndexResponse {
                    context: read_context(*context).ok_or(OutOfRange)?,
                    index: narrow(index.0)?,
                },
            },
        })
    }
}

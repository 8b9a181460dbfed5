//! The JSON of protocol 2 with `messages: opaque` (`conformance/targets/PROTOCOL.md`), and nothing else.

use crate::targets::exec::child::ReplyLine;
use crate::targets::exec::limits::{MESSAGE_CHARS, NAME_CHARS, shortened};
use lockstep_model::{Budget, Kind};
use lockstep_traces::{Config, Role, ServerId, json_text};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// The version of the protocol that has opaque messages.
pub const PROTOCOL: u32 = 2;

/// The most inputs that a program may declare.
pub const MOST_INPUTS: usize = 48;

/// One line to the program.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Request<'a> {
    /// Asks for the name, the inputs and the fields of the program.
    Describe {
        /// The version that the harness speaks.
        protocol: u32,
    },
    /// Asks for the server's step on the last of these inputs.
    Ask {
        /// The name of the question.
        id: u64,
        /// The cluster.
        config: &'a Config,
        /// The server.
        server: ServerId,
        /// The state that it is in, as the program saved it; without it, a server that has just been set up.
        #[serde(skip_serializing_if = "Option::is_none")]
        saved: Option<&'a Value>,
        /// The inputs that it then gets, in order.
        inputs: &'a [Value],
    },
}

impl Request<'_> {
    /// The request as one line, with its line end.
    pub fn to_line(self) -> Vec<u8> {
        let mut line = serde_json::to_vec(&self).expect("requests always have a JSON form");
        line.push(b'\n');
        line
    }
}

/// A field of a server that a program can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shown {
    /// Follower, pre-candidate, candidate or leader.
    Role,
    /// The current term.
    Term,
    /// Terms and payloads of the log.
    Log,
    /// The commit index.
    Commit,
    /// The vote in the current term.
    Vote,
    /// The index of the last entry that the application has.
    Applied,
    /// The leader that it knows.
    Leader,
    /// At a leader, up to which index each peer is known to have the log.
    Match,
    /// Term, vote and log as a crash would leave them.
    Durable,
}

impl Shown {
    /// The fields that every program shows.
    pub const REQUIRED: [Shown; 4] = [Shown::Role, Shown::Term, Shown::Log, Shown::Commit];

    /// Its key.
    pub fn name(self) -> &'static str {
        match self {
            Shown::Role => "role",
            Shown::Term => "term",
            Shown::Log => "log",
            Shown::Commit => "commit",
            Shown::Vote => "vote",
            Shown::Applied => "applied",
            Shown::Leader => "leader",
            Shown::Match => "match",
            Shown::Durable => "durable",
        }
    }
}

/// An input that a program takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeclaredInput {
    /// Its name.
    pub name: String,
    /// The budget that the vocabulary has for it; `None` for an input of the program's own.
    pub kind: Option<Kind>,
    /// The roles in which it can mean something.
    pub roles: Vec<Role>,
    /// Its budget, for an input of the program's own.
    pub at_most: Budget,
    /// Whether it counts as a disturbance.
    pub disturbance: bool,
}

/// The inputs of the vocabulary that a program with opaque messages can take: name, kind, roles.
const VOCABULARY: [(&str, Kind, &[Role]); 8] = [
    (
        "timeout",
        Kind::Timeout,
        &[Role::Follower, Role::PreCandidate, Role::Candidate],
    ),
    ("lease_expire", Kind::LeaseExpire, &[Role::Follower]),
    ("heartbeat", Kind::Heartbeat, &[Role::Leader]),
    ("check_quorum", Kind::CheckQuorum, &[Role::Leader]),
    ("propose", Kind::Propose, &[Role::Leader]),
    ("restart", Kind::Restart, &EVERY_ROLE),
    ("forget_leader", Kind::ForgetLeader, &[Role::Follower]),
    ("compact", Kind::Compact, &EVERY_ROLE),
];

/// Every role.
pub const EVERY_ROLE: [Role; 4] = [
    Role::Follower,
    Role::PreCandidate,
    Role::Candidate,
    Role::Leader,
];

/// A program's description of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// Its name, for reports.
    pub name: String,
    /// Its version, for reports.
    pub version: String,
    /// The switches of a configuration that it knows.
    pub features: Vec<String>,
    /// The inputs that it takes, in the order of their names.
    pub inputs: Vec<DeclaredInput>,
    /// The fields that it shows.
    pub shows: Vec<Shown>,
    /// Whether it can go on from a state that it saved.
    pub restores: bool,
}

impl Description {
    /// Whether it shows all of these.
    pub fn shows(&self, fields: &[Shown]) -> bool {
        fields.iter().all(|field| self.shows.contains(field))
    }

    /// Whether it takes an input of this kind.
    pub fn takes(&self, kind: Kind) -> bool {
        self.inputs.iter().any(|it| it.kind == Some(kind))
    }
}

/// A server as a program shows it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct View {
    pub role: Role,
    pub term: u64,
    pub log: Vec<(u64, Value)>,
    pub commit: u64,
    #[serde(default, deserialize_with = "present")]
    pub vote: Option<Option<ServerId>>,
    pub applied: Option<u64>,
    #[serde(default, deserialize_with = "present")]
    pub leader: Option<Option<ServerId>>,
    #[serde(rename = "match")]
    pub matched: Option<BTreeMap<ServerId, u64>>,
    pub durable: Option<Durable>,
}

/// The state that would survive a crash.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Durable {
    pub term: u64,
    pub vote: Option<ServerId>,
    pub log: Vec<(u64, Value)>,
}

/// Tells `null` from a key that is not there.
fn present<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<ServerId>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// A message that was sent.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sent {
    pub to: ServerId,
    pub message: Value,
}

/// The answer to a question.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// The server is in this state.
    Moved {
        /// The name of the state, and what it is restored from.
        state: Value,
        /// The state that it is restored from, if that differs from its name.
        saved: Option<Value>,
        /// The server.
        view: Box<View>,
        /// The view as it was written.
        text: String,
        /// The messages to others.
        sent: Vec<Sent>,
    },
    /// It broke down.
    Crashed(String),
}

/// One line from the program.
#[derive(Debug)]
pub enum Reply {
    /// To [`Request::Describe`]; an error says what is wrong with it.
    Description(Box<Result<Description, String>>),
    /// To [`Request::Ask`].
    Answer {
        /// The name of the question.
        id: u64,
        /// The answer.
        answer: Answer,
    },
    /// The program gives up.
    Error(String),
}

impl ReplyLine for Reply {
    fn parse(line: &str) -> Result<Reply, String> {
        let op: OnlyOp = serde_json::from_str(line).map_err(|error| json_text(&error))?;
        match op.op {
            Op::Describe => Ok(Reply::Description(Box::new(describe(line)))),
            Op::Answer => answer(line),
            Op::Error => {
                let message = serde_json::from_str::<RawError>(line);
                let message = message.map_err(|error| json_text(&error))?.message;
                Ok(Reply::Error(shortened(message, MESSAGE_CHARS)))
            }
        }
    }

    fn unless_given_up(self) -> Result<Reply, String> {
        match self {
            Reply::Error(message) => Err(message),
            reply => Ok(reply),
        }
    }
}

#[derive(Deserialize)]
struct OnlyOp {
    op: Op,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Op {
    Describe,
    Answer,
    Error,
}

#[derive(Deserialize)]
struct RawError {
    message: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAnswer {
    #[serde(rename = "op")]
    _op: Op,
    id: u64,
    state: Option<Value>,
    saved: Option<Value>,
    view: Option<Value>,
    #[serde(default)]
    sent: Vec<Sent>,
    crashed: Option<String>,
}

fn answer(line: &str) -> Result<Reply, String> {
    let raw: RawAnswer = serde_json::from_str(line).map_err(|error| json_text(&error))?;
    let id = raw.id;
    let answer = match (raw.crashed, raw.state, raw.view) {
        (Some(what), _, _) => Answer::Crashed(shortened(what, MESSAGE_CHARS)),
        (None, Some(state), Some(view)) => {
            let text = view.to_string();
            let view = View::deserialize(view).map_err(|error| format!("`view`: {error}"))?;
            Answer::Moved {
                state,
                saved: raw.saved,
                view: Box::new(view),
                text,
                sent: raw.sent,
            }
        }
        (None, None, _) => return Err("`state` is missing".to_owned()),
        (None, Some(_), None) => return Err("`view` is missing".to_owned()),
    };
    Ok(Reply::Answer { id, answer })
}

#[derive(Deserialize)]
struct OnlyProtocol {
    protocol: u32,
    name: Option<String>,
    messages: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDescription {
    #[serde(rename = "op")]
    _op: Op,
    #[serde(rename = "protocol")]
    _protocol: u32,
    #[serde(rename = "messages")]
    _messages: String,
    name: String,
    version: String,
    #[serde(default)]
    features: Vec<String>,
    inputs: BTreeMap<String, RawInput>,
    fields: Vec<Shown>,
    #[serde(default)]
    restores: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawInput {
    roles: Option<Vec<Role>>,
    at_most: Option<u16>,
    disturbance: Option<bool>,
}

fn describe(line: &str) -> Result<Description, String> {
    let first: OnlyProtocol = serde_json::from_str(line).map_err(|error| json_text(&error))?;
    if first.protocol != PROTOCOL || first.messages.as_deref() != Some("opaque") {
        let name = shortened(first.name.unwrap_or_default(), NAME_CHARS);
        let messages = first
            .messages
            .map_or("typed".to_owned(), |it| shortened(it, 20));
        return Err(format!(
            "{name} speaks protocol {} with {messages} messages: its code is explored only with protocol \
             {PROTOCOL} and `messages: opaque`; `lockstep conform` compares it with the specification",
            first.protocol
        ));
    }
    let raw: RawDescription = serde_json::from_str(line).map_err(|error| json_text(&error))?;
    for (key, text) in [("name", &raw.name), ("version", &raw.version)] {
        if text.chars().nth(NAME_CHARS).is_some() {
            return Err(format!("`{key}` is longer than {NAME_CHARS} characters"));
        }
    }
    if let Some(missing) = Shown::REQUIRED.iter().find(|it| !raw.fields.contains(it)) {
        let name = missing.name();
        return Err(format!("`fields`: every program shows `{name}`"));
    }
    if raw.inputs.is_empty() || raw.inputs.len() > MOST_INPUTS {
        let count = raw.inputs.len();
        return Err(format!(
            "`inputs` has {count}, must have 1 to {MOST_INPUTS}"
        ));
    }
    let inputs = raw.inputs.into_iter().map(|(name, raw)| input(name, raw));
    Ok(Description {
        name: raw.name,
        version: raw.version,
        features: raw.features,
        inputs: inputs.collect::<Result<_, _>>()?,
        shows: raw.fields,
        restores: raw.restores,
    })
}

fn input(name: String, raw: RawInput) -> Result<DeclaredInput, String> {
    let of_a_name = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
    if name.is_empty() || name.len() > 40 || !name.chars().all(of_a_name) {
        return Err(format!(
            "`inputs`: {name:?} is no name of 1 to 40 letters, digits, `_` and `-`"
        ));
    }
    if name == "deliver" {
        return Err("`inputs`: every program takes `deliver`; it is not listed".to_owned());
    }
    let known = VOCABULARY.iter().find(|(word, ..)| *word == name);
    let budget = raw.at_most.map(Budget::Times);
    let (kind, roles, at_most) = match (known, budget) {
        (Some((_, kind, roles)), None) => (Some(*kind), roles.to_vec(), Budget::Unlimited),
        (None, Some(at_most)) => (None, EVERY_ROLE.to_vec(), at_most),
        (Some(_), Some(_)) => {
            return Err(format!(
                "`inputs`: the bound of `{name}` is an option of `lockstep check`, not `at_most`"
            ));
        }
        (None, None) => {
            return Err(format!(
                "`inputs`: `{name}` is no input of the vocabulary, so it needs `at_most`"
            ));
        }
    };
    let disturbs = kind.is_some_and(Kind::is_disturbance);
    Ok(DeclaredInput {
        name,
        kind,
        roles: raw.roles.unwrap_or(roles),
        at_most,
        disturbance: raw.disturbance.unwrap_or(disturbs),
    })
}

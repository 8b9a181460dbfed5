//! The lines of a recorded run of etcd's raft (build tag `with_tla`): newline-delimited JSON, one event a line.
//!
//! Read here and nowhere else; the rest of the validation knows [`Line`].

use super::moment::{Kind, Seen, Shown};
use lockstep_model::recorded::{Body, Message};
use lockstep_model::{Id, IdSet, MAX_MEMBERS};
use lockstep_traces::{Role, json_text};
use serde::Deserialize;
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

/// The longest line that is read, in bytes.
pub const MAX_LINE_BYTES: usize = 1 << 20;

/// One event of one server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its number in the file; the first is one.
    pub number: usize,
    /// The kind of event.
    pub kind: Kind,
    /// The server.
    pub server: Id,
    /// The term in memory.
    pub term: u32,
    /// The vote in that term.
    pub vote: Option<Id>,
    /// The commit index in memory.
    pub commit: u32,
    /// The role.
    pub role: Role,
    /// The last index of the log in memory.
    pub last_index: u32,
    /// The voters in use; in a joint configuration those of the new half.
    pub incoming: IdSet,
    /// The voters of the old half.
    pub outgoing: IdSet,
    /// The message that is sent or received.
    pub message: Option<Seen>,
    /// The voters of the configuration that is about to be used.
    pub new_voters: IdSet,
    /// The change of the configuration that is proposed.
    pub changes: Vec<Single>,
    /// The leader's match index for itself.
    pub own_match: Option<u32>,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = Shown {
            term: self.term,
            vote: self.vote,
            commit: self.commit,
            role: self.role,
            last_index: self.last_index,
            incoming: self.incoming,
            outgoing: self.outgoing,
        };
        write!(f, "{} of server {}: {shown}", self.kind.name(), self.server)?;
        match &self.message {
            Some(seen) => write!(f, ": {seen}"),
            None => Ok(()),
        }
    }
}

/// The change of one server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Single {
    /// It becomes a voter.
    Voter(Id),
    /// It becomes a learner.
    Learner(Id),
    /// It goes.
    Remove(Id),
}

/// Why a line cannot be read, or its run not be validated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// It is no JSON, or not that of an event.
    #[error("line {line}: {why}")]
    Malformed {
        /// The line.
        line: usize,
        /// The complaint.
        why: String,
    },
    /// The specification cannot hold the run.
    #[error("line {line}: {why}")]
    OutOfRange {
        /// The line.
        line: usize,
        /// The number that is too large.
        why: String,
    },
}

/// A line before the servers of the run are known.
#[derive(Debug)]
pub struct RawLine<'a> {
    number: usize,
    event: Event<'a>,
}

#[derive(Debug, Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default)]
    tag: Cow<'a, str>,
    #[serde(borrow)]
    event: Option<Event<'a>>,
}

#[derive(Debug, Deserialize)]
struct Event<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    nid: Cow<'a, str>,
    #[serde(borrow)]
    state: State<'a>,
    #[serde(borrow)]
    role: Cow<'a, str>,
    log: u64,
    #[serde(borrow)]
    conf: [Vec<Cow<'a, str>>; 2],
    #[serde(borrow)]
    msg: Option<Msg<'a>>,
    #[serde(borrow)]
    prop: Option<Prop<'a>>,
}

#[derive(Debug, Deserialize)]
struct State<'a> {
    term: u64,
    #[serde(borrow)]
    vote: Cow<'a, str>,
    commit: u64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Msg<'a> {
    #[serde(borrow)]
    r#type: Cow<'a, str>,
    term: u64,
    #[serde(borrow)]
    from: Cow<'a, str>,
    #[serde(borrow)]
    to: Cow<'a, str>,
    entries: u64,
    log_term: u64,
    index: u64,
    commit: u64,
    reject: bool,
    reject_hint: u64,
}

#[derive(Debug, Deserialize)]
struct Prop<'a> {
    #[serde(borrow)]
    cc: Option<Cc<'a>>,
    r#match: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct Cc<'a> {
    #[serde(borrow, default)]
    newconf: Vec<Cow<'a, str>>,
    #[serde(borrow, default)]
    changes: Vec<Change<'a>>,
}

#[derive(Debug, Deserialize)]
struct Change<'a> {
    #[serde(borrow)]
    nid: Cow<'a, str>,
    #[serde(borrow)]
    action: Cow<'a, str>,
}

/// The lines of a file.
#[derive(Debug, Default)]
pub struct Lines {
    /// The events, in order.
    pub lines: Vec<Line>,
    /// The servers by the names that the run gives them: the first is server 1 of the specification.
    pub names: Vec<u64>,
    /// The number of lines that are no events of raft.
    pub skipped: usize,
    /// The last line is not complete.
    pub torn: bool,
    /// The first line that cannot be read, if there is one.
    pub error: Option<LineError>,
}

/// Reads the lines of a file, up to the first that cannot be read.
pub fn read(bytes: &[u8]) -> Lines {
    let mut raw = Vec::new();
    let mut out = Lines::default();
    let mut rest = bytes;
    let mut number = 0;
    while !rest.is_empty() {
        number += 1;
        let end = rest.iter().position(|byte| *byte == b'\n');
        let (line, after) = match end {
            Some(end) => (&rest[..end], &rest[end + 1..]),
            None => (rest, &rest[rest.len()..]),
        };
        rest = after;
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let why = match line.len() > MAX_LINE_BYTES {
            true => format!("is longer than {MAX_LINE_BYTES} bytes"),
            false => match serde_json::from_slice::<Envelope<'_>>(line) {
                Ok(Envelope {
                    event: Some(event),
                    tag,
                }) if tag.is_empty() || tag == "trace" => {
                    raw.push(RawLine { number, event });
                    continue;
                }
                Ok(_) => {
                    out.skipped += 1;
                    continue;
                }
                Err(_) if end.is_none() => {
                    out.torn = true;
                    break;
                }
                Err(error) => format!("is no event of a recorded run: {}", json_text(&error)),
            },
        };
        out.error = Some(LineError::Malformed { line: number, why });
        break;
    }
    out.names = match names(&mut raw) {
        Ok(names) => names,
        Err((names, error)) => {
            out.error = Some(error);
            out.torn = false;
            names
        }
    };
    for line in &raw {
        match line.resolve(&out.names) {
            Ok(line) => out.lines.push(line),
            Err(error) => {
                // An earlier one counts.
                out.error = Some(error);
                out.torn = false;
                break;
            }
        }
    }
    out
}

/// All servers that are named anywhere. A leader sends in the order of names, so the specification's keep that order.
///
/// # Errors
///
/// A name is none, or one too many. The lines from there on are taken out; the names before come with the error.
fn names(raw: &mut Vec<RawLine<'_>>) -> Result<Vec<u64>, (Vec<u64>, LineError)> {
    let mut names = BTreeSet::new();
    for number in 0..raw.len() {
        let before = names.clone();
        if let Err(error) = add_names(&raw[number], &mut names) {
            raw.truncate(number);
            return Err((before.into_iter().collect(), error));
        }
    }
    Ok(names.into_iter().collect())
}

fn add_names(line: &RawLine<'_>, names: &mut BTreeSet<u64>) -> Result<(), LineError> {
    {
        let event = &line.event;
        let mut add = |name: &str, field: &str| -> Result<(), LineError> {
            let number = name.parse::<u64>().map_err(|_| LineError::Malformed {
                line: line.number,
                why: format!(
                    "`{field}` is {:?}, must be the number of a server in quotes",
                    short(name)
                ),
            })?;
            if number > 0 {
                names.insert(number);
            }
            Ok(())
        };
        add(&event.nid, "event.nid")?;
        if let Some(msg) = &event.msg {
            add(&msg.from, "event.msg.from")?;
            add(&msg.to, "event.msg.to")?;
        }
        for name in event.conf.iter().flatten() {
            add(name, "event.conf")?;
        }
        for cc in event.prop.iter().filter_map(|prop| prop.cc.as_ref()) {
            for name in &cc.newconf {
                add(name, "event.prop.cc.newconf")?;
            }
            for change in &cc.changes {
                add(&change.nid, "event.prop.cc.changes")?;
            }
        }
        if names.len() > MAX_MEMBERS {
            return Err(LineError::OutOfRange {
                line: line.number,
                why: format!(
                    "the run has more than {MAX_MEMBERS} servers, the most that the specification holds"
                ),
            });
        }
    }
    Ok(())
}

/// A name from outside, cut off where it is long.
fn short(text: &str) -> String {
    text.chars().take(40).collect()
}

impl RawLine<'_> {
    fn malformed(&self, why: String) -> LineError {
        LineError::Malformed {
            line: self.number,
            why,
        }
    }

    fn server(&self, names: &[u64], name: &str, field: &str) -> Result<Id, LineError> {
        let id = self.vote(names, name, field)?;
        id.ok_or_else(|| self.malformed(format!("`{field}` is 0, must be the number of a server")))
    }

    fn vote(&self, names: &[u64], name: &str, field: &str) -> Result<Option<Id>, LineError> {
        let number: u64 = name.parse().map_err(|_| {
            self.malformed(format!(
                "`{field}` is {:?}, must be the number of a server in quotes",
                short(name)
            ))
        })?;
        if number == 0 {
            return Ok(None);
        }
        match names.binary_search(&number) {
            Ok(place) => Ok(Id::new(place as u8 + 1)),
            Err(_) => Err(self.malformed(format!(
                "`{field}` is {number}, a server that has no line and is in no configuration"
            ))),
        }
    }

    fn number(&self, number: u64, field: &str) -> Result<u32, LineError> {
        u32::try_from(number)
            .ok()
            .filter(|number| *number < u32::MAX / 4)
            .ok_or_else(|| LineError::OutOfRange {
                line: self.number,
                why: format!("`{field}` is {number}, must be less than 2^30"),
            })
    }

    fn set(&self, names: &[u64], set: &[Cow<'_, str>], field: &str) -> Result<IdSet, LineError> {
        let mut ids = IdSet::EMPTY;
        for name in set {
            ids.insert(self.server(names, name, field)?);
        }
        Ok(ids)
    }

    fn resolve(&self, names: &[u64]) -> Result<Line, LineError> {
        let event = &self.event;
        let kind = Kind::of(&event.name).ok_or_else(|| {
            self.malformed(format!(
                "`event.name` is {:?}, which is no event of etcd's raft",
                short(&event.name)
            ))
        })?;
        let role = match &*event.role {
            "StateFollower" => Role::Follower,
            "StatePreCandidate" => Role::PreCandidate,
            "StateCandidate" => Role::Candidate,
            "StateLeader" => Role::Leader,
            other => {
                return Err(self.malformed(format!(
                    "`event.role` is {:?}, which is no role of etcd's raft",
                    short(other)
                )));
            }
        };
        let message = match (&event.msg, kind.has_message()) {
            (Some(msg), true) => Some(self.message(names, msg)?),
            (None, true) => return Err(self.malformed("`event.msg` is missing".to_owned())),
            (_, false) => None,
        };
        let cc = event.prop.as_ref().and_then(|prop| prop.cc.as_ref());
        let mut changes = Vec::new();
        for change in cc.iter().flat_map(|cc| &cc.changes) {
            let id = self.server(names, &change.nid, "event.prop.cc.changes.nid")?;
            changes.push(match &*change.action {
                "AddNewServer" => Single::Voter(id),
                "AddLearner" => Single::Learner(id),
                "RemoveServer" => Single::Remove(id),
                other => {
                    let other = short(other);
                    return Err(self.malformed(format!(
                        "`event.prop.cc.changes.action` is {other:?}, must be AddNewServer, AddLearner or RemoveServer"
                    )));
                }
            });
        }
        let new_voters = cc.map_or(&[][..], |cc| &cc.newconf);
        let own_match = event.prop.as_ref().and_then(|prop| prop.r#match);
        let own_match = own_match.map(|it| self.number(it, "event.prop.match"));
        Ok(Line {
            number: self.number,
            kind,
            server: self.server(names, &event.nid, "event.nid")?,
            term: self.number(event.state.term, "event.state.term")?,
            vote: self.vote(names, &event.state.vote, "event.state.vote")?,
            commit: self.number(event.state.commit, "event.state.commit")?,
            role,
            last_index: self.number(event.log, "event.log")?,
            incoming: self.set(names, &event.conf[0], "event.conf")?,
            outgoing: self.set(names, &event.conf[1], "event.conf")?,
            message,
            new_voters: self.set(names, new_voters, "event.prop.cc.newconf")?,
            changes,
            own_match: own_match.transpose()?,
        })
    }

    fn message(&self, names: &[u64], msg: &Msg<'_>) -> Result<Seen, LineError> {
        let body = match &*msg.r#type {
            "MsgApp" => "AppendEntries",
            "MsgAppResp" => match msg.reject {
                false => "AppendEntriesAccepted",
                true => "AppendEntriesRejected",
            },
            "MsgHeartbeat" => "Heartbeat",
            "MsgHeartbeatResp" => "HeartbeatResponse",
            "MsgSnap" => "InstallSnapshot",
            "MsgVote" => "RequestVote",
            "MsgVoteResp" => "RequestVoteResponse",
            other => {
                let other = short(other);
                return Err(self.malformed(format!(
                    "`event.msg.type` is {other:?}, which is no message that etcd's raft records"
                )));
            }
        };
        Ok(Seen {
            body,
            from: self.server(names, &msg.from, "event.msg.from")?,
            to: self.server(names, &msg.to, "event.msg.to")?,
            term: self.number(msg.term, "event.msg.term")?,
            entries: self.number(msg.entries, "event.msg.entries")?,
            log_term: self.number(msg.log_term, "event.msg.logTerm")?,
            index: self.number(msg.index, "event.msg.index")?,
            commit: self.number(msg.commit, "event.msg.commit")?,
            reject: msg.reject,
            hint: self.number(msg.reject_hint, "event.msg.rejectHint")?,
        })
    }
}

impl Seen {
    /// The fields of a message that a line shows; `None` for a message of which no line tells.
    pub fn of(m: &Message) -> Option<Seen> {
        let mut seen = Seen {
            body: Body::NAMES[usize::from(m.body.number())],
            from: m.from,
            to: m.to,
            term: m.term,
            entries: 0,
            log_term: 0,
            index: 0,
            commit: 0,
            reject: false,
            hint: 0,
        };
        match &m.body {
            Body::RequestVote { last, .. } => {
                seen.log_term = last.term;
                seen.index = last.index;
            }
            Body::RequestVoteResponse { granted } => seen.reject = !granted,
            Body::AppendEntries {
                prev,
                entries,
                commit,
            } => {
                seen.log_term = prev.term;
                seen.index = prev.index;
                seen.entries = entries.len() as u32;
                seen.commit = *commit;
            }
            Body::AppendEntriesAccepted { index } => seen.index = *index,
            Body::AppendEntriesRejected { index, hint } => {
                seen.index = *index;
                seen.reject = true;
                seen.hint = hint.index;
                seen.log_term = hint.term;
            }
            Body::Heartbeat { commit, .. } => seen.commit = *commit,
            Body::HeartbeatResponse { .. } => {}
            Body::InstallSnapshot { last, .. } => seen.entries = last.index,
            Body::RequestPreVote { .. }
            | Body::RequestPreVoteResponse { .. }
            | Body::TimeoutNow
            | Body::TransferLeader { .. }
            | Body::Propose { .. }
            | Body::ReadIndex { .. }
            | Body::ReadIndexResponse { .. } => return None,
        }
        Some(seen)
    }
}

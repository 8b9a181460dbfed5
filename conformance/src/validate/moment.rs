//! The points of an input at which a recorder writes a line, with all that the line shows.

use super::line::Line;
use lockstep_model::recorded::{Message, Observer, Point};
use lockstep_model::{ConfChange, Configuration, Id, IdSet, Rule, Server};
use lockstep_traces::Role;
use std::fmt;

macro_rules! kinds {
    ($($kind:ident,)*) => {
        /// The kind of a line, by the name that etcd's raft gives it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[expect(missing_docs, reason = "the names say it")]
        pub enum Kind {
            $($kind,)*
        }

        impl Kind {
            /// Every kind.
            pub const ALL: &'static [Kind] = &[$(Kind::$kind,)*];

            /// The kind of that name.
            pub fn of(name: &str) -> Option<Kind> {
                match name {
                    $(stringify!($kind) => Some(Kind::$kind),)*
                    _ => None,
                }
            }

            /// Its name.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Kind::$kind => stringify!($kind),)*
                }
            }
        }
    };
}

kinds! {
    InitState,
    ApplyConfChange,
    BecomeFollower,
    BecomeCandidate,
    BecomeLeader,
    Replicate,
    ChangeConf,
    Commit,
    Ready,
    SendAppendEntriesRequest,
    ReceiveAppendEntriesRequest,
    SendAppendEntriesResponse,
    ReceiveAppendEntriesResponse,
    SendRequestVoteRequest,
    ReceiveRequestVoteRequest,
    SendRequestVoteResponse,
    ReceiveRequestVoteResponse,
    SendSnapshot,
    ReceiveSnapshot,
}

impl Kind {
    /// Whether a line of this kind shows a message.
    pub fn has_message(self) -> bool {
        self.name().starts_with("Send") || self.receives()
    }

    /// Whether it is the receipt of a message.
    pub fn receives(self) -> bool {
        self.name().starts_with("Receive")
    }

    fn of_send(body: &str) -> Kind {
        match body {
            "AppendEntries" | "Heartbeat" | "InstallSnapshot" => Kind::SendAppendEntriesRequest,
            "RequestVote" => Kind::SendRequestVoteRequest,
            "RequestVoteResponse" => Kind::SendRequestVoteResponse,
            _ => Kind::SendAppendEntriesResponse,
        }
    }

    /// The kind of the line that says that such a message was received.
    pub fn of_receipt(body: &str) -> Kind {
        match Kind::of_send(body) {
            Kind::SendAppendEntriesRequest => Kind::ReceiveAppendEntriesRequest,
            Kind::SendRequestVoteRequest => Kind::ReceiveRequestVoteRequest,
            Kind::SendRequestVoteResponse => Kind::ReceiveRequestVoteResponse,
            _ => Kind::ReceiveAppendEntriesResponse,
        }
    }
}

/// The fields of a message that a line shows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seen {
    /// The kind of message.
    pub body: &'static str,
    /// The sender.
    pub from: Id,
    /// The recipient.
    pub to: Id,
    /// Its term.
    pub term: u32,
    /// The number of entries; the index of a snapshot.
    pub entries: u32,
    /// The term of the entry before them, of the last entry of a candidate, or of the hint.
    pub log_term: u32,
    /// The index that goes with it.
    pub index: u32,
    /// The commit index.
    pub commit: u32,
    /// A negative answer.
    pub reject: bool,
    /// The hint of a negative answer.
    pub hint: u32,
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Seen {
            body,
            from,
            to,
            term,
            ..
        } = self;
        write!(f, "{body} {from}→{to} term {term}")?;
        match *body {
            "AppendEntries" => write!(
                f,
                ", {} entries after {} (term {}), commit {}",
                self.entries, self.index, self.log_term, self.commit
            ),
            "InstallSnapshot" => write!(f, ", index {}", self.entries),
            "Heartbeat" => write!(f, ", commit {}", self.commit),
            "RequestVote" => write!(f, ", last entry {} (term {})", self.index, self.log_term),
            "RequestVoteResponse" => f.write_str(match self.reject {
                true => ", rejected",
                false => ", granted",
            }),
            "AppendEntriesRejected" => write!(
                f,
                ", index {}, hint {} (term {})",
                self.index, self.hint, self.log_term
            ),
            "AppendEntriesAccepted" => write!(f, ", index {}", self.index),
            _ => Ok(()),
        }
    }
}

/// The part of a server's state that a line shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown {
    /// The term in memory.
    pub term: u32,
    /// The vote in that term.
    pub vote: Option<Id>,
    /// The commit index in memory.
    pub commit: u32,
    /// The role.
    pub role: Role,
    /// The last index of the log.
    pub last_index: u32,
    /// The voters in use.
    pub incoming: IdSet,
    /// The voters of the old half of a joint configuration.
    pub outgoing: IdSet,
}

impl Shown {
    /// Returns the state that a line would show of this server.
    pub fn of(server: &Server) -> Shown {
        let hard_state = server.in_memory();
        let configuration = server.configuration();
        Shown {
            term: hard_state.term(),
            vote: hard_state.vote(),
            commit: hard_state.commit(),
            role: server.role(),
            last_index: server.log().last_index(),
            incoming: configuration.incoming(),
            outgoing: configuration.outgoing(),
        }
    }

    /// The fields in which a line differs: name, what the specification has, what the line shows.
    pub fn differences(&self, line: &Line) -> Vec<(&'static str, String, String)> {
        let mut out = Vec::new();
        let mut field = |name, here: String, there: String| {
            if here != there {
                out.push((name, here, there));
            }
        };
        let name = |id: Option<Id>| id.map_or("nobody".to_owned(), |id| id.to_string());
        field("term", self.term.to_string(), line.term.to_string());
        field("vote", name(self.vote), name(line.vote));
        field("commit", self.commit.to_string(), line.commit.to_string());
        field(
            "role",
            format!("{:?}", self.role),
            format!("{:?}", line.role),
        );
        field(
            "log",
            self.last_index.to_string(),
            line.last_index.to_string(),
        );
        let conf = |incoming, outgoing| format!("{incoming:?} {outgoing:?}");
        field(
            "conf",
            conf(self.incoming, self.outgoing),
            conf(line.incoming, line.outgoing),
        );
        out
    }

    /// Whether a line shows just this.
    pub fn is(&self, line: &Line) -> bool {
        self.term == line.term
            && self.vote == line.vote
            && self.commit == line.commit
            && self.role == line.role
            && self.last_index == line.last_index
            && self.incoming == line.incoming
            && self.outgoing == line.outgoing
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let vote = self.vote.map_or("nobody".to_owned(), |id| id.to_string());
        let Shown {
            term,
            commit,
            role,
            last_index,
            incoming,
            outgoing,
            ..
        } = self;
        write!(
            f,
            "{role:?} term {term} vote {vote} commit {commit} log {last_index} voters {incoming:?}"
        )?;
        match outgoing.is_empty() {
            true => Ok(()),
            false => write!(f, " and {outgoing:?}"),
        }
    }
}

/// One line that the specification would have its recorder write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The kind of line.
    pub kind: Kind,
    /// The state that it shows of the server.
    pub shown: Shown,
    /// The message that is sent.
    pub message: Option<(Seen, Message)>,
    /// The voters of the configuration that is about to be used.
    pub new_voters: IdSet,
    /// The change that is proposed.
    pub change: Option<ConfChange>,
    /// The leader's match index for itself.
    pub own_match: Option<u32>,
}

impl Moment {
    /// Whether a line is this one.
    pub fn is(&self, line: &Line) -> bool {
        let message = self.message.as_ref().map(|(seen, _)| seen);
        let is_append = message.is_some_and(|seen| seen.body == "AppendEntries");
        self.kind == line.kind
            && self.shown.is(line)
            && message == line.message.as_ref()
            && (self.kind != Kind::ApplyConfChange || self.new_voters == line.new_voters)
            && (!is_append || self.own_match == line.own_match)
    }

    /// Whether etcd's raft may write this line and the other one in either order: the requests of a candidate and its vote
    /// for itself go in the order of names.
    pub fn is_of_campaign(&self) -> bool {
        match &self.message {
            Some((seen, _)) => match seen.body {
                "RequestVote" => true,
                "RequestVoteResponse" => seen.from == seen.to,
                _ => false,
            },
            None => false,
        }
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.kind.name(), self.shown)?;
        if let Some((seen, _)) = &self.message {
            write!(f, ": {seen}")?;
        }
        if self.kind == Kind::ApplyConfChange {
            write!(f, ": new voters {:?}", self.new_voters)?;
        }
        Ok(())
    }
}

/// The choices in an input that Raft leaves open and the lines decide.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Choices {
    /// For the appends of an input to a peer, in order: the most entries. Later ones take all.
    pub entries: Vec<(Id, u32)>,
    /// The index up to which storage no longer has the entries, and that of the latest snapshot; zeros if it has all.
    pub gone: u32,
    /// The index of the latest snapshot that the application made; zero without one.
    pub snapshot: u32,
}

/// Collects the lines of an input.
#[derive(Debug)]
pub struct Recorder<'a> {
    /// The choices that the lines decide.
    pub choices: &'a Choices,
    /// The number of choices about entries that are used.
    pub used: Vec<(Id, usize)>,
    /// The lines so far.
    pub moments: Vec<Moment>,
    /// Messages to the server itself, of which no line tells among them.
    pub to_itself: Vec<Message>,
    /// The rules that were applied.
    pub rules: Vec<Rule>,
    /// No line tells of the change that is proposed.
    pub hides_change: bool,
}

impl<'a> Recorder<'a> {
    /// Nothing is recorded yet.
    pub fn new(choices: &'a Choices) -> Recorder<'a> {
        Recorder {
            choices,
            used: Vec::new(),
            moments: Vec::new(),
            to_itself: Vec::new(),
            rules: Vec::new(),
            hides_change: false,
        }
    }
}

impl Observer for Recorder<'_> {
    fn see(&mut self, point: Point<'_>, server: &Server) {
        let mut shown = Shown::of(server);
        let mut message = None;
        let mut new_voters = IdSet::EMPTY;
        let mut change = None;
        let mut own_match = None;
        let mut voters = |configuration: Configuration| new_voters = configuration.incoming();
        let kind = match point {
            Point::BecameFollower => Kind::BecomeFollower,
            Point::BecameCandidate => Kind::BecomeCandidate,
            Point::BecameLeader => Kind::BecomeLeader,
            Point::Appending => Kind::Replicate,
            Point::ChangeProposed(proposed) => {
                if self.hides_change || proposed == ConfChange::LEAVE_JOINT {
                    return;
                }
                change = Some(proposed);
                Kind::ChangeConf
            }
            Point::CommitReconsidered => Kind::Commit,
            Point::Switching(configuration) => {
                voters(configuration);
                Kind::ApplyConfChange
            }
            Point::Restoring(configuration) => {
                voters(configuration);
                shown.incoming = IdSet::EMPTY;
                shown.outgoing = IdSet::EMPTY;
                Kind::ApplyConfChange
            }
            Point::Sent(sent) => {
                if sent.from == sent.to {
                    self.to_itself.push(sent.clone());
                }
                let Some(seen) = Seen::of(sent) else {
                    return;
                };
                own_match = server.own_match();
                let kind = Kind::of_send(seen.body);
                message = Some((seen, sent.clone()));
                kind
            }
        };
        self.moments.push(Moment {
            kind,
            shown,
            message,
            new_voters,
            change,
            own_match,
        });
    }

    fn note(&mut self, rule: Rule) {
        self.rules.push(rule);
    }

    fn most_entries(&mut self, to: Id) -> usize {
        let place = match self.used.iter_mut().find(|(id, _)| *id == to) {
            Some((_, used)) => {
                *used += 1;
                *used
            }
            None => {
                self.used.push((to, 0));
                0
            }
        };
        let mut of_peer = self.choices.entries.iter().filter(|(id, _)| *id == to);
        of_peer
            .nth(place)
            .map_or(usize::MAX, |(_, most)| *most as usize)
    }

    fn kept_behind(&self) -> Option<(u32, u32)> {
        let Choices { gone, snapshot, .. } = *self.choices;
        (snapshot > 0).then_some((gone, snapshot))
    }
}

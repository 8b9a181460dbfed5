//! The JSON of the exec protocol (`conformance/targets/PROTOCOL.md`), and nothing else: requests are
//! written from the vocabulary, replies are read into it.

use super::limits::{INFLIGHT, MESSAGE_CHARS, NAME_CHARS, shortened};
use crate::target::Needs;
use lockstep_model::{Departure, Dialect};
use lockstep_traces::{
    Append, Config, Configuration, DurableImage, Emitted, Entry, Field, FieldSet, Handed, Index,
    Input, Message, NodeView, Outcome, PeerView, ProgressState, ReadRequest, ReadState, Role,
    ServerId, Snapshot, Term, UnconfirmedRead, json_text,
};
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;

/// The version of the protocol that this harness speaks.
pub const PROTOCOL_VERSION: u32 = 1;

/// One line to the program.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Request<'a> {
    /// Asks for the name of the program and the fields that it can show.
    Describe {
        /// The version that the harness speaks.
        protocol: u32,
    },
    /// Make servers of a fresh cluster.
    Open {
        /// The name of the session, new to this run of the program.
        session: u64,
        /// The cluster.
        config: &'a Config,
        /// The servers that will be moved or looked at.
        servers: &'a [ServerId],
        /// The speed of their clocks, for a program whose servers are given ticks.
        #[serde(skip_serializing_if = "Option::is_none")]
        timing: Option<WireTiming>,
    },
    /// Do these inputs in order.
    Apply {
        /// An open session.
        session: u64,
        /// The inputs, each with the server that gets it.
        inputs: &'a [(ServerId, &'a Input)],
    },
    /// Let a tick pass at a server of a session with a clock.
    #[serde(rename = "apply")]
    Tick {
        /// An open session.
        session: u64,
        /// The server, with the word for it.
        inputs: [(ServerId, &'static str); 1],
    },
    /// Show every server once more and forget the session.
    Close {
        /// An open session.
        session: u64,
    },
}

impl Request<'_> {
    /// A tick at one server.
    pub fn tick(session: u64, server: ServerId) -> Request<'static> {
        Request::Tick {
            session,
            inputs: [(server, "tick")],
        }
    }

    /// The request as one line, with its line end.
    pub fn to_line(self) -> Vec<u8> {
        let mut line = serde_json::to_vec(&self).expect("requests always have a JSON form");
        line.push(b'\n');
        line
    }
}

/// The speed of the clocks of a session.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct WireTiming {
    /// Ticks between the checks of a quorum, and the shortest election timeout.
    pub election_ticks: u32,
    /// Ticks between heartbeats.
    pub heartbeat_ticks: u32,
    /// The seed of the random election timeouts.
    pub seed: u64,
}

/// The timers of a server after an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WireTimers {
    /// The random election timeout in force.
    pub randomized_ticks: u32,
    /// Whether that was drawn by the input.
    pub drawn: bool,
    /// Ticks since the election timer started over, if the program can tell.
    pub election_elapsed_ticks: Option<u32>,
    /// The same of the heartbeat timer of a leader.
    pub heartbeat_elapsed_ticks: Option<u32>,
}

/// A program's description of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// The protocol version that it speaks.
    pub protocol: u32,
    /// Its name, for reports.
    pub name: String,
    /// Its version, for reports.
    pub version: String,
    /// The switches of a configuration that it knows.
    pub features: Vec<String>,
    /// The fields that it can show.
    pub fields: FieldSet,
    /// The fields among them that it makes from other fields, each with the way.
    pub derived: BTreeMap<Field, String>,
    /// The rules of the specification that are different in it.
    pub dialect: Dialect,
    /// Whether its servers can be given ticks, and keep their timers themselves.
    pub ticks: bool,
}

impl Description {
    /// The features that are needed and that this program does not know.
    pub fn missing_features(&self, needs: &Needs) -> Vec<&'static str> {
        let known = |name: &&str| self.features.iter().any(|it| it == name);
        needs.features().filter(|name| !known(name)).collect()
    }
}

/// One line from the program, before its views are checked against what it declared.
#[derive(Debug)]
pub enum Reply {
    /// To [`Request::Describe`].
    Description(Description),
    /// To [`Request::Open`].
    Opened {
        /// The session.
        session: u64,
        /// The view of every server, in the order of the request.
        views: Vec<Option<WireView>>,
        /// Their timers, in a session with a clock.
        timers: Vec<WireTimers>,
    },
    /// To [`Request::Apply`].
    Applied {
        /// The session.
        session: u64,
        /// One for every input.
        results: Vec<WireResult>,
    },
    /// To [`Request::Close`].
    Closed {
        /// The session.
        session: u64,
        /// The views that changed since they were last shown.
        views: Vec<Option<WireView>>,
    },
    /// The program gives up.
    Error(String),
}

impl Reply {
    /// Reads one line.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub fn parse(line: &str) -> Result<Reply, String> {
        match serde_json::from_str::<RawReply>(line) {
            Ok(raw) => raw.check(),
            Err(_) if has_opaque_messages(line) => Err(
                "its messages are opaque, so it is not compared with the specification: `lockstep check --target` \
                 explores it"
                    .to_owned(),
            ),
            Err(error) => Err(json_text(&error)),
        }
    }
}

/// Whether a line is the description of a program with opaque messages.
fn has_opaque_messages(line: &str) -> bool {
    let value: Option<serde_json::Value> = serde_json::from_str(line).ok();
    value.is_some_and(|it| it["op"] == "describe" && it["messages"] == "opaque")
}

/// Every key that a reply may have. A tagged enum would read each line twice, and would not take the
/// names of servers as keys.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawReply {
    op: Op,
    session: Option<u64>,
    views: Option<Vec<Option<WireView>>>,
    results: Option<Vec<WireResult>>,
    protocol: Option<u32>,
    name: Option<String>,
    version: Option<String>,
    features: Option<Vec<String>>,
    fields: Option<FieldSet>,
    derived: Option<BTreeMap<Field, String>>,
    departures: Option<Vec<String>>,
    ticks: Option<bool>,
    timers: Option<Vec<WireTimers>>,
    message: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Op {
    Describe,
    Open,
    Apply,
    Close,
    Error,
}

impl RawReply {
    fn check(self) -> Result<Reply, String> {
        fn need<T>(value: Option<T>, key: &str) -> Result<T, String> {
            value.ok_or_else(|| format!("`{key}` is missing"))
        }
        fn short(text: String, key: &str) -> Result<String, String> {
            if text.chars().nth(NAME_CHARS).is_none() {
                Ok(text)
            } else {
                Err(format!("`{key}` is longer than {NAME_CHARS} characters"))
            }
        }
        Ok(match self.op {
            Op::Describe => Reply::Description(Description {
                protocol: need(self.protocol, "protocol")?,
                name: short(need(self.name, "name")?, "name")?,
                version: short(need(self.version, "version")?, "version")?,
                features: need(self.features, "features")?,
                fields: need(self.fields, "fields")?,
                derived: self
                    .derived
                    .unwrap_or_default()
                    .into_iter()
                    .map(|(field, how)| (field, shortened(how, NAME_CHARS)))
                    .collect(),
                dialect: dialect(&self.departures.unwrap_or_default())?,
                ticks: self.ticks.unwrap_or(false),
            }),
            Op::Open => Reply::Opened {
                session: need(self.session, "session")?,
                views: need(self.views, "views")?,
                timers: self.timers.unwrap_or_default(),
            },
            Op::Apply => Reply::Applied {
                session: need(self.session, "session")?,
                results: need(self.results, "results")?,
            },
            Op::Close => Reply::Closed {
                session: need(self.session, "session")?,
                views: need(self.views, "views")?,
            },
            Op::Error => Reply::Error(shortened(need(self.message, "message")?, MESSAGE_CHARS)),
        })
    }
}

fn dialect(names: &[String]) -> Result<Dialect, String> {
    names.iter().try_fold(Dialect::ETCD, |dialect, name| {
        let known = Departure::ALL.into_iter().find(|it| it.name() == name);
        let departure = known.ok_or_else(|| {
            let names = Departure::ALL.map(Departure::name).join(", ");
            format!("`departures`: the specification knows no {name:?}; it knows {names}")
        })?;
        Ok(dialect.with(departure))
    })
}

/// The result of one input.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WireResult {
    /// The answer to the caller.
    pub outcome: Option<Outcome>,
    /// The messages that were sent.
    pub sent: Option<Vec<WireEmitted>>,
    /// The committed entries that the application was handed.
    pub handed: Option<Vec<Handed>>,
    /// The reads that were answered to clients of the server.
    pub read_states: Vec<ReadState>,
    /// The view after it; absent if it did not change.
    pub view: Option<WireView>,
    /// The timers after it, in a session with a clock.
    pub timers: Option<WireTimers>,
    /// The input could not be raised.
    pub not_driven: Option<String>,
    /// The implementation panicked.
    pub crashed: Option<String>,
}

/// A message sent.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WireEmitted {
    message: Message,
    #[serde(default)]
    after_persist: bool,
}

impl From<WireEmitted> for Emitted {
    fn from(wire: WireEmitted) -> Emitted {
        Emitted {
            message: wire.message,
            after_persist: wire.after_persist,
        }
    }
}

/// A view of which fields may be missing.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WireView {
    role: Option<Role>,
    term: Option<Term>,
    #[serde(deserialize_with = "present")]
    vote: Option<Option<ServerId>>,
    #[serde(deserialize_with = "present")]
    leader: Option<Option<ServerId>>,
    log: Option<Vec<Entry>>,
    commit: Option<Index>,
    applied: Option<Index>,
    lease: Option<bool>,
    votes: Option<BTreeMap<ServerId, bool>>,
    peers: Option<BTreeMap<ServerId, WirePeer>>,
    durable: Option<WireDurable>,
    // These may be left out where there are none.
    snapshot: Option<Snapshot>,
    transferee: Option<ServerId>,
    configuration: Configuration,
    pending_conf_index: Index,
    uncommitted: u64,
    stable: Index,
    unstable_snapshot: Option<Index>,
    own_match: Option<Index>,
    appends: Vec<Append>,
    applies: Vec<Index>,
    postponed_reads: Vec<ReadRequest>,
    unconfirmed_reads: Vec<UnconfirmedRead>,
    forwarded_reads: Vec<u64>,
    confirmed_reads: u64,
    handed_over: bool,
}

/// Tells `null` from a key that is not there.
fn present<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<ServerId>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WirePeer {
    #[serde(rename = "match")]
    matched: Option<Index>,
    next: Option<Index>,
    state: Option<ProgressState>,
    paused: Option<bool>,
    recent_active: Option<bool>,
    commit_sent: Option<Index>,
    inflight: Option<Vec<Index>>,
    inflight_count: Option<usize>,
    pending_snapshot: Option<Index>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireDurable {
    term: Term,
    vote: Option<ServerId>,
    commit: Index,
    log: Option<Vec<Entry>>,
    snapshot: Option<Snapshot>,
}

impl WireView {
    /// The view, with defaults for what the program does not show.
    ///
    /// # Errors
    /// The name of a field that the program declared and left out.
    pub fn into_view(self, shown: FieldSet) -> Result<NodeView, String> {
        let log = shown_or_default(self.log, Field::Log, shown)?;
        let durable = match self.durable {
            Some(durable) => DurableImage {
                term: durable.term,
                vote: durable.vote,
                commit: durable.commit,
                // Who shows a log of its own has a snapshot of its own, too, or none.
                snapshot: match durable.log {
                    Some(_) => durable.snapshot,
                    None => durable.snapshot.or_else(|| self.snapshot.clone()),
                },
                log: durable.log.unwrap_or_else(|| log.clone()),
            },
            None => shown_or_default(None, Field::Durable, shown)?,
        };
        let peers = self.peers.unwrap_or_default();
        Ok(NodeView {
            role: shown_or(self.role, Field::Role, shown, Role::Follower)?,
            term: shown_or_default(self.term, Field::Term, shown)?,
            vote: shown_or_default(self.vote, Field::Vote, shown)?,
            leader: shown_or_default(self.leader, Field::Leader, shown)?,
            log,
            commit: shown_or_default(self.commit, Field::Commit, shown)?,
            applied: shown_or_default(self.applied, Field::Applied, shown)?,
            // These three may be left out where the role does not have them.
            lease: self.lease.unwrap_or_default(),
            votes: self.votes.unwrap_or_default(),
            peers: peers
                .into_iter()
                .map(|(id, peer)| Ok((id, peer.into_view(shown)?)))
                .collect::<Result<_, String>>()?,
            durable,
            snapshot: self.snapshot,
            transferee: self.transferee,
            configuration: self.configuration,
            pending_conf_index: self.pending_conf_index,
            uncommitted: self.uncommitted,
            stable: self.stable,
            unstable_snapshot: self.unstable_snapshot,
            own_match: self.own_match,
            appends: self.appends,
            applies: self.applies,
            postponed_reads: self.postponed_reads,
            unconfirmed_reads: self.unconfirmed_reads,
            forwarded_reads: self.forwarded_reads,
            confirmed_reads: self.confirmed_reads,
            handed_over: self.handed_over,
        })
    }
}

impl WirePeer {
    fn into_view(self, shown: FieldSet) -> Result<PeerView, String> {
        let inflight = match (self.inflight, self.inflight_count) {
            (Some(inflight), _) => inflight,
            // Only the length of this list is compared for a program that does not show `inflight`.
            (None, Some(count)) if !shown.contains(Field::Inflight) => {
                if count > INFLIGHT {
                    return Err(format!(
                        "`inflight_count` is {count}, must be at most {INFLIGHT}"
                    ));
                }
                vec![Index(0); count]
            }
            (None, _) => shown_or_default(None, Field::InflightCount, shown)?,
        };
        Ok(PeerView {
            matched: shown_or_default(self.matched, Field::Match, shown)?,
            next: shown_or_default(self.next, Field::Next, shown)?,
            state: shown_or(
                self.state,
                Field::ProgressState,
                shown,
                ProgressState::Probe,
            )?,
            paused: shown_or_default(self.paused, Field::Paused, shown)?,
            recent_active: shown_or_default(self.recent_active, Field::RecentActive, shown)?,
            commit_sent: shown_or_default(self.commit_sent, Field::CommitSent, shown)?,
            inflight,
            pending_snapshot: self.pending_snapshot,
        })
    }
}

fn shown_or_default<T: Default>(
    value: Option<T>,
    field: Field,
    shown: FieldSet,
) -> Result<T, String> {
    shown_or(value, field, shown, T::default())
}

fn shown_or<T>(value: Option<T>, field: Field, shown: FieldSet, other: T) -> Result<T, String> {
    match value {
        Some(value) => Ok(value),
        None if shown.contains(field) => Err(format!(
            "`{field}` is missing from a view, and the program declared that it shows it"
        )),
        None => Ok(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockstep_traces::{Body, Payload};

    fn id(number: u64) -> ServerId {
        ServerId::new(number).unwrap()
    }

    fn view_of(json: &str, shown: FieldSet) -> Result<NodeView, String> {
        serde_json::from_str::<WireView>(json)
            .map_err(|error| error.to_string())?
            .into_view(shown)
    }

    /// The protocol has no forms of its own: a program may print what the vocabulary prints.
    #[test]
    fn a_view_of_the_vocabulary_reads_back() {
        let log = vec![Entry {
            term: Term(1),
            payload: Payload::Value(7),
        }];
        let snapshot = Snapshot {
            index: Index(1),
            term: Term(1),
            configuration: lockstep_traces::Configuration::of_voters([id(1), id(2)]),
        };
        let view = NodeView {
            role: Role::Leader,
            term: Term(2),
            vote: Some(id(1)),
            leader: Some(id(1)),
            log: log.clone(),
            commit: Index(1),
            configuration: lockstep_traces::Configuration::of_voters([id(1), id(3)]),
            pending_conf_index: Index(2),
            applied: Index(1),
            lease: false,
            votes: BTreeMap::from([(id(3), true)]),
            peers: BTreeMap::from([(
                id(2),
                PeerView {
                    matched: Index(1),
                    next: Index(2),
                    state: ProgressState::Replicate,
                    paused: true,
                    recent_active: true,
                    commit_sent: Index(1),
                    inflight: vec![Index(1)],
                    pending_snapshot: Some(Index(1)),
                },
            )]),
            stable: Index(1),
            unstable_snapshot: Some(Index(1)),
            own_match: Some(Index(1)),
            appends: vec![Append {
                first: Index(1),
                entries: log.clone(),
                ..Append::default()
            }],
            applies: vec![Index(1)],
            postponed_reads: vec![ReadRequest {
                origin: id(2),
                context: 1,
            }],
            unconfirmed_reads: vec![UnconfirmedRead {
                origin: id(2),
                context: 2,
                index: Index(1),
                acks: [id(1)].into(),
            }],
            forwarded_reads: vec![1],
            confirmed_reads: 1,
            handed_over: true,
            durable: DurableImage {
                term: Term(2),
                vote: None,
                commit: Index(1),
                log,
                snapshot: Some(snapshot.clone()),
            },
            snapshot: Some(snapshot),
            transferee: Some(id(2)),
            uncommitted: 1,
        };
        let json = serde_json::to_string(&view).unwrap();
        assert_eq!(view_of(&json, FieldSet::ALL), Ok(view));
    }

    /// A snapshot that replaces the log is not durable at once.
    #[test]
    fn a_durable_log_of_its_own_may_have_no_snapshot() {
        let snapshot = r#""snapshot":{"index":1,"term":1,"configuration":{"voters":[1]}}"#;
        let durable = |log: &str| {
            let json =
                format!(r#"{{{snapshot},"durable":{{"term":1,"vote":null,"commit":0{log}}}}}"#);
            view_of(&json, FieldSet::NONE).unwrap().durable.snapshot
        };
        assert_eq!(durable("").map(|it| it.index), Some(Index(1)));
        assert_eq!(durable(r#","log":[]"#), None);
    }

    #[test]
    fn the_inputs_of_the_documentation_are_those_of_the_vocabulary() {
        let documented = [
            (r#""timeout""#, Input::Timeout),
            (r#""lease_expire""#, Input::LeaseExpire),
            (r#""heartbeat""#, Input::Heartbeat),
            (r#""check_quorum""#, Input::CheckQuorum),
            (r#"{"propose":7}"#, Input::Propose(7)),
            (
                r#"{"deliver":{"from":2,"to":1,"term":3,"body":{"heartbeat":{"commit":1}}}}"#,
                Input::Deliver(Message {
                    from: id(2),
                    to: id(1),
                    term: Term(3),
                    body: Body::Heartbeat {
                        round: 0,
                        commit: Index(1),
                    },
                }),
            ),
            (r#""restart""#, Input::Restart),
        ];
        for (json, input) in documented {
            assert_eq!(serde_json::to_string(&input).unwrap(), json);
        }
    }

    #[test]
    fn a_declared_field_must_be_there() {
        let shown = FieldSet::NONE.with(Field::Term).with(Field::Vote);
        assert!(view_of(r#"{"term":1,"vote":null}"#, shown).is_ok());
        let error = view_of(r#"{"term":1}"#, shown).unwrap_err();
        assert!(error.contains("`vote`"), "{error}");
    }

    #[test]
    fn a_key_that_nobody_compares_is_an_error() {
        let error = view_of(r#"{"term":1,"mood":"good"}"#, FieldSet::NONE).unwrap_err();
        assert!(error.contains("mood"), "{error}");
    }

    #[test]
    fn a_count_stands_for_the_appends_in_flight() {
        let json = r#"{"peers":{"2":{"inflight_count":2}}}"#;
        let shown = FieldSet::NONE.with(Field::InflightCount);
        let view = view_of(json, shown).unwrap();
        assert_eq!(view.peers[&id(2)].inflight.len(), 2);
        assert!(view_of(json, shown.with(Field::Inflight)).is_err());
    }

    /// A number is a length here, and memory for as many is asked for.
    #[test]
    fn a_count_of_appends_in_flight_has_a_limit() {
        let json = r#"{"peers":{"2":{"inflight_count":1000000000000000}}}"#;
        let shown = FieldSet::NONE.with(Field::InflightCount);
        let error = view_of(json, shown).unwrap_err();
        assert!(error.contains("must be at most"), "{error}");
    }

    #[test]
    fn a_reply_says_what_it_lacks() {
        let error = Reply::parse(r#"{"op":"apply","session":1}"#).unwrap_err();
        assert_eq!(error, "`results` is missing");
        assert!(Reply::parse("Segmentation fault").is_err());
        assert!(Reply::parse(r#"{"op":"dance"}"#).is_err());
    }

    #[test]
    fn a_program_with_opaque_messages_is_told_where_it_belongs() {
        let line = r#"{"op":"describe","protocol":2,"messages":"opaque","inputs":{}}"#;
        let error = Reply::parse(line).unwrap_err();
        assert!(error.contains("lockstep check --target"), "{error}");
    }

    #[test]
    fn a_program_names_its_departures() {
        let said = |departures: &str| {
            Reply::parse(&format!(
                r#"{{"op":"describe","protocol":1,"name":"n","version":"1","features":[],"fields":[],
                   "departures":{departures}}}"#
            ))
        };
        let Ok(Reply::Description(description)) = said(r#"["probe-below-match"]"#) else {
            panic!("it is a description");
        };
        let expected = Dialect::ETCD.with(Departure::ProbeBelowMatch);
        assert_eq!(description.dialect, expected);
        let error = said(r#"["probe-above-match"]"#).unwrap_err();
        assert!(error.contains("probe-above-match") && error.contains("probe-below-match"));
    }

    #[test]
    fn a_switch_that_is_off_needs_no_feature() {
        let description = Description {
            protocol: PROTOCOL_VERSION,
            name: String::new(),
            version: String::new(),
            features: vec!["check_quorum".to_owned()],
            fields: FieldSet::NONE,
            derived: BTreeMap::new(),
            dialect: Dialect::ETCD,
            ticks: false,
        };
        let config = Config {
            pre_vote: true,
            check_quorum: true,
            max_inflight: 1,
            ..Config::PAPER
        };
        let needs = Needs::of_config(&config).and(Some("compact"));
        assert_eq!(
            description.missing_features(&needs),
            ["compact", "pre_vote"]
        );
    }
}

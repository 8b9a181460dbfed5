use crate::{Entry, Index, ServerId, Term};
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

/// The role of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Follows a leader, or waits for one.
    Follower,
    /// Asks for pre-votes; its term has not changed yet.
    PreCandidate,
    /// Asks for votes in its term.
    Candidate,
    /// Leads its term.
    Leader,
}

/// How a leader replicates to one peer (etcd: `tracker.StateType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProgressState {
    /// The matching index is unknown; one append at a time.
    Probe,
    /// Appends are pipelined.
    Replicate,
    /// A snapshot is on its way; no appends.
    Snapshot,
}

/// What a leader knows of one peer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeerView {
    /// Highest index known to be replicated there.
    #[serde(rename = "match")]
    pub matched: Index,
    /// Index of the next entry to send.
    pub next: Index,
    /// Probe, Replicate or Snapshot.
    pub state: ProgressState,
    /// Appends are held back until the peer answers.
    pub paused: bool,
    /// The peer was heard from since the last quorum check.
    pub recent_active: bool,
    /// The highest commit index that was sent to the peer.
    pub commit_sent: Index,
    /// The last index of every append with entries that is on its way, oldest first.
    pub inflight: Vec<Index>,
}

/// What survives a crash of the server.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DurableImage {
    /// The durable term.
    pub term: Term,
    /// The durable vote in that term.
    pub vote: Option<ServerId>,
    /// The durable commit index.
    pub commit: Index,
    /// The durable log.
    pub log: Vec<Entry>,
}

/// The whole state of one server, as far as the specification speaks of it.
///
/// State that a role does not have is empty there: votes exist at (pre-)candidates, peers at leaders, a
/// lease at followers. So equal behaviour gives equal views.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeView {
    /// Its role.
    pub role: Role,
    /// Its term.
    pub term: Term,
    /// Whom it voted for in this term.
    pub vote: Option<ServerId>,
    /// The leader that it knows of in this term; itself, if it leads.
    pub leader: Option<ServerId>,
    /// All entries of its log, the first at index one.
    pub log: Vec<Entry>,
    /// Its commit index.
    pub commit: Index,
    /// The index up to which its application has applied.
    pub applied: Index,
    /// At a follower that knows a leader, with CheckQuorum: less than one election timeout has passed
    /// since it heard from that leader. False everywhere else.
    pub lease: bool,
    /// At a (pre-)candidate: the answers it has counted, its own among them; true is a grant.
    #[serde(deserialize_with = "each_server_once")]
    pub votes: BTreeMap<ServerId, bool>,
    /// At a leader: what it knows of every other server.
    #[serde(deserialize_with = "each_server_once")]
    pub peers: BTreeMap<ServerId, PeerView>,
    /// What a crash would leave.
    pub durable: DurableImage,
}

/// Reads a map by server that names no server twice; serde's own keeps the last of equal keys silently.
fn each_server_once<'de, D, T>(deserializer: D) -> Result<BTreeMap<ServerId, T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    struct ByServer<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for ByServer<T> {
        type Value = BTreeMap<ServerId, T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object with a field for each server")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
            let mut map = BTreeMap::new();
            while let Some((server, value)) = access.next_entry::<ServerId, T>()? {
                if map.insert(server, value).is_some() {
                    return Err(A::Error::custom(format_args!("server {server} twice")));
                }
            }
            Ok(map)
        }
    }

    deserializer.deserialize_map(ByServer(PhantomData))
}

/// One thing that is compared after every event: a field of [`NodeView`] or of what a server sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Field {
    /// [`NodeView::role`].
    Role,
    /// [`NodeView::term`].
    Term,
    /// [`NodeView::vote`].
    Vote,
    /// [`NodeView::leader`].
    Leader,
    /// [`NodeView::log`].
    Log,
    /// [`NodeView::commit`].
    Commit,
    /// [`NodeView::applied`].
    Applied,
    /// [`NodeView::lease`].
    Lease,
    /// [`NodeView::votes`].
    Votes,
    /// [`PeerView::matched`].
    Match,
    /// [`PeerView::next`].
    Next,
    /// [`PeerView::state`].
    ProgressState,
    /// [`PeerView::paused`].
    Paused,
    /// [`PeerView::recent_active`].
    RecentActive,
    /// [`PeerView::commit_sent`].
    CommitSent,
    /// The length of [`PeerView::inflight`].
    InflightCount,
    /// The contents of [`PeerView::inflight`].
    Inflight,
    /// [`NodeView::durable`].
    Durable,
    /// What the caller was told ([`crate::Outcome`]).
    Outcome,
    /// The messages sent, with every field, in any order.
    Messages,
    /// Which messages had to wait for persistence ([`crate::Emitted::after_persist`]).
    AfterPersist,
    /// The committed entries handed to the application, in order ([`crate::Handed`]).
    Handed,
}

impl Field {
    /// Every field, in the order of reports.
    pub const ALL: [Field; 22] = [
        Field::Role,
        Field::Term,
        Field::Vote,
        Field::Leader,
        Field::Log,
        Field::Commit,
        Field::Applied,
        Field::Lease,
        Field::Votes,
        Field::Match,
        Field::Next,
        Field::ProgressState,
        Field::Paused,
        Field::RecentActive,
        Field::CommitSent,
        Field::InflightCount,
        Field::Inflight,
        Field::Durable,
        Field::Outcome,
        Field::Messages,
        Field::AfterPersist,
        Field::Handed,
    ];

    /// The name of the field in traces, reports and the exec protocol.
    pub const fn name(self) -> &'static str {
        match self {
            Field::Role => "role",
            Field::Term => "term",
            Field::Vote => "vote",
            Field::Leader => "leader",
            Field::Log => "log",
            Field::Commit => "commit",
            Field::Applied => "applied",
            Field::Lease => "lease",
            Field::Votes => "votes",
            Field::Match => "match",
            Field::Next => "next",
            Field::ProgressState => "progress_state",
            Field::Paused => "paused",
            Field::RecentActive => "recent_active",
            Field::CommitSent => "commit_sent",
            Field::InflightCount => "inflight_count",
            Field::Inflight => "inflight",
            Field::Durable => "durable",
            Field::Outcome => "outcome",
            Field::Messages => "messages",
            Field::AfterPersist => "after_persist",
            Field::Handed => "handed",
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of fields: what a target can show, or what was compared.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct FieldSet(u32);

impl FieldSet {
    /// No field.
    pub const NONE: FieldSet = FieldSet(0);
    /// Every field.
    pub const ALL: FieldSet = FieldSet((1 << Field::ALL.len()) - 1);

    /// This set and one field more.
    #[must_use]
    pub const fn with(self, field: Field) -> FieldSet {
        FieldSet(self.0 | 1 << field as u32)
    }

    /// This set less one field.
    #[must_use]
    pub const fn without(self, field: Field) -> FieldSet {
        FieldSet(self.0 & !(1 << field as u32))
    }

    /// The fields that are in both sets.
    #[must_use]
    pub const fn and(self, other: FieldSet) -> FieldSet {
        FieldSet(self.0 & other.0)
    }

    /// Whether the field is in the set.
    pub const fn contains(self, field: Field) -> bool {
        self.0 & 1 << field as u32 != 0
    }

    /// The fields of the set, in the order of [`Field::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Field> {
        Field::ALL
            .into_iter()
            .filter(move |field| self.contains(*field))
    }
}

impl FromIterator<Field> for FieldSet {
    fn from_iter<I: IntoIterator<Item = Field>>(fields: I) -> FieldSet {
        fields.into_iter().fold(FieldSet::NONE, FieldSet::with)
    }
}

impl fmt::Debug for FieldSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(Field::name)).finish()
    }
}

impl Serialize for FieldSet {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for FieldSet {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<FieldSet, D::Error> {
        Vec::<Field>::deserialize(deserializer).map(FieldSet::from_iter)
    }
}

//! No peer can make a server panic, lose what is committed or vote twice, whatever it sends; and what
//! a server refuses leaves it as it was.
//!
//! 100,000 sequences of arbitrary messages, mixed with the ordinary life of a small group. A group
//! with a lying member may come to no agreement at all: checked is what each server promises by
//! itself, after every input.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use bytes::Bytes;
use lockstep_raft::tracker::ProgressState;
use lockstep_raft::{
    Blame, Body, ConfChangeKind, ConfChangeSingle, ConfChangeV2, ConfState, Config, Core, Entry,
    EntryId, EntryKind, Error, HardState, Index, MemoryStorage, Message, NodeId, Rejection, Role,
    Snapshot, SnapshotMetadata, StorageAppend, Term, TimerEvent, Transition, wire,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index as Pick;

const SEQUENCES: u32 = 100_000;
const SERVERS: usize = 3;

/// Something that happens to the group.
#[derive(Clone, Debug)]
enum Input {
    /// Anything from anybody.
    Hostile(usize, Box<Message>),
    /// A message that a server did send; it stays in the network.
    Genuine(Pick),
    Timer(usize, TimerEvent),
    Propose(usize),
    ChangeMembership(usize),
    Read(usize),
    Transfer(usize, u64),
    /// The server persists, sends and applies. Until then it has a backlog.
    Settle(usize),
    Compact(usize),
}

fn id(number: u64) -> NodeId {
    NodeId::new(number).expect("servers are counted from 1")
}

/// One server, and what it has promised.
#[derive(Clone)]
struct Server {
    core: Core<MemoryStorage>,
    applied: Vec<EntryId>,
    votes: BTreeMap<Term, NodeId>,
    seen: HardState,
}

#[derive(Clone)]
struct Group {
    servers: Vec<Server>,
    network: Vec<Message>,
}

impl Server {
    fn new(config: &Config) -> Server {
        let voters = (1..=SERVERS as u64).map(id).collect();
        let conf_state = ConfState {
            voters,
            ..ConfState::default()
        };
        let storage = MemoryStorage::with_conf_state(conf_state);
        Server {
            core: Core::new(config, storage).expect("a fresh server"),
            applied: Vec::new(),
            votes: BTreeMap::new(),
            seen: HardState::default(),
        }
    }

    /// One input. What is refused must change nothing; the storage is sound and must not be blamed.
    fn input<T>(&mut self, input: impl FnOnce(&mut Core<MemoryStorage>) -> Result<T, Error>) {
        let before = self.core.clone();
        if let Err(error) = input(&mut self.core) {
            assert_ne!(error.blame(), Blame::Storage, "{error}");
            assert_eq!(self.core, before, "refused, yet something changed: {error}");
        }
        self.keeps_its_promises();
    }

    fn settle(&mut self, network: &mut Vec<Message>) {
        while self.core.has_ready() {
            let ready = self.core.ready().expect("the last one was advanced");
            let storage = self.core.storage_mut();
            if let Some(snapshot) = ready.snapshot {
                let id = snapshot.id();
                storage.apply_snapshot(snapshot).expect("a newer snapshot");
                assert!(self.applied.last().is_none_or(|last| last.index < id.index));
                self.applied.push(id);
            }
            storage.append(ready.entries).expect("entries without gaps");
            if let Some(hard_state) = ready.hard_state {
                storage.set_hard_state(hard_state);
            }
            network.extend(ready.messages);
            for entry in &ready.committed_entries {
                let next = self
                    .applied
                    .last()
                    .map_or(Index(1), |last| last.index.next());
                assert_eq!(entry.index, next, "applied in order, without gaps");
                self.applied.push(entry.id());
                self.apply_change(entry);
            }
            let _ = self.core.advance().expect("there is a Ready to advance");
            self.keeps_its_promises();
        }
    }

    /// Applies a change of membership; one that cannot be read or does not fit is left out.
    fn apply_change(&mut self, entry: &Entry) {
        let change = match entry.kind {
            EntryKind::Normal => return,
            EntryKind::ConfChange => wire::decode_conf_change(&entry.data).map(ConfChangeV2::from),
            EntryKind::ConfChangeV2 => wire::decode_conf_change_v2(&entry.data),
        };
        if let Ok(change) = change {
            self.input(|core| core.apply_conf_change(change));
        }
    }

    fn compact(&mut self) {
        let Some(&last) = self.applied.last() else {
            return;
        };
        let members = self.core.tracker().config.conf_state();
        let storage = self.core.storage_mut();
        // Nothing newer to compact is no reason to fail.
        let _ = storage.create_snapshot(last.index, Some(members), Bytes::new());
        let _ = storage.compact(last.index);
        self.keeps_its_promises();
    }

    fn keeps_its_promises(&mut self) {
        let core = &self.core;
        let now = core.hard_state();
        assert!(now.term >= self.seen.term, "the term went back");
        assert!(now.commit >= self.seen.commit, "the commit index went back");
        self.seen = now;
        if let Some(vote) = now.vote {
            let first = *self.votes.entry(now.term).or_insert(vote);
            assert_eq!(first, vote, "a second vote in term {}", now.term);
        }
        let log = core.log();
        let last = log.last_id().expect("the log ends somewhere");
        assert!(log.applied() <= log.committed() && log.committed() <= last.index);
        // Before the first election a server may be seeded with a snapshot of term 1.
        let bound = now.term.max(Term(1));
        assert!(last.term <= bound, "an entry of a later term");
        for entry in &self.applied {
            let term = log.term(entry.index).expect("the storage is sound");
            assert!(
                term.is_none_or(|term| term == entry.term),
                "an applied entry changed"
            );
        }
        if core.role() == Role::Leader {
            assert_eq!(core.leader(), Some(core.id()));
            for (_, progress) in &core.tracker().progress {
                assert!(progress.matched() < progress.next());
                assert!(progress.matched() <= last.index, "{progress}");
                let snapshot = progress.state() == ProgressState::Snapshot;
                assert!(
                    snapshot || progress.next() <= last.index.next(),
                    "{progress}"
                );
            }
        }
    }
}

impl Group {
    fn new(pre_vote: bool, check_quorum: bool) -> Group {
        let server = |number: u64| {
            let mut config = Config::new(id(number));
            config.pre_vote = pre_vote;
            config.check_quorum = check_quorum;
            config.max_message_bytes = 30;
            config.max_inflight_messages = 3;
            Server::new(&config)
        };
        Group {
            servers: (1..=SERVERS as u64).map(server).collect(),
            network: Vec::new(),
        }
    }

    fn input(&mut self, input: &Input) {
        match input {
            Input::Hostile(to, message) => self.step(*to, Message::clone(message)),
            Input::Genuine(_) if self.network.is_empty() => {}
            Input::Genuine(pick) => {
                let message = self.network[pick.index(self.network.len())].clone();
                let to = (message.to.get() as usize - 1) % SERVERS;
                self.step(to, message);
            }
            Input::Timer(at, event) => self.servers[*at].input(|core| core.on_timer(*event)),
            Input::Propose(at) => {
                self.servers[*at].input(|core| core.propose(Bytes::from_static(b"value")));
            }
            Input::ChangeMembership(at) => {
                let change = joint_change();
                self.servers[*at].input(|core| core.propose_conf_change(&change));
            }
            Input::Read(at) => {
                self.servers[*at].input(|core| core.read_index(Bytes::from_static(b"read")));
            }
            Input::Transfer(at, to) => {
                self.servers[*at].input(|core| core.transfer_leadership(id(*to)));
            }
            Input::Settle(at) => self.servers[*at].settle(&mut self.network),
            Input::Compact(at) => self.servers[*at].compact(),
        }
        let surplus = self.network.len().saturating_sub(20);
        self.network.drain(..surplus);
    }

    fn step(&mut self, to: usize, message: Message) {
        self.servers[to].input(|core| core.step(message));
    }

    /// Delivers everything until nothing is left, but not to the servers left out.
    fn calm_down(&mut self, left_out: &[u64]) {
        for _ in 0..20 {
            for server in &mut self.servers {
                server.settle(&mut self.network);
            }
            for message in std::mem::take(&mut self.network) {
                let to = message.to.get();
                if to <= SERVERS as u64 && !left_out.contains(&to) {
                    self.step(to as usize - 1, message);
                }
            }
        }
    }
}

fn joint_change() -> ConfChangeV2 {
    ConfChangeV2 {
        transition: Transition::JointExplicit,
        changes: vec![
            ConfChangeSingle::new(ConfChangeKind::AddLearner, id(3)),
            ConfChangeSingle::new(ConfChangeKind::AddNode, id(4)),
        ],
        context: Bytes::new(),
    }
}

/// Groups in different stages of life; the messages of the last step are still on their way.
fn groups() -> &'static [Group] {
    static GROUPS: OnceLock<Vec<Group>> = OnceLock::new();
    GROUPS.get_or_init(|| {
        let mut groups = Vec::new();
        for (pre_vote, check_quorum) in [(false, false), (true, true), (false, true)] {
            let mut group = Group::new(pre_vote, check_quorum);
            groups.push(group.clone());
            group.input(&Input::Timer(0, TimerEvent::ElectionTimeout));
            group.calm_down(&[]);
            assert_eq!(group.servers[0].core.role(), Role::Leader);
            group.input(&Input::Propose(0));
            group.calm_down(&[]);
            groups.push(group.clone());
            // Server 3 falls behind, and its entries are compacted away.
            for _ in 0..3 {
                group.input(&Input::Propose(0));
                group.calm_down(&[3]);
            }
            group.input(&Input::Compact(0));
            groups.push(group.clone());
            group.input(&Input::ChangeMembership(0));
            group.calm_down(&[3]);
            assert!(group.servers[0].core.tracker().config.voters.is_joint());
            groups.push(group);
        }
        groups
    })
}

/// Mostly numbers that could be meant, now and then one that cannot.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![
        30 => 0..8u64,
        1 => Just(u64::MAX),
        1 => Just(u64::MAX - 1),
        1 => any::<u64>(),
    ]
}

fn term() -> impl Strategy<Value = Term> {
    number().prop_map(Term)
}

fn index() -> impl Strategy<Value = Index> {
    number().prop_map(Index)
}

fn entry_id() -> impl Strategy<Value = EntryId> {
    (term(), index()).prop_map(|(term, index)| EntryId::new(term, index))
}

fn node() -> impl Strategy<Value = NodeId> {
    prop_oneof![
        20 => (1..=5u64).prop_map(id),
        1 => Just(NodeId::APPEND_THREAD),
        1 => Just(NodeId::APPLY_THREAD),
    ]
}

fn payload() -> impl Strategy<Value = (EntryKind, Bytes)> {
    let kind = prop_oneof![Just(EntryKind::ConfChange), Just(EntryKind::ConfChangeV2)];
    let change = (0..4usize, 1..=5u64).prop_map(|(kind, node)| {
        let kind = [
            ConfChangeKind::AddNode,
            ConfChangeKind::RemoveNode,
            ConfChangeKind::UpdateNode,
            ConfChangeKind::AddLearner,
        ][kind];
        let changes = vec![ConfChangeSingle::new(kind, id(node))];
        let change = ConfChangeV2 {
            changes,
            ..ConfChangeV2::default()
        };
        (
            EntryKind::ConfChangeV2,
            wire::encode_conf_change_v2(&change),
        )
    });
    prop_oneof![
        6 => Just((EntryKind::Normal, Bytes::from_static(b"x"))),
        2 => change,
        1 => (kind, vec(any::<u8>(), 0..4)).prop_map(|(kind, data)| (kind, data.into())),
    ]
}

/// Entries that follow `prev`, most of the time.
fn entries(prev: EntryId) -> impl Strategy<Value = Vec<Entry>> {
    let entry = (payload(), 0..20u64, number());
    vec(entry, 0..4).prop_map(move |drawn| {
        let mut entries = Vec::new();
        for (at, ((kind, data), luck, odd)) in drawn.into_iter().enumerate() {
            let term = if luck == 0 {
                Term(odd)
            } else {
                Term(prev.term.0.max(luck % 4))
            };
            let index = match luck {
                1 => Index(odd),
                _ => Index(prev.index.0.wrapping_add(1 + at as u64)),
            };
            entries.push(Entry {
                term,
                index,
                kind,
                data,
            });
        }
        entries
    })
}

fn append() -> impl Strategy<Value = Body> {
    (entry_id(), index()).prop_flat_map(|(prev, commit)| {
        entries(prev).prop_map(move |entries| Body::AppendEntries {
            prev,
            entries,
            commit,
        })
    })
}

fn snapshot() -> impl Strategy<Value = Snapshot> {
    let ids = || vec((1..=5u64).prop_map(id), 0..4);
    let state = (ids(), ids(), ids(), any::<bool>());
    (state, entry_id()).prop_map(|((voters, learners, voters_outgoing, odd), last)| {
        let conf_state = match odd {
            // A group as it could be, or anything.
            false => ConfState {
                voters: [1, 2, 3].map(id).into(),
                ..ConfState::default()
            },
            true => ConfState {
                voters,
                learners,
                voters_outgoing,
                ..ConfState::default()
            },
        };
        let metadata = SnapshotMetadata {
            conf_state,
            index: last.index,
            term: last.term,
        };
        Snapshot {
            metadata,
            data: Bytes::new(),
        }
    })
}

fn body() -> impl Strategy<Value = Body> {
    let context = || prop_oneof![Just(Bytes::new()), Just(Bytes::from_static(b"read"))];
    let proposal = (payload(), 0..3usize).prop_map(|((kind, data), count)| Body::Propose {
        entries: vec![Entry::proposal(kind, data); count],
    });
    let rejection = (index(), term()).prop_map(|(hint_index, hint_term)| Rejection {
        hint_index,
        hint_term,
    });
    prop_oneof![
        8 => append(),
        6 => (index(), proptest::option::of(rejection))
            .prop_map(|(index, rejection)| Body::AppendEntriesResponse { index, rejection }),
        3 => (entry_id(), any::<bool>())
            .prop_map(|(last, force)| Body::RequestVote { last, force }),
        3 => any::<bool>().prop_map(|granted| Body::RequestVoteResponse { granted }),
        2 => entry_id().prop_map(|last| Body::RequestPreVote { last }),
        2 => any::<bool>().prop_map(|granted| Body::RequestPreVoteResponse { granted }),
        3 => snapshot().prop_map(|snapshot| Body::InstallSnapshot { snapshot: Box::new(snapshot) }),
        3 => (index(), context()).prop_map(|(commit, context)| Body::Heartbeat { commit, context }),
        2 => context().prop_map(|context| Body::HeartbeatResponse { context }),
        2 => proposal,
        1 => context().prop_map(|context| Body::ReadIndex { context }),
        1 => (index(), context())
            .prop_map(|(index, context)| Body::ReadIndexResponse { index, context }),
        1 => Just(Body::TransferLeader),
        1 => Just(Body::TimeoutNow),
        1 => Just(Body::ForgetLeader),
        1 => (entry_id(), snapshot()).prop_map(|(last, snapshot)| Body::StorageAppendResponse {
            last: Some(last),
            snapshot: Some(Box::new(snapshot)),
        }),
        1 => entries(EntryId::ZERO).prop_map(|entries| Body::StorageApplyResponse { entries }),
        1 => entries(EntryId::ZERO).prop_map(|entries| Body::StorageApply {
            entries,
            responses: Vec::new(),
        }),
        1 => entries(EntryId::ZERO).prop_map(|entries| Body::StorageAppend(Box::new(StorageAppend {
            entries,
            ..StorageAppend::default()
        }))),
    ]
}

fn input() -> impl Strategy<Value = Input> {
    let message = (node(), node(), term(), body()).prop_map(|(from, to, term, body)| Message {
        from,
        to,
        term,
        body,
    });
    let timer = prop_oneof![
        Just(TimerEvent::ElectionTimeout),
        Just(TimerEvent::LeaseExpired),
        Just(TimerEvent::CheckQuorum),
        Just(TimerEvent::HeartbeatDue),
    ];
    prop_oneof![
        10 => (0..SERVERS, message).prop_map(|(to, message)| Input::Hostile(to, message.into())),
        4 => any::<Pick>().prop_map(Input::Genuine),
        4 => (0..SERVERS).prop_map(Input::Settle),
        2 => (0..SERVERS, timer).prop_map(|(at, event)| Input::Timer(at, event)),
        1 => (0..SERVERS).prop_map(Input::Propose),
        1 => (0..SERVERS).prop_map(Input::Read),
        1 => (0..SERVERS).prop_map(Input::Compact),
        1 => (0..SERVERS).prop_map(Input::ChangeMembership),
        1 => (0..SERVERS, 1..=5u64).prop_map(|(at, to)| Input::Transfer(at, to)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: SEQUENCES,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn no_peer_can_harm_a_server(start in any::<Pick>(), inputs in vec(input(), 1..14)) {
        let groups = groups();
        let mut group = groups[start.index(groups.len())].clone();
        for input in &inputs {
            group.input(input);
        }
        for server in &mut group.servers {
            server.settle(&mut group.network);
        }
    }
}

/// The promises are checked: a server whose past is rewritten breaks them.
#[test]
#[should_panic(expected = "a second vote")]
fn a_second_vote_would_be_noticed() {
    let mut server = groups()[1].servers[1].clone();
    let term = server.core.term();
    server.votes.insert(term, id(5));
    server.keeps_its_promises();
}

#[test]
#[should_panic(expected = "an applied entry changed")]
fn a_changed_entry_would_be_noticed() {
    let mut server = groups()[1].servers[1].clone();
    server.applied[0].term = Term(9);
    server.keeps_its_promises();
}

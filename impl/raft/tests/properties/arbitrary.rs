//! Properties under arbitrary input, in any order, while the membership changes, logs are compacted and servers
//! restart: nothing panics, a refused input changes nothing, and each server keeps its own promises.
//!
//! Three servers get messages that a cluster could send and messages that none would, mixed with
//! proposals, timers, restarts and half-done work. That they agree with each other cannot be asked
//! for among liars; that a server never goes back in term, commits or votes can.

use std::cell::RefCell;
use std::collections::VecDeque;

use bytes::Bytes;
use lockstep_raft::{
    Blame, Body, ConfChangeKind, ConfChangeSingle, ConfChangeV2, ConfState, Config, Core, Entry,
    EntryId, EntryKind, Error, HardState, Index, MemoryStorage, Message, NodeId, ReadOnly,
    Rejection, Role, Snapshot, SnapshotMetadata, SnapshotStatus, Term, TimerEvent, Transition,
    wire,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestRunner};

use crate::id;

const SERVERS: usize = 3;

#[derive(Clone, Debug)]
enum Op {
    /// A message that nobody in particular sent.
    Forge(Message),
    /// The network delivers one of its messages, and keeps it or not.
    Deliver {
        position: usize,
        keep: bool,
    },
    Timer(usize, TimerEvent),
    Propose(usize, u8),
    ProposeConfChange(usize, ConfChangeV2),
    Read(usize),
    Transfer(usize, u64),
    Campaign(usize),
    Forget(usize),
    Unreachable(usize, u64),
    SnapshotReport(usize, u64, SnapshotStatus),
    /// Takes what is ready, persists, sends and applies; with `advance` says so.
    Work {
        server: usize,
        advance: bool,
    },
    Compact(usize),
    Restart(usize),
}

fn server() -> impl Strategy<Value = usize> {
    0..SERVERS
}

/// Small numbers that meet, and now and then one from the edge.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![30 => 0..5u64, 1 => (u64::MAX - 2)..=u64::MAX, 1 => Just(u64::MAX / 2)]
}

fn entry_id() -> impl Strategy<Value = EntryId> {
    (number(), number()).prop_map(|(term, index)| EntryId::new(Term(term), Index(index)))
}

fn payload() -> impl Strategy<Value = (EntryKind, Bytes)> {
    prop_oneof![
        4 => Just((EntryKind::Normal, Bytes::from_static(b"x"))),
        1 => conf_change().prop_map(|change| {
            (EntryKind::ConfChangeV2, wire::encode_conf_change_v2(&change))
        }),
        1 => Just((EntryKind::ConfChange, Bytes::from_static(b"\xff"))),
    ]
}

/// Entries that follow `prev`, mostly.
fn entries(prev: EntryId) -> impl Strategy<Value = Vec<Entry>> {
    vec(
        (
            prop_oneof![8 => Just(1u64), 1 => Just(0), 1 => Just(2)],
            0..2u64,
            payload(),
        ),
        0..3,
    )
    .prop_map(move |steps| {
        let mut last = prev;
        let entry = |(step, term, (kind, data)): (u64, u64, (EntryKind, Bytes))| {
            let index = Index(last.index.0.saturating_add(step));
            last = EntryId::new(Term(last.term.0.saturating_add(term)), index);
            Entry {
                term: last.term,
                index,
                kind,
                data,
            }
        };
        steps.into_iter().map(entry).collect()
    })
}

fn conf_change() -> impl Strategy<Value = ConfChangeV2> {
    let kind = prop_oneof![
        Just(ConfChangeKind::AddNode),
        Just(ConfChangeKind::RemoveNode),
        Just(ConfChangeKind::AddLearner),
    ];
    let transition = prop_oneof![
        Just(Transition::Auto),
        Just(Transition::JointImplicit),
        Just(Transition::JointExplicit),
    ];
    let single = (kind, 0..5u64).prop_map(|(kind, node)| ConfChangeSingle {
        kind,
        node: NodeId::new(node),
    });
    (transition, vec(single, 0..3)).prop_map(|(transition, changes)| ConfChangeV2 {
        transition,
        changes,
        context: Bytes::new(),
    })
}

fn snapshot() -> impl Strategy<Value = Snapshot> {
    let ids = || vec((1..5u64).prop_map(id), 0..4);
    (entry_id(), ids(), ids(), ids(), any::<bool>()).prop_map(
        |(last, voters, learners, voters_outgoing, auto_leave)| Snapshot {
            metadata: SnapshotMetadata {
                conf_state: ConfState {
                    voters,
                    learners,
                    voters_outgoing,
                    learners_next: Vec::new(),
                    auto_leave,
                },
                index: last.index,
                term: last.term,
            },
            data: Bytes::new(),
        },
    )
}

fn body() -> impl Strategy<Value = Body> {
    let context = || {
        prop_oneof![
            Just(Bytes::new()),
            Just(Bytes::from_static(&[0, 0, 0, 0, 0, 0, 0, 1]))
        ]
    };
    let rejection = proptest::option::of(entry_id()).prop_map(|hint| {
        hint.map(|hint| Rejection {
            hint_index: hint.index,
            hint_term: hint.term,
        })
    });
    let append = (entry_id(), number()).prop_flat_map(|(prev, commit)| {
        let commit = Index(commit);
        entries(prev).prop_map(move |entries| Body::AppendEntries {
            prev,
            entries,
            commit,
        })
    });
    prop_oneof![
        6 => append,
        4 => (number(), rejection).prop_map(|(index, rejection)| {
            Body::AppendEntriesResponse { index: Index(index), rejection }
        }),
        2 => (entry_id(), any::<bool>()).prop_map(|(last, force)| Body::RequestVote { last, force }),
        2 => any::<bool>().prop_map(|granted| Body::RequestVoteResponse { granted }),
        1 => entry_id().prop_map(|last| Body::RequestPreVote { last }),
        1 => any::<bool>().prop_map(|granted| Body::RequestPreVoteResponse { granted }),
        2 => snapshot().prop_map(|snapshot| Body::InstallSnapshot { snapshot: Box::new(snapshot) }),
        2 => (number(), context()).prop_map(|(commit, context)| {
            Body::Heartbeat { commit: Index(commit), context }
        }),
        2 => context().prop_map(|context| Body::HeartbeatResponse { context }),
        1 => context().prop_map(|context| Body::ReadIndex { context }),
        1 => (number(), context()).prop_map(|(index, context)| {
            Body::ReadIndexResponse { index: Index(index), context }
        }),
        1 => entries(EntryId::ZERO).prop_map(|entries| Body::Propose { entries }),
        1 => prop_oneof![
            Just(Body::TransferLeader),
            Just(Body::TimeoutNow),
            Just(Body::ForgetLeader),
            Just(Body::StorageApplyResponse { entries: Vec::new() }),
        ],
    ]
}

fn message() -> impl Strategy<Value = Message> {
    let from = prop_oneof![12 => 1..5u64, 1 => Just(u64::MAX)];
    (from, 1..=SERVERS as u64, number(), body()).prop_map(|(from, to, term, body)| Message {
        from: id(from),
        to: id(to),
        term: Term(term),
        body,
    })
}

fn op() -> impl Strategy<Value = Op> {
    let timer = prop_oneof![
        2 => Just(TimerEvent::ElectionTimeout),
        1 => Just(TimerEvent::LeaseExpired),
        1 => Just(TimerEvent::CheckQuorum),
        1 => Just(TimerEvent::HeartbeatDue),
    ];
    let status = prop_oneof![Just(SnapshotStatus::Finished), Just(SnapshotStatus::Failed)];
    prop_oneof![
        10 => message().prop_map(Op::Forge),
        12 => (0..64usize, any::<bool>()).prop_map(|(position, keep)| Op::Deliver { position, keep }),
        12 => (server(), prop_oneof![9 => Just(true), 1 => Just(false)])
            .prop_map(|(server, advance)| Op::Work { server, advance }),
        5 => (server(), timer).prop_map(|(server, event)| Op::Timer(server, event)),
        3 => (server(), any::<u8>()).prop_map(|(server, byte)| Op::Propose(server, byte)),
        1 => (server(), conf_change()).prop_map(|(server, change)| Op::ProposeConfChange(server, change)),
        1 => server().prop_map(Op::Read),
        1 => (server(), 1..5u64).prop_map(|(server, to)| Op::Transfer(server, to)),
        1 => server().prop_map(Op::Campaign),
        1 => server().prop_map(Op::Forget),
        1 => (server(), 1..5u64).prop_map(|(server, peer)| Op::Unreachable(server, peer)),
        1 => (server(), 1..5u64, status)
            .prop_map(|(server, peer, status)| Op::SnapshotReport(server, peer, status)),
        1 => server().prop_map(Op::Compact),
        1 => server().prop_map(Op::Restart),
    ]
}

struct Server {
    config: Config,
    core: Core<MemoryStorage>,
    /// Ready values that were taken and not advanced yet; at most one.
    held: bool,
    hard_state: HardState,
    /// Every entry that was ever committed here and seen, by index.
    committed: Vec<Entry>,
}

struct Cluster {
    servers: Vec<Server>,
    network: VecDeque<Message>,
    refused: u32,
    ignored: u32,
}

impl Cluster {
    fn new(switches: u8) -> Cluster {
        let voters = (1..=SERVERS as u64).map(id).collect();
        let conf_state = ConfState {
            voters,
            ..ConfState::default()
        };
        let server = |number| {
            let mut config = Config::new(id(number));
            config.pre_vote = switches & 1 != 0;
            config.check_quorum = switches & 2 != 0;
            config.max_inflight_messages = if switches & 4 != 0 { 1 } else { 256 };
            config.max_message_bytes = if switches & 8 != 0 { 0 } else { 1 << 20 };
            config.max_uncommitted_entries_bytes = u64::from(switches & 16);
            config.step_down_on_removal = switches & 32 != 0;
            config.conf_change_validation = switches & 64 == 0;
            if config.check_quorum && switches & 128 != 0 {
                config.read_only = ReadOnly::LeaseBased;
            }
            let storage = MemoryStorage::with_conf_state(conf_state.clone());
            let core = Core::new(&config, storage).expect("the storage is sound");
            let hard_state = core.hard_state();
            Server {
                config,
                core,
                held: false,
                hard_state,
                committed: Vec::new(),
            }
        };
        Cluster {
            servers: (1..=SERVERS as u64).map(server).collect(),
            network: VecDeque::new(),
            refused: 0,
            ignored: 0,
        }
    }

    fn note(&mut self, seen: &mut Seen) {
        seen.refused += std::mem::take(&mut self.refused);
        seen.ignored += std::mem::take(&mut self.ignored);
        for Server { core, .. } in &self.servers {
            let config = &core.tracker().config;
            let ids = config.voters.ids();
            seen.elected += u32::from(core.role() == Role::Leader);
            seen.committed += u32::from(core.commit() > Index::ZERO);
            seen.restored += u32::from(core.log().unstable().snapshot().is_some());
            seen.reconfigured += u32::from(ids.len() != SERVERS);
            seen.joint += u32::from(config.voters.is_joint());
            seen.transferring += u32::from(core.lead_transferee().is_some());
        }
    }

    /// An ordinary start: the first server wins its election.
    fn elect(&mut self) {
        self.call(0, Core::campaign);
        for _ in 0..16 {
            (0..SERVERS).for_each(|at| self.work(at, true));
            while let Some(message) = self.network.pop_front() {
                self.deliver(message);
            }
        }
        assert_eq!(self.servers[0].core.role(), Role::Leader);
        self.check();
    }

    fn run(&mut self, op: Op) {
        match op {
            Op::Forge(message) => self.deliver(message),
            Op::Deliver { position, keep } => {
                let count = self.network.len().max(1);
                let message = match keep {
                    true => self.network.get(position % count).cloned(),
                    false => self.network.remove(position % count),
                };
                if let Some(message) = message {
                    self.deliver(message);
                }
            }
            Op::Timer(at, event) => self.call(at, |core| core.on_timer(event)),
            Op::Propose(at, byte) => self.call(at, |core| core.propose(vec![byte; 9].into())),
            Op::ProposeConfChange(at, change) => {
                self.call(at, |core| core.propose_conf_change(&change));
            }
            Op::Read(at) => self.call(at, |core| core.read_index(Bytes::from_static(b"r"))),
            Op::Transfer(at, to) => self.call(at, |core| core.transfer_leadership(id(to))),
            Op::Campaign(at) => self.call(at, Core::campaign),
            Op::Forget(at) => self.call(at, Core::forget_leader),
            Op::Unreachable(at, peer) => {
                self.call(at, |core| core.report_unreachable(id(peer)));
            }
            Op::SnapshotReport(at, peer, status) => {
                self.call(at, |core| core.report_snapshot(id(peer), status));
            }
            Op::Work { server, advance } => self.work(server, advance),
            Op::Compact(at) => self.servers[at].compact(),
            Op::Restart(at) => self.servers[at].restart(),
        }
    }

    fn deliver(&mut self, message: Message) {
        let to = message.to.get() as usize - 1;
        if to < SERVERS {
            self.call(to, |core| core.step(message));
        }
    }

    /// Makes a call; whoever is to blame for an error, it must not have changed anything.
    fn call<T>(
        &mut self,
        at: usize,
        input: impl FnOnce(&mut Core<MemoryStorage>) -> Result<T, Error>,
    ) {
        let core = &mut self.servers[at].core;
        let before = core.clone();
        let result = input(core);
        self.ignored += u32::from(result.is_ok() && before == *core);
        if let Err(error) = result {
            self.refused += 1;
            assert_ne!(error.blame(), Blame::Storage, "{error}");
            assert!(before == *core, "{error} and yet the state has changed");
        }
    }

    fn work(&mut self, at: usize, advance: bool) {
        let server = &mut self.servers[at];
        if server.held {
            let _ = server.core.advance().expect("storage does not fail");
            server.held = false;
        }
        if !server.core.has_ready() {
            return;
        }
        let ready = server.core.ready().expect("nothing is held");
        let storage = server.core.storage_mut();
        if let Some(snapshot) = &ready.snapshot {
            storage
                .apply_snapshot(snapshot.clone())
                .expect("newer than what is there");
        }
        storage
            .write(ready.entries, ready.hard_state)
            .expect("no gap");
        for entry in &ready.committed_entries {
            let change = match entry.kind {
                EntryKind::Normal => continue,
                EntryKind::ConfChange => {
                    wire::decode_conf_change(&entry.data).map(ConfChangeV2::from)
                }
                EntryKind::ConfChangeV2 => wire::decode_conf_change_v2(&entry.data),
            };
            // A change that does not fit is refused, as an application would.
            if let Ok(change) = change {
                let _ = server.core.apply_conf_change(&change);
            }
        }
        self.network.extend(ready.messages);
        self.network.truncate(64);
        match advance {
            true => {
                let core = &mut self.servers[at].core;
                let _ = core.advance().expect("storage does not fail");
            }
            false => self.servers[at].held = true,
        }
    }

    fn check(&mut self) {
        for server in &mut self.servers {
            server.check();
        }
    }
}

impl Server {
    /// Checks the promises that a server makes by itself.
    fn check(&mut self) {
        let (before, now) = (self.hard_state, self.core.hard_state());
        assert!(now.term >= before.term && now.commit >= before.commit);
        if now.term == before.term && before.vote.is_some() {
            assert_eq!(now.vote, before.vote, "a second vote in a term");
        }
        assert!(self.core.applied() <= self.core.commit());
        if self.core.role() == Role::Leader {
            assert_eq!(self.core.leader(), Some(self.core.id()));
        }
        self.hard_state = now;
        self.check_committed();
    }

    /// Checks that committed entries stay as they are.
    fn check_committed(&mut self) {
        let log = self.core.log();
        let first = log.first_index().expect("storage does not fail");
        self.committed.retain(|entry| entry.index >= first);
        for entry in &self.committed {
            let term = log.term(entry.index).expect("storage does not fail");
            assert_eq!(
                term,
                Some(entry.term),
                "committed entry {} was replaced",
                entry.index
            );
        }
        let next = self
            .committed
            .last()
            .map_or(first, |entry| entry.index.next());
        let new = log
            .slice(next, log.committed().next(), u64::MAX)
            .expect("it is committed");
        self.committed.extend(new.expect("not compacted"));
    }

    fn compact(&mut self) {
        let applied = self.core.applied();
        let conf_state = self.core.tracker().config.conf_state();
        let storage = self.core.storage_mut();
        if self.held || conf_state.voters.is_empty() {
            return;
        }
        if storage
            .create_snapshot(applied, Some(conf_state), Bytes::new())
            .is_ok()
        {
            let _ = storage.compact(applied);
        }
    }

    fn restart(&mut self) {
        let storage = self.core.storage().clone();
        self.config.applied = Index::ZERO;
        self.core = Core::new(&self.config, storage).expect("the storage is sound");
        self.held = false;
        // What was not durable is forgotten, and nothing was promised on it.
        self.hard_state = self.core.hard_state();
        let last = self.core.log().last_index().expect("storage does not fail");
        let commit = self.core.commit().min(last);
        self.committed.retain(|entry| entry.index <= commit);
    }
}

/// Counts of what was seen, so that a run in which nothing happens does not pass.
#[derive(Default, Debug)]
struct Seen {
    refused: u32,
    ignored: u32,
    elected: u32,
    committed: u32,
    restored: u32,
    reconfigured: u32,
    joint: u32,
    transferring: u32,
}

#[test]
fn nothing_that_arrives_breaks_a_server() {
    let config = ProptestConfig {
        cases: 25_000,
        failure_persistence: None,
        // What must be seen below depends on the sequences: always the same ones.
        rng_seed: RngSeed::Fixed(1),
        ..ProptestConfig::default()
    };
    let seen = RefCell::new(Seen::default());
    let sequences = (any::<u8>(), any::<bool>(), vec(op(), 1..40));
    let result = TestRunner::new(config).run(&sequences, |(switches, led, ops)| {
        let mut cluster = Cluster::new(switches);
        if led {
            cluster.elect();
        }
        for op in ops {
            cluster.run(op);
            cluster.check();
            cluster.note(&mut seen.borrow_mut());
        }
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    let Seen {
        refused,
        ignored,
        elected,
        committed,
        restored,
        reconfigured,
        joint,
        transferring,
    } = seen.into_inner();
    for (what, count) in [
        ("messages refused", refused),
        ("messages that changed nothing", ignored),
        ("states with a leader", elected),
        ("states with a committed entry", committed),
        ("states with a restored snapshot", restored),
        ("states with another membership", reconfigured),
        ("states with a joint configuration", joint),
        ("states with a transfer under way", transferring),
    ] {
        assert!(count > 500, "only {count} {what}");
    }
}

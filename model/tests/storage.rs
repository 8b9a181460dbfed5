//! Asynchronous storage in a few words: the stories behind the presets, and the twins of what is unsafe.

use lockstep_engine::{Search, Verdict};
use lockstep_model::{Cluster, Departure, Dialect, Preset, Server, Settings};
use lockstep_traces::{
    Body, ConfChange, ConfChangeSingle, Config, Emitted, Entry, Index, Input, Message, NodeView,
    Payload, Role, ServerId, ServerSet, Storage, Term, Transition,
};
use std::collections::{BTreeMap, VecDeque};

fn id(number: u64) -> ServerId {
    ServerId::new(number).expect("the number is not zero")
}

const ASYNC: Config = Config {
    storage: Storage::Async,
    ..Config::PAPER
};

/// Servers, and a network that delivers what it is asked to.
struct Group {
    settings: Settings,
    servers: BTreeMap<ServerId, Server>,
    network: VecDeque<Message>,
}

impl Group {
    fn new(config: &Config, dialect: Dialect) -> Group {
        let settings = Settings::new(config).expect("the configuration is in range");
        let settings = settings.with_dialect(dialect);
        let server = |id| (id, Server::new(&settings, id));
        Group {
            servers: config.server_ids().map(server).collect(),
            settings,
            network: VecDeque::new(),
        }
    }

    fn give(&mut self, number: u64, input: Input) {
        let step = self.servers[&id(number)].step(&self.settings, &input);
        let messages = step.sent.into_iter().map(|Emitted { message, .. }| message);
        self.network.extend(messages);
        self.servers.insert(id(number), step.server);
    }

    fn view(&self, number: u64) -> NodeView {
        self.servers[&id(number)].view(&self.settings)
    }

    /// Delivers the messages of one server to another, in order.
    fn deliver(&mut self, from: u64, to: u64) {
        let (wanted, rest) = std::mem::take(&mut self.network)
            .into_iter()
            .partition(|m: &Message| (m.from, m.to) == (id(from), id(to)));
        self.network = rest;
        let wanted: VecDeque<Message> = wanted;
        for message in wanted {
            self.give(to, Input::Deliver(message));
        }
    }

    /// Storage and application of a server do all that is outstanding.
    fn store(&mut self, number: u64) {
        while !self.view(number).appends.is_empty() {
            self.give(number, Input::Persist);
        }
        while !self.view(number).applies.is_empty() {
            self.give(number, Input::Apply);
        }
    }

    /// Everything happens, but nothing to or from these servers.
    fn settle_without(&mut self, cut_off: &[u64]) {
        loop {
            for number in 1..=self.servers.len() as u64 {
                if !cut_off.contains(&number) {
                    self.store(number);
                }
            }
            let Some(message) = self.network.pop_front() else {
                return;
            };
            let ends = [message.from.get(), message.to.get()];
            if !ends.iter().any(|end| cut_off.contains(end)) {
                self.give(message.to.get(), Input::Deliver(message));
            }
        }
    }

    /// Committed entries that two servers have at the same index and that differ.
    fn differing(&self, a: u64, b: u64) -> Option<(Entry, Entry)> {
        let (a, b) = (self.view(a), self.view(b));
        let committed = a.commit.min(b.commit).0 as usize;
        let mut pairs = a.log.into_iter().zip(b.log).take(committed);
        pairs.find(|(a, b)| a != b)
    }
}

fn empty(term: u64) -> Entry {
    Entry {
        term: Term(term),
        payload: Payload::Empty,
    }
}

fn value(term: u64, value: u64) -> Entry {
    Entry {
        term: Term(term),
        payload: Payload::Value(value),
    }
}

fn append(from: u64, term: u64, entries: &[Entry]) -> Input {
    Input::Deliver(Message {
        from: id(from),
        to: id(3),
        term: Term(term),
        body: Body::AppendEntries {
            prev_index: Index(0),
            prev_term: Term(0),
            entries: entries.to_vec(),
            commit: Index(0),
        },
    })
}

#[test]
fn votes_and_acknowledgements_wait_and_requests_do_not() {
    let mut group = Group::new(&ASYNC, Dialect::ETCD);
    group.give(1, Input::Timeout);
    assert_eq!(group.network.len(), 2);
    let view = group.view(1);
    assert_eq!((view.term, view.durable.term), (Term(1), Term(0)));
    assert!(view.votes.is_empty());
    group.deliver(1, 2);
    assert_eq!(group.network.len(), 1);
    assert_eq!(group.view(2).appends[0].responses.len(), 1);
    group.give(2, Input::Persist);
    assert_eq!(group.network.len(), 2);
    assert_eq!(group.view(2).durable.vote, Some(id(1)));
}

#[test]
fn a_crash_keeps_any_number_of_the_oldest_appends() {
    let config = Config {
        servers: 1,
        ..ASYNC
    };
    let mut group = Group::new(&config, Dialect::ETCD);
    group.give(1, Input::Timeout);
    group.give(1, Input::Persist);
    assert_eq!(group.view(1).role, Role::Leader);
    group.give(1, Input::Propose(7));
    assert_eq!(group.view(1).appends.len(), 2);
    for (kept, entries) in [(0, 0), (1, 1), (2, 2), (3, 2)] {
        let crash = match kept {
            0 => Input::Restart,
            writes => Input::RestartKeeping { writes },
        };
        let step = group.servers[&id(1)].step(&group.settings, &crash);
        let view = step.server.view(&group.settings);
        assert_eq!((view.term, view.log.len()), (Term(1), entries));
        assert_eq!(view.durable.log, view.log);
        assert!(view.appends.is_empty() && step.sent.is_empty());
    }
}

#[test]
fn an_application_in_memory_applies_again() {
    let config = Config {
        servers: 1,
        application_in_memory: true,
        ..ASYNC
    };
    let mut group = Group::new(&config, Dialect::ETCD);
    group.give(1, Input::Timeout);
    group.settle_without(&[]);
    assert_eq!(group.view(1).applied, Index(1));
    group.give(1, Input::Restart);
    let view = group.view(1);
    assert_eq!((view.applied, view.commit), (Index(0), Index(1)));
    assert_eq!(view.applies, [Index(1)]);
}

/// The ABA problem: entries of a first leader are overwritten by a second one and restored by a third, and then storage
/// acknowledges the first append, whose last entry has the index and term of the last entry that the server has again.
#[test]
fn an_acknowledgement_of_an_earlier_term_says_nothing() {
    let mut group = Group::new(&ASYNC, Dialect::ETCD);
    group.give(3, append(1, 1, &[empty(1)]));
    group.give(3, append(2, 2, &[empty(2)]));
    group.give(3, append(1, 3, &[empty(1), empty(3)]));
    group.give(3, append(1, 3, &[empty(1)]));
    assert_eq!(group.view(3).appends.len(), 4);
    for log in [vec![empty(1)], vec![empty(2)]] {
        group.give(3, Input::Persist);
        let view = group.view(3);
        assert_eq!((view.durable.log, view.stable), (log, Index(0)));
    }
    group.give(3, Input::Persist);
    let view = group.view(3);
    assert_eq!((view.durable.log, view.stable), (view.log, Index(2)));
}

/// "Two values": a candidate that leads by the votes of others before its own is durable crashes, leads the same term
/// again, and has another entry with the same index and term. Nobody can tell them apart.
fn lead_twice(dialect: Dialect) -> Group {
    let mut group = Group::new(&ASYNC, dialect);
    group.give(1, Input::Timeout);
    for j in [2, 3] {
        group.deliver(1, j);
        group.store(j);
        group.deliver(j, 1);
    }
    if group.view(1).role != Role::Leader {
        return group;
    }
    group.give(1, Input::Propose(1));
    for _ in 0..2 {
        group.deliver(1, 2);
        group.store(2);
        group.deliver(2, 1);
    }
    assert_eq!(group.view(2).log, [empty(1), value(1, 1)]);
    group.network.clear();
    group.give(1, Input::Restart);
    group.give(1, Input::Timeout);
    group.store(1);
    group.deliver(1, 3);
    group.store(3);
    group.deliver(3, 1);
    assert_eq!(
        (group.view(1).role, group.view(1).term),
        (Role::Leader, Term(1))
    );
    group.give(1, Input::Propose(2));
    group.settle_without(&[3]);
    group
}

#[test]
fn who_leads_before_its_own_vote_is_durable_may_lead_twice() {
    let group = lead_twice(Dialect::ETCD_3_6);
    let differ = group.differing(1, 2);
    assert_eq!(differ, Some((value(1, 2), value(1, 1))));
    let safe = lead_twice(Dialect::ETCD);
    assert_eq!(safe.view(1).role, Role::Candidate);
}

/// A server has a committed change of the configuration in its log, and one that came later, but not the commit index
/// that came with them: it campaigns with a configuration two changes old, whose quorums need not meet those of the new one.
fn campaign_with_old_configuration(dialect: Dialect, crash: Input) -> Group {
    let config = Config {
        servers: 4,
        voters: ServerSet::of(&[1, 2, 3]),
        ..ASYNC
    };
    let change = |single| {
        Input::ProposeConfChange(ConfChange {
            changes: vec![single].into(),
            transition: Transition::Auto,
        })
    };
    let mut group = Group::new(&config, dialect);
    group.give(3, Input::Timeout);
    group.settle_without(&[]);
    group.give(3, change(ConfChangeSingle::AddVoter(id(4))));
    group.settle_without(&[2]);
    group.give(3, change(ConfChangeSingle::Remove(id(1))));
    group.settle_without(&[2]);
    // The one append that brings server 2 up to date is outstanding when it crashes.
    group.give(3, Input::Heartbeat);
    while group.view(2).log.len() < 3 {
        group.deliver(3, 2);
        if group.view(2).log.len() < 3 {
            group.store(2);
            group.deliver(2, 3);
        }
    }
    group.give(2, crash);
    group.network.clear();
    group.give(3, Input::Propose(9));
    group.settle_without(&[1, 2]);
    group.give(2, Input::Timeout);
    group.settle_without(&[3, 4]);
    group
}

#[test]
fn entries_and_hard_state_are_one_write() {
    let keeping = Input::RestartKeeping { writes: 9 };
    let twin = Dialect::ETCD.with(Departure::EntriesWithoutHardState);
    let group = campaign_with_old_configuration(twin, keeping.clone());
    assert_eq!(group.view(2).role, Role::Leader);
    let differ = group.differing(2, 3);
    assert_eq!(differ, Some((empty(2), value(1, 9))));
    for crash in [Input::Restart, keeping] {
        let safe = campaign_with_old_configuration(Dialect::ETCD, crash);
        assert_ne!(safe.view(2).role, Role::Leader);
        assert_eq!(safe.differing(2, 3), None);
    }
}

/// Unsafe departures violate the property that they are documented with; the shortest counterexamples have these
/// lengths.
#[test]
fn what_is_unsafe_is_found_out() {
    let cases = [
        (
            Departure::LeadsBeforeOwnVote,
            "async-election",
            "election_safety_inv",
            16,
        ),
        (
            Departure::LeadsBeforeOwnVote,
            "async-election",
            "leader_is_durable_inv",
            7,
        ),
        (
            Departure::EntriesWithoutHardState,
            "async-conflict",
            "sane_after_crash_inv",
            7,
        ),
    ];
    for (departure, preset, property, length) in cases {
        assert!(departure.is_unsafe());
        let preset = Preset::named(preset).expect("there is such a preset");
        let settings = Settings::new(&preset.config).expect("presets are sensible");
        let settings = settings.with_dialect(Dialect::ETCD.with(departure));
        let cluster = Cluster::new(settings, preset.bounds);
        let search = Search::new(&cluster).only([property]);
        let checked = search.run().expect("the search runs");
        let Verdict::Violated { .. } = checked.report.verdict else {
            panic!("{departure}: {}", checked.report.verdict);
        };
        let steps = checked.counterexample.map(|it| it.steps.len());
        assert_eq!(steps, Some(length), "{departure} {property}");
    }
}

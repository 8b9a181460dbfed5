//! Membership at single servers, and in a few words: the stories behind the presets.

use lockstep_model::{Departure, Dialect, Server, Settings};
use lockstep_traces::{
    Body, ConfChange, ConfChangeSingle, Config, Configuration, Emitted, Index, Input, Message,
    Outcome, Payload, ProgressState, Refusal, Role, ServerId, ServerSet, Snapshot, Term,
    Transition,
};
use std::collections::{BTreeMap, VecDeque};

fn id(number: u64) -> ServerId {
    ServerId::new(number).expect("the number is not zero")
}

fn add(number: u64) -> ConfChangeSingle {
    ConfChangeSingle::AddVoter(id(number))
}

fn remove(number: u64) -> ConfChangeSingle {
    ConfChangeSingle::Remove(id(number))
}

fn change(changes: &[ConfChangeSingle]) -> Input {
    Input::ProposeConfChange(ConfChange {
        changes: changes.to_vec().into(),
        transition: Transition::Auto,
    })
}

/// Servers, and a network that delivers what it is asked to.
#[derive(Clone)]
struct Group {
    settings: Settings,
    servers: BTreeMap<ServerId, Server>,
    network: VecDeque<Message>,
}

impl Group {
    fn new(config: &Config) -> Group {
        let settings = Settings::new(config).expect("the configuration is in range");
        let server = |id| (id, Server::new(&settings, id));
        Group {
            servers: config.server_ids().map(server).collect(),
            settings,
            network: VecDeque::new(),
        }
    }

    fn give(&mut self, number: u64, input: Input) -> Outcome {
        let step = self.servers[&id(number)].step(&self.settings, &input);
        let messages = step.sent.into_iter().map(|Emitted { message, .. }| message);
        self.network.extend(messages);
        self.servers.insert(id(number), step.server);
        step.outcome
    }

    /// Delivers everything, but nothing to or from these servers.
    fn settle_without(&mut self, cut_off: &[u64]) {
        while let Some(message) = self.network.pop_front() {
            let ends = [message.from.get(), message.to.get()];
            if !ends.iter().any(|end| cut_off.contains(end)) {
                self.give(message.to.get(), Input::Deliver(message));
            }
        }
    }

    fn settle(&mut self) {
        self.settle_without(&[]);
    }

    fn elect(&mut self, number: u64) {
        self.give(number, Input::Timeout);
        self.settle();
        assert_eq!(self.server(number).role(), Role::Leader);
    }

    fn server(&self, number: u64) -> &Server {
        &self.servers[&id(number)]
    }

    fn configuration(&self, number: u64) -> Configuration {
        self.server(number).view(&self.settings).configuration
    }
}

fn config(servers: u64, voters: &[u64]) -> Config {
    Config {
        servers,
        voters: ServerSet::of(voters),
        ..Config::PAPER
    }
}

fn voters(numbers: &[u64]) -> Configuration {
    Configuration {
        voters: numbers.iter().map(|number| id(*number)).collect(),
        ..Configuration::default()
    }
}

#[test]
fn settings_keep_what_they_are_told() {
    let told = Config {
        learners: ServerSet::of(&[4]),
        step_down_on_removal: true,
        disable_conf_change_validation: true,
        ..config(5, &[1, 3])
    };
    for told in [told, Config::PAPER] {
        let settings = Settings::new(&told).expect("the configuration is in range");
        assert_eq!(settings.config(), told);
    }
    let both = Config {
        learners: ServerSet::of(&[3]),
        ..config(5, &[1, 3])
    };
    assert!(Settings::new(&both).is_err());
}

#[test]
fn a_stranger_joins_and_may_lead() {
    let mut group = Group::new(&config(4, &[1, 2, 3]));
    assert_eq!(group.give(4, Input::Timeout), Outcome::Accepted);
    assert_eq!(group.server(4).role(), Role::Follower);
    group.elect(1);
    group.give(1, change(&[add(4)]));
    group.settle();
    group.give(1, Input::Heartbeat);
    group.settle();
    assert_eq!(group.configuration(4), voters(&[1, 2, 3, 4]));
    group.elect(4);
    assert_eq!(group.server(4).commit(), group.server(1).commit());
}

/// As in etcd's script `confchange_v1_remove_leader`: two entries beside the removal commit by its old configuration,
/// the third one needs both of the others.
#[test]
fn a_removed_leader_counts_only_the_others() {
    let mut group = Group::new(&config(3, &[1, 2, 3]));
    group.elect(1);
    group.give(1, change(&[remove(1)]));
    group.settle_without(&[3]);
    let removal = group.server(1).commit();
    assert_eq!(group.configuration(1), voters(&[2, 3]));
    assert_eq!(group.server(1).role(), Role::Leader);
    let dropped = Outcome::Refused(Refusal::ProposalDropped);
    assert_eq!(group.give(1, Input::Propose(1)), dropped);
    assert_eq!(group.give(1, change(&[add(1)])), dropped);
    assert_eq!(group.server(1).commit(), removal);
    // It still beats, so nobody campaigns before somebody's patience ends.
    group.give(1, Input::Heartbeat);
    group.settle();
    assert_eq!(group.configuration(3), voters(&[2, 3]));
    group.elect(2);
    assert_eq!(group.give(1, Input::Timeout), Outcome::Accepted);
    assert_ne!(group.server(1).role(), Role::Candidate);
}

#[test]
fn a_leader_steps_down_on_its_removal_if_it_is_to() {
    let mut group = Group::new(&Config {
        step_down_on_removal: true,
        ..config(3, &[1, 2, 3])
    });
    group.elect(1);
    group.give(1, change(&[remove(1)]));
    group.settle();
    assert_eq!(group.server(1).role(), Role::Follower);
    assert_eq!(group.server(1).view(&group.settings).leader, None);
}

#[test]
fn a_joint_configuration_is_left_by_itself() {
    let mut group = Group::new(&config(4, &[1, 2, 3]));
    group.elect(1);
    group.give(1, change(&[add(4), remove(1)]));
    group.settle_without(&[3, 4]);
    let joint = Configuration {
        outgoing: voters(&[1, 2, 3]).voters,
        auto_leave: true,
        ..voters(&[2, 3, 4])
    };
    // A majority of the old voters has the joint one, but one of the new ones is none.
    assert_eq!(group.configuration(2), joint);
    group.give(1, Input::Heartbeat);
    group.settle();
    group.give(1, Input::Heartbeat);
    group.settle();
    for number in [2, 3] {
        assert_eq!(group.configuration(number), voters(&[2, 3, 4]));
    }
    assert_eq!(group.server(1).role(), Role::Leader);
}

#[test]
fn a_second_change_waits_for_the_first() {
    let mut group = Group::new(&config(4, &[1, 2, 3]));
    group.elect(1);
    group.give(1, change(&[add(4)]));
    assert_eq!(group.give(1, change(&[remove(3)])), Outcome::Accepted);
    let view = group.server(1).view(&group.settings);
    assert_eq!(
        view.log.last().map(|entry| &entry.payload),
        Some(&Payload::Empty)
    );
    assert_eq!(view.pending_conf_index.0, 2);
    group.settle();
    assert_eq!(
        group.server(1).view(&group.settings).pending_conf_index.0,
        0
    );
    assert_eq!(group.configuration(1), voters(&[1, 2, 3, 4]));
}

/// Etcd panics when it applies such a change; nobody is to propose it.
#[test]
fn a_change_that_does_not_fit_changes_nothing() {
    let mut group = Group::new(&config(1, &[1]));
    group.elect(1);
    assert_eq!(group.give(1, change(&[remove(1)])), Outcome::Accepted);
    assert_eq!(group.configuration(1), voters(&[1]));
    assert_eq!(group.server(1).commit().0, 2);
    assert_eq!(group.server(1).role(), Role::Leader);
}

/// Without validation a leader can be removed and come back while it leads. Then it forgets that it has its own log, and
/// counts itself only when it has appended something again.
#[test]
fn a_leader_that_comes_back_has_forgotten_its_own_log() {
    let mut group = Group::new(&Config {
        disable_conf_change_validation: true,
        ..config(3, &[1, 2])
    });
    group.elect(1);
    group.give(1, change(&[remove(1)]));
    group.give(1, change(&[add(1)]));
    group.settle();
    assert_eq!(group.configuration(1), voters(&[1, 2]));
    let commit = group.server(1).commit().0;
    group.give(1, Input::Propose(1));
    group.settle();
    assert_eq!(group.server(1).commit().0, commit + 1);
}

#[test]
fn a_fixed_configuration_takes_no_change() {
    let mut group = Group::new(&Config::PAPER);
    group.elect(1);
    let before = group.server(1).clone();
    let dropped = Outcome::Refused(Refusal::ProposalDropped);
    assert_eq!(group.give(1, change(&[remove(3)])), dropped);
    assert_eq!(group.server(1), &before);
    let view = before.view(&group.settings);
    assert!(view.configuration.is_empty());
}

#[test]
fn servers_that_cannot_be_held_are_refused() {
    let mut group = Group::new(&config(3, &[1, 2, 3]));
    group.elect(1);
    let dropped = Outcome::Refused(Refusal::ProposalDropped);
    for beyond in [4, 6, 1 << 40] {
        assert_eq!(group.give(1, change(&[add(beyond)])), dropped);
    }
    let settings = Settings::new(&config(3, &[1, 4]));
    assert!(settings.is_err());
    // The answer of a server that was removed counts for nothing, not even its term.
    group.give(1, change(&[remove(3)]));
    group.settle();
    let answer = Message {
        from: id(3),
        to: id(1),
        term: lockstep_traces::Term(9),
        body: Body::HeartbeatResponse,
    };
    let refused = Outcome::Refused(Refusal::UnknownPeer);
    assert_eq!(group.give(1, Input::Deliver(answer)), refused);
    assert_eq!(group.server(1).term().0, 1);
}

fn transfer(number: u64) -> Input {
    Input::TransferLeadership { to: id(number) }
}

fn transferee(group: &Group, number: u64) -> Option<ServerId> {
    group.server(number).view(&group.settings).transferee
}

fn deliver(from: u64, to: u64, body: Body) -> Input {
    Input::Deliver(Message {
        from: id(from),
        to: id(to),
        term: Term(1),
        body,
    })
}

#[test]
fn a_stranger_joins_by_a_snapshot() {
    let mut group = Group::new(&config(3, &[1, 2]));
    group.elect(1);
    group.give(1, change(&[add(3)]));
    group.settle_without(&[3]);
    group.give(1, Input::Compact);
    let expected = voters(&[1, 2, 3]);
    let snapshot = group.server(1).view(&group.settings).snapshot;
    assert_eq!(snapshot.map(|it| it.configuration), Some(expected.clone()));

    // The first append to it was lost, and what it needs is gone.
    group.give(1, Input::Heartbeat);
    group.settle();
    assert_eq!(group.configuration(3), expected);
    assert_eq!(group.server(3).commit(), group.server(1).commit());
    group.give(3, Input::Restart);
    assert_eq!(group.configuration(3), expected);
    group.elect(3);
}

#[test]
fn a_snapshot_that_is_older_than_a_membership_is_ignored() {
    let mut group = Group::new(&config(3, &[1, 2]));
    group.elect(1);
    group.give(1, Input::Propose(1));
    group.settle();
    group.give(1, Input::Compact);
    let state = |group: &Group| group.server(1).view(&group.settings).peers[&id(3)].state;
    group.give(1, change(&[add(3)]));
    group.settle();
    assert_eq!(group.server(3).commit(), Index(0));
    assert_eq!(state(&group), ProgressState::Snapshot);

    // A newer one has it.
    group.give(1, Input::Compact);
    let peer = id(3);
    group.give(1, Input::ReportSnapshot { peer, ok: false });
    group.give(1, Input::Heartbeat);
    group.settle();
    assert_eq!(group.server(3).commit(), group.server(1).commit());
    assert_eq!(group.configuration(3), voters(&[1, 2, 3]));
    assert_eq!(state(&group), ProgressState::Replicate);
}

#[test]
fn a_configuration_comes_with_a_snapshot_that_replaces_the_log() {
    let settings = Settings::new(&config(3, &[1, 2, 3])).expect("the configuration is in range");
    let install = |index, configuration: &Configuration| {
        let snapshot = Snapshot {
            index: Index(index),
            term: Term(1),
            configuration: configuration.clone(),
        };
        deliver(2, 1, Body::InstallSnapshot { snapshot })
    };
    let joint = Configuration {
        outgoing: [id(3)].into(),
        learners: [id(1)].into(),
        auto_leave: true,
        ..voters(&[2])
    };
    let server = Server::new(&settings, id(1));
    let of = |server: &Server| server.view(&settings).configuration;
    // It is a learner there.
    let restored = server.step(&settings, &install(4, &joint)).server;
    assert_eq!(
        (restored.commit(), of(&restored)),
        (Index(4), joint.clone())
    );
    // The log has the entry.
    let again = restored.step(&settings, &install(4, &voters(&[1, 2])));
    assert_eq!(again.server, restored);

    // Nobody can be both, there is no server 4, and without outgoing half nothing is left later.
    let both = Configuration {
        learners: [id(1)].into(),
        ..voters(&[1, 2])
    };
    let left = Configuration {
        auto_leave: true,
        ..voters(&[1, 2])
    };
    for wrong in [both, left, voters(&[1, 4]), voters(&[2, 3])] {
        let step = server.step(&settings, &install(4, &wrong));
        assert_eq!((step.server.commit(), step.sent.len()), (Index(0), 1));
    }
}

#[test]
fn only_a_voter_is_handed_over_to() {
    let learns = Config {
        learners: ServerSet::of(&[3]),
        ..config(4, &[1, 2])
    };
    let mut group = Group::new(&learns);
    group.elect(1);
    for number in [3, 4] {
        group.give(1, transfer(number));
        assert_eq!(transferee(&group, 1), None);
    }
    // A request in vain does not end another one.
    group.give(1, transfer(2));
    group.give(1, transfer(3));
    assert_eq!(transferee(&group, 1), Some(id(2)));
    group.settle();
    assert_eq!(group.server(2).role(), Role::Leader);
}

#[test]
fn who_does_not_vote_does_nothing_when_told_to_campaign() {
    let learns = Config {
        learners: ServerSet::of(&[3]),
        ..config(4, &[1, 2])
    };
    let settings = Settings::new(&learns).expect("the configuration is in range");
    for (number, campaigns) in [(2, true), (3, false), (4, false)] {
        let server = Server::new(&settings, id(number));
        let step = server.step(&settings, &deliver(1, number, Body::TimeoutNow));
        assert_eq!(!step.sent.is_empty(), campaigns);
        assert_eq!(step.server.role() == Role::Candidate, campaigns);
        // The term of the message counts in any case.
        let term = step.server.view(&settings).term;
        assert_eq!(term, Term(if campaigns { 2 } else { 1 }));
    }
}

#[test]
fn a_transfer_ends_when_the_transferee_is_removed() {
    let mut group = Group::new(&config(3, &[1, 2, 3]));
    group.elect(1);
    group.give(1, change(&[remove(3)]));
    group.settle_without(&[2, 3]);
    group.give(1, transfer(3));
    assert_eq!(transferee(&group, 1), Some(id(3)));
    group.give(1, Input::Heartbeat);
    group.settle_without(&[3]);
    assert_eq!(group.configuration(1), voters(&[1, 2]));
    assert_eq!(transferee(&group, 1), None);
    assert_eq!(group.give(1, Input::Propose(1)), Outcome::Accepted);
}

#[test]
fn a_removed_leader_may_hand_over() {
    let mut group = Group::new(&config(3, &[1, 2, 3]));
    group.elect(1);
    group.give(1, change(&[remove(1)]));
    group.settle();
    assert_eq!(group.server(1).role(), Role::Leader);
    group.give(1, transfer(1));
    assert_eq!(transferee(&group, 1), None);
    group.give(1, transfer(2));
    group.settle();
    assert_eq!(group.server(2).role(), Role::Leader);
}

#[test]
fn changes_are_forwarded_and_limited() {
    let limited = Config {
        forward_proposals: true,
        max_uncommitted: 1,
        ..config(3, &[1, 2, 3])
    };
    let mut group = Group::new(&limited);
    group.elect(1);
    assert_eq!(group.give(2, change(&[remove(3)])), Outcome::Accepted);
    group.settle();
    assert_eq!(group.configuration(2), voters(&[1, 2]));
    // There is no room for this one, so there is nothing to wait for.
    let dropped = Outcome::Refused(Refusal::ProposalDropped);
    let pending = |group: &Group| group.server(1).view(&group.settings).pending_conf_index;
    let last = group.server(1).commit();
    let mut etcds = group.clone();
    etcds.settings = etcds
        .settings
        .with_dialect(Dialect::ETCD.with(Departure::DroppedChangeBlocks));
    for (group, blocks) in [(&mut group, false), (&mut etcds, true)] {
        assert_eq!(group.give(1, Input::Propose(1)), Outcome::Accepted);
        assert_eq!(group.give(1, change(&[add(3)])), dropped);
        let waits = Index(if blocks { last.0 + 2 } else { 0 });
        assert_eq!(pending(group), waits);
        // In etcd's raft the next one becomes an empty entry, for which there is room.
        let next = if blocks { Outcome::Accepted } else { dropped };
        assert_eq!(group.give(1, change(&[add(3)])), next);
        group.settle();
        assert_eq!(pending(group), Index(0));
        assert_eq!(group.configuration(1), voters(&[1, 2]));
    }
    // What leaves a joint configuration needs no room: here the leader does so by itself.
    group.give(1, change(&[add(3), remove(2)]));
    group.settle();
    assert_eq!(group.configuration(1), voters(&[1, 3]));
}

#[test]
fn a_leader_in_transfer_does_not_leave_joint() {
    let mut group = Group::new(&config(4, &[1, 2, 3]));
    group.elect(1);
    group.give(1, change(&[add(4), remove(3)]));
    group.give(1, transfer(3));
    group.settle_without(&[3]);
    let joint = Configuration {
        outgoing: [id(1), id(2), id(3)].into(),
        auto_leave: true,
        ..voters(&[1, 2, 4])
    };
    assert_eq!(group.configuration(1), joint);
    let mut etcds = group.clone();
    etcds.settings = etcds
        .settings
        .with_dialect(Dialect::ETCD.with(Departure::AutoLeaveWaits));
    // When it gives up it leaves.
    group.give(1, Input::CheckQuorum);
    assert_eq!(transferee(&group, 1), None);
    group.settle_without(&[3]);
    assert_eq!(group.configuration(1), voters(&[1, 2, 4]));
    // In etcd's raft it does so with the next entry, if there ever is one.
    etcds.give(1, Input::CheckQuorum);
    etcds.settle_without(&[3]);
    assert_eq!(etcds.configuration(1), joint);
    etcds.give(1, Input::Propose(1));
    etcds.settle_without(&[3]);
    assert_eq!(etcds.configuration(1), voters(&[1, 2, 4]));
}

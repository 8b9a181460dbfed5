//! `Server::step` is total: whatever comes, there is a result, and what is refused changes nothing.

use lockstep_model::{Server, Settings};
use lockstep_traces::{
    Body, ConfChange, ConfChangeSingle, Config, Configuration, Entry, Index, Input, Message,
    Outcome, Payload, ProgressState, Reads, Refusal, RejectHint, Role, ServerId, ServerSet,
    Snapshot, Term, Transition,
};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

fn id(number: u64) -> ServerId {
    ServerId::new(number).expect("the number is not zero")
}

fn settings(pre_vote: bool, check_quorum: bool) -> Settings {
    let config = Config {
        servers: 3,
        pre_vote,
        check_quorum,
        one_entry_per_append: false,
        max_inflight: 2,
        ..Config::PAPER
    };
    Settings::new(&config).expect("the configuration is in range")
}

fn message(from: u64, term: u64, body: Body) -> Input {
    Input::Deliver(Message {
        from: id(from),
        to: id(1),
        term: Term(term),
        body,
    })
}

/// Applies inputs in order; all must be accepted.
fn run(settings: &Settings, inputs: impl IntoIterator<Item = Input>) -> Server {
    let start = Server::new(settings, id(1));
    inputs.into_iter().fold(start, |server, input| {
        let step = server.step(settings, &input);
        assert_eq!(step.outcome, Outcome::Accepted);
        step.server
    })
}

fn heartbeat(from: u64, term: u64) -> Input {
    message(
        from,
        term,
        Body::Heartbeat {
            commit: Index(0),
            round: 0,
        },
    )
}

fn vote_request(from: u64, term: u64) -> Input {
    let (last_index, last_term) = (Index(9), Term(1));
    let transfer = false;
    message(
        from,
        term,
        Body::RequestVote {
            last_index,
            last_term,
            transfer,
        },
    )
}

#[test]
fn a_response_of_a_stranger_is_refused_and_its_request_served() {
    let settings = settings(true, true);
    let server = Server::new(&settings, id(1));
    let response = server.step(&settings, &message(9, 5, Body::HeartbeatResponse));
    assert_eq!(response.outcome, Outcome::Refused(Refusal::UnknownPeer));
    assert_eq!(response.server, server);

    let request = server.step(&settings, &vote_request(9, 5));
    assert_eq!(request.outcome, Outcome::Accepted);
    assert_eq!(request.server.view(&settings).vote, Some(id(9)));
    assert_eq!(request.sent.len(), 1);
}

#[test]
fn a_repeated_vote_renews_the_lease() {
    let settings = settings(true, true);
    // It votes for 2, hears from it as leader, and its lease runs out.
    let before = run(
        &settings,
        [vote_request(2, 1), heartbeat(2, 1), Input::LeaseExpire],
    );
    assert!(!before.view(&settings).lease);
    let after = before.step(&settings, &vote_request(2, 1)).server;
    assert!(after.view(&settings).lease);
}

#[test]
fn a_lease_needs_check_quorum_and_a_leader() {
    for (check_quorum, leases) in [(true, true), (false, false)] {
        let settings = settings(true, check_quorum);
        let follower = run(&settings, [heartbeat(2, 1)]);
        assert_eq!(follower.view(&settings).lease, leases);
        let ignored = follower.step(&settings, &vote_request(3, 7));
        assert_eq!(ignored.sent.is_empty(), leases);
        let campaigning = follower.step(&settings, &Input::Timeout).server;
        assert_eq!(campaigning.role(), Role::PreCandidate);
        assert_eq!(campaigning.view(&settings).leader, None);
        assert!(!campaigning.view(&settings).lease);
    }
}

#[test]
fn a_stale_leader_is_answered_with_pre_vote_or_check_quorum() {
    for (pre_vote, check_quorum, answers) in [(false, false, 0), (true, false, 1), (false, true, 1)]
    {
        let settings = settings(pre_vote, check_quorum);
        let follower = run(&settings, [heartbeat(2, 4)]);
        let step = follower.step(&settings, &heartbeat(3, 2));
        assert_eq!(step.sent.len(), answers);
        assert_eq!(step.server, follower);
    }
}

#[test]
fn numbers_out_of_range_are_refused() {
    let settings = settings(false, false);
    let server = Server::new(&settings, id(1));
    let vast = server.step(&settings, &heartbeat(2, u64::MAX));
    assert_eq!(vast.outcome, Outcome::Refused(Refusal::UnknownPeer));
    let vast = server.step(&settings, &Input::Propose(u64::MAX));
    assert_eq!(vast.outcome, Outcome::Refused(Refusal::ProposalDropped));
}

/// A server that leads term 1 of three servers, with its first entry.
fn leader(settings: &Settings) -> Server {
    let granted = true;
    let elected = [
        Input::Timeout,
        message(2, 1, Body::RequestPreVoteResponse { granted }),
        message(2, 1, Body::RequestVoteResponse { granted }),
    ];
    let server = run(settings, elected);
    assert_eq!(server.role(), Role::Leader);
    server
}

fn acknowledgement(from: u64, index: u64) -> Input {
    let (index, rejected) = (Index(index), None);
    message(from, 1, Body::AppendEntriesResponse { index, rejected })
}

#[test]
fn a_peer_that_was_not_heard_from_is_sent_no_snapshot() {
    let settings = settings(true, true);
    let peer = id(3);
    for silent in [false, true] {
        let before = [
            acknowledgement(2, 1),
            acknowledgement(3, 1),
            Input::Propose(1),
            acknowledgement(2, 2),
            Input::ReportUnreachable { peer },
            Input::Compact,
        ];
        let checked = silent.then_some(Input::CheckQuorum);
        let inputs = before.iter().chain(&checked);
        let server = inputs.fold(leader(&settings), |server, input| {
            server.step(&settings, input).server
        });
        assert_eq!(server.commit(), Index(2));
        // What server 3 needs is gone: its log ends at 1.
        let step = server.step(&settings, &Input::Propose(2));
        let mut sent = step.sent.iter().filter(|sent| sent.message.to == peer);
        let state = step.server.view(&settings).peers[&peer].state;
        match silent {
            true => assert_eq!((sent.next(), state), (None, ProgressState::Probe)),
            false => {
                let body = sent.next().map(|sent| &sent.message.body);
                assert!(
                    matches!(body, Some(Body::InstallSnapshot { .. })),
                    "{body:?}"
                );
                assert_eq!(state, ProgressState::Snapshot);
            }
        }
    }
}

/// As in etcd's script `snapshot_succeed_via_app_resp`.
#[test]
fn acknowledging_a_snapshot_at_the_last_index_ends_the_wait() {
    let settings = settings(true, true);
    let server = leader(&settings);
    let beat = message(3, 1, Body::HeartbeatResponse);
    let inputs = [acknowledgement(2, 1), Input::Compact];
    let server = inputs
        .iter()
        .fold(server, |server, input| server.step(&settings, input).server);
    let step = server.step(&settings, &beat);
    assert_eq!(step.sent.len(), 1);
    let peer = |server: &Server| server.view(&settings).peers[&id(3)].clone();
    let waits = peer(&step.server);
    assert_eq!(waits.state, ProgressState::Snapshot);
    assert_eq!(
        (waits.next, waits.pending_snapshot),
        (Index(2), Some(Index(1)))
    );
    assert!(waits.paused);

    let step = step.server.step(&settings, &acknowledgement(3, 1));
    assert_eq!(step.sent.len(), 0);
    let settled = peer(&step.server);
    assert_eq!(settled.state, ProgressState::Replicate);
    assert_eq!((settled.matched, settled.next), (Index(1), Index(2)));
}

#[test]
fn a_snapshot_for_others_is_ignored() {
    let settings = settings(false, false);
    let install = |voters: std::ops::Range<u64>| {
        let snapshot = Snapshot {
            index: Index(4),
            term: Term(1),
            configuration: Configuration::of_voters(voters.map(id)),
        };
        message(2, 1, Body::InstallSnapshot { snapshot })
    };
    let server = run(&settings, [install(2..4)]);
    assert_eq!(
        (server.commit(), server.view(&settings).snapshot),
        (Index(0), None)
    );
    let server = run(&settings, [install(1..4)]);
    assert_eq!(server.commit(), Index(4));
    assert!(server.view(&settings).snapshot.is_some());
    assert_eq!(
        run(&settings, [install(1..4), Input::Restart]).commit(),
        Index(4)
    );
}

/// Small numbers, so that they meet those of the server.
fn small() -> impl Strategy<Value = u64> {
    0..5u64
}

/// Changes of servers, of which there are three.
fn changes() -> impl Strategy<Value = ConfChange> {
    let single = (1..5u64, 0..3).prop_map(|(server, kind)| match kind {
        0 => ConfChangeSingle::AddVoter(id(server)),
        1 => ConfChangeSingle::AddLearner(id(server)),
        _ => ConfChangeSingle::Remove(id(server)),
    });
    let transition = prop_oneof![
        Just(Transition::Auto),
        Just(Transition::Implicit),
        Just(Transition::Explicit)
    ];
    (prop::collection::vec(single, 0..4), transition).prop_map(|(changes, transition)| ConfChange {
        changes: changes.into(),
        transition,
    })
}

fn entries() -> impl Strategy<Value = Vec<Entry>> {
    let entry = (small(), 0..3, changes()).prop_map(|(term, kind, change)| Entry {
        term: Term(term),
        payload: match kind {
            0 => Payload::Value(term),
            1 => Payload::Empty,
            _ => Payload::ConfChange(change),
        },
    });
    prop::collection::vec(entry, 0..4)
}

fn bodies() -> impl Strategy<Value = Body> {
    let numbers = || (small(), small()).prop_map(|(index, term)| (Index(index), Term(term)));
    prop_oneof![
        (numbers(), any::<bool>()).prop_map(|((last_index, last_term), transfer)| {
            Body::RequestVote {
                last_index,
                last_term,
                transfer,
            }
        }),
        numbers().prop_map(|(last_index, last_term)| Body::RequestPreVote {
            last_index,
            last_term
        }),
        any::<bool>().prop_map(|granted| Body::RequestVoteResponse { granted }),
        any::<bool>().prop_map(|granted| Body::RequestPreVoteResponse { granted }),
        (numbers(), entries(), small()).prop_map(|((prev_index, prev_term), entries, commit)| {
            Body::AppendEntries {
                prev_index,
                prev_term,
                entries,
                commit: Index(commit),
            }
        }),
        small().prop_map(|index| Body::AppendEntriesResponse {
            index: Index(index),
            rejected: None,
        }),
        (small(), numbers()).prop_map(|(refused, (index, term))| Body::AppendEntriesResponse {
            index: Index(refused),
            rejected: Some(RejectHint { index, term }),
        }),
        (small(), 0..4u64).prop_map(|(commit, round)| Body::Heartbeat {
            commit: Index(commit),
            round,
        }),
        Just(Body::HeartbeatResponse),
        (1..4u64).prop_map(|round| Body::RoundResponse { round }),
        (1..5u64, 1..3u64).prop_map(|(origin, context)| Body::ReadIndex {
            origin: id(origin),
            context,
        }),
        (1..3u64, small()).prop_map(|(context, index)| Body::ReadIndexResponse {
            context,
            index: Index(index),
        }),
        Just(Body::TimeoutNow),
        (1..5u64).prop_map(|to| Body::TransferLeader { transferee: id(to) }),
        prop::collection::vec(small().prop_map(Payload::Value), 1..3)
            .prop_map(|payloads| Body::Propose { payloads }),
        ((1..5u64, 1..5u64), 1..4u64).prop_map(|((index, term), voters)| Body::InstallSnapshot {
            snapshot: Snapshot {
                index: Index(index),
                term: Term(term),
                configuration: Configuration::of_voters((voters..4).map(id)),
            },
        }),
    ]
}

fn inputs() -> impl Strategy<Value = Input> {
    prop_oneof![
        3 => Just(Input::Timeout),
        1 => Just(Input::LeaseExpire),
        1 => Just(Input::Heartbeat),
        1 => Just(Input::CheckQuorum),
        1 => small().prop_map(Input::Propose),
        1 => changes().prop_map(Input::ProposeConfChange),
        1 => Just(Input::Restart),
        1 => Just(Input::ForgetLeader),
        1 => Just(Input::Compact),
        1 => (1..3u64).prop_map(|context| Input::ReadIndex { context }),
        1 => (1..5u64).prop_map(|to| Input::TransferLeadership { to: id(to) }),
        1 => (1..5u64).prop_map(|peer| Input::ReportUnreachable { peer: id(peer) }),
        1 => (1..5u64, any::<bool>())
            .prop_map(|(peer, ok)| Input::ReportSnapshot { peer: id(peer), ok }),
        12 => (1..5u64, small(), bodies()).prop_map(|(from, term, body)| message(from, term, body)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 1_000,
        rng_seed: RngSeed::Fixed(2),
        ..ProptestConfig::default()
    })]

    #[test]
    fn every_input_has_a_result(
        switches in any::<[bool; 3]>(),
        reads in prop_oneof![Just(Reads::Off), Just(Reads::Safe), Just(Reads::LeaseBased)],
        members in (any::<bool>(), 1..8u64, any::<[bool; 2]>()),
        inputs in prop::collection::vec(inputs(), 1..60),
    ) {
        let (changes, parts, [step_down_on_removal, disable_conf_change_validation]) = members;
        let part = |wanted: bool| -> ServerSet {
            let ids = (1..=3).filter(|id| (parts >> (id - 1) & 1 == 1) == wanted);
            ids.filter_map(ServerId::new).collect()
        };
        let fixed = settings(switches[0], switches[1] || reads == Reads::LeaseBased);
        let fixed = Settings::new(&Config {
            reads,
            ..fixed.config()
        })
        .expect("the configuration is in range");
        let settings = match changes {
            false => fixed,
            true => Settings::new(&Config {
                voters: part(true),
                learners: if switches[2] { part(false) } else { ServerSet::NONE },
                step_down_on_removal,
                disable_conf_change_validation,
                ..fixed.config()
            })
            .expect("the configuration is in range"),
        };
        let mut server = Server::new(&settings, id(1));
        for input in inputs {
            let step = server.step(&settings, &input);
            let (before, after) = (server.view(&settings), step.server.view(&settings));
            if step.outcome != Outcome::Accepted {
                prop_assert_eq!(&step.server, &server);
                prop_assert!(step.sent.is_empty() && step.read_states.is_empty());
            }
            if reads == Reads::Off {
                prop_assert!(step.read_states.is_empty() && after.postponed_reads.is_empty());
            }
            prop_assert!(after.term >= before.term);
            prop_assert!(after.commit >= before.commit);
            let hidden = after.snapshot.as_ref().map_or(0, |snapshot| snapshot.index.0);
            prop_assert!((hidden..=hidden + after.log.len() as u64).contains(&after.commit.0));
            let leads = after.role == Role::Leader;
            let as_led = match changes {
                true => leads || after.peers.is_empty(),
                false => leads != after.peers.is_empty(),
            };
            prop_assert!(as_led);
            prop_assert_eq!(changes, !after.configuration.is_empty());
            prop_assert!(Server::from_view(&settings, id(1), &after).is_some());
            prop_assert!(step.sent.iter().all(|sent| sent.message.from == id(1)));
            server = step.server;
        }
    }
}

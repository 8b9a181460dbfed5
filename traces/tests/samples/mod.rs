//! Traces that use everything that the format has, one for each family of features.

use lockstep_traces::*;
use std::borrow::Cow;
use std::collections::BTreeMap;

fn id(id: u64) -> ServerId {
    ServerId::new(id).unwrap()
}

fn server(server: u64, input: Input, expected: Expected) -> Step {
    Step {
        event: Event::Server {
            server: id(server),
            input,
        },
        expected: Some(expected),
    }
}

fn network(event: Event) -> Step {
    Step {
        event,
        expected: None,
    }
}

fn message(from: u64, to: u64, term: u64, body: Body) -> Message {
    Message {
        from: id(from),
        to: id(to),
        term: Term(term),
        body,
    }
}

fn sent(message: &Message, after_persist: bool) -> Emitted {
    Emitted {
        message: message.clone(),
        after_persist,
    }
}

fn accepted(view: NodeView, sent: Vec<Emitted>) -> Expected {
    Expected {
        outcome: Outcome::Accepted,
        view,
        sent,
        read_states: Vec::new(),
    }
}

fn follower(term: u64) -> NodeView {
    NodeView {
        role: Role::Follower,
        term: Term(term),
        vote: None,
        leader: None,
        log: Vec::new(),
        snapshot: None,
        commit: Index(0),
        applied: Index(0),
        lease: false,
        votes: BTreeMap::new(),
        peers: BTreeMap::new(),
        transferee: None,
        uncommitted: 0,
        configuration: Configuration::default(),
        pending_conf_index: Index(0),
        postponed_reads: Vec::new(),
        unconfirmed_reads: Vec::new(),
        confirmed_reads: 0,
        forwarded_reads: Vec::new(),
        handed_over: false,
        durable: DurableImage {
            term: Term(term),
            ..DurableImage::default()
        },
        ..NodeView::default()
    }
}

/// Uses every kind of event, outcome and message and every field of a view. What happens is not a run
/// of Raft: the format does not care.
pub fn sample() -> Trace {
    let config = Config {
        servers: 2,
        pre_vote: true,
        check_quorum: true,
        one_entry_per_append: false,
        max_inflight: 2,
        ..Config::PAPER
    };
    let made = Provenance {
        generator: "by hand".to_owned(),
        preset: Some("none".to_owned()),
        bounds: BTreeMap::from([("max_term".to_owned(), 2), ("proposals".to_owned(), 1)]),
        seed: Some(7),
        timing: None,
    };
    let ask_pre = message(
        1,
        2,
        1,
        Body::RequestPreVote {
            last_index: Index(0),
            last_term: Term(0),
        },
    );
    let grant_pre = message(2, 1, 1, Body::RequestPreVoteResponse { granted: true });
    let ask = message(
        1,
        2,
        1,
        Body::RequestVote {
            last_index: Index(0),
            last_term: Term(0),
            transfer: false,
        },
    );
    let grant = message(2, 1, 1, Body::RequestVoteResponse { granted: true });
    let entry = Entry {
        term: Term(1),
        payload: Payload::Empty,
    };
    let value = Entry {
        term: Term(1),
        payload: Payload::Value(42),
    };
    let append = message(
        1,
        2,
        1,
        Body::AppendEntries {
            prev_index: Index(0),
            prev_term: Term(0),
            entries: vec![entry.clone(), value.clone()],
            commit: Index(1),
        },
    );
    let refuse = message(
        2,
        1,
        1,
        Body::AppendEntriesResponse {
            index: Index(3),
            rejected: Some(RejectHint {
                index: Index(2),
                term: Term(1),
            }),
        },
    );
    let take = message(
        2,
        1,
        1,
        Body::AppendEntriesResponse {
            index: Index(2),
            rejected: None,
        },
    );
    let beat = message(
        1,
        2,
        1,
        Body::Heartbeat {
            commit: Index(1),
            round: 0,
        },
    );
    let beat_back = message(2, 1, 1, Body::HeartbeatResponse);

    let pre_candidate = NodeView {
        role: Role::PreCandidate,
        votes: BTreeMap::from([(id(1), true), (id(2), false)]),
        ..follower(0)
    };
    let candidate = NodeView {
        role: Role::Candidate,
        vote: Some(id(1)),
        votes: BTreeMap::from([(id(1), true)]),
        durable: DurableImage {
            term: Term(1),
            vote: Some(id(1)),
            ..DurableImage::default()
        },
        ..follower(1)
    };
    let durable = DurableImage {
        term: Term(1),
        vote: Some(id(1)),
        commit: Index(1),
        log: vec![entry.clone(), value.clone()],
        snapshot: None,
    };
    let leader = NodeView {
        role: Role::Leader,
        leader: Some(id(1)),
        vote: Some(id(1)),
        log: vec![entry.clone(), value.clone()],
        commit: Index(1),
        applied: Index(1),
        peers: BTreeMap::from([(
            id(2),
            PeerView {
                matched: Index(0),
                next: Index(3),
                state: ProgressState::Replicate,
                paused: false,
                recent_active: true,
                commit_sent: Index(1),
                inflight: vec![Index(1), Index(2)],
                pending_snapshot: None,
            },
        )]),
        durable: durable.clone(),
        ..follower(1)
    };
    let led = NodeView {
        leader: Some(id(1)),
        vote: Some(id(1)),
        log: vec![entry, value],
        commit: Index(1),
        applied: Index(1),
        lease: true,
        durable,
        ..follower(1)
    };
    let refused = |refusal, view: &NodeView| Expected {
        outcome: Outcome::Refused(refusal),
        view: view.clone(),
        sent: Vec::new(),
        read_states: Vec::new(),
    };
    let deliver = |message: &Message| Input::Deliver(message.clone());
    Trace {
        header: Header::new("sample", "Shows every part of the format.", config, made),
        steps: vec![
            server(
                1,
                Input::Timeout,
                accepted(pre_candidate, vec![sent(&ask_pre, false)]),
            ),
            server(
                2,
                deliver(&ask_pre),
                accepted(follower(0), vec![sent(&grant_pre, true)]),
            ),
            network(Event::Duplicate(grant_pre.clone())),
            server(
                1,
                deliver(&grant_pre),
                accepted(candidate, vec![sent(&ask, false)]),
            ),
            network(Event::Drop(grant_pre)),
            server(
                2,
                deliver(&ask),
                accepted(follower(1), vec![sent(&grant, true)]),
            ),
            server(
                1,
                deliver(&grant),
                accepted(leader.clone(), vec![sent(&append, false)]),
            ),
            server(1, Input::Propose(42), accepted(leader.clone(), Vec::new())),
            server(
                2,
                deliver(&append),
                accepted(led.clone(), vec![sent(&take, true)]),
            ),
            server(
                2,
                deliver(&append),
                accepted(led.clone(), vec![sent(&refuse, true)]),
            ),
            server(1, deliver(&refuse), accepted(leader.clone(), Vec::new())),
            server(
                1,
                Input::Heartbeat,
                accepted(leader.clone(), vec![sent(&beat, false)]),
            ),
            server(
                2,
                deliver(&beat),
                accepted(led.clone(), vec![sent(&beat_back, false)]),
            ),
            server(
                2,
                Input::Propose(43),
                refused(Refusal::ProposalDropped, &led),
            ),
            server(
                2,
                Input::LeaseExpire,
                accepted(
                    NodeView {
                        lease: false,
                        ..led
                    },
                    Vec::new(),
                ),
            ),
            server(1, Input::CheckQuorum, accepted(leader.clone(), Vec::new())),
            server(
                1,
                Input::Deliver(message(9, 1, 1, Body::HeartbeatResponse)),
                refused(Refusal::UnknownPeer, &leader),
            ),
            server(2, Input::Restart, accepted(follower(1), Vec::new())),
        ],
    }
}

/// A configuration that changes, which is version 2: everything that only such a trace has.
pub fn change() -> Trace {
    let mut trace = sample();
    trace.header.config = Config {
        servers: 3,
        voters: ServerSet::of(&[1, 2]),
        learners: ServerSet::of(&[3]),
        step_down_on_removal: true,
        disable_conf_change_validation: true,
        ..Config::PAPER
    };
    trace.header = Header::new(
        "change",
        "Shows a configuration that changes.",
        trace.header.config,
        trace.header.made,
    );
    let change = ConfChange {
        changes: Cow::Owned(vec![
            ConfChangeSingle::AddVoter(id(3)),
            ConfChangeSingle::AddLearner(id(2)),
            ConfChangeSingle::Remove(id(1)),
        ]),
        transition: Transition::Explicit,
    };
    let log: Vec<Entry> = [change.clone(), ConfChange::LEAVE_JOINT]
        .map(|change| Entry {
            term: Term(1),
            payload: Payload::ConfChange(change),
        })
        .into();
    let joint = Configuration {
        voters: [id(3)].into(),
        outgoing: [id(1), id(2)].into(),
        learners_next: [id(2)].into(),
        auto_leave: true,
        ..Configuration::default()
    };
    let simple = Configuration {
        voters: [id(1)].into(),
        learners: [id(3)].into(),
        ..Configuration::default()
    };
    let view = |configuration, pending| NodeView {
        role: Role::Leader,
        vote: Some(id(1)),
        leader: Some(id(1)),
        log: log.clone(),
        commit: Index(1),
        applied: Index(1),
        configuration,
        pending_conf_index: Index(pending),
        durable: DurableImage {
            term: Term(1),
            vote: Some(id(1)),
            commit: Index(1),
            log: log.clone(),
            snapshot: None,
        },
        ..follower(1)
    };
    let propose = |change, view| {
        server(
            1,
            Input::ProposeConfChange(change),
            accepted(view, Vec::new()),
        )
    };
    trace.steps = vec![
        propose(change, view(joint, 2)),
        propose(ConfChange::LEAVE_JOINT, view(simple, 0)),
    ];
    trace
}

/// Everything of a trace with reads.
pub fn reading() -> Trace {
    let mut trace = sample();
    trace.header.config.reads = Reads::Safe;
    trace.header.made.timing = Some("silent".to_owned());
    trace.header.version = 2;
    let origin = id(2);
    let view = NodeView {
        role: Role::Leader,
        leader: Some(id(1)),
        postponed_reads: vec![ReadRequest { origin, context: 2 }],
        unconfirmed_reads: vec![UnconfirmedRead {
            origin,
            context: 1,
            index: Index(7),
            acks: [id(1)].into(),
        }],
        confirmed_reads: 3,
        handed_over: true,
        ..follower(1)
    };
    let ask = message(2, 1, 0, Body::ReadIndex { origin, context: 1 });
    let (commit, round) = (Index(0), 4);
    let beat = message(1, 2, 1, Body::Heartbeat { commit, round });
    let confirm = message(2, 1, 1, Body::RoundResponse { round });
    let (context, index) = (1, Index(7));
    let answer = message(1, 2, 1, Body::ReadIndexResponse { context, index });
    let deliver = |message: &Message| Input::Deliver(message.clone());
    let refused = |refusal| Expected {
        outcome: Outcome::Refused(refusal),
        ..accepted(follower(1), Vec::new())
    };
    let mut answered = accepted(follower(1), Vec::new());
    let index = Some(index);
    answered.read_states = vec![ReadState { context, index }];
    let mut given_up = accepted(follower(1), Vec::new());
    given_up.read_states = vec![ReadState {
        context,
        index: None,
    }];
    let waits = NodeView {
        leader: Some(id(1)),
        forwarded_reads: vec![1, 2, 1],
        ..follower(1)
    };
    let read = || Input::ReadIndex { context };
    trace.steps = vec![
        server(2, read(), accepted(waits, vec![sent(&ask, false)])),
        server(1, deliver(&ask), accepted(view, vec![sent(&beat, false)])),
        server(
            2,
            deliver(&beat),
            accepted(follower(1), vec![sent(&confirm, false)]),
        ),
        server(
            1,
            deliver(&confirm),
            accepted(follower(1), vec![sent(&answer, false)]),
        ),
        server(2, deliver(&answer), answered),
        server(2, read(), refused(Refusal::NoLeader)),
        server(2, Input::ForgetLeader, given_up),
    ];
    trace
}

/// Storage that is asynchronous, which is version 2: everything that only such a trace has.
pub fn outstanding() -> Trace {
    let mut trace = sample();
    trace.header.config.storage = Storage::Async;
    trace.header.config.application_in_memory = true;
    trace.header = Header::new(
        "outstanding",
        "Shows what is outstanding.",
        trace.header.config,
        trace.header.made,
    );
    let snapshot = Snapshot {
        index: Index(1),
        term: Term(1),
        configuration: Configuration::default(),
    };
    let append = Append {
        hard_state: Some(HardState {
            term: Term(1),
            vote: Some(id(1)),
            commit: Index(1),
        }),
        snapshot: Some(snapshot),
        first: Index(2),
        entries: vec![Entry {
            term: Term(1),
            payload: Payload::Empty,
        }],
        responses: vec![message(
            1,
            1,
            1,
            Body::RequestVoteResponse { granted: true },
        )],
        acknowledges: Some(StorageAcknowledgement {
            term: Term(1),
            last_index: Index(2),
            last_term: Term(1),
            snapshot: Some(Index(1)),
        }),
    };
    let view = NodeView {
        stable: Index(1),
        unstable_snapshot: Some(Index(1)),
        own_match: Some(Index(1)),
        appends: vec![append, Append::default()],
        applies: vec![Index(1)],
        ..follower(1)
    };
    let inputs = [
        Input::Persist,
        Input::Apply,
        Input::RestartKeeping { writes: 1 },
    ];
    let steps = inputs.into_iter();
    trace.steps = steps
        .map(|input| server(1, input, accepted(view.clone(), Vec::new())))
        .collect();
    trace
}

/// A counterexample names its property, which is version 2. Shows every input, message and field that version 1 does
/// not have.
pub fn counterexample() -> Trace {
    let mut trace = sample();
    trace.header.config.forward_proposals = true;
    trace.header.config.max_uncommitted = 3;
    trace.header = trace.header.violating("lease_step");
    trace.steps.truncate(1);

    let entry = |payload| Entry {
        term: Term(1),
        payload,
    };
    let snapshot = Snapshot {
        index: Index(1),
        term: Term(1),
        configuration: Configuration {
            outgoing: [id(2)].into(),
            learners: [id(3)].into(),
            learners_next: [id(2)].into(),
            auto_leave: true,
            ..Configuration::of_voters([id(1)])
        },
    };
    let durable = DurableImage {
        term: Term(1),
        vote: Some(id(1)),
        commit: Index(1),
        log: vec![entry(Payload::Value(7))],
        snapshot: Some(snapshot.clone()),
    };
    let leader = NodeView {
        role: Role::Leader,
        vote: Some(id(1)),
        leader: Some(id(1)),
        log: durable.log.clone(),
        snapshot: durable.snapshot.clone(),
        commit: Index(1),
        applied: Index(1),
        transferee: Some(id(2)),
        uncommitted: 1,
        peers: BTreeMap::from([(
            id(2),
            PeerView {
                matched: Index(0),
                next: Index(2),
                state: ProgressState::Snapshot,
                paused: true,
                recent_active: true,
                commit_sent: Index(1),
                inflight: Vec::new(),
                pending_snapshot: Some(Index(1)),
            },
        )]),
        durable,
        ..follower(1)
    };
    let moves = |server_id, input, view: &NodeView, messages: &[&Message]| {
        let messages = messages.iter().map(|it| sent(it, false)).collect();
        server(server_id, input, accepted(view.clone(), messages))
    };
    let install = message(1, 2, 1, Body::InstallSnapshot { snapshot });
    let now = message(1, 2, 1, Body::TimeoutNow);
    let ask = Body::RequestVote {
        last_index: Index(2),
        last_term: Term(1),
        transfer: true,
    };
    let ask = message(2, 1, 2, ask);
    let propose = Body::Propose {
        payloads: vec![Payload::Value(8)],
    };
    let propose = message(2, 1, 0, propose);
    let pass_on = message(2, 1, 1, Body::TransferLeader { transferee: id(2) });
    let follows = &follower(1);
    let (peer, to) = (id(2), id(2));
    trace.steps.extend([
        moves(1, Input::Compact, &leader, &[&install]),
        moves(1, Input::ReportUnreachable { peer }, &leader, &[]),
        moves(1, Input::ReportSnapshot { peer, ok: true }, &leader, &[]),
        moves(2, Input::Propose(8), follows, &[&propose]),
        moves(2, Input::TransferLeadership { to }, follows, &[&pass_on]),
        moves(1, Input::Deliver(pass_on), &leader, &[&now]),
        moves(2, Input::Deliver(now), follows, &[&ask]),
        moves(1, Input::Deliver(ask), &leader, &[]),
        moves(1, Input::Deliver(propose), &leader, &[]),
        moves(2, Input::Deliver(install), follows, &[]),
        moves(2, Input::ForgetLeader, follows, &[]),
    ]);
    trace
}

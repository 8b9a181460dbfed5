use super::*;
use std::collections::BTreeSet;

fn id(number: u8) -> Id {
    Id::new(number).expect("the number is not zero")
}

fn entry(term: u32) -> Entry {
    Entry {
        term,
        payload: Payload::EMPTY,
    }
}

fn everybody() -> Configuration {
    Configuration::of_voters(IdSet::from_bits(3))
}

fn joint() -> Configuration {
    Configuration {
        outgoing: IdSet::from_bits(1),
        ..everybody()
    }
}

fn position(term: u32, index: u32) -> Position {
    Position { term, index }
}

fn progress() -> Progress {
    Progress::new(3)
}

fn initial(number: u8) -> Server {
    let config = lockstep_traces::Config {
        servers: 2,
        ..lockstep_traces::Config::PAPER
    };
    let settings = crate::Settings::new(&config).expect("the settings are sensible");
    Server::initial(&settings, id(number))
}

fn server() -> Server {
    let mut server = initial(1);
    server.term = 2;
    server
}

fn state_of(server: Server) -> ClusterState {
    ClusterState {
        servers: [server, initial(2)].into_iter().collect(),
        network: Network::default(),
        history: History::default(),
        spent: Spent::default(),
    }
}

/// All variants must encode differently, and decode to themselves.
fn assert_distinct(states: Vec<ClusterState>) {
    let encode = |state: &ClusterState| {
        let mut bytes = Vec::new();
        state.encode(&mut bytes);
        assert_eq!(&ClusterState::decode(&bytes), state);
        bytes
    };
    let encodings: BTreeSet<Vec<u8>> = states.iter().map(encode).collect();
    assert_eq!(encodings.len(), states.len());
}

#[test]
fn every_field_of_a_server_counts() {
    // Names every field: a new one does not compile until it is varied here.
    let vary = |field: usize| {
        let mut changed = server();
        if matches!(field, 7 | 8) {
            changed.role = Role::Candidate;
        }
        let Server {
            id: _, // the slot
            role,
            term,
            vote,
            leader,
            lease,
            log,
            commit,
            granted,
            refused,
            configuration,
            pending_conf_index,
            peers,
            transferee,
            uncommitted,
            storage,
            reads,
        } = &mut changed;
        let Configuration {
            voters,
            outgoing,
            learners,
            learners_next,
            auto_leave,
        } = configuration;
        match field {
            0 => *role = Role::PreCandidate,
            1 => *term = 300,
            2 => *vote = Some(id(2)),
            3 => *leader = Some(id(2)),
            4 => *lease = true,
            5 => *log = [entry(1), entry(300)].into_iter().collect(),
            6 => *commit = 1,
            7 => granted.insert(id(1)),
            8 => refused.insert(id(1)),
            9 => {
                *role = Role::Leader;
                *peers = Some(Arc::new(
                    [Progress::new(0), progress()].into_iter().collect(),
                ));
            }
            10 => *log = Log::behind(position(1, 2), everybody(), Seq::new()),
            11 => *log = Log::behind(position(2, 1), everybody(), Seq::new()),
            12 => *transferee = Some(id(2)),
            13 => *uncommitted = 300,
            14 => voters.remove(id(2)),
            15 => outgoing.insert(id(2)),
            16 => learners.insert(id(2)),
            17 => learners_next.insert(id(2)),
            18 => *auto_leave = true,
            19 => *pending_conf_index = 1,
            20 => {
                *role = Role::Leader;
                let peers_of = [Progress::forgotten(), progress()];
                *peers = Some(Arc::new(peers_of.into_iter().collect()));
            }
            21 => *log = Log::behind(position(1, 2), joint(), Seq::new()),
            22 => *storage = Some(Arc::default()),
            23 => {
                let postponed = vec![request(1, 1), request(2, 1)];
                *reads = Some(Arc::new(Queue {
                    postponed,
                    ..Queue::default()
                }));
            }
            _ => {}
        }
        state_of(changed)
    };
    assert_distinct((0..=23).map(vary).collect());
}

#[test]
fn every_field_of_storage_counts() {
    let vary = |field: usize| {
        let mut append = Append::default();
        // Names every field: a new one does not compile until it is varied here.
        let Append {
            hard_state,
            snapshot,
            first,
            entries,
            responses,
            acknowledges,
        } = &mut append;
        let acknowledgement = |term, last, snapshot| Acknowledgement {
            term,
            last,
            snapshot,
        };
        match field {
            0 => *hard_state = Some(hard(1, None, 0)),
            1 => *hard_state = Some(hard(2, None, 0)),
            2 => *hard_state = Some(hard(1, Some(id(2)), 0)),
            3 => *hard_state = Some(hard(1, None, 3)),
            4 => *snapshot = Some((position(1, 2), everybody())),
            5 => *snapshot = Some((position(1, 2), joint())),
            6 => *first = 1,
            7 => entries.push(entry(1)),
            8 => responses.push(message(1)),
            9 => responses.push(message(2)),
            10 => *acknowledges = Some(acknowledgement(1, position(0, 0), 0)),
            11 => *acknowledges = Some(acknowledgement(2, position(0, 0), 0)),
            12 => *acknowledges = Some(acknowledgement(1, position(1, 2), 0)),
            13 => *acknowledges = Some(acknowledgement(1, position(0, 0), 3)),
            _ => {}
        }
        let mut storage = Storage {
            appends: vec![append],
            ..Storage::default()
        };
        let Storage {
            durable: Image { hard_state, log },
            applied,
            stable,
            unstable_snapshot,
            appends,
            applies,
        } = &mut storage;
        match field {
            20 => *hard_state = hard(1, None, 0),
            21 => *hard_state = hard(0, Some(id(1)), 0),
            22 => *hard_state = hard(0, None, 1),
            23 => *log = [entry(1)].into_iter().collect(),
            24 => *log = Log::behind(position(1, 2), everybody(), Seq::new()),
            25 => *applied = 300,
            26 => *stable = 300,
            27 => *unstable_snapshot = 300,
            28 => appends.clear(),
            29 => appends.push(Append::default()),
            30 => applies.push(1),
            31 => applies.extend([1, 2]),
            _ => {}
        }
        let mut server = server();
        server.storage = Some(Arc::new(storage));
        state_of(server)
    };
    let mut states: Vec<_> = (0..=14).chain(20..=31).map(vary).collect();
    // A leader's own slot says for how far it counts its own entries.
    for matched in [0, 1] {
        let mut server = server();
        server.role = Role::Leader;
        server.storage = Some(Arc::default());
        let peers_of = [Progress::own(matched), progress()];
        server.peers = Some(Arc::new(peers_of.into_iter().collect()));
        states.push(state_of(server));
    }
    assert_distinct(states);
}

fn hard(term: u32, vote: Option<Id>, commit: u32) -> HardState {
    HardState { term, vote, commit }
}

fn message(term: u32) -> Message {
    Message {
        from: id(1),
        to: id(2),
        term,
        body: Body::HeartbeatResponse { round: 0 },
    }
}

fn request(origin: u8, context: u8) -> Request {
    Request {
        origin: id(origin),
        context,
    }
}

#[test]
fn every_field_of_reads_counts() {
    let read = |request, index, bits| Unconfirmed {
        request,
        index,
        acks: IdSet::from_bits(bits),
    };
    let vary = |field: usize| {
        let mut reads = Queue::default();
        let Queue {
            postponed,
            unconfirmed,
            confirmed,
            handed_over,
            forwarded,
        } = &mut reads;
        match field {
            0 => postponed.push(request(1, 1)),
            1 => postponed.push(request(2, 1)),
            2 => postponed.push(request(1, 2)),
            3 => unconfirmed.push(read(request(1, 1), 1, 1)),
            4 => unconfirmed.push(read(request(1, 2), 1, 1)),
            5 => unconfirmed.push(read(request(1, 1), 300, 1)),
            6 => unconfirmed.push(read(request(1, 1), 1, 3)),
            7 => *confirmed = 1,
            8 => forwarded.push(1),
            9 => forwarded.push(2),
            10 => forwarded.extend([1, 1]),
            _ => *handed_over = true,
        }
        let mut server = server();
        server.reads = Some(Arc::new(reads));
        state_of(server)
    };
    assert_distinct((0..=11).map(vary).collect());
}

#[test]
fn every_field_of_a_progress_counts() {
    let vary = |field: usize| {
        let mut changed = progress();
        let Progress {
            matched,
            next,
            commit_sent,
            flow,
            paused,
            recent_active,
            inflight,
            pending,
        } = &mut changed;
        match field {
            0 => *matched = 1,
            1 => *next = 5,
            2 => *commit_sent = 1,
            3 => *flow = Flow::Replicate,
            4 => *paused = true,
            5 => *recent_active = true,
            6 => inflight.push(3),
            7 | 8 => {
                *flow = Flow::Snapshot;
                *pending = field as u32;
            }
            _ => {}
        }
        let mut server = server();
        server.role = Role::Leader;
        server.peers = Some(Arc::new([Progress::new(0), changed].into_iter().collect()));
        state_of(server)
    };
    assert_distinct((0..=9).map(vary).collect());
}

#[test]
fn every_field_of_a_message_counts() {
    let entries = |terms: &[u32]| terms.iter().map(|term| entry(*term)).collect();
    let append = |prev, terms, commit| Body::AppendEntries {
        prev,
        entries: entries(terms),
        commit,
    };
    let propose = |codes: &[u32]| Body::Propose {
        payloads: codes.iter().copied().map(Payload::from_code).collect(),
    };
    let snapshot = |last, bits| Body::InstallSnapshot {
        last,
        configuration: Configuration::of_voters(IdSet::from_bits(bits)),
    };
    let read_index = |origin, context| Body::ReadIndex {
        origin: id(origin),
        context,
    };
    let read_response = |context, index| Body::ReadIndexResponse { context, index };
    let snapshot_joint = Body::InstallSnapshot {
        last: position(1, 2),
        configuration: joint(),
    };
    let bodies = vec![
        Body::RequestVote {
            last: position(1, 2),
            transfer: true,
        },
        Body::RequestVote {
            last: position(1, 2),
            transfer: false,
        },
        Body::RequestVote {
            last: position(2, 2),
            transfer: false,
        },
        Body::RequestVote {
            last: position(1, 1),
            transfer: false,
        },
        Body::RequestPreVote {
            last: position(1, 2),
        },
        Body::RequestPreVote {
            last: position(2, 2),
        },
        Body::RequestPreVote {
            last: position(1, 1),
        },
        Body::RequestVoteResponse { granted: true },
        Body::RequestVoteResponse { granted: false },
        Body::RequestPreVoteResponse { granted: true },
        Body::RequestPreVoteResponse { granted: false },
        append(position(1, 2), &[], 0),
        append(position(1, 2), &[3], 0),
        append(position(1, 2), &[3, 3], 0),
        append(position(1, 2), &[3, 3, 3], 0),
        append(position(1, 2), &[4], 0),
        append(position(2, 2), &[], 0),
        append(position(1, 3), &[], 0),
        append(position(1, 2), &[], 1),
        Body::AppendEntriesAccepted { index: 1 },
        Body::AppendEntriesAccepted { index: 2 },
        Body::AppendEntriesRejected {
            index: 1,
            hint: position(1, 1),
        },
        Body::AppendEntriesRejected {
            index: 2,
            hint: position(1, 1),
        },
        Body::AppendEntriesRejected {
            index: 1,
            hint: position(2, 1),
        },
        Body::AppendEntriesRejected {
            index: 1,
            hint: position(1, 2),
        },
        Body::Heartbeat {
            commit: 0,
            round: 0,
        },
        Body::Heartbeat {
            commit: 1,
            round: 0,
        },
        Body::Heartbeat {
            commit: 1,
            round: 2,
        },
        Body::Heartbeat {
            commit: 2,
            round: 1,
        },
        Body::HeartbeatResponse { round: 0 },
        Body::HeartbeatResponse { round: 1 },
        Body::HeartbeatResponse { round: 300 },
        read_index(1, 1),
        read_index(2, 1),
        read_index(1, 2),
        read_response(1, 1),
        read_response(2, 1),
        read_response(1, 300),
        Body::TimeoutNow,
        Body::TransferLeader { transferee: id(1) },
        Body::TransferLeader { transferee: id(9) },
        propose(&[1]),
        propose(&[2]),
        propose(&[1, 1]),
        propose(&[1, 1, 1]),
        snapshot(position(1, 2), 3),
        snapshot_joint,
        snapshot(position(2, 2), 3),
        snapshot(position(1, 3), 3),
        snapshot(position(1, 2), 7),
    ];
    let message = |from, to, term, body| Message {
        from: id(from),
        to: id(to),
        term,
        body,
    };
    let mut networks: Vec<Vec<Message>> = bodies
        .into_iter()
        .map(|body| vec![message(1, 2, 3, body)])
        .collect();
    let beat = |from, to, term| message(from, to, term, Body::HeartbeatResponse { round: 0 });
    networks.extend([
        vec![],
        vec![beat(2, 1, 3)],
        vec![beat(1, 1, 3)],
        vec![beat(1, 2, 200)],
        vec![beat(1, 2, 3), beat(1, 2, 3)],
    ]);
    let state = |messages: Vec<Message>| ClusterState {
        network: messages.into_iter().collect(),
        ..state_of(server())
    };
    assert_distinct(networks.into_iter().map(state).collect());
}

#[test]
fn history_and_budgets_count() {
    let mut states = vec![state_of(server())];
    for kind in Kind::ALL {
        let mut state = state_of(server());
        state.spent.set(kind, 1);
        states.push(state);
    }
    let mut vary = |change: fn(&mut History)| {
        let mut state = state_of(server());
        change(&mut state.history);
        states.push(state);
    };
    vary(|history| history.record_leader(1, id(1)));
    vary(|history| history.record_leader(1, id(2)));
    vary(|history| history.record_leader(2, id(1)));
    vary(|history| history.record_commit(1, 1));
    vary(|history| history.record_commit(1, 2));
    vary(|history| history.record_commit(2, 1));
    vary(|history| history.led_twice = 1);
    vary(|history| history.led_twice = 2);
    let keep = |history: &mut History, entry| {
        history.record_commit(1, 1);
        history.committed.push(entry);
    };
    let asked = |server, context, least| Asked {
        server: id(server),
        context,
        least,
    };
    let answered = |server, context, index| Answered {
        server: id(server),
        state: ReadState { context, index },
    };
    for field in 0..11 {
        let mut reads = ReadHistory::default();
        let ReadHistory {
            asked: all_asked,
            answered: all_answered,
            clocks:
                Clocks {
                    silent,
                    ended,
                    broken,
                },
        } = &mut reads;
        match field {
            0 => all_asked.push(asked(1, 1, 1)),
            1 => all_asked.push(asked(2, 1, 1)),
            2 => all_asked.push(asked(1, 2, 1)),
            3 => all_asked.push(asked(1, 1, 300)),
            4 => all_answered.push(answered(1, 1, Some(1))),
            5 => all_answered.push(answered(1, 1, Some(2))),
            6 => all_answered.push(answered(1, 1, None)),
            7 => all_answered.push(answered(1, 1, Some(0))),
            8 => silent.insert(id(1)),
            9 => ended.insert(id(1)),
            _ => *broken = true,
        }
        let mut state = state_of(server());
        state.history.reads = Some(Arc::new(reads));
        states.push(state);
    }
    for entry in [entry(1), entry(2)] {
        let mut state = state_of(server());
        keep(&mut state.history, entry);
        states.push(state);
    }
    assert_distinct(states);
}

#[test]
fn long_lists_survive() {
    let mut server = server();
    server.log = (0..1_000).map(entry).collect();
    assert_distinct(vec![state_of(server)]);
}

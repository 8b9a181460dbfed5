//! Bytes as states: the way back.

use super::*;

/// The bytes that are still to be read.
pub(super) struct Reader<'a>(pub &'a [u8]);

impl Reader<'_> {
    pub fn byte(&mut self) -> u8 {
        let (byte, rest) = self.0.split_first().expect("a state ends early");
        self.0 = rest;
        *byte
    }

    pub fn number(&mut self) -> u32 {
        varint::take(&mut self.0) as u32
    }

    fn id(&mut self) -> Option<Id> {
        Id::new(self.byte())
    }

    fn list<T: Item, const N: usize>(&mut self, mut item: impl FnMut(&mut Self) -> T) -> Seq<T, N> {
        let len = self.number();
        (0..len).map(|_| item(self)).collect()
    }

    fn entry(&mut self) -> Entry {
        Entry {
            term: self.number(),
            payload: self.payload(),
        }
    }

    fn payload(&mut self) -> Payload {
        Payload::from_code(self.number())
    }

    fn position(&mut self) -> Position {
        Position {
            term: self.number(),
            index: self.number(),
        }
    }

    pub fn server(&mut self, id: Id, servers: usize) -> Server {
        let head = self.byte();
        let role = role_of(head & 3);
        let membership = self.membership();
        let term = self.number();
        let vote = self.id();
        let leader = self.id();
        let commit = self.number();
        let given = |bit: u8| head & bit != 0;
        let (snapshot, configuration) = if given(8) {
            (self.position(), self.configuration())
        } else {
            Default::default()
        };
        let transferee = if given(16) { self.id() } else { None };
        let uncommitted = if given(32) { self.number() } else { 0 };
        let reads = given(128).then(|| Arc::new(self.reads()));
        let log = Log::behind(snapshot, configuration, self.list(Reader::entry));
        let [granted, refused] = if has_votes(role) {
            [self.byte(), self.byte()]
        } else {
            [0, 0]
        };
        let peers = (role == Role::Leader).then(|| {
            let peers: ArrayVec<Progress, MAX_MEMBERS> = (0..servers)
                .map(|slot| match slot == id.slot() {
                    true if membership.forgotten => Progress::forgotten(),
                    true => Progress::untracked(),
                    false => self.progress(),
                })
                .collect();
            Arc::new(peers)
        });
        let storage = given(64).then(|| Arc::new(self.storage()));
        let mut peers = peers;
        if let (Some(peers), true) = (&mut peers, storage.is_some()) {
            Arc::make_mut(peers)[id.slot()].matched = self.number();
        }
        Server {
            id,
            role,
            term,
            vote,
            leader,
            lease: head & 4 != 0,
            log,
            commit,
            granted: IdSet::from_bits(granted),
            refused: IdSet::from_bits(refused),
            configuration: membership.configuration,
            pending_conf_index: membership.pending_conf_index,
            peers,
            transferee,
            uncommitted,
            storage,
            reads,
        }
    }

    fn storage(&mut self) -> Storage {
        let hard_state = self.hard_state();
        let (snapshot, configuration) = (self.position(), self.configuration());
        let log = Log::behind(snapshot, configuration, self.list(Reader::entry));
        Storage {
            durable: Image { hard_state, log },
            applied: self.number(),
            stable: self.number(),
            unstable_snapshot: self.number(),
            appends: self.vec(Reader::append),
            applies: self.vec(Reader::number),
        }
    }

    fn vec<T>(&mut self, mut item: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let len = self.number();
        (0..len).map(|_| item(self)).collect()
    }

    fn hard_state(&mut self) -> HardState {
        HardState {
            term: self.number(),
            vote: self.id(),
            commit: self.number(),
        }
    }

    fn append(&mut self) -> Append {
        let parts = self.byte();
        let given = |bit: u8| parts & bit != 0;
        Append {
            hard_state: given(1).then(|| self.hard_state()),
            snapshot: given(2).then(|| (self.position(), self.configuration())),
            acknowledges: given(4).then(|| Acknowledgement {
                term: self.number(),
                last: self.position(),
                snapshot: self.number(),
            }),
            first: self.number(),
            entries: self.list(Reader::entry),
            responses: self.vec(Reader::message),
        }
    }

    fn membership(&mut self) -> Membership {
        let voters = self.byte();
        let simple = Membership::simple(IdSet::from_bits(voters & !MORE));
        if voters & MORE == 0 {
            return simple;
        }
        let flags = self.byte();
        let [learners, outgoing, learners_next] = [(); 3].map(|()| IdSet::from_bits(self.byte()));
        Membership {
            configuration: Configuration {
                learners,
                outgoing,
                learners_next,
                auto_leave: flags & 1 != 0,
                ..simple.configuration
            },
            pending_conf_index: self.number(),
            forgotten: flags & 2 != 0,
        }
    }

    fn configuration(&mut self) -> Configuration {
        self.membership().configuration
    }

    fn progress(&mut self) -> Progress {
        let flags = self.byte();
        Progress {
            flow: match (flags & 1 != 0, flags & 8 != 0) {
                (false, false) => Flow::Probe,
                (true, _) => Flow::Replicate,
                (false, true) => Flow::Snapshot,
            },
            paused: flags & 2 != 0,
            recent_active: flags & 4 != 0,
            matched: self.number(),
            next: self.number(),
            commit_sent: self.number(),
            pending: if flags & 8 != 0 { self.number() } else { 0 },
            inflight: self.list(Reader::number),
        }
    }

    pub fn history(&mut self) -> History {
        let leaders = self.list(|reader| IdSet::from_bits(reader.byte()));
        let head = self.number();
        let indexes = head >> 3;
        let kept = (head & 1) * indexes;
        let led_twice = if head & 2 != 0 { self.number() } else { 0 };
        History {
            leaders,
            committed_in: (0..indexes).map(|_| self.number()).collect(),
            committed: (0..kept).map(|_| self.entry()).collect(),
            led_twice,
            reads: (head & 4 != 0).then(|| Arc::new(self.read_history())),
        }
    }

    fn read_history(&mut self) -> ReadHistory {
        let (asked, answered) = (self.number(), self.number());
        let flag = self.byte();
        ReadHistory {
            asked: (0..asked)
                .map(|_| Asked {
                    server: self.id().expect("somebody was asked"),
                    context: self.byte(),
                    least: self.number(),
                })
                .collect(),
            answered: (0..answered)
                .map(|_| Answered {
                    server: self.id().expect("somebody was answered"),
                    state: ReadState {
                        context: self.byte(),
                        index: {
                            let (given, index) = (self.byte() != 0, self.number());
                            given.then_some(index)
                        },
                    },
                })
                .collect(),
            clocks: Clocks {
                silent: IdSet::from_bits(self.byte()),
                ended: IdSet::from_bits(self.byte()),
                broken: flag != 0,
            },
        }
    }

    fn reads(&mut self) -> Queue {
        let (postponed, unconfirmed) = (self.number(), self.number());
        let (head, forwarded) = (self.number(), self.number());
        Queue {
            postponed: (0..postponed).map(|_| self.read_request()).collect(),
            unconfirmed: (0..unconfirmed)
                .map(|_| Unconfirmed {
                    request: self.read_request(),
                    index: self.number(),
                    acks: IdSet::from_bits(self.byte()),
                })
                .collect(),
            confirmed: head >> 1,
            handed_over: head & 1 != 0,
            forwarded: (0..forwarded).map(|_| self.byte()).collect(),
        }
    }

    fn read_request(&mut self) -> Request {
        Request {
            origin: self.id().expect("somebody reads"),
            context: self.byte(),
        }
    }

    pub fn spent(&mut self) -> Spent {
        let mut spent = Spent::default();
        for kind in Kind::FIRST {
            spent.set(kind, self.number() as u16);
        }
        if !self.0.is_empty() {
            for kind in Kind::MORE {
                spent.set(kind, self.number() as u16);
            }
        }
        spent
    }

    pub fn message(&mut self) -> Message {
        let from = self.id().expect("a message has a sender");
        let to = self.id().expect("a message has a recipient");
        let body = self.byte();
        let term = self.number();
        Message {
            from,
            to,
            term,
            body: match body {
                0 => Body::RequestVote {
                    last: self.position(),
                    transfer: false,
                },
                1 => Body::RequestVoteResponse {
                    granted: self.byte() != 0,
                },
                2 => Body::RequestPreVote {
                    last: self.position(),
                },
                3 => Body::RequestPreVoteResponse {
                    granted: self.byte() != 0,
                },
                4 => Body::AppendEntries {
                    prev: self.position(),
                    commit: self.number(),
                    entries: self.list(Reader::entry),
                },
                5 => Body::AppendEntriesAccepted {
                    index: self.number(),
                },
                6 => Body::AppendEntriesRejected {
                    index: self.number(),
                    hint: self.position(),
                },
                7 => Body::Heartbeat {
                    commit: self.number(),
                    round: 0,
                },
                8 => Body::HeartbeatResponse { round: 0 },
                9 => Body::TimeoutNow,
                10 => Body::TransferLeader {
                    transferee: self.id().expect("somebody is to lead"),
                },
                11 => Body::Propose {
                    payloads: self.list(Reader::payload),
                },
                12 => Body::InstallSnapshot {
                    last: self.position(),
                    configuration: self.configuration(),
                },
                13 => Body::ReadIndex {
                    origin: self.id().expect("somebody reads"),
                    context: self.byte(),
                },
                14 => Body::ReadIndexResponse {
                    context: self.byte(),
                    index: self.number(),
                },
                HEARTBEAT_OF_ROUND => Body::Heartbeat {
                    commit: self.number(),
                    round: self.number(),
                },
                RESPONSE_OF_ROUND => Body::HeartbeatResponse {
                    round: self.number(),
                },
                VOTE_BY_TRANSFER => Body::RequestVote {
                    last: self.position(),
                    transfer: true,
                },
                other => panic!("no message has number {other}"),
            },
        }
    }
}

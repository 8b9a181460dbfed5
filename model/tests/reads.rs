//! Reads at single servers and in small stories, and what goes wrong where a library departs from the specification.

use lockstep_engine::{Search, Verdict};
use lockstep_model::properties::NamedProperty;
use lockstep_model::properties::state_properties;
use lockstep_model::{
    Action, Bounds, Budget, Cluster, ClusterState, ConfChange, Departure, Id, Preset, Server,
    Settings, Timing,
};
use lockstep_traces::{
    Body, Config, Event, Index, Input, Message, Outcome, ReadState, Reads, Refusal, Role, ServerId,
    ServerSet, Term,
};

const SAFE: Config = Config {
    reads: Reads::Safe,
    ..Config::PAPER
};

const LEASE: Config = Config {
    reads: Reads::LeaseBased,
    check_quorum: true,
    ..Config::PAPER
};

fn id(number: u64) -> ServerId {
    ServerId::new(number).expect("the number is not zero")
}

fn name(number: u8) -> Id {
    Id::new(number).expect("the number is not zero")
}

/// A run in which the network does what the story says. Every step is taken by the whole cluster.
struct Story {
    cluster: Cluster,
    state: ClusterState,
    steps: usize,
    /// The answers to clients of the server that moved last.
    answered: Vec<ReadState>,
    /// The answers to all clients so far.
    told: Vec<ReadState>,
}

impl Story {
    fn new(config: &Config) -> Story {
        Story::departing(config, &[])
    }

    fn departing(config: &Config, departures: &[Departure]) -> Story {
        let settings = Settings::new(config).expect("the configuration is in range");
        let dialect = departures.iter().copied();
        let dialect = dialect.fold(settings.dialect(), |dialect, it| dialect.with(it));
        let cluster = Cluster::new(settings.with_dialect(dialect), Bounds::UNLIMITED);
        let state = cluster.initial();
        Story {
            cluster,
            state,
            steps: 0,
            answered: Vec::new(),
            told: Vec::new(),
        }
    }

    fn act(&mut self, action: Action) -> Outcome {
        let transition = self.cluster.apply(&self.state, &action);
        self.state = transition.next;
        self.steps += 1;
        self.told.extend(transition.read_states.clone());
        self.answered = transition.read_states;
        transition.outcome
    }

    /// The event of this kind that happens to the first message that is wanted.
    fn find(&self, kind: fn(u32) -> Action, wanted: impl Fn(&Message) -> bool) -> Option<Action> {
        (0..self.state.in_flight() as u32).map(kind).find(|action| {
            match self.cluster.event(&self.state, action) {
                Event::Server {
                    input: Input::Deliver(m),
                    ..
                }
                | Event::Duplicate(m)
                | Event::Drop(m) => wanted(&m),
                Event::Server { .. } => false,
            }
        })
    }

    fn deliver(&mut self, wanted: impl Fn(&Message) -> bool) -> Outcome {
        let action = self.find(Action::Deliver, wanted);
        self.act(action.expect("there is such a message"))
    }

    fn duplicate(&mut self, wanted: impl Fn(&Message) -> bool) {
        let action = self.find(Action::Duplicate, wanted);
        self.act(action.expect("there is such a message"));
    }

    /// Delivers whatever is wanted until there is no such message.
    fn deliver_all(&mut self, wanted: impl Fn(&Message) -> bool) {
        while let Some(action) = self.find(Action::Deliver, &wanted) {
            self.act(action);
        }
    }

    fn settle(&mut self) {
        self.deliver_all(|_| true);
    }

    fn elect(&mut self, number: u8) {
        self.act(Action::Timeout(name(number)));
        self.settle();
        assert_eq!(self.server(number).role(), Role::Leader);
    }

    fn server(&self, number: u8) -> &Server {
        self.state.server(id(number.into()))
    }

    fn holds(&self, property: &str) -> bool {
        let mut all = state_properties().iter();
        let property = all.find(|it| it.name == property).expect("there is one");
        property.holds(&self.cluster, &self.state)
    }
}

fn between(from: u64, to: u64) -> impl Fn(&Message) -> bool {
    move |m| (m.from.get(), m.to.get()) == (from, to)
}

fn is_read(m: &Message) -> bool {
    matches!(m.body, Body::ReadIndex { .. })
}

fn read(context: u64, index: u64) -> ReadState {
    ReadState {
        context,
        index: Some(Index(index)),
    }
}

fn given_up(context: u64) -> ReadState {
    ReadState {
        context,
        index: None,
    }
}

#[test]
fn a_read_is_answered_when_a_quorum_has_confirmed_its_round() {
    let mut story = Story::new(&SAFE);
    story.elect(1);
    assert_eq!(story.act(Action::ReadIndex(name(1))), Outcome::Accepted);
    assert_eq!(story.answered, []);
    story.deliver(between(1, 2));
    story.deliver(between(2, 1));
    assert_eq!(story.answered, [read(1, 1)]);
    // The other answer comes too late to say anything.
    story.deliver(between(1, 3));
    story.deliver(between(3, 1));
    assert_eq!(story.answered, []);
    let view = story.server(1).view(story.cluster.settings());
    assert_eq!((view.confirmed_reads, view.unconfirmed_reads), (1, vec![]));
}

#[test]
fn a_read_waits_for_the_first_commit_of_the_term() {
    let mut story = Story::new(&SAFE);
    story.act(Action::Timeout(name(1)));
    story.deliver(between(1, 2));
    story.deliver(between(2, 1));
    story.act(Action::ReadIndex(name(1)));
    let view = story.server(1).view(story.cluster.settings());
    assert_eq!(view.postponed_reads.len(), 1);
    story.deliver(between(1, 2));
    story.deliver(between(2, 1));
    let view = story.server(1).view(story.cluster.settings());
    assert_eq!(view.postponed_reads.len(), 0);
    assert_eq!(view.unconfirmed_reads[0].index, Index(1));
    assert_eq!(view.unconfirmed_reads[0].acks, [id(1)].into());
}

#[test]
fn a_follower_passes_a_read_on_and_who_knows_no_leader_refuses() {
    let mut story = Story::new(&SAFE);
    let refused = Outcome::Refused(Refusal::NoLeader);
    assert_eq!(story.act(Action::ReadIndex(name(2))), refused);
    story.elect(1);
    assert_eq!(story.act(Action::ReadIndex(name(2))), Outcome::Accepted);
    story.deliver_all(|m| !matches!(m.body, Body::ReadIndexResponse { .. }));
    story.deliver(between(1, 2));
    assert_eq!(story.answered, [read(1, 1)]);
    story.act(Action::Timeout(name(3)));
    assert_eq!(story.act(Action::ReadIndex(name(3))), refused);
}

/// The origin of a read stays what it is, whoever passes it on. A client whose server has another leader was told that its
/// read is given up, and gets no answer after that.
#[test]
fn a_read_finds_its_way_through_a_server_that_leads_no_more() {
    let mut story = Story::new(&SAFE);
    pass_on_twice(&mut story);
    assert_eq!(story.answered, []);
    assert_eq!(story.told, [given_up(1)]);

    let mut story = Story::departing(&SAFE, &[Departure::ReadsLostSilently]);
    pass_on_twice(&mut story);
    assert_eq!(story.answered, [read(1, 2)]);
    assert_eq!(story.told, [read(1, 2)]);
}

/// A client of server 3 reads, and server 2 leads when the read reaches server 1.
fn pass_on_twice(story: &mut Story) {
    story.elect(1);
    story.act(Action::ReadIndex(name(3)));
    story.act(Action::Timeout(name(2)));
    story.deliver_all(|m| !is_read(m));
    assert_eq!(story.server(2).role(), Role::Leader);
    story.deliver(|m| is_read(m) && m.to == id(1));
    story.deliver_all(|m| !matches!(m.body, Body::ReadIndexResponse { .. }));
    story.deliver(between(2, 3));
}

/// A follower that learns of a term by the answer to its read has given the read up before it looks at the answer.
#[test]
fn an_answer_of_a_later_term_comes_too_late() {
    let mut story = Story::new(&SAFE);
    story.elect(1);
    story.act(Action::ReadIndex(name(3)));
    story.act(Action::Restart(name(1)));
    story.act(Action::Timeout(name(1)));
    let is_answer = |m: &Message| matches!(m.body, Body::ReadIndexResponse { .. });
    story.deliver_all(|m| m.to != id(3) && !is_read(m));
    assert_eq!(story.server(1).role(), Role::Leader);
    story.deliver(is_read);
    story.deliver_all(|m| m.to != id(3));
    assert_eq!(story.server(3).term(), Term(1));
    story.deliver(is_answer);
    assert_eq!(story.server(3).term(), Term(2));
    assert_eq!(story.told, [given_up(1)]);
}

/// A leader that gets back the read that it passed on as a follower does not take it up: that read is over.
#[test]
fn a_read_that_comes_back_is_not_taken_up() {
    for (departures, expected) in [
        (&[][..], &[given_up(1)][..]),
        (&[Departure::ReadsLostSilently], &[read(1, 2)]),
    ] {
        let mut story = Story::departing(&SAFE, departures);
        story.elect(1);
        story.act(Action::ReadIndex(name(2)));
        story.act(Action::Timeout(name(2)));
        story.deliver_all(|m| !is_read(m));
        story.settle();
        assert_eq!(story.server(2).role(), Role::Leader);
        assert_eq!(story.told, expected);
        let view = story.server(2).view(story.cluster.settings());
        assert_eq!(view.unconfirmed_reads, []);
    }
}

#[test]
fn reads_that_wait_for_a_commit_end_with_the_leadership() {
    let config = Config { servers: 2, ..SAFE };
    for (departures, told, waiting) in [
        (&[][..], &[given_up(1)][..], 0),
        (&[Departure::ReadsLostSilently], &[], 0),
        (&[Departure::PostponedReadsStay], &[], 1),
    ] {
        let mut story = Story::departing(&config, departures);
        story.act(Action::Timeout(name(1)));
        story.deliver(between(1, 2));
        story.deliver(between(2, 1));
        story.act(Action::ReadIndex(name(1)));
        // It campaigns again as a follower of server 2, which never got anywhere.
        story.act(Action::Timeout(name(2)));
        story.deliver(|m| m.to == id(1) && matches!(m.body, Body::RequestVote { .. }));
        assert_eq!(story.server(1).role(), Role::Follower);
        assert_eq!(story.told, told);
        let view = story.server(1).view(story.cluster.settings());
        assert_eq!(view.postponed_reads.len(), waiting);
        story.act(Action::Timeout(name(1)));
        story.settle();
        assert_eq!(story.server(1).role(), Role::Leader);
        let view = story.server(1).view(story.cluster.settings());
        let confirmed = waiting as u64;
        assert_eq!(view.postponed_reads, []);
        assert_eq!(view.confirmed_reads, confirmed);
    }
}

#[test]
fn reads_that_wait_for_a_round_end_with_the_leadership() {
    let mut story = Story::new(&SAFE);
    story.elect(1);
    story.act(Action::ReadOtherIndex(name(1)));
    story.act(Action::ReadIndex(name(3)));
    story.deliver(is_read);
    story.act(Action::ReadIndex(name(1)));
    let view = story.server(1).view(story.cluster.settings());
    assert_eq!(view.unconfirmed_reads.len(), 3);
    story.act(Action::Timeout(name(2)));
    story.deliver(|m| m.to == id(1) && matches!(m.body, Body::RequestVote { .. }));
    // Nobody tells server 3 of its read: it learns of the new term as well.
    assert_eq!(story.answered, [given_up(2), given_up(1)]);
    let view = story.server(1).view(story.cluster.settings());
    assert_eq!(view.unconfirmed_reads, []);
    story.deliver(|m| m.to == id(3) && matches!(m.body, Body::RequestVote { .. }));
    assert_eq!(story.answered, [given_up(1)]);
}

/// A follower with three reads on their way, two of them of one context.
fn waiting_follower(config: &Config) -> Story {
    let mut story = Story::new(config);
    story.elect(1);
    for action in [
        Action::ReadIndex(name(2)),
        Action::ReadOtherIndex(name(2)),
        Action::ReadIndex(name(2)),
    ] {
        assert_eq!(story.act(action), Outcome::Accepted);
    }
    let view = story.server(2).view(story.cluster.settings());
    assert_eq!(view.forwarded_reads, [1, 2, 1]);
    story
}

#[test]
fn a_follower_that_stops_following_gives_up_forwarded_reads() {
    let pre_vote = Config {
        pre_vote: true,
        ..SAFE
    };
    let all = [given_up(1), given_up(2), given_up(1)];
    for config in [SAFE, pre_vote] {
        for action in [Action::Timeout(name(2)), Action::ForgetLeader(name(2))] {
            let mut story = waiting_follower(&config);
            story.act(action);
            assert_eq!(story.answered, all);
            let view = story.server(2).view(story.cluster.settings());
            assert_eq!(view.forwarded_reads, [0; 0]);
        }
        // A server that comes back has no clients.
        let mut story = waiting_follower(&config);
        story.act(Action::Restart(name(2)));
        assert_eq!(story.answered, []);
    }
    // Two leaders of a term: no cluster has them, but a server must not confuse their answers.
    let story = waiting_follower(&SAFE);
    let hear = |from| {
        let message = Message {
            from: id(from),
            to: id(2),
            term: Term(1),
            body: Body::Heartbeat {
                commit: Index(0),
                round: 0,
            },
        };
        let input = Input::Deliver(message);
        story.server(2).step(story.cluster.settings(), &input)
    };
    assert_eq!(hear(1).read_states, []);
    assert_eq!(hear(3).read_states, all);
}

#[test]
fn an_answer_goes_once_to_the_oldest_read_of_its_context() {
    let mut story = waiting_follower(&SAFE);
    let is_answer = |m: &Message| matches!(m.body, Body::ReadIndexResponse { .. });
    story.deliver_all(|m| !is_answer(m));
    story.deliver(|m| matches!(m.body, Body::ReadIndexResponse { context: 1, .. }));
    let view = story.server(2).view(story.cluster.settings());
    assert_eq!(view.forwarded_reads, [2, 1]);
    for context in [1, 2] {
        story.duplicate(
            move |m| matches!(m.body, Body::ReadIndexResponse { context: it, .. } if it == context),
        );
    }
    story.deliver_all(is_answer);
    let mut told = story.told.clone();
    told.sort_unstable_by_key(|it| it.context);
    assert_eq!(told, [read(1, 1), read(1, 1), read(2, 1)]);
    let view = story.server(2).view(story.cluster.settings());
    assert_eq!(view.forwarded_reads, [0; 0]);
}

/// Of four voters one is removed: two are a quorum of those who stay. Only the read that two have answered is confirmed.
#[test]
fn a_change_of_the_configuration_counts_again() {
    let config = Config {
        servers: 4,
        voters: ServerSet::of(&[1, 2, 3, 4]),
        ..SAFE
    };
    for (departures, expected, waiting) in [
        (&[][..], &[read(2, 1), read(1, 1)][..], 1),
        (&[Departure::RoundsNotRecounted], &[], 3),
    ] {
        let mut story = Story::departing(&config, departures);
        story.cluster = Cluster::new(
            *story.cluster.settings(),
            Bounds {
                changes: [(ConfChange::LEAVE_JOINT.remove(4), Budget::Unlimited); 2],
                ..Bounds::UNLIMITED
            },
        );
        story.elect(1);
        let is_append = |m: &Message| {
            matches!(
                m.body,
                Body::AppendEntries { .. } | Body::AppendEntriesResponse { .. }
            )
        };
        story.act(Action::ReadOtherIndex(name(1)));
        story.act(Action::ReadIndex(name(1)));
        story.deliver(|m| {
            let last = matches!(m.body, Body::Heartbeat { round: 2, .. });
            last && m.to == id(2)
        });
        story.deliver(|m| m.to == id(1));
        story.act(Action::ReadIndex(name(1)));
        story.act(Action::ProposeConfChange(name(1)));
        while let Some(action) = story.find(Action::Deliver, is_append) {
            story.act(action);
        }
        assert_eq!(story.told, expected);
        let view = story.server(1).view(story.cluster.settings());
        assert_eq!(view.unconfirmed_reads.len(), waiting);
    }
}

#[test]
fn lease_reads_need_check_quorum_and_ignore_forget_leader() {
    let config = Config {
        check_quorum: false,
        ..LEASE
    };
    assert!(Settings::new(&config).is_err());
    let mut story = Story::new(&LEASE);
    story.elect(1);
    story.act(Action::ReadIndex(name(1)));
    assert_eq!(story.answered, [read(1, 1)]);
    let before = story.server(2).clone();
    story.act(Action::ForgetLeader(name(2)));
    assert_eq!(story.server(2), &before);
}

#[test]
fn a_leader_that_sent_timeout_now_has_no_lease() {
    let mut story = Story::new(&LEASE);
    story.elect(1);
    story.act(Action::TransferLeadership(name(1), name(2)));
    // The message stays on its way, the transfer is given up.
    story.act(Action::CheckQuorum(name(1)));
    let view = story.server(1).view(story.cluster.settings());
    assert_eq!((view.transferee, view.handed_over), (None, true));
    story.act(Action::Heartbeat(name(1)));
    story.deliver_all(|m| !matches!(m.body, Body::TimeoutNow));
    assert_eq!(story.act(Action::ReadIndex(name(1))), Outcome::Accepted);
    assert_eq!(story.answered, []);
    story.deliver_all(|m| !matches!(m.body, Body::TimeoutNow));
    assert_eq!(story.told, [read(1, 1)]);
}

#[test]
fn a_lease_lapses_without_a_quorum_since_the_last_check() {
    for (departures, at_once) in [
        (&[][..], &[][..]),
        (&[Departure::LeaseWithoutActivity], &[read(1, 1)]),
    ] {
        let mut story = Story::departing(&LEASE, departures);
        story.elect(1);
        story.act(Action::CheckQuorum(name(1)));
        assert_eq!(story.server(1).role(), Role::Leader);
        assert_eq!(story.act(Action::ReadIndex(name(1))), Outcome::Accepted);
        assert_eq!(story.answered, at_once);
        story.settle();
        assert_eq!(story.told, [read(1, 1)]);
        // The answers to the round have renewed the lease, or those to a heartbeat.
        story.act(Action::Heartbeat(name(1)));
        story.settle();
        story.act(Action::ReadIndex(name(1)));
        assert_eq!(story.answered, [read(1, 1)]);
    }
}

/// Etcd's raft answers at once where there is one voter, even if that is another server.
#[test]
fn a_removed_leader_asks_the_last_voter() {
    let preset = Preset::named("read-removal").expect("there is such a preset");
    let found = search(
        preset,
        Some(Departure::LastVoterNotAsked),
        None,
        "linearizable_reads_inv",
    );
    assert_eq!(found, Some(11));
    let found = search(
        preset,
        Some(Departure::LastVoterNotAsked),
        None,
        "read_round_step",
    );
    assert_eq!(found, Some(9));
}

#[test]
fn a_lease_does_not_outlast_timeout_now() {
    let preset = Preset::named("lease-transfer").expect("there is such a preset");
    let departure = Some(Departure::LeaseAfterTimeoutNow);
    let found = search(preset, departure, None, "linearizable_lease_reads_inv");
    assert_eq!(found, Some(19));
    let found = search(preset, departure, None, "read_round_step");
    assert_eq!(found, Some(9));
}

/// That the leader's election timeout has passed since the follower heard from it is not enough. By etcd's rule a peer that
/// was heard from at any time of the last interval counts for the whole next one; by the stricter one an answer that was on
/// its way when the interval ended counts for the next.
#[test]
fn a_lease_needs_more_than_an_election_timeout_at_the_leader() {
    let preset = Preset::named("lease-read").expect("there is such a preset");
    let property = "linearizable_lease_reads_inv";
    for departure in [None, Some(Departure::LeaseWithoutActivity)] {
        let found = search(preset, departure, Some(Timing::Elapsed), property);
        assert_eq!(found, Some(19));
    }
    let departure = Some(Departure::LeaseWithoutActivity);
    assert_eq!(search(preset, departure, None, property), None);
    // A leader that does not vote has no lease.
    let preset = Preset::named("lease-removal").expect("there is such a preset");
    assert_eq!(search(preset, departure, None, property), None);
    let elapsed = Some(Timing::Elapsed);
    assert_eq!(search(preset, departure, elapsed, property), Some(12));
    assert_eq!(search(preset, None, elapsed, property), None);
}

/// Distinct and generated states and the depth with what etcd's raft does for its clients. They are those from before the
/// specification departed from it.
#[test]
fn the_dialect_of_etcd_is_what_the_specification_was() {
    let departures = [
        Departure::LeaseWithoutActivity,
        Departure::PostponedReadsStay,
        Departure::ReadsLostSilently,
        Departure::RoundsNotRecounted,
    ];
    // `ReleasedReadsAskOthers` is not among them: the specification never was so.
    for (name, counts) in [
        ("read-forward", (61_801, 140_158, 41)),
        ("read-again", (176_879, 441_217, 30)),
        ("read-restart", (47_727, 157_041, 25)),
        ("read-single", (16_440, 45_598, 17)),
        ("read-removal", (36_737, 99_533, 27)),
        ("read-joint", (57_172, 131_327, 35)),
        ("lease-read", (192_037, 519_523, 29)),
    ] {
        let preset = Preset::named(name).expect("there is such a preset");
        let settings = Settings::new(&preset.config).expect("a preset is valid");
        let dialect = departures
            .into_iter()
            .fold(settings.dialect(), |it, departure| {
                assert!(!departure.is_unsafe());
                it.with(departure)
            });
        let cluster = Cluster::new(settings.with_dialect(dialect), preset.bounds);
        let search = Search::new(&cluster).threads(2);
        let report = search.run().expect("the search runs").report;
        assert_eq!(report.verdict, Verdict::Exhausted, "{name}");
        let found = (report.distinct, report.generated, report.depth);
        assert_eq!(found, counts, "{name}");
    }
}

/// The length of a shortest run that violates a property.
fn search(
    preset: &Preset,
    departure: Option<Departure>,
    timing: Option<Timing>,
    property: &str,
) -> Option<u32> {
    let settings = Settings::new(&preset.config).expect("a preset is valid");
    let mut dialect = settings.dialect();
    if let Some(departure) = departure {
        dialect = dialect.with(departure);
    }
    let bounds = Bounds {
        timing: timing.unwrap_or(preset.bounds.timing),
        ..preset.bounds
    };
    let cluster = Cluster::new(settings.with_dialect(dialect), bounds);
    let search = Search::new(&cluster).threads(2).only([property]);
    match search.run().expect("the search runs").report.verdict {
        Verdict::Violated { depth, .. } => Some(depth),
        _ => None,
    }
}

/// Etcd #20418: the late answer to a read that was answered already confirms one that came after it was given. Contexts are
/// unique; the network repeats a read that a follower passes on.
fn stale_by_context(departures: &[Departure]) -> Story {
    let mut story = Story::departing(&SAFE, departures);
    story.elect(1);
    story.act(Action::ReadIndex(name(2)));
    story.duplicate(is_read);
    story.deliver(is_read);
    story.deliver(between(1, 2));
    story.deliver(between(1, 3));
    // The answer of server 3 stays on its way, and so does the repeated read.
    story.deliver(|m| between(2, 1)(m) && !is_read(m));
    story.deliver(|m| matches!(m.body, Body::ReadIndexResponse { .. }));
    assert_eq!(story.answered, [read(1, 1)]);
    story.act(Action::Timeout(name(2)));
    let new = |m: &Message| m.term == Term(2) && m.to != id(1) && m.from != id(1);
    story.deliver_all(new);
    assert_eq!(story.server(2).role(), Role::Leader);
    assert_eq!(story.server(2).commit(), Index(2));
    story.act(Action::ReadOtherIndex(name(1)));
    story.deliver(is_read);
    story.deliver(|m| between(3, 1)(m) && m.term == Term(1));
    story
}

#[test]
fn a_late_answer_confirms_no_later_read() {
    let story = stale_by_context(&[]);
    assert_eq!(story.answered, []);
    let view = story.server(1).view(story.cluster.settings());
    assert_eq!(view.unconfirmed_reads.len(), 2);
    assert!(story.holds("linearizable_reads_inv"));

    let story = stale_by_context(&[Departure::ReadsByContext]);
    assert_eq!(story.answered, [read(2, 1)]);
    assert!(!story.holds("linearizable_reads_inv"));
    assert_eq!(story.steps, 30);
}

#[test]
fn a_learner_asks_a_single_voter() {
    let config = Config {
        servers: 2,
        voters: ServerSet::of(&[1]),
        learners: ServerSet::of(&[2]),
        ..SAFE
    };
    let mut story = Story::new(&config);
    story.elect(1);
    story.act(Action::ReadIndex(name(1)));
    assert_eq!(story.answered, [read(1, 1)]);
    assert_eq!(story.state.in_flight(), 0);
    story.act(Action::ReadIndex(name(2)));
    story.deliver(is_read);
    assert_eq!(story.state.in_flight(), 1);
    story.deliver(between(1, 2));
    assert_eq!(story.answered, [read(1, 1)]);
}

#[test]
fn nobody_reads_where_reads_are_off() {
    let mut story = Story::new(&Config::PAPER);
    story.elect(1);
    let before = story.state.clone();
    let step = story
        .server(1)
        .step(story.cluster.settings(), &Input::ReadIndex { context: 1 });
    assert_eq!((step.outcome, step.sent.len()), (Outcome::Accepted, 0));
    assert_eq!(&step.server, before.server(id(1)));
    let settings = Settings::new(&SAFE).expect("the configuration is in range");
    let step = Server::new(&settings, id(1)).step(&settings, &Input::ReadIndex { context: 256 });
    assert_eq!(step.outcome, Outcome::Refused(Refusal::NoLeader));
}

#[test]
fn properties_of_reads_have_names() {
    for name in [
        "linearizable_reads_inv",
        "linearizable_lease_reads_inv",
        "round_confirmed_step",
        "reads_conserved_step",
    ] {
        assert!(NamedProperty::find(name).is_some(), "{name}");
    }
}

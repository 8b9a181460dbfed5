//! For each property of logs that are compacted, of storage, reads and configurations: a step or a state that has it, and
//! the same with one thing in it edited, which has it no more.

use super::super::components::CodeState;
use super::super::history::Happened;
use super::super::node::Node;
use super::super::{Clocks, Code, ObservedCode};
use super::{ALL, Property};
use lockstep_model::{Action, Id, Spent};
use lockstep_traces::{
    Append, Body, ConfChange, Config, Configuration, Entry, HardState, Index, Message, NodeView,
    Payload, PeerView, ProgressState, Reads, Role, ServerId, ServerSet, Snapshot, Storage, Term,
};
use std::sync::Arc;

const ASYNC: Config = Config {
    storage: Storage::Async,
    ..Config::PAPER
};

/// Two voters of three servers, and the configuration may change.
const CHANGING: Config = Config {
    voters: ServerSet::of(&[1, 2]),
    ..Config::PAPER
};

fn id(number: u64) -> ServerId {
    ServerId::new(number).expect("not zero")
}

fn first() -> Id {
    Id::new(1).expect("not zero")
}

fn code(config: &Config) -> Code<'static> {
    ObservedCode::new(config).into_code()
}

fn property(name: &str) -> &'static Property {
    let found = ALL.iter().find(|property| property.name == name);
    found.expect("there is such a property")
}

fn entry(term: u64, value: u64) -> Entry {
    Entry {
        term: Term(term),
        payload: Payload::Value(value),
    }
}

fn change(term: u64, text: &str) -> Entry {
    let change: ConfChange = text.parse().expect("it is a change");
    Entry {
        term: Term(term),
        payload: Payload::ConfChange(change),
    }
}

fn snapshot(index: u64, term: u64) -> Snapshot {
    Snapshot {
        index: Index(index),
        term: Term(term),
        configuration: Configuration::default(),
    }
}

fn voters(numbers: &[u64]) -> Configuration {
    Configuration::of_voters(numbers.iter().map(|number| id(*number)))
}

/// A server with this log, of which `commit` is committed and applied, in term 3, all of it on stable storage.
fn stored(log: &[Entry], commit: u64) -> NodeView {
    let mut view = NodeView {
        term: Term(3),
        log: log.to_vec(),
        commit: Index(commit),
        applied: Index(commit),
        ..NodeView::default()
    };
    view.durable.term = view.term;
    view.durable.log.clone_from(&view.log);
    view.durable.commit = view.commit;
    view
}

/// The same with its entries up to an index behind a snapshot.
fn compacted(mut view: NodeView, index: u64) -> NodeView {
    let term = view.log[index as usize - 1].term;
    view.snapshot = Some(Snapshot {
        term,
        ..snapshot(index, 0)
    });
    view.log.drain(..index as usize);
    view.durable.snapshot.clone_from(&view.snapshot);
    view.durable.log.clone_from(&view.log);
    view
}

fn leads(mut view: NodeView, number: u64) -> NodeView {
    view.role = Role::Leader;
    view.leader = Some(id(number));
    view.vote = view.leader;
    view.durable.vote = view.leader;
    view
}

fn knows(mut view: NodeView, peer: u64, matched: u64) -> NodeView {
    let progress = PeerView {
        matched: Index(matched),
        next: Index(matched + 1),
        state: ProgressState::Replicate,
        paused: false,
        recent_active: true,
        commit_sent: Index(0),
        inflight: Vec::new(),
        pending_snapshot: None,
    };
    view.peers.insert(id(peer), progress);
    view
}

/// The history in which a leader of term 1 has committed these entries.
fn committed(log: &[Entry]) -> Happened {
    Happened {
        committed: log.iter().map(|it| (it.clone(), Term(1))).collect(),
        ..Happened::default()
    }
}

fn state(views: &[NodeView], network: &[Message], history: Happened) -> CodeState {
    let servers = (1..).filter_map(ServerId::new).zip(views);
    let mut network: Vec<_> = network.iter().cloned().map(Arc::new).collect();
    network.sort();
    CodeState {
        servers: servers
            .map(|(id, view)| Node::new(id, 0, Arc::new(view.clone())))
            .collect(),
        network,
        history,
        spent: Spent::default(),
    }
}

/// The state has the property, and puts it to the test.
fn has(name: &str, code: &Code<'_>, state: &CodeState) {
    let nobody = Action::Drop(0);
    assert!(property(name).says(code, state, &nobody, state), "{name}");
    assert!(property(name).holds(code, state, &nobody, state), "{name}");
}

/// The state lacks the property.
fn lacks(name: &str, code: &Code<'_>, state: &CodeState) {
    let nobody = Action::Drop(0);
    assert!(property(name).says(code, state, &nobody, state), "{name}");
    assert!(!property(name).holds(code, state, &nobody, state), "{name}");
}

/// A step of server 1: the view before, the action, the view afterwards, and the messages before and afterwards.
struct Step {
    before: NodeView,
    action: Action,
    after: NodeView,
    delivered: Option<Message>,
    sent: Vec<Message>,
}

impl Step {
    fn new(before: &NodeView, action: Action, after: &NodeView) -> Step {
        Step {
            before: before.clone(),
            action,
            after: after.clone(),
            delivered: None,
            sent: Vec::new(),
        }
    }

    /// The delivery of a message.
    fn of(before: &NodeView, message: Message, after: &NodeView) -> Step {
        Step {
            delivered: Some(message),
            ..Step::new(before, Action::Deliver(0), after)
        }
    }

    fn sends(mut self, message: Message) -> Step {
        self.sent.push(message);
        self
    }

    /// Whether the step has the property, which it puts to the test.
    fn has(&self, name: &str, code: &Code<'_>) -> bool {
        let history = Happened::default;
        let delivered: Vec<_> = self.delivered.iter().cloned().collect();
        let before = state(std::slice::from_ref(&self.before), &delivered, history());
        let after = state(std::slice::from_ref(&self.after), &self.sent, history());
        let property = property(name);
        assert!(property.says(code, &before, &self.action, &after), "{name}");
        property.holds(code, &before, &self.action, &after)
    }
}

fn message(from: u64, to: u64, term: u64, body: Body) -> Message {
    Message::new(id(from), id(to), Term(term), body)
}

const LOG: [(u64, u64); 3] = [(1, 1), (1, 2), (2, 3)];

fn log() -> Vec<Entry> {
    LOG.map(|(term, value)| entry(term, value)).to_vec()
}

#[test]
fn logs_are_judged_from_their_snapshots_on() {
    let code = code(&Config::PAPER);
    let whole = stored(&log(), 3);
    let short = compacted(stored(&log(), 3), 2);
    let right = state(
        &[leads(whole.clone(), 1), short.clone()],
        &[],
        committed(&log()),
    );
    let mut other = short.clone();
    other.log[0].payload = Payload::Value(9);
    let mut other_term = short.clone();
    other_term.snapshot = Some(snapshot(2, 2));
    let names = [
        "log_matching_inv",
        "state_machine_safety_inv",
        "committed_on_quorum_inv",
    ];
    for name in names {
        has(name, &code, &right);
    }
    let wrong = state(&[whole.clone(), other.clone()], &[], committed(&log()));
    lacks("log_matching_inv", &code, &wrong);
    lacks("state_machine_safety_inv", &code, &wrong);
    let wrong = state(&[whole.clone(), other_term], &[], committed(&log()));
    lacks("log_matching_inv", &code, &wrong);
    // A leader that has compacted what was committed still has it; with another entry behind the snapshot it has not.
    has(
        "leader_completeness_inv",
        &code,
        &state(&[leads(short.clone(), 1)], &[], committed(&log())),
    );
    lacks(
        "leader_completeness_inv",
        &code,
        &state(&[leads(other, 1)], &[], committed(&log())),
    );
    // Two of three have it, one behind a snapshot; then only one.
    let empty = stored(&[], 0);
    let two = state(
        &[whole.clone(), short.clone(), empty.clone()],
        &[],
        committed(&log()),
    );
    has("committed_on_quorum_inv", &code, &two);
    let one = state(
        &[short.clone(), empty.clone(), empty.clone()],
        &[],
        committed(&log()),
    );
    lacks("committed_on_quorum_inv", &code, &one);
    let knows_two = knows(leads(short.clone(), 1), 2, 3);
    let matched =
        |other: &NodeView| state(&[knows_two.clone(), other.clone()], &[], committed(&log()));
    has("match_is_replicated_inv", &code, &matched(&whole));
    lacks("match_is_replicated_inv", &code, &matched(&empty));
    has("well_formed_inv", &code, &right);
    let mut beyond = short;
    beyond.commit = Index(1);
    beyond.applied = Index(1);
    lacks(
        "well_formed_inv",
        &code,
        &state(&[beyond], &[], committed(&log())),
    );
}

#[test]
fn a_snapshot_is_of_what_was_committed() {
    let name = "snapshot_is_committed_inv";
    let code = code(&Config::PAPER);
    let with = |index, term| {
        let mut view = compacted(stored(&log(), 3), 2);
        view.snapshot = Some(snapshot(index, term));
        state(&[view], &[], committed(&log()))
    };
    has(name, &code, &with(2, 1));
    lacks(name, &code, &with(2, 2));
    lacks(name, &code, &with(4, 2));
    // The configuration is that of the changes up to there.
    let code = super::tests::code(&CHANGING);
    let log = [entry(1, 1), change(1, "v3"), entry(1, 2)];
    let with = |configuration: Configuration| {
        let mut view = compacted(stored(&log, 3), 2);
        for snapshot in [&mut view.snapshot, &mut view.durable.snapshot] {
            let snapshot = snapshot.as_mut().expect("there is one");
            snapshot.configuration.clone_from(&configuration);
        }
        state(&[view], &[], committed(&log))
    };
    has(name, &code, &with(voters(&[1, 2, 3])));
    lacks(name, &code, &with(voters(&[1, 2])));
}

#[test]
fn a_leader_sends_the_snapshot_of_what_it_has_applied() {
    let code = code(&Config::PAPER);
    let leader = leads(compacted(stored(&log(), 3), 2), 1);
    let sends = |snapshot| {
        let body = Body::InstallSnapshot { snapshot };
        let step = Step::new(&leader, Action::Heartbeat(first()), &leader);
        step.sends(message(1, 2, 3, body))
    };
    assert!(sends(snapshot(2, 1)).has("snapshot_sent_step", &code));
    assert!(!sends(snapshot(2, 2)).has("snapshot_sent_step", &code));
    assert!(!sends(snapshot(4, 2)).has("snapshot_sent_step", &code));
}

#[test]
fn a_snapshot_within_the_log_takes_nothing() {
    let code = code(&Config::PAPER);
    let before = stored(&log(), 0);
    let body = Body::InstallSnapshot {
        snapshot: snapshot(2, 1),
    };
    let becomes = |after: &NodeView| Step::of(&before, message(2, 1, 3, body.clone()), after);
    let name = "snapshot_keeps_log_step";
    assert!(becomes(&stored(&log(), 2)).has(name, &code));
    assert!(becomes(&compacted(stored(&log(), 2), 2)).has(name, &code));
    assert!(!becomes(&compacted(stored(&log()[..2], 2), 2)).has(name, &code));
}

#[test]
fn compaction_takes_only_what_is_applied() {
    let code = code(&Config::PAPER);
    let before = stored(&log(), 2);
    let becomes = |after: &NodeView| {
        Step::new(&before, Action::Compact(first()), after).has("compaction_step", &code)
    };
    assert!(becomes(&compacted(stored(&log(), 2), 2)));
    assert!(!becomes(&compacted(stored(&log(), 2), 3)));
    assert!(!becomes(&compacted(stored(&log()[..2], 2), 2)));
    let mut forgets = compacted(stored(&log(), 2), 2);
    forgets.term = Term(4);
    assert!(!becomes(&forgets));
}

#[test]
fn a_leader_is_one_on_stable_storage() {
    let code = code(&ASYNC);
    let leader = leads(stored(&log(), 3), 1);
    has(
        "leader_is_durable_inv",
        &code,
        &state(std::slice::from_ref(&leader), &[], Happened::default()),
    );
    let mut early = leader;
    early.durable.vote = None;
    lacks(
        "leader_is_durable_inv",
        &code,
        &state(&[early], &[], Happened::default()),
    );
}

#[test]
fn a_crash_takes_nothing_that_is_applied_and_leaves_what_makes_sense() {
    let code = code(&ASYNC);
    let mut view = stored(&log(), 2);
    view.appends = vec![Append {
        hard_state: Some(HardState {
            term: Term(3),
            vote: None,
            commit: Index(2),
        }),
        first: Index(3),
        entries: vec![entry(3, 4)],
        ..Append::default()
    }];
    let of = |view: &NodeView| state(std::slice::from_ref(view), &[], committed(&log()));
    for name in ["applied_is_durable_inv", "sane_after_crash_inv"] {
        has(name, &code, &of(&view));
    }
    let mut overwrites = view.clone();
    overwrites.appends[0].first = Index(2);
    overwrites.appends[0].entries = vec![entry(3, 4), entry(3, 5)];
    lacks("applied_is_durable_inv", &code, &of(&overwrites));
    let mut not_stored = view.clone();
    not_stored.durable.log.truncate(1);
    lacks("applied_is_durable_inv", &code, &of(&not_stored));
    let mut newer = view.clone();
    newer.appends[0].entries = vec![entry(4, 4)];
    lacks("sane_after_crash_inv", &code, &of(&newer));
    view.durable.commit = Index(4);
    lacks("sane_after_crash_inv", &code, &of(&view));
}

#[test]
fn votes_terms_and_commits_on_stable_storage_never_go_back() {
    let code = code(&ASYNC);
    let mut before = stored(&log(), 2);
    before.durable.vote = Some(id(2));
    let becomes = |edit: fn(&mut NodeView)| {
        let mut after = before.clone();
        edit(&mut after);
        let action = Action::RestartKeeping(first(), 1);
        Step::new(&before, action, &after).has("durable_monotonic_step", &code)
    };
    assert!(becomes(|after| {
        after.durable.term = Term(4);
        after.durable.vote = None;
    }));
    assert!(!becomes(|after| after.durable.term = Term(2)));
    assert!(!becomes(|after| after.durable.vote = None));
    assert!(!becomes(|after| after.durable.vote = Some(id(3))));
    assert!(!becomes(|after| after.durable.commit = Index(1)));
}

#[test]
fn what_leaves_is_stored() {
    let code = code(&ASYNC);
    let mut view = stored(&log(), 2);
    view.vote = Some(id(2));
    let sends = |view: &NodeView, body| {
        let step = Step::new(view, Action::Persist(first()), view);
        step.sends(message(1, 2, 3, body))
    };
    let grant = Body::RequestVoteResponse { granted: true };
    let (vote, ack) = ("vote_is_stored_step", "acknowledged_is_stored_step");
    assert!(!sends(&view, grant.clone()).has(vote, &code));
    view.durable.vote = Some(id(2));
    assert!(sends(&view, grant.clone()).has(vote, &code));
    view.durable.vote = Some(id(3));
    assert!(!sends(&view, grant).has(vote, &code));
    let acknowledges = |index| Body::AppendEntriesResponse {
        index: Index(index),
        rejected: None,
    };
    assert!(sends(&view, acknowledges(3)).has(ack, &code));
    assert!(!sends(&view, acknowledges(4)).has(ack, &code));
    // A vote that waits for storage is given all the same, to a log that has to be as good.
    let request = |last_index| {
        let body = Body::RequestVote {
            last_index: Index(last_index),
            last_term: Term(2),
            transfer: false,
        };
        message(2, 1, 3, body)
    };
    let mut waits = view.clone();
    waits.appends.push(Append {
        responses: vec![message(
            1,
            2,
            3,
            Body::RequestVoteResponse { granted: true },
        )],
        ..Append::default()
    });
    let name = "up_to_date_vote_step";
    assert!(Step::of(&view, request(3), &waits).has(name, &code));
    assert!(!Step::of(&view, request(2), &waits).has(name, &code));
}

#[test]
fn a_crash_keeps_what_was_durable_and_the_oldest_appends() {
    let code = code(&ASYNC);
    let mut before = stored(&log()[..2], 1);
    before.log.push(entry(3, 4));
    before.appends = vec![Append {
        first: Index(3),
        entries: vec![entry(3, 4)],
        ..Append::default()
    }];
    let back = |kept: u8, log: &[Entry], commit| {
        let after = stored(log, commit);
        let action = match kept {
            0 => Action::Restart(first()),
            kept => Action::RestartKeeping(first(), kept),
        };
        Step::new(&before, action, &after).has("restart_step", &code)
    };
    let all = [entry(1, 1), entry(1, 2), entry(3, 4)];
    assert!(back(0, &all[..2], 1) && back(1, &all, 1));
    assert!(!back(0, &all, 1) && !back(1, &all[..2], 1) && !back(0, &all[..1], 1));
    // The application has made durable what it has applied.
    assert!(!back(0, &all[..2], 0));
}

#[test]
fn a_read_returns_the_latest_committed_write() {
    let safe = Config {
        reads: Reads::Safe,
        ..Config::PAPER
    };
    let lease = Config {
        reads: Reads::LeaseBased,
        check_quorum: true,
        ..Config::PAPER
    };
    let with = |asked: &[(ServerId, u64, Index)], answer, clocks: Clocks| {
        let mut history = committed(&log());
        asked.iter().for_each(|it| history.reads.ask(*it));
        history.reads.answered = vec![(id(1), 1, Index(answer))];
        history.reads.clocks = clocks;
        state(&[stored(&log(), 3)], &[], history)
    };
    let asked = [(id(1), 1, Index(2))];
    let kept = Clocks::default;
    for (config, name) in [
        (&safe, "linearizable_reads_inv"),
        (&lease, "linearizable_lease_reads_inv"),
    ] {
        let code = code(config);
        has(name, &code, &with(&asked, 2, kept()));
        has(name, &code, &with(&asked, 3, kept()));
        lacks(name, &code, &with(&asked, 1, kept()));
        // Nobody asked, or another server's client did.
        lacks(name, &code, &with(&[], 3, kept()));
        lacks(name, &code, &with(&[(id(2), 1, Index(2))], 3, kept()));
        has("read_is_committed_inv", &code, &with(&asked, 3, kept()));
        lacks("read_is_committed_inv", &code, &with(&asked, 4, kept()));
    }
    // Of a lease nothing is said once clocks have broken what is supposed of them.
    let stale = with(&asked, 1, Clocks::BROKEN);
    let name = property("linearizable_lease_reads_inv");
    let nobody = Action::Drop(0);
    let code = code(&lease);
    assert!(
        !name.says(&code, &stale, &nobody, &stale) && name.holds(&code, &stale, &nobody, &stale)
    );
}

#[test]
fn the_configuration_is_that_of_the_applied_changes() {
    let name = "configuration_inv";
    let code = code(&CHANGING);
    let log = [entry(1, 1), change(1, "v3"), entry(1, 2)];
    let with = |applied, configuration: &Configuration| {
        let mut view = stored(&log, 3);
        view.applied = Index(applied);
        view.configuration = configuration.clone();
        state(&[view], &[], committed(&log))
    };
    has(name, &code, &with(3, &voters(&[1, 2, 3])));
    lacks(name, &code, &with(1, &voters(&[1, 2, 3])));
    lacks(name, &code, &with(3, &voters(&[1, 3])));
    // Of a snapshot it is the one that the snapshot has.
    let of_snapshot = |configuration: &Configuration| {
        let mut view = compacted(stored(&log, 3), 2);
        view.snapshot.as_mut().expect("there is one").configuration = voters(&[1, 2, 3]);
        view.configuration = configuration.clone();
        state(&[view], &[], committed(&log))
    };
    has(name, &code, &of_snapshot(&voters(&[1, 2, 3])));
    lacks(name, &code, &of_snapshot(&voters(&[2])));
}

#[test]
fn a_leader_has_the_votes_of_a_quorum_of_its_configuration() {
    let code = code(&CHANGING);
    let mut before = stored(&log(), 1);
    before.role = Role::Candidate;
    before.votes = [(id(1), true), (id(3), false)].into();
    before.configuration = voters(&[1, 2]);
    let mut after = leads(stored(&log(), 1), 1);
    after.configuration = voters(&[1, 2]);
    let by = |from, term, granted| {
        let body = Body::RequestVoteResponse { granted };
        let step = Step::of(&before, message(from, 1, term, body), &after);
        step.has("elected_by_quorum_step", &code)
    };
    assert!(by(2, 3, true));
    assert!(!by(2, 3, false) && !by(2, 2, true));
    // The vote of who does not vote is none.
    assert!(!by(3, 3, true));
}

#[test]
fn a_leader_commits_what_both_halves_have_stored() {
    let code = code(&CHANGING);
    let joint = Configuration {
        outgoing: voters(&[1, 2]).voters,
        ..voters(&[1, 3])
    };
    let mut log = log();
    log.push(entry(3, 4));
    let leader = |commit, matched: [u64; 2], configuration: &Configuration| {
        let mut view = leads(stored(&log, commit), 1);
        view.configuration = configuration.clone();
        knows(knows(view, 2, matched[0]), 3, matched[1])
    };
    let acknowledged = Body::AppendEntriesResponse {
        index: Index(4),
        rejected: None,
    };
    let commits = |after: &NodeView, configuration: &Configuration| {
        let before = leader(0, [0, 0], configuration);
        let step = Step::of(&before, message(2, 1, 3, acknowledged.clone()), after);
        step.has("committed_by_quorum_step", &code)
    };
    assert!(commits(&leader(4, [4, 4], &joint), &joint));
    assert!(!commits(&leader(4, [4, 0], &joint), &joint));
    assert!(commits(
        &leader(4, [4, 0], &voters(&[1, 2])),
        &voters(&[1, 2])
    ));
    // Its own copy counts once it is stored.
    let mut early = leader(4, [4, 0], &voters(&[1, 2]));
    early.durable.log.pop();
    assert!(!commits(&early, &voters(&[1, 2])));
}

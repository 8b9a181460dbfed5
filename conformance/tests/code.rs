//! The code itself, explored against the properties of the paper: right implementations are exhausted, and broken
//! ones are caught without the specification.

use lockstep_conformance::code::{Code, CodeReport};
use lockstep_conformance::targets::lockstep_raft::{LockstepRaft, LockstepServer};
use lockstep_conformance::targets::raft_rs::RaftRs;
use lockstep_conformance::targets::spec::Spec;
use lockstep_conformance::{Description, Fork, Reaction, Target, TargetError, TargetServer};
use lockstep_engine::{Search, Verdict};
use lockstep_model::{Bounds, Budget, Cluster, Preset, Settings};
use lockstep_traces::{
    Body, Config, Emitted, Index, Input, NodeView, ReadState, Role, ServerId, Term,
};
use stateright::{Checker, Model};

fn preset(name: &str) -> (Config, Bounds) {
    let preset = Preset::named(name).expect("there is such a preset");
    (preset.config.clone(), preset.bounds)
}

fn check<'a>(code: &Code<'a>, threads: usize) -> CodeReport<'a> {
    let found = code.check(|search| search.threads(threads).coverage(true));
    found.expect("nothing goes to disk")
}

/// The states of the implementation are those of the specification, one for one: it is bisimilar to it.
#[test]
fn the_production_raft_has_the_states_of_the_specification() {
    for name in ["single", "smoke"] {
        let (config, bounds) = preset(name);
        let settings = Settings::new(&config).expect("presets are sensible");
        let cluster = Cluster::new(settings, bounds);
        let specification = Search::new(&cluster).run().expect("nothing goes to disk");
        let mut counts = None;
        for threads in 1..=2 {
            let code = Code::copied(&LockstepRaft, &config, bounds).expect("it starts");
            let found = check(&code, threads);
            assert_eq!(found.checked.report.verdict, Verdict::Exhausted, "{name}");
            assert!(found.hidden.is_none() && found.failure.is_none());
            let report = found.checked.report;
            assert_eq!(report.distinct, specification.report.distinct);
            assert_eq!(report.generated, specification.report.generated);
            assert_eq!(report.depth, specification.report.depth);
            let implementation = found.implementation;
            assert_eq!(
                implementation.inputs_rerun.min(implementation.inputs)
                    + implementation.inputs_without_second_path,
                implementation.inputs
            );
            // The same for any number of threads.
            assert_eq!(
                *counts.get_or_insert(implementation.clone()),
                implementation
            );
        }
    }
}

/// Cut off again and again, and taken up by another process each time as far as the servers are concerned.
#[test]
fn an_exploration_goes_on_from_its_checkpoint() {
    let (config, bounds) = preset("smoke");
    let whole = Code::copied(&LockstepRaft, &config, bounds).expect("it starts");
    let whole = check(&whole, 1);
    let folder = tempfile::tempdir().expect("there is room for a folder");
    for states in [1_000, 20_000, u64::MAX, u64::MAX] {
        let code = Code::copied(&LockstepRaft, &config, bounds).expect("it starts");
        let found = code.check(|search| {
            let search = search.threads(2).coverage(true).max_states(states);
            let search = search.checkpoint(folder.path(), std::time::Duration::ZERO);
            search.resume(true)
        });
        let found = found.expect("it goes on");
        if states < u64::MAX {
            assert_ne!(found.checked.report.verdict, Verdict::Exhausted);
            continue;
        }
        let (report, reference) = (found.checked.report, &whole.checked.report);
        assert!(found.checked.resumed_at.is_some_and(|it| it >= 20_000));
        assert_eq!(report.verdict, Verdict::Exhausted);
        assert_eq!(report.levels, reference.levels);
        assert_eq!(report.antecedents, reference.antecedents);
        assert_eq!(found.implementation, whole.implementation);
    }
}

/// Servers that are restored by their path, and the plain search and stateright's on the same code.
#[test]
fn raft_rs_is_exhausted_too() {
    let (config, bounds) = preset("single");
    let target = RaftRs::new();
    let code = Code::restored(&target, &config, bounds).expect("it starts");
    let found = check(&code, 1);
    assert_eq!(found.checked.report.verdict, Verdict::Exhausted);
    assert!(found.hidden.is_none(), "{:?}", found.hidden);
    assert!(found.implementation.inputs > 50);
    let (config, mut bounds) = preset("smoke");
    bounds.max_in_flight = 2;
    bounds.disturbances = Budget::Times(0);
    let code = Code::restored(&target, &config, bounds).expect("it starts");
    let found = check(&code, 2);
    assert_eq!(found.checked.report.verdict, Verdict::Exhausted);
    assert!(found.hidden.is_none(), "{:?}", found.hidden);
    let again = Code::restored(&target, &config, bounds).expect("it starts");
    let plain = Search::new(&again).collapse(false).run();
    let plain = plain.expect("nothing goes to disk").report;
    assert_eq!(plain.distinct, found.checked.report.distinct);
    assert_eq!(plain.levels, found.checked.report.levels);
    // stateright keeps its model for ever.
    let target: &RaftRs = Box::leak(Box::new(RaftRs::new()));
    let theirs = Code::restored(target, &config, bounds).expect("it starts");
    let theirs = theirs.checker().spawn_bfs().join();
    assert_eq!(theirs.unique_state_count() as u64, plain.distinct);
}

/// A bug, seeded at the border of the production Raft.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bug {
    /// A vote is forgotten by a restart (paper, figure 2).
    VoteForgotten,
    /// Votes are given without a look at the candidate's log (section 5.4.1).
    LogNotCompared,
    /// A vote is given to whoever asks in the same term (section 5.2).
    VotesTwice,
    /// An append is acknowledged one further than it was stored.
    AcknowledgesTooMuch,
    /// A candidate takes a refusal for a grant.
    RefusalCounts,
    /// Refused appends are acknowledged.
    RefusalAcknowledged,
    /// A heartbeat carries all that the leader has, as if committed.
    HeartbeatCommitsAll,
    /// Messages carry a term that is two too high.
    TermTooHigh,
    /// The log is lost by a restart.
    LogLost,
    /// An election timeout at a leader breaks it.
    Panics,
    /// An entry is handed to the application twice.
    HandedTwice,
    /// A snapshot carries a term that its last entry does not have (section 7).
    SnapshotTermWrong,
    /// A snapshot is said to reach one entry further than it does.
    SnapshotTooFar,
    /// A read is answered with the index before the right one (thesis, section 6.4).
    ReadTooLow,
    /// A read is answered when it is asked, whoever leads.
    ReadAtOnce,
    /// With asynchronous storage: a vote leaves before it is stored.
    VoteLeavesEarly,
    /// With asynchronous storage: a crash loses what was durable.
    StorageLost,
    /// With asynchronous storage: an append is acknowledged before it is stored.
    AcknowledgedEarly,
}

const BUGS: [(Bug, &str, &[&str]); 19] = [
    (
        Bug::VoteForgotten,
        "votes",
        &["one_vote_per_term_step", "restart_step", "persistent_inv"],
    ),
    (Bug::LogNotCompared, "conflict", &["up_to_date_vote_step"]),
    (Bug::VotesTwice, "votes", &["up_to_date_vote_step"]),
    (
        Bug::AcknowledgesTooMuch,
        "smoke",
        &["acknowledged_is_stored_step"],
    ),
    (Bug::RefusalCounts, "votes", &["elected_by_quorum_step"]),
    (
        Bug::RefusalAcknowledged,
        "conflict",
        &["acknowledged_is_stored_step", "match_is_replicated_inv"],
    ),
    (
        Bug::HeartbeatCommitsAll,
        "smoke",
        &[
            "committed_on_quorum_inv",
            "well_formed_inv",
            "does_not_fail_step",
        ],
    ),
    (Bug::TermTooHigh, "smoke", &["message_terms_inv"]),
    (Bug::LogLost, "pair", &["term_monotonic_step"]),
    (Bug::Panics, "smoke", &["does_not_fail_step"]),
    (Bug::HandedTwice, "smoke", &["does_not_fail_step"]),
    (
        Bug::SnapshotTermWrong,
        "snapshot-conflict",
        &["snapshot_sent_step"],
    ),
    (
        Bug::SnapshotTooFar,
        "snapshot-conflict",
        &["well_formed_inv", "compaction_step"],
    ),
    (Bug::ReadTooLow, "read", &["linearizable_reads_inv"]),
    (
        Bug::ReadTooLow,
        "lease-read",
        &["linearizable_lease_reads_inv"],
    ),
    (Bug::ReadAtOnce, "read-change", &["linearizable_reads_inv"]),
    (
        Bug::VoteLeavesEarly,
        "async-election",
        &["vote_is_stored_step"],
    ),
    (
        Bug::StorageLost,
        "async-single",
        &["durable_monotonic_step", "restart_step"],
    ),
    (
        Bug::AcknowledgedEarly,
        "async-conflict",
        &["acknowledged_is_stored_step"],
    ),
];

/// The production Raft with that bug around it.
#[derive(Clone, Copy)]
struct Broken(Bug);

#[derive(Clone)]
struct BrokenServer {
    bug: Bug,
    id: ServerId,
    config: Config,
    server: LockstepServer,
}

impl Target for Broken {
    type Server = BrokenServer;

    fn description(&self) -> Description {
        LockstepRaft.description()
    }

    fn start(&self, config: &Config, id: ServerId) -> Result<BrokenServer, TargetError> {
        let server = LockstepRaft.start(config, id)?;
        let Broken(bug) = *self;
        Ok(BrokenServer {
            bug,
            id,
            config: config.clone(),
            server,
        })
    }
}

impl BrokenServer {
    /// The message that the server takes `message` for.
    fn taken(
        &mut self,
        message: &lockstep_traces::Message,
    ) -> Result<lockstep_traces::Message, TargetError> {
        let mut message = message.clone();
        match (self.bug, &mut message.body) {
            (
                Bug::LogNotCompared,
                Body::RequestVote {
                    last_index,
                    last_term,
                    ..
                },
            ) => {
                *last_index = Index(1 << 20);
                *last_term = message.term;
            }
            (Bug::RefusalCounts, Body::RequestVoteResponse { granted }) => *granted = true,
            _ => {}
        }
        Ok(message)
    }

    /// Changes `message` to the one that it sends in its place.
    fn sends(&self, message: &mut lockstep_traces::Message, view: &NodeView) {
        let all = Index(view.log.len() as u64);
        match (self.bug, &mut message.body) {
            (
                Bug::AcknowledgesTooMuch,
                Body::AppendEntriesResponse {
                    index,
                    rejected: None,
                },
            ) if *index > Index(0) => {
                index.0 += 1;
            }
            (Bug::RefusalAcknowledged, Body::AppendEntriesResponse { rejected, .. }) => {
                *rejected = None
            }
            (Bug::HeartbeatCommitsAll, Body::Heartbeat { commit, .. }) => *commit = all,
            (Bug::VotesTwice, Body::RequestVoteResponse { granted }) => *granted = true,
            (Bug::TermTooHigh, _) => message.term.0 += 2,
            (Bug::SnapshotTermWrong, Body::InstallSnapshot { snapshot }) => snapshot.term.0 += 1,
            _ => {}
        }
    }
}

impl TargetServer for BrokenServer {
    fn apply(&mut self, input: &Input) -> Result<Reaction, TargetError> {
        let before = self.server.view()?;
        assert!(
            !(self.bug == Bug::Panics
                && *input == Input::CheckQuorum
                && before.role == Role::Leader),
            "the seeded bug"
        );
        let reaction = match input {
            Input::Deliver(message) => {
                let taken = self.taken(message)?;
                self.server.apply(&Input::Deliver(taken))?
            }
            // Started anew, it knows nothing.
            Input::Restart if matches!(self.bug, Bug::LogLost | Bug::StorageLost) => {
                self.server = LockstepRaft.start(&self.config, self.id)?;
                return self.server.apply(input);
            }
            input => self.server.apply(input)?,
        };
        let view = self.server.view()?;
        let Reaction::Driven(mut output) = reaction else {
            return Ok(reaction);
        };
        for Emitted { message, .. } in &mut output.sent {
            self.sends(message, &view);
        }
        let early = |m: &&lockstep_traces::Message| match (self.bug, &m.body) {
            (Bug::VoteLeavesEarly, Body::RequestVoteResponse { granted: true })
            | (Bug::AcknowledgedEarly, Body::AppendEntriesResponse { rejected: None, .. }) => {
                m.to != self.id
            }
            _ => false,
        };
        if view.appends.len() > before.appends.len() {
            let new = view.appends.iter().skip(before.appends.len());
            let waiting = new.flat_map(|append| &append.responses);
            output.sent.extend(waiting.filter(early).map(|m| Emitted {
                message: m.clone(),
                after_persist: false,
            }));
        }
        if self.bug == Bug::ReadTooLow {
            for answer in &mut output.read_states {
                answer.index = answer.index.map(|index| Index(index.0.saturating_sub(1)));
            }
        }
        if let (Bug::ReadAtOnce, Input::ReadIndex { context }) = (self.bug, input)
            && view.role == Role::Leader
        {
            output.read_states.push(ReadState {
                context: *context,
                index: Some(view.commit),
            });
        }
        if self.bug == Bug::HandedTwice
            && let Some(last) = output.handed.last().cloned()
        {
            output.handed.push(last);
        }
        Ok(Reaction::Driven(output))
    }

    fn view(&mut self) -> Result<NodeView, TargetError> {
        let mut view = self.server.view()?;
        // As seen from outside, what it does not keep is not there.
        if self.bug == Bug::VoteForgotten
            && view.role == Role::Follower
            && view.leader.is_none()
            && view.term > Term(0)
        {
            view.vote = None;
        }
        if self.bug == Bug::SnapshotTooFar
            && let Some(snapshot) = &mut view.snapshot
        {
            snapshot.index.0 += 1;
        }
        Ok(view)
    }
}

impl Fork for BrokenServer {
    fn fork(&self) -> Self {
        self.clone()
    }

    fn digest(&self) -> u128 {
        self.server.digest()
    }
}

#[test]
fn seeded_bugs_are_caught_without_the_specification() {
    let mut unexpected = Vec::new();
    for (bug, name, expected) in BUGS {
        let (config, bounds) = preset(name);
        let target = Broken(bug);
        let code = Code::copied(&target, &config, bounds).expect("it starts");
        let found = check(&code, 2);
        let Verdict::Violated {
            property, depth, ..
        } = &found.checked.report.verdict
        else {
            unexpected.push(format!("{bug:?}: {}", found.checked.report.verdict));
            continue;
        };
        if !expected.contains(&property.as_str()) {
            unexpected.push(format!("{bug:?}: {property}"));
        }
        let path = found.checked.counterexample.expect("it was violated");
        assert_eq!(path.steps.len(), *depth as usize);
    }
    assert!(unexpected.is_empty(), "{unexpected:#?}");
}

/// A digest that leaves something out is found out by the second path.
#[test]
fn a_digest_that_hides_state_is_found_out() {
    #[derive(Clone)]
    struct Hiding(LockstepServer, u8);
    struct Hides;
    impl Target for Hides {
        type Server = Hiding;
        fn description(&self) -> Description {
            LockstepRaft.description()
        }
        fn start(&self, config: &Config, id: ServerId) -> Result<Hiding, TargetError> {
            Ok(Hiding(LockstepRaft.start(config, id)?, 0))
        }
    }
    impl TargetServer for Hiding {
        fn apply(&mut self, input: &Input) -> Result<Reaction, TargetError> {
            let mut reaction = self.0.apply(input)?;
            // Once it has been restarted twice, it says nothing to those who ask.
            self.1 += u8::from(*input == Input::Restart);
            if let (Reaction::Driven(output), true) = (&mut reaction, self.1 > 1) {
                output.sent.clear();
            }
            Ok(reaction)
        }
        fn view(&mut self) -> Result<NodeView, TargetError> {
            self.0.view()
        }
    }
    impl Fork for Hiding {
        fn fork(&self) -> Self {
            self.clone()
        }
        fn digest(&self) -> u128 {
            self.0.digest()
        }
    }
    let (config, bounds) = preset("pair");
    let bounds = Bounds {
        max_in_flight: 2,
        ..bounds
    };
    let code = Code::copied(&Hides, &config, bounds).expect("it starts");
    let found = check(&code, 1);
    assert!(found.hidden.is_some(), "{}", found.checked.report.verdict);
}

/// One preset for each family of features, with a property that it is there for.
#[test]
fn every_family_of_features_is_exhausted() {
    for (name, tested) in [
        ("snapshot-join", "snapshot_is_committed_inv"),
        ("replacement", "committed_by_quorum_step"),
        ("read-restart", "linearizable_reads_inv"),
        ("lease-removal", "linearizable_lease_reads_inv"),
        ("async-single", "applied_is_durable_inv"),
        ("async-join", "leader_is_durable_inv"),
    ] {
        let (config, bounds) = preset(name);
        let mut found = Vec::new();
        for threads in 1..=2 {
            let code = Code::copied(&LockstepRaft, &config, bounds).expect("it starts");
            let report = check(&code, threads);
            assert!(
                report.hidden.is_none() && report.failure.is_none(),
                "{name}"
            );
            assert_eq!(report.checked.report.verdict, Verdict::Exhausted, "{name}");
            found.push(report.checked.report);
        }
        let mut antecedents = found[0].antecedents.iter();
        let put_to_the_test = antecedents.any(|it| it.property == tested && it.held > 0);
        assert!(put_to_the_test, "{name}");
        // The same for any number of threads, and by the plain search, which keeps whole states.
        assert_eq!(found[0].levels, found[1].levels, "{name}");
        assert_eq!(found[0].antecedents, found[1].antecedents, "{name}");
        if found[0].distinct < 60_000 {
            let code = Code::copied(&LockstepRaft, &config, bounds).expect("it starts");
            let plain = Search::new(&code).collapse(false).run();
            let plain = plain.expect("nothing goes to disk").report;
            assert_eq!(plain.levels, found[0].levels, "{name}");
        }
    }
}

/// The specification, as if it were an implementation.
#[test]
fn the_specification_is_code_too() {
    let (config, bounds) = preset("single");
    let code = Code::copied(&Spec, &config, bounds).expect("it starts");
    let found = check(&code, 1);
    assert_eq!(found.checked.report.verdict, Verdict::Exhausted);
    assert!(found.hidden.is_none());
    assert_eq!(found.checked.report.distinct, 175);
}

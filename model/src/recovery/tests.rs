//! Small presets recover; a schedule whose rules are broken does not; the normal form changes nothing.

use super::course::{Course, Happening};
use super::normal::normalise;
use super::orders::Orders;
use super::table::{encode, round_trip};
use super::*;
use crate::Preset;
use crate::bounds::{Bounds, Budget};
use crate::cluster::{Action, Cluster, ClusterState};
use crate::dialect::{Departure, Dialect};
use crate::message::Body;
use crate::server::{Flow, Outbox, Server, Stimulus};
use lockstep_engine::{PropertyKind, Search, Verdict};
use lockstep_traces::Role;
use std::cell::Cell;
use std::sync::Arc;

/// A mistake: what a server makes of a step that it took.
type Mistake = fn(&Server, Stimulus<'_>, &mut Server, &mut Outbox);

thread_local! {
    /// The mistake that is made in the rounds of this thread.
    static MISTAKE: Cell<Option<Mistake>> = const { Cell::new(None) };
}

/// Makes the mistake of this thread, if there is one, in a step of a round.
pub(super) fn break_rule(
    before: &Server,
    stimulus: Stimulus<'_>,
    after: &mut Server,
    outbox: &mut Outbox,
) {
    if let Some(mistake) = MISTAKE.get() {
        mistake(before, stimulus, after, outbox);
    }
}

fn cluster(name: &str) -> Cluster {
    let preset = Preset::named(name).expect("there is such a preset");
    let settings = Settings::new(&preset.config).expect("presets are sensible");
    Cluster::new(settings, preset.bounds)
}

/// Tries every state of a preset on one thread, so that the mistakes of this thread are made. The failure that was found
/// first, with the number of steps to it.
fn first_failure(cluster: &Cluster, recovery: &Recovery) -> Option<(u32, ClusterState, Failure)> {
    let holds = |state: &ClusterState| recovery.comes_back(state);
    let search = Search::new(cluster).only(["election_safety_inv"]);
    let checked = search.each_state(NAME, &holds).run().expect("it runs");
    let Verdict::Violated {
        property,
        kind,
        depth,
    } = checked.report.verdict
    else {
        assert_eq!(checked.report.verdict, Verdict::Exhausted);
        assert_eq!(recovery.tally().tried, checked.report.distinct);
        return None;
    };
    assert_eq!((property.as_str(), kind), (NAME, PropertyKind::State));
    let state = checked.counterexample.expect("there is a path");
    let state = state.last().clone();
    let failure = recovery.failure(&state).expect("it fails again");
    Some((depth, state, failure))
}

/// The rules as they are, and all states that are reached by them, but a mistake in the rounds: the lack at the end, and
/// that the schedule goes round.
fn lack_with(name: &str, mistake: Mistake) -> Lack {
    MISTAKE.set(Some(mistake));
    let cluster = cluster(name);
    let found = first_failure(&cluster, &Recovery::new(cluster.settings()));
    MISTAKE.set(None);
    let (_, _, failure) = found.expect("the mistake is found");
    assert!(failure.repeats_from.is_some(), "{name}: {failure:?}");
    failure.lack
}

#[test]
fn small_presets_recover() {
    for name in [
        "smoke",
        "single",
        "narrow",
        "batch",
        "return",
        "async-single",
    ] {
        let cluster = cluster(name);
        let recovery = Recovery::new(cluster.settings());
        let found = first_failure(&cluster, &recovery);
        assert!(found.is_none(), "{name}: {found:#?}");
        let tally = recovery.tally();
        assert!(tally.starts > 0 && tally.rounds >= tally.starts, "{name}");
        assert!(tally.longest > 0, "{name}");
    }
}

/// Servers 2 and 3 campaign in the same terms for ever if both timers are as fast: server 2 has not heard of the joint
/// configuration, so that its requests do not reach server 3, which needs its vote.
#[test]
fn a_lock_step_of_two_that_are_as_fast_is_broken() {
    let cluster = cluster("handover");
    let recovery = Recovery::new(cluster.settings());
    let found = first_failure(&cluster, &recovery);
    assert!(found.is_none(), "{found:#?}");
    let tally = recovery.tally();
    assert!(0 < tally.lock_step && tally.lock_step < tally.tried / 100);
}

/// The bound is a bound: in fewer rounds than some state needs not every state is back.
#[test]
fn a_bound_that_is_too_small_is_missed() {
    let cluster = cluster("smoke");
    let recovery = Recovery::new(cluster.settings());
    assert!(first_failure(&cluster, &recovery).is_none());
    let longest = recovery.tally().longest as u8;
    let within = |rounds| Recovery::within(cluster.settings(), rounds);
    let exact = within(longest);
    let holds = |state: &ClusterState| exact.comes_back(state);
    let search = Search::new(&cluster).each_state(NAME, &holds);
    assert_eq!(
        search.run().expect("it runs").report.verdict,
        Verdict::Exhausted
    );
    let short = within(longest - 1);
    let holds = |state: &ClusterState| short.comes_back(state);
    let search = Search::new(&cluster).each_state(NAME, &holds);
    let verdict = search.run().expect("it runs").report.verdict;
    assert!(matches!(verdict, Verdict::Violated { .. }), "{verdict}");
}

#[test]
fn counts_do_not_depend_on_threads() {
    let cluster = cluster("return");
    let tallies = [1, 2].map(|threads| {
        let recovery = Recovery::new(cluster.settings());
        let holds = |state: &ClusterState| recovery.comes_back(state);
        let search = Search::new(&cluster).threads(threads);
        search.each_state(NAME, &holds).run().expect("it runs");
        Tally {
            seconds: 0.0,
            ..recovery.tally()
        }
    });
    assert_eq!(tallies[0], tallies[1]);
}

/// Server 1 wins an election of the preset, and what it sends is lost.
fn lost_first_append(name: &str) -> (Cluster, ClusterState) {
    let cluster = cluster(name);
    let mut state = cluster.initial();
    let one = crate::Id::from_slot(0);
    cluster.advance(&mut state, Action::Timeout(one), &mut Outbox::new());
    while state.servers[0].role != Role::Leader {
        cluster.advance(&mut state, Action::Deliver(0), &mut Outbox::new());
    }
    while state.network.len() > 0 {
        cluster.advance(&mut state, Action::Drop(0), &mut Outbox::new());
    }
    (cluster, state)
}

// Mistakes in the rounds, each of which needs fairness to be seen.

#[test]
fn a_probe_that_is_never_resumed_is_found() {
    let lack = lack_with("smoke", |before, stimulus, after, outbox| {
        let answer = |m: &crate::message::Message| matches!(m.body, Body::HeartbeatResponse { .. });
        let Stimulus::Deliver(m) = stimulus else {
            return;
        };
        let paused = before.peer(m.from).is_some_and(|peer| peer.paused);
        if answer(m)
            && paused
            && let Some(peers) = &mut after.peers
        {
            Arc::make_mut(peers)[m.from.slot()].paused = true;
            outbox.messages.clear();
        }
    });
    assert!(matches!(lack, Lack::CaughtUp(_)), "{lack}");
}

#[test]
fn a_peer_that_stays_in_snapshot_is_found() {
    let lack = lack_with("snapshot-join", |before, stimulus, after, outbox| {
        let report = matches!(stimulus, Stimulus::ReportSnapshot(..));
        if report {
            after.clone_from(before);
            outbox.messages.clear();
        }
    });
    assert!(matches!(lack, Lack::CaughtUp(_)), "{lack}");
}

#[test]
fn a_transfer_that_never_ends_is_found() {
    let lack = lack_with("transfer-rival", |before, stimulus, after, _| {
        if let (Stimulus::CheckQuorum, Role::Leader) = (stimulus, after.role) {
            after.transferee = before.transferee;
        }
    });
    assert!(matches!(lack, Lack::EndOfTransfer(_)), "{lack}");
}

#[test]
fn an_explicit_joint_configuration_that_is_never_left_is_found() {
    let lack = lack_with("joint", |before, stimulus, after, outbox| {
        if let Stimulus::ProposeConfChange(_) = stimulus {
            after.clone_from(before);
            outbox.messages.clear();
        }
    });
    assert_eq!(lack, Lack::SimpleConfiguration);
}

#[test]
fn a_deadlock_of_pre_votes_is_found() {
    // Whoever has voted for another in its term refuses a pre-vote for the next: after a split vote nobody is elected.
    let lack = lack_with("pair", |before, stimulus, after, outbox| {
        let Stimulus::Deliver(m) = stimulus else {
            return;
        };
        let asks = matches!(m.body, Body::RequestPreVote { .. });
        if asks && before.vote.is_some_and(|vote| vote != m.from) {
            for answer in &mut outbox.messages {
                answer.term = after.term;
                answer.body = Body::RequestPreVoteResponse { granted: false };
            }
        }
    });
    assert_eq!(lack, Lack::Leader);
}

#[test]
fn servers_that_answer_each_other_for_ever_are_found() {
    MISTAKE.set(Some(|_, stimulus, after, outbox| {
        if let Stimulus::Deliver(m) = stimulus {
            let mut back = m.clone();
            (back.from, back.to) = (after.id, m.from);
            outbox.messages.push(back);
        }
    }));
    let (cluster, state) = lost_first_append("smoke");
    let recovery = Recovery::new(cluster.settings());
    assert!(!recovery.comes_back(&state));
    let failure = recovery.failure(&state).expect("it fails");
    MISTAKE.set(None);
    assert_eq!(failure.lack, Lack::Quiet);
}

/// A departure of etcd's raft: a leader that has given a transfer up leaves a joint configuration when it applies
/// something, and an idle one never. It stays the leader, and idle, only if its request to campaign was lost: in the
/// schedule nothing is, so that is before.
#[test]
fn a_joint_configuration_that_leaves_itself_too_late_is_found() {
    let preset = cluster("forward-change");
    let within = |departures: &[Departure], drops| {
        let dialect = departures
            .iter()
            .fold(Dialect::ETCD, |all, it| all.with(*it));
        let bounds = Bounds {
            drops,
            proposals: Budget::Times(0),
            ..*preset.bounds()
        };
        let cluster = Cluster::new(preset.settings().with_dialect(dialect), bounds);
        first_failure(&cluster, &Recovery::new(cluster.settings()))
    };
    let late = [Departure::AutoLeaveWaits];
    let (never, once) = (Budget::Times(0), Budget::Times(1));
    for (departures, drops) in [(&[][..], never), (&[], once), (&late, never)] {
        let found = within(departures, drops);
        assert!(found.is_none(), "{departures:?} {drops:?}: {found:#?}");
    }
    let (_, _, failure) = within(&late, once).expect("it is found");
    assert_eq!(failure.lack, Lack::SimpleConfiguration);
    assert!(failure.repeats_from.is_some());
}

/// A state that is excluded is counted, and nothing is excluded where a removed leader steps down.
#[test]
fn a_removed_leader_is_excluded() {
    let excluded = |name| {
        let cluster = cluster(name);
        let recovery = Recovery::new(cluster.settings());
        let found = first_failure(&cluster, &recovery);
        assert!(found.is_none(), "{name}: {found:#?}");
        recovery.tally().excluded
    };
    let place = |exclusion: Exclusion| exclusion as usize;
    assert!(excluded("async-removal")[place(Exclusion::RemovedLeader)] > 0);
    assert_eq!(excluded("resignation"), [0, 0]);
    assert!(excluded("async-joint")[place(Exclusion::UnawareVoters)] > 0);
    for (number, exclusion) in Exclusion::ALL.into_iter().enumerate() {
        assert_eq!(exclusion as usize, number);
    }
}

/// The schedule of a failure is one of the specification: its actions lead on.
#[test]
fn a_failure_is_shown_by_actions() {
    MISTAKE.set(None);
    let (cluster, state) = lost_first_append("smoke");
    let recovery = Recovery::within(cluster.settings(), 0);
    assert!(!recovery.comes_back(&state));
    // It comes back, only later than that.
    let late = recovery.failure(&state).expect("it fails");
    assert_eq!((late.repeats_from, late.rounds.len()), (None, 1));
    let in_time = Recovery::new(cluster.settings());
    assert!(in_time.comes_back(&state) && in_time.failure(&state).is_none());
    let mut happened = Vec::new();
    let mut course =
        Course::from(&state, cluster.settings(), Some(&mut happened)).expect("it ends");
    assert!(happened.is_empty());
    let orders = Orders::new(3);
    let timer = course.turns(cluster.settings()).next(orders.order(0));
    let timer = timer.expect("somebody's timer fires");
    let lack = course.fire(cluster.settings(), timer, Some(&mut happened));
    assert!(matches!(
        happened[0],
        Happening::Local(Action::Heartbeat(_))
    ));
    let actions = super::failure::actions(&recovery.unbounded(), &mut state.clone(), happened);
    assert!(actions.len() > 4, "{lack:?} {actions:?}");
    let mut replayed = state;
    for action in actions {
        recovery
            .unbounded()
            .advance(&mut replayed, action, &mut Outbox::new());
    }
    assert_eq!(replayed.servers, course.servers);
}

/// From the normal form of a course the same follows as from the course itself, and it is its own normal form and
/// encoding.
#[test]
fn the_normal_form_changes_nothing() {
    MISTAKE.set(None);
    for name in [
        "smoke",
        "conflict",
        "snapshot-longer",
        "joint",
        "async-joint",
        "transfer-lease",
        "forward-change",
    ] {
        let cluster = cluster(name);
        let settings = *cluster.settings();
        let orders = Orders::new(settings.servers());
        let check = |state: &ClusterState| {
            let Ok(mut course) = Course::from(state, &settings, None) else {
                return false;
            };
            let mut normal = course.clone();
            let mut order = orders.len() - 1;
            for _ in 0..4 {
                normalise(&mut normal, &settings);
                let mut same = course.clone();
                normalise(&mut same, &settings);
                let mut again = normal.clone();
                normalise(&mut again, &settings);
                if encode(&same) != encode(&normal)
                    || again != normal
                    || round_trip(&normal) != normal
                {
                    return false;
                }
                let turns = course.turns(&settings);
                let Some(timer) = turns.next(orders.order(order)) else {
                    return normal.turns(&settings).next(orders.order(order)).is_none();
                };
                let ends = [&mut course, &mut normal].map(|it| it.fire(&settings, timer, None));
                if ends[0] != ends[1] {
                    return false;
                }
                if turns.in_order {
                    order = orders.after(order, timer.server());
                }
            }
            true
        };
        let search = Search::new(&cluster)
            .only(["election_safety_inv"])
            .max_states(40_000);
        let checked = search.each_state("normal", &check).run().expect("it runs");
        let found = checked.counterexample.map(|trace| trace.last().clone());
        assert!(found.is_none(), "{name}: {found:#?}");
    }
}

/// A normal form that takes more away is no normal form: the test above would see it.
#[test]
fn indexes_that_somebody_still_needs_are_kept() {
    let (cluster, state) = lost_first_append("smoke");
    let settings = *cluster.settings();
    let mut course = Course::from(&state, &settings, None).expect("it ends");
    normalise(&mut course, &settings);
    // The followers have nothing: the leader's entry is one that they need.
    assert_eq!(course.servers, state.servers);
    let orders = Orders::new(3);
    for _ in 0..6 {
        let timer = course
            .turns(&settings)
            .next(orders.order(0))
            .expect("a timer");
        let _ = course.fire(&settings, timer, None);
    }
    let last = course.servers[0].log.last_index();
    normalise(&mut course, &settings);
    assert!(
        last > 1 && course.servers[0].log.last_index() == 1,
        "{last}"
    );
    assert!(course.servers.iter().all(|it| it.term == 1));
    let peers = course.servers[0].peers.as_ref().expect("it leads");
    assert!(
        peers[1..]
            .iter()
            .all(|it| it.flow == Flow::Replicate && it.next == 2)
    );
}

/// A pipelining leader may have missed acknowledgements: a refusal takes it back to the last one that it knows.
#[test]
fn indexes_that_a_refusal_leads_back_to_are_kept() {
    let (cluster, state) = lost_first_append("smoke");
    let settings = *cluster.settings();
    let mut course = Course::from(&state, &settings, None).expect("it ends");
    let orders = Orders::new(3);
    for _ in 0..6 {
        let timer = course.turns(&settings).next(orders.order(0));
        let _ = course.fire(&settings, timer.expect("a timer"), None);
    }
    let last = course.servers[0].log.last_index();
    assert!(last > 1, "{last}");
    let peers = course.servers[0].peers.as_mut().expect("it leads");
    let behind = &mut Arc::make_mut(peers)[1];
    assert_eq!(behind.flow, Flow::Replicate);
    behind.matched = last - 1;
    normalise(&mut course, &settings);
    let [leader, follower] = [0, 1].map(|slot| &course.servers[slot]);
    assert_eq!([leader, follower].map(|it| it.log.last_index()), [2, 2]);
    let peers = leader.peers.as_ref().expect("it leads");
    assert_eq!((peers[1].matched, peers[1].next), (1, 3));
}

/// Terms that are only compared are numbered through: how many elections were in vain before the next one makes no
/// difference.
#[test]
fn terms_that_are_only_compared_have_no_gaps() {
    let (cluster, state) = lost_first_append("smoke");
    let settings = *cluster.settings();
    let mut normal = Course::from(&state, &settings, None).expect("it ends");
    let higher = |by: u32| {
        let mut course = normal.clone();
        for server in &mut course.servers {
            server.term += by;
        }
        normalise(&mut course, &settings);
        course
    };
    let (two, seven) = (higher(2), higher(7));
    normalise(&mut normal, &settings);
    assert_eq!(encode(&two), encode(&seven));
    // The leader's entry is of an older term now.
    assert!(encode(&two) != encode(&normal));
}

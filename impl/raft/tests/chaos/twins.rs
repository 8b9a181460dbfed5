//! The checks notice what they are there for: mistakes planted in the application, and observations
//! that contradict each other.

use bytes::Bytes;
use lockstep_raft::{
    ConfState, Config, Core, Entry, HardState, Index, MemoryStorage, NodeId, Role, Term,
};

use crate::failure;
use crate::history::{Checked, History, Observed, known, logs_match};
use crate::server::Mistakes;
use crate::tally::Tally;

/// In some run the mistake breaks this property before any other.
fn must_break(property: &str, mistakes: Mistakes) {
    let broken = (0..1_000).filter_map(|seed| failure(seed, mistakes).err());
    let caught = broken
        .into_iter()
        .any(|problem| problem.starts_with(property));
    assert!(caught, "{mistakes:?} never shows as: {property}");
}

#[test]
fn a_lost_vote_is_noticed() {
    let mistakes = Mistakes {
        loses_votes: true,
        ..Mistakes::default()
    };
    must_break("one vote per term", mistakes);
}

#[test]
fn an_answer_before_the_sync_is_noticed() {
    let mistakes = Mistakes {
        answers_before_sync: true,
        ..Mistakes::default()
    };
    must_break("one vote per term", mistakes);
    must_break("committed is durable on a quorum", mistakes);
}

#[test]
fn a_diverging_application_is_noticed() {
    let mistakes = Mistakes {
        applies_wrongly: true,
        ..Mistakes::default()
    };
    must_break("state machine safety", mistakes);
}

#[test]
fn an_old_membership_in_a_snapshot_is_noticed() {
    let mistakes = Mistakes {
        stale_membership: true,
        ..Mistakes::default()
    };
    must_break("one membership", mistakes);
}

#[test]
fn a_lease_that_clocks_do_not_keep_is_noticed() {
    let mistakes = Mistakes {
        slow_leaders: true,
        ..Mistakes::default()
    };
    must_break("linearizable reads", mistakes);
}

#[test]
fn what_is_not_counted_is_noticed() {
    let mut tally = Tally::default();
    tally.count("seen");
    assert_eq!(tally.lacks(&[("seen", 1)]), [""; 0]);
    let lacking = tally.lacks(&[("seen", 2), ("never", 1)]);
    assert_eq!(lacking.len(), 2, "{lacking:?}");
}

#[test]
fn a_group_that_cannot_recover_is_noticed() {
    // A server that no snapshot names never gets the log.
    let mistakes = Mistakes {
        stale_membership: true,
        ..Mistakes::default()
    };
    must_break("a healed group recovers", mistakes);
}

fn id(number: u64) -> NodeId {
    NodeId::new(number).expect("servers are counted from 1")
}

/// A server that is a group by itself, with this log (a term for each entry) all committed.
fn alone(number: u64, term: u64, log: &[u64]) -> Observed {
    let mut disk = MemoryStorage::with_conf_state(ConfState {
        voters: vec![id(number)],
        ..ConfState::default()
    });
    let entries: Vec<Entry> = (1..)
        .zip(log)
        .map(|(index, &term)| Entry {
            term: Term(term),
            index: Index(index),
            ..Entry::default()
        })
        .collect();
    known(disk.append(entries));
    disk.set_hard_state(HardState {
        term: Term(term),
        vote: None,
        commit: Index(log.len() as u64),
    });
    Core::new(&Config::new(id(number)), disk).expect("a sound disk")
}

/// The same as the leader of the term after `term`.
fn leader(number: u64, term: u64, log: &[u64]) -> Observed {
    let mut core = alone(number, term, log);
    let _ = core.campaign().expect("it can campaign");
    while core.has_ready() {
        let ready = core.ready().expect("the last one was advanced");
        let storage = core.storage_mut();
        known(storage.append(ready.entries));
        if let Some(hard_state) = ready.hard_state {
            storage.set_hard_state(hard_state);
        }
        let _ = core.advance().expect("there is a Ready to advance");
    }
    assert_eq!(core.role(), Role::Leader);
    core
}

/// Returns the violation when these servers are observed one after the other.
fn seen(history: &mut History, servers: &[Observed]) -> Checked {
    servers
        .iter()
        .try_for_each(|server| history.observe(server, server.term(), |_, _| true))
}

fn broken(checked: Checked) -> &'static str {
    checked.expect_err("nobody noticed").property
}

#[test]
fn contradicting_servers_are_noticed() {
    let breaks = |servers: &[Observed]| broken(seen(&mut History::default(), servers));
    assert_eq!(
        seen(
            &mut History::default(),
            &[leader(1, 0, &[]), leader(1, 1, &[1])]
        ),
        Ok(())
    );
    assert_eq!(
        breaks(&[leader(1, 0, &[]), leader(2, 0, &[])]),
        "election safety"
    );
    // Both lead term 3; nothing is committed twice, but the log got shorter.
    let shorter = [leader(1, 2, &[1, 2]), leader(1, 2, &[1])];
    assert_eq!(breaks(&shorter), "commits never decrease");
    assert_eq!(
        breaks(&[alone(1, 2, &[]), alone(1, 1, &[])]),
        "terms never decrease"
    );
    let different = [alone(1, 2, &[1]), alone(2, 2, &[2])];
    assert_eq!(breaks(&different), "committed entries are final");
    let incomplete = [alone(1, 1, &[1, 1]), leader(2, 4, &[1, 3])];
    assert_eq!(breaks(&incomplete), "leader completeness");
}

#[test]
fn a_leader_that_rewrites_its_log_is_noticed() {
    let mut history = History::default();
    let mut long = leader(1, 2, &[1]);
    long.propose(Bytes::from_static(b"kept")).expect("it leads");
    assert_eq!(seen(&mut history, &[long]), Ok(()));
    let shorter = leader(1, 2, &[1]);
    assert_eq!(broken(seen(&mut history, &[shorter])), "leader append-only");
}

#[test]
fn what_is_not_durable_is_noticed() {
    let server = leader(1, 0, &[]);
    let no_term = History::default().observe(&server, Term(0), |_, _| true);
    assert_eq!(broken(no_term), "a leader's term is durable");
    let no_quorum = History::default().observe(&server, Term(1), |_, _| false);
    assert_eq!(broken(no_quorum), "committed is durable on a quorum");
}

#[test]
fn logs_that_do_not_match_are_noticed() {
    assert_eq!(
        logs_match(&alone(1, 3, &[1, 1, 3]), &alone(2, 3, &[1, 1, 2])),
        Ok(())
    );
    let checked = logs_match(&alone(1, 3, &[1, 3]), &alone(2, 3, &[2, 3]));
    assert_eq!(broken(checked), "log matching");
}

#[test]
fn contradicting_reports_are_noticed() {
    let mut history = History::default();
    assert_eq!(history.voted(id(1), Term(2), id(3)), Ok(()));
    assert_eq!(
        broken(history.voted(id(1), Term(2), id(1))),
        "one vote per term"
    );
    assert_eq!(history.applied(id(1), Index(4), 7), Ok(()));
    assert_eq!(
        broken(history.applied(id(2), Index(4), 8)),
        "state machine safety"
    );
    let members = ConfState::default();
    assert_eq!(history.configured(id(1), Index(4), &members), Ok(()));
    let others = ConfState {
        voters: vec![id(1)],
        ..ConfState::default()
    };
    assert_eq!(
        broken(history.configured(id(2), Index(4), &others)),
        "one membership"
    );
    assert_eq!(seen(&mut history, &[alone(5, 1, &[1, 1])]), Ok(()));
    history.read_asked(1);
    assert_eq!(history.read_granted(id(1), 1, Index(2)), Ok(()));
    assert_eq!(
        broken(history.read_granted(id(1), 1, Index(1))),
        "linearizable reads"
    );
}

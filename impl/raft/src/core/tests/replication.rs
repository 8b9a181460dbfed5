//! Raft §5.3, §5.4.2 and flow control.

use super::cluster::{Cluster, entry, id, message, storage};
use crate::error::{DropReason, Error};
use crate::tracker::ProgressState;
use crate::types::*;

fn appends(cluster: &Cluster, to: u64) -> Vec<usize> {
    let entries = |message: &Message| match &message.body {
        Body::AppendEntries { entries, .. } if message.to == id(to) => Some(entries.len()),
        _ => None,
    };
    cluster.network.iter().filter_map(entries).collect()
}

#[test]
fn what_is_proposed_is_applied_everywhere() {
    for count in [1, 3, 5] {
        let mut cluster = Cluster::new(count, |_| ());
        cluster.elect(1);
        for data in ["a", "b", "c"] {
            cluster.propose(1, data).unwrap();
        }
        cluster.settle();
        for applied in &cluster.applied {
            assert_eq!(applied, &["a", "b", "c"]);
        }
    }
}

#[test]
fn nothing_commits_without_a_majority() {
    let mut cluster = Cluster::new(3, |_| ());
    cluster.elect(1);
    cluster.isolate(1);
    cluster.propose(1, "lost").unwrap();
    cluster.settle();
    assert_eq!(cluster.node(1).commit(), Index(1));
    cluster.elect(2);
    cluster.propose(2, "kept").unwrap();
    cluster.settle();
    cluster.heal();
    cluster.heartbeat(2);
    cluster.settle();
    assert_eq!(cluster.applied, vec![vec!["kept"]; 3]);
    assert_eq!(cluster.log(1), [(1, 1), (2, 2), (2, 3)]);
}

/// Figure 7 of the paper: a leader of term 8 makes all of these logs its own.
#[test]
fn a_leader_repairs_every_log_of_figure_7() {
    let leader: &[u64] = &[1, 1, 1, 4, 4, 5, 5, 6, 6, 6];
    let followers: [&[u64]; 6] = [
        &[1, 1, 1, 4, 4, 5, 5, 6, 6],
        &[1, 1, 1, 4],
        &[1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6],
        &[1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7],
        &[1, 1, 1, 4, 4, 4, 4],
        &[1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3],
    ];
    let hard_state = HardState {
        term: Term(7),
        ..HardState::default()
    };
    for follower in followers {
        for max_message_bytes in [0, 1 << 20] {
            let voters = &[1, 2, 3];
            let storages = [leader, follower, leader].map(|log| storage(voters, log, hard_state));
            let mut cluster = Cluster::with_storages(storages.into(), |config| {
                config.max_message_bytes = max_message_bytes;
            });
            cluster.elect(1);
            assert_eq!(cluster.log(2), cluster.log(1), "follower {follower:?}");
            assert_eq!(cluster.node(2).commit(), Index(11));
        }
    }
}

/// Figure 8 of the paper: an entry of an older term is not committed by counting its copies.
#[test]
fn entries_of_older_terms_commit_only_with_one_of_the_own() {
    let hard_state = HardState {
        term: Term(3),
        ..HardState::default()
    };
    let logs: [&[u64]; 5] = [&[1, 2], &[1, 2], &[1], &[1], &[1, 3]];
    let storages = logs.map(|log| storage(&[1, 2, 3, 4, 5], log, hard_state));
    let mut cluster =
        Cluster::with_storages(storages.into(), |config| config.max_message_bytes = 0);
    cluster.isolate(5);
    cluster.isolate(4);
    cluster.timeout(1);
    // Nobody stores an entry of term 4, until that of term 2 is on a majority and the leader
    // knows it.
    let matched = |cluster: &Cluster| {
        let progress = cluster.node(1).tracker().progress.get(id(3));
        progress.map(|progress| progress.matched())
    };
    while matched(&cluster) != Some(Index(2)) {
        for number in 1..=3 {
            cluster.work(number);
        }
        let refuses = cluster.log(3).len() < 2;
        cluster.network.retain(|message| match &message.body {
            Body::AppendEntries { entries, .. } => {
                entries.iter().all(|e| e.term < Term(4)) || (refuses && message.to == id(3))
            }
            _ => true,
        });
        match cluster.network.pop_front() {
            Some(message) => cluster.deliver(message),
            None => cluster.heartbeat(1),
        }
        assert_eq!(cluster.node(1).commit(), Index(0));
    }
    // With an entry of its own term both commit.
    cluster.heartbeat(1);
    cluster.settle();
    assert_eq!(cluster.node(1).commit(), Index(3));
    assert_eq!(cluster.log(3), [(1, 1), (2, 2), (4, 3)]);
}

#[test]
fn hints_of_both_sides_skip_a_term_a_round() {
    // Ten entries of a term that the leader never had, and ten that the follower never had.
    let leader: Vec<u64> = [vec![1; 5], vec![4; 10]].concat();
    let follower: Vec<u64> = [vec![1; 5], vec![2; 5], vec![3; 5]].concat();
    let hard_state = HardState {
        term: Term(4),
        ..HardState::default()
    };
    let logs = [&leader, &follower, &leader].map(|log| storage(&[1, 2, 3], log, hard_state));
    let mut cluster = Cluster::with_storages(logs.into(), |_| ());
    cluster.timeout(1);
    let mut refused = 0;
    loop {
        for number in 1..=3 {
            cluster.work(number);
        }
        let Some(message) = cluster.network.pop_front() else {
            break;
        };
        let is_refusal = matches!(
            &message.body,
            Body::AppendEntriesResponse {
                rejection: Some(_),
                ..
            }
        );
        refused += usize::from(is_refusal);
        cluster.deliver(message);
    }
    assert_eq!(cluster.log(2), cluster.log(1));
    assert_eq!(refused, 1);
}

#[test]
fn proposals_are_dropped_with_the_reason() {
    let dropped = |result: Result<(), Error>| match result.unwrap_err() {
        Error::ProposalDropped(reason) => reason,
        error => panic!("{error}"),
    };
    let mut cluster = Cluster::new(3, |config| config.proposal_forwarding = false);
    assert_eq!(dropped(cluster.propose(1, "x")), DropReason::NoLeader);
    cluster.timeout(1);
    assert_eq!(dropped(cluster.propose(1, "x")), DropReason::NoLeader);
    cluster.settle();
    let leader = id(1);
    assert_eq!(
        dropped(cluster.propose(2, "x")),
        DropReason::ForwardingDisabled { leader }
    );
    assert_eq!(cluster.log(1), [(1, 1)]);
}

#[test]
fn followers_forward_proposals_under_the_name_of_the_first() {
    let mut cluster = Cluster::new(3, |_| ());
    cluster.elect(1);
    cluster.propose(2, "x").unwrap();
    cluster.work(2);
    let forwarded = cluster.network.back().unwrap();
    assert_eq!(
        (forwarded.from, forwarded.to, forwarded.term),
        (id(2), id(1), Term(0))
    );
    cluster.settle();
    assert_eq!(cluster.applied, vec![vec!["x"]; 3]);
}

#[test]
fn the_uncommitted_end_of_the_log_is_limited() {
    let mut cluster = Cluster::new(3, |config| config.max_uncommitted_entries_bytes = 8);
    cluster.elect(1);
    cluster.isolate(1);
    // Anything goes while nothing is uncommitted.
    cluster.propose(1, "much more than eight").unwrap();
    let before = cluster.node(1).clone();
    let error = cluster.propose(1, "x").unwrap_err();
    assert_eq!(error, Error::ProposalDropped(DropReason::UncommittedLimit));
    assert!(*cluster.node(1) == before);
    cluster.propose(1, "").unwrap();
    cluster.settle();
    cluster.heal();
    for _ in 0..2 {
        cluster.heartbeat(1);
        cluster.settle();
    }
    assert_eq!(cluster.node(1).uncommitted_bytes(), 0);
    cluster.propose(1, "x").unwrap();
}

#[test]
fn appends_are_limited_in_size_and_number() {
    let mut cluster = Cluster::new(3, |config| {
        config.max_message_bytes = 0;
        config.max_inflight_messages = 2;
    });
    cluster.elect(1);
    for data in ["a", "b", "c", "d"] {
        cluster.propose(1, data).unwrap();
    }
    cluster.work(1);
    // One entry a message; the window is full after two.
    assert_eq!(appends(&cluster, 2), [1, 1]);
    let progress = cluster.node(1).tracker().progress.get(id(2)).unwrap();
    assert!(progress.is_paused() && progress.inflights.is_full());
    cluster.settle();
    assert_eq!(cluster.applied, vec![vec!["a", "b", "c", "d"]; 3]);
}

#[test]
fn appends_are_limited_in_bytes_on_their_way() {
    for (limit, expected) in [(0, vec![1; 4]), (4, vec![1; 2]), (5, vec![1; 3])] {
        let mut cluster = Cluster::new(3, |config| {
            config.max_message_bytes = 0;
            config.max_inflight_bytes = limit;
        });
        cluster.elect(1);
        for data in ["aa", "bb", "cc", "dd"] {
            cluster.propose(1, data).unwrap();
        }
        cluster.work(1);
        // Two bytes a message, and the one that reaches the limit still goes out.
        assert_eq!(appends(&cluster, 2), expected, "limit {limit}");
        let progress = cluster.node(1).tracker().progress.get(id(2)).unwrap();
        assert_eq!(progress.is_paused(), limit != 0);
        // What arrives makes room for the rest.
        cluster.settle();
        assert_eq!(cluster.applied, vec![vec!["aa", "bb", "cc", "dd"]; 3]);
    }
}

#[test]
fn appends_that_were_lost_are_found_out_by_heartbeats() {
    let mut cluster = Cluster::new(3, |config| config.max_inflight_messages = 1);
    cluster.elect(1);
    cluster.propose(1, "a").unwrap();
    cluster.propose(1, "b").unwrap();
    cluster.work(1);
    cluster.network.clear();
    cluster.settle();
    assert_eq!(cluster.node(1).commit(), Index(1));
    cluster.heartbeat(1);
    cluster.settle();
    assert_eq!(cluster.applied, vec![vec!["a", "b"]; 3]);
}

#[test]
fn an_unreachable_follower_is_probed() {
    let mut cluster = Cluster::new(3, |_| ());
    cluster.elect(1);
    cluster.node_mut(1).report_unreachable(id(2)).unwrap();
    let state = |cluster: &Cluster| {
        cluster
            .node(1)
            .tracker()
            .progress
            .get(id(2))
            .unwrap()
            .state()
    };
    assert_eq!(state(&cluster), ProgressState::Probe);
    // Complete as it is, its next answer ends that.
    cluster.heartbeat(1);
    cluster.settle();
    assert_eq!(state(&cluster), ProgressState::Replicate);
}

#[test]
fn a_heartbeat_commits_no_more_than_is_known_to_agree() {
    let mut cluster = Cluster::new(3, |_| ());
    cluster.elect(1);
    cluster.isolate(3);
    cluster.propose(1, "x").unwrap();
    cluster.settle();
    assert_eq!(cluster.node(1).commit(), Index(2));
    cluster.heal();
    cluster.heartbeat(1);
    cluster.work(1);
    for message in &cluster.network {
        let expected = if message.to == id(3) {
            Index(1)
        } else {
            Index(2)
        };
        assert!(matches!(message.body, Body::Heartbeat { commit, .. } if commit == expected));
    }
}

#[test]
fn an_old_append_changes_nothing_that_is_committed() {
    let mut cluster = Cluster::new(3, |_| ());
    cluster.elect(1);
    cluster.propose(1, "x").unwrap();
    cluster.settle();
    let (prev, commit) = (EntryId::ZERO, Index(1));
    let entries = vec![entry(1, 1)];
    cluster.deliver(message(
        1,
        2,
        1,
        Body::AppendEntries {
            prev,
            entries,
            commit,
        },
    ));
    cluster.work(2);
    let answer = Body::AppendEntriesResponse {
        index: Index(2),
        rejection: None,
    };
    assert_eq!(cluster.network.back().unwrap().body, answer);
    assert_eq!(cluster.log(2), [(1, 1), (1, 2)]);
}

#[test]
fn committed_entries_come_in_portions() {
    let mut cluster = Cluster::new(1, |config| config.max_committed_bytes_per_ready = 1);
    cluster.elect(1);
    for data in ["a", "b", "c"] {
        cluster.propose(1, data).unwrap();
    }
    let portions = cluster.work(1);
    let sizes: Vec<usize> = portions
        .iter()
        .map(|ready| ready.committed_entries.len())
        .collect();
    assert!(sizes.iter().all(|size| *size <= 1), "{sizes:?}");
    assert_eq!(cluster.applied, [["a", "b", "c"]]);
}

#[test]
fn what_was_acknowledged_survives_restarts() {
    let mut cluster = Cluster::new(3, |_| ());
    cluster.elect(1);
    cluster.propose(1, "x").unwrap();
    cluster.settle();
    for number in 1..=3 {
        cluster.restart(number);
    }
    cluster.elect(2);
    cluster.propose(2, "y").unwrap();
    cluster.settle();
    assert_eq!(cluster.applied, vec![vec!["x", "y"]; 3]);
}

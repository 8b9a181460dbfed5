//! Linearizable reads, thesis §6.4.

use bytes::Bytes;

use super::cluster::{Cluster, id, ids, message};
use crate::config::{Config, ReadOnly};
use crate::types::*;

fn check_quorum(cluster: &mut Cluster, number: u64) {
    let server = cluster.node_mut(number);
    server.on_timer(crate::TimerEvent::CheckQuorum).unwrap();
}

fn lease_based(config: &mut Config) {
    config.check_quorum = true;
    config.read_only = ReadOnly::LeaseBased;
}

fn ask(cluster: &mut Cluster, number: u64, context: &'static str) {
    cluster
        .node_mut(number)
        .read_index(Bytes::from(context))
        .unwrap();
}

fn answers(cluster: &mut Cluster, number: u64) -> Vec<(u64, String)> {
    let answer = |read: ReadState| {
        (
            read.index.0,
            String::from_utf8(read.context.into()).unwrap(),
        )
    };
    cluster
        .work(number)
        .into_iter()
        .flat_map(|ready| ready.read_states)
        .map(answer)
        .collect()
}

/// Lets the others answer the heartbeats, and takes what the reads of server 1 came to.
fn settle(cluster: &mut Cluster) -> Vec<(u64, String)> {
    let mut all = answers(cluster, 1);
    loop {
        cluster.work(2);
        cluster.work(3);
        let Some(message) = cluster.network.pop_front() else {
            return all;
        };
        cluster.deliver(message);
        all.extend(answers(cluster, 1));
    }
}

#[test]
fn a_read_waits_for_a_quorum() {
    let mut cluster = Cluster::new(3, |_| ());
    cluster.elect(1);
    ask(&mut cluster, 1, "r");
    assert_eq!(answers(&mut cluster, 1), []);
    assert_eq!(settle(&mut cluster), [(1, "r".to_owned())]);
    cluster.isolate(1);
    ask(&mut cluster, 1, "s");
    assert_eq!(settle(&mut cluster), []);
    // The next heartbeat asks again, and answers all that wait.
    cluster.heal();
    ask(&mut cluster, 1, "t");
    assert_eq!(
        settle(&mut cluster),
        [(1, "s".to_owned()), (1, "t".to_owned())]
    );
}

#[test]
fn a_read_at_a_new_leader_waits_for_an_entry_of_its_term() {
    let mut cluster = Cluster::new(3, |_| ());
    cluster.timeout(1);
    while cluster.node(1).role() != Role::Leader {
        (1..=3).for_each(|number| drop(cluster.work(number)));
        let message = cluster.network.pop_front().unwrap();
        cluster.deliver(message);
    }
    ask(&mut cluster, 1, "r");
    cluster.work(1);
    assert!(
        cluster
            .network
            .iter()
            .all(|m| m.kind() != MessageKind::Heartbeat)
    );
    assert_eq!(settle(&mut cluster), [(1, "r".to_owned())]);
}

#[test]
fn a_follower_asks_its_leader() {
    for change in [|_: &mut Config| (), lease_based] {
        let mut cluster = Cluster::new(3, change);
        cluster.elect(1);
        ask(&mut cluster, 2, "r");
        let mut all = answers(&mut cluster, 2);
        while let Some(message) = cluster.network.pop_front() {
            cluster.deliver(message);
            cluster.work(1);
            cluster.work(3);
            all.extend(answers(&mut cluster, 2));
        }
        assert_eq!(all, [(1, "r".to_owned())]);
    }
}

#[test]
fn a_context_that_is_used_twice_gets_two_answers() {
    let mut cluster = Cluster::new(3, |_| ());
    cluster.elect(1);
    ask(&mut cluster, 1, "r");
    cluster.work(1);
    let first_round = std::mem::take(&mut cluster.network);
    ask(&mut cluster, 1, "r");
    cluster.work(1);
    cluster.network.clear();
    // The answers to the first round, and only to that one, arrive.
    cluster.network = first_round;
    assert_eq!(settle(&mut cluster), [(1, "r".to_owned())]);
    cluster.heartbeat(1);
    assert_eq!(settle(&mut cluster), [(1, "r".to_owned())]);
}

#[test]
fn an_answer_to_an_earlier_read_does_not_count_for_the_same_context() {
    let mut cluster = Cluster::new(3, |_| ());
    cluster.elect(1);
    ask(&mut cluster, 1, "r");
    cluster.work(1);
    let heartbeat = cluster.network.pop_front().unwrap();
    cluster.deliver(heartbeat);
    cluster.work(2);
    let answer = cluster.network.back().unwrap().clone();
    assert_eq!(settle(&mut cluster), [(1, "r".to_owned())]);
    // Another server leads by now and has committed more; the old answer is still on its way.
    cluster.isolate(1);
    cluster.elect(2);
    cluster.propose(2, "x").unwrap();
    cluster.settle();
    ask(&mut cluster, 1, "r");
    cluster.deliver(answer);
    assert_eq!(answers(&mut cluster, 1), []);
}

#[test]
fn a_leader_with_a_lease_answers_at_once() {
    let mut cluster = Cluster::new(3, lease_based);
    cluster.elect(1);
    ask(&mut cluster, 1, "r");
    assert_eq!(answers(&mut cluster, 1), [(1, "r".to_owned())]);
    assert!(cluster.network.is_empty());
}

#[test]
fn a_lease_needs_contact_since_the_last_check() {
    let mut cluster = Cluster::new(3, lease_based);
    cluster.elect(1);
    check_quorum(&mut cluster, 1);
    assert_eq!(cluster.node(1).role(), Role::Leader);
    // The leases of the others may end before the next check.
    ask(&mut cluster, 1, "r");
    assert_eq!(answers(&mut cluster, 1), []);
    assert_eq!(settle(&mut cluster), [(1, "r".to_owned())]);
    // The answers to that round are contact.
    ask(&mut cluster, 1, "s");
    assert_eq!(answers(&mut cluster, 1), [(1, "s".to_owned())]);
    assert!(cluster.network.is_empty());

    // Cut off since just after a check: it leads until the next one, and meanwhile another may.
    check_quorum(&mut cluster, 1);
    cluster.isolate(1);
    cluster.restart(2);
    cluster.restart(3);
    cluster.elect(2);
    cluster.propose(2, "x").unwrap();
    cluster.settle();
    assert_eq!(cluster.node(1).role(), Role::Leader);
    ask(&mut cluster, 1, "t");
    assert_eq!(settle(&mut cluster), []);
}

#[test]
fn a_lease_proves_nothing_once_somebody_was_told_to_campaign() {
    let mut cluster = Cluster::new(3, lease_based);
    cluster.elect(1);
    cluster.node_mut(1).transfer_leader(id(2)).unwrap();
    cluster.work(1);
    let timeout_now = cluster.network.pop_front().unwrap();
    assert_eq!(timeout_now.body, Body::TimeoutNow);
    // The transfer is given up, but the message is still on its way.
    cluster.heartbeat(1);
    cluster.settle();
    check_quorum(&mut cluster, 1);
    assert_eq!(cluster.node(1).lead_transferee(), None);
    cluster.heartbeat(1);
    cluster.settle();
    assert!(cluster.node(1).tracker().quorum_active());
    ask(&mut cluster, 1, "r");
    assert_eq!(answers(&mut cluster, 1), []);
    assert_eq!(settle(&mut cluster), [(1, "r".to_owned())]);
}

#[test]
fn a_leader_alone_answers_at_once_unless_it_is_no_voter() {
    let mut cluster = Cluster::new(1, |_| ());
    cluster.elect(1);
    ask(&mut cluster, 1, "r");
    assert_eq!(answers(&mut cluster, 1), [(1, "r".to_owned())]);

    for change in [|_: &mut Config| (), lease_based] {
        let mut cluster = Cluster::new(2, change);
        cluster.elect(1);
        let changes = vec![ConfChangeSingle::new(ConfChangeKind::RemoveNode, id(1))];
        let remove = ConfChangeV2 {
            changes,
            ..ConfChangeV2::default()
        };
        cluster.node_mut(1).propose_conf_change_v2(&remove).unwrap();
        cluster.settle();
        assert_eq!(
            cluster.node(1).tracker().config.conf_state().voters,
            ids(&[2])
        );
        cluster.isolate(1);
        ask(&mut cluster, 1, "r");
        assert_eq!(answers(&mut cluster, 1), []);
        // The only voter can confirm it.
        cluster.heal();
        cluster.heartbeat(1);
        cluster.work(1);
        let heartbeat = cluster.network.pop_front().unwrap();
        cluster.deliver(heartbeat);
        cluster.work(2);
        let answer = cluster.network.pop_back().unwrap();
        cluster.deliver(answer);
        assert_eq!(answers(&mut cluster, 1), [(2, "r".to_owned())]);
    }
}

#[test]
fn reads_are_forgotten_with_the_leadership() {
    let mut cluster = Cluster::new(3, |_| ());
    cluster.elect(1);
    ask(&mut cluster, 1, "r");
    cluster.work(1);
    let last = EntryId::new(Term(1), Index(1));
    cluster.deliver(message(2, 1, 2, Body::RequestVote { last, force: false }));
    cluster.elect(1);
    assert_eq!(settle(&mut cluster), []);
}

#[test]
fn without_a_leader_a_read_is_dropped() {
    let mut cluster = Cluster::new(3, |_| ());
    ask(&mut cluster, 1, "r");
    cluster.timeout(2);
    ask(&mut cluster, 2, "r");
    cluster.work(1);
    assert!(cluster.network.is_empty());
}

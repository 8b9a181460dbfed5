//! Linearizable reads, thesis §6.4.

use bytes::Bytes;

use super::cluster::{Cluster, id, ids, message};
use crate::config::{Config, ReadOnly};
use crate::core::reads::MAX_FORWARDED_READS;
use crate::error::Refusal;
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
            read.index.expect("it was not given up").0,
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
fn an_earlier_answer_does_not_confirm_a_repeated_context() {
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
    cluster.node_mut(1).transfer_leadership(id(2)).unwrap();
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
        cluster.node_mut(1).propose_conf_change(&remove).unwrap();
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

/// The reads that a server has given up, by what it has ready.
fn given_up(cluster: &mut Cluster, number: u64) -> Vec<String> {
    let reads = cluster.work(number).into_iter();
    let reads = reads.flat_map(|ready| ready.read_states);
    let contexts = reads.map(|read| {
        assert_eq!(read.index, None);
        String::from_utf8(read.context.into()).unwrap()
    });
    contexts.collect()
}

fn request_vote() -> Body {
    let last = EntryId::new(Term(1), Index(1));
    Body::RequestVote { last, force: false }
}

#[test]
fn reads_that_wait_are_given_up_with_the_leadership() {
    let mut cluster = Cluster::new(3, |_| ());
    cluster.elect(1);
    ask(&mut cluster, 1, "r");
    ask(&mut cluster, 1, "s");
    ask(&mut cluster, 2, "of another server");
    cluster.work(2);
    while let Some(message) = cluster.network.pop_front() {
        if message.kind() == MessageKind::ReadIndex {
            cluster.deliver(message);
        }
    }
    cluster.work(1);
    cluster.deliver(message(2, 1, 2, request_vote()));
    assert_eq!(given_up(&mut cluster, 1), ["r", "s"]);
    // The other one sees for itself that its leader has changed.
    cluster.network.clear();
    cluster.deliver(message(3, 2, 2, request_vote()));
    assert_eq!(given_up(&mut cluster, 2), ["of another server"]);
    cluster.elect(1);
    assert_eq!(settle(&mut cluster), []);
}

#[test]
fn reads_that_wait_for_the_first_commit_are_given_up_too() {
    let mut cluster = Cluster::new(3, |_| ());
    cluster.timeout(1);
    cluster.work(1);
    cluster.deliver(message(
        2,
        1,
        1,
        Body::RequestVoteResponse { granted: true },
    ));
    cluster.work(1);
    ask(&mut cluster, 1, "r");
    assert_eq!(answers(&mut cluster, 1), []);
    cluster.deliver(message(2, 1, 2, request_vote()));
    assert_eq!(given_up(&mut cluster, 1), ["r"]);
}

#[test]
fn a_follower_gives_up_its_reads_when_it_loses_its_leader() {
    type Loss = fn(&mut Cluster);
    let losses: [(&str, Loss); 4] = [
        ("a new term", |cluster| {
            cluster.deliver(message(3, 2, 2, request_vote()));
        }),
        ("its own campaign", |cluster| cluster.timeout(2)),
        ("forgotten", |cluster| {
            cluster.node_mut(2).forget_leader().unwrap();
        }),
        ("another leader of that term", |cluster| {
            let (commit, context) = (Index(0), Bytes::new());
            cluster.deliver(message(3, 2, 1, Body::Heartbeat { commit, context }));
        }),
    ];
    for pre_vote in [false, true] {
        for (what, lose) in losses {
            let mut cluster = Cluster::new(3, |config| config.pre_vote = pre_vote);
            cluster.elect(1);
            ask(&mut cluster, 2, "r");
            assert_eq!(given_up(&mut cluster, 2), [""; 0]);
            // What its leader says meanwhile changes nothing.
            cluster.heartbeat(1);
            cluster.work(1);
            let heartbeat = cluster.network.pop_back().unwrap();
            cluster.deliver(Message {
                to: id(2),
                ..heartbeat
            });
            assert_eq!(given_up(&mut cluster, 2), [""; 0], "{what}");
            lose(&mut cluster);
            assert_eq!(given_up(&mut cluster, 2), ["r"], "{what}");
        }
    }
}

/// Server 2 passes a read on, becomes leader, and gets it back from the old leader, which follows it now.
#[test]
fn a_read_that_comes_back_was_given_up() {
    let mut cluster = Cluster::new(3, |_| ());
    cluster.elect(1);
    ask(&mut cluster, 2, "r");
    cluster.work(2);
    let context = Bytes::from("r");
    let came_back = message(2, 2, 0, Body::ReadIndex { context });
    cluster.elect(2);
    cluster.network.clear();
    cluster.deliver(came_back);
    let ready = cluster.work(2);
    assert_eq!(ready, [], "no round begins, and nobody is answered");
}

#[test]
fn a_read_gets_one_answer() {
    let mut cluster = Cluster::new(3, |_| ());
    cluster.elect(1);
    ask(&mut cluster, 2, "r");
    let answer = |context: &'static str| {
        let (index, context) = (Index(1), Bytes::from(context));
        message(1, 2, 1, Body::ReadIndexResponse { index, context })
    };
    cluster.deliver(answer("nobody asked"));
    cluster.deliver(answer("r"));
    cluster.deliver(answer("r"));
    assert_eq!(answers(&mut cluster, 2), [(1, "r".to_owned())]);
    cluster.node_mut(2).forget_leader().unwrap();
    assert_eq!(given_up(&mut cluster, 2), [""; 0]);
}

#[test]
fn a_follower_keeps_account_of_so_many_reads() {
    let mut cluster = Cluster::new(3, |_| ());
    cluster.elect(1);
    ask(&mut cluster, 2, "first");
    for _ in 1..MAX_FORWARDED_READS {
        ask(&mut cluster, 2, "r");
    }
    assert_eq!(cluster.node(2).read_states, []);
    ask(&mut cluster, 2, "one more");
    assert_eq!(given_up(&mut cluster, 2), ["first"]);
}

#[test]
fn without_a_leader_a_read_is_refused() {
    let mut cluster = Cluster::new(3, |_| ());
    for _ in ["follower", "candidate"] {
        let refused = cluster.node_mut(1).read_index(Bytes::from("r"));
        assert_eq!(refused, Err(Refusal::NoLeader.into()));
        cluster.timeout(1);
    }
    // Nor is one taken that another server passes on, but nobody here waits for it.
    let context = Bytes::from("r");
    let before = cluster.node(2).clone();
    cluster.deliver(message(3, 2, 0, Body::ReadIndex { context }));
    assert!(*cluster.node(2) == before);
}

/// Server 2 has not answered when it is removed, and never will: server 1 is the quorum now.
#[test]
fn a_read_does_not_wait_for_a_server_that_was_removed() {
    let mut cluster = Cluster::new(2, |_| ());
    cluster.elect(1);
    let remove = ConfChangeV2 {
        changes: vec![ConfChangeSingle::new(ConfChangeKind::RemoveNode, id(2))],
        ..ConfChangeV2::default()
    };
    cluster.node_mut(1).propose_conf_change(&remove).unwrap();
    cluster.work(1);
    ask(&mut cluster, 1, "r");
    ask(&mut cluster, 1, "s");
    assert_eq!(answers(&mut cluster, 1), []);
    let index = cluster.node(1).log().last_index().unwrap();
    let rejection = None;
    let body = Body::AppendEntriesResponse { index, rejection };
    cluster.deliver(message(2, 1, 1, body));
    let answered = answers(&mut cluster, 1);
    assert_eq!(answered, [(1, "r".to_owned()), (1, "s".to_owned())]);
}

//! Storage threads: nothing leaves, and nothing is counted, before it is durable.

use super::cluster::{id, ids, message};
use super::untimed::Core;
use crate::config::Config;
use crate::error::{CallError, Error};
use crate::storage::{MemoryStorage, Storage as _};
use crate::types::*;

pub(super) fn node(voters: &[u64]) -> Core<MemoryStorage> {
    let mut config = Config::new(id(1));
    config.async_storage_writes = true;
    let conf_state = ConfState {
        voters: ids(voters),
        ..ConfState::default()
    };
    Core::new(&config, MemoryStorage::with_conf_state(conf_state)).unwrap()
}

/// Takes all messages that are ready, those to the storage threads apart.
pub(super) fn ready(node: &mut Core<MemoryStorage>) -> (Vec<Message>, Vec<Message>) {
    let mut messages = Vec::new();
    while node.has_ready() {
        messages.extend(node.ready().unwrap().messages);
    }
    messages
        .into_iter()
        .partition(|message| !message.to.is_storage_thread())
}

/// Does the work of a storage thread, and returns its responses.
pub(super) fn perform(node: &mut Core<MemoryStorage>, work: Message) -> Vec<Message> {
    match work.body {
        Body::StorageAppend(append) => {
            let StorageAppend {
                hard_state,
                entries,
                snapshot,
                responses,
            } = *append;
            let storage = node.storage_mut();
            if let Some(snapshot) = snapshot {
                storage.apply_snapshot(snapshot).unwrap();
            }
            storage.write(entries, hard_state).unwrap();
            responses
        }
        Body::StorageApply { responses, .. } => responses,
        body => panic!("{body:?}"),
    }
}

fn deliver_own(node: &mut Core<MemoryStorage>, responses: Vec<Message>) -> Vec<Message> {
    let (own, others): (Vec<_>, Vec<_>) = responses.into_iter().partition(|m| m.to == id(1));
    for message in own {
        node.step(message).unwrap();
    }
    others
}

pub(super) fn append(term: u64, prev: (u64, u64), terms: &[u64], commit: u64) -> Body {
    let indexes = prev.1 + 1..;
    let entry = |(term, index): (&u64, u64)| super::cluster::entry(*term, index);
    Body::AppendEntries {
        prev: EntryId::new(Term(prev.0), Index(prev.1)),
        entries: terms.iter().zip(indexes).map(entry).collect(),
        commit: Index(commit.min(term)),
    }
}

#[test]
fn a_vote_leaves_only_when_it_is_durable() {
    let mut node = node(&[1, 2, 3]);
    let request = Body::RequestVote {
        last: EntryId::ZERO,
        force: false,
    };
    node.step(message(2, 1, 1, request)).unwrap();
    let (sent, mut work) = ready(&mut node);
    assert_eq!(sent, []);
    let responses = perform(&mut node, work.remove(0));
    assert_eq!(node.storage().hard_state().vote, Some(id(2)));
    let answer = message(1, 2, 1, Body::RequestVoteResponse { granted: true });
    assert_eq!(responses, [answer]);
}

#[test]
fn a_leader_counts_itself_when_its_own_write_is_durable() {
    let mut node = node(&[1]);
    node.campaign().unwrap();
    assert_eq!(
        node.role(),
        Role::Candidate,
        "the own vote is not durable yet"
    );
    let (_, mut work) = ready(&mut node);
    let responses = perform(&mut node, work.remove(0));
    deliver_own(&mut node, responses);
    assert_eq!((node.role(), node.commit()), (Role::Leader, Index(0)));
    let (_, mut work) = ready(&mut node);
    let responses = perform(&mut node, work.remove(0));
    deliver_own(&mut node, responses);
    assert_eq!((node.commit(), node.applied()), (Index(1), Index(0)));
    let (_, work) = ready(&mut node);
    for work in work {
        let responses = perform(&mut node, work);
        deliver_own(&mut node, responses);
    }
    assert_eq!(node.applied(), Index(1));
    assert!(!node.has_ready());
}

#[test]
fn nobody_leads_before_its_own_vote_is_durable() {
    // Else it could crash, forget the term, win it again by the same votes, and give the same
    // positions to other entries.
    let mut node = node(&[1, 2, 3]);
    node.campaign().unwrap();
    let (_, work) = ready(&mut node);
    for voter in [2, 3] {
        let vote = Body::RequestVoteResponse { granted: true };
        node.step(message(voter, 1, 1, vote)).unwrap();
    }
    assert_eq!(node.role(), Role::Candidate);
    for work in work {
        let responses = perform(&mut node, work);
        deliver_own(&mut node, responses);
    }
    assert_eq!(node.role(), Role::Leader);
}

/// Entries A are on their way to storage, B replaces them, A comes again: the acknowledgement of
/// the first write of A must not be taken for that of the second, since B is still to be written
/// in between.
#[test]
fn an_old_acknowledgement_does_not_cover_rewritten_entries() {
    let mut node = node(&[1, 2, 3]);
    node.step(message(2, 1, 1, append(1, (0, 0), &[1], 0)))
        .unwrap();
    let (_, first) = ready(&mut node);
    node.step(message(3, 1, 2, append(2, (0, 0), &[2], 0)))
        .unwrap();
    let (_, second) = ready(&mut node);
    node.step(message(2, 1, 3, append(3, (0, 0), &[1], 0)))
        .unwrap();
    let (_, third) = ready(&mut node);

    let unstable = |node: &Core<MemoryStorage>| node.log().unstable().entries().len();
    for (work, expected, stored) in [(first, 1, 1), (second, 1, 2), (third, 0, 1)] {
        for work in work {
            let responses = perform(&mut node, work);
            deliver_own(&mut node, responses);
        }
        assert_eq!(node.storage().term(Index(1)), Ok(Term(stored)));
        assert_eq!(unstable(&node), expected);
        // Whatever storage holds in between, the log is that of the last leader.
        assert_eq!(node.log().last_id(), Ok(EntryId::new(Term(1), Index(1))));
    }
}

#[test]
fn an_ignored_acknowledgement_is_made_up_for_by_the_next_write() {
    let mut node = node(&[1, 2, 3]);
    node.step(message(2, 1, 1, append(1, (0, 0), &[1], 0)))
        .unwrap();
    let (_, first) = ready(&mut node);
    // A new term and nothing else: its write still vouches for the entry.
    let request = Body::RequestVote {
        last: EntryId::new(Term(1), Index(1)),
        force: false,
    };
    node.step(message(3, 1, 2, request)).unwrap();
    let (_, second) = ready(&mut node);
    for (work, unstable) in [(first, 1), (second, 0)] {
        for work in work {
            let responses = perform(&mut node, work);
            deliver_own(&mut node, responses);
        }
        assert_eq!(node.log().unstable().entries().len(), unstable);
    }
}

#[test]
fn only_stable_entries_are_applied() {
    let mut node = node(&[1, 2, 3]);
    node.step(message(2, 1, 1, append(1, (0, 0), &[1], 1)))
        .unwrap();
    assert_eq!(node.commit(), Index(1));
    let (_, work) = ready(&mut node);
    assert!(
        work.iter()
            .all(|message| message.to == NodeId::APPEND_THREAD)
    );
    for work in work {
        let responses = perform(&mut node, work);
        deliver_own(&mut node, responses);
    }
    let (_, work) = ready(&mut node);
    assert!(
        work.iter()
            .all(|message| message.to == NodeId::APPLY_THREAD)
    );
    assert_eq!(work.len(), 1);
}

#[test]
fn advance_has_no_place_here() {
    assert_eq!(
        node(&[1]).advance(),
        Err(Error::Call(CallError::AdvanceAsync))
    );
}

//! Details of progress that only a leader in a corner meets.

use super::{Inflights, Progress, ProgressMap, ProgressState, ProgressTracker};
use crate::types::{Index, NodeId};

fn id(id: u64) -> NodeId {
    NodeId::new(id).unwrap()
}

fn progress() -> Progress {
    Progress::new(Index(5), Inflights::new(2, 0))
}

#[test]
fn of_a_new_follower_nothing_is_known() {
    let progress = progress();
    assert_eq!((progress.matched(), progress.next()), (Index(0), Index(5)));
    assert_eq!(progress.sent_commit(), Index(0));
    assert_eq!(progress.state(), ProgressState::Probe);
    assert_eq!(progress.pending_snapshot(), Index(0));
    assert!(!progress.recent_active && !progress.is_learner && !progress.flow_paused);
    assert!(progress.inflights.is_empty());
}

#[test]
fn a_new_term_forgets_all_but_who_learns() {
    let mut progress = progress();
    progress.is_learner = true;
    progress.recent_active = true;
    progress.maybe_update(Index(6));
    progress.become_replicate();
    progress.sent_entries(1, 10);
    progress.sent_entries(1, 10);
    assert!(progress.is_paused());
    progress.reset(Index(9));
    let mut expected = Progress::new(Index(9), Inflights::new(2, 0));
    expected.is_learner = true;
    assert_eq!(progress, expected);
}

#[test]
fn a_snapshot_is_followed_by_what_comes_behind_it() {
    let mut progress = progress();
    progress.maybe_update(Index(2));
    progress.become_snapshot(Index(7));
    assert_eq!(
        (progress.pending_snapshot(), progress.next()),
        (Index(7), Index(8))
    );
    assert_eq!(progress.sent_commit(), Index(7));
    let mut delivered = progress.clone();
    delivered.become_probe();
    assert_eq!(delivered.next(), Index(8));
    assert_eq!(delivered.sent_commit(), Index(7));
    // It failed: what was told with it has not arrived.
    progress.snapshot_reported(false);
    assert_eq!(progress.pending_snapshot(), Index(0));
    assert_eq!(
        (progress.next(), progress.sent_commit()),
        (Index(3), Index(2))
    );
}

#[test]
fn an_empty_probe_is_no_probe() {
    let mut progress = progress();
    progress.sent_entries(0, 0);
    assert!(!progress.is_paused());
    progress.sent_entries(1, 10);
    assert!(progress.is_paused());
    progress.sent_entries(0, 0);
    assert!(progress.is_paused());
}

#[test]
fn a_commit_index_is_worth_a_message_if_the_follower_can_use_it() {
    let mut progress = progress();
    // Sent up to 4: up to there it can commit.
    for (sent, commit, can) in [
        (0, 0, false),
        (0, 1, true),
        (3, 3, false),
        (3, 4, true),
        (3, 9, true),
        (4, 5, false),
        (5, 9, false),
        (4, 4, false),
    ] {
        progress.set_sent_commit(Index(sent));
        assert_eq!(
            progress.can_bump_commit(Index(commit)),
            can,
            "{sent} {commit}"
        );
    }
}

#[test]
fn a_group_of_nobody_has_committed_nothing() {
    let tracker = ProgressTracker::new(2, 0);
    assert_eq!(tracker.committed(), Index(0));
    assert!(!tracker.is_singleton());
}

#[test]
fn a_single_voter_decides_alone_unless_another_half_must_agree() {
    let mut tracker = ProgressTracker::new(2, 0);
    let voters = |tracker: &mut ProgressTracker, node| {
        tracker.config.voters.incoming.ids_mut().insert(id(node));
    };
    voters(&mut tracker, 1);
    assert!(tracker.is_singleton());
    tracker.config.voters.outgoing.ids_mut().insert(id(1));
    assert!(!tracker.is_singleton());
    tracker.config.voters.outgoing.ids_mut().clear();
    assert!(tracker.is_singleton());
    voters(&mut tracker, 2);
    assert!(!tracker.is_singleton());
    assert_eq!(tracker.config.voters.incoming.len(), 2);
}

#[test]
fn a_refusal_in_replicate_goes_back_to_what_matches() {
    let mut progress = progress();
    progress.maybe_update(Index(3));
    progress.become_replicate();
    progress.maybe_update(Index(6));
    progress.set_sent_commit(Index(8));
    let before = progress.clone();
    assert!(!progress.maybe_decrease_to(Index(6), Index(2)), "outdated");
    assert_eq!(progress, before);
    progress.become_replicate();
    let mut ahead = progress.clone();
    ahead.sent_entries(2, 0);
    assert_eq!(ahead.next(), Index(9));
    assert!(ahead.maybe_decrease_to(Index(7), Index(2)));
    assert_eq!(ahead.next(), Index(7));
    assert!(ahead.sent_commit() <= ahead.next().prev());
}

#[test]
fn a_refusal_of_a_probe_counts_once() {
    let mut progress = progress();
    progress.set_sent_commit(Index(4));
    let before = progress.clone();
    assert!(!progress.maybe_decrease_to(Index(3), Index(1)), "outdated");
    assert_eq!(progress, before);
    assert!(progress.maybe_decrease_to(Index(4), Index(1)));
    assert_eq!(progress.next(), Index(2));
    assert_eq!(progress.sent_commit(), Index(1));
}

#[test]
fn members_are_kept_in_order() {
    let mut members = super::ProgressMap::default();
    assert!(members.is_empty());
    assert!(members.insert(id(2), progress()).is_none());
    assert!(members.insert(id(1), progress()).is_none());
    assert!(!members.is_empty());
    assert_eq!(members.len(), 2);
    let mut changed = progress();
    changed.recent_active = true;
    let earlier = members.insert(id(2), changed);
    assert_eq!(earlier.map(|it| it.recent_active), Some(false));
    assert_eq!(members.len(), 2);
    let second = members.at_mut(1).map(|(id, progress)| {
        progress.recent_active = false;
        id
    });
    assert_eq!(second, Some(id(2)));
    assert!(!members.get(id(2)).unwrap().recent_active);
    assert!(members.at_mut(2).is_none());
}

/// Few members are searched one by one, more of them by halves: both find the same.
#[test]
fn few_members_and_many_are_found_alike() {
    let of = |node: u64| Progress::new(Index(node), Inflights::new(2, 0));
    let mut map = ProgressMap::default();
    // In no order, and past the seven that are few.
    let nodes = [8, 2, 12, 4, 10, 6, 18, 14, 16, 20];
    for (count, node) in nodes.into_iter().enumerate() {
        assert_eq!(map.insert(id(node), of(node)), None);
        let mut sorted = nodes[..=count].to_vec();
        sorted.sort_unstable();
        assert!(map.ids().eq(sorted.iter().map(|it| id(*it))), "{map}");
        for node in 1..22 {
            let expected = sorted.contains(&node).then(|| of(node));
            assert_eq!(map.get(id(node)), expected.as_ref(), "{node} in {map}");
        }
    }
    for (gone, node) in nodes.into_iter().enumerate() {
        assert_eq!(map.remove(id(node - 1)), None);
        assert_eq!(map.remove(id(node)), Some(of(node)));
        assert_eq!(map.len(), nodes.len() - 1 - gone);
        assert!(!map.contains(id(node)));
    }
}

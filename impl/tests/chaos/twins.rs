//! The checks notice what they are there for: mistakes planted in the application, and observations
//! that contradict each other.

use crate::failure;
use crate::server::Mistakes;

/// In some run the mistake breaks this property before any other.
fn must_break(property: &str, mistakes: Mistakes) {
    let broken = (0..300).filter_map(|seed| failure(seed, mistakes).err());
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

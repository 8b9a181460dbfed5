//! The stories that everybody who implements Raft should know.

use super::story::Story;
use super::{CorpusError, trace};
use lockstep_model::Action;
use lockstep_traces::{Config, Role, Trace};

const ALL: [u64; 5] = [1, 2, 3, 4, 5];

/// Every story as a trace.
pub(super) fn traces() -> Result<Vec<Trace>, CorpusError> {
    let told: [(Tell, &str, &str); 11] = [
        (
            figure_8_overwritten,
            "story-figure-8-overwritten",
            "Figure 8 of the paper, (a) to (d): an entry of an old term is on a majority, must not be \
             committed by counting, and is overwritten by a later leader.",
        ),
        (
            figure_8_committed,
            "story-figure-8-committed",
            "Figure 8 of the paper, (e): the entry of the old term is committed with one of the \
             leader's own term, and then the server that could have overwritten it cannot be elected.",
        ),
        (
            rejoin_without_disruption,
            "story-partitioned-follower-rejoins",
            "PreVote with CheckQuorum: a follower that was cut off asks for pre-votes again and again, \
             raises no term, is ignored by those who hear the leader, and follows again after the \
             partition without disturbing anybody (thesis, section 9.6).",
        ),
        (
            leader_cut_off,
            "story-partitioned-leader-steps-down",
            "PreVote with CheckQuorum: a leader that is cut off steps down, the others elect another \
             once their leases have expired, and the old leader takes over the new one's log.",
        ),
        (
            disruption_without_pre_vote,
            "story-partitioned-follower-disrupts",
            "CheckQuorum without PreVote: a follower that was cut off comes back with a higher term; \
             its vote requests are ignored because of the leases, and the answer to the next heartbeat \
             deposes the leader, which is what PreVote is for.",
        ),
        (
            commit_of_what_was_checked,
            "story-commit-of-what-was-checked",
            "A leader falls back to an entry that its follower has long had, and tells a commit index \
             beyond it: the follower commits what this append proved, not what its log happens to hold.",
        ),
        (
            repeated_vote_renews_lease,
            "story-repeated-vote-renews-lease",
            "CheckQuorum: the leader's vote request comes once more, at a voter whose lease has expired. \
             Granting it again counts as hearing from the leader, so that the request of another \
             candidate is ignored.",
        ),
        (
            repeated_vote_without_lease,
            "story-repeated-vote-without-lease",
            "No CheckQuorum: the leader's vote request comes once more. Granting it again begins no \
             lease, and another candidate gets the vote of the next term.",
        ),
        (
            repeated_acknowledgement,
            "story-repeated-acknowledgement",
            "An acknowledgement comes once more, after a heartbeat has told the follower less than is \
             committed. It says nothing new, and the leader sends nothing for it.",
        ),
        (
            long_conflict_at_follower,
            "story-long-conflict-at-follower",
            "A follower with five entries of a newer term refuses an append behind five older ones: its \
             hint passes over all of them, and one append more repairs its log.",
        ),
        (
            long_conflict_at_leader,
            "story-long-conflict-at-leader",
            "A follower with five entries of an older term refuses an append behind five newer ones: the \
             leader passes over all of its own, and one append more repairs the log.",
        ),
    ];
    told.into_iter()
        .map(|(tell, name, purpose)| {
            let story = tell(name)?;
            Ok(trace(&story.cluster, name, purpose, None, &story.actions))
        })
        .collect()
}

type Tell = fn(&'static str) -> Result<Story, CorpusError>;

fn plain(servers: u64) -> Config {
    Config {
        servers,
        one_entry_per_append: true,
        ..Config::PAPER
    }
}

fn guarded(pre_vote: bool) -> Config {
    Config {
        pre_vote,
        check_quorum: true,
        ..Config::PAPER
    }
}

/// (a) to (c): server 1 led term 2, server 5 led term 3, server 1 leads term 4 and has brought its entry
/// of term 2 to a majority.
fn figure_8(name: &'static str) -> Result<Story, CorpusError> {
    let mut story = Story::new(name, &plain(5))?;
    story.at(Action::Timeout, 1)?;
    story.talk(&ALL)?;
    story.expect_log(5, &[1], 1)?;
    // (a) Server 1 leads term 2; its entry reaches server 2 only.
    story.at(Action::Restart, 1)?;
    story.at(Action::Timeout, 1)?;
    story.elect(1, &[5, 4, 3, 2])?;
    story.deliver(1, 2)?;
    story.lose_all();
    story.expect_log(1, &[1, 2], 1)?;
    story.expect_log(2, &[1, 2], 1)?;
    // (b) It crashes; server 5 leads term 3, elected by 3 and 4; its entry reaches nobody.
    story.at(Action::Restart, 1)?;
    story.at(Action::Timeout, 5)?;
    story.elect(5, &[3, 4])?;
    story.expect_role(5, Role::Leader, 3)?;
    story.lose_all();
    story.expect_log(5, &[1, 3], 1)?;
    // (c) It crashes; server 1 is elected by 2 and 3, at the second attempt, in term 4. Its entry of term
    // 2 gets to server 3, so it is on a majority.
    story.at(Action::Restart, 5)?;
    story.at(Action::Timeout, 1)?;
    story.lose_all();
    story.at(Action::Timeout, 1)?;
    story.elect(1, &[2, 3])?;
    story.expect_role(1, Role::Leader, 4)?;
    story.talk(&[1, 2])?;
    for _ in 0..2 {
        story.deliver(1, 3)?;
        story.deliver(3, 1)?;
    }
    story.expect_log(3, &[1, 2], 1)?;
    story.expect_log(1, &[1, 2, 4], 1)?;
    Ok(story)
}

fn figure_8_overwritten(name: &'static str) -> Result<Story, CorpusError> {
    let mut story = figure_8(name)?;
    // (d) Server 1 crashes; 3 and 4 elect server 5, whose log ends in term 3.
    story.at(Action::Restart, 1)?;
    story.lose_all();
    story.at(Action::Timeout, 5)?;
    story.lose_all();
    story.at(Action::Timeout, 5)?;
    story.elect(5, &[3, 4])?;
    story.expect_role(5, Role::Leader, 5)?;
    story.talk(&ALL)?;
    for server in ALL {
        story.expect_log(server, &[1, 3, 5], 3)?;
    }
    Ok(story)
}

fn figure_8_committed(name: &'static str) -> Result<Story, CorpusError> {
    let mut story = figure_8(name)?;
    // (e) Server 1 brings an entry of its own term to a majority before it crashes.
    story.talk(&[1, 2, 3])?;
    story.expect_log(1, &[1, 2, 4], 3)?;
    story.at(Action::Restart, 1)?;
    story.lose_all();
    story.at(Action::Timeout, 5)?;
    story.lose_all();
    story.at(Action::Timeout, 5)?;
    story.talk(&ALL)?;
    story.expect_role(5, Role::Follower, 5)?;
    story.expect_log(1, &[1, 2, 4], 3)?;
    Ok(story)
}

fn rejoin_without_disruption(name: &'static str) -> Result<Story, CorpusError> {
    let mut story = Story::new(name, &guarded(true))?;
    story.at(Action::Timeout, 1)?;
    story.talk(&[1, 2, 3])?;
    // Server 3 is cut off, and the others go on.
    story.at(Action::LeaseExpire, 3)?;
    for _ in 0..2 {
        story.at(Action::Timeout, 3)?;
        story.lose_all();
    }
    story.expect_role(3, Role::PreCandidate, 1)?;
    story.at(Action::Propose, 1)?;
    story.talk(&[1, 2])?;
    story.lose_all();
    // It is back, and asks once more: nobody answers.
    story.at(Action::Timeout, 3)?;
    story.deliver(3, 1)?;
    story.deliver(3, 2)?;
    story.expect_silence()?;
    story.at(Action::Heartbeat, 1)?;
    story.talk(&[1, 2, 3])?;
    story.expect_role(1, Role::Leader, 1)?;
    story.expect_role(3, Role::Follower, 1)?;
    story.expect_log(3, &[1, 1], 2)?;
    Ok(story)
}

fn leader_cut_off(name: &'static str) -> Result<Story, CorpusError> {
    let mut story = Story::new(name, &guarded(true))?;
    story.at(Action::Timeout, 1)?;
    story.talk(&[1, 2, 3])?;
    // Server 1 is cut off with a proposal that reaches nobody. Its first check still finds the others
    // active.
    story.at(Action::Propose, 1)?;
    story.lose_all();
    story.at(Action::CheckQuorum, 1)?;
    story.expect_role(1, Role::Leader, 1)?;
    story.at(Action::CheckQuorum, 1)?;
    story.expect_role(1, Role::Follower, 1)?;
    // The others must have waited for the end of their leases.
    story.at(Action::LeaseExpire, 2)?;
    story.at(Action::LeaseExpire, 3)?;
    story.at(Action::Timeout, 2)?;
    story.talk(&[2, 3])?;
    story.expect_role(2, Role::Leader, 2)?;
    story.lose_all();
    // Server 1 is back; its entry is overwritten.
    story.expect_log(1, &[1, 1], 1)?;
    story.at(Action::Heartbeat, 2)?;
    story.talk(&[1, 2, 3])?;
    story.expect_log(1, &[1, 2], 2)?;
    Ok(story)
}

fn disruption_without_pre_vote(name: &'static str) -> Result<Story, CorpusError> {
    let mut story = Story::new(name, &guarded(false))?;
    story.at(Action::Timeout, 1)?;
    story.talk(&[1, 2, 3])?;
    // Server 3 is cut off and campaigns by itself.
    story.at(Action::LeaseExpire, 3)?;
    story.at(Action::Timeout, 3)?;
    story.lose_all();
    // It is back: those in a lease ignore its request, but its term cannot be taken back.
    story.at(Action::Timeout, 3)?;
    story.deliver(3, 1)?;
    story.deliver(3, 2)?;
    story.expect_silence()?;
    story.at(Action::Heartbeat, 1)?;
    story.deliver(1, 3)?;
    story.deliver(3, 1)?;
    story.expect_role(1, Role::Follower, 3)?;
    Ok(story)
}

/// One entry an append, a window of two. Server 3 refuses a probe that overtook the two appends of the full
/// window, then takes those; the refusal makes the leader send the first of them again, with the commit
/// index that it has reached meanwhile.
fn commit_of_what_was_checked(name: &'static str) -> Result<Story, CorpusError> {
    let mut story = Story::new(name, &plain(3))?;
    story.at(Action::Timeout, 1)?;
    story.elect(1, &[2])?;
    for peer in [2, 3] {
        story.deliver_append((1, peer), 0, 1)?;
        story.deliver(peer, 1)?;
    }
    story.at(Action::Propose, 1)?;
    story.at(Action::Propose, 1)?;
    for prev in [1, 2] {
        story.deliver_append((1, 2), prev, 1)?;
        story.deliver(2, 1)?;
    }
    story.expect_log(1, &[1, 1, 1], 3)?;
    // The answer to a heartbeat lets one empty append through the full window.
    story.at(Action::Heartbeat, 1)?;
    story.deliver_heartbeat((1, 3))?;
    story.deliver(3, 1)?;
    story.deliver_append((1, 3), 3, 0)?;
    story.deliver_append((1, 3), 1, 1)?;
    story.deliver_append((1, 3), 2, 1)?;
    story.expect_log(3, &[1, 1, 1], 1)?;
    story.deliver_refusal((3, 1))?;
    story.deliver_append((1, 3), 1, 1)?;
    // Three entries, and the leader has committed three; but this append proved two.
    story.expect_log(3, &[1, 1, 1], 2)?;
    Ok(story)
}

/// Server 1 leads, and its vote request is on its way to server 2 a second time. Server 2 knows the leader
/// from a heartbeat and has none of its entries, so that the request is still as good as its log.
fn vote_request_left(name: &'static str, config: &Config) -> Result<Story, CorpusError> {
    let mut story = Story::new(name, config)?;
    story.at(Action::Timeout, 1)?;
    story.duplicate_vote_request((1, 2))?;
    story.elect(1, &[2])?;
    story.expect_role(1, Role::Leader, 1)?;
    story.at(Action::Heartbeat, 1)?;
    story.deliver_heartbeat((1, 2))?;
    story.deliver_append((1, 3), 0, 1)?;
    Ok(story)
}

fn repeated_vote_renews_lease(name: &'static str) -> Result<Story, CorpusError> {
    let mut story = vote_request_left(name, &guarded(false))?;
    story.at(Action::LeaseExpire, 2)?;
    story.expect_lease(2, false)?;
    story.deliver_vote_request((1, 2))?;
    story.expect_lease(2, true)?;
    story.lose_all();
    story.at(Action::LeaseExpire, 3)?;
    story.at(Action::Timeout, 3)?;
    story.deliver_vote_request((3, 2))?;
    story.expect_role(2, Role::Follower, 1)?;
    Ok(story)
}

fn repeated_vote_without_lease(name: &'static str) -> Result<Story, CorpusError> {
    let mut story = vote_request_left(name, &plain(3))?;
    story.deliver_vote_request((1, 2))?;
    story.expect_lease(2, false)?;
    story.lose_all();
    story.at(Action::Timeout, 3)?;
    story.elect(3, &[2])?;
    story.expect_role(3, Role::Leader, 2)?;
    Ok(story)
}

/// Server 3 has the first entry and says so twice. The second entry is on its way to it, and committed
/// with server 2.
fn repeated_acknowledgement(name: &'static str) -> Result<Story, CorpusError> {
    let mut story = Story::new(name, &plain(3))?;
    story.at(Action::Timeout, 1)?;
    story.elect(1, &[2])?;
    story.deliver_append((1, 2), 0, 1)?;
    story.deliver(2, 1)?;
    story.deliver_append((1, 3), 0, 1)?;
    story.duplicate_acknowledgement((3, 1))?;
    story.deliver(3, 1)?;
    story.at(Action::Propose, 1)?;
    story.deliver_append((1, 2), 1, 1)?;
    story.deliver(2, 1)?;
    story.expect_log(1, &[1, 1], 2)?;
    // Heartbeats tell no commit index beyond the match: what server 3 was told is less than before.
    story.at(Action::Heartbeat, 1)?;
    story.deliver_unanswered(3, 1)?;
    Ok(story)
}

/// Servers 1 and 2 have led terms 1 and 2 by the votes of server 3 and have five entries each, which they
/// kept to themselves. Server `leader` leads term 3.
fn two_long_logs(name: &'static str, leader: u8) -> Result<Story, CorpusError> {
    let config = Config {
        one_entry_per_append: false,
        ..plain(3)
    };
    let mut story = Story::new(name, &config)?;
    for (server, timeouts) in [(1, 1), (2, 2)] {
        for _ in 0..timeouts {
            story.lose_all();
            story.at(Action::Timeout, server)?;
        }
        story.elect(server.into(), &[3])?;
        for _ in 0..4 {
            story.at(Action::Propose, server)?;
        }
    }
    story.expect_log(1, &[1; 5], 0)?;
    story.expect_log(2, &[2; 5], 0)?;
    story.at(Action::Restart, leader)?;
    while story
        .expect_role(leader.into(), Role::Candidate, 3)
        .is_err()
    {
        story.lose_all();
        story.at(Action::Timeout, leader)?;
    }
    story.elect(leader.into(), &[3])?;
    Ok(story)
}

fn long_conflict_at_follower(name: &'static str) -> Result<Story, CorpusError> {
    let mut story = two_long_logs(name, 1)?;
    story.deliver_append((1, 2), 5, 1)?;
    story.deliver_refusal((2, 1))?;
    story.deliver_append((1, 2), 0, 6)?;
    story.expect_log(2, &[1, 1, 1, 1, 1, 3], 0)?;
    Ok(story)
}

fn long_conflict_at_leader(name: &'static str) -> Result<Story, CorpusError> {
    let mut story = two_long_logs(name, 2)?;
    story.deliver_append((2, 1), 5, 1)?;
    story.deliver_refusal((1, 2))?;
    story.deliver_append((2, 1), 0, 6)?;
    story.expect_log(1, &[2, 2, 2, 2, 2, 3], 0)?;
    Ok(story)
}

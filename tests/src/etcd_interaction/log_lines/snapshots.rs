//! Lines about snapshots and about handing over leadership.

use lockstep_raft::observer::{SnapshotObstacle, TransferObstacle};
use lockstep_raft::{EntryId, Event};

use super::super::describe;
use super::super::output::Level;
use super::{LevelAndSentence, Line, conf_state, hex, position};

impl Line {
    pub(super) fn of_snapshots(&self, event: &Event<'_>) -> Option<LevelAndSentence> {
        let own = &self.own;
        Some(match event {
            Event::SnapshotNotSent {
                to,
                obstacle: SnapshotObstacle::Inactive,
            } => {
                let sentence = format!(
                    "ignore sending snapshot to {} since it is not recently active",
                    hex(*to)
                );
                (Level::Debug, sentence)
            }
            Event::SnapshotNotSent {
                to,
                obstacle: SnapshotObstacle::TemporarilyUnavailable,
            } => {
                let sentence = format!(
                    "{own} failed to send snapshot to {} because snapshot is temporarily unavailable",
                    hex(*to)
                );
                (Level::Debug, sentence)
            }
            Event::SnapshotSent {
                to,
                snapshot,
                first_index,
                commit,
                progress,
            } => {
                let sentence = format!(
                    "{own} [firstindex: {first_index}, commit: {commit}] sent snapshot{} to {} \
                     [{progress}]",
                    position(*snapshot),
                    hex(*to)
                );
                (Level::Debug, sentence)
            }
            Event::ReplicationPaused { to, progress } => {
                let sentence = format!(
                    "{own} paused sending replication messages to {} [{progress}]",
                    hex(*to)
                );
                (Level::Debug, sentence)
            }
            Event::SnapshotRecovered { peer, progress } => {
                let sentence = format!(
                    "{own} recovered from needing snapshot, resumed sending replication messages \
                     to {} [{progress}]",
                    hex(*peer)
                );
                (Level::Debug, sentence)
            }
            Event::SnapshotReported {
                peer,
                failed,
                progress,
            } => {
                let result = if *failed { "failed" } else { "succeeded" };
                let sentence = format!(
                    "{own} snapshot {result}, resumed sending replication messages to {} [{progress}]",
                    hex(*peer)
                );
                (Level::Debug, sentence)
            }
            other => return self.of_restores(other),
        })
    }

    fn of_restores(&self, event: &Event<'_>) -> Option<LevelAndSentence> {
        let own = &self.own;
        Some(match event {
            Event::RestoreStarted {
                snapshot,
                committed,
                applied,
                applying,
                unstable_offset,
                unstable_offset_in_progress,
                unstable_entries,
            } => {
                let sentence = format!(
                    "log [committed={committed}, applied={applied}, applying={applying}, \
                     unstable.offset={unstable_offset}, \
                     unstable.offsetInProgress={unstable_offset_in_progress}, \
                     len(unstable.Entries)={unstable_entries}] starts to restore snapshot {}",
                    position(*snapshot)
                );
                (Level::Info, sentence)
            }
            Event::Restored {
                snapshot,
                commit,
                last,
            } => {
                let at = position(*snapshot);
                let before = log_end(own, commit.get(), *last);
                (Level::Info, format!("{before} restored snapshot {at}"))
            }
            Event::SnapshotFastForwarded {
                snapshot,
                commit,
                last,
            } => {
                let at = position(*snapshot);
                let before = log_end(own, commit.get(), *last);
                (
                    Level::Info,
                    format!("{before} fast-forwarded commit to snapshot {at}"),
                )
            }
            Event::RestoreRefusedByMembership { conf_state: state } => {
                let sentence = format!(
                    "{own} attempted to restore snapshot but it is not in the ConfState {}; \
                     should never happen",
                    conf_state(state)
                );
                (Level::Warn, sentence)
            }
            Event::SnapshotHandled {
                restored,
                snapshot,
                commit,
            } => {
                let result = if *restored { "restored" } else { "ignored" };
                let at = position(*snapshot);
                (
                    Level::Info,
                    format!("{own} [commit: {commit}] {result} snapshot {at}"),
                )
            }
            _ => return None,
        })
    }

    pub(super) fn of_transfers(&self, event: &Event<'_>) -> Option<LevelAndSentence> {
        let own = &self.own;
        Some(match event {
            Event::TransferStarted { to, term } => {
                let to = hex(*to);
                (
                    Level::Info,
                    format!("{own} [term {term}] starts to transfer leadership to {to}"),
                )
            }
            Event::TransferAborted { to, term } => {
                let sentence = format!(
                    "{own} [term {term}] abort previous transferring leadership to {}",
                    hex(*to)
                );
                (Level::Info, sentence)
            }
            Event::TransferIgnored { to, obstacle, term } => match obstacle {
                TransferObstacle::Learner => {
                    let sentence = format!("{own} is learner. Ignored transferring leadership");
                    (Level::Debug, sentence)
                }
                TransferObstacle::AlreadyLeader => {
                    let sentence =
                        format!("{own} is already leader. Ignored transferring leadership to self");
                    (Level::Debug, sentence)
                }
                TransferObstacle::InProgress => {
                    let to = hex(*to);
                    let sentence = format!(
                        "{own} [term {term}] transfer leadership to {to} is in progress, \
                         ignores request to same node {to}"
                    );
                    (Level::Info, sentence)
                }
                TransferObstacle::NoLeader => {
                    let sentence =
                        format!("{own} no leader at term {term}; dropping leader transfer msg");
                    (Level::Info, sentence)
                }
                _ => return None,
            },
            Event::TimeoutNowSent { to, at_once: true } => {
                let to = hex(*to);
                let sentence = format!(
                    "{own} sends MsgTimeoutNow to {to} immediately as {to} already has up-to-date log"
                );
                (Level::Info, sentence)
            }
            Event::TimeoutNowSent { to, at_once: false } => {
                let sentence = format!(
                    "{own} sent MsgTimeoutNow to {} after received MsgAppResp",
                    hex(*to)
                );
                (Level::Info, sentence)
            }
            Event::TimeoutNowReceived { from, term } => {
                let sentence = format!(
                    "{own} [term {term}] received MsgTimeoutNow from {} and starts an election \
                     to get leadership.",
                    hex(*from)
                );
                (Level::Info, sentence)
            }
            Event::TimeoutNowIgnored { from, role, term } => {
                let sentence = format!(
                    "{own} [term {term} state {}] ignored MsgTimeoutNow from {}",
                    describe::role(*role),
                    hex(*from)
                );
                (Level::Debug, sentence)
            }
            _ => return None,
        })
    }
}

fn log_end(own: &str, commit: u64, last: EntryId) -> String {
    format!(
        "{own} [commit: {commit}, lastindex: {}, lastterm: {}]",
        last.index, last.term
    )
}

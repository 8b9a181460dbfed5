//! Departures of other implementations from etcd's raft, by design and with consequences for the state.
//!
//! The specification is etcd's raft, where that is safe and tells clients what becomes of their reads. A *dialect* of
//! it is a set of [`Departure`]s, each a different rule that is as safe as the one it replaces. They let an
//! implementation that chose otherwise be held to everything else; a report lists them, and one that makes no
//! difference has no place in a dialect.
//!
//! A departure that is [unsafe](Departure::is_unsafe) is a finding, not a dialect: with it the specification
//! violates one of its properties, and the trace is one that the real library takes.

use std::fmt;

/// One rule that is different.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Departure {
    /// A leader does not remember which commit index it has sent to whom.
    NoCommitMemory,
    /// An acknowledgement of what is known to match says nothing new, even at a probing peer.
    EqualAcknowledgementIgnored,
    /// Appends to a pipelining peer are held back exactly while its window is full.
    FullWindowPauses,
    /// A heartbeat response frees the oldest place in a full window.
    HeartbeatResponseFreesWindow,
    /// A refused probe may be followed by one below what is known to match.
    ProbeBelowMatch,
    /// A change of membership for which a leader has no room holds back later ones.
    DroppedChangeBlocks,
    /// A joint configuration that was to be left during a transfer is left when something else is applied. Unsafe: if
    /// nothing is, it is never left.
    AutoLeaveWaits,
    /// A candidate leads by the votes of others before its own is durable. Unsafe.
    LeadsBeforeOwnVote,
    /// A crash may keep entries and snapshots without the hard state that was to be written with them or before. Unsafe.
    EntriesWithoutHardState,
    /// Answers to heartbeats confirm a read by the context that its client gave it. Unsafe.
    ReadsByContext,
    /// A leader that is the only voter answers reads before it has committed in its term. Unsafe.
    SingleVoterReadsAtOnce,
    /// A leader that does not vote answers reads alone if there is one voter. Unsafe.
    LastVoterNotAsked,
    /// A leader that has told a server to campaign goes on answering reads by lease. Unsafe.
    LeaseAfterTimeoutNow,
    /// A leader answers reads by lease although no quorum was active lately, or it does not vote.
    LeaseWithoutActivity,
    /// Reads that wait for a commit outlive the leadership.
    PostponedReadsStay,
    /// Nobody is told of a read that is given up, and a follower keeps no account of the reads that it passed on.
    ReadsLostSilently,
    /// A change of the configuration takes up and answers no reads.
    RoundsNotRecounted,
    /// A leader that does not vote any more does not look what the quorum that is left has.
    RemovedLeaderWaits,
    /// A leader that is a quorum by itself begins a round for a read that waited for the first commit of its term.
    ReleasedReadsAskOthers,
}

impl Departure {
    /// Every departure that the specification knows.
    pub const ALL: [Departure; 19] = [
        Departure::NoCommitMemory,
        Departure::EqualAcknowledgementIgnored,
        Departure::FullWindowPauses,
        Departure::HeartbeatResponseFreesWindow,
        Departure::ProbeBelowMatch,
        Departure::DroppedChangeBlocks,
        Departure::AutoLeaveWaits,
        Departure::LeadsBeforeOwnVote,
        Departure::EntriesWithoutHardState,
        Departure::ReadsByContext,
        Departure::SingleVoterReadsAtOnce,
        Departure::LastVoterNotAsked,
        Departure::LeaseAfterTimeoutNow,
        Departure::LeaseWithoutActivity,
        Departure::PostponedReadsStay,
        Departure::ReadsLostSilently,
        Departure::RoundsNotRecounted,
        Departure::RemovedLeaderWaits,
        Departure::ReleasedReadsAskOthers,
    ];

    /// Its name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Departure::NoCommitMemory => "no-commit-memory",
            Departure::EqualAcknowledgementIgnored => "equal-acknowledgement-ignored",
            Departure::FullWindowPauses => "full-window-pauses",
            Departure::HeartbeatResponseFreesWindow => "heartbeat-response-frees-window",
            Departure::ProbeBelowMatch => "probe-below-match",
            Departure::DroppedChangeBlocks => "dropped-change-blocks",
            Departure::AutoLeaveWaits => "auto-leave-waits",
            Departure::LeadsBeforeOwnVote => "leads-before-own-vote",
            Departure::EntriesWithoutHardState => "entries-without-hard-state",
            Departure::ReadsByContext => "reads-by-context",
            Departure::SingleVoterReadsAtOnce => "single-voter-reads-at-once",
            Departure::LastVoterNotAsked => "last-voter-not-asked",
            Departure::LeaseAfterTimeoutNow => "lease-after-timeout-now",
            Departure::LeaseWithoutActivity => "lease-without-activity",
            Departure::PostponedReadsStay => "postponed-reads-stay",
            Departure::ReadsLostSilently => "reads-lost-silently",
            Departure::RoundsNotRecounted => "rounds-not-recounted",
            Departure::RemovedLeaderWaits => "removed-leader-waits",
            Departure::ReleasedReadsAskOthers => "released-reads-ask-others",
        }
    }

    /// Whether the rule is not as safe as the one that it replaces: then there is a preset in which the specification with
    /// this departure violates a property.
    pub const fn is_unsafe(self) -> bool {
        matches!(
            self,
            Departure::AutoLeaveWaits
                | Departure::LeadsBeforeOwnVote
                | Departure::EntriesWithoutHardState
                | Departure::ReadsByContext
                | Departure::SingleVoterReadsAtOnce
                | Departure::LastVoterNotAsked
                | Departure::LeaseAfterTimeoutNow
        )
    }

    /// Returns the difference, the reason that it is no error, and the place where it can be seen.
    pub const fn reason(self) -> &'static str {
        match self {
            Departure::NoCommitMemory => {
                "a leader does not remember the commit index last sent to a peer: an acknowledgement that \
                 commits nothing is followed by an append if the peer was held back, not if its commit \
                 index could rise (etcd's sentCommit is of 3.6; raft-rs: handle_append_response); the \
                 commit index still travels with every append and heartbeat"
            }
            Departure::EqualAcknowledgementIgnored => {
                "an acknowledgement of no more than what is known to match leaves a probing peer probing \
                 (etcd: Replicate, since 3.6; raft-rs: Progress::maybe_update); the next heartbeat \
                 response resumes it"
            }
            Departure::FullWindowPauses => {
                "a pipelining peer is held back exactly while its window is full, so it is never sent \
                 the empty append by which etcd tests whether the window was lost (raft-rs: \
                 Progress::is_paused, as in etcd before 3.5)"
            }
            Departure::HeartbeatResponseFreesWindow => {
                "a heartbeat response frees the oldest place of a full window (raft-rs: \
                 handle_heartbeat_response, as in etcd before 3.5)"
            }
            Departure::ProbeBelowMatch => {
                "a late refusal may lower the next index of a probing peer to what it is known to have, \
                 or below: an error, but a harmless one, entries are sent once more (tikv/raft-rs#555; \
                 etcd-io/raft#149 mended it in v3.6)"
            }
            Departure::DroppedChangeBlocks => {
                "a leader that drops a change of membership because too much is uncommitted turns changes \
                 proposed later into empty entries, until it has applied as many entries as if it had \
                 appended that one (etcd: stepLeader sets pendingConfIndex before appendEntry refuses); such \
                 a change has to be proposed again, and no quorum is another for it"
            }
            Departure::AutoLeaveWaits => {
                "a leader whose transfer of leadership failed does not leave the joint configuration that it was \
                 to leave meanwhile until it applies something else (etcd: appliedTo is the only caller that \
                 proposes it); an idle group stays in it, safe, but in need of both majorities"
            }
            Departure::LeadsBeforeOwnVote => {
                "with asynchronous storage a candidate leads by the votes of others before its own term and vote are \
                 durable (etcd: stepCandidate counts whatever has come): after a crash it may lead the same term \
                 again, and two entries have the same index and term; unsafe"
            }
            Departure::EntriesWithoutHardState => {
                "a crash keeps entries without the hard state that was to be written with them, as if these were \
                 two writes: a server forgets that a change of membership is committed although it has a later \
                 one in its log, and campaigns with a configuration two changes old; unsafe"
            }
            Departure::ReadsByContext => {
                "a heartbeat of a round of reads carries the context that the client gave the last one, and \
                 its answer confirms that read and all before it: the late answer to an earlier read of the \
                 same context confirms reads that came after it was given (etcd before 3.7: readOnly.recvAck, \
                 advance; etcd #20418; raft-rs: ReadOnly)"
            }
            Departure::SingleVoterReadsAtOnce => {
                "the only voter answers a read before it has committed an entry of its term, so that after a \
                 restart it may not know what was acknowledged (etcd: stepLeader, IsSingleton); with atomic \
                 storage there is no such moment"
            }
            Departure::LastVoterNotAsked => {
                "a leader that was removed and goes on leading answers reads alone once the configuration has \
                 one voter, as if that were itself (etcd: stepLeader, IsSingleton)"
            }
            Departure::LeaseAfterTimeoutNow => {
                "a leader that has told a server to campaign goes on answering reads by lease, although the \
                 request of that server overrides leases (etcd: sendMsgReadIndexResponse)"
            }
            Departure::LeaseWithoutActivity => {
                "a leader answers reads by lease until its quorum check fails, also when no quorum was active since \
                 the last one, or when it votes no more (etcd: sendMsgReadIndexResponse); what is supposed of \
                 clocks (`Timing::Silent`) covers it: a follower that the last check found active waits until the next"
            }
            Departure::PostponedReadsStay => {
                "reads that wait for the first commit of a term outlive the leadership, and are answered if the \
                 server leads again (etcd: pendingReadIndexMessages, which reset leaves alone): a client may \
                 wait for ever, but what it is told is current"
            }
            Departure::ReadsLostSilently => {
                "a read that ends with the leadership is not reported, and a follower hands on whatever answer \
                 comes, to a read that was answered before too (etcd: reset drops readOnly; stepFollower): a client \
                 learns by a time-out only that it has to ask again"
            }
            Departure::RoundsNotRecounted => {
                "a change of the configuration answers no read that it makes confirmed, nor takes up what waits \
                 for a commit that it brings about (etcd: switchToConfig): without another answer from a member \
                 such a read waits for ever"
            }
            Departure::RemovedLeaderWaits => {
                "a leader that has removed or demoted itself and goes on leading does not look whether the quorum that is \
                 left has more than is committed (etcd: switchToConfig): that is committed with the next \
                 acknowledgement, or by the next leader"
            }
            Departure::ReleasedReadsAskOthers => {
                "a leader that is a quorum by itself begins a round of heartbeats for a read that waited for the \
                 first commit of its term, and looks for a quorum only when another server answers (etcd: \
                 releasePendingReadIndexMessages): without another member such a read waits for ever, but no \
                 answer is wrong"
            }
        }
    }
}

impl fmt::Display for Departure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of departures.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Dialect(u32);

impl Dialect {
    /// The specification as it is: etcd's raft v3.6, where that is safe and its clients learn what becomes of them.
    pub const ETCD: Dialect = Dialect(0);

    /// etcd's raft v3.7 as it is, with what is unsafe about it.
    pub const ETCD_3_7: Dialect = Dialect::ETCD
        .with(Departure::LeadsBeforeOwnVote)
        .with(Departure::SingleVoterReadsAtOnce)
        .with(Departure::LastVoterNotAsked)
        .with(Departure::LeaseAfterTimeoutNow)
        .with(Departure::LeaseWithoutActivity)
        .with(Departure::PostponedReadsStay)
        .with(Departure::ReadsLostSilently)
        .with(Departure::RoundsNotRecounted)
        .with(Departure::RemovedLeaderWaits)
        .with(Departure::ReleasedReadsAskOthers);

    /// etcd's raft v3.6 as it is, with what is unsafe about it.
    pub const ETCD_3_6: Dialect = Dialect::ETCD_3_7.with(Departure::ReadsByContext);

    /// tikv's raft-rs 0.7.
    pub const RAFT_RS: Dialect = Dialect::ETCD
        .with(Departure::NoCommitMemory)
        .with(Departure::EqualAcknowledgementIgnored)
        .with(Departure::FullWindowPauses)
        .with(Departure::HeartbeatResponseFreesWindow)
        .with(Departure::ProbeBelowMatch);

    /// This dialect with one departure more.
    #[must_use]
    pub const fn with(self, departure: Departure) -> Dialect {
        Dialect(self.0 | 1 << departure as u16)
    }

    /// This dialect less one departure.
    #[must_use]
    pub const fn without(self, departure: Departure) -> Dialect {
        Dialect(self.0 & !(1 << departure as u16))
    }

    /// Whether a rule is different.
    pub const fn has(self, departure: Departure) -> bool {
        self.0 & 1 << departure as u16 != 0
    }

    /// The rules that are different.
    pub fn iter(self) -> impl Iterator<Item = Departure> {
        Departure::ALL
            .into_iter()
            .filter(move |departure| self.has(*departure))
    }
}

impl fmt::Debug for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dialect_is_the_set_of_its_departures() {
        let one = Dialect::ETCD.with(Departure::ProbeBelowMatch);
        assert_eq!(one.iter().collect::<Vec<_>>(), [Departure::ProbeBelowMatch]);
        assert_eq!(one.without(Departure::ProbeBelowMatch), Dialect::ETCD);
        let all = Departure::ALL
            .into_iter()
            .fold(Dialect::ETCD, Dialect::with);
        assert_eq!(all.iter().collect::<Vec<_>>(), Departure::ALL);
        assert_eq!(format!("{one:?}"), "{ProbeBelowMatch}");
        assert!(!Dialect::RAFT_RS.iter().any(Departure::is_unsafe));
        let safe = Dialect::ETCD_3_6.iter().filter(|it| !it.is_unsafe());
        let safe: Vec<Departure> = safe.collect();
        let of_progress = [
            Departure::LeaseWithoutActivity,
            Departure::PostponedReadsStay,
            Departure::ReadsLostSilently,
            Departure::RoundsNotRecounted,
            Departure::RemovedLeaderWaits,
            Departure::ReleasedReadsAskOthers,
        ];
        assert_eq!(safe, of_progress);
    }
}

//! Recovery: once the environment stops disturbing, a fair schedule brings the cluster back.
//!
//! That is liveness that a search can exhaust: from *every* reachable state the schedule is run to its end. It has
//! rounds. In a round one timer event happens, and then everything that follows from it: messages are delivered, appends
//! become durable and applies are done until nothing moves. Nothing is lost, repeated or crashes, and no bound holds.
//!
//! | what happens in a round | when |
//! | --- | --- |
//! | the election timer of a voter of the newest committed configuration fires | it has heard no leader in the last round, and it is its turn |
//! | a timer of a leader fires: its heartbeat timer, then an election timeout, in turns | it is its turn; always, once all those voters have heard it |
//! | `ReportSnapshot`, once for each peer | a peer is in `Snapshot` and nothing is in flight; it says truly whether the snapshot arrived |
//! | `Compact` at a leader | its snapshot is from before a peer was a member that needs it, so that the peer ignores it |
//! | a proposal to leave the joint configuration, once | a leader uses one that does not leave itself |
//! | a proposal of a new entry, once for each leadership | nothing else is lacking |
//! | a lease ends | an election timer fires, and the server has heard no leader and has no timer itself |
//!
//! Servers take turns in a fixed cyclic order. The state is tried in every order, with everybody first. Such a lock-step
//! may split votes for ever, which randomised timeouts are there to break (paper, section 5.2): a state that does not
//! come back in an order is tried again in the same order with each timer firing twice in a row, then with that of one
//! server alone firing twice. If it comes back in one of these it is counted
//! ([`Tally::lock_step`]). What is in
//! flight in the state arrives before the first timer fires, as the rest of the round that the state is in.
//!
//! The cluster is *back* when a leader was heard by every other member of its configuration in the last round, has
//! had a new entry applied on all of them, hands over to nobody, uses no joint configuration, and knows every peer to
//! be caught up.
//!
//! Since nothing is left to chance, a round start has one successor in each order. Round starts are stored in a
//! normal form (`normal.rs`), modulo a shift of terms and indexes, and each is followed once: rounds from different
//! states merge, and a schedule that never comes back is seen to go round.
//!
//! # Excluded by design
//!
//! Five things keep a cluster from coming back and are no mistake of a rule:
//!
//! * *A removed leader that does not step down* ([`Exclusion::RemovedLeader`]). A schedule that goes round with such a
//!   leader in every round is counted as excluded. If `step_down_on_removal` is set there is none.
//! * *Voters that do not know that they vote* ([`Exclusion::UnawareVoters`]). A schedule in which nobody leads, and no
//!   voter of the newest committed configuration has applied it, is counted as excluded.
//! * *A removed server without CheckQuorum that goes on asking for votes.* Timers of servers that are no voters of the
//!   newest committed configuration do not fire in the schedule: their operator has stopped them.
//! * *Wiped members.* No state of the specification has a server that lost what was durable.
//! * *`ForgetLeader` repeated for ever.* It is a call of an operator, and happens in no round.

mod course;
mod failure;
mod normal;
mod orders;
mod table;
#[cfg(test)]
mod tests;

pub use course::Lack;
pub use failure::{FailedRound, Failure};
pub use table::Exclusion;

use crate::cluster::ClusterState;
use crate::settings::Settings;
use course::Course;
use normal::normalise;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;
use table::{Table, Way, encode};

/// The name of the property that [`Recovery::comes_back`] decides.
pub const NAME: &str = "recovery";

/// Decides of states whether the cluster comes back from them. It may be asked by several threads at once; what it
/// counts does not depend on them.
pub struct Recovery {
    settings: Settings,
    most_rounds: u8,
    table: Mutex<Table>,
    tried: AtomicU64,
    excluded: [AtomicU64; Exclusion::ALL.len()],
    lock_step: AtomicU64,
    longest: AtomicU64,
    nanoseconds: AtomicU64,
}

/// The counts of the states that were tried.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tally {
    /// The states that were tried.
    pub tried: u64,
    /// The tried states that are excluded, by the place of the reason in [`Exclusion::ALL`].
    pub excluded: [u64; Exclusion::ALL.len()],
    /// The tried states that come back in some order only if timers fire twice in a row: else the servers split votes for ever.
    pub lock_step: u64,
    /// The states that the schedules added: round starts, modulo a shift of terms and indexes.
    pub starts: u64,
    /// The rounds that were executed.
    pub rounds: u64,
    /// The most rounds that any state needed in any order.
    pub longest: u64,
    /// The number of orders that each state was tried in.
    pub orders: u64,
    /// The time that it took, of all threads together.
    pub seconds: f64,
}

impl Recovery {
    /// The number of rounds within which a cluster must be back.
    pub const ROUNDS: u8 = 32;

    /// Nothing is tried yet.
    pub fn new(settings: &Settings) -> Recovery {
        Recovery::within(settings, Recovery::ROUNDS)
    }

    /// The same with another number of rounds.
    pub fn within(settings: &Settings, most_rounds: u8) -> Recovery {
        Recovery {
            settings: *settings,
            most_rounds,
            table: Mutex::new(Table::new(settings)),
            tried: AtomicU64::new(0),
            excluded: Default::default(),
            lock_step: AtomicU64::new(0),
            longest: AtomicU64::new(0),
            nanoseconds: AtomicU64::new(0),
        }
    }

    /// Whether the cluster comes back from a state in every order, within the number of rounds, or is excluded.
    pub fn comes_back(&self, state: &ClusterState) -> bool {
        self.tried.fetch_add(1, Ordering::Relaxed);
        let clock = Instant::now();
        let (worst, lock_step) = self.worst(state);
        let nanoseconds = clock.elapsed().as_nanos() as u64;
        self.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
        self.lock_step
            .fetch_add(lock_step.into(), Ordering::Relaxed);
        match worst {
            Way::Back(rounds) => {
                self.longest.fetch_max(rounds.into(), Ordering::Relaxed);
                rounds <= self.most_rounds
            }
            Way::Excluded(exclusion) => {
                self.excluded[exclusion as usize].fetch_add(1, Ordering::Relaxed);
                true
            }
            Way::Fails | Way::Unknown | Way::Walked => false,
        }
    }

    /// Returns what trying states has come to.
    pub fn tally(&self) -> Tally {
        let table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Tally {
            tried: of(&self.tried),
            excluded: self.excluded.each_ref().map(of),
            lock_step: of(&self.lock_step),
            starts: table.starts() as u64,
            rounds: table.rounds,
            longest: of(&self.longest),
            orders: table.orders().len() as u64,
            seconds: of(&self.nanoseconds) as f64 / 1e9,
        }
    }

    /// The number of rounds within which a cluster must be back.
    pub fn most_rounds(&self) -> u8 {
        self.most_rounds
    }

    fn worst(&self, state: &ClusterState) -> (Way, bool) {
        let Ok(mut course) = Course::from(state, &self.settings, None) else {
            return (Way::Fails, false);
        };
        normalise(&mut course, &self.settings);
        let encoded = encode(&course);
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.worst(&course, &encoded)
    }
}

//! Bounds on the environment of a search. Nothing here is Raft: bounds limit what happens to the servers, never the
//! depth of a search, and treat all servers alike.

use crate::configuration::ConfChange;
use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// The number of times that the environment may do something in one run, at all servers together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Budget {
    /// At most this number of times.
    Times(u16),
    /// As often as it likes; not counted, so that the count does not tell states apart.
    Unlimited,
}

impl Budget {
    /// Whether it may happen once more.
    pub fn allows(self, spent: u16) -> bool {
        match self {
            Budget::Times(limit) => spent < limit,
            Budget::Unlimited => true,
        }
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Budget::Times(limit) => limit.fmt(f),
            Budget::Unlimited => f.write_str("unlimited"),
        }
    }
}

impl FromStr for Budget {
    type Err = std::num::ParseIntError;

    /// A number, or `unlimited`.
    fn from_str(text: &str) -> Result<Budget, Self::Err> {
        match text {
            "unlimited" => Ok(Budget::Unlimited),
            number => number.parse().map(Budget::Times),
        }
    }
}

/// A kind of event that the environment has a budget for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Election timers that fire.
    Timeout,
    /// Leases that expire.
    LeaseExpire,
    /// Heartbeat timers that fire.
    Heartbeat,
    /// Quorum checks of leaders.
    CheckQuorum,
    /// Proposals of clients.
    Propose,
    /// Crashes with restart.
    Restart,
    /// Followers that are told to forget their leader.
    ForgetLeader,
    /// Logs that are compacted.
    Compact,
    /// Requests to transfer leadership.
    TransferLeadership,
    /// Reports that a peer could not be reached.
    ReportUnreachable,
    /// Reports of what became of a snapshot.
    ReportSnapshot,
    /// Messages that the network duplicates.
    Duplicate,
    /// Messages that the network loses.
    Drop,
    /// Proposals of the first change of the configuration in the menu.
    ProposeConfChange,
    /// Proposals of the second one.
    ProposeOtherConfChange,
    /// Outstanding appends that become durable.
    Persist,
    /// Outstanding applies that are done.
    Apply,
    /// Reads with context 1.
    ReadIndex,
    /// Reads with context 2.
    ReadOtherIndex,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Kind; 19] = [
        Kind::Timeout,
        Kind::LeaseExpire,
        Kind::Heartbeat,
        Kind::CheckQuorum,
        Kind::Propose,
        Kind::Restart,
        Kind::ForgetLeader,
        Kind::Compact,
        Kind::TransferLeadership,
        Kind::ReportUnreachable,
        Kind::ReportSnapshot,
        Kind::Duplicate,
        Kind::Drop,
        Kind::ProposeConfChange,
        Kind::ProposeOtherConfChange,
        Kind::Persist,
        Kind::Apply,
        Kind::ReadIndex,
        Kind::ReadOtherIndex,
    ];

    /// The kinds that every encoding of a state counts.
    pub(crate) const FIRST: [Kind; 8] = [
        Kind::Timeout,
        Kind::LeaseExpire,
        Kind::Heartbeat,
        Kind::CheckQuorum,
        Kind::Propose,
        Kind::Restart,
        Kind::Duplicate,
        Kind::Drop,
    ];

    /// The other kinds: those of features that a preset may do without. Without a budget they are no part of a model,
    /// not even as inputs that are compared and not explored.
    pub const MORE: [Kind; 11] = [
        Kind::ProposeConfChange,
        Kind::ProposeOtherConfChange,
        Kind::ForgetLeader,
        Kind::Compact,
        Kind::TransferLeadership,
        Kind::ReportUnreachable,
        Kind::ReportSnapshot,
        Kind::Persist,
        Kind::Apply,
        Kind::ReadIndex,
        Kind::ReadOtherIndex,
    ];

    /// Returns the context by which the client of a read knows the answer.
    pub fn context(self) -> Option<u8> {
        match self {
            Kind::ReadIndex => Some(1),
            Kind::ReadOtherIndex => Some(2),
            _ => None,
        }
    }

    /// The place in the menu of changes of the change that is proposed.
    pub fn change(self) -> Option<usize> {
        match self {
            Kind::ProposeConfChange => Some(0),
            Kind::ProposeOtherConfChange => Some(1),
            _ => None,
        }
    }

    /// Whether it disturbs or advances a run that would go on without it: everything but the timeouts that
    /// start elections, what clients propose, the calls of operators and applications, and storage.
    pub fn is_disturbance(self) -> bool {
        !matches!(
            self,
            Kind::Timeout
                | Kind::Propose
                | Kind::ProposeConfChange
                | Kind::ProposeOtherConfChange
                | Kind::ForgetLeader
                | Kind::Compact
                | Kind::TransferLeadership
                | Kind::Persist
                | Kind::Apply
                | Kind::ReadIndex
                | Kind::ReadOtherIndex
        )
    }
}

/// A set of kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KindSet(u32);

impl KindSet {
    pub(crate) const EMPTY: KindSet = KindSet(0);

    pub(crate) fn set(&mut self, kind: Kind, member: bool) {
        self.0 = self.0 & !(1 << kind as u8) | u32::from(member) << kind as u8;
    }

    /// The members, in the order of [`Kind::ALL`].
    #[inline]
    pub(crate) fn iter(self) -> impl Iterator<Item = Kind> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let kind = Kind::ALL.get(rest.trailing_zeros() as usize)?;
            rest &= rest - 1;
            Some(*kind)
        })
    }
}

/// The bounds of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The highest term that a server may enter.
    pub max_term: u32,
    /// The number of messages that may be in flight at once, copies counted.
    pub max_in_flight: usize,
    /// The maximum number of outstanding appends at one server.
    pub max_outstanding: usize,
    /// Budget of [`Kind::Timeout`].
    pub timeouts: Budget,
    /// Budget of [`Kind::LeaseExpire`].
    pub lease_expiries: Budget,
    /// Budget of [`Kind::Heartbeat`].
    pub heartbeats: Budget,
    /// Budget of [`Kind::CheckQuorum`].
    pub quorum_checks: Budget,
    /// Budget of [`Kind::Propose`].
    pub proposals: Budget,
    /// Budget of [`Kind::Restart`].
    pub restarts: Budget,
    /// Budget of [`Kind::ForgetLeader`].
    pub forgets: Budget,
    /// Budget of [`Kind::Compact`].
    pub compactions: Budget,
    /// Budget of [`Kind::TransferLeadership`].
    pub transfers: Budget,
    /// Budget of [`Kind::ReportUnreachable`].
    pub unreachable_reports: Budget,
    /// Budget of [`Kind::ReportSnapshot`].
    pub snapshot_reports: Budget,
    /// Budget of [`Kind::Duplicate`].
    pub duplicates: Budget,
    /// Budget of [`Kind::Drop`].
    pub drops: Budget,
    /// Budget of all disturbances ([`Kind::is_disturbance`]) together, so that a model can have one of
    /// each kind without having all of them in the same run. Kinds without a limit are not counted.
    pub disturbances: Budget,
    /// The changes of the configuration that clients may propose, with the budgets of
    /// [`Kind::ProposeConfChange`] and [`Kind::ProposeOtherConfChange`].
    pub changes: [(ConfChange, Budget); 2],
    /// Budget of [`Kind::Persist`].
    pub persists: Budget,
    /// Budget of [`Kind::Apply`].
    pub applies: Budget,
    /// Budgets of [`Kind::ReadIndex`] and [`Kind::ReadOtherIndex`].
    pub reads: [Budget; 2],
    /// The assumption about clocks where reads are answered by lease.
    pub timing: Timing,
}

/// An assumption about clocks, which a lease needs. The model has none: timers are independent. So an assumption
/// excludes no run: the history notes if a run breaks it ([`History`](crate::History)), and nothing is said of the
/// reads that follow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Timing {
    /// Nothing: what is answered by lease may be stale, and is not looked at.
    #[default]
    Free,
    /// A follower's lease or timer ends only after an election timeout has passed at its leader since the last contact of
    /// that follower. Not enough for etcd's rule, by which a peer is active if it was heard from at any time of the last
    /// interval, nor for that of the specification: an answer may arrive after the quorum check that came after it was sent.
    Elapsed,
    /// A follower's lease or timer ends only after its leader has found it silent for a whole election timeout and not
    /// heard from it since, and its answers do not arrive after that.
    Silent,
}

impl Timing {
    const NAMES: [(Timing, &'static str); 3] = [
        (Timing::Free, "free"),
        (Timing::Elapsed, "elapsed"),
        (Timing::Silent, "silent"),
    ];
}

impl fmt::Display for Timing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut names = Timing::NAMES.into_iter();
        let name = names.find(|(timing, _)| timing == self);
        f.write_str(name.map_or("free", |(_, name)| name))
    }
}

/// The text names no supposition.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0:?} is no assumption about clocks: write free, elapsed or silent")]
pub struct NoTiming(String);

impl FromStr for Timing {
    type Err = NoTiming;

    fn from_str(text: &str) -> Result<Timing, NoTiming> {
        let mut names = Timing::NAMES.into_iter();
        let named = names.find(|(_, name)| *name == text);
        let named = named.map(|(timing, _)| timing);
        named.ok_or_else(|| NoTiming(text.to_owned()))
    }
}

impl Bounds {
    /// No bound at all: for random walks.
    pub const UNLIMITED: Bounds = Bounds {
        max_term: u32::MAX,
        max_in_flight: usize::MAX,
        max_outstanding: usize::MAX,
        timeouts: Budget::Unlimited,
        lease_expiries: Budget::Unlimited,
        heartbeats: Budget::Unlimited,
        quorum_checks: Budget::Unlimited,
        proposals: Budget::Unlimited,
        restarts: Budget::Unlimited,
        forgets: Budget::Unlimited,
        compactions: Budget::Unlimited,
        transfers: Budget::Unlimited,
        unreachable_reports: Budget::Unlimited,
        snapshot_reports: Budget::Unlimited,
        duplicates: Budget::Unlimited,
        drops: Budget::Unlimited,
        disturbances: Budget::Unlimited,
        changes: Self::NO_CHANGES,
        persists: Budget::Unlimited,
        applies: Budget::Unlimited,
        reads: [Budget::Unlimited; 2],
        timing: Timing::Free,
    };

    /// One server may campaign, in term 1, and nothing else happens. Models say what does, with `..Bounds::QUIET`.
    pub const QUIET: Bounds = Bounds {
        max_term: 1,
        max_in_flight: 3,
        max_outstanding: 2,
        timeouts: Budget::Times(1),
        lease_expiries: Budget::Times(0),
        heartbeats: Budget::Times(0),
        quorum_checks: Budget::Times(0),
        proposals: Budget::Times(0),
        restarts: Budget::Times(0),
        forgets: Budget::Times(0),
        compactions: Budget::Times(0),
        transfers: Budget::Times(0),
        unreachable_reports: Budget::Times(0),
        snapshot_reports: Budget::Times(0),
        duplicates: Budget::Times(0),
        drops: Budget::Times(0),
        disturbances: Budget::Unlimited,
        changes: Self::NO_CHANGES,
        persists: Budget::Times(0),
        applies: Budget::Times(0),
        reads: [Budget::Times(0); 2],
        timing: Timing::Free,
    };

    /// The menu without any change.
    pub const NO_CHANGES: [(ConfChange, Budget); 2] =
        [(ConfChange::LEAVE_JOINT, Budget::Times(0)); 2];

    /// Whether an event of this kind may happen once more.
    pub fn allow(&self, kind: Kind, spent: &Spent) -> bool {
        self.budget(kind).allows(spent.of(kind))
            && (!kind.is_disturbance() || self.disturbances.allows(spent.disturbances()))
    }

    /// Whether the model has events of this kind at all.
    pub fn have(&self, kind: Kind) -> bool {
        !Kind::MORE.contains(&kind) || self.budget(kind) != Budget::Times(0)
    }

    /// The kinds of event that may happen once more.
    pub(crate) fn allowed(&self, spent: &Spent) -> KindSet {
        let mut allowed = KindSet::EMPTY;
        for kind in Kind::ALL {
            allowed.set(kind, self.allow(kind, spent));
        }
        allowed
    }

    /// The budget of a kind of event.
    pub fn budget(&self, kind: Kind) -> Budget {
        match kind {
            Kind::Timeout => self.timeouts,
            Kind::LeaseExpire => self.lease_expiries,
            Kind::Heartbeat => self.heartbeats,
            Kind::CheckQuorum => self.quorum_checks,
            Kind::Propose => self.proposals,
            Kind::Restart => self.restarts,
            Kind::ForgetLeader => self.forgets,
            Kind::Compact => self.compactions,
            Kind::TransferLeadership => self.transfers,
            Kind::ReportUnreachable => self.unreachable_reports,
            Kind::ReportSnapshot => self.snapshot_reports,
            Kind::Duplicate => self.duplicates,
            Kind::Drop => self.drops,
            Kind::ProposeConfChange => self.changes[0].1,
            Kind::ProposeOtherConfChange => self.changes[1].1,
            Kind::Persist => self.persists,
            Kind::Apply => self.applies,
            Kind::ReadIndex => self.reads[0],
            Kind::ReadOtherIndex => self.reads[1],
        }
    }
}

/// The number of times that each kind of event has happened; kinds without a limit are not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Spent([u16; Kind::ALL.len()]);

impl Spent {
    /// The number of times that a kind of event has happened.
    pub fn of(&self, kind: Kind) -> u16 {
        self.0[kind as usize]
    }

    /// The number of times that any disturbance has happened.
    pub fn disturbances(&self) -> u16 {
        let kinds = Kind::ALL.into_iter().filter(|kind| kind.is_disturbance());
        kinds.map(|kind| self.of(kind)).fold(0, u16::saturating_add)
    }

    /// Sets how often a kind of event has happened.
    pub fn set(&mut self, kind: Kind, times: u16) {
        self.0[kind as usize] = times;
    }

    /// Counts one more event of this kind, unless it is unlimited.
    pub fn spend(&mut self, kind: Kind, bounds: &Bounds) {
        if let Budget::Times(_) = bounds.budget(kind) {
            let spent = &mut self.0[kind as usize];
            *spent = spent.saturating_add(1);
        }
    }
}

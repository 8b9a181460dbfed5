//! Configurations: who votes, what a quorum of them is, and how one configuration becomes another (paper, section 6;
//! thesis, chapter 4; etcd's raft, packages quorum and confchange).
//!
//! Nothing here is about one server: what a server does when its configuration changes is in `server/membership.rs`.

use crate::ids::{Id, IdSet, MAX_MEMBERS, OutOfRange};
use lockstep_traces as vocabulary;
use lockstep_traces::{ConfChangeSingle, ServerId, Transition};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

/// A configuration. It is joint if it has an outgoing half: then what needs a majority needs one of each half.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Configuration {
    /// The voters; in a joint configuration those of the new half.
    pub(crate) voters: IdSet,
    /// The voters of the old half of a joint configuration; otherwise nobody.
    pub(crate) outgoing: IdSet,
    /// The members that receive the log and do not vote. Invariant: none of them votes.
    pub(crate) learners: IdSet,
    /// Voters of the old half who become learners when it is gone. Invariant: a part of `outgoing`.
    pub(crate) learners_next: IdSet,
    /// The leader leaves the joint configuration by itself.
    pub(crate) auto_leave: bool,
}

/// The state of a vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum VoteResult {
    /// The voters that have not answered decide.
    Pending,
    /// A quorum has granted.
    Won,
    /// Too many have refused for a quorum to grant.
    Lost,
}

/// Why a change cannot be applied to a configuration. Nobody proposes such a change to a correct leader, unless its
/// validation is off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ChangeError {
    /// A joint configuration takes no change but the one that leaves it.
    #[error("config is already joint")]
    AlreadyJoint,
    /// The same for a change that needs no joint configuration.
    #[error("can't apply simple config change in joint config")]
    SimpleInJoint,
    /// There is no joint configuration to leave.
    #[error("can't leave a non-joint config")]
    NotJoint,
    /// A configuration without voters has no half to keep.
    #[error("can't make a zero-voter config joint")]
    NoVoters,
    /// A configuration without voters could decide nothing.
    #[error("removed all voters")]
    RemovedAllVoters,
    /// Majorities before and after could be disjoint (thesis, section 4.1).
    #[error("more than one voter changed without entering joint config")]
    TwoVotersAtOnce,
}

/// A configuration that follows from another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Changed {
    /// The configuration.
    pub configuration: Configuration,
    /// The members of whom a leader knows nothing yet: they are new, or were gone in between.
    pub fresh: IdSet,
}

impl Configuration {
    /// The configuration in which these servers vote.
    pub(crate) const fn of_voters(voters: IdSet) -> Configuration {
        Configuration {
            voters,
            outgoing: IdSet::EMPTY,
            learners: IdSet::EMPTY,
            learners_next: IdSet::EMPTY,
            auto_leave: false,
        }
    }

    /// Whether there are two halves.
    pub(crate) const fn is_joint(self) -> bool {
        !self.outgoing.is_empty()
    }

    /// The voters of both halves.
    pub(crate) const fn all_voters(self) -> IdSet {
        self.voters.or(self.outgoing)
    }

    /// Whether it can be: somebody votes, nobody both votes and learns, and only a joint configuration has what is left
    /// later.
    pub(crate) fn is_valid(self) -> bool {
        let simple = self.learners_next.is_empty() && !self.auto_leave;
        !self.voters.is_empty()
            && self.all_voters().and(self.learners).is_empty()
            && self.learners_next.without(self.outgoing).is_empty()
            && (self.is_joint() || simple)
    }

    /// Everybody: voters and learners.
    pub(crate) const fn members(self) -> IdSet {
        self.all_voters().or(self.learners)
    }

    /// Counts the answers: a quorum has a majority of each half.
    pub(crate) fn vote_result(self, granted: IdSet, refused: IdSet) -> VoteResult {
        let halves = [self.voters, self.outgoing].map(|half| majority_vote(half, granted, refused));
        match halves {
            [VoteResult::Won, VoteResult::Won] => VoteResult::Won,
            [VoteResult::Lost, _] | [_, VoteResult::Lost] => VoteResult::Lost,
            _ => VoteResult::Pending,
        }
    }

    /// Whether these servers are a quorum.
    pub(crate) fn is_quorum(self, ids: IdSet) -> bool {
        self.vote_result(ids, IdSet::EMPTY) == VoteResult::Won
    }

    /// The highest index that a quorum has, if each server has everything up to the index that `matched` gives.
    pub(crate) fn committed_index(self, matched: impl Fn(Id) -> u32) -> u32 {
        let halves = [self.voters, self.outgoing].map(|half| majority_index(half, &matched));
        // A half without voters has no say; a configuration without voters commits nothing.
        let index = halves.into_iter().flatten().min();
        index.unwrap_or(0)
    }

    /// The configuration after a change.
    ///
    /// # Errors
    ///
    /// If the change does not fit this configuration.
    pub(crate) fn apply(self, change: ConfChange) -> Result<Changed, ChangeError> {
        if change.leaves_joint() {
            return self.leave_joint();
        }
        match change.auto_leave() {
            Some(auto_leave) => self.enter_joint(change.singles(), auto_leave),
            None => self.simple(change.singles()),
        }
    }

    /// One voter at most comes or goes: any two majorities, before and after, have a server in common (thesis, section
    /// 4.1). Learners may come and go with it.
    pub(crate) fn simple(
        self,
        changes: impl IntoIterator<Item = Single>,
    ) -> Result<Changed, ChangeError> {
        if self.is_joint() {
            return Err(ChangeError::SimpleInJoint);
        }
        let changed = Changed::none(self).apply_all(changes)?;
        let [before, after] = [self.voters, changed.configuration.voters];
        if before.without(after).len() + after.without(before).len() > 1 {
            return Err(ChangeError::TwoVotersAtOnce);
        }
        Ok(changed)
    }

    /// The old voters become the outgoing half, and the new half is what the changes make of them (paper, section 6:
    /// C-old,new).
    pub(crate) fn enter_joint(
        self,
        changes: impl IntoIterator<Item = Single>,
        auto_leave: bool,
    ) -> Result<Changed, ChangeError> {
        if self.is_joint() {
            return Err(ChangeError::AlreadyJoint);
        }
        if self.voters.is_empty() {
            return Err(ChangeError::NoVoters);
        }
        let both = Configuration {
            outgoing: self.voters,
            ..self
        };
        let mut changed = Changed::none(both).apply_all(changes)?;
        changed.configuration.auto_leave = auto_leave;
        Ok(changed)
    }

    /// The outgoing half goes, and who was to learn afterwards learns (paper, section 6: C-new).
    pub(crate) fn leave_joint(self) -> Result<Changed, ChangeError> {
        if !self.is_joint() {
            return Err(ChangeError::NotJoint);
        }
        Ok(Changed::none(Configuration {
            learners: self.learners.or(self.learners_next),
            ..Configuration::of_voters(self.voters)
        }))
    }

    /// The same in the vocabulary.
    pub(crate) fn view(self) -> vocabulary::Configuration {
        let set = |ids: IdSet| ids.iter().map(ServerId::from).collect();
        vocabulary::Configuration {
            voters: set(self.voters),
            outgoing: set(self.outgoing),
            learners: set(self.learners),
            learners_next: set(self.learners_next),
            auto_leave: self.auto_leave,
        }
    }
}

impl TryFrom<&vocabulary::Configuration> for Configuration {
    type Error = OutOfRange;

    fn try_from(configuration: &vocabulary::Configuration) -> Result<Configuration, OutOfRange> {
        let set = |ids: &BTreeSet<ServerId>| id_set(ids.iter().copied());
        Ok(Configuration {
            voters: set(&configuration.voters)?,
            outgoing: set(&configuration.outgoing)?,
            learners: set(&configuration.learners)?,
            learners_next: set(&configuration.learners_next)?,
            auto_leave: configuration.auto_leave,
        })
    }
}

/// The set of these servers.
pub(crate) fn id_set(ids: impl IntoIterator<Item = ServerId>) -> Result<IdSet, OutOfRange> {
    let mut set = IdSet::EMPTY;
    for id in ids {
        set.insert(member(id)?);
    }
    Ok(set)
}

/// A server that a set can hold.
fn member(id: ServerId) -> Result<Id, OutOfRange> {
    let id = Id::try_from(id)?;
    let holds = id.slot() < MAX_MEMBERS;
    holds.then_some(id).ok_or(OutOfRange)
}

/// Counts the answers among the voters of one half. A half without voters is won.
fn majority_vote(voters: IdSet, granted: IdSet, refused: IdSet) -> VoteResult {
    let quorum = voters.len() / 2 + 1;
    if voters.is_empty() || voters.and(granted).len() >= quorum {
        VoteResult::Won
    } else if voters.without(refused).len() < quorum {
        VoteResult::Lost
    } else {
        VoteResult::Pending
    }
}

/// The highest index that a majority of the voters of one half has; `None` without voters.
fn majority_index(voters: IdSet, matched: impl Fn(Id) -> u32) -> Option<u32> {
    let quorum = voters.len() / 2 + 1;
    let has = |index: &u32| voters.iter().filter(|id| matched(*id) >= *index).count() >= quorum;
    voters.iter().map(&matched).filter(has).max()
}

impl Changed {
    /// Nothing is changed yet.
    fn none(configuration: Configuration) -> Changed {
        Changed {
            configuration,
            fresh: IdSet::EMPTY,
        }
    }

    fn apply_all(
        mut self,
        changes: impl IntoIterator<Item = Single>,
    ) -> Result<Changed, ChangeError> {
        for change in changes {
            match change {
                Single::AddVoter(id) => self.make_voter(id),
                Single::AddLearner(id) => self.make_learner(id),
                Single::Remove(id) => self.remove(id),
            }
        }
        match self.configuration.voters.is_empty() {
            true => Err(ChangeError::RemovedAllVoters),
            false => Ok(self),
        }
    }

    /// The server votes in the new half, whatever it was.
    fn make_voter(&mut self, id: Id) {
        self.add(id);
        let configuration = &mut self.configuration;
        configuration.learners.remove(id);
        configuration.learners_next.remove(id);
        configuration.voters.insert(id);
    }

    /// The server learns; at once, unless it votes in the old half: it cannot be both (thesis, section 4.2.1).
    fn make_learner(&mut self, id: Id) {
        self.add(id);
        let configuration = &mut self.configuration;
        configuration.voters.remove(id);
        match configuration.outgoing.contains(id) {
            true => configuration.learners_next.insert(id),
            false => configuration.learners.insert(id),
        }
    }

    /// The server is no part of the new half.
    fn remove(&mut self, id: Id) {
        let configuration = &mut self.configuration;
        configuration.voters.remove(id);
        configuration.learners.remove(id);
        configuration.learners_next.remove(id);
        // Who comes back after this is new again.
        self.fresh.remove(id);
    }

    /// Adds a member; a server that was none is new.
    fn add(&mut self, id: Id) {
        if !self.configuration.members().contains(id) {
            self.fresh.insert(id);
        }
    }
}

/// A change of the configuration: the changes of up to [`ConfChange::MOST`] servers in order, and how they take place.
/// Without changes it leaves the joint configuration.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConfChange(
    // The lowest two bits are the transition. Then come five bits for each server: what it becomes, and its name.
    u32,
);

/// The change of one server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Single {
    /// The server becomes a voter.
    AddVoter(Id),
    /// The server becomes a learner.
    AddLearner(Id),
    /// The server goes.
    Remove(Id),
}

impl Single {
    /// Returns the server that it is about.
    pub(crate) fn server(self) -> Id {
        match self {
            Single::AddVoter(id) | Single::AddLearner(id) | Single::Remove(id) => id,
        }
    }
}

impl ConfChange {
    /// The number of servers that it can be about.
    pub const MOST: usize = 5;

    /// The change that leaves the joint configuration.
    pub const LEAVE_JOINT: ConfChange = ConfChange(0);

    /// A server, named by its number, becomes a voter.
    ///
    /// # Panics
    ///
    /// If there is no such server, or the change is full.
    #[must_use]
    pub const fn add_voter(self, server: u8) -> ConfChange {
        self.and(1, server)
    }

    /// A server, named by its number, becomes a learner.
    ///
    /// # Panics
    ///
    /// If there is no such server, or the change is full.
    #[must_use]
    pub const fn add_learner(self, server: u8) -> ConfChange {
        self.and(2, server)
    }

    /// A server, named by its number, goes.
    ///
    /// # Panics
    ///
    /// If there is no such server, or the change is full.
    #[must_use]
    pub const fn remove(self, server: u8) -> ConfChange {
        self.and(3, server)
    }

    /// The same changes by a joint configuration that the leader leaves by itself.
    #[must_use]
    pub const fn implicit(self) -> ConfChange {
        ConfChange(self.0 & !3 | 1)
    }

    /// The same changes by a joint configuration that somebody must leave.
    #[must_use]
    pub const fn explicit(self) -> ConfChange {
        ConfChange(self.0 & !3 | 2)
    }

    const fn and(self, kind: u32, server: u8) -> ConfChange {
        assert!(
            server > 0 && server as usize <= MAX_MEMBERS,
            "there is no such server"
        );
        let mut shift = 2;
        while self.0 >> shift != 0 {
            shift += 5;
        }
        assert!(shift < 2 + 5 * Self::MOST, "the change is full");
        ConfChange(self.0 | (kind << 3 | server as u32) << shift)
    }

    /// Its bits, at most 27.
    pub(crate) const fn code(self) -> u32 {
        self.0
    }

    /// The change with these bits.
    pub(crate) const fn from_code(code: u32) -> ConfChange {
        ConfChange(code)
    }

    /// The single changes, in order.
    pub(crate) fn singles(self) -> impl Iterator<Item = Single> {
        let places = (0..Self::MOST).map(move |place| self.0 >> (2 + 5 * place) & 31);
        places.map_while(|place| {
            let id = Id::new((place & 7) as u8)?;
            match place >> 3 {
                1 => Some(Single::AddVoter(id)),
                2 => Some(Single::AddLearner(id)),
                _ => Some(Single::Remove(id)),
            }
        })
    }

    /// Whether it leaves the joint configuration.
    pub(crate) const fn leaves_joint(self) -> bool {
        self.0 == 0
    }

    /// Returns whether the joint configuration that it makes is left by itself; `None` if it makes none. Several
    /// changes need one.
    pub(crate) fn auto_leave(self) -> Option<bool> {
        match self.transition() {
            Transition::Auto => (self.singles().nth(1).is_some()).then_some(true),
            Transition::Implicit => Some(true),
            Transition::Explicit => Some(false),
        }
    }

    fn transition(self) -> Transition {
        match self.0 & 3 {
            0 => Transition::Auto,
            1 => Transition::Implicit,
            _ => Transition::Explicit,
        }
    }

    /// The servers that it is about.
    pub(crate) fn servers(self) -> impl Iterator<Item = Id> {
        self.singles().map(Single::server)
    }

    /// The same change of servers with other names.
    pub(crate) fn renamed(self, mut rename: impl FnMut(Id) -> Id) -> ConfChange {
        let renamed = ConfChange(self.0 & 3);
        self.singles()
            .fold(renamed, |renamed, single| match single {
                Single::AddVoter(id) => renamed.add_voter(rename(id).get()),
                Single::AddLearner(id) => renamed.add_learner(rename(id).get()),
                Single::Remove(id) => renamed.remove(rename(id).get()),
            })
    }
}

impl From<ConfChange> for vocabulary::ConfChange {
    fn from(change: ConfChange) -> vocabulary::ConfChange {
        let changes = change.singles().map(|single| match single {
            Single::AddVoter(id) => ConfChangeSingle::AddVoter(id.into()),
            Single::AddLearner(id) => ConfChangeSingle::AddLearner(id.into()),
            Single::Remove(id) => ConfChangeSingle::Remove(id.into()),
        });
        vocabulary::ConfChange {
            changes: Cow::Owned(changes.collect()),
            transition: change.transition(),
        }
    }
}

impl fmt::Display for ConfChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        vocabulary::ConfChange::from(*self).fmt(f)
    }
}

impl FromStr for ConfChange {
    type Err = String;

    /// As in the vocabulary, for servers that a cluster can have.
    fn from_str(text: &str) -> Result<ConfChange, String> {
        let change: vocabulary::ConfChange = text
            .parse()
            .map_err(|error: vocabulary::NoConfChange| error.to_string())?;
        ConfChange::try_from(&change).map_err(|error| format!("{text}: {error}"))
    }
}

impl TryFrom<&vocabulary::ConfChange> for ConfChange {
    type Error = OutOfRange;

    fn try_from(change: &vocabulary::ConfChange) -> Result<ConfChange, OutOfRange> {
        let changes = &change.changes;
        let odd = changes.is_empty() && !change.transition.is_auto();
        if odd || changes.len() > ConfChange::MOST {
            return Err(OutOfRange);
        }
        let mut made = ConfChange::default();
        for single in changes.iter() {
            let server = member(single.server())?.get();
            made = match single {
                ConfChangeSingle::AddVoter(_) => made.add_voter(server),
                ConfChangeSingle::AddLearner(_) => made.add_learner(server),
                ConfChangeSingle::Remove(_) => made.remove(server),
            };
        }
        Ok(match change.transition {
            Transition::Auto => made,
            Transition::Implicit => made.implicit(),
            Transition::Explicit => made.explicit(),
        })
    }
}

impl fmt::Debug for ConfChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use lockstep_traces::Show;
        f.write_str(&vocabulary::ConfChange::from(*self).show())
    }
}

#[cfg(test)]
mod tests;

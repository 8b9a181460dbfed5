//! Ticks and jitter: the only place that knows about time.

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::config::Config;
use crate::core::{Core, TimerEvent, TimerReset};
use crate::error::Error;
use crate::observer::{Input, Observer};
use crate::storage::Storage;
use crate::types::Role;

/// Counts ticks for a [`Core`] and tells it when timers fire.
///
/// A follower or candidate campaigns when it has not heard from a leader for its own random
/// timeout, drawn from `election_timeout..2 * election_timeout` anew whenever it enters a term, or a
/// role other than pre-candidate (Raft §5.2). A leader sends heartbeats and checks its quorum at fixed intervals.
#[derive(Clone, Debug)]
pub struct Timer {
    election_timeout_ticks: u32,
    heartbeat_timeout_ticks: u32,
    /// Ticks since the last contact with a leader, or since the last quorum check.
    election_elapsed_ticks: u32,
    /// At a leader: ticks since the last heartbeat.
    heartbeat_elapsed_ticks: u32,
    /// Invariant: `election_timeout <= randomized < 2 * election_timeout`, unless set from outside.
    randomized_timeout_ticks: u32,
    jitter: SmallRng,
}

impl Timer {
    /// A timer with the intervals of this configuration, which must be valid.
    pub fn new(config: &Config) -> Timer {
        let mut timer = Timer {
            election_timeout_ticks: config.election_timeout_ticks,
            heartbeat_timeout_ticks: config.heartbeat_timeout_ticks,
            election_elapsed_ticks: 0,
            heartbeat_elapsed_ticks: 0,
            randomized_timeout_ticks: 0,
            jitter: SmallRng::seed_from_u64(config.seed),
        };
        timer.redraw();
        timer
    }

    /// One tick passes.
    ///
    /// # Errors
    ///
    /// [`Error::Storage`].
    pub fn tick<S: Storage, O: Observer>(&mut self, core: &mut Core<S, O>) -> Result<(), Error> {
        match core.role() {
            Role::Leader => self.tick_leader(core),
            _ => self.tick_follower(core),
        }
    }

    fn tick_follower<S: Storage, O: Observer>(
        &mut self,
        core: &mut Core<S, O>,
    ) -> Result<(), Error> {
        self.tick_quiesced(core)?;
        if self.election_elapsed_ticks >= self.randomized_timeout_ticks && core.promotable() {
            self.election_elapsed_ticks = 0;
            self.raise(core, TimerEvent::ElectionTimeout)?;
        }
        Ok(())
    }

    fn tick_leader<S: Storage, O: Observer>(&mut self, core: &mut Core<S, O>) -> Result<(), Error> {
        self.heartbeat_elapsed_ticks += 1;
        self.election_elapsed_ticks += 1;
        if self.election_elapsed_ticks >= self.election_timeout_ticks {
            self.election_elapsed_ticks = 0;
            self.raise(core, TimerEvent::CheckQuorum)?;
        }
        if core.role() == Role::Leader
            && self.heartbeat_elapsed_ticks >= self.heartbeat_timeout_ticks
        {
            self.heartbeat_elapsed_ticks = 0;
            self.raise(core, TimerEvent::HeartbeatDue)?;
        }
        Ok(())
    }

    /// One tick passes in a group that is known to be idle: no heartbeat, no campaign, no quorum
    /// check. Dangerous, since nobody notices when the leader fails.
    ///
    /// # Errors
    ///
    /// [`Error::Storage`].
    pub fn tick_quiesced<S: Storage, O: Observer>(
        &mut self,
        core: &mut Core<S, O>,
    ) -> Result<(), Error> {
        self.election_elapsed_ticks = self.election_elapsed_ticks.saturating_add(1);
        if core.role() != Role::Leader && self.election_elapsed_ticks == self.election_timeout_ticks
        {
            self.raise(core, TimerEvent::LeaseExpired)?;
        }
        Ok(())
    }

    fn raise<S: Storage, O: Observer>(
        &mut self,
        core: &mut Core<S, O>,
        event: TimerEvent,
    ) -> Result<(), Error> {
        core.show_input(Input::Timer(event));
        let result = core.on_timer(event);
        core.show_effect(&result, None);
        self.follow(result?);
        Ok(())
    }

    /// Does what an input to the core returned for its timers.
    pub fn follow(&mut self, reset: TimerReset) {
        if reset.election {
            self.election_elapsed_ticks = 0;
        }
        if reset.heartbeat {
            self.heartbeat_elapsed_ticks = 0;
        }
        if reset.redraw {
            self.redraw();
        }
    }

    fn redraw(&mut self) {
        let timeout = self.election_timeout_ticks;
        self.randomized_timeout_ticks = timeout + self.jitter.random_range(0..timeout);
    }

    /// The plain election timeout, in ticks.
    pub fn election_timeout_ticks(&self) -> u32 {
        self.election_timeout_ticks
    }

    /// The interval of heartbeats, in ticks.
    pub fn heartbeat_timeout_ticks(&self) -> u32 {
        self.heartbeat_timeout_ticks
    }

    /// Ticks since the last contact with a leader or, at a leader, since the last quorum check.
    pub fn election_elapsed_ticks(&self) -> u32 {
        self.election_elapsed_ticks
    }

    /// At a leader: ticks since the last heartbeat.
    pub fn heartbeat_elapsed_ticks(&self) -> u32 {
        self.heartbeat_elapsed_ticks
    }

    /// The election timeout that is in force until the next change of role or term, in ticks.
    pub fn randomized_election_timeout_ticks(&self) -> u32 {
        self.randomized_timeout_ticks
    }

    /// Sets the election timeout that is in force until the next change of role or term. A hook
    /// for tests that need to know who campaigns first.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc_support/servers.rs"));
    /// # fn main() -> Result<(), Error> {
    /// # let mut node = group(&[1, 2], |_| {})?.remove(1);
    /// node.timer_mut().set_randomized_election_timeout_ticks(3);
    /// node.tick()?;
    /// node.tick()?;
    /// assert_eq!(node.basic_status().soft_state.role, Role::Follower);
    /// node.tick()?;
    /// assert_eq!(node.basic_status().soft_state.role, Role::Candidate);
    /// # Ok(())
    /// # }
    /// ```
    pub fn set_randomized_election_timeout_ticks(&mut self, ticks: u32) {
        self.randomized_timeout_ticks = ticks;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::MemoryStorage;
    use crate::types::{Body, ConfState, Index, Message, MessageKind, NodeId, Term};
    use bytes::Bytes;

    fn id(id: u64) -> NodeId {
        NodeId::new(id).unwrap()
    }

    /// Server 1 of two voters, or a learner of those.
    fn server(change: impl FnOnce(&mut Config), learner: bool) -> (Timer, Core<MemoryStorage>) {
        let mut config = Config::new(id(1));
        config.election_timeout_ticks = 5;
        config.heartbeat_timeout_ticks = 2;
        change(&mut config);
        let (voters, learners) = match learner {
            true => (vec![id(2), id(3)], vec![id(1)]),
            false => (vec![id(1), id(2)], vec![]),
        };
        let conf_state = ConfState {
            voters,
            learners,
            ..ConfState::default()
        };
        let core = Core::new(&config, MemoryStorage::with_conf_state(conf_state)).unwrap();
        (Timer::new(&config), core)
    }

    fn message(body: Body) -> Message {
        Message {
            from: id(2),
            to: id(1),
            term: Term(1),
            body,
        }
    }

    fn hear(timer: &mut Timer, core: &mut Core<MemoryStorage>) {
        let heartbeat = Body::Heartbeat {
            commit: Index(0),
            context: Bytes::new(),
        };
        timer.follow(core.step(message(heartbeat)).unwrap());
    }

    /// Persists everything and returns what would be sent.
    fn work(timer: &mut Timer, core: &mut Core<MemoryStorage>) -> Vec<Message> {
        let mut messages = Vec::new();
        while core.has_ready() {
            let ready = core.ready().unwrap();
            core.storage_mut().append(ready.entries).unwrap();
            messages.extend(ready.messages);
            timer.follow(core.advance().unwrap());
        }
        messages
    }

    #[test]
    fn a_follower_campaigns_after_a_random_timeout() {
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..64 {
            let (mut timer, mut core) = server(|config| config.seed = seed, false);
            let expected = timer.randomized_election_timeout_ticks();
            let mut ticks = 0;
            while core.role() == Role::Follower {
                timer.tick(&mut core).unwrap();
                ticks += 1;
            }
            assert_eq!(ticks, expected);
            assert_eq!(timer.election_elapsed_ticks(), 0);
            seen.insert(ticks);
        }
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), [5, 6, 7, 8, 9]);
    }

    #[test]
    fn the_longest_election_timeout_can_be_drawn() {
        for seed in 0..64 {
            let mut config = Config::new(id(1));
            (config.election_timeout_ticks, config.seed) = (u32::MAX / 2, seed);
            assert_eq!(config.validate(), Ok(()));
            let timer = Timer::new(&config);
            assert!(timer.randomized_election_timeout_ticks() >= u32::MAX / 2);
        }
    }

    #[test]
    fn the_same_seed_repeats_the_same_timeouts() {
        let timeouts = || {
            let (mut timer, mut core) = server(|config| config.seed = 7, false);
            let next = |_| {
                while core.term() == Term(0) || timer.election_elapsed_ticks() > 0 {
                    timer.tick(&mut core).unwrap();
                }
                timer.tick(&mut core).unwrap();
                timer.randomized_election_timeout_ticks()
            };
            (0..20).map(next).collect::<Vec<_>>()
        };
        assert_eq!(timeouts(), timeouts());
    }

    #[test]
    fn contact_with_a_leader_starts_the_timeout_again() {
        let (mut timer, mut core) = server(|_| (), false);
        for _ in 0..100 {
            for _ in 0..4 {
                timer.tick(&mut core).unwrap();
            }
            hear(&mut timer, &mut core);
        }
        assert_eq!((core.role(), core.term()), (Role::Follower, Term(1)));
    }

    #[test]
    fn a_set_timeout_holds_until_the_next_change() {
        let (mut timer, mut core) = server(|_| (), false);
        timer.set_randomized_election_timeout_ticks(2);
        timer.tick(&mut core).unwrap();
        assert_eq!(core.role(), Role::Follower);
        timer.tick(&mut core).unwrap();
        assert_eq!(core.role(), Role::Candidate);
        assert!(timer.randomized_election_timeout_ticks() >= 5);
    }

    #[test]
    fn a_learner_never_campaigns() {
        let (mut timer, mut core) = server(|_| (), true);
        for _ in 0..100 {
            timer.tick(&mut core).unwrap();
        }
        assert_eq!(core.role(), Role::Follower);
    }

    #[test]
    fn a_leader_sends_heartbeats_and_checks_its_quorum() {
        let (mut timer, mut core) = server(|config| config.check_quorum = true, false);
        timer.follow(core.campaign().unwrap());
        work(&mut timer, &mut core);
        let vote = message(Body::RequestVoteResponse { granted: true });
        timer.follow(core.step(vote).unwrap());
        work(&mut timer, &mut core);
        assert_eq!(core.role(), Role::Leader);
        let mut sent = Vec::new();
        for tick in 1..=12 {
            timer.tick(&mut core).unwrap();
            let messages = work(&mut timer, &mut core);
            if messages
                .iter()
                .any(|message| message.kind() == MessageKind::Heartbeat)
            {
                sent.push(tick);
            }
        }
        // The other one was never heard from since the election: the first check, after five
        // ticks, ends it.
        assert_eq!(sent, [2, 4]);
        assert_ne!(core.role(), Role::Leader);
    }

    #[test]
    fn quiesced_ticks_let_the_lease_end_and_nothing_else() {
        let (mut timer, mut core) = server(|config| config.check_quorum = true, false);
        hear(&mut timer, &mut core);
        for tick in 1..=20 {
            assert_eq!(core.lease_live(), tick <= 5);
            timer.tick_quiesced(&mut core).unwrap();
        }
        assert_eq!(core.role(), Role::Follower);
    }
}

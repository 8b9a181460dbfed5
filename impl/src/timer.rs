//! Ticks and jitter: the only place that knows about time.

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::config::Config;
use crate::core::{Core, TimerEvent};
use crate::error::Error;
use crate::observer::Observer;
use crate::storage::Storage;
use crate::types::Role;

/// Counts ticks for a [`Core`] and tells it when timers fire.
///
/// A follower or candidate campaigns when it has not heard from a leader for its own random
/// timeout, drawn from `election_timeout..2 * election_timeout` anew whenever its role or term
/// changes (Raft §5.2). A leader sends heartbeats and checks its quorum at fixed intervals.
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
            self.raise(core, TimerEvent::ElectionTimeoutPassed)?;
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
            self.raise(core, TimerEvent::ElectionTimeoutPassed)?;
        }
        Ok(())
    }

    fn raise<S: Storage, O: Observer>(
        &mut self,
        core: &mut Core<S, O>,
        event: TimerEvent,
    ) -> Result<(), Error> {
        let result = core.on_timer(event);
        self.follow(core);
        result
    }

    /// Does what the core asks of its timers; to be called after every input to the core.
    pub fn follow<S: Storage, O: Observer>(&mut self, core: &mut Core<S, O>) {
        let reset = core.take_timer_reset();
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
    pub fn set_randomized_election_timeout_ticks(&mut self, ticks: u32) {
        self.randomized_timeout_ticks = ticks;
    }
}

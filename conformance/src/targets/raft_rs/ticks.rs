//! The library driven by ticks, with its own timers.
//!
//! The library draws its election timeouts from a generator of the thread, which nobody can seed; a walk has to
//! follow from its seed alone. So it draws from a range that is far wider than what is allowed, and in the place of
//! each value that it drew the adapter puts one of its own into force, by `set_randomized_election_timeout`. That
//! function is public and hidden from the documentation: it is there for tests. What the library drew is almost never
//! the value in force, so that a draw is seen by it.

use super::{RaftRs, RaftRsServer, Ticks};
use crate::target::{Description, Needs, Reaction, Target, TargetError, TargetServer};
use crate::walk::{Call, Seen, TickServer, TickTarget, Timers, Timing};
use lockstep_model::Dialect;
use lockstep_traces::{Config, Outcome, Output, ServerId};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

/// One more than the longest timeout that the library draws by itself: a draw of the value in force happens once in a
/// thousand million times.
const DRAWN_BELOW: usize = 1 << 30;

impl TickTarget for RaftRs {
    fn description(&self) -> Description {
        Target::description(self)
    }

    fn dialect(&self) -> Dialect {
        Target::dialect(self)
    }

    fn lacks(&self, needs: &Needs) -> Vec<&'static str> {
        Target::lacks(self, needs)
    }

    fn start(
        &self,
        config: &Config,
        id: ServerId,
        timing: &Timing,
    ) -> Result<Box<dyn TickServer>, TargetError> {
        let ticks = Ticks {
            election: timing.election_ticks as usize,
            heartbeat: timing.heartbeat_ticks as usize,
            drawn_below: DRAWN_BELOW,
        };
        let mut server = Ticking {
            server: self.start_with(config, id, ticks)?,
            jitter: SmallRng::seed_from_u64(timing.seed),
            election_ticks: timing.election_ticks,
            randomized_ticks: 0,
        };
        server.put_into_force();
        Ok(Box::new(server))
    }
}

/// One server with its timers.
struct Ticking {
    server: RaftRsServer,
    /// The timeouts that are put into force.
    jitter: SmallRng,
    election_ticks: u32,
    /// The one that is.
    randomized_ticks: u32,
}

impl Ticking {
    /// Puts the next timeout into force.
    fn put_into_force(&mut self) {
        let range = self.election_ticks..2 * self.election_ticks;
        self.randomized_ticks = self.jitter.random_range(range);
        let raft = &mut self.server.node.raft;
        raft.set_randomized_election_timeout(self.randomized_ticks as usize);
    }
}

impl TickServer for Ticking {
    fn randomized_ticks(&self) -> Option<u32> {
        Some(self.randomized_ticks)
    }

    fn call(&mut self, call: Call<'_>) -> Result<Seen, TargetError> {
        let reaction = match call {
            Call::Tick(_) => self.server.react(|server| {
                server.node.tick();
                Ok(Outcome::Accepted)
            }),
            Call::Input(input) => self.server.apply(input),
        }?;
        let output = match reaction {
            Reaction::Driven(output) => output,
            // It has not changed; the comparison says whether it must have.
            Reaction::NotDriven { .. } => Output::default(),
        };
        let in_force = self.server.node.raft.randomized_election_timeout();
        let drawn = in_force != self.randomized_ticks as usize;
        if drawn {
            self.put_into_force();
        }
        let raft = &self.server.node.raft;
        Ok(Seen {
            output,
            timers: Some(Timers {
                election_elapsed_ticks: Some(count(raft.election_elapsed)?),
                heartbeat_elapsed_ticks: Some(count(raft.heartbeat_elapsed())?),
                randomized_ticks: self.randomized_ticks,
                drawn,
            }),
            view: self.server.view()?,
        })
    }
}

fn count(ticks: usize) -> Result<u32, TargetError> {
    let failed = |_| TargetError::Failed(format!("a timer counts {ticks} ticks"));
    u32::try_from(ticks).map_err(failed)
}

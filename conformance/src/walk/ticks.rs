//! Targets that are walked by ticks: those whose servers keep their own timers, and, for all others, a clock that
//! the harness keeps for them.

use super::jitter::Jitter;
use crate::target::{
    Description, Needs, Output, Reaction, Target, TargetError, TargetServer, apply_caught,
};
use lockstep_model::Dialect;
use lockstep_traces::{Config, Input, NodeView, Outcome, ServerId};

/// The timeouts of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Ticks between the checks of a quorum, and the shortest election timeout.
    pub election_ticks: u32,
    /// Ticks between heartbeats.
    pub heartbeat_ticks: u32,
    /// The seed of the election timeout's jitter; no two servers have the same.
    pub seed: u64,
    /// The seed of the walk, for whatever a target varies from walk to walk.
    pub walk: u64,
}

/// An event at a server in a walk.
#[derive(Clone, Copy, Debug)]
pub enum Call<'a> {
    /// A tick, at which the server must raise these timer events, in this order.
    Tick(&'a [Input]),
    /// An input that is no timer event.
    Input(&'a Input),
}

/// The observation of a server after a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Everything that left it.
    pub output: Output,
    /// Its state.
    pub view: NodeView,
    /// Its timers; `None` if it does not keep them itself.
    pub timers: Option<Timers>,
}

/// The state of a server's timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timers {
    /// Ticks since the last contact with a leader or, at a leader, since the last quorum check. `None` if it shows
    /// them to nobody: that the timer fires when it must is compared all the same.
    pub election_elapsed_ticks: Option<u32>,
    /// At a leader: ticks since the last heartbeat. `None` as above.
    pub heartbeat_elapsed_ticks: Option<u32>,
    /// The random election timeout that is in force.
    pub randomized_ticks: u32,
    /// Whether that was drawn in the course of the call.
    pub drawn: bool,
}

/// A server that is given ticks.
pub trait TickServer {
    /// The random election timeout that is in force; `None` if the server does not keep its timers itself.
    fn randomized_ticks(&self) -> Option<u32>;

    /// Makes the call, does everything that follows from it, and looks.
    ///
    /// # Errors
    ///
    /// [`TargetError::Failed`] if the server broke down.
    fn call(&mut self, call: Call<'_>) -> Result<Seen, TargetError>;
}

/// A target whose servers are given ticks. Implement it for servers that keep their own timers, so that these
/// are compared too; every other [`Target`] is walked as [`HarnessClock`].
pub trait TickTarget {
    /// Name, version and visible fields of the implementation.
    fn description(&self) -> Description;

    /// As [`Target::dialect`].
    fn dialect(&self) -> Dialect {
        Dialect::ETCD
    }

    /// As [`Target::lacks`].
    fn lacks(&self, needs: &Needs) -> Vec<&'static str> {
        needs.beyond_the_first().collect()
    }

    /// Whether [`TickTarget::jitter`] has a sample.
    fn draws(&self) -> bool {
        false
    }

    /// A sample of the random timeouts that it draws, for a target that draws them; `None` also if the work is to
    /// stop.
    fn jitter(&self) -> Option<Jitter> {
        None
    }

    /// A new server, as [`Target::start`] makes one, with these timers.
    ///
    /// # Errors
    ///
    /// [`TargetError::Setup`] if the implementation cannot be started with this configuration.
    fn start(
        &self,
        config: &Config,
        id: ServerId,
        timing: &Timing,
    ) -> Result<Box<dyn TickServer>, TargetError>;
}

/// Any target, with a clock that the harness keeps for its servers: when a timer must fire, they are given the
/// event. What they do is compared, and not when.
#[derive(Clone, Copy, Debug)]
pub struct HarnessClock<T>(pub T);

impl<T: Target> TickTarget for HarnessClock<T>
where
    T::Server: 'static,
{
    fn description(&self) -> Description {
        self.0.description()
    }

    fn dialect(&self) -> Dialect {
        self.0.dialect()
    }

    fn lacks(&self, needs: &Needs) -> Vec<&'static str> {
        self.0.lacks(needs)
    }

    fn start(
        &self,
        config: &Config,
        id: ServerId,
        _: &Timing,
    ) -> Result<Box<dyn TickServer>, TargetError> {
        Ok(Box::new(Untimed(self.0.start(config, id)?)))
    }
}

/// A server that is told when its timers fire.
struct Untimed<S>(S);

impl<S: TargetServer> TickServer for Untimed<S> {
    fn randomized_ticks(&self) -> Option<u32> {
        None
    }

    fn call(&mut self, call: Call<'_>) -> Result<Seen, TargetError> {
        let inputs = match call {
            Call::Tick(events) => events,
            Call::Input(input) => std::slice::from_ref(input),
        };
        let mut all = Output {
            outcome: Outcome::Accepted,
            sent: Vec::new(),
            handed: Vec::new(),
            read_states: Vec::new(),
        };
        for input in inputs {
            match apply_caught(&mut self.0, input)? {
                Reaction::Driven(mut output) => {
                    all.outcome = output.outcome;
                    all.sent.append(&mut output.sent);
                    all.handed.append(&mut output.handed);
                    all.read_states.append(&mut output.read_states);
                }
                // It has not changed; the comparison says whether it was to.
                Reaction::NotDriven { .. } => {}
            }
        }
        Ok(Seen {
            output: all,
            view: self.0.view()?,
            timers: None,
        })
    }
}

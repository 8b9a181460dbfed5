//! The production Raft in a walk: with its own timer, driven as an application drives it.

use super::jitter::{self, Jitter};
use super::ticks::{Call, Seen, TickServer, TickTarget, Timers, Timing};
use crate::target::{Description, Output, Target, TargetError};
use crate::targets::lockstep_raft::{
    Application, LockstepRaft, Settled, failed, outcome, raft_config, to_raft, value, view,
};
use lockstep_raft::{MemoryStorage, RawNode};
use lockstep_traces::{Config, Input, Outcome, ServerId};

impl TickTarget for LockstepRaft {
    fn description(&self) -> Description {
        Target::description(self)
    }

    fn draws(&self) -> bool {
        true
    }

    fn jitter(&self) -> Option<Jitter> {
        jitter::sample()
    }

    fn start(
        &self,
        config: &Config,
        id: ServerId,
        timing: &Timing,
    ) -> Result<Box<dyn TickServer>, TargetError> {
        let setup = raft_config(config, id)?;
        let mut raft = setup.raft;
        raft.election_timeout_ticks = timing.election_ticks;
        raft.heartbeat_timeout_ticks = timing.heartbeat_ticks;
        raft.seed = timing.seed;
        // With the first three bits of the seed every combination of switches occurs both ways.
        raft.async_storage_writes = timing.walk & 8 != 0;
        // Committed entries come one by one, or all that there are.
        if timing.walk & 16 != 0 {
            raft.max_committed_bytes_per_ready = 1;
        }
        let application = Application::new(&setup.storage, raft.applied);
        let node = RawNode::new(&raft, setup.storage)
            .map_err(|error| TargetError::Setup(error.to_string()))?;
        Ok(Box::new(Server {
            group: config.clone(),
            config: raft,
            node,
            application,
        }))
    }
}

struct Server {
    group: Config,
    config: lockstep_raft::Config,
    node: RawNode<MemoryStorage>,
    application: Application,
}

impl TickServer for Server {
    fn randomized_ticks(&self) -> Option<u32> {
        Some(self.node.timer().randomized_election_timeout_ticks())
    }

    fn call(&mut self, call: Call<'_>) -> Result<Seen, TargetError> {
        let fires = matches!(call, Call::Tick(events) if events.contains(&Input::Timeout));
        // An input is what the result is about; of the events of a tick the last is.
        let last = match call {
            Call::Tick(events) => events.last(),
            Call::Input(input) => Some(input),
        };
        match call {
            Call::Tick(_) => self.see(fires, last, &RawNode::tick),
            Call::Input(Input::Propose(proposed)) => {
                let bytes = value(*proposed);
                self.see(fires, last, &|node| node.propose(bytes.clone()))
            }
            Call::Input(Input::Deliver(message)) => {
                let message = to_raft(message);
                self.see(fires, last, &|node| node.step(message.clone()))
            }
            Call::Input(Input::Restart) => {
                self.config.applied = self.application.applied();
                // Another process draws other numbers.
                self.config.seed = self.config.seed.wrapping_add(1 << 32);
                let config = self.config.clone();
                self.application = Application::new(self.node.core().storage(), config.applied);
                self.see(fires, last, &|node| {
                    *node = RawNode::new(&config, node.storage().clone())?;
                    Ok(())
                })
            }
            Call::Input(
                Input::Timeout | Input::LeaseExpire | Input::Heartbeat | Input::CheckQuorum,
            ) => Err(TargetError::Setup(
                "the target runs its own timers, so no input can fire them".to_owned(),
            )),
            Call::Input(
                Input::TransferLeadership { .. }
                | Input::ProposeConfChange(_)
                | Input::ForgetLeader
                | Input::Compact
                | Input::ReportUnreachable { .. }
                | Input::ReportSnapshot { .. }
                | Input::Persist
                | Input::Apply
                | Input::RestartKeeping { .. }
                | Input::ReadIndex { .. },
            ) => Err(TargetError::Setup("no walk makes this input".to_owned())),
        }
    }
}

type Made<'a> = &'a dyn Fn(&mut RawNode<MemoryStorage>) -> Result<(), lockstep_raft::Error>;

impl Server {
    /// Makes a call, does everything that follows from it, and looks.
    fn see(
        &mut self,
        fires: bool,
        input: Option<&Input>,
        call: Made<'_>,
    ) -> Result<Seen, TargetError> {
        // The same on a copy whose timeout is one that is never drawn: what becomes of it shows whether
        // there was a draw, where the value alone would not if the old one was drawn again.
        let mut copy = self.node.clone();
        let mark = if fires { 0 } else { u32::MAX };
        copy.timer_mut().set_randomized_election_timeout_ticks(mark);
        // The result is looked at below, of the server itself.
        let _ = call(&mut copy);
        self.application.clone().settle(&mut copy)?;
        let drawn = copy.timer().randomized_election_timeout_ticks() != mark;

        let node = &mut self.node;
        let result = call(node);
        let outcome = match input {
            Some(input) => outcome(result, input, node.core())?,
            None => {
                result.map_err(failed)?;
                Outcome::Accepted
            }
        };
        let Settled {
            sent,
            handed,
            read_states,
            ..
        } = self.application.settle(node)?;
        let timer = node.timer();
        Ok(Seen {
            output: Output {
                outcome,
                sent,
                handed,
                read_states,
            },
            view: view(node.core(), &self.application, &self.group)?,
            timers: Some(Timers {
                election_elapsed_ticks: Some(timer.election_elapsed_ticks()),
                heartbeat_elapsed_ticks: Some(timer.heartbeat_elapsed_ticks()),
                randomized_ticks: timer.randomized_election_timeout_ticks(),
                drawn,
            }),
        })
    }
}

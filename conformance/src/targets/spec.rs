//! The specification itself behind the trait: a control.
//!
//! That it agrees with itself proves nothing about Raft. It shows that the harness asks what it should
//! and finds what is planted (see [`crate::planted`]), and replaying a trace on it tells whether the
//! trace says what the specification says today.

use crate::compare::Wanted;
use crate::digest::digest_of;
use crate::target::{Description, Fork, Needs, Reaction, Target, TargetError, TargetServer};
use lockstep_model::{Server, Settings};
use lockstep_traces::{Config, Expected, Field, Input, NodeView, ServerId};

/// The specification as a target.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spec;

impl Target for Spec {
    type Server = SpecServer;

    fn description(&self) -> Description {
        Description::new("spec", env!("CARGO_PKG_VERSION"), Field::ALL)
    }

    fn lacks(&self, _: &Needs) -> Vec<&'static str> {
        Vec::new()
    }

    fn start(&self, config: &Config, id: ServerId) -> Result<SpecServer, TargetError> {
        let settings =
            Settings::new(config).map_err(|error| TargetError::Setup(error.to_string()))?;
        Ok(SpecServer::new(settings, id))
    }
}

/// One server of the specification.
#[derive(Clone, Debug)]
pub struct SpecServer {
    settings: Settings,
    server: Server,
}

impl SpecServer {
    pub(crate) fn new(settings: Settings, id: ServerId) -> SpecServer {
        SpecServer {
            server: Server::new(&settings, id),
            settings,
        }
    }
}

impl TargetServer for SpecServer {
    fn apply(&mut self, input: &Input) -> Result<Reaction, TargetError> {
        let before = self.server.view(&self.settings).applied;
        let step = self.server.step(&self.settings, input);
        self.server = step.server;
        let expected = Expected {
            outcome: step.outcome,
            view: self.server.view(&self.settings),
            sent: step.sent,
            read_states: step.read_states,
        };
        let output = Wanted::new(&expected, before).output.into_owned();
        Ok(Reaction::Driven(output))
    }

    fn view(&mut self) -> Result<NodeView, TargetError> {
        Ok(self.server.view(&self.settings))
    }
}

impl Fork for SpecServer {
    fn fork(&self) -> SpecServer {
        self.clone()
    }

    fn digest(&self) -> u128 {
        digest_of(&self.server)
    }
}

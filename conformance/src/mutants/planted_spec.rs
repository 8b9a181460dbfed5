//! The specification with a mistake planted, as a target: to replay what was recorded from it.

use crate::target::{Description, Target, TargetError};
use crate::targets::spec::{Spec, SpecServer};
use lockstep_model::{Mutation, Settings};
use lockstep_traces::{Config, ServerId};

/// The specification with one mistake of the catalogue.
#[derive(Clone, Copy, Debug)]
pub struct MistakenSpec(pub Mutation);

impl Target for MistakenSpec {
    type Server = SpecServer;

    fn description(&self) -> Description {
        let mut description = Spec.description();
        let text = format!("a mistake was planted: {}", self.0.what());
        description.dialect.push(text);
        description
    }

    fn start(&self, config: &Config, id: ServerId) -> Result<SpecServer, TargetError> {
        let settings =
            Settings::new(config).map_err(|error| TargetError::Setup(error.to_string()))?;
        Ok(SpecServer::new(settings.with_mutation(self.0), id))
    }
}

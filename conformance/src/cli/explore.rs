//! `lockstep explore`: stateright's Explorer over any preset, on loopback.

use super::error::CliError;
use super::model::ModelArgs;
use crate::report::steps::{describe, event};
use clap::Args;
use lockstep_model::{Action, Cluster, ClusterState};
use lockstep_traces::Expected;
use stateright::{Model, Property};
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

/// Options of `lockstep explore`.
#[derive(Debug, Args)]
pub struct ExploreArgs {
    #[command(flatten)]
    model: ModelArgs,
    /// The port on 127.0.0.1; 0 takes one that is free
    #[arg(long, value_name = "PORT", default_value_t = 3000)]
    port: u16,
}

/// Serves until the process is ended.
///
/// # Errors
/// The model does not exist, or the port is taken.
pub fn run(args: &ExploreArgs) -> Result<(), CliError> {
    let chosen = args.model.choose()?;
    let address = free(args.port)?;
    println!("{}: http://{address}/ (Ctrl-C ends it)", chosen.name);
    Readable::new(chosen.cluster)?.checker().serve(address);
    Ok(())
}

/// The address to listen on. The Explorer panics when it cannot have it, so it is tried first.
fn free(port: u16) -> Result<SocketAddr, CliError> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .and_then(|listener| listener.local_addr())
        .map_err(|error| CliError::Usage(format!("cannot listen on 127.0.0.1:{port}: {error}")))
}

/// The cluster, with actions that say in words what they do. An action of the cluster names a message
/// by its position, which only means something beside its state.
struct Readable {
    cluster: Cluster,
    properties: Vec<Property<Cluster>>,
}

#[derive(Clone, PartialEq)]
struct Labelled {
    action: Action,
    label: String,
}

impl fmt::Debug for Labelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.label)
    }
}

impl Readable {
    fn new(cluster: Cluster) -> Result<Readable, CliError> {
        let properties = cluster.properties();
        if properties.len() > CONDITIONS.len() {
            let text = format!("the Explorer shows at most {} properties", CONDITIONS.len());
            return Err(CliError::Usage(text));
        }
        Ok(Readable {
            cluster,
            properties,
        })
    }
}

impl Model for Readable {
    type State = ClusterState;
    type Action = Labelled;

    fn init_states(&self) -> Vec<ClusterState> {
        self.cluster.init_states()
    }

    fn actions(&self, state: &ClusterState, actions: &mut Vec<Labelled>) {
        let mut plain = Vec::new();
        self.cluster.actions(state, &mut plain);
        actions.extend(plain.into_iter().map(|action| Labelled {
            label: event(&self.cluster.event(state, &action)),
            action,
        }));
    }

    fn next_state(&self, state: &ClusterState, action: Labelled) -> Option<ClusterState> {
        self.cluster.next_state(state, action.action)
    }

    fn format_step(&self, state: &ClusterState, action: Labelled) -> Option<String> {
        let transition = self.cluster.apply(state, &action.action);
        let Some(server) = transition.moved else {
            return Some("only the network changes".to_owned());
        };
        let view = |state: &ClusterState| state.server(server).view(self.cluster.settings());
        let expected = Expected {
            outcome: transition.outcome,
            view: view(&transition.next),
            sent: transition.sent,
        };
        Some(describe(&view(state), &expected))
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let both = self.properties.iter().zip(CONDITIONS);
        both.map(|(property, condition)| Property {
            expectation: property.expectation.clone(),
            name: property.name,
            condition,
        })
        .collect()
    }

    fn within_boundary(&self, state: &ClusterState) -> bool {
        self.cluster.within_boundary(state)
    }
}

type Condition = fn(&Readable, &ClusterState) -> bool;

/// The condition of the property at a position. stateright's properties are plain functions, which
/// cannot hold the property that they stand for; so there is one function a position.
fn condition<const POSITION: usize>(model: &Readable, state: &ClusterState) -> bool {
    let property = model.properties.get(POSITION);
    property.is_none_or(|property| (property.condition)(&model.cluster, state))
}

macro_rules! conditions {
    ($($position:literal)*) => { [$(condition::<$position>),*] };
}

const CONDITIONS: [Condition; 48] = conditions!(
    0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32 33 34 35
    36 37 38 39 40 41 42 43 44 45 46 47
);

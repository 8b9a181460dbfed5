//! A small state graph as DOT, for Graphviz.

use crate::explore::seek::{Reach, Sought, shortest};
use crate::words;
use lockstep_engine::SearchError;
use lockstep_model::{Action, Cluster, ClusterState};
use lockstep_traces::Role;
use std::collections::HashMap;
use std::fmt::Write;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// A state graph that is small enough to be looked at.
#[derive(Clone, Debug)]
pub struct Graph {
    /// The distinct states, the initial one first, in the order in which they were found.
    pub states: Vec<ClusterState>,
    /// State, what happens, state.
    pub edges: Vec<(usize, String, usize)>,
}

/// Why there is no graph.
#[derive(Debug, thiserror::Error)]
pub enum GraphError {
    /// It has more states than a picture can hold.
    #[error("the graph has more than {0} states; choose a smaller model or a higher limit")]
    TooLarge(u64),
    /// The search failed.
    #[error(transparent)]
    Search(#[from] SearchError),
}

impl Graph {
    /// Returns the graph of a cluster, if it has at most `most` states.
    ///
    /// # Errors
    ///
    /// It has more, or it could not be searched.
    pub fn of(cluster: &Cluster, most: u64) -> Result<Graph, GraphError> {
        let initial = cluster.initial();
        let seen = Mutex::new((
            Graph {
                states: vec![initial.clone()],
                edges: Vec::new(),
            },
            HashMap::from([(initial.clone(), 0)]),
        ));
        // The engine shows every transition within the bounds to its properties, new or not.
        let watch = |before: &ClusterState, action: &Action, after: &ClusterState| {
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            let (graph, numbers) = &mut *seen;
            let mut number = |state: &ClusterState| {
                *numbers.entry(state.clone()).or_insert_with(|| {
                    graph.states.push(state.clone());
                    graph.states.len() - 1
                })
            };
            let (from, to) = (number(before), number(after));
            let event = words::event(&cluster.event(before, action));
            graph.edges.push((from, event, to));
            false
        };
        let reach = Reach {
            threads: 1,
            states: most.saturating_add(1),
            time: Duration::from_secs(600),
        };
        let found = shortest(cluster, &initial, &watch, reach, |_, _| {
            std::ops::ControlFlow::Continue(())
        })?;
        let (graph, _) = seen.into_inner().unwrap_or_else(PoisonError::into_inner);
        match found {
            Sought::Nowhere { .. } if graph.states.len() as u64 <= most => Ok(graph),
            _ => Err(GraphError::TooLarge(most)),
        }
    }
}

/// The graph in DOT.
pub fn dot(graph: &Graph, cluster: &Cluster, name: &str) -> String {
    let mut out = String::new();
    let mut line = |text: std::fmt::Arguments<'_>| {
        writeln!(out, "{text}").expect("writing to a string does not fail");
    };
    line(format_args!("digraph {name:?} {{"));
    line(format_args!(
        "  rankdir=LR; node [shape=box, fontname=\"monospace\"];"
    ));
    for (number, state) in graph.states.iter().enumerate() {
        let servers = state.servers().map(|server| {
            let view = server.view(cluster.settings());
            let role = match view.role {
                Role::Follower => "F",
                Role::PreCandidate => "P",
                Role::Candidate => "C",
                Role::Leader => "L",
            };
            format!(
                "{}: {role} t{} {} c{}",
                server.id(),
                view.term,
                words::log(&view.log),
                view.commit
            )
        });
        let mut label = servers.collect::<Vec<_>>().join("\\l");
        label.push_str("\\l");
        for (message, copies) in state.network() {
            let times = if copies > 1 {
                format!(" ×{copies}")
            } else {
                String::new()
            };
            label.push_str(&format!("{}{times}\\l", words::message_sentence(&message)));
        }
        line(format_args!("  s{number} [label=\"{label}\"];"));
    }
    for (from, event, to) in &graph.edges {
        line(format_args!("  s{from} -> s{to} [label=\"{event}\"];"));
    }
    line(format_args!("}}"));
    out
}

//! `lockstep graph`: a small state graph as a picture.

use super::error::CliError;
use super::model::ModelArgs;
use super::outputs::Place;
use super::{side_file, streams};
use crate::export::{Graph, GraphError, dot};
use clap::Args;
use std::path::PathBuf;

/// Options of `lockstep graph`.
#[derive(Debug, Args)]
pub struct GraphArgs {
    #[command(flatten)]
    model: ModelArgs,
    /// Refuse a graph with more states than this
    #[arg(long, value_name = "N", default_value_t = 500)]
    max_states: u64,
    /// Write to this file instead of standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl GraphArgs {
    /// Returns the file of the graph, if one was asked for.
    pub fn places(&self) -> Vec<Place> {
        let out = self.out.iter();
        out.map(|path| Place::file("--out", path)).collect()
    }
}

/// Writes the graph in DOT, for Graphviz.
///
/// # Errors
/// The model does not exist, the graph is too large, or it cannot be written.
pub fn run(args: &GraphArgs) -> Result<(), CliError> {
    let chosen = args.model.choose()?;
    side_file::can_be_written(args.out.as_deref())?;
    let graph = Graph::of(&chosen.cluster, args.max_states).map_err(|error| match error {
        GraphError::Search(error) => CliError::Search(error),
        too_large @ GraphError::TooLarge(_) => CliError::Usage(too_large.to_string()),
    })?;
    let text = dot(&graph, &chosen.cluster, &chosen.name);
    streams::deliver(args.out.as_deref(), &text)
}

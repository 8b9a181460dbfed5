//! stateright's own search of the same model: the cross-check of the engine.

use super::check::LimitArgs;
use super::error::CliError;
use super::model::Chosen;
use super::progress::{INTERVAL, Reporter, Tick};
use crate::report::{Job, Status};
use stateright::{Checker, Expectation, HasDiscoveries, Model};
use std::time::{Duration, Instant};

/// Searches with stateright. It sees states only: the step properties are not checked, and the job
/// says so.
pub fn run(chosen: &Chosen, limits: &LimitArgs, progress: &Reporter) -> Result<Job, CliError> {
    progress.begin(format!("check {} with stateright", chosen.name));
    let clock = Instant::now();
    let cluster = chosen.cluster.clone();
    let properties = cluster.properties();
    // Its default is to end as soon as every property has an example, long before the space ends.
    let mut builder = cluster.checker().threads(limits.threads).finish_when(HasDiscoveries::AnyFailures);
    if let Some(states) = limits.max_states {
        builder = builder.target_state_count(usize::try_from(states).unwrap_or(usize::MAX).try_into().map_err(|_| CliError::Usage("--max-states must be at least 1".to_owned()))?);
    }
    if limits.max_depth.is_some() {
        let text = "stateright reads its depth bound as a pass; bound the model instead";
        return Err(CliError::Usage(text.to_owned()));
    }
    let deadline = limits.timeout.map(|seconds| clock + Duration::from_secs(seconds));
    let checker = builder.spawn_bfs();
    unimplemented!("{checker:p} {properties:p} {deadline:?} {INTERVAL:?}")
}

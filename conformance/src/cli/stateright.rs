//! stateright's own search of the same model: the cross-check of the engine.

use super::check::LimitArgs;
use super::error::CliError;
use super::model::Chosen;
use super::progress::{INTERVAL, Reporter, Tick};
use crate::path::steps_along;
use crate::report::{Job, Status};
use stateright::{Checker, Expectation, HasDiscoveries, Model};
use std::time::{Duration, Instant};

/// Searches with stateright. It sees states only: the step properties are not checked, and the job
/// says so.
///
/// # Errors
/// A limit was asked for that stateright does not keep, or there was nothing to check.
pub fn run(chosen: &Chosen, limits: &LimitArgs, progress: &Reporter) -> Result<Job, CliError> {
    if limits.max_depth.is_some() {
        let text = "stateright takes the end of its depth bound for the end of the space, and with \
                    several threads it loses states there; bound the model instead";
        return Err(CliError::Usage(text.to_owned()));
    }
    progress.begin(format!("check {} with stateright", chosen.name));
    let clock = Instant::now();
    // Its default is to end as soon as every property has an example, long before the space ends.
    let checker = (chosen.cluster.clone().checker())
        .threads(limits.threads)
        .finish_when(HasDiscoveries::AnyFailures)
        .spawn_bfs();
    let deadline = limits.timeout.map(Duration::from_secs);
    // The limits are kept here: stateright ignores its timeout with one thread. A search that is cut
    // off goes on in its threads until the process ends.
    let mut stopped_by = None;
    while !checker.is_done() {
        std::thread::sleep(INTERVAL.min(Duration::from_millis(20)));
        let distinct = checker.unique_state_count() as u64;
        let tick = Tick {
            done: distinct,
            unit: "states",
            note: format!("depth {}", checker.max_depth().saturating_sub(1)),
            ..Tick::default()
        };
        if progress.tick(&tick).is_break() {
            stopped_by = Some("interrupted");
        } else if deadline.is_some_and(|deadline| clock.elapsed() >= deadline) {
            stopped_by = Some("time");
        } else if limits.max_states.is_some_and(|limit| distinct >= limit) {
            stopped_by = Some("states");
        }
        if stopped_by.is_some() {
            break;
        }
    }
    let checker = if stopped_by.is_none() {
        Ok(checker.join())
    } else {
        Err(checker)
    };
    match &checker {
        Ok(done) => job(chosen, done, None, clock.elapsed()),
        Err(cut) => job(chosen, cut, stopped_by, clock.elapsed()),
    }
}

fn job(
    chosen: &Chosen,
    checker: &impl Checker<lockstep_model::Cluster>,
    stopped_by: Option<&str>,
    elapsed: Duration,
) -> Result<Job, CliError> {
    let generated = checker.state_count();
    if stopped_by.is_none() && generated <= chosen.cluster.init_states().len() {
        let text = "nothing was checked: the search took no transition within the bound";
        return Err(CliError::Usage(text.to_owned()));
    }
    let discoveries = checker.discoveries();
    let properties = chosen.cluster.properties();
    let always = |it: &&stateright::Property<_>| matches!(it.expectation, Expectation::Always);
    let violated = (properties.iter().filter(always))
        .find_map(|it| Some((it.name, discoveries.get(it.name)?.clone())));
    let (status, verdict) = match (&violated, stopped_by) {
        (Some((name, path)), _) => {
            let depth = path.clone().into_actions().len();
            (
                Status::Violated,
                format!("violated ({name}, {depth} steps)"),
            )
        }
        (None, Some(limit)) => (Status::Stopped, format!("bounded ({limit})")),
        (None, None) => (Status::Holds, "exhausted".to_owned()),
    };
    let mut job = Job::new(
        "check",
        format!("{} with stateright", chosen.name),
        status,
        verdict,
    );
    job.seconds = elapsed.as_secs_f64();
    job.fact("purpose", chosen.purpose.as_str());
    job.fact("protocol", chosen.switches());
    job.fact("bounds", chosen.bounds());
    job.fact("distinct states", checker.unique_state_count());
    // As the other engine counts: transitions within the boundary, initial states left out.
    job.fact(
        "transitions",
        generated.saturating_sub(chosen.cluster.init_states().len()),
    );
    // Its paths are not the shortest with several threads.
    job.fact(
        "greatest depth searched",
        checker.max_depth().saturating_sub(1),
    );
    let rate = checker.unique_state_count() as f64 / elapsed.as_secs_f64().max(f64::EPSILON);
    job.fact("states per second", rate as u64);
    for property in properties.iter().filter(always) {
        match (&violated, stopped_by) {
            (Some((name, _)), _) if *name == property.name => {
                job.failed(
                    *name,
                    Status::Violated,
                    "the last state of the path violates it",
                );
            }
            (None, None) => job.passed(property.name),
            _ => {
                let text = "not violated in what was searched";
                job.failed(property.name, Status::Stopped, text);
            }
        }
    }
    if let Some((name, path)) = violated {
        let actions = path.into_actions();
        let steps = steps_along(&chosen.cluster, &actions);
        let title = "A path to the violation, not the shortest";
        super::check::explain(&mut job, chosen, name, title, &steps);
    }
    job.notes
        .push("stateright sees states only: step properties were not checked".to_owned());
    Ok(job)
}

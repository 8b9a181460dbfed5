//! The traces that are checked in below `traces/corpus/`, and how each is made.
//!
//! * `witness-*`: the shortest way to each witness of the specification, in the preset that it names.
//! * `action-*`: the shortest way to each kind of event that does something.
//! * `story-*`: what the paper and the thesis tell at length, told as they tell it, and what no preset has
//!   within its bound.
//!
//! They are made by the specification and never edited by hand: a test makes them again and fails if
//! they have changed. Whoever rewrites them should understand the difference first.

mod actions;
mod stories;
pub(crate) mod story;

use crate::path::{provenance, steps_along};
use crate::stop;
use lockstep_engine::{Search, SearchError};
use lockstep_model::properties::{Witness, witnesses};
use lockstep_model::{Action, Cluster, Preset, Settings, SettingsError};
use lockstep_traces::{Header, Trace};
use std::time::Duration;

/// The interval at which a request to stop is looked for.
const LOOK: Duration = Duration::from_millis(200);

/// The command that makes the corpus, as the traces name it.
const GENERATOR: &str = "lockstep generate --cover corpus";

/// Why the corpus cannot be made. Each is a mistake in this module or in the specification.
#[derive(Debug, thiserror::Error)]
pub enum CorpusError {
    /// A witness names a preset that does not exist.
    #[error("the witness {witness} names the preset {preset}, which does not exist")]
    NoPreset {
        /// The witness.
        witness: String,
        /// The preset.
        preset: String,
    },
    /// A preset does not reach a witness that names it.
    #[error("the preset {preset} does not reach the witness {witness}")]
    NotReached {
        /// The witness.
        witness: String,
        /// The preset.
        preset: String,
    },
    /// A kind of event does nothing within the bound.
    #[error("no {0} does anything within the bound")]
    NoSuchAction(String),
    /// A story does not go as it is told.
    #[error("in the story {story}: {what}")]
    Story {
        /// Its name.
        story: String,
        /// The step that could not happen.
        what: String,
    },
    /// It was asked to stop.
    #[error("interrupted")]
    Interrupted,
    /// The search failed.
    #[error(transparent)]
    Search(#[from] SearchError),
    /// The specification does not take a configuration.
    #[error(transparent)]
    Settings(#[from] SettingsError),
}

/// Makes the whole corpus, sorted by name.
///
/// # Errors
///
/// Something that must be reachable is not.
pub fn corpus(threads: usize) -> Result<Vec<Trace>, CorpusError> {
    let mut traces = Vec::new();
    for preset in Preset::all() {
        traces.extend(witness_traces(preset, threads)?);
    }
    let strangers = witnesses()
        .iter()
        .find(|it| Preset::named(it.preset).is_none());
    if let Some(it) = strangers {
        return Err(CorpusError::NoPreset {
            witness: it.name.to_owned(),
            preset: it.preset.to_owned(),
        });
    }
    traces.extend(actions::traces()?);
    traces.extend(stories::traces()?);
    traces.sort_by(|left, right| left.header.name.cmp(&right.header.name));
    Ok(traces)
}

/// The shortest way to every witness that names this preset.
fn witness_traces(preset: &Preset, threads: usize) -> Result<Vec<Trace>, CorpusError> {
    let wanted: Vec<&Witness> = witnesses()
        .iter()
        .filter(|it| it.preset == preset.name)
        .collect();
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let cluster = Cluster::new(Settings::new(&preset.config)?, preset.bounds);
    let names = wanted.iter().map(|it| it.name);
    let searched = Search::new(&cluster)
        .threads(threads)
        .only(names)
        .on_progress(LOOK, |_| stop::flow())
        .run()?;
    if stop::requested() {
        return Err(CorpusError::Interrupted);
    }
    let found = searched.witnesses;
    let made = |it: &&Witness| {
        let way = found.iter().find(|(name, _)| name == it.name);
        let (_, way) = way.ok_or_else(|| CorpusError::NotReached {
            witness: it.name.to_owned(),
            preset: preset.name.to_owned(),
        })?;
        let actions: Vec<Action> = way.actions().copied().collect();
        let name = format!("witness-{}", it.name.trim_end_matches("_reachable"));
        let purpose = format!("The shortest way to where {}.", it.story);
        Ok(trace(
            &cluster,
            &name,
            &purpose,
            Some(preset.name),
            &actions,
        ))
    };
    wanted.iter().map(made).collect()
}

/// A trace of the corpus.
fn trace(
    cluster: &Cluster,
    name: &str,
    purpose: &str,
    preset: Option<&str>,
    actions: &[Action],
) -> Trace {
    let config = cluster.settings().config();
    let header = Header::new(
        name,
        purpose,
        config,
        provenance(GENERATOR, preset, cluster),
    );
    Trace {
        header,
        steps: steps_along(cluster, actions),
    }
}

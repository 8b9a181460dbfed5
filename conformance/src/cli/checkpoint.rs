//! The options of checkpoints, for every verb that explores.

use super::outputs::Place;
use super::progress::Reporter;
use crate::report::Job;
use clap::Args;
use lockstep_engine::{Checkable, Search};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The folder of checkpoints, and the wish to go on from one.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Checkpoints")]
pub struct CheckpointArgs {
    /// Keep a checkpoint in this folder
    #[arg(long, value_name = "DIR", conflicts_with = "plant")]
    checkpoint: Option<PathBuf>,
    /// Seconds between checkpoints
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 60,
        requires = "checkpoint"
    )]
    checkpoint_every: u64,
    /// Go on from the checkpoint
    #[arg(long, requires = "checkpoint")]
    pub resume: bool,
}

impl CheckpointArgs {
    /// Whether one is kept.
    pub fn are_kept(&self) -> bool {
        self.checkpoint.is_some()
    }

    /// The folder, and how often.
    pub fn kept(&self) -> Option<(&Path, Duration)> {
        let folder = self.checkpoint.as_deref()?;
        Some((folder, Duration::from_secs(self.checkpoint_every)))
    }

    /// Says at once that there is nothing to go on from, before the search begins that may take hours.
    pub fn begin(&self, progress: &Reporter) {
        let Some(folder) = self.checkpoint.as_deref().filter(|_| self.resume) else {
            return;
        };
        let mut entries = fs::read_dir(folder).into_iter().flatten();
        if entries.next().is_none() {
            progress.warn(format!(
                "{}: there is no checkpoint to go on from: it starts from the beginning",
                folder.display()
            ));
        }
    }

    /// `search` with checkpoints as they were asked for.
    pub fn of<'a, M: Checkable>(&self, search: Search<'a, M>) -> Search<'a, M> {
        match self.kept() {
            Some((folder, interval)) => search.checkpoint(folder, interval).resume(self.resume),
            None => search,
        }
    }

    /// Says that a search that was to go on started from the beginning, if it did; `resumed_at` is the number of
    /// states that it knew from the checkpoint.
    pub fn note(&self, job: &mut Job, resumed_at: Option<u64>) {
        if self.resume && resumed_at.is_none() {
            let text = "there was no checkpoint to go on from: it started from the beginning";
            job.notes.push(text.to_owned());
        }
    }

    /// The place of the checkpoint.
    pub fn places(&self) -> impl Iterator<Item = Place> {
        let checkpoint = self.checkpoint.iter();
        checkpoint.map(|path| Place::folder("--checkpoint", path))
    }
}

//! `lockstep validate`: recorded runs against the specification.

use super::error::CliError;
use super::files;
use super::outputs::Place;
use super::progress::Reporter;
use crate::report::human::grouped;
use crate::report::{Job, Status};
use crate::stop;
use crate::validate::{Answer, Options, Validation, validate};
use clap::{Args, ValueEnum};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// What the names of recorded runs end in.
const EXTENSION: &str = "ndjson";

/// The most folders inside each other that are looked into.
const MOST_DEPTH: usize = 16;

/// Options of `lockstep validate`.
#[derive(Debug, Args)]
pub struct ValidateArgs {
    /// Recorded runs, or directories of them (files that end in .ndjson); `-` is standard input
    #[arg(required = true, value_name = "FILE|DIR")]
    paths: Vec<PathBuf>,
    /// PreVote was on or off; if unknown, both are tried
    #[arg(long, value_name = "on|off")]
    pre_vote: Option<Switch>,
    /// CheckQuorum was on or off; if unknown, both are tried
    #[arg(long, value_name = "on|off")]
    check_quorum: Option<Switch>,
    /// Storage was asynchronous (AsyncStorageWrites) or not; if unknown, both are tried
    #[arg(long, value_name = "on|off")]
    async_storage: Option<Switch>,
    /// The most appends in flight to a peer (MaxInflightMsgs); if unknown, limits are tried where the run needs one
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_inflight: Option<u32>,
    /// A leader that is removed stepped down (StepDownOnRemoval)
    #[arg(long)]
    step_down_on_removal: bool,
    /// The most explanations that are kept of a line; more end the validation as `bounded`
    #[arg(long, value_name = "N", default_value_t = crate::validate::MOST_EXPLANATIONS as u32,
        value_parser = clap::value_parser!(u32).range(1..))]
    max_explanations: u32,
}

/// A setting that is on or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Switch {
    On,
    Off,
}

impl ValidateArgs {
    /// What is read.
    pub fn places(&self) -> Vec<Place> {
        let files = self.paths.iter().filter(|path| !is_standard_input(path));
        files.map(|path| Place::read("FILE", path)).collect()
    }

    fn options(&self) -> Options {
        let known = |it: Option<Switch>| it.map(|it| it == Switch::On);
        Options {
            pre_vote: known(self.pre_vote),
            check_quorum: known(self.check_quorum),
            async_storage: known(self.async_storage),
            max_inflight: self.max_inflight,
            step_down_on_removal: self.step_down_on_removal,
            most_explanations: self.max_explanations as usize,
        }
    }
}

fn is_standard_input(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// Validates every run that was named.
///
/// # Errors
/// A file cannot be read or is no recorded run, or a directory holds none.
pub fn run(args: &ValidateArgs, _: &Reporter) -> Result<Vec<Job>, CliError> {
    let mut files = Vec::new();
    for path in &args.paths {
        match is_standard_input(path) {
            true => files.push(PathBuf::from("/dev/stdin")),
            false => files.extend(runs(path)?),
        }
    }
    let options = args.options();
    let mut jobs = Vec::new();
    for file in files {
        let clock = Instant::now();
        let name = file.display().to_string();
        let bytes = files::read(&file)
            .map_err(|error| CliError::Input(format!("{name}: cannot be read: {error}")))?;
        let validation = validate(&bytes, &options, &stop::requested)
            .map_err(|error| CliError::Input(format!("{name}: {error}")))?;
        let mut job = job(&name, &validation);
        job.seconds = clock.elapsed().as_secs_f64();
        jobs.push(job);
        if stop::requested() {
            break;
        }
    }
    Ok(jobs)
}

/// The runs that a path stands for, in order.
fn runs(path: &Path) -> Result<Vec<PathBuf>, CliError> {
    let unreadable = |path: &Path, error: std::io::Error| {
        CliError::Input(format!("{}: cannot be read: {error}", path.display()))
    };
    let is_folder = fs::metadata(path).map_err(|error| unreadable(path, error))?;
    if !is_folder.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut found = Vec::new();
    let mut folders = vec![(path.to_owned(), 0)];
    while let Some((folder, depth)) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(|error| unreadable(&folder, error))? {
            let path = entry.map_err(|error| unreadable(&folder, error))?.path();
            if path.is_dir() {
                if depth < MOST_DEPTH {
                    folders.push((path, depth + 1));
                }
            } else if path.extension().is_some_and(|it| it == EXTENSION) {
                found.push(path);
            }
        }
    }
    found.sort();
    match found.is_empty() {
        true => Err(CliError::Input(format!(
            "{}: the directory holds no .{EXTENSION} file, so nothing was validated",
            path.display()
        ))),
        false => Ok(found),
    }
}

/// The report on one run.
fn job(name: &str, it: &Validation) -> Job {
    let status = it.answer.verdict().status();
    let mut job = Job::new("validate", name, status, it.to_string());
    job.fact("lines explained", it.explained);
    if it.skipped > 0 {
        job.fact("lines that are no events", it.skipped);
    }
    job.fact("most explanations of a line", it.most_explanations);
    let kinds: Vec<String> = it
        .kinds
        .iter()
        .map(|(kind, count)| format!("{kind} {}", grouped(*count as u64)))
        .collect();
    if !kinds.is_empty() {
        job.notes
            .push(format!("kinds of line: {}", kinds.join(", ")));
    }
    if let Answer::Valid { silent, under } = &it.answer {
        job.fact("silent inputs", *silent);
        for under in under {
            job.notes.push(format!("valid under: {under}"));
        }
    }
    job.notes.extend(it.why.iter().cloned());
    let assertion = "the specification allows the run";
    match status {
        Status::Holds => job.passed(assertion),
        status => job.failed(assertion, status, it.to_string()),
    }
    job.detail = serde_json::to_value(it).unwrap_or_default();
    job
}

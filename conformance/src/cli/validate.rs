//! `lockstep validate`: recorded runs against the specification.

use super::error::CliError;
use super::files;
use super::outputs::Place;
use super::progress::Reporter;
use super::replay::passed_over;
use crate::report::human::grouped;
use crate::report::{Job, Status};
use crate::show::Story;
use crate::stop;
use crate::validate::{Answer, Options, ToldRun, Validation, validate};
use crate::words::SaidDifference;
use clap::{Args, ValueEnum};
use lockstep_traces::{PassedOver, TraceFiles, Why, trace_files};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

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
    /// Returns the files that are read.
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

/// Validates every run that was named. One that cannot be read is a result like the others.
///
/// # Errors
/// A path cannot be read, or is a directory that holds no run; or the first file is no recorded run.
pub fn run(args: &ValidateArgs, progress: &Reporter) -> Result<Vec<Job>, CliError> {
    let mut found = TraceFiles::default();
    for path in &args.paths {
        match is_standard_input(path) {
            true => found.traces.push(PathBuf::from("/dev/stdin")),
            false => found.append(trace_files(path)?),
        }
    }
    let files = once_each(&mut found);
    let options = args.options();
    for (place, file) in files.iter().enumerate() {
        let name = file.display().to_string();
        progress.job("validate", &name, || {
            let mut job = validated(&name, file, &options)?;
            if place == 0 {
                passed_over(&mut job, &found.passed_over);
            }
            Ok(job)
        })?;
    }
    Ok(Vec::new())
}

/// The files, of which the user may have named one twice.
fn once_each(found: &mut TraceFiles) -> Vec<PathBuf> {
    let mut names: BTreeMap<PathBuf, PathBuf> = BTreeMap::new();
    let mut files = Vec::new();
    for path in std::mem::take(&mut found.traces) {
        let real = fs::canonicalize(&path).unwrap_or_else(|_| path.clone());
        match names.get(&real) {
            Some(first) => {
                let why = Why::SameAs(first.clone());
                found.passed_over.push(PassedOver { path, why });
            }
            None => {
                names.insert(real, path.clone());
                files.push(path);
            }
        }
    }
    files
}

fn validated(name: &str, file: &Path, options: &Options) -> Result<Job, CliError> {
    let clock = Instant::now();
    let bytes = files::read_text(file)
        .map_err(|error| CliError::Input(format!("{name}: cannot be read: {error}")))?;
    let validation = validate(&bytes, options, &stop::requested)
        .map_err(|error| CliError::Input(format!("{name}: {error}")))?;
    let mut job = job(name, &validation);
    job.seconds = clock.elapsed().as_secs_f64();
    Ok(job)
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
    if let Some(told) = &it.told {
        job.story = Some(Box::new(story(name, told)));
    }
    job.detail = serde_json::to_value(it).unwrap_or_default();
    job
}

/// The end of a run that is invalid, to be drawn.
fn story(name: &str, it: &ToldRun) -> Story {
    let Some(last) = it.lines.last() else {
        return Story::of_recorded(name, String::new(), &it.config, &[], &[]);
    };
    let number = last.line.number;
    let wrong = it.attempts.iter().map(|attempt| SaidDifference {
        what: attempt.inputs.clone(),
        expected: attempt.why.clone(),
        actual: last.line.to_string(),
    });
    let purpose = format!(
        "The recorded run up to line {number}, which the specification does not allow. Each server is shown as the \
         specification has it after the input that a line belongs to."
    );
    let wrong: Vec<_> = wrong.collect();
    Story::of_recorded(name, purpose, &it.config, &it.lines, &wrong)
}

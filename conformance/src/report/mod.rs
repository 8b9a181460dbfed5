//! The results of a run of the command line, as data. The renderers beside it ([`human`], [`json`], [`junit`]) are pure
//! functions of a [`Report`]; nothing else prints a result.

pub mod human;
pub mod json;
pub mod junit;
pub mod page;
pub mod steps;
pub mod summary;
#[cfg(test)]
mod tests;
pub mod visible;

use crate::DialectUse;
use crate::cli::exit::Exit;
use crate::properties::Violation;
use crate::show::Story;
use serde::Serialize;
use serde_json::Value;
use std::path::Path;
use steps::StepTable;

/// The version of the JSON form. A field more is the same version; anything else is a new one. Version 2
/// has the status `skipped`.
pub const REPORT_VERSION: u32 = 2;

/// Everything that one invocation did.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// [`REPORT_VERSION`].
    pub lockstep_report: u32,
    /// The version of Lockstep.
    pub lockstep: String,
    /// The subcommand.
    pub command: String,
    /// The status of all jobs together.
    pub status: Status,
    /// The exit code that belongs to it.
    pub exit_code: u8,
    /// Wall-clock time, in seconds.
    pub seconds: f64,
    /// The files that were asked for and could not be written, each with the reason. They leave the status
    /// as it is.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unwritten: Vec<String>,
    /// The traces that show what went wrong, the shortest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub traces: Vec<SavedTrace>,
    /// The jobs, in order.
    pub jobs: Vec<Job>,
}

/// A trace that shows what went wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SavedTrace {
    /// The kind and name of its job.
    pub job: String,
    /// The number of steps that it has.
    pub steps: usize,
    /// Its file.
    pub file: String,
}

impl SavedTrace {
    /// The traces of these jobs, the shortest first.
    fn of(jobs: &[Job]) -> Vec<SavedTrace> {
        let mut traces: Vec<_> = jobs.iter().filter_map(|job| job.trace.clone()).collect();
        traces.sort_by_key(|trace| trace.steps);
        traces
    }
}

impl Report {
    /// The report of these jobs. Without a job nothing was checked, and that never holds.
    pub fn new(command: &str, seconds: f64, jobs: Vec<Job>, unwritten: Vec<String>) -> Report {
        let worst = jobs.iter().map(|job| job.status).max();
        let status = worst.unwrap_or(Status::Stopped);
        Report {
            lockstep_report: REPORT_VERSION,
            lockstep: env!("CARGO_PKG_VERSION").to_owned(),
            command: command.to_owned(),
            status,
            exit_code: Exit::from(status).code(),
            seconds,
            unwritten: Vec::new(),
            traces: SavedTrace::of(&jobs),
            jobs,
        }
        .with_unwritten(unwritten)
    }

    /// The same, with files more that could not be written. A command that found nothing wrong has then not
    /// done all that was asked; every other exit code stays.
    #[must_use]
    pub fn with_unwritten(mut self, more: Vec<String>) -> Report {
        self.unwritten.extend(more);
        self.exit_code = self.exit().code();
        self
    }

    /// The exit code of the process.
    pub fn exit(&self) -> Exit {
        match Exit::from(self.status) {
            Exit::Holds if !self.unwritten.is_empty() => Exit::Usage,
            exit => exit,
        }
    }
}

/// The replacement of a report for a command that could not be carried out. The fields are those of a [`Report`], and
/// the reason; its only jobs are those of which a part was done.
#[derive(Clone, Debug, Serialize)]
pub struct Failure {
    lockstep_report: u32,
    lockstep: &'static str,
    command: String,
    status: &'static str,
    exit_code: u8,
    jobs: Vec<Job>,
    error: String,
}

impl Failure {
    /// That command, that reason.
    pub fn new(command: &str, error: &str, exit_code: u8) -> Failure {
        Failure {
            lockstep_report: REPORT_VERSION,
            lockstep: env!("CARGO_PKG_VERSION"),
            command: command.to_owned(),
            status: "error",
            exit_code,
            jobs: Vec::new(),
            error: error.to_owned(),
        }
    }

    /// The same, after a part of the work was done.
    #[must_use]
    pub fn after(mut self, part: Vec<Job>) -> Failure {
        self.jobs = part;
        self
    }
}

/// The status of a job, from the best to the worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Everything that was asked was answered, and the answer is yes.
    Holds,
    /// It was not done, for a reason that is no fault of what was to be checked. Nothing was established.
    Skipped,
    /// A limit ended the work before the answer; nothing bad was seen until then.
    Stopped,
    /// A property is violated, an implementation diverged, or something that had to be met was not.
    Violated,
}

impl Status {
    /// The status in a word, for people.
    pub fn word(self) -> &'static str {
        match self {
            Status::Holds => "holds",
            Status::Skipped => "skipped",
            Status::Stopped => "stopped",
            Status::Violated => "violated",
        }
    }
}

/// One piece of work with a verdict of its own: a search, a comparison, a trace that was replayed.
#[derive(Clone, Debug, Serialize)]
pub struct Job {
    /// The kind of work: `check`, `conform`, `replay`, `walk`, `generate`.
    pub kind: String,
    /// To what: a preset, a target, a file.
    pub name: String,
    /// The status.
    pub status: Status,
    /// The verdict with its bound, in the words of the documentation: `exhausted`,
    /// `bounded (states)`, `bisimilar within the bound`, `edges covered`, `sampled`, ….
    pub verdict: String,
    /// Wall-clock time, in seconds.
    pub seconds: f64,
    /// The facts that a reader looks for first, in order.
    pub facts: Vec<Fact>,
    /// The assertions, one by one.
    pub cases: Vec<Case>,
    /// More rows than fit into facts, such as states per depth.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<Table>,
    /// The uses of each entry of the target's dialect, if it has one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dialect: Vec<DialectUse>,
    /// The properties that are violated, each with the values that break it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub violations: Vec<Violation>,
    /// A path through the state graph that shows what went wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<StepTable>,
    /// The file with that path.
    #[serde(skip)]
    pub trace: Option<SavedTrace>,
    /// Expected and actual, where they differ.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub differences: Option<Table>,
    /// The same path, ready to be drawn.
    #[serde(skip)]
    pub story: Option<Box<Story>>,
    /// Shortest paths to the witnesses reached, ready to be drawn.
    #[serde(skip)]
    pub witnesses: Vec<Story>,
    /// Notes for people, in whole sentences.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// The commands in notes and facts. They are there to be copied, so no line of one is folded.
    #[serde(skip)]
    pub commands: Vec<String>,
    /// The full result of the library, for machines.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub detail: Value,
}

impl Job {
    /// A job whose answer was not reached, and why.
    pub fn not_reached(kind: &str, name: &str, why: &str) -> Job {
        let first = why.lines().next().unwrap_or_default();
        let mut job = Job::new(kind, name, Status::Stopped, format!("stopped ({first})"));
        job.failed("it was done to the end", Status::Stopped, why);
        job
    }

    /// A job about which nothing is known yet but what it is.
    pub fn new(kind: &str, name: impl Into<String>, status: Status, verdict: String) -> Job {
        Job {
            kind: kind.to_owned(),
            name: name.into(),
            status,
            verdict,
            seconds: 0.0,
            facts: Vec::new(),
            cases: Vec::new(),
            tables: Vec::new(),
            dialect: Vec::new(),
            violations: Vec::new(),
            steps: None,
            trace: None,
            differences: None,
            story: None,
            witnesses: Vec::new(),
            notes: Vec::new(),
            commands: Vec::new(),
            detail: Value::Null,
        }
    }

    /// Returns what it is about, as one line of people's text begins with it.
    pub fn title(&self) -> String {
        format!("{} {}", self.kind, self.name).trim().to_owned()
    }

    /// Names the file with the path that shows what went wrong, and how many steps it has.
    pub fn shown_by(&mut self, file: &Path, steps: usize) {
        self.trace = Some(SavedTrace {
            job: self.title(),
            steps,
            file: file.display().to_string(),
        });
    }

    /// Adds a note that ends in a command.
    pub fn command(&mut self, text: &str, command: impl Into<String>) {
        let command = command.into();
        self.notes.push(format!("{text}: {command}"));
        self.commands.push(command);
    }

    /// Adds a fact.
    pub fn fact(&mut self, name: &str, value: impl Into<Value>) {
        self.facts.push(Fact {
            name: name.to_owned(),
            value: value.into(),
        });
    }

    /// Adds an assertion that held.
    pub fn passed(&mut self, name: impl Into<String>) {
        self.cases.push(Case {
            name: name.into(),
            status: Status::Holds,
            so_far: false,
            message: None,
        });
    }

    /// Adds an assertion that held in what was done, which is not all that was asked: it is not decided.
    pub fn held_so_far(&mut self, name: impl Into<String>, message: impl Into<String>) {
        self.failed(name, Status::Stopped, message);
        self.cases
            .iter_mut()
            .last()
            .into_iter()
            .for_each(|case| case.so_far = true);
    }

    /// Adds an assertion that was not put to the test. It says nothing about the others.
    pub fn skipped(&mut self, name: impl Into<String>, message: impl Into<String>) {
        self.cases.push(Case {
            name: name.into(),
            status: Status::Skipped,
            so_far: false,
            message: Some(message.into()),
        });
    }

    /// Adds an assertion that did not hold, or was not decided. The job is no better than it.
    pub fn failed(&mut self, name: impl Into<String>, status: Status, message: impl Into<String>) {
        self.status = self.status.max(status);
        self.cases.push(Case {
            name: name.into(),
            status,
            so_far: false,
            message: Some(message.into()),
        });
    }
}

/// The values that break a property, as a table.
pub fn causes(violation: &Violation) -> Table {
    let rows = violation.causes.iter().map(|cause| {
        let with = cause.holds_with.as_deref();
        vec![
            cause.what.as_str().into(),
            cause.value.as_str().into(),
            with.into(),
        ]
    });
    let columns = ["what", "is", "it holds with"];
    let title = format!(
        "What breaks {} at step {}",
        violation.property, violation.step
    );
    Table::new(title, &columns, rows.collect()).shown()
}

/// States the step and server at which a property is violated, and the property.
pub fn sentence(violation: &Violation) -> String {
    let Violation {
        says,
        step,
        event,
        server,
        ..
    } = violation;
    let server = server.map_or_else(String::new, |server| format!(" at server {server}"));
    format!("step {step}, {event}{server}, violates it: {says}")
}

/// A name and a number, a word, or a list of words.
#[derive(Clone, Debug, Serialize)]
pub struct Fact {
    /// Its name, with its unit where it has one.
    pub name: String,
    /// The value.
    pub value: Value,
}

/// One assertion and what became of it.
#[derive(Clone, Debug, Serialize)]
pub struct Case {
    /// The assertion.
    pub name: String,
    /// Its fate.
    pub status: Status,
    /// It held in all that was done, which is not all that was asked.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub so_far: bool,
    /// Why it does not hold, or was not put to the test.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// A table with a title.
#[derive(Clone, Debug, Serialize)]
pub struct Table {
    /// The title of the rows.
    pub title: String,
    /// The heads of the columns.
    pub columns: Vec<String>,
    /// The cells, row by row.
    pub rows: Vec<Vec<Value>>,
    /// People see it without asking for everything.
    #[serde(skip)]
    pub shown: bool,
}

impl Table {
    /// A table that only those see who want everything.
    pub fn new(title: impl Into<String>, columns: &[&str], rows: Vec<Vec<Value>>) -> Table {
        Table {
            title: title.into(),
            columns: columns.iter().map(|name| (*name).to_owned()).collect(),
            rows,
            shown: false,
        }
    }

    /// The rows as plain lines, each value after the name of its column.
    pub fn to_text(&self) -> String {
        let lines = self.rows.iter().map(|row| {
            let cells = self.columns.iter().zip(row);
            let cells = cells.map(|(name, value)| {
                // What stands at the beginning of a line is ours.
                let value = human::plain(value).replace('\n', "\n    ");
                format!("{name}: {value}")
            });
            cells.collect::<Vec<_>>().join("\n  ")
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    /// The same table, for everybody.
    #[must_use]
    pub fn shown(mut self) -> Table {
        self.shown = true;
        self
    }
}

//! `lockstep show`: a trace as a table, a diagram, or a page.

use super::error::CliError;
use super::outputs::Place;
use super::side_file;
use super::streams::{self, say};
use super::target::TargetArgs;
use crate::TargetSpec;
use crate::export;
use crate::report::steps::StepTable;
use crate::report::visible;
use crate::show::{self, Story};
use crate::stop;
use clap::{Args, ValueEnum};
use lockstep_traces::{Trace, TraceReader};
use std::path::{Path, PathBuf};

/// Options of `lockstep show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// The trace
    #[arg(value_name = "TRACE")]
    trace: PathBuf,
    /// The form
    #[arg(long = "as", value_enum, default_value_t = Form::Table)]
    form: Form,
    /// Write to this file instead of standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Show this implementation beside what the trace expects, differences marked
    #[arg(long, value_name = "TARGET")]
    target: Option<TargetSpec>,
}

/// The form of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// A table of steps: event, changes, messages sent
    Table,
    /// A sequence diagram in text, for a terminal
    Text,
    /// A sequence diagram in SVG
    Svg,
    /// A sequence diagram for Mermaid
    Mermaid,
    /// A page with a step slider, the servers and the diagram; it needs nothing else
    Html,
    /// The Informal Trace Format of Apalache, in JSON
    Itf,
    /// A log with vector clocks, for `ShiViz`
    Shiviz,
}

impl ShowArgs {
    /// Returns the files that are read and those that are written.
    pub fn places(&self) -> Vec<Place> {
        let out = self.out.iter().map(|path| Place::file("--out", path));
        [Place::read("TRACE", &self.trace)]
            .into_iter()
            .chain(out)
            .collect()
    }
}

/// Shows one trace.
///
/// # Errors
/// The trace cannot be read, the target cannot be started, or the result cannot be written.
pub fn run(args: &ShowArgs, width: Option<u16>) -> Result<(), CliError> {
    if args.form == Form::Itf && args.target.is_some() {
        let text =
            "the Informal Trace Format has no place for a target beside what the trace expects";
        return Err(CliError::Usage(text.to_owned()));
    }
    let trace = read(&args.trace)?;
    side_file::can_be_written(args.out.as_deref())?;
    let mut story = Story::of_trace(&trace);
    let mut notes = Vec::new();
    if let Some(name) = &args.target {
        let target = TargetArgs::of(name).start()?;
        let beside = show::beside(&target, &trace.header.config, &trace.steps)?;
        beside.tell(&mut story);
        notes.push(match beside.first_difference() {
            Some(step) => format!("{name} differs first at step {}.", step + 1),
            None => format!("{name} agrees at every step."),
        });
    }
    let text = match args.form {
        // What a trace or a target says is shown on a terminal.
        Form::Table => visible::text(&table(&trace, &story, width)).into_owned(),
        Form::Text => {
            let text = show::diagram(&story, width.map_or(80, usize::from));
            visible::text(&text).into_owned()
        }
        Form::Svg => show::svg(&story),
        Form::Mermaid => show::mermaid(&story),
        Form::Html => show::page(&story, &notes),
        Form::Itf => export::itf(&trace),
        Form::Shiviz => export::shiviz(&story),
    };
    if matches!(args.form, Form::Table | Form::Text) && args.out.is_none() {
        notes.insert(0, story.purpose.clone());
        for note in &notes {
            say(visible::text(note));
        }
    }
    streams::deliver(args.out.as_deref(), &text)
}

/// The longest trace that is shown, in bytes: nobody reads one that is longer, and it may not fit into memory.
const MOST_BYTES: u64 = 64 << 20;

/// Reads a trace that can be shown.
fn read(path: &Path) -> Result<Trace, CliError> {
    let mut reader = TraceReader::open(path)?;
    let mut steps = Vec::new();
    while let Some(step) = reader.next() {
        steps.push(step?);
        if stop::requested() {
            return Err(CliError::Interrupted);
        }
        if reader.bytes() > MOST_BYTES {
            let text = format!(
                "{}: longer than {} MiB, which is too long to be shown; `lockstep replay` takes it",
                path.display(),
                MOST_BYTES >> 20
            );
            return Err(CliError::Input(text));
        }
    }
    let header = reader.header().clone();
    Ok(Trace { header, steps })
}

/// The step table, and below it what differs.
fn table(trace: &Trace, story: &Story, width: Option<u16>) -> String {
    use crate::report::human::{Style, render_table};
    let style = Style {
        width: width.or(Some(100)),
        ..Style::default()
    };
    let steps = StepTable::new(
        trace.header.name.clone(),
        &trace.header.config,
        &trace.steps,
    );
    let mut text = format!("{}\n", render_table(&steps.to_table(), style));
    for (number, step) in story.steps.iter().enumerate() {
        for it in &step.differences {
            let begin = format!("step {}: ", number + 1);
            let says = format!("{}: expected {}, is {}", it.what, it.expected, it.actual);
            text += &style.paragraph(&begin, &says);
            text.push('\n');
        }
    }
    text
}

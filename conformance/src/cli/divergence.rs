//! A divergence for people: the way there, and expected and actual, field by field.

use super::counterexample;
use super::model::Chosen;
use super::outputs::Place;
use super::progress::Reporter;
use super::side_file::SideFile;
use super::target::TargetArgs;
use crate::product::HiddenState;
use crate::replay::replay;
use crate::report::steps::{StepTable, count};
use crate::report::{Job, Table};
use crate::rules::rules_of_last_step;
use crate::show::Story;
use crate::words;
use crate::{Description, Difference, Divergence, Side, Target};
use clap::Args;
use lockstep_model::{Rule, Server};
use lockstep_traces::{Config, Event, Expected, Field, FieldSet, Input, Step, Trace};
use serde_json::Value;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// The default file for the trace to a divergence.
const USUAL_FILE: &str = "divergence.ndjson";

/// The option that says where the way to a divergence goes.
#[derive(Debug, Args)]
pub struct TraceOutArgs {
    /// File for the trace to a divergence [default: divergence.ndjson]; `verify` writes one for each job, with the name
    /// of the job before the extension
    #[arg(long, value_name = "FILE")]
    trace_out: Option<PathBuf>,
}

impl TraceOutArgs {
    /// The file, which is tried if it was asked for.
    pub fn file(&self, reporter: &Reporter) -> SideFile {
        match &self.trace_out {
            Some(path) => SideFile::named(path, reporter),
            None => SideFile::usual(USUAL_FILE),
        }
    }

    /// The files of these jobs, which are tried if they were asked for.
    pub fn files(&self, jobs: &[String], reporter: &Reporter) -> Vec<SideFile> {
        match &self.trace_out {
            Some(path) => SideFile::named_about(path, jobs, reporter),
            None => {
                let usual = SideFile::usual(USUAL_FILE);
                jobs.iter().map(|job| usual.about(job)).collect()
            }
        }
    }

    /// Returns the file of the trace.
    pub fn places(&self) -> Vec<Place> {
        let usual = Path::new(USUAL_FILE);
        let path = self.trace_out.as_deref().unwrap_or(usual);
        vec![Place::file("--trace-out", path)]
    }

    /// Returns the files of the traces of these jobs.
    pub fn places_of(&self, jobs: &[String]) -> Vec<Place> {
        let usual = Path::new(USUAL_FILE);
        let whole = SideFile::at(self.trace_out.as_deref().unwrap_or(usual));
        let files = jobs.iter().map(|job| whole.about(job));
        let places = files.map(|file| Place::file("--trace-out", file.path()));
        places.collect()
    }
}

/// Adds the facts on a target: its name and version, the fields compared, and those that it does not show.
pub fn target_facts(job: &mut Job, target: &Description) {
    job.fact("target", format!("{} {}", target.name, target.version));
    let names = |fields: FieldSet| -> Vec<&str> { fields.iter().map(Field::name).collect() };
    job.fact("fields compared", names(target.compared()));
    let missing = names(target.not_shown());
    if !missing.is_empty() {
        job.fact("fields not shown, so not compared", missing);
    }
    if !target.derived.is_empty() {
        let derived: Vec<_> = target.derived.keys().map(|field| field.name()).collect();
        job.fact("fields derived from others, so not counted", derived);
        for (field, reason) in &target.derived {
            job.notes.push(format!("{field} is derived: {reason}"));
        }
    }
    for sentence in &target.dialect {
        job.notes.push(sentence.clone());
    }
}

/// Summarises the differences in a line.
pub fn summary(found: &Divergence) -> String {
    summary_after(0, found)
}

/// The same for a trace of which the steps before those that are kept are left out.
pub fn summary_after(left_out: usize, found: &Divergence) -> String {
    let kinds: Vec<_> = found
        .differences
        .iter()
        .map(words::difference_name)
        .collect();
    let last = left_out + found.trace.steps.len();
    format!("step {last}: {}", kinds.join(", "))
}

/// The way to the divergence, and what differs there.
pub fn describe(job: &mut Job, found: &Divergence) {
    describe_after(job, 0, found);
}

/// The same for a trace of which the steps before those that are kept are left out.
pub fn describe_after(job: &mut Job, left_out: usize, found: &Divergence) {
    let steps = &found.trace.steps;
    let last = left_out + steps.len();
    let title = if left_out == 0 {
        let count = count(last);
        format!("The way to the divergence, {count}, as it is expected")
    } else {
        let shown = steps.len();
        format!("The last {shown} steps of the {last} to the divergence, as they are expected")
    };
    job.steps = Some(StepTable::new(title, &found.trace.header.config, steps).after(left_out));
    let at = steps
        .last()
        .map(|step| words::event(&step.event))
        .unwrap_or_default();
    job.fact("diverges at", format!("step {last}: {at}"));
    if let Some(side) = found.refused_by() {
        let side = match side {
            Side::Expected => "the specification only",
            Side::Target => "the target only",
            Side::Both => "both, for different reasons",
        };
        job.fact("the event is refused by", side);
    }
    // Both go by what all servers did from the beginning on.
    if left_out == 0 {
        job.story = Some(Box::new(Story::of_divergence(found)));
        name_rules(job, &found.trace.header.config, steps);
    }
    job.differences = Some(Table::new(
        format!("What differs after step {last}"),
        &["what", "expected", "actual"],
        found.differences.iter().map(row).collect(),
    ));
    job.detail = serde_json::json!({
        "differences": found.differences,
        "actual": found.actual,
    });
}

/// The rules that the last step applies, and where they are: the place to look at.
pub fn name_rules(job: &mut Job, config: &Config, steps: &[Step]) {
    let rules = rules_of_last_step(config, steps);
    if rules.is_empty() {
        return;
    }
    let names: Vec<_> = rules.iter().map(Rule::name).collect();
    job.fact("rules of the last step", names.join(", "));
    let row = |rule: Rule| {
        let etcd = rule.etcd();
        vec![
            rule.name().into(),
            rule.says().into(),
            rule.section().into(),
            rule.specification().to_string().into(),
            rule.production().to_string().into(),
            etcd.to_string().into(),
        ]
    };
    let columns = [
        "rule",
        "what it says",
        "from",
        "specification",
        "production Raft",
        "etcd's raft",
    ];
    let title = format!("Rules of step {}, and where they are", steps.len());
    job.tables
        .push(Table::new(title, &columns, rules.iter().map(row).collect()));
}

/// Two servers that the target's digest takes for one, and where they part.
pub fn describe_hidden(job: &mut Job, hidden: &HiddenState) {
    let inputs = |path: &[Input]| -> Vec<String> {
        let server = hidden.server;
        let events = path.iter().map(|input| Event::Server {
            server,
            input: input.clone(),
        });
        events.map(|event| words::event(&event)).collect()
    };
    let at = match &hidden.input {
        Some(input) => format!(
            "they part at {}",
            inputs(std::slice::from_ref(input)).join("")
        ),
        None => "their views differ already".to_owned(),
    };
    job.fact(
        "one digest for two states",
        format!("of server {}; {at}", hidden.server),
    );
    job.notes.push(format!(
        "the first way there: {}",
        inputs(&hidden.first_path).join(", ")
    ));
    job.notes.push(format!(
        "the second way there: {}",
        inputs(&hidden.second_path).join(", ")
    ));
    job.differences = Some(Table::new(
        "What differs between the two ways".to_owned(),
        &["what", "first way", "second way"],
        hidden.differences.iter().map(row).collect(),
    ));
}

/// Saves the way there as a trace and says how to replay it, or why it is not saved.
pub fn save(
    job: &mut Job,
    trace: &Trace,
    target: &TargetArgs,
    file: &SideFile,
    reporter: &Reporter,
) {
    counterexample::keep(job, trace, file, reporter, |path| {
        vec![("repeat it with", target.replay_command(path))]
    });
}

/// Of the two ways to one digest of a target with hidden state, the one on which it departs from the
/// specification; if neither does, the second, which a note says.
pub fn hidden_trace<T: Target>(
    job: &mut Job,
    hidden: &HiddenState,
    chosen: &Chosen,
    target: &T,
) -> Trace {
    let way = |inputs: &[Input]| hidden_way(chosen, hidden, inputs);
    let mut saved = way(&hidden.second_path);
    let mut departs = false;
    for trace in [way(&hidden.first_path), saved.clone()] {
        let read = [Ok((trace.header.name.clone(), trace))];
        // What was found stands, whether or not the target can be started again.
        let report = replay(target, read, &mut |_| ControlFlow::Continue(()));
        if let Some((_, found)) = report.ok().and_then(|report| report.divergence) {
            (saved, departs) = (found.trace, true);
        }
    }
    if !departs {
        let text = "either way, taken alone, does what the specification says: it is the digest that is \
                    wrong; the second way is saved";
        job.notes.push(text.to_owned());
    }
    saved
}

/// One of the two ways of a server to the same digest, and the input after it, as a trace.
fn hidden_way(chosen: &Chosen, hidden: &HiddenState, inputs: &[Input]) -> Trace {
    let settings = chosen.cluster.settings();
    let id = hidden.server;
    let mut server = Server::new(settings, id);
    let steps = inputs.iter().chain(&hidden.input).map(|input| {
        let step = server.step(settings, input);
        server = step.server;
        Step {
            event: Event::Server {
                server: id,
                input: input.clone(),
            },
            expected: Some(Expected {
                outcome: step.outcome,
                view: server.view(settings),
                sent: step.sent,
                read_states: step.read_states,
            }),
        }
    });
    let steps = steps.collect();
    let purpose = "one of two ways to the same digest, after which the target behaves differently";
    Trace {
        header: super::check::header(chosen, "hidden-state", purpose),
        steps,
    }
}

/// A difference as cells: what differs, expected, actual.
pub fn row(difference: &Difference) -> Vec<Value> {
    let said = words::difference(difference);
    vec![said.what.into(), said.expected.into(), said.actual.into()]
}

//! Seeded bugs: real mistakes, one at a time, and the rung of the ladder that catches each.
//!
//! A tool that looks for mistakes should say how many it finds. The [`catalogue`] lists mistakes that
//! real implementations and specifications of Raft shipped. Those that apply are written down as edits of
//! the production Raft and of the specification (`conformance/seeded/`), which the package
//! `lockstep-mutator` applies to copies of the sources; no other build has them. The ladder is climbed until
//! a rung catches the bug; the answer is data, and [`markdown`](report::markdown) makes the document for
//! people of it.
//!
//! Everything here that tries a bug runs in a process of the build with the bugs, in which one of them is
//! switched on.

pub mod catalogue;
mod control;
mod implementation;
pub mod report;
mod specification;
mod thin;

pub use control::try_control;
pub use implementation::try_implementation;
pub use specification::{search_for, try_specification};

use crate::rules::rules_of_last_step;
use crate::walk::WalkOptions;
use crate::words::brief;
use lockstep_model::Preset;
use lockstep_traces::Trace;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// The build with the seeded bugs, as `lockstep-mutator seeded` describes it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Build {
    /// The binary.
    pub program: PathBuf,
    /// Its bugs.
    pub bugs: Vec<Bug>,
    /// The rules of the specification, each as the bug that the specification has without it.
    pub rules: Vec<Bug>,
}

/// A seeded bug.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bug {
    /// The number by which it is switched on.
    pub number: usize,
    /// The text it is in.
    pub side: Side,
    /// Its name in the catalogue, with a letter where an entry is seeded in several ways.
    pub id: String,
    /// Its effect, in a sentence.
    pub what: String,
    /// The rules of the specification that it breaks, by name; none if no rule speaks of it.
    #[serde(default)]
    pub breaks: Vec<String>,
    /// Of a bug in the specification: a property that is violated, or a witness that is no longer reached.
    pub caught_by: Option<String>,
    /// The preset of that search.
    pub preset: Option<String>,
}

impl Bug {
    /// Its name in lists of both sides: `implementation EL-01`.
    pub fn key(&self) -> String {
        format!("{} {}", self.side, self.id)
    }
}

/// The steps of the ladder, the cheapest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rung {
    /// The corpus is replayed.
    Corpus,
    /// The preset `smoke`, exhaustively.
    Smoke,
    /// The other presets of `lockstep verify`, exhaustively, the smallest first.
    Ci,
    /// Random walks by ticks.
    Walks,
    /// The larger presets, up to a limit of states.
    Bigger,
}

impl Rung {
    /// Every rung, in order.
    pub const ALL: [Rung; 5] = [
        Rung::Corpus,
        Rung::Smoke,
        Rung::Ci,
        Rung::Walks,
        Rung::Bigger,
    ];
}

impl Rung {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Rung::Corpus => "corpus",
            Rung::Smoke => "smoke",
            Rung::Ci => "ci",
            Rung::Walks => "walks",
            Rung::Bigger => "bigger",
        }
    }

    /// The rung of that name.
    pub fn named(name: &str) -> Option<Rung> {
        Rung::ALL.into_iter().find(|it| it.name() == name)
    }
}

impl fmt::Display for Rung {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The text that a bug is seeded into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// In the production Raft.
    Implementation,
    /// In the specification.
    Specification,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Side::Implementation => "implementation",
            Side::Specification => "specification",
        })
    }
}

/// The result of trying one seeded bug.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Finding {
    /// The name in the catalogue, with a letter where an entry is seeded in several ways.
    pub id: String,
    /// The text it is in.
    pub side: Side,
    /// Its effect, in a sentence.
    pub what: String,
    /// The rules that it breaks, by name; none if no rule speaks of it.
    pub breaks: Vec<String>,
    /// The first rung that caught it, if any did.
    pub caught: Option<Caught>,
    /// Every run that sees it, if all of them were asked for.
    pub seen: Vec<Seen>,
    /// The sizes of the state graphs that were exhausted without noticing it, of a bug in the specification.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub graphs: Vec<Graph>,
    /// The search that must notice it, of a bug in the specification.
    pub searched: Option<Searched>,
    /// Seconds spent on all rungs that were tried.
    pub seconds: f64,
}

impl Finding {
    /// Its name in lists of both sides: `implementation EL-01`.
    pub fn key(&self) -> String {
        format!("{} {}", self.side, self.id)
    }

    /// Returns whether the step at which it shows names a rule that it breaks. `None` if no step shows it, or no rule
    /// speaks of it.
    pub fn names_its_rule(&self) -> Option<bool> {
        let caught = self.caught.as_ref().filter(|it| it.trace_ends)?;
        let named = |rule: &String| caught.rules.contains(rule);
        (!self.breaks.is_empty()).then(|| self.breaks.iter().any(named))
    }
}

/// The expected result for each bug, by side and name: a fall fails.
pub type Expected = BTreeMap<String, Known>;

/// The result for a bug when the list was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Known {
    /// The rung that caught it.
    pub by: Rung,
    /// As [`Finding::names_its_rule`].
    pub names_its_rule: Option<bool>,
}

/// A run that sees a bug, whatever the others see.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// The rung.
    pub rung: Rung,
    /// The preset, or what else was run.
    pub run: String,
    /// The fields that differ, or the property that is violated; empty where many things see it.
    pub by: String,
    /// The number of traces or walks that see it; one for a preset.
    pub times: u64,
    /// The number of traces or walks in all.
    pub of: u64,
    /// Events of the shortest way, if the run knows one.
    pub steps: usize,
    /// The events, each in a few words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub path: Vec<String>,
}

/// The size of the state graph of a preset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Graph {
    /// The preset.
    pub preset: String,
    /// Its distinct states.
    pub states: u64,
    /// Its transitions.
    pub transitions: u64,
}

/// The search of the preset that a bug in the specification names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Searched {
    /// The preset.
    pub preset: String,
    /// The property or witness that it looks at, and nothing else.
    pub only: String,
    /// Whether that is a property that is violated.
    pub violated: bool,
    /// Whether that is a witness that is reached.
    pub reached: bool,
    /// Whether a search without collapsed states has the same verdict.
    pub same_without_collapse: bool,
}

/// The circumstances in which a bug was caught.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Caught {
    /// By which rung.
    pub rung: Rung,
    /// The preset, or what else was run.
    pub run: String,
    /// The fields that differ, the property that is violated, or the panic.
    pub by: String,
    /// Whether the implementation broke down.
    pub panicked: bool,
    /// States visited in that run until then; zero where a run has none.
    pub states: u64,
    /// Seconds of that run until then.
    pub seconds: f64,
    /// Events of the trace that shows it, the last one included.
    pub steps: usize,
    /// Whether there is a trace at whose last step it shows.
    pub trace_ends: bool,
    /// The rules that this step applies: where the report sends its reader.
    pub rules: Vec<String>,
    /// Of a violated property: how many values were found that break it.
    pub causes: Option<usize>,
    /// The events, each in a few words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub path: Vec<String>,
    /// The trace; it ends where the mistake shows.
    #[serde(skip)]
    pub trace: Option<Trace>,
}

impl From<&Caught> for Seen {
    fn from(caught: &Caught) -> Seen {
        Seen {
            rung: caught.rung,
            run: caught.run.clone(),
            by: caught.by.clone(),
            times: 1,
            of: 1,
            steps: caught.steps,
            path: caught.path.clone(),
        }
    }
}

/// The names of the rules that the last step of a trace applies.
fn rules(trace: &Trace) -> Vec<String> {
    let rules = rules_of_last_step(&trace.header.config, &trace.steps);
    rules.iter().map(|rule| rule.name().to_owned()).collect()
}

/// The events of a trace, each in few words.
fn path(trace: &Trace) -> Vec<String> {
    let steps = trace.steps.iter();
    steps.map(|step| brief(&step.event)).collect()
}

/// The names of bugs with their sides, and the control, which needs no edit.
pub fn seeded<'a>(bugs: impl IntoIterator<Item = (Side, &'a str)>) -> Vec<(Side, &'a str)> {
    let control = [(Side::Specification, CONTROL)];
    bugs.into_iter().chain(control).collect()
}

/// The entry of the catalogue that is a control.
pub const CONTROL: &str = "SP-02";

/// States after which a run of the ladder gives up.
const MAX_STATES: u64 = 3_000_000;

fn smoke() -> &'static Preset {
    Preset::named("smoke").expect("there is a preset smoke")
}

/// The presets of a rung that searches.
fn presets(rung: Rung) -> Vec<&'static Preset> {
    match rung {
        Rung::Corpus | Rung::Walks => Vec::new(),
        Rung::Smoke => vec![smoke()],
        Rung::Ci => other_ci_presets().collect(),
        Rung::Bigger => bigger_presets().collect(),
    }
}

/// The presets of `lockstep verify` without `smoke`, the smallest first.
fn other_ci_presets() -> impl Iterator<Item = &'static Preset> {
    let place = |it: &&Preset| SMALLEST_FIRST.iter().position(|name| *name == it.name);
    let mut others: Vec<_> = Preset::all()
        .iter()
        .filter(|it| it.ci && it.name != "smoke")
        .collect();
    others.sort_by_key(|it| place(it).unwrap_or(usize::MAX));
    others.into_iter()
}

/// Presets by the size of their state graphs; one that is not in the list comes last.
const SMALLEST_FIRST: [&str; 15] = [
    "single",
    "narrow",
    "four",
    "votes",
    "window",
    "pipeline",
    "batch",
    "revote",
    "quorum",
    "lease",
    "pair",
    "conflict",
    "default",
    "flow",
    "overtaken",
];

/// The walks of the ladder: those of `lockstep verify`.
const WALKS: WalkOptions = WalkOptions {
    first_seed: 0,
    walks: 100,
    steps: 1_000,
    config: None,
};

fn bigger_presets() -> impl Iterator<Item = &'static Preset> {
    Preset::all().iter().filter(|it| !it.ci)
}

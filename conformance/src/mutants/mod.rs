//! Real mistakes, planted one at a time, and the rung of the ladder that catches each.
//!
//! A tool that looks for mistakes should say how many it finds. The [`catalogue`] lists mistakes that
//! real implementations and specifications of Raft shipped. Those that apply are planted, in the
//! production Raft and in the specification, behind the cargo feature `seeded-bugs`, which no release
//! has. The ladder is climbed until a rung catches the mistake; the answer is data, and
//! [`markdown`](report::markdown) makes the document for people of it.
//!
//! Not here: the places of the mistakes (one line each where they were made), and mechanical mutation.

pub mod catalogue;
pub mod report;

#[cfg(feature = "seeded-bugs")]
mod control;
#[cfg(feature = "seeded-bugs")]
mod implementation;
#[cfg(feature = "seeded-bugs")]
mod planted_spec;
#[cfg(feature = "seeded-bugs")]
mod specification;
// Its tests need no planted mistake.
#[cfg(any(test, feature = "seeded-bugs"))]
mod thin;

#[cfg(feature = "seeded-bugs")]
pub use control::try_control;
#[cfg(feature = "seeded-bugs")]
pub use implementation::try_implementation;
#[cfg(feature = "seeded-bugs")]
pub use planted_spec::MistakenSpec;
#[cfg(feature = "seeded-bugs")]
pub use specification::try_specification;

#[cfg(feature = "seeded-bugs")]
use lockstep_model::Preset;
use lockstep_traces::Trace;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The steps of the ladder, the cheapest first.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    clap::ValueEnum,
)]
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

impl fmt::Display for Rung {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Rung::Corpus => "corpus",
            Rung::Smoke => "smoke",
            Rung::Ci => "ci",
            Rung::Walks => "walks",
            Rung::Bigger => "bigger",
        })
    }
}

/// Where a mistake is planted.
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

/// What became of one planted mistake.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// The name in the catalogue, with a letter where an entry is planted in several ways.
    pub id: String,
    /// Where it is planted.
    pub side: Side,
    /// What the mistake does, in a sentence.
    pub what: String,
    /// What caught it, if anything did.
    pub caught: Option<Caught>,
    /// Seconds spent on all rungs that were tried.
    pub seconds: f64,
}

impl Finding {
    /// Its name in lists of both sides: `implementation EL-01`.
    pub fn key(&self) -> String {
        format!("{} {}", self.side, self.id)
    }
}

/// How a mistake was caught.
#[derive(Clone, Debug, Serialize)]
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
    /// The trace; it ends where the mistake shows.
    #[serde(skip)]
    pub trace: Option<Trace>,
}

/// Every mistake that is planted in this build, with its side.
#[cfg(feature = "seeded-bugs")]
pub fn planted() -> Vec<(Side, &'static str)> {
    let bugs = lockstep_raft::Bug::ALL.iter();
    let mutations = lockstep_model::Mutation::ALL.iter();
    bugs.map(|bug| (Side::Implementation, bug.id()))
        .chain(mutations.map(|it| (Side::Specification, it.id())))
        .chain([(Side::Specification, CONTROL)])
        .collect()
}

/// The entry of the catalogue that is a control.
#[cfg(feature = "seeded-bugs")]
pub const CONTROL: &str = "SP-02";

/// States after which a run of the ladder gives up.
#[cfg(feature = "seeded-bugs")]
const MAX_STATES: u64 = 3_000_000;

#[cfg(feature = "seeded-bugs")]
fn smoke() -> &'static Preset {
    Preset::named("smoke").expect("there is a preset smoke")
}

/// The presets of `lockstep verify` without `smoke`; `default`, the largest, last.
#[cfg(feature = "seeded-bugs")]
fn other_ci_presets() -> impl Iterator<Item = &'static Preset> {
    let others = || {
        Preset::all()
            .iter()
            .filter(|it| it.ci && it.name != "smoke")
    };
    let small = others().filter(|it| it.name != "default");
    small.chain(others().filter(|it| it.name == "default"))
}

#[cfg(feature = "seeded-bugs")]
fn bigger_presets() -> impl Iterator<Item = &'static Preset> {
    Preset::all().iter().filter(|it| !it.ci)
}

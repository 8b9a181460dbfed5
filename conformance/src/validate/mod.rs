//! Recorded runs against the specification: does it allow what really ran?
//!
//! One step function: every line is explained by states of the specification's servers, stepped by the functions that `check`
//! explores ([`lockstep_model::recorded`]). Nothing here says what a server does; this says which inputs a line may tell of.
//!
//! * [`mod@line`]: the format of etcd's raft, and nothing else of it.
//! * [`moment`]: the lines that the specification would have a recorder write.
//! * [`node`]: one server, with what its disk and its application have of it.
//! * [`told`]: the last lines of a run that is invalid, for a picture.
//! * [`world`]: one explanation of the lines so far, and what one more line makes of it.

pub(crate) mod fuzzing;
pub mod line;
pub mod moment;
pub mod node;
pub mod told;
pub mod world;

use crate::verdict::{Strength, Verdict};
use line::{Line, LineError};
use lockstep_model::{Configuration, Departure, Dialect, Settings};
use lockstep_traces::{Config, Reads, ServerSet, Storage};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use told::Told;
use world::{Assumed, Attempt, World};

/// Facts about a run that are known beside its lines.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// PreVote, if it is known.
    pub pre_vote: Option<bool>,
    /// CheckQuorum, if it is known.
    pub check_quorum: Option<bool>,
    /// Asynchronous storage writes, if it is known.
    pub async_storage: Option<bool>,
    /// The most appends in flight to a peer, if it is known.
    pub max_inflight: Option<u32>,
    /// Whether a leader that is removed steps down.
    pub step_down_on_removal: bool,
    /// The most explanations that are kept of a line; zero is [`MOST_EXPLANATIONS`].
    pub most_explanations: usize,
}

/// The most explanations that are kept of a line, if nobody says otherwise.
pub const MOST_EXPLANATIONS: usize = 256;

/// The most limits of appends in flight that are tried.
const MOST_LIMITS: usize = 12;

/// No limit that a run would meet.
const NO_LIMIT: u32 = 1 << 20;

/// Settings under which a run was validated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Under {
    /// PreVote.
    pub pre_vote: bool,
    /// CheckQuorum.
    pub check_quorum: bool,
    /// Asynchronous storage writes.
    pub async_storage: bool,
    /// The most appends in flight to a peer; none if the run meets no limit.
    pub max_inflight: Option<u32>,
    /// A rule of etcd's raft without which the run is not valid, and which is unsafe.
    pub departure: Option<&'static str>,
}

impl fmt::Display for Under {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let on = |on| if on { "on" } else { "off" };
        let storage = if self.async_storage {
            "asynchronous"
        } else {
            "synchronous"
        };
        let (pre_vote, check_quorum) = (on(self.pre_vote), on(self.check_quorum));
        write!(
            f,
            "PreVote {pre_vote}, CheckQuorum {check_quorum}, storage {storage}"
        )?;
        if let Some(limit) = self.max_inflight {
            write!(f, ", at most {limit} appends in flight")?;
        }
        if let Some(departure) = self.departure {
            write!(f, ", departure {departure}")?;
        }
        Ok(())
    }
}

/// The answer for a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Answer {
    /// The specification allows it.
    Valid {
        /// The number of inputs that it takes without a line: the least over all settings.
        silent: u64,
        /// The settings under which it is valid.
        under: Vec<Under>,
    },
    /// No settings explain a line.
    Invalid {
        /// The line.
        line: usize,
    },
    /// It is allowed up to a line, and a limit ends the validation there.
    Bounded {
        /// The line.
        line: usize,
        /// The limit.
        why: String,
    },
    /// It is allowed, but for the last line, which is not complete.
    Truncated {
        /// The number of complete lines.
        lines: usize,
    },
    /// There was nothing to validate.
    Nothing,
}

impl Answer {
    /// The verdict. What holds of a part says nothing of the whole.
    pub fn verdict(&self) -> Verdict {
        match self {
            Answer::Valid { .. } => Verdict::Holds(Strength::Sampled),
            Answer::Invalid { .. } => Verdict::Diverged,
            Answer::Bounded { .. } | Answer::Truncated { .. } => Verdict::InPart(Strength::Sampled),
            Answer::Nothing => Verdict::NothingChecked,
        }
    }
}

/// The answer for a run, and what a person wants to know of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Validation {
    /// The answer.
    #[serde(flatten)]
    pub answer: Answer,
    /// The number of lines that were explained.
    pub explained: usize,
    /// The number of lines that are no events of raft.
    pub skipped: usize,
    /// The servers of the specification by the names that the run gives them.
    pub names: Vec<u64>,
    /// The number of lines explained, by kind.
    pub kinds: BTreeMap<&'static str, usize>,
    /// The most explanations that a line had.
    pub most_explanations: usize,
    /// The reason that a run is invalid: the line in words, the last states, and why nothing goes on from them.
    pub why: Vec<String>,
    /// The last lines of a run that is invalid, for a picture.
    #[serde(skip)]
    pub told: Option<ToldRun>,
}

/// The end of a run that is invalid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToldRun {
    /// The configuration of the servers, as far as it is the same for all.
    pub config: Config,
    /// The lines; nothing explains the last one.
    pub lines: Vec<Told>,
    /// The inputs that were tried for it, and why they do not explain it.
    pub attempts: Vec<Attempt>,
}

impl fmt::Display for Validation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = self.explained;
        match &self.answer {
            Answer::Valid { silent, .. } => {
                write!(f, "valid ({lines} lines, {silent} silent inputs)")
            }
            Answer::Invalid { line } => write!(f, "invalid at line {line}"),
            Answer::Bounded { line, why } => write!(f, "bounded at line {line} ({why})"),
            Answer::Truncated { lines } => {
                write!(
                    f,
                    "truncated (valid up to line {lines}, the last line is not complete)"
                )
            }
            Answer::Nothing => f.write_str("nothing validated"),
        }
    }
}

/// The progress of one pass under one choice of settings.
struct Pass {
    explained: usize,
    ended: Ended,
    worlds: Vec<World>,
    most: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Ended {
    Valid,
    Invalid,
    Bounded,
    Stopped,
}

/// Validates the lines of a file. `stop` is asked now and then whether to give up.
///
/// # Errors
///
/// The file has a line that is none.
pub fn validate(
    bytes: &[u8],
    options: &Options,
    stop: &dyn Fn() -> bool,
) -> Result<Validation, LineError> {
    let read = line::read(bytes);
    if let Some(error @ LineError::Malformed { .. }) = read.error {
        return Err(error);
    }
    let lines: Vec<Arc<Line>> = read.lines.into_iter().map(Arc::new).collect();
    let mut out = Validation {
        answer: Answer::Nothing,
        explained: 0,
        skipped: read.skipped,
        names: read.names,
        kinds: BTreeMap::new(),
        most_explanations: 0,
        why: Vec::new(),
        told: None,
    };
    if lines.is_empty() {
        return match read.error {
            Some(error) => Err(error),
            None => Ok(out),
        };
    }
    let mut search = Search {
        lines: &lines,
        options,
        servers: out.names.len() as u8,
        stop,
        valid: Vec::new(),
        furthest: None,
    };
    search.all();
    let Search {
        valid, furthest, ..
    } = search;
    out.explained = lines.len();
    if valid.is_empty() {
        let Some((assumed, pass)) = furthest else {
            return Ok(out);
        };
        out.explained = pass.explained;
        out.most_explanations = pass.most;
        let line = &lines[pass.explained];
        out.answer = match pass.ended {
            Ended::Invalid => {
                let attempts = attempts(&pass.worlds, line, &assumed);
                out.why = explain_failure(&pass.worlds, line, &attempts, &out.names);
                out.told = Some(ToldRun {
                    config: Config {
                        servers: out.names.len() as u64,
                        ..assumed.settings.config()
                    },
                    lines: told::told(&lines, pass.explained, &assumed, options.limit()),
                    attempts,
                });
                Answer::Invalid { line: line.number }
            }
            Ended::Stopped => Answer::Bounded {
                line: line.number,
                why: "stopped".to_owned(),
            },
            Ended::Valid | Ended::Bounded => Answer::Bounded {
                line: line.number,
                why: format!("more than {} explanations", options.limit()),
            },
        };
    } else {
        out.most_explanations = valid.iter().map(|(_, pass)| pass.most).max().unwrap_or(0);
        let silent = valid
            .iter()
            .flat_map(|(_, pass)| &pass.worlds)
            .map(|world| world.silent);
        out.answer = match (read.error, read.torn) {
            (Some(LineError::OutOfRange { line, why } | LineError::Malformed { line, why }), _) => {
                Answer::Bounded { line, why }
            }
            (None, true) => Answer::Truncated {
                lines: lines.last().map_or(0, |line| line.number),
            },
            (None, false) => Answer::Valid {
                silent: silent.min().unwrap_or(0),
                under: valid.into_iter().map(|(under, _)| under).collect(),
            },
        };
    }
    for line in &lines[..out.explained] {
        *out.kinds.entry(line.kind.name()).or_default() += 1;
    }
    Ok(out)
}

impl Options {
    fn limit(&self) -> usize {
        match self.most_explanations {
            0 => MOST_EXPLANATIONS,
            limit => limit,
        }
    }
}

/// Tries the settings that are not known.
struct Search<'a> {
    lines: &'a [Arc<Line>],
    options: &'a Options,
    servers: u8,
    stop: &'a dyn Fn() -> bool,
    valid: Vec<(Under, Pass)>,
    furthest: Option<(Assumed, Pass)>,
}

impl Search<'_> {
    fn all(&mut self) {
        let both = |known: Option<bool>| known.map_or(vec![false, true], |it| vec![it]);
        for async_storage in both(self.options.async_storage) {
            for pre_vote in both(self.options.pre_vote) {
                for check_quorum in both(self.options.check_quorum) {
                    self.one(Under {
                        pre_vote,
                        check_quorum,
                        async_storage,
                        max_inflight: self.options.max_inflight,
                        departure: None,
                    });
                }
            }
        }
        if self.valid.is_empty() {
            // What etcd's raft does and what is not safe comes last.
            for async_storage in both(self.options.async_storage) {
                for pre_vote in both(self.options.pre_vote) {
                    for check_quorum in both(self.options.check_quorum) {
                        self.one(Under {
                            pre_vote,
                            check_quorum,
                            async_storage,
                            max_inflight: self.options.max_inflight,
                            departure: Some(Departure::LeadsBeforeOwnVote.name()),
                        });
                    }
                }
            }
        }
    }

    /// One choice of what is on and off. A limit in flight that nobody knows is looked for where the run fails without one.
    fn one(&mut self, under: Under) {
        let mut limits = vec![under.max_inflight.unwrap_or(NO_LIMIT)];
        let mut tried = BTreeSet::new();
        while let Some(limit) = limits.pop() {
            if (self.stop)() || tried.len() == MOST_LIMITS {
                return;
            }
            if !tried.insert(limit) {
                continue;
            }
            let under = Under {
                max_inflight: (limit != NO_LIMIT).then_some(limit),
                ..under.clone()
            };
            let Some(assumed) = self.assume(&under) else {
                return;
            };
            let pass = pass(self.lines, &assumed, self.options.limit(), self.stop);
            if pass.ended == Ended::Valid {
                self.valid.push((under, pass));
                return;
            }
            if self.options.max_inflight.is_none() && pass.ended == Ended::Invalid {
                let server = self.lines[pass.explained].server;
                limits.extend(pass.worlds.iter().flat_map(|world| world.inflight(server)));
            }
            let before = self.furthest.as_ref().map(|(_, other)| other.explained);
            if before.is_none_or(|before| before < pass.explained) {
                self.furthest = Some((assumed, pass));
            }
        }
    }

    fn assume(&self, under: &Under) -> Option<Assumed> {
        let config = Config {
            servers: 1,
            pre_vote: under.pre_vote,
            check_quorum: under.check_quorum,
            one_entry_per_append: false,
            max_inflight: under.max_inflight.unwrap_or(NO_LIMIT).into(),
            forward_proposals: true,
            max_uncommitted: 0,
            voters: ServerSet::NONE,
            learners: ServerSet::NONE,
            step_down_on_removal: self.options.step_down_on_removal,
            disable_conf_change_validation: false,
            storage: Storage::Async,
            application_in_memory: false,
            reads: Reads::Off,
        };
        // What etcd's raft does in all versions that were recorded, and is as safe.
        let dialect = Dialect::ETCD.with(Departure::RemovedLeaderWaits);
        let dialect = match under.departure {
            None => dialect,
            Some(_) => dialect.with(Departure::LeadsBeforeOwnVote),
        };
        let settings = Settings::new(&config).ok()?.with_dialect(dialect);
        Some(Assumed {
            settings: settings.for_recorded(self.servers, Configuration::default()),
            is_async: under.async_storage,
        })
    }
}

/// Explains line after line under one choice of settings.
fn pass(lines: &[Arc<Line>], it: &Assumed, limit: usize, stop: &dyn Fn() -> bool) -> Pass {
    let mut worlds = vec![World::new()];
    let mut most = 1;
    for (explained, line) in lines.iter().enumerate() {
        if next_line(&mut worlds, line) {
            continue;
        }
        let next = successors(&worlds, line, it, limit);
        most = most.max(next.len());
        let ended = match next.len() {
            0 => Some(Ended::Invalid),
            many if many > limit => Some(Ended::Bounded),
            _ if explained % 1024 == 0 && stop() => Some(Ended::Stopped),
            _ => None,
        };
        if let Some(ended) = ended {
            return Pass {
                explained,
                ended,
                worlds,
                most,
            };
        }
        worlds = next.into_iter().map(|(_, world)| world).collect();
    }
    Pass {
        explained: lines.len(),
        ended: Ended::Valid,
        worlds,
        most,
    }
}

/// Takes the line if there is one explanation, and the line is the next one of an input that is under way in it.
fn next_line(worlds: &mut [World], line: &Arc<Line>) -> bool {
    match worlds {
        [world] => world.goes_on(line),
        _ => false,
    }
}

/// The explanations of one more line, each with the place of the one that it continues.
fn successors(
    worlds: &[World],
    line: &Arc<Line>,
    it: &Assumed,
    limit: usize,
) -> Vec<(usize, World)> {
    let mut next: Vec<(usize, World)> = Vec::new();
    for (place, world) in worlds.iter().enumerate() {
        for found in world.explain(line, it, &mut None) {
            if !next.iter().any(|(_, other)| other.same(&found)) {
                next.push((place, found));
            }
        }
    }
    if next.is_empty() {
        let late = worlds.iter().enumerate().flat_map(|(place, world)| {
            let worlds = world.reconsider(line, it);
            worlds.into_iter().map(move |world| (place, world))
        });
        next.extend(late.take(limit));
    }
    next
}

/// The inputs that were tried for a line that nothing explains, each attempt once.
fn attempts(worlds: &[World], line: &Arc<Line>, it: &Assumed) -> Vec<Attempt> {
    let mut attempts = Some(Vec::new());
    for world in worlds {
        let _ = world.explain(line, it, &mut attempts);
    }
    let mut out: Vec<Attempt> = Vec::new();
    for attempt in attempts.unwrap_or_default() {
        if !out.contains(&attempt) {
            out.push(attempt);
        }
    }
    out
}

/// The most states and attempts that are told.
const MOST_TOLD: usize = 12;

fn explain_failure(
    worlds: &[World],
    line: &Line,
    attempts: &[Attempt],
    names: &[u64],
) -> Vec<String> {
    let name = |id: lockstep_model::Id| {
        let name = names.get(usize::from(id.get()) - 1);
        name.map_or(id.to_string(), u64::to_string)
    };
    let mut why = vec![format!("line {} is {line}", line.number)];
    let more = worlds.len().saturating_sub(1);
    if let Some(world) = worlds.first() {
        let last = match more {
            0 => "the last state".to_owned(),
            more => format!("one of {} last states", more + 1),
        };
        for (id, shown) in world.describe() {
            why.push(format!("{last}, server {}: {shown}", name(id)));
        }
    }
    let tried = attempts.iter();
    let mut told: Vec<String> = tried
        .map(|Attempt { inputs, why }| format!("tried {inputs}: {why}"))
        .collect();
    let left = told.len().saturating_sub(MOST_TOLD);
    told.truncate(MOST_TOLD);
    why.append(&mut told);
    if left > 0 {
        why.push(format!("and {left} other attempts"));
    }
    why
}

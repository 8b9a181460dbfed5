//! Recorded runs against the specification.

pub mod line;
pub mod moment;
pub mod node;
pub mod world;

use line::{Line, LineError};
use lockstep_model::{Configuration, Dialect, Id, Settings};
use lockstep_traces::{Config, Reads, ServerSet, Storage};
use std::collections::BTreeSet;
use std::sync::Arc;
use world::{Assumed, Attempt, World};

/// What is known of the run beside its lines.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// PreVote, if it is known.
    pub pre_vote: Option<bool>,
    /// CheckQuorum, if it is known.
    pub check_quorum: Option<bool>,
    /// Asynchronous storage writes, if it is known.
    pub is_async: Option<bool>,
    /// The most appends in flight, if it is known.
    pub max_inflight: Option<u32>,
}

#[derive(Clone, Debug)]
pub struct Outcome {
    pub verdict: String,
    pub notes: Vec<String>,
}

/// The end of one pass.
struct Pass {
    /// The line that is not explained.
    invalid: Option<usize>,
    explained: usize,
    worlds: Vec<World>,
    attempts: Vec<Attempt>,
    hints: BTreeSet<u32>,
    bounded: bool,
    most: usize,
}

const MOST_WORLDS: usize = 256;

fn pass(lines: &[Arc<Line>], it: &Assumed) -> Pass {
    let mut worlds = vec![World::new()];
    let mut most = 1;
    for (number, line) in lines.iter().enumerate() {
        if std::env::var_os("DBG").is_some() { eprintln!("{} {}", line.number, worlds.len()); }
        let keep = worlds.clone();
        let mut next: Vec<World> = Vec::new();
        for world in worlds {
            for found in world.explain(line, it, &mut None) {
                if !next.iter().any(|other| other.same(&found)) {
                    next.push(found);
                }
            }
        }
        if next.is_empty() {
            let mut attempts = Some(Vec::new());
            for world in &keep {
                let _ = world.clone().explain(line, it, &mut attempts);
            }
            let hints = keep.iter().flat_map(|world| world.inflight(line.server)).collect();
            return Pass {
                invalid: Some(number),
                explained: number,
                worlds: keep,
                attempts: attempts.unwrap_or_default(),
                hints,
                bounded: false,
                most,
            };
        }
        most = most.max(next.len());
        let bounded = next.len() > MOST_WORLDS;
        worlds = next;
        if bounded {
            return Pass { invalid: None, explained: number, worlds, attempts: Vec::new(), hints: BTreeSet::new(), bounded: true, most };
        }
    }
    Pass { invalid: None, explained: lines.len(), worlds, attempts: Vec::new(), hints: BTreeSet::new(), bounded: false, most }
}

/// Validates the bytes of a file.
pub fn validate_bytes(bytes: &[u8], options: &Options) -> Outcome {
    let read = line::read(bytes);
    if let Some(error) = &read.error {
        return Outcome { verdict: format!("unreadable: {error}"), notes: Vec::new() };
    }
    let lines: Vec<Arc<Line>> = read.lines.into_iter().map(Arc::new).collect();
    if lines.is_empty() {
        return Outcome { verdict: "nothing validated".to_owned(), notes: Vec::new() };
    }
    let servers = read.names.len() as u8;
    let both = |known: Option<bool>| known.map_or(vec![false, true], |it| vec![it]);
    let mut best: Option<(String, Pass)> = None;
    let mut valid = Vec::new();
    let mut notes = Vec::new();
    for is_async in both(options.is_async) {
        for pre_vote in both(options.pre_vote) {
            for check_quorum in both(options.check_quorum) {
                let mut limits = vec![options.max_inflight.unwrap_or(1 << 20)];
                let mut tried = BTreeSet::new();
                while let Some(max_inflight) = limits.pop() {
                    if !tried.insert(max_inflight) || tried.len() > 12 { continue; }
                    let config = Config { servers: 1, pre_vote, check_quorum, one_entry_per_append: false, max_inflight: max_inflight.into(), forward_proposals: true, max_uncommitted: 0, voters: ServerSet::NONE, learners: ServerSet::NONE, step_down_on_removal: false, disable_conf_change_validation: false, storage: Storage::Async, application_in_memory: false, reads: Reads::Off };
                    let settings = Settings::new(&config).unwrap().with_dialect(Dialect::ETCD_3_6).for_recorded(servers, Configuration::default());
                    let assumed = Assumed { settings, is_async };
                    let name = format!("async {is_async} pre_vote {pre_vote} check_quorum {check_quorum} max_inflight {max_inflight}");
                    let done = pass(&lines, &assumed);
                    match done.invalid {
                        None => {
                            let silent = done.worlds.iter().map(|w| w.silent).min().unwrap_or(0);
                            valid.push(format!("{name} ({silent} silent, {} worlds, most {}, bounded {})", done.worlds.len(), done.most, done.bounded));
                            break;
                        }
                        Some(_) => {
                            notes.push(format!("{name}: fails at {}", lines[done.explained].number));
                            if options.max_inflight.is_none() { limits.extend(done.hints.iter().copied()); }
                            if best.as_ref().is_none_or(|(_, other)| other.explained < done.explained) {
                                best = Some((name, done));
                            }
                        }
                    }
                }
            }
        }
    }
    if !valid.is_empty() {
        return Outcome { verdict: format!("valid: {} lines under {}", lines.len(), valid.join(" | ")), notes };
    }
    let (name, done) = best.unwrap();
    for world in done.worlds.iter().take(3) {
        for (id, text) in world.describe() { notes.push(format!("s{id}: {text}")); }
    }
    for attempt in &done.attempts { notes.push(format!("- {}: {}", attempt.inputs, attempt.why)); }
    let _ = Id::new(1);
    let _: Option<LineError> = None;
    Outcome { verdict: format!("invalid at line {} under {name}", lines[done.explained].number), notes }
}

//! The whole run: builds both programs, tries everything that is asked for, puts the results together.

use super::page::{Mutation, Row, RuleRow};
use super::trial::{Change, Runner, Trial, Way};
use crate::checkout::{Checkout, Failure};
use crate::reasons::Reasons;
use crate::schema::Numbered;
use crate::seeded::{self, Built};
use crate::workspace::{Copy, RULES};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// A request.
#[derive(Clone, Debug)]
pub struct Options {
    /// The workspace.
    pub workspace: PathBuf,
    /// The folder of copies and results.
    pub out: PathBuf,
    /// Whether the rules are taken away, one at a time.
    pub rules: bool,
    /// Whether the mechanical mutants are tried.
    pub mutants: bool,
    /// Only the rules and mutants with these short names, if there are any.
    pub only: Vec<String>,
    /// At most this many mutants that were not tried before.
    pub limit: usize,
    /// The number of mutants that are tried at once.
    pub jobs: usize,
    /// Whether every preset is searched without each rule, whatever the others find.
    pub every_preset: bool,
    /// Whether the mutants that are explained are tried on every preset too.
    pub thorough: bool,
    /// Whether what was noticed in another state of the sources counts as noticed.
    pub keep: bool,
    /// Presets with more states are left out.
    pub largest: u64,
}

impl Options {
    fn asks_for(&self, id: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|it| it == id)
    }
}

/// Makes the run.
///
/// # Errors
///
/// A program cannot be built or run, or does not pass without a change.
pub fn run(options: &Options, reasons: &Reasons) -> Result<Mutation, Failure> {
    fs::create_dir_all(&options.out)?;
    let fingerprint = Checkout::read(&options.workspace)?.fingerprint();
    let mut mutation = Mutation::default();
    if options.rules {
        mutation.rules = rules(options, fingerprint)?;
    }
    if options.mutants {
        let copy = mutants(options)?;
        mutation.rows = try_mutants(options, &copy, fingerprint, reasons)?;
        mutation.judge(reasons);
    }
    Ok(mutation)
}

fn rules(options: &Options, fingerprint: u64) -> Result<Vec<RuleRow>, Failure> {
    let Built { program, rules, .. } = seeded::build(&options.workspace)?;
    let file = options.out.join("rules.jsonl");
    let way = Way {
        meets: false,
        walks: false,
        keep: options.keep,
        largest: options.largest,
    };
    let runner = Runner::new(&program, &file, fingerprint, way).map_err(Failure)?;
    let listed = seeded::read_rules(&options.workspace)?;
    let mut changes = Vec::new();
    for rule in rules.iter().filter(|rule| options.asks_for(&rule.id)) {
        changes.push(Change {
            number: rule.number,
            key: rule.id.clone(),
            all: options.every_preset,
            quick: false,
        });
    }
    try_all(&changes, &runner, options.jobs)?;
    let row = |rule: seeded::Rule| {
        let trial = runner.result(&rule.id);
        RuleRow { rule, trial }
    };
    Ok(listed.into_iter().map(row).collect())
}

fn mutants(options: &Options) -> Result<Copy, Failure> {
    let out = options.out.join("mutants");
    fs::create_dir_all(&out)?;
    let mut copy = Copy::make(&options.workspace, &out, RULES)?;
    eprintln!("{} mutants", copy.mutants.len());
    copy.settle(|text| eprintln!("{text}"))?;
    Ok(copy)
}

fn try_mutants(
    options: &Options,
    copy: &Copy,
    fingerprint: u64,
    reasons: &Reasons,
) -> Result<Vec<Row>, Failure> {
    let program = copy.build(seeded::BINARY)?;
    let named = |(name, _): &(String, PathBuf)| name == "lockstep";
    let program = program.into_iter().find(named);
    let (_, program) = program.ok_or_else(|| Failure("there is no program lockstep".into()))?;
    let file = options.out.join("mutants.jsonl");
    let way = Way {
        meets: true,
        walks: true,
        keep: options.keep,
        largest: options.largest,
    };
    let runner = Runner::new(&program, &file, fingerprint, way).map_err(Failure)?;
    let viable = |it: &&Numbered| !copy.unviable.contains(&it.number);
    let asked = |it: &&Numbered| options.asks_for(&it.mutant.id());
    let change = |it: &Numbered| Change {
        number: it.number,
        key: it.mutant.key(),
        all: false,
        quick: !options.thorough && reasons.of(&it.mutant.key()).is_some(),
    };
    let chosen = copy.mutants.iter().filter(viable).filter(asked);
    let untried = |it: &Change| !runner.is_tried(it);
    let chosen = chosen.map(change).filter(untried).take(options.limit);
    try_all(&chosen.collect::<Vec<_>>(), &runner, options.jobs)?;
    let row = |it: &Numbered| {
        let key = it.mutant.key();
        Row {
            mutant: it.mutant.clone(),
            viable: !copy.unviable.contains(&it.number),
            trial: runner.result(&key),
            reason: reasons
                .of(&key)
                .map(|(verdict, why)| (verdict, why.to_owned())),
        }
    };
    Ok(copy.mutants.iter().map(row).collect())
}

fn try_all(changes: &[Change], runner: &Runner, jobs: usize) -> Result<(), Failure> {
    let (next, done) = (AtomicUsize::new(0), Mutex::new(0));
    thread::scope(|scope| {
        let workers: Vec<_> = (0..jobs.max(1))
            .map(|_| {
                scope.spawn(|| -> std::io::Result<()> {
                    while let Some(change) = changes.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let trial = runner.run(change)?;
                        if let Ok(mut done) = done.lock() {
                            *done += 1;
                            eprintln!("{done}/{} {}", changes.len(), say(&trial));
                        }
                    }
                    Ok(())
                })
            })
            .collect();
        workers.into_iter().try_for_each(|it| {
            it.join()
                .map_err(|_| std::io::Error::other("a worker panicked"))?
        })
    })?;
    Ok(())
}

fn say(trial: &Trial) -> String {
    let what = match (trial.shortest(), &trial.failed) {
        (Some(sight), _) => format!("{}: {} ({})", sight.preset, sight.by, sight.steps),
        (None, Some(failed)) => failed.clone(),
        (None, None) if !trial.met => "SURVIVES, never run".to_owned(),
        (None, None) if trial.changed.is_empty() => "SURVIVES, same graphs".to_owned(),
        (None, None) => format!("SURVIVES, other graphs: {}", trial.changed.join(", ")),
    };
    format!("{:.1} s {what}: {}", trial.seconds, trial.key)
}

/// The folder for copies and results in a workspace.
pub fn folder(workspace: &Path) -> PathBuf {
    crate::checkout::target(workspace).join("specification")
}

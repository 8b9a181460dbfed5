//! `cargo run --release -p lockstep-mutator`: tries every mechanical mutant of the production Raft.
//! `cargo run -p lockstep-mutator -- seeded`: builds the binary that `lockstep mutants` runs.

use clap::{Args, Parser, Subcommand};
use lockstep_mutator::campaign::{self, Results};
use lockstep_mutator::checkout::{self, Checkout, Failure};
use lockstep_mutator::ladder::{Baseline, Rung, Side};
use lockstep_mutator::reasons::Reasons;
use lockstep_mutator::report::{Class, Report};
use lockstep_mutator::schema::Numbered;
use lockstep_mutator::seeded;
use lockstep_mutator::specification;
use lockstep_mutator::workspace::{CORE, Copy, RULES};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// Mutates the core of the production Raft mechanically, with the lockstep comparison as the test
///
/// Exit code 0: every mutant is killed or explained. 1: there are survivors without an explanation, or
/// explanations that are out of date. 2: the run could not be made.
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    other: Option<Other>,
    /// Only the mutants with these short names; may be given more than once
    #[arg(long, value_name = "ID")]
    only: Vec<String>,
    /// Only the mutants of files whose name holds this text; may be given more than once
    #[arg(long, value_name = "TEXT")]
    file: Vec<String>,
    /// At most this many mutants that were not tried before
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Number of mutants that are tried at once
    #[arg(long, value_name = "N", default_value_t = 2)]
    jobs: usize,
    /// Go on with results of another state of the workspace: what was killed stays killed. For work on the
    /// tests; a score is of one state
    #[arg(long)]
    keep: bool,
    /// Leave out programs that take longer than this many seconds without a mutant; what passes the others
    /// is tried again by a run that leaves out none
    #[arg(long, value_name = "SECONDS")]
    longest: Option<f64>,
    /// Leave out programs whose name holds this text; may be given more than once
    #[arg(long, value_name = "TEXT")]
    without: Vec<String>,
    /// Also the mutants that are explained climb every rung, not only the quick ones
    #[arg(long)]
    thorough: bool,
    /// List the mutants and do nothing
    #[arg(long)]
    list: bool,
    /// Write the full result to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the page for people to this file
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// Why mutants that nothing notices are none, or not noticed yet
    #[arg(
        long,
        value_name = "FILE",
        default_value = "conformance/mutator/reasons.json"
    )]
    reasons: PathBuf,
    /// Folder for the copy of the workspace, its builds and the results
    #[arg(long, value_name = "DIR", default_value = "target/mechanical")]
    out: PathBuf,
    /// The workspace
    #[arg(long, value_name = "DIR", default_value = ".")]
    workspace: PathBuf,
}

#[derive(Debug, Subcommand)]
enum Other {
    /// Change the specification: take each rule away, and try every mechanical mutant, with its properties
    /// and witnesses as the only test
    Specification(SpecificationArguments),
    /// Build the binary with every seeded bug in it, and print its place and the list of the bugs as JSON
    Seeded {
        /// The workspace
        #[arg(long, value_name = "DIR", default_value = ".")]
        workspace: PathBuf,
    },
}

#[derive(Debug, Args)]
struct SpecificationArguments {
    /// Only take the rules away
    #[arg(long, conflicts_with = "mutants")]
    rules: bool,
    /// Only try the mechanical mutants
    #[arg(long)]
    mutants: bool,
    /// List the mechanical mutants and do nothing
    #[arg(long)]
    list: bool,
    /// Only these rules and mutants, by their short names; may be given more than once
    #[arg(long, value_name = "ID")]
    only: Vec<String>,
    /// At most this many mutants that were not tried before
    #[arg(long, value_name = "N", default_value_t = usize::MAX, hide_default_value = true)]
    limit: usize,
    /// The number of mutants that are tried at once; each search has two threads
    #[arg(long, value_name = "N", default_value_t = 1)]
    jobs: usize,
    /// Search every preset without each rule, for the shortest counterexample of all; otherwise the smallest
    /// that shows it
    #[arg(long)]
    every_preset: bool,
    /// Also the mutants that are explained are tried on every preset, not only the smaller ones
    #[arg(long)]
    thorough: bool,
    /// Go on with results of another state of the workspace: what was noticed stays noticed. For work on
    /// properties and presets, which only ever notice more
    #[arg(long)]
    keep: bool,
    /// Leave out presets with more states than this. A change that survives may be noticed by what was left out
    #[arg(long, value_name = "STATES", default_value_t = u64::MAX, hide_default_value = true)]
    largest: u64,
    /// Write the page for people to this file; a part that is not asked for stays as it is there
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// Why mutants that nothing notices are none, or not noticed yet
    #[arg(
        long,
        value_name = "FILE",
        default_value = "conformance/mutator/specification.json"
    )]
    reasons: PathBuf,
    /// The workspace
    #[arg(long, value_name = "DIR", default_value = ".")]
    workspace: PathBuf,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::from(2)
        }
    }
}

fn change_the_specification(arguments: &SpecificationArguments) -> Result<bool, Failure> {
    let reasons = read_reasons(&arguments.reasons)?;
    let workspace = arguments.workspace.canonicalize()?;
    if arguments.list {
        for mutant in RULES.mutants(&Checkout::read(&workspace)?)? {
            let (line, column) = (mutant.line, mutant.column);
            println!("{} {line}:{column} {}", mutant.id(), mutant.key());
        }
        return Ok(true);
    }
    let options = specification::Options {
        out: specification::folder(&workspace),
        workspace,
        rules: !arguments.mutants,
        mutants: !arguments.rules,
        only: arguments.only.clone(),
        limit: arguments.limit,
        jobs: arguments.jobs,
        every_preset: arguments.every_preset,
        thorough: arguments.thorough,
        keep: arguments.keep,
        largest: arguments.largest,
    };
    let mutation = specification::run(&options, &reasons)?;
    if let Some(path) = &arguments.markdown {
        let before = fs::read_to_string(path).unwrap_or_default();
        fs::write(path, specification::page(&mutation, &before))?;
    }
    print!("{}", mutation.text());
    Ok(mutation.holds())
}

fn read_reasons(path: &Path) -> Result<Reasons, Failure> {
    let text = fs::read_to_string(path);
    let text = text.map_err(|error| Failure(format!("{}: {error}", path.display())))?;
    Reasons::read(&text).map_err(Failure)
}

fn run(arguments: &Arguments) -> Result<bool, Failure> {
    if let Some(Other::Specification(arguments)) = &arguments.other {
        return change_the_specification(arguments);
    }
    if let Some(Other::Seeded { workspace }) = &arguments.other {
        let built = seeded::build(&workspace.canonicalize()?)?;
        let text = serde_json::to_string(&built).map_err(|error| Failure(error.to_string()))?;
        println!("{text}");
        return Ok(true);
    }
    let reasons = read_reasons(&arguments.reasons)?;
    fs::create_dir_all(&arguments.out)?;
    let out = arguments.out.canonicalize()?;
    let mut copy = Copy::make(&arguments.workspace, &out, CORE)?;
    if arguments.list {
        for it in copy.mutants.iter().filter(|it| arguments.asks_for(it)) {
            let mutant = &it.mutant;
            let (line, column) = (mutant.line, mutant.column);
            println!("{} {line}:{column} {}", mutant.id(), mutant.key());
        }
        return Ok(true);
    }
    eprintln!("{} mutants", copy.mutants.len());
    copy.settle(|text| eprintln!("{text}"))?;
    let rungs = rungs(&copy)?;
    let scratch = out.join("scratch");
    let mut ladder = Vec::new();
    let all = rungs.len();
    for rung in rungs {
        if arguments
            .without
            .iter()
            .any(|text| rung.name.contains(text))
        {
            continue;
        }
        let baseline = rung.baseline(&scratch).map_err(Failure)?;
        eprintln!(
            "without a mutant, {} takes {:.2} s and meets {}",
            baseline.rung.name,
            baseline.time.as_secs_f64(),
            baseline.met.len()
        );
        ladder.push(baseline);
    }
    // The comparison first; but what takes long, only for what nothing quick has killed.
    ladder.sort_by_key(|it| (it.time > LONG, it.rung.side, it.time));
    if let Some(longest) = arguments.longest {
        ladder.retain(|it| it.time.as_secs_f64() <= longest);
    }

    let path = out.join("results.jsonl");
    let mut results = Results::open(&path, copy.fingerprint, arguments.keep)?;
    let chosen: Vec<&Numbered> = copy
        .mutants
        .iter()
        .filter(|it| !copy.unviable.contains(&it.number) && arguments.asks_for(it))
        .filter(|it| results.of(&it.mutant.key()).is_none())
        .take(arguments.limit.unwrap_or(usize::MAX))
        .collect();
    eprintln!("{} mutants to try", chosen.len());
    results.only_kills = ladder.len() < all;
    // What somebody has read and explained climbs the quick rungs only, unless asked for.
    let (explained, others): (Vec<_>, Vec<_>) = chosen
        .into_iter()
        .partition(|it| !arguments.thorough && reasons.of(&it.mutant.key()).is_some());
    try_all(&others, &ladder, &mut results, &scratch, arguments.jobs)?;
    // The quick rungs are all that these have to climb.
    results.only_kills = arguments.longest.is_some_and(|it| it < LONG.as_secs_f64());
    let is_quick = |it: &&Baseline| it.time <= LONG;
    let quick: Vec<Baseline> = ladder.iter().filter(is_quick).cloned().collect();
    try_all(&explained, &quick, &mut results, &scratch, arguments.jobs)?;

    let report = Report::new(&copy.mutants, &copy.unviable, &results, &reasons);
    if let Some(path) = &arguments.json {
        fs::write(path, format!("{:#}\n", report.json()))?;
    }
    if let Some(path) = &arguments.markdown {
        fs::write(
            path,
            report.markdown(&checkout::commit(&arguments.workspace)?),
        )?;
    }
    print!("{}", report.text());
    let untried = report.of(Class::Untried).count();
    if untried > 0 {
        println!("{untried} were not tried");
    }
    Ok(report.holds())
}

impl Arguments {
    fn asks_for(&self, it: &Numbered) -> bool {
        (self.only.is_empty() || self.only.contains(&it.mutant.id()))
            && (self.file.is_empty() || self.file.iter().any(|text| it.mutant.file.contains(text)))
    }
}

fn try_all(
    chosen: &[&Numbered],
    ladder: &[Baseline],
    results: &mut Results,
    scratch: &Path,
    jobs: usize,
) -> Result<(), Failure> {
    campaign::run(
        chosen,
        ladder,
        results,
        scratch,
        jobs,
        |done, mutant, outcome| {
            let what = match &outcome.killed {
                Some(kill) => format!("{} ({:?})", kill.rung, kill.end),
                None if outcome.met == 0 => "SURVIVES, never run".to_owned(),
                None => "SURVIVES".to_owned(),
            };
            eprintln!(
                "{done}/{} {} {:.1} s {what}: {}:{} {}",
                chosen.len(),
                mutant.mutant.id(),
                outcome.seconds,
                mutant.mutant.file,
                mutant.mutant.line,
                mutant.mutant.key()
            );
        },
    )?;
    Ok(())
}

/// The programs that a mutant has to pass: `lockstep`, then the tests.
fn rungs(copy: &Copy) -> Result<Vec<Rung>, Failure> {
    let folder = copy.folder();
    let lockstep = copy.build(&[
        "build",
        "--release",
        "-p",
        "lockstep-conformance",
        "--bin",
        "lockstep",
    ])?;
    let Some((_, lockstep)) = lockstep.into_iter().find(|(name, _)| name == "lockstep") else {
        return Err(Failure("there is no program lockstep".to_owned()));
    };
    let comparison = |name: &str, arguments: &[&str]| Rung {
        name: name.to_owned(),
        side: Side::Comparison,
        program: lockstep.clone(),
        arguments: arguments.iter().map(|it| (*it).to_owned()).collect(),
        environment: Vec::new(),
        folder: None,
    };
    let corpus = folder.join("traces/corpus").to_string_lossy().into_owned();
    let mut rungs = vec![
        comparison("replay of the corpus", &["replay", "-q", &corpus]),
        comparison(
            "walks",
            &["walk", "-q", "--seeds", "100", "--steps", "1000"],
        ),
    ];
    for preset in PRESETS {
        let arguments = ["conform", "-q", "--threads", "1", "--preset", preset];
        rungs.push(comparison(&format!("conform {preset}"), &arguments));
    }
    let of_raft = copy.build(&[
        "test",
        "--no-run",
        "-p",
        "lockstep-raft",
        "--lib",
        "--tests",
    ])?;
    let of_scripts = copy.build(&[
        "test",
        "--no-run",
        "-p",
        "lockstep-tests",
        "--test",
        "etcd_interaction",
        "--test",
        "etcd_quorum_confchange",
    ])?;
    for (programs, inside) in [(of_raft, "impl/raft"), (of_scripts, "tests")] {
        for (name, program) in programs {
            rungs.push(Rung {
                name: format!("tests of {inside}: {name}"),
                side: Side::Test,
                program,
                arguments: Vec::new(),
                // One mutant is one of many: a fifth of the seeds will do.
                environment: vec![("LOCKSTEP_CHAOS_SEEDS", "200")],
                folder: Some(folder.join(inside)),
            });
        }
    }
    Ok(rungs)
}

/// The time above which a rung is tried last.
const LONG: Duration = Duration::from_millis(1500);

/// The presets of `lockstep verify`.
const PRESETS: [&str; 16] = [
    "smoke",
    "default",
    "votes",
    "lease",
    "revote",
    "conflict",
    "overtaken",
    "pair",
    "window",
    "flow",
    "narrow",
    "pipeline",
    "batch",
    "four",
    "quorum",
    "single",
];

//! The verbs, one file each, and what they share: options of the model, progress, output, exit codes.

mod bench;
mod check;
mod child;
mod conform;
mod cover;
mod coverage;
mod dialect;
mod divergence;
mod error;
pub mod exit;
mod explore;
mod generate;
mod graph;
mod list;
mod model;
mod mutants;
mod output;
mod pages;
mod plant;
mod progress;
mod replay;
mod report;
mod shell;
mod show;
mod simulate;
mod stateright;
mod target;
mod verify;
mod walk;

use crate::report::{Job, Status};
use clap::{CommandFactory, Parser, Subcommand};
use error::CliError;
use exit::Exit;
use lockstep_conformance::seeded::Side;
use output::OutputArgs;

/// Does this code do what Raft says, and nothing else?
///
/// Lockstep checks an executable specification of Raft exhaustively, then walks an implementation
/// through the same state graph and compares state and messages after every event.
#[derive(Debug, Parser)]
#[command(name = "lockstep", version, after_help = exit::HELP, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// The main job: check the specification, compare the implementation with it at every edge, replay
    /// the corpus
    Verify(verify::VerifyArgs),
    /// Model-check the specification within a bound
    Check(check::CheckArgs),
    /// Compare an implementation with every edge of the specification's state graph
    Conform(conform::ConformArgs),
    /// Replay traces on an implementation
    Replay(replay::ReplayArgs),
    /// Walk at random, by ticks, through the production Raft and the specification
    Walk(walk::WalkArgs),
    /// Make traces from the specification: of a preset, or the corpus
    Generate(generate::GenerateArgs),
    /// Search the presets and show what they meet, and what they miss
    Coverage(coverage::CoverageArgs),
    /// Explore the state graph in a browser: step by step, with a sequence diagram, on loopback
    Explore(explore::ExploreArgs),
    /// Show a trace as a table, a sequence diagram (text, SVG, Mermaid), or a page
    Show(show::ShowArgs),
    /// Put results in JSON on one page: verdicts, plots, coverage, witnesses
    Report(report::ReportArgs),
    /// Write the state graph of a small model in DOT, for Graphviz
    Graph(graph::GraphArgs),
    /// Simulate the specification: a swarm of random runs, for spaces that no search ends
    Simulate(simulate::SimulateArgs),
    /// Measure the engine beside stateright's searches
    Bench(bench::BenchArgs),
    /// Seed real bugs one at a time and show what catches each; needs a checkout
    Mutants(mutants::MutantsArgs),
    /// List the implementations, with their versions and the fields that they show
    Targets(list::TargetsArgs),
    /// List the presets, with their purposes and bounds
    Presets,
    /// Print completions for a shell
    Completions(shell::CompletionsArgs),
    /// Write manual pages, one for each verb
    Man(shell::ManArgs),
}

impl Verb {
    /// The bug that the command line seeds.
    fn seeds(&self) -> Result<Option<(Side, String)>, CliError> {
        let specification = |id: &str| (Side::Specification, id.to_owned());
        match self {
            Verb::Check(args) => Ok(args.plant.id().map(specification)),
            Verb::Simulate(args) => Ok(args.plant.id().map(specification)),
            Verb::Verify(args) => args.target.seeded_beside_the_specification(),
            Verb::Conform(args) => args.target.seeded_beside_the_specification(),
            Verb::Replay(args) => args.target.seeded(),
            Verb::Explore(args) => args.seeded(),
            _ => Ok(None),
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Verb::Verify(_) => "verify",
            Verb::Conform(_) => "conform",
            Verb::Walk(_) => "walk",
            Verb::Generate(_) => "generate",
            Verb::Coverage(_) => "coverage",
            Verb::Simulate(_) => "simulate",
            Verb::Bench(_) => "bench",
            Verb::Mutants(_) => "mutants",
            Verb::Targets(_) => "targets",
            Verb::Presets => "presets",
            Verb::Report(_) => "report",
            Verb::Graph(_) => "graph",
            Verb::Completions(_) => "completions",
            Verb::Man(_) => "man",
            Verb::Check(_) => "check",
            Verb::Explore(_) => "explore",
            Verb::Show(_) => "show",
            Verb::Replay(_) => "replay",
        }
    }
}

/// Runs the command line of this process.
pub fn main() -> Exit {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // `--help` and `--version` come this way too; only a mistake is one.
            let mistake = error.use_stderr();
            return match (error.print(), mistake) {
                (Ok(()), false) => Exit::Holds,
                _ => Exit::Usage,
            };
        }
    };
    match run(&cli) {
        Ok(exit) => exit,
        Err(error) => {
            let exit = error.exit();
            cli.output.error(cli.verb.name(), error);
            exit
        }
    }
}

fn run(cli: &Cli) -> Result<Exit, CliError> {
    if let Some((side, id)) = cli.verb.seeds()? {
        plant::enter(side, &id)?;
    }
    let progress = progress::Reporter::new(cli.output.quiet);
    let clock = std::time::Instant::now();
    let jobs = match jobs(&cli.verb, &progress) {
        Ok(Some(jobs)) => jobs,
        Ok(None) => return Ok(Exit::Holds),
        Err(CliError::Skipped { target, why }) => vec![Job::new(
            cli.verb.name(),
            target,
            Status::Skipped,
            format!("skipped: {why}"),
        )],
        Err(error) => return Err(error),
    };
    progress.finish();
    let seconds = clock.elapsed().as_secs_f64();
    let report = crate::report::Report::new(cli.verb.name(), seconds, jobs);
    cli.output.write(&report)?;
    Ok(Exit::from(report.status))
}

/// Does what was asked; `None` for a verb that has shown its result itself.
fn jobs(verb: &Verb, progress: &progress::Reporter) -> Result<Option<Vec<Job>>, CliError> {
    let jobs = match verb {
        Verb::Verify(args) => verify::run(args, progress)?,
        Verb::Conform(args) => conform::run(args, progress)?,
        Verb::Walk(args) => walk::run(args, progress)?,
        Verb::Generate(args) => generate::run(args, progress)?,
        Verb::Coverage(args) => coverage::run(args, progress)?,
        Verb::Simulate(args) => simulate::run(args, progress)?,
        Verb::Bench(args) => {
            let jobs = bench::run(args, progress)?;
            if bench::is_measurement(args) {
                return Ok(None);
            }
            jobs
        }
        Verb::Mutants(args) => {
            let jobs = mutants::run(args, progress)?;
            if args.is_one_of_many() {
                return Ok(None);
            }
            jobs
        }
        Verb::Targets(args) => list::targets(args)?,
        Verb::Presets => list::presets()?,
        Verb::Check(args) => check::run(args, progress)?,
        Verb::Explore(args) => {
            explore::run(args, progress)?;
            return Ok(None);
        }
        Verb::Show(args) => {
            show::run(args, output::terminal_width())?;
            return Ok(None);
        }
        Verb::Replay(args) => replay::run(args, progress)?,
        Verb::Report(args) => {
            report::run(args)?;
            return Ok(None);
        }
        Verb::Graph(args) => {
            graph::run(args)?;
            return Ok(None);
        }
        Verb::Completions(args) => {
            shell::completions(args, Cli::command())?;
            return Ok(None);
        }
        Verb::Man(args) => {
            shell::man(args, Cli::command())?;
            return Ok(None);
        }
    };
    Ok(Some(jobs))
}

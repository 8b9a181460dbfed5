//! The command line as a library: every verb, report and exit code for the targets of a program, `lockstep`
//! or one of your own ([`main`]).
//!
//! One file for each verb, and what they share: options of the model, progress, output, exit codes. Only
//! here is there an argument parser.

mod bench;
mod check;
mod checkpoint;
mod child;
mod code;
mod conform;
mod counterexample;
mod cover;
mod coverage;
mod dialect;
mod divergence;
mod error;
pub(crate) mod exit;
mod explore;
mod files;
mod generate;
mod graph;
mod history;
mod list;
mod model;
mod mutants;
mod opaque;
mod output;
mod outputs;
mod pages;
mod plant;
mod progress;
mod recovery;
mod replay;
mod report;
mod shell;
mod show;
mod side_file;
mod signals;
mod simulate;
mod stateright;
mod streams;
mod supervise;
mod target;
pub(crate) mod terminal;
mod tested;
mod validate;
mod verify;
mod violation;
mod walk;

use crate::Targets;
use crate::report::{Job, Report, Status};
use crate::seeded::Side;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use error::CliError;
use exit::Exit;
use output::OutputArgs;
use outputs::Place;
use progress::Reporter;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;
use supervise::{Outcome, supervise};

/// Does this code do what Raft says, and nothing else?
///
/// Lockstep checks an executable specification of Raft exhaustively, then walks an implementation
/// through the same state graph and compares state and messages after every event.
#[derive(Debug, Parser)]
#[command(name = "lockstep", version, after_help = exit::HELP)]
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
    /// Validate recorded runs of real clusters: does the specification allow what really ran?
    Validate(validate::ValidateArgs),
    /// Walk at random, by ticks, through an implementation and the specification
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
            Verb::Check(args) => args.seeded(),
            Verb::Simulate(args) => Ok(args.plant.id().map(specification)),
            Verb::Verify(args) => args.target.seeded_beside_the_specification(),
            Verb::Conform(args) => args.target.seeded_beside_the_specification(),
            Verb::Walk(args) => args.target.seeded_beside_the_specification(),
            Verb::Replay(args) => args.target.seeded(),
            Verb::Explore(args) => args.seeded(),
            _ => Ok(None),
        }
    }

    /// The files and folders that the command line names, or that the verb writes anyway.
    fn places(&self) -> Vec<Place> {
        match self {
            Verb::Verify(args) => args.places(),
            Verb::Check(args) => args.places(),
            Verb::Conform(args) => args.places(),
            Verb::Walk(args) => args.trace_out.places(),
            Verb::Replay(args) => args.places(),
            Verb::Validate(args) => args.places(),
            Verb::Generate(args) => args.places(),
            Verb::Show(args) => args.places(),
            Verb::Report(args) => args.places(),
            Verb::Graph(args) => args.places(),
            Verb::Simulate(args) => args.places(),
            Verb::Mutants(args) => args.places(),
            Verb::Man(args) => args.places(),
            Verb::Coverage(_)
            | Verb::Explore(_)
            | Verb::Bench(_)
            | Verb::Targets(_)
            | Verb::Presets
            | Verb::Completions(_) => Vec::new(),
        }
    }

    /// Whether the result is a report; else it is what was asked for and nothing else.
    fn reports(&self) -> bool {
        match self {
            Verb::Show(_)
            | Verb::Report(_)
            | Verb::Graph(_)
            | Verb::Completions(_)
            | Verb::Man(_) => false,
            Verb::Bench(args) => !bench::is_measurement(args),
            Verb::Mutants(args) => !args.is_one_of_many(),
            _ => true,
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Verb::Verify(_) => "verify",
            Verb::Conform(_) => "conform",
            Verb::Validate(_) => "validate",
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

/// Runs the command line of this process, with these targets. The code is that of `--help`; everything else is
/// on standard output, standard error, and in the files that were asked for.
pub fn main(targets: Targets) -> ExitCode {
    target::set_targets(targets);
    if let Some(name) = std::env::args_os().next() {
        target::set_program(&name);
    }
    ExitCode::from(command_line().code())
}

fn command_line() -> Exit {
    let width = terminal::text_width(&std::io::stdout());
    let command = Cli::command().term_width(width);
    let parsed = command.try_get_matches();
    match parsed.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => run(cli),
        Err(error) => said(&error),
    }
}

/// Shows what the parser has to say: a mistake, or the help or version that was asked for.
fn said(error: &clap::Error) -> Exit {
    let text = error.render();
    let in_colours = |colours| match colours {
        true => text.ansi().to_string(),
        false => text.to_string(),
    };
    if error.use_stderr() {
        streams::say(in_colours(terminal::colours(&std::io::stderr())).trim_end());
        return Exit::Usage;
    }
    match streams::print(&in_colours(terminal::colours(&std::io::stdout()))) {
        Ok(()) => Exit::Holds,
        Err(_) => Exit::Usage,
    }
}

fn run(cli: Cli) -> Exit {
    let clock = Instant::now();
    let reporter = Arc::new(Reporter::new(cli.output.quiet));
    let cli = Arc::new(cli);
    let work = {
        let (cli, reporter) = (Arc::clone(&cli), Arc::clone(&reporter));
        move || {
            let mut places = cli.verb.places();
            places.extend(cli.output.places());
            outputs::distinct(&places)?;
            if !cli.verb.reports() {
                cli.output.without_report(cli.verb.name())?;
            }
            cli.output.begin(&reporter);
            reporter.begin(cli.verb.name());
            if let Some((side, id)) = cli.verb.seeds()? {
                plant::enter(side, &id)?;
            }
            jobs(&cli, &reporter)
        }
    };
    let result = match supervise(&reporter, work) {
        Outcome::Done(result) => result,
        Outcome::Deaf => Ok(Some(vec![reporter.unfinished("interrupted")])),
        Outcome::Panicked => Ok(Some(vec![reporter.unfinished("it panicked")])),
    };
    reporter.finish();
    let mut done = reporter.done();
    let exit = match result {
        Ok(None) if done.is_empty() => Exit::Holds,
        Err(error) if done.is_empty() && !error.is_a_result() => {
            let exit = error.exit();
            cli.output.error(cli.verb.name(), error, &reporter);
            exit
        }
        result => {
            done.extend(last_jobs(cli.verb.name(), result));
            let seconds = clock.elapsed().as_secs_f64();
            let report = Report::new(cli.verb.name(), seconds, done, Vec::new());
            cli.output.write(report, &reporter)
        }
    };
    reporter.clean_up();
    exit
}

/// The jobs that a verb hands back, after those that it has reported.
fn last_jobs(verb: &str, result: Result<Option<Vec<Job>>, CliError>) -> Vec<Job> {
    match result {
        Ok(jobs) => jobs.unwrap_or_default(),
        Err(CliError::Skipped { target, why }) => {
            let verdict = format!("skipped: {why}");
            vec![Job::new(verb, target, Status::Skipped, verdict)]
        }
        Err(error) => vec![Job::not_reached(verb, "", &error.to_string())],
    }
}

/// Does what was asked; `None` for a verb that has shown its result itself.
fn jobs(cli: &Cli, reporter: &Reporter) -> Result<Option<Vec<Job>>, CliError> {
    let jobs = match &cli.verb {
        Verb::Verify(args) => verify::run(args, reporter)?,
        Verb::Conform(args) => conform::run(args, reporter)?,
        Verb::Validate(args) => validate::run(args, reporter)?,
        Verb::Walk(args) => walk::run(args, reporter)?,
        Verb::Generate(args) => generate::run(args, reporter)?,
        Verb::Coverage(args) => coverage::run(args, reporter)?,
        Verb::Simulate(args) => simulate::run(args, reporter)?,
        Verb::Bench(args) => {
            let jobs = bench::run(args, reporter)?;
            if bench::is_measurement(args) {
                return Ok(None);
            }
            jobs
        }
        Verb::Mutants(args) => {
            let jobs = mutants::run(args, reporter)?;
            if args.is_one_of_many() {
                return Ok(None);
            }
            jobs
        }
        Verb::Targets(args) => list::targets(args)?,
        Verb::Presets => list::presets()?,
        Verb::Check(args) => check::run(args, reporter)?,
        Verb::Explore(args) => explore::run(args, cli.output.is_for_people(), reporter)?,
        Verb::Show(args) => {
            show::run(args, terminal::width(&std::io::stdout()))?;
            return Ok(None);
        }
        Verb::Replay(args) => replay::run(args, reporter)?,
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

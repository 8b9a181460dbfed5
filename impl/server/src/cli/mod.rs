//! The command line.

mod demo;
mod serve;
mod signals;
mod streams;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};
use lockstep_server::serve::Served;
use lockstep_server::server::{Exit, StartError, check_data};
use tracing_subscriber::EnvFilter;

use signals::Signals;
use streams::{colours, print, say};

/// A replicated key-value store with etcd's v3 gRPC interface.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Log filter: debug, info, warn, error, or a filter such as `info,lockstep_net=debug`
    #[arg(long, global = true, env = "ETCD_LOG_LEVEL", default_value = "info")]
    log_level: String,
    /// Format of the log on standard error
    #[arg(
        long,
        global = true,
        env = "ETCD_LOG_FORMAT",
        default_value = "console"
    )]
    log_format: LogFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    /// One JSON object a line
    Json,
    /// Text for people
    Console,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run three servers on loopback with their data in a temporary folder, until Ctrl-C
    Demo(demo::Demo),
    /// Run one server
    Serve(Box<serve::Serve>),
    /// Check the data folder of a server that is not running; nothing is changed
    CheckData {
        /// The folder
        dir: PathBuf,
    },
}

/// Bad usage.
const USAGE: u8 = 2;
/// The server was removed from its cluster.
const REMOVED: u8 = 3;
/// The log cannot be opened or written, or it does not belong to the store.
const LOG_FAILED: u8 = 4;
/// A second signal ended the process, as Ctrl-C ends one that does not listen.
const ENDED: u8 = 130;

/// A failure of a command, on its way to [`run`].
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The command line makes no sense.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Usage(String);

/// Runs the command line of this process: exit code 0 after a stop that was asked for, 1 after a failure or if
/// the data is not sound, 2 for bad usage, 3 if the server was removed from its cluster, 4 if its log cannot be
/// used, 130 if it was asked to end twice.
pub fn run() -> ExitCode {
    let matches = Cli::command().try_get_matches();
    match matches.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => execute(cli),
        Err(error) => said(&error),
    }
}

/// Shows a mistake on the command line, or the help or version that was asked for.
fn said(error: &clap::Error) -> ExitCode {
    let text = error.render();
    let in_colours = |colours| match colours {
        true => text.ansi().to_string(),
        false => text.to_string(),
    };
    if error.use_stderr() {
        say(in_colours(colours(&std::io::stderr())).trim_end());
        return ExitCode::from(USAGE);
    }
    match print(&in_colours(colours(&std::io::stdout()))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error.into()),
    }
}

fn execute(cli: Cli) -> ExitCode {
    let filter = match EnvFilter::try_new(&cli.log_level) {
        Ok(filter) => filter,
        Err(error) => return failed(&Usage(format!("--log-level: {error}")).into()),
    };
    // A thread of its own writes, and lines are dropped while nobody reads them: the server goes on, and hears signals.
    let (writer, _flushed) = tracing_appender::non_blocking(std::io::stderr());
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(colours(&std::io::stderr()))
        // It would be said on the same standard error that cannot be written, and panic.
        .log_internal_errors(false)
        .with_writer(writer);
    match cli.log_format {
        LogFormat::Json => log.json().init(),
        LogFormat::Console => log.init(),
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error.into()),
    };
    let result = runtime.block_on(async {
        match cli.command {
            Command::Demo(demo) => demo.run(Signals::listen()?).await,
            Command::Serve(serve) => serve.run(Signals::listen()?).await,
            Command::CheckData { dir } => {
                let report = check_data(&dir);
                print(&format!("{report}\n"))?;
                Ok(match report.problems.is_empty() {
                    true => ExitCode::SUCCESS,
                    false => ExitCode::FAILURE,
                })
            }
        }
    });
    // After a second signal nothing is waited for.
    runtime.shutdown_background();
    result.unwrap_or_else(|error| failed(&error))
}

/// Prints a failure; the result is its exit code.
fn failed(error: &Failure) -> ExitCode {
    say(format_args!("error: {error}"));
    match error.downcast_ref() {
        Some(StartError::Log(_) | StartError::Disagree(_)) => ExitCode::from(LOG_FAILED),
        Some(StartError::Settings(_)) => ExitCode::from(USAGE),
        _ if error.is::<Usage>() => ExitCode::from(USAGE),
        _ => ExitCode::FAILURE,
    }
}

/// The exit code of a server that stopped; a failure is printed.
fn code(exit: Exit) -> ExitCode {
    let (text, code) = match exit {
        Exit::Stopped => return ExitCode::SUCCESS,
        Exit::Removed => (
            "this server was removed from its cluster".to_owned(),
            ExitCode::from(REMOVED),
        ),
        Exit::Failed(error) => (error.to_string(), ExitCode::FAILURE),
        Exit::LogFailed(error) => (error.to_string(), ExitCode::from(LOG_FAILED)),
    };
    say(format_args!("error: {text}"));
    code
}

/// Stops servers, one after the other, unless another signal arrives meanwhile. The code is that of the last one
/// that failed.
async fn stop(servers: Vec<Served>, signals: &mut Signals) -> ExitCode {
    let all = async {
        let mut last = ExitCode::SUCCESS;
        for server in servers {
            match server.stop().await {
                Exit::Stopped => {}
                exit => last = code(exit),
            }
        }
        last
    };
    tokio::select! {
        code = all => code,
        () = signals.arrived() => ExitCode::from(ENDED),
    }
}

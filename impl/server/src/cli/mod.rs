//! The command line.

mod demo;
mod serve;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use lockstep_server::server::{Exit, StartError, check_data};
use tracing_subscriber::EnvFilter;

/// A replicated key-value store with etcd's v3 gRPC interface.
#[derive(Debug, Parser)]
#[command(version)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
    /// What is logged: debug, info, warn, error, or a filter such as `info,lockstep_net=debug`
    #[arg(long, global = true, env = "ETCD_LOG_LEVEL", default_value = "info")]
    log_level: String,
    /// How it is logged, to standard error
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

/// The log cannot be opened or written, or it does not belong to the store.
const LOG_FAILED: u8 = 4;

/// Runs a command: exit code 0 after a stop that was asked for, 1 after a failure or if the data is not sound,
/// 2 for bad usage, 3 if the server was removed from its cluster, 4 if its log cannot be used.
pub fn run(cli: Cli) -> ExitCode {
    let filter = match EnvFilter::try_new(&cli.log_level) {
        Ok(filter) => filter,
        Err(error) => {
            eprintln!("error: --log-level: {error}");
            return ExitCode::from(2);
        }
    };
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match cli.log_format {
        LogFormat::Json => log.json().init(),
        LogFormat::Console => log.init(),
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
    };
    let result = runtime.block_on(async {
        match cli.command {
            Command::Demo(demo) => demo.run().await,
            Command::Serve(serve) => serve.run().await,
            Command::CheckData { dir } => {
                let report = check_data(&dir);
                writeln!(std::io::stdout(), "{report}")?;
                Ok(match report.problems.is_empty() {
                    true => ExitCode::SUCCESS,
                    false => ExitCode::FAILURE,
                })
            }
        }
    });
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            match error.downcast_ref() {
                Some(StartError::Log(_) | StartError::Disagree(_)) => ExitCode::from(LOG_FAILED),
                _ => ExitCode::FAILURE,
            }
        }
    }
}

/// The exit code of a server that stopped; a failure is printed.
fn code(exit: Exit) -> ExitCode {
    match exit {
        Exit::Stopped => ExitCode::SUCCESS,
        Exit::Removed => {
            eprintln!("error: this server was removed from its cluster");
            ExitCode::from(3)
        }
        Exit::Failed(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
        Exit::LogFailed(error) => {
            eprintln!("error: {error}");
            ExitCode::from(LOG_FAILED)
        }
    }
}

/// Waits for Ctrl-C, or for the signal by which service managers stop a process.
async fn interrupted() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    // Without a handler there is nothing to wait for but the end.
    let _ = tokio::signal::ctrl_c().await;
}

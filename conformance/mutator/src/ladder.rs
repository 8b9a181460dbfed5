//! The rungs that a mutant climbs, and what became of it on each.

use crate::switch;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// The meaning of a mutant's failure at a rung.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// The comparison with the specification sees the mutant.
    Comparison,
    /// Some other test does.
    Test,
}

/// One program that passes without a mutant.
#[derive(Clone, Debug)]
pub struct Rung {
    /// Its name in reports.
    pub name: String,
    /// The kind of check that it makes.
    pub side: Side,
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Environment variables that it is given.
    pub environment: Vec<(&'static str, &'static str)>,
    /// The working directory; by default a folder of the worker's own.
    pub folder: Option<PathBuf>,
}

/// A rung as it is without a mutant.
#[derive(Clone, Debug)]
pub struct Baseline {
    /// The rung.
    pub rung: Rung,
    /// The numbers of the mutants that it meets.
    pub met: BTreeSet<usize>,
    /// The running time.
    pub time: Duration,
    /// The time limit with a mutant.
    pub limit: Duration,
}

/// The outcome of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    /// It passed.
    Passed,
    /// It says that something is wrong.
    Failed,
    /// It panicked; only told apart where a failure is no panic.
    Panicked,
    /// It was ended from outside, for instance for want of memory.
    Died,
    /// It took too long.
    TimedOut,
}

/// The largest memory of a mutant, in KiB: one that runs wild must not take the machine with it.
const MEMORY_KIB: u64 = 8 << 20;

impl Rung {
    /// Runs without a mutant.
    ///
    /// # Errors
    ///
    /// It cannot be run, or does not pass.
    pub fn baseline(&self, scratch: &Path) -> Result<Baseline, String> {
        fs::create_dir_all(scratch).map_err(|error| error.to_string())?;
        let met = scratch.join("met");
        match fs::remove_file(&met) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.to_string()),
            _ => {}
        }
        let start = Instant::now();
        let mut command = self.command(scratch);
        command.env(switch::MET, &met);
        let output = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .output()
            .map_err(|error| format!("{}: {error}", self.program.display()))?;
        let time = start.elapsed();
        if !output.status.success() {
            return Err(format!(
                "{} fails without a mutant:\n{}{}",
                self.name,
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            ));
        }
        let numbers = fs::read_to_string(&met).unwrap_or_default();
        Ok(Baseline {
            rung: self.clone(),
            met: numbers.lines().filter_map(|it| it.parse().ok()).collect(),
            time,
            // Others may be at work on the machine, and a mutant may be slower without being wrong.
            limit: Duration::from_secs(5) + time * 8,
        })
    }

    fn command(&self, scratch: &Path) -> Command {
        let mut command = Command::new("sh");
        command
            .arg("-c")
            .arg(format!("ulimit -v {MEMORY_KIB}; exec \"$0\" \"$@\""))
            .arg(&self.program)
            .args(&self.arguments)
            .envs(self.environment.iter().copied())
            .current_dir(self.folder.as_deref().unwrap_or(scratch))
            // A failure is enough: it need not be made small, nor remembered for the next mutant.
            .env("PROPTEST_MAX_SHRINK_ITERS", "0")
            .env("PROPTEST_DISABLE_FAILURE_PERSISTENCE", "1")
            .env("RUST_BACKTRACE", "0")
            .stdin(Stdio::null());
        command
    }
}

impl Baseline {
    /// Whether the mutant is met at all; otherwise it changes nothing here.
    pub fn meets(&self, number: usize) -> bool {
        self.met.contains(&number)
    }

    /// Runs with one mutant.
    ///
    /// # Errors
    ///
    /// The program cannot be run.
    pub fn run(&self, number: usize, scratch: &Path) -> io::Result<End> {
        let mut child = self
            .rung
            .command(scratch)
            .env(switch::ACTIVE, number.to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let start = Instant::now();
        let mut pause = Duration::from_millis(1);
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok(self.end(status));
            }
            if start.elapsed() > self.limit {
                child.kill()?;
                child.wait()?;
                return Ok(End::TimedOut);
            }
            thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(20));
        }
    }

    fn end(&self, status: ExitStatus) -> End {
        const PANIC: i32 = 101;
        match status.code() {
            Some(0) => End::Passed,
            Some(PANIC) if self.rung.side == Side::Comparison => End::Panicked,
            Some(_) => End::Failed,
            None => End::Died,
        }
    }
}

//! Tries one change of the specification, in a process of its own.

use crate::switch;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

/// A preset that notices a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sight {
    /// The preset.
    pub preset: String,
    /// The property that is violated, or the witnesses that are not reached.
    pub by: String,
    /// The steps of the shortest counterexample; zero for a witness.
    pub steps: usize,
}

/// The result of trying one change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// The name of the change.
    pub key: String,
    /// The presets that notice it; only the first one, unless all were asked for.
    pub seen: Vec<Sight>,
    /// The way in which the program failed, if it did: then the change was noticed too.
    pub failed: Option<String>,
    /// Whether the presets meet the change at all.
    pub met: bool,
    /// Seconds that it took.
    pub seconds: f64,
}

impl Trial {
    /// Whether anything notices the change.
    pub fn is_noticed(&self) -> bool {
        !self.seen.is_empty() || self.failed.is_some()
    }

    /// The shortest counterexample.
    pub fn shortest(&self) -> Option<&Sight> {
        let violated = self.seen.iter().filter(|it| it.steps > 0);
        violated.min_by_key(|it| it.steps).or(self.seen.first())
    }
}

/// The largest memory of one process, in KiB.
const MEMORY_KIB: u64 = 8 << 20;

/// Tries changes with one program, and remembers the results.
#[derive(Debug)]
pub struct Runner {
    program: PathBuf,
    results: Mutex<BTreeMap<String, Trial>>,
    file: PathBuf,
    met: Option<BTreeSet<usize>>,
    limit: Duration,
}

/// A change that a program waits to be asked for.
#[derive(Clone, Debug)]
pub struct Change {
    /// Its number.
    pub number: usize,
    /// Its name.
    pub key: String,
    /// Whether every preset is searched, whatever the others find.
    pub all: bool,
}

impl Runner {
    /// A runner whose results are in a file: those of the same sources are taken over. The program is run
    /// without a change, which it must pass. With `meets` that run also tells which changes it meets.
    ///
    /// # Errors
    ///
    /// The file cannot be read or written, or the program does not pass.
    pub fn new(
        program: &Path,
        file: &Path,
        fingerprint: u64,
        meets: bool,
    ) -> Result<Runner, String> {
        let head = format!("{fingerprint:016x}");
        let text = fs::read_to_string(file).unwrap_or_default();
        let same = text.lines().next() == Some(&head);
        let lines = text.lines().skip(1).filter(|_| same);
        // The last line may have been cut off.
        let trials = lines.filter_map(|line| serde_json::from_str::<Trial>(line).ok());
        let results: BTreeMap<String, Trial> =
            trials.map(|trial| (trial.key.clone(), trial)).collect();
        let mut kept = head + "\n";
        for trial in results.values() {
            kept.push_str(&line(trial));
        }
        fs::write(file, kept).map_err(|error| error.to_string())?;
        let mut runner = Runner {
            program: program.to_owned(),
            results: Mutex::new(results),
            file: file.to_owned(),
            met: None,
            limit: Duration::from_secs(3600),
        };
        let met = file.with_extension("met");
        let nothing = Change {
            number: 0,
            key: "without a change".to_owned(),
            all: true,
        };
        let _ = fs::remove_file(&met);
        let start = Instant::now();
        let trial = runner.attempt(&nothing, meets.then_some(met.as_path()));
        let trial = trial.map_err(|error| error.to_string())?;
        if trial.is_noticed() {
            return Err(format!("it fails without a change: {trial:?}"));
        }
        runner.limit = Duration::from_secs(60) + start.elapsed() * 10;
        if meets {
            let text = fs::read_to_string(&met).map_err(|error| error.to_string())?;
            runner.met = Some(text.lines().filter_map(|it| it.parse().ok()).collect());
        }
        Ok(runner)
    }

    /// The result of a change, if it was tried.
    pub fn result(&self, key: &str) -> Option<Trial> {
        let results = self.results.lock();
        results.ok().and_then(|results| results.get(key).cloned())
    }

    /// Tries a change, unless that was done before.
    ///
    /// # Errors
    ///
    /// The program cannot be run, or the result not be written.
    pub fn run(&self, change: &Change) -> io::Result<Trial> {
        if let Some(trial) = self.result(&change.key) {
            return Ok(trial);
        }
        let meets = |met: &BTreeSet<usize>| met.contains(&change.number);
        let trial = match self.met.as_ref().is_none_or(meets) {
            true => self.attempt(change, None)?,
            false => Trial {
                key: change.key.clone(),
                seen: Vec::new(),
                failed: None,
                met: false,
                seconds: 0.0,
            },
        };
        let mut file = OpenOptions::new().append(true).open(&self.file)?;
        file.write_all(line(&trial).as_bytes())?;
        if let Ok(mut results) = self.results.lock() {
            results.insert(trial.key.clone(), trial.clone());
        }
        Ok(trial)
    }

    fn attempt(&self, change: &Change, met: Option<&Path>) -> io::Result<Trial> {
        let bug = json!({
            "number": change.number, "side": "specification", "id": change.key, "what": "",
            "caught_by": null, "preset": null,
        });
        let mut command = Command::new("sh");
        command
            .arg("-c")
            .arg(format!("ulimit -v {MEMORY_KIB}; exec \"$0\" \"$@\""))
            .arg(&self.program)
            .args([
                "mutants", "--quiet", "--rung", "smoke", "--rung", "ci", "--try",
            ])
            .arg(bug.to_string())
            .args(change.all.then_some("--all"))
            .env(switch::ACTIVE, change.number.to_string())
            .env("RUST_BACKTRACE", "0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        if let Some(met) = met {
            command.env(switch::MET, met);
        }
        let start = Instant::now();
        let mut child = command.spawn()?;
        let stdout = child.stdout.take();
        let reader = thread::spawn(move || {
            let mut text = String::new();
            if let Some(mut stdout) = stdout {
                // Text that is cut off is no JSON.
                let _ = stdout.read_to_string(&mut text);
            }
            text
        });
        let mut pause = Duration::from_millis(1);
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break Some(status);
            }
            if start.elapsed() > self.limit {
                child.kill()?;
                child.wait()?;
                break None;
            }
            thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(20));
        };
        let text = reader.join().unwrap_or_default();
        let (seen, failed) = match status {
            None => (Vec::new(), Some("did not end".to_owned())),
            Some(status) if !status.success() => (Vec::new(), Some("broke down".to_owned())),
            Some(_) => (sights(&text)?, None),
        };
        Ok(Trial {
            key: change.key.clone(),
            seen,
            failed,
            met: true,
            seconds: start.elapsed().as_secs_f64(),
        })
    }
}

/// The presets in a finding.
fn sights(text: &str) -> io::Result<Vec<Sight>> {
    let finding: Value = serde_json::from_str(text)?;
    let sight = |it: &Value| {
        Some(Sight {
            preset: it["run"].as_str()?.to_owned(),
            by: it["by"].as_str()?.to_owned(),
            steps: usize::try_from(it["steps"].as_u64()?).ok()?,
        })
    };
    let all = finding["seen"].as_array().map_or(&[][..], Vec::as_slice);
    let seen: Vec<Sight> = all.iter().filter_map(sight).collect();
    match seen.is_empty() {
        true => Ok(sight(&finding["caught"]).into_iter().collect()),
        false => Ok(seen),
    }
}

fn line(trial: &Trial) -> String {
    serde_json::to_string(trial).unwrap_or_default() + "\n"
}

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
use std::time::Instant;

/// A preset that notices a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sight {
    /// The preset.
    pub preset: String,
    /// The property that is violated, or the witnesses that are not reached.
    pub by: String,
    /// The steps of the shortest counterexample; zero for a witness.
    pub steps: usize,
    /// The steps of that counterexample, each in a few words; only if every preset was asked for.
    #[serde(default)]
    pub path: Vec<String>,
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
    /// The presets that do not notice it, although their state graphs have another size.
    #[serde(default)]
    pub changed: Vec<String>,
    /// The presets that meet it and were left out for their size.
    #[serde(default)]
    pub left_out: usize,
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

/// The largest memory of one process, in KiB. A change that sends or recurses without end runs into it.
const MEMORY_KIB: u64 = 2 << 20;

/// The most seconds that the processors may spend on one process: a busy machine makes no difference.
const CPU_SECONDS: u64 = 150;

/// Presets with more states are left out for a change that is explained.
const QUICK_STATES: u64 = 150_000;

/// The name of the walks among the runs.
const WALKS: &str = "walks";

/// Tries changes with one program, and remembers the results.
#[derive(Debug)]
pub struct Runner {
    program: PathBuf,
    results: Mutex<BTreeMap<String, Trial>>,
    file: PathBuf,
    /// Each run without a change, in the order of the trials: the smallest first, the walks last.
    runs: Vec<Run>,
    /// Presets with more states are left out.
    largest: u64,
}

/// A preset, or the walks, without a change.
#[derive(Clone, Debug)]
struct Run {
    name: String,
    /// The changes that it meets, if that was asked for.
    met: Option<BTreeSet<usize>>,
    /// The sizes of its state graph.
    graph: Option<(u64, u64)>,
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
    /// Whether only the smaller presets and the walks look at it: somebody has read and explained it.
    pub quick: bool,
}

/// The way of running a program.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    /// Whether the runs without a change tell which changes they meet: others are not tried on them.
    pub meets: bool,
    /// Whether the walks take part.
    pub walks: bool,
    /// Whether what was noticed in another state of the sources counts as noticed.
    pub keep: bool,
    /// Presets with more states are left out.
    pub largest: u64,
}

impl Runner {
    /// A runner whose results are in a file: those of the same sources are taken over. The program is run
    /// without a change, which it must pass.
    ///
    /// # Errors
    ///
    /// The file cannot be read or written, or the program does not pass.
    pub fn new(program: &Path, file: &Path, fingerprint: u64, way: Way) -> Result<Runner, String> {
        let head = format!("{fingerprint:016x}");
        let text = fs::read_to_string(file).unwrap_or_default();
        let same = text.lines().next() == Some(&head);
        let lines = text.lines().skip(1);
        // The last line may have been cut off.
        let trials = lines.filter_map(|line| serde_json::from_str::<Trial>(line).ok());
        let trials = trials.filter(|trial| same || way.keep && trial.is_noticed());
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
            runs: Vec::new(),
            largest: way.largest,
        };
        let nothing = Change {
            number: 0,
            key: "without a change".to_owned(),
            all: true,
            quick: false,
        };
        let attempt = |runs: Option<&[&str]>, met: Option<&Path>| {
            let (trial, graphs) = runner.attempt(&nothing, runs, met)?;
            match trial.is_noticed() {
                true => Err(io::Error::other(format!(
                    "it fails without a change: {trial:?}"
                ))),
                false => Ok(graphs),
            }
        };
        let runs = || -> io::Result<Vec<Run>> {
            let mut runs = Vec::new();
            let graphs = attempt(None, None)?;
            let names = graphs.iter().map(|(name, _)| name.as_str());
            for name in names.chain(way.walks.then_some(WALKS)) {
                let met = match way.meets {
                    true => {
                        let met = file.with_extension("met");
                        let _ = fs::remove_file(&met);
                        attempt(Some(&[name]), Some(&met))?;
                        let text = fs::read_to_string(&met)?;
                        Some(text.lines().filter_map(|it| it.parse().ok()).collect())
                    }
                    false => None,
                };
                let graph = graphs.iter().find(|(it, _)| it == name);
                runs.push(Run {
                    name: name.to_owned(),
                    met,
                    graph: graph.map(|(_, graph)| *graph),
                });
            }
            Ok(runs)
        };
        let mut runs = runs().map_err(|error| error.to_string())?;
        runs.sort_by_key(|run| run.graph.map_or(u64::MAX, |(states, _)| states));
        runner.runs = runs;
        Ok(runner)
    }

    /// The result of a change, if it was tried.
    pub fn result(&self, key: &str) -> Option<Trial> {
        let results = self.results.lock();
        results.ok().and_then(|results| results.get(key).cloned())
    }

    /// Whether a change needs no trial: it was noticed, or tried with no more left out than now.
    pub fn is_tried(&self, change: &Change) -> bool {
        let (_, left_out) = self.runs_of(change);
        let done = |it: &Trial| it.is_noticed() || it.left_out <= left_out;
        self.result(&change.key).as_ref().is_some_and(done)
    }

    /// The runs that meet a change, without those that are left out for their size, and the number of the latter.
    fn runs_of(&self, change: &Change) -> (Vec<&str>, usize) {
        let meets = |run: &&Run| {
            let met = run.met.as_ref();
            met.is_none_or(|met| met.contains(&change.number))
        };
        let wanted = |run: &&Run| {
            let states = run.graph.map_or(0, |(states, _)| states);
            states <= self.largest && (!change.quick || states <= QUICK_STATES)
        };
        let (wanted, left_out): (Vec<_>, Vec<_>) = self.runs.iter().filter(meets).partition(wanted);
        let names = wanted.into_iter().map(|run| run.name.as_str());
        (names.collect(), left_out.len())
    }

    /// Tries a change, unless that was done before.
    ///
    /// # Errors
    ///
    /// The program cannot be run, or the result not be written.
    pub fn run(&self, change: &Change) -> io::Result<Trial> {
        if let Some(trial) = self.result(&change.key).filter(|_| self.is_tried(change)) {
            return Ok(trial);
        }
        let (runs, left_out) = self.runs_of(change);
        let trial = match runs.is_empty() {
            false => {
                let (mut trial, graphs) = self.attempt(change, Some(&runs), None)?;
                trial.left_out = left_out;
                let same = |(name, graph): &&(String, (u64, u64))| {
                    let run = self.runs.iter().find(|run| run.name == *name);
                    run.is_none_or(|run| run.graph == Some(*graph))
                };
                let changed = graphs.iter().filter(|it| !same(it));
                trial.changed = changed.map(|(name, _)| name.clone()).collect();
                trial
            }
            true => Trial {
                key: change.key.clone(),
                seen: Vec::new(),
                failed: None,
                met: left_out > 0,
                changed: Vec::new(),
                left_out,
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

    /// Tries a change on these runs, or on every preset. Gives the sizes of the state graphs besides.
    fn attempt(
        &self,
        change: &Change,
        runs: Option<&[&str]>,
        met: Option<&Path>,
    ) -> io::Result<(Trial, Graphs)> {
        let bug = json!({
            "number": change.number, "side": "specification", "id": change.key, "what": "",
            "caught_by": null, "preset": null, "breaks": [],
        });
        let mut command = Command::new("sh");
        command
            .arg("-c")
            .arg(format!(
                "ulimit -v {MEMORY_KIB}; ulimit -t {CPU_SECONDS}; exec \"$0\" \"$@\""
            ))
            .arg(&self.program)
            .args(["mutants", "--quiet", "--try"])
            .arg(bug.to_string())
            .args(change.all.then_some("--all"));
        let runs = runs.unwrap_or_default();
        let presets: Vec<_> = runs.iter().filter(|run| **run != WALKS).collect();
        if runs.is_empty() || !presets.is_empty() {
            command.args(["--rung", "smoke", "--rung", "ci"]);
        }
        if runs.contains(&WALKS) {
            command.args(["--rung", "walks"]);
        }
        for preset in presets {
            command.args(["--within", preset]);
        }
        command
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
        let status = child.wait()?;
        let text = reader.join().unwrap_or_default();
        let (found, failed) = match status.success() {
            true => (found(&text)?, None),
            false => (Found::default(), Some("broke down".to_owned())),
        };
        let trial = Trial {
            key: change.key.clone(),
            seen: found.seen,
            failed,
            met: true,
            changed: Vec::new(),
            left_out: 0,
            seconds: start.elapsed().as_secs_f64(),
        };
        Ok((trial, found.graphs))
    }
}

/// Presets that were exhausted, each with the number of its states and transitions.
type Graphs = Vec<(String, (u64, u64))>;

#[derive(Default)]
struct Found {
    seen: Vec<Sight>,
    graphs: Graphs,
}

/// Reads a finding from its JSON form.
fn found(text: &str) -> io::Result<Found> {
    let finding: Value = serde_json::from_str(text)?;
    let words = |it: &Value| {
        let words = it.as_array().map_or(&[][..], Vec::as_slice);
        let words = words.iter().filter_map(|it| Some(it.as_str()?.to_owned()));
        words.collect()
    };
    let sight = |it: &Value| {
        Some(Sight {
            preset: it["run"].as_str()?.to_owned(),
            by: it["by"].as_str()?.to_owned(),
            steps: usize::try_from(it["steps"].as_u64()?).ok()?,
            path: words(&it["path"]),
        })
    };
    let graph = |it: &Value| {
        let sizes = (it["states"].as_u64()?, it["transitions"].as_u64()?);
        Some((it["preset"].as_str()?.to_owned(), sizes))
    };
    let list = |name: &str| finding[name].as_array().map_or(&[][..], Vec::as_slice);
    let mut seen: Vec<Sight> = list("seen").iter().filter_map(sight).collect();
    if seen.is_empty() {
        seen.extend(sight(&finding["caught"]));
    }
    let graphs = list("graphs").iter().filter_map(graph).collect();
    Ok(Found { seen, graphs })
}

fn line(trial: &Trial) -> String {
    serde_json::to_string(trial).unwrap_or_default() + "\n"
}

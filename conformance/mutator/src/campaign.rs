//! Sends every mutant up the ladder, several at a time, and remembers what became of it.

use crate::ladder::{Baseline, End, Side};
use crate::schema::Numbered;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

/// The fate of a mutant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The name of the mutant.
    pub key: String,
    /// The rung at which it failed, if any.
    pub killed: Option<Kill>,
    /// The number of rungs that met it.
    pub met: usize,
    /// The number of those that belong to the comparison.
    pub compared: usize,
    /// Seconds that it took.
    pub seconds: f64,
}

/// The rung at which a mutant failed, with the result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Kill {
    /// Of what kind the rung is.
    pub side: Side,
    /// The rung.
    pub rung: String,
    /// The result there.
    pub end: End,
}

/// The results so far, in a file that grows with them.
#[derive(Debug)]
pub struct Results {
    path: PathBuf,
    outcomes: BTreeMap<String, Outcome>,
    /// The rungs that killed mutants in another state of the workspace.
    hints: BTreeMap<String, String>,
    /// Whether only what was killed is remembered: not every rung is climbed, so what passes has not
    /// survived.
    pub only_kills: bool,
}

impl Results {
    /// The results that are in the file, if they are of this workspace. What killed a mutant in another
    /// state of it is where to begin with it now. With `keep` such a mutant is killed already: for work on
    /// the tests, not for a score.
    ///
    /// # Errors
    ///
    /// The file cannot be read or written.
    pub fn open(path: &Path, fingerprint: u64, keep: bool) -> io::Result<Results> {
        let head = format!("{fingerprint:016x}");
        let mut outcomes = BTreeMap::new();
        let mut hints = BTreeMap::new();
        if let Ok(text) = fs::read_to_string(path) {
            let same = text.lines().next() == Some(&head);
            for line in text.lines().skip(1) {
                // The last line may have been cut off.
                let Ok(outcome) = serde_json::from_str::<Outcome>(line) else {
                    continue;
                };
                if let Some(kill) = &outcome.killed {
                    hints.insert(outcome.key.clone(), kill.rung.clone());
                }
                if same || (keep && outcome.killed.is_some()) {
                    outcomes.insert(outcome.key.clone(), outcome);
                }
            }
        }
        // What the other state says is used until all of it is replaced, over several runs if need be.
        let remembered = path.with_extension("hints");
        if let Ok(bytes) = fs::read(&remembered) {
            let old: BTreeMap<String, String> = serde_json::from_slice(&bytes).unwrap_or_default();
            for (key, rung) in old {
                hints.entry(key).or_insert(rung);
            }
        }
        fs::write(&remembered, serde_json::to_vec(&hints).unwrap_or_default())?;
        let results = Results {
            path: path.to_path_buf(),
            outcomes,
            hints,
            only_kills: false,
        };
        let mut text = head + "\n";
        for outcome in results.outcomes.values() {
            text.push_str(&line(outcome));
        }
        fs::write(path, text)?;
        Ok(results)
    }

    /// The fate of a mutant, if it is known.
    pub fn of(&self, key: &str) -> Option<&Outcome> {
        self.outcomes.get(key)
    }

    fn add(&mut self, outcome: Outcome) -> io::Result<()> {
        if self.only_kills && outcome.killed.is_none() {
            return Ok(());
        }
        let mut file = OpenOptions::new().append(true).open(&self.path)?;
        file.write_all(line(&outcome).as_bytes())?;
        self.outcomes.insert(outcome.key.clone(), outcome);
        Ok(())
    }
}

fn line(outcome: &Outcome) -> String {
    serde_json::to_string(outcome).unwrap_or_default() + "\n"
}

/// Tries one mutant on the rungs in this order, but first on the one that killed it before, if any.
///
/// # Errors
///
/// A program cannot be run.
pub fn climb(
    mutant: &Numbered,
    ladder: &[Baseline],
    hint: Option<&str>,
    scratch: &Path,
) -> io::Result<Outcome> {
    let start = Instant::now();
    let mut rungs: Vec<&Baseline> = ladder.iter().filter(|it| it.meets(mutant.number)).collect();
    rungs.sort_by_key(|it| hint != Some(it.rung.name.as_str()));
    let compared = rungs
        .iter()
        .filter(|it| it.rung.side == Side::Comparison)
        .count();
    let mut killed = None;
    for baseline in &rungs {
        let end = baseline.run(mutant.number, scratch)?;
        if end != End::Passed {
            killed = Some(Kill {
                side: baseline.rung.side,
                rung: baseline.rung.name.clone(),
                end,
            });
            break;
        }
    }
    Ok(Outcome {
        key: mutant.mutant.key(),
        killed,
        met: rungs.len(),
        compared,
        seconds: start.elapsed().as_secs_f64(),
    })
}

/// Tries all these mutants, `jobs` at a time, and adds what becomes of them to the results. `say` is told
/// of each, with how many are done.
///
/// # Errors
///
/// A program cannot be run, or the results cannot be written.
pub fn run(
    mutants: &[&Numbered],
    ladder: &[Baseline],
    results: &mut Results,
    scratch: &Path,
    jobs: usize,
    say: impl Fn(usize, &Numbered, &Outcome) + Sync,
) -> io::Result<()> {
    let next = AtomicUsize::new(0);
    let hints = results.hints.clone();
    let results = Mutex::new((0, results));
    thread::scope(|scope| {
        let workers: Vec<_> = (0..jobs)
            .map(|worker| {
                let folder = scratch.join(format!("worker-{worker}"));
                let (next, results, say, hints) = (&next, &results, &say, &hints);
                scope.spawn(move || -> io::Result<()> {
                    fs::create_dir_all(&folder)?;
                    while let Some(mutant) = mutants.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let hint = hints.get(&mutant.mutant.key()).map(String::as_str);
                        let outcome = climb(mutant, ladder, hint, &folder)?;
                        let mut guard = results.lock().unwrap_or_else(PoisonError::into_inner);
                        guard.0 += 1;
                        say(guard.0, mutant, &outcome);
                        guard.1.add(outcome)?;
                    }
                    Ok(())
                })
            })
            .collect();
        workers.into_iter().try_for_each(|it| {
            it.join()
                .map_err(|_| io::Error::other("a worker panicked"))?
        })
    })
}

//! Measuring this engine beside stateright's searches, on the same model.
//!
//! The peak of memory belongs to a process, so every measurement wants a process of its own, as
//! `lockstep bench` gives it.

use super::crosscheck::{Baseline, baseline};
use super::error::SearchError;
use super::traits::Checkable;
use super::{Search, Verdict};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::hash::Hash;
use std::str::FromStr;
use std::time::Instant;

/// A search that takes part in a benchmark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contender {
    /// This engine, with all properties of states and steps and all witnesses.
    Engine {
        /// The number of threads.
        threads: usize,
    },
    /// The same with frontier, links and old fingerprints on disk from the start.
    EngineOnDisk {
        /// The number of threads.
        threads: usize,
    },
    /// stateright, with the properties of states.
    Stateright {
        /// The search of stateright.
        search: Baseline,
        /// The number of threads.
        threads: usize,
    },
}

impl Contender {
    /// All, on one and on `threads` threads.
    pub fn all(threads: usize) -> Vec<Contender> {
        let mut counts = vec![1, threads];
        counts.dedup();
        let on = |threads| {
            [
                Contender::Engine { threads },
                Contender::EngineOnDisk { threads },
                Contender::Stateright {
                    search: Baseline::BreadthFirst,
                    threads,
                },
                Contender::Stateright {
                    search: Baseline::DepthFirst,
                    threads,
                },
            ]
        };
        counts.into_iter().flat_map(on).collect()
    }
}

impl fmt::Display for Contender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, threads) = match self {
            Contender::Engine { threads } => ("engine", threads),
            Contender::EngineOnDisk { threads } => ("engine-disk", threads),
            Contender::Stateright {
                search: Baseline::BreadthFirst,
                threads,
            } => ("stateright-bfs", threads),
            Contender::Stateright {
                search: Baseline::DepthFirst,
                threads,
            } => ("stateright-dfs", threads),
        };
        write!(f, "{name}/{threads}")
    }
}

impl FromStr for Contender {
    type Err = String;

    /// Parses the form that `Display` writes, such as `engine/2`.
    fn from_str(text: &str) -> Result<Self, String> {
        let threads = text
            .rsplit('/')
            .next()
            .and_then(|threads| threads.parse().ok())
            .unwrap_or(1);
        let mut all = Contender::all(threads).into_iter();
        all.find(|contender| contender.to_string() == text)
            .ok_or_else(|| format!("{text:?} is nothing that can be measured, such as engine/2"))
    }
}

/// One search, measured.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// Distinct states.
    pub distinct: u64,
    /// Generated states.
    pub generated: u64,
    /// Wall-clock seconds.
    pub seconds: f64,
    /// Seconds of processor time of all threads, from the start of the process (0 where the system does
    /// not tell): on a machine that does other things as well, this is what to compare.
    pub cpu_seconds: f64,
    /// The most memory the process ever had resident, in bytes (0 where the system does not tell).
    pub peak_bytes: u64,
}

impl Measurement {
    /// Takes over from `again`, another turn of the same search, the times if they are shorter and the memory
    /// if it is more.
    pub fn add_turn(&mut self, again: &Measurement) {
        self.seconds = self.seconds.min(again.seconds);
        self.cpu_seconds = self.cpu_seconds.min(again.cpu_seconds);
        self.peak_bytes = self.peak_bytes.max(again.peak_bytes);
    }

    /// Distinct states a second.
    pub fn rate(&self) -> f64 {
        self.distinct as f64 / self.seconds
    }

    /// Distinct states a second of processor time.
    pub fn cpu_rate(&self) -> f64 {
        self.distinct as f64 / self.cpu_seconds
    }

    /// Bytes of memory for each distinct state.
    pub fn bytes_per_state(&self) -> f64 {
        self.peak_bytes as f64 / self.distinct as f64
    }
}

/// Searches all of `model` with `contender`, in this process.
///
/// # Errors
///
/// As [`Search::run`]; none with stateright.
///
/// # Panics
///
/// If the search does not exhaust the space: there would be nothing to compare.
pub fn measure<M>(model: M, contender: Contender) -> Result<Measurement, SearchError>
where
    M: Checkable + Send + Sync + 'static,
    M::State: Clone + PartialEq + Hash + Send + Sync + 'static,
    M::Action: Clone + PartialEq,
{
    let started = Instant::now();
    let (distinct, generated) = match contender {
        Contender::Engine { threads } => engine(Search::new(&model).threads(threads))?,
        Contender::EngineOnDisk { threads } => {
            engine(Search::new(&model).threads(threads).on_disk(true))?
        }
        Contender::Stateright { search, threads } => {
            let report = baseline(model, search, threads);
            (report.distinct, report.generated)
        }
    };
    let seconds = started.elapsed().as_secs_f64();
    Ok(Measurement {
        distinct,
        generated,
        seconds,
        cpu_seconds: cpu_seconds(),
        peak_bytes: peak_bytes(),
    })
}

fn engine<M>(search: Search<'_, M>) -> Result<(u64, u64), SearchError>
where
    M: Checkable + Sync,
    M::Action: Clone,
{
    let report = search.run()?.report;
    assert_eq!(
        report.verdict,
        Verdict::Exhausted,
        "only exhausted searches can be compared"
    );
    Ok((report.distinct, report.generated))
}

/// Seconds of processor time that this process has used; 0 where `/proc` does not tell.
pub fn cpu_seconds() -> f64 {
    // proc(5): fields 14 and 15 of `stat` are user and system time in ticks of 1/100 s; the name in
    // field 2 may hold spaces, but ends with the last parenthesis.
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace();
    let ticks: u64 = fields
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    ticks as f64 / 100.0
}

/// The most memory this process ever had resident, in bytes; 0 where `/proc` does not tell.
pub fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kibibytes.unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::two_phase::TwoPhase;

    #[test]
    fn of_turns_the_least_time_and_the_most_memory_count() {
        let measured = |seconds, cpu_seconds, peak_bytes| Measurement {
            distinct: 1,
            generated: 2,
            seconds,
            cpu_seconds,
            peak_bytes,
        };
        let mut all = measured(2.0, 3.0, 10);
        all.add_turn(&measured(1.0, 4.0, 9));
        all.add_turn(&measured(3.0, 2.0, 12));
        assert_eq!(all, measured(1.0, 2.0, 12));
    }

    #[test]
    fn all_contenders_find_the_same() {
        for contender in Contender::all(2) {
            assert_eq!(contender.to_string().parse(), Ok(contender));
            let model = TwoPhase {
                managers: 4,
                hasty: false,
            };
            let measured = measure(model, contender).unwrap();
            assert_eq!(measured.distinct, 1568, "{contender}");
            assert_eq!(measured.generated, 8258, "{contender}");
        }
        assert!("engine/x".parse::<Contender>().is_err());
        assert!("tlc/2".parse::<Contender>().is_err());
    }
}

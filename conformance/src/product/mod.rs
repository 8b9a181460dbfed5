//! The exhaustive product of the specification and an implementation.
//!
//! A state of the product is a state of the specification together with the digest of every server of
//! the implementation. In every such state every edge of the specification is taken on both sides and
//! the results are compared, and so is every input that must be refused or ignored, and every edge that
//! leaves the bound. When that ends without a divergence, and the digest was shown to hide nothing, the
//! two are *bisimilar within the bound*.
//!
//! The engine explores it: the pair of a server and its digest is one of its machines ([`InStep`]).

mod comparison;
mod report;

pub use crate::states::{HiddenState, StateCounts};
pub use report::{Counts, ProductError, ProductReport};

use crate::OnProgress;
use crate::divergence::Divergence;
use crate::path::{provenance, steps_along};
use crate::states::{Copies, Source};
use crate::stop;
use crate::target::{Fork, Target};
use crate::verdict::{Strength, Verdict};
use comparison::{Comparison, Stop};
use lockstep_engine::{Checked, Limit, Progress, Report, Search, Verdict as Searched};
use lockstep_model::{Action, Cluster, InStep};
use lockstep_traces::{FieldSet, Header, Trace};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// An exhaustive comparison; set it up, then [`run`](Product::run) it.
pub struct Product<'a, T> {
    cluster: &'a Cluster,
    target: &'a T,
    preset: Option<String>,
    threads: usize,
    max_states: Option<u64>,
    max_memory: Option<u64>,
    max_time: Option<Duration>,
    spill_folder: Option<PathBuf>,
    checkpoint: Option<(PathBuf, Duration)>,
    resume: bool,
    progress: (Duration, OnProgress<'a>),
}

impl<'a, T: Target + Sync> Product<'a, T>
where
    T::Server: Fork + Send,
{
    /// The product of that specification and that target: one thread, no limits.
    pub fn new(cluster: &'a Cluster, target: &'a T) -> Product<'a, T> {
        Product {
            cluster,
            target,
            preset: None,
            threads: 1,
            max_states: None,
            max_memory: None,
            max_time: None,
            spill_folder: None,
            checkpoint: None,
            resume: false,
            progress: (
                Duration::from_millis(500),
                Box::new(|_| ControlFlow::Continue(())),
            ),
        }
    }

    /// Names the preset in the trace of a divergence; for a cluster that is one as it is.
    #[must_use]
    pub fn preset(mut self, name: &str) -> Self {
        self.preset = Some(name.to_owned());
        self
    }

    /// The number of threads; the implementation is stepped by one at a time.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads.max(1);
        self
    }

    /// Stops when that many product states were found.
    #[must_use]
    pub fn max_states(mut self, states: u64) -> Self {
        self.max_states = Some(states);
        self
    }

    /// As [`Search::max_memory`]. The implementation's own servers, of which each distinct one is kept, are not
    /// in the sum.
    #[must_use]
    pub fn max_memory(mut self, bytes: u64) -> Self {
        self.max_memory = Some(bytes);
        self
    }

    /// As [`Search::spill_folder`].
    #[must_use]
    pub fn spill_folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.spill_folder = Some(folder.into());
        self
    }

    /// As [`Search::checkpoint`]. What the implementation was asked is in it too: a resume asks all of it again,
    /// in the same order, and is refused if an answer is another one.
    #[must_use]
    pub fn checkpoint(mut self, folder: impl Into<PathBuf>, interval: Duration) -> Self {
        self.checkpoint = Some((folder.into(), interval));
        self
    }

    /// As [`Search::resume`].
    #[must_use]
    pub fn resume(mut self, on: bool) -> Self {
        self.resume = on;
        self
    }

    /// Stops after that time.
    #[must_use]
    pub fn max_time(mut self, time: Duration) -> Self {
        self.max_time = Some(time);
        self
    }

    /// Calls `progress` that often; a break stops the search.
    #[must_use]
    pub fn on_progress(
        mut self,
        interval: Duration,
        progress: impl FnMut(&Progress) -> ControlFlow<()> + 'a,
    ) -> Self {
        self.progress = (interval, Box::new(progress));
        self
    }

    /// Compares.
    ///
    /// # Errors
    ///
    /// The target cannot be started, or the search cannot be done.
    pub fn run(mut self) -> Result<ProductReport, ProductError> {
        let started = Instant::now();
        let mut end = self.explore(self.threads)?;
        // Which of two servers was the first in a state depends on the threads, so what is found of it would too.
        if self.threads > 1 && matches!(end.stop, Some((Stop::Hidden(_), _))) {
            self.checkpoint = None;
            end = self.explore(1)?;
        }
        let target = self.target.description();
        let nothing = target.compared() == FieldSet::NONE || end.counts.distinct_inputs == 0;
        let (mut divergence, mut hidden) = (None, None);
        let verdict = match end.stop {
            Some((Stop::Interrupted, _)) => Verdict::Bounded {
                stopped_by: Limit::Interrupted,
            },
            Some((Stop::Setup(error), _)) => return Err(error.into()),
            Some((Stop::Hidden(found), _)) => {
                hidden = Some(found);
                Verdict::HiddenState
            }
            Some((Stop::Diverged(differences, actual), path)) => {
                divergence = Some(Box::new(Divergence {
                    trace: self.trace_of(&path),
                    differences,
                    actual: actual.map(|actual| *actual),
                }));
                Verdict::Diverged
            }
            None => match &end.search {
                Some(report) if report.verdict != Searched::Exhausted => {
                    Verdict::of_search(&report.verdict, Strength::BisimilarWithinBound)
                }
                _ if nothing => Verdict::NothingChecked,
                _ => Verdict::Holds(Strength::BisimilarWithinBound),
            },
        };
        Ok(ProductReport {
            target,
            verdict,
            divergence,
            hidden,
            counts: end.counts,
            implementation: end.implementation,
            seconds: started.elapsed().as_secs_f64(),
            search: end.search,
            resumed_at: end.resumed_at,
            trouble: end.trouble,
        })
    }

    /// Searches on that many threads, and executes everything again if all was visited.
    fn explore(&mut self, threads: usize) -> Result<End, ProductError> {
        let config = self.cluster.settings().config();
        let shown = self.target.description().shows;
        let source = Copies {
            target: self.target,
            config: config.clone(),
        };
        let mut comparison = Comparison::new(config.clone(), source, shown);
        let starts = config.server_ids().map(|id| comparison.start(id));
        let starts = match starts.collect::<Result<Vec<_>, _>>() {
            Ok(starts) => starts,
            Err(stop) => return Ok(End::at_the_start(stop)),
        };
        let in_step = InStep::new(self.cluster, starts, comparison);
        let checked = self.search(&in_step, threads).run()?;
        let Checked {
            report,
            trouble,
            resumed_at,
            counterexample,
            ..
        } = checked;
        let stop = match counterexample {
            Some(found) => {
                let path: Vec<Action> = found.actions().copied().collect();
                let before = found.steps.len().checked_sub(2);
                let before = before.map_or(&found.init, |at| &found.steps[at].1);
                let last = path.last().expect("a step violates it");
                let stop = in_step.parting(before, last);
                Some((stop.expect("it parts again where it parted"), path))
            }
            None => None,
        };
        let trouble = match trouble {
            // They part, and a file with the way there cannot be read.
            Some(error)
                if stop.is_none() && matches!(report.verdict, Searched::Violated { .. }) =>
            {
                return Err(error.into());
            }
            trouble => trouble.map(|error| error.to_string()),
        };
        let (mut comparison, answers) = in_step.finish();
        let stop = match (&report.verdict, stop) {
            (Searched::Exhausted, None) => comparison.rerun().err().map(|stop| (stop, Vec::new())),
            (_, stop) => stop,
        };
        Ok(End {
            counts: Counts::of(self.cluster, &report, &answers)?,
            search: Some(report),
            stop,
            implementation: comparison.counts(),
            resumed_at,
            trouble,
        })
    }

    fn search<'s, S: Source + Send>(
        &'s mut self,
        in_step: &'s InStep<'_, Comparison<S>>,
        threads: usize,
    ) -> Search<'s, InStep<'s, Comparison<S>>> {
        let (interval, progress) = &mut self.progress;
        let progress = |it: &Progress| match stop::flow() {
            ControlFlow::Continue(()) => progress(it),
            stop => stop,
        };
        let mut search = Search::new(in_step)
            .threads(threads)
            .on_progress(*interval, progress);
        if let Some(states) = self.max_states {
            search = search.max_states(states);
        }
        if let Some(bytes) = self.max_memory {
            search = search.max_memory(bytes);
        }
        if let Some(time) = self.max_time {
            search = search.max_time(time);
        }
        if let Some(folder) = &self.spill_folder {
            search = search.spill_folder(folder);
        }
        if let Some((folder, interval)) = &self.checkpoint {
            search = search.checkpoint(folder, *interval).resume(self.resume);
        }
        search
    }

    /// The trace along these actions.
    fn trace_of(&self, path: &[Action]) -> Trace {
        let header = Header::new(
            "divergence",
            "The shortest way to where the implementation and the specification part.",
            self.cluster.settings().config(),
            provenance("lockstep conform", self.preset.as_deref(), self.cluster),
        );
        Trace {
            header,
            steps: steps_along(self.cluster, path),
        }
    }
}

/// The end of a search.
struct End {
    /// The report of the search; `None` if there was none.
    search: Option<Report>,
    /// Why the implementation went no further, and the way there.
    stop: Option<(Stop, Vec<Action>)>,
    counts: Counts,
    implementation: StateCounts,
    resumed_at: Option<u64>,
    trouble: Option<String>,
}

impl End {
    fn at_the_start(stop: Stop) -> End {
        End {
            search: None,
            stop: Some((stop, Vec::new())),
            counts: Counts::default(),
            implementation: StateCounts::default(),
            resumed_at: None,
            trouble: None,
        }
    }
}

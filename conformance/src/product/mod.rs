//! The exhaustive product of the specification and an implementation.
//!
//! A state of the product is a state of the specification together with the digest of every server of
//! the implementation. In every such state every edge of the specification is taken on both sides and
//! the results are compared, and so is every input that must be refused or ignored, and every edge that
//! leaves the bound. When that ends without a divergence, and the digest was shown to hide nothing, the
//! two are *bisimilar within the bound*.

mod pairing;
mod report;

pub use pairing::HiddenState;
pub use report::{ProductReport, Verdict};

use crate::divergence::Divergence;
use crate::graph::{End, OnProgress, Options, Walk};
use crate::path::{provenance, steps_along};
use crate::target::{Fork, Target, TargetError};
use lockstep_engine::{Limit, Progress};
use lockstep_model::{Action, Cluster};
use lockstep_traces::{Header, Trace};
use pairing::{Pairing, Stop};
use std::ops::ControlFlow;
use std::time::Duration;

/// An exhaustive comparison; set it up, then [`run`](Product::run) it.
pub struct Product<'a, T> {
    cluster: &'a Cluster,
    target: &'a T,
    options: Options,
    preset: Option<String>,
    on_progress: OnProgress<'a>,
}

impl<'a, T: Target> Product<'a, T>
where
    T::Server: Fork,
{
    /// The product of that specification and that target: one thread, no limits.
    pub fn new(cluster: &'a Cluster, target: &'a T) -> Product<'a, T> {
        Product {
            cluster,
            target,
            options: Options::default(),
            preset: None,
            on_progress: Box::new(|_| ControlFlow::Continue(())),
        }
    }

    /// Names the preset in the trace of a divergence; for a cluster that is one as it is.
    #[must_use]
    pub fn preset(mut self, name: &str) -> Self {
        self.preset = Some(name.to_owned());
        self
    }

    /// How many threads expand the specification; the implementation is stepped by one.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.options.threads = threads.max(1);
        self
    }

    /// Stops when that many product states were found.
    #[must_use]
    pub fn max_states(mut self, states: u64) -> Self {
        self.options.max_states = Some(states);
        self
    }

    /// Stops when the tables of the search take that many bytes. The implementation's own servers, of
    /// which each distinct one is kept, are not in the sum.
    #[must_use]
    pub fn max_memory(mut self, bytes: u64) -> Self {
        self.options.max_memory_bytes = Some(bytes);
        self
    }

    /// Stops after that time.
    #[must_use]
    pub fn max_time(mut self, time: Duration) -> Self {
        self.options.max_time = Some(time);
        self
    }

    /// Calls `progress` that often; a break stops the search.
    #[must_use]
    pub fn on_progress(
        mut self,
        interval: Duration,
        progress: impl FnMut(&Progress) -> ControlFlow<()> + 'a,
    ) -> Self {
        self.options.progress_interval = interval;
        self.on_progress = Box::new(progress);
        self
    }

    /// Compares.
    ///
    /// # Errors
    ///
    /// The target cannot be started.
    pub fn run(mut self) -> Result<ProductReport, TargetError> {
        let config = self.cluster.settings().config();
        let pairing = Pairing::new(self.target, config.clone());
        let mut walk = Walk::new(self.cluster, pairing, self.options.clone());
        let verdict = match walk.run(&mut self.on_progress) {
            End::Limit(stopped_by) => Verdict::Bounded { stopped_by },
            End::Exhausted => match walk.companion.rerun() {
                Ok(()) => Verdict::Bisimilar,
                Err(stop) => self.stopped(stop, &[])?,
            },
            End::Stopped { stop, path } => self.stopped(stop, &path)?,
        };
        let verdict = verdict.unless_nothing_compared(walk.counts.distinct_inputs);
        Ok(ProductReport {
            target: self.target.description(),
            verdict,
            counts: walk.counts,
            implementation: walk.companion.counts(),
            seconds: walk.elapsed().as_secs_f64(),
            memory_bytes: walk.memory_bytes(),
        })
    }

    fn stopped(&self, stop: Stop, path: &[Action]) -> Result<Verdict, TargetError> {
        match stop {
            Stop::Setup(TargetError::Interrupted) | Stop::Interrupted => Ok(Verdict::Bounded {
                stopped_by: Limit::Interrupted,
            }),
            Stop::Setup(error) => Err(error),
            Stop::Hidden(hidden) => Ok(Verdict::DigestHidesState(hidden)),
            Stop::Diverged(differences, actual) => {
                let trace = self.trace_of(path);
                let actual = actual.map(|actual| *actual);
                Ok(Verdict::Diverged(Box::new(Divergence {
                    trace,
                    differences,
                    actual,
                })))
            }
        }
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

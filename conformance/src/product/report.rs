//! The verdict of a product.

use crate::divergence::Divergence;
use crate::states::{HiddenState, StateCounts};
use crate::target::{Description, TargetError};
use crate::verdict::Verdict;
use lockstep_engine::{Report, Search, SearchError, Verdict as Searched};
use lockstep_model::{Action, Answer, Cluster, Pair, Server};
use lockstep_traces::FieldSet;
use rustc_hash::FxHashSet;
use serde::Serialize;
use std::collections::BTreeSet;

/// Why a product establishes nothing.
#[derive(Debug, thiserror::Error)]
pub enum ProductError {
    /// The target cannot be started.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The search cannot be done.
    #[error(transparent)]
    Search(#[from] SearchError),
}

/// The counts of a product. Every number is the same for any number of threads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Distinct nodes: a state of the specification with the implementation's states beside it.
    pub product_states: u64,
    /// Distinct states of the specification among them; unknown if the search was stopped and one server of the
    /// specification has several of the implementation beside it.
    pub model_states: Option<u64>,
    /// Edges within the bound, and those that leave it.
    pub transitions: u64,
    /// Of the transitions, those at which only the network moves.
    pub network_transitions: u64,
    /// Of the transitions, those that leave the bound: compared, and not followed.
    pub leaving_the_bound: u64,
    /// Inputs beyond the transitions that were compared and not followed: those that must be refused or
    /// ignored, and those whose budget is spent.
    pub probes: u64,
    /// Distinct states of servers of the specification, beyond the bound included.
    pub server_states: u64,
    /// Distinct (server of the specification, state of the implementation, input): what was really
    /// asked; every other transition and probe repeats one of these.
    pub distinct_inputs: u64,
    /// The greatest number of events on a shortest path.
    pub depth: u32,
}

impl Counts {
    /// The counts of a search in which these questions were asked.
    pub(super) fn of(
        cluster: &Cluster,
        report: &Report,
        answers: &[Answer],
    ) -> Result<Counts, SearchError> {
        let local = cluster.local_events();
        let kinds: BTreeSet<usize> = local.iter().map(|action| action.number()).collect();
        let enabled = |number: &usize| report.actions[*number].enabled;
        let transitions = report.actions.iter().map(|action| action.enabled).sum();
        let fired: u64 = report.actions.iter().map(|action| action.fired).sum();
        let network = [Action::Duplicate(0), Action::Drop(0)].map(Action::number);
        // In every state every server gets every local input, enabled or not.
        let expanded: u64 = report.levels.iter().map(|level| level.expanded).sum();
        let inputs = expanded * (cluster.settings().servers() * local.len()) as u64;
        let pairs = |answer: &'_ Answer| [answer.before.clone(), answer.after.clone()];
        let pairs: FxHashSet<Pair> = answers.iter().flat_map(pairs).collect();
        let servers: FxHashSet<&Server> = pairs.iter().map(|pair| &pair.server).collect();
        let model_states = if servers.len() == pairs.len() {
            Some(report.distinct)
        } else if report.verdict == Searched::Exhausted {
            // All edges of the specification were followed, so these are the states that it has alone.
            let alone = Search::new(cluster)
                .only::<&str>([])
                .threads(report.threads);
            Some(alone.run()?.report.distinct)
        } else {
            None
        };
        Ok(Counts {
            product_states: report.distinct,
            model_states,
            transitions,
            network_transitions: network.iter().map(enabled).sum(),
            leaving_the_bound: transitions - fired,
            probes: inputs - kinds.iter().map(enabled).sum::<u64>(),
            server_states: servers.len() as u64,
            distinct_inputs: answers.len() as u64,
            depth: report.depth,
        })
    }
}

/// The verdict of a product, with everything that was counted.
#[derive(Clone, Debug)]
pub struct ProductReport {
    /// The target that was compared.
    pub target: Description,
    /// The verdict.
    pub verdict: Verdict,
    /// The divergence of the sides, if there is one.
    pub divergence: Option<Box<Divergence>>,
    /// The two servers with the same digest that behave differently, if there are any: the target's digest leaves out
    /// something that the implementation can read.
    pub hidden: Option<Box<HiddenState>>,
    /// The product.
    pub counts: Counts,
    /// The implementation's side of it.
    pub implementation: StateCounts,
    /// Wall-clock time.
    pub seconds: f64,
    /// The engine's report of the search: statistics by depth and by kind of action, time and memory. `None` if the two
    /// sides differ at the start, so that nothing was searched.
    pub search: Option<Report>,
    /// After a resume, the number of states that were known from the checkpoint.
    pub resumed_at: Option<u64>,
    /// The first failure of a file of the search, which left the verdict as it is or cut the search off.
    pub trouble: Option<String>,
}

impl ProductReport {
    /// The fields that were compared.
    pub fn fields_compared(&self) -> FieldSet {
        self.target.compared()
    }

    /// The fields that were not, because the target does not show them.
    pub fn fields_not_compared(&self) -> FieldSet {
        self.target.not_shown()
    }

    /// Transitions of the specification that were compared per second.
    pub fn transitions_per_second(&self) -> f64 {
        self.per_second(self.counts.transitions)
    }

    /// Transitions, and refused or ignored inputs, that were compared per second.
    pub fn transitions_and_probes_per_second(&self) -> f64 {
        self.per_second(self.counts.transitions + self.counts.probes)
    }

    fn per_second(&self, count: u64) -> f64 {
        count as f64 / self.seconds.max(1e-9)
    }
}

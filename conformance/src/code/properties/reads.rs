//! Reads without an entry of their own in the log (thesis, section 6.4).

use super::super::Code;
use super::super::components::CodeState;
use super::super::history::HappenedReads;
use super::{Property, state};
use lockstep_model::Timing;
use lockstep_traces::Reads;

pub(super) const ALL: &[Property] = &[
    state(
        "linearizable_reads_inv",
        "a read \"must at least return the results of the latest committed write\" (thesis, section 6.4): no answer is \
         below the highest index that any server had committed when its client asked, and each was asked for",
        |code, state| !confirms(code) || are_current(&state.history.reads),
        |code, state| confirms(code) && is_answered(state),
    ),
    state(
        "linearizable_lease_reads_inv",
        "\"the lease approach assumes a bound on clock drift across servers\" (thesis, section 6.4.1): as long as clocks \
         keep to the bound, no answer by lease is below the highest index that any server had committed when its \
         client asked",
        |code, state| !has_clocks(code, state) || are_current(&state.history.reads),
        |code, state| has_clocks(code, state) && is_answered(state),
    ),
    state(
        "read_is_committed_inv",
        "the answer to a read is a commit index (thesis, section 6.4): who waits until that is applied waits for no \
         entry that may never be committed",
        |_, state| {
            let committed = state.history.committed.len() as u64;
            let mut answered = state.history.reads.answered.iter();
            answered.all(|(_, _, index)| index.0 <= committed)
        },
        |_, state| is_answered(state),
    ),
];

/// Whether reads are confirmed by a round of heartbeats.
fn confirms(code: &Code<'_>) -> bool {
    code.config().reads == Reads::Safe
}

/// Whether reads are answered by lease, and clocks have kept so far to what is supposed of them.
fn has_clocks(code: &Code<'_>, state: &CodeState) -> bool {
    code.config().reads == Reads::LeaseBased
        && code.bounds.timing != Timing::Free
        && !state.history.reads.clocks.broken
}

/// Whether clients were answered in the last step.
fn is_answered(state: &CodeState) -> bool {
    !state.history.reads.answered.is_empty()
}

/// Whether every answer of the last step is one that was asked for, and not below what was committed then.
fn are_current(reads: &HappenedReads) -> bool {
    reads.answered.iter().all(|(server, context, index)| {
        let least = reads.least(*server, *context);
        least.is_some_and(|least| *index >= least)
    })
}

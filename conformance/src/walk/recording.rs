//! The steps of a walk as a trace, as far as they fit into memory.

use lockstep_traces::Step;
use std::collections::VecDeque;

/// The most entries of logs in the views of all steps that are kept, about 24 bytes each.
const ENTRIES: usize = 8 << 20;

/// The size of a step besides its entries, in entries.
const STEP: usize = 16;

/// The last steps.
#[derive(Default)]
pub(super) struct Recording {
    steps: VecDeque<Step>,
    entries: usize,
    left_out: usize,
}

impl Recording {
    pub fn push(&mut self, step: Step) {
        self.entries += entries(&step);
        self.steps.push_back(step);
        while self.entries > ENTRIES
            && let Some(first) = self.steps.pop_front()
        {
            self.entries -= entries(&first);
            self.left_out += 1;
        }
    }

    /// The steps, and how many came before them.
    pub fn into_steps(self) -> (Vec<Step>, usize) {
        (self.steps.into(), self.left_out)
    }
}

fn entries(step: &Step) -> usize {
    let views = step.expected.as_ref().map(|it| &it.view);
    STEP + views.map_or(0, |view| view.log.len() + view.durable.log.len())
}

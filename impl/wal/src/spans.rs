//! The entries that each segment holds, as far as they still count.

use std::collections::VecDeque;

use lockstep_raft::Index;

/// For each segment the highest entry in it that no later write has replaced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Spans {
    // Invariant: sequence numbers are consecutive; the last is the segment that is written.
    segments: VecDeque<(u64, Index)>,
}

impl Spans {
    /// A new segment begins.
    pub(crate) fn begin(&mut self, sequence: u64) {
        self.segments.push_back((sequence, Index::ZERO));
    }

    /// Entries were written to the current segment; they replace what was at and after `first`.
    pub(crate) fn append(&mut self, first: Index, last: Index) {
        for (_, highest) in &mut self.segments {
            *highest = (*highest).min(first.prev());
        }
        if let Some((_, highest)) = self.segments.back_mut() {
            *highest = last;
        }
    }

    /// A snapshot has replaced the whole log.
    pub(crate) fn clear(&mut self) {
        for (_, highest) in &mut self.segments {
            *highest = Index::ZERO;
        }
    }

    /// The oldest segment, if a snapshot of `index` covers it and it is not the current one.
    pub(crate) fn releasable(&self, index: Index) -> Option<u64> {
        let (sequence, highest) = *self.segments.front()?;
        (self.segments.len() > 1 && highest <= index).then_some(sequence)
    }

    /// Forgets the oldest segment.
    pub(crate) fn release(&mut self) {
        self.segments.pop_front();
    }

    /// The number of segments.
    pub(crate) fn len(&self) -> usize {
        self.segments.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_is_held_for_its_last_entry_that_counts() {
        let mut spans = Spans::default();
        spans.begin(4);
        spans.append(Index(1), Index(100));
        assert_eq!(
            spans.releasable(Index(100)),
            None,
            "it is the current segment"
        );
        spans.begin(5);
        assert_eq!(spans.releasable(Index(99)), None);
        assert_eq!(spans.releasable(Index(100)), Some(4));
        spans.append(Index(60), Index(70));
        assert_eq!(spans.releasable(Index(58)), None);
        assert_eq!(spans.releasable(Index(59)), Some(4));
        spans.begin(6);
        spans.release();
        assert_eq!((spans.releasable(Index(69)), spans.len()), (None, 2));
        spans.clear();
        assert_eq!(spans.releasable(Index(1)), Some(5));
    }
}

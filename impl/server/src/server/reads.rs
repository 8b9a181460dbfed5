//! Linearizable reads: one question to the quorum for all reads that wait, and the next question only
//! when it was answered.

use std::time::{Duration, Instant};

use bytes::Bytes;
use lockstep_raft::{Index, ReadState};
use tokio::sync::oneshot;

use super::error::Error;

/// The one who reads.
pub(super) type Reader = oneshot::Sender<Result<(), Error>>;

/// Reads that wait, by how far they are.
#[derive(Default)]
pub(super) struct Reads {
    /// Not asked for yet.
    new: Vec<Reader>,
    /// Asked for, under this context, at this moment.
    asked: Option<(Bytes, Instant, Vec<Reader>)>,
    /// Safe once this much is applied.
    granted: Vec<(Index, Vec<Reader>)>,
}

impl Reads {
    /// Adds a read.
    pub(super) fn push(&mut self, reader: Reader) {
        self.new.push(reader);
    }

    /// The context to ask for now, if there is reason to. `unique` makes one that was never used. A
    /// question that is not answered within `patience` got lost, and is asked again for all.
    pub(super) fn question(
        &mut self,
        now: Instant,
        patience: Duration,
        unique: impl FnOnce() -> u64,
    ) -> Option<Bytes> {
        if let Some((_, since, _)) = &self.asked {
            if now.duration_since(*since) < patience {
                return None;
            }
            self.again();
        }
        self.new.retain(|reader| !reader.is_closed());
        if self.new.is_empty() {
            return None;
        }
        let context = Bytes::copy_from_slice(&unique().to_be_bytes());
        self.asked = Some((context.clone(), now, std::mem::take(&mut self.new)));
        Some(context)
    }

    /// Takes back a question that could not be asked, or was given up.
    pub(super) fn again(&mut self) {
        if let Some((_, _, readers)) = self.asked.take() {
            self.new.extend(readers);
        }
    }

    /// Takes an answer. One to an earlier question says nothing about later reads, and is dropped.
    pub(super) fn answer(&mut self, state: &ReadState) {
        match &self.asked {
            Some((context, _, _)) if *context == state.context => {}
            _ => return,
        }
        match (state.index, self.asked.take()) {
            (Some(index), Some((_, _, readers))) => self.granted.push((index, readers)),
            (_, asked) => {
                self.asked = asked;
                self.again();
            }
        }
    }

    /// Lets the reads go whose entries are applied.
    pub(super) fn applied(&mut self, applied: Index) {
        for (_, readers) in self.granted.extract_if(.., |(index, _)| *index <= applied) {
            for reader in readers {
                let _ = reader.send(Ok(())); // Whoever waited in vain is gone.
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(1);

    fn state(context: &Bytes, index: Option<u64>) -> ReadState {
        ReadState {
            index: index.map(Index),
            context: context.clone(),
        }
    }

    #[test]
    fn a_read_waits_for_a_question_that_was_asked_after_it() {
        let (mut reads, now) = (Reads::default(), Instant::now());
        let (one, mut first) = oneshot::channel();
        let (two, mut second) = oneshot::channel();
        assert_eq!(reads.question(now, PATIENCE, || 1), None);
        reads.push(one);
        let context = reads.question(now, PATIENCE, || 1).unwrap();
        reads.push(two);
        assert_eq!(reads.question(now, PATIENCE, || 2), None);
        reads.answer(&state(&context, Some(5)));
        reads.applied(Index(4));
        assert!(first.try_recv().is_err());
        reads.applied(Index(5));
        assert!(first.try_recv().unwrap().is_ok());
        assert!(second.try_recv().is_err());
        let context = reads.question(now, PATIENCE, || 2).unwrap();
        reads.answer(&state(&context, Some(5)));
        reads.applied(Index(5));
        assert!(second.try_recv().unwrap().is_ok());
    }

    #[test]
    fn a_lost_question_is_asked_again_under_another_context() {
        let (mut reads, now) = (Reads::default(), Instant::now());
        let (one, mut first) = oneshot::channel();
        reads.push(one);
        let lost = reads.question(now, PATIENCE, || 1).unwrap();
        let context = reads.question(now + PATIENCE, PATIENCE, || 2).unwrap();
        reads.answer(&state(&lost, Some(1)));
        reads.applied(Index(1));
        assert!(
            first.try_recv().is_err(),
            "an answer to the first question is late"
        );
        reads.answer(&state(&context, None));
        let context = reads.question(now + PATIENCE, PATIENCE, || 3).unwrap();
        reads.answer(&state(&context, Some(1)));
        reads.applied(Index(1));
        assert!(first.try_recv().unwrap().is_ok());
    }
}

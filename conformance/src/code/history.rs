//! The history that properties of an implementation need.

use super::clocks::Clocks;
use super::log::LogView;
use super::node::Node;
use lockstep_model::Timing;
use lockstep_traces::{Entry, Index, Input, NodeView, Outcome, ReadState, Role, ServerId, Term};
use serde::{Deserialize, Serialize};

/// The facts on a server that the history needs before it moves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Before {
    /// Its commit index.
    pub commit: u64,
    /// Whether it led.
    pub led: bool,
}

impl Before {
    pub(crate) fn of(view: &NodeView) -> Before {
        Before {
            commit: view.commit.0,
            led: view.role == Role::Leader,
        }
    }

    /// In one number, for the [facts](lockstep_engine::ServerFacts) of a server.
    pub(crate) fn note(self) -> u32 {
        let commit = u32::try_from(self.commit).unwrap_or(u32::MAX);
        commit.min(u32::MAX >> 1) << 1 | u32::from(self.led)
    }

    /// Decodes the number that [`Before::note`] made.
    pub(crate) fn from_note(note: u32) -> Before {
        Before {
            commit: (note >> 1).into(),
            led: note & 1 != 0,
        }
    }
}

/// The history of a run, as the views showed it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Happened {
    /// The leaders of each term that had one, as a set of slots, by term.
    pub leaders: Vec<(Term, u8)>,
    /// The first term that one server has led twice, with a crash between: what it appended at first may be lost.
    pub led_twice: Option<Term>,
    /// For each index, from index one on, the entry that was committed there first, and the term of the server
    /// that did.
    pub committed: Vec<(Entry, Term)>,
    /// The reads of clients.
    pub reads: HappenedReads,
}

/// The reads that clients have asked for, and what they were told.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct HappenedReads {
    /// The promise to each client, made when it first asked: its server, its context, and the highest index that was
    /// committed anywhere. A client that asks again with the same context cannot tell the answers apart, so that it
    /// gets no more.
    pub asked: Vec<(ServerId, u64, Index)>,
    /// The answers to clients in the last step: the server whose clients they are, the context and the index.
    pub answered: Vec<(ServerId, u64, Index)>,
    /// The facts about clocks, if there is an assumption about them.
    pub clocks: Clocks,
}

/// A step of a server, as far as reads go.
pub(crate) struct ReadStep<'a> {
    pub servers: (&'a Node, &'a Node),
    pub input: &'a Input,
    pub outcome: Outcome,
    pub read_states: &'a [ReadState],
}

impl Happened {
    /// Records the move of a server from `before` to `after`.
    pub(crate) fn record(&mut self, before: Before, after: &Node) {
        let view = &after.view;
        if view.role == Role::Leader {
            let bit = 1 << after.slot();
            match self
                .leaders
                .binary_search_by_key(&view.term, |(term, _)| *term)
            {
                Ok(place) => {
                    let led = &mut self.leaders[place].1;
                    if !before.led && *led & bit != 0 {
                        self.led_twice.get_or_insert(view.term);
                    }
                    *led |= bit;
                }
                Err(place) => self.leaders.insert(place, (view.term, bit)),
            }
        }
        let Index(commit) = view.commit;
        if commit > before.commit {
            let log = LogView::of(view);
            // A snapshot may stand for what others committed. If nobody did, nothing is known from there on, and
            // that snapshot is of nothing that was committed.
            for index in self.committed.len() as u64 + 1..=commit {
                match log.entry(index) {
                    Some(entry) => self.committed.push((entry.clone(), view.term)),
                    None => break,
                }
            }
        }
    }

    /// Records what a step means to clients that read. Must come before [`record`](Self::record), so that what the step
    /// commits was not yet acknowledged when it began.
    pub(crate) fn record_reads(&mut self, timing: Timing, step: &ReadStep<'_>) {
        let led = self.leaders.last().map_or(Term(0), |(term, _)| *term);
        let least = Index(self.committed.len() as u64);
        let reads = &mut self.reads;
        let (_, after) = step.servers;
        let answers = step.read_states.iter();
        let answers = answers.filter_map(|it| Some((after.id, it.context, it.index?)));
        reads.answered = answers.collect();
        reads.clocks.note(timing, step.servers, step.input, led);
        if reads.clocks.broken {
            reads.asked.clear();
        } else if let (Input::ReadIndex { context }, Outcome::Accepted) = (step.input, step.outcome)
        {
            reads.ask((after.id, *context, least));
        }
    }

    /// The entry that was committed at an index.
    pub(super) fn committed_at(&self, index: u64) -> Option<&Entry> {
        let slot = usize::try_from(index.checked_sub(1)?).ok()?;
        self.committed.get(slot).map(|(entry, _)| entry)
    }
}

impl HappenedReads {
    /// A read is asked for, unless it was before.
    pub(crate) fn ask(&mut self, asked: (ServerId, u64, Index)) {
        let place = self
            .asked
            .binary_search_by_key(&(asked.0, asked.1), |it| (it.0, it.1));
        if let Err(place) = place {
            self.asked.insert(place, asked);
        }
    }

    /// The index that an answer to this read must not be below; `None` if nobody asked.
    pub(super) fn least(&self, server: ServerId, context: u64) -> Option<Index> {
        let place = self
            .asked
            .binary_search_by_key(&(server, context), |it| (it.0, it.1));
        place.ok().map(|place| self.asked[place].2)
    }
}

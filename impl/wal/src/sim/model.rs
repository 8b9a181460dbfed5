//! The state that a sequence of writes leaves, in the simplest way.

use std::fmt;

use lockstep_raft::{
    ConfState, Entry, EntryId, HardState, Index, MemoryStorage, NodeId, Snapshot, SnapshotMetadata,
    Storage, Term,
};
use rand::Rng;
use rand::rngs::SmallRng;

use crate::Write;

/// A server as it would start: entries that the snapshot covers are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Model {
    pub hard_state: HardState,
    pub snapshot: Snapshot,
    pub entries: Vec<Entry>,
}

impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (hard_state, id) = (self.hard_state, self.snapshot.id());
        let (term, commit) = (hard_state.term, hard_state.commit);
        let vote = hard_state.vote.map_or(0, NodeId::get);
        write!(
            f,
            "term {term} vote {vote} commit {commit}; {}.{};",
            id.term, id.index
        )?;
        let mut entries = self.entries.iter();
        entries.try_for_each(|it| write!(f, " {}.{}:{}", it.term, it.index, it.data.len()))
    }
}

impl Model {
    /// The state in a view, without the entries that the snapshot covers.
    pub(crate) fn of(view: &MemoryStorage) -> Model {
        // A view that was just opened or has a snapshot of its own is never without.
        let snapshot = view.snapshot().unwrap();
        let (first, end) = (snapshot.metadata.index.next(), view.last_index().unwrap());
        let entries = view.entries(first, end.next(), u64::MAX);
        Model {
            hard_state: view.hard_state(),
            snapshot,
            entries: entries.unwrap(),
        }
    }

    pub(crate) fn last(&self) -> EntryId {
        let last = self.entries.last().map(Entry::id);
        last.unwrap_or(self.snapshot.id())
    }

    pub(crate) fn apply(&mut self, write: &Write) {
        if let Some(snapshot) = &write.snapshot {
            self.snapshot = snapshot.clone();
            self.entries.clear();
        }
        for entry in &write.entries {
            self.entries.retain(|held| held.index < entry.index);
            self.entries.push(entry.clone());
        }
        self.hard_state = write.hard_state.unwrap_or(self.hard_state);
    }

    pub(crate) fn create(&mut self, snapshot: &Snapshot) {
        self.entries
            .retain(|entry| entry.index > snapshot.metadata.index);
        self.snapshot = snapshot.clone();
    }

    /// A write that a server in this state could ask for.
    pub(crate) fn next_write(&self, random: &mut SmallRng) -> Write {
        let mut write = Write {
            must_sync: random.random_bool(0.2),
            ..Write::default()
        };
        let mut hard_state = self.hard_state;
        if random.random_bool(0.3) {
            hard_state.term.0 += random.random_range(0..3);
            hard_state.vote = NodeId::new(random.random_range(0..3));
        }
        hard_state.term = hard_state.term.max(self.last().term).max(Term(1));
        let mut last = self.last();
        if random.random_bool(0.06) {
            let index = last.index.0.max(hard_state.commit.0) + random.random_range(1..5);
            let snapshot = random_snapshot(random, EntryId::new(hard_state.term, Index(index)));
            last = snapshot.id();
            hard_state.commit = last.index;
            write.snapshot = Some(snapshot);
        }
        if random.random_bool(0.75) {
            let mut first = last.index.next();
            // A new leader replaces what is not committed.
            let floor = self.snapshot.metadata.index.max(hard_state.commit).next();
            if write.snapshot.is_none() && first > floor && random.random_bool(0.2) {
                first = Index(random.random_range(floor.0..=first.0));
            }
            let count = random.random_range(1..4);
            let term = hard_state.term;
            write.entries = (first.0..first.0 + count)
                .map(|index| Entry {
                    term,
                    index: Index(index),
                    data: random_bytes(random),
                    ..Entry::default()
                })
                .collect();
            last = write.entries.last().map(Entry::id).expect("at least one");
        }
        if random.random_bool(0.3) && last.index > hard_state.commit {
            hard_state.commit = Index(random.random_range(hard_state.commit.0..=last.index.0));
        }
        write.hard_state = (hard_state != self.hard_state).then_some(hard_state);
        write
    }

    /// A snapshot that the application could make in this state.
    pub(crate) fn next_snapshot(&self, random: &mut SmallRng) -> Option<Snapshot> {
        let committed = self
            .entries
            .iter()
            .filter(|it| it.index <= self.hard_state.commit);
        let ids: Vec<EntryId> = committed.map(Entry::id).collect();
        let id = *ids.get(random.random_range(0..ids.len().max(1)))?;
        Some(random_snapshot(random, id))
    }
}

fn random_snapshot(random: &mut SmallRng, id: EntryId) -> Snapshot {
    let voters = (1..=random.random_range(1..4)).filter_map(NodeId::new);
    Snapshot {
        data: random_bytes(random),
        metadata: SnapshotMetadata {
            conf_state: ConfState {
                voters: voters.collect(),
                ..ConfState::default()
            },
            index: id.index,
            term: Term(id.term.0),
        },
    }
}

/// Mostly short, sometimes longer than several sectors, sometimes zeros that look like nothing.
fn random_bytes(random: &mut SmallRng) -> bytes::Bytes {
    let length = match random.random_range(0..20) {
        0 => random.random_range(500..2500),
        1..4 => 0,
        _ => random.random_range(1..120),
    };
    let mut bytes = vec![0; length];
    if random.random_bool(0.8) {
        random.fill(&mut bytes[..]);
    }
    bytes.into()
}

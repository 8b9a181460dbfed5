//! What a batch does: expand blocks of states, insert the fingerprints, write out what is new.
//!
//! The three phases share nothing that is written: expanding only reads the table of fingerprints,
//! inserting gives every shard to one thread, and writing out is by block again. A shard takes the
//! candidates in the order of blocks, states and actions, so which of two equal successors is the
//! new one does not depend on the threads.

use super::builder::StateMap;
use super::fingerprints::{Fingerprints, SHARDS, Shard, fingerprint, shard_of};
use super::frontier::{Packer, Piece, Unpacker};
use super::links::LinkPiece;
use super::report::PropertyKind;
use super::selected::Selected;
use super::tally::Tally;
use super::traits::{Antecedent, AntecedentCondition, Checkable, Shortcut};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

/// The slots of the filter for successors met twice in a block.
const FILTER: usize = 1 << 12;
/// No fingerprint has this value.
const NONE: u64 = u64::MAX;

/// What is needed to expand a state of `M`.
pub(super) struct Expander<'a, M: Checkable> {
    pub model: &'a M,
    pub selected: Selected<M>,
    pub antecedents: Vec<Antecedent<M>>,
    pub coverage: bool,
    pub with_shortcut: bool,
    pub canonical: Option<StateMap<M, M::State>>,
    pub orbit_size: Option<StateMap<M, u64>>,
    /// The witnesses not yet found, as positions: those of states, and, counted on, those of steps.
    pub missing: Vec<usize>,
    /// A tally of the right shape.
    pub empty: Tally,
}

/// A state as a position in its block, and, if it is about a step, the number of the action.
pub(super) type Place = (u32, Option<u32>);

/// A property that does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Violation {
    pub property: &'static str,
    pub kind: PropertyKind,
    /// The state that was being expanded, as a position in its block.
    pub parent: u32,
    /// The number of the action.
    pub action: u32,
}

/// A successor that may be new.
struct Candidate {
    fingerprint: u64,
    /// Where its encoding ends.
    end: u32,
    parent: u32,
    action: u16,
    kind: u16,
}

/// Everything that came of expanding one block.
pub(super) struct Expansion {
    pub tally: Tally,
    pub violation: Option<Violation>,
    /// For each witness where it was found first.
    pub witnesses: Vec<Option<Place>>,
    /// The most actions a state had.
    pub most_actions: usize,
    candidates: Vec<Candidate>,
    bytes: Vec<u8>,
    /// The candidates by shard, in order within each, and where each shard begins.
    by_shard: Vec<u32>,
    shard_starts: [u32; SHARDS + 1],
    fresh: Vec<AtomicBool>,
}

impl Expansion {
    pub fn new(tally: Tally) -> Self {
        Expansion {
            tally,
            violation: None,
            witnesses: Vec::new(),
            most_actions: 0,
            candidates: Vec::new(),
            bytes: Vec::new(),
            by_shard: Vec::new(),
            shard_starts: [0; SHARDS + 1],
            fresh: Vec::new(),
        }
    }

    /// Bytes of memory.
    pub fn memory(&self) -> u64 {
        let each = size_of::<Candidate>() + size_of::<u32>() + size_of::<AtomicBool>();
        (self.candidates.capacity() * each + self.bytes.capacity()) as u64
    }

    /// How many candidates there are for each shard, added to `counts`.
    pub fn count_by_shard(&self, counts: &mut [usize; SHARDS]) {
        for (count, ends) in counts.iter_mut().zip(self.shard_starts.windows(2)) {
            *count += (ends[1] - ends[0]) as usize;
        }
    }

    fn of_shard(&self, shard: usize) -> &[u32] {
        &self.by_shard[self.shard_starts[shard] as usize..self.shard_starts[shard + 1] as usize]
    }

    /// Counting sort by shard, keeping the order.
    fn sort_by_shard(&mut self) {
        let mut starts = [0u32; SHARDS + 1];
        for candidate in &self.candidates {
            starts[shard_of(candidate.fingerprint) + 1] += 1;
        }
        for shard in 0..SHARDS {
            starts[shard + 1] += starts[shard];
        }
        self.shard_starts = starts;
        self.by_shard.clear();
        self.by_shard.resize(self.candidates.len(), 0);
        for (number, candidate) in self.candidates.iter().enumerate() {
            let place = &mut starts[shard_of(candidate.fingerprint)];
            self.by_shard[*place as usize] = number as u32;
            *place += 1;
        }
        self.fresh.clear();
        self.fresh
            .resize_with(self.candidates.len(), AtomicBool::default);
    }
}

/// What the threads remember of transitions, from batch to batch.
pub(super) type Shortcuts<'a, M> = Mutex<Vec<Box<dyn Shortcut<M> + Send + 'a>>>;

/// What a thread needs besides, kept from block to block.
pub(super) struct Scratch<'p, 'a, M: Checkable> {
    actions: Vec<M::Action>,
    /// The last fingerprint for each of its low bits: what is here came earlier in the block.
    filter: Vec<u64>,
    shortcut: Option<Box<dyn Shortcut<M> + Send + 'a>>,
    /// Where the shortcut came from and goes back to.
    pool: &'p Shortcuts<'a, M>,
}

impl<M: Checkable> Drop for Scratch<'_, '_, M> {
    fn drop(&mut self) {
        if let (Some(shortcut), Ok(mut pool)) = (self.shortcut.take(), self.pool.lock()) {
            pool.push(shortcut);
        }
    }
}

impl<'a, M> Expander<'a, M>
where
    M: Checkable,
    M::Action: Clone,
{
    /// What a thread needs, with a shortcut of the pool or a new one if it is to have one.
    pub fn scratch<'p>(&self, pool: &'p Shortcuts<'a, M>) -> Scratch<'p, 'a, M> {
        let shortcut = if self.with_shortcut {
            let pooled = pool.lock().ok().and_then(|mut pool| pool.pop());
            pooled.or_else(|| self.model.shortcut())
        } else {
            None
        };
        Scratch {
            actions: Vec::new(),
            filter: vec![NONE; FILTER],
            shortcut,
            pool,
        }
    }

    /// The representative of `state`.
    pub fn represent(&self, state: M::State) -> M::State {
        match self.canonical {
            Some(canonical) => canonical(self.model, &state),
            None => state,
        }
    }

    /// The number of witnesses, found or not.
    pub fn witness_count(&self) -> usize {
        self.selected.sometimes.len() + self.selected.step_witnesses.len()
    }

    /// The part of `missing` that is about steps.
    fn missing_steps(&self) -> &[usize] {
        let states = self.selected.sometimes.len();
        &self.missing[self.missing.partition_point(|missing| *missing < states)..]
    }

    /// The first state property that `state` does not have.
    pub fn violated_by(&self, state: &M::State) -> Option<&'static str> {
        let mut always = self.selected.always.iter();
        Some(
            always
                .find(|property| !(property.condition)(self.model, state))?
                .name,
        )
    }

    /// Expands the states of `block`: counts, evaluates, and collects the successors that `known`
    /// does not hold.
    pub fn expand(
        &self,
        block: &[u8],
        known: &Fingerprints,
        scratch: &mut Scratch<'_, 'a, M>,
        out: &mut Expansion,
    ) {
        out.tally = self.empty.clone();
        out.violation = None;
        out.witnesses.clear();
        out.witnesses.resize(self.witness_count(), None);
        out.most_actions = 0;
        out.candidates.clear();
        out.bytes.clear();
        scratch.filter.fill(NONE);
        let mut unpacker = Unpacker::new(block);
        let mut parent = 0;
        while let Some(bytes) = unpacker.next() {
            let state = self.model.decode(bytes);
            self.look_at(&state, parent, out);
            self.expand_state(&state, bytes, parent, known, scratch, out);
            parent += 1;
        }
        out.sort_by_shard();
    }

    /// What is asked of every distinct state once.
    fn look_at(&self, state: &M::State, number: u32, out: &mut Expansion) {
        out.tally.expanded += 1;
        for missing in &self.missing {
            let Some(property) = self.selected.sometimes.get(*missing) else {
                break;
            };
            let first = &mut out.witnesses[*missing];
            if first.is_none() && (property.condition)(self.model, state) {
                *first = Some((number, None));
            }
        }
        for (held, antecedent) in out.tally.antecedents.iter_mut().zip(&self.antecedents) {
            if let AntecedentCondition::State(condition) = antecedent.condition {
                *held += u64::from(condition(self.model, state));
            }
        }
        if let Some(orbit_size) = self.orbit_size {
            out.tally.orbit_states += orbit_size(self.model, state);
        }
    }

    fn expand_state(
        &self,
        state: &M::State,
        bytes: &[u8],
        parent: u32,
        known: &Fingerprints,
        scratch: &mut Scratch<'_, 'a, M>,
        out: &mut Expansion,
    ) {
        let model = self.model;
        let before = out.tally.generated;
        model.actions(state, &mut scratch.actions);
        out.most_actions = out.most_actions.max(scratch.actions.len());
        let Scratch {
            actions,
            filter,
            shortcut,
            ..
        } = scratch;
        if let Some(shortcut) = shortcut {
            shortcut.begin(state, bytes);
        }
        for (number, action) in actions.drain(..).enumerate() {
            let kind = model.action_kind(&action);
            out.tally.enabled[kind] += 1;
            let start = out.bytes.len();
            let known_step = shortcut
                .as_mut()
                .and_then(|shortcut| shortcut.known(state, bytes, &action, &mut out.bytes));
            if known_step == Some(false) {
                out.bytes.truncate(start);
                continue;
            }
            // States are large: they are kept in one place and looked at by reference.
            let mut reached = None;
            if known_step.is_none() {
                reached = model.next_state(state, action.clone());
                let Some(after) = &reached else { continue };
                if !model.within_boundary(after) {
                    continue;
                }
                let quiet = self.look_at_step(state, (number, &action), after, parent, out);
                if let (true, Some(shortcut)) = (quiet, shortcut.as_mut()) {
                    shortcut.learn(state, bytes, &action, after);
                }
                if let Some(canonical) = self.canonical {
                    let representative = canonical(model, after);
                    model.encode(&representative, &mut out.bytes);
                    reached = Some(representative);
                } else {
                    model.encode(after, &mut out.bytes);
                }
            }
            out.tally.fired[kind] += 1;
            out.tally.generated += 1;
            let fingerprint = fingerprint(&out.bytes[start..]);
            let recent = &mut filter[fingerprint as usize % FILTER];
            if *recent == fingerprint || known.contains(fingerprint) {
                out.bytes.truncate(start);
                continue;
            }
            *recent = fingerprint;
            if out.violation.is_none() && !self.selected.always.is_empty() {
                // Executing is cheaper than decoding, and by now it is most likely a new state.
                if reached.is_none() {
                    reached = model.next_state(state, action);
                }
                let property = reached.as_ref().and_then(|after| self.violated_by(after));
                out.violation = property.map(|property| Violation {
                    property,
                    kind: PropertyKind::State,
                    parent,
                    action: number as u32,
                });
            }
            out.candidates.push(Candidate {
                fingerprint,
                end: out.bytes.len() as u32,
                parent,
                action: number as u16,
                kind: kind as u16,
            });
        }
        out.tally.terminal += u64::from(out.tally.generated == before);
    }

    /// What is asked of every step that is executed. True if it is neither a violation nor the first of
    /// a witness.
    fn look_at_step(
        &self,
        state: &M::State,
        (number, action): (usize, &M::Action),
        after: &M::State,
        parent: u32,
        out: &mut Expansion,
    ) -> bool {
        let mut quiet = true;
        if self.coverage {
            self.cover(state, action, after, out);
        }
        for missing in self.missing_steps() {
            let first = &mut out.witnesses[*missing];
            let step = &self.selected.step_witnesses[*missing - self.selected.sometimes.len()];
            if first.is_none() && (step.condition)(self.model, state, action, after) {
                *first = Some((parent, Some(number as u32)));
                quiet = false;
            }
        }
        let mut steps = self.selected.steps.iter();
        if let Some(property) =
            steps.find(|step| !(step.condition)(self.model, state, action, after))
        {
            quiet = false;
            out.violation.get_or_insert(Violation {
                property: property.name,
                kind: PropertyKind::Step,
                parent,
                action: number as u32,
            });
        }
        quiet
    }

    /// Antecedents of steps, and pairs.
    fn cover(&self, state: &M::State, action: &M::Action, after: &M::State, out: &mut Expansion) {
        for (held, antecedent) in out.tally.antecedents.iter_mut().zip(&self.antecedents) {
            if let AntecedentCondition::Step(condition) = antecedent.condition {
                *held += u64::from(condition(self.model, state, action, after));
            }
        }
        if let Some(pair) = self.model.pair(state, action) {
            out.tally.pairs[pair] += 1;
        }
    }
}

/// Inserts what all `expansions` have for shard number `number`, and marks what is new.
pub(super) fn insert(number: usize, shard: &mut Shard, expansions: &[Expansion]) {
    shard.reserve(
        expansions
            .iter()
            .map(|expansion| expansion.of_shard(number).len())
            .sum(),
    );
    for expansion in expansions {
        for candidate in expansion.of_shard(number) {
            let candidate = *candidate as usize;
            if shard.insert(expansion.candidates[candidate].fingerprint) {
                expansion.fresh[candidate].store(true, Ordering::Relaxed);
            }
        }
    }
}

/// The new states of one block, ready to be appended.
#[derive(Default)]
pub(super) struct Emission {
    pub pieces: Vec<Piece>,
    pub links: LinkPiece,
    /// The fingerprints, if they are asked for.
    pub fingerprints: Vec<u8>,
    /// New states by kind of action.
    pub discovered: Vec<u64>,
}

impl Emission {
    /// Bytes of memory, apart from the pieces, which move on to the frontier.
    pub fn memory(&self) -> u64 {
        self.fingerprints.capacity() as u64
    }
}

/// Collects the new states of `expansion`, in order.
pub(super) fn emit(expansion: &Expansion, with_fingerprints: bool, out: &mut Emission) {
    *out = Emission {
        discovered: vec![0; expansion.tally.discovered.len()],
        ..Emission::default()
    };
    let mut packer = Packer::default();
    let mut start = 0;
    for (candidate, fresh) in expansion.candidates.iter().zip(&expansion.fresh) {
        let end = candidate.end as usize;
        if fresh.load(Ordering::Relaxed) {
            packer.push(&expansion.bytes[start..end]);
            out.links
                .push(candidate.parent, u32::from(candidate.action));
            out.discovered[usize::from(candidate.kind)] += 1;
            if with_fingerprints {
                out.fingerprints
                    .extend_from_slice(&candidate.fingerprint.to_le_bytes());
            }
        }
        start = end;
    }
    out.pieces = packer.pieces;
}

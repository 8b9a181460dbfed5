//! The phases of a batch: expand blocks of states, insert the fingerprints, write out the new states.
//!
//! The three phases share nothing that is written: expanding is by block, inserting gives every shard
//! of the table to one thread, and writing out is by block again. A shard takes the successors in the order
//! of blocks, states and actions, so which of two equal ones is the new one does not depend on the threads.

use super::builder::EachState;
use super::fingerprints::{Fingerprints, SHARDS, Shard, Tag, fingerprint, shard_of};
use super::frontier::{Block, Packed};
use super::predecessors::LinkPiece;
use super::report::PropertyKind;
use super::selected::Selected;
use super::steps::{Reached, Steps};
use super::tally::{Cover, Tally};
use super::traits::{
    Antecedent, AntecedentCondition, Checkable, Collapse, Judged, StateMap, judged,
};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

/// The slots of the filter for successors met twice.
const FILTER: usize = 1 << 11;
/// No fingerprint has this value.
const NONE: u64 = u64::MAX;

/// Expands states of `M`.
pub(super) struct Expander<'a, M: Checkable> {
    pub model: &'a M,
    pub selected: Selected<M>,
    pub antecedents: Vec<Antecedent<M>>,
    pub coverage: bool,
    pub canonical: Option<StateMap<M, M::State>>,
    pub orbit_size: Option<StateMap<M, u64>>,
    /// The witnesses not yet found, as positions: those of states, and, counted on, those of steps.
    pub missing: Vec<usize>,
    /// A tally of the right shape.
    pub empty: Tally,
    /// The condition beside those of the model.
    pub each_state: Option<EachState<'a, M>>,
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

/// Everything that came of expanding one block.
pub(super) struct Expansion {
    pub tally: Tally,
    pub violation: Option<Violation>,
    /// The first expanded state of which the condition beside those of the model is not true.
    pub failing: Option<u32>,
    /// For each witness where it was found first.
    pub witnesses: Vec<Option<Place>>,
    /// The most actions a state had.
    pub most_actions: usize,
    /// The successors; those that are new, once they are written.
    pub reached: Vec<Reached>,
    /// Their encodings, if they are not found again by a collapse.
    bytes: Vec<u8>,
    /// The fingerprints of the successors that may be new and their numbers by shard, in order within
    /// each, and where each shard begins.
    by_shard: Vec<(u64, u32)>,
    shard_starts: [u32; SHARDS + 1],
    /// By number of the successor, whether it is new.
    fresh: Vec<AtomicBool>,
}

impl Expansion {
    pub fn new(tally: Tally) -> Self {
        Expansion {
            tally,
            violation: None,
            failing: None,
            witnesses: Vec::new(),
            most_actions: 0,
            reached: Vec::new(),
            bytes: Vec::new(),
            by_shard: Vec::new(),
            shard_starts: [0; SHARDS + 1],
            fresh: Vec::new(),
        }
    }

    /// Bytes of memory.
    pub fn memory(&self) -> u64 {
        let reached = self.reached.capacity() * size_of::<Reached>();
        let by_shard = self.by_shard.capacity() * size_of::<(u64, u32)>();
        (reached + by_shard + self.fresh.capacity() + self.bytes.capacity()) as u64
    }

    /// Adds to `counts` the number of successors that each shard may get.
    pub fn count_by_shard(&self, counts: &mut [usize; SHARDS]) {
        for (count, ends) in counts.iter_mut().zip(self.shard_starts.windows(2)) {
            *count += (ends[1] - ends[0]) as usize;
        }
    }

    /// Whether a violation by this action would be the first of the block.
    fn comes_before_violation(&self, parent: u32, action: u32) -> bool {
        self.violation
            .is_none_or(|first| (parent, action) < (first.parent, first.action))
    }

    /// Notes a violation by this action, if it is the first of the block.
    pub fn note_violation(
        &mut self,
        property: &'static str,
        kind: PropertyKind,
        parent: u32,
        action: u32,
    ) {
        if self.comes_before_violation(parent, action) {
            self.violation = Some(Violation {
                property,
                kind,
                parent,
                action,
            });
        }
    }

    fn of_shard(&self, shard: usize) -> &[(u64, u32)] {
        &self.by_shard[self.shard_starts[shard] as usize..self.shard_starts[shard + 1] as usize]
    }

    /// Counting sort by shard, keeping the order, of the successors that `firsts` holds.
    fn sort_by_shard(&mut self, firsts: &[(u64, u32)]) {
        let mut starts = [0u32; SHARDS + 1];
        for (fingerprint, _) in firsts {
            starts[shard_of(*fingerprint) + 1] += 1;
        }
        for shard in 0..SHARDS {
            starts[shard + 1] += starts[shard];
        }
        self.shard_starts = starts;
        self.by_shard.clear();
        self.by_shard.resize(firsts.len(), (0, 0));
        for first in firsts {
            let place = &mut starts[shard_of(first.0)];
            self.by_shard[*place as usize] = *first;
            *place += 1;
        }
        self.fresh.clear();
        self.fresh
            .resize_with(self.reached.len(), AtomicBool::default);
    }

    /// Forgets the successors that are not new.
    fn keep_new(&mut self) {
        let mut count = 0;
        for (number, fresh) in self.fresh.iter_mut().enumerate() {
            // Without a branch: which way it went could not be foretold.
            self.reached[count] = self.reached[number];
            count += usize::from(*fresh.get_mut());
        }
        self.reached.truncate(count);
    }
}

/// The collapses of the threads, from batch to batch.
pub(super) struct Collapses<'a, M: Checkable> {
    /// Gives threads theirs, and keeps what they share.
    pub root: Box<dyn Collapse<'a, M> + 'a>,
    steps: Steps,
    spare: Vec<Own<'a, M>>,
}

/// A collapse, and where it lists what it knows.
pub(super) struct Own<'a, M: Checkable> {
    pub collapse: Box<dyn Collapse<'a, M> + 'a>,
    pub steps: Steps,
}

impl<'a, M: Checkable> Collapses<'a, M> {
    /// Makes collapses for actions of `kinds` kinds.
    pub fn new(root: Box<dyn Collapse<'a, M> + 'a>, kinds: usize) -> Self {
        Collapses {
            root,
            steps: Steps::new(kinds),
            spare: Vec::new(),
        }
    }

    /// Drops what can be found out again: what threads have for themselves at once, what they share when
    /// the batch is done, because routes are about it.
    pub fn forget(&mut self) {
        self.spare.clear();
        self.root.forget();
    }

    /// Bytes of memory.
    pub fn memory(&self) -> u64 {
        let (root, shared) = self.root.memory();
        let own = |own: &Own<'_, M>| own.collapse.memory().0 + own.steps.memory();
        let spare = self.spare.iter().map(own);
        root + shared + spare.sum::<u64>()
    }
}

/// The pool that threads take their collapses from, if they use any.
pub(super) type Pool<'a, M> = Option<Mutex<Collapses<'a, M>>>;

/// The buffers of a thread, kept from block to block.
pub(super) struct Scratch<'p, 'a, M: Checkable> {
    actions: Vec<M::Action>,
    /// The last fingerprint for each of its low bits: what is here came earlier.
    filter: Vec<u64>,
    /// The fingerprints that the filter let pass, and the numbers of the successors.
    firsts: Vec<(u64, u32)>,
    own: Option<Own<'a, M>>,
    /// The pool that the collapse came from and goes back to.
    pool: &'p Pool<'a, M>,
}

impl<M: Checkable> Scratch<'_, '_, M> {
    /// Whether no block of this thread has led to this fingerprint before, as far as the filter knows. (A
    /// thread takes the blocks of a batch in order, so what came before has the first claim to be new.)
    fn is_first(&mut self, fingerprint: u64) -> bool {
        let recent = &mut self.filter[fingerprint as usize % FILTER];
        std::mem::replace(recent, fingerprint) != fingerprint
    }
}

impl<M: Checkable> Drop for Scratch<'_, '_, M> {
    fn drop(&mut self) {
        if let (Some(own), Some(Ok(mut pool))) =
            (self.own.take(), self.pool.as_ref().map(Mutex::lock))
        {
            pool.spare.push(own);
        }
    }
}

impl<'a, M> Expander<'a, M>
where
    M: Checkable,
    M::Action: Clone,
{
    /// Returns the working memory of a thread, with a collapse of the pool if there is one.
    pub fn scratch<'p>(&self, pool: &'p Pool<'a, M>) -> Scratch<'p, 'a, M> {
        let own = pool.as_ref().and_then(|pool| {
            let mut pool = pool.lock().ok()?;
            let fork = |pool: &Collapses<'a, M>| Own {
                collapse: pool.root.fork(),
                steps: pool.steps.fork(),
            };
            pool.spare.pop().or_else(|| Some(fork(&pool)))
        });
        Scratch {
            actions: Vec::new(),
            filter: vec![NONE; FILTER],
            firsts: Vec::new(),
            own,
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

    /// Whether a witness that is a state has not been found yet.
    pub fn misses_states(&self) -> bool {
        let states = self.selected.sometimes.len();
        self.missing.first().is_some_and(|first| *first < states)
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

    /// Expands the states of `block`: counts, evaluates, and collects the successors. (Of those that
    /// have to be kept in full, only what `known` does not hold.)
    pub fn expand(
        &self,
        block: &Block,
        known: &Fingerprints,
        scratch: &mut Scratch<'_, 'a, M>,
        out: &mut Expansion,
    ) {
        out.tally = self.empty.clone();
        out.violation = None;
        out.failing = None;
        out.witnesses.clear();
        out.witnesses.resize(self.witness_count(), None);
        out.most_actions = 0;
        out.reached.clear();
        out.bytes.clear();
        let states = block.states();
        out.tally.expanded += u64::from(block.states);
        if let Some(mut own) = scratch.own.take() {
            self.expand_collapsed(states, block.states, &mut own, out);
            scratch.own = Some(own);
        } else {
            for (parent, encoding) in (0..).zip(states.iter()) {
                let state = self.model.decode(encoding);
                self.look_at(&state, parent, out);
                self.look_at_each(&state, parent, out);
                out.tally.cover(&self.cover_of_state(&state), 1);
                self.expand_state(&state, parent, known, scratch, out);
            }
        }
        let mut firsts = std::mem::take(&mut scratch.firsts);
        firsts.resize(out.reached.len(), (0, 0));
        let mut count = 0;
        for (number, reached) in out.reached.iter().enumerate() {
            // Without a branch: which way it went could not be foretold.
            firsts[count] = (reached.fingerprint, number as u32);
            count += usize::from(scratch.is_first(reached.fingerprint));
        }
        firsts.truncate(count);
        out.sort_by_shard(&firsts);
        scratch.firsts = firsts;
    }

    /// Collects the new states of what was expanded of `block`, in order.
    pub fn emit(
        &self,
        block: &Block,
        with_fingerprints: bool,
        scratch: &mut Scratch<'_, 'a, M>,
        expansion: &mut Expansion,
        out: &mut Emission,
    ) {
        out.clear(expansion.tally.discovered.len());
        expansion.keep_new();
        if let Some(own) = &mut scratch.own {
            self.emit_collapsed(block.states(), own, expansion, &mut out.states);
        } else {
            for reached in &expansion.reached {
                let [start, end, ..] = reached.key.map(|place| place as usize);
                out.states.push(&expansion.bytes[start..end]);
            }
        }
        for reached in &expansion.reached {
            out.links.push(reached.parent, u32::from(reached.action));
            out.discovered[usize::from(reached.kind)] += 1;
            if with_fingerprints {
                out.fingerprints
                    .extend_from_slice(&reached.fingerprint.to_le_bytes());
            }
        }
    }

    /// Evaluates a distinct state, once; returns whether it is a witness that was missing when the batch began.
    pub fn look_at(&self, state: &M::State, number: u32, out: &mut Expansion) -> bool {
        let mut found = false;
        for missing in &self.missing {
            let Some(property) = self.selected.sometimes.get(*missing) else {
                break;
            };
            if (property.condition)(self.model, state) {
                out.witnesses[*missing].get_or_insert((number, None));
                found = true;
            }
        }
        if let Some(orbit_size) = self.orbit_size {
            out.tally.orbit_states += orbit_size(self.model, state);
        }
        found
    }

    /// Evaluates the condition beside those of the model in a state that is expanded, if there is one.
    pub fn look_at_each(&self, state: &M::State, number: u32, out: &mut Expansion) {
        if let Some(each) = &self.each_state
            && !(each.holds)(state)
        {
            out.failing.get_or_insert(number);
        }
    }

    fn expand_state(
        &self,
        state: &M::State,
        parent: u32,
        known: &Fingerprints,
        scratch: &mut Scratch<'_, 'a, M>,
        out: &mut Expansion,
    ) {
        let model = self.model;
        let before = out.tally.generated;
        let mut actions = std::mem::take(&mut scratch.actions);
        model.actions(state, &mut actions);
        out.most_actions = out.most_actions.max(actions.len());
        for (number, action) in actions.drain(..).enumerate() {
            let kind = model.action_kind(&action);
            out.tally.enabled[kind] += 1;
            let Some(after) = model.next_state(state, action.clone()) else {
                continue;
            };
            if !model.within_boundary(&after) {
                continue;
            }
            let (_, cover) = judged(model, state, &action, &after, |step| {
                let found = self.look_at_step(step, number, parent, out);
                (found, self.cover_of_step(step))
            });
            out.tally.cover(&cover, 1);
            out.tally.fired[kind] += 1;
            out.tally.generated += 1;
            let reached = self.represent(after);
            let start = out.bytes.len();
            model.encode(&reached, &mut out.bytes);
            let fingerprint = fingerprint(&out.bytes[start..]);
            if known.contains(fingerprint) {
                out.bytes.truncate(start);
                continue;
            }
            if out.comes_before_violation(parent, number as u32)
                && let Some(property) = self.violated_by(&reached)
            {
                out.note_violation(property, PropertyKind::State, parent, number as u32);
            }
            out.reached.push(Reached {
                fingerprint,
                key: [start as u32, out.bytes.len() as u32, 0, 0],
                parent,
                action: number as u16,
                kind: kind as u16,
            });
        }
        scratch.actions = actions;
        out.tally.terminal += u64::from(out.tally.generated == before);
        self.look_at_probes(state, parent, out);
    }

    /// Executes the probes of a state; whether anything was found.
    pub fn look_at_probes(&self, state: &M::State, parent: u32, out: &mut Expansion) -> bool {
        let mut actions = Vec::new();
        self.model.actions(state, &mut actions);
        let first = actions.len();
        self.model.probes(state, &mut actions);
        out.most_actions = out.most_actions.max(actions.len());
        let mut found = false;
        for (number, action) in actions.iter().enumerate().skip(first) {
            if let Some(after) = self.model.next_state(state, action.clone())
                && self.model.within_boundary(&after)
            {
                found |= judged(self.model, state, action, &after, |step| {
                    self.look_at_step(step, number, parent, out)
                });
            }
        }
        found
    }

    /// Evaluates a step that is executed, by the action of this number; returns whether it is a witness that was missing
    /// when the batch began, or comes where something is violated.
    pub fn look_at_step(
        &self,
        judged: &Judged<'_, M>,
        number: usize,
        parent: u32,
        out: &mut Expansion,
    ) -> bool {
        let mut found = false;
        for missing in self.missing_steps() {
            let step = &self.selected.step_witnesses[*missing - self.selected.sometimes.len()];
            if judged.holds(&step.condition) {
                out.witnesses[*missing].get_or_insert((parent, Some(number as u32)));
                found = true;
            }
        }
        let action_number = number as u32;
        let mut steps = self.selected.steps.iter();
        if out.comes_before_violation(parent, action_number)
            && let Some(property) = steps.find(|step| !judged.holds(&step.condition))
        {
            out.note_violation(property.name, PropertyKind::Step, parent, action_number);
        }
        found || out.violation.is_some()
    }

    /// The coverage of a state; nothing unless it is asked for.
    pub fn cover_of_state(&self, state: &M::State) -> Cover {
        if !self.coverage {
            return Cover::default();
        }
        let holds = |antecedent: &Antecedent<M>| match &antecedent.condition {
            AntecedentCondition::State(condition) => condition(self.model, state),
            AntecedentCondition::Step(_) => false,
        };
        Cover {
            antecedents: self.antecedents_where(holds),
            pairs: Vec::new(),
        }
    }

    /// The coverage of a step; nothing unless it is asked for.
    pub fn cover_of_step(&self, judged: &Judged<'_, M>) -> Cover {
        if !self.coverage {
            return Cover::default();
        }
        let holds = |antecedent: &Antecedent<M>| match &antecedent.condition {
            AntecedentCondition::State(_) => false,
            AntecedentCondition::Step(condition) => judged.holds(condition),
        };
        let mut pairs = Vec::new();
        let met = &mut |pair| pairs.push(pair as u16);
        self.model.meet(judged.before, judged.action, met);
        Cover {
            antecedents: self.antecedents_where(holds),
            pairs,
        }
    }

    fn antecedents_where(&self, holds: impl Fn(&Antecedent<M>) -> bool) -> Vec<u16> {
        let held = self.antecedents.iter().enumerate();
        let held = held.filter(|(_, antecedent)| holds(antecedent));
        held.map(|(number, _)| number as u16).collect()
    }
}

/// Inserts what all `expansions` have for shard number `number`, and marks what is new.
pub(super) fn insert(number: usize, shard: &mut Shard<'_>, tag: Tag, expansions: &[Expansion]) {
    let all = expansions
        .iter()
        .flat_map(|expansion| expansion.of_shard(number));
    shard.warm(all.map(|(fingerprint, _)| *fingerprint));
    for expansion in expansions {
        for (fingerprint, successor) in expansion.of_shard(number) {
            if shard.insert(*fingerprint, tag) {
                expansion.fresh[*successor as usize].store(true, Ordering::Relaxed);
            }
        }
    }
}

/// The new states of one block, ready to be appended.
#[derive(Default)]
pub(super) struct Emission {
    pub states: Packed,
    pub links: LinkPiece,
    /// The fingerprints, if they are asked for.
    pub fingerprints: Vec<u8>,
    /// New states by kind of action.
    pub discovered: Vec<u64>,
}

impl Emission {
    /// Forgets everything; there are `kinds` kinds of action.
    fn clear(&mut self, kinds: usize) {
        self.states.clear();
        self.links.clear();
        self.fingerprints.clear();
        self.discovered.clear();
        self.discovered.resize(kinds, 0);
    }

    /// Bytes of memory.
    pub fn memory(&self) -> u64 {
        self.states.memory() + self.links.memory() + self.fingerprints.capacity() as u64
    }
}

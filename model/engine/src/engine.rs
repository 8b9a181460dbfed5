//! The loop over levels and batches, with its limits.

use super::builder::{EachState, Options, ProgressCallback, Search};
use super::checkpoint::{Extents, Found, Loaded, Position, Store, Subject, frontier_name, meaning};
use super::error::SearchError;
use super::expand::{self, Collapses, Emission, Expander, Expansion, Pool, Violation};
use super::fingerprints::{self, Fingerprints, Tag};
use super::frontier::{Block, Frontier, Packed};
use super::parallel::Threads;
use super::predecessors::Links;
use super::report::{Checked, Level, Limit, MemorySplit, Progress, PropertyKind};
use super::selected::Selected;
use super::tally::{self, Tally};
use super::traits::Checkable;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The blocks of a batch. Limits are looked at between batches, so it must not depend on the threads.
const BATCH_BLOCKS: usize = 40;

impl<M> Search<'_, M>
where
    M: Checkable + Sync,
    M::Action: Clone,
{
    /// Searches.
    ///
    /// # Errors
    ///
    /// See [`SearchError`]: the request or the model makes no sense, or a disk failed.
    pub fn run(self) -> Result<Checked<M>, SearchError> {
        let mut walk = Walk::start(self)?;
        // Damage that was done after the last time would otherwise pass for an answer.
        let end = match walk
            .walk()
            .and_then(|end| walk.known.verify().map(|()| end))
        {
            Ok(end) => end,
            // What was found until then is still true.
            Err(error) if error.is_of_the_disk() => {
                walk.trouble.get_or_insert(error);
                let found = walk.violated.take();
                found.map_or(End::Stopped(Limit::Disk), End::Violated)
            }
            Err(error) => return Err(error),
        };
        walk.finish(end)
    }
}

/// The names of everything that must hold.
pub(super) fn checked<M: Checkable>(
    selected: &Selected<M>,
    each_state: Option<&EachState<'_, M>>,
) -> Vec<String> {
    let more = each_state.map(|each| each.name.to_owned());
    selected.checked().into_iter().chain(more).collect()
}

/// Why the walk ended.
pub(super) enum End {
    Exhausted,
    Stopped(Limit),
    Violated(Violated),
}

/// A property that does not hold, and where. (The action is `None` if an initial state is to blame.)
pub(super) struct Violated {
    pub property: &'static str,
    pub kind: PropertyKind,
    pub at: Found,
}

/// A search at work.
pub(super) struct Walk<'a, M: Checkable> {
    pub expander: Expander<'a, M>,
    pub options: Options,
    progress: Option<ProgressCallback<'a>>,
    pub store: Store,
    pub known: Fingerprints,
    pub threads: Threads,
    pub links: Links,
    /// The states of the depth that is being expanded, and those found one deeper.
    pub current: Frontier,
    pub next: Frontier,
    /// With checkpoints: every fingerprint, in the order found.
    log: Option<super::record_file::Records>,
    pub position: Position,
    violated: Option<Violated>,
    pub memory: MemorySplit,
    pub expansions: Vec<Expansion>,
    emissions: Vec<Emission>,
    /// If there are any, states are known by their collapsed forms.
    pub collapses: Pool<'a, M>,
    /// With checkpoints: what collapsed forms mean, and what the model was answered.
    meanings: Option<super::record_file::Records>,
    pub resumed_at: Option<u64>,
    /// The first failure of a file that left the answer as it is, or cut the search off.
    pub trouble: Option<SearchError>,
    pub started: Instant,
    /// The time before a resume.
    pub before: f64,
    reported: (Instant, u64),
    saved: Instant,
}

/// The collapses, if there are any, while no thread is at work.
pub(super) fn locked<'p, 'a, M: Checkable>(
    pool: &'p mut Pool<'a, M>,
) -> Option<&'p mut Collapses<'a, M>> {
    let pool = pool.as_mut()?.get_mut();
    // A thread that panicked has taken the search with it.
    Some(pool.unwrap_or_else(PoisonError::into_inner))
}

impl<'a, M> Walk<'a, M>
where
    M: Checkable + Sync,
    M::Action: Clone,
{
    fn start(search: Search<'a, M>) -> Result<Self, SearchError> {
        let Search {
            model,
            options,
            canonical,
            orbit_size,
            progress,
            each_state,
        } = search;
        let selected = Selected::new(model, options.only.as_deref())?;
        let antecedents = if options.coverage {
            model.antecedents()
        } else {
            Vec::new()
        };
        let pairs = if options.coverage {
            model.pairs().len()
        } else {
            0
        };
        let empty = Tally::new(model.action_kinds().len(), antecedents.len(), pairs);
        let kinds = empty.enabled.len();
        let collapse = if options.collapse && orbit_size.is_none() {
            model.collapse(canonical.is_some())
        } else {
            None
        };
        let subject = Subject {
            model: model.identity(),
            collapsed: collapse.is_some(),
            symmetry: canonical.is_some(),
            count_orbits: orbit_size.is_some(),
            coverage: options.coverage,
            checked: checked(&selected, each_state.as_ref()),
            witnesses: selected.witnesses(),
        };
        let folder = options
            .checkpoint
            .as_ref()
            .map(|(folder, _)| folder.clone());
        let mut store = Store::new(subject, folder, options.spill_folder.clone())?;
        let loaded = if options.resume { store.load()? } else { None };
        let threads = Threads::new(options.threads)?;
        let now = Instant::now();
        let mut walk = Walk {
            expander: Expander {
                model,
                missing: (0..selected.witnesses().len()).collect(),
                selected,
                antecedents,
                coverage: options.coverage,
                canonical,
                orbit_size,
                empty,
                each_state,
            },
            options,
            progress,
            store,
            known: Fingerprints::new(),
            threads,
            links: Links::new(0),
            current: Frontier::new(),
            next: Frontier::new(),
            log: None,
            position: Position::default(),
            violated: None,
            memory: MemorySplit::default(),
            expansions: Vec::new(),
            emissions: Vec::new(),
            collapses: collapse.map(|root| Mutex::new(Collapses::new(root, kinds))),
            meanings: None,
            resumed_at: None,
            trouble: None,
            started: now,
            before: 0.0,
            reported: (now, 0),
            saved: now,
        };
        match loaded {
            Some(loaded) => {
                walk.load(loaded)
                    .map_err(|error| walk.store.refused(error))?;
            }
            None => {
                walk.store.start_anew()?;
                walk.initial_states()?;
            }
        }
        Ok(walk)
    }

    fn load(&mut self, loaded: Loaded) -> Result<(), SearchError> {
        let Loaded {
            position,
            links,
            mut fingerprints,
            current,
            next,
            mut meanings,
        } = loaded;
        let model = self.expander.model;
        let mut collapses = locked(&mut self.collapses);
        let mut answered = Ok(());
        meanings.scan(0, |record| match (record.tag, &mut collapses) {
            // Nothing is decoded with answers that are not there.
            _ if answered.is_err() => {}
            (meaning::ANSWERS, _) => answered = model.load_answers(&record.bytes),
            (_, Some(collapses)) => collapses.root.load(&record.bytes),
            (_, None) => {}
        })?;
        answered.map_err(|reason| self.store.not_resumed(reason))?;
        self.meanings = Some(meanings);
        self.links = Links::reopen(position.initial.len() as u64, links)?;
        self.current = Frontier::reopen(current.0, current.1)?;
        self.next = Frontier::reopen(next, 0)?;
        self.expander
            .missing
            .retain(|witness| position.witnesses[*witness].is_none());
        self.before = position.time.total_seconds;
        self.position = position;
        self.refill(&mut fingerprints)?;
        self.log = Some(fingerprints);
        self.reported.1 = self.links.states();
        self.resumed_at = Some(self.links.states());
        Ok(())
    }

    fn initial_states(&mut self) -> Result<(), SearchError> {
        let model = self.expander.model;
        if self.store.keeps_checkpoints() {
            self.log = Some(self.store.create("fingerprints")?);
            self.meanings = Some(self.store.create("meanings")?);
        }
        self.position.total = self.expander.empty.clone();
        self.position.witnesses = vec![None; self.expander.witness_count()];
        let mut packed = Packed::default();
        let mut log = Vec::new();
        for (number, state) in model.init_states().into_iter().enumerate() {
            if !model.within_boundary(&state) {
                continue;
            }
            self.position.initial_generated += 1;
            let state = self.expander.represent(state);
            let mut bytes = Vec::new();
            let fingerprint = match locked(&mut self.collapses) {
                Some(collapses) => collapses.root.collapse(&state, &mut bytes),
                None => {
                    model.encode(&state, &mut bytes);
                    fingerprints::fingerprint(&bytes)
                }
            };
            if !self.known.insert(fingerprint, Tag::of(0)) {
                continue;
            }
            if self.violated.is_none()
                && let Some(property) = self.expander.violated_by(&state)
            {
                let state = self.position.initial.len() as u64;
                let at = Found {
                    state,
                    action: None,
                    depth: 0,
                };
                self.violated = Some(Violated {
                    property,
                    kind: PropertyKind::State,
                    at,
                });
            }
            self.position.initial.push(number as u64);
            log.extend_from_slice(&fingerprint.to_le_bytes());
            packed.push(&bytes);
        }
        if self.position.initial.is_empty() {
            return Err(SearchError::NoInitialState);
        }
        if let Some(file) = &mut self.log {
            file.append(0, &log)?;
        }
        self.current.push(&packed);
        self.links = Links::new(self.position.initial.len() as u64);
        self.position.levels = vec![Level {
            distinct: self.current.states(),
            ..Level::default()
        }];
        Ok(())
    }

    /// Expands until there is nothing left to expand or something stops it.
    fn walk(&mut self) -> Result<End, SearchError> {
        loop {
            if let Some(found) = self.violated.take() {
                return Ok(End::Violated(found));
            }
            if self.current.is_empty() {
                if self.next.is_empty() {
                    return self.save_last_checkpoint(End::Exhausted);
                }
                let done = std::mem::replace(
                    &mut self.current,
                    std::mem::replace(&mut self.next, Frontier::new()),
                );
                if let Some(file) = done.file() {
                    self.store.retire(file);
                }
                self.position.depth += 1;
            }
            if let Some(limit) = self.limit_reached() {
                return self.save_last_checkpoint(End::Stopped(limit));
            }
            let due = self
                .options
                .checkpoint
                .as_ref()
                .map(|(_, interval)| *interval);
            if due.is_some_and(|interval| self.saved.elapsed() >= interval) {
                self.save_checkpoint()?;
            }
            if let Some(limit) = self.batch()? {
                return self.save_last_checkpoint(End::Stopped(limit));
            }
        }
    }

    /// The limit that stops the search here, apart from memory. Calls for progress on the way.
    fn limit_reached(&mut self) -> Option<Limit> {
        let options = &self.options;
        if options
            .max_depth
            .is_some_and(|max| self.position.depth >= max)
        {
            return Some(Limit::Depth);
        }
        if options
            .max_states
            .is_some_and(|max| self.links.states() >= max)
        {
            return Some(Limit::States);
        }
        if options
            .max_time
            .is_some_and(|max| self.started.elapsed() >= max)
        {
            return Some(Limit::Time);
        }
        let since = self.reported.0.elapsed();
        if since < self.options.progress_interval {
            return None;
        }
        let progress = self.progress(since);
        self.reported = (Instant::now(), progress.distinct);
        let callback = self.progress.as_mut()?;
        callback(&progress).is_break().then_some(Limit::Interrupted)
    }

    fn progress(&self, since: Duration) -> Progress {
        let distinct = self.links.states();
        Progress {
            distinct,
            generated: self.position.initial_generated + self.position.total.generated,
            depth: self.position.depth,
            queue: self.current.states() + self.next.states(),
            states_per_second: (distinct - self.reported.1) as f64 / since.as_secs_f64(),
            memory_bytes: self.memory_in_use(),
            disk_bytes: self.disk_in_use(),
            elapsed_seconds: self.before + self.started.elapsed().as_secs_f64(),
        }
    }

    pub fn batch_memory(&self) -> u64 {
        let pool = self.collapses.as_ref().and_then(|pool| pool.lock().ok());
        let collapses = pool.map_or(0, |pool| pool.memory());
        let expansions: u64 = self.expansions.iter().map(Expansion::memory).sum();
        collapses + expansions + self.emissions.iter().map(Emission::memory).sum::<u64>()
    }

    /// The bytes that can go to disk.
    pub fn movable_memory(&self) -> u64 {
        self.current.memory() + self.next.memory() + self.links.memory()
    }

    fn memory_in_use(&self) -> u64 {
        self.known.bytes() + self.movable_memory() + self.batch_memory()
    }

    pub fn disk_in_use(&self) -> u64 {
        let logs = [&self.log, &self.meanings].into_iter().flatten();
        let logs: u64 = logs.map(super::record_file::Records::len).sum();
        let waiting = self.current.disk() + self.next.disk();
        waiting + self.links.disk() + logs + self.known.disk()
    }

    /// Expands the next batch of blocks. `Some` if it does not fit in memory: then it was put back.
    fn batch(&mut self) -> Result<Option<Limit>, SearchError> {
        let blocks = self.current.take(BATCH_BLOCKS)?;
        let count = blocks.len();
        let clock = Instant::now();
        let empty = &self.expander.empty;
        self.expansions
            .resize_with(self.expansions.len().max(count), || {
                Expansion::new(empty.clone())
            });
        self.emissions
            .resize_with(self.emissions.len().max(count), Emission::default);
        if let Some(collapses) = locked(&mut self.collapses) {
            collapses.root.begin_batch();
        }
        let known = &self.known;
        let (expander, collapses) = (&self.expander, &self.collapses);
        self.threads.for_each(
            count,
            blocks.iter().zip(self.expansions.iter_mut()),
            || expander.scratch(collapses),
            |scratch, (block, out)| expander.expand(block, known, scratch, out),
        );
        if let Some(expansion) = self.expansions[..count]
            .iter()
            .find(|e| e.most_actions > 1 << 16)
        {
            return Err(SearchError::TooManyActions(expansion.most_actions));
        }
        self.position.time.expand_seconds += clock.elapsed().as_secs_f64();

        if !self.make_room(count)? {
            self.current.put_back(blocks);
            return Ok(Some(Limit::Memory));
        }
        let clock = Instant::now();
        let expansions = &self.expansions[..count];
        let (expander, collapses) = (&self.expander, &self.collapses);
        let tag = Tag::of(self.position.depth + 1);
        self.threads.for_each(
            count,
            self.known.shards_mut().enumerate(),
            || (),
            |(), (number, mut shard)| expand::insert(number, &mut shard, tag, expansions),
        );
        self.known.sound()?;
        self.known.settle();
        self.position.time.insert_seconds += clock.elapsed().as_secs_f64();

        let clock = Instant::now();
        let with_fingerprints = self.log.is_some();
        let expanded = blocks.iter().zip(&mut self.expansions);
        self.threads.for_each(
            count,
            expanded.zip(&mut self.emissions),
            || expander.scratch(collapses),
            |scratch, ((block, expansion), out)| {
                expander.emit(block, with_fingerprints, scratch, expansion, out);
            },
        );
        for (number, block) in blocks.iter().enumerate() {
            self.append(number, block)?;
        }
        self.position.time.emit_seconds += clock.elapsed().as_secs_f64();
        Ok(None)
    }

    /// Adds what came of the block with this number in the batch.
    fn append(&mut self, number: usize, block: &Block) -> Result<(), SearchError> {
        let expansion = &mut self.expansions[number];
        let emission = &mut self.emissions[number];
        let first = self.position.next;
        let depth = self.position.depth;
        let found = |parent: u32, action: Option<u32>| Found {
            state: first + u64::from(parent),
            action,
            depth: depth + u32::from(action.is_some()),
        };
        for (witness, place) in expansion.witnesses.iter().enumerate() {
            if let (None, Some((parent, action))) = (&self.position.witnesses[witness], place) {
                self.position.witnesses[witness] = Some(found(*parent, *action));
                self.expander.missing.retain(|missing| *missing != witness);
            }
        }
        let found_deeper = self.violated.as_ref().is_none_or(|it| it.at.depth > depth);
        if let (Some(each), Some(parent), true) =
            (&self.expander.each_state, expansion.failing, found_deeper)
        {
            self.violated = Some(Violated {
                property: each.name,
                kind: PropertyKind::State,
                at: found(parent, None),
            });
        }
        if let (None, Some(violation)) = (&self.violated, expansion.violation) {
            let Violation {
                property,
                kind,
                parent,
                action,
            } = violation;
            self.violated = Some(Violated {
                property,
                kind,
                at: found(parent, Some(action)),
            });
        }
        tally::add(&mut expansion.tally.discovered, &emission.discovered);
        self.position.total.add(&expansion.tally);
        let level = &mut self.position.levels[depth as usize];
        level.expanded += expansion.tally.expanded;
        level.generated += expansion.tally.generated;
        level.terminal += expansion.tally.terminal;
        if emission.links.count() > 0 {
            if self.position.levels.len() == depth as usize + 1 {
                self.position.levels.push(Level::default());
            }
            self.position.levels[depth as usize + 1].distinct += u64::from(emission.links.count());
            self.links.push(first, &emission.links);
            self.next.push(&emission.states);
            if let Some(log) = &mut self.log {
                log.append(0, &emission.fingerprints)?;
            }
        }
        self.position.next += u64::from(block.states);
        Ok(())
    }

    /// Saves a checkpoint after the end; a file that fails does not change the answer.
    fn save_last_checkpoint(&mut self, end: End) -> Result<End, SearchError> {
        match self.save_checkpoint() {
            Err(error) if error.is_of_the_disk() => drop(self.trouble.get_or_insert(error)),
            saved => saved?,
        }
        Ok(end)
    }

    /// Makes the state between two batches a checkpoint, if any are kept.
    fn save_checkpoint(&mut self) -> Result<(), SearchError> {
        let Some(log) = &self.log else { return Ok(()) };
        let clock = Instant::now();
        let (store, depth) = (&mut self.store, self.position.depth);
        self.links.save(true, || store.create("links"))?;
        // No more is added to it.
        self.current.close();
        self.current
            .save(true, || store.create(&frontier_name(depth)))?;
        self.next
            .save(true, || store.create(&frontier_name(depth + 1)))?;
        if let Some(file) = &mut self.meanings {
            let mut new = Vec::new();
            self.expander.model.save_answers(&mut new);
            if !new.is_empty() {
                file.append(meaning::ANSWERS, &new)?;
                new.clear();
            }
            if let Some(collapses) = locked(&mut self.collapses) {
                collapses.root.save(&mut new);
                file.append(meaning::COLLAPSED, &new)?;
            }
        }
        let files = [
            self.meanings.as_ref(),
            self.links.file(),
            self.current.file(),
            self.next.file(),
            Some(log),
        ];
        files
            .into_iter()
            .flatten()
            .try_for_each(super::record_file::Records::sync)?;
        self.position.time.total_seconds = self.before + self.started.elapsed().as_secs_f64();
        let extents = Extents {
            links: self.links.disk(),
            fingerprints: log.len(),
            current: (self.current.file_offset(), self.current.disk()),
            next: self.next.disk(),
            meanings: self
                .meanings
                .as_ref()
                .map_or(0, super::record_file::Records::len),
        };
        self.store.save(&self.position, extents)?;
        self.position.time.checkpoint_seconds += clock.elapsed().as_secs_f64();
        self.saved = Instant::now();
        Ok(())
    }
}

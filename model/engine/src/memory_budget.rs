//! The memory budget of a search: frontier, links and old fingerprints go to disk when it runs out.

use super::checkpoint::frontier_name;
use super::engine::{Walk, locked};
use super::error::SearchError;
use super::fingerprints::{SHARDS, Tag, shard_of};
use super::record_file::Records;
use super::traits::Checkable;

/// The number of levels of fingerprints that stay in memory, the one that is being found included, as long as there is
/// room for them: a successor that is known is hardly ever older.
const WINDOW: u32 = 3;
/// The number of levels that stay when there is no room for that many.
const NARROW: u32 = 2;
/// The least fingerprints worth a file for each shard.
const WORTH_SEALING: u64 = 1 << 15;

impl<M> Walk<'_, M>
where
    M: Checkable + Sync,
    M::Action: Clone,
{
    /// Makes room for a batch of `count` blocks by writing to disk; false if it does not fit even so.
    pub fn make_room(&mut self, count: usize) -> Result<bool, SearchError> {
        let mut more = [0; SHARDS];
        self.expansions[..count]
            .iter()
            .for_each(|expansion| expansion.count_by_shard(&mut more));
        let depth = self.position.depth;
        let max = self.options.max_memory.unwrap_or(u64::MAX);
        let on_disk = self.options.on_disk;
        if on_disk {
            self.seal_instead_of_growing(depth + 1, &more)?;
        }
        let mut table = self.known.bytes_after(&more);
        let mut batch = self.batch_memory();
        if on_disk || table + batch + self.movable_memory() > max {
            let store = &mut self.store;
            self.links.save(false, || store.create("links"))?;
            self.next
                .save(false, || store.create(&frontier_name(depth + 1)))?;
            // What is not yet a block stays.
            let kept = self.links.memory() + self.next.memory();
            if table + batch + kept > max {
                self.seal_until(depth + 1, &more, max.saturating_sub(batch + kept))?;
                table = self.known.bytes_after(&more);
            }
            // What is left of the current level goes last, and only if that is enough: otherwise the
            // batch is put back, and must not come behind it in the file.
            if table + batch + kept > max {
                // What collapses remember can be found out again.
                if let Some(collapses) = locked(&mut self.collapses) {
                    collapses.forget();
                }
                batch = self.batch_memory();
            }
            if table + batch + kept > max {
                return Ok(false);
            }
            if on_disk || table + batch + self.current.memory() + kept > max {
                let store = &mut self.store;
                self.current
                    .save(false, || store.create(&frontier_name(depth)))?;
            }
        }
        self.known.reserve(&more, &self.threads);
        self.note_memory(table, batch);
        Ok(true)
    }

    fn note_memory(&mut self, table: u64, batch: u64) {
        let frontier = self.current.memory() + self.next.memory();
        let links = self.links.memory();
        let memory = &mut self.memory;
        memory.fingerprints = memory.fingerprints.max(table);
        memory.frontier = memory.frontier.max(frontier);
        memory.links = memory.links.max(links);
        memory.batch = memory.batch.max(batch);
        memory.peak = memory.peak.max(table + frontier + links + batch);
    }

    /// Seals old levels if the table would have to grow for `more` of level `found`, and if that makes
    /// enough room to be worth reading and writing everything that is sealed.
    fn seal_instead_of_growing(
        &mut self,
        found: u32,
        more: &[usize; SHARDS],
    ) -> Result<(), SearchError> {
        let grows = self.known.bytes_after(more) > self.memory.fingerprints;
        if grows && self.pays(found, WINDOW) {
            self.seal(found, WINDOW, more, self.memory.fingerprints)?;
        }
        Ok(())
    }

    /// Whether a quarter of the table would go.
    fn pays(&self, found: u32, levels: u32) -> bool {
        let old = self.known.older(Tag::of(found), levels);
        old >= WORTH_SEALING.max(self.known.in_table() / 4)
    }

    /// Seals as much as it takes that the fingerprints with `more` of level `found` are at most `max` bytes,
    /// if that is possible.
    fn seal_until(
        &mut self,
        found: u32,
        more: &[usize; SHARDS],
        max: u64,
    ) -> Result<(), SearchError> {
        for levels in [WINDOW, NARROW, 0] {
            if self.known.bytes_after(more) <= max {
                break;
            }
            // Without this, next to nothing would be sealed again and again.
            if levels == 0 || self.pays(found, levels) {
                self.seal(found, levels, more, max)?;
            }
        }
        Ok(())
    }

    /// Leaves this many levels, with `found` as the last, in the table, which may take what is left of so
    /// many bytes.
    fn seal(
        &mut self,
        found: u32,
        levels: u32,
        more: &[usize; SHARDS],
        bytes: u64,
    ) -> Result<(), SearchError> {
        let to = self.store.sealing()?;
        self.known.seal(Tag::of(found), levels, more, bytes, &to)
    }

    /// Reads the fingerprints that the log of a checkpoint holds in the order found, level by level.
    pub fn refill(&mut self, log: &mut Records) -> Result<(), SearchError> {
        let max = self.options.max_memory.unwrap_or(u64::MAX);
        let max = max.saturating_sub(self.links.memory());
        let mut level = 0;
        let mut left = self.position.levels[0].distinct;
        let mut offset = 0;
        while offset < log.len() {
            let record = log.read(offset)?;
            offset = record.end();
            let fingerprints = record.bytes.chunks_exact(size_of::<u64>());
            let fingerprints =
                fingerprints.map(|it| u64::from_le_bytes(std::array::from_fn(|byte| it[byte])));
            let mut more = [0; SHARDS];
            fingerprints
                .clone()
                .for_each(|fingerprint| more[shard_of(fingerprint)] += 1);
            if self.options.on_disk {
                self.seal_instead_of_growing(level, &more)?;
            }
            self.seal_until(level, &more, max)?;
            for fingerprint in fingerprints {
                while left == 0 && (level as usize) + 1 < self.position.levels.len() {
                    level += 1;
                    left = self.position.levels[level as usize].distinct;
                }
                left = left.saturating_sub(1);
                if !self.known.insert(fingerprint, Tag::of(level)) {
                    return Err(log.damaged("it holds a fingerprint twice".to_owned()));
                }
            }
        }
        Ok(())
    }
}

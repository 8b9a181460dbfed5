//! The normal form of a quiet cluster: its servers modulo a shift of terms and indexes.
//!
//! Raft compares terms and indexes and adds to them. It never looks at an index that every server has committed and
//! that no leader would send again, so a log may begin there. Terms of entries and of servers that do not campaign are
//! compared and nothing else: those below the lowest term of a server that may enter a new one are numbered through, and
//! all others begin right above them, at the distances that they have. Else servers that campaign in vain would never be
//! where they were.
//!
//! The normal form is itself a state of the servers, from which the schedule goes on: rounds of different runs merge, and
//! a schedule that goes on for ever comes back to where it was.
//!
//! Client values tell nothing apart that matters to Raft, and what is durable matters to a crash alone, of which there
//! is none any more: both have one form.

use super::course::{Course, Servers};
use crate::message::{Entry, Payload, Position};
use crate::seq::Seq;
use crate::server::{Flow, Image, Log, Progress, Queue, Server, Storage, configuration_at};
use crate::settings::Settings;
use lockstep_traces::Role;
use std::sync::Arc;

/// A way to lower indexes and terms.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Shift {
    /// The index at which the logs begin; zero if nothing is cut off.
    base: u32,
    /// The terms below [`active`](Self::active) that are left, in order. Of these only the order matters; zero is no term,
    /// and stays.
    below: Vec<u32>,
    /// The lowest term of a server that may ever enter a term by itself.
    active: u32,
}

/// Brings a quiet course to its normal form.
pub(super) fn normalise(course: &mut Course, settings: &Settings) {
    let shift = Shift::of(&course.servers);
    for server in &mut course.servers {
        shift.server(server, settings);
    }
    if let Some(asked) = &mut course.asked {
        *asked = shift.position(*asked);
    }
}

impl Shift {
    /// The largest shift that changes nothing.
    fn of(servers: &Servers) -> Shift {
        let base = servers.iter().map(lowest_index_of_interest).min();
        let base = base.unwrap_or(0);
        let terms = servers.iter().flat_map(|server| {
            let log = &server.log;
            let kept = (base.max(log.snapshot().index).max(1)..=log.last_index())
                .filter_map(|index| log.term_at(index));
            kept.chain([server.term])
        });
        let active = servers.iter().filter(|server| is_active(server));
        let active = active.map(|server| server.term).min().unwrap_or(0);
        let mut below: Vec<u32> = terms.filter(|term| (1..active).contains(term)).collect();
        below.sort_unstable();
        below.dedup();
        Shift {
            base,
            below,
            active,
        }
    }

    /// An index: the base is index one, and whatever is before it is index zero.
    fn index(&self, index: u32) -> u32 {
        match self.base {
            0 => index,
            base => index.saturating_sub(base - 1),
        }
    }

    /// An index that says something by being zero.
    fn index_if_any(&self, index: u32) -> u32 {
        match index {
            0 => 0,
            index => self.index(index).max(1),
        }
    }

    fn term(&self, term: u32) -> u32 {
        let below = self.below.len() as u32;
        match term {
            0 => 0,
            // Somebody may still enter the first term: nothing is below it.
            _ if self.active == 0 => term,
            _ if term < self.active => {
                // One that is cut off counts with the next one that is left.
                let lower = self.below.iter().filter(|it| **it < term).count();
                lower as u32 + 1
            }
            _ => term - self.active + below + 1,
        }
    }

    fn position(&self, Position { term, index }: Position) -> Position {
        Position {
            term: self.term(term),
            index: self.index(index),
        }
    }

    fn entry(&self, Entry { term, payload }: Entry) -> Entry {
        let payload = match payload.as_value() {
            Some(_) => Payload::value(0).unwrap_or(Payload::EMPTY),
            None => payload,
        };
        Entry {
            term: self.term(term),
            payload,
        }
    }

    fn log(&self, log: &Log, settings: &Settings) -> Log {
        let (first, configuration) = match log.snapshot().index >= self.base {
            true => (log.snapshot(), log.snapshot_configuration()),
            false => {
                let (term, index) = (log.term_at(self.base).unwrap_or(0), self.base);
                let configuration = configuration_at(settings, log, index);
                (Position { term, index }, configuration)
            }
        };
        let entries = first.index + 1..=log.last_index();
        let entries = entries.filter_map(|index| log.entry(index));
        let entries: Seq<Entry, 5> = entries.map(|entry| self.entry(entry)).collect();
        match first.index {
            0 => Log::behind(first, configuration, entries),
            _ => Log::behind(self.position(first), configuration, entries),
        }
    }

    fn peer(&self, peer: &mut Progress) {
        peer.matched = self.index(peer.matched);
        peer.next = self.index(peer.next).max(1);
        peer.commit_sent = self.index(peer.commit_sent);
        peer.pending = self.index_if_any(peer.pending);
        let inflight = peer.inflight.iter().map(|index| self.index(index));
        peer.inflight = inflight.collect();
    }

    fn reads(&self, reads: &mut Queue) {
        for read in &mut reads.unconfirmed {
            read.index = self.index(read.index);
        }
    }

    fn storage(&self, storage: &mut Storage) {
        storage.applied = self.index(storage.applied);
        storage.stable = self.index(storage.stable);
        storage.unstable_snapshot = self.index_if_any(storage.unstable_snapshot);
    }

    fn server(&self, server: &mut Server, settings: &Settings) {
        server.log = self.log(&server.log, settings);
        server.term = self.term(server.term);
        server.commit = self.index(server.commit);
        server.pending_conf_index = self.index_if_any(server.pending_conf_index);
        let (slot, members) = (server.id.slot(), server.configuration.members());
        if let Some(peers) = &mut server.peers {
            for (peer_slot, peer) in Arc::make_mut(peers).iter_mut().enumerate() {
                // The slots of strangers say nothing, and neither does its own but for how far it counts its entries.
                let own = peer_slot == slot;
                let member = members.iter().any(|id| id.slot() == peer_slot);
                match own || !member {
                    true => peer.matched = self.index(peer.matched),
                    false => self.peer(peer),
                }
            }
        }
        if let Some(reads) = &mut server.reads {
            self.reads(Arc::make_mut(reads));
        }
        let durable = Image {
            hard_state: server.hard_state(),
            log: server.log.clone(),
        };
        if let Some(storage) = &mut server.storage {
            let storage = Arc::make_mut(storage);
            self.storage(storage);
            storage.durable = durable;
        }
    }
}

/// Whether a server may enter a term that it has not heard of. The terms of others, like those of entries, are only
/// compared.
fn is_active(server: &Server) -> bool {
    server.role != Role::Follower || server.may_campaign(server.applied())
}

/// The index below which nobody needs to know anything of this server: it has committed and applied what is there, and
/// as leader would not send it again to anybody.
fn lowest_index_of_interest(server: &Server) -> u32 {
    let stable = server.storage.as_ref().map(|storage| {
        let snapshot = match storage.unstable_snapshot {
            0 => u32::MAX,
            index => index,
        };
        storage.stable.min(snapshot)
    });
    let peers = server.others().filter_map(|id| server.peer(id));
    let sent = peers.map(|peer| match peer.flow {
        // A refusal takes it back to what is known to match.
        Flow::Replicate => peer.matched,
        // What a refusal names is not below what is committed there. A snapshot that is lost is followed by another one:
        // what is known to match is before the log.
        Flow::Probe | Flow::Snapshot => peer.next.saturating_sub(1),
    });
    let sent = sent.min();
    server
        .commit
        .min(server.applied())
        .min(stable.unwrap_or(u32::MAX))
        .min(sent.unwrap_or(u32::MAX))
}

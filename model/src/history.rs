//! The history that properties have to remember although no server does.

use crate::ids::IdSet;
use crate::message::Entry;
use crate::seq::Seq;
use crate::server::Server;
use lockstep_traces::Role;

/// The history of a run, as far as properties need it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct History {
    /// Who has led each term, from term one on: a leader that crashed still counts.
    pub(crate) leaders: Seq<IdSet, 6>,
    /// For each index, from index one on, the term in which a leader first committed it.
    pub(crate) committed_in: Seq<u32, 6>,
    /// For each index, from index one on, the entry that was committed there; empty where nothing is compacted, since
    /// then the logs have them.
    pub(crate) committed: Seq<Entry, 6>,
    /// The first term that one server led twice, with a crash in between of which it kept too little; zero if there is none.
    pub(crate) led_twice: u32,
}

/// What the history needs to know of a server before it moves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Before {
    /// Its commit index.
    pub(crate) commit: u32,
    /// Whether it led.
    pub(crate) led: bool,
}

impl Before {
    pub(crate) fn of(server: &Server) -> Before {
        Before {
            commit: server.commit,
            led: server.role == Role::Leader,
        }
    }

    /// In one number.
    pub(crate) fn note(self) -> u32 {
        self.commit << 1 | u32::from(self.led)
    }

    /// What [`Before::note`] made a number of.
    pub(crate) fn from_note(note: u32) -> Before {
        Before {
            commit: note >> 1,
            led: note & 1 != 0,
        }
    }
}

impl History {
    /// The servers that have led a term.
    pub fn leaders_of(&self, term: u32) -> IdSet {
        (term as usize)
            .checked_sub(1)
            .and_then(|slot| self.leaders.get(slot))
            .unwrap_or_default()
    }

    /// The leaders of every term, from term one on.
    pub fn leaders(&self) -> impl Iterator<Item = IdSet> + '_ {
        self.leaders.iter()
    }

    /// For each index, from index one on, the term in which it was first committed.
    pub fn committed_in(&self) -> impl Iterator<Item = u32> + '_ {
        self.committed_in.iter()
    }

    /// The entry that was committed at an index; `None` if no entries are kept, or none was committed there.
    pub(crate) fn committed_at(&self, index: u32) -> Option<Entry> {
        self.committed.get((index as usize).checked_sub(1)?)
    }

    /// What there is to remember after `server` moved. Entries are kept if logs may be compacted or lost.
    pub(crate) fn record(&mut self, server: &Server, before: Before, keep_entries: bool) {
        if server.role == Role::Leader {
            let again = !before.led && self.leaders_of(server.term).contains(server.id);
            if again && self.led_twice == 0 {
                self.led_twice = server.term;
            }
            self.record_leader(server.term, server.id);
        }
        if Self::may_record(server) && server.commit > before.commit {
            self.record_commit(server.commit, server.term);
            if keep_entries {
                self.record_entries(server);
            }
        }
    }

    /// A leader has what it commits, for no step both commits and compacts. Where several steps are taken for one it
    /// may not: then nothing is known any more.
    fn record_entries(&mut self, leader: &Server) {
        for index in self.committed.len() as u32 + 1..=leader.commit {
            match leader.log.entry(index) {
                Some(entry) => self.committed.push(entry),
                None => return self.committed = Seq::new(),
            }
        }
    }

    /// Whether there may be something to remember when a server has come to this state: it leads, or it has committed
    /// its own removal as leader and stepped down. (A follower that is told what is committed knows its leader.)
    pub(crate) fn may_record(server: &Server) -> bool {
        let removed = || !server.configuration.all_voters().contains(server.id);
        server.role == Role::Leader
            || server.vote == Some(server.id) && server.leader.is_none() && removed()
    }

    pub(crate) fn record_leader(&mut self, term: u32, id: crate::ids::Id) {
        let slot = (term as usize).saturating_sub(1);
        while self.leaders.len() <= slot {
            self.leaders.push(IdSet::EMPTY);
        }
        let mut leaders = self.leaders_of(term);
        if !leaders.contains(id) {
            leaders.insert(id);
            self.leaders.set(slot, leaders);
        }
    }

    pub(crate) fn record_commit(&mut self, index: u32, term: u32) {
        while self.committed_in.len() < index as usize {
            self.committed_in.push(term);
        }
    }
}

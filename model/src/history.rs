//! The history that properties have to remember although no server does.

use crate::bounds::Timing;
use crate::ids::{Id, IdSet};
use crate::message::{Body, Entry};
use crate::seq::Seq;
use crate::server::{ReadState, Server, Stimulus};
use lockstep_traces::{Outcome, Role};
use std::sync::Arc;

/// The history of a run, as far as properties need it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct History {
    /// The leaders of each term, from term one on: a leader that crashed still counts.
    pub(crate) leaders: Seq<IdSet, 6>,
    /// For each index, from index one on, the term in which a leader first committed it.
    pub(crate) committed_in: Seq<u32, 6>,
    /// For each index, from index one on, the entry that was committed there; empty where nothing is compacted, since
    /// then the logs have them.
    pub(crate) committed: Seq<Entry, 6>,
    /// The first term that one server led twice, with a crash in between of which it kept too little; zero if there is none.
    pub(crate) led_twice: u32,
    /// The reads asked for and answered; `None` where nobody reads, and before the first read.
    pub(crate) reads: Option<Arc<ReadHistory>>,
}

/// The reads of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ReadHistory {
    /// The promise to each client, made when it first asked, in order. A client that asks again with the same context
    /// cannot tell the answers apart, so that it gets no more.
    pub(crate) asked: Vec<Asked>,
    /// The answers to clients of a server in the last step, in order.
    pub(crate) answered: Vec<Answered>,
    /// The facts about clocks, if there is an assumption about them.
    pub(crate) clocks: Clocks,
}

/// A read that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Asked {
    /// The server that was asked.
    pub(crate) server: Id,
    /// The context of the read.
    pub(crate) context: u8,
    /// The highest index that any leader had committed then.
    pub(crate) least: u32,
}

/// A read that was answered or given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Answered {
    /// The server whose client was told.
    pub(crate) server: Id,
    /// The answer, or that the read was given up.
    pub(crate) state: ReadState,
}

/// The facts about clocks, under [`Timing`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Clocks {
    /// The followers whose lease or timer may end now.
    pub(crate) silent: IdSet,
    /// The followers whose lease or timer has ended since they last heard from the leader.
    pub(crate) ended: IdSet,
    /// A lease, a timer or an answer came when it must not. Nothing is said of what follows.
    pub(crate) broken: bool,
}

/// The facts about a server before it moves, for the history.
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

    /// Decodes the number that [`Before::note`] made.
    pub(crate) fn from_note(note: u32) -> Before {
        Before {
            commit: note >> 1,
            led: note & 1 != 0,
        }
    }
}

/// A step, as far as reads go.
pub(crate) struct ReadStep<'a> {
    pub(crate) before: &'a Server,
    pub(crate) after: &'a Server,
    pub(crate) stimulus: Stimulus<'a>,
    pub(crate) outcome: Outcome,
    pub(crate) answers: &'a [ReadState],
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

    /// Adds the facts of a step of `server`. Entries are kept if logs may be compacted or lost.
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

    /// Adds the facts about reads of a step. Must come before [`record`](Self::record), so that what the step commits
    /// was not yet acknowledged when it began.
    pub(crate) fn record_reads(&mut self, timing: Timing, step: &ReadStep<'_>) {
        let mut reads = self.reads.take().unwrap_or_default();
        let new = Arc::make_mut(&mut reads);
        let server = step.after.id;
        let answered = step.answers.iter();
        new.answered.clear();
        new.answered.extend(answered.map(|state| Answered {
            server,
            state: *state,
        }));
        new.clocks.note(timing, step, self.leaders.len() as u32);
        if new.clocks.broken {
            new.asked.clear();
        } else if let Stimulus::ReadIndex(context) = step.stimulus
            && step.outcome == Outcome::Accepted
        {
            let least = self.committed_in.len() as u32;
            new.ask(Asked {
                server,
                context,
                least,
            });
        }
        if *new != ReadHistory::default() {
            self.reads = Some(reads);
        }
    }
}

impl ReadHistory {
    /// A read is asked for, unless it was before.
    pub(crate) fn ask(&mut self, asked: Asked) {
        let of = |asked: &Asked| (asked.server, asked.context);
        if let Err(place) = self.asked.binary_search_by_key(&of(&asked), of) {
            self.asked.insert(place, asked);
        }
    }

    /// The index that an answer must not fall behind; `None` if nobody asked.
    pub(crate) fn least(&self, answer: &Answered) -> Option<u32> {
        let of =
            |asked: &&Asked| (asked.server, asked.context) == (answer.server, answer.state.context);
        self.asked.iter().find(of).map(|asked| asked.least)
    }
}

impl Clocks {
    /// A step of a server, where `led` is the highest term that had a leader. Of older terms nothing is said: whoever leads
    /// the highest was elected although their leaders had leases, or was not.
    pub(crate) fn note(&mut self, timing: Timing, step: &ReadStep<'_>, led: u32) {
        let (before, after) = (step.before, step.after);
        if timing == Timing::Free || self.broken {
            return;
        }
        let leads = |i: &Server| i.role == Role::Leader;
        let i = before.id;
        let in_term = before.term == led;
        if leads(after) && (!leads(before) || before.term != after.term) {
            // The only voter leads at once when its timer ends.
            let timer = matches!(step.stimulus, Stimulus::Timeout) && before.lease && in_term;
            if after.term > led {
                *self = Clocks {
                    broken: timer && !self.silent.contains(i),
                    ..Clocks::default()
                };
            }
            return;
        }
        match step.stimulus {
            // The leader's clock.
            Stimulus::CheckQuorum if leads(before) && in_term => {
                let active = |j: &Id| before.peer(*j).is_some_and(|peer| peer.recent_active);
                let heard = before
                    .others()
                    .filter(|j| timing == Timing::Silent && active(j));
                let heard: Vec<Id> = heard.collect();
                let silent = before.others().filter(|j| !heard.contains(j));
                silent.for_each(|j| self.silent.insert(j));
            }
            // A follower's clock. A server that comes back has waited for as long.
            Stimulus::Timeout | Stimulus::LeaseExpire | Stimulus::Restart(_)
                if before.lease && in_term =>
            {
                self.broken = !self.silent.contains(i);
                self.ended.insert(i);
            }
            Stimulus::Deliver(m) if m.term == led && after.term == led => {
                let of_leader = matches!(
                    m.body,
                    Body::AppendEntries { .. }
                        | Body::Heartbeat { .. }
                        | Body::InstallSnapshot { .. }
                );
                let answer = matches!(
                    m.body,
                    Body::AppendEntriesAccepted { .. }
                        | Body::AppendEntriesRejected { .. }
                        | Body::HeartbeatResponse { .. }
                );
                if of_leader && after.leader == Some(m.from) && !leads(after) {
                    self.silent.remove(i);
                    self.ended.remove(i);
                }
                let heard = answer && leads(before) && before.peer(m.from).is_some();
                if heard && timing == Timing::Silent {
                    self.broken = self.ended.contains(m.from);
                    self.silent.remove(m.from);
                }
            }
            _ => {}
        }
        if self.broken {
            *self = Clocks {
                broken: true,
                ..Clocks::default()
            };
        }
    }
}

//! The observations of a run so far, and the properties that every further one must keep.
//!
//! The properties are those of figure 3 of the Raft paper, and what applications rely on besides:
//! one vote a term, commits that are durable on a quorum, one membership for one index, and reads
//! that are not older than what was committed when they were asked for.

use std::collections::BTreeMap;

use lockstep_raft::quorum::VoteResult;
use lockstep_raft::{
    ConfState, Core, EntryId, Index, MemoryStorage, NodeId, Role, Storage as _, Term,
};

/// One server as the checks see it.
pub type Observed = Core<MemoryStorage>;

/// A property that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The name of the property.
    pub property: &'static str,
    /// The observation instead.
    pub detail: String,
}

/// The result of a check.
pub type Checked = Result<(), Violation>;

fn ensure(holds: bool, property: &'static str, detail: impl FnOnce() -> String) -> Checked {
    match holds {
        true => Ok(()),
        false => Err(Violation {
            property,
            detail: detail(),
        }),
    }
}

/// Unwraps what the storage in memory always answers.
pub fn known<T, E: std::fmt::Debug>(answer: Result<T, E>) -> T {
    answer.expect("the storage in memory does not fail")
}

/// Everything that was ever seen.
#[derive(Default)]
pub struct History {
    leaders: BTreeMap<Term, NodeId>,
    votes: BTreeMap<(NodeId, Term), NodeId>,
    /// For each index the term of the committed entry, and the term of the server that showed it.
    committed: BTreeMap<Index, (Term, Term)>,
    /// For each index the state of the application after it.
    states: BTreeMap<Index, u64>,
    configurations: BTreeMap<Index, ConfState>,
    /// For each read the highest committed index at the time it was asked for.
    reads: BTreeMap<u64, Index>,
    reads_granted: u64,
    /// The last view of each server since it was started.
    last_seen: BTreeMap<NodeId, Seen>,
}

#[derive(Clone, Copy)]
struct Seen {
    term: Term,
    commit: Index,
    role: Role,
    last: EntryId,
}

impl History {
    /// The highest index that anybody committed.
    pub fn highest_commit(&self) -> Index {
        self.committed
            .keys()
            .next_back()
            .copied()
            .unwrap_or_default()
    }

    /// The number of terms that had a leader.
    pub fn elections(&self) -> usize {
        self.leaders.len()
    }

    /// Returns the number of memberships so far.
    pub fn configurations(&self) -> usize {
        self.configurations.len()
    }

    /// The number of reads granted.
    pub fn reads_granted(&self) -> u64 {
        self.reads_granted
    }

    /// The latest membership that anybody applied, and where.
    pub fn latest_configuration(&self) -> Option<(Index, &ConfState)> {
        let (index, state) = self.configurations.iter().next_back()?;
        Some((*index, state))
    }

    /// The server has stopped; it may come back with what was durable.
    pub fn stopped(&mut self, id: NodeId) {
        self.last_seen.remove(&id);
    }

    /// One Vote per Term: "Each server will vote for at most one candidate in a given term" (Raft
    /// §5.2), also over crashes.
    pub fn voted(&mut self, voter: NodeId, term: Term, candidate: NodeId) -> Checked {
        let first = *self.votes.entry((voter, term)).or_insert(candidate);
        ensure(first == candidate, "one vote per term", || {
            format!("{voter} voted for {first} and for {candidate} in term {term}")
        })
    }

    /// State Machine Safety: "If a server has applied a log entry at a given index to its state
    /// machine, no other server will ever apply a different log entry for the same index" (Raft,
    /// figure 3). The state stands for everything that was applied up to the index.
    pub fn applied(&mut self, id: NodeId, index: Index, state: u64) -> Checked {
        let first = *self.states.entry(index).or_insert(state);
        ensure(first == state, "state machine safety", || {
            format!("{id} applied something else than others at or before {index}")
        })
    }

    /// One Membership: all servers have the same configuration after the same entry.
    pub fn configured(&mut self, id: NodeId, index: Index, state: &ConfState) -> Checked {
        let first = self
            .configurations
            .entry(index)
            .or_insert_with(|| state.clone());
        ensure(first == state, "one membership", || {
            format!("{id} has {state:?} after {index}, others {first:?}")
        })
    }

    /// A client asks for a read.
    pub fn read_asked(&mut self, read: u64) {
        self.reads.insert(read, self.highest_commit());
    }

    /// Linearizable Reads: a read sees everything that was committed when it was asked for (thesis
    /// §6.4).
    pub fn read_granted(&mut self, id: NodeId, read: u64, index: Index) -> Checked {
        self.reads_granted += 1;
        let floor = self.reads.get(&read).copied().unwrap_or(Index(u64::MAX));
        ensure(index >= floor, "linearizable reads", || {
            format!("{id} may serve read {read} at {index}, but {floor} was committed before")
        })
    }

    /// A server shows itself after a step. `durable_term` is what it would still know after a crash,
    /// `durable` answers whether a server would still have an entry.
    pub fn observe(
        &mut self,
        server: &Observed,
        durable_term: Term,
        durable: impl Fn(NodeId, EntryId) -> bool,
    ) -> Checked {
        let now = Seen {
            term: server.term(),
            commit: server.commit(),
            role: server.role(),
            last: known(server.log().last_id()),
        };
        let before = self.last_seen.insert(server.id(), now);
        if let Some(before) = before {
            self.never_goes_back(server, before, now)?;
        }
        let newly_elected = now.role == Role::Leader && !self.leaders.contains_key(&now.term);
        if now.role == Role::Leader {
            self.leads(server, durable_term)?;
        }
        if newly_elected {
            self.leader_is_complete(server)?;
        }
        let from = before.map_or(Index::ZERO, |before| before.commit);
        self.commits(server, from, durable)
    }

    fn never_goes_back(&self, server: &Observed, before: Seen, now: Seen) -> Checked {
        let id = server.id();
        ensure(now.term >= before.term, "terms never decrease", || {
            format!("{id} went from term {} to {}", before.term, now.term)
        })?;
        ensure(
            now.commit >= before.commit,
            "commits never decrease",
            || format!("{id} went from commit {} to {}", before.commit, now.commit),
        )?;
        // Leader Append-Only: "A leader never overwrites or deletes entries in its log" (figure 3).
        let still_leads =
            before.role == Role::Leader && now.role == Role::Leader && before.term == now.term;
        let kept =
            || known(server.log().term(before.last.index)).is_none_or(|t| t == before.last.term);
        let appended_only = now.last.index >= before.last.index && kept();
        ensure(!still_leads || appended_only, "leader append-only", || {
            format!(
                "{id} had {:?}, has {:?} as the last entry",
                before.last, now.last
            )
        })
    }

    /// Election Safety: "At most one leader can be elected in a given term" (figure 3). The same
    /// server cannot be elected twice either: its term is durable before it leads, or after a crash
    /// it could win that term again and fill the same positions with other entries.
    fn leads(&mut self, server: &Observed, durable_term: Term) -> Checked {
        let (id, term) = (server.id(), server.term());
        ensure(durable_term == term, "a leader's term is durable", || {
            format!("{id} leads term {term}, but has {durable_term} on disk")
        })?;
        self.voted(id, term, id)?;
        let first = *self.leaders.entry(term).or_insert(id);
        ensure(first == id, "election safety", || {
            format!("{first} and {id} lead term {term}")
        })
    }

    /// Leader Completeness: "If a log entry is committed in a given term, then that entry will be
    /// present in the logs of the leaders for all higher-numbered terms" (figure 3).
    fn leader_is_complete(&self, server: &Observed) -> Checked {
        for (&index, &(term, seen_in)) in &self.committed {
            if seen_in >= server.term() || index < known(server.log().first_index()).prev() {
                continue;
            }
            let own = known(server.log().term(index));
            ensure(own == Some(term), "leader completeness", || {
                let leader = (server.id(), server.term());
                format!("{leader:?} has {own:?} at {index}, committed was term {term}")
            })?;
        }
        Ok(())
    }

    /// Checks that a server commits the same as others, and that the first commit of an entry is durable on a quorum.
    fn commits(
        &mut self,
        server: &Observed,
        from: Index,
        durable: impl Fn(NodeId, EntryId) -> bool,
    ) -> Checked {
        let (id, commit) = (server.id(), server.commit());
        let highest = self.highest_commit();
        for index in (from.0 + 1..=commit.0).map(Index) {
            let Some(term) = known(server.log().term(index)) else {
                continue;
            };
            let (first, _) = *self.committed.entry(index).or_insert((term, server.term()));
            ensure(first == term, "committed entries are final", || {
                format!("{id} committed term {term} at {index}, others {first}")
            })?;
        }
        if commit <= highest || server.role() != Role::Leader {
            return Ok(());
        }
        let entry = EntryId::new(known(server.log().term(commit)).unwrap_or_default(), commit);
        let voters = &server.tracker().config.voters;
        let stored = voters.vote_result(|voter| Some(durable(voter, entry)));
        ensure(
            stored == VoteResult::Won,
            "committed is durable on a quorum",
            || format!("{id} committed {entry:?}, which no quorum of {voters} has on disk"),
        )
    }
}

/// Log Matching: "If two logs contain an entry with the same index and term, then the logs are
/// identical in all entries up through the given index" (figure 3).
pub fn logs_match(one: &Observed, other: &Observed) -> Checked {
    let ends = [one, other].map(|server| known(server.log().last_index()));
    let starts = [one, other].map(|server| known(server.log().first_index()));
    let (first, last) = (starts[0].max(starts[1]), ends[0].min(ends[1]));
    let range = |server: &Observed| {
        known(server.log().slice(first, last.next().max(first), u64::MAX)).unwrap_or_default()
    };
    let (one_log, other_log) = (range(one), range(other));
    let mut must_match = false;
    for (a, b) in one_log.iter().zip(&other_log).rev() {
        must_match |= a.id() == b.id();
        ensure(!must_match || a == b, "log matching", || {
            format!("{} has {a:?}, {} has {b:?}", one.id(), other.id())
        })?;
    }
    Ok(())
}

/// Whether an image of a disk holds an entry, or a snapshot of it.
pub fn holds(disk: &MemoryStorage, entry: EntryId) -> bool {
    entry.index < known(disk.first_index()).prev()
        || disk.term(entry.index).is_ok_and(|term| term == entry.term)
}

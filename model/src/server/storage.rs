//! Asynchronous storage: what is durable, what is outstanding, and what waits for it (paper, section 5 and figure 2;
//! thesis, section 3.8 and 10.2.1; etcd's raft, `AsyncStorageWrites`).
//!
//! "Each server persists its current term and vote; [..] Each server also persists new log entries before they are counted
//! towards the entries' commitment" (thesis, section 3.8). With storage that is atomic an input ends when that is done.
//! Here it ends when the server has handed over what is to be written: an [`Append`], which is durable as a whole or not at all,
//! and with it what must not leave before it is durable. The input `Persist` says that the oldest append is. What is
//! committed *and* durable is handed to the application, and the input `Apply` says that it has applied the oldest part.
//!
//! Appends become durable in order, so a crash leaves the durable image with any number of the oldest written.

use super::recorded::Point;
use super::{Log, Server, Turn};
use crate::configuration::Configuration;
use crate::dialect::Departure;
use crate::ids::Id;
use crate::message::{Body, Entry, Message, Position};
use crate::rule::{Notes, Rule};
use crate::seq::Seq;
use crate::settings::Settings;
use lockstep_traces::Role;
use std::sync::Arc;

/// The state of a server with asynchronous storage beside its state in memory.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Storage {
    /// The image that a crash leaves if it loses everything outstanding.
    pub(crate) durable: Image,
    /// The index up to which the application has applied.
    pub(crate) applied: u32,
    /// The index up to which the server knows that its entries are durable, and that nothing outstanding overwrites them.
    pub(crate) stable: u32,
    /// The index of a snapshot that replaced the log and is not known to be durable; zero if there is none.
    pub(crate) unstable_snapshot: u32,
    /// The outstanding appends, oldest first.
    pub(crate) appends: Vec<Append>,
    /// The last index of every outstanding apply, oldest first.
    pub(crate) applies: Vec<u32>,
}

/// The contents of stable storage.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Image {
    /// Term, vote and commit index.
    pub(crate) hard_state: HardState,
    /// The log with its snapshot.
    pub(crate) log: Log,
}

/// The durable state beside the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HardState {
    /// The term (paper, figure 2: currentTerm).
    pub(crate) term: u32,
    /// The vote in that term (paper, figure 2: votedFor).
    pub(crate) vote: Option<Id>,
    /// The commit index. Losing it is safe; an older one than that of the entries beside it is not.
    pub(crate) commit: u32,
}

/// One write to storage, and what follows once it is durable.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Append {
    /// The new state beside the log.
    pub(crate) hard_state: Option<HardState>,
    /// A snapshot that replaces the log.
    pub(crate) snapshot: Option<(Position, Configuration)>,
    /// The index of the first entry, from which on entries are replaced; zero without entries.
    pub(crate) first: u32,
    /// The entries.
    pub(crate) entries: Seq<Entry, 2>,
    /// The messages that wait, those to the server itself among them.
    pub(crate) responses: Vec<Message>,
    /// The acknowledgement that storage then gives.
    pub(crate) acknowledges: Option<Acknowledgement>,
}

/// An acknowledgement by storage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Acknowledgement {
    /// The term of the server when it handed the append over.
    pub(crate) term: u32,
    /// Its last entry at that time; zeros if all were known to be durable.
    pub(crate) last: Position,
    /// The index of the snapshot that was written; zero if none was.
    pub(crate) snapshot: u32,
}

/// The writes that a turn at a server with asynchronous storage has yet to hand over.
#[derive(Debug, Default)]
pub(super) struct Unwritten {
    /// Term, vote and commit index as they were handed over last.
    handed: HardState,
    /// The index up to which entries are durable or outstanding.
    entries: u32,
    /// Whether a snapshot replaced the log.
    snapshot: bool,
    /// The messages that wait.
    waiting: Vec<Message>,
}

impl Unwritten {
    /// Between inputs everything is handed over.
    pub(super) fn of(server: &Server) -> Unwritten {
        match server.storage {
            None => Unwritten::default(),
            Some(_) => Unwritten {
                handed: server.hard_state(),
                entries: server.log.last_index(),
                ..Unwritten::default()
            },
        }
    }
}

impl Image {
    /// The image once an append is durable. The commit index never falls: the application may have made a later one
    /// durable with a snapshot of its own.
    pub fn write(&mut self, append: &Append) {
        if let Some(new) = append.hard_state {
            let commit = new.commit.max(self.hard_state.commit);
            self.hard_state = HardState { commit, ..new };
        }
        self.write_log(append);
    }

    fn write_log(&mut self, append: &Append) {
        if let Some((last, configuration)) = append.snapshot {
            self.log = Log::behind(last, configuration, Seq::new());
        }
        if append.first > 0 {
            self.log.truncate(append.first - 1);
            append.entries.for_each(|entry| self.log.push(entry));
        }
    }
}

impl Storage {
    /// The index up to which committed entries may be handed to the application.
    fn max_appliable(&self, commit: u32) -> u32 {
        commit.min(self.stable)
    }

    /// Whether the snapshot that is not known to be durable is the last one that is outstanding.
    pub(super) fn knows_its_snapshot(&self) -> bool {
        let mut snapshots = self.appends.iter().filter_map(|append| append.snapshot);
        let last = snapshots.next_back().map_or(0, |(last, _)| last.index);
        self.unstable_snapshot == last
    }

    /// Returns the image that a crash leaves if the oldest `kept` appends had become durable. (The unsafe departure
    /// keeps their entries alone.)
    pub(crate) fn after_crash(&self, settings: &Settings, kept: usize) -> Image {
        let mut image = self.durable.clone();
        for append in self.appends.iter().take(kept) {
            match settings.departs(Departure::EntriesWithoutHardState) {
                true => image.write_log(append),
                false => image.write(append),
            }
        }
        image
    }
}

impl Server {
    pub(crate) fn hard_state(&self) -> HardState {
        HardState {
            term: self.term,
            vote: self.vote,
            commit: self.commit,
        }
    }

    /// The index up to which the application has applied: with atomic storage all that is committed.
    pub(crate) fn applied(&self) -> u32 {
        self.storage.as_ref().map_or(self.commit, |it| it.applied)
    }

    /// The log that a crash leaves at least: with atomic storage all of it.
    pub(crate) fn durable_log(&self) -> &Log {
        self.storage
            .as_ref()
            .map_or(&self.log, |it| &it.durable.log)
    }

    /// Returns the state beside the log that a crash leaves.
    pub(crate) fn durable_hard_state(&self) -> HardState {
        let durable = self.storage.as_ref().map(|it| it.durable.hard_state);
        durable.unwrap_or(self.hard_state())
    }

    /// Returns the number of outstanding appends.
    pub(crate) fn outstanding_appends(&self) -> usize {
        self.storage.as_ref().map_or(0, |it| it.appends.len())
    }

    /// Returns the number of outstanding applies.
    pub(crate) fn outstanding_applies(&self) -> usize {
        self.storage.as_ref().map_or(0, |it| it.applies.len())
    }

    /// Whether a snapshot replaced the log that is not known to be durable.
    pub(crate) fn has_unstable_snapshot(&self) -> bool {
        self.storage
            .as_ref()
            .is_some_and(|it| it.unstable_snapshot > 0)
    }
}

impl<N: Notes> Turn<'_, N> {
    pub(super) fn is_async(&self) -> bool {
        self.i.storage.is_some()
    }

    fn storage(&mut self) -> Option<&mut Storage> {
        self.i.storage.as_mut().map(Arc::make_mut)
    }

    /// Sends a message, or has it wait for what is not durable yet: a vote, a pre-vote, the acknowledgement of an
    /// append, and their refusals ("updated on stable storage before responding to RPCs", paper, figure 2; etcd's raft,
    /// `send`).
    pub(super) fn send_or_wait(&mut self, message: Message) {
        self.see(Point::Sent(&message));
        if self.is_async() && message.after_persist() {
            self.note(Rule::ResponseWaits);
            self.unwritten.waiting.push(message);
        } else {
            self.outbox.messages.push(message);
        }
    }

    /// A server's own vote, and a leader's own entries, count once they are durable: it tells itself when they are.
    pub(super) fn tell_itself(&mut self, term: u32, body: Body) {
        let i = self.i.id;
        let (from, to) = (i, i);
        let message = Message {
            from,
            to,
            term,
            body,
        };
        self.see(Point::Sent(&message));
        self.unwritten.waiting.push(message);
    }

    /// Entries from `index` on were replaced: they are neither durable nor outstanding.
    pub(super) fn replaced_from(&mut self, index: u32) {
        self.unwritten.entries = self.unwritten.entries.min(index - 1);
        if let Some(storage) = self.storage() {
            storage.stable = storage.stable.min(index - 1);
        }
    }

    /// A snapshot replaced the log. What was to be applied is part of it: the application has no use for that any more.
    pub(super) fn log_was_replaced(&mut self, index: u32) {
        self.unwritten.entries = index;
        self.unwritten.snapshot = true;
        if let Some(storage) = self.storage() {
            storage.stable = index;
            storage.unstable_snapshot = index;
            storage.applies.clear();
        }
    }

    /// Hands over what is new: at most one append and one apply.
    pub(super) fn hand_over(&mut self) {
        self.hand_over_append();
        self.hand_over_apply();
    }

    /// Everything that is new is one write, so that no crash keeps a part of it: entries without the commit index that
    /// came with them would let a server forget that a change of the configuration is committed, and campaign with the
    /// one before. Messages that wait for nothing new wait for what is outstanding.
    ///
    /// As long as not all entries are known to be durable the acknowledgement names the last one, whether this append
    /// has it or an earlier one did: an acknowledgement of an earlier term counts for nothing, and the next term would never
    /// learn.
    fn hand_over_append(&mut self) {
        let (log, now, term) = (&self.i.log, self.i.hard_state(), self.i.term);
        let Some(storage) = &self.i.storage else {
            return;
        };
        let entries = log.from(self.unwritten.entries + 1, usize::MAX);
        let snapshot = self
            .unwritten
            .snapshot
            .then(|| (log.snapshot(), log.snapshot_configuration()));
        let unstable = storage.stable < log.last_index();
        let append = Append {
            hard_state: (now != self.unwritten.handed).then_some(now),
            snapshot,
            first: match entries.is_empty() {
                true => 0,
                false => self.unwritten.entries + 1,
            },
            entries,
            responses: std::mem::take(&mut self.unwritten.waiting),
            acknowledges: (unstable || snapshot.is_some()).then(|| Acknowledgement {
                term,
                last: if unstable {
                    log.last()
                } else {
                    Position::default()
                },
                snapshot: snapshot.map_or(0, |(last, _)| last.index),
            }),
        };
        let new = append.hard_state.is_some() || append.snapshot.is_some() || append.first > 0;
        if !new && append.responses.is_empty() {
            return;
        }
        self.note(Rule::AppendHandedOver);
        if let Some(storage) = self.storage() {
            storage.appends.push(append);
        }
    }

    /// Only what is durable is applied, and nothing while the application waits for a snapshot (etcd's raft,
    /// `maxAppliableIndex`).
    fn hand_over_apply(&mut self) {
        let commit = self.i.commit;
        let Some(storage) = &self.i.storage else {
            return;
        };
        let applying = storage.applies.last().copied().unwrap_or(storage.applied);
        let index = storage.max_appliable(commit);
        if index > applying && storage.unstable_snapshot == 0 {
            self.note(Rule::DurableApplied);
            if let Some(storage) = self.storage() {
                storage.applies.push(index);
            }
        }
    }

    /// The oldest append is durable: what waited for it leaves, and the server hears itself, first what it said and then
    /// what storage acknowledges.
    pub(super) fn persist(&mut self) {
        let Some(storage) = self.storage().filter(|it| !it.appends.is_empty()) else {
            return;
        };
        let append = storage.appends.remove(0);
        storage.durable.write(&append);
        self.note(Rule::WaitingLeave);
        for message in append.responses {
            match message.to == self.i.id {
                true => self.hear_itself(&message),
                false => self.outbox.messages.push(message),
            }
        }
        if let Some(acknowledgement) = append.acknowledges {
            self.handle_storage_append(acknowledgement);
        }
    }

    /// Handles a message of a server to itself, which may come terms later. Then it does not count, as from any other
    /// server.
    pub(super) fn hear_itself(&mut self, m: &Message) {
        if m.term < self.i.term {
            self.note(Rule::StaleTermIgnored);
            return;
        }
        match (&m.body, self.i.role) {
            (Body::RequestVoteResponse { granted }, Role::Candidate)
            | (Body::RequestPreVoteResponse { granted }, Role::PreCandidate) => {
                self.handle_vote(m.from, *granted);
            }
            (Body::AppendEntriesAccepted { index }, Role::Leader) => self.own_entries_to(*index),
            _ => {}
        }
    }

    /// A leader counts its own entries up to `index`, as it would those of a peer.
    fn own_entries_to(&mut self, index: u32) {
        let own = self.i.id.slot();
        let member = self.i.configuration.members().contains(self.i.id);
        let peers = self.i.peers.as_mut().filter(|_| member);
        let Some(peers) = peers.filter(|peers| index > peers[own].matched) else {
            return;
        };
        let progress = &mut Arc::make_mut(peers)[own];
        progress.matched = index;
        progress.paused = false;
        self.note(Rule::OwnEntriesCounted);
        if self.maybe_commit() {
            self.release_postponed_reads();
            self.broadcast_append();
        }
    }

    /// Entries are known to be durable if storage says so in the term in which they were handed over. In a later one they
    /// may have been overwritten, and overwritten again by entries of the same index and term, so that the outstanding
    /// append in between would still take them away (etcd's raft: the ABA problem of `newStorageAppendRespMsg`). A snapshot is
    /// of what is committed, so it is valid in any term; then the application has it too.
    pub(super) fn handle_storage_append(
        &mut self,
        Acknowledgement {
            term,
            last,
            snapshot,
        }: Acknowledgement,
    ) {
        let matches = self.i.log.matches(last);
        let current = term == self.i.term;
        if last.index > 0 {
            self.note(match current {
                true => Rule::StorageAcknowledged,
                false => Rule::LateAcknowledgementIgnored,
            });
        }
        let Some(storage) = self.storage() else {
            return;
        };
        if current && matches && last.index > storage.stable {
            storage.stable = last.index;
        }
        if snapshot > 0 {
            if storage.unstable_snapshot == snapshot {
                storage.unstable_snapshot = 0;
            }
            let applied = storage.applied.max(snapshot);
            self.note(Rule::SnapshotDurable);
            self.applied_to(applied);
        }
    }

    /// The application has applied the oldest part that it was handed.
    pub(super) fn apply(&mut self) {
        let Some(storage) = self.storage().filter(|it| !it.applies.is_empty()) else {
            return;
        };
        let index = storage.applies.remove(0);
        self.apply_committed(index);
        self.applied_to(index);
    }

    /// Everything volatile is lost, and so is every append that was not durable: a follower that knows no leader comes
    /// back from the durable image (thesis, section 3.8). The application comes back with what it has made durable: all
    /// that it applied, or its last snapshot. Of what it has applied the server knows that it is committed.
    pub(super) fn load_image(&mut self, kept: usize) {
        let settings = self.settings;
        let Some(storage) = &self.i.storage else {
            return;
        };
        let mut durable = storage.after_crash(settings, kept);
        let first = durable.log.snapshot().index;
        let applied = match settings.application_in_memory {
            true => first,
            false => storage.applied.max(first),
        };
        durable.hard_state.commit = durable.hard_state.commit.max(applied);
        let HardState { term, vote, commit } = durable.hard_state;
        let log = durable.log.clone();
        let server = Server {
            term,
            vote,
            commit,
            configuration: configuration_at(settings, &log, applied),
            storage: Some(Arc::new(Storage {
                applied,
                stable: log.last_index(),
                durable,
                ..Storage::default()
            })),
            log,
            ..Server::initial(settings, self.i.id)
        };
        *self.i = server;
        self.unwritten = Unwritten::of(self.i);
    }
}

/// The configuration at an index of a log, of which the application has applied everything up to there.
pub(crate) fn configuration_at(settings: &Settings, log: &Log, index: u32) -> Configuration {
    let (first, at_first) = match log.snapshot().index {
        0 => (0, settings.configuration),
        first => (first, log.snapshot_configuration()),
    };
    let entries = (first + 1..=index).filter_map(|index| log.entry(index));
    let changes = entries.filter_map(|entry| entry.payload.as_conf_change());
    changes.fold(at_first, |configuration, change| {
        let changed = configuration.apply(change);
        changed.map_or(configuration, |changed| changed.configuration)
    })
}

//! States as bytes: every field, in one fixed order, numbers as little-endian base-128. Equal states have
//! equal bytes and different states different ones, so a search may know a state by its bytes.

mod reader;

use crate::bounds::{Kind, Spent};
use crate::cluster::ClusterState;
use crate::configuration::Configuration;
use crate::history::{Answered, Asked, Clocks, History, ReadHistory};
use crate::ids::{Id, IdSet, MAX_MEMBERS};
use crate::message::{Body, Entry, Message, Payload, Position};
use crate::network::Network;
use crate::seq::{Item, Seq};
use crate::server::{
    Acknowledgement, Append, Flow, HardState, Image, Log, Progress, Queue, ReadState, Request,
    Server, Storage, Unconfirmed,
};
use arrayvec::ArrayVec;
use lockstep_engine::varint;
use lockstep_traces::Role;
use reader::Reader;
use std::sync::Arc;

impl ClusterState {
    /// Appends the encoding of this state.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.reserve(128);
        let mut writer = Writer(out);
        writer.byte(self.servers.len() as u8);
        for server in &self.servers {
            writer.server(server);
        }
        writer.number(self.network.len() as u32);
        for message in self.network.iter() {
            writer.message(message);
        }
        put_history(&self.history, out);
        put_spent(&self.spent, out);
    }

    /// The state that [`ClusterState::encode`] turned into `bytes`.
    ///
    /// # Panics
    ///
    /// May panic on bytes that no state encodes to.
    pub fn decode(bytes: &[u8]) -> ClusterState {
        let mut reader = Reader(bytes);
        let servers = usize::from(reader.byte());
        let state = ClusterState {
            servers: (0..servers)
                .map(|slot| reader.server(Id::from_slot(slot), servers))
                .collect(),
            network: {
                let messages = reader.number();
                Network::from_sorted((0..messages).map(|_| reader.message()))
            },
            history: reader.history(),
            spent: reader.spent(),
        };
        assert!(
            reader.0.is_empty(),
            "a state was followed by {:?}",
            reader.0
        );
        state
    }
}

/// Appends a server as it stands in the encoding of a state.
pub(crate) fn put_server(server: &Server, out: &mut Vec<u8>) {
    Writer(out).server(server);
}

/// Appends a message as it stands in the encoding of a state.
pub(crate) fn put_message(message: &Message, out: &mut Vec<u8>) {
    Writer(out).message(message);
}

/// Appends the history as it stands in the encoding of a state.
pub(crate) fn put_history(history: &History, out: &mut Vec<u8>) {
    let mut writer = Writer(out);
    writer.list(&history.leaders, |writer, ids| writer.byte(ids.bits()));
    // The entries that were committed are kept for all indexes or for none.
    let kept = !history.committed.is_empty();
    let (reads, twice) = (history.reads.is_some(), history.led_twice > 0);
    let flags = u32::from(kept) | u32::from(twice) << 1 | u32::from(reads) << 2;
    writer.number((history.committed_in.len() as u32) << 3 | flags);
    if twice {
        writer.number(history.led_twice);
    }
    history.committed_in.for_each(|term| writer.number(term));
    history.committed.for_each(|entry| writer.entry(entry));
    if let Some(reads) = &history.reads {
        writer.read_history(reads);
    }
}

/// Appends what was spent, the end of the encoding of a state.
pub(crate) fn put_spent(spent: &Spent, out: &mut Vec<u8>) {
    let mut writer = Writer(out);
    for kind in Kind::FIRST {
        writer.number(u32::from(spent.of(kind)));
    }
    // Nothing comes behind it, so that what most presets never do needs no room.
    if Kind::MORE.iter().any(|kind| spent.of(*kind) > 0) {
        for kind in Kind::MORE {
            writer.number(u32::from(spent.of(kind)));
        }
    }
}

/// Decodes the server called `id`, in a cluster of `servers` servers, from `bytes`.
pub(crate) fn take_server(bytes: &[u8], id: Id, servers: usize) -> Server {
    Reader(bytes).server(id, servers)
}

/// The message whose encoding is `bytes`.
pub(crate) fn take_message(bytes: &[u8]) -> Message {
    Reader(bytes).message()
}

/// The history whose encoding is `bytes`.
pub(crate) fn take_history(bytes: &[u8]) -> History {
    Reader(bytes).history()
}

/// Decodes the spent budgets from `bytes`.
pub(crate) fn take_spent(bytes: &[u8]) -> Spent {
    Reader(bytes).spent()
}

/// In place of the number of its kind: a request for a vote in a campaign by transfer.
const VOTE_BY_TRANSFER: u8 = u8::MAX;
/// The same for a heartbeat of a round of reads, and for its answer.
const HEARTBEAT_OF_ROUND: u8 = u8::MAX - 1;
const RESPONSE_OF_ROUND: u8 = u8::MAX - 2;

struct Writer<'a>(&'a mut Vec<u8>);

impl Writer<'_> {
    fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    fn number(&mut self, number: u32) {
        varint::put(number.into(), self.0);
    }

    fn id(&mut self, id: Option<Id>) {
        self.byte(id.map_or(0, Id::get));
    }

    fn list<T: Item, const N: usize>(
        &mut self,
        list: &Seq<T, N>,
        mut item: impl FnMut(&mut Self, T),
    ) {
        self.number(list.len() as u32);
        list.for_each(|value| item(self, value));
    }

    fn entry(&mut self, entry: Entry) {
        self.number(entry.term);
        self.payload(entry.payload);
    }

    fn payload(&mut self, payload: Payload) {
        self.number(payload.code());
    }

    fn position(&mut self, position: Position) {
        self.number(position.term);
        self.number(position.index);
    }

    fn server(&mut self, server: &Server) {
        // The name is the slot.
        let snapshot = server.log.snapshot();
        let head = role_number(server.role)
            | u8::from(server.lease) << 2
            | u8::from(snapshot.index > 0) << 3
            | u8::from(server.transferee.is_some()) << 4
            | u8::from(server.uncommitted > 0) << 5
            | u8::from(server.storage.is_some()) << 6
            | u8::from(server.reads.is_some()) << 7;
        self.byte(head);
        self.membership(Membership::of(server));
        self.number(server.term);
        self.id(server.vote);
        self.id(server.leader);
        self.number(server.commit);
        if snapshot.index > 0 {
            self.position(snapshot);
            self.configuration(server.log.snapshot_configuration());
        }
        if server.transferee.is_some() {
            self.id(server.transferee);
        }
        if server.uncommitted > 0 {
            self.number(server.uncommitted);
        }
        if let Some(reads) = &server.reads {
            self.reads(reads);
        }
        self.list(server.log.entries(), Writer::entry);
        if has_votes(server.role) {
            self.byte(server.granted.bits());
            self.byte(server.refused.bits());
        }
        for peer in other_peers(server) {
            self.progress(peer);
        }
        if let Some(storage) = &server.storage {
            self.storage(storage);
            if let Some(peers) = &server.peers {
                self.number(peers[server.id.slot()].matched);
            }
        }
    }

    fn storage(&mut self, storage: &Storage) {
        let Storage {
            durable,
            applied,
            stable,
            unstable_snapshot,
            appends,
            applies,
        } = storage;
        self.hard_state(durable.hard_state);
        let log = &durable.log;
        self.position(log.snapshot());
        self.configuration(log.snapshot_configuration());
        self.list(log.entries(), Writer::entry);
        self.number(*applied);
        self.number(*stable);
        self.number(*unstable_snapshot);
        self.number(appends.len() as u32);
        for append in appends {
            self.append(append);
        }
        self.number(applies.len() as u32);
        for index in applies {
            self.number(*index);
        }
    }

    fn hard_state(&mut self, HardState { term, vote, commit }: HardState) {
        self.number(term);
        self.id(vote);
        self.number(commit);
    }

    fn append(&mut self, append: &Append) {
        let Append {
            hard_state,
            snapshot,
            first,
            entries,
            responses,
            acknowledges,
        } = append;
        self.byte(
            u8::from(hard_state.is_some())
                | u8::from(snapshot.is_some()) << 1
                | u8::from(acknowledges.is_some()) << 2,
        );
        if let Some(hard_state) = hard_state {
            self.hard_state(*hard_state);
        }
        if let Some((last, configuration)) = snapshot {
            self.position(*last);
            self.configuration(*configuration);
        }
        if let Some(acknowledgement) = acknowledges {
            self.number(acknowledgement.term);
            self.position(acknowledgement.last);
            self.number(acknowledgement.snapshot);
        }
        self.number(*first);
        self.list(entries, Writer::entry);
        self.number(responses.len() as u32);
        for message in responses {
            self.message(message);
        }
    }

    fn reads(&mut self, reads: &Queue) {
        self.number(reads.postponed.len() as u32);
        self.number(reads.unconfirmed.len() as u32);
        self.number(reads.confirmed << 1 | u32::from(reads.handed_over));
        self.number(reads.forwarded.len() as u32);
        for request in &reads.postponed {
            self.read_request(*request);
        }
        for read in &reads.unconfirmed {
            self.read_request(read.request);
            self.number(read.index);
            self.byte(read.acks.bits());
        }
        for context in &reads.forwarded {
            self.byte(*context);
        }
    }

    fn read_request(&mut self, request: Request) {
        self.byte(request.origin.get());
        self.byte(request.context);
    }

    fn read_history(&mut self, reads: &ReadHistory) {
        self.number(reads.asked.len() as u32);
        self.number(reads.answered.len() as u32);
        self.byte(u8::from(reads.clocks.broken));
        for asked in &reads.asked {
            self.byte(asked.server.get());
            self.byte(asked.context);
            self.number(asked.least);
        }
        for answered in &reads.answered {
            self.byte(answered.server.get());
            self.byte(answered.state.context);
            self.byte(u8::from(answered.state.index.is_some()));
            self.number(answered.state.index.unwrap_or_default());
        }
        self.byte(reads.clocks.silent.bits());
        self.byte(reads.clocks.ended.bits());
    }

    fn membership(&mut self, membership: Membership) {
        let Membership {
            configuration,
            pending_conf_index,
            forgotten,
        } = membership;
        let simple = Membership::simple(configuration.voters);
        if membership == simple {
            return self.byte(configuration.voters.bits());
        }
        self.byte(configuration.voters.bits() | MORE);
        self.byte(u8::from(configuration.auto_leave) | u8::from(forgotten) << 1);
        self.byte(configuration.learners.bits());
        self.byte(configuration.outgoing.bits());
        self.byte(configuration.learners_next.bits());
        self.number(pending_conf_index);
    }

    fn configuration(&mut self, configuration: Configuration) {
        self.membership(Membership {
            configuration,
            ..Membership::simple(IdSet::EMPTY)
        });
    }

    fn progress(&mut self, peer: &Progress) {
        self.byte(
            u8::from(peer.flow == Flow::Replicate)
                | u8::from(peer.paused) << 1
                | u8::from(peer.recent_active) << 2
                | u8::from(peer.flow == Flow::Snapshot) << 3,
        );
        self.number(peer.matched);
        self.number(peer.next);
        self.number(peer.commit_sent);
        if peer.flow == Flow::Snapshot {
            self.number(peer.pending);
        }
        self.list(&peer.inflight, Writer::number);
    }

    fn message(&mut self, message: &Message) {
        self.byte(message.from.get());
        self.byte(message.to.get());
        self.byte(match message.body {
            Body::RequestVote { transfer: true, .. } => VOTE_BY_TRANSFER,
            Body::Heartbeat { round: 1.., .. } => HEARTBEAT_OF_ROUND,
            Body::HeartbeatResponse { round: 1.. } => RESPONSE_OF_ROUND,
            _ => message.body.number(),
        });
        self.number(message.term);
        match &message.body {
            Body::RequestVote { last, .. } | Body::RequestPreVote { last } => self.position(*last),
            Body::RequestVoteResponse { granted } | Body::RequestPreVoteResponse { granted } => {
                self.byte(u8::from(*granted));
            }
            Body::AppendEntries {
                prev,
                entries,
                commit,
            } => {
                self.position(*prev);
                self.number(*commit);
                self.list(entries, Writer::entry);
            }
            Body::AppendEntriesAccepted { index } => self.number(*index),
            Body::AppendEntriesRejected { index, hint } => {
                self.number(*index);
                self.position(*hint);
            }
            Body::Heartbeat { commit, round } => {
                self.number(*commit);
                if *round > 0 {
                    self.number(*round);
                }
            }
            Body::HeartbeatResponse { round: 0 } | Body::TimeoutNow => {}
            Body::HeartbeatResponse { round } => self.number(*round),
            Body::ReadIndex { origin, context } => {
                self.byte(origin.get());
                self.byte(*context);
            }
            Body::ReadIndexResponse { context, index } => {
                self.byte(*context);
                self.number(*index);
            }
            Body::TransferLeader { transferee } => self.byte(transferee.get()),
            Body::Propose { payloads } => self.list(payloads, Writer::payload),
            Body::InstallSnapshot {
                last,
                configuration,
            } => {
                self.position(*last);
                self.configuration(*configuration);
            }
        }
    }
}

/// In the byte of the voters: there is more than voters.
const MORE: u8 = 1 << 7;

const _: () = assert!(MAX_MEMBERS < 8, "the voters leave a bit");

/// The membership state of a server: one byte if it is nothing but voters.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Membership {
    configuration: Configuration,
    pending_conf_index: u32,
    /// The leader's own slot is [`Progress::forgotten`].
    forgotten: bool,
}

impl Membership {
    fn simple(voters: IdSet) -> Membership {
        Membership {
            configuration: Configuration::of_voters(voters),
            pending_conf_index: 0,
            forgotten: false,
        }
    }

    fn of(server: &Server) -> Membership {
        let peers = server.peers.as_ref();
        Membership {
            configuration: server.configuration,
            pending_conf_index: server.pending_conf_index,
            forgotten: peers.is_some_and(|peers| peers[server.id.slot()].is_forgotten()),
        }
    }
}

fn has_votes(role: Role) -> bool {
    matches!(role, Role::PreCandidate | Role::Candidate)
}

/// The peers of a leader without the slot of its own, which says nothing.
fn other_peers(server: &Server) -> impl Iterator<Item = &Progress> {
    let own = server.id.slot();
    let peers = server
        .peers
        .iter()
        .flat_map(|peers| peers.iter().enumerate());
    peers.filter_map(move |(slot, peer)| (slot != own).then_some(peer))
}

fn role_number(role: Role) -> u8 {
    match role {
        Role::Follower => 0,
        Role::PreCandidate => 1,
        Role::Candidate => 2,
        Role::Leader => 3,
    }
}

fn role_of(number: u8) -> Role {
    match number {
        0 => Role::Follower,
        1 => Role::PreCandidate,
        2 => Role::Candidate,
        _ => Role::Leader,
    }
}

#[cfg(test)]
mod tests;

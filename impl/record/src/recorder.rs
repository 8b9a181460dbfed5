//! The recorder: an observer that writes lines.

use crate::digest::digest;
use crate::sink::{Files, Sink};
use crate::view::View;
use crate::words::{Change, Entries, Members, Payloads, Said, has_words};
use lockstep_raft::observer::{Effect, Input, LogView, Observer};
use lockstep_raft::tracker::Configuration;
use lockstep_raft::{
    Body, Config, Error, Event, Message, NodeId, ReadOnly, Ready, SnapshotStatus, TimerEvent,
};
use serde::Serialize;
use std::collections::VecDeque;
use std::io;
use std::path::Path;

/// The version of the format; the first line of each file names it.
pub const FORMAT_VERSION: u32 = 1;

/// The size of the buffer at which lines are written out even if no `Ready` comes.
const FULL_BUFFER: usize = 1 << 16;

/// The size of a buffer that is not kept.
const LARGE_BUFFER: usize = 1 << 20;

/// The longest log that the line of a start shows.
const MOST_ENTRIES: u64 = 4096;

/// The most messages, waiting for a `Ready`, of which the recorder remembers the lines.
const MOST_WAITING: usize = 1 << 16;

/// The send that a delivery consumes: a line of a server, and the place among the messages of that line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Cause {
    /// The server that sent.
    pub server: u64,
    /// The number of its line.
    pub line: u64,
    /// The place of the message in `sent` of that line, from zero.
    pub message: u64,
}

/// Writes one line for each input of one server.
///
/// Trouble with the sink does not reach the server: the recorder stops, and [`failure`](Recorder::failure) says why.
#[derive(Debug)]
pub struct Recorder<K: Sink = Files> {
    server: NodeId,
    /// The number of the last line.
    line: u64,
    sink: K,
    buffer: Vec<u8>,
    /// The state on the line before.
    before: View,
    config: Configuration,
    /// The next line shows all of the state.
    whole: bool,
    /// The line that is being written is that of a start, whose input ends with the log.
    starting: bool,
    /// Messages that the server has not handed out: those that may leave at once, and those that wait for a write.
    early: Queue,
    late: Queue,
    /// The lines of the messages of the last `Ready` to others.
    handed: Vec<Cause>,
    cause: Option<Cause>,
    failure: Option<io::Error>,
}

/// The lines of messages that wait for a `Ready`.
#[derive(Debug, Default)]
struct Queue {
    /// The number of messages that were seen.
    seen: usize,
    /// Of each the line, and whether it is to another server.
    lines: VecDeque<(Cause, bool)>,
}

impl Recorder<Files> {
    /// Records into a new file of this folder, after those of earlier lives of this server. A file is left for the next one when
    /// it has `limit` bytes.
    ///
    /// # Errors
    ///
    /// The folder or a file in it cannot be read or written.
    pub fn open(folder: &Path, server: NodeId, limit: u64) -> io::Result<Recorder<Files>> {
        let (files, last_line) = Files::open(folder, server.get(), limit)?;
        let number = files.number();
        Ok(Recorder::begin(server, files, number, last_line))
    }
}

impl<K: Sink> Recorder<K> {
    /// Records into a sink that has nothing of this server.
    pub fn new(server: NodeId, sink: K) -> Recorder<K> {
        Recorder::begin(server, sink, 1, 0)
    }

    /// Records into a sink, after the line of this number.
    pub fn after(server: NodeId, sink: K, line: u64) -> Recorder<K> {
        Recorder::begin(server, sink, 1, line)
    }

    fn begin(server: NodeId, sink: K, file: u64, line: u64) -> Recorder<K> {
        let mut recorder = Recorder {
            server,
            line,
            sink,
            buffer: Vec::with_capacity(FULL_BUFFER),
            before: View::default(),
            config: Configuration::default(),
            whole: true,
            starting: false,
            early: Queue::default(),
            late: Queue::default(),
            handed: Vec::new(),
            cause: None,
            failure: None,
        };
        recorder.header(file);
        recorder
    }

    /// Says which send the next delivery consumes. Without it, messages are matched by their content.
    pub fn caused_by(&mut self, cause: Cause) {
        self.cause = Some(cause);
    }

    /// The lines that sent the messages of the last `Ready` to other servers: first those of
    /// [`Ready::messages`](lockstep_raft::Ready::messages) in order, then, with asynchronous storage writes, those among the
    /// responses of the append thread. Empty if more waited than are remembered.
    pub fn causes(&self) -> &[Cause] {
        &self.handed
    }

    /// The number of the last line.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// The reason that the recorder has stopped, if it has.
    pub fn failure(&self) -> Option<&io::Error> {
        self.failure.as_ref()
    }

    /// Writes out all lines.
    pub fn flush(&mut self) {
        if self.failure.is_none() && !self.buffer.is_empty() {
            let result = self
                .sink
                .write(&self.buffer)
                .and_then(|()| self.sink.turn());
            self.buffer.clear();
            if self.buffer.capacity() > LARGE_BUFFER {
                self.buffer.shrink_to(FULL_BUFFER);
            }
            match result {
                Ok(None) => {}
                Ok(Some(file)) => self.header(file),
                Err(error) => self.failure = Some(error),
            }
        }
    }

    fn header(&mut self, file: u64) {
        #[derive(Serialize)]
        struct Header {
            lockstep_record: u32,
            server: u64,
            file: u64,
            after: u64,
        }
        self.put(&Header {
            lockstep_record: FORMAT_VERSION,
            server: self.server.get(),
            file,
            after: self.line,
        });
        self.text("\n");
        self.whole = true;
    }

    fn text(&mut self, text: &str) {
        self.buffer.extend_from_slice(text.as_bytes());
    }

    fn put(&mut self, value: &impl Serialize) {
        if let Err(error) = serde_json::to_writer(&mut self.buffer, value) {
            self.failure = Some(error.into());
        }
    }

    fn input(&mut self, input: &Input<'_>) {
        match *input {
            // Its line has the log, too, which comes with the effect.
            Input::Created(config) => {
                self.starting = true;
                self.text("{\"start\":{\"config\":");
                self.put(&Settings::of(config));
            }
            Input::Step(message) => self.delivery(message),
            Input::Timer(event) => {
                let name = match event {
                    TimerEvent::ElectionTimeout => "election_timeout",
                    TimerEvent::LeaseExpired => "lease_expired",
                    TimerEvent::CheckQuorum => "check_quorum",
                    TimerEvent::HeartbeatDue => "heartbeat_due",
                    _ => "other",
                };
                self.put(&One::Timer(name));
            }
            Input::Campaign => self.put(&One::<()>::Campaign),
            Input::Propose(entries) => self.put(&One::Propose(Payloads(entries))),
            Input::ReadIndex(context) => self.put(&One::ReadIndex(digest(context))),
            Input::TransferLeadership(to) => self.put(&One::TransferLeadership(to.get())),
            Input::ForgetLeader => self.put(&One::<()>::ForgetLeader),
            Input::ReportUnreachable(peer) => self.put(&One::ReportUnreachable(peer.get())),
            Input::ReportSnapshot(peer, status) => self.put(&One::ReportSnapshot(Report {
                peer: peer.get(),
                ok: status == SnapshotStatus::Finished,
            })),
            Input::ApplyConfChange(change) => match has_words(change) {
                true => self.put(&One::ApplyConfChange(Change(change))),
                false => self.put(&One::<()>::ApplyNothing),
            },
            Input::Bootstrap(servers) => {
                let names: Vec<u64> = servers.iter().map(|(id, _)| id.get()).collect();
                self.put(&One::Bootstrap(names));
            }
            // Its line has what it is answered with.
            Input::Ready => self.text("{\"ready\":"),
            Input::Advance => self.put(&One::<()>::Advance),
            _ => self.put(&One::<()>::Other),
        }
    }

    fn delivery(&mut self, message: &Message) {
        let own = message.from == self.server;
        match &message.body {
            Body::StorageAppendResponse { last, snapshot } => {
                let last = last.map(|last| (last.index.get(), last.term.get()));
                self.put(&One::AppendDone(AppendDone {
                    term: message.term.get(),
                    last: last.unwrap_or_default(),
                    snapshot: snapshot.as_ref().map_or(0, |it| it.metadata.index.get()),
                }));
            }
            Body::StorageApplyResponse { entries } => {
                let last = entries.last().map_or(0, |entry| entry.index.get());
                self.put(&One::ApplyDone(last));
            }
            Body::RequestVoteResponse { .. }
            | Body::RequestPreVoteResponse { .. }
            | Body::AppendEntriesResponse { .. }
                if own =>
            {
                self.put(&One::HearItself(Said(message)));
            }
            _ => {
                self.put(&One::Deliver(Said(message)));
                if let Some(cause) = self.cause {
                    self.text(",\"cause\":");
                    self.put(&cause);
                }
            }
        }
    }

    /// Writes the log of a server that starts.
    fn log(&mut self, log: &dyn LogView) {
        let ends = log.first_index().ok().zip(log.last_id().ok());
        let Some((first, last)) = ends else {
            return;
        };
        if last.index.get() + 1 - first.get() > MOST_ENTRIES {
            return;
        }
        let before = first.prev();
        let term = log.term(before).ok().flatten();
        let entries = log.entries(first, last.index.next()).ok().flatten();
        if let Some((term, entries)) = term.zip(entries) {
            self.text(",\"log\":");
            self.put(&Log {
                before: (before.get(), term.get()),
                entries: Entries(&entries),
            });
        }
    }

    fn sent(&mut self, effect: &Effect<'_>) {
        let (early, late) = (effect.messages, effect.messages_after_persist);
        let early = early.get(self.early.seen..).unwrap_or_default();
        let late = late.get(self.late.seen..).unwrap_or_default();
        if early.is_empty() && late.is_empty() {
            return;
        }
        self.text(",\"sent\":[");
        for (place, message) in early.iter().chain(late).enumerate() {
            if place > 0 {
                self.text(",");
            }
            self.put(&Said(message));
            let cause = Cause {
                server: self.server.get(),
                line: self.line,
                message: place as u64,
            };
            let queue = match place < early.len() {
                true => &mut self.early,
                false => &mut self.late,
            };
            queue.push(cause, message.to != self.server);
        }
        self.text("]");
    }

    fn handed_out(&mut self, ready: &Ready) {
        #[derive(Serialize)]
        struct Handed {
            #[serde(skip_serializing_if = "Option::is_none")]
            hard_state: Option<(u64, u64, u64)>,
            #[serde(skip_serializing_if = "Option::is_none")]
            snapshot: Option<u64>,
            #[serde(skip_serializing_if = "Option::is_none")]
            entries: Option<(u64, u64)>,
            #[serde(skip_serializing_if = "Option::is_none")]
            committed: Option<(u64, u64)>,
            #[serde(skip_serializing_if = "Vec::is_empty")]
            reads: Vec<(u64, Option<u64>)>,
            must_sync: bool,
        }
        let ends = |entries: &[lockstep_raft::Entry]| {
            let (first, last) = (entries.first()?, entries.last()?);
            Some((first.index.get(), last.index.get()))
        };
        self.put(&Handed {
            hard_state: ready.hard_state.map(|it| {
                let vote = it.vote.map_or(0, NodeId::get);
                (it.term.get(), vote, it.commit.get())
            }),
            snapshot: ready.snapshot.as_ref().map(|it| it.metadata.index.get()),
            entries: ends(&ready.entries),
            committed: ends(&ready.committed_entries),
            reads: ready
                .read_states
                .iter()
                .map(|read| (digest(&read.context), read.index.map(|it| it.get())))
                .collect(),
            must_sync: ready.must_sync,
        });
    }

    fn effect(&mut self, effect: &Effect<'_>) {
        match effect.ready {
            Some(ready) => {
                self.handed_out(ready);
                self.text("}");
            }
            None if self.starting => {
                self.log(effect.log);
                self.text("}}");
            }
            None => {}
        }
        if let Some(error) = effect.error {
            self.text(",\"told\":");
            self.put(&Told::of(error));
        }
        let done = effect.ready.is_some() && effect.error.is_none();
        if done {
            self.handed.clear();
            let (early, late) = (&mut self.early, &mut self.late);
            if early.is_complete() && late.is_complete() {
                let lines = early.lines.iter().chain(&late.lines);
                let to_others = lines.filter(|(_, other)| *other);
                self.handed.extend(to_others.map(|(cause, _)| *cause));
            }
            *early = Queue::default();
            *late = Queue::default();
        }
        self.sent(effect);
        let view = View::of(effect, &self.before);
        if let Some(changed) = view.changed(&self.before, self.whole) {
            self.text(",\"view\":");
            self.put(&changed);
        }
        if self.whole || self.config != *effect.config {
            self.text(",\"configuration\":");
            self.put(&Members(&effect.config.conf_state()));
            self.config.clone_from(effect.config);
        }
        self.before = view;
        (self.whole, self.starting) = (false, false);
        self.text("}\n");
        if done || self.buffer.len() >= FULL_BUFFER {
            self.flush();
        }
    }
}

impl Queue {
    fn push(&mut self, cause: Cause, to_other: bool) {
        self.seen += 1;
        if self.lines.len() < MOST_WAITING {
            self.lines.push_back((cause, to_other));
        }
    }

    fn is_complete(&self) -> bool {
        self.lines.len() == self.seen
    }
}

impl<K: Sink> Observer for Recorder<K> {
    fn is_enabled(&self) -> bool {
        false
    }

    fn on_event(&mut self, _node: NodeId, _event: &Event<'_>) {}

    fn sees_inputs(&self) -> bool {
        self.failure.is_none()
    }

    fn on_input(&mut self, _node: NodeId, input: &Input<'_>) {
        self.line += 1;
        #[derive(Serialize)]
        struct Place {
            server: u64,
            line: u64,
        }
        self.put(&Place {
            server: self.server.get(),
            line: self.line,
        });
        // Without its closing brace: the line goes on.
        self.buffer.pop();
        self.text(",\"input\":");
        self.input(input);
        self.cause = None;
    }

    fn on_effect(&mut self, _node: NodeId, effect: &Effect<'_>) {
        self.effect(effect);
    }
}

impl<K: Sink> Drop for Recorder<K> {
    fn drop(&mut self) {
        self.flush();
    }
}

/// An input in its line.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum One<T> {
    Timer(T),
    Campaign,
    Propose(T),
    ReadIndex(T),
    TransferLeadership(T),
    ForgetLeader,
    ReportUnreachable(T),
    ReportSnapshot(T),
    ApplyConfChange(T),
    ApplyNothing,
    Bootstrap(T),
    Advance,
    AppendDone(T),
    ApplyDone(T),
    HearItself(T),
    Deliver(T),
    Other,
}

#[derive(Serialize)]
struct Report {
    peer: u64,
    ok: bool,
}

#[derive(Serialize)]
struct AppendDone {
    term: u64,
    last: (u64, u64),
    snapshot: u64,
}

#[derive(Serialize)]
struct Log<'a> {
    before: (u64, u64),
    entries: Entries<'a>,
}

/// The settings on which the behaviour of a server depends.
#[derive(Serialize)]
struct Settings {
    pre_vote: bool,
    check_quorum: bool,
    async_storage_writes: bool,
    max_message_bytes: u64,
    max_inflight_messages: u64,
    max_inflight_bytes: u64,
    max_uncommitted_entries_bytes: u64,
    read_only: &'static str,
    proposal_forwarding: bool,
    conf_change_validation: bool,
    step_down_on_removal: bool,
}

impl Settings {
    fn of(config: &Config) -> Settings {
        Settings {
            pre_vote: config.pre_vote,
            check_quorum: config.check_quorum,
            async_storage_writes: config.async_storage_writes,
            max_message_bytes: config.max_message_bytes,
            max_inflight_messages: config.max_inflight_messages as u64,
            max_inflight_bytes: config.max_inflight_bytes,
            max_uncommitted_entries_bytes: config.max_uncommitted_entries_bytes,
            read_only: match config.read_only {
                ReadOnly::LeaseBased => "lease_based",
                _ => "safe",
            },
            proposal_forwarding: config.proposal_forwarding,
            conf_change_validation: config.conf_change_validation,
            step_down_on_removal: config.step_down_on_removal,
        }
    }
}

/// The error that a caller was told.
#[derive(Serialize)]
struct Told {
    error: &'static str,
    why: String,
}

impl Told {
    fn of(error: &Error) -> Told {
        let name = match error {
            Error::Config(_) => "config",
            Error::ProposalDropped(_) => "proposal_dropped",
            Error::Refused(_) => "refused",
            Error::Call(_) => "call",
            Error::Peer(_) => "message_refused",
            Error::Storage(_) => "storage",
            _ => "other",
        };
        Told {
            error: name,
            why: error.to_string(),
        }
    }
}

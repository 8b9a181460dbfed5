//! Recordings of the production Raft: one line for each input of a server, as `lockstep-record` writes them.
//!
//! The format is documented with the recorder. The two have no code in common; a test in `tests/` holds them together.

use crate::{ConfChange, Configuration, Entry, Index, Message, Payload, Role, ServerId, Term};
use serde::Deserialize;
use std::collections::BTreeMap;

/// The version of the format.
pub const RECORDING_VERSION: u32 = 1;

/// The longest line that is read, in bytes.
pub const MAX_RECORDED_LINE: usize = 1 << 26;

/// One line of a recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// The place in the file, from one.
    pub number: usize,
    /// The server.
    pub server: ServerId,
    /// The number of the line among all of this server, from one.
    pub line: u64,
    /// The input.
    pub input: RecordedInput,
    /// The send that the input consumes, if the recorder knew it.
    pub cause: Option<RecordedCause>,
    /// The error that the caller was told.
    pub told: Option<Told>,
    /// The messages that the server queued, those to itself among them.
    pub sent: Vec<Message>,
    /// The server after the input.
    pub view: RecordedView,
    /// Its configuration, if that has changed, or if the line is the first one of a file.
    pub configuration: Option<Configuration>,
}

/// An input of a recorded server.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordedInput {
    /// The server starts from its storage.
    Start(Box<RecordedStart>),
    /// A timer fires.
    Timer(RecordedTimer),
    /// The application has it campaign.
    Campaign,
    /// A client proposes these.
    Propose(Vec<Payload>),
    /// A client reads, with the digest of its context.
    ReadIndex(u64),
    /// It is asked for another leader.
    TransferLeadership(ServerId),
    /// It is told to forget its leader.
    ForgetLeader,
    /// A peer could not be reached.
    ReportUnreachable(ServerId),
    /// The report on a snapshot.
    ReportSnapshot(SnapshotReport),
    /// A committed change of the configuration takes effect.
    ApplyConfChange(ConfChange),
    /// A committed change takes effect that changes nothing in Raft.
    ApplyNothing,
    /// A server without anything in its storage is given a list of peers.
    Bootstrap(Vec<ServerId>),
    /// The application takes what is to be written, sent and applied.
    Ready(RecordedReady),
    /// The application has done that.
    Advance,
    /// With asynchronous storage writes: the append thread has written.
    AppendDone(AppendDone),
    /// With asynchronous storage writes: the apply thread has applied up to this index.
    ApplyDone(Index),
    /// With asynchronous storage writes: the append thread hands back what the server says to itself.
    HearItself(Message),
    /// A message comes from another server.
    Deliver(Message),
    /// Something that the format has no word for.
    Other,
}

impl RecordedInput {
    /// The kind of the input.
    pub const fn name(&self) -> &'static str {
        match self {
            RecordedInput::Start(_) => "start",
            RecordedInput::Timer(_) => "timer",
            RecordedInput::Campaign => "campaign",
            RecordedInput::Propose(_) => "propose",
            RecordedInput::ReadIndex(_) => "read_index",
            RecordedInput::TransferLeadership(_) => "transfer_leadership",
            RecordedInput::ForgetLeader => "forget_leader",
            RecordedInput::ReportUnreachable(_) => "report_unreachable",
            RecordedInput::ReportSnapshot(_) => "report_snapshot",
            RecordedInput::ApplyConfChange(_) => "apply_conf_change",
            RecordedInput::ApplyNothing => "apply_nothing",
            RecordedInput::Bootstrap(_) => "bootstrap",
            RecordedInput::Ready(_) => "ready",
            RecordedInput::Advance => "advance",
            RecordedInput::AppendDone(_) => "append_done",
            RecordedInput::ApplyDone(_) => "apply_done",
            RecordedInput::HearItself(_) => "hear_itself",
            RecordedInput::Deliver(_) => "deliver",
            RecordedInput::Other => "other",
        }
    }
}

/// A timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordedTimer {
    /// The random election timeout.
    ElectionTimeout,
    /// The plain election timeout, at a follower.
    LeaseExpired,
    /// The plain election timeout, at a leader.
    CheckQuorum,
    /// The heartbeat timeout.
    HeartbeatDue,
}

/// The start of a server.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordedStart {
    /// Its settings.
    pub config: RecordedConfig,
    /// Its log; `None` if that is too long.
    #[serde(default)]
    pub log: Option<RecordedLog>,
}

/// The settings of a server on which its behaviour depends.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(
    missing_docs,
    reason = "they are the fields of `lockstep_raft::Config`"
)]
pub struct RecordedConfig {
    pub pre_vote: bool,
    pub check_quorum: bool,
    pub async_storage_writes: bool,
    pub max_message_bytes: u64,
    pub max_inflight_messages: u64,
    pub max_inflight_bytes: u64,
    pub max_uncommitted_entries_bytes: u64,
    pub read_only: RecordedReads,
    pub proposal_forwarding: bool,
    pub conf_change_validation: bool,
    pub step_down_on_removal: bool,
}

/// The way in which reads are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordedReads {
    /// By a quorum.
    Safe,
    /// By a lease.
    LeaseBased,
}

/// The log of a server that starts.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordedLog {
    /// Index and term of the entry before the first one.
    pub before: (Index, Term),
    /// The entries.
    pub entries: Vec<Entry>,
}

/// The report on a snapshot that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SnapshotReport {
    /// To whom.
    pub peer: ServerId,
    /// Whether it arrived.
    pub ok: bool,
}

/// The work that the application is handed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordedReady {
    /// Term, vote (zero for none) and commit index, if they changed.
    #[serde(default)]
    pub hard_state: Option<(Term, u64, Index)>,
    /// The index of a snapshot.
    #[serde(default)]
    pub snapshot: Option<Index>,
    /// The first and the last entry that is to be written.
    #[serde(default)]
    pub entries: Option<(Index, Index)>,
    /// The first and the last entry that is to be applied.
    #[serde(default)]
    pub committed: Option<(Index, Index)>,
    /// Reads: the digest of the context, and the index; none for one that was given up.
    #[serde(default)]
    pub reads: Vec<(u64, Option<Index>)>,
    /// Whether the write must be synced.
    pub must_sync: bool,
}

/// The acknowledgement of the append thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppendDone {
    /// The term in which the write was asked for.
    pub term: Term,
    /// Index and term of the last entry, zeros if none is acknowledged.
    pub last: (Index, Term),
    /// The index of a snapshot, zero if there is none.
    pub snapshot: Index,
}

/// The send that a delivery consumes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordedCause {
    /// The server that sent.
    pub server: ServerId,
    /// The number of its line.
    pub line: u64,
    /// The place in `sent` of that line, from zero.
    pub message: u64,
}

/// The error that a caller is told.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Told {
    /// The kind of error.
    pub error: ToldError,
    /// The error in words.
    pub why: String,
}

/// The kind of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(
    missing_docs,
    reason = "they are the variants of `lockstep_raft::Error`"
)]
pub enum ToldError {
    Config,
    ProposalDropped,
    Refused,
    Call,
    MessageRefused,
    Storage,
    Other,
}

/// The state of a server that lines show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordedView {
    /// Its role.
    pub role: Role,
    /// Its term.
    pub term: Term,
    /// Its vote in that term.
    pub vote: Option<ServerId>,
    /// The leader that it knows.
    pub leader: Option<ServerId>,
    /// Its commit index.
    pub commit: Index,
    /// The index up to which its application has applied.
    pub applied: Index,
    /// The first index that its log still has.
    pub first: Index,
    /// Index and term of its last entry.
    pub last: (Index, Term),
    /// Whether it is a follower in the lease of its leader.
    pub lease: bool,
    /// To whom a leader is transferring leadership.
    pub transferee: Option<ServerId>,
}

/// Why a line cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {}{why}", if field.is_empty() { String::new() } else { format!("{field}: ") })]
pub struct RecordingError {
    /// The line of the file, from one.
    pub line: usize,
    /// The field, if it is about one.
    pub field: String,
    /// The complaint.
    pub why: String,
}

/// Whether these bytes begin like a recording.
pub fn is_recording(bytes: &[u8]) -> bool {
    let text = bytes.trim_ascii_start();
    text.starts_with(b"{\"lockstep_record\"")
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    lockstep_record: u32,
    server: ServerId,
    #[serde(rename = "file")]
    _file: u64,
    after: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    server: ServerId,
    line: u64,
    input: RecordedInput,
    #[serde(default)]
    cause: Option<RecordedCause>,
    #[serde(default)]
    told: Option<Told>,
    #[serde(default)]
    sent: Vec<Message>,
    #[serde(default)]
    view: RawView,
    #[serde(default)]
    configuration: Option<Configuration>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawView {
    role: Option<Role>,
    term: Option<Term>,
    vote: Option<u64>,
    leader: Option<u64>,
    commit: Option<Index>,
    applied: Option<Index>,
    first: Option<Index>,
    last: Option<(Index, Term)>,
    lease: Option<bool>,
    transferee: Option<u64>,
}

/// The reader of a recording: line after line, of one server or of several.
#[derive(Clone, Debug, Default)]
pub struct RecordingReader {
    number: usize,
    servers: BTreeMap<ServerId, Place>,
}

/// The state on the last line of a server in this file.
#[derive(Clone, Debug)]
struct Place {
    line: u64,
    view: Option<RecordedView>,
}

impl RecordingReader {
    /// Reads the next line, without its end. `None` is a header or an empty line.
    ///
    /// # Errors
    ///
    /// The line is none of a recording, or is not the one that comes next.
    pub fn read(&mut self, line: &[u8]) -> Result<Option<Recorded>, RecordingError> {
        self.number += 1;
        if line.iter().all(u8::is_ascii_whitespace) {
            return Ok(None);
        }
        if line.len() > MAX_RECORDED_LINE {
            return Err(self.wrong("", format!("it is longer than {MAX_RECORDED_LINE} bytes")));
        }
        if is_recording(line) {
            let header: Header = self.parse(line)?;
            if header.lockstep_record != RECORDING_VERSION {
                let version = header.lockstep_record;
                let why = format!("version {version} is not known, only {RECORDING_VERSION}");
                return Err(self.wrong("lockstep_record", why));
            }
            let place = Place {
                line: header.after,
                view: None,
            };
            self.servers.insert(header.server, place);
            return Ok(None);
        }
        let raw: Raw = self.parse(line)?;
        let Some(place) = self.servers.get(&raw.server) else {
            let why = format!("no header names server {}", raw.server);
            return Err(self.wrong("server", why));
        };
        if raw.line != place.line + 1 {
            let why = format!("it is {}, after line {}", raw.line, place.line);
            return Err(self.wrong("line", why));
        }
        let view = self.whole(&raw.view, place.view.as_ref())?;
        let place = Place {
            line: raw.line,
            view: Some(view),
        };
        self.servers.insert(raw.server, place);
        Ok(Some(Recorded {
            number: self.number,
            server: raw.server,
            line: raw.line,
            input: raw.input,
            cause: raw.cause,
            told: raw.told,
            sent: raw.sent,
            view,
            configuration: raw.configuration,
        }))
    }

    /// The fields that a line leaves out are those of the line before.
    fn whole(
        &self,
        raw: &RawView,
        before: Option<&RecordedView>,
    ) -> Result<RecordedView, RecordingError> {
        let missing = |field: &str| {
            let why = "it is missing on the first line of a server in this file".to_owned();
            self.wrong(&format!("view.{field}"), why)
        };
        macro_rules! field {
            ($name:ident) => {
                match (raw.$name, before) {
                    (Some(value), _) => value,
                    (None, Some(before)) => before.$name,
                    (None, None) => return Err(missing(stringify!($name))),
                }
            };
        }
        macro_rules! server {
            ($name:ident) => {
                match (raw.$name, before) {
                    (Some(value), _) => ServerId::new(value),
                    (None, Some(before)) => before.$name,
                    (None, None) => return Err(missing(stringify!($name))),
                }
            };
        }
        Ok(RecordedView {
            role: field!(role),
            term: field!(term),
            vote: server!(vote),
            leader: server!(leader),
            commit: field!(commit),
            applied: field!(applied),
            first: field!(first),
            last: field!(last),
            lease: field!(lease),
            transferee: server!(transferee),
        })
    }

    fn parse<'a, T: Deserialize<'a>>(&self, line: &'a [u8]) -> Result<T, RecordingError> {
        if let Ok(value) = serde_json::from_slice(line) {
            return Ok(value);
        }
        // Once more, to name the field.
        let mut json = serde_json::Deserializer::from_slice(line);
        match serde_path_to_error::deserialize::<_, T>(&mut json) {
            Ok(_) => Err(self.wrong("", "something follows the object".to_owned())),
            Err(error) => {
                let path = error.path().to_string();
                let field = path.trim_end_matches(".?").trim_start_matches('.');
                Err(self.wrong(field, error.into_inner().to_string()))
            }
        }
    }

    fn wrong(&self, field: &str, why: String) -> RecordingError {
        RecordingError {
            line: self.number,
            field: field.to_owned(),
            why,
        }
    }
}

/// The lines of a file.
#[derive(Clone, Debug, Default)]
pub struct RecordingFile {
    /// The lines, in order.
    pub lines: Vec<Recorded>,
    /// The number of a last line that is not complete.
    pub torn: Option<usize>,
}

/// Reads a whole file. A last line that is not complete, as after `kill -9`, is no error.
///
/// # Errors
///
/// Another line cannot be read.
pub fn read_recording(bytes: &[u8]) -> Result<RecordingFile, RecordingError> {
    let mut reader = RecordingReader::default();
    let mut file = RecordingFile::default();
    let mut rest = bytes;
    while !rest.is_empty() {
        let Some(end) = rest.iter().position(|byte| *byte == b'\n') else {
            file.torn = Some(reader.number + 1);
            break;
        };
        file.lines.extend(reader.read(&rest[..end])?);
        rest = &rest[end + 1..];
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "{\"lockstep_record\":1,\"server\":1,\"file\":1,\"after\":0}\n";
    const FIRST: &str = "{\"server\":1,\"line\":1,\"input\":\"campaign\",\"view\":{\"role\":\"follower\",\"term\":1,\
        \"vote\":0,\"leader\":2,\"commit\":3,\"applied\":3,\"first\":1,\"last\":[4,1],\"lease\":false,\"transferee\":0}}\n";

    fn read(text: &str) -> Result<RecordingFile, RecordingError> {
        read_recording(text.as_bytes())
    }

    #[test]
    fn a_line_that_shows_a_part_has_the_rest_of_the_line_before() {
        let second =
            "{\"server\":1,\"line\":2,\"input\":\"advance\",\"view\":{\"leader\":0,\"term\":2}}\n";
        let file = read(&format!("{HEADER}{FIRST}{second}")).expect("it can be read");
        let [first, second] = &file.lines[..] else {
            panic!("{file:?}");
        };
        assert_eq!(first.view.leader, ServerId::new(2));
        let expected = RecordedView {
            term: Term(2),
            leader: None,
            ..first.view
        };
        assert_eq!((second.number, second.view), (3, expected));
    }

    #[test]
    fn a_torn_last_line_is_reported_and_no_other() {
        let text = format!("{HEADER}{FIRST}");
        for cut in HEADER.len() + 1..text.len() - 1 {
            let file = read(&text[..cut]).expect("it can be read");
            assert_eq!((file.lines.len(), file.torn), (0, Some(2)));
        }
        let file = read(&text).expect("it can be read");
        assert_eq!((file.lines.len(), file.torn), (1, None));
        let error = read(&text.replacen("\"line\":1,", "\"line\":", 1)).expect_err("torn within");
        assert_eq!(error.line, 2);
    }

    #[test]
    fn complaints_name_line_and_field() {
        let cases = [
            (
                FIRST.replace("\"term\":1", "\"term\":-1"),
                "line 2: view.term: ",
            ),
            (
                FIRST.replace("\"term\":1,", ""),
                "line 2: view.term: it is missing",
            ),
            (
                FIRST.replace("campaign", "dance"),
                "line 2: input: unknown variant",
            ),
            (
                FIRST.replace("\"line\":1", "\"line\":2"),
                "line 2: line: it is 2, after line 0",
            ),
            (
                FIRST.replace("\"server\":1", "\"server\":2"),
                "line 2: server: no header",
            ),
            (
                FIRST.replace("{\"role\"", "{\"rule\":1,\"role\""),
                "line 2: view.rule: unknown field",
            ),
            ("[]\n".to_owned(), "line 2: "),
        ];
        for (line, expected) in cases {
            let error = read(&format!("{HEADER}{line}")).expect_err(expected);
            assert!(error.to_string().starts_with(expected), "{error}");
        }
        let error = read(&HEADER.replace("record\":1", "record\":2")).expect_err("a version");
        assert!(error.to_string().contains("version 2"), "{error}");
    }
}

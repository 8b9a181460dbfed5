//! The limits on everything that a program behind the exec protocol may say. Each is far above what an
//! implementation of Raft has to say, and keeps one that has gone wrong from taking this process with it.

/// The longest line of a reply, in bytes; as long as a line of a trace may be.
pub const REPLY_BYTES: u64 = 16 << 20;

/// Replies that wait to be looked at. A program that goes on writing has to wait.
pub const REPLIES_WAITING: usize = 8;

/// The number of last lines on standard error that go into an error.
pub const STDERR_LINES: usize = 24;

/// The part of a line on standard error that is remembered, in bytes.
pub const STDERR_LINE_BYTES: u64 = 1_000;

/// The part of a malformed line that goes into an error, in bytes.
pub const EXCERPT_BYTES: usize = 80;

/// The longest name, version or reason, in characters.
pub const NAME_CHARS: usize = 200;

/// The part of a crash message that is kept, in characters.
pub const MESSAGE_CHARS: usize = 8_000;

/// The largest number of appends in flight to one peer.
pub const INFLIGHT: usize = 1 << 16;

/// The beginning of a text, at most `limit` characters; `…` stands for the rest.
pub fn shortened(text: String, limit: usize) -> String {
    match text.char_indices().nth(limit) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

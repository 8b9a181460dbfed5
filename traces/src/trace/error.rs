use super::FORMAT_VERSION;
use std::io;
use thiserror::Error;

/// An error in a trace, with its place.
#[derive(Debug, Error)]
#[error("{source_name}{}: {}{problem}", at_line(*.line), place(.field))]
pub struct TraceError {
    /// The file, or the name that the reader was given.
    pub source_name: String,
    /// The line, counted from one; zero when it is about the file.
    pub line: u64,
    /// The path of the field, such as `expect.view.log[0].term`; empty when it is about the line.
    pub field: String,
    /// The problem there.
    #[source]
    pub problem: Problem,
}

fn at_line(line: u64) -> String {
    if line == 0 {
        String::new()
    } else {
        format!(":{line}")
    }
}

fn place(field: &str) -> String {
    if field.is_empty() {
        String::new()
    } else {
        format!("`{}`: ", shortened(field.to_owned()))
    }
}

/// The longest text of a parser that is shown whole, in characters. A file may have names of any length.
const LONGEST_TEXT: usize = 1_000;

/// The text, without its middle if it is long: the beginning says what is wrong, and the end what could stand there.
fn shortened(text: String) -> String {
    let count = text.chars().count();
    if count <= LONGEST_TEXT {
        return text;
    }
    let half = LONGEST_TEXT / 2;
    let place = |chars: usize| {
        text.char_indices()
            .nth(chars)
            .map_or(text.len(), |(at, _)| at)
    };
    format!("{}…{}", &text[..place(half)], &text[place(count - half)..])
}

/// The problems that a trace can have.
#[derive(Debug, Error)]
pub enum Problem {
    /// The file cannot be opened or read.
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    /// A line that no event of a real cluster needs; read no further, to bound the memory.
    #[error("the line is longer than {limit} bytes")]
    LineTooLong {
        /// The limit, in bytes.
        limit: u64,
    },
    /// The line is not the JSON that belongs here.
    #[error("{}", json_text(.0))]
    Json(serde_json::Error),
    /// The file begins with the byte order mark of another encoding.
    #[error("the file is in UTF-16, as its byte order mark says; a trace is in UTF-8")]
    Utf16,
    /// The first line is not the header of a trace.
    #[error("not a Lockstep trace: the first line must have the field `lockstep_trace`")]
    NotATrace,
    /// The trace was written in a version of the format that this reader does not know.
    #[error(
        "format version {found} is not known; this reader knows versions 1 to {FORMAT_VERSION}"
    )]
    UnknownVersion {
        /// The version of the file.
        found: u64,
    },
    /// The file stops before its last line, the one that counts the steps.
    #[error("the file stops without an `end` line: it was truncated, or is still being written")]
    Truncated,
    /// The trace is complete, and empty.
    #[error("the trace has no steps, so there is nothing to check")]
    Empty,
    /// There is something after the last line.
    #[error("nothing may follow the `end` line")]
    AfterEnd,
    /// A field is there and readable, and says something that cannot be.
    #[error("{0}")]
    Invalid(String),
}

/// The text of an error in JSON that is one line of a file: without the number of the line, which is 1 for the parser, and
/// without its middle if it is long.
pub fn json_text(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    match text.strip_suffix(&place) {
        Some(text) => format!("{} (column {})", shortened(text.to_owned()), error.column()),
        None => shortened(text),
    }
}

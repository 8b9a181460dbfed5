use super::{
    FORMAT_VERSION, Header, Line, Problem, Step, Trace, TraceError, check_header, check_step,
};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

/// No line may be longer, in bytes. The longest lines of the corpus have a few kilobytes.
const LINE_LIMIT: u64 = 16 << 20;

/// Some editors put it before the first line of a file in UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Reads a trace step by step.
///
/// As an iterator it yields every step, then `None`; but only after it has seen the `end` line and found
/// its count right. A file that stops early, or goes on after its end, yields an error instead. After an
/// error there is nothing more.
pub struct TraceReader<R> {
    lines: Lines<R>,
    header: Header,
    steps: u64,
    done: bool,
}

struct Lines<R> {
    source: R,
    name: String,
    number: u64,
    bytes: u64,
    buffer: Vec<u8>,
}

impl TraceReader<BufReader<File>> {
    /// Opens a file and reads its header.
    ///
    /// # Errors
    /// The file cannot be read, or does not begin with a well-formed header.
    pub fn open(path: &Path) -> Result<Self, TraceError> {
        let name = path.display().to_string();
        match File::open(path) {
            Ok(file) => TraceReader::new(BufReader::new(file), name),
            Err(error) => Err(TraceError {
                source_name: name,
                line: 0,
                field: String::new(),
                problem: Problem::Io(error),
            }),
        }
    }
}

impl<R: BufRead + 'static> TraceReader<R> {
    /// The same, whatever the source is.
    pub fn boxed(self) -> TraceReader<Box<dyn BufRead>> {
        let Lines {
            source,
            name,
            number,
            bytes,
            buffer,
        } = self.lines;
        let source: Box<dyn BufRead> = Box::new(source);
        TraceReader {
            lines: Lines {
                source,
                name,
                number,
                bytes,
                buffer,
            },
            header: self.header,
            steps: self.steps,
            done: self.done,
        }
    }
}

impl<R: BufRead> TraceReader<R> {
    /// Reads the header; `name` stands for the source in errors.
    ///
    /// # Errors
    /// The source fails, or does not begin with a well-formed header of a known version.
    pub fn new(source: R, name: impl Into<String>) -> Result<Self, TraceError> {
        let mut lines = Lines {
            source,
            name: name.into(),
            number: 0,
            bytes: 0,
            buffer: Vec::new(),
        };
        if !lines.advance()? {
            return Err(lines.wrong("", Problem::NotATrace));
        }
        if lines.buffer.starts_with(BYTE_ORDER_MARK) {
            lines.buffer.drain(..BYTE_ORDER_MARK.len());
        }
        if [&b"\xff\xfe"[..], b"\xfe\xff"].contains(&&lines.buffer[..lines.buffer.len().min(2)]) {
            return Err(lines.wrong("", Problem::Utf16));
        }
        // Nothing that begins otherwise can be a header; without this the parser would name its own types.
        if lines.buffer.trim_ascii_start().first() != Some(&b'{') {
            return Err(lines.wrong("", Problem::NotATrace));
        }
        // The version comes first: the other fields may mean something else in another version.
        let version: VersionOnly = lines.parse()?;
        match version.lockstep_trace {
            None => return Err(lines.wrong("", Problem::NotATrace)),
            Some(1..=FORMAT_VERSION) => {}
            Some(found) => {
                return Err(lines.wrong("lockstep_trace", Problem::UnknownVersion { found }));
            }
        }
        let header: Header = lines.parse()?;
        check_header(&header).map_err(|place| lines.invalid(place))?;
        Ok(TraceReader {
            lines,
            header,
            steps: 0,
            done: false,
        })
    }

    /// The header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The number of the line that was read last, counted from one.
    pub fn line(&self) -> u64 {
        self.lines.number
    }

    /// Returns the length of all lines read so far, in bytes.
    pub fn bytes(&self) -> u64 {
        self.lines.bytes
    }

    /// The rest of the trace, in memory.
    ///
    /// # Errors
    /// The source fails, or the trace is incomplete or not well formed.
    pub fn into_trace(mut self) -> Result<Trace, TraceError> {
        let steps = self.by_ref().collect::<Result<_, _>>()?;
        Ok(Trace {
            header: self.header,
            steps,
        })
    }

    /// The next step; `None` after a correct end.
    fn read_step(&mut self) -> Result<Option<Step>, TraceError> {
        let lines = &mut self.lines;
        if !lines.advance()? {
            return Err(lines.wrong("", Problem::Truncated));
        }
        let line: Line = lines.parse()?;
        if let Some(end) = line.end {
            if line.step.is_some() || line.event.is_some() || line.expect.is_some() {
                let text = "an `end` line has no other field".to_owned();
                return Err(lines.wrong("end", Problem::Invalid(text)));
            }
            if end.steps != self.steps {
                let text = format!(
                    "announces {} steps, but {} come before it",
                    end.steps, self.steps
                );
                return Err(lines.wrong("end.steps", Problem::Invalid(text)));
            }
            if lines.advance()? {
                return Err(lines.wrong("", Problem::AfterEnd));
            }
            if self.steps == 0 {
                return Err(lines.wrong("end.steps", Problem::Empty));
            }
            return Ok(None);
        }
        let expected_number = self.steps + 1;
        match line.step {
            Some(number) if number == expected_number => {}
            Some(number) => {
                let text = format!("is {number}, but {expected_number} comes next");
                return Err(lines.wrong("step", Problem::Invalid(text)));
            }
            None => return Err(lines.wrong("step", Problem::Invalid("is missing".to_owned()))),
        }
        let Some(event) = line.event else {
            return Err(lines.wrong("event", Problem::Invalid("is missing".to_owned())));
        };
        let step = Step {
            event,
            expected: line.expect,
        };
        check_step(&self.header.config, &step).map_err(|place| lines.invalid(place))?;
        self.steps = expected_number;
        Ok(Some(step))
    }
}

impl<R: BufRead> Iterator for TraceReader<R> {
    type Item = Result<Step, TraceError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let item = self.read_step().transpose();
        self.done = !matches!(item, Some(Ok(_)));
        item
    }
}

/// The one field that every version has; the others are not looked at.
#[derive(Deserialize)]
struct VersionOnly {
    lockstep_trace: Option<u64>,
}

impl<R: BufRead> Lines<R> {
    /// Reads one line; false at the end of the source.
    fn advance(&mut self) -> Result<bool, TraceError> {
        self.buffer.clear();
        let read = (&mut self.source)
            .take(LINE_LIMIT + 1)
            .read_until(b'\n', &mut self.buffer);
        self.number += 1;
        self.bytes += self.buffer.len() as u64;
        match read {
            Err(error) => Err(self.wrong("", Problem::Io(error))),
            Ok(0) => Ok(false),
            Ok(read) if read as u64 > LINE_LIMIT => {
                Err(self.wrong("", Problem::LineTooLong { limit: LINE_LIMIT }))
            }
            Ok(_) => Ok(true),
        }
    }

    fn parse<T: DeserializeOwned>(&self) -> Result<T, TraceError> {
        let mut json = serde_json::Deserializer::from_slice(&self.buffer);
        let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
            let path = error.path().to_string();
            // "." is the whole line; "?" stands for a place that has no name yet.
            let field = if path == "." {
                ""
            } else {
                path.trim_end_matches(".?")
            };
            self.wrong(field, Problem::Json(error.into_inner()))
        })?;
        json.end()
            .map_err(|error| self.wrong("", Problem::Json(error)))?;
        Ok(value)
    }

    fn wrong(&self, field: &str, problem: Problem) -> TraceError {
        TraceError {
            source_name: self.name.clone(),
            line: self.number,
            field: field.to_owned(),
            problem,
        }
    }

    fn invalid(&self, (field, what): (String, String)) -> TraceError {
        self.wrong(&field, Problem::Invalid(what))
    }
}

impl From<TraceError> for io::Error {
    fn from(error: TraceError) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, error)
    }
}

//! Entry points of the fuzzer. Not part of the interface.

use crate::{Trace, TraceError};

/// Stands for the file in errors.
const SOURCE: &str = "input";

/// The longest error, in characters: it goes to a terminal and into reports.
const LONGEST_ERROR: usize = 2_200;

/// Reads any bytes as a trace. True if they are one.
///
/// # Panics
/// If the trace is another one after it was written and read again, if it is accepted without its last line, or if an
/// error does not say where it is.
pub fn read_trace(bytes: &[u8]) -> bool {
    match Trace::parse(bytes, SOURCE) {
        Ok(trace) => {
            check_round_trip(&trace, |trace| {
                let mut text = Vec::new();
                trace
                    .write(&mut text)
                    .expect("the writer takes what the reader took");
                text
            });
            check_torn(bytes);
            true
        }
        Err(error) => {
            check_error(&error, bytes);
            false
        }
    }
}

/// The trace is the same after it was written and read, and has one text.
fn check_round_trip(trace: &Trace, write: impl Fn(&Trace) -> Vec<u8>) {
    let text = write(trace);
    let again = Trace::parse(&text, SOURCE).expect("the reader takes what the writer wrote");
    assert_eq!(&again, trace, "another trace after it was written and read");
    assert_eq!(write(&again), text, "one trace has two texts");
}

/// A file that lost its last line is never taken for a shorter trace.
fn check_torn(bytes: &[u8]) {
    let lines = bytes.trim_ascii_end();
    let last = lines.iter().rposition(|byte| *byte == b'\n');
    let torn = &lines[..last.map_or(0, |at| at + 1)];
    assert!(
        Trace::parse(torn, SOURCE).is_err(),
        "accepted without its last line"
    );
}

fn check_error(error: &TraceError, bytes: &[u8]) {
    let lines = bytes.split(|byte| *byte == b'\n').count() as u64;
    assert!(
        (1..=lines + 1).contains(&error.line),
        "line {} of {lines}: {error}",
        error.line
    );
    let text = error.to_string();
    let said = text.strip_prefix(&format!("{SOURCE}:{}: ", error.line));
    assert!(
        said.is_some_and(|said| !said.is_empty()),
        "an error without its place: {text}"
    );
    let length = text.chars().count();
    assert!(length <= LONGEST_ERROR, "an error of {length} characters");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Problem;

    fn trace() -> Trace {
        let text = crate::corpus()[0].text;
        Trace::parse(text.as_bytes(), SOURCE).expect("a trace of the corpus")
    }

    #[test]
    #[should_panic(expected = "another trace after")]
    fn a_writer_that_loses_a_step_is_noticed() {
        check_round_trip(&trace(), |trace| {
            let mut short = trace.clone();
            short.steps.remove(0);
            let mut text = Vec::new();
            short.write(&mut text).unwrap();
            text
        });
    }

    #[test]
    #[should_panic(expected = "line 9 of 2")]
    fn an_error_at_a_line_that_is_not_there_is_noticed() {
        let error = TraceError {
            source_name: SOURCE.to_owned(),
            line: 9,
            field: String::new(),
            problem: Problem::Truncated,
        };
        check_error(&error, b"one\ntwo");
    }

    #[test]
    fn an_error_is_short_however_long_the_name_of_a_field_is() {
        let name = "x".repeat(100_000);
        let text = format!("{{\"lockstep_trace\":1,\"{name}\":1}}\n");
        assert!(!read_trace(text.as_bytes()));
        let text = format!(
            "{{\"lockstep_trace\":1,\"name\":\"n\",\"purpose\":\"p\",\"made\":{{\"generator\":\"g\",\"bounds\":{{\"{name}\":\"no\"}}}}}}\n"
        );
        assert!(!read_trace(text.as_bytes()));
    }
}

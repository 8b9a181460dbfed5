//! Entry points of the fuzzer. Not part of the interface.

use super::line::{self, LineError, Lines};
use super::{Options, validate};
use std::cell::Cell;

/// The most explanations of a line: enough to go on, and soon done.
const MOST_EXPLANATIONS: usize = 8;

/// The number of times that the validation may ask whether to stop.
const PATIENCE: u32 = 60;

/// Reads any bytes as a recorded run, and validates it. True if all lines could be read.
///
/// # Panics
/// If a line or an error is not where it says that it is, or the validation panics.
pub fn read_recorded(bytes: &[u8]) -> bool {
    let lines = line::read(bytes);
    check_places(&lines, bytes, line::read);
    let asked = Cell::new(0);
    let stop = || {
        asked.set(asked.get() + 1);
        asked.get() > PATIENCE
    };
    let options = Options {
        most_explanations: MOST_EXPLANATIONS,
        ..Options::default()
    };
    match validate(bytes, &options, &stop) {
        Ok(validation) => {
            assert!(validation.explained <= lines.lines.len());
            assert!(!validation.to_string().is_empty());
        }
        Err(error) => assert_eq!(Some(&error), lines.error.as_ref()),
    }
    lines.error.is_none() && !lines.torn && !lines.lines.is_empty()
}

/// Lines have ascending numbers, an error names a line after them, and what was read before the error is what stands
/// there.
fn check_places(lines: &Lines, bytes: &[u8], read: impl Fn(&[u8]) -> Lines) {
    let total = bytes.split(|byte| *byte == b'\n').count();
    let numbers: Vec<usize> = lines.lines.iter().map(|line| line.number).collect();
    assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
    let last = numbers.last().copied().unwrap_or(0);
    assert!(last <= total, "line {last} of {total}");
    let Some(error) = &lines.error else {
        return;
    };
    let (LineError::Malformed { line, why } | LineError::OutOfRange { line, why }) = error;
    assert!((last + 1..=total).contains(line), "{error} of {total}");
    assert!(!why.is_empty() && why.len() < 1_000, "{why}");
    let before = bytes.split_inclusive(|byte| *byte == b'\n').take(line - 1);
    let before = read(&before.flatten().copied().collect::<Vec<u8>>());
    assert_eq!(before.error, None, "an earlier line has an error");
    let again: Vec<usize> = before.lines.iter().map(|line| line.number).collect();
    assert_eq!(again, numbers, "lines before an error are left out");
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORDED: &str = include_str!("../../../traces/recorded/etcd-3.6-three-servers.ndjson");

    /// The beginning of a recorded run, with a line that is none.
    fn broken_after(lines: usize) -> Vec<u8> {
        let start = RECORDED.split_inclusive('\n').take(lines);
        let mut text: String = start.collect();
        text.push_str("{\"tag\":1}\n");
        text.into_bytes()
    }

    #[test]
    fn an_error_is_behind_the_lines_that_were_read() {
        assert!(!read_recorded(&broken_after(5)));
        let whole: String = RECORDED.split_inclusive('\n').take(5).collect();
        assert!(read_recorded(whole.as_bytes()));
    }

    /// The parser counts lines, too, and for it every line is the first.
    #[test]
    fn an_error_names_one_line() {
        let error = line::read(&broken_after(5)).error.expect("it is none");
        let text = error.to_string();
        assert!(text.starts_with("line 6: is no event"), "{text}");
        assert!(
            text.ends_with("(column 8)") && !text.contains("line 1"),
            "{text}"
        );
    }

    #[test]
    #[should_panic(expected = "lines before an error are left out")]
    fn a_reader_that_drops_lines_is_noticed() {
        let bytes = broken_after(5);
        let mut lines = line::read(&bytes);
        lines.lines.remove(2);
        check_places(&lines, &bytes, line::read);
    }

    #[test]
    #[should_panic(expected = "an earlier line has an error")]
    fn an_error_that_names_a_later_line_is_noticed() {
        let mut bytes = broken_after(5);
        bytes.extend_from_slice(b"{}\n{}\n");
        let mut lines = line::read(&bytes);
        if let Some(LineError::Malformed { line, .. }) = &mut lines.error {
            *line += 1;
        }
        check_places(&lines, &bytes, line::read);
    }
}

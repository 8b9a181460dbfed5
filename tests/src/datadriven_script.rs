//! The file format of datadriven scripts: commands, each followed by the exact output it must have.
//!
//! ```text
//! # A comment.
//! command arg key=value key=(value,value)
//! input line
//! ----
//! expected output, up to a blank line
//!
//! command
//! ----
//! ----
//! expected output that may hold
//!
//! blank lines
//! ----
//! ----
//! ```
//!
//! The `datadriven` crate keeps the arguments of a command in a hash map, so `process-ready 2 1 3`
//! would lose its order; it also allows fewer characters in a value. Hence this small reader, which
//! follows the format as documented by the Go package `github.com/cockroachdb/datadriven`.
//!
//! Not in here: what any command means.

use std::fmt;
use std::path::{Path, PathBuf};

use similar::TextDiff;

/// One argument of a command: `key`, `key=value` or `key=(value, value)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arg {
    /// The text before the `=`, or the whole argument.
    pub key: String,
    /// The values; empty if there is no `=`.
    pub values: Vec<String>,
}

/// One command with its input and the output that is expected of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// The line of the command, counted from 1.
    pub line: usize,
    /// The first word of the line.
    pub command: String,
    /// The arguments in the order in which they were written.
    pub args: Vec<Arg>,
    /// The lines between the command and the separator, without surrounding white space.
    pub input: String,
    /// The expected output; every line ends with a newline.
    pub expected: String,
    /// The line of the first expected line, counted from 1.
    pub expected_line: usize,
}

/// A script that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormatError {
    /// The offending line, counted from 1.
    pub line: usize,
    /// The problem with it.
    pub problem: String,
}

/// A script that did not pass. Its `Display` is the report for a person: where, and a diff.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The script.
    pub path: PathBuf,
    /// The first line that is not as it should be, counted from 1.
    pub line: usize,
    /// The report of what happened, over several lines.
    pub report: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path.display(), self.line, self.report)
    }
}

/// Runs every command of the script at `path` through `handle` and compares the outputs, character
/// by character. Returns the number of commands that were run.
///
/// An output that does not end with a newline gets one, since the format cannot express its absence.
///
/// # Errors
///
/// The first command whose output differs, or a file that cannot be read; a script without any
/// command is an error too, since it would check nothing.
pub fn run_script(path: &Path, mut handle: impl FnMut(&Case) -> String) -> Result<usize, Failure> {
    let failure = |line, report| Failure {
        path: path.to_owned(),
        line,
        report,
    };
    let text =
        std::fs::read_to_string(path).map_err(|e| failure(0, format!("cannot be read: {e}")))?;
    let cases = parse(&text).map_err(|e| failure(e.line, e.problem))?;
    if cases.is_empty() {
        return Err(failure(0, "holds no command".to_owned()));
    }
    for case in &cases {
        let mut actual = handle(case);
        if !actual.is_empty() && !actual.ends_with('\n') {
            actual.push('\n');
        }
        if actual != case.expected {
            let same = case
                .expected
                .lines()
                .zip(actual.lines())
                .take_while(|(a, b)| a == b);
            let line = case.expected_line + same.count();
            let diff = TextDiff::from_lines(case.expected.as_str(), actual.as_str());
            let diff = diff
                .unified_diff()
                .context_radius(5)
                .header("expected", "actual")
                .to_string();
            let report = format!(
                "`{}` of line {}: output differs\n{diff}",
                case.command, case.line
            );
            return Err(failure(line, report));
        }
    }
    Ok(cases.len())
}

/// Reads a whole script.
///
/// # Errors
///
/// The first line that is not of the format.
pub fn parse(text: &str) -> Result<Vec<Case>, FormatError> {
    let mut lines = Lines {
        lines: text.lines().collect(),
        next: 0,
    };
    let mut cases = Vec::new();
    let mut open_subtests: Vec<(usize, String)> = Vec::new();
    while let Some(first) = lines.take() {
        let line = lines.next;
        let mut directive = first.trim().to_owned();
        if directive.starts_with('#') {
            continue;
        }
        while directive.ends_with('\\') {
            let Some(more) = lines.take() else { break };
            directive.pop();
            directive = format!("{directive} {}", more.trim());
        }
        let Some((command, args)) =
            parse_directive(&directive).map_err(|problem| FormatError { line, problem })?
        else {
            continue;
        };
        if command == "subtest" {
            track_subtest(&mut open_subtests, line, &args)?;
            continue;
        }
        let (input, separated) = lines.take_input();
        let expected_line = lines.next + 1;
        let (expected, expected_line) = match (separated, lines.peek()) {
            (true, Some("----")) => {
                lines.next += 1;
                (lines.take_fenced()?, expected_line + 1)
            }
            (true, _) => (lines.take_paragraph(), expected_line),
            (false, _) => (String::new(), expected_line),
        };
        let input = input.trim().to_owned();
        cases.push(Case {
            line,
            command,
            args,
            input,
            expected,
            expected_line,
        });
    }
    match open_subtests.pop() {
        Some((line, name)) => Err(FormatError {
            line,
            problem: format!("subtest {name} has no end"),
        }),
        None => Ok(cases),
    }
}

struct Lines<'a> {
    lines: Vec<&'a str>,
    /// Position of the next line; also the number, from 1, of the line taken last.
    next: usize,
}

impl<'a> Lines<'a> {
    fn peek(&self) -> Option<&'a str> {
        self.lines.get(self.next).copied()
    }

    fn take(&mut self) -> Option<&'a str> {
        let line = self.peek()?;
        self.next += 1;
        Some(line)
    }

    /// Everything up to the separator, and whether there was one.
    fn take_input(&mut self) -> (String, bool) {
        let mut input = String::new();
        while let Some(line) = self.take() {
            if line == "----" {
                return (input, true);
            }
            push_line(&mut input, line);
        }
        (input, false)
    }

    /// Everything up to a blank line.
    fn take_paragraph(&mut self) -> String {
        let mut text = String::new();
        while let Some(line) = self.take() {
            if line.trim().is_empty() {
                break;
            }
            push_line(&mut text, line);
        }
        text
    }

    /// Everything up to two separators in a row, which a blank line or the end of the file follows.
    fn take_fenced(&mut self) -> Result<String, FormatError> {
        let start = self.next;
        let mut text = String::new();
        while let Some(line) = self.take() {
            if line == "----" && self.peek() == Some("----") {
                self.next += 1;
                return match self.take() {
                    None | Some("") => Ok(text),
                    Some(_) => Err(FormatError {
                        line: self.next,
                        problem: "a blank line must follow a doubled separator".to_owned(),
                    }),
                };
            }
            push_line(&mut text, line);
        }
        Err(FormatError {
            line: start,
            problem: "doubled separator is never closed".to_owned(),
        })
    }
}

fn push_line(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

/// Subtests only group commands, so all there is to check is that they nest.
fn track_subtest(
    open: &mut Vec<(usize, String)>,
    line: usize,
    args: &[Arg],
) -> Result<(), FormatError> {
    let wrong = |problem: String| Err(FormatError { line, problem });
    match args {
        [end] if end.key == "end" && open.pop().is_some() => Ok(()),
        [end, name] if end.key == "end" => match open.pop() {
            Some((_, expected)) if expected == name.key => Ok(()),
            Some((_, expected)) => wrong(format!("the open subtest is {expected}")),
            None => wrong("no subtest is open".to_owned()),
        },
        [name] if name.key != "end" => {
            open.push((line, name.key.clone()));
            Ok(())
        }
        _ => wrong("malformed subtest".to_owned()),
    }
}

/// Splits a command line; `None` if it is empty.
///
/// # Errors
///
/// An argument without a name or an unclosed parenthesis.
pub fn parse_directive(line: &str) -> Result<Option<(String, Vec<Arg>)>, String> {
    let line = line.trim();
    if line.is_empty() {
        return Ok(None);
    }
    let (command, mut rest) = split_at_any(line, &[' ']);
    let mut args = Vec::new();
    rest = rest.trim();
    while !rest.is_empty() {
        let (key, after) = split_at_any(rest, &[' ', '=']);
        if key.is_empty() {
            return Err(format!("argument without a name: {line}"));
        }
        let (values, after) = match after.strip_prefix('=') {
            None => (Vec::new(), after),
            Some(list) if list.starts_with('(') => {
                split_list(&list[1..]).ok_or_else(|| format!("unclosed parenthesis: {line}"))?
            }
            Some(value) => {
                let (value, after) = split_at_any(value, &[' ']);
                (vec![value.to_owned()], after)
            }
        };
        args.push(Arg {
            key: key.to_owned(),
            values,
        });
        rest = after.trim();
    }
    Ok(Some((command.to_owned(), args)))
}

fn split_at_any<'a>(text: &'a str, stops: &[char]) -> (&'a str, &'a str) {
    text.split_at(text.find(stops).unwrap_or(text.len()))
}

/// The comma-separated values before the closing parenthesis, which may themselves hold balanced
/// parentheses, and what follows it.
fn split_list(text: &str) -> Option<(Vec<String>, &str)> {
    let mut values = Vec::new();
    let mut depth = 0;
    let mut start = 0;
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' if depth > 0 => depth -= 1,
            ')' | ',' if depth == 0 => {
                values.push(text[start..at].trim_start_matches(' ').to_owned());
                start = at + 1;
                if c == ')' {
                    return Some((values, &text[start..]));
                }
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arg(key: &str, values: &[&str]) -> Arg {
        Arg {
            key: key.to_owned(),
            values: values.iter().map(|&v| v.to_owned()).collect(),
        }
    }

    fn args(line: &str) -> Vec<Arg> {
        parse_directive(line).unwrap().unwrap().1
    }

    #[test]
    fn arguments_keep_their_order_and_may_repeat() {
        assert_eq!(
            args("stabilize 3 1 2 1"),
            ["3", "1", "2", "1"].map(|k| arg(k, &[]))
        );
    }

    #[test]
    fn values_are_single_or_listed_or_empty() {
        assert_eq!(
            args("c a=1 b=(1,2, 3) d= e=(x(1,2),y) f=()"),
            [
                arg("a", &["1"]),
                arg("b", &["1", "2", "3"]),
                arg("d", &[""]),
                arg("e", &["x(1,2)", "y"]),
                arg("f", &[""]),
            ]
        );
    }

    #[test]
    fn malformed_directives_are_refused() {
        assert!(
            parse_directive("c a=(1,2")
                .unwrap_err()
                .contains("unclosed")
        );
        assert!(
            parse_directive("c =1")
                .unwrap_err()
                .contains("without a name")
        );
        assert_eq!(parse_directive("   ").unwrap(), None);
    }

    #[test]
    fn a_script_is_split_into_cases() {
        let text = "# head\n\nfirst 1 \\\n  a=2\nin\n----\nout\nmore\n\nsecond\n----\n----\nx\n\ny\n----\n----\n\nthird\n----\n";
        let cases = parse(text).unwrap();
        let brief: Vec<_> = cases
            .iter()
            .map(|c| {
                (
                    c.line,
                    c.command.as_str(),
                    c.input.as_str(),
                    c.expected.as_str(),
                    c.expected_line,
                )
            })
            .collect();
        assert_eq!(
            brief,
            [
                (3, "first", "in", "out\nmore\n", 7),
                (10, "second", "", "x\n\ny\n", 13),
                (19, "third", "", "", 21),
            ]
        );
        assert_eq!(cases[0].args, [arg("1", &[]), arg("a", &["2"])]);
    }

    #[test]
    fn a_fence_must_be_closed_and_followed_by_a_blank_line() {
        assert_eq!(parse("c\n----\n----\nx\n----\n").unwrap_err().line, 3);
        assert_eq!(
            parse("c\n----\n----\nx\n----\n----\ny\n").unwrap_err().line,
            7
        );
    }

    #[test]
    fn subtests_must_nest() {
        assert_eq!(
            parse("subtest a\n\nc\n----\n\nsubtest end\n")
                .unwrap()
                .len(),
            1
        );
        assert_eq!(parse("subtest a\n\nc\n----\n").unwrap_err().line, 1);
        assert!(parse("subtest end\n").is_err());
        assert!(parse("subtest a\nsubtest end b\n").is_err());
    }

    fn run(text: &str) -> Result<usize, Failure> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("script.txt");
        std::fs::write(&path, text).unwrap();
        run_script(&path, |case| {
            case.args.iter().map(|a| format!("{}\n", a.key)).collect()
        })
    }

    #[test]
    fn a_differing_line_is_found_and_shown() {
        assert_eq!(run("echo a b\n----\na\nb\n"), Ok(1));
        let failure = run("echo a b\n----\na\nc\n").unwrap_err();
        assert_eq!(failure.line, 4);
        assert!(failure.report.contains("-c\n+b\n"), "{failure}");
    }

    #[test]
    fn a_missing_or_surplus_line_fails() {
        assert_eq!(run("echo a b\n----\na\n").unwrap_err().line, 4);
        assert_eq!(run("echo a\n----\na\nb\n").unwrap_err().line, 4);
        assert_eq!(run("echo\n----\na\n").unwrap_err().line, 3);
    }

    #[test]
    fn an_empty_script_is_no_success() {
        assert!(
            run("# nothing\n")
                .unwrap_err()
                .report
                .contains("no command")
        );
    }
}

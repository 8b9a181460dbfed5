//! A divergence of the two sides: the way there, and everything that differs.

use crate::compare::Difference;
use crate::target::{Output, Reaction};
use crate::text::is_active;
use lockstep_traces::{NodeView, Outcome, Trace};
use serde::Serialize;
use std::borrow::Cow;
use std::ffi::OsStr;

/// The first point at which a target does not do what is expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Divergence {
    /// The events up to and including the one at which the sides part, each with what is expected: a
    /// complete trace, which `lockstep replay` accepts. The last step is where they part.
    pub trace: Trace,
    /// The differences there; never empty.
    pub differences: Vec<Difference>,
    /// The reaction of the target there; `None` if it broke down.
    pub actual: Option<Actual>,
}

/// The reaction of a target to an input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Actual {
    /// Everything that left it.
    #[serde(flatten)]
    pub output: Output,
    /// Its state afterwards.
    pub view: NodeView,
}

/// One of the two sides of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The specification, or the trace that was made from it.
    Expected,
    /// The implementation.
    Target,
    /// Both, for different reasons.
    Both,
}

impl Divergence {
    /// Returns the side that refused the event, if only one did or if they gave different reasons.
    pub fn refused_by(&self) -> Option<Side> {
        self.differences
            .iter()
            .find_map(|difference| match difference {
                Difference::WrongRefusal { expected, actual } => Some(match (expected, actual) {
                    (Outcome::Refused(_), Outcome::Refused(_)) => Side::Both,
                    (Outcome::Refused(_), Outcome::Accepted) => Side::Expected,
                    (Outcome::Accepted, _) => Side::Target,
                }),
                _ => None,
            })
    }

    /// The command that repeats it, once [`Divergence::trace`] is saved as `file`, for a shell. `target` is
    /// what the option `--target` takes, which is not the name that the target gives itself.
    pub fn replay_command(&self, file: impl AsRef<OsStr>, target: &str) -> String {
        replay_command(file, target)
    }
}

/// The command that replays a trace on a target, for a shell; `target` is what the option `--target` takes.
pub fn replay_command(file: impl AsRef<OsStr>, target: &str) -> String {
    let (file, target) = (shell_word(file.as_ref()), shell_word(target.as_ref()));
    format!("lockstep replay {file} --target {target}")
}

/// The text as one word of a POSIX shell: in single quotes, unless every character is plain. What a terminal
/// would not show, and bytes that are no text, are octal numbers.
pub fn shell_word(text: &OsStr) -> Cow<'_, str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:,=+@%".contains(c);
    match text.to_str() {
        Some(text) if !text.is_empty() && text.chars().all(plain) => return Cow::Borrowed(text),
        _ => {}
    }
    let mut word = "'".to_owned();
    for chunk in text.as_encoded_bytes().utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\'' => word += r"'\''",
                // A shell takes line ends from the end of what it substitutes.
                '\n' => word.push(c),
                c if is_active(c) => octal(c.encode_utf8(&mut [0; 4]).as_bytes(), &mut word),
                c => word.push(c),
            }
        }
        octal(chunk.invalid(), &mut word);
    }
    word.push('\'');
    Cow::Owned(word)
}

/// Bytes within a word that is in single quotes.
fn octal(bytes: &[u8], word: &mut String) {
    if !bytes.is_empty() {
        let numbers = bytes.iter().map(|byte| format!("\\{byte:03o}"));
        word.extend(["'\"$(printf '".to_owned()].into_iter().chain(numbers));
        *word += "')\"'";
    }
}

impl Actual {
    pub(crate) fn new(reaction: Reaction, view: NodeView) -> Option<Actual> {
        match reaction {
            Reaction::Driven(output) => Some(Actual { output, view }),
            Reaction::NotDriven { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_back_the_word() {
        for plain in ["spec", "exec:./a.out", "traces/corpus/x-1.ndjson"] {
            assert_eq!(shell_word(plain.as_ref()), plain);
        }
        let quoted = shell_word("exec:python3 a.py".as_ref());
        assert_eq!(quoted, "'exec:python3 a.py'");
        let texts = [
            "",
            " ",
            "it's",
            "$HOME `x` \"y\" \\",
            "a;b&c|d>e*",
            "ä\nb",
            "\u{1b}[31m%s",
            "\u{202e}'",
        ];
        texts.iter().for_each(|text| read_back(text.as_ref()));
    }

    #[cfg(unix)]
    #[test]
    fn a_shell_reads_back_a_name_that_is_no_text() {
        use std::os::unix::ffi::OsStrExt;
        read_back(OsStr::from_bytes(b"caf\xe9 \xff\xfe'.ndjson"));
    }

    fn read_back(text: &OsStr) {
        let command = format!("printf %s {}", shell_word(text));
        assert!(
            !command.contains(|c| is_active(c) && c != '\n'),
            "{command}"
        );
        let output = std::process::Command::new("sh")
            .args(["-c", &command])
            .output()
            .expect("there is a shell");
        assert_eq!(output.stdout, text.as_encoded_bytes(), "{command}");
    }
}

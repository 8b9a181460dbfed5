//! Where the two sides part: the way there, and everything that differs.

use crate::compare::Difference;
use crate::target::{Output, Reaction};
use lockstep_traces::{NodeView, Outcome, Trace};
use serde::Serialize;
use std::borrow::Cow;

/// The first point at which a target does not do what is expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Divergence {
    /// The events up to and including the one at which the sides part, each with what is expected: a
    /// complete trace, which `lockstep replay` accepts. The last step is where they part.
    pub trace: Trace,
    /// What differs there; never empty.
    pub differences: Vec<Difference>,
    /// What the target did there; `None` if it broke down.
    pub actual: Option<Actual>,
}

/// What a target did with an input.
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
    /// Which side refused the event, if only one did or if they gave different reasons.
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
    pub fn replay_command(&self, file: &str, target: &str) -> String {
        replay_command(file, target)
    }
}

/// The command that replays a trace on a target, for a shell; `target` is what the option `--target` takes.
pub fn replay_command(file: &str, target: &str) -> String {
    let (file, target) = (shell_word(file), shell_word(target));
    format!("lockstep replay {file} --target {target}")
}

/// The text as one word of a POSIX shell: in single quotes, unless every character is plain.
fn shell_word(text: &str) -> Cow<'_, str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:,=+@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(format!("'{}'", text.replace('\'', r"'\''")))
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
    use super::shell_word;

    #[test]
    fn a_shell_reads_back_the_word() {
        for plain in ["spec", "exec:./a.out", "traces/corpus/x-1.ndjson"] {
            assert_eq!(shell_word(plain), plain);
        }
        assert_eq!(shell_word("exec:python3 a.py"), "'exec:python3 a.py'");
        for text in ["", " ", "it's", "$HOME `x` \"y\" \\", "a;b&c|d>e*", "ä\nb"] {
            let command = format!("printf %s {}", shell_word(text));
            let output = std::process::Command::new("sh")
                .args(["-c", &command])
                .output()
                .expect("there is a shell");
            assert_eq!(String::from_utf8_lossy(&output.stdout), text, "{command}");
        }
    }
}

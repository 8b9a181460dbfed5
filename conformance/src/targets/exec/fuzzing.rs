//! Entry points of the fuzzer. Not part of the interface.

use super::child::parse;
use super::limits::{MESSAGE_CHARS, NAME_CHARS};
use super::wire::{Reply, WireView};
use super::{Seen, read_result, read_views};
use crate::fuzzing::replay_on;
use crate::target::{Description, Observation, Reaction, Target, TargetError, TargetServer};
use lockstep_traces::{Config, FieldSet, Input, NodeView, ServerId, Trace, corpus};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

/// The longest complaint about a line, in characters.
const LONGEST_COMPLAINT: usize = 400;

/// Reads any lines as the replies of a program with typed messages, and replays a trace of the corpus on a target that
/// reacts as they say. True if one of them is a reply.
///
/// # Panics
/// If a view is another one after it was printed and read again, if a text of the program is longer than its limit, or if
/// the comparison with the trace panics.
pub fn read_replies(bytes: &[u8]) -> bool {
    let mut program = Replies::default();
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        match parse::<Reply>(line) {
            Ok(reply) => program.take(reply),
            Err(why) => check_complaint(&why),
        }
    }
    let taken = program.taken;
    if !program.observations.is_empty() {
        let target = Scripted {
            shown: program.shown,
            observations: Rc::new(RefCell::new(program.observations)),
        };
        replay_on(&target, &trace());
    }
    taken
}

/// A complaint says something, and is not as long as the line.
pub(crate) fn check_complaint(why: &str) {
    assert!(!why.is_empty());
    assert!(why.chars().count() <= LONGEST_COMPLAINT, "{why}");
}

/// The replies so far.
struct Replies {
    taken: bool,
    shown: FieldSet,
    /// The last views.
    views: Vec<NodeView>,
    observations: VecDeque<Observation>,
}

impl Default for Replies {
    fn default() -> Replies {
        Replies {
            taken: false,
            shown: FieldSet::NONE,
            views: Vec::new(),
            observations: VecDeque::new(),
        }
    }
}

impl Replies {
    fn take(&mut self, reply: Reply) {
        self.taken = true;
        match reply {
            Reply::Description(says) => {
                let texts = [says.name, says.version];
                let mut texts = texts.into_iter().chain(says.derived.into_values());
                // One more for the mark that stands for the rest.
                assert!(texts.all(|it| it.chars().count() <= NAME_CHARS + 1));
                self.shown = says.fields;
            }
            Reply::Opened { views, .. } | Reply::Closed { views, .. } => {
                let expected = views.len();
                if let Ok(views) = read_views(views, &self.views, expected, self.shown) {
                    views.iter().for_each(check_round_trip);
                    self.views = views;
                }
            }
            Reply::Applied { results, .. } => {
                let start = NodeView::default();
                let mut before = self.views.first().cloned().unwrap_or(start);
                for result in results {
                    if let Ok(Seen::Observed(seen)) = read_result(result, &before, self.shown) {
                        check_round_trip(&seen.view);
                        before.clone_from(&seen.view);
                        self.observations.push_back(*seen);
                    }
                }
            }
            Reply::Error(message) => assert!(message.chars().count() <= MESSAGE_CHARS + 1),
        }
    }
}

/// A view is the same after it was printed and read.
fn check_round_trip(view: &NodeView) {
    let text = serde_json::to_string(view).expect("views have a JSON form");
    let again: WireView = serde_json::from_str(&text).expect("a program may print a view");
    let again = again
        .into_view(FieldSet::ALL)
        .expect("every field is there");
    assert_eq!(&again, view, "another view after it was printed and read");
}

/// A trace that the replies are compared with.
fn trace() -> Trace {
    let first = corpus()[0];
    first.read().expect("a trace of the corpus")
}

/// A target that reacts as it was told, whatever the inputs are.
struct Scripted {
    shown: FieldSet,
    observations: Rc<RefCell<VecDeque<Observation>>>,
}

impl Target for Scripted {
    type Server = ScriptedServer;

    fn description(&self) -> Description {
        Description::new("scripted", "1", self.shown.iter())
    }

    fn start(&self, _: &Config, _: ServerId) -> Result<ScriptedServer, TargetError> {
        Ok(ScriptedServer {
            observations: Rc::clone(&self.observations),
            view: NodeView::default(),
        })
    }
}

struct ScriptedServer {
    observations: Rc<RefCell<VecDeque<Observation>>>,
    view: NodeView,
}

impl TargetServer for ScriptedServer {
    fn apply(&mut self, _: &Input) -> Result<Reaction, TargetError> {
        match self.observations.borrow_mut().pop_front() {
            Some(Observation { reaction, view }) => {
                self.view = view;
                Ok(reaction)
            }
            None => Err(TargetError::Failed("it was told no more".to_owned())),
        }
    }

    fn view(&mut self) -> Result<NodeView, TargetError> {
        Ok(self.view.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_told_from_noise() {
        assert!(read_replies(br#"{"op":"error","message":"no"}"#));
        assert!(!read_replies(b"Segmentation fault\n\xff\xfe\n"));
    }

    #[test]
    #[should_panic(expected = "not as long")]
    fn a_complaint_that_repeats_the_line_is_noticed() {
        let why = "not as long".repeat(100);
        check_complaint(&why);
    }
}

//! The comparison of two sides: the whole view of the server that moved, the outcome told to its caller, and the exact
//! multiset of the messages it sent.
//!
//! Nothing here knows a rule of Raft, nor which of the two sides is right.

use lockstep_traces::{
    Config, Configuration, Emitted, Expected, Field, FieldSet, Fields, Handed, Index, NodeView,
    Outcome, Output, Pairs, Part, ServerId, Value as FieldValue,
};
use serde::Serialize;
use serde_json::Value;
use std::borrow::Cow;
use std::mem::discriminant;

/// One thing in which the two sides differ. Which kind it is, is the first thing to look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Difference {
    /// A field of the state is not what it must be.
    WrongState {
        /// The field.
        field: Field,
        /// For what a leader knows of a peer: that peer.
        #[serde(skip_serializing_if = "Option::is_none")]
        peer: Option<ServerId>,
        /// The value that it must have; null for a peer that must not be there.
        expected: Value,
        /// The value that it has; null for a peer that is not there.
        actual: Value,
    },
    /// One side refuses the input, or gives another reason.
    WrongRefusal {
        /// The outcome that the caller must be told.
        expected: Outcome,
        /// The outcome that it was told.
        actual: Outcome,
    },
    /// A message was sent that differs from the one that must be sent to the same server.
    WrongMessage {
        /// The message that must be sent.
        expected: Emitted,
        /// The message that was sent in its place.
        actual: Emitted,
    },
    /// A message was not sent.
    MissingMessage {
        /// The message that must be sent.
        expected: Emitted,
    },
    /// A message was sent that must not be.
    ExtraMessage {
        /// The message that was sent.
        actual: Emitted,
    },
    /// Something else that left the server is not what it must be.
    WrongOutput {
        /// The field.
        field: Field,
        /// The value that it must have.
        expected: Value,
        /// The value that it has.
        actual: Value,
    },
    /// A server changed that was given nothing: the input was another's, or could not be driven.
    Bystander {
        /// The server that changed.
        server: ServerId,
        /// The first field that differs.
        field: Field,
        /// The value before.
        expected: Value,
        /// The value now.
        actual: Value,
    },
    /// A server does not start as a server starts: empty log, term zero, nobody known.
    WrongStart {
        /// The server.
        server: ServerId,
        /// The first field that differs.
        field: Field,
        /// The value that it must have.
        expected: Value,
        /// The value that it has.
        actual: Value,
    },
    /// The target broke down.
    Failed {
        /// Its error message, or its panic.
        error: String,
    },
}

/// Everything that must be seen after an input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted<'a> {
    /// The output that must have left the server.
    pub output: Cow<'a, Output>,
    /// Its state.
    pub view: &'a NodeView,
}

impl<'a> Wanted<'a> {
    /// Returns the expectation of a trace, or of the specification, at a server that had applied up to `applied` before
    /// the input. By the definition of the applied index, the application is handed the log from there to the new
    /// applied index, each entry once and in order; no trace needs to repeat it.
    pub fn new(expected: &'a Expected, applied: Index) -> Wanted<'a> {
        let Expected {
            outcome,
            view,
            sent,
            read_states,
        } = expected;
        let output = Output {
            outcome: *outcome,
            sent: sent.clone(),
            read_states: read_states.clone(),
            handed: handed(view, applied),
        };
        Wanted {
            output: Cow::Owned(output),
            view,
        }
    }
}

/// The entries that a server with this view has handed to its application since it had applied up to
/// `applied`.
pub(crate) fn handed(view: &NodeView, applied: Index) -> Vec<Handed> {
    // What a snapshot stands for is not handed out.
    let before = view.snapshot.as_ref().map_or(0, |it| it.index.0);
    let log = (before + 1..).map(Index).zip(&view.log);
    log.filter(|(index, _)| applied < *index && *index <= view.applied)
        .map(|(index, entry)| Handed {
            index,
            entry: entry.clone(),
        })
        .collect()
}

/// Everything in which the target differs from what is expected, in the fields of `shown` only: first
/// the refusal, then the state in the order of [`Field::ALL`], then the messages, then what else left the
/// server. Empty if they agree.
pub fn compare(
    wanted: &Wanted<'_>,
    output: &Output,
    view: &NodeView,
    shown: FieldSet,
) -> Vec<Difference> {
    let mut left = Comparison::new(shown);
    Output::pair(Some(&wanted.output), Some(output), None, &mut left);
    let state = compare_views(wanted.view, view, shown);
    let refusal = left.refusal.into_iter();
    refusal.chain(state).chain(left.differences).collect()
}

/// The fields of `shown` in which two views of one server differ.
pub fn compare_views(expected: &NodeView, actual: &NodeView, shown: FieldSet) -> Vec<Difference> {
    if expected == actual {
        return Vec::new();
    }
    let mut comparison = Comparison::new(shown);
    NodeView::pair(Some(expected), Some(actual), None, &mut comparison);
    comparison.differences
}

/// The first field of `shown` in which a server that was given no input differs from what it was.
pub fn compare_bystander(
    server: ServerId,
    before: &NodeView,
    now: &NodeView,
    shown: FieldSet,
) -> Option<Difference> {
    let (field, expected, actual) = first_field(before, now, shown)?;
    Some(Difference::Bystander {
        server,
        field,
        expected,
        actual,
    })
}

/// The first field of `shown` in which a server that has just started is not as it must be.
pub fn compare_start(
    config: &Config,
    server: ServerId,
    view: &NodeView,
    shown: FieldSet,
) -> Option<Difference> {
    let (field, expected, actual) = first_field(&start_view(config), view, shown)?;
    Some(Difference::WrongStart {
        server,
        field,
        expected,
        actual,
    })
}

/// A server that has just started: a follower of nobody in term zero with an empty log, and with the configuration
/// that its cluster begins with, if that may change.
pub fn start_view(config: &Config) -> NodeView {
    NodeView {
        configuration: Configuration {
            voters: config.voters.iter().collect(),
            learners: config.learners.iter().collect(),
            ..Configuration::default()
        },
        ..NodeView::default()
    }
}

fn first_field(
    expected: &NodeView,
    actual: &NodeView,
    shown: FieldSet,
) -> Option<(Field, Value, Value)> {
    compare_views(expected, actual, shown)
        .into_iter()
        .find_map(|difference| match difference {
            Difference::WrongState {
                field,
                expected,
                actual,
                ..
            } => Some((field, expected, actual)),
            _ => None,
        })
}

/// The differences found so far; the left side is what is expected.
struct Comparison {
    shown: FieldSet,
    refusal: Option<Difference>,
    differences: Vec<Difference>,
}

impl Comparison {
    fn new(shown: FieldSet) -> Comparison {
        Comparison {
            shown,
            refusal: None,
            differences: Vec::new(),
        }
    }
}

impl Pairs for Comparison {
    // Most fields are equal, and text is made only of those that are not.
    #[inline]
    fn whole<T: FieldValue>(
        &mut self,
        [field]: [Field; 1],
        peer: Option<ServerId>,
        expected: Option<&T>,
        actual: Option<&T>,
    ) {
        if expected == actual || !self.shown.contains(field) {
            return;
        }
        let (expected, actual) = (json(&expected), json(&actual));
        // Nothing at a peer that only one side knows: other fields of it say that.
        if expected == actual {
            return;
        }
        self.differences.push(match field.part() {
            Part::State | Part::Peer => Difference::WrongState {
                field,
                peer,
                expected,
                actual,
            },
            Part::Output => Difference::WrongOutput {
                field,
                expected,
                actual,
            },
        });
    }

    fn outcome(
        &mut self,
        [field]: [Field; 1],
        _: Option<ServerId>,
        expected: Option<&Outcome>,
        actual: Option<&Outcome>,
    ) {
        if let (Some(expected), Some(actual)) = (expected, actual)
            && expected != actual
            && self.shown.contains(field)
        {
            self.refusal = Some(Difference::WrongRefusal {
                expected: *expected,
                actual: *actual,
            });
        }
    }

    fn messages(
        &mut self,
        [messages, marks]: [Field; 2],
        _: Option<ServerId>,
        expected: Option<&Vec<Emitted>>,
        actual: Option<&Vec<Emitted>>,
    ) {
        if let (Some(expected), Some(actual)) = (expected, actual)
            && self.shown.contains(messages)
        {
            let marks = self.shown.contains(marks);
            compare_messages(expected, actual, marks, &mut self.differences);
        }
    }
}

/// Multisets: equal messages are taken out pair by pair; of what is left, a message to the same server
/// and of the same kind is held to be a wrong version of the expected one, then any message to the
/// same server; the rest is missing or extra.
fn compare_messages(
    expected: &[Emitted],
    actual: &[Emitted],
    marks: bool,
    differences: &mut Vec<Difference>,
) {
    let mut extra: Vec<&Emitted> = actual.iter().collect();
    let mut missing: Vec<&Emitted> = Vec::new();
    for wanted in expected {
        let same = |sent: &&Emitted| {
            sent.message == wanted.message && (!marks || sent.after_persist == wanted.after_persist)
        };
        match extra.iter().position(same) {
            Some(position) => {
                extra.remove(position);
            }
            None => missing.push(wanted),
        }
    }
    for same_kind in [true, false] {
        missing.retain(|wanted| {
            let alike = |sent: &&Emitted| {
                let (left, right) = (&sent.message, &wanted.message);
                let kind = discriminant(&left.body) == discriminant(&right.body);
                left.to == right.to && (kind || !same_kind)
            };
            let Some(position) = extra.iter().position(alike) else {
                return true;
            };
            let actual = extra.remove(position).clone();
            differences.push(Difference::WrongMessage {
                expected: (*wanted).clone(),
                actual,
            });
            false
        });
    }
    let missing = missing.into_iter().cloned();
    differences.extend(missing.map(|expected| Difference::MissingMessage { expected }));
    let extra = extra.into_iter().cloned();
    differences.extend(extra.map(|actual| Difference::ExtraMessage { actual }));
}

/// Plain data with string keys: there is nothing in it that JSON could refuse.
fn json<T: Serialize>(value: &T) -> Value {
    serde_json::to_value(value).unwrap_or_else(|error| Value::String(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockstep_traces::{Body, Message, Payload, PeerView, ProgressState, Role, Term};
    use std::collections::BTreeMap;

    fn id(number: u64) -> ServerId {
        ServerId::new(number).expect("not zero")
    }

    fn leader() -> NodeView {
        let peer = PeerView {
            matched: Index(1),
            next: Index(2),
            state: ProgressState::Replicate,
            paused: false,
            recent_active: true,
            commit_sent: Index(1),
            inflight: vec![Index(1)],
            pending_snapshot: None,
        };
        NodeView {
            role: Role::Leader,
            term: Term(1),
            vote: Some(id(1)),
            leader: Some(id(1)),
            peers: BTreeMap::from([(id(2), peer)]),
            ..NodeView::default()
        }
    }

    fn heartbeat(to: u64, commit: u64) -> Emitted {
        let body = Body::Heartbeat {
            round: 0,
            commit: Index(commit),
        };
        let message = Message {
            from: id(1),
            to: id(to),
            term: Term(1),
            body,
        };
        Emitted {
            message,
            after_persist: false,
        }
    }

    fn output(sent: Vec<Emitted>, handed: Vec<Handed>) -> Output {
        Output {
            read_states: Vec::new(),
            outcome: Outcome::Accepted,
            sent,
            handed,
        }
    }

    fn messages(expected: &[Emitted], actual: &[Emitted], shown: FieldSet) -> Vec<Difference> {
        let view = leader();
        let expected = Expected {
            read_states: Vec::new(),
            outcome: Outcome::Accepted,
            sent: expected.to_vec(),
            view: leader(),
        };
        let wanted = Wanted::new(&expected, Index(0));
        compare(&wanted, &output(actual.to_vec(), Vec::new()), &view, shown)
    }

    fn field_of(difference: &Difference) -> Option<Field> {
        match difference {
            Difference::WrongState { field, .. } => Some(*field),
            _ => None,
        }
    }

    /// Changes each field of the view, one at a time: exactly that field is reported, and nothing is
    /// when it is not shown.
    #[test]
    fn every_field_of_a_view_is_compared() {
        type Change = fn(&mut NodeView);
        fn peer(view: &mut NodeView) -> &mut PeerView {
            view.peers.get_mut(&id(2)).expect("there is one")
        }
        let changes: [(Field, Change); 18] = [
            (Field::Role, |view| view.role = Role::Follower),
            (Field::Term, |view| view.term = Term(2)),
            (Field::Vote, |view| view.vote = None),
            (Field::Leader, |view| view.leader = None),
            (Field::Log, |view| {
                view.log.push(lockstep_traces::Entry {
                    term: Term(1),
                    payload: Payload::Value(1),
                });
            }),
            (Field::Commit, |view| view.commit = Index(1)),
            (Field::Applied, |view| view.applied = Index(1)),
            (Field::Lease, |view| view.lease = true),
            (Field::Votes, |view| {
                view.votes.insert(id(2), true);
            }),
            (Field::Match, |view| peer(view).matched = Index(0)),
            (Field::Next, |view| peer(view).next = Index(9)),
            (Field::ProgressState, |view| {
                peer(view).state = ProgressState::Probe
            }),
            (Field::Paused, |view| peer(view).paused = true),
            (Field::RecentActive, |view| peer(view).recent_active = false),
            (Field::CommitSent, |view| peer(view).commit_sent = Index(0)),
            (Field::InflightCount, |view| {
                peer(view).inflight.push(Index(2))
            }),
            (Field::Inflight, |view| peer(view).inflight[0] = Index(7)),
            (Field::Durable, |view| view.durable.term = Term(9)),
        ];
        for (field, change) in changes {
            let mut changed = leader();
            change(&mut changed);
            let found = compare_views(&leader(), &changed, FieldSet::ALL);
            assert_eq!(found.first().and_then(field_of), Some(field), "{found:?}");
            // The contents of a queue differ whenever its length does.
            let hidden = FieldSet::ALL.without(field).without(Field::Inflight);
            assert_eq!(compare_views(&leader(), &changed, hidden), []);
        }
    }

    #[test]
    fn a_peer_too_many_and_a_peer_too_few_are_differences() {
        let mut lonely = leader();
        lonely.peers.clear();
        let only_match = FieldSet::NONE.with(Field::Match);
        let missing = Difference::WrongState {
            field: Field::Match,
            peer: Some(id(2)),
            expected: Value::from(1),
            actual: Value::Null,
        };
        assert_eq!(compare_views(&leader(), &lonely, only_match), [missing]);
        let extra = Difference::WrongState {
            field: Field::Match,
            peer: Some(id(2)),
            expected: Value::Null,
            actual: Value::from(1),
        };
        assert_eq!(compare_views(&lonely, &leader(), only_match), [extra]);
        assert_eq!(
            compare_views(&lonely, &leader(), FieldSet::NONE.with(Field::Role)),
            []
        );
    }

    #[test]
    fn order_of_messages_does_not_matter_but_their_number_does() {
        let (two, three) = (heartbeat(2, 0), heartbeat(3, 0));
        let all = FieldSet::ALL;
        let expected = [two.clone(), three.clone()];
        assert_eq!(messages(&expected, &[three.clone(), two.clone()], all), []);
        let twice = [two.clone(), two.clone(), three.clone()];
        let extra = Difference::ExtraMessage {
            actual: two.clone(),
        };
        assert_eq!(messages(&expected, &twice, all), [extra]);
        let missing = Difference::MissingMessage { expected: two };
        assert_eq!(messages(&twice, &expected, all), [missing]);
    }

    #[test]
    fn a_wrong_message_is_told_from_a_missing_and_an_extra_one() {
        let wrong = Difference::WrongMessage {
            expected: heartbeat(2, 0),
            actual: heartbeat(2, 1),
        };
        let (expected, actual) = ([heartbeat(2, 0)], [heartbeat(2, 1)]);
        assert_eq!(messages(&expected, &actual, FieldSet::ALL), [wrong]);
        assert_eq!(
            messages(&expected, &actual, FieldSet::ALL.without(Field::Messages)),
            []
        );
        let missing = Difference::MissingMessage {
            expected: heartbeat(2, 0),
        };
        let extra = Difference::ExtraMessage {
            actual: heartbeat(3, 0),
        };
        assert_eq!(
            messages(&expected, &[heartbeat(3, 0)], FieldSet::ALL),
            [missing, extra]
        );
    }

    #[test]
    fn the_mark_for_persistence_counts_where_it_is_shown() {
        let plain = heartbeat(2, 0);
        let marked = Emitted {
            after_persist: true,
            ..plain.clone()
        };
        let wrong = Difference::WrongMessage {
            expected: plain.clone(),
            actual: marked.clone(),
        };
        let (expected, actual) = ([plain], [marked]);
        assert_eq!(messages(&expected, &actual, FieldSet::ALL), [wrong]);
        let unmarked = FieldSet::ALL.without(Field::AfterPersist);
        assert_eq!(messages(&expected, &actual, unmarked), []);
    }

    #[test]
    fn a_wrong_refusal_is_a_difference_of_its_own() {
        use lockstep_traces::Refusal;
        let view = leader();
        let refused = Outcome::Refused(Refusal::ProposalDropped);
        let expected = Expected {
            read_states: Vec::new(),
            outcome: refused,
            sent: Vec::new(),
            view: leader(),
        };
        let wanted = Wanted::new(&expected, Index(0));
        let found = compare(&wanted, &output(vec![], vec![]), &view, FieldSet::ALL);
        let wrong = Difference::WrongRefusal {
            expected: refused,
            actual: Outcome::Accepted,
        };
        assert_eq!(found, [wrong]);
    }

    /// Every way to hand something else to the application than the log between the old and the new
    /// applied index.
    #[test]
    fn what_the_application_is_handed_is_compared() {
        let entry = |value| lockstep_traces::Entry {
            term: Term(1),
            payload: Payload::Value(value),
        };
        let given = |index, value| Handed {
            index: Index(index),
            entry: entry(value),
        };
        let mut view = leader();
        view.log = vec![entry(1), entry(2), entry(3), entry(4)];
        (view.commit, view.applied) = (Index(3), Index(3));
        let expected = Expected {
            read_states: Vec::new(),
            outcome: Outcome::Accepted,
            sent: Vec::new(),
            view: view.clone(),
        };
        let differs = |applied, handed: Vec<Handed>| {
            let wanted = Wanted::new(&expected, Index(applied));
            let found = compare(&wanted, &output(vec![], handed), &view, FieldSet::ALL);
            let wrong = |it: &Difference| {
                matches!(
                    it,
                    Difference::WrongOutput {
                        field: Field::Handed,
                        ..
                    }
                )
            };
            assert!(found.iter().all(wrong) && found.len() < 2, "{found:?}");
            !found.is_empty()
        };
        assert!(!differs(1, vec![given(2, 2), given(3, 3)]));
        assert!(!differs(3, vec![]), "after a restart nothing is due");
        assert!(differs(1, vec![]), "never");
        assert!(
            differs(1, vec![given(2, 2), given(2, 2), given(3, 3)]),
            "twice"
        );
        assert!(differs(1, vec![given(3, 3), given(2, 2)]), "other order");
        assert!(
            differs(1, vec![given(2, 3), given(3, 2)]),
            "other order, renumbered"
        );
        assert!(differs(1, vec![given(2, 2), given(3, 9)]), "other payload");
        assert!(differs(3, vec![given(3, 3)]), "again");
        assert!(differs(1, vec![given(2, 2)]), "too few");
        assert!(
            differs(1, vec![given(2, 2), given(3, 3), given(4, 4)]),
            "not committed"
        );
        let hidden = FieldSet::ALL.without(Field::Handed);
        let wanted = Wanted::new(&expected, Index(1));
        assert_eq!(compare(&wanted, &output(vec![], vec![]), &view, hidden), []);
    }

    #[test]
    fn a_bystander_that_moves_is_named() {
        let mut moved = leader();
        moved.commit = Index(1);
        let found = compare_bystander(id(3), &leader(), &moved, FieldSet::ALL);
        assert!(matches!(
            found,
            Some(Difference::Bystander { server, field: Field::Commit, .. }) if server == id(3)
        ));
        assert_eq!(
            compare_bystander(id(3), &leader(), &leader(), FieldSet::ALL),
            None
        );
    }
}

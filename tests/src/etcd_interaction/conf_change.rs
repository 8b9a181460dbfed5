//! Changes of membership as the scripts write and show them.

use lockstep_raft::observer::ProposedConfChange;
use lockstep_raft::{
    ConfChange, ConfChangeKind, ConfChangeSingle, ConfChangeV2, NodeId, Transition,
};

use super::describe::number;
use super::go_text::{list, parse_uint};

/// A change in the form in which it is to be proposed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum AnyConfChange {
    V1(ConfChange),
    V2(ConfChangeV2),
}

/// Builds the change that a `propose-conf-change` asks for.
///
/// # Errors
///
/// The sentence that the scripts expect.
pub(super) fn proposed(
    changes: Vec<ConfChangeSingle>,
    transition: Transition,
    v1: bool,
) -> Result<AnyConfChange, String> {
    if !v1 {
        let change = ConfChangeV2 {
            transition,
            changes,
            ..ConfChangeV2::default()
        };
        return Ok(AnyConfChange::V2(change));
    }
    match (changes.as_slice(), transition) {
        (&[ConfChangeSingle { kind, node }], Transition::Auto) => {
            Ok(AnyConfChange::V1(ConfChange {
                kind,
                node,
                ..ConfChange::default()
            }))
        }
        _ => Err("v1 conf change can only have one operation and no transition".to_owned()),
    }
}

/// Shows the change as Go shows the struct.
pub(super) fn go_struct(change: ProposedConfChange<'_>) -> String {
    match change {
        ProposedConfChange::V1(change) => format!(
            "{{{} {} {} {}}}",
            kind(change.kind),
            number(change.node),
            list(change.context.iter()),
            change.id
        ),
        ProposedConfChange::V2(change) => {
            let transition = transition(change.transition);
            let single = |c: &ConfChangeSingle| format!("{{{} {}}}", kind(c.kind), number(c.node));
            let changes = list(change.changes.iter().map(single));
            format!("{{{transition} {changes} {}}}", list(change.context.iter()))
        }
    }
}

/// Shows the change as v3.7.0 does, either version of it in the words of the second.
pub(super) fn proto_text(change: ProposedConfChange<'_>) -> String {
    let single = |what, node| format!(" changes:{{type:{} node_id:{}}}", kind(what), number(node));
    let (transition, changes, context) = match change {
        ProposedConfChange::V1(change) => (
            self::transition(Transition::Auto),
            single(change.kind, change.node),
            &change.context,
        ),
        ProposedConfChange::V2(change) => (
            self::transition(change.transition),
            change
                .changes
                .iter()
                .map(|c| single(c.kind, c.node))
                .collect(),
            &change.context,
        ),
    };
    let context = match context.is_empty() {
        true => String::new(),
        false => format!(" context:{:?}", String::from_utf8_lossy(context)),
    };
    format!("transition:{transition}{changes}{context}")
}

fn transition(transition: Transition) -> &'static str {
    match transition {
        Transition::Auto => "ConfChangeTransitionAuto",
        Transition::JointImplicit => "ConfChangeTransitionJointImplicit",
        Transition::JointExplicit => "ConfChangeTransitionJointExplicit",
    }
}

fn kind(kind: ConfChangeKind) -> &'static str {
    match kind {
        ConfChangeKind::AddNode => "ConfChangeAddNode",
        ConfChangeKind::RemoveNode => "ConfChangeRemoveNode",
        ConfChangeKind::UpdateNode => "ConfChangeUpdateNode",
        ConfChangeKind::AddLearner => "ConfChangeAddLearnerNode",
    }
}

/// Reads changes such as `v1 l2 r3 u4`: voter, learner, removed, updated.
///
/// # Errors
///
/// The sentence that the scripts expect about the first word that is no change.
pub fn parse_changes(text: &str) -> Result<Vec<ConfChangeSingle>, String> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(Vec::new());
    }
    text.split(' ').map(parse_change).collect()
}

fn parse_change(word: &str) -> Result<ConfChangeSingle, String> {
    if word.len() < 2 {
        return Err(format!("unknown token {word}"));
    }
    let kind = match word.as_bytes()[0] {
        b'v' => ConfChangeKind::AddNode,
        b'l' => ConfChangeKind::AddLearner,
        b'r' => ConfChangeKind::RemoveNode,
        b'u' => ConfChangeKind::UpdateNode,
        _ => return Err(format!("unknown input: {word}")),
    };
    Ok(ConfChangeSingle {
        kind,
        node: NodeId::new(parse_uint(&word[1..])?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_read_in_order() {
        let changes = parse_changes(" v1 l2 r3 u4\n").unwrap();
        let kinds: Vec<_> = changes.iter().map(|c| (c.kind, number(c.node))).collect();
        assert_eq!(
            kinds,
            [
                (ConfChangeKind::AddNode, 1),
                (ConfChangeKind::AddLearner, 2),
                (ConfChangeKind::RemoveNode, 3),
                (ConfChangeKind::UpdateNode, 4),
            ]
        );
        assert_eq!(parse_changes(""), Ok(Vec::new()));
    }

    #[test]
    fn a_word_that_is_no_change_is_named() {
        assert_eq!(parse_changes("v").unwrap_err(), "unknown token v");
        assert_eq!(parse_changes("v1 x2").unwrap_err(), "unknown input: x2");
        assert!(parse_changes("vx").unwrap_err().contains("invalid syntax"));
    }

    #[test]
    fn structs_are_shown_with_all_their_fields() {
        let changes = parse_changes("v3 r4").unwrap();
        let AnyConfChange::V2(v2) =
            proposed(changes.clone(), Transition::JointExplicit, false).unwrap()
        else {
            panic!("not the general form");
        };
        assert_eq!(
            go_struct(ProposedConfChange::V2(&v2)),
            "{ConfChangeTransitionJointExplicit [{ConfChangeAddNode 3} {ConfChangeRemoveNode 4}] []}"
        );
        let AnyConfChange::V1(v1) =
            proposed(changes[..1].to_vec(), Transition::Auto, true).unwrap()
        else {
            panic!("not the form for one server");
        };
        assert_eq!(
            go_struct(ProposedConfChange::V1(&v1)),
            "{ConfChangeAddNode 3 [] 0}"
        );
        assert!(proposed(changes, Transition::Auto, true).is_err());
    }
}

//! The drawing of a quorum that test scripts compare, in the layout of etcd's quorum scripts.

use std::fmt::Write as _;

use super::IdSet;
use crate::types::{Index, NodeId};

/// One line a voter: a bar that grows with the number of voters behind it, its index and its id;
/// `?` for a voter that nothing is known of.
pub(super) fn describe(voters: &IdSet, mut acked: impl FnMut(NodeId) -> Option<Index>) -> String {
    if voters.is_empty() {
        return "<empty majority quorum>".to_owned();
    }
    let width = voters.len();
    let rows: Vec<(NodeId, Option<Index>)> = voters.iter().map(|id| (id, acked(id))).collect();

    let mut text = format!("{}    idx\n", " ".repeat(width));
    for &(id, index) in &rows {
        let bar = match index {
            None => "?".to_owned(),
            Some(index) => format!("{}>", "x".repeat(bar_length(&rows, id, index))),
        };
        let index = index.unwrap_or_default().0;
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{bar:<0$} {index:>5}    (id={id})", width + 1);
    }
    text
}

/// The number of voters that are strictly behind; only the first voter (by id) of those at the same index shows it,
/// the others show no bar, as in etcd's scripts.
fn bar_length(rows: &[(NodeId, Option<Index>)], id: NodeId, index: Index) -> usize {
    let at = |row: &(NodeId, Option<Index>)| row.1.unwrap_or_default();
    let is_first = !rows.iter().any(|row| at(row) == index && row.0 < id);
    if is_first {
        rows.iter().filter(|row| at(row) < index).count()
    } else {
        0
    }
}

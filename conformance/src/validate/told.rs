//! The last lines of a run that the specification does not allow, with the states that explain them: for a picture.

use super::line::Line;
use super::world::{Assumed, World};
use super::{next_line, successors};
use lockstep_traces::NodeView;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The lines that are told; the end of a long run says why it ends.
const MOST: usize = 120;

/// A line, and the server that it is about as the specification has it after the input that the line belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The line.
    pub line: Arc<Line>,
    /// The server; none for the line that nothing explains.
    pub view: Option<Arc<NodeView>>,
}

/// One explanation, from its last line backwards.
type Chain = Option<Arc<Link>>;

struct Link {
    at: usize,
    view: Arc<NodeView>,
    before: Chain,
}

/// Tells of the last lines that are explained, and of the line that is not.
///
/// A server that has no line among them has the last one of its lines before them.
pub fn told(lines: &[Arc<Line>], explained: usize, it: &Assumed, limit: usize) -> Vec<Told> {
    let kept = kept(&lines[..explained]);
    let mut worlds = vec![World::new()];
    let mut chains: Vec<Chain> = vec![None];
    for (at, line) in lines[..explained].iter().enumerate() {
        let mut parents = vec![0];
        if !next_line(&mut worlds, line) {
            (parents, worlds) = successors(&worlds, line, it, limit).into_iter().unzip();
        }
        let longer = parents.iter().zip(&worlds).map(|(parent, world)| {
            let before = chains[*parent].clone();
            match world.view(line.server) {
                Some(view) if kept.contains(&at) => {
                    let view = Arc::new(view);
                    Some(Arc::new(Link { at, view, before }))
                }
                _ => before,
            }
        });
        chains = longer.collect();
    }
    let mut out = Vec::new();
    let mut chain = chains.into_iter().next().flatten();
    while let Some(link) = chain {
        out.push(Told {
            line: Arc::clone(&lines[link.at]),
            view: Some(Arc::clone(&link.view)),
        });
        chain = link.before.clone();
    }
    out.reverse();
    out.extend(lines.get(explained).map(|line| Told {
        line: Arc::clone(line),
        view: None,
    }));
    out
}

/// The places of the last lines, and of the last line of every server before them.
fn kept(lines: &[Arc<Line>]) -> BTreeSet<usize> {
    let first = lines.len().saturating_sub(MOST);
    let before = lines[..first].iter().enumerate();
    let last: BTreeMap<_, _> = before.map(|(at, line)| (line.server, at)).collect();
    last.into_values().chain(first..lines.len()).collect()
}

//! Walks from one node that together take every edge of a graph. Greedy: to take every edge with the
//! least steps is not worth its price here.

use crate::stop;
use std::collections::VecDeque;

/// The number of nodes looked at for the nearest edge that was not taken, before a new walk is begun.
const NEARBY: usize = 200;

/// A directed graph whose edges are numbered in the order in which they were added.
#[derive(Default)]
pub(super) struct Graph {
    /// By node: the edges that leave it, and where to.
    edges: Vec<Vec<(u32, u32)>>,
    count: u32,
    /// By node: how many of its edges have been taken; they are sorted so that those come first.
    taken: Vec<usize>,
}

impl Graph {
    /// A graph with that many nodes and no edge.
    pub fn new(nodes: usize) -> Graph {
        Graph {
            edges: vec![Vec::new(); nodes],
            count: 0,
            taken: vec![0; nodes],
        }
    }

    /// One node more.
    pub fn add_node(&mut self) -> u32 {
        self.edges.push(Vec::new());
        self.taken.push(0);
        (self.edges.len() - 1) as u32
    }

    /// One edge more.
    pub fn add(&mut self, from: u32, to: u32) {
        self.edges[from as usize].push((self.count, to));
        self.count += 1;
    }

    fn open(&self, node: u32) -> &[(u32, u32)] {
        &self.edges[node as usize][self.taken[node as usize]..]
    }

    /// Takes an open edge of a node: the loops first, then one to a node with open edges, then any.
    fn take(&mut self, node: u32) -> Option<(u32, u32)> {
        let open = self.open(node);
        let loops = open.iter().position(|(_, to)| *to == node);
        let choice = loops
            .or_else(|| open.iter().position(|(_, to)| !self.open(*to).is_empty()))
            .or(if open.is_empty() { None } else { Some(0) })?;
        let first = self.taken[node as usize];
        self.taken[node as usize] += 1;
        // Rotated, not swapped: the others keep their order.
        self.edges[node as usize][first..=first + choice].rotate_right(1);
        Some(self.edges[node as usize][first])
    }

    /// The shortest way, as edges, from a node to one with open edges; looks at [`NEARBY`] nodes only.
    fn nearest_open(&self, from: u32) -> Option<(Vec<u32>, u32)> {
        let mut came_by: rustc_hash::FxHashMap<u32, Option<(u32, u32)>> = Default::default();
        came_by.insert(from, None);
        let mut queue = VecDeque::from([from]);
        while let Some(node) = queue.pop_front() {
            if !self.open(node).is_empty() {
                return Some((way_back(&came_by, node), node));
            }
            for (edge, to) in &self.edges[node as usize] {
                if came_by.len() < NEARBY && !came_by.contains_key(to) {
                    came_by.insert(*to, Some((*edge, node)));
                    queue.push_back(*to);
                }
            }
        }
        None
    }
}

fn way_back(came_by: &rustc_hash::FxHashMap<u32, Option<(u32, u32)>>, mut node: u32) -> Vec<u32> {
    let mut way = Vec::new();
    while let Some(Some((edge, before))) = came_by.get(&node) {
        way.push(*edge);
        node = *before;
    }
    way.reverse();
    way
}

/// The shortest ways from one node to all others. They are looked for once: an edge that was taken stays
/// taken, so the nearest node with open edges only ever moves away, and a search for each walk would cost
/// the graph times the walks.
struct Ways {
    /// The nodes that can be reached, the nearest first.
    order: Vec<u32>,
    /// By node: the edge by which it was reached, and where that begins.
    came_by: Vec<Option<(u32, u32)>>,
    /// No node before this position of `order` has open edges.
    position: usize,
}

impl Ways {
    fn new(graph: &Graph, start: u32) -> Ways {
        let mut came_by = vec![None; graph.edges.len()];
        let mut order = vec![start];
        let mut next = 0;
        while let Some(node) = order.get(next).copied() {
            next += 1;
            for (edge, to) in &graph.edges[node as usize] {
                if *to != start && came_by[*to as usize].is_none() {
                    came_by[*to as usize] = Some((*edge, node));
                    order.push(*to);
                }
            }
        }
        Ways {
            order,
            came_by,
            position: 0,
        }
    }

    /// The way to the nearest node with open edges.
    fn nearest_open(&mut self, graph: &Graph) -> Option<(Vec<u32>, u32)> {
        let closed = |node: &&u32| graph.open(**node).is_empty();
        let ahead = &self.order[self.position..];
        self.position += ahead.iter().take_while(closed).count();
        let found = *self.order.get(self.position)?;
        let (mut way, mut node) = (Vec::new(), found);
        while let Some((edge, before)) = self.came_by[node as usize] {
            way.push(edge);
            node = before;
        }
        way.reverse();
        Some((way, found))
    }
}

/// Walks from `start`, as edges, that take every edge which can be reached from there at least once.
/// A request to stop leaves out the rest. Each goes on while an edge that was not taken is near, up to `longest` edges.
pub(super) fn walks(graph: &mut Graph, start: u32, longest: usize) -> Vec<Vec<u32>> {
    let mut ways = Ways::new(graph, start);
    let mut walks = Vec::new();
    while let Some((mut walk, mut node)) = ways.nearest_open(graph) {
        if stop::requested() {
            break;
        }
        while walk.len() < longest {
            if let Some((edge, to)) = graph.take(node) {
                walk.push(edge);
                node = to;
            } else if let Some((way, to)) = graph.nearest_open(node) {
                walk.extend(way);
                node = to;
            } else {
                break;
            }
        }
        walks.push(walk);
    }
    walks
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// In any graph, walks are connected, begin at the start, are not longer than allowed by much, and take every
        /// edge that can be reached.
        #[test]
        fn walks_take_every_edge(edges in prop::collection::vec((0u32..12, 0u32..12), 1..60)) {
            let mut graph = Graph::new(12);
            for (from, to) in &edges {
                graph.add(*from, *to);
            }
            let walks = walks(&mut graph, 0, 10);
            let mut taken = vec![false; edges.len()];
            for walk in &walks {
                let mut node = 0;
                for edge in walk {
                    let (from, to) = edges[*edge as usize];
                    prop_assert_eq!(from, node);
                    node = to;
                    taken[*edge as usize] = true;
                }
                prop_assert!(walk.len() <= 10 + 12);
            }
            let mut reached = [false; 12];
            reached[0] = true;
            for _ in 0..12 {
                for (from, to) in &edges {
                    reached[*to as usize] |= reached[*from as usize];
                }
            }
            for (edge, (from, _)) in edges.iter().enumerate() {
                prop_assert_eq!(taken[edge], reached[*from as usize]);
            }
        }
    }

    #[test]
    fn a_chain_with_loops_is_one_walk() {
        let mut graph = Graph::new(3);
        for (from, to) in [(0, 1), (0, 0), (1, 1), (1, 2), (2, 2)] {
            graph.add(from, to);
        }
        assert_eq!(walks(&mut graph, 0, 100), [[1, 0, 2, 3, 4]]);
    }
}

//! Threads that are ahead of others, and what they tell them meanwhile. The model is the one that has a
//! shortcut.

use crate::search::expand::{self, Emission, Expander, Expansion, Pool, Shortcuts};
use crate::search::fingerprints::{Fingerprints, SHARDS, Tag};
use crate::search::frontier::{Block, Frontier, Packed};
use crate::search::parallel::Threads;
use crate::search::selected::Selected;
use crate::search::tally::Tally;
use crate::search::traits::Checkable;
use crate::{Action, Cluster, ClusterState, Mutation, Preset, Settings};
use stateright::Model;
use std::collections::HashSet;
use std::sync::Mutex;

fn cluster(mutation: Mutation) -> Cluster {
    let preset = Preset::named("smoke").expect("there is such a preset");
    let settings = Settings::new(&preset.config).expect("presets are sensible");
    Cluster::new(settings.with_mutation(mutation), preset.bounds)
}

/// The first states, breadth first.
fn explore(cluster: &Cluster, count: usize) -> Vec<ClusterState> {
    let mut states = cluster.init_states();
    let mut known: HashSet<_> = states.iter().cloned().collect();
    let mut next = 0;
    while states.len() < count && next < states.len() {
        let mut actions = Vec::new();
        cluster.actions(&states[next], &mut actions);
        for action in actions {
            if let Some(after) = cluster.next_state(&states[next], action)
                && cluster.within_boundary(&after)
                && known.insert(after.clone())
            {
                states.push(after);
            }
        }
        next += 1;
    }
    states
}

fn expander(cluster: &Cluster) -> Expander<'_, Cluster> {
    let selected = Selected::new(cluster, None).expect("all properties are known");
    Expander {
        model: cluster,
        missing: (0..selected.witnesses().len()).collect(),
        selected,
        antecedents: cluster.antecedents(),
        coverage: true,
        canonical: None,
        orbit_size: None,
        empty: Tally::new(
            Action::KINDS.len(),
            cluster.antecedents().len(),
            cluster.pairs().len(),
        ),
    }
}

/// What is reported of a batch: where each witness comes first, the first violation, what was counted, and
/// how many new states each block has.
#[derive(Debug, PartialEq, Eq)]
struct Reported {
    witnesses: Vec<Option<(usize, u32, Option<u32>)>>,
    violation: Option<(usize, &'static str, u32, u32)>,
    tally: Tally,
    new: Vec<usize>,
}

/// Expands `states` as one batch; `order` are the numbers of its blocks by thread, and a thread has
/// done all of its blocks before the next one begins.
fn expand(cluster: &Cluster, states: &[ClusterState], order: &[Vec<usize>]) -> Reported {
    let expander = expander(cluster);
    let root = cluster.shortcut(false).expect("there is one");
    let mut shortcuts = Shortcuts::new(root, Action::KINDS.len());
    let mut frontier = Frontier::new();
    for state in states {
        let mut short = Vec::new();
        shortcuts.root.shorten(state, &mut short);
        let mut packed = Packed::default();
        packed.push(&short);
        frontier.push(&packed);
    }
    let blocks: Vec<Block> = frontier.take(usize::MAX).expect("they are in memory");
    assert_eq!(blocks.len(), order.iter().map(Vec::len).sum::<usize>());
    let pool: Pool<'_, Cluster> = Some(Mutex::new(shortcuts));
    let mut known = Fingerprints::new();
    let mut out: Vec<Expansion> = blocks
        .iter()
        .map(|_| Expansion::new(expander.empty.clone()))
        .collect();
    // All are at work at the same time: none gets what another one had.
    let mut threads: Vec<_> = order.iter().map(|_| expander.scratch(&pool)).collect();
    for (scratch, numbers) in threads.iter_mut().zip(order) {
        for number in numbers {
            let block = &blocks[*number];
            expander.expand(block, &known, scratch, &mut out[*number]);
        }
    }
    let mut more = [0; SHARDS];
    out.iter()
        .for_each(|expansion| expansion.count_by_shard(&mut more));
    known.reserve(&more, &Threads::alone());
    for (number, mut shard) in known.shards_mut().enumerate() {
        expand::insert(number, &mut shard, Tag::of(1), &out);
    }
    known.settle();
    // The last thread has those of the first now.
    let mut emission = Emission::default();
    for (scratch, numbers) in threads.iter_mut().rev().zip(order) {
        for number in numbers {
            let (block, out) = (&blocks[*number], &mut out[*number]);
            expander.emit(block, false, scratch, out, &mut emission);
        }
    }
    let mut reported = Reported {
        witnesses: vec![None; expander.witness_count()],
        violation: None,
        tally: expander.empty.clone(),
        new: out.iter().map(|out| out.reached.len()).collect(),
    };
    for (number, out) in out.iter().enumerate() {
        for (witness, found) in reported.witnesses.iter_mut().zip(&out.witnesses) {
            *witness = witness.or(found.map(|(state, action)| (number, state, action)));
        }
        let violation = out.violation.as_ref();
        let violation = violation.map(|it| (number, it.property, it.parent, it.action));
        reported.violation = reported.violation.or(violation);
        reported.tally.add(&out.tally);
    }
    reported
}

/// A thread that is ahead of another tells it nothing that keeps it from finding what comes first.
#[test]
fn reports_do_not_depend_on_who_is_ahead() {
    let mut violated = 0;
    let mut found = 0;
    for mutation in [Mutation::None].iter().chain(Mutation::ALL) {
        let cluster = cluster(*mutation);
        let states = explore(&cluster, 3000);
        let count = states.len().div_ceil(512);
        let alone = expand(&cluster, &states, &[(0..count).collect()]);
        let (odd, even) = (0..count).partition(|number| number % 2 == 1);
        let ahead = expand(&cluster, &states, &[odd, even]);
        let halves = [(count / 2..count).collect(), (0..count / 2).collect()];
        let far_ahead = expand(&cluster, &states, &halves);
        assert_eq!(ahead, alone, "{}", mutation.id());
        assert_eq!(far_ahead, alone, "{}", mutation.id());
        violated += usize::from(alone.violation.is_some());
        found += alone.witnesses.iter().flatten().count();
    }
    assert!(violated > 3, "{violated}");
    assert!(found > 100, "{found}");
}

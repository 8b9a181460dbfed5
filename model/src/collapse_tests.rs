//! Collapsed states of the cluster: what is remembered is what is executed.

use crate::properties::{state_properties, witnesses};
use crate::{Action, Bounds, Budget, Cluster, ClusterState, Settings};
use lockstep_engine::{
    Checkable, Collapse, Component, Lookup, Packed, Reached, Search, States, Steps, SuccessorKey,
};
use lockstep_traces::Config;
use stateright::Model;
use std::collections::{HashMap, HashSet, VecDeque};

/// A space with every kind of event.
fn every_event() -> Cluster {
    let config = Config {
        pre_vote: true,
        check_quorum: true,
        ..Config::PAPER
    };
    let once = Budget::Times(1);
    let bounds = Bounds {
        max_term: 2,
        max_in_flight: 3,
        timeouts: once,
        lease_expiries: once,
        heartbeats: once,
        quorum_checks: once,
        proposals: once,
        restarts: once,
        forgets: once,
        compactions: once,
        transfers: once,
        unreachable_reports: once,
        snapshot_reports: once,
        duplicates: once,
        drops: once,
        ..Bounds::UNLIMITED
    };
    Cluster::new(
        Settings::new(&config).expect("the settings are sensible"),
        bounds,
    )
}

/// The first states of a space, breadth first.
fn explore(cluster: &Cluster, count: usize) -> Vec<ClusterState> {
    let mut seen: HashSet<_> = cluster.init_states().into_iter().collect();
    let mut waiting: VecDeque<_> = seen.iter().cloned().collect();
    let mut states = Vec::new();
    while let Some(state) = waiting.pop_front()
        && states.len() < count
    {
        let mut actions = Vec::new();
        cluster.actions(&state, &mut actions);
        for action in actions {
            let after = cluster.next_state(&state, action);
            let after = after.expect("every action leads somewhere");
            if cluster.within_boundary(&after) && seen.insert(after.clone()) {
                waiting.push_back(after);
            }
        }
        states.push(state);
    }
    states
}

type Quick<'a> = Box<dyn Collapse<'a, Cluster> + 'a>;

fn generator(cluster: &Cluster, symmetric: bool) -> Quick<'_> {
    cluster.collapse(symmetric).expect("a cluster has one")
}

fn shorten(quick: &mut Quick<'_>, state: &ClusterState) -> (Vec<u8>, u64) {
    let mut short = Vec::new();
    let fingerprint = quick.collapse(state, &mut short);
    (short, fingerprint)
}

fn reached(parent: u32, fingerprint: u64, key: SuccessorKey) -> Reached {
    Reached {
        fingerprint,
        key,
        parent,
        action: 0,
        kind: 0,
    }
}

/// Every successor of every state, as executed and as remembered.
#[test]
fn what_is_remembered_is_what_is_executed() {
    let cluster = every_event();
    let mut quick = generator(&cluster, false);
    let (mut remembered, mut beyond, mut executed) = (0, 0, 0);
    let mut packed = Vec::new();
    for state in explore(&cluster, 20_000) {
        let (short, _) = shorten(&mut quick, &state);
        let block = States::of(&mut packed, &[&short]);
        quick.read(block);
        let mut steps = Steps::new(Action::KINDS.len());
        steps.class(None, Default::default());
        steps.begin(0);
        quick.list(0, &mut steps);
        let mut actions = Vec::new();
        cluster.actions(&state, &mut actions);
        assert_eq!(steps.listed(), actions.len());
        let mut lookups = vec![(None, Lookup::Beyond); actions.len()];
        for reached in steps.reached() {
            let lookup = Lookup::Within(reached.fingerprint, reached.key, 0);
            lookups[usize::from(reached.action)] = (Some(reached.kind), lookup);
        }
        for open in &steps.open {
            lookups[usize::from(open.action)] = (Some(open.kind), Lookup::Unknown);
        }
        for (action, (kind, lookup)) in actions.into_iter().zip(lookups) {
            let kind = kind.map(usize::from);
            assert!(kind.is_none_or(|kind| kind == action.number()));
            let after = cluster
                .next_state(&state, action)
                .expect("every action leads somewhere");
            let lookup = match lookup {
                Lookup::Unknown => {
                    executed += 1;
                    quick.learn(&action, &after, 0, true)
                }
                lookup => {
                    remembered += 1;
                    lookup
                }
            };
            if !cluster.within_boundary(&after) {
                assert_eq!(lookup, Lookup::Beyond, "{action:?} in {state:?}");
                beyond += 1;
                continue;
            }
            let Lookup::Within(fingerprint, key, 0) = lookup else {
                panic!("{lookup:?} of {action:?} in {state:?}");
            };
            let mut written = Packed::default();
            quick.write(block, &[reached(0, fingerprint, key)], &mut written);
            let written = written.states().iter().next().expect("one was written");
            assert_eq!(quick.restore(written), &after, "{action:?} in {state:?}");
            assert_eq!(shorten(&mut quick, &after).1, fingerprint);
        }
    }
    assert!(beyond > 1000, "{beyond} successors were beyond the bound");
    assert!(
        remembered > 20 * executed,
        "{executed} executed, {remembered} remembered"
    );
}

/// Equal states have equal short forms and fingerprints, different ones different ones, in every thread.
#[test]
fn a_state_is_its_fingerprint() {
    let cluster = every_event();
    let mut quick = generator(&cluster, false);
    let mut by_fingerprint = HashMap::new();
    let states = explore(&cluster, 20_000);
    for state in &states {
        let (short, fingerprint) = shorten(&mut quick, state);
        assert_eq!(quick.restore(&short), state);
        let other = by_fingerprint.insert(fingerprint, short);
        assert_eq!(other, None, "two states have fingerprint {fingerprint:x}");
    }
    // Another thread that met them in another order, and another process.
    let mut fork = quick.fork();
    let mut saved = Vec::new();
    quick.save(&mut saved);
    let mut loaded = generator(&cluster, false);
    loaded.load(&saved);
    for state in states.iter().rev() {
        let (short, fingerprint) = shorten(&mut quick, state);
        let mut forked = Vec::new();
        assert_eq!(fork.collapse(state, &mut forked), fingerprint);
        assert_eq!(forked, short);
        assert_eq!(shorten(&mut loaded, state), (short, fingerprint));
    }
    // In a process of its own a state may have another short form, but it has the same fingerprint.
    let mut fresh = generator(&cluster, false);
    for state in states.iter().rev().take(1000) {
        let fingerprint = shorten(&mut quick, state).1;
        assert_eq!(shorten(&mut fresh, state).1, fingerprint);
    }
}

/// Servers of one state, the history of another, the network of a third: most such states are wrong in
/// some way, so that properties have something to say.
fn mixtures(states: &[ClusterState]) -> Vec<ClusterState> {
    let pick = |number: usize| &states[number * 7919 % states.len()];
    let mixture = |number: usize| ClusterState {
        servers: (0..3)
            .map(|slot| pick(3 * number + slot).servers[slot].clone())
            .collect(),
        network: pick(5 * number + 1).network.clone(),
        history: pick(11 * number + 2).history.clone(),
        spent: pick(13 * number + 3).spent,
    };
    (0..20_000).map(mixture).collect()
}

/// Properties depend on what they say they read, and on nothing else.
#[test]
fn properties_read_what_they_say() {
    let cluster = every_event();
    let states = explore(&cluster, 20_000);
    let late = &states[states.len() / 2..];
    let mut violated: HashMap<&str, u32> = HashMap::new();
    for state in mixtures(late) {
        let bare = ClusterState {
            network: crate::network::Network::default(),
            spent: crate::Spent::default(),
            ..state.clone()
        };
        for property in state_properties() {
            let holds = property.holds(&cluster, &state);
            *violated.entry(property.name).or_default() += u32::from(!holds);
            let as_read = match property.is_of_network() {
                false => property.holds(&cluster, &bare),
                // What the engine knows of the terms of messages by four bytes each.
                true => state.network.iter().all(|message| {
                    let facts = message.facts(&cluster);
                    let server = state.servers.get(usize::from(facts.gauge));
                    server.is_none_or(|server| server.term >= facts.least_gauge)
                }),
            };
            assert_eq!(holds, as_read, "{} of {state:?}", property.name);
            let says = match property.is_of_network() {
                false => property.antecedent(&cluster, &bare),
                true => state.in_flight() > 0,
            };
            assert_eq!(property.antecedent(&cluster, &state), says);
        }
    }
    for state in mixtures(late) {
        let bare = ClusterState {
            network: crate::network::Network::default(),
            spent: crate::Spent::default(),
            ..state.clone()
        };
        for witness in witnesses() {
            let reached = witness.is_state(&cluster, &state);
            assert_eq!(reached, witness.is_state(&cluster, &bare));
        }
    }
    // Not all can be made wrong by mixing states of so small a space.
    let said_something: Vec<_> = violated.iter().filter(|(_, times)| **times > 0).collect();
    assert!(violated["message_terms_inv"] > 0);
    assert!(violated["match_is_replicated_inv"] > 0);
    assert!(said_something.len() >= 3, "{said_something:?}");
}

/// A search that goes on from a checkpoint again and again, each time with numbers loaded from a file.
#[test]
fn short_forms_survive_a_checkpoint() {
    let cluster = every_event();
    let whole = Search::new(&cluster).max_depth(9).run();
    let whole = whole.expect("nothing goes to disk").report;
    let folder = tempfile::tempdir().expect("there is room for a folder");
    for depth in 1..=9 {
        let search = Search::new(&cluster)
            .checkpoint(folder.path(), std::time::Duration::ZERO)
            .resume(true)
            .max_depth(depth);
        let part = search.run().expect("the checkpoint is whole").report;
        if depth == 9 {
            assert_eq!(part.distinct, whole.distinct);
            assert_eq!(part.generated, whole.generated);
            assert_eq!(part.levels, whole.levels);
            assert!(part.distinct > 1000);
        }
    }
}

/// The states that an exploration found, and the number of steps that it executed.
#[derive(Default)]
struct Explored {
    states: HashSet<u64>,
    steps: usize,
    executed: usize,
}

impl Explored {
    /// Returns the successors of the states of `block`: number of the state, fingerprint, and key.
    fn successors<'a>(
        &mut self,
        cluster: &Cluster,
        quick: &mut (dyn Collapse<'a, Cluster> + 'a),
        block: States<'_>,
    ) -> Vec<Reached> {
        quick.read(block);
        let mut successors = Vec::new();
        for parent in 0..block.iter().count() as u32 {
            let mut steps = Steps::new(Action::KINDS.len());
            steps.begin(parent);
            quick.list(parent, &mut steps);
            self.steps += steps.listed();
            let listed = steps.reached().iter();
            successors.extend(listed.map(|it| Reached { parent, ..*it }));
            let state = quick.listed().clone();
            let mut actions = Vec::new();
            cluster.actions(&state, &mut actions);
            for open in &steps.open {
                let action = actions[usize::from(open.action)];
                let after = cluster.next_state(&state, action);
                let after = after.expect("every action leads somewhere");
                // Losses and duplications, which move no server, each handle finds out for itself.
                self.executed += usize::from(state.target(action).is_some());
                if let Lookup::Within(fingerprint, key, _) = quick.learn(&action, &after, 0, true) {
                    successors.push(reached(parent, fingerprint, key));
                }
            }
        }
        successors
    }
}

/// Explores some batches of blocks with `handles` handles. Blocks are for each in turn, and new states are written by
/// another handle than the one that found them.
fn explore_by(handles: usize, symmetric: bool, forget: bool) -> Explored {
    let cluster = every_event();
    let mut root = generator(&cluster, symmetric);
    // It was told nothing.
    let mut witness = generator(&cluster, symmetric);
    let mut quicks: Vec<_> = (0..handles).map(|_| root.fork()).collect();
    let mut explored = Explored::default();
    let mut waiting = Vec::new();
    for state in cluster.init_states() {
        let (short, fingerprint) = shorten(&mut root, &state);
        explored.states.insert(fingerprint);
        waiting.push(short);
    }
    for level in 0..10 {
        if forget && level % 3 == 2 {
            root.forget();
        }
        root.begin_batch();
        let blocks: Vec<Vec<&[u8]>> = waiting
            .chunks(100)
            .map(|block| block.iter().map(Vec::as_slice).collect())
            .collect();
        let mut packed = Vec::new();
        let mut found = Vec::new();
        for (number, block) in blocks.iter().enumerate() {
            let quick = &mut *quicks[number % handles];
            let block = States::of(&mut packed, block);
            found.push(explored.successors(&cluster, quick, block));
        }
        let mut new = Vec::new();
        for (number, (block, successors)) in blocks.iter().zip(found).enumerate() {
            let quick = &mut quicks[(number + 1) % handles];
            let is_new = |reached: &Reached| explored.states.insert(reached.fingerprint);
            let successors: Vec<_> = successors.into_iter().filter(is_new).collect();
            let mut written = Packed::default();
            quick.write(States::of(&mut packed, block), &successors, &mut written);
            for (short, reached) in written.states().iter().zip(&successors) {
                let state = quick.restore(short);
                assert_eq!(shorten(&mut witness, state).1, reached.fingerprint);
                new.push(short.to_vec());
            }
        }
        waiting = new;
    }
    explored
}

/// Some threads execute what one does, not each the same again, and each can follow the routes of others.
#[test]
fn what_one_thread_executed_no_other_executes() {
    for symmetric in [false, true] {
        let alone = explore_by(1, symmetric, false);
        assert!(alone.steps > 10 * alone.executed);
        for handles in [2, 3] {
            let together = explore_by(handles, symmetric, false);
            assert_eq!(together.states, alone.states);
            assert_eq!(together.steps, alone.steps);
            assert_eq!(together.executed, alone.executed);
        }
        let forgetful = explore_by(2, symmetric, true);
        assert_eq!(forgetful.states, alone.states);
        assert!(forgetful.executed > alone.executed + alone.executed / 10);
    }
}

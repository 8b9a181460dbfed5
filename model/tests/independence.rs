//! A test that steps which sleep sets take for independent commute: both orders are executed on states of every preset.

use lockstep_engine::{Dependent, Footprint, check_independence};
use lockstep_model::{Action, Cluster, ClusterState, Preset, Settings};
use stateright::Model;

/// Random walks, each of at most this many steps.
const WALKS: u64 = 64;
const STEPS: usize = 50;

/// States of a cluster along random walks, always the same ones.
fn states(cluster: &Cluster) -> Vec<ClusterState> {
    let mut states = vec![cluster.initial()];
    for seed in 0..WALKS {
        // A linear congruential generator (Knuth): any choice will do, as long as it is always the same.
        let mut random = seed;
        let mut state = cluster.initial();
        for _ in 0..STEPS {
            let mut actions = Vec::new();
            cluster.enabled(&state, &mut actions);
            let within = |action: Action| {
                let after = cluster.next_state(&state, action)?;
                cluster.is_within(&after).then_some(after)
            };
            let after: Vec<ClusterState> = actions.into_iter().filter_map(within).collect();
            if after.is_empty() {
                break;
            }
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            state = after[(random >> 33) as usize % after.len()].clone();
            states.push(state.clone());
        }
    }
    states
}

fn both_orders(
    cluster: &Cluster,
    declared: fn(Footprint) -> Footprint,
) -> Result<u64, Dependent<Action>> {
    let states = states(cluster);
    let pairs = states
        .iter()
        .map(|state| check_independence(cluster, state, declared));
    pairs.sum()
}

#[test]
fn independent_actions_commute_in_every_preset() {
    for preset in Preset::all() {
        let settings = Settings::new(&preset.config).expect("a preset is valid");
        let cluster = Cluster::new(settings, preset.bounds);
        let pairs = both_orders(&cluster, |footprint| footprint);
        let pairs = pairs.unwrap_or_else(|found| panic!("{}: {found:?}", preset.name));
        // One server alone has nothing to be independent of.
        assert_eq!(pairs == 0, preset.config.servers == 1, "{}", preset.name);
    }
}

/// Both orders in one preset of what is declared independent if footprints are like this.
fn in_preset(name: &str, declared: fn(Footprint) -> Footprint) -> Result<u64, Dependent<Action>> {
    let preset = Preset::named(name).expect("a preset");
    let settings = Settings::new(&preset.config).expect("a preset is valid");
    let cluster = Cluster::new(settings, preset.bounds);
    both_orders(&cluster, declared)
}

/// The broken twins: a footprint that leaves out one cell.
#[test]
fn a_footprint_without_the_server_is_found_out() {
    let blind = |footprint| Footprint {
        server: None,
        ..footprint
    };
    in_preset("smoke", blind).expect_err("the order in which a server gets its inputs matters");
}

#[test]
fn a_footprint_without_the_history_is_found_out() {
    let blind = |footprint| Footprint {
        history: false,
        ..footprint
    };
    // Who was answered before whom, and what had been acknowledged then.
    let found = in_preset("read", blind).expect_err("the order of asking and committing matters");
    let [one, other] = found.footprints;
    assert_ne!(one.server, other.server, "{found:?}");
}

#[test]
fn a_footprint_without_the_cluster_is_found_out() {
    let blind = |footprint| Footprint {
        cluster: false,
        ..footprint
    };
    // The value of a proposal is one that no log has.
    in_preset("forward", blind).expect_err("the order of proposals at two servers matters");
}

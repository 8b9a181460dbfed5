use super::course::{Course, Timer};
use super::normal::normalise;
use super::table::round_trip;
use super::*;
use crate::cluster::{Cluster, ClusterState};
use crate::Preset;
use stateright::Model;
use std::collections::HashSet;

fn cluster(name: &str) -> Cluster {
    let preset = Preset::named(name).expect("there is such a preset");
    let settings = Settings::new(&preset.config).expect("presets are sensible");
    Cluster::new(settings, preset.bounds)
}

/// The reachable states of a preset, in breadth-first order, at most this number.
fn states(cluster: &Cluster, most: usize) -> Vec<ClusterState> {
    let mut all = vec![cluster.initial()];
    let mut known: HashSet<ClusterState> = all.iter().cloned().collect();
    let mut at = 0;
    while at < all.len() && all.len() < most {
        let mut actions = Vec::new();
        cluster.enabled(&all[at], &mut actions);
        for action in actions {
            let next = cluster.next_state(&all[at], action);
            let next = next.filter(|next| cluster.within_boundary(next));
            if let Some(next) = next
                && known.insert(next.clone())
            {
                all.push(next);
            }
        }
        at += 1;
    }
    all
}

#[test]
fn small_presets_recover() {
    for name in ["smoke", "single", "narrow", "batch", "async-single"] {
        let cluster = cluster(name);
        let recovery = Recovery::new(cluster.settings());
        for state in states(&cluster, 20_000) {
            if !recovery.comes_back(&state) {
                panic!("{name}: {:?}\n{:#?}", recovery.failure(&state).map(|f| (f.order, f.repeats_from, f.lack)), state);
            }
        }
        eprintln!("{name}: {:?}", recovery.tally());
    }
}

#[test]
fn survey() {
    let Ok(names) = std::env::var("SURVEY") else { return };
    let most: usize = std::env::var("MOST").ok().and_then(|it| it.parse().ok()).unwrap_or(20000);
    for preset in Preset::all() {
        if names != "all" && !names.split(',').any(|it| it == preset.name) { continue; }
        let cluster = cluster(preset.name);
        let recovery = Recovery::new(cluster.settings());
        let all = states(&cluster, most);
        let begun = std::time::Instant::now();
        let mut fails = 0;
        let mut first = None;
        for state in all {
            if !recovery.comes_back(&state) { fails += 1; first.get_or_insert(state); }
        }
        println!("{:22} fails {fails} {:?} {:.1}s", preset.name, recovery.tally(), begun.elapsed().as_secs_f64());
        if let Some(state) = first {
            println!("   {:?}", recovery.failure(&state).map(|f| (f.order, f.repeats_from, f.rounds.len(), f.lack)));
        }
    }
}

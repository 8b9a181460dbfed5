//! Temporary.
use lockstep_engine::*;
use lockstep_model::*;
fn main() {
    let args: Vec<String> = std::env::args().collect();
    let preset = Preset::named(&args[1]).unwrap();
    let mut config = preset.config.clone();
    let mut bounds = preset.bounds;
    let mut max = 2_000_000;
    let mut dialect = Dialect::ETCD;
    let mut only: Vec<String> = vec![];
    let mut sym = false;
    for arg in &args[2..] {
        let (key, value) = arg.split_once('=').unwrap();
        let b = || value.parse::<Budget>().unwrap();
        let n = || value.parse::<u64>().unwrap();
        match key {
            "servers" => config.servers = n(),
            "mem" => config.application_in_memory = n() > 0,
            "pv" => config.pre_vote = n() > 0,
            "cq" => config.check_quorum = n() > 0,
            "one" => config.one_entry_per_append = n() > 0,
            "term" => bounds.max_term = n() as u32,
            "flight" => bounds.max_in_flight = n() as usize,
            "out" => bounds.max_outstanding = n() as usize,
            "timeouts" => bounds.timeouts = b(),
            "hb" => bounds.heartbeats = b(),
            "lease" => bounds.lease_expiries = b(),
            "proposals" => bounds.proposals = b(),
            "restarts" => bounds.restarts = b(),
            "compactions" => bounds.compactions = b(),
            "drops" => bounds.drops = b(),
            "dups" => bounds.duplicates = b(),
            "change0" => bounds.changes[0].1 = b(),
            "change1" => bounds.changes[1].1 = b(),
            "max" => max = n(),
            "sym" => sym = n() > 0,
            "only" => only = value.split(',').map(str::to_owned).collect(),
            "own" => dialect = dialect.with(Departure::LeadsBeforeOwnVote),
            "ewh" => dialect = dialect.with(Departure::EntriesWithoutHardState),
            _ => panic!("{key}"),
        }
    }
    let settings = Settings::new(&config).unwrap().with_dialect(dialect);
    let cluster = Cluster::new(settings, bounds);
    let start = std::time::Instant::now();
    let mut search = Search::new(&cluster)
        .threads(2)
        .symmetry(sym)
        .count_orbits(sym)
        .coverage(!sym && only.is_empty())
        .max_states(max);
    if !only.is_empty() {
        search = search.only(only);
    }
    let checked = search.run().unwrap();
    let r = &checked.report;
    println!(
        "{}: {} distinct {} generated {} depth {} orbit {:?} {:?}",
        args[1..].join(" "), r.verdict, r.distinct, r.generated, r.depth, r.orbit_states, start.elapsed()
    );
    let missing: Vec<&str> = r.witnesses.iter().filter(|w| w.depth.is_none()).map(|w| &w.name[..]).collect();
    for w in lockstep_model::properties::witnesses() {
        let wanted = w.preset == args[1] || std::env::var_os("ASYNC").is_some() && w.preset.starts_with("async");
        if wanted && missing.contains(&w.name) {
            println!("  NOT REACHED {} (of {})", w.name, w.preset);
        }
    }
    if std::env::var_os("V").is_some() {
        for a in &r.antecedents {
            if a.held == 0 { println!("  antecedent {} {}", a.property, a.held); }
        }
        for a in &r.actions {
            println!("  {} {}", a.kind, a.fired);
        }
        for a in &r.pairs {
            if a.pair.starts_with("rule") && a.met == 0 {
                println!("  {} {}", a.pair, a.met);
            }
        }
    }
    if std::env::var_os("Q").is_some() {
        return;
    }
    if let Some(trace) = &checked.counterexample {
        let mut before = trace.init.clone();
        println!("length {}", trace.steps.len());
        for (action, state) in &trace.steps {
            println!("  {:?}", cluster.event(&before, action));
            before = state.clone();
        }
        for s in before.servers() {
            println!("{s:?}");
        }
    }
}

//! Explores a preset: `explore PRESET [only=PROPERTY] [depart=NAME] [timing=free|elapsed|silent] [max=STATES] [sym]
//! [coverage]`, and prints counts, witnesses and a counterexample.
use lockstep_engine::{Checkable, Search};
use lockstep_model::{Cluster, Departure, Preset, Settings, Timing};
use std::time::Duration;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let preset = Preset::named(&args[0]).expect("a preset");
    let mut settings = Settings::new(&preset.config).unwrap();
    let mut bounds = preset.bounds;
    let mut only = Vec::new();
    let (mut max, mut sym, mut coverage) = (2_000_000, false, false);
    for arg in &args[1..] {
        match arg.split_once('=').unwrap_or((arg, "")) {
            ("only", name) => only.push(name.to_owned()),
            ("depart", name) => {
                let departure = Departure::ALL.into_iter().find(|it| it.name() == name);
                settings = settings.with_dialect(settings.dialect().with(departure.unwrap()));
            }
            ("timing", "free") => bounds.timing = Timing::Free,
            ("timing", "elapsed") => bounds.timing = Timing::Elapsed,
            ("timing", "silent") => bounds.timing = Timing::Silent,
            ("max", number) => max = number.parse().unwrap(),
            ("flight", number) => bounds.max_in_flight = number.parse().unwrap(),
            ("drops", number) => bounds.drops = number.parse().unwrap(),
            ("dups", number) => bounds.duplicates = number.parse().unwrap(),
            ("beats", number) => bounds.heartbeats = number.parse().unwrap(),
            ("timeouts", number) => bounds.timeouts = number.parse().unwrap(),
            ("terms", number) => bounds.max_term = number.parse().unwrap(),
            ("restarts", number) => bounds.restarts = number.parse().unwrap(),
            ("proposals", number) => bounds.proposals = number.parse().unwrap(),
            ("checks", number) => bounds.quorum_checks = number.parse().unwrap(),
            ("disturbances", number) => bounds.disturbances = number.parse().unwrap(),
            ("reads", numbers) => {
                let (one, two) = numbers.split_once(',').unwrap();
                bounds.reads = [one.parse().unwrap(), two.parse().unwrap()];
            }
            ("sym", _) => sym = true,
            ("coverage", _) => coverage = true,
            other => panic!("{other:?}"),
        }
    }
    let cluster = Cluster::new(settings, bounds);
    let mut search = Search::new(&cluster)
        .threads(1)
        .symmetry(sym)
        .coverage(coverage)
        .max_time(Duration::from_secs(110))
        .max_states(max);
    if !only.is_empty() {
        search = search.only(only);
    }
    let checked = search.run().unwrap();
    let report = &checked.report;
    println!(
        "(\"{}\", {}, {}, {}), {} {:?}",
        preset.name, report.distinct, report.generated, report.depth, report.verdict, report.time
    );
    for witness in &report.witnesses {
        if witness.depth.is_some() && coverage {
            println!("  {} at {:?}", witness.name, witness.depth);
        }
    }
    for pair in report.pairs.iter().filter(|pair| coverage && pair.met > 0) {
        println!("  met {}", pair.pair);
    }
    if let Some(path) = &checked.counterexample {
        let mut state = cluster.initial();
        let actions: Vec<_> = path.steps.iter().map(|(action, _)| *action).collect();
        for (number, action) in actions.iter().enumerate() {
            let event = cluster.event(&state, action);
            println!("  {:2} {:?}", number + 1, event);
            state = cluster.apply(&state, action).next;
        }
        println!("{:#?}", state.history());
        let mut out = Vec::new();
        cluster.encode(&state, &mut out);
    }
}

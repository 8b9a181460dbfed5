use lockstep_engine::*;
use lockstep_model::*;
fn main() {
    let args: Vec<String> = std::env::args().collect();
    for name in &args[1..] {
        let (name, sym) = match name.strip_suffix("+") {
            Some(n) => (n, true),
            None => (&name[..], false),
        };
        let preset = Preset::named(name).unwrap();
        let cluster = Cluster::new(Settings::new(&preset.config).unwrap(), preset.bounds);
        let start = std::time::Instant::now();
        let checked = Search::new(&cluster)
            .threads(2)
            .symmetry(sym)
            .count_orbits(sym)
            .coverage(!sym)
            .max_states(3_000_000)
            .run()
            .unwrap();
        let r = &checked.report;
        println!(
            "{name}: {} distinct {} generated {} depth {} orbit {:?} {:?}",
            r.verdict,
            r.distinct,
            r.generated,
            r.depth,
            r.orbit_states,
            start.elapsed()
        );
        let mut missing = vec![];
        for w in &r.witnesses {
            if w.depth.is_none() {
                missing.push(&w.name[..])
            }
        }
        if std::env::var_os("V").is_some() {
            println!("  missing witnesses {missing:?}");
            for a in &r.antecedents {
                println!("  {} {}", a.property, a.held);
            }
            for a in &r.actions {
                println!("  {} {}", a.kind, a.fired);
            }
            for a in &r.pairs {
                if a.pair.starts_with("rule") {
                    println!("  {} {}", a.pair, a.met);
                }
            }
        } else {
            let new = lockstep_model::properties::witnesses()
                .iter()
                .filter(|w| w.preset == name);
            for w in new {
                if missing.contains(&w.name) {
                    println!("  NOT REACHED {}", w.name);
                }
            }
            for w in &r.witnesses {
                if let Some(d) = w.depth {
                    let ws = lockstep_model::properties::witnesses();
                    if ws.iter().any(|x| {
                        x.name == w.name
                            && [
                                "simple-change",
                                "removal",
                                "resignation",
                                "return",
                                "joint",
                                "handover",
                                "learner",
                                "demotion",
                            ]
                            .contains(&x.preset)
                    }) {
                        println!("  {} at {}", w.name, d);
                    }
                }
            }
        }
        if std::env::var_os("Q").is_some() {
            continue;
        }
        if let Some(trace) = &checked.counterexample {
            let mut before = trace.init.clone();
            for (action, state) in &trace.steps {
                println!("  {:?}", cluster.event(&before, action));
                before = state.clone();
            }
            for s in before.servers() {
                println!("{s:?}");
            }
        }
    }
}

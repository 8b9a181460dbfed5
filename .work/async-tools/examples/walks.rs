//! Temporary.
use lockstep_model::*;
use lockstep_traces::*;
fn main() {
    let args: Vec<String> = std::env::args().collect();
    let out = &args[1];
    let seeds: u64 = args[2].parse().unwrap();
    let steps: usize = args[3].parse().unwrap();
    for seed in 0..seeds {
        let mut r = seed.wrapping_mul(0x9E3779B97F4A7C15) | 1;
        let mut next = |n: u64| {
            r = r.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (r >> 33) % n
        };
        let servers = 1 + next(4);
        let fixed = next(3) == 0;
        let mut v = vec![];
        let mut l = vec![];
        if !fixed {
            for id in 1..=servers {
                match next(5) {
                    0..=2 => v.push(id),
                    3 => l.push(id),
                    _ => {}
                }
            }
            if v.is_empty() {
                v.push(1);
                l.retain(|x| *x != 1);
            }
        }
        let config = Config {
            servers,
            pre_vote: next(2) == 1,
            check_quorum: next(2) == 1,
            one_entry_per_append: next(3) == 1,
            max_inflight: 1 + next(3),
            voters: ServerSet::of(&v),
            learners: ServerSet::of(&l),
            step_down_on_removal: !fixed && next(2) == 1,
            forward_proposals: next(3) == 1,
            storage: Storage::Async,
            application_in_memory: next(2) == 1,
            ..Config::PAPER
        };
        let mut change = || {
            let mut c = ConfChange::LEAVE_JOINT;
            let n = next(4);
            for _ in 0..n {
                let id = 1 + next(servers) as u8;
                c = match next(4) {
                    0 | 1 => c.add_voter(id),
                    2 => c.add_learner(id),
                    _ => c.remove(id),
                };
            }
            if n > 0 {
                match next(4) {
                    0 => c = c.explicit(),
                    1 => c = c.implicit(),
                    _ => {}
                }
            }
            (c, if fixed { Budget::Times(0) } else { Budget::Unlimited })
        };
        let bounds = Bounds {
            changes: [change(), change()],
            ..Bounds::UNLIMITED
        };
        walk("random", seed, steps, out, config, bounds);
    }
}
#[allow(clippy::all)]
fn walk(name: &str, seed: u64, steps: usize, out: &str, config: Config, bounds: Bounds) {
    {
        {
            let cluster = {
                let safe = std::env::var_os("SAFE").is_some();
                let settings = Settings::new(&config).unwrap();
                let dialect = if safe { Dialect::ETCD } else { Dialect::ETCD_3_6 };
                Cluster::new(settings.with_dialect(dialect), bounds)
            };
            let mut state = cluster.initial();
            let mut trace = Trace {
                header: Header::new(
                    format!("{name}-{seed}"),
                    "walk",
                    config,
                    Provenance {
                        generator: "walk".into(),
                        ..Default::default()
                    },
                ),
                steps: vec![],
            };
            let mut dice = seed.wrapping_mul(7919).wrapping_add(17);
            for _ in 0..steps {
                dice = dice
                    .wrapping_mul(6364136223846793005)
                    .wrapping_add(1442695040888963407);
                let d = (dice >> 33) as usize;
                let mut actions = Vec::new();
                cluster.enabled(&state, &mut actions);
                if d % 11 == 0 {
                    cluster.probes(&state, &mut actions);
                }
                let crowded = state.in_flight() > 24;
                let wanted: Vec<Action> = actions
                    .iter()
                    .copied()
                    .filter(|a| match a.kind() {
                        None => d % 8 != 0,
                        Some(Kind::Propose | Kind::Heartbeat) => d % 8 == 0 && !crowded,
                        Some(Kind::ProposeConfChange | Kind::ProposeOtherConfChange) => {
                            d % 8 == 0 && d % 3 == 0
                        }
                        Some(Kind::Persist) => d % 8 == 1 || d % 8 == 2,
                        Some(Kind::Apply) => d % 16 == 4,
                        Some(Kind::Restart) => d % 64 == 3,
                        Some(Kind::Drop) => crowded || d % 32 == 1,
                        Some(Kind::Duplicate) => d % 40 == 2,
                        Some(_) => d % 32 == 3,
                    })
                    .collect();
                let other: Vec<Action> = actions
                    .iter()
                    .copied()
                    .filter(|a| a.kind() != Some(Kind::Restart) && (d % 128 == 0 || a.kind() != Some(Kind::Timeout)))
                    .collect();
                let list = match (wanted.is_empty(), other.is_empty()) {
                    (false, _) => &wanted,
                    (true, false) => &other,
                    (true, true) => &actions,
                };
                let action = list[(d / 64) % list.len()];
                let event = cluster.event(&state, &action);
                let t = cluster.apply(&state, &action);
                let expected = t.moved.map(|id| Expected {
                    outcome: t.outcome,
                    view: t.next.server(id).view(cluster.settings()),
                    sent: t.sent.clone(),
                });
                let check = std::env::var_os("SAFE").is_some();
                for p in lockstep_model::properties::step_properties().iter().filter(|_| check) {
                    assert!(
                        (p.holds)(&cluster, &state, &action, &t.next),
                        "{} {name} {seed} {:?}\n{event:?}\n{:?}\n{:?}",
                        p.name,
                        trace.steps.len(),
                        state.server(t.moved.unwrap()),
                        t.next.server(t.moved.unwrap())
                    );
                }
                for p in lockstep_model::properties::state_properties().iter().filter(|_| check) {
                    assert!(
                        (p.holds)(&cluster, &t.next),
                        "{} {name} {seed} {:?}\n{:#?}",
                        p.name,
                        trace.steps.len(),
                        t.next
                    );
                }
                trace.steps.push(lockstep_traces::Step { event, expected });
                state = t.next;
            }
            trace
                .save(std::path::Path::new(&format!("{out}/{name}-{seed}.ndjson")))
                .unwrap();
        }
    }
}

//! Walks by ticks of targets other than the production Raft: their own timers raise what the specification expects.

mod python;

use lockstep_conformance::target::{Needs, Target, TargetError};
use lockstep_conformance::targets::etcd::{self, EtcdError, StorageWrites, Version};
use lockstep_conformance::targets::exec::{ExecOptions, ExecTarget, Program};
use lockstep_conformance::targets::raft_rs::RaftRs;
use lockstep_conformance::walk::{
    TickServer, TickTarget, Timing, WalkCounts, WalkOptions, WalkReport, walk,
};
use lockstep_conformance::{Description, Strength, Verdict};
use lockstep_model::Dialect;
use lockstep_traces::{Config, ServerId};
use std::ops::ControlFlow;

fn walked(target: &dyn TickTarget, walks: u64, steps: usize) -> WalkReport {
    let options = WalkOptions {
        first_seed: 0,
        walks,
        steps,
        config: None,
    };
    walk(&options, target, &mut |_| ControlFlow::Continue(())).expect("it starts")
}

fn agrees(target: &dyn TickTarget, walks: u64, steps: usize) -> WalkCounts {
    let report = walked(target, walks, steps);
    let found = report.divergence.as_ref();
    assert!(
        found.is_none(),
        "seed {:?}: {:?} {:#?}",
        found.map(|it| it.seed),
        found.and_then(|it| it.timer.as_ref()),
        found.map(|it| &it.divergence.differences)
    );
    assert_eq!(report.verdict(), Verdict::Holds(Strength::Sampled));
    report.counts
}

/// A target whose timers take other times than it is told: a broken twin.
struct Mistimed<'a> {
    target: &'a dyn TickTarget,
    change: fn(&mut Timing),
}

impl TickTarget for Mistimed<'_> {
    fn description(&self) -> Description {
        self.target.description()
    }

    fn dialect(&self) -> Dialect {
        self.target.dialect()
    }

    fn lacks(&self, needs: &Needs) -> Vec<&'static str> {
        self.target.lacks(needs)
    }

    fn start(
        &self,
        config: &Config,
        id: ServerId,
        timing: &Timing,
    ) -> Result<Box<dyn TickServer>, TargetError> {
        let mut timing = *timing;
        (self.change)(&mut timing);
        self.target.start(config, id, &timing)
    }
}

/// Timers that are a tick late or early are found.
fn mistakes_are_found(target: &dyn TickTarget) {
    let changes: [fn(&mut Timing); 4] = [
        |it| it.election_ticks += 1,
        |it| it.election_ticks -= 1,
        |it| it.heartbeat_ticks += 1,
        |it| it.heartbeat_ticks -= 1,
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let report = walked(&Mistimed { target, change }, 20, 400);
        assert_eq!(report.verdict(), Verdict::Diverged, "change {number}");
    }
}

#[test]
fn raft_rs_is_walked_by_its_own_timers() {
    let counts = agrees(&RaftRs::new(), 60, 1000);
    assert!(counts.elections > 20 && counts.draws > 200, "{counts:?}");
    assert!(counts.timer_events > 500, "{counts:?}");
    // A walk follows from its seed: the library's own generator has no say.
    assert_eq!(agrees(&RaftRs::new(), 60, 1000), counts);
    mistakes_are_found(&RaftRs::new());
}

/// A version of etcd's raft, except where there is no Go and nobody insists on it.
fn etcd_at(version: Version, writes: StorageWrites) -> Option<ExecTarget> {
    let cache = etcd::default_cache().expect("this test is somewhere");
    match etcd::start(&cache, version, writes, ExecOptions::default()) {
        Ok(target) => Some(target),
        Err(error @ EtcdError::NoGo(_)) => {
            eprintln!("skipped: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn etcd_is_walked_by_its_own_timers() {
    for version in Version::ALL {
        for writes in [StorageWrites::Synchronous, StorageWrites::Asynchronous] {
            let Some(target) = etcd_at(version, writes) else {
                return;
            };
            assert!(target.ticks());
            let counts = agrees(&target, 20, 1000);
            assert!(counts.elections > 5 && counts.draws > 50, "{counts:?}");
            assert_eq!(
                agrees(&target, 20, 1000),
                counts,
                "it follows from its seed"
            );
        }
    }
    if let Some(target) = etcd_at(Version::default(), StorageWrites::Synchronous) {
        mistakes_are_found(&target);
    }
}

/// A program that says that it takes ticks, and answers everything else as these texts say.
fn program(open: &str, apply: &str) -> ExecTarget {
    let code = format!(
        r#"
import json, sys
def say(x): print(json.dumps(x), flush=True)
timers = {{"randomized_ticks": 12, "drawn": False}}
for line in sys.stdin:
    r = json.loads(line)
    if r["op"] == "describe":
        say({{"op": "describe", "protocol": 1, "name": "test", "version": "0", "ticks": True,
             "features": ["check_quorum", "pre_vote", "one_entry_per_append"], "fields": []}})
    elif r["op"] == "open": say({{"op": "open", "session": r["session"], "views": [{{}}], {open} }})
    elif r["op"] == "apply": say({{"op": "apply", "session": r["session"], "results": [{{ {apply} }}]}})
    else: say({{"op": "close", "session": r["session"], "views": [None]}})
"#
    );
    let program = Program {
        executable: "python3".into(),
        arguments: vec!["-c".into(), code.into()],
    };
    ExecTarget::start_program(program, ExecOptions::default()).expect("it starts")
}

const TIMERS: &str = r#""timers": [timers]"#;

#[test]
fn a_program_shows_its_timers_in_sessions_with_a_clock_and_in_no_other() {
    if !python::is_here() {
        return;
    }
    let started = |target: &ExecTarget| {
        let timing = Timing {
            election_ticks: 10,
            heartbeat_ticks: 2,
            seed: 0,
            walk: 0,
        };
        let id = ServerId::new(1).expect("not zero");
        TickTarget::start(target, &Config::PAPER, id, &timing)
    };
    let silent = started(&program("", ""));
    let error = silent.err().expect("it shows no timers").to_string();
    assert!(
        error.contains("`timers` is missing from an opening"),
        "{error}"
    );

    let tick = |apply: &str| {
        let target = program(TIMERS, apply);
        let mut server = started(&target).expect("it shows its timers");
        assert_eq!(server.randomized_ticks(), Some(12));
        let seen = server.call(lockstep_conformance::walk::Call::Tick(&[]));
        seen.map(|it| it.timers.map(|timers| timers.randomized_ticks))
    };
    let answered = tick(r#""outcome": "accepted", "timers": {**timers, "randomized_ticks": 13}"#);
    assert_eq!(answered, Ok(Some(13)));
    let error = tick(r#""outcome": "accepted""#).expect_err("they are gone");
    assert!(
        error
            .to_string()
            .contains("`timers` is missing from a result"),
        "{error}"
    );
    let error = tick(r#""outcome": "accepted", "timers": {"drawn": True}"#);
    let error = error.expect_err("one is missing").to_string();
    assert!(error.contains("randomized_ticks"), "{error}");

    let target = program("", r#""outcome": "accepted", "timers": timers"#);
    let id = ServerId::new(1).expect("not zero");
    let mut server = Target::start(&target, &Config::PAPER, id).expect("it starts");
    let input = lockstep_traces::Input::Timeout;
    let error = lockstep_conformance::TargetServer::apply(&mut server, &input);
    let error = error.expect_err("nobody asked").to_string();
    assert!(error.contains("opened without `timing`"), "{error}");
}

/// A program that never draws, and never does anything, is found at the first timeout.
#[test]
fn a_program_without_a_clock_that_goes_is_found() {
    if !python::is_here() {
        return;
    }
    let target = program(TIMERS, r#""outcome": "accepted", "timers": timers"#);
    let report = walked(&target, 4, 200);
    let found = report.divergence.expect("no timeout is drawn anew");
    assert_eq!(
        found.timer.as_deref(),
        Some("no new election timeout was drawn")
    );
}

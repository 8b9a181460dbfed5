//! Traces that are longer than what is read at once: they are given to the target step by step.

mod python;

use lockstep_conformance::compare::start_view;
use lockstep_conformance::planted::{Mistake, Planted};
use lockstep_conformance::replay::{ReplayError, ReplayReport, replay_read};
use lockstep_conformance::targets::exec::{ExecOptions, ExecTarget, Program};
use lockstep_conformance::targets::lockstep_raft::LockstepRaft;
use lockstep_conformance::verdict::{Strength, Verdict};
use lockstep_conformance::{Difference, Target};
use lockstep_engine::Limit;
use lockstep_traces::{
    Config, Event, Expected, Field, Header, Input, Outcome, Provenance, ServerId,
};
use lockstep_traces::{Step, Term, Trace, TraceError, TraceReader};
use std::fs::File;
use std::io::BufReader;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// More than four mebibytes.
const STEPS: usize = 15_000;

/// A trace of servers that restart over and over.
fn restarts(steps: usize) -> Trace {
    let config = Config {
        max_inflight: 1,
        ..Config::PAPER
    };
    let ids: Vec<ServerId> = config.server_ids().collect();
    let step = |number: usize| Step {
        event: Event::Server {
            server: ids[number % 3],
            input: Input::Restart,
        },
        expected: Some(Expected {
            read_states: Vec::new(),
            outcome: Outcome::Accepted,
            view: start_view(&config),
            sent: Vec::new(),
        }),
    };
    let steps = (0..steps).map(step).collect();
    let made = Provenance {
        generator: "a test".to_owned(),
        ..Provenance::default()
    };
    let header = Header::new("long", "Servers that restart.", config, made);
    Trace { header, steps }
}

/// The same, in a file of its own.
fn saved(trace: &Trace) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("there is a place for temporary files");
    let path = folder.path().join("long.ndjson");
    trace.save(&path).expect("it is written");
    assert!(path.metadata().expect("it is there").len() > 4 << 20);
    (folder, path)
}

fn opened(path: &Path) -> Result<(String, TraceReader<BufReader<File>>), TraceError> {
    Ok((path.display().to_string(), TraceReader::open(path)?))
}

fn replay<T: Target>(target: &T, path: &Path) -> Result<ReplayReport, ReplayError> {
    replay_read(target, [opened(path)], None, &mut |_| {
        ControlFlow::Continue(())
    })
}

#[test]
fn a_long_trace_agrees_like_a_short_one() {
    let (_folder, path) = saved(&restarts(STEPS));
    let mut looks = 0;
    let report = replay_read(&LockstepRaft, [opened(&path)], None, &mut |report| {
        assert!(report.compared <= STEPS as u64);
        looks += 1;
        ControlFlow::Continue(())
    });
    let report = report.expect("it is a trace");
    assert_eq!(report.verdict(), Verdict::Holds(Strength::Sampled));
    let (traces, agreed) = (report.traces, report.agreed);
    assert_eq!((traces, agreed), (1, 1));
    assert_eq!(
        (report.steps, report.compared),
        (STEPS as u64, STEPS as u64)
    );
    assert!(looks > 10, "{looks}");
}

#[test]
fn a_long_trace_can_be_stopped_in_the_middle() {
    let (_folder, path) = saved(&restarts(STEPS));
    let report = replay_read(
        &LockstepRaft,
        [opened(&path)],
        None,
        &mut |report| match report.compared > 1_000 {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        },
    );
    let report = report.expect("it is a trace");
    assert_eq!(
        report.verdict(),
        Verdict::Bounded {
            stopped_by: Limit::Interrupted,
        }
    );
    assert!(
        (1_001..2_000).contains(&report.compared),
        "{}",
        report.compared
    );
    assert_eq!(report.traces, 0, "it did not come to its end");
}

/// Only the last steps are kept, and how many there were before them.
#[test]
fn a_divergence_in_a_long_trace_keeps_its_end() {
    let mut trace = restarts(STEPS);
    let last = trace
        .steps
        .last_mut()
        .and_then(|step| step.expected.as_mut());
    let last = last.expect("a step of a server");
    (last.view.term, last.view.durable.term) = (Term(1), Term(1));
    let (_folder, path) = saved(&trace);
    let report = replay(&LockstepRaft, &path).expect("it is a trace");
    assert_eq!(report.verdict(), Verdict::Diverged);
    let (source, found) = report.divergence.expect("it differs");
    assert_eq!(source, path.display().to_string());
    assert_eq!(found.trace.steps[..], trace.steps[report.left_out..]);
    assert_eq!(found.trace.steps.len(), 200);
    let Difference::WrongState { field, .. } = &found.differences[0] else {
        panic!("{:?}", found.differences);
    };
    assert_eq!(*field, Field::Term);
}

#[test]
fn a_target_that_breaks_down_in_a_long_trace_diverges_there() {
    let (_folder, path) = saved(&restarts(STEPS));
    let target = Planted::new(LockstepRaft, Mistake::Failure);
    let report = replay(&target, &path).expect("it is a trace");
    let (_, found) = report.divergence.expect("it fails");
    assert_eq!((report.left_out, found.trace.steps.len()), (0, 1));
    assert!(matches!(found.differences[0], Difference::Failed { .. }));
}

/// A trace that stops early is none, and that is noticed at its end.
#[test]
fn a_long_trace_without_its_end_is_refused() {
    let (_folder, path) = saved(&restarts(STEPS));
    let text = std::fs::read_to_string(&path).expect("it is there");
    let cut = text.trim_end().rfind('\n').expect("many lines");
    std::fs::write(&path, &text[..=cut]).expect("it is written");
    let error = replay(&LockstepRaft, &path).expect_err("it is no trace");
    let text = error.to_string();
    assert!(text.contains(&format!(":{}", STEPS + 2)), "{text}");
}

/// A program that gives every input another reason why it cannot be driven.
const EVER_DIFFERENT: &str = r#"
import json, sys
n = 0
for line in sys.stdin:
    r = json.loads(line)
    if r["op"] == "describe":
        reply = {"op": "describe", "protocol": 1, "name": "test", "version": "0", "features": [], "fields": ["term"]}
    elif r["op"] == "open":
        reply = {"op": "open", "session": r["session"], "views": [{"term": 0} for _ in r["servers"]]}
    elif r["op"] == "close":
        reply = {"op": "close", "session": r["session"], "views": [None] * 3}
    else:
        n += 1
        answer = {"not_driven": f"reason {n}"} if n % 3 else {"outcome": "accepted"}
        reply = {"op": "apply", "session": r["session"], "results": [answer for _ in r["inputs"]]}
    print(json.dumps(reply), flush=True)
"#;

#[test]
fn a_program_is_given_a_long_trace_input_by_input() {
    if !python::is_here() {
        return;
    }
    let program = Program {
        executable: "python3".into(),
        arguments: vec!["-c".into(), EVER_DIFFERENT.into()],
    };
    let target = ExecTarget::start_program(program, ExecOptions::default()).expect("it starts");
    let (_folder, path) = saved(&restarts(STEPS));
    let report = replay(&target, &path).expect("it is a trace");
    // The restarts were to change nothing.
    assert_eq!(
        report.verdict(),
        Verdict::Holds(Strength::SampledWhereDriven)
    );
    assert_eq!(
        (report.steps, report.compared),
        (STEPS as u64, STEPS as u64 / 3)
    );
    // The reasons are bounded, and all inputs are counted.
    assert!(report.not_driven.len() < 20, "{}", report.not_driven.len());
    assert_eq!(
        report.not_driven.values().sum::<u64>(),
        STEPS as u64 * 2 / 3
    );
}

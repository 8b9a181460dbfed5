//! `check --recovery` through the command line: what it says when all is well, and how it shows that it is not.

use lockstep_tests::command::{HOLDS, USAGE, VIOLATED, folder, run};
use lockstep_traces::Trace;
use serde_json::Value;

fn job(text: &str) -> Value {
    let report: Value = serde_json::from_str(text).expect("a report in JSON");
    report["jobs"][0].clone()
}

fn fact(job: &Value, name: &str) -> Option<Value> {
    let facts = job["facts"].as_array().expect("facts");
    let fact = facts.iter().find(|it| it["name"] == name);
    fact.map(|fact| fact["value"].clone())
}

#[test]
fn the_verdict_names_its_bound() {
    let here = folder();
    let (text, _) = run(
        here.path(),
        "check --recovery --preset smoke --format json",
        HOLDS,
    );
    let job = job(&text);
    let verdict = job["verdict"].as_str().expect("a verdict");
    let begins = "exhausted, and back from every state within ";
    assert!(verdict.starts_with(begins), "{verdict}");
    assert!(
        verdict.contains("of 32 rounds, in each of 6 orders"),
        "{verdict}"
    );
    assert_eq!(
        fact(&job, "recovery: states tried"),
        fact(&job, "distinct states")
    );
    assert!(fact(&job, "recovery: states added").is_some_and(|it| it.as_u64() > Some(0)));
    let cases = job["cases"].as_array().expect("cases");
    let case = cases.iter().find(|it| it["name"] == "recovery");
    assert!(case.is_some(), "{cases:?}");
}

/// A rule of etcd's raft by which an idle leader never leaves a joint configuration, if the request to campaign was lost for
/// which it did not.
#[test]
fn a_failure_is_a_path_and_a_schedule_that_repeats() {
    let here = folder();
    let command = "check --recovery --preset forward-change --drops 1 --proposals 0 --departure auto-leave-waits \
                   --only election_safety_inv --trace-out stuck.ndjson --format json";
    let (text, _) = run(here.path(), command, VIOLATED);
    let job = job(&text);
    let tables = job["tables"].as_array().expect("tables");
    let rounds = tables
        .iter()
        .find(|it| it["title"] == "The rounds of the schedule");
    let rounds = rounds.expect("the schedule is shown")["rows"].to_string();
    assert!(rounds.contains("the configuration is joint"), "{rounds}");
    assert!(rounds.contains("from here on"), "{rounds}");
    let cases = job["cases"].as_array().expect("cases");
    let case = cases.iter().find(|it| it["name"] == "recovery");
    let message = case.expect("a case")["message"].to_string();
    assert!(message.contains("repeats itself"), "{message}");
    let trace = Trace::read(&here.path().join("stuck.ndjson")).expect("it is a trace");
    let steps = job["steps"]["rows"].as_array().expect("steps");
    assert_eq!(trace.steps.len(), steps.len());
    assert!(
        trace.header.purpose.contains("joint"),
        "{}",
        trace.header.purpose
    );
}

#[test]
fn what_recovery_cannot_do_is_said() {
    let here = folder();
    for more in [
        "--symmetry",
        "--target lockstep-raft",
        "--engine stateright",
    ] {
        run(
            here.path(),
            &format!("check --recovery --preset smoke {more}"),
            USAGE,
        );
    }
}

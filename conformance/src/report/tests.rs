//! Snapshots of the renderers.

use super::human::{self, Style};
use super::steps::StepTable;
use super::*;
use lockstep_traces::Trace;

fn golden() -> Trace {
    let golden = include_bytes!("../../../traces/tests/golden/version-1.ndjson");
    Trace::parse(golden, "golden").expect("the golden file is a trace")
}

fn sample() -> Report {
    let mut holds = Job::new("check", "smoke", Status::Holds, "exhausted".to_owned());
    holds.seconds = 1.5;
    holds.fact("distinct states", 1_234_567_u64);
    holds.fact("collision probability", 4.1e-8);
    holds.fact("fields compared", vec!["role", "term"]);
    holds.passed("election_safety_inv");
    holds.passed("log_matching_inv");
    holds.skipped("heartbeat was not driven", "75 inputs");
    holds.tables.push(Table::new(
        "States per depth",
        &["depth", "distinct"],
        vec![vec![0.into(), 1.into()], vec![1.into(), 1_000.into()]],
    ));
    let mut bad = Job::new(
        "check",
        "broken",
        Status::Violated,
        "violated (x_inv, 2 steps)".to_owned(),
    );
    bad.passed("election_safety_inv");
    bad.failed(
        "x_inv",
        Status::Violated,
        "the last state violates it & <all> is lost",
    );
    let trace = golden();
    bad.steps = Some(StepTable::new(
        "A shortest path to the violation, 2 steps",
        &trace.header.config,
        &trace.steps[..2],
    ));
    bad.notes
        .push("lockstep replay x.ndjson repeats it".to_owned());
    let mut cut = Job::new("check", "big", Status::Holds, "bounded (states)".to_owned());
    cut.failed("election_safety_inv", Status::Stopped, "stopped by: states");
    Report::new("check", 2.25, vec![holds, bad, cut], Vec::new())
}

#[test]
fn the_worst_job_decides() {
    let report = sample();
    assert_eq!((report.status, report.exit_code), (Status::Violated, 1));
    let stopped = Report::new("check", 0.0, report.jobs[2..].to_vec(), Vec::new());
    assert_eq!((stopped.status, stopped.exit_code), (Status::Stopped, 4));
    let mut skipped = report.jobs[..1].to_vec();
    skipped[0].status = Status::Skipped;
    let skipped = Report::new("check", 0.0, skipped, Vec::new());
    assert_eq!((skipped.status, skipped.exit_code), (Status::Skipped, 0));
    let holds = Report::new("check", 0.0, report.jobs[..1].to_vec(), Vec::new());
    // A file that is missing takes a pass away, and nothing else.
    let unwritten = |report: &Report| report.clone().with_unwritten(vec!["it".to_owned()]);
    assert_eq!(unwritten(&holds).exit_code, 2);
    assert_eq!(unwritten(&stopped).exit_code, 4);
    assert_eq!(unwritten(&report).exit_code, 1);
    assert_eq!((holds.status, holds.exit_code), (Status::Holds, 0));
}

#[test]
fn nothing_done_is_not_success() {
    assert_ne!(
        Report::new("check", 0.0, Vec::new(), Vec::new()).exit_code,
        0
    );
}

#[test]
fn for_people() {
    insta::assert_snapshot!(human::render(&sample(), Style::default()));
}

#[test]
fn for_people_who_want_everything() {
    let style = Style {
        verbose: true,
        ..Style::default()
    };
    insta::assert_snapshot!(human::render(&sample(), style));
}

#[test]
fn colours_only_where_asked() {
    assert!(!human::render(&sample(), Style::default()).contains('\x1b'));
    let style = Style {
        colour: true,
        ..Style::default()
    };
    assert!(human::render(&sample(), style).contains("\x1b[1;31mviolated"));
}

#[test]
fn for_machines() {
    insta::assert_snapshot!(json::render(&sample()).replace(env!("CARGO_PKG_VERSION"), "VERSION"));
}

#[test]
fn for_ci_servers() {
    let xml = junit::render(&sample());
    insta::assert_snapshot!(uuid_free(&xml));
    assert!(
        quick_junit::Report::deserialize_from_str(&xml).is_ok(),
        "{xml}"
    );
}

/// The renderer must be a pure function; should it ever write an id or a time stamp, this shows.
fn uuid_free(xml: &str) -> &str {
    assert!(
        !xml.contains("uuid=") && !xml.contains("timestamp="),
        "{xml}"
    );
    xml
}

#[test]
fn every_kind_of_step() {
    insta::assert_snapshot!(
        StepTable::new("golden", &golden().header.config, &golden().steps).to_text()
    );
}

/// The page names every job with its verdict, escapes what others wrote, and links what is there.
#[test]
fn as_a_page() {
    let mut report = sample();
    report.jobs[0].name = "<script>alert(1)</script>".to_owned();
    let value = serde_json::to_value(&report).expect("plain data");
    let none = std::collections::BTreeSet::new();
    let html = page::render(std::slice::from_ref(&value), &none);
    assert!(!html.contains("<script"));
    for job in &report.jobs {
        let verdict = crate::show::escape(&job.verdict);
        assert!(html.contains(&verdict), "{verdict}");
    }
    let violated = report
        .jobs
        .iter()
        .find(|job| job.status == Status::Violated)
        .expect("the sample has one");
    let file = page::page_name(&violated.kind, &violated.name);
    assert!(!html.contains(&file));
    let html = page::render(&[value], &[file.clone()].into());
    assert!(html.contains(&format!("<a href=\"{file}\">")));
    assert!(html.contains("model/FINDINGS.md"));
}

#[test]
fn files_of_pages_have_plain_names() {
    let name = page::page_name("conform", "smoke on exec:python3 ../x.py --a=b");
    assert_eq!(name, "conform-smoke-on-exec-python3----x-py---a-b.html");
}

/// A job that established this much.
/// Each trace is named, and the shortest is the one to begin with, in every form of the report.
#[test]
fn traces_are_listed_the_shortest_first() {
    let with = |name: &str, steps: usize| {
        let mut job = Job::new("conform", name, Status::Violated, "diverged".to_owned());
        job.shown_by(format!("divergence-{name}.ndjson").as_ref(), steps);
        job
    };
    let jobs = vec![with("long", 70), with("short", 2), with("middle", 9)];
    let report = Report::new("verify", 1.0, jobs, Vec::new());
    let expected = "the shortest first:
  divergence-short.ndjson: 2 steps, conform short
  divergence-middle.ndjson: 9 steps, conform middle
  divergence-long.ndjson: 70 steps, conform long";
    let human = human::render(&report, Style::default());
    assert!(human.contains(expected), "{human}");
    let junit = junit::render(&report);
    assert_eq!(junit.matches(expected).count(), 3, "{junit}");
    let json: serde_json::Value = serde_json::from_str(&json::render(&report)).expect("JSON");
    let files: Vec<_> = json["traces"].as_array().expect("a list").iter().collect();
    let steps: Vec<_> = files.iter().map(|it| it["steps"].as_u64()).collect();
    assert_eq!(steps, [Some(2), Some(9), Some(70)]);
    assert_eq!(files[0]["file"], "divergence-short.ndjson");
    // One trace needs no list.
    let one = Report::new("conform", 1.0, vec![with("short", 2)], Vec::new());
    assert!(!human::render(&one, Style::default()).contains("the shortest first"));
}

fn job(kind: &str, name: &str, verdict: &str, fact: &str, size: u64) -> Job {
    let mut job = Job::new(kind, name, Status::Holds, verdict.to_owned());
    job.seconds = 1.25;
    job.fact(fact, size);
    job
}

/// The result of the main job fits one screen of 80 columns, says every verdict, and shows what is wrong whole.
#[test]
fn the_main_job_on_one_screen() {
    let mut jobs = Vec::new();
    let presets = [
        "smoke", "default", "votes", "lease", "conflict", "pair", "window", "single",
    ];
    for preset in presets {
        jobs.push(job(
            "check",
            preset,
            "exhausted",
            "distinct states",
            849_063,
        ));
    }
    let mut coverage = Job::new(
        "coverage",
        presets.join(", "),
        Status::Holds,
        "no gaps".to_owned(),
    );
    coverage.fact("witnesses reached", "24 of 24");
    jobs.push(coverage);
    for preset in presets {
        let name = format!("{preset} on lockstep-raft");
        let verdict = "bisimilar within the bound";
        jobs.push(job(
            "conform",
            &name,
            verdict,
            "transitions covered",
            14_819_709,
        ));
    }
    let name = "traces/corpus on lockstep-raft";
    let verdict = "sampled: every trace agrees";
    jobs.push(job("replay", name, verdict, "steps compared", 654));
    jobs.push(job(
        "walk",
        "on lockstep-raft",
        "sampled",
        "inputs compared",
        35_031,
    ));
    let report = Report::new("verify", 9.0, jobs.clone(), Vec::new());
    let text = human::render(&report, Style::default());
    assert!(text.lines().all(|it| it.chars().count() <= 80), "{text}");
    assert!(text.lines().count() <= 26, "{text}");
    insta::assert_snapshot!(text);
    // The lines have been shown: the table remains.
    let seen = Style {
        lines_shown: true,
        ..Style::default()
    };
    assert_eq!(human::render(&report, seen).lines().count(), 6);
    // However many jobs there are.
    let many: Vec<_> = jobs.iter().cycle().take(143).cloned().collect();
    let many = Report::new("verify", 9.0, many, Vec::new());
    let text = human::render(&many, Style::default());
    assert!(text.lines().count() <= 8, "{text}");
    assert!(text.contains("holds: 143 jobs"), "{text}");
    // What does not hold is shown with everything.
    jobs[3].failed(
        "election_safety_inv",
        Status::Violated,
        "the last state violates it",
    );
    jobs[3].verdict = "violated (election_safety_inv, 12 steps)".to_owned();
    let report = Report::new("verify", 9.0, jobs, Vec::new());
    let text = human::render(&report, Style::default());
    for part in [
        "violated  election_safety_inv: the last state",
        "7 of 8",
        "violated: 19 jobs",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

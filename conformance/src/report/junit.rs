//! The report for CI servers: JUnit XML, a suite for each job, a test case for each assertion.

use super::{Case, Failure, Job, Report, Status, visible};
use quick_junit::{NonSuccessKind, TestCase, TestCaseStatus, TestSuite, XmlString};
use std::time::Duration;

/// The report as JUnit XML. A job that asserted nothing one by one is one test case by itself, so that
/// no job can be missing from the count.
pub fn render(report: &Report) -> String {
    let report = visible::report(report);
    let mut out = quick_junit::Report::new(format!("lockstep {}", report.command));
    out.set_time(seconds(report.seconds));
    let traces = super::human::traces(&report);
    for job in &report.jobs {
        out.add_test_suite(suite(job, traces.as_deref()));
    }
    out.to_string()
        .expect("writing XML to a string in memory does not fail")
}

/// In place of a report that there is not: one test case, which is an error, and what was done before it.
pub fn render_failure(failure: &Failure) -> String {
    let name = format!("lockstep {}", failure.command);
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
    status.set_message(visible::text(&failure.error).as_ref());
    let mut suite = TestSuite::new(&name);
    suite.add_test_case(TestCase::new("it could be run", status));
    let mut out = quick_junit::Report::new(&name);
    out.add_test_suite(suite);
    for job in &failure.jobs {
        let mut job = job.clone();
        visible::job(&mut job);
        out.add_test_suite(self::suite(&job, None));
    }
    out.to_string()
        .expect("writing XML to a string in memory does not fail")
}

/// The suite of a job; `traces` lists those of all jobs.
fn suite(job: &Job, traces: Option<&str>) -> TestSuite {
    let name = job.title();
    let mut suite = TestSuite::new(&name);
    suite.set_time(seconds(job.seconds));
    suite.add_property(("verdict", job.verdict.as_str()));
    for fact in &job.facts {
        suite.add_property((
            fact.name.as_str(),
            super::human::plain(&fact.value).as_str(),
        ));
    }
    let verdict = Case {
        // Not the verdict itself: CI servers follow a case by its name from run to run.
        name: "verdict".to_owned(),
        status: job.status,
        so_far: false,
        message: (job.status != Status::Holds).then(|| job.verdict.clone()),
    };
    let mut whole = test_case(&name, &verdict, description(job, traces).as_deref());
    whole.set_time(seconds(job.seconds));
    suite.add_test_case(whole);
    for case in &job.cases {
        // What held until another property was violated is neither passed nor an error.
        let status = match (job.status, case.so_far) {
            (Status::Violated, true) => Status::Skipped,
            _ => case.status,
        };
        let case = Case {
            status,
            ..case.clone()
        };
        suite.add_test_case(test_case(&name, &case, None));
    }
    suite
}

/// The way to what went wrong, expected and actual, the notes, and the traces of all jobs: all that a person
/// needs who has nothing but this file.
fn description(job: &Job, traces: Option<&str>) -> Option<String> {
    let mut parts = Vec::new();
    for violation in &job.violations {
        let table = super::causes(violation);
        parts.push(format!(
            "{}: {}",
            violation.property,
            super::sentence(violation)
        ));
        if !table.rows.is_empty() {
            parts.push(format!("{}:\n{}", table.title, table.to_text()));
        }
    }
    if let Some(steps) = &job.steps {
        parts.push(format!("{}:\n{}", steps.title, steps.to_text()));
    }
    if let Some(table) = &job.differences {
        parts.push(format!("{}:\n{}", table.title, table.to_text()));
    }
    parts.extend(job.notes.iter().cloned());
    parts.extend(traces.filter(|_| job.trace.is_some()).map(str::to_owned));
    (!parts.is_empty()).then(|| parts.join("\n\n"))
}

fn test_case(class: &str, case: &Case, description: Option<&str>) -> TestCase {
    let mut status = match case.status {
        Status::Holds => TestCaseStatus::success(),
        Status::Skipped => TestCaseStatus::skipped(),
        // A run that was cut off is an error of the run, not a failure of what was tested.
        Status::Stopped => TestCaseStatus::non_success(NonSuccessKind::Error),
        Status::Violated => TestCaseStatus::non_success(NonSuccessKind::Failure),
    };
    if let Some(message) = &case.message {
        status.set_message(message.as_str());
    }
    if let (Some(text), true) = (description, case.status != Status::Holds) {
        status.set_description(XmlString::from(text));
    }
    let mut out = TestCase::new(case.name.as_str(), status);
    out.set_classname(class);
    out
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

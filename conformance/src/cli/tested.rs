//! Properties that hold only because the case that they are about never came up: nothing tested is no pass.

use crate::report::{Job, Status, Table};
use lockstep_engine::{Report, Verdict};
use std::collections::{BTreeMap, BTreeSet};

/// Why a property is no assertion that holds.
pub const UNTESTED: &str = "nothing in what was explored put it to the test";

/// The properties that a search checked and never put to the test.
pub fn never_tested(report: &Report) -> Vec<&str> {
    // The step that violates a property put it to the test, whether or not it was counted before the search ended.
    let violated = |name: &str| matches!(&report.verdict, Verdict::Violated { property, .. } if property == name);
    let unmet = report
        .antecedents
        .iter()
        .filter(|it| it.held == 0 && !violated(&it.property));
    unmet
        .map(|it| it.property.as_str())
        .filter(|name| report.checked.iter().any(|it| it == name))
        .collect()
}

/// If a search that came to its end put no property to the test, the job fails.
pub fn none(job: &mut Job, report: &Report) {
    let untested = never_tested(report);
    if report.verdict != Verdict::Exhausted || untested.is_empty() {
        return;
    }
    if untested.len() == report.checked.len() {
        fail(job, &untested);
        job.verdict = format!("{}, no property put to the test", job.verdict);
    } else {
        let names = untested.join(", ");
        job.notes.push(format!("never put to the test: {names}"));
    }
}

/// Says in the verdict of a search that came to its end how many properties it never put to the test; a strict one
/// fails for it.
pub fn in_verdict(job: &mut Job, report: &Report, strict: bool) {
    let untested = never_tested(report);
    let all = report.checked.len();
    let some = !untested.is_empty() && untested.len() < all;
    if report.verdict == Verdict::Exhausted && some {
        job.verdict = format!("{}, {}", job.verdict, words(untested.len(), all));
        if strict {
            fail(job, &untested);
        }
    }
}

fn words(untested: usize, all: usize) -> String {
    format!("{untested} of {all} properties never put to the test")
}

/// The properties were to be tested: their cases fail.
fn fail(job: &mut Job, untested: &[&str]) {
    job.cases
        .retain(|case| !untested.contains(&case.name.as_str()));
    for property in untested {
        job.failed(*property, Status::Violated, UNTESTED);
    }
}

/// The number of times that several searches put each property to the test, and the witnesses they reached.
#[derive(Default)]
pub struct Tested<'a> {
    properties: BTreeMap<String, (u64, Vec<&'a str>)>,
    reached: BTreeSet<String>,
    searches: usize,
    /// The number of searches that came to their ends.
    ended: usize,
}

impl<'a> Tested<'a> {
    /// Adds a search of that preset.
    pub fn add(&mut self, preset: &'a str, report: &Report) {
        self.searches += 1;
        self.ended += usize::from(report.verdict == Verdict::Exhausted);
        for name in &report.checked {
            self.properties.entry(name.clone()).or_default();
        }
        for it in &report.antecedents {
            if let Some((times, presets)) = self.properties.get_mut(&it.property)
                && it.held > 0
            {
                *times += it.held;
                presets.push(preset);
            }
        }
        let reached = report.witnesses.iter().filter(|it| it.depth.is_some());
        self.reached.extend(reached.map(|it| it.name.clone()));
    }

    /// Reports whether each property was put to the test in one of the searches. A strict job fails if one was not; any
    /// job does if none was, or if a witness among the names asked for was reached in no search.
    pub fn job(&self, asked: &[String], strict: bool) -> Job {
        let tested = self.properties.values().filter(|(times, _)| *times > 0);
        let (all, tested) = (self.properties.len(), tested.count());
        let mut verdict = match all - tested {
            0 => format!("all {all} properties put to the test"),
            untested => words(untested, all),
        };
        let open = self.ended < self.searches;
        // What the rest would have met, nobody knows.
        let failing = match open {
            true => Status::Stopped,
            false => Status::Violated,
        };
        if open {
            verdict.push_str(", as far as was explored");
        }
        let mut job = Job::new("tested", "by all presets", Status::Holds, verdict);
        job.fact("properties put to the test", format!("{tested} of {all}"));
        job.fact(
            "searches that came to their ends",
            format!("{} of {}", self.ended, self.searches),
        );
        for (name, (times, _)) in &self.properties {
            match times {
                0 if strict || tested == 0 => job.failed(name, failing, UNTESTED),
                0 => job.skipped(name, UNTESTED),
                _ => job.passed(name),
            }
        }
        for name in asked
            .iter()
            .filter(|name| !self.properties.contains_key(*name))
        {
            match self.reached.contains(name) {
                true => job.passed(name),
                false => job.failed(name, failing, "no state or step of a preset is one"),
            }
        }
        if job.cases.is_empty() {
            job.failed("a property is put to the test", failing, "there is none");
        }
        let rows = self.properties.iter().map(|(name, (times, presets))| {
            vec![
                name.as_str().into(),
                (*times).into(),
                presets.join(", ").into(),
            ]
        });
        let title = "How often a property was put to the test, and by which presets";
        let columns = ["property", "times", "presets"];
        job.tables.push(Table::new(title, &columns, rows.collect()));
        job
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::model::Chosen;
    use lockstep_engine::{Limit, Search};

    fn searched(preset: &str) -> Report {
        let chosen = Chosen::preset(preset).expect("there is such a preset");
        let search = Search::new(&chosen.cluster).coverage(true);
        search.run().expect("the search needs nothing").report
    }

    #[test]
    fn what_one_preset_tests_another_need_not() {
        let (mut one, mut other) = (searched("single"), searched("single"));
        for (position, it) in one.antecedents.iter_mut().enumerate() {
            it.held = u64::from(position % 2 == 0);
        }
        let mut tested = Tested::default();
        tested.add("one", &one);
        let job = tested.job(&[], true);
        assert_eq!(job.status, Status::Violated, "{}", job.verdict);
        assert_eq!(tested.job(&[], false).status, Status::Holds);
        for (position, it) in other.antecedents.iter_mut().enumerate() {
            it.held = u64::from(position % 2 == 1);
        }
        tested.add("other", &other);
        let job = tested.job(&[], true);
        assert_eq!(job.status, Status::Holds, "{}", job.verdict);
    }

    #[test]
    fn nothing_tested_and_unfinished_searches_are_no_pass() {
        let mut report = searched("single");
        assert_ne!(Tested::default().job(&[], false).status, Status::Holds);
        for it in &mut report.antecedents {
            it.held = 0;
        }
        let job = |report: &Report| {
            let mut tested = Tested::default();
            tested.add("single", report);
            tested.job(&[], false)
        };
        assert_eq!(job(&report).status, Status::Violated);
        report.verdict = Verdict::Bounded {
            stopped_by: Limit::States,
        };
        assert_eq!(job(&report).status, Status::Stopped);
    }

    #[test]
    fn a_witness_that_was_asked_for_is_reached_by_one_preset() {
        let report = searched("single");
        let mut tested = Tested::default();
        tested.add("single", &report);
        let job = |name: &str| tested.job(&[name.to_owned()], false).status;
        assert_eq!(job("leader_elected_reachable"), Status::Holds);
        assert_eq!(job("two_leaders_reachable"), Status::Violated);
    }
}

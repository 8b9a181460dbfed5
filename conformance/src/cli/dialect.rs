//! The departures that a target's dialect excused. An entry that excuses nothing in a whole run is out of date, or
//! hides something: it fails the run.

use crate::DialectUse;
use crate::report::{Job, Status, Table};

/// Lists the dialect of a comparison. One preset need not need every entry: what made no difference is
/// said, and is no failure yet.
pub fn describe(job: &mut Job, entries: &[DialectUse]) {
    if entries.is_empty() {
        return;
    }
    job.tables.push(table(entries));
    for entry in entries.iter().filter(|entry| entry.uses == 0) {
        job.notes.push(format!(
            "The dialect entry {} made no difference here.",
            entry.name
        ));
    }
    job.dialect = entries.to_vec();
}

/// The dialect over all comparisons of a run, as a job of its own; `None` if no target had one. As long as
/// one of them has no answer, an entry may yet be needed.
pub fn together(jobs: &[Job]) -> Option<Job> {
    let mut entries: Vec<DialectUse> = Vec::new();
    let mut names = Vec::new();
    for job in jobs.iter().filter(|job| !job.dialect.is_empty()) {
        names.push(job.name.as_str());
        for found in &job.dialect {
            match entries.iter_mut().find(|entry| entry.name == found.name) {
                Some(entry) => entry.uses += found.uses,
                None => entries.push(found.clone()),
            }
        }
    }
    if entries.is_empty() {
        return None;
    }
    let open = jobs
        .iter()
        .any(|job| job.kind == "conform" && job.status != Status::Holds);
    let worst = if open {
        Status::Stopped
    } else {
        Status::Violated
    };
    let stale = entries.iter().filter(|entry| entry.uses == 0).count();
    let verdict = match stale {
        stale if open && stale > 0 => "stopped (a comparison has no answer)".to_owned(),
        0 => "every entry is needed".to_owned(),
        1 => "1 entry is stale".to_owned(),
        stale => format!("{stale} entries are stale"),
    };
    let mut job = Job::new("dialect", names.join(", "), Status::Holds, verdict);
    job.tables.push(table(&entries));
    for entry in &entries {
        if entry.uses == 0 && open {
            job.failed(entry.name, worst, "it made no difference so far");
        } else if entry.uses == 0 {
            let text = "it excuses nothing in any of the presets: remove it from the dialect";
            job.failed(entry.name, worst, text);
        } else {
            job.passed(entry.name);
        }
    }
    Some(job)
}

fn table(entries: &[DialectUse]) -> Table {
    let rows = entries
        .iter()
        .map(|entry| vec![entry.name.into(), entry.uses.into(), entry.reason.into()]);
    let title = "Dialect: where the target differs by design";
    Table::new(
        title,
        &["entry", "steps", "what, and why that is no error"],
        rows.collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::check::LimitArgs;
    use crate::cli::conform;
    use crate::cli::model::Chosen;
    use crate::cli::progress::Reporter;
    use crate::cli::side_file::SideFile;
    use crate::cli::target::TargetArgs;
    use crate::{Target, TargetSpec};
    use lockstep_model::Dialect;
    use std::path::Path;

    fn job(uses: [u64; 2]) -> Job {
        let mut job = Job::new("conform", "smoke on it", Status::Holds, String::new());
        let entries = [("first", uses[0]), ("second", uses[1])].map(|(name, uses)| DialectUse {
            name,
            reason: "because",
            uses,
        });
        describe(&mut job, &entries);
        job
    }

    #[test]
    fn an_entry_that_excuses_nothing_fails_the_run() {
        let found = together(&[job([3, 0]), job([1, 0])]).unwrap();
        assert_eq!(
            (found.status, found.verdict.as_str()),
            (Status::Violated, "1 entry is stale")
        );
    }

    /// A run of raft-rs in which its dialect is not needed: a server that is alone replicates to nobody.
    #[test]
    fn a_run_that_needs_no_dialect_fails_for_having_one() {
        let target = TargetArgs::of(&TargetSpec::Named("raft-rs".to_owned()));
        let chosen = Chosen::preset("single").unwrap();
        let chosen = chosen.in_dialect(target.start().unwrap().dialect());
        let limits = LimitArgs::threads(1);
        let progress = Reporter::new(true);
        let nowhere = SideFile::at(Path::new("no-divergence.ndjson"));
        let job = conform::one(&chosen, &target, &limits, &nowhere, &progress).unwrap();
        // In one preset that is no failure, and it is said.
        assert_eq!(job.status, Status::Holds);
        let said = |name: &str| {
            let text = format!("The dialect entry {name} made no difference here.");
            job.notes.contains(&text)
        };
        let found = together(std::slice::from_ref(&job)).unwrap();
        assert_eq!(found.status, Status::Violated);
        for departure in Dialect::RAFT_RS.iter() {
            assert!(said(departure.name()), "{departure}");
            let case = found.cases.iter().find(|it| it.name == departure.name());
            assert_eq!(case.unwrap().status, Status::Violated, "{departure}");
        }
    }

    #[test]
    fn as_long_as_a_comparison_has_no_answer_nothing_is_stale() {
        let mut cut = job([3, 0]);
        cut.status = Status::Stopped;
        assert_eq!(together(&[cut]).unwrap().status, Status::Stopped);
    }

    #[test]
    fn presets_are_taken_together() {
        assert_eq!(job([3, 0]).status, Status::Holds);
        let found = together(&[job([3, 0]), job([0, 1])]).unwrap();
        assert_eq!(found.status, Status::Holds);
        assert!(together(&[]).is_none());
    }
}

//! Reports on the bugs that were tried.

use crate::report::{Job, Status, Table};
use crate::seeded::catalogue::{Entry, entry_of};
use crate::seeded::report::{
    Independent, explanations, must_be_caught, named_rules, reasons_for_one, unaccounted,
};
use crate::seeded::{Build, CONTROL, Expected, Finding, Rung, Side, search_for, seeded};
use lockstep_model::Preset;

/// Reports the entries of the catalogue that are neither seeded nor waiting for something nor explained.
pub fn account(entries: &[Entry], build: &Build) -> Job {
    let seeded = seeded(build.bugs.iter().map(|bug| (bug.side, bug.id.as_str())));
    let gaps = unaccounted(entries, &seeded, &explanations());
    let waiting = entries.iter().filter(|it| it.waits_for.is_some()).count();
    let verdict = match gaps.len() {
        0 => "every entry is accounted for".to_owned(),
        gaps => format!("{gaps} entries are not accounted for"),
    };
    let mut job = Job::new("mutants", "the catalogue", Status::Holds, verdict);
    job.fact("entries", entries.len());
    job.fact("seeded bugs", seeded.len());
    job.fact("entries that wait for a feature", waiting);
    for gap in gaps {
        job.failed(gap, Status::Violated, "not accounted for");
    }
    job
}

/// The bugs about which nothing was found out, each with the reason; none if there are none. That is no verdict
/// on them: what catches them is not known.
pub fn not_tried(failed: &[(String, String)]) -> Option<Job> {
    if failed.is_empty() {
        return None;
    }
    let verdict = format!("stopped ({} ended in an error)", failed.len());
    let mut job = Job::new("mutants", "not tried", Status::Stopped, verdict);
    for (bug, why) in failed {
        job.failed(format!("{bug} was tried"), Status::Stopped, why.as_str());
    }
    Some(job)
}

/// The bugs of one side and the rungs that catch them.
pub fn job(
    side: Side,
    findings: &[Finding],
    rungs: &[Rung],
    entries: &[Entry],
    expected: Option<&Expected>,
) -> Option<Job> {
    let findings: Vec<_> = findings.iter().filter(|it| it.side == side).collect();
    if findings.is_empty() {
        return None;
    }
    let caught = findings.iter().filter(|it| it.caught.is_some()).count();
    let name = match side {
        Side::Implementation => "seeded in the production Raft",
        Side::Specification => "seeded in the specification",
    };
    let verdict = format!("{caught} of {} caught", findings.len());
    let mut job = Job::new("mutants", name, Status::Holds, verdict);
    job.seconds = findings.iter().map(|it| it.seconds).sum();
    let climbed: Vec<_> = rungs.iter().map(Rung::to_string).collect();
    job.fact("rungs", climbed.join(", "));
    job.fact("bugs", findings.len());
    for rung in rungs {
        let by = |it: &&&Finding| it.caught.as_ref().is_some_and(|it| it.rung == *rung);
        job.fact(
            &format!("caught by {rung}"),
            findings.iter().filter(by).count(),
        );
    }
    job.fact(
        "steps that name a rule that was broken",
        named_rules(findings.iter().copied()),
    );
    for finding in &findings {
        judge(&mut job, finding, rungs, entries, expected);
        names(&mut job, finding, expected);
        explain(&mut job, finding);
    }
    job.tables.push(table(&findings));
    job.detail = serde_json::to_value(&findings).unwrap_or_default();
    Some(job)
}

/// Decides whether a bug that is not caught is a failure: against the list of what is expected, if there is one; else
/// if it endangers more than liveness and nobody has explained it.
fn judge(
    job: &mut Job,
    finding: &Finding,
    rungs: &[Rung],
    entries: &[Entry],
    expected: Option<&Expected>,
) {
    let case = format!("{} is caught", finding.id);
    let explained = explanations().remove(&finding.key());
    if finding.caught.is_some() {
        match explained {
            Some(_) => {
                let text = "it is caught, and there is an explanation why it cannot be";
                job.failed(case, Status::Violated, text);
            }
            None => job.passed(case),
        }
        return;
    }
    let (fails, why) = match expected {
        Some(list) => match list.get(&finding.key()) {
            Some(known) if rungs.contains(&known.by) => {
                (true, format!("the rung {} used to", known.by))
            }
            _ => (false, "no rung that was climbed is expected to".to_owned()),
        },
        None => match explained {
            Some(why) => (false, why),
            // A bug that is not of the catalogue is one of our own, made to be caught.
            None => (
                entry_of(entries, &finding.id).is_none_or(must_be_caught),
                "no rung that was climbed catches it".to_owned(),
            ),
        },
    };
    if fails {
        job.failed(case, Status::Violated, why);
    } else {
        job.notes
            .push(format!("{} is not caught: {why}", finding.id));
    }
}

/// A step that named the broken rule once must do so still, as long as the same rung catches the bug.
fn names(job: &mut Job, finding: &Finding, expected: Option<&Expected>) {
    let Some(caught) = &finding.caught else {
        return;
    };
    let known = expected.and_then(|list| list.get(&finding.key()));
    let known = known.filter(|it| it.by == caught.rung);
    if known.is_some_and(|it| it.names_its_rule == Some(true)) {
        let case = format!("{} names its rule", finding.id);
        match finding.names_its_rule() {
            Some(true) => job.passed(case),
            _ => {
                let text = format!(
                    "it breaks {}; the step that shows it applies {}",
                    finding.breaks.join(", "),
                    caught.rules.join(", ")
                );
                job.failed(case, Status::Violated, text);
            }
        }
    }
}

/// A violated property must be explained by values.
fn explain(job: &mut Job, finding: &Finding) {
    let Some(causes) = finding.caught.as_ref().and_then(|it| it.causes) else {
        return;
    };
    let case = format!("{} is explained by values", finding.id);
    match causes {
        0 => job.failed(case, Status::Violated, "no value breaks the property"),
        _ => job.passed(case),
    }
}

fn table(findings: &[&Finding]) -> Table {
    let columns = [
        "bug",
        "caught by",
        "seen in",
        "states",
        "seconds",
        "events",
        "breaks",
        "rules of that step",
    ];
    let rows = findings.iter().map(|finding| match &finding.caught {
        Some(it) => vec![
            finding.id.as_str().into(),
            format!("{}: {}", it.rung, it.run).into(),
            it.by.as_str().into(),
            it.states.into(),
            it.seconds.into(),
            it.steps.into(),
            finding.breaks.join(", ").into(),
            it.rules.join(", ").into(),
        ],
        None => vec![finding.id.as_str().into(), "nothing".into()],
    });
    Table {
        title: "Seeded bugs and what catches them".to_owned(),
        columns: columns.map(str::to_owned).to_vec(),
        rows: rows.collect(),
        shown: true,
    }
}

/// Reports, for each bug in the specification, whether the property or witness that it names notices it in the preset
/// that it names, by a search with and one without collapsed states; `None` if no bug names one.
pub fn searched(name: &str, findings: &[Finding]) -> Option<Job> {
    let mut job = Job::new("mutants", name, Status::Holds, String::new());
    let mut wrong = 0;
    for finding in findings {
        let Some(searched) = &finding.searched else {
            continue;
        };
        let result = match searched {
            it if !it.same_without_collapse => {
                Err("a search without collapsed states finds something else")
            }
            it if it.violated => Ok(()),
            it if it.reached => Err("the witness is reached all the same"),
            // Otherwise it is a property that holds, or a witness that is not reached, but would be.
            it => match Preset::named(&it.preset).map(|preset| search_for(&it.only, preset)) {
                Some(without) if without.reached => Ok(()),
                _ => Err("the property holds"),
            },
        };
        let case = format!("{}: {}", finding.id, searched.only);
        match result {
            Ok(()) => job.passed(case),
            Err(why) => {
                wrong += 1;
                job.failed(case, Status::Violated, why);
            }
        }
    }
    let all = job.cases.len();
    job.verdict = format!(
        "{} of {all} are noticed by the property they name",
        all - wrong
    );
    (all > 0).then_some(job)
}

/// Reports the number of runs that see each bug, whatever the others see. A bug that only one run sees hangs by a
/// thread, and has a reason.
pub fn independent(findings: &[Finding]) -> Job {
    let mut job = Job::new("mutants", "how many see each", Status::Holds, String::new());
    let mut rows = Vec::new();
    let mut alone = 0;
    let mut reasons = reasons_for_one();
    for finding in findings.iter().filter(|it| it.id != CONTROL) {
        let key = finding.key();
        let seen = Independent::of(finding);
        let case = format!("{key}: more than one run sees it, or there is a reason");
        match (seen.runs, reasons.remove(&key)) {
            (1, Some(why)) => job.notes.push(format!("{key}: one run sees it: {why}")),
            (1, None) => job.failed(case, Status::Violated, "one run sees it, and no other"),
            (_, Some(_)) => {
                let text = "there is a reason why one run sees it, and it is not one run";
                job.failed(case, Status::Violated, text);
            }
            (_, None) => job.passed(case),
        }
        alone += u64::from(seen.runs == 1);
        rows.push(vec![
            key.into(),
            seen.traces.into(),
            seen.presets.len().into(),
            seen.presets.join(", ").into(),
            seen.walks.into(),
            u64::from(seen.timeouts).into(),
        ]);
    }
    job.verdict = format!("{alone} of {} are seen by one run only", rows.len());
    let columns = [
        "bug",
        "traces",
        "presets",
        "which",
        "walks",
        "sampled timeouts",
    ];
    job.tables.push(Table {
        title: "Runs that see each bug".to_owned(),
        columns: columns.map(str::to_owned).to_vec(),
        rows,
        shown: true,
    });
    job.detail = serde_json::to_value(findings).unwrap_or_default();
    job
}

/// Reports the bugs that are seeded into both sides: whether the comparison sees them, and the properties that do.
pub fn both(on_both: &[Finding], findings: &[Finding]) -> Job {
    let mut job = Job::new("mutants", "on both sides", Status::Holds, String::new());
    let mut rows = Vec::new();
    for finding in on_both {
        let in_specification =
            |it: &&Finding| it.side == Side::Specification && it.id == finding.id;
        let property = findings.iter().find(in_specification);
        let property = property.and_then(|it| it.caught.as_ref());
        let case = format!("{} is seen by a property", finding.id);
        match property {
            Some(_) => job.passed(case),
            None => job.failed(case, Status::Violated, "no rung that was climbed sees it"),
        }
        let compared = finding.caught.as_ref();
        rows.push(vec![
            finding.id.as_str().into(),
            compared.map_or("nothing".into(), |it| {
                format!("{}: {}", it.run, it.by).into()
            }),
            property.map_or("nothing".into(), |it| {
                format!("{}: {}", it.run, it.by).into()
            }),
        ]);
    }
    let unseen = on_both.iter().filter(|it| it.caught.is_none()).count();
    job.verdict = format!(
        "the comparison sees nothing of {unseen} of {}, and differs where the two are not the same mistake",
        on_both.len()
    );
    let columns = ["bug", "the comparison sees", "properties see"];
    job.tables.push(Table {
        title: "Bugs that both sides have".to_owned(),
        columns: columns.map(str::to_owned).to_vec(),
        rows,
        shown: true,
    });
    job
}

//! `lockstep mutants`: real mistakes, planted one at a time, and the rung that catches each.

use clap::Args;
use lockstep_conformance::mutants::Rung;
use std::path::PathBuf;

/// Options of `lockstep mutants`.
#[derive(Debug, Args)]
pub struct MutantsArgs {
    /// The rungs to climb, in this order; all of them if none is named
    #[arg(long, value_name = "RUNG")]
    rung: Vec<Rung>,
    /// Only these planted mistakes, such as EL-01; may be given more than once
    #[arg(long, value_name = "ID")]
    only: Vec<String>,
    /// The traces of the rung `corpus`
    #[arg(long, value_name = "DIR", default_value = "traces/corpus")]
    corpus: PathBuf,
    /// Write the table for people to this file
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// Write the trace that shows each mistake into this folder
    #[arg(long, value_name = "DIR")]
    traces: Option<PathBuf>,
    /// Fail only for a mistake that the list of this file says these rungs catch, and that they do not;
    /// the list is the JSON that `--write-expected` wrote
    #[arg(long, value_name = "FILE")]
    expected: Option<PathBuf>,
    /// Write what caught which mistake, for `--expected`
    #[arg(long, value_name = "FILE", conflicts_with = "expected")]
    write_expected: Option<PathBuf>,
}

#[cfg(not(feature = "seeded-bugs"))]
pub use absent::run;
#[cfg(feature = "seeded-bugs")]
pub use planted::run;

#[cfg(not(feature = "seeded-bugs"))]
mod absent {
    use super::MutantsArgs;
    use crate::cli::error::CliError;
    use crate::cli::progress::Reporter;
    use crate::report::Job;

    /// This build has no mistake planted, as it should be.
    ///
    /// # Errors
    /// Always: there is nothing to try.
    pub fn run(args: &MutantsArgs, _progress: &Reporter) -> Result<Vec<Job>, CliError> {
        // Named, so that options which nothing reads in this build are still known to be used.
        let MutantsArgs {
            rung: _,
            only: _,
            corpus: _,
            markdown: _,
            traces: _,
            expected: _,
            write_expected: _,
        } = args;
        Err(CliError::Usage(
            "this build has no planted mistakes; a build that has them is made and run by \
             `cargo run --release --features seeded-bugs -- mutants`"
                .to_owned(),
        ))
    }
}

#[cfg(feature = "seeded-bugs")]
mod planted {
    use super::MutantsArgs;
    use crate::cli::error::CliError;
    use crate::cli::output::write_file;
    use crate::cli::progress::{Reporter, Tick};
    use crate::report::{Job, Status, Table};
    use lockstep_conformance::mutants::catalogue::{Entry, catalogue, entry_of};
    use lockstep_conformance::mutants::report::{
        explanations, markdown, must_be_caught, unaccounted,
    };
    use lockstep_conformance::mutants::{
        CONTROL, Finding, Rung, Side, planted, try_control, try_implementation, try_specification,
    };
    use lockstep_model::Mutation;
    use lockstep_raft::Bug;
    use lockstep_traces::{Trace, trace_files};
    use std::collections::BTreeMap;
    use std::ops::ControlFlow;
    use std::path::Path;

    /// Which rung caught a mistake, by side and name.
    type Expected = BTreeMap<String, Rung>;

    /// Plants and tries every mistake that was asked for.
    ///
    /// # Errors
    /// No mistake has such a name, the corpus is missing or damaged, or a file cannot be written.
    pub fn run(args: &MutantsArgs, progress: &Reporter) -> Result<Vec<Job>, CliError> {
        let rungs = match args.rung.as_slice() {
            [] => Rung::ALL.to_vec(),
            rungs => rungs.to_vec(),
        };
        let corpus = match rungs.contains(&Rung::Corpus) {
            true => read_corpus(&args.corpus)?,
            false => Vec::new(),
        };
        let expected = args.expected.as_deref().map(read_expected).transpose()?;
        let entries = catalogue();
        progress.begin("mutants");
        let findings = try_all(&args.only, &rungs, &corpus, progress)?;
        if let Some(path) = &args.markdown {
            write_file(path, markdown(&entries, &findings).as_bytes())?;
        }
        if let Some(path) = &args.write_expected {
            let caught = findings
                .iter()
                .filter_map(|it| Some((it.key(), it.caught.as_ref()?.rung)));
            let list: Expected = caught.collect();
            let mut text = serde_json::to_string_pretty(&list).unwrap_or_default();
            text.push('\n');
            write_file(path, text.as_bytes())?;
        }
        if let Some(folder) = &args.traces {
            save_traces(folder, &findings)?;
        }
        let mut jobs = vec![account(&entries)];
        jobs.extend(
            [Side::Implementation, Side::Specification]
                .into_iter()
                .filter_map(|side| job(side, &findings, &rungs, &entries, expected.as_ref())),
        );
        Ok(jobs)
    }

    /// Whether every entry of the catalogue is planted, waits for something or is explained.
    fn account(entries: &[Entry]) -> Job {
        let gaps = unaccounted(entries, &planted(), &explanations());
        let waiting = entries.iter().filter(|it| it.waits_for.is_some()).count();
        let verdict = match gaps.len() {
            0 => "every entry is accounted for".to_owned(),
            gaps => format!("{gaps} entries are not accounted for"),
        };
        let mut job = Job::new("mutants", "the catalogue", Status::Holds, verdict);
        job.fact("entries", entries.len());
        job.fact("planted mistakes", planted().len());
        job.fact("entries that wait for a feature", waiting);
        for gap in gaps {
            job.failed(gap, Status::Violated, "not accounted for");
        }
        job
    }

    fn try_all(
        only: &[String],
        rungs: &[Rung],
        corpus: &[(String, Trace)],
        progress: &Reporter,
    ) -> Result<Vec<Finding>, CliError> {
        let asked = |id: &str| only.is_empty() || only.iter().any(|it| it == id);
        let mut findings = Vec::new();
        let mut report = |finding: Finding| {
            let note = match &finding.caught {
                Some(caught) => format!("{}: {}", finding.id, caught.rung),
                None => format!("{}: not caught", finding.id),
            };
            findings.push(finding);
            let tick = Tick {
                done: findings.len() as u64,
                unit: "mistakes",
                note,
                ..Tick::default()
            };
            progress.tick(&tick)
        };
        let bugs = Bug::ALL.iter().filter(|bug| asked(bug.id()));
        let mutations = Mutation::ALL.iter().filter(|it| asked(it.id()));
        let mut flow = ControlFlow::Continue(());
        for bug in bugs {
            if flow.is_continue() {
                flow = report(try_implementation(*bug, rungs, corpus));
            }
        }
        for mutation in mutations {
            if flow.is_continue() {
                flow = report(try_specification(*mutation, rungs));
            }
        }
        if flow.is_continue() && asked(CONTROL) {
            let control = try_control().map_err(|error| CliError::Usage(error.to_string()))?;
            flow = report(control);
        }
        if flow.is_break() {
            return Err(CliError::Usage("interrupted before the end".to_owned()));
        }
        if findings.is_empty() {
            let text = format!("no planted mistake is called {}", only.join(" or "));
            return Err(CliError::Usage(text));
        }
        Ok(findings)
    }

    fn read_corpus(folder: &Path) -> Result<Vec<(String, Trace)>, CliError> {
        let mut traces = Vec::new();
        for path in trace_files(folder)? {
            traces.push((path.display().to_string(), Trace::read(&path)?));
        }
        Ok(traces)
    }

    fn read_expected(path: &Path) -> Result<Expected, CliError> {
        let place =
            |error: &dyn std::fmt::Display| CliError::Input(format!("{}: {error}", path.display()));
        let text = std::fs::read_to_string(path).map_err(|error| place(&error))?;
        let list: Expected = serde_json::from_str(&text).map_err(|error| place(&error))?;
        if list.is_empty() {
            return Err(place(&"the list is empty"));
        }
        Ok(list)
    }

    fn save_traces(folder: &Path, findings: &[Finding]) -> Result<(), CliError> {
        let failed = |path: &Path, source| CliError::Output {
            path: path.to_owned(),
            source,
        };
        std::fs::create_dir_all(folder).map_err(|source| failed(folder, source))?;
        for finding in findings {
            let Some(trace) = finding.caught.as_ref().and_then(|it| it.trace.as_ref()) else {
                continue;
            };
            let path = folder.join(format!("{}.ndjson", finding.key().replace(' ', "-")));
            trace.save(&path).map_err(|source| failed(&path, source))?;
        }
        Ok(())
    }

    fn job(
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
            Side::Implementation => "planted in the production Raft",
            Side::Specification => "planted in the specification",
        };
        let verdict = format!("{caught} of {} caught", findings.len());
        let mut job = Job::new("mutants", name, Status::Holds, verdict);
        job.seconds = findings.iter().map(|it| it.seconds).sum();
        let climbed: Vec<_> = rungs.iter().map(Rung::to_string).collect();
        job.fact("rungs", climbed.join(", "));
        job.fact("mistakes", findings.len());
        for rung in rungs {
            let by = |it: &&&Finding| it.caught.as_ref().is_some_and(|it| it.rung == *rung);
            job.fact(
                &format!("caught by {rung}"),
                findings.iter().filter(by).count(),
            );
        }
        for finding in &findings {
            judge(&mut job, finding, rungs, entries, expected);
        }
        job.tables.push(table(&findings));
        job.detail = serde_json::to_value(&findings).unwrap_or_default();
        Some(job)
    }

    /// Whether a mistake that is not caught is a failure: against the list of what is expected, if there
    /// is one; else if it endangers more than liveness and nobody has explained it.
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
                Some(rung) if rungs.contains(rung) => (true, format!("the rung {rung} used to")),
                _ => (false, "no rung that was climbed is expected to".to_owned()),
            },
            None => match explained {
                Some(why) => (false, why),
                // A mistake that is not of the catalogue is one of our own, made to be caught.
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

    fn table(findings: &[&Finding]) -> Table {
        let columns = [
            "mistake",
            "caught by",
            "seen in",
            "states",
            "seconds",
            "events",
        ];
        let rows = findings.iter().map(|finding| match &finding.caught {
            Some(it) => vec![
                finding.id.as_str().into(),
                format!("{}: {}", it.rung, it.run).into(),
                it.by.as_str().into(),
                it.states.into(),
                it.seconds.into(),
                it.steps.into(),
            ],
            None => vec![finding.id.as_str().into(), "nothing".into()],
        });
        Table {
            title: "Mistakes and what catches them".to_owned(),
            columns: columns.map(str::to_owned).to_vec(),
            rows: rows.collect(),
            shown: true,
        }
    }
}

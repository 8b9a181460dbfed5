//! Recorded runs of etcd's raft against the specification: good ones are valid, and mutated ones are refused.
//!
//! The runs are not part of this repository. Set `LOCKSTEP_ETCD_TRACES` to a folder with `expected.json`, `runs.json`,
//! `valid/` and `invalid/`; `LOCKSTEP_REQUIRE_ETCD_TRACES` makes it an error if it is not set.

use lockstep_conformance::validate::moment::Kind as LineKind;
use lockstep_conformance::validate::told::Told;
use lockstep_conformance::validate::{Answer, Options, validate};
use lockstep_traces::Role;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

mod mutations {
    include!("validate/mutations.rs");
}

use mutations::{Kind, Random, mutate};

fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os("LOCKSTEP_ETCD_TRACES").map(PathBuf::from);
    if folder.is_none() {
        let required = std::env::var_os("LOCKSTEP_REQUIRE_ETCD_TRACES").is_some();
        assert!(!required, "LOCKSTEP_ETCD_TRACES is not set");
        eprintln!("recorded runs of etcd: SKIPPED, LOCKSTEP_ETCD_TRACES is not set");
    }
    folder
}

fn json(path: PathBuf) -> Value {
    let text =
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The settings of each good run, by the name of its file.
fn settings(folder: &std::path::Path) -> BTreeMap<String, Options> {
    let runs = json(folder.join("runs.json"));
    let run = |run: &Value| {
        let options = &run["options"];
        let known = Options {
            pre_vote: options["prevote"].as_bool(),
            check_quorum: options["checkquorum"].as_bool(),
            async_storage: options["async"].as_bool(),
            max_inflight: options["max_inflight_msgs"].as_u64().map(|it| it as u32),
            ..Options::default()
        };
        (run["file"].as_str().expect("a file").to_owned(), known)
    };
    runs.as_array().expect("runs").iter().map(run).collect()
}

fn never() -> bool {
    false
}

/// The runs that are part of this repository are valid, and say something.
#[test]
fn our_recordings_are_valid() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../traces/recorded");
    let mut runs = 0;
    for entry in fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|it| it != "ndjson") {
            continue;
        }
        let bytes = fs::read(&path).expect("the run is there");
        let found = validate(&bytes, &Options::default(), &never).expect("it can be read");
        assert!(
            matches!(found.answer, Answer::Valid { .. }),
            "{}: {found}: {:#?}",
            path.display(),
            found.why
        );
        assert!(
            found.kinds.len() > 10,
            "{}: {:?}",
            path.display(),
            found.kinds
        );
        // The same run with its last line torn says so, and one without a line says nothing.
        let torn = validate(&bytes[..bytes.len() - 20], &Options::default(), &never)
            .expect("it can be read");
        assert!(matches!(torn.answer, Answer::Truncated { .. }), "{torn}");
        runs += 1;
    }
    assert!(runs >= 3, "{runs} runs");
    let nothing =
        validate(b"{\"level\":\"info\"}\n", &Options::default(), &never).expect("it can be read");
    assert_eq!(nothing.answer, Answer::Nothing);
    assert!(validate(b"no JSON\n", &Options::default(), &never).is_err());
}

/// A change to a run that is part of this repository is refused at its line.
#[test]
fn a_changed_recording_is_refused() {
    let run = include_str!("../../traces/recorded/etcd-3.6-three-servers.ndjson");
    let mut lines: Vec<String> = run.lines().map(str::to_owned).collect();
    let leads = lines
        .iter()
        .position(|line| line.contains("\"name\":\"BecomeLeader\""));
    let leads = leads.expect("somebody leads");
    lines.remove(leads);
    let found =
        validate(lines.join("\n").as_bytes(), &Options::default(), &never).expect("it can be read");
    let Answer::Invalid { line } = found.answer else {
        panic!("{found}");
    };
    assert_eq!(
        line,
        leads + 1,
        "the entry of a leader that nobody has become"
    );
    assert!(
        found.why.iter().any(|why| why.contains("BecomeLeader")),
        "{:#?}",
        found.why
    );
    // The lines that lead there are told with the states that explain them, in the order of the run.
    let told = found.told.expect("the run is invalid");
    let numbers: Vec<_> = told.lines.iter().map(|it| it.line.number).collect();
    assert!(numbers.is_sorted() && numbers.ends_with(&[leads, leads + 1]));
    let (last, explained) = told.lines.split_last().expect("there are lines");
    assert!(last.view.is_none() && explained.iter().all(|it| it.view.is_some()));
    let shows = |it: &&Told| {
        let view = it.view.as_ref().expect("it is explained");
        let (line, term) = (&it.line, u64::from(it.line.term));
        line.kind == LineKind::BecomeCandidate
            && view.role == Role::Candidate
            && view.term.0 == term
    };
    assert_eq!(explained.iter().filter(shows).count(), 1);
    assert!(
        told.attempts
            .iter()
            .any(|it| it.why.contains("BecomeLeader"))
    );
}

/// Every good run is valid under its settings, and every bad one is refused where it must be: not after `line`, and not before
/// `earliest`.
#[test]
fn etcds_runs_get_the_expected_verdicts() {
    let Some(folder) = folder() else {
        return;
    };
    let settings = settings(&folder);
    let expected = json(folder.join("expected.json"));
    let expected = expected.as_object().expect("runs by path");
    assert!(expected.len() >= 20, "{} runs", expected.len());
    for (path, expected) in expected {
        let base = expected["base"].as_str().map_or_else(
            || path.rsplit('/').next().unwrap_or_default().to_owned(),
            str::to_owned,
        );
        let bytes = fs::read(folder.join(path)).expect("the run is there");
        let found = validate(&bytes, &settings[&base], &never).expect("it can be read");
        match expected["verdict"].as_str() {
            Some("valid") => {
                assert!(
                    matches!(found.answer, Answer::Valid { .. }),
                    "{path}: {found}: {:#?}",
                    found.why
                );
                assert_eq!(
                    found.explained as u64,
                    expected["lines"].as_u64().expect("lines"),
                    "{path}"
                );
            }
            _ => {
                let last = expected["line"].as_u64().expect("a line");
                let first = expected["earliest"].as_u64().unwrap_or(last);
                let Answer::Invalid { line } = found.answer else {
                    panic!("{path}: {found}, not invalid at line {last}");
                };
                assert!(
                    (first..=last).contains(&(line as u64)),
                    "{path}: {found}, not {first} to {last}"
                );
                assert!(!found.why.is_empty(), "{path}: a refusal says why");
            }
        }
    }
}

/// The settings that explain a run are found without being told.
#[test]
fn unknown_settings_are_found() {
    let Some(folder) = folder() else {
        return;
    };
    for (file, known) in settings(&folder) {
        if file.starts_with("02") {
            // Long, and no other than the others.
            continue;
        }
        let bytes = fs::read(folder.join("valid").join(&file)).expect("the run is there");
        let found = validate(&bytes, &Options::default(), &never).expect("it can be read");
        let Answer::Valid { under, .. } = found.answer else {
            panic!("{file}: {found}");
        };
        let is_known = |it: &&lockstep_conformance::validate::Under| {
            Some(it.pre_vote) == known.pre_vote
                && Some(it.check_quorum) == known.check_quorum
                && Some(it.async_storage) == known.async_storage
        };
        assert!(under.iter().any(|it| is_known(&it)), "{file}: {under:?}");
    }
}

/// A changed run is refused, unless its format cannot show the change.
#[test]
fn mutated_runs_are_refused() {
    let Some(folder) = folder() else {
        return;
    };
    let seed = 20_240_917;
    println!("seed {seed}");
    let mut random = Random(seed);
    let mut table: BTreeMap<Kind, (usize, usize)> = BTreeMap::new();
    for (file, options) in settings(&folder) {
        let text = fs::read_to_string(folder.join("valid").join(&file)).expect("the run is there");
        let lines: Vec<&str> = text.lines().take(1200).collect();
        for kind in Kind::ALL {
            for _ in 0..6 {
                let Some(mutated) = mutate(&lines, kind, &mut random) else {
                    continue;
                };
                let found = validate(mutated.as_bytes(), &options, &never).expect("it can be read");
                let row = table.entry(kind).or_default();
                row.1 += 1;
                row.0 += usize::from(matches!(found.answer, Answer::Invalid { .. }));
            }
        }
    }
    for (kind, (refused, all)) in &table {
        println!("{kind:?}: {refused} of {all} refused");
        assert!(
            *refused * 100 >= *all * kind.least_percent(),
            "{kind:?}: {refused} of {all}"
        );
    }
}

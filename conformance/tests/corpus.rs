//! The traces below `traces/corpus/`: that they are what the specification says today, that the
//! production Raft and the specification both replay them, and that they find mistakes.

use lockstep_conformance::Target;
use lockstep_conformance::corpus::corpus;
use lockstep_conformance::planted::{Mistake, Planted};
use lockstep_conformance::replay::{ReplayReport, replay};
use lockstep_conformance::targets::lockstep_raft::{AsyncLockstepRaft, LockstepRaft};
use lockstep_conformance::targets::spec::Spec;
use lockstep_conformance::verdict::{Strength, Verdict};
use lockstep_traces::{TRACE_EXTENSION, Trace, trace_files};
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../traces/corpus")
}

/// With `LOCKSTEP_BLESS` set the corpus is written anew. Understand the difference before you commit it:
/// a changed trace is a changed specification.
#[test]
fn the_corpus_is_what_the_specification_makes_today() {
    let made = corpus(2).expect("everything is reachable");
    let mut names = BTreeSet::new();
    for trace in &made {
        let name = format!("{}.{TRACE_EXTENSION}", trace.header.name);
        let path = folder().join(&name);
        if std::env::var_os("LOCKSTEP_BLESS").is_some() {
            std::fs::create_dir_all(folder()).expect("a folder");
            trace.save(&path).expect("written");
        }
        let stored = Trace::read(&path).expect("a trace that is checked in");
        assert!(
            stored == *trace,
            "{name} is not what the specification makes today"
        );
        assert!(names.insert(name), "two traces have one name");
    }
    let stored = trace_files(&folder()).expect("there are traces");
    assert_eq!(stored.passed_over, [], "what is no trace is not replayed");
    let stored = stored.traces.iter().filter_map(|path| path.file_name());
    let stored: BTreeSet<String> = stored
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    assert_eq!(stored, names, "a trace that nothing makes");
}

fn replay_corpus<T: Target>(target: &T) -> ReplayReport {
    let files = trace_files(&folder()).expect("there are traces").traces;
    let traces = files
        .iter()
        .map(|path| Ok((path.display().to_string(), Trace::read(path)?)));
    replay(target, traces, &mut |_| ControlFlow::Continue(())).expect("it runs")
}

#[test]
fn both_sides_replay_the_corpus() {
    for report in [
        replay_corpus(&Spec),
        replay_corpus(&LockstepRaft),
        replay_corpus(&AsyncLockstepRaft),
    ] {
        assert_eq!(
            report.verdict(),
            Verdict::Holds(Strength::Sampled),
            "{:?}",
            report.divergence
        );
        assert_eq!(report.compared, report.steps);
        assert!(
            report.not_driven.is_empty() && report.traces > 40,
            "{report:?}"
        );
    }
}

/// Hidden state shows itself sooner or later, and in these traces it does.
#[test]
fn the_corpus_finds_planted_mistakes() {
    let caught = |mistake: &Mistake| {
        let report = replay_corpus(&Planted::new(LockstepRaft, *mistake));
        report.verdict() == Verdict::Diverged
    };
    let missed: Vec<_> = Mistake::ALL.into_iter().filter(|it| !caught(it)).collect();
    // No trace of the corpus has a proposal that must be refused: the cover has.
    assert_eq!(missed, [Mistake::WrongRefusal, Mistake::HiddenState]);
}

//! Any Raft in any language: the two worked examples are exhausted, the same states in both, planted mistakes are
//! found by short counterexamples, and a program that misbehaves is told so.

mod python;

use lockstep_conformance::TargetError;
use lockstep_conformance::opaque::{
    Opaque, OpaqueBounds, OpaqueReport, OpaqueTrace, Started, replay,
};
use lockstep_conformance::targets::etcd;
use lockstep_conformance::targets::exec::{ExecOptions, Program};
use lockstep_engine::Verdict;
use lockstep_model::{Bounds, Budget};
use lockstep_traces::Config;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

fn targets() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("targets")
}

fn config(servers: u64) -> Config {
    Config {
        servers,
        ..Config::PAPER
    }
}

fn options(seconds: u64) -> ExecOptions {
    ExecOptions {
        reply_timeout: Duration::from_secs(seconds),
        ..ExecOptions::default()
    }
}

/// Two servers over two terms, with a restart, an entry, a heartbeat, and one message lost or repeated.
const PAIR: Bounds = Bounds {
    max_term: 2,
    max_in_flight: 3,
    timeouts: Budget::Times(2),
    heartbeats: Budget::Times(1),
    proposals: Budget::Times(1),
    restarts: Budget::Times(1),
    duplicates: Budget::Times(1),
    drops: Budget::Times(1),
    disturbances: Budget::Times(2),
    ..Bounds::QUIET
};

/// Three servers over two terms, with an entry and one restart or heartbeat.
const THREE: Bounds = Bounds {
    max_term: 2,
    max_in_flight: 4,
    timeouts: Budget::Times(2),
    heartbeats: Budget::Times(1),
    proposals: Budget::Times(1),
    restarts: Budget::Times(1),
    disturbances: Budget::Times(1),
    ..Bounds::QUIET
};

fn opaque(program: &Program, servers: u64, bounds: &Bounds, copies: usize, seconds: u64) -> Opaque {
    let config = config(servers);
    let started = Started::new(program, options(seconds), &config, copies).expect("it starts");
    let bounds = OpaqueBounds::new(started.description(), bounds, &BTreeMap::new());
    started.within(&config, bounds).expect("it has servers")
}

fn check(opaque: &Opaque, threads: usize) -> OpaqueReport {
    let found = opaque.check(|search| search.threads(threads).coverage(true));
    found.expect("nothing goes to disk")
}

fn python_program(file: &Path) -> Program {
    Program {
        executable: "python3".into(),
        arguments: vec![file.into()],
    }
}

/// The example in Go, built; `None` where there is no Go, except where `LOCKSTEP_REQUIRE_GO` is set.
fn go_program(folder: &Path, sources: &Path) -> Option<Program> {
    if let Err(error) = etcd::find_go() {
        assert!(
            std::env::var_os(etcd::REQUIRE_GO).is_none(),
            "{} is set: {error}",
            etcd::REQUIRE_GO
        );
        eprintln!("skipped: {error}");
        return None;
    }
    let program = folder.join("paper-raft-go");
    let built = Command::new("go")
        .args(["build", "-o"])
        .arg(&program)
        .arg(".")
        .current_dir(sources)
        .output()
        .expect("go runs");
    let errors = String::from_utf8_lossy(&built.stderr);
    assert!(built.status.success(), "{errors}");
    Some(Program {
        executable: program.into(),
        arguments: Vec::new(),
    })
}

/// The properties of a case that these bounds are too small for.
const NEVER_MET: [&str; 2] = ["committed_entries_step", "one_vote_per_term_step"];

/// Exhausts a right program, and returns cluster states, transitions, server states and questions.
fn exhausted(program: &Program, servers: u64, bounds: &Bounds) -> [u64; 4] {
    let mut counts = None;
    for copies in 1..=2 {
        let opaque = opaque(program, servers, bounds, copies, 30);
        let found = check(&opaque, copies);
        let report = &found.checked.report;
        assert_eq!(report.verdict, Verdict::Exhausted);
        assert_eq!(found.contradiction, None);
        assert_eq!(found.failure, None);
        let untested: Vec<_> = report
            .antecedents
            .iter()
            .filter(|it| it.held == 0)
            .map(|it| it.property.as_str())
            .filter(|name| !NEVER_MET.contains(name))
            .collect();
        assert!(untested.is_empty(), "{untested:?}");
        let program = &found.program;
        assert_eq!(
            program.inputs_again + program.inputs_from_start + program.inputs_without_second_path,
            program.inputs
        );
        assert_eq!(program.inputs_without_second_path, 0);
        // Each question once, and once more; and the starts.
        assert_eq!(program.questions, 2 * program.inputs + servers);
        let transitions = report.levels.iter().map(|level| level.generated).sum();
        let these = [report.distinct, transitions, program.states, program.inputs];
        // The same for any number of threads and copies.
        assert_eq!(*counts.get_or_insert(these), these);
    }
    counts.expect("it ran")
}

/// The states of a Raft do not depend on the language that it is written in.
#[test]
fn the_examples_are_exhausted() {
    let folder = tempfile::tempdir().expect("there is a place for temporary files");
    let python = python::is_here().then(|| python_program(&targets().join("paper_raft.py")));
    let go = go_program(folder.path(), &targets().join("paper-raft-go"));
    for (servers, bounds) in [(2, PAIR), (3, THREE)] {
        let programs = [&python, &go].into_iter().flatten();
        let counts: Vec<_> = programs
            .map(|program| exhausted(program, servers, &bounds))
            .collect();
        if servers == 2 {
            assert!(counts.iter().all(|[states, _, of_servers, asked]| [
                *states,
                *of_servers,
                *asked
            ] == [32_545, 64, 600]));
        }
        // Cluster states are many more than questions, and the same in both.
        assert!(counts.iter().all(|[states, _, _, asked]| states > asked));
        assert!(
            counts.windows(2).all(|pair| pair[0] == pair[1]),
            "{counts:?}"
        );
    }
}

/// A mistake in an example: a line and what is there instead, and what finds it after how many steps.
struct Mistake {
    name: &'static str,
    right: &'static str,
    wrong: &'static str,
    servers: u64,
    /// The properties of which one is violated first, and the most steps that this may take.
    found: (&'static [&'static str], u32),
}

const IN_PYTHON: [Mistake; 4] = [
    Mistake {
        name: "forgets its vote at a restart",
        right: "        self.commit = 0\n",
        wrong: "        self.commit, self.vote = 0, None\n",
        servers: 2,
        found: (&["one_vote_per_term_step", "restart_step"], 2),
    },
    Mistake {
        name: "commits an entry of an older term by counting",
        right: " and self.term_at(index) == self.term:",
        wrong: ":",
        servers: 2,
        found: (&["current_term_commit_step"], 10),
    },
    Mistake {
        name: "truncates a matching log on a stale append",
        right: "            if self.term_at(index) != entry[0]:  # Not there, or in conflict.\n                del self.log[index - 1 :]\n                self.log.append(entry)\n",
        wrong: "            del self.log[index - 1 :]\n            self.log.append(entry)\n        del self.log[prev + len(entries) :]\n",
        servers: 2,
        found: (
            &[
                "committed_entries_step",
                "committed_on_quorum_inv",
                "match_is_replicated_inv",
                "well_formed_inv",
            ],
            12,
        ),
    },
    Mistake {
        name: "grants votes to shorter logs",
        right: "message[\"last\"] >= self.last()",
        wrong: "True",
        servers: 2,
        found: (&["up_to_date_vote_inv"], 6),
    },
];

/// The bounds in which a mistake is looked for: no more than it needs.
fn bounds_for(mistake: &Mistake) -> Bounds {
    match mistake.name {
        "grants votes to shorter logs" => Bounds {
            max_term: 2,
            timeouts: Budget::Times(2),
            proposals: Budget::Times(1),
            ..Bounds::QUIET
        },
        _ => PAIR,
    }
}

/// Every planted mistake is found, by the shortest counterexample, which the program repeats.
fn finds(mistakes: &[Mistake], source: &Path, program: impl Fn(&Path, &Path) -> Option<Program>) {
    let text = std::fs::read_to_string(source).expect("the example is there");
    for mistake in mistakes {
        let folder = tempfile::tempdir().expect("there is a place for temporary files");
        let name = mistake.name;
        assert_eq!(text.matches(mistake.right).count(), 1, "{name}");
        let file = folder
            .path()
            .join(source.file_name().expect("it has a name"));
        let wrong = text.replace(mistake.right, mistake.wrong);
        std::fs::write(&file, wrong).expect("it is written");
        let Some(program) = program(folder.path(), &file) else {
            return;
        };
        let opaque = opaque(&program, mistake.servers, &bounds_for(mistake), 1, 30);
        let found = check(&opaque, 1);
        let Verdict::Violated {
            property, depth, ..
        } = &found.checked.report.verdict
        else {
            panic!("{name} is not found: {}", found.checked.report.verdict);
        };
        let (properties, most) = mistake.found;
        assert!(
            properties.contains(&property.as_str()),
            "{name}: {property}"
        );
        assert!(*depth <= most, "{name}: {depth} steps");
        let path = found
            .checked
            .counterexample
            .as_ref()
            .expect("it is violated");
        let trace = opaque.trace(path, property);
        let read = OpaqueTrace::parse(&trace.to_lines()).expect("it was written");
        assert_eq!(read, trace);
        let config = config(mistake.servers);
        let again = replay(&read, &program, options(30), &config).expect("it starts");
        assert_eq!(again, None, "{name}");
    }
}

#[test]
fn mistakes_planted_in_python_are_found() {
    if python::is_here() {
        let source = targets().join("paper_raft.py");
        finds(&IN_PYTHON, &source, |_, file| Some(python_program(file)));
    }
}

const IN_GO: [Mistake; 4] = [
    Mistake {
        right: "\ts.Commit = 0\n",
        wrong: "\ts.Commit, s.Vote = 0, 0\n",
        ..IN_PYTHON[0]
    },
    Mistake {
        right: " && s.termAt(index) == s.Term {",
        wrong: " {",
        ..IN_PYTHON[1]
    },
    Mistake {
        right: "\tlastNew := m.Prev + len(m.Entries)\n",
        wrong: "\tlastNew := m.Prev + len(m.Entries)\n\ts.Log = s.Log[:lastNew]\n",
        ..IN_PYTHON[2]
    },
    Mistake {
        right: "m.LastTerm > last || m.LastTerm == last && m.LastIndex >= len(s.Log)",
        wrong: "last >= 0",
        ..IN_PYTHON[3]
    },
];

#[test]
fn mistakes_planted_in_go_are_found() {
    let source = targets().join("paper-raft-go/raft.go");
    finds(&IN_GO, &source, |folder, _| {
        for file in ["main.go", "go.mod"] {
            let from = targets().join("paper-raft-go").join(file);
            std::fs::copy(from, folder.join(file)).expect("it is copied");
        }
        go_program(folder, folder)
    });
}

/// A program that does nothing right but what the body says. The body sets `state`, `view` and `sent` for the
/// question `r` with its `inputs`.
fn program(body: &str) -> Program {
    described(
        r#""inputs": {"timeout": {}}, "fields": ["role", "term", "log", "commit"]"#,
        body,
    )
}

fn described(says: &str, body: &str) -> Program {
    let body = body.replace('\n', "\n    ");
    let code = format!(
        r#"
import json, os, sys, time
def say(x): print(json.dumps(x), flush=True)
asked = 0
for line in sys.stdin:
    r = json.loads(line)
    if r["op"] == "describe":
        say({{"op": "describe", "protocol": 2, "messages": "opaque", "name": "test", "version": "0", {says}}})
        continue
    asked += 1
    inputs = r["inputs"]
    term = inputs.count("timeout")
    state, sent = term, []
    view = {{"role": "follower", "term": term, "log": [], "commit": 0}}
    answer = {{}}
    {body}
    say({{"op": "answer", "id": r["id"], "state": state, "view": view, "sent": sent, **answer}})
"#
    );
    Program {
        executable: "python3".into(),
        arguments: vec!["-c".into(), code.into()],
    }
}

/// Explores a program of a server that does nothing but time out.
fn of_timeouts(program: &Program, seconds: u64) -> OpaqueReport {
    let bounds = Bounds {
        max_term: 3,
        timeouts: Budget::Times(3),
        ..Bounds::QUIET
    };
    check(&opaque(program, 1, &bounds, 2, seconds), 2)
}

/// Breaking down at an input is a counterexample, with what the program said last.
#[test]
fn a_program_that_breaks_down_is_a_counterexample() {
    if !python::is_here() {
        return;
    }
    let ways = [
        (
            "if term == 2: sys.stderr.write('out of memory\\n'); os._exit(3)",
            "out of memory",
        ),
        ("if term == 2: time.sleep(60)", "no reply for 1 s"),
        (
            "if term == 2: print('debug: here', flush=True)",
            "is no reply",
        ),
        (
            "if term == 2: print('x' * (17 << 20), flush=True)",
            "more than 16777216 bytes",
        ),
        (
            "if term == 2: answer = {'crashed': 'assertion failed'}",
            "assertion failed",
        ),
        ("if term == 2: view['mood'] = 'good'", "mood"),
        ("if term == 2: del view['log']", "log"),
        ("if term == 2: view['vote'] = 1", "did not declare"),
        (
            "if term == 2: sent = [{'to': 1, 'message': 0}]",
            "not another server",
        ),
        (
            "if term == 2: sent = [{'to': 9, 'message': 0}]",
            "not another server",
        ),
        (
            "if term == 2: say({'op': 'error', 'message': 'lost my way'}); break",
            "lost my way",
        ),
        ("if term == 2: answer = {'id': 77}", "question 77"),
    ];
    for (body, says) in ways {
        let found = of_timeouts(&program(body), 1);
        let verdict = &found.checked.report.verdict;
        let expected = Verdict::Violated {
            property: "does_not_fail_step".to_owned(),
            kind: lockstep_engine::PropertyKind::Step,
            depth: 2,
        };
        assert_eq!(*verdict, expected, "{body}");
        let failure = found.failure.expect("it failed");
        assert!(failure.contains(says), "{body}: {failure}");
    }
}

/// A program that breaks down at everything is asked only a few times, and what it said is not lost for that.
#[test]
fn a_program_that_always_breaks_down_is_a_counterexample() {
    if !python::is_here() {
        return;
    }
    let body = "if term >= 1: sys.stderr.write('out of memory\\n'); os._exit(3)";
    let bounds = Bounds {
        max_term: 3,
        timeouts: Budget::Times(3),
        ..Bounds::QUIET
    };
    for (servers, threads) in [(3, 1), (3, 2), (5, 2)] {
        let found = check(&opaque(&program(body), servers, &bounds, 2, 5), threads);
        let verdict = &found.checked.report.verdict;
        let expected = Verdict::Violated {
            property: "does_not_fail_step".to_owned(),
            kind: lockstep_engine::PropertyKind::Step,
            depth: 1,
        };
        assert_eq!(*verdict, expected, "{servers} servers");
        let failure = found.failure.expect("it failed");
        assert!(failure.contains("out of memory"), "{failure}");
    }
}

/// A state that leaves something out is found by another path to it.
#[test]
fn a_program_that_lies_about_its_state_is_found_out() {
    if !python::is_here() {
        return;
    }
    let two = r#""inputs": {"timeout": {}, "tick": {"at_most": 2}}, "fields": ["role", "term", "log", "commit"]"#;
    let bounds = Bounds {
        max_term: 3,
        timeouts: Budget::Times(2),
        ..Bounds::QUIET
    };
    // Two ticks let the next timeout advance the term by two; the state has no ticks.
    let hides = described(
        two,
        "state = view['term'] = term + (inputs[-1:] == ['timeout'] and inputs.count('tick') > 0)",
    );
    let found = check(&opaque(&hides, 1, &bounds, 1, 30), 1);
    let parts = found.contradiction.expect("it is found out");
    assert_eq!(parts.first_path.len() + 1, parts.second_path.len());
    assert!(parts.second_path.contains(&"tick".into()), "{parts:?}");
    assert_eq!(parts.input, Some("timeout".into()));
    assert_ne!(parts.first, parts.second);
    // One whose state says whether there was a tick is right.
    let shows = described(
        two,
        "view['term'] = term + (inputs.count('tick') > 0)\nstate = [view['term'], inputs.count('tick') > 0]",
    );
    let found = check(&opaque(&shows, 1, &bounds, 1, 30), 1);
    assert_eq!(found.contradiction, None);
    assert_eq!(found.checked.report.verdict, Verdict::Exhausted);
    // One that shows something else in the same state.
    let shows = described(two, "view['commit'] = asked % 2; view['log'] = [[0, None]]");
    let found = check(&opaque(&shows, 1, &bounds, 1, 30), 1);
    let parts = found.contradiction.expect("it is found out");
    assert_eq!(parts.input, None);
    // One that goes on from what it saved as it does not from the start.
    let restores = described(
        r#""inputs": {"timeout": {}}, "fields": ["role", "term", "log", "commit"], "restores": True"#,
        "state = view['term'] = term + r.get('saved', 0) + ('saved' in r and r['saved'] == 1)",
    );
    let found = of_timeouts(&restores, 30);
    let parts = found.contradiction.expect("it is found out");
    assert!(parts.restored, "{parts:?}");
}

/// A program that does not speak the protocol cannot be started, and says why.
#[test]
fn a_description_that_makes_no_sense_is_refused() {
    if !python::is_here() {
        return;
    }
    let refused = |program: &Program| match Started::new(program, options(30), &config(1), 1) {
        Err(TargetError::Setup(why)) => why,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it is started"),
    };
    let typed = python_program(&targets().join("example.py"));
    assert!(
        refused(&typed).contains("protocol 1"),
        "{}",
        refused(&typed)
    );
    let fields = r#""fields": ["role", "term", "log", "commit"]"#;
    let says = [
        (
            format!(r#""inputs": {{"tick": {{}}}}, {fields}"#),
            "at_most",
        ),
        (
            format!(r#""inputs": {{"timeout": {{"at_most": 1}}}}, {fields}"#),
            "at_most",
        ),
        (format!(r#""inputs": {{}}, {fields}"#), "`inputs` has 0"),
        (
            format!(r#""inputs": {{"a b": {{"at_most": 1}}}}, {fields}"#),
            "a b",
        ),
        (
            r#""inputs": {"timeout": {}}, "fields": ["term"]"#.to_owned(),
            "`role`",
        ),
        (
            format!(r#""inputs": {{"timeout": {{}}}}, {fields}, "mood": 1"#),
            "mood",
        ),
    ];
    for (says, why) in says {
        let refused = refused(&described(&says, ""));
        assert!(refused.contains(why), "{says}: {refused}");
    }
    let missing = Program {
        executable: "no-such-program-anywhere".into(),
        arguments: Vec::new(),
    };
    assert!(refused(&missing).contains("cannot start"));
}

/// They are in the documentation to be read: a few pages, and no line that needs scrolling.
#[test]
fn the_examples_are_short() {
    for (file, most) in [
        ("paper_raft.py", 150),
        ("paper-raft-go/raft.go", 185),
        ("paper-raft-go/main.go", 110),
    ] {
        let text = std::fs::read_to_string(targets().join(file)).expect("it is there");
        assert!(
            text.lines().all(|line| line.chars().count() <= 120),
            "{file}"
        );
        let lines = text.lines().filter(|line| !line.trim().is_empty()).count();
        assert!(lines <= most, "{file}: {lines}");
    }
}

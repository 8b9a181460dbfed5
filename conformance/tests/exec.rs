//! Programs behind the exec protocol: one that behaves, and one for every way in which a program can
//! fail. They are written in Python.

mod python;

use lockstep_conformance::target::{
    Output, Reaction, Run, Script, Target, TargetError, TargetServer,
};
use lockstep_conformance::targets::exec::{ExecOptions, ExecTarget, Program};
use lockstep_traces::{
    Body, Config, Field, FieldSet, Index, Input, Message, Outcome, Refusal, Role, ServerId, Term,
};
use std::path::Path;
use std::time::{Duration, Instant};

fn id(number: u64) -> ServerId {
    ServerId::new(number).unwrap()
}

fn config() -> Config {
    Config {
        check_quorum: true,
        one_entry_per_append: true,
        max_inflight: 1,
        ..Config::PAPER
    }
}

fn example() -> Program {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("targets/example.py");
    Program {
        executable: "python3".into(),
        arguments: vec![path.into()],
    }
}

/// A program that answers `describe`, and then handles every request as the body says. The body may use
/// `r`, the request, and `say`, which writes an object as a line.
fn program(body: &str) -> Program {
    let code = format!(
        r#"
import json, os, sys, time
def say(x): print(json.dumps(x), flush=True)
view = {{"term": 0}}
for line in sys.stdin:
    r = json.loads(line)
    if r["op"] == "describe":
        say({{"op": "describe", "protocol": 1, "name": "test", "version": "0",
             "features": ["check_quorum", "one_entry_per_append"], "fields": ["term", "outcome"]}})
        continue
    op = {{"op": r["op"], "session": r["session"]}}
    def fine():
        if r["op"] == "apply": say({{**op, "results": [{{"outcome": "accepted"}} for _ in r["inputs"]]}})
        elif r["op"] == "open": say({{**op, "views": [view for _ in r["servers"]]}})
        else: say({{**op, "views": [None] * 3}})
{body}
"#
    );
    Program {
        executable: "python3".into(),
        arguments: vec!["-c".into(), code.into()],
    }
}

fn options() -> ExecOptions {
    ExecOptions {
        reply_timeout: Duration::from_secs(20),
        ..ExecOptions::default()
    }
}

fn start(program: Program) -> ExecTarget {
    ExecTarget::start_program(program, options()).expect("it starts")
}

fn request_vote(from: u64, to: u64, term: u64) -> Input {
    Input::Deliver(Message {
        from: id(from),
        to: id(to),
        term: Term(term),
        body: Body::RequestVote {
            last_index: Index(0),
            last_term: Term(0),
            transfer: false,
        },
    })
}

/// All runs, in the order of the scripts.
fn run_all(target: &ExecTarget, scripts: &[Script<'_>]) -> (Vec<Option<Run>>, Option<TargetError>) {
    let mut runs: Vec<Option<Run>> = scripts.iter().map(|_| None).collect();
    let result = target.run(&config(), scripts, &mut |position, run| {
        assert!(runs[position].replace(run).is_none(), "handed over twice");
    });
    (runs, result.err())
}

fn timeouts(count: usize) -> Script<'static> {
    Script {
        steps: vec![(id(1), &Input::Timeout); count],
    }
}

#[test]
fn many_scripts_are_in_flight_at_once_and_none_is_mixed_up() {
    if !python::is_here() {
        return;
    }
    let target = start(example());
    assert_eq!(target.description().name, "toy");
    let scripts: Vec<Script<'_>> = (0..300).map(|n| timeouts(n % 40)).collect();
    let (runs, error) = run_all(&target, &scripts);
    assert_eq!(error, None);
    for (script, run) in scripts.iter().zip(runs) {
        let run = run.expect("every script runs");
        assert_eq!(run.failed, None);
        assert_eq!(run.initial.len(), 3);
        assert_eq!(run.steps.len(), script.steps.len());
        // Without PreVote every timeout is a new term; the other servers stay where they were.
        let terms: Vec<u64> = run.last.iter().map(|view| view.term.0).collect();
        assert_eq!(terms, [script.steps.len() as u64, 0, 0]);
    }
}

/// It is in the documentation to be read: a few pages, and no line that needs scrolling.
#[test]
fn the_example_is_short() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("targets/example.py");
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.lines().all(|line| line.chars().count() <= 120));
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    assert!(lines.count() <= 170);
}

#[test]
fn a_server_is_moved_step_by_step() {
    if !python::is_here() {
        return;
    }
    let target = start(example());
    let shows = target.description().shows;
    let declared = [Field::Role, Field::Term, Field::Vote, Field::Outcome];
    assert_eq!(shows, declared.into_iter().collect::<FieldSet>());

    let mut server = target.start(&config(), id(1)).unwrap();
    let mut other = target.start(&config(), id(1)).unwrap();
    server.apply(&request_vote(2, 1, 1)).unwrap();
    assert_eq!(server.view().unwrap().vote, Some(id(2)));
    let dropped = Reaction::Driven(Output {
        outcome: Outcome::Refused(Refusal::ProposalDropped),
        sent: Vec::new(),
        handed: Vec::new(),
        read_states: Vec::new(),
    });
    assert_eq!(server.apply(&Input::Propose(7)).unwrap(), dropped);
    drop(server);
    other.apply(&Input::Timeout).unwrap();
    assert_eq!(other.view().unwrap().role, Role::Candidate);
}

#[test]
fn the_planted_mistake_of_the_example_shows() {
    if !python::is_here() {
        return;
    }
    let mut server = start(example()).start(&config(), id(1)).unwrap();
    server.apply(&request_vote(2, 1, 1)).unwrap();
    server.apply(&Input::Restart).unwrap();
    let view = server.view().unwrap();
    assert_eq!((view.term, view.vote), (Term(1), None));
}

#[test]
fn a_program_that_is_not_there_is_named() {
    let program = Program::parse("no-such-program-anywhere --fast").unwrap();
    let error = ExecTarget::start_program(program, options()).err().unwrap();
    assert!(
        error.to_string().contains("no-such-program-anywhere"),
        "{error}"
    );
}

#[test]
fn a_crash_is_pinned_to_its_input_and_the_rest_still_runs() {
    if !python::is_here() {
        return;
    }
    let target = start(program(
        r#"
    if ["propose", 13] in [list(i.items())[0:1] and list(list(i.items())[0]) for _, i in r.get("inputs", []) if isinstance(i, dict)]:
        print("about to divide by zero", file=sys.stderr, flush=True)
        os._exit(3)
    fine()
"#,
    ));
    let bad = Input::Propose(13);
    let mut scripts: Vec<Script<'_>> = (0..20).map(|_| timeouts(5)).collect();
    scripts[7].steps[3] = (id(1), &bad);
    let (runs, error) = run_all(&target, &scripts);
    assert_eq!(error, None);
    for (position, run) in runs.into_iter().enumerate() {
        let run = run.expect("every script is handed over");
        if position == 7 {
            assert_eq!(run.steps.len(), 3, "the input at which it died");
            let failed = run.failed.unwrap();
            assert!(failed.contains("exit status: 3"), "{failed}");
            assert!(failed.contains("about to divide by zero"), "{failed}");
        } else {
            assert_eq!((run.failed, run.steps.len()), (None, 5));
        }
    }
}

/// Every script brings it down, at the same input. It is started again a few times, not for each of them.
#[test]
fn a_program_that_always_crashes_is_given_up_with_what_it_said() {
    if !python::is_here() {
        return;
    }
    let target = start(program(
        r#"
    if r["op"] == "apply": raise ValueError("the log is gone")
    fine()
"#,
    ));
    let scripts: Vec<Script<'_>> = (0..20).map(|_| timeouts(2)).collect();
    let (runs, error) = run_all(&target, &scripts);
    assert_eq!(error, None);
    let run = runs[0].as_ref().expect("the first is handed over");
    assert!(run.steps.is_empty());
    let failed = run.failed.as_ref().expect("it failed");
    assert!(failed.contains("exit status: 1"), "{failed}");
    assert!(failed.contains("ValueError: the log is gone"), "{failed}");
    let handed = runs.iter().flatten().count();
    assert!((1..20).contains(&handed), "{handed} were run");
}

/// It dies of what only many sessions at once make it do.
#[test]
fn a_crash_that_no_single_script_repeats_is_a_failure() {
    if !python::is_here() {
        return;
    }
    let target = start(program(
        r#"
    seen = globals().setdefault("seen", set())
    seen.add(r["session"]) if r["op"] != "close" else seen.discard(r["session"])
    sessions = globals().setdefault("sessions", []); sessions.append(r["session"])
    if len(sessions) > 40: os._exit(3)
    fine()
"#,
    ));
    let scripts: Vec<Script<'_>> = (0..20).map(|_| timeouts(1)).collect();
    let (runs, error) = run_all(&target, &scripts);
    assert_eq!(error, None);
    // Whether it is one script or all together depends on how many it has answered; it is never nothing.
    let failed = runs.iter().flatten().filter_map(|run| run.failed.as_ref());
    let failed: Vec<_> = failed.collect();
    assert!(!failed.is_empty());
    assert!(failed[0].contains("exit status: 3"), "{failed:?}");
}

/// Nothing that it writes may take the memory of this process.
#[test]
fn words_without_end_are_cut_off() {
    if !python::is_here() {
        return;
    }
    let endless_line = start(program(
        r#"
    while True: sys.stdout.write("x" * 65536)
"#,
    ));
    let error = endless_line.start(&config(), id(1)).err().expect("refused");
    let text = error.to_string();
    assert!(
        text.contains("a line of more than 16777216 bytes"),
        "{text}"
    );
    assert!(text.len() < 2_000, "{}", text.len());

    let endless_replies = start(program(
        r#"
    while True: say({"op": "close", "session": 77, "views": []})
"#,
    ));
    let error = endless_replies.start(&config(), id(1)).err();
    assert!(error.expect("refused").to_string().contains("not asked"));

    let endless_errors = start(program(
        r#"
    sys.stderr.write("y" * 50_000_000)
    sys.stderr.flush()
    os._exit(3)
"#,
    ));
    let error = endless_errors
        .start(&config(), id(1))
        .err()
        .expect("it ends");
    let text = error.to_string();
    assert!(text.contains("exit status: 3"), "{text}");
    assert!(text.contains("yyy") && text.len() < 2_000, "{}", text.len());

    let long_name = Program {
        executable: "python3".into(),
        arguments: vec![
            "-c".into(),
            r#"import json; print(json.dumps({"op":"describe","protocol":1,"name":"n"*1000,"version":"","features":[],"fields":[]})); input(); input()"#.into(),
        ],
    };
    let error = ExecTarget::start_program(long_name, options()).err();
    let text = error.expect("refused").to_string();
    assert!(text.contains("`name` is longer than 200"), "{text}");
}

/// A process that the program has started holds its output. The status of the program is what is reported,
/// at once, and that process does not outlive it.
#[cfg(target_os = "linux")]
#[test]
fn a_program_is_ended_with_all_that_it_started() {
    if !python::is_here() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let note = folder.path().join("descendant");
    // In the group of the program, or in one of its own.
    let holds = |leaves: bool, how: &str| {
        let leaves = if leaves { "True" } else { "False" };
        format!(
            r#"
    import subprocess
    sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
    child = subprocess.Popen(sleep, start_new_session={leaves})
    with open({:?}, "w") as note: note.write(str(child.pid))
    {how}
"#,
            note.display()
        )
    };
    let ended = |_: ()| {
        let pid = std::fs::read_to_string(&note).unwrap();
        let stat = std::path::PathBuf::from(format!("/proc/{pid}/stat"));
        // Until it is waited for, by whoever has inherited it, it is a zombie.
        let gone = || match std::fs::read_to_string(&stat) {
            Ok(stat) => stat.contains(") Z "),
            Err(_) => true,
        };
        let begun = Instant::now();
        while !gone() {
            assert!(begun.elapsed() < Duration::from_secs(60), "{pid} lives on");
            std::thread::sleep(Duration::from_millis(10));
        }
    };

    let of_group = if cfg!(target_os = "linux") {
        vec![false, true]
    } else {
        vec![false]
    };
    for leaves in of_group {
        let target = start(program(&holds(leaves, "os._exit(3)")));
        let begun = Instant::now();
        let error = target.start(&config(), id(1)).err().expect("it ends");
        assert!(error.to_string().contains("exit status: 3"), "{error}");
        assert!(
            begun.elapsed() < Duration::from_secs(18),
            "the time-out is 20 s"
        );
        ended(());

        let target = start(program(&holds(leaves, "fine()")));
        let server = target.start(&config(), id(1)).unwrap();
        drop((server, target));
        ended(());
    }
}

#[test]
fn a_panic_that_the_program_reports_is_pinned_without_a_restart() {
    if !python::is_here() {
        return;
    }
    let target = start(program(
        r#"
    if r["op"] == "apply":
        say({**op, "results": [{"outcome": "accepted"}, {"crashed": "index out of range"}, {"crashed": "index out of range"}]})
    else: fine()
"#,
    ));
    let (mut runs, error) = run_all(&target, &[timeouts(3)]);
    assert_eq!(error, None);
    let run = runs.remove(0).unwrap();
    assert_eq!(run.steps.len(), 1);
    assert_eq!(run.failed.as_deref(), Some("index out of range"));
}

#[test]
fn a_silent_program_runs_into_the_time_out() {
    if !python::is_here() {
        return;
    }
    let silent = program(
        r#"
    if r["op"] == "apply":
        print("thinking", file=sys.stderr, flush=True)
        time.sleep(60)
    else: fine()
"#,
    );
    let mut options = options();
    options.reply_timeout = Duration::from_secs(6);
    let target = ExecTarget::start_program(silent, options).unwrap();
    let begun = Instant::now();
    let mut server = target.start(&config(), id(1)).unwrap();
    let Err(TargetError::Failed(why)) = server.apply(&Input::Timeout) else {
        panic!("it does not answer");
    };
    assert!(
        why.contains("no reply for 6 s") && why.contains("thinking"),
        "{why}"
    );
    assert!(
        begun.elapsed() < Duration::from_secs(50),
        "it is not waited for"
    );
}

#[test]
fn garbage_is_quoted() {
    if !python::is_here() {
        return;
    }
    for (body, said) in [
        ("    print('Hello?', flush=True)", "Hello?"),
        ("    say({**op, 'mood': 'good'})", "mood"),
        ("    say({**op, 'views': [{'term': 'x'}]})", "'x'"),
        ("    say({**op, 'views': [{}]})", "`term` is missing"),
        ("    say({**op, 'views': []})", "0 views for 1 servers"),
        (
            "    say({'op': 'apply', 'session': 0, 'results': []})",
            "what was not asked",
        ),
        (
            "    say({'op': 'error', 'message': 'not today'})",
            "not today",
        ),
        (
            "    sys.stdout.buffer.write(bytes([0xff, 0xfe, 10])); sys.stdout.flush()",
            "no reply",
        ),
    ] {
        let target = start(program(body));
        let error = target.start(&config(), id(1)).err().expect(body);
        let text = error.to_string().replace('"', "'").replace("`x`", "'x'");
        assert!(text.contains(said), "{body}: {text}");
    }
}

/// A program often explains a wrong reply on standard error first. The two arrive by different ways, and the program
/// lives on.
#[test]
fn a_malformed_reply_is_reported_with_standard_error() {
    if !python::is_here() {
        return;
    }
    let target = start(program(
        r#"
    for n in range(100): print("the log is on fire", n, file=sys.stderr, flush=True)
    say({**op, "mood": "good"})
"#,
    ));
    let error = target.start(&config(), id(1)).err().expect("it is refused");
    let text = error.to_string();
    assert!(
        text.contains("mood") && text.ends_with("the log is on fire 99"),
        "{text}"
    );
}

/// A process that the program has started may hold its standard error long after it has ended.
#[test]
fn standard_error_that_stays_open_is_not_waited_for() {
    if !python::is_here() {
        return;
    }
    let target = start(program(
        r#"
    import subprocess
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(15)"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    print("gone", file=sys.stderr, flush=True)
    os._exit(3)
"#,
    ));
    let begun = Instant::now();
    let error = target.start(&config(), id(1)).err().expect("it ends");
    assert!(error.to_string().contains("gone"), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(14));
}

#[test]
fn too_few_results_are_noticed() {
    if !python::is_here() {
        return;
    }
    let target = start(program(
        r#"
    if r["op"] == "apply": say({**op, "results": []})
    else: fine()
"#,
    ));
    let (mut runs, _) = run_all(&target, &[timeouts(3)]);
    let run = runs.remove(0).expect("handed over as failed");
    assert!(run.failed.is_some());
}

#[test]
fn another_protocol_version_and_an_unknown_switch_are_refused() {
    if !python::is_here() {
        return;
    }
    let newer = Program {
        executable: "python3".into(),
        arguments: vec![
            "-c".into(),
            r#"print('{"op":"describe","protocol":2,"name":"newer","version":"9","features":[],"fields":[]}'); input(); input()"#.into(),
        ],
    };
    let error = ExecTarget::start_program(newer, options()).err().unwrap();
    assert!(
        error.to_string().contains("newer speaks protocol 2"),
        "{error}"
    );

    let target = start(program("    fine()"));
    let with_pre_vote = Config {
        pre_vote: true,
        ..config()
    };
    let error = target.start(&with_pre_vote, id(1)).err().unwrap();
    assert!(error.to_string().contains("pre_vote"), "{error}");
    assert!(target.start(&config(), id(1)).is_ok());
}

#[test]
fn command_lines_are_split_at_blanks_outside_quotes() {
    let program = Program::parse(r#"run --name "my raft" 'a b'c "" "#).unwrap();
    assert_eq!(program.executable, "run");
    assert_eq!(program.arguments, ["--name", "my raft", "a bc", ""]);
    assert!(Program::parse("  ").is_err());
    assert!(Program::parse("run 'open").is_err());
}

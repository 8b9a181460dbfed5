//! Every exit code of `lockstep`, and that nothing checked is never success.

use assert_cmd::Command;
use lockstep_model::Preset;
use lockstep_tests::command::{HOLDS, INPUT, STOPPED, USAGE, VIOLATED, folder, words};
use lockstep_tests::{binary, python};
use std::path::Path;

/// Runs the command line in a folder of its own and returns what it wrote, its streams together.
fn run(folder: &Path, arguments: &str, code: i32) -> String {
    let assert = Command::from_std(binary::lockstep())
        .args(arguments.split_whitespace())
        .current_dir(folder)
        .assert()
        .code(code);
    let output = assert.get_output();
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8(text).expect("it writes text")
}

/// A trace of the smoke preset, which the specification itself follows.
fn trace(folder: &Path) -> String {
    let arguments = "conform --target spec --plant wrong_state --trace-out trace.ndjson -q";
    run(folder, arguments, VIOLATED);
    std::fs::read_to_string(folder.join("trace.ndjson")).expect("the divergence was saved")
}

#[test]
fn a_search_to_the_end_holds() {
    let text = run(folder().path(), "check --preset smoke", HOLDS);
    assert!(text.contains("check smoke: exhausted"), "{text}");
}

#[test]
fn stateright_agrees() {
    let here = folder();
    let ours = run(here.path(), "check --preset smoke --format json", HOLDS);
    let theirs = run(
        here.path(),
        "check --preset smoke --format json --engine stateright",
        HOLDS,
    );
    let counts = |text: &str| {
        let report: serde_json::Value = serde_json::from_str(text).expect("a report in JSON");
        let facts = report["jobs"][0]["facts"]
            .as_array()
            .expect("facts")
            .clone();
        let wanted = ["distinct states", "transitions"];
        let value = |name: &str| {
            let fact = facts.iter().find(|fact| fact["name"] == name);
            fact.unwrap_or_else(|| panic!("no {name} in {text}"))["value"].clone()
        };
        wanted.map(value)
    };
    assert_eq!(counts(&ours), counts(&theirs));
}

#[test]
fn a_comparison_to_the_end_is_a_bisimulation() {
    let text = run(
        folder().path(),
        "conform --preset smoke --target spec",
        HOLDS,
    );
    assert!(text.contains("bisimilar within the bound"), "{text}");
}

#[test]
fn a_divergence_is_shown_saved_and_replayed() {
    let here = folder();
    let text = run(
        here.path(),
        "conform --target spec --plant wrong_state",
        VIOLATED,
    );
    for part in [
        "diverged",
        "wrong vote",
        "What differs",
        "lockstep replay divergence.ndjson",
    ] {
        assert!(text.contains(part), "{part} is missing in {text}");
    }
    run(here.path(), "replay divergence.ndjson --target spec", HOLDS);
    let again = "replay divergence.ndjson --target spec --plant wrong_state";
    let text = run(here.path(), again, VIOLATED);
    assert!(text.contains("wrong vote"), "{text}");
}

/// The command that a report prints, in a shell whose `lockstep` is this one.
fn paste(folder: &Path, report: &str) -> String {
    let line = report.split("repeat it with: ").nth(1);
    let command = line.and_then(|rest| rest.lines().next());
    let command = command.unwrap_or_else(|| panic!("no command in {report}"));
    let program = binary::lockstep().get_program().to_owned();
    let mut path = Path::new(&program)
        .parent()
        .expect("the binary lies in a folder")
        .as_os_str()
        .to_owned();
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap_or_default());
    let output = std::process::Command::new("sh")
        .args(["-c", command])
        .env("PATH", path)
        .current_dir(folder)
        .output()
        .expect("there is a shell");
    let text = String::from_utf8([output.stdout, output.stderr].concat()).expect("it writes text");
    assert_eq!(output.status.code(), Some(VIOLATED), "{command}\n{text}");
    text
}

#[test]
fn the_command_that_a_report_prints_replays_the_divergence() {
    let here = folder();
    trace(here.path());
    std::fs::rename(
        here.path().join("trace.ndjson"),
        here.path().join("it's a trace.ndjson"),
    )
    .expect("a file of our own");
    let mut targets = vec!["spec".to_owned(), "lockstep-raft".to_owned()];
    if python::is_here() {
        let toy = binary::repository().join("conformance/targets/example.py");
        targets.push(format!("exec:python3 '{}'", toy.display()));
    }
    for target in targets {
        let first = Command::from_std(binary::lockstep())
            .args(["replay", "it's a trace.ndjson", "--target", &target])
            .args(["--plant", "wrong_state"])
            .current_dir(here.path())
            .assert()
            .code(VIOLATED);
        let first = String::from_utf8(first.get_output().stdout.clone()).expect("it writes text");
        let again = paste(here.path(), &first);
        let at = |text: &str| {
            let line = text.lines().find(|line| line.contains("diverges at"));
            line.expect("it diverges").to_owned()
        };
        assert_eq!(at(&again), at(&first));
    }
    for verb in ["conform --target spec", "conform"] {
        let arguments = format!("{verb} --plant extra_message");
        let report = run(here.path(), &arguments, VIOLATED);
        assert!(paste(here.path(), &report).contains("extra message"));
    }
}

#[test]
fn a_limit_is_no_pass() {
    let here = folder();
    for limit in ["--max-states 50", "--max-depth 3", "--timeout 0"] {
        let text = run(
            here.path(),
            &format!("check --preset smoke {limit}"),
            STOPPED,
        );
        assert!(text.contains("bounded ("), "{text}");
        assert!(!text.contains("holds"), "{text}");
    }
    let text = run(
        here.path(),
        "conform --target spec --max-states 50",
        STOPPED,
    );
    assert!(text.contains("bounded (states)"), "{text}");
    let text = run(
        here.path(),
        "check --preset smoke --engine stateright --timeout 0",
        STOPPED,
    );
    assert!(text.contains("bounded (time)"), "{text}");
}

#[test]
fn the_production_raft_is_bisimilar() {
    let text = run(folder().path(), "conform --preset smoke", HOLDS);
    assert!(
        text.contains("conform smoke on lockstep-raft: bisimilar within the bound"),
        "{text}"
    );
}

#[test]
fn every_planted_mistake_is_caught() {
    let here = folder();
    for mistake in [
        "wrong_state",
        "wrong_message",
        "missing_message",
        "extra_message",
        "wrong_refusal",
        "hidden_state",
        "failure",
    ] {
        let text = run(here.path(), &format!("conform --plant {mistake}"), VIOLATED);
        let expected = if mistake == "hidden_state" {
            "digest hides state"
        } else {
            "diverged"
        };
        assert!(text.contains(expected), "{mistake}: {text}");
    }
}

#[test]
fn walks_that_commit_hold_and_others_do_not() {
    let here = folder();
    let text = run(here.path(), "walk --seeds 5 --steps 500", HOLDS);
    assert!(text.contains("sampled"), "{text}");
    let text = run(here.path(), "walk --seeds 1 --steps 1", VIOLATED);
    assert!(text.contains("nothing was committed"), "{text}");
    run(here.path(), "walk --seeds 0", USAGE);
    run(here.path(), "walk --steps 0", USAGE);
}

#[test]
fn generated_traces_cover_and_are_replayed() {
    let here = folder();
    let generated = run(
        here.path(),
        "generate --preset single --cover states --out traces",
        HOLDS,
    );
    assert!(generated.contains("every one covered"), "{generated}");
    run(here.path(), "replay traces --target spec", HOLDS);
    // The same command again makes the same files.
    let read = || {
        let mut files: Vec<_> = std::fs::read_dir(here.path().join("traces"))
            .expect("the folder was made")
            .map(|entry| entry.expect("an entry").path())
            .map(|path| (path.clone(), std::fs::read(path).expect("a trace")))
            .collect();
        files.sort();
        files
    };
    let first = read();
    run(
        here.path(),
        "generate --preset single --cover states --out traces",
        HOLDS,
    );
    assert_eq!(first, read());
    run(
        here.path(),
        "generate --preset single --cover edges --out edges",
        HOLDS,
    );
    run(here.path(), "replay edges --target spec", HOLDS);
    run(here.path(), "replay traces edges --target raft-rs", HOLDS);
}

#[test]
fn the_corpus_is_replayed() {
    let corpus = binary::repository().join("traces/corpus");
    let here = folder();
    for target in ["spec", "lockstep-raft"] {
        let text = run(
            here.path(),
            &format!("replay {} --target {target}", corpus.display()),
            HOLDS,
        );
        assert!(text.contains("every trace agrees"), "{text}");
    }
}

#[test]
fn a_simulation_is_a_sample_and_can_be_repeated() {
    let here = folder();
    let text = run(
        here.path(),
        "simulate --preset smoke --runs 4 --seed 7",
        HOLDS,
    );
    assert!(text.contains("sampled (4 runs)"), "{text}");
    let again = text
        .split("lockstep simulate")
        .nth(1)
        .and_then(|rest| rest.lines().next());
    let again = format!("simulate{}", again.expect("the command that repeats it"));
    let steps = |text: &str| {
        let line = text
            .lines()
            .find(|line| line.trim_start().starts_with("steps  "));
        line.expect("the steps are counted").to_owned()
    };
    assert_eq!(steps(&run(here.path(), &again, HOLDS)), steps(&text));
    run(here.path(), "simulate --runs 0", USAGE);
    run(here.path(), "simulate --timeout 0", STOPPED);
}

#[test]
fn a_checkpoint_is_resumed_or_refused() {
    let here = folder();
    let search = "check --preset smoke --checkpoint saved";
    run(here.path(), &format!("{search} --max-states 5000"), STOPPED);
    let other = "check --preset single --checkpoint saved --resume";
    let text = run(here.path(), other, INPUT);
    assert!(text.contains("cannot be resumed"), "{text}");
    let resumed = run(here.path(), &format!("{search} --resume"), HOLDS);
    let whole = run(here.path(), "check --preset smoke", HOLDS);
    let counted = |text: &str| {
        let line = text.lines().find(|line| line.contains("distinct states"));
        line.expect("the states are counted").to_owned()
    };
    assert_eq!(counted(&resumed), counted(&whole));
    run(here.path(), &format!("{search} --max-states 5000"), STOPPED);
    std::fs::write(here.path().join("saved/manifest"), "nonsense").expect("a file of our own");
    run(here.path(), &format!("{search} --resume"), INPUT);
}

/// The same for a comparison, and for an implementation by itself: what it was asked is asked again.
#[test]
fn a_checkpoint_with_an_implementation_is_resumed_or_refused() {
    let here = folder();
    let counted = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.contains(name));
        line.expect("it is counted").to_owned()
    };
    let compare = "conform --preset smoke --checkpoint saved";
    run(
        here.path(),
        &format!("{compare} --max-states 20000"),
        STOPPED,
    );
    let resumed = run(here.path(), &format!("{compare} --resume"), HOLDS);
    assert!(resumed.contains("bisimilar within the bound"), "{resumed}");
    let whole = run(here.path(), "conform --preset smoke", HOLDS);
    for name in ["transitions covered", "distinct inputs compared"] {
        assert_eq!(counted(&resumed, name), counted(&whole, name));
    }
    let other = "conform --preset smoke --checkpoint saved --resume --target raft-rs";
    run(here.path(), other, USAGE);
    let explore = "check --preset smoke --target lockstep-raft --checkpoint of-code";
    run(
        here.path(),
        &format!("{explore} --max-states 20000"),
        STOPPED,
    );
    let resumed = run(here.path(), &format!("{explore} --resume"), HOLDS);
    assert!(resumed.contains("code checked: exhausted"), "{resumed}");
    let program = "check --preset smoke --target exec:false --checkpoint of-code";
    run(here.path(), program, USAGE);
}

#[test]
fn a_gap_in_the_coverage_fails() {
    let here = folder();
    let text = run(here.path(), "coverage single", VIOLATED);
    assert!(text.contains("gaps"), "{text}");
    // Nobody knows what is beyond a limit.
    let text = run(here.path(), "coverage smoke --max-depth 2", STOPPED);
    assert!(text.contains("bounded (smoke: bounded (depth))"), "{text}");
}

#[test]
fn bad_usage() {
    let here = folder();
    for arguments in [
        "",
        "nonsense",
        "check --nonsense",
        "check --preset nonsense",
        "check --timeouts many",
        "check --servers 0",
        "check --only nonsense",
        "check --resume",
        "check --engine stateright",
        "check --checkpoint saved",
        "check --preset smoke --engine stateright --strict",
        "check --preset smoke --engine stateright --symmetry",
        "check --preset smoke --engine stateright --max-depth 3",
        "check --preset smoke --engine stateright --only nonsense",
        "check --preset smoke --engine stateright --trace-out found.ndjson",
        "check --preset smoke --engine stateright --target lockstep-raft",
        "generate --out out --cover corpus --preset smoke",
        "generate --out out --cover corpus --max-term 3",
        "generate --out out --cover corpus --max-states 3",
        "generate --out out --cover corpus --memory 1",
        "generate --out out --cover corpus --timeout 1",
        "graph --preset single --format json",
        "man --out pages --junit report.xml",
        "walk --seeds 1 --plant nonsense",
        "check --threads 0",
        "verify --threads 0",
        "check --preset single --junit no/such/folder/report.xml",
        "conform --target nonsense",
        "conform --target exec:./no-such-program",
        "conform --target spec --max-depth 3",
        "conform --target spec --plant nonsense",
        "replay",
    ] {
        let text = run(here.path(), arguments, USAGE);
        assert!(!text.trim().is_empty(), "{arguments} is refused in silence");
    }
}

#[test]
fn nothing_checked_is_no_success() {
    let here = folder();
    let idle = "--max-in-flight 0 --timeouts 0 --restarts 0 --preset smoke";
    run(here.path(), &format!("check {idle}"), USAGE);
    run(
        here.path(),
        &format!("check {idle} --engine stateright"),
        USAGE,
    );
    std::fs::create_dir(here.path().join("empty")).expect("a folder of our own");
    run(here.path(), "replay empty", INPUT);
    let whole = trace(here.path());
    let header = whole.lines().next().expect("a header");
    let empty = format!("{header}\n{{\"end\":{{\"steps\":0}}}}\n");
    std::fs::write(here.path().join("none.ndjson"), empty).expect("a file of our own");
    run(here.path(), "replay none.ndjson --target spec", INPUT);
    run(here.path(), "verify --corpus empty --target spec", INPUT);
}

/// A name that is nobody's is found out before the build with the seeded bugs, which takes minutes, begins: here there
/// is no Cargo to make it.
#[test]
fn a_seeded_bug_is_looked_up_before_anything_is_built() {
    let here = folder();
    trace(here.path());
    for (arguments, says) in [
        (
            "check --preset smoke",
            "no seeded bug NOPE in the specification",
        ),
        ("simulate", "no seeded bug NOPE in the specification"),
        ("verify", "no seeded bug NOPE in the implementation"),
        ("conform", "no seeded bug NOPE in the implementation"),
        ("walk", "no seeded bug NOPE in the implementation"),
        (
            "replay trace.ndjson",
            "no seeded bug NOPE in the implementation",
        ),
        (
            "replay trace.ndjson --target spec",
            "no seeded bug NOPE in the specification",
        ),
        (
            "explore --target lockstep-raft",
            "no seeded bug NOPE in the implementation",
        ),
        ("mutants", "no seeded bug or rule is called NOPE"),
    ] {
        let option = if arguments == "mutants" {
            "--only"
        } else {
            "--plant"
        };
        let mut command = binary::lockstep();
        command.env("CARGO", here.path().join("no-cargo"));
        let assert = Command::from_std(command)
            .args(arguments.split_whitespace())
            .args([option, "NOPE"])
            .current_dir(here.path())
            .assert()
            .code(USAGE);
        let errors = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
        assert!(words(&errors).contains(says), "{arguments}: {errors}");
    }
}

/// A target that must be built or started to be driven is refused without that.
#[test]
fn what_cannot_be_explored_is_refused_before_it_is_built() {
    let here = folder();
    for target in ["etcd", "etcd@3.6.0", "etcd-async"] {
        for preset in ["", "--preset smoke"] {
            let arguments = format!("check {preset} --target {target}");
            let (_, errors) = without_go(here.path(), &arguments, false, USAGE);
            assert!(words(&errors).contains("cannot be explored"), "{errors}");
        }
    }
}

/// A single comparison that needs more than the target has is not made, and names what is lacking.
#[test]
fn a_comparison_that_is_not_applicable_is_refused() {
    let here = folder();
    for (preset, lacks) in [
        ("transfer", "transfer_leadership"),
        ("snapshot", "compact"),
        ("joint", "propose_conf_change"),
        ("read", "read_index"),
        ("async-single", "storage"),
    ] {
        let arguments = format!("conform --preset {preset} --target raft-rs");
        let text = words(&run(here.path(), &arguments, USAGE));
        let part = format!("{preset} is not applicable to raft-rs: the target does not have");
        assert!(
            text.contains(&part) && text.contains(lacks),
            "{preset}: {text}"
        );
    }
}

/// A model that a target lacks something for is not explored, which is no pass.
#[test]
fn what_does_not_apply_to_code_is_refused() {
    let here = folder();
    for (arguments, part) in [
        (
            "check --target raft-rs --preset snapshot-longer",
            "the target does not have compact",
        ),
        (
            "check --target raft-rs --preset transfer",
            "the target does not have transfer_leadership",
        ),
    ] {
        let text = words(&run(here.path(), arguments, USAGE));
        assert!(
            text.contains("not applicable") && text.contains(part),
            "{arguments}: {text}"
        );
    }
    let text = run(
        here.path(),
        "check --target lockstep-raft --preset forget",
        HOLDS,
    );
    assert!(text.contains("code checked: exhausted"), "{text}");
}

/// Two outputs to one file are refused before anything is written: the last would take the place of the other.
#[test]
fn two_outputs_are_never_one_file() {
    let here = folder();
    let kept = trace(here.path());
    std::fs::create_dir(here.path().join("sub")).expect("a folder of our own");
    for arguments in [
        "check --preset single --junit same --report same",
        "check --preset single --junit same --trace-out same",
        "check --preset single --junit same --trace-out sub/../same",
        "check --preset single --report same --trace-out same/index.html",
        "check --preset single --junit sub/same --report sub/same/page",
        "check --preset single --checkpoint same --junit ./same",
        "check --junit found-smoke.ndjson --trace-out found.ndjson",
        "simulate --preset single --junit same --trace-out ./same",
        "conform --preset single --junit same --trace-out same",
        "conform --preset single --junit divergence.ndjson",
        "walk --seeds 1 --junit same --trace-out same",
        "verify --junit divergence-walk.ndjson",
        "verify --junit out-conform-smoke.x --trace-out out.x",
        "generate --cover corpus --out same --junit same",
        "mutants --markdown same --write-expected same",
        "mutants --markdown same --junit same",
        "replay trace.ndjson --junit trace.ndjson",
        "show trace.ndjson --out trace.ndjson",
    ] {
        let text = run(here.path(), arguments, USAGE);
        assert!(
            words(&text).contains("are the same file or folder"),
            "{arguments}: {text}"
        );
    }
    let left = std::fs::read_dir(here.path()).expect("a folder of our own");
    let mut left: Vec<_> = left.map(|it| it.expect("an entry").file_name()).collect();
    left.sort();
    assert_eq!(left, ["sub", "trace.ndjson"]);
    assert_eq!(
        std::fs::read_to_string(here.path().join("trace.ndjson")).expect("it stays"),
        kept
    );
    // Two folders can be one, and a device takes everything.
    let inside = "check --preset single --junit page/tests.xml --report page";
    let text = run(here.path(), inside, HOLDS);
    assert!(!text.contains("cannot be written"), "{text}");
    if cfg!(unix) {
        let both = "check --preset single --junit /dev/null --trace-out /dev/null";
        run(here.path(), both, HOLDS);
    }
}

/// Runs the command line where there is no Go, and returns standard output and standard error.
fn without_go(folder: &Path, arguments: &str, required: bool, code: i32) -> (String, String) {
    let nothing = folder.join("no-programs");
    std::fs::create_dir_all(&nothing).expect("a folder of our own");
    let mut command = binary::lockstep();
    command
        .env("PATH", nothing)
        .env_remove("LOCKSTEP_REQUIRE_GO");
    if required {
        command.env("LOCKSTEP_REQUIRE_GO", "1");
    }
    let assert = Command::from_std(command)
        .args(arguments.split_whitespace())
        .current_dir(folder)
        .assert()
        .code(code);
    let output = assert.get_output();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("it writes text");
    (text(&output.stdout), text(&output.stderr))
}

/// Skipped is said in one line, is nowhere called a pass, and is an error where Go is required.
#[test]
fn without_go_etcds_raft_is_skipped_and_nothing_passes() {
    let here = folder();
    trace(here.path());
    let corpus = binary::repository().join("traces/corpus");
    for target in ["etcd", "etcd@3.6.0", "etcd-async"] {
        for what in [
            "conform".to_owned(),
            "replay trace.ndjson".to_owned(),
            format!("verify --corpus {}", corpus.display()),
        ] {
            let arguments = format!("{what} --target {target}");
            let (text, errors) = without_go(here.path(), &arguments, false, HOLDS);
            let line = text.lines().next().unwrap_or_default();
            assert!(
                line.contains("etcd: skipped: there is no Go here") && line.contains("go.dev/dl"),
                "{text}"
            );
            assert!(
                !text.contains("holds") && errors.is_empty(),
                "{text}{errors}"
            );

            let machine = format!("{arguments} --format json --junit report.xml");
            let (json, _) = without_go(here.path(), &machine, false, HOLDS);
            let report: serde_json::Value = serde_json::from_str(&json).expect("a report");
            assert_eq!(report["status"], "skipped");
            assert_eq!(report["jobs"].as_array().map(Vec::len), Some(1));
            assert_eq!(report["jobs"][0]["status"], "skipped");
            let xml = std::fs::read_to_string(here.path().join("report.xml")).expect("a report");
            let count = |what: &str| xml.matches(what).count();
            assert_eq!((count("<testcase "), count("<skipped ")), (1, 1), "{xml}");

            let (text, errors) = without_go(here.path(), &arguments, true, USAGE);
            assert!(
                text.is_empty() && errors.contains("LOCKSTEP_REQUIRE_GO"),
                "{text}{errors}"
            );
        }
    }
    let (targets, _) = without_go(here.path(), "targets", false, HOLDS);
    assert!(
        targets.contains("not available here: there is no Go here"),
        "{targets}"
    );
}

/// An option that changes what happens is part of the command that repeats it.
#[test]
fn the_command_that_a_report_prints_repeats_the_options() {
    let here = folder();
    trace(here.path());
    let command = |options: &str| {
        let arguments = format!("replay trace.ndjson --target spec --plant wrong_state {options}");
        let report = run(here.path(), &arguments, VIOLATED);
        paste(here.path(), &report);
        let line = report.split("repeat it with: ").nth(1);
        line.and_then(|rest| rest.lines().next())
            .expect("a command")
            .to_owned()
    };
    let plain = "lockstep replay trace.ndjson --target spec";
    assert_eq!(command(""), format!("{plain} --plant wrong_state"));
    assert_eq!(command("--reply-timeout 30"), command(""));
    assert_eq!(
        command("--reply-timeout 7 --partial"),
        format!("{plain} --reply-timeout 7 --partial --plant wrong_state")
    );
}

/// A witness that was asked for is a question, and a property that nothing put to the test was not checked.
#[test]
fn what_was_asked_for_by_name_must_be_met() {
    let here = folder();
    let text = run(
        here.path(),
        "check --preset smoke --only two_leaders_reachable",
        VIOLATED,
    );
    assert!(text.contains("two_leaders_reachable not reached"), "{text}");
    run(
        here.path(),
        "check --preset smoke --only leader_elected_reachable",
        HOLDS,
    );
    let text = run(
        here.path(),
        "check --preset smoke --only restart_step",
        VIOLATED,
    );
    assert!(text.contains("no property put to the test"), "{text}");
    let both = "check --preset smoke --only restart_step --only election_safety_inv";
    let text = run(here.path(), both, HOLDS);
    assert!(
        text.contains("never put to the test: restart_step"),
        "{text}"
    );
    let text = run(here.path(), &format!("{both} --max-depth 3"), STOPPED);
    assert!(text.contains("bounded ("), "{text}");
}

/// Nothing tested is no pass: the verdict says what the bound kept from being tested, and `--strict` fails for it.
#[test]
fn what_was_never_put_to_the_test_is_in_the_verdict() {
    let here = folder();
    for (arguments, code, words) in [
        (
            "check --preset smoke --max-term 0",
            HOLDS,
            "exhausted, 112 of 129 properties never put to the test",
        ),
        (
            "check --preset smoke --max-term 0 --strict",
            VIOLATED,
            "exhausted, 112 of 129 properties never put to the test",
        ),
        (
            "check --preset smoke --only election_safety_inv --strict",
            HOLDS,
            "check smoke: exhausted\n",
        ),
    ] {
        let text = run(here.path(), arguments, code);
        assert!(text.contains(words), "{arguments}: {text}");
    }
}

/// Without a preset all that `verify` checks are, together they put everything to the test, and each has its file.
#[test]
fn check_takes_every_preset_of_verify() {
    let here = folder();
    let text = run(here.path(), "check --strict --verbose", HOLDS);
    let presets = Preset::all().iter().filter(|preset| preset.ci);
    for preset in presets {
        let line = format!("check {}: exhausted", preset.name);
        assert!(text.contains(&line), "{line} is missing in {text}");
    }
    assert!(
        text.contains("all 129 properties put to the test"),
        "{text}"
    );
    let never = "of 129 properties never put to the test";
    // Some of them take no step at all then.
    let text = run(here.path(), "check --max-term 0", STOPPED);
    assert!(text.contains("nothing was checked"), "{text}");
    let text = run(here.path(), "check --max-term 0 --verbose", STOPPED);
    assert!(text.contains(never), "{text}");
    let text = run(here.path(), "check --max-term 0 --strict", VIOLATED);
    assert!(text.contains(never), "{text}");
    let text = run(here.path(), "check --timeout 0 --strict", STOPPED);
    assert!(text.contains("as far as was explored"), "{text}");
    let text = run(here.path(), "check --only two_leaders_reachable", HOLDS);
    assert!(text.contains("holds: "), "{text}");
}

/// A target that cannot be started ends `verify` before the searches, which report their progress.
#[test]
fn verify_starts_the_target_first() {
    let corpus = binary::repository().join("traces/corpus");
    let arguments = format!(
        "verify --corpus {} --target exec:./no-such-program",
        corpus.display()
    );
    let text = run(folder().path(), &arguments, USAGE);
    assert!(!text.contains("check smoke"), "{text}");
}

#[test]
fn bad_input_is_named_with_file_line_and_field() {
    let here = folder();
    let whole = trace(here.path());
    let write = |text: &str| {
        std::fs::write(here.path().join("bad.ndjson"), text).expect("a file of our own");
        run(here.path(), "replay bad.ndjson --target spec", INPUT)
    };
    let cut: String = whole
        .lines()
        .take(3)
        .map(|line| format!("{line}\n"))
        .collect();
    assert!(write(&cut).contains("bad.ndjson:4: the file stops"));
    let text = write(&whole.replacen("\"term\":0", "\"term\":-1", 1));
    assert!(
        text.contains("bad.ndjson:2: `expect.view.term`: invalid value"),
        "{text}"
    );
    let text = write(&whole.replacen("\"lockstep_trace\":1", "\"lockstep_trace\":99", 1));
    assert!(text.contains("version 99 is not known"), "{text}");
    let text = write("\u{0}\u{1}");
    assert!(
        text.contains("bad.ndjson:1: not a Lockstep trace"),
        "{text}"
    );
    assert_eq!(text.matches("not a Lockstep trace").count(), 1, "{text}");
    run(here.path(), "replay no-such-file.ndjson", INPUT);
}

//! The Raft of `examples/my_raft.rs`: it passes where it says so, and diverges where it says so; as a target of a
//! program of its own, and as a program behind the exec protocol.

// The program is run below; here are its servers alone.
#[allow(dead_code)]
#[path = "../examples/my_raft.rs"]
mod my_raft;

use lockstep_conformance::Difference;
use lockstep_conformance::product::{Product, Verdict};
use lockstep_model::{Cluster, Preset, Settings};
use lockstep_traces::Field;
use my_raft::MyRaft;
use std::path::PathBuf;
use std::process::{Command, Output};

fn conform(preset: &str) -> Verdict {
    let preset = Preset::named(preset).expect("a preset");
    let settings = Settings::new(&preset.config).expect("a good configuration");
    let cluster = Cluster::new(settings, preset.bounds);
    let report = Product::new(&cluster, &MyRaft::new()).threads(2).run();
    report.expect("it starts").verdict
}

#[test]
fn it_passes_single_and_pair() {
    for preset in ["single", "pair"] {
        let verdict = conform(preset);
        assert!(matches!(verdict, Verdict::Bisimilar), "{preset}: {verdict}");
    }
}

/// It counts copies of an entry of an older term, as Figure 8 of the paper warns.
#[test]
fn it_diverges_where_an_old_entry_is_counted() {
    let Verdict::Diverged(found) = conform("overtaken") else {
        panic!("the mistake is not found");
    };
    let commit = |it: &Difference| {
        matches!(
            it,
            Difference::WrongState {
                field: Field::Commit,
                ..
            }
        )
    };
    assert!(
        found.differences.iter().any(commit),
        "{:?}",
        found.differences
    );
}

/// The example as a program. Cargo has built it, unless this test is run alone.
fn program() -> PathBuf {
    let built = Command::new(env!("CARGO"))
        .args([
            "build",
            "-q",
            "-p",
            "lockstep-conformance",
            "--example",
            "my_raft",
        ])
        .args(["--offline", "--locked"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status();
    assert!(built.expect("cargo runs").success());
    let beside = PathBuf::from(env!("CARGO_BIN_EXE_lockstep"));
    let name = format!("my_raft{}", std::env::consts::EXE_SUFFIX);
    beside.with_file_name("examples").join(name)
}

fn run(program: &PathBuf, arguments: &[&str]) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().expect("a place for files");
    let Output { status, stdout, .. } = Command::new(program)
        .args(arguments)
        .current_dir(folder.path())
        .output()
        .expect("it runs");
    (status.code(), String::from_utf8(stdout).expect("text"))
}

#[test]
fn its_program_has_every_verb_report_and_exit_code() {
    let program = program();
    let (code, text) = run(&program, &["targets"]);
    assert!(code == Some(0) && text.contains("mine"), "{text}");
    let conform = ["conform", "--target", "mine", "--preset"];
    let (code, text) = run(&program, &[&conform[..], &["single"]].concat());
    assert!(
        code == Some(0) && text.contains("bisimilar within the bound"),
        "{text}"
    );
    let (code, text) = run(&program, &[&conform[..], &["overtaken"]].concat());
    assert_eq!(code, Some(1), "{text}");
    // The command that repeats it is one of this program.
    let again = text.lines().find(|line| line.contains("repeat it with"));
    assert!(
        again.is_some_and(|line| line.contains("my_raft replay")),
        "{text}"
    );
    let (code, text) = run(&program, &["replay", "corpus:", "--target", "mine"]);
    assert_eq!(code, Some(1), "the corpus has Figure 8: {text}");
    let (code, text) = run(
        &program,
        &["check", "--target", "mine", "--preset", "single"],
    );
    assert!(
        code == Some(0) && text.contains("code checked: exhausted"),
        "{text}"
    );
}

#[test]
fn served_behind_the_exec_protocol_it_does_the_same() {
    let lockstep = PathBuf::from(env!("CARGO_BIN_EXE_lockstep"));
    let target = format!("exec:'{}' serve", program().display());
    let (code, text) = run(
        &lockstep,
        &["conform", "--preset", "single", "--target", &target],
    );
    assert!(code == Some(0) && text.contains("edges covered"), "{text}");
    let (code, text) = run(
        &lockstep,
        &["conform", "--preset", "overtaken", "--target", &target],
    );
    assert!(code == Some(1) && text.contains("commit"), "{text}");
}

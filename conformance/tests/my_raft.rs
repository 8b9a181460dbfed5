//! The Raft of `examples/my_raft.rs`: it passes where it says so, and diverges where it says so; as a target of a
//! program of its own, and as a program behind the exec protocol.

use std::path::PathBuf;
use std::process::{Command, Output};

/// The example as a program. Cargo builds it with the tests of the package; for this test alone it is built here,
/// if it is not there.
fn program() -> PathBuf {
    let beside = PathBuf::from(env!("CARGO_BIN_EXE_lockstep"));
    let name = format!("my_raft{}", std::env::consts::EXE_SUFFIX);
    let program = beside.with_file_name("examples").join(name);
    if program.is_file() {
        return program;
    }
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
    program
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
    for preset in ["single", "pair"] {
        let (code, text) = run(&program, &[&conform[..], &[preset]].concat());
        assert!(
            code == Some(0) && text.contains("bisimilar within the bound"),
            "{text}"
        );
    }
    // It counts copies of an entry of an older term, as Figure 8 of the paper warns.
    let (code, text) = run(&program, &[&conform[..], &["overtaken"]].concat());
    assert!(code == Some(1) && text.contains("wrong commit"), "{text}");
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

//! Mistakes planted in a copy of the server's code: a test catches each.
//!
//! ```sh
//! cargo test -p lockstep-server --test seeded -- --ignored --nocapture
//! ```

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// One build, or one test with all that waits in vain in it.
const PATIENCE: Duration = Duration::from_secs(900);

/// One seeded bug: texts to be replaced, and the test that catches it.
struct Bug {
    name: &'static str,
    changes: &'static [(&'static str, &'static str, &'static str)],
    test: [&'static str; 2],
}

const BUGS: &[Bug] = &[
    Bug {
        name: "a read is answered before its read index is confirmed",
        changes: &[(
            "server/raft_loop.rs",
            "Input::Read(reader) => self.reads.push(reader),",
            "Input::Read(reader) => drop(reader.send(Ok(()))),",
        )],
        test: [
            "cluster",
            "a_server_without_a_quorum_answers_no_linearizable_read",
        ],
    },
    Bug {
        name: "entries are applied again after a crash",
        changes: &[
            (
                "server/start.rs",
                "let (applied, conf_state) = (snapshot.applied()?, snapshot.conf_state()?);",
                "let (applied, conf_state) = (state.start, snapshot.conf_state()?);",
            ),
            (
                "server/raft_loop.rs",
                "if entry.index != applied.index.next() {",
                "if entry.index > applied.index.next() {",
            ),
        ],
        test: ["crashes", "acknowledged_writes_survive_kill"],
    },
    Bug {
        name: "a write is acknowledged before it is in the log",
        changes: &[(
            "server/raft_loop.rs",
            "        self.send(ready.messages)?;\n",
            "        self.send(ready.messages)?;\n        self.send(late)?;\n        let late = Vec::new();\n",
        )],
        test: [
            "cluster",
            "a_write_that_a_quorum_could_not_log_is_not_acknowledged",
        ],
    },
    Bug {
        name: "a snapshot lacks the last applied index",
        changes: &[(
            "store/dump.rs",
            "[meta::CLUSTER, meta::MEMBER].contains",
            "[meta::CLUSTER, meta::MEMBER, meta::APPLIED_INDEX].contains",
        )],
        test: [
            "cluster",
            "a_lagging_follower_gets_a_snapshot_while_writes_go_on",
        ],
    },
];

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (path, name) = entry.map(|it| (it.path(), it.file_name())).unwrap();
        match path.is_dir() {
            true => copy(&path, &to.join(name)),
            false => drop(fs::copy(&path, to.join(name)).unwrap()),
        }
    }
}

/// A workspace of the production crates alone.
fn workspace(folder: &Path) {
    let _ = fs::remove_dir_all(folder); // It may not be there.
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let top = here.parent().and_then(Path::parent).unwrap();
    let manifest = fs::read_to_string(top.join("Cargo.toml")).unwrap();
    let lines = manifest.lines().map(|line| match line.split_once(' ') {
        Some(("members", _)) => {
            "members = [\"impl/raft\", \"impl/wal\", \"impl/net\", \"impl/server\"]"
        }
        Some(("default-members", _)) => "",
        _ => line,
    });
    fs::create_dir_all(folder).unwrap();
    let manifest: Vec<&str> = lines.collect();
    fs::write(folder.join("Cargo.toml"), manifest.join("\n")).unwrap();
    fs::copy(top.join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
    for name in ["raft", "wal", "net", "server"] {
        copy(
            &top.join("impl").join(name),
            &folder.join("impl").join(name),
        );
    }
}

/// A process that ends with the test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill(); // It may have ended.
        let _ = self.0.wait();
    }
}

/// Builds or runs a test in the copy; true if that succeeds.
fn test(folder: &Path, [target, name]: [&str; 2], arguments: &[&str]) -> bool {
    let child = Command::new(env!("CARGO"))
        .args(["test", "--offline", "-p", "lockstep-server", "--test"])
        .args([target, name])
        .args(arguments)
        // That of the workspace, so that dependencies are not built again.
        .env(
            "CARGO_TARGET_DIR",
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(".."),
        )
        .current_dir(folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let mut process = Process(child.unwrap());
    let began = Instant::now();
    loop {
        if let Some(status) = process.0.try_wait().unwrap() {
            return status.success();
        }
        assert!(began.elapsed() < PATIENCE, "{target} {name} does not end");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
#[ignore = "builds the crate once for each bug"]
fn a_test_catches_every_seeded_bug() {
    let folder: PathBuf = Path::new(env!("CARGO_TARGET_TMPDIR")).join("seeded-server");
    workspace(&folder);
    let mut missed = Vec::new();
    for bug in BUGS {
        assert!(test(&folder, bug.test, &[]), "{:?} as it is", bug.test);
        let mut originals = Vec::new();
        for (file, from, to) in bug.changes {
            let path = folder.join("impl/server/src").join(file);
            let text = fs::read_to_string(&path).unwrap();
            assert_eq!(text.matches(from).count(), 1, "{}: {from}", bug.name);
            fs::write(&path, text.replace(from, to)).unwrap();
            originals.push((path, text));
        }
        assert!(
            test(&folder, bug.test, &["--no-run"]),
            "{}: build",
            bug.name
        );
        let passes = test(&folder, bug.test, &[]);
        for (path, text) in originals {
            fs::write(path, text).unwrap();
        }
        match passes {
            true => missed.push(bug.name),
            false => println!("{}: {}", bug.name, bug.test.join(": ")),
        }
    }
    assert_eq!(missed, [""; 0], "not caught");
}

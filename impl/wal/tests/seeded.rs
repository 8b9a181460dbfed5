//! Mistakes planted in a copy of the log's code: the simulation catches each.
//!
//! ```sh
//! cargo test -p lockstep-wal --test seeded -- --ignored --nocapture
//! ```

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// One seeded bug: texts to be replaced.
struct Bug {
    name: &'static str,
    file: &'static str,
    changes: &'static [(&'static str, &'static str)],
}

const BUGS: &[Bug] = &[
    Bug {
        name: "acknowledges before the sync",
        file: "log.rs",
        changes: &[("self.flush(self.must_sync)", "self.flush(false)")],
    },
    Bug {
        name: "does not sync a vote",
        file: "log.rs",
        changes: &[(
            "write.hard_state.is_some_and(is_promise)",
            "false && is_promise(held)",
        )],
    },
    Bug {
        name: "does not look for the end mark of a batch",
        file: "segment.rs",
        changes: &[
            (
                "                batch.push(record);\n                (offset, chain) = (offset + length, next);\n",
                "                (offset, chain) = (offset + length, next);
                if end.offset == PREAMBLE_BYTES {
                    batch.push(record);
                } else {
                    let _ = replay(vec![record]);
                    end = End { offset: offset as u64, chain };
                }\n",
            ),
            ("|| !is_whole ||", "|| (is_whole && false) ||"),
            (
                "replay(std::mem::take(&mut batch))",
                "(if batch.is_empty() { Ok(()) } else { replay(std::mem::take(&mut batch)) })",
            ),
        ],
    },
    Bug {
        name: "does not compare the chain with the next segment's",
        file: "log.rs",
        changes: &[(
            "(preamble.nonce, preamble.previous) != (before.preamble.nonce, before.end)",
            "preamble.nonce != before.preamble.nonce",
        )],
    },
    Bug {
        name: "takes all damage in the last segment for a torn write",
        file: "segment.rs",
        changes: &[(
            "if end.offset < synced {",
            "if end.offset < synced && false {",
        )],
    },
    Bug {
        name: "begins a segment before the last one is synced",
        file: "log.rs",
        changes: &[(
            "self.flush(true)?;\n        let preamble",
            "self.flush(false)?;\n        let preamble",
        )],
    },
    Bug {
        name: "begins a segment without the hard state",
        file: "log.rs",
        changes: &[("        Record::HardState(tail.hard_state),\n", "")],
    },
    Bug {
        name: "renames a file before it is synced",
        file: "disk/mod.rs",
        changes: &[(
            "            file.sync()?;\n            Ok(file)",
            "            Ok(file)",
        )],
    },
    Bug {
        name: "does not sync the folder after a rename",
        file: "disk/mod.rs",
        changes: &[(
            "        self.sync()?;\n        Ok(file)",
            "        Ok(file)",
        )],
    },
    Bug {
        name: "trusts the cache at opening and does not write it again",
        file: "log.rs",
        changes: &[(
            "file.write_at(scan.synced, &bytes[doubtful])?;",
            "let _ = doubtful;",
        )],
    },
    Bug {
        name: "does not sync at opening",
        file: "log.rs",
        changes: &[(
            "        file.sync()?;\n        folder.sync()?;\n        let live",
            "        folder.sync()?;\n        let live",
        )],
    },
    Bug {
        name: "releases before the mark of the snapshot is proven",
        file: "log.rs",
        changes: &[(
            "        self.try_seal()?;\n        self.release()",
            "        self.release()",
        )],
    },
    Bug {
        name: "removes several segments with one sync",
        file: "log.rs",
        changes: &[(
            "            self.folder.sync()?;\n            self.spans.release();",
            "            self.spans.release();",
        )],
    },
    Bug {
        name: "releases segments that a snapshot does not cover",
        file: "spans.rs",
        changes: &[("highest <= index", "highest <= index + 3")],
    },
    Bug {
        name: "goes on after a failed sync",
        file: "log.rs",
        changes: &[(
            "self.stopped = Some(Arc::new(error.clone()));",
            "let _ = error;",
        )],
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

/// A workspace of the two production crates alone.
fn workspace(folder: &Path) {
    let _ = fs::remove_dir_all(folder);
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let top = here.parent().and_then(Path::parent).unwrap();
    let manifest = fs::read_to_string(top.join("Cargo.toml")).unwrap();
    let lines = manifest.lines().map(|line| match line.split_once(' ') {
        Some(("members", _)) => "members = [\"impl/raft\", \"impl/wal\"]",
        Some(("default-members", _)) => "",
        _ => line,
    });
    fs::create_dir_all(folder).unwrap();
    let manifest: Vec<&str> = lines.collect();
    fs::write(folder.join("Cargo.toml"), manifest.join("\n")).unwrap();
    fs::copy(top.join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
    for name in ["raft", "wal"] {
        let (from, to) = (top.join("impl").join(name), folder.join("impl").join(name));
        fs::create_dir_all(&to).unwrap();
        fs::copy(from.join("Cargo.toml"), to.join("Cargo.toml")).unwrap();
        fs::copy(from.join("README.md"), to.join("README.md")).unwrap();
        copy(&from.join("src"), &to.join("src"));
        for folder in ["benches", "examples", "tests"] {
            if from.join(folder).is_dir() {
                copy(&from.join(folder), &to.join(folder));
            }
        }
    }
}

/// Runs the simulation in the copy. `Some` is the first seed that found something.
fn simulate(folder: &Path) -> Option<String> {
    let output = Command::new(env!("CARGO"))
        .args(["test", "--offline", "-p", "lockstep-wal", "--lib"])
        .args(["sim::what_was_acknowledged_is_there", "--", "--nocapture"])
        // That of the workspace, so that dependencies are not built again.
        .env(
            "CARGO_TARGET_DIR",
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(".."),
        )
        .env("LOCKSTEP_WAL_HISTORIES", "9999")
        .env_remove("LOCKSTEP_WAL_SEED")
        .current_dir(folder)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let found = text.lines().find(|it| it.starts_with("LOCKSTEP_WAL_SEED="));
    assert_eq!(found.is_none(), output.status.success(), "{text}");
    found.map(str::to_owned)
}

#[test]
#[ignore = "builds the crate once for each bug"]
fn the_simulation_catches_every_seeded_bug() {
    let folder: PathBuf = Path::new(env!("CARGO_TARGET_TMPDIR")).join("seeded");
    workspace(&folder);
    assert_eq!(simulate(&folder), None, "the code as it is");
    let mut missed = Vec::new();
    for bug in BUGS {
        let path = folder.join("impl/wal/src").join(bug.file);
        let text = fs::read_to_string(&path).unwrap();
        let mut changed = text.clone();
        for (from, to) in bug.changes {
            assert_eq!(changed.matches(from).count(), 1, "{}: {from}", bug.name);
            changed = changed.replace(from, to);
        }
        fs::write(&path, changed).unwrap();
        let found = simulate(&folder);
        fs::write(&path, text).unwrap();
        match found {
            Some(line) => println!("{}: {}", bug.name, &line[..line.len().min(110)]),
            None => missed.push(bug.name),
        }
    }
    assert_eq!(missed, [""; 0], "not caught");
}

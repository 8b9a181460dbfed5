//! etcd's own client against the demonstration.
//!
//! It is built from its Go module into the target folder, once. Without Go the test is skipped, and says
//! so; if `LOCKSTEP_REQUIRE_GO` is set, that is a failure.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// The build fetches and compiles some hundred packages the first time.
const BUILD_PATIENCE: Duration = Duration::from_secs(900);
const PATIENCE: Duration = Duration::from_secs(30);

/// A process that ends with the test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill(); // It may have ended.
        let _ = self.0.wait();
    }
}

/// Runs a command to its end, or ends it.
fn run(command: &mut Command, input: &str, patience: Duration) -> Option<Output> {
    let child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut process = Process(child.ok()?);
    process.0.stdin.take()?.write_all(input.as_bytes()).ok()?;
    let (mut out, mut err) = (process.0.stdout.take()?, process.0.stderr.take()?);
    let (stdout, stderr) = (
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            out.read_to_end(&mut bytes).map(|_| bytes)
        }),
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            err.read_to_end(&mut bytes).map(|_| bytes)
        }),
    );
    let began = Instant::now();
    let status = loop {
        if let Some(status) = process.0.try_wait().ok()? {
            break status;
        }
        assert!(began.elapsed() < patience, "{command:?} does not end");
        std::thread::sleep(Duration::from_millis(20));
    };
    Some(Output {
        status,
        stdout: stdout.join().ok()?.ok()?,
        stderr: stderr.join().ok()?.ok()?,
    })
}

/// The program, or why there is none.
fn etcdctl() -> Result<PathBuf, String> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/etcdctl");
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("etcdctl");
    let mut build = Command::new("go");
    build
        .arg("build")
        .arg("-o")
        .arg(&program)
        .arg(".")
        .current_dir(source);
    match run(&mut build, "", BUILD_PATIENCE) {
        None => Err("there is no Go toolchain".to_owned()),
        Some(output) if output.status.success() => Ok(program),
        Some(output) => Err(format!(
            "go build: {}",
            String::from_utf8_lossy(&output.stderr)
        )),
    }
}

/// The demonstration, and its endpoints.
fn demo(temporary: &Path) -> (Process, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_lockstep-server"))
        .args(["demo", "--any-ports", "--log-level=warn"])
        // It is killed, so it cannot remove its folder itself.
        .env("TMPDIR", temporary)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let out = BufReader::new(child.stdout.take().unwrap());
    let process = Process(child);
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in out.lines().map_while(Result::ok) {
            if let Some(endpoints) = line.trim().strip_prefix("export ETCDCTL_ENDPOINTS=") {
                let _ = sender.send(endpoints.to_owned());
            }
        }
    });
    let endpoints = receiver
        .recv_timeout(PATIENCE)
        .expect("the demonstration is up in time");
    (process, endpoints)
}

#[test]
fn etcdctl_drives_the_demonstration() {
    let program = match etcdctl() {
        Ok(program) => program,
        Err(reason) => {
            assert!(
                std::env::var_os("LOCKSTEP_REQUIRE_GO").is_none(),
                "{reason}"
            );
            // Not `eprintln!`, whose output a test that passes does not show.
            let _ = writeln!(std::io::stderr(), "SKIPPED etcdctl: {reason}");
            return;
        }
    };
    let temporary = tempfile::tempdir().unwrap();
    let (_demo, endpoints) = demo(temporary.path());
    let call = |args: &[&str], input: &str| {
        let mut command = Command::new(&program);
        command
            .env_clear()
            .env("ETCDCTL_ENDPOINTS", &endpoints)
            .args(args);
        let output = run(&mut command, input, PATIENCE).unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (
            output.status.success(),
            text(&output.stdout),
            text(&output.stderr),
        )
    };
    let prints = |args: &[&str], expected: &str| {
        let (success, out, err) = call(args, "");
        assert!(success && out == expected, "{args:?}: {out:?} {err}");
    };
    let fails = |args: &[&str], expected: &str| {
        let (success, out, err) = call(args, "");
        assert!(
            !success && format!("{out}{err}").contains(expected),
            "{args:?}: {out} {err}"
        );
    };

    prints(&["put", "color", "green"], "OK\n");
    prints(&["get", "color"], "color\ngreen\n");
    prints(&["put", "color", "blue", "--prev-kv"], "OK\ncolor\ngreen\n");
    prints(&["put", "shape", "round"], "OK\n");
    prints(&["get", "", "--prefix"], "color\nblue\nshape\nround\n");
    prints(&["get", "color", "--rev=2"], "color\ngreen\n");
    prints(
        &["get", "", "--prefix", "--keys-only", "--order=DESCEND"],
        "shape\n\ncolor\n\n",
    );
    prints(
        &["get", "", "--prefix", "--limit=1", "--print-value-only"],
        "blue\n",
    );
    let count = [
        "get",
        "",
        "--from-key",
        "--count-only",
        "--write-out=fields",
    ];
    let (success, out, err) = call(&count, "");
    assert!(success && out.contains("\"Count\" : 2\n"), "{out} {err}");
    prints(&["get", "color", "--consistency=s"], "color\nblue\n");
    let txn = "value(\"shape\") = \"round\"\nver(\"color\") > \"1\"\n\nput shape square\nget shape\n\nget color\n\n";
    let (success, out, err) = call(&["txn"], txn);
    assert!(
        success && out == "SUCCESS\n\nOK\n\nshape\nsquare\n",
        "{out:?} {err}"
    );
    let (success, out, err) = call(&["txn"], txn);
    assert!(
        success && out == "FAILURE\n\ncolor\nblue\n",
        "{out:?} {err}"
    );
    prints(&["del", "color"], "1\n");
    prints(&["del", "", "--prefix"], "1\n");
    prints(&["get", "color"], "");

    let (success, out, _) = call(&["member", "list"], "");
    assert!(
        success && out.matches(", started, server-").count() == 3,
        "{out}"
    );
    let (success, out, _) = call(&["endpoint", "status"], "");
    assert!(
        success && out.lines().count() == 3 && out.matches(", true, false,").count() == 1,
        "{out}"
    );
    let (success, out, err) = call(&["endpoint", "health"], "");
    let text = format!("{out}{err}");
    assert!(success && text.matches("is healthy").count() == 3, "{text}");
    let (success, out, _) = call(&["endpoint", "hashkv"], "");
    let hashes = out.lines().filter_map(|line| line.split(", ").nth(1));
    let hashes: std::collections::BTreeSet<&str> = hashes.collect();
    assert!(success && hashes.len() == 1, "{out}");
    prints(&["alarm", "list"], "");
    prints(&["compact", "5"], "compacted revision 5\n");
    let first = endpoints.split(',').next().unwrap();
    let backup = tempfile::tempdir().unwrap();
    let file = backup.path().join("backup");
    let (success, out, err) = {
        let mut command = Command::new(&program);
        command
            .env_clear()
            .env("ETCDCTL_ENDPOINTS", first)
            .args(["snapshot", "save"])
            .arg(&file);
        let output = run(&mut command, "", PATIENCE).unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (
            output.status.success(),
            text(&output.stdout),
            text(&output.stderr),
        )
    };
    assert!(
        success && std::fs::metadata(&file).unwrap().len() % 512 == 32,
        "{out} {err}"
    );

    fails(
        &["get", "color", "--rev=2"],
        "etcdserver: mvcc: required revision has been compacted",
    );
    fails(
        &["get", "color", "--rev=99"],
        "etcdserver: mvcc: required revision is a future revision",
    );
    fails(
        &["put", "--lease=123", "a", "b"],
        "etcdserver: requested lease not found",
    );
    fails(
        &["lease", "grant", "10"],
        "etcdserverpb.Lease/LeaseGrant is not implemented",
    );
    fails(
        &["watch", "a"],
        "etcdserverpb.Watch/Watch is not implemented",
    );
    fails(
        &["user", "list"],
        "etcdserverpb.Auth/UserList is not implemented",
    );
}

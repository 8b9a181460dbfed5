//! Work that is interrupted, and results beside which something fails: whatever happens, what was
//! established is reported, and nothing that was not is called a violation.

use lockstep_tests::binary;
use serde_json::Value;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const HOLDS: i32 = 0;
const VIOLATED: i32 = 1;
const USAGE: i32 = 2;
const INPUT: i32 = 3;
const STOPPED: i32 = 4;

/// Far longer than anything here takes on a machine with other things to do.
const PATIENCE: Duration = Duration::from_secs(120);

fn folder() -> TempDir {
    tempfile::tempdir().expect("there is a place for temporary files")
}

fn corpus() -> String {
    let corpus = binary::repository().join("traces/corpus");
    corpus.display().to_string()
}

/// Starts the command line in a folder, with temporary files in the folder `tmp` below it.
fn start(folder: &Path, arguments: &[&str]) -> Child {
    let temporary = folder.join("tmp");
    std::fs::create_dir_all(&temporary).expect("a folder of our own");
    binary::lockstep()
        .args(arguments)
        .env("TMPDIR", temporary)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts")
}

/// Waits until that is so.
fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Seconds of processor time that a process has used; a process that is gone has used enough.
fn cpu_seconds(process: u32) -> f64 {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{process}/stat")) else {
        return f64::INFINITY;
    };
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks = fields.split_whitespace().skip(11).take(2);
    ticks.filter_map(|it| it.parse::<f64>().ok()).sum::<f64>() / 100.0
}

fn send(signal: &str, process: u32) {
    let command = format!("kill -{signal} {process}");
    let status = Command::new("sh").args(["-c", &command]).status();
    assert!(status.expect("there is a shell").success(), "{command}");
}

/// The end of a process that has been asked to end; it is killed if it does not.
fn end(child: Child, what: &str) -> Output {
    let process = child.id();
    let (done, output) = std::sync::mpsc::channel();
    // It reads all the while, so that the process does not wait for its reader.
    let reader = std::thread::spawn(move || done.send(child.wait_with_output()));
    let Ok(output) = output.recv_timeout(PATIENCE) else {
        send("KILL", process);
        panic!("{what}: deaf");
    };
    reader.join().expect("a reader").expect("a receiver");
    output.expect("its output")
}

/// Interrupts a command when `ready` says that it is at work, and checks that every form of its result says
/// stopped and that it left nothing behind. Returns the report.
fn interrupted(signal: &str, arguments: &[&str], ready: impl Fn(u32, &Path) -> bool) -> Value {
    let here = folder();
    let more = ["-q", "--format", "json", "--junit", "report.xml"];
    let arguments: Vec<_> = arguments.iter().chain(&more).copied().collect();
    let what = arguments.join(" ");
    let child = start(here.path(), &arguments);
    let process = child.id();
    wait_for(&what, || ready(process, here.path()));
    send(signal, process);
    let output = end(child, &what);
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    let code = output.status.code();
    assert_eq!(code, Some(STOPPED), "{what}\n{text}{errors}");
    assert!(errors.is_empty(), "{what}\n{errors}");
    // `explore` says where it listens before anything else.
    let json = &text[text.find("{\n").unwrap_or_else(|| panic!("{what}\n{text}"))..];
    let report: Value = serde_json::from_str(json).expect("a report");
    assert_eq!(report["status"], "stopped", "{what}\n{text}");
    assert_eq!(report["exit_code"], STOPPED);
    let jobs = report["jobs"].as_array().expect("jobs");
    for job in jobs {
        assert_ne!(job["status"], "violated", "{what}\n{text}");
        for case in job["cases"].as_array().expect("cases") {
            assert_ne!(case["status"], "violated", "{what}\n{text}");
        }
    }
    let junit = std::fs::read_to_string(here.path().join("report.xml")).expect("it is written");
    assert!(!junit.contains("<failure"), "{what}\n{junit}");
    assert!(junit.contains("<error"), "{what}\n{junit}");
    let left = std::fs::read_dir(here.path().join("tmp")).expect("a folder of our own");
    let left: Vec<_> = left.map(|it| it.expect("an entry").path()).collect();
    assert!(left.is_empty(), "{what} left {left:?}");
    report
}

/// Whether a process has done some work.
fn busy(process: u32, _: &Path) -> bool {
    cpu_seconds(process) > 0.7
}

#[cfg(target_os = "linux")]
#[test]
fn a_signal_stops_every_verb_and_is_no_violation() {
    let corpus = corpus();
    let long = long_trace(200_000);
    let long = long.path().join("long.ndjson").display().to_string();
    let runs = many_recorded_runs();
    let runs = runs.path().display().to_string();
    let paper = binary::repository().join("conformance/targets/paper_raft.py");
    let paper = format!("exec:python3 {}", paper.display());
    let verbs: [&[&str]; 17] = [
        &["check", "--preset", "wide"],
        &["check", "--preset", "wide", "--memory", "40"],
        &["check", "--preset", "wide", "--engine", "stateright"],
        &["coverage", "wide"],
        &["coverage", "smoke", "wide"],
        &["conform", "--preset", "wide"],
        &["conform", "--preset", "wide", "--target", "raft-rs"],
        &["verify", "--corpus", &corpus],
        &["simulate", "--preset", "wide", "--runs", "100000000"],
        &[
            "simulate",
            "--preset",
            "wide",
            "--runs",
            "1",
            "--walks",
            "100000000",
        ],
        &[
            "generate", "--preset", "default", "--cover", "edges", "--out", "edges",
        ],
        &["walk", "--seeds", "1", "--steps", "1000000000"],
        &["walk", "--seeds", "1000000000"],
        &["replay", &long],
        &["validate", &runs],
        &["check", "--preset", "wide", "--target", "lockstep-raft"],
        &[
            "check",
            "--preset",
            "conflict",
            "--max-term",
            "9",
            "--timeouts",
            "9",
            "--target",
            &paper,
        ],
    ];
    for arguments in verbs {
        interrupted("INT", arguments, busy);
    }
}

/// A folder of recorded runs, more than are validated in a second.
#[cfg(target_os = "linux")]
fn many_recorded_runs() -> TempDir {
    let here = folder();
    let run = binary::repository().join("traces/recorded/etcd-3.6-crashes.ndjson");
    for number in 0..400 {
        std::fs::copy(&run, here.path().join(format!("{number}.ndjson"))).expect("a copy");
    }
    here
}

/// The report at the end waits for no reader that does not read.
#[cfg(target_os = "linux")]
#[test]
fn a_report_that_nobody_reads_can_be_interrupted() {
    let here = folder();
    let pipe = here.path().join("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status();
    assert!(made.expect("there is mkfifo").success());
    let junit = pipe.display().to_string();
    let arguments = ["check", "--preset", "single", "--junit", &junit, "-q"];
    let mut child = start(here.path(), &arguments);
    let process = child.id();
    wait_for("an end", || {
        send("INT", process);
        std::thread::sleep(std::time::Duration::from_millis(500));
        child.try_wait().expect("a child of ours").is_some()
    });
}

#[cfg(target_os = "linux")]
#[test]
fn all_signals_that_ask_for_the_end_mean_the_same() {
    let mut signals = vec!["INT", "TERM"];
    if ignores_hangups() {
        println!("not tried with HUP: the tests run under nohup, which is kept to");
    } else {
        signals.push("HUP");
    }
    for signal in signals {
        interrupted(signal, &["check", "--preset", "wide"], busy);
    }
}

/// Whether this process, and so what it starts, ignores SIGHUP.
#[cfg(target_os = "linux")]
fn ignores_hangups() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").expect("a status");
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|set| u64::from_str_radix(set.trim(), 16).ok());
    ignored.is_some_and(|set| set & 1 == 1)
}

#[cfg(target_os = "linux")]
#[test]
fn nohup_is_kept_to() {
    let here = folder();
    let program = binary::lockstep().get_program().to_owned();
    let mut child = Command::new("nohup")
        .arg(program)
        .args(["check", "--preset", "wide", "-q"])
        .current_dir(here.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("there is nohup");
    wait_for("work", || cpu_seconds(child.id()) > 0.7);
    send("HUP", child.id());
    let then = cpu_seconds(child.id());
    wait_for("more work", || cpu_seconds(child.id()) > then + 0.7);
    assert!(child.try_wait().expect("a child of ours").is_none());
    child.kill().expect("a child of ours");
    child.wait().expect("a child of ours");
}

/// The results before the signal are in the report.
#[cfg(target_os = "linux")]
#[test]
fn an_interruption_keeps_what_was_established() {
    let arguments = ["check", "--preset", "wide"];
    let report = interrupted("INT", &arguments, busy);
    let facts = report["jobs"][0]["facts"].as_array().expect("facts");
    let states = facts.iter().find(|it| it["name"] == "distinct states");
    let states = states.expect("they are counted")["value"].as_u64();
    assert!(states > Some(1_000), "{facts:?}");
    // Nothing that takes long is begun after the signal, so that the walks are not left behind.
    let report = interrupted("INT", &["walk", "--seeds", "1000000000"], busy);
    let job = &report["jobs"][0];
    assert_eq!(job["verdict"], "bounded (interrupted)");
    let cases = job["cases"].as_array().expect("cases");
    let even = cases
        .iter()
        .find(|it| it["name"].as_str().expect("a name").contains("evenly"));
    assert_eq!(even.expect("it is named")["status"], "stopped");
}

/// A second signal ends the process at once, and temporary files are removed all the same.
#[cfg(target_os = "linux")]
#[test]
fn a_second_signal_leaves_nothing_behind_either() {
    let verbs: [&[&str]; 3] = [
        &["check", "--preset", "wide", "--memory", "30"],
        &["coverage", "wide", "--memory", "30"],
        &[
            "check",
            "--target",
            "lockstep-raft",
            "--preset",
            "wide",
            "--memory",
            "30",
        ],
    ];
    for arguments in verbs {
        let here = folder();
        let what = arguments.join(" ");
        let child = start(here.path(), &[arguments, &["-q"]].concat());
        let process = child.id();
        let temporary = here.path().join("tmp");
        let left = || {
            std::fs::read_dir(&temporary)
                .expect("a folder of our own")
                .count()
        };
        wait_for("files on the disk", || left() > 0);
        send("INT", process);
        // Longer than between two looks at the signals.
        std::thread::sleep(Duration::from_millis(60));
        let again = format!("kill -INT {process} 2>&1");
        // It may have ended.
        let _ = Command::new("sh").args(["-c", &again]).output();
        let output = end(child, &what);
        let code = output.status.code();
        assert!(
            code == Some(STOPPED) || code == Some(130),
            "{what}: {code:?}"
        );
        assert_eq!(left(), 0, "{what}, which ended with {code:?}");
    }
}

/// The most memory that a process has used until it ended, in MiB.
#[cfg(target_os = "linux")]
fn peak_mebibytes(child: &mut Child) -> u64 {
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    let began = Instant::now();
    while child.try_wait().expect("a child of ours").is_none() {
        assert!(began.elapsed() < PATIENCE, "it does not end");
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        peak = peak.max(kibibytes.unwrap_or_default() >> 10);
        std::thread::sleep(Duration::from_millis(5));
    }
    peak
}

/// A trace is not in memory as a whole, whether it comes from a file or from a pipe.
#[cfg(target_os = "linux")]
#[test]
fn a_long_trace_is_replayed_in_little_memory() {
    let steps = 200_000;
    let long = long_trace(steps);
    let path = long.path().join("long.ndjson");
    let size = path.metadata().expect("it is there").len() >> 20;
    assert!(size > 50, "{size} MiB");
    let mut child = start(long.path(), &["replay", "long.ndjson", "-q"]);
    let peak = peak_mebibytes(&mut child);
    let output = end(child, "replay");
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(HOLDS), "{text}");
    assert!(text.contains("200,000"), "{text}");
    assert!(peak < 60, "{peak} MiB");
}

/// Once the work is done a signal means what it always does: here the process waits for its reader.
#[cfg(target_os = "linux")]
#[test]
fn a_process_that_waits_for_its_reader_can_be_ended() {
    let here = folder();
    let mut child = start(
        here.path(),
        &[
            "check", "--preset", "smoke", "-q", "--format", "json", "--junit", "it.xml",
        ],
    );
    // The result is longer than a pipe holds.
    wait_for("JUnit", || here.path().join("it.xml").exists());
    let process = child.id();
    let state = || std::fs::read_to_string(format!("/proc/{process}/wchan"));
    wait_for("its wait", || {
        state().is_ok_and(|state| state.contains("pipe")) || cpu_idle(process)
    });
    send("TERM", process);
    let began = Instant::now();
    while child.try_wait().expect("a child of ours").is_none() {
        assert!(began.elapsed() < PATIENCE, "deaf");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Whether a process has used no processor time for a while.
fn cpu_idle(process: u32) -> bool {
    let before = cpu_seconds(process);
    std::thread::sleep(Duration::from_secs(1));
    cpu_seconds(process) == before
}

#[test]
fn the_explorer_ends_at_the_first_signal() {
    let here = folder();
    let mut child = start(here.path(), &["explore", "--port", "0", "-q"]);
    let mut line = String::new();
    let out = child.stdout.as_mut().expect("a pipe");
    std::io::BufRead::read_line(&mut std::io::BufReader::new(out), &mut line).expect("a line");
    assert!(line.contains("http://127.0.0.1:"), "{line}");
    send("INT", child.id());
    assert_eq!(end(child, "explore").status.code(), Some(STOPPED));
}

/// A program that says what it is, opens sessions, notes that it was given an input, and is silent then.
const SILENT: &str = r#"
read -r describe
echo '{"op":"describe","protocol":1,"name":"silent","version":"1","features":["pre_vote","check_quorum","one_entry_per_append"],"fields":["role","term"]}'
read -r open
view='{"role":"follower","term":0}'
echo '{"op":"open","session":0,"views":['$view','$view','$view']}'
read -r apply
touch given
read -r never < pipe
"#;

#[cfg(target_os = "linux")]
#[test]
fn a_silent_target_is_not_waited_for() {
    let made = |here: &Path| {
        let script = here.join("silent.sh");
        if !script.exists() {
            std::fs::write(&script, SILENT).expect("a file of our own");
            let pipe = Command::new("mkfifo").arg(here.join("pipe")).status();
            assert!(pipe.expect("there is mkfifo").success());
            let done = Command::new("touch").arg(here.join("made")).status();
            assert!(done.expect("there is touch").success());
        }
    };
    let here = folder();
    made(here.path());
    let here = here.path().display().to_string();
    let target = format!("exec:sh -c 'cd {here}; . ./silent.sh'");
    let given = Path::new(&here).join("given");
    interrupted("INT", &["conform", "--target", &target], |_, _| {
        given.exists()
    });
}

/// Even work that waits in a system call is left behind: here, for the first line of a trace.
#[cfg(target_os = "linux")]
#[test]
fn work_that_waits_for_a_pipe_is_left_behind() {
    let pipes = folder();
    let pipe = pipes.path().join("pipe.ndjson");
    let made = Command::new("mkfifo").arg(&pipe).status();
    assert!(made.expect("there is mkfifo").success());
    let pipe = pipe.display().to_string();
    let waits = |process: u32, _: &Path| {
        let tasks = std::fs::read_dir(format!("/proc/{process}/task"));
        tasks.is_ok_and(|tasks| tasks.count() > 1)
    };
    let report = interrupted("TERM", &["replay", &pipe], waits);
    let verdict = report["jobs"][0]["verdict"].as_str().expect("a verdict");
    assert!(verdict.contains("interrupted"), "{verdict}");
}

/// A trace of servers that restart over and over.
fn long_trace(steps: usize) -> TempDir {
    use std::fmt::Write;
    let here = folder();
    let view = r#"{"role":"follower","term":0,"vote":null,"leader":null,"log":[],"commit":0,"applied":0,"lease":false,"votes":{},"peers":{},"durable":{"term":0,"vote":null,"commit":0,"log":[]}}"#;
    let mut text = String::from(
        r#"{"lockstep_trace":1,"name":"long","purpose":"Restarts.","config":{"servers":3,"pre_vote":false,"check_quorum":false,"one_entry_per_append":false,"max_inflight":1},"made":{"generator":"by hand"}}"#,
    );
    text.push('\n');
    for step in 1..=steps {
        let server = step % 3 + 1;
        let event = format!(r#"{{"server":{{"server":{server},"input":"restart"}}}}"#);
        let expect = format!(r#"{{"outcome":"accepted","view":{view},"sent":[]}}"#);
        writeln!(
            text,
            r#"{{"step":{step},"event":{event},"expect":{expect}}}"#
        )
        .expect("text");
    }
    writeln!(text, r#"{{"end":{{"steps":{steps}}}}}"#).expect("text");
    std::fs::write(here.path().join("long.ndjson"), text).expect("a file of our own");
    here
}

/// Runs the command line to its end.
fn run(folder: &Path, arguments: &str, code: i32) -> (String, String) {
    let output = binary::lockstep()
        .args(arguments.split_whitespace())
        .current_dir(folder)
        .output()
        .expect("the binary starts");
    let text = |bytes| String::from_utf8(bytes).expect("it writes text");
    let (out, errors) = (text(output.stdout), text(output.stderr));
    assert_eq!(
        output.status.code(),
        Some(code),
        "{arguments}\n{out}{errors}"
    );
    (out, errors)
}

/// A file beside the result that cannot be written is said before the work and after it, and takes nothing
/// with it: a divergence stays one, what holds is shown as such and only its exit code says that something
/// is missing.
#[test]
fn a_side_output_that_fails_hides_nothing() {
    let here = folder();
    let differs = "conform --target spec --plant wrong_state";
    for missing in [
        "--junit missing/report.xml",
        "--trace-out missing/trace.ndjson",
    ] {
        let arguments = format!("{differs} {missing}");
        let (out, errors) = run(here.path(), &arguments, VIOLATED);
        assert!(out.contains("diverged"), "{out}");
        assert_eq!(errors.matches("missing/").count(), 2, "{errors}");
    }
    let (out, _) = run(here.path(), "check --junit missing/report.xml", USAGE);
    assert!(out.contains("exhausted") && out.contains("holds"), "{out}");
    let arguments = "check --format json --junit missing/report.xml";
    let (out, _) = run(here.path(), arguments, USAGE);
    let report: Value = serde_json::from_str(&out).expect("a report");
    assert_eq!(
        (&report["status"], &report["exit_code"]),
        (&"holds".into(), &USAGE.into())
    );
    let unwritten = report["unwritten"][0].as_str().expect("it is named");
    assert!(unwritten.contains("missing/report.xml"), "{unwritten}");
    // It was asked for, and whether there will be something to write is not known.
    for verb in [
        "check --preset single",
        "check --preset single --target lockstep-raft",
        "simulate --preset single",
        "conform --preset single",
        "conform --preset single --target raft-rs",
        "walk --seeds 1",
        "check",
    ] {
        let arguments = format!("{verb} --trace-out missing/trace.ndjson --format json");
        let (out, errors) = run(here.path(), &arguments, USAGE);
        let report: Value = serde_json::from_str(&out).expect("a report");
        assert_eq!(report["status"], "holds", "{verb}");
        let unwritten = report["unwritten"].as_array().expect("it is named");
        assert_eq!(unwritten.len(), 1, "{verb}: {unwritten:?}");
        let unwritten = unwritten[0].as_str().expect("text");
        assert!(unwritten.contains("missing/trace.ndjson"), "{unwritten}");
        assert!(errors.contains("the work is done all the same"), "{errors}");
    }
    let (out, _) = run(
        here.path(),
        "check --preset single --trace-out missing/it -q",
        USAGE,
    );
    assert!(out.contains("not written: missing/it"), "{out}");
    run(here.path(), "generate --out /dev/null/no", USAGE);
    let left = std::fs::read_dir(here.path()).expect("a folder of our own");
    let left: Vec<_> = left.map(|it| it.expect("an entry").file_name()).collect();
    assert_eq!(left, ["divergence.ndjson"]);
}

/// A device is written to, not replaced by a file.
#[cfg(target_os = "linux")]
#[test]
fn a_trace_into_a_device_leaves_the_device() {
    let here = folder();
    let fifo = here.path().join("pipe");
    let made = Command::new("mkfifo").arg(&fifo).status();
    assert!(made.expect("there is mkfifo").success());
    let reader = Command::new("cat")
        .arg(&fifo)
        .stdout(Stdio::piped())
        .spawn();
    let reader = reader.expect("there is cat");
    let arguments = "conform --target spec --plant wrong_state --trace-out pipe";
    run(here.path(), arguments, VIOLATED);
    let read = end(reader, "cat").stdout;
    let text = String::from_utf8(read).expect("text");
    assert!(text.starts_with("{\"lockstep_trace\":1"), "{text}");
    let kind = std::fs::metadata(&fifo).expect("it is there").file_type();
    assert!(!kind.is_file());
}

#[cfg(target_os = "linux")]
#[test]
fn standard_error_that_is_full_changes_nothing() {
    let here = folder();
    for (arguments, code) in [
        ("check --preset smoke --junit report.xml", HOLDS),
        ("check --preset nosuch", USAGE),
        ("check --junit missing/report.xml", USAGE),
        ("replay /nonexistent", INPUT),
        ("conform --target spec --plant wrong_state", VIOLATED),
    ] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full");
        let output = binary::lockstep()
            .args(arguments.split_whitespace())
            .current_dir(here.path())
            .stderr(full.expect("there is /dev/full"))
            .output()
            .expect("the binary starts");
        assert_eq!(output.status.code(), Some(code), "{arguments}");
        let said = !output.stdout.is_empty();
        assert_eq!(
            said,
            code != INPUT && !arguments.contains("nosuch"),
            "{arguments}"
        );
    }
    assert!(here.path().join("report.xml").exists());
}

/// The reader of standard output that goes away has seen enough; a full disk is another matter.
#[cfg(target_os = "linux")]
#[test]
fn standard_output_may_be_closed_and_must_not_be_full() {
    let here = folder();
    let corpus = corpus();
    let replay = format!("replay {corpus}");
    let differs = "conform --target spec --plant wrong_state";
    for (arguments, code) in [
        ("--help", HOLDS),
        ("presets", HOLDS),
        ("check --preset smoke", HOLDS),
        ("check --preset smoke --format json", HOLDS),
        (&replay, HOLDS),
        (differs, VIOLATED),
    ] {
        let mut child = binary::lockstep()
            .args(arguments.split_whitespace())
            .current_dir(here.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        drop(child.stdout.take());
        let output = end(child, arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments}");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(errors, "", "{arguments}");
    }
    for (arguments, code) in [("check --preset smoke", USAGE), (differs, VIOLATED)] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full");
        let output = binary::lockstep()
            .args(arguments.split_whitespace())
            .current_dir(here.path())
            .stdout(full.expect("there is /dev/full"))
            .output()
            .expect("the binary starts");
        assert_eq!(output.status.code(), Some(code), "{arguments}");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(
            errors.contains("standard output: cannot be written"),
            "{errors}"
        );
    }
}

/// A file that cannot grow is to a search what a full disk is: what was found is reported, and the search
/// goes on from its last checkpoint later.
#[cfg(target_os = "linux")]
#[test]
fn a_checkpoint_that_cannot_grow_keeps_the_result() {
    let here = folder();
    let search = "check --preset votes --checkpoint saved -q";
    let program = binary::lockstep();
    let program = program.get_program().to_string_lossy();
    // In blocks of 512 bytes or 1 KiB; the signal that comes with it is ignored as by whoever runs a job.
    let limited =
        format!("trap '' XFSZ; ulimit -f 300; exec '{program}' {search} --checkpoint-every 0");
    let output = Command::new("sh")
        .args(["-c", &limited])
        .current_dir(here.path())
        .output()
        .expect("there is a shell");
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(STOPPED), "{text}{errors}");
    for part in ["bounded (disk)", "a file failed: ", "distinct states"] {
        assert!(text.contains(part), "{part} is missing in {text}");
    }
    let counted = |text: &str| {
        let line = text.lines().find(|line| line.contains("distinct states"));
        line.expect("the states are counted").to_owned()
    };
    let (resumed, _) = run(here.path(), &format!("{search} --resume"), HOLDS);
    let (whole, _) = run(here.path(), "check --preset votes -q", HOLDS);
    assert_eq!(counted(&resumed), counted(&whole));
}

/// Runs the command line where no file can be larger than that, in blocks of 512 bytes or 1 KiB.
#[cfg(target_os = "linux")]
fn where_files_cannot_grow(folder: &Path, blocks: u32, arguments: &str) -> (Option<i32>, String) {
    let program = binary::lockstep();
    let program = program.get_program().to_string_lossy();
    let limited = format!("trap '' XFSZ; ulimit -f {blocks}; exec '{program}' {arguments}");
    let output = Command::new("sh")
        .args(["-c", &limited])
        .current_dir(folder)
        .output()
        .expect("there is a shell");
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).expect("text"))
}

#[cfg(target_os = "linux")]
fn names(folder: &Path) -> Vec<String> {
    let files = std::fs::read_dir(folder).expect("a folder of our own");
    let names = files.map(|it| it.expect("an entry").file_name());
    names.map(|it| it.to_string_lossy().into_owned()).collect()
}

/// The traces that were written before the disk was full are whole, and are counted; so are those that were not.
#[cfg(target_os = "linux")]
#[test]
fn traces_on_a_full_disk_are_whole_or_missing_and_counted() {
    let here = folder();
    for (cover, known) in [
        ("corpus", true),
        ("inputs --preset smoke", true),
        ("edges --preset single", false),
    ] {
        let blocks = if known { 12 } else { 1 };
        let arguments = format!("generate --cover {cover} --out traces -q --format json");
        let (code, text) = where_files_cannot_grow(here.path(), blocks, &arguments);
        assert_eq!(code, Some(USAGE), "{cover}: {text}");
        let mut reports = serde_json::Deserializer::from_str(&text).into_iter::<Value>();
        let report = reports.next().expect("a report").expect("in JSON");
        assert_eq!(report["status"], "error");
        let job = &report["jobs"][0];
        assert_eq!(job["status"], "stopped");
        let fact = |name: &str| {
            let mut facts = job["facts"].as_array().expect("facts").iter();
            facts
                .find(|it| it["name"] == name)
                .map(|it| it["value"].clone())
        };
        let written = names(&here.path().join("traces"));
        assert_eq!(
            fact("traces"),
            Some(written.len().into()),
            "{cover}: {text}"
        );
        assert_eq!(
            fact("traces that are not written").is_some(),
            known,
            "{text}"
        );
        assert!(
            written.iter().all(|it| it.ends_with(".ndjson")),
            "{written:?}"
        );
        if !written.is_empty() {
            run(here.path(), "replay traces --target spec", HOLDS);
        }
        std::fs::remove_dir_all(here.path().join("traces")).expect("a folder of our own");
    }
}

/// An output that cannot be written whole leaves the old file in place.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_leaves_the_old_file() {
    let here = folder();
    run(
        here.path(),
        "conform --target spec --plant wrong_state --trace-out t.ndjson",
        VIOLATED,
    );
    std::fs::create_dir(here.path().join("page")).expect("a folder of our own");
    for (file, arguments) in [
        ("out", "show t.ndjson --as html --out out"),
        ("out", "graph --preset single --out out"),
        ("out", "check --preset single --junit out"),
        ("page/report.json", "check --preset single --report page"),
        ("lockstep.1", "man --out ."),
        (
            "t.ndjson",
            "conform --target spec --plant wrong_state --trace-out t.ndjson",
        ),
    ] {
        let path = here.path().join(file);
        let trace = std::fs::read(here.path().join("t.ndjson")).expect("it is there");
        if file != "t.ndjson" {
            std::fs::write(&path, "before").expect("a file of our own");
        }
        let old = std::fs::read(&path).expect("it is there");
        let (code, text) = where_files_cannot_grow(here.path(), 1, arguments);
        assert!(
            matches!(code, Some(USAGE | VIOLATED)),
            "{arguments}: {text}"
        );
        assert!(text.contains("cannot be written"), "{arguments}: {text}");
        assert_eq!(std::fs::read(&path).expect("it stays"), old, "{arguments}");
        assert_eq!(
            std::fs::read(here.path().join("t.ndjson")).expect("it stays"),
            trace
        );
        for name in names(here.path()) {
            assert!(!name.starts_with(".lockstep"), "{arguments} leaves {name}");
        }
    }
}

/// An argument that makes no sense is refused at once, and not after the search of a graph that takes minutes.
#[test]
fn what_can_be_known_at_the_start_is_said_at_the_start() {
    let here = folder();
    let python = "exec:python3 old.py";
    let old = r#"
import json, sys
for line in sys.stdin:
    print(json.dumps({"op": "describe", "protocol": 1, "name": "old", "version": "1", "features": ["one_entry_per_append"], "fields": ["term"]}), flush=True)
"#;
    std::fs::write(here.path().join("old.py"), old).expect("a file of our own");
    let corpus = corpus();
    std::fs::create_dir(here.path().join("damaged")).expect("a folder of our own");
    std::fs::write(here.path().join("damaged/it.ndjson"), "{}").expect("a file of our own");
    let began = Instant::now();
    let mut cases: Vec<(Vec<&str>, i32, &str)> = vec![
        (
            vec!["conform", "--preset", "deep", "--target", "nosuch"],
            USAGE,
            "nosuch",
        ),
        (
            vec!["verify", "--corpus", &corpus, "--target", "nosuch"],
            USAGE,
            "nosuch",
        ),
        (vec!["verify", "--corpus", "nosuch"], INPUT, "nosuch"),
        (vec!["verify", "--corpus", "damaged"], INPUT, "it.ndjson"),
        (
            vec!["check", "--preset", "deep", "--threads", "2000"],
            USAGE,
            "at most",
        ),
        (vec!["coverage", "deep", "nosuch"], USAGE, "nosuch"),
        (vec!["bench", "deep", "nosuch"], USAGE, "nosuch"),
        (
            vec!["conform", "--reply-timeout", "0", "--preset", "deep"],
            USAGE,
            "reply-timeout",
        ),
        (
            vec!["check", "--memory", "18446744073709551615"],
            USAGE,
            "memory",
        ),
        (
            vec!["generate", "--preset", "deep", "--out", "old.py"],
            USAGE,
            "old.py",
        ),
        (
            vec!["generate", "--max-depth", "3", "--out", "out"],
            USAGE,
            "depth",
        ),
        (
            vec!["check", "--preset", "deep", "--checkpoint", "old.py"],
            USAGE,
            "old.py",
        ),
    ];
    if lockstep_tests::python::is_here() {
        cases.push((
            vec!["conform", "--preset", "deep", "--target", python],
            USAGE,
            "pre_vote",
        ));
    }
    for (arguments, code, part) in cases {
        let what = arguments.join(" ");
        let output = end(start(here.path(), &arguments), &what);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{what}\n{errors}");
        assert!(errors.contains(part), "{what}\n{errors}");
    }
    // `deep` has more than a hundred million states.
    assert!(began.elapsed() < PATIENCE);
}

//! Work that is interrupted: what was established is reported, and nothing that was not is called a violation.

use lockstep_tests::binary;
use lockstep_tests::command::{HOLDS, PATIENCE, STOPPED, USAGE, VIOLATED};
use lockstep_tests::command::{corpus, cpu_seconds, end, folder, send, start, wait_for};
use serde_json::Value;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

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
    let report: Value =
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{what}: {error}\n{text}"));
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

/// A signal at any moment, from the start of the process to its end, leaves the whole answer or none.
#[cfg(target_os = "linux")]
#[test]
fn a_signal_at_any_moment_is_no_violation() {
    use std::os::unix::process::ExitStatusExt;
    let paper = binary::repository().join("conformance/targets/paper_raft.py");
    let paper = format!("exec:python3 {}", paper.display());
    let mut searches = vec![
        vec!["check", "--preset", "smoke", "--target", "lockstep-raft"],
        vec!["conform", "--preset", "smoke"],
        vec!["targets"],
    ];
    if lockstep_tests::python::is_here() {
        searches.push(vec!["check", "--preset", "conflict", "--target", &paper]);
    }
    for mut arguments in searches {
        arguments.extend(["-q", "--format", "json"]);
        let what = arguments.join(" ");
        let here = folder();
        let began = Instant::now();
        let output = end(start(here.path(), &arguments), &what);
        let whole = began.elapsed();
        assert_eq!(output.status.code(), Some(HOLDS), "{what}");
        let answers = answers(&serde_json::from_slice(&output.stdout).expect("a report"));
        let (mut stopped, moments) = (0, 10);
        for moment in 0..=moments {
            let child = start(here.path(), &arguments);
            std::thread::sleep(whole * moment / moments);
            // It may have ended.
            let interrupt = format!("kill -INT {} 2>&1", child.id());
            let _ = Command::new("sh").args(["-c", &interrupt]).output();
            let output = end(child, &what);
            // Before the signal is listened to, and once the result is being printed, it means what it always does.
            let (code, signal) = (output.status.code(), output.status.signal());
            if signal == Some(2) || code == Some(130) {
                continue;
            }
            let text = String::from_utf8_lossy(&output.stdout);
            let report: Value = serde_json::from_str(&text)
                .unwrap_or_else(|error| panic!("{what}, moment {moment}: {error}: {text}"));
            let expected = match report["status"].as_str() {
                Some("holds") => {
                    assert_eq!(self::answers(&report), answers, "{what}, moment {moment}");
                    HOLDS
                }
                Some("stopped") => STOPPED,
                other => panic!("{what}, moment {moment}: {other:?}\n{text}"),
            };
            assert_eq!(code, Some(expected), "{what}, moment {moment}");
            stopped += u32::from(expected == STOPPED);
        }
        assert!(stopped > 0, "{what}: no signal came in time");
    }
}

/// The verdicts and notes of a report, in which no time or rate is named.
#[cfg(target_os = "linux")]
fn answers(report: &Value) -> Vec<String> {
    let jobs = report["jobs"].as_array().expect("jobs").iter();
    jobs.map(|job| format!("{} {}", job["verdict"], job["notes"]))
        .collect()
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

/// The report at the end waits for no reader that does not read: one signal is enough.
#[cfg(target_os = "linux")]
#[test]
fn a_report_that_nobody_reads_can_be_interrupted() {
    let here = folder();
    let pipe = here.path().join("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status();
    assert!(made.expect("there is mkfifo").success());
    let junit = pipe.display().to_string();
    let arguments = ["check", "--preset", "single", "--junit", &junit, "-q"];
    let child = start(here.path(), &arguments);
    let process = child.id();
    // It waits for a reader, and has done so for long enough to be ended.
    for _ in 0..3 {
        wait_for("its wait", || cpu_idle(process));
    }
    send("INT", process);
    let output = end(child, "the report");
    assert_ne!(output.status.code(), Some(VIOLATED));
}

/// A standard error that is full, and that nobody reads, holds up nothing.
#[cfg(target_os = "linux")]
#[test]
fn errors_that_nobody_reads_hold_up_nothing() {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let here = folder();
    let pipe = here.path().join("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status();
    assert!(made.expect("there is mkfifo").success());
    let mut options = std::fs::OpenOptions::new();
    let options = options.read(true).write(true);
    // It fills the pipe up to the last byte without waiting for a reader.
    let mut filler = options
        .clone()
        .custom_flags(O_NONBLOCK)
        .open(&pipe)
        .expect("ours");
    for size in [256, 1] {
        while filler
            .write(&[b'.'; 256][..size])
            .is_ok_and(|written| written > 0)
        {}
    }
    let child = binary::lockstep()
        .args([
            "check",
            "--preset",
            "single",
            "--junit",
            "missing/report.xml",
        ])
        .current_dir(here.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(options.open(&pipe).expect("ours"))
        .spawn()
        .expect("the binary starts");
    let output = end(child, "errors that nobody reads");
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(USAGE), "{text}");
    assert!(text.contains("exhausted"), "{text}");
}

/// The flag of `open` that lets a write to a full pipe fail instead of waiting.
#[cfg(target_os = "linux")]
const O_NONBLOCK: i32 = 0o4000;

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
servers=${open##*\[}
views=$(echo "${servers%%]*}" | sed 's/[0-9][0-9]*/{"role":"follower","term":0}/g')
echo '{"op":"open","session":0,"views":['$views']}'
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
    let trace = long_trace(10);
    let trace = trace.path().join("long.ndjson").display().to_string();
    for verb in [&["conform"][..], &["replay", &trace], &["walk"]] {
        let arguments = [verb, &["--target", &target]].concat();
        interrupted("INT", &arguments, |_, _| given.exists());
        std::fs::remove_file(&given).expect("a file of our own");
    }
}

/// In JSON there is nothing on standard output but one object; the address is said elsewhere.
#[test]
fn the_explorer_prints_one_object_in_json() {
    let here = folder();
    let arguments = ["explore", "--port", "0", "-q", "--format", "json"];
    let mut child = start(here.path(), &arguments);
    let mut line = String::new();
    let errors = child.stderr.as_mut().expect("a pipe");
    std::io::BufRead::read_line(&mut std::io::BufReader::new(errors), &mut line).expect("a line");
    assert!(line.contains("http://127.0.0.1:"), "{line}");
    send("INT", child.id());
    let output = end(child, "explore");
    let report: Value = serde_json::from_slice(&output.stdout).expect("one object");
    assert_eq!(report["status"], "stopped");
}

/// Work that is left behind is named.
#[cfg(target_os = "linux")]
#[test]
fn what_is_left_behind_has_a_name() {
    let arguments = ["graph", "--preset", "wide", "--max-states", "100000000"];
    let here = folder();
    let child = start(here.path(), &arguments);
    let process = child.id();
    wait_for("work", || busy(process, here.path()));
    send("TERM", process);
    let output = end(child, "graph");
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(STOPPED), "{text}");
    assert!(text.starts_with("graph: stopped (interrupted)"), "{text}");
}

/// A program that does not even say what it is, is not waited for either.
#[cfg(target_os = "linux")]
#[test]
fn a_target_that_says_nothing_is_not_waited_for() {
    let here = folder();
    let begun = here.path().join("begun");
    let program = format!("exec:sh -c 'touch {}; sleep 1000'", begun.display());
    for verb in [
        &["targets"][..],
        &["check", "--preset", "single"],
        &["conform", "--preset", "single"],
        &["verify"],
    ] {
        let arguments = [verb, &["--target", &program]].concat();
        interrupted("INT", &arguments, |_, _| begun.exists());
        std::fs::remove_file(&begun).expect("a file of our own");
    }
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

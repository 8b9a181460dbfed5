//! Promises of the engine, through the command line: memory, threads, checkpoints, gaps, repetition.

use lockstep_tests::binary;
use lockstep_tests::command::{HOLDS, INPUT, STOPPED, USAGE, VIOLATED, folder, run};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use serde_json::Value;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// A space large enough to be killed in, and small enough for a test.
const SPACE: &str = "check --preset votes --format json";

/// A report without what may differ from run to run: times, rates, memory, and the number of threads.
fn counts(text: &str) -> Value {
    let mut report: Value = serde_json::from_str(text).expect("a report in JSON");
    report["seconds"].take();
    let job = &mut report["jobs"][0];
    job["seconds"].take();
    for varying in ["time", "memory", "threads"] {
        job["detail"][varying].take();
    }
    let varies = |name: &Value| {
        let name = name.as_str().unwrap_or_default();
        ["threads", "states per second", "Time", "Memory"].contains(&name) || name.contains("MiB")
    };
    for (list, key) in [("facts", "name"), ("tables", "title")] {
        let list = job[list].as_array_mut().expect("a list");
        list.retain(|it| !varies(&it[key]));
    }
    report
}

fn fact(text: &str, name: &str) -> Option<Value> {
    let report: Value = serde_json::from_str(text).expect("a report in JSON");
    let facts = report["jobs"][0]["facts"].as_array().expect("facts");
    let fact = facts.iter().find(|it| it["name"] == name);
    fact.map(|fact| fact["value"].clone())
}

#[test]
fn the_result_does_not_depend_on_the_threads() {
    let here = folder();
    let (one, _) = run(here.path(), &format!("{SPACE} --threads 1"), HOLDS);
    let (two, _) = run(here.path(), &format!("{SPACE} --threads 2"), HOLDS);
    assert_eq!(counts(&one), counts(&two));
    assert_eq!(fact(&two, "threads"), Some(2.into()));
}

#[test]
fn what_does_not_fit_into_memory_goes_to_disk() {
    let here = folder();
    let space = "check --preset lease --format json";
    let memory = |text: &str, what: &str| {
        let report: Value = serde_json::from_str(text).expect("a report in JSON");
        let bytes = &report["jobs"][0]["detail"]["memory"][what];
        bytes.as_u64().expect("a number of bytes")
    };
    let (free, _) = run(here.path(), space, HOLDS);
    let peak = memory(&free, "peak");
    assert_eq!(memory(&free, "disk"), 0);
    // A little less than it takes without a limit.
    let mebibytes = peak >> 20;
    let (tight, _) = run(here.path(), &format!("{space} --memory {mebibytes}"), HOLDS);
    assert_eq!(counts(&free), counts(&tight));
    assert!(memory(&tight, "disk") > 0);
    assert!(memory(&tight, "peak") <= mebibytes << 20);
    // So little that old fingerprints have to go to disk too.
    let fingerprints = memory(&free, "fingerprints");
    let mebibytes = (memory(&free, "batch") + fingerprints / 2) >> 20;
    for threads in [1, 2] {
        let limits = format!("--memory {mebibytes} --threads {threads}");
        let (tighter, _) = run(here.path(), &format!("{space} {limits}"), HOLDS);
        assert_eq!(counts(&free), counts(&tighter));
        assert!(memory(&tighter, "fingerprints") < fingerprints);
        assert!(memory(&tighter, "peak") <= mebibytes << 20);
    }
    // The batch at work, and a byte or so for each state, must stay in memory.
    let (none, _) = run(here.path(), &format!("{space} --memory 0"), STOPPED);
    assert!(none.contains("bounded (memory)"), "{none}");
}

#[test]
fn every_limit_is_named() {
    let here = folder();
    for (limit, name) in [
        ("--max-states 1000", "states"),
        ("--max-depth 5", "depth"),
        ("--timeout 0", "time"),
        ("--memory 0", "memory"),
    ] {
        let (out, _) = run(here.path(), &format!("{SPACE} {limit}"), STOPPED);
        assert!(out.contains(&format!("bounded ({name})")), "{limit}: {out}");
    }
}

/// Starts a search that may be killed after that time; its end, if it came first.
fn killed_after(folder: &Path, arguments: &str, time: Duration) -> Option<ExitStatus> {
    let mut child = binary::lockstep()
        .args(arguments.split_whitespace())
        .current_dir(folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary starts");
    std::thread::sleep(time);
    if let Some(status) = child.try_wait().expect("it is our child") {
        return Some(status);
    }
    // SIGKILL, on Unix.
    child.kill().expect("it runs");
    child.wait().expect("it is our child");
    None
}

#[test]
fn killed_at_any_moment_and_resumed_it_ends_the_same() {
    kill_and_resume(SPACE, 20);
}

/// With links, frontier and old fingerprints on disk.
#[test]
fn killed_with_hardly_any_memory_it_ends_the_same() {
    kill_and_resume(&format!("{SPACE} --memory 2"), 8);
}

/// Kills the search of this space `kills` times at random moments.
fn kill_and_resume(space: &str, kills: u32) {
    let here = folder();
    let clock = Instant::now();
    let (whole, _) = run(here.path(), space, HOLDS);
    let once = clock.elapsed();
    let search = format!("{space} --checkpoint saved --checkpoint-every 0");
    let mut random = SmallRng::seed_from_u64(20);
    let (mut killed, mut ended, mut resumed) = (0, 0, 0);
    while killed < kills {
        // Now and then it ends before it is killed; then another one begins.
        assert!(
            ended < 200,
            "it ends too fast to be killed: {killed} times in {ended}"
        );
        let going = here.path().join("saved/manifest").exists();
        resumed += u32::from(going);
        let resume = if going { " --resume" } else { "" };
        let time = once.mul_f64(random.random_range(0.05..0.6));
        match killed_after(here.path(), &format!("{search}{resume}"), time) {
            None => killed += 1,
            Some(status) => {
                assert_eq!(status.code(), Some(HOLDS), "after {killed} kills");
                ended += 1;
                std::fs::remove_dir_all(here.path().join("saved")).expect("a folder of our own");
            }
        }
    }
    assert!(resumed >= kills / 2, "only {resumed} were resumed");
    let resume = here.path().join("saved/manifest").exists();
    let resume = if resume { " --resume" } else { "" };
    let (last, _) = run(here.path(), &format!("{search}{resume}"), HOLDS);
    assert_eq!(counts(&last), counts(&whole));
}

#[test]
fn a_checkpoint_that_is_not_there_is_said() {
    let here = folder();
    let search = "check --preset single --checkpoint saved --resume";
    let said = "there was no checkpoint to go on from";
    let (first, _) = run(here.path(), search, HOLDS);
    assert!(first.contains(said), "{first}");
    let (second, _) = run(here.path(), search, HOLDS);
    assert!(!second.contains(said), "{second}");
}

/// Every file of a checkpoint, cut short and with one bit turned over, and checkpoints of something else.
#[test]
fn a_damaged_checkpoint_is_refused_by_name() {
    let here = folder();
    let search = "check --preset votes --checkpoint saved --checkpoint-every 0";
    run(
        here.path(),
        &format!("{search} --max-states 20000"),
        STOPPED,
    );
    let folder = here.path().join("saved");
    let files: Vec<_> = std::fs::read_dir(&folder)
        .expect("the checkpoint is there")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.is_file())
        .collect();
    assert!(files.len() > 1, "{files:?}");
    let resume = format!("{search} --resume");
    let refused = |path: &Path, what: &str| {
        let (out, errors) = run(here.path(), &resume, INPUT);
        let name = path.file_name().expect("a file").to_string_lossy();
        assert!(errors.contains(&*name), "{what} {name}: {errors}");
        assert_eq!(out, "", "{what} {name}");
    };
    for path in &files {
        let whole = std::fs::read(path).expect("it can be read");
        if whole.is_empty() {
            continue;
        }
        std::fs::write(path, &whole[..whole.len() / 2]).expect("a file of our own");
        refused(path, "cut short");
        let mut flipped = whole.clone();
        let middle = flipped.len() / 2;
        flipped[middle] ^= 0x10;
        std::fs::write(path, &flipped).expect("a file of our own");
        refused(path, "one bit turned over");
        std::fs::remove_file(path).expect("a file of our own");
        if path.file_name().is_some_and(|name| name != "manifest") {
            refused(path, "missing");
        }
        std::fs::write(path, &whole).expect("a file of our own");
    }
    let other = "check --preset lease --checkpoint saved --resume";
    let (_, errors) = run(here.path(), other, INPUT);
    assert!(errors.contains("cannot be resumed"), "{errors}");
    let manifest = folder.join("manifest");
    let whole = std::fs::read_to_string(&manifest).expect("it can be read");
    let (first, rest) = whole.split_once('\n').expect("a first line");
    let mut words: Vec<_> = first.split(' ').collect();
    words[1] = "99";
    let later = format!("{}\n{rest}", words.join(" "));
    std::fs::write(&manifest, later).expect("a file of our own");
    let (_, errors) = run(here.path(), &resume, INPUT);
    assert!(errors.contains("version 99"), "{errors}");
    std::fs::write(&manifest, &whole).expect("a file of our own");
    // Undamaged again, it goes on.
    run(here.path(), &resume, HOLDS);
}

#[test]
fn what_never_happens_is_a_gap() {
    let here = folder();
    let (out, _) = run(here.path(), "coverage smoke", VIOLATED);
    for gap in [
        "violated  action Restart: met in none of the presets",
        "violated  antecedent restart_step: met in none of the presets",
        "violated  witness two_leaders_reachable: met in none of the presets",
    ] {
        assert!(out.contains(gap), "{gap} is missing in {out}");
    }
    let (out, _) = run(here.path(), "coverage smoke --format json", VIOLATED);
    let report: Value = serde_json::from_str(&out).expect("a report in JSON");
    let tables = report["jobs"][0]["tables"].as_array().expect("tables");
    let titles: Vec<_> = tables
        .iter()
        .filter_map(|it| it["title"].as_str())
        .collect();
    assert_eq!(
        titles,
        [
            "Witnesses and the presets that reach them",
            "Actions, over all presets",
            "How often a property was put to the test, over all presets",
            "Role and message met, over all presets",
            "Rules applied, over all presets",
        ]
    );
    let actions = tables[1]["rows"].as_array().expect("rows");
    let row = |name: &str| actions.iter().find(|row| row[0] == name).expect("a row");
    assert_eq!(
        (&row("Restart")[1], &row("Restart")[2]),
        (&0.into(), &0.into())
    );
    assert!(row("Deliver")[1].as_u64() >= row("Deliver")[2].as_u64());
    assert!(row("Deliver")[2].as_u64() > Some(0));
    let (out, _) = run(here.path(), "check --preset smoke", HOLDS);
    assert!(
        out.contains(
            "never fired within this bound: LeaseExpire, Restart, ForgetLeader, Compact, "
        ),
        "{out}"
    );
    assert!(out.contains("never put to the test: "), "{out}");
}

#[test]
fn the_statistics_are_complete() {
    let here = folder();
    let (out, _) = run(here.path(), "check --preset smoke --verbose", HOLDS);
    for part in [
        "States per depth:",
        "branching",
        "Actions:",
        "led to a new state",
        "How often a property was put to the test:",
        "Role and message met:",
        "Time:",
        "expanding states",
        "Memory:",
        "fingerprints",
        "collision probability",
    ] {
        assert!(out.contains(part), "{part} is missing in {out}");
    }
}

#[test]
fn a_simulation_repeats_itself_to_the_letter() {
    let here = folder();
    let arguments = "simulate --preset default --runs 6 --seed 11 --heartbeats 2 --format json";
    let (first, _) = run(here.path(), &format!("{arguments} --threads 1"), HOLDS);
    let line = fact(&first, "repeat it with").expect("the command is printed");
    let line = line.as_str().expect("text");
    let again = line.strip_prefix("lockstep ").expect("it is a command");
    let (second, _) = run(
        here.path(),
        &format!("{again} --format json --threads 2"),
        HOLDS,
    );
    let tally = |text: &str| {
        let mut report: Value = serde_json::from_str(text).expect("a report in JSON");
        let detail = &mut report["jobs"][0]["detail"];
        detail["seconds"].take();
        detail.clone()
    };
    assert_eq!(tally(&first), tally(&second));
    let other = arguments.replace("--seed 11", "--seed 12");
    let (other, _) = run(here.path(), &other, HOLDS);
    assert_ne!(tally(&first), tally(&other));
}

/// An error is a report too, for who asked for one.
#[test]
fn an_error_is_told_to_machines() {
    let here = folder();
    for (arguments, code, words) in [
        ("check --preset nonsense", 2, "there is no preset"),
        ("replay no-such-file.ndjson", 3, "no-such-file.ndjson"),
    ] {
        let (out, errors) = run(
            here.path(),
            &format!("{arguments} --format json --junit report.xml"),
            code,
        );
        let report: Value = serde_json::from_str(&out).expect("a report in JSON");
        assert_eq!(report["lockstep_report"], 2);
        assert_eq!(report["status"], "error");
        assert_eq!(report["exit_code"], code);
        assert_eq!(report["jobs"], serde_json::json!([]));
        let error = report["error"].as_str().expect("a reason");
        assert!(error.contains(words), "{error}");
        assert!(errors.contains(words), "{errors}");
        let xml = std::fs::read_to_string(here.path().join("report.xml")).expect("a report");
        assert!(xml.contains("<error") && xml.contains(words), "{xml}");
        let (out, _) = run(here.path(), arguments, code);
        assert_eq!(out, "");
    }
}

/// Two states with one digest: the command under the report shows where the target departs.
#[test]
fn hidden_state_is_replayed() {
    let here = folder();
    let (out, _) = run(here.path(), "conform --plant hidden_state", VIOLATED);
    assert!(out.contains("digest hides state"), "{out}");
    let line = out.split("repeat it with: lockstep ").nth(1);
    let again = line
        .and_then(|rest| rest.lines().next())
        .expect("a command");
    let (out, _) = run(here.path(), again, VIOLATED);
    assert!(out.contains("missing message"), "{out}");
}

/// Every search in a process of its own, in turns; one turn at least.
#[test]
fn searches_are_measured_beside_each_other() {
    let folder = folder();
    let arguments = "bench smoke --threads 2 --turns 2 --format json";
    let (out, _) = run(folder.path(), arguments, HOLDS);
    assert_eq!(fact(&out, "turns"), Some(2.into()));
    for search in [
        "engine/1",
        "engine-disk/2",
        "stateright-bfs/1",
        "stateright-dfs/2",
    ] {
        assert!(out.contains(&format!("\"{search}\"")), "{out}");
    }
    run(folder.path(), "bench smoke --turns 0", USAGE);
}

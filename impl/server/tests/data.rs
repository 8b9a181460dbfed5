//! Data folders of servers that are not running: sound ones, and others.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Instant, SystemTime};

use lockstep_server::api::pb::{MemberAddRequest, MemberRemoveRequest};
use lockstep_server::server::{Config, check_data};
use support::*;

/// A server alone, whose log has been compacted and whose membership has changed, after its stop.
async fn folder(dir: &Path) -> (Config, Address) {
    let address = addresses(1).await.remove(0);
    let config = Config {
        snapshot_count: 20,
        snapshot_catchup_entries: 5,
        wal_segment_bytes: 4096,
        ..config(dir, &address, std::slice::from_ref(&address))
    };
    work(&config, &address, 50).await;
    (config, address)
}

async fn work(config: &Config, address: &Address, puts: usize) {
    let served = start(config.clone(), address).await;
    let mut client = Client::connect(address).await;
    for number in 0..puts {
        client.put_surely(&format!("{number}"), "x").await;
    }
    let learner = MemberAddRequest {
        // Another one each time: the id is that of the addresses, and it does not come back.
        peer_urls: vec![format!("http://127.0.0.1:{}", 1 + puts)],
        is_learner: true,
    };
    let added = client.cluster.member_add(learner).await.unwrap();
    let id = added.into_inner().member.unwrap().id;
    client
        .cluster
        .member_remove(MemberRemoveRequest { id })
        .await
        .unwrap();
    client.put_surely("last", "x").await;
    served.stop().await;
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        let target = to.join(file.file_name());
        match file.path().is_dir() {
            true => copy(&file.path(), &target),
            false => drop(fs::copy(file.path(), target).unwrap()),
        }
    }
}

/// Everything in a folder.
fn content(dir: &Path, into: &mut BTreeMap<PathBuf, (SystemTime, Vec<u8>)>) {
    for file in fs::read_dir(dir).unwrap() {
        let path = file.unwrap().path();
        match path.is_dir() {
            true => content(&path, into),
            false => {
                let modified = path.metadata().unwrap().modified().unwrap();
                into.insert(path.clone(), (modified, fs::read(&path).unwrap()));
            }
        }
    }
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(dir.join("member/wal")).unwrap();
    let mut files: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|it| it == "wal"));
    files.sort();
    files
}

/// Runs the binary to its end.
fn run(arguments: &[&str], dir: &Path) -> (Option<i32>, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_lockstep-server"))
        .args(arguments)
        .arg(dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let began = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if began.elapsed() > PATIENCE {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("{arguments:?} does not end");
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let Output {
        status,
        stdout,
        stderr,
    } = child.wait_with_output().unwrap();
    let text = [stdout, stderr].concat();
    (status.code(), String::from_utf8_lossy(&text).into_owned())
}

/// `check-data`, which finds the same as the library and changes nothing.
fn check(dir: &Path) -> (Option<i32>, String) {
    let (mut before, mut after) = (BTreeMap::new(), BTreeMap::new());
    content(dir, &mut before);
    let (code, text) = run(&["check-data"], dir);
    let report = check_data(dir);
    assert_eq!(text, format!("{report}\n"));
    assert_eq!(code, Some(i32::from(!report.problems.is_empty())), "{text}");
    content(dir, &mut after);
    assert!(before == after, "files were changed");
    (code, text)
}

/// A server that does not start.
fn serve(dir: &Path) -> (Option<i32>, String) {
    let arguments = [
        "serve",
        "--listen-client-urls=http://127.0.0.1:0",
        "--listen-peer-urls=http://127.0.0.1:0",
        "--data-dir",
    ];
    run(&arguments, dir)
}

#[track_caller]
fn assert_fails(dir: &Path, texts: [&str; 2]) {
    let (code, text) = check(dir);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains(texts[0]), "{text}");
    let (code, text) = serve(dir);
    assert_eq!(code, Some(4), "{text}");
    assert!(text.contains(texts[1]), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sound_folder_is_sound() {
    let dir = tempfile::tempdir().unwrap();
    let (config, address) = folder(dir.path()).await;
    let data = &config.data_dir;
    let (code, text) = check(data);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.ends_with("log, snapshots and store agree\n"), "{text}");
    assert!(!text.contains("behind entry 0"), "compacted: {text}");
    assert!(segments(data).len() < 6, "{:?}", segments(data));

    // It goes on from there.
    work(&config, &address, 3).await;
    assert_eq!(check(data).0, Some(0));

    // The log of a server that runs is its own.
    let served = start(config.clone(), &address).await;
    let report = check_data(data);
    assert!(report.to_string().contains("is locked by another process"));
    let (code, text) = serve(data);
    assert_eq!(code, Some(4), "{text}");
    assert!(text.contains("is locked by another process"), "{text}");
    served.stop().await;

    let nothing = dir.path().join("nothing");
    assert!(check_data(&nothing).to_string().contains("holds no log"));
    assert!(!nothing.exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_ahead_of_the_log_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let (config, address) = folder(dir.path()).await;
    let (data, older) = (&config.data_dir, dir.path().join("older"));
    copy(&data.join("member/wal"), &older);
    work(&config, &address, 3).await;
    fs::remove_dir_all(data.join("member/wal")).unwrap();
    copy(&older, &data.join("member/wal"));
    assert_fails(
        data,
        [
            "problem: the store has applied entry",
            "and the log ends with",
        ],
    );
    // A member without its log must not vote again.
    fs::remove_dir_all(data.join("member/wal")).unwrap();
    assert_fails(data, ["holds no log", "and there is no log"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_segment_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let (config, _) = folder(dir.path()).await;
    let segment = segments(&config.data_dir).remove(0);
    let mut bytes = fs::read(&segment).unwrap();
    bytes[80] ^= 1;
    fs::write(&segment, bytes).unwrap();
    let name = segment.file_name().unwrap().to_string_lossy();
    let text = format!("log: {name} is damaged at offset 80: checksum mismatch");
    assert_fails(&config.data_dir, [&text, &text]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_or_damaged_store_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (dir.path().join("one"), dir.path().join("two"));
    let (config, _) = folder(&one).await;
    let (other, _) = folder(&two).await;
    let store = config.data_dir.join("member/store.redb");
    fs::copy(other.data_dir.join("member/store.redb"), &store).unwrap();
    let text = "the log belongs to member";
    assert_fails(&config.data_dir, [text, text]);

    let mut bytes = fs::read(&store).unwrap();
    let at = bytes.windows(4).position(|it| it == b"last").unwrap();
    bytes[at] ^= 1;
    fs::write(&store, bytes).unwrap();
    let (code, text) = check(&config.data_dir);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("store.redb: store: "), "{text}");
}

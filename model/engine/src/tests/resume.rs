//! Checkpoints: killed at any moment and resumed, a search ends as if nothing had happened; and what is
//! damaged or belongs to another search is refused.

use super::two_phase::TwoPhase;
use super::verdicts::{essence, two_phase};
use crate::checkpoint::VERSION;
use crate::{Limit, Search, SearchError, Verdict};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Set for the process that is to be killed: the folder of its checkpoint.
const FOLDER: &str = "SEARCH_TEST_CHECKPOINT";

fn model() -> TwoPhase {
    two_phase(7)
}

fn search<'a>(model: &'a TwoPhase, folder: &Path) -> Search<'a, TwoPhase> {
    // So little memory that the frontier goes to disk as well.
    let search = Search::new(model).coverage(true).max_memory(16 << 20);
    search.checkpoint(folder, Duration::ZERO).resume(true)
}

/// Not a test by itself: it is what the process does that the next test starts and kills.
#[test]
fn the_process_to_be_killed() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        search(&model(), Path::new(&folder))
            .threads(2)
            .run()
            .unwrap();
    }
}

#[test]
fn a_killed_search_is_resumed() {
    let model = model();
    let reference = Search::new(&model).coverage(true).run().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let (mut kills, mut resumed_midway) = (0, 0);
    // Longer on a machine where no checkpoint is written in this time.
    let mut longest_micros = 120_000;
    while kills < 24 || resumed_midway < 8 {
        assert!(
            kills < 200,
            "only {resumed_midway} of {kills} kills left a checkpoint"
        );
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "tests::resume::the_process_to_be_killed"])
            .env(FOLDER, folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        std::thread::sleep(Duration::from_micros(2_000 + random % longest_micros));
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success(), "a resumed search failed");
            // It got to the end: from the beginning again.
            std::fs::remove_file(folder.path().join("manifest")).unwrap();
            continue;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
        if folder.path().join("manifest").exists() {
            resumed_midway += 1;
        } else {
            longest_micros += longest_micros / 4;
        }
        if kills % 8 == 0 {
            let resumed = search(&model, folder.path()).run().unwrap();
            assert_eq!(essence(&resumed), essence(&reference));
            std::fs::remove_file(folder.path().join("manifest")).unwrap();
        }
    }
}

#[test]
fn a_bounded_search_goes_on_with_more() {
    let model = model();
    let reference = Search::new(&model).coverage(true).run().unwrap();
    let folder = tempfile::tempdir().unwrap();
    for depth in [4, 8, 12] {
        let some = search(&model, folder.path())
            .max_depth(depth)
            .run()
            .unwrap();
        assert_eq!(
            some.report.verdict,
            Verdict::Bounded {
                stopped_by: Limit::Depth
            }
        );
    }
    let some = search(&model, folder.path())
        .max_states(150_000)
        .run()
        .unwrap();
    assert_eq!(
        some.report.verdict,
        Verdict::Bounded {
            stopped_by: Limit::States
        }
    );
    let some = search(&model, folder.path())
        .max_memory(1 << 20)
        .run()
        .unwrap();
    assert_eq!(
        some.report.verdict,
        Verdict::Bounded {
            stopped_by: Limit::Memory
        }
    );
    for threads in [1, 2] {
        // The second finds the checkpoint of a finished search.
        let all = search(&model, folder.path())
            .threads(threads)
            .run()
            .unwrap();
        assert_eq!(essence(&all), essence(&reference));
    }
}

/// With the mistake.
fn hasty(managers: u8) -> TwoPhase {
    TwoPhase {
        managers,
        hasty: true,
    }
}

#[test]
fn the_violation_is_found_after_a_resume() {
    let model = hasty(6);
    let reference = Search::new(&model).coverage(true).run().unwrap();
    let folder = tempfile::tempdir().unwrap();
    search(&model, folder.path()).max_depth(7).run().unwrap();
    for _ in 0..2 {
        let found = search(&model, folder.path()).run().unwrap();
        assert_eq!(essence(&found), essence(&reference));
    }
}

/// The step at which a violation stops a search follows from the model alone, however often the search was written down
/// or stopped in the middle of a level before.
#[test]
fn checkpoints_do_not_change_where_a_violation_stops_the_search() {
    let model = hasty(7);
    let reference = Search::new(&model).coverage(true).run().unwrap();
    assert!(matches!(reference.report.verdict, Verdict::Violated { .. }));
    for stops in [vec![], vec![50_000, 120_000, 200_000]] {
        let folder = tempfile::tempdir().unwrap();
        for states in stops {
            let some = search(&model, folder.path()).max_states(states);
            let some = some.threads(2).run().unwrap().report;
            assert!(matches!(some.verdict, Verdict::Bounded { .. }));
        }
        let found = search(&model, folder.path()).run().unwrap();
        assert_eq!(essence(&found), essence(&reference));
    }
}

fn refusal(model: &TwoPhase, folder: &Path) -> String {
    match search(model, folder).run() {
        Err(error @ SearchError::Checkpoint { .. }) => error.to_string(),
        Err(error) => panic!("refused as {error:?}"),
        Ok(checked) => panic!("not refused, but {}", checked.report.verdict),
    }
}

#[test]
fn another_search_is_refused() {
    let (model, folder) = (two_phase(4), tempfile::tempdir().unwrap());
    search(&model, folder.path()).max_depth(6).run().unwrap();
    assert!(refusal(&two_phase(5), folder.path()).contains("its model is"));
    let differently = [
        (
            search(&model, folder.path()).symmetry(true),
            "its symmetry is",
        ),
        (
            search(&model, folder.path()).coverage(false),
            "its coverage is",
        ),
        (
            search(&model, folder.path()).only(["consistent_inv"]),
            "its list of properties is",
        ),
    ];
    for (search, reason) in differently {
        let Err(error) = search.run() else {
            panic!("not refused")
        };
        assert!(error.to_string().contains(reason), "{error}");
    }
    let manifest = folder.path().join("manifest");
    let text = std::fs::read_to_string(&manifest).unwrap();
    std::fs::write(
        &manifest,
        text.replacen(&format!("checkpoint {VERSION} "), "checkpoint 9 ", 1),
    )
    .unwrap();
    assert!(refusal(&model, folder.path()).contains("version 9"));
    // Without `resume` it is overwritten, as is one that is damaged.
    let anew = search(&model, folder.path()).resume(false).run().unwrap();
    assert_eq!(anew.report.verdict, Verdict::Exhausted);
}

#[test]
fn damage_is_refused() {
    let model = two_phase(4);
    let folder = tempfile::tempdir().unwrap();
    search(&model, folder.path()).max_depth(6).run().unwrap();
    let mut damaged = 0;
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let path = entry.unwrap().path();
        let whole = std::fs::read(&path).unwrap();
        let step = (whole.len() / 40).max(1);
        for at in (0..whole.len()).step_by(step) {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x10;
            std::fs::write(&path, &bytes).unwrap();
            refusal(&model, folder.path());
            std::fs::write(&path, &whole[..at]).unwrap();
            refusal(&model, folder.path());
            damaged += 1;
        }
        if !whole.is_empty() {
            std::fs::remove_file(&path).unwrap();
            let missing = search(&model, folder.path()).max_depth(6).run();
            // Without a manifest there is no checkpoint; without another file it cannot be resumed.
            assert_eq!(missing.is_err(), path.file_name().unwrap() != "manifest");
        }
        std::fs::write(&path, &whole).unwrap();
    }
    assert!(damaged > 100, "only {damaged} places were damaged");
}

/// A file that cannot be written (here a folder is in its place, as a full disk would be) ends the search
/// with what it has found; after the end it leaves the verdict as it is.
#[test]
fn a_checkpoint_that_cannot_be_written_throws_nothing_away() {
    let model = model();
    let whole = Search::new(&model).run().unwrap().report;
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("manifest.new")).unwrap();
    let hour = Duration::from_secs(3600);
    for (interval, stopped_by) in [(Duration::ZERO, Some(Limit::Disk)), (hour, None)] {
        let search = Search::new(&model).checkpoint(folder.path(), interval);
        let checked = search.run().unwrap();
        let verdict = stopped_by.map_or(Verdict::Exhausted, |stopped_by| Verdict::Bounded {
            stopped_by,
        });
        assert_eq!(checked.report.verdict, verdict);
        let trouble = checked.trouble.expect("it is said");
        assert!(trouble.to_string().contains("manifest.new"), "{trouble}");
        let distinct = checked.report.distinct;
        assert!(distinct > 0 && (distinct == whole.distinct) == stopped_by.is_none());
    }
}

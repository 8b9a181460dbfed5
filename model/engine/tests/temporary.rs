//! Temporary folders of a process that exits in the middle of its work. A test program of its own, since
//! afterwards there are no new ones in the process.

use lockstep_engine::temporary::{TemporaryFolder, remove_all};
use std::sync::atomic::{AtomicBool, Ordering};

#[test]
fn a_process_that_exits_leaves_no_folder() {
    let place = tempfile::tempdir().expect("there is a place for temporary files");
    let new = || TemporaryFolder::new(place.path(), "it-");
    let gone = new().expect("it can be made");
    let path = gone.path().to_owned();
    drop(gone);
    assert!(!path.exists());

    let kept = new().expect("it can be made");
    std::fs::write(kept.path().join("file"), "text").expect("a file of our own");
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // Somebody who still writes, as work does that has not noticed.
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let _ = std::fs::write(kept.path().join("more"), "text");
            }
        });
        remove_all();
        stop.store(true, Ordering::Relaxed);
    });
    assert!(!kept.path().exists());
    assert!(new().is_err(), "nobody would remove it");
}

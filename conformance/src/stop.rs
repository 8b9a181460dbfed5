//! The request to stop, one for the whole process. Whoever wants the work to end makes it (the command line
//! does so at the first signal), and every loop that can be long looks at it within a second, ends where
//! it is, and reports what it has established until then.

use std::ops::ControlFlow;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

static REQUESTED: AtomicBool = AtomicBool::new(false);
static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);
/// Milliseconds from [`BEGAN`] to when the request was made, or last seen by the work.
static HEARD_MS: AtomicU64 = AtomicU64::new(0);

/// Asks the work of this process to stop. That cannot be taken back.
pub fn request() {
    hear();
    REQUESTED.store(true, Ordering::Release);
}

/// Whether the work must stop.
pub fn requested() -> bool {
    let requested = REQUESTED.load(Ordering::Acquire);
    if requested {
        hear();
    }
    requested
}

/// [`requested`], as what a progress callback answers.
pub fn flow() -> ControlFlow<()> {
    if requested() {
        ControlFlow::Break(())
    } else {
        ControlFlow::Continue(())
    }
}

/// Returns the time since the request was made, or since the work last saw it; `None` before it is made.
pub fn unheard_for() -> Option<Duration> {
    let requested = REQUESTED.load(Ordering::Acquire);
    let heard = Duration::from_millis(HEARD_MS.load(Ordering::Relaxed));
    requested.then(|| BEGAN.elapsed().saturating_sub(heard))
}

fn hear() {
    let now = u64::try_from(BEGAN.elapsed().as_millis()).unwrap_or(u64::MAX);
    HEARD_MS.store(now, Ordering::Relaxed);
}

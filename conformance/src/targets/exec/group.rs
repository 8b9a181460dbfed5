//! A program with everything that it starts, as one process group that is ended as a whole.
//!
//! The group has the id of the program, which stays its own until the program is waited for. So the group is
//! always ended before that: afterwards the same number may be the group of a stranger.

use std::collections::BTreeSet;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// The pause between two looks at whether a program has ended.
const LOOK: Duration = Duration::from_millis(2);

/// The groups that live; none once [`end_all`] was called, and no new one then.
static LIVING: Mutex<Option<BTreeSet<u32>>> = Mutex::new(Some(BTreeSet::new()));

fn living() -> MutexGuard<'static, Option<BTreeSet<u32>>> {
    LIVING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ends every program that this process has started and not yet ended, with all that they started. For a
/// process that is about to exit: nothing can be started any more.
pub fn end_all() {
    // The lock is held, so that none of them is waited for in the meantime.
    let mut living = living();
    living
        .take()
        .iter()
        .flatten()
        .for_each(|id| system::kill(*id));
}

/// A running program, the first of its group.
pub struct Group {
    child: Child,
    status: Option<ExitStatus>,
}

impl Group {
    /// Starts the program in a group of its own.
    ///
    /// # Errors
    /// When the operating system cannot start it.
    pub fn start(command: &mut Command) -> std::io::Result<Group> {
        system::own_group(command);
        let mut living = living();
        let Some(living) = living.as_mut() else {
            return Err(std::io::ErrorKind::Interrupted.into());
        };
        let child = command.spawn()?;
        living.insert(child.id());
        Ok(Group {
            child,
            status: None,
        })
    }

    /// The program itself, for its streams.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Waits at most this long for the program to end, then ends what is left of its group. The status if
    /// the program ended.
    pub fn wait(&mut self, at_most: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + at_most;
        while self.status.is_none() && !system::has_ended(&mut self.child) {
            if Instant::now() >= deadline {
                return None;
            }
            thread::sleep(LOOK);
        }
        self.end()
    }

    /// Ends the whole group now. The status of the program, if it had ended before.
    pub fn end(&mut self) -> Option<ExitStatus> {
        if self.status.is_none() {
            let mut living = living();
            system::kill(self.child.id());
            // Where there are no groups, the program alone.
            let _ = self.child.kill();
            self.status = self.child.wait().ok();
            if let Some(living) = living.as_mut() {
                living.remove(&self.child.id());
            }
        }
        self.status
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(unix)]
mod system {
    use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
    use std::os::unix::process::CommandExt;
    use std::process::{Child, Command};

    pub fn own_group(command: &mut Command) {
        command.process_group(0);
    }

    fn pid(id: u32) -> Option<Pid> {
        Pid::from_raw(id.try_into().ok()?)
    }

    pub fn kill(id: u32) {
        if let Some(pid) = pid(id) {
            // It fails if nobody is left.
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }

    /// Leaves the program to be waited for.
    pub fn has_ended(child: &mut Child) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        pid(child.id()).is_some_and(|pid| !matches!(waitid(WaitId::Pid(pid), options), Ok(None)))
    }
}

#[cfg(not(unix))]
mod system {
    use std::process::{Child, Command};

    pub fn own_group(_: &mut Command) {}

    pub fn kill(_: u32) {}

    pub fn has_ended(child: &mut Child) -> bool {
        !matches!(child.try_wait(), Ok(None))
    }
}

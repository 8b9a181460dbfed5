//! A program with everything that it starts, as one process group that is ended as a whole.
//!
//! The group has the id of the program, which stays its own until the program is waited for. So the group is
//! always ended before that: afterwards the same number may be the group of a stranger.
//!
//! A process can leave its group (`setsid`). The descendants of a program that is started with a mark carry it in
//! their environment, and on Linux those that left are found by it. One that also changes its environment, or
//! belongs to another user, is not.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::process::{Child, Command, ExitStatus};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// The pause between two looks at whether a program has ended.
const LOOK: Duration = Duration::from_millis(2);

/// The environment variable with the mark.
const MARK: &str = "LOCKSTEP_STARTED_BY";

/// The number of programs started with a mark.
static MARKED: AtomicU64 = AtomicU64::new(0);

/// The groups that live, each with its mark; none once [`end_all`] was called, and no new one then.
static LIVING: Mutex<Option<Groups>> = Mutex::new(Some(BTreeMap::new()));

type Groups = BTreeMap<u32, Option<OsString>>;

fn living() -> MutexGuard<'static, Option<Groups>> {
    LIVING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ends every program that this process has started and not yet ended, with all that they started. For a
/// process that is about to exit: nothing can be started any more.
pub fn end_all() {
    // The lock is held, so that none of them is waited for in the meantime.
    let mut living = living();
    for (id, mark) in living.take().into_iter().flatten() {
        system::kill(id);
        end_marked(mark);
    }
}

/// Ends what carries this mark and has left its group.
fn end_marked(mark: Option<OsString>) {
    if let Some(value) = mark {
        let mut entry = OsString::from(MARK);
        entry.push("=");
        entry.push(value);
        system::kill_marked(&entry);
    }
}

/// A running program, the first of its group.
pub struct Group {
    child: Child,
    mark: Option<OsString>,
    status: Option<ExitStatus>,
}

impl Group {
    /// Starts the program in a group of its own. What leaves the group is left alone: it may be a service
    /// that others use as well.
    ///
    /// # Errors
    /// When the operating system cannot start it.
    pub fn start(command: &mut Command) -> std::io::Result<Group> {
        Group::start_with(command, None)
    }

    /// Starts the program in a group of its own, with a mark by which what leaves the group is found and
    /// ended too.
    ///
    /// # Errors
    /// When the operating system cannot start it.
    pub fn start_marked(command: &mut Command) -> std::io::Result<Group> {
        let number = MARKED.fetch_add(1, Ordering::Relaxed);
        // The number of this process may have been that of another before, whose programs are not ours.
        let began = system::began(std::process::id());
        let mark = format!("{}-{began}-{number}", std::process::id());
        command.env(MARK, &mark);
        Group::start_with(command, Some(mark.into()))
    }

    fn start_with(command: &mut Command, mark: Option<OsString>) -> std::io::Result<Group> {
        system::own_group(command);
        let mut living = living();
        let Some(living) = living.as_mut() else {
            return Err(std::io::ErrorKind::Interrupted.into());
        };
        let child = command.spawn()?;
        living.insert(child.id(), mark.clone());
        Ok(Group {
            child,
            mark,
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
            end_marked(self.mark.take());
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
    use std::ffi::OsStr;
    use std::fs;
    use std::os::unix::ffi::OsStrExt;
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

    /// The number of times that the processes are looked through, at the most: one that was found may just have
    /// started another.
    const SWEEPS: usize = 10;

    /// Ends every process with this in its environment.
    pub fn kill_marked(entry: &OsStr) {
        for _ in 0..SWEEPS {
            if !sweep(entry) {
                return;
            }
        }
    }

    /// Whether there was one.
    fn sweep(entry: &OsStr) -> bool {
        let mut found = false;
        for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let id = process.file_name().to_str().and_then(|id| id.parse().ok());
            if id.is_some_and(|id| id != std::process::id() && kill_if_marked(id, entry)) {
                found = true;
            }
        }
        found
    }

    /// The process is held on to before it is looked at, so that no other of the same number is meant.
    #[cfg(target_os = "linux")]
    fn kill_if_marked(id: u32, entry: &OsStr) -> bool {
        use rustix::process::{PidfdFlags, pidfd_open, pidfd_send_signal};
        let environment = || fs::read(format!("/proc/{id}/environ")).unwrap_or_default();
        let is_marked = || {
            let environment = environment();
            let mut entries = environment.split(|byte| *byte == 0);
            entries.any(|it| it == entry.as_bytes())
        };
        let Some(pid) = pid(id).filter(|_| is_marked()) else {
            return false;
        };
        let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else {
            return false;
        };
        is_marked() && pidfd_send_signal(&process, Signal::KILL).is_ok()
    }

    #[cfg(not(target_os = "linux"))]
    fn kill_if_marked(_: u32, _: &OsStr) -> bool {
        false
    }

    /// Returns the start time of a process, in a unit of the system's; empty if it is not known.
    pub fn began(id: u32) -> String {
        let status = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        // The name of the program, in parentheses, may hold anything.
        let fields = status.rsplit(')').next().unwrap_or_default();
        fields
            .split_whitespace()
            .nth(19)
            .unwrap_or_default()
            .to_owned()
    }

    /// Leaves the program to be waited for.
    pub fn has_ended(child: &mut Child) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        pid(child.id()).is_some_and(|pid| !matches!(waitid(WaitId::Pid(pid), options), Ok(None)))
    }
}

#[cfg(not(unix))]
mod system {
    use std::ffi::OsStr;
    use std::process::{Child, Command};

    pub fn own_group(_: &mut Command) {}

    pub fn kill(_: u32) {}

    pub fn kill_marked(_: &OsStr) {}

    pub fn began(_: u32) -> String {
        String::new()
    }

    pub fn has_ended(child: &mut Child) -> bool {
        !matches!(child.try_wait(), Ok(None))
    }
}

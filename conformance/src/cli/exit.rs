//! Exit codes: the one place where they are given and described.

use crate::report::Status;

/// The exit codes of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Everything that was asked holds, within the bound that the report names.
    Holds,
    /// A property is violated, an implementation diverged, or a gap was found.
    Violated,
    /// The command line makes no sense, or what it names cannot be started or written.
    Usage,
    /// An input file is missing, damaged or not what it should be.
    Input,
    /// A limit, or a signal, ended the work before there was an answer.
    Stopped,
}

impl Exit {
    /// The number.
    pub fn code(self) -> u8 {
        match self {
            Exit::Holds => 0,
            Exit::Violated => 1,
            Exit::Usage => 2,
            Exit::Input => 3,
            Exit::Stopped => 4,
        }
    }
}

impl From<Status> for Exit {
    fn from(status: Status) -> Exit {
        match status {
            Status::Holds | Status::Skipped => Exit::Holds,
            Status::Violated => Exit::Violated,
            Status::Stopped => Exit::Stopped,
        }
    }
}

/// The text of `--help`.
pub const HELP: &str = "\
Exit codes:
  0  holds: everything that was asked is true, within the bound that the
     report names; or skipped: etcd's raft was asked for, and there is no Go
     to build it with. The report says which. With LOCKSTEP_REQUIRE_GO set to
     anything, the latter is bad usage
  1  violated or diverged: a property is violated, an implementation does
     something else than the specification, or something that had to be met
     was not (a gap; with `check --strict`, a property that was never put to
     the test)
  2  bad usage: the command line makes no sense, or what it names cannot be
     started or written
  3  bad input: a file is missing, damaged or not what it should be; there is
     nothing to check
  4  stopped: a limit or a signal ended the work before there was an answer

The first Ctrl-C, SIGTERM or SIGHUP asks the work to stop, and what was
established is reported with code 4; the second ends the process. A file that
was asked for and cannot be written turns 0 into 2 and leaves every other code
as it is.

Results go to standard output, progress and errors to standard error. A pass
always names its bound: exhausted, bounded, sampled, edges covered, or
bisimilar within the bound.";

//! etcd's raft library in Go, behind the exec protocol. The program (`conformance/targets/etcd-raft`)
//! is part of this binary as source text, and is built by the Go installed here when it is asked for.

use crate::target::TargetError;
use crate::targets::exec::{ExecOptions, ExecTarget, Program, once};
use lockstep_engine::temporary::TemporaryFolder;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// A source of the program: its path in the folder of the program, and the text.
macro_rules! sources {
    ($($path:literal),* $(,)?) => {
        [$(($path, include_str!(concat!("../../targets/etcd-raft/", $path)))),*]
    };
}

/// The sources of the program: what the versions share, and the module of each.
const SOURCES: [(&str, &str); 22] = sources![
    "core/go.mod",
    "core/application.go",
    "core/library.go",
    "core/opaque.go",
    "core/outstanding.go",
    "core/payload.go",
    "core/protocol.go",
    "core/request.go",
    "core/serve.go",
    "core/session.go",
    "core/state.go",
    "core/timing.go",
    "v3.6/go.mod",
    "v3.6/go.sum",
    "v3.6/library.go",
    "v3.6/main.go",
    "v3.6/types.go",
    "v3.7/go.mod",
    "v3.7/go.sum",
    "v3.7/library.go",
    "v3.7/main.go",
    "v3.7/types.go",
];

/// A version of the library. One program cannot hold two: each has a module of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// v3.6.0.
    V3_6,
    /// v3.7.0, the newest.
    #[default]
    V3_7,
}

impl Version {
    /// Every version, the oldest first.
    pub const ALL: [Version; 2] = [Version::V3_6, Version::V3_7];

    /// Its name behind the `@` of a target.
    pub const fn name(self) -> &'static str {
        match self {
            Version::V3_6 => "3.6.0",
            Version::V3_7 => "3.7.0",
        }
    }

    /// The folder of its module.
    const fn folder(self) -> &'static str {
        match self {
            Version::V3_6 => "v3.6",
            Version::V3_7 => "v3.7",
        }
    }
}

/// The mode in which the library writes to its storage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StorageWrites {
    /// `Ready` and `Advance`, as most applications do.
    #[default]
    Synchronous,
    /// `AsyncStorageWrites`, which shows what must wait for persistence.
    Asynchronous,
}

/// The environment variable that makes the lack of Go an error, whatever it is set to unless that is
/// nothing. Without it, what needs etcd's raft is skipped where there is no Go.
pub const REQUIRE_GO: &str = "LOCKSTEP_REQUIRE_GO";

/// The time that Go may take to build the program, downloads of its modules included.
const BUILD_TIME: Duration = Duration::from_secs(600);

/// The time that Go may take to say its version.
const VERSION_TIME: Duration = Duration::from_secs(60);

/// Why etcd's raft is not here.
#[derive(Debug, thiserror::Error)]
pub enum EtcdError {
    /// There is no Go, and nobody insists on it: what needs etcd's raft is skipped, with this message.
    #[error("there is no Go here to build etcd's raft with; https://go.dev/dl has it ({0})")]
    NoGo(io::Error),
    /// There is no Go, and [`REQUIRE_GO`] is set.
    #[error(
        "there is no Go here to build etcd's raft with; https://go.dev/dl has it ({0}). {REQUIRE_GO} is \
         set, so this is an error"
    )]
    GoRequired(io::Error),
    /// Go is here, but the program was not built: a fault of this machine or of the program.
    #[error("etcd's raft was not built: {0}")]
    Build(String),
    /// The program was built and cannot be used.
    #[error(transparent)]
    Target(#[from] TargetError),
}

/// Builds the program with that version of the library below `cache`, unless that has been done, and starts it.
///
/// # Errors
/// See [`EtcdError`].
pub fn start(
    cache: &Path,
    version: Version,
    writes: StorageWrites,
    options: ExecOptions,
) -> Result<ExecTarget, EtcdError> {
    let executable = build(cache, version)?;
    let arguments = match writes {
        StorageWrites::Synchronous => Vec::new(),
        StorageWrites::Asynchronous => vec!["-async".into()],
    };
    let program = Program {
        executable: executable.into(),
        arguments,
    };
    Ok(ExecTarget::start_program(program, options)?)
}

/// The folder beside this executable in which programs are built when nothing else is said: below the
/// target folder of Cargo for whatever Cargo has built.
///
/// # Errors
/// When the operating system does not say where this executable is.
pub fn default_cache() -> io::Result<PathBuf> {
    let here = std::env::current_exe()?;
    Ok(here.with_file_name("lockstep-targets"))
}

/// Checks that there is Go. This takes a moment, where [`start`] may take a while.
///
/// # Errors
/// [`EtcdError::NoGo`] or [`EtcdError::GoRequired`] if there is none, and [`EtcdError::Build`] if it cannot
/// be run.
pub fn find_go() -> Result<(), EtcdError> {
    let mut go = Command::new("go");
    go.arg("version");
    match once::output(go, VERSION_TIME) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(unbuilt(&error)),
        Err(error) if std::env::var_os(REQUIRE_GO).is_some_and(|it| !it.is_empty()) => {
            Err(EtcdError::GoRequired(error))
        }
        Err(error) => Err(EtcdError::NoGo(error)),
    }
}

/// Builds the program with that version of the library and returns the path of the executable.
///
/// # Errors
/// As [`find_go`], and [`EtcdError::Build`].
pub fn build(cache: &Path, version: Version) -> Result<PathBuf, EtcdError> {
    // Names are unique to a process: its threads build one after the other, and only the first takes long.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    find_go()?;
    let folder = cache.join("etcd-raft");
    write_sources(&folder).map_err(|error| {
        EtcdError::Build(format!("cannot write to {}: {error}", folder.display()))
    })?;
    // Several processes may build at once (tests do): each builds under a name of its own, and the
    // rename puts a whole executable in place.
    let name = format!("etcd-raft-{}", version.name());
    let executable = folder.join(executable_name(&name));
    let fresh = format!("{name}-{}", std::process::id());
    let fresh = folder.join(executable_name(&fresh));
    // Go that is ended in the middle leaves its own temporary files; this folder is gone in any case.
    let room = TemporaryFolder::new(&folder, "build-");
    let room = room.map_err(|error| EtcdError::Build(format!("{}: {error}", folder.display())))?;
    let mut go = Command::new("go");
    go.args(["build", "-mod=readonly", "-o"])
        .arg(&fresh)
        .arg(".")
        .env("GOTMPDIR", room.path())
        .current_dir(folder.join(version.folder()));
    let output = once::output(go, BUILD_TIME).map_err(|error| unbuilt(&error))?;
    if !output.status.success() {
        return Err(EtcdError::Build(format!(
            "{}\n{}",
            output.status, output.stderr
        )));
    }
    fs::rename(&fresh, &executable).map_err(|error| EtcdError::Build(error.to_string()))?;
    Ok(executable)
}

fn unbuilt(error: &io::Error) -> EtcdError {
    match error.kind() {
        io::ErrorKind::Interrupted => EtcdError::Target(TargetError::Interrupted),
        _ => EtcdError::Build(format!("go: {error}")),
    }
}

fn write_sources(folder: &Path) -> io::Result<()> {
    for (name, text) in SOURCES {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap_or(folder))?;
        if fs::read_to_string(&path).is_ok_and(|there| there == text) {
            continue;
        }
        let fresh = folder.join(format!("{name}.{}", std::process::id()));
        fs::write(&fresh, text)?;
        fs::rename(&fresh, &path)?;
    }
    Ok(())
}

fn executable_name(name: &str) -> String {
    format!("{name}{}", std::env::consts::EXE_SUFFIX)
}

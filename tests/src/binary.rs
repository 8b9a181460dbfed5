//! The `lockstep` binary, as Cargo built it beside the tests.

use std::path::PathBuf;
use std::process::Command;

/// A command that runs the binary.
///
/// # Panics
///
/// If the binary is not there: `cargo test --workspace` builds it, `cargo test -p lockstep-tests` does
/// not.
pub fn lockstep() -> Command {
    let path = path();
    assert!(
        path.is_file(),
        "{} is missing; `cargo build` builds it, and so does `cargo test --workspace`",
        path.display()
    );
    Command::new(path)
}

fn path() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows where it is");
    // target/debug/deps/name-hash
    let profile = test.parent().and_then(|deps| deps.parent());
    let profile = profile.expect("Cargo puts tests two folders deep");
    profile.join(format!("lockstep{}", std::env::consts::EXE_SUFFIX))
}

/// The folder at the top of the repository.
pub fn repository() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.parent()
        .expect("the package lies in the repository")
        .to_owned()
}

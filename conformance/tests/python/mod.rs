//! Whether there is Python. Tests that need it say so and pass where there is none, except where
//! `LOCKSTEP_REQUIRE_PYTHON` is set (our CI sets it).

/// Whether `python3` can be run.
///
/// # Panics
///
/// If it cannot, and `LOCKSTEP_REQUIRE_PYTHON` is set.
pub fn is_here() -> bool {
    let found = std::process::Command::new("python3")
        .arg("--version")
        .output()
        .is_ok();
    if !found {
        assert!(
            std::env::var_os("LOCKSTEP_REQUIRE_PYTHON").is_none(),
            "LOCKSTEP_REQUIRE_PYTHON is set, and there is no python3"
        );
        eprintln!("skipped: there is no python3 here");
    }
    found
}

//! That the binary starts. This test also makes Cargo build it whenever the workspace is tested, so that
//! the end-to-end tests of `lockstep-tests` find it.

use std::process::Command;

#[test]
fn the_binary_says_its_version() {
    let output = Command::new(env!("CARGO_BIN_EXE_lockstep"))
        .arg("--version")
        .output()
        .expect("the binary was built for this test");
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).expect("it writes text");
    assert_eq!(text, format!("lockstep {}\n", env!("CARGO_PKG_VERSION")));
}

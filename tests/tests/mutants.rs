//! A normal build has none of the planted mistakes. What `lockstep mutants` finds in a build that has
//! them is checked by `.ci/run`, which makes one.

use assert_cmd::Command;
use lockstep_tests::binary;

const USAGE: i32 = 2;

/// What the planted mistakes do, as their source says it.
fn sentences() -> Vec<String> {
    let source = binary::repository().join("impl/src/seeded.rs");
    let source = std::fs::read_to_string(source).expect("the planted mistakes have a source");
    let (_, table) = source
        .split_once("bugs! {")
        .expect("the source has a table");
    let lines = table.lines().map_while(|line| match line.trim() {
        "}" => None,
        line => Some(line.strip_prefix("/// ").map(str::to_owned)),
    });
    lines.flatten().collect()
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack
        .windows(needle.len())
        .any(|window| window == needle)
}

#[test]
fn a_normal_build_refuses_to_look_for_them() {
    let assert = Command::from_std(binary::lockstep())
        .arg("mutants")
        .assert()
        .code(USAGE);
    let text = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
    assert!(text.contains("has no planted mistakes"), "{text}");
    assert!(text.contains("--features"), "{text}");
}

#[test]
fn a_normal_build_holds_none_of_them() {
    let sentences = sentences();
    assert!(sentences.len() >= 30, "only {} were found", sentences.len());
    let program = binary::lockstep();
    let bytes = std::fs::read(program.get_program()).expect("the binary can be read");
    // The search itself works: this text is in every build.
    assert!(contains(&bytes, b"has no planted mistakes"));
    for sentence in sentences {
        assert!(!contains(&bytes, sentence.as_bytes()), "{sentence}");
    }
}

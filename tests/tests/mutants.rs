//! A normal build has none of the planted mistakes. What `lockstep mutants` finds in a build that has
//! them is checked by `.ci/run`, which makes one.

use assert_cmd::Command;
use lockstep_tests::binary;
use std::collections::HashMap;

const USAGE: i32 = 2;

fn source(path: &str) -> String {
    let source = std::fs::read_to_string(binary::repository().join(path));
    source.expect("the planted mistakes have a source")
}

/// What the mistakes in the production Raft do, as their source says it.
fn in_the_implementation() -> Vec<String> {
    let source = source("impl/src/seeded.rs");
    let (_, table) = source
        .split_once("bugs! {")
        .expect("the source has a table");
    let lines = table.lines().map_while(|line| match line.trim() {
        "}" => None,
        line => Some(line.strip_prefix("/// ").map(str::to_owned)),
    });
    lines.flatten().collect()
}

/// What the mistakes in the specification do: the last text of each entry, on a line of its own.
fn in_the_specification() -> Vec<String> {
    let source = source("model/src/mutation.rs");
    let (_, table) = source
        .split_once("mutations! {")
        .expect("the source has a table");
    let sentence = |line: &str| {
        let text = line.strip_prefix('"')?.strip_suffix("\";")?;
        Some(text.to_owned())
    };
    let lines = table.lines().map_while(|line| match line {
        "}" => None,
        line => Some(sentence(line.trim())),
    });
    lines.flatten().collect()
}

/// Those of the texts that occur, in one pass: by their first bytes.
fn occurring<'a>(haystack: &[u8], texts: &'a [String]) -> Vec<&'a str> {
    const START: usize = 8;
    let mut by_start: HashMap<&[u8], Vec<&str>> = HashMap::new();
    for text in texts {
        let start = text.as_bytes().get(..START);
        let start = start.unwrap_or_else(|| panic!("{text:?} is too short to look for"));
        by_start.entry(start).or_default().push(text);
    }
    let mut found = Vec::new();
    for (at, start) in haystack.windows(START).enumerate() {
        for text in by_start.get(start).into_iter().flatten() {
            if haystack[at..].starts_with(text.as_bytes()) {
                found.push(*text);
            }
        }
    }
    found
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
fn a_normal_build_does_not_know_how_to_plant_them() {
    for arguments in [
        "check --plant CM-04",
        "check --engine stateright --plant CM-04",
        "simulate --plant CM-04",
        "conform --plant CM-04",
        "conform --target spec --plant CM-04",
        "replay traces --plant CM-04",
    ] {
        let assert = Command::from_std(binary::lockstep())
            .args(arguments.split(' '))
            .assert()
            .code(USAGE);
        let text = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
        let unknown = ["unexpected argument '--plant'", "invalid value 'CM-04'"];
        assert!(
            unknown.iter().any(|it| text.contains(it)),
            "{arguments}: {text}"
        );
    }
    for verb in ["check", "simulate", "conform", "replay"] {
        let assert = Command::from_std(binary::lockstep())
            .args([verb, "--help"])
            .assert()
            .success();
        let text = String::from_utf8_lossy(&assert.get_output().stdout).into_owned();
        assert!(!text.contains("--plant"), "{text}");
    }
}

/// `conformance/tests/planted.rs` is the other half: in a build that has them, the same search finds all.
#[test]
fn a_normal_build_holds_none_of_them() {
    let program = binary::lockstep();
    let bytes = std::fs::read(program.get_program()).expect("the binary can be read");
    for sentences in [in_the_implementation(), in_the_specification()] {
        assert!(sentences.len() >= 30, "only {} were found", sentences.len());
        // The search itself works: this text is in every build.
        let control = "has no planted mistakes".to_owned();
        let texts: Vec<_> = sentences.into_iter().chain([control.clone()]).collect();
        let mut found = occurring(&bytes, &texts);
        found.dedup();
        assert_eq!(found, [&control]);
    }
}

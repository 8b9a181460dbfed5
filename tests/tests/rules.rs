//! The table of rules names functions: they must exist, and have one name in both texts where both have one.

use lockstep_model::{Place, Rule};
use std::path::{Path, PathBuf};
use std::process::Command;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn has_function(source: &Path, keyword: &str, name: &str) -> bool {
    let text = std::fs::read_to_string(source)
        .unwrap_or_else(|error| panic!("{}: {error}", source.display()));
    let begins = |line: &str| {
        let after = line.split_once(keyword).map(|(_, after)| after);
        // A method of Go has its receiver first.
        let after = after.map(|after| match after.strip_prefix('(') {
            Some(receiver) => receiver.split_once(") ").map_or("", |(_, after)| after),
            None => after,
        });
        after.is_some_and(|after| {
            let rest = after.strip_prefix(name);
            rest.is_some_and(|rest| rest.starts_with(['(', '<']))
        })
    };
    text.lines().any(begins)
}

fn missing(folder: &Path, place: fn(Rule) -> Place, keyword: &str) -> Vec<String> {
    let all = Rule::ALL.iter().map(|rule| (rule, place(*rule)));
    let gone = all.filter(|(_, it)| !has_function(&folder.join(it.file), keyword, it.function));
    gone.map(|(rule, it)| format!("{}: {it}", rule.name()))
        .collect()
}

#[test]
fn the_functions_of_the_specification_exist() {
    let found = missing(&repository().join("model/src"), Rule::specification, "fn ");
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn the_functions_of_the_production_raft_exist() {
    let found = missing(&repository().join("impl/raft/src"), Rule::production, "fn ");
    assert!(found.is_empty(), "{found:#?}");
}

/// Needs the modules of etcd's raft, which building its targets downloads.
#[test]
fn the_functions_of_etcds_raft_exist() {
    for version in ["v3.6", "v3.7"] {
        let program = format!("conformance/targets/etcd-raft/{version}");
        let listed = Command::new("go")
            .args([
                "list",
                "-mod=mod",
                "-m",
                "-f",
                "{{.Dir}}",
                "go.etcd.io/raft/v3",
            ])
            .current_dir(repository().join(program))
            .output();
        let folder = listed
            .ok()
            .filter(|it| it.status.success())
            .map(|it| PathBuf::from(String::from_utf8_lossy(&it.stdout).trim()));
        match folder.filter(|folder| folder.join("raft.go").is_file()) {
            Some(folder) => {
                let found = missing(&folder, Rule::etcd, "func ");
                assert!(found.is_empty(), "{version}: {found:#?}");
            }
            None => {
                let required = std::env::var_os("LOCKSTEP_REQUIRE_GO").is_some();
                assert!(!required, "etcd's raft {version} is not there");
                eprintln!("skipped: etcd's raft {version} is not there");
            }
        }
    }
}

/// A function that is missed is found missing.
#[test]
fn a_function_that_is_not_there_is_missed() {
    let source = repository().join("model/src/server/election.rs");
    assert!(has_function(&source, "fn ", "is_up_to_date"));
    assert!(!has_function(&source, "fn ", "is_up_to"));
    assert!(!has_function(&source, "fn ", "poll"));
}

/// The functions of one rule that have different names in the two texts.
fn differ<'a>(functions: impl Iterator<Item = (&'a str, &'a str, &'a str)>) -> Vec<String> {
    let differ = functions.filter(|(_, model, raft)| model != raft);
    differ
        .map(|(rule, model, raft)| format!("{rule}: {model}, {raft}"))
        .collect()
}

#[test]
fn one_rule_has_one_name_in_both_texts() {
    let functions = |rule: &Rule| {
        let (model, raft) = (rule.specification().function, rule.production().function);
        (rule.name(), model, raft)
    };
    let found = differ(Rule::ALL.iter().map(functions));
    assert!(found.is_empty(), "{found:#?}");
    // The broken twin.
    assert_eq!(
        differ([("A", "one", "one"), ("B", "one", "other")].into_iter()).len(),
        1
    );
}

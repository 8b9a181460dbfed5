//! Every edit in `conformance/seeded/` applies to the sources as they are.

use lockstep_mutator::checkout::Checkout;
use lockstep_mutator::reasons::Reasons;
use lockstep_mutator::seeded::{Kind, apply_all, read_rules};
use lockstep_mutator::specification::head;
use lockstep_mutator::workspace::{RULES, Subject};
use std::collections::BTreeSet;
use std::path::Path;

fn workspace() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let workspace = package.ancestors().nth(2);
    workspace.expect("the package lies in the workspace")
}

#[test]
fn every_edit_applies() {
    let workspace = workspace();
    let mut sources = Checkout::read(workspace).expect("the sources can be read");
    let lists = apply_all(workspace, &mut sources).expect("every edit applies");
    let numbers = lists.bugs.iter().map(|it| it.number);
    let numbers: BTreeSet<_> = numbers
        .chain(lists.rules.iter().map(|it| it.number))
        .collect();
    let all = lists.bugs.len() + lists.rules.len();
    assert_eq!(numbers, (1..=all).collect());
    let safety = lists.rules.iter().filter(|it| it.kind == Kind::Safety);
    assert!(safety.count() > 50, "{lists:#?}");
}

/// A list that lost one of its edits, or an edit whose place is gone, names what it is about.
#[test]
fn an_edit_whose_place_is_gone_is_named() {
    let workspace = workspace();
    let mut sources = Checkout::read(workspace).expect("the sources can be read");
    let file = Path::new("model/src/server/election.rs");
    let text = sources.text(file).expect("the file is there");
    let changed = text.replace("last >= self.i.log.last()", "self.i.log.last() <= last");
    assert_ne!(changed, text);
    sources.put(file, changed);
    let error = apply_all(workspace, &mut sources).expect_err("EL-01 does not apply");
    assert!(error.to_string().contains("EL-01"), "{error}");
}

fn gone(reasons: &str, subject: Subject) -> Vec<String> {
    let sources = Checkout::read(workspace()).expect("the sources can be read");
    let mutants = subject
        .mutants(&sources)
        .expect("the sources can be parsed");
    let keys: BTreeSet<_> = mutants.iter().map(|it| it.key()).collect();
    let reasons = Reasons::read(reasons).expect("the reasons can be read");
    let gone = reasons.keys().filter(|key| !keys.contains(*key));
    gone.map(str::to_owned).collect()
}

/// A campaign says more, but takes its time.
#[test]
fn every_reason_is_of_a_mutant_that_is_there() {
    let text = include_str!("../specification.json");
    assert_eq!(gone(text, RULES), Vec::<String>::new());
    let text = r#"[{"verdict": "pacing", "why": "so", "mutants": ["server/log.rs nothing"]}]"#;
    assert_eq!(gone(text, RULES), ["server/log.rs nothing"]);
}

/// The page says what a run found; of which rules, this test holds.
#[test]
fn the_page_is_of_the_current_rules() {
    let page = std::fs::read_to_string(workspace().join("model/MUTATION.md")).expect("the page");
    let rules = read_rules(workspace()).expect("the rules can be read");
    let table = page.split("## Without each rule").nth(1);
    let table = table
        .and_then(|it| it.split("###").next())
        .expect("the table");
    let rows: Vec<_> = table
        .lines()
        .filter(|line| line.starts_with("| "))
        .skip(2)
        .collect();
    assert_eq!(rows.len(), rules.len(), "a row for each rule");
    for (row, rule) in rows.iter().zip(&rules) {
        let head = head(rule);
        assert!(
            row.starts_with(&head),
            "{row}\nis not the row of the rule\n{head}\nso the page must be made again"
        );
        let seen = !row[head.len()..].starts_with(" nothing (") && !row.contains("not tried");
        assert_eq!(seen, rule.kind == Kind::Safety, "{row}");
    }
}

//! The lists of seeded bugs: every edit applies to the sources as they are, and every bug is of the
//! catalogue, as every entry of the catalogue is of the lists. That each bug is caught is for
//! `lockstep mutants`, which `.ci/run` runs.

use assert_cmd::Command;
use lockstep_conformance::seeded::catalogue::catalogue;
use lockstep_conformance::seeded::report::{explanations, unaccounted};
use lockstep_conformance::seeded::{self, Expected};
use lockstep_model::properties::{state_properties, step_properties, witnesses};
use lockstep_model::{Preset, Rule};
use lockstep_mutator::checkout::Checkout;
use lockstep_mutator::seeded::{Listed, Lists, Side, apply_all};
use lockstep_tests::binary;
use std::collections::BTreeSet;

fn lists() -> Lists {
    let repository = binary::repository();
    let mut sources = Checkout::read(&repository).expect("the sources can be read");
    apply_all(&repository, &mut sources).expect("every edit applies")
}

fn listed() -> Vec<Listed> {
    lists().bugs
}

/// The sides have the same names in both packages.
fn side(bug: &Listed) -> seeded::Side {
    match bug.side {
        Side::Specification => seeded::Side::Specification,
        Side::Implementation => seeded::Side::Implementation,
    }
}

#[test]
fn every_bug_has_an_entry_and_every_entry_a_bug() {
    let bugs = listed();
    let names = bugs.iter().map(|bug| (side(bug), bug.id.as_str()));
    let gaps = unaccounted(&catalogue(), &seeded::seeded(names), &explanations());
    assert!(gaps.is_empty(), "{gaps:#?}");
}

/// The list of what CI expects names bugs, and leaves out none but those that nobody can catch.
#[test]
fn the_expected_list_is_of_these_bugs() {
    let path = binary::repository().join("conformance/src/seeded/expected.json");
    let text = std::fs::read_to_string(path).expect("the list can be read");
    let expected: Expected = serde_json::from_str(&text).expect("it is a list");
    let bugs = listed();
    let names = bugs.iter().map(|bug| (side(bug), bug.id.as_str()));
    let keys = seeded::seeded(names).into_iter();
    let keys: BTreeSet<_> = keys.map(|(side, id)| format!("{side} {id}")).collect();
    let expected: BTreeSet<_> = expected
        .into_keys()
        .chain(explanations().into_keys())
        .collect();
    assert_eq!(keys, expected);
}

/// A bug says which rules it breaks, by names that the specification has; of the few of which no rule speaks, all are
/// about what is durable, or about the length of a timeout.
#[test]
fn the_rules_that_bugs_break_exist() {
    let mut without = Vec::new();
    for bug in listed() {
        for name in &bug.breaks {
            let exists = Rule::ALL.iter().any(|rule| rule.name() == name);
            assert!(exists, "{}: there is no rule {name}", bug.id);
        }
        if bug.breaks.is_empty() {
            without.push(bug.id);
        }
    }
    let durable = ["PS-01a", "PS-13", "PS-15"];
    let timeouts = ('a'..='k').map(|letter| format!("LS-45{letter}"));
    let durable = durable.map(str::to_owned).into_iter();
    assert_eq!(without, durable.chain(timeouts).collect::<Vec<_>>());
}

/// A bug, or a rule that is taken away, which comes to the same.
#[test]
fn every_property_has_a_bug_that_it_is_to_catch() {
    let Lists { bugs, rules } = lists();
    let states = state_properties().iter().map(|property| property.name);
    let steps = step_properties().iter().map(|property| property.name);
    let properties: Vec<_> = states.chain(steps).collect();
    for name in &properties {
        let bugs = bugs.iter().map(|bug| &bug.caught_by);
        let mut all = bugs.chain(rules.iter().map(|rule| &rule.caught_by));
        let seeded = all.any(|by| by.as_deref() == Some(name));
        assert!(seeded, "{name}");
    }
    for bug in bugs.iter().filter(|bug| bug.side == Side::Specification) {
        let name = bug.caught_by.as_deref().unwrap_or_default();
        let is_witness = witnesses().iter().any(|witness| witness.name == name);
        let known =
            is_witness || properties.contains(&name) || name == lockstep_model::recovery::NAME;
        assert!(known, "{}", bug.id);
        let preset = bug.preset.as_deref().and_then(Preset::named);
        assert!(preset.is_some(), "{}: {:?}", bug.id, bug.preset);
    }
}

/// Bugs are seeded into two targets only, and that is said before anything is built.
#[test]
fn a_target_without_seeded_bugs_is_refused() {
    for target in ["raft-rs", "etcd", "exec:cat"] {
        let assert = Command::from_std(binary::lockstep())
            .args(["conform", "--plant", "EL-01", "--target", target])
            .assert()
            .code(2);
        let text = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
        assert!(text.contains("into lockstep-raft and spec"), "{text}");
        assert!(text.contains("wrong_state"), "{text}");
    }
}

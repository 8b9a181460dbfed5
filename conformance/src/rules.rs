//! The rules that the last step of a trace applies: where to look when that step is the one that is wrong.

use lockstep_model::{Place, Rule, RuleSet, Server, Settings};
use lockstep_traces::{Config, Event, Step};
use serde::Serialize;

/// The rules of the specification that the last step applies, from what the trace expects before it. Empty if
/// the last step is about the network, or the specification does not take the configuration.
pub fn rules_of_last_step(config: &Config, steps: &[Step]) -> RuleSet {
    rules(config, steps).unwrap_or_default()
}

/// The same for each step.
pub fn rules_of_steps(config: &Config, steps: &[Step]) -> Vec<RuleSet> {
    let ends = 1..=steps.len();
    ends.map(|end| rules_of_last_step(config, &steps[..end]))
        .collect()
}

/// A rule for a page: its name, its sentence, and where it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RuleNote {
    /// Its name.
    pub name: &'static str,
    /// The section that it is from.
    pub source: &'static str,
    /// Its statement.
    pub text: &'static str,
    /// Its functions in the specification, in the production Raft, and in etcd's raft.
    pub places: [RulePlace; 3],
    /// The function of the specification.
    pub code: &'static str,
}

/// A function that holds a rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RulePlace {
    /// The text, the file and the function.
    pub label: String,
    /// The address of its text, if that is elsewhere.
    pub href: String,
}

/// The version of etcd's raft that is linked to.
const ETCD: &str = "https://github.com/etcd-io/raft/blob/v3.6.0";

impl From<Rule> for RuleNote {
    fn from(rule: Rule) -> RuleNote {
        let here = |text: &str, place: Place| RulePlace {
            label: format!("{text}: {place}"),
            href: String::new(),
        };
        RuleNote {
            name: rule.name(),
            source: rule.section(),
            text: rule.says(),
            places: [
                here("specification", rule.specification()),
                here("production Raft", rule.production()),
                RulePlace {
                    href: format!("{ETCD}/{}", rule.etcd().file),
                    ..here("etcd's raft", rule.etcd())
                },
            ],
            code: rule.code(),
        }
    }
}

fn rules(config: &Config, steps: &[Step]) -> Option<RuleSet> {
    let settings = Settings::new(config).ok()?;
    let (last, before) = steps.split_last()?;
    let Event::Server { server: id, input } = &last.event else {
        return None;
    };
    let view = before.iter().rev().find_map(|step| match &step.event {
        Event::Server { server, .. } if server == id => step.expected.as_ref(),
        _ => None,
    });
    let server = match view {
        Some(expected) => Server::from_view(&settings, *id, &expected.view)?,
        None => config
            .server_ids()
            .any(|member| member == *id)
            .then(|| Server::new(&settings, *id))?,
    };
    Some(server.step(&settings, input).rules)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::corpus;

    #[test]
    fn the_last_step_names_its_rules() {
        let corpus = corpus(2).expect("everything is reachable");
        let named = |name: &str| {
            let trace = corpus.iter().find(|trace| trace.header.name == name);
            let trace = trace.expect("it is in the corpus");
            rules_of_last_step(&trace.header.config, &trace.steps)
        };
        assert!(named("witness-leader_elected").contains(Rule::MajorityElects));
        assert!(named("witness-refused_by_lease").contains(Rule::LeaseRefusesVote));
        assert!(named("witness-window_freed").contains(Rule::WindowFreed));
        assert!(named("story-long-conflict-at-leader").contains(Rule::ConflictOverwritten));
        // A loss is no step of a server.
        assert!(named("action-drop").is_empty());
    }
}

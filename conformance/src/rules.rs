//! The rules that the last step of a trace applies: where to look when that step is the one that is wrong.

use lockstep_model::{RuleSet, Server, Settings};
use lockstep_traces::{Config, Event, Step};

/// The rules of the specification that the last step applies, from what the trace expects before it. Empty if
/// the last step is about the network, or the specification does not take the configuration.
pub fn rules_of_last_step(config: &Config, steps: &[Step]) -> RuleSet {
    rules(config, steps).unwrap_or_default()
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
    use lockstep_model::Rule;

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

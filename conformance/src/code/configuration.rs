//! Configurations as the thesis has them (chapter 4): what a change makes of one, and its quorums. Worked out here anew, so
//! that an implementation is held to neither its own arithmetic nor the specification's.

use super::Code;
use super::log::LogView;
use lockstep_traces::{
    ConfChange, ConfChangeSingle, Configuration, NodeView, Payload, ServerId, Transition,
};
use std::collections::BTreeSet;

/// The configuration in which every server of the cluster starts.
pub(super) fn first(code: &Code<'_>) -> Configuration {
    let config = code.config();
    match config.may_change() {
        true => Configuration {
            voters: config.voters.iter().collect(),
            learners: config.learners.iter().collect(),
            ..Configuration::default()
        },
        false => Configuration::of_voters(config.server_ids()),
    }
}

/// The configuration that a server uses: all servers vote where it does not change.
pub(super) fn of(code: &Code<'_>, view: &NodeView) -> Configuration {
    match code.config().may_change() {
        true => view.configuration.clone(),
        false => first(code),
    }
}

/// Whether these servers are a quorum: "a majority from both the old and new configurations" (paper, section 6).
pub(super) fn is_quorum(of: &Configuration, servers: &BTreeSet<ServerId>) -> bool {
    let halves = [&of.voters, &of.outgoing].into_iter();
    let mut halves = halves.filter(|half| !half.is_empty());
    halves.all(|half| 2 * half.intersection(servers).count() > half.len())
}

/// The configurations from `from` on, each after one more change of the entries behind index `after` up to `last`.
pub(super) fn along(
    log: LogView<'_>,
    from: Configuration,
    (after, last): (u64, u64),
) -> Vec<Configuration> {
    let mut configurations = vec![from];
    for (_, entry) in log.entries(after + 1..=last) {
        if let (Payload::ConfChange(change), Some(before)) = (&entry.payload, configurations.last())
        {
            configurations.push(changed(before, change));
        }
    }
    configurations
}

/// The configuration after a change; one that does not fit changes nothing.
pub(super) fn changed(before: &Configuration, change: &ConfChange) -> Configuration {
    let joint = !before.outgoing.is_empty();
    let singles = &change.changes;
    let leaves = singles.is_empty() && change.transition.is_auto();
    let enters = singles.len() > 1 || !change.transition.is_auto();
    let after = match (joint, leaves, enters) {
        (true, true, _) => Some(left(before)),
        (false, false, true) => Some(Configuration {
            auto_leave: change.transition != Transition::Explicit,
            ..with(
                Configuration {
                    outgoing: before.voters.clone(),
                    ..before.clone()
                },
                singles,
            )
        }),
        (false, false, false) => Some(with(before.clone(), singles)),
        _ => None,
    };
    let after = after.filter(|after| !after.voters.is_empty());
    after.unwrap_or_else(|| before.clone())
}

/// The new half alone, in which who was to learn afterwards learns.
fn left(before: &Configuration) -> Configuration {
    Configuration {
        voters: before.voters.clone(),
        learners: &before.learners | &before.learners_next,
        ..Configuration::default()
    }
}

fn with(mut configuration: Configuration, singles: &[ConfChangeSingle]) -> Configuration {
    for single in singles {
        let server = single.server();
        let Configuration {
            voters,
            outgoing,
            learners,
            learners_next,
            ..
        } = &mut configuration;
        for set in [&mut *voters, &mut *learners, &mut *learners_next] {
            set.remove(&server);
        }
        match single {
            ConfChangeSingle::AddVoter(_) => voters.insert(server),
            // It cannot vote in the old half and learn.
            ConfChangeSingle::AddLearner(_) if outgoing.contains(&server) => {
                learners_next.insert(server)
            }
            ConfChangeSingle::AddLearner(_) => learners.insert(server),
            ConfChangeSingle::Remove(_) => true,
        };
    }
    configuration
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(numbers: &[u64]) -> BTreeSet<ServerId> {
        let ids = numbers.iter().map(|number| ServerId::new(*number));
        ids.map(|id| id.expect("not zero")).collect()
    }

    fn change(text: &str) -> ConfChange {
        text.parse().expect("it is a change")
    }

    #[test]
    fn a_joint_configuration_needs_both_halves() {
        let before = Configuration::of_voters(ids(&[1, 2]));
        let joint = changed(&before, &change("v3,l2"));
        assert_eq!(
            (&joint.voters, &joint.outgoing),
            (&ids(&[1, 3]), &ids(&[1, 2]))
        );
        assert_eq!(joint.learners_next, ids(&[2]));
        assert!(joint.auto_leave);
        assert!(is_quorum(&joint, &ids(&[1, 2, 3])));
        assert!(!is_quorum(&joint, &ids(&[1, 3])) && !is_quorum(&joint, &ids(&[1, 2])));
        let after = changed(&joint, &ConfChange::LEAVE_JOINT);
        assert_eq!((after.voters, after.learners), (ids(&[1, 3]), ids(&[2])));
        assert!(!changed(&before, &change("v3,r2,explicit")).auto_leave);
    }

    #[test]
    fn a_change_that_does_not_fit_changes_nothing() {
        let before = Configuration::of_voters(ids(&[1]));
        assert_eq!(changed(&before, &ConfChange::LEAVE_JOINT), before);
        assert_eq!(changed(&before, &change("r1")), before);
        let joint = changed(&before, &change("v2,r1"));
        assert_eq!(changed(&joint, &change("v3,r2")), joint);
        assert_eq!(changed(&before, &change("v2")).voters, ids(&[1, 2]));
    }
}

//! The features that a preset or a trace needs of an implementation.

use lockstep_model::{Action, Bounds, Id, Kind, Settings};
use lockstep_traces::{Config, Event, Reads, Storage, Trace};
use std::collections::BTreeSet;

/// The features that a preset or a trace makes use of: switches of its [`Config`], and inputs that not every Raft
/// takes. Their names are the keys that they have in traces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs(BTreeSet<&'static str>);

/// The features that the first version of the protocol has.
const FIRST: [&str; 3] = ["pre_vote", "check_quorum", "one_entry_per_append"];

/// The features that came after it.
const MORE: [&str; 18] = [
    "forward_proposals",
    "max_uncommitted",
    "voters",
    "step_down_on_removal",
    "disable_conf_change_validation",
    "propose_conf_change",
    "forget_leader",
    "compact",
    "transfer_leadership",
    "report_unreachable",
    "report_snapshot",
    "storage",
    "application_in_memory",
    "persist",
    "apply",
    "restart_keeping",
    "reads",
    "read_index",
];

impl Needs {
    /// The features that a configuration turns on.
    pub fn of_config(config: &Config) -> Needs {
        let Config {
            servers: _,
            pre_vote,
            check_quorum,
            one_entry_per_append,
            max_inflight: _,
            forward_proposals,
            max_uncommitted,
            voters: _,
            learners: _,
            step_down_on_removal,
            disable_conf_change_validation,
            storage,
            application_in_memory,
            reads,
        } = config;
        let switches = [
            ("pre_vote", *pre_vote),
            ("check_quorum", *check_quorum),
            ("one_entry_per_append", *one_entry_per_append),
            ("forward_proposals", *forward_proposals),
            ("max_uncommitted", *max_uncommitted > 0),
            ("voters", config.may_change()),
            ("step_down_on_removal", *step_down_on_removal),
            (
                "disable_conf_change_validation",
                *disable_conf_change_validation,
            ),
            ("storage", *storage == Storage::Async),
            ("application_in_memory", *application_in_memory),
            ("reads", *reads != Reads::Off),
        ];
        let on = switches.into_iter().filter(|(_, on)| *on);
        Needs(on.map(|(name, _)| name).collect())
    }

    /// The features that the configuration of a model and its events need.
    pub fn of_model(config: &Config, bounds: &Bounds) -> Needs {
        let kinds = Kind::MORE.into_iter().filter(|kind| bounds.have(*kind));
        let inputs = kinds.filter_map(input_of);
        let Needs(switches) = Needs::of_config(config);
        Needs(switches.into_iter().chain(inputs).collect())
    }

    /// The features that the configuration of a trace and its inputs need.
    pub fn of_trace(trace: &Trace) -> Needs {
        let Needs(switches) = Needs::of_config(&trace.header.config);
        let inputs = trace
            .steps
            .iter()
            .filter_map(|step| Needs::of_event(&step.event));
        Needs(switches.into_iter().chain(inputs).collect())
    }

    /// The feature that an event needs; `None` if every Raft takes it.
    pub fn of_event(event: &Event) -> Option<&'static str> {
        let Event::Server { input, .. } = event else {
            return None;
        };
        MORE.into_iter().find(|name| *name == input.name())
    }

    /// Every feature that there is.
    pub fn everything() -> Needs {
        Needs(FIRST.into_iter().chain(MORE).collect())
    }

    /// The same with one feature more.
    #[must_use]
    pub fn and(mut self, feature: Option<&'static str>) -> Needs {
        self.0.extend(feature);
        self
    }

    /// The names of the features.
    pub fn features(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.0.iter().copied()
    }

    /// The features that the first version of the protocol does not have.
    pub fn beyond_the_first(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.features().filter(|name| !FIRST.contains(name))
    }
}

/// The key of the input that is counted in this budget.
fn input_of(kind: Kind) -> Option<&'static str> {
    let number = Action::numbers_of(kind).next()?;
    let action = Action::local(number, Id::new(1)?)?;
    let settings = Settings::new(&lockstep_model::Preset::all()[0].config).ok()?;
    let cluster = lockstep_model::Cluster::new(settings, Bounds::UNLIMITED);
    Needs::of_event(&cluster.event(&cluster.initial(), &action))
}

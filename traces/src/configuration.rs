//! Who belongs to a cluster, and how that changes.

use crate::ServerId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeSet;

/// A configuration: who votes, and who only receives (etcd: `ConfState`). A joint one has two sets of voters, and
/// needs a majority of each (paper, section 6).
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema,
)]
#[serde(deny_unknown_fields)]
pub struct Configuration {
    /// The voters; in a joint configuration those of the new half.
    pub voters: BTreeSet<ServerId>,
    /// The voters of the old half; empty unless the configuration is joint.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub outgoing: BTreeSet<ServerId>,
    /// The servers that receive the log and do not vote.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub learners: BTreeSet<ServerId>,
    /// Voters of the old half that become learners when the joint configuration is left.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub learners_next: BTreeSet<ServerId>,
    /// The leader leaves the joint configuration by itself.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub auto_leave: bool,
}

impl Configuration {
    /// The simple configuration of these voters.
    pub fn of_voters(voters: impl IntoIterator<Item = ServerId>) -> Configuration {
        Configuration {
            voters: voters.into_iter().collect(),
            ..Configuration::default()
        }
    }

    /// Whether nobody belongs to it: the configuration of a view that does not show one.
    pub fn is_empty(&self) -> bool {
        *self == Configuration::default()
    }

    /// Everybody that a leader with this configuration replicates to, and itself.
    pub fn members(&self) -> BTreeSet<ServerId> {
        let sets = [&self.voters, &self.outgoing, &self.learners];
        sets.into_iter().flatten().copied().collect()
    }
}

/// A change of the configuration, as a client proposes it and an entry carries it (etcd: `ConfChangeV2`). One without
/// changes leaves the joint configuration.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema,
)]
#[serde(deny_unknown_fields)]
pub struct ConfChange {
    /// What changes, in this order.
    pub changes: Cow<'static, [ConfChangeSingle]>,
    /// How the change takes place.
    #[serde(default, skip_serializing_if = "Transition::is_auto")]
    pub transition: Transition,
}

impl ConfChange {
    /// The change that leaves the joint configuration.
    pub const LEAVE_JOINT: ConfChange = ConfChange {
        changes: Cow::Borrowed(&[]),
        transition: Transition::Auto,
    };
}

/// The change of one server.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum ConfChangeSingle {
    /// The server becomes a voter, whatever it was.
    AddVoter(ServerId),
    /// The server becomes a learner, whatever it was.
    AddLearner(ServerId),
    /// The server leaves the cluster.
    Remove(ServerId),
}

impl ConfChangeSingle {
    /// Whom it is about.
    pub const fn server(self) -> ServerId {
        match self {
            ConfChangeSingle::AddVoter(id)
            | ConfChangeSingle::AddLearner(id)
            | ConfChangeSingle::Remove(id) => id,
        }
    }
}

/// How a change takes place (etcd: `ConfChangeTransition`).
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Default,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Transition {
    /// At once if it is one change, else by a joint configuration that the leader leaves by itself.
    #[default]
    Auto,
    /// By a joint configuration that the leader leaves by itself.
    Implicit,
    /// By a joint configuration that is left when somebody proposes it.
    Explicit,
}

impl Transition {
    /// Whether it is the default.
    pub fn is_auto(&self) -> bool {
        *self == Transition::Auto
    }
}

//! The members of a cluster, and changes of them.

use crate::{ServerId, Show};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

/// A configuration: who votes, and who only receives (etcd: `ConfState`). A joint one has two sets of voters, and
/// needs a majority of each (paper, section 6).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ConfChange {
    /// The changes, in this order.
    pub changes: Cow<'static, [ConfChangeSingle]>,
    /// The way in which the change takes place.
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

/// Why a text is no change of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no change of membership: write v3 for a voter, l3 for a learner, r3 to remove, separated by commas, \
     `implicit` or `explicit` at the end for a joint configuration, or `leave`"
)]
pub struct NoConfChange(String);

impl fmt::Display for ConfChange {
    /// `v4,r1,explicit`, or `leave`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = self.show();
        let words = words.trim_matches(['(', ')']).replace(' ', ",");
        f.write_str(&words)
    }
}

impl FromStr for ConfChange {
    type Err = NoConfChange;

    /// Parses the form that [`Show`] and [`Display`](fmt::Display) write: words separated by commas or spaces.
    fn from_str(text: &str) -> Result<ConfChange, NoConfChange> {
        let none = || NoConfChange(text.to_owned());
        let mut words: Vec<&str> = text
            .trim_matches(['(', ')'])
            .split([',', ' '])
            .filter(|word| !word.is_empty())
            .collect();
        let transition = match words.last() {
            Some(&"implicit") => Transition::Implicit,
            Some(&"explicit") => Transition::Explicit,
            _ => Transition::Auto,
        };
        if !transition.is_auto() {
            words.pop();
        }
        if words == ["leave"] && transition.is_auto() {
            return Ok(ConfChange::LEAVE_JOINT);
        }
        let single = |word: &str| {
            let kind = word.chars().next()?;
            let id = ServerId::new(word.get(1..)?.parse().ok()?)?;
            match kind {
                'v' => Some(ConfChangeSingle::AddVoter(id)),
                'l' => Some(ConfChangeSingle::AddLearner(id)),
                'r' => Some(ConfChangeSingle::Remove(id)),
                _ => None,
            }
        };
        let changes: Option<Vec<_>> = words.into_iter().map(single).collect();
        let changes = changes.filter(|changes| !changes.is_empty());
        Ok(ConfChange {
            changes: changes.ok_or_else(none)?.into(),
            transition,
        })
    }
}

/// The change of one server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
    /// Returns the server that it is about.
    pub const fn server(self) -> ServerId {
        match self {
            ConfChangeSingle::AddVoter(id)
            | ConfChangeSingle::AddLearner(id)
            | ConfChangeSingle::Remove(id) => id,
        }
    }
}

/// The way in which a change takes place (etcd: `ConfChangeTransition`).
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_reads_as_it_is_written() {
        for text in ["v4", "l1,r2", "v4,r1,explicit", "r12,implicit", "leave"] {
            let change: ConfChange = text.parse().expect(text);
            assert_eq!(change.to_string(), text);
            assert_eq!(change.show().parse(), Ok(change));
        }
        for text in [
            "",
            "x3",
            "v",
            "v0",
            "3",
            "explicit",
            "leave,explicit",
            "v1;r2",
        ] {
            let error = text.parse::<ConfChange>().expect_err(text).to_string();
            assert!(error.contains("no change of membership"), "{error}");
        }
    }
}

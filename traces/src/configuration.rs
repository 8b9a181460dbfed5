use crate::ServerId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Who votes and who only learns (etcd: `ConfState`; paper, section 6; thesis, section 4). Sets that are empty and
/// a mark that is not set are left out in a trace.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema,
)]
#[serde(deny_unknown_fields)]
pub struct Configuration {
    /// The voters; in a joint configuration those of its incoming half.
    pub voters: BTreeSet<ServerId>,
    /// The voters of the outgoing half of a joint configuration; otherwise nobody.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub outgoing: BTreeSet<ServerId>,
    /// Those that receive the log and do not vote.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub learners: BTreeSet<ServerId>,
    /// Voters of the outgoing half that are learners once the joint configuration is left.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub learners_next: BTreeSet<ServerId>,
    /// The joint configuration is left as soon as it is applied, without a request.
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
}

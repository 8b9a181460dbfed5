use crate::ConfChange;
use serde::{Deserialize, Serialize};

/// The payload of an entry of the log.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Payload {
    /// Nothing: the entry that a leader appends when it is elected.
    Empty,
    /// The value of a client; targets carry it as its decimal digits.
    Value(u64),
    /// A change of the configuration.
    ConfChange(ConfChange),
}

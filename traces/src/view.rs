use crate::ServerId;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

/// The role of a server.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Follows a leader, or waits for one.
    #[default]
    Follower,
    /// Asks for pre-votes; its term has not changed yet.
    PreCandidate,
    /// Asks for votes in its term.
    Candidate,
    /// Leads its term.
    Leader,
}

/// The mode in which a leader replicates to one peer (etcd: `tracker.StateType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ProgressState {
    /// The matching index is unknown; one append at a time.
    Probe,
    /// Appends are pipelined.
    Replicate,
    /// A snapshot is on its way; no appends.
    Snapshot,
}

/// Reads a map by server that names no server twice; serde's own keeps the last of equal keys silently.
pub(crate) fn each_server_once<'de, D, T>(
    deserializer: D,
) -> Result<BTreeMap<ServerId, T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    struct ByServer<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for ByServer<T> {
        type Value = BTreeMap<ServerId, T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object with a field for each server")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
            let mut map = BTreeMap::new();
            while let Some((server, value)) = access.next_entry::<ServerId, T>()? {
                if map.insert(server, value).is_some() {
                    return Err(A::Error::custom(format_args!("server {server} twice")));
                }
            }
            Ok(map)
        }
    }

    deserializer.deserialize_map(ByServer(PhantomData))
}

/// Reads a field that may be null but not left out; serde's own takes the one for the other.
pub(crate) fn present<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::deserialize(deserializer)
}

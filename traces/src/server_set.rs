use crate::ServerId;
use crate::trace::MAX_SERVERS;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// A set of the servers of a cluster; in JSON the list of their names, ascending.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerSet(u64);

// One bit a server.
const _: () = assert!(MAX_SERVERS <= 64);

impl ServerSet {
    /// Nobody.
    pub const NONE: ServerSet = ServerSet(0);

    /// The set of the servers with these numbers.
    ///
    /// # Panics
    ///
    /// If no cluster has a server of that number.
    pub const fn of(numbers: &[u64]) -> ServerSet {
        let mut set = 0;
        let mut place = 0;
        while place < numbers.len() {
            let number = numbers[place];
            assert!(
                number >= 1 && number <= MAX_SERVERS,
                "there is no such server"
            );
            set |= 1 << (number - 1);
            place += 1;
        }
        ServerSet(set)
    }

    /// Whether nobody is in the set.
    pub const fn is_empty(&self) -> bool {
        self.0 == 0
    }

    /// Whether the server is in the set.
    pub const fn contains(self, server: ServerId) -> bool {
        server.get() <= MAX_SERVERS && self.0 >> (server.get() - 1) & 1 == 1
    }

    /// The servers, ascending.
    pub fn iter(self) -> impl Iterator<Item = ServerId> {
        let all = (1..=MAX_SERVERS).filter_map(ServerId::new);
        all.filter(move |server| self.contains(*server))
    }
}

impl FromIterator<ServerId> for ServerSet {
    /// # Panics
    ///
    /// If no cluster has a server of that name.
    fn from_iter<I: IntoIterator<Item = ServerId>>(servers: I) -> ServerSet {
        let sets = servers.into_iter().map(|id| ServerSet::of(&[id.get()]).0);
        ServerSet(sets.fold(0, std::ops::BitOr::bitor))
    }
}

/// Why a text is no set of servers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no set of servers: write their numbers, 1 to {MAX_SERVERS}, separated by commas, or `none`"
)]
pub struct NoServerSet(String);

impl fmt::Display for ServerSet {
    /// `1,2,4`, or `none`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("none");
        }
        let ids: Vec<String> = self.iter().map(|id| id.to_string()).collect();
        f.write_str(&ids.join(","))
    }
}

impl FromStr for ServerSet {
    type Err = NoServerSet;

    fn from_str(text: &str) -> Result<ServerSet, NoServerSet> {
        if text == "none" {
            return Ok(ServerSet::NONE);
        }
        let server = |word: &str| {
            let number = word.trim().parse().ok()?;
            ServerId::new(number).filter(|id| id.get() <= MAX_SERVERS)
        };
        let servers: Option<ServerSet> = text.split(',').map(server).collect();
        servers.ok_or_else(|| NoServerSet(text.to_owned()))
    }
}

impl fmt::Debug for ServerSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl Serialize for ServerSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for ServerSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ServerSet, D::Error> {
        let servers = Vec::<ServerId>::deserialize(deserializer)?;
        if !servers.is_sorted_by(|a, b| a < b) {
            return Err(D::Error::custom("the servers must ascend"));
        }
        if let Some(last) = servers.last().filter(|last| last.get() > MAX_SERVERS) {
            return Err(D::Error::custom(format_args!(
                "server {last} is not one of 1 to {MAX_SERVERS}"
            )));
        }
        Ok(servers.into_iter().collect())
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for ServerSet {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ServerSet".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        Vec::<ServerId>::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_reads_as_it_is_written() {
        for text in ["none", "1", "1,2,4", "64"] {
            assert_eq!(text.parse::<ServerSet>().expect(text).to_string(), text);
        }
        assert_eq!("2,1".parse(), Ok(ServerSet::of(&[1, 2])));
        for text in ["", "0", "65", "1;2", "1,", "all"] {
            let error = text.parse::<ServerSet>().expect_err(text).to_string();
            assert!(error.contains("no set of servers"), "{error}");
        }
    }
}

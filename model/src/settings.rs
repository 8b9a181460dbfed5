//! What a server is told before its first event.

use crate::dialect::{Departure, Dialect};
use crate::ids::{Id, MAX_SERVERS};
use lockstep_traces::Config;
use thiserror::Error;

/// The switches of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    servers: u8,
    pub(crate) pre_vote: bool,
    pub(crate) check_quorum: bool,
    pub(crate) one_entry_per_append: bool,
    pub(crate) max_inflight: u32,
    pub(crate) forward_proposals: bool,
    /// Zero is no limit.
    pub(crate) max_uncommitted: u32,
    dialect: Dialect,
}

/// Why a configuration cannot be specified.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SettingsError {
    /// The number of servers is zero or too large.
    #[error("a cluster has 1 to {MAX_SERVERS} servers, not {0}")]
    Servers(u64),
    /// A leader that may have no append on its way could never replicate.
    #[error("the limit of appends in flight must be at least 1 and fit into 32 bits, not {0}")]
    MaxInflight(u64),
    /// The limit cannot be counted.
    #[error("the limit of uncommitted proposals must fit into 32 bits, not {0}")]
    MaxUncommitted(u64),
}

impl Settings {
    /// The settings of a configuration.
    ///
    /// # Errors
    ///
    /// If the number of servers or a limit is out of range.
    pub fn new(config: &Config) -> Result<Settings, SettingsError> {
        let servers = u8::try_from(config.servers)
            .ok()
            .filter(|servers| (1..=MAX_SERVERS).contains(&usize::from(*servers)))
            .ok_or(SettingsError::Servers(config.servers))?;
        let max_inflight = u32::try_from(config.max_inflight)
            .ok()
            .filter(|limit| *limit > 0)
            .ok_or(SettingsError::MaxInflight(config.max_inflight))?;
        let max_uncommitted = u32::try_from(config.max_uncommitted)
            .map_err(|_| SettingsError::MaxUncommitted(config.max_uncommitted))?;
        Ok(Settings {
            servers,
            pre_vote: config.pre_vote,
            check_quorum: config.check_quorum,
            one_entry_per_append: config.one_entry_per_append,
            max_inflight,
            forward_proposals: config.forward_proposals,
            max_uncommitted,
            dialect: Dialect::ETCD,
        })
    }

    /// The same settings as a configuration of the vocabulary.
    pub fn config(&self) -> Config {
        Config {
            servers: u64::from(self.servers),
            pre_vote: self.pre_vote,
            check_quorum: self.check_quorum,
            one_entry_per_append: self.one_entry_per_append,
            max_inflight: u64::from(self.max_inflight),
            forward_proposals: self.forward_proposals,
            max_uncommitted: u64::from(self.max_uncommitted),
        }
    }

    /// How many voters there are.
    pub fn servers(&self) -> usize {
        usize::from(self.servers)
    }

    /// The voters, in order.
    pub fn ids(&self) -> impl Iterator<Item = Id> + use<> {
        (0..self.servers()).map(Id::from_slot)
    }

    /// Whether a server is a voter.
    pub fn is_member(&self, id: Id) -> bool {
        id.get() <= self.servers
    }

    /// The smallest majority.
    pub fn quorum(&self) -> usize {
        self.servers() / 2 + 1
    }

    /// The settings with rules of another implementation.
    #[must_use]
    pub fn with_dialect(self, dialect: Dialect) -> Settings {
        Settings { dialect, ..self }
    }

    /// Which rules differ from those of etcd's raft.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Whether one rule differs from that of etcd's raft.
    pub(crate) fn departs(&self, departure: Departure) -> bool {
        self.dialect.has(departure)
    }
}

//! The settings that a server is told before its first event.

use crate::configuration::{Configuration, id_set};
use crate::dialect::{Departure, Dialect};
use crate::ids::{Id, IdSet, MAX_SERVERS};
use crate::message::Message;
use lockstep_traces::{Config, Emitted, Reads, ServerId, ServerSet, Storage};
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
    /// Whether clients may change the configuration.
    pub(crate) may_change: bool,
    pub(crate) step_down_on_removal: bool,
    pub(crate) disable_conf_change_validation: bool,
    /// Whether storage is asynchronous.
    pub(crate) is_async: bool,
    /// Whether the application loses with a crash what it has applied since its last snapshot.
    pub(crate) application_in_memory: bool,
    pub(crate) reads: Reads,
    /// The configuration at first.
    pub(crate) configuration: Configuration,
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
    /// A voter or learner is no server of the cluster, or is both.
    #[error("voters and learners must be servers of the cluster, and no server may be both")]
    Members,
    /// With atomic storage what is committed is applied, and stays so.
    #[error("an application that keeps its state in memory needs asynchronous storage")]
    Application,
    /// Nothing would renew the lease.
    #[error("reads by lease need CheckQuorum")]
    Lease,
}

impl Settings {
    /// The settings of a configuration.
    ///
    /// # Errors
    ///
    /// If the number of servers or a limit is out of range, or a voter or learner is none of the servers.
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
        let all = IdSet::first(servers);
        let part = |ids: ServerSet| {
            let ids = id_set(ids.iter()).ok();
            ids.filter(|ids| ids.without(all).is_empty())
                .ok_or(SettingsError::Members)
        };
        let configuration = match config.may_change() {
            false => Configuration::of_voters(all),
            true => Configuration {
                learners: part(config.learners)?,
                ..Configuration::of_voters(part(config.voters)?)
            },
        };
        if !configuration.voters.and(configuration.learners).is_empty() {
            return Err(SettingsError::Members);
        }
        let is_async = config.storage == Storage::Async;
        if config.application_in_memory && !is_async {
            return Err(SettingsError::Application);
        }
        if config.reads == Reads::LeaseBased && !config.check_quorum {
            return Err(SettingsError::Lease);
        }
        Ok(Settings {
            servers,
            pre_vote: config.pre_vote,
            check_quorum: config.check_quorum,
            one_entry_per_append: config.one_entry_per_append,
            max_inflight,
            forward_proposals: config.forward_proposals,
            max_uncommitted,
            may_change: config.may_change(),
            step_down_on_removal: config.step_down_on_removal,
            disable_conf_change_validation: config.disable_conf_change_validation,
            is_async,
            application_in_memory: config.application_in_memory,
            reads: config.reads,
            configuration,
            dialect: Dialect::ETCD,
        })
    }

    /// The same settings as a configuration of the vocabulary.
    pub fn config(&self) -> Config {
        let part = |ids: IdSet| match self.may_change {
            true => ids.iter().map(ServerId::from).collect(),
            false => ServerSet::NONE,
        };
        Config {
            servers: u64::from(self.servers),
            pre_vote: self.pre_vote,
            check_quorum: self.check_quorum,
            one_entry_per_append: self.one_entry_per_append,
            max_inflight: u64::from(self.max_inflight),
            forward_proposals: self.forward_proposals,
            max_uncommitted: u64::from(self.max_uncommitted),
            voters: part(self.configuration.voters),
            learners: part(self.configuration.learners),
            step_down_on_removal: self.step_down_on_removal,
            disable_conf_change_validation: self.disable_conf_change_validation,
            storage: match self.is_async {
                true => Storage::Async,
                false => Storage::Atomic,
            },
            application_in_memory: self.application_in_memory,
            reads: self.reads,
        }
    }

    /// The same settings for a server that began with another configuration.
    #[must_use]
    pub fn begun_with(self, configuration: Configuration) -> Settings {
        Settings {
            configuration,
            ..self
        }
    }

    pub(crate) fn widened(self, servers: u8, configuration: Configuration) -> Settings {
        Settings {
            servers,
            may_change: true,
            is_async: true,
            configuration,
            ..self
        }
    }

    /// The number of servers, voters or not.
    pub fn servers(&self) -> usize {
        usize::from(self.servers)
    }

    /// The servers, in order.
    pub fn ids(&self) -> impl Iterator<Item = Id> + use<> {
        (0..self.servers()).map(Id::from_slot)
    }

    /// Whether there is such a server.
    pub fn is_server(&self, id: Id) -> bool {
        id.get() <= self.servers
    }

    /// The settings with rules of another implementation.
    #[must_use]
    pub fn with_dialect(self, dialect: Dialect) -> Settings {
        Settings { dialect, ..self }
    }

    /// Returns the rules that differ from those of etcd's raft.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Returns the messages that leave a server. With asynchronous storage none has to wait any more: those that had to
    /// have waited.
    pub(crate) fn emitted(&self, outbox: &[Message]) -> Vec<Emitted> {
        let emitted = outbox.iter().map(Message::emitted);
        emitted
            .map(|it| Emitted {
                after_persist: it.after_persist && !self.is_async,
                ..it
            })
            .collect()
    }

    /// Whether one rule differs from that of etcd's raft.
    pub(crate) fn departs(&self, departure: Departure) -> bool {
        self.dialect.has(departure)
    }
}

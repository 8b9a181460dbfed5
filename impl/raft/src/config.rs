//! The configuration of a server.

use crate::error::ConfigError;
use crate::types::{Index, NodeId};

/// The way in which linearizable reads are answered (thesis §6.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ReadOnly {
    /// The leader asks a quorum whether it still leads. Safe whatever the clocks do.
    #[default]
    Safe,
    /// A leader that has heard from a quorum since its last quorum check trusts that those servers
    /// vote for nobody else until the next one, and answers at once; otherwise it asks a quorum as
    /// with [`ReadOnly::Safe`]. Needs [`Config::check_quorum`].
    ///
    /// An answer is up to date if the clocks tick at the same speed, messages arrive at once, and
    /// the servers keep running. It may be stale
    ///
    /// * if the clock of a follower runs faster than that of the leader, and in the last tick before
    ///   a check even if not, since servers do not tick at the same moments;
    /// * for as long as an answer of a follower was on its way: the lease counts at the follower
    ///   from what it heard, and at the leader from what it is told;
    /// * if a follower restarts, since it forgets its lease;
    /// * if the application has a follower campaign before its timeout;
    /// * while a new member counts for the quorum: it is taken as heard of until the next check;
    /// * after [`transfer_leadership`](crate::RawNode::transfer_leadership) to a server that lags behind,
    ///   since a transfer postpones the next check by up to an election timeout, and repeated ones
    ///   do again. (Once a server was told to campaign, the leader answers no more by lease.)
    LeaseBased,
}

/// The greatest election timeout, in ticks: twice as much still fits the type.
const MAX_ELECTION_TIMEOUT_TICKS: u32 = u32::MAX / 2;

/// Parameters of one server. All servers of a group should agree on them.
///
/// ```
/// use lockstep_raft::{Config, NodeId};
///
/// let mut config = Config::new(NodeId::new(1).unwrap());
/// config.pre_vote = true;
/// config.check_quorum = true;
/// assert!(config.validate().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Config {
    /// The identity of this server.
    pub id: NodeId,
    /// Ticks without a leader after which a follower campaigns, at least; each time the server
    /// draws its own timeout from this up to but without twice this. Must exceed the heartbeat
    /// timeout, ten times as much is a good choice; at most half of `u32::MAX`.
    pub election_timeout_ticks: u32,
    /// Ticks between two heartbeats of a leader; at least 1.
    pub heartbeat_timeout_ticks: u32,
    /// The seed of the election timeout's jitter. Servers of a group need different seeds, or they campaign in step;
    /// the same seed repeats the same run.
    pub seed: u64,
    /// The last entry that the application has applied durably. Zero lets everything that is
    /// still in the log be handed out again. Entries up to here are not, so
    /// [`Storage::initial_state`](crate::Storage::initial_state) must have every change of
    /// membership among them. A storage whose configuration is that of its snapshot, such as
    /// [`MemoryStorage`](crate::MemoryStorage), goes with the index of that snapshot, or zero.
    pub applied: Index,
    /// Lets the application write its log and apply its entries in threads of its own, each at
    /// its own pace (thesis §10.2.1; as etcd's `AsyncStorageWrites`). [`Ready`](crate::Ready) then carries
    /// [`Body::StorageAppend`](crate::Body::StorageAppend) and
    /// [`Body::StorageApply`](crate::Body::StorageApply) messages with the responses that are to be
    /// delivered when the work is done, in place of `advance`. The messages to one thread must be
    /// handled in order, and none may be lost.
    ///
    /// A response is known by its sender alone, [`NodeId::APPEND_THREAD`] or
    /// [`NodeId::APPLY_THREAD`], and what the append thread passes back to this server by this
    /// server's own id: the transport must not let a peer send under any of these.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc_support/servers.rs"));
    /// # fn main() -> Result<(), Error> {
    /// let id = NodeId::new(1).unwrap();
    /// let mut config = Config::new(id);
    /// config.async_storage_writes = true;
    /// let members = ConfState { voters: vec![id], ..ConfState::default() };
    /// let mut node = RawNode::new(&config, MemoryStorage::with_conf_state(members))?;
    /// node.campaign()?;
    ///
    /// let mut applied = Vec::new();
    /// while node.has_ready() {
    ///     for message in node.ready()?.messages {
    ///         let responses = match message.body {
    ///             // For the append thread. On a disk all of this is durable before the responses leave.
    ///             Body::StorageAppend(work) => {
    ///                 let storage = node.storage_mut();
    ///                 if let Some(snapshot) = work.snapshot {
    ///                     storage.apply_snapshot(snapshot)?;
    ///                 }
    ///                 storage.write(work.entries, work.hard_state)?; // In one atomic step.
    ///                 work.responses
    ///             }
    ///             // For the apply thread.
    ///             Body::StorageApply { entries, responses } => {
    ///                 applied.extend(entries);
    ///                 responses
    ///             }
    ///             _ => continue, // For another server: sent at once.
    ///         };
    ///         for response in responses {
    ///             if response.to == id {
    ///                 node.step(response)?;
    ///             } // Otherwise it is sent, now that it may.
    ///         }
    ///     }
    /// }
    /// assert_eq!(node.basic_status().soft_state.role, Role::Leader);
    /// assert_eq!(applied.len(), 1, "the empty entry that opens the term");
    /// # Ok(())
    /// # }
    /// ```
    pub async_storage_writes: bool,
    /// Upper limit, in encoded bytes of entries, of one append; one entry always goes through.
    /// Zero: one entry a message. `u64::MAX`: no limit. (As etcd's `MaxSizePerMsg`.)
    pub max_message_bytes: u64,
    /// Upper limit, in encoded bytes, of the committed entries that are handed out and not yet
    /// acknowledged as applied. Zero: the same as `max_message_bytes`. (As etcd's
    /// `MaxCommittedSizePerReady`.)
    pub max_committed_bytes_per_ready: u64,
    /// Upper limit, in payload bytes, of the uncommitted end of a leader's log; proposals that
    /// exceed it are dropped. Zero: no limit. (As etcd's `MaxUncommittedEntriesSize`.)
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc_support/servers.rs"));
    /// # fn main() -> Result<(), Error> {
    /// let mut servers = group(&[1, 2, 3], |config| config.max_uncommitted_entries_bytes = 8)?;
    /// servers[0].propose("8 bytes.".into())?;
    /// let dropped = servers[0].propose("one more".into());
    /// assert_eq!(dropped, Err(Error::ProposalDropped(DropReason::UncommittedLimit)));
    ///
    /// settle(&mut servers)?; // The first is committed and applied: there is room again.
    /// servers[0].propose("one more".into())?;
    /// # Ok(())
    /// # }
    /// ```
    pub max_uncommitted_entries_bytes: u64,
    /// The number of appends that may be on their way to one follower; at least 1 (pipelining, thesis §10.2.2; as
    /// etcd's `MaxInflightMsgs`).
    pub max_inflight_messages: usize,
    /// The maximum number of payload bytes on their way to one follower. Zero: no limit. (As etcd's
    /// `MaxInflightBytes`.)
    pub max_inflight_bytes: u64,
    /// A leader that has not heard from a quorum for an election timeout steps down, and a
    /// follower refuses to vote while it hears from a leader (thesis §6.2 and §4.2.3).
    pub check_quorum: bool,
    /// A server asks whether it could win before it starts an election (thesis §9.6).
    pub pre_vote: bool,
    /// The way in which reads are answered.
    pub read_only: ReadOnly,
    /// Whether a follower passes proposals on to its leader instead of dropping them (thesis §6.2;
    /// the opposite of etcd's `DisableProposalForwarding`).
    pub proposal_forwarding: bool,
    /// Whether a leader refuses a change of membership that does not fit the active
    /// configuration. Switch it off only if something above Raft orders and verifies changes (the
    /// opposite of etcd's `DisableConfChangeValidation`).
    pub conf_change_validation: bool,
    /// Whether a leader that is removed or demoted steps down once it applies that change (thesis
    /// §4.2.2; as etcd's `StepDownOnRemoval`).
    pub step_down_on_removal: bool,
}

impl Config {
    /// A configuration that suits most: an election timeout of 10 heartbeats, messages of up to
    /// 1 MiB, 256 of them on their way, forwarding and validation on, everything else off.
    pub fn new(id: NodeId) -> Config {
        Config {
            id,
            election_timeout_ticks: 10,
            heartbeat_timeout_ticks: 1,
            seed: id.get(),
            applied: Index::ZERO,
            async_storage_writes: false,
            max_message_bytes: 1 << 20,
            max_committed_bytes_per_ready: 0,
            max_uncommitted_entries_bytes: 0,
            max_inflight_messages: 256,
            max_inflight_bytes: 0,
            check_quorum: false,
            pre_vote: false,
            read_only: ReadOnly::Safe,
            proposal_forwarding: true,
            conf_change_validation: true,
            step_down_on_removal: false,
        }
    }

    /// Checks that the parameters fit together.
    ///
    /// # Errors
    ///
    /// The first [`ConfigError`] found; [`ConfigError::Applied`] is found only when a server is
    /// made, with its storage.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if self.id.is_storage_thread() {
            return Err(ConfigError::ReservedId(self.id));
        }
        if self.heartbeat_timeout_ticks == 0 {
            return Err(ConfigError::HeartbeatTimeout);
        }
        if self.election_timeout_ticks <= self.heartbeat_timeout_ticks {
            return Err(ConfigError::ElectionTimeout {
                election: self.election_timeout_ticks,
                heartbeat: self.heartbeat_timeout_ticks,
            });
        }
        if self.election_timeout_ticks > MAX_ELECTION_TIMEOUT_TICKS {
            return Err(ConfigError::ElectionTimeoutTooLong {
                election: self.election_timeout_ticks,
                limit: MAX_ELECTION_TIMEOUT_TICKS,
            });
        }
        if self.max_inflight_messages == 0 {
            return Err(ConfigError::InflightMessages);
        }
        if self.max_inflight_bytes != 0 && self.max_inflight_bytes < self.max_message_bytes {
            return Err(ConfigError::InflightBytes {
                inflight: self.max_inflight_bytes,
                message: self.max_message_bytes,
            });
        }
        if self.read_only == ReadOnly::LeaseBased && !self.check_quorum {
            return Err(ConfigError::LeaseWithoutCheckQuorum);
        }
        Ok(())
    }

    /// The limit on entries being applied, with its default filled in.
    pub(crate) fn applying_limit(&self) -> u64 {
        match self.max_committed_bytes_per_ready {
            0 => self.max_message_bytes,
            limit => limit,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        Config::new(NodeId::new(1).unwrap())
    }

    #[test]
    fn every_rule_refuses_what_breaks_it() {
        let broken = |change: fn(&mut Config)| {
            let mut config = config();
            change(&mut config);
            config.validate().unwrap_err()
        };
        assert_eq!(config().validate(), Ok(()));
        assert_eq!(
            broken(|c| c.id = NodeId::APPLY_THREAD),
            ConfigError::ReservedId(NodeId::APPLY_THREAD)
        );
        assert_eq!(
            broken(|c| c.heartbeat_timeout_ticks = 0),
            ConfigError::HeartbeatTimeout
        );
        assert_eq!(
            broken(|c| c.election_timeout_ticks = 1),
            ConfigError::ElectionTimeout {
                election: 1,
                heartbeat: 1
            }
        );
        assert_eq!(
            broken(|c| c.election_timeout_ticks = u32::MAX / 2 + 1),
            ConfigError::ElectionTimeoutTooLong {
                election: 1 << 31,
                limit: (1 << 31) - 1
            }
        );
        assert_eq!(
            broken(|c| c.max_inflight_messages = 0),
            ConfigError::InflightMessages
        );
        assert_eq!(
            broken(|c| c.max_inflight_bytes = 1),
            ConfigError::InflightBytes {
                inflight: 1,
                message: 1 << 20
            }
        );
        assert_eq!(
            broken(|c| c.read_only = ReadOnly::LeaseBased),
            ConfigError::LeaseWithoutCheckQuorum
        );
    }

    #[test]
    fn the_limit_on_applying_defaults_to_that_of_messages() {
        let mut config = config();
        config.max_message_bytes = 7;
        assert_eq!(config.applying_limit(), 7);
        config.max_committed_bytes_per_ready = 9;
        assert_eq!(config.applying_limit(), 9);
    }
}

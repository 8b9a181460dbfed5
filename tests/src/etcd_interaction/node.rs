//! One node of the environment: a `RawNode`, its storage and the work that waits for its storage threads.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use lockstep_raft::storage::MemoryStorage;
use lockstep_raft::{
    ConfState, Config, Entry, Error, HardState, Index, Message, NodeId, RawNode, ReadOnly,
    Snapshot, SnapshotMetadata, Storage, StorageError, Term, wire,
};

use super::command::NodeTemplate;
use super::log_lines::LogLines;
use super::output::Output;

/// Ticks of an election timeout; of a heartbeat interval it is one.
pub(super) const ELECTION_TIMEOUT_TICKS: u32 = 3;
pub(super) const HEARTBEAT_TIMEOUT_TICKS: u32 = 1;

pub(super) struct Node {
    pub(super) id: NodeId,
    pub(super) raft: RawNode<NodeStorage, LogLines>,
    pub(super) async_storage_writes: bool,
    /// Messages to the append thread, oldest first.
    pub(super) append_work: VecDeque<Message>,
    /// Messages to the apply thread, oldest first.
    pub(super) apply_work: VecDeque<Message>,
}

impl Node {
    /// Creates a node as an `add-nodes` describes it.
    ///
    /// # Errors
    ///
    /// What the command prints instead.
    pub(super) fn new(
        id: NodeId,
        template: &NodeTemplate,
        output: Rc<RefCell<Output>>,
    ) -> Result<Node, String> {
        let mut snapshot = template.snapshot();
        let mut memory = MemoryStorage::new();
        if snapshot != Snapshot::default() {
            if template.index <= 1 {
                return Err("index must be specified as > 1 due to bootstrap".to_owned());
            }
            snapshot.metadata.term = Term(1);
            memory
                .apply_snapshot(snapshot.clone())
                .map_err(|e| error_sentence(&e.into()))?;
        }
        let storage = NodeStorage {
            memory,
            history: vec![snapshot],
        };
        let raft = RawNode::with_observer(&template.config(id), storage, LogLines::new(id, output))
            .map_err(|e| error_sentence(&e))?;
        Ok(Node {
            id,
            raft,
            async_storage_writes: template.async_storage_writes,
            append_work: VecDeque::new(),
            apply_work: VecDeque::new(),
        })
    }

    /// Hands a message to the node.
    pub(super) fn step(&mut self, message: Message) -> Result<(), Error> {
        let elapsed = self.raft.timer().election_elapsed_ticks();
        self.raft.observer_mut().lease_ticks =
            i64::from(ELECTION_TIMEOUT_TICKS) - i64::from(elapsed);
        self.raft.step(message)
    }

    /// Makes durable what a `Ready` or a message to the append thread asks for.
    pub(super) fn persist(
        &mut self,
        hard_state: Option<HardState>,
        entries: &[Entry],
        snapshot: Option<&Snapshot>,
    ) -> Result<(), String> {
        let memory = &mut self.raft.storage_mut().memory;
        let written = match snapshot {
            Some(_) if !entries.is_empty() => {
                return Err("can't apply snapshot and entries at the same time".to_owned());
            }
            Some(snapshot) => memory.apply_snapshot(snapshot.clone()),
            None => Ok(()),
        };
        written
            .and_then(|()| memory.write(entries, hard_state))
            .map_err(|e| error_sentence(&e.into()))
    }

    /// Applies entries to the state machine, which appends every command to the content of its last
    /// snapshot and so makes a new one.
    pub(super) fn apply(&mut self, entries: &[Entry]) -> Result<(), String> {
        for entry in entries {
            let (addition, conf_state) = match wire::conf_change_of(entry) {
                Ok(None) => (entry.data.clone(), None),
                Ok(Some(change)) => {
                    let applied = self.raft.apply_conf_change(&change);
                    (
                        change.context,
                        Some(applied.map_err(|e| error_sentence(&e))?),
                    )
                }
                Err(problem) => return Err(problem.to_string()),
            };
            self.raft.storage_mut().record(entry, &addition, conf_state);
        }
        Ok(())
    }
}

impl NodeTemplate {
    fn snapshot(&self) -> Snapshot {
        Snapshot {
            metadata: SnapshotMetadata {
                conf_state: ConfState {
                    voters: self.voters.clone(),
                    learners: self.learners.clone(),
                    ..ConfState::default()
                },
                index: Index(self.index),
                term: Term::ZERO,
            },
            data: self.content.clone().into(),
        }
    }

    fn config(&self, id: NodeId) -> Config {
        Config {
            election_timeout_ticks: ELECTION_TIMEOUT_TICKS,
            heartbeat_timeout_ticks: HEARTBEAT_TIMEOUT_TICKS,
            seed: id.get(),
            applied: Index(self.index),
            async_storage_writes: self.async_storage_writes,
            max_message_bytes: u64::MAX,
            max_committed_bytes_per_ready: self.max_committed_bytes_per_ready,
            max_uncommitted_entries_bytes: 0,
            max_inflight_messages: self.max_inflight_messages.unwrap_or(i32::MAX as u64) as usize,
            max_inflight_bytes: 0,
            check_quorum: self.check_quorum,
            pre_vote: self.pre_vote,
            read_only: if self.lease_based_reads {
                ReadOnly::LeaseBased
            } else {
                ReadOnly::Safe
            },
            proposal_forwarding: true,
            conf_change_validation: !self.disable_conf_change_validation,
            step_down_on_removal: self.step_down_on_removal,
            ..Config::new(id)
        }
    }
}

/// A memory storage whose snapshot is always the newest that the state machine has made.
#[derive(Debug)]
pub(super) struct NodeStorage {
    pub(super) memory: MemoryStorage,
    /// A snapshot for every applied entry; never empty.
    history: Vec<Snapshot>,
}

impl NodeStorage {
    fn latest(&self) -> &Snapshot {
        self.history
            .last()
            .expect("the history starts with the snapshot the node was made from")
    }

    fn record(&mut self, entry: &Entry, addition: &[u8], conf_state: Option<ConfState>) {
        let last = self.latest();
        let snapshot = Snapshot {
            metadata: SnapshotMetadata {
                conf_state: conf_state.unwrap_or_else(|| last.metadata.conf_state.clone()),
                index: entry.index,
                term: entry.term,
            },
            data: [&last.data, addition].concat().into(),
        };
        self.history.push(snapshot);
    }
}

impl Storage for NodeStorage {
    fn initial_state(&self) -> Result<(HardState, ConfState), StorageError> {
        self.memory.initial_state()
    }

    fn entries(&self, low: Index, high: Index, max_bytes: u64) -> Result<Vec<Entry>, StorageError> {
        self.memory.entries(low, high, max_bytes)
    }

    fn term(&self, index: Index) -> Result<Term, StorageError> {
        self.memory.term(index)
    }

    fn first_index(&self) -> Result<Index, StorageError> {
        self.memory.first_index()
    }

    fn last_index(&self) -> Result<Index, StorageError> {
        self.memory.last_index()
    }

    fn snapshot(&self) -> Result<Snapshot, StorageError> {
        Ok(self.latest().clone())
    }
}

/// The sentence that the scripts expect for an error.
pub(super) fn error_sentence(error: &Error) -> String {
    use lockstep_raft::PeerError;
    match error {
        Error::ProposalDropped(_) => "raft proposal dropped".to_owned(),
        Error::Peer(PeerError::LocalMessage { .. }) => {
            "raft: cannot step raft local message".to_owned()
        }
        Error::Peer(PeerError::UnknownPeer { .. }) => {
            "raft: cannot step as peer not found".to_owned()
        }
        Error::Storage(StorageError::Compacted) => {
            "requested index is unavailable due to compaction".to_owned()
        }
        Error::Storage(StorageError::SnapshotOutOfDate) => {
            "requested index is older than the existing snapshot".to_owned()
        }
        Error::Storage(StorageError::Unavailable) => {
            "requested entry at index is unavailable".to_owned()
        }
        Error::Storage(StorageError::SnapshotTemporarilyUnavailable) => {
            "snapshot is temporarily unavailable".to_owned()
        }
        other => other.to_string(),
    }
}

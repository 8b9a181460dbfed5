//! A server that is driven by ticks: [`Core`] and [`Timer`] together.

use bytes::Bytes;

use crate::config::Config;
use crate::core::{Core, SnapshotStatus, TimerReset};
use crate::error::Error;
use crate::health::Health;
use crate::observer::{Input, NoObserver, Observer};
use crate::ready::Ready;
use crate::status::{BasicStatus, Status};
use crate::storage::Storage;
use crate::timer::Timer;
use crate::tracker::Progress;
use crate::types::{Body, ConfChangeV2, ConfState, Entry, EntryKind, Message, NodeId};
use crate::wire;

/// One Raft server, to be driven by its owner: no threads, no locks, no I/O.
///
/// The owner calls [`tick`](RawNode::tick) at regular intervals, hands in messages from the others
/// by [`step`](RawNode::step) and requests by [`propose`](RawNode::propose) and its kin, and after
/// each of these works off what there is to do:
///
/// ```
/// use bytes::Bytes;
/// use lockstep_raft::{Config, ConfState, MemoryStorage, NodeId, RawNode, Role, wire};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let id = NodeId::new(1).unwrap();
/// let members = ConfState { voters: vec![id], ..ConfState::default() };
/// let mut node = RawNode::new(&Config::new(id), MemoryStorage::with_conf_state(members))?;
/// node.campaign()?;
///
/// let mut proposals = vec!["hello"];
/// let mut applied = Vec::new();
/// while node.has_ready() {
///     let ready = node.ready()?;
///     // 1. Persist. A server with a disk does it there.
///     let storage = node.storage_mut();
///     if let Some(snapshot) = ready.snapshot {
///         storage.apply_snapshot(snapshot)?;
///     }
///     storage.write(ready.entries, ready.hard_state)?; // In one atomic step.
///     // 2. Send `ready.messages`: there is nobody else here. 3. Apply.
///     for entry in &ready.committed_entries {
///         match wire::conf_change_of(entry)? {
///             None => applied.push(entry.data.clone()),
///             Some(change) => drop(node.apply_conf_change(change)?),
///         }
///     }
///     // 4. Done.
///     node.advance()?;
///     if node.basic_status().soft_state.role == Role::Leader
///         && let Some(proposal) = proposals.pop()
///     {
///         node.propose(Bytes::from(proposal))?;
///     }
/// }
/// // The empty entry that opens the term, and the proposal.
/// assert_eq!(applied, ["", "hello"]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct RawNode<S, O = NoObserver> {
    core: Core<S, O>,
    timer: Timer,
    health: Health,
}

impl<S: Storage> RawNode<S> {
    /// A server with the state that its storage holds, unobserved.
    ///
    /// # Errors
    ///
    /// Those of [`Core::new`].
    pub fn new(config: &Config, storage: S) -> Result<RawNode<S>, Error> {
        RawNode::with_observer(config, storage, NoObserver)
    }
}

impl<S: Storage, O: Observer> RawNode<S, O> {
    /// A server with the state that its storage holds, and somebody who watches it.
    ///
    /// # Errors
    ///
    /// Those of [`Core::new`].
    pub fn with_observer(config: &Config, storage: S, observer: O) -> Result<RawNode<S, O>, Error> {
        let mut core = Core::with_observer(config, storage, observer)?;
        core.show_input(Input::Created(config));
        core.show_effect(&Ok(()), None);
        Ok(RawNode {
            core,
            timer: Timer::new(config),
            health: Health::default(),
        })
    }

    fn call(
        &mut self,
        shown: Input<'_>,
        input: impl FnOnce(&mut Core<S, O>) -> Result<TimerReset, Error>,
    ) -> Result<(), Error> {
        self.ask(shown, input).map(|reset| self.timer.follow(reset))
    }

    /// An input, shown to the observer with what comes of it.
    fn ask<T>(
        &mut self,
        shown: Input<'_>,
        input: impl FnOnce(&mut Core<S, O>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.core.show_input(shown);
        let result = input(&mut self.core);
        self.core.show_effect(&result, None);
        result
    }

    /// One tick passes.
    ///
    /// # Errors
    ///
    /// [`Error::Storage`].
    pub fn tick(&mut self) -> Result<(), Error> {
        self.health.tick();
        self.timer.tick(&mut self.core)
    }

    /// One tick passes in a group that is known to be idle; see [`Timer::tick_quiesced`].
    ///
    /// # Errors
    ///
    /// [`Error::Storage`].
    pub fn tick_quiesced(&mut self) -> Result<(), Error> {
        self.health.tick();
        self.timer.tick_quiesced(&mut self.core)
    }

    /// Takes in a message from another server or a storage thread; see [`Core::step`]. Who is who
    /// shows in [`Message::from`] alone: the transport must not let a peer use the ids of storage
    /// threads, or this server's own.
    ///
    /// A heartbeat that commits more than this server has is refused as all malformed messages are, and yet
    /// answered with the end of the log, so that its leader learns that this member lost its disk
    /// ([`Status::short_logs`]).
    ///
    /// # Errors
    ///
    /// Those of [`Core::step`].
    pub fn step(&mut self, message: Message) -> Result<(), Error> {
        self.health.look_at(&self.core, &message);
        if self.health.says_nothing_new(&self.core, &message) {
            return Ok(());
        }
        let (from, term) = (message.from, message.term);
        let commit = match message.body {
            Body::Heartbeat { commit, .. } => Some(commit),
            _ => None,
        };
        self.core.show_input(Input::Step(&message));
        let result = self
            .core
            .step(message)
            .map(|reset| self.timer.follow(reset));
        self.health.note(&result);
        let mut answered = Ok(());
        if let (Err(_), Some(commit)) = (&result, commit) {
            answered = self.core.answer_refused_heartbeat(from, term, commit);
        }
        let result = answered.and(result);
        self.core.show_effect(&result, None);
        result
    }

    /// Campaigns at once; see [`Core::campaign`].
    ///
    /// # Errors
    ///
    /// Those of [`Core::campaign`].
    pub fn campaign(&mut self) -> Result<(), Error> {
        self.call(Input::Campaign, Core::campaign)
    }

    /// Proposes a command; see [`Core::propose`].
    ///
    /// # Errors
    ///
    /// Those of [`Core::propose`].
    pub fn propose(&mut self, data: Bytes) -> Result<(), Error> {
        self.propose_entries(vec![Entry::proposal(EntryKind::Normal, data)])
    }

    /// Proposes several entries at once; see [`Core::propose_entries`].
    ///
    /// # Errors
    ///
    /// Those of [`Core::propose_entries`].
    pub fn propose_entries(&mut self, entries: Vec<Entry>) -> Result<(), Error> {
        self.core.show_input(Input::Propose(&entries));
        let result = self.core.propose_entries(entries);
        self.core.show_effect(&result, None);
        result
    }

    /// Proposes a change of membership (thesis §4); see [`Core::propose_conf_change`].
    ///
    /// One server at a time:
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc_support/servers.rs"));
    /// # fn main() -> Result<(), Error> {
    /// let mut node = group(&[1], |_| {})?.remove(0);
    /// let learner = NodeId::new(2);
    /// node.propose_conf_change(ConfChange {
    ///     kind: ConfChangeKind::AddLearner,
    ///     node: learner,
    ///     ..ConfChange::default()
    /// })?;
    /// while node.has_ready() {
    ///     let ready = node.ready()?;
    /// #     persist(&mut node, &ready)?;
    ///     for entry in &ready.committed_entries {
    ///         if let Ok(Some(change)) = wire::conf_change_of(entry) {
    ///             // The change takes effect here, and not when it was proposed or committed.
    ///             assert!(node.status().config.learners.is_empty());
    ///             node.apply_conf_change(change)?;
    ///         }
    ///     }
    ///     node.advance()?;
    /// }
    /// assert_eq!(node.status().config.learners.iter().next(), learner);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Several at once, by joint consensus (thesis §4.3):
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc_support/servers.rs"));
    /// # fn main() -> Result<(), Error> {
    /// let mut servers = group(&[1, 2, 3], |_| {})?;
    /// // Server 4 takes the place of server 3, which stays as a learner.
    /// servers[0].propose_conf_change(ConfChangeV2 {
    ///     transition: Transition::JointExplicit,
    ///     changes: vec![
    ///         ConfChangeSingle::new(ConfChangeKind::AddNode, id(4)),
    ///         ConfChangeSingle::new(ConfChangeKind::AddLearner, id(3)),
    ///     ],
    ///     ..ConfChangeV2::default()
    /// })?;
    /// settle(&mut servers)?; // Committed, and passed to `apply_conf_change`, everywhere.
    /// let config = servers[0].status().config.to_string();
    /// assert_eq!(config, "voters=(1 2 4)&&(1 2 3) learners_next=(3)");
    ///
    /// servers[0].propose_conf_change(ConfChangeV2::default())?; // Leave.
    /// settle(&mut servers)?;
    /// let config = servers[0].status().config.to_string();
    /// assert_eq!(config, "voters=(1 2 4) learners=(3)");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`Core::propose`].
    pub fn propose_conf_change(&mut self, change: impl Into<ConfChangeV2>) -> Result<(), Error> {
        let data = wire::encode_conf_change_v2(&change.into());
        self.propose_entries(vec![Entry::proposal(EntryKind::ConfChangeV2, data)])
    }

    /// The former name of [`propose_conf_change`](RawNode::propose_conf_change).
    ///
    /// # Errors
    ///
    /// The same.
    #[deprecated(note = "`propose_conf_change` takes every kind of change")]
    pub fn propose_conf_change_v2(&mut self, change: &ConfChangeV2) -> Result<(), Error> {
        self.propose_conf_change(change.clone())
    }

    /// Makes a committed change of membership active; see [`Core::apply_conf_change`].
    ///
    /// # Errors
    ///
    /// Those of [`Core::apply_conf_change`].
    pub fn apply_conf_change(
        &mut self,
        change: impl Into<ConfChangeV2>,
    ) -> Result<ConfState, Error> {
        let change = change.into();
        let (conf_state, reset) = self.ask(Input::ApplyConfChange(&change), |core| {
            core.apply_conf_change(&change)
        })?;
        self.timer.follow(reset);
        Ok(conf_state)
    }

    /// Starts a new group; see [`Core::bootstrap`].
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc_support/servers.rs"));
    /// # fn main() -> Result<(), Error> {
    /// let mut node = RawNode::new(&Config::new(id(1)), MemoryStorage::new())?;
    /// node.bootstrap(&[(id(1), Bytes::from("its address"))])?;
    /// // The members are the first entries of the log: persisted and applied like all others.
    /// let ready = node.ready()?;
    /// assert_eq!(ready.entries.len(), 1);
    /// assert_eq!(ready.committed_entries, ready.entries);
    /// # persist(&mut node, &ready)?;
    /// let change = wire::conf_change_of(&ready.committed_entries[0]).unwrap().unwrap();
    /// assert_eq!(change.context, "its address");
    /// node.apply_conf_change(change)?;
    /// node.advance()?;
    /// // From here on the server can campaign, and cannot be bootstrapped again.
    /// node.campaign()?;
    /// let again = node.bootstrap(&[(id(1), Bytes::new())]);
    /// assert_eq!(again, Err(CallError::BootstrapNonEmpty.into()));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`Core::bootstrap`].
    pub fn bootstrap(&mut self, servers: &[(NodeId, Bytes)]) -> Result<(), Error> {
        self.call(Input::Bootstrap(servers), |core| core.bootstrap(servers))
    }

    /// Asks for a linearizable read (thesis §6.4); see [`Core::read_index`].
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc_support/servers.rs"));
    /// # fn main() -> Result<(), Error> {
    /// let mut servers = group(&[1, 2, 3], |_| {})?;
    /// servers[0].read_index("my read".into())?;
    /// // The leader asks a quorum first; the answer comes as `Ready::read_states`.
    /// let reads = settle(&mut servers)?;
    /// assert_eq!(reads[0].context, "my read");
    /// // What is read after this much was applied is not stale.
    /// let index = reads[0].index.expect("it was not given up");
    /// assert!(servers[0].basic_status().applied >= index);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`Core::read_index`].
    pub fn read_index(&mut self, context: Bytes) -> Result<(), Error> {
        self.core.show_input(Input::ReadIndex(&context));
        let result = self.core.read_index(context);
        self.core.show_effect(&result, None);
        result
    }

    /// Hands leadership over (thesis §3.10); see [`Core::transfer_leadership`].
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc_support/servers.rs"));
    /// # fn main() -> Result<(), Error> {
    /// let mut servers = group(&[1, 2, 3], |_| {})?;
    /// servers[0].transfer_leadership(id(2))?;
    /// let dropped = servers[0].propose("too late".into());
    /// assert_eq!(dropped, Err(DropReason::TransferInProgress { to: id(2) }.into()));
    /// settle(&mut servers)?;
    /// assert_eq!(servers[1].basic_status().soft_state.role, Role::Leader);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`Core::transfer_leadership`].
    pub fn transfer_leadership(&mut self, transferee: NodeId) -> Result<(), Error> {
        self.call(Input::TransferLeadership(transferee), |core| {
            core.transfer_leadership(transferee)
        })
    }

    /// The former name of [`transfer_leadership`](RawNode::transfer_leadership).
    ///
    /// # Errors
    ///
    /// The same.
    #[deprecated(note = "it is `transfer_leadership`, as of `Node`")]
    pub fn transfer_leader(&mut self, transferee: NodeId) -> Result<(), Error> {
        self.transfer_leadership(transferee)
    }

    /// Forgets who leads (as etcd's `ForgetLeader`); see [`Core::forget_leader`].
    ///
    /// # Errors
    ///
    /// Those of [`Core::forget_leader`].
    pub fn forget_leader(&mut self) -> Result<(), Error> {
        self.ask(Input::ForgetLeader, Core::forget_leader)
    }

    /// Reports that a server could not be reached (as etcd's `ReportUnreachable`); see
    /// [`Core::report_unreachable`].
    ///
    /// # Errors
    ///
    /// Those of [`Core::report_unreachable`].
    pub fn report_unreachable(&mut self, peer: NodeId) -> Result<(), Error> {
        self.ask(Input::ReportUnreachable(peer), |core| {
            core.report_unreachable(peer)
        })
    }

    /// Reports what became of a snapshot (as etcd's `ReportSnapshot`); see
    /// [`Core::report_snapshot`].
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc_support/servers.rs"));
    /// # fn main() -> Result<(), Error> {
    /// use lockstep_raft::tracker::ProgressState;
    ///
    /// let mut servers = group(&[1, 2, 3], |_| {})?;
    /// servers[0].propose("committed without server 3".into())?;
    /// settle(&mut servers[..2])?;
    /// let applied = servers[0].basic_status().applied;
    /// let storage = servers[0].storage_mut();
    /// storage.create_snapshot(applied, None, "state of the application".into())?;
    /// storage.compact(applied)?;
    ///
    /// // Server 3 needs what was compacted. The snapshot gets lost, and the leader waits for a report.
    /// servers[0].tick()?;
    /// settle_but_lose(&mut servers, |message| message.kind() == MessageKind::InstallSnapshot)?;
    /// let state = |leader: &Node| leader.status().progress.get(id(3)).unwrap().state();
    /// assert_eq!(state(&servers[0]), ProgressState::Snapshot);
    /// servers[0].report_snapshot(id(3), SnapshotStatus::Failed)?;
    /// assert_eq!(state(&servers[0]), ProgressState::Probe);
    ///
    /// servers[0].tick()?; // The next heartbeat brings a second try.
    /// settle(&mut servers)?;
    /// assert_eq!(servers[2].storage().snapshot()?.data, "state of the application");
    /// // Its acknowledgement was faster than the report, which is of no use any more.
    /// let late = servers[0].report_snapshot(id(3), SnapshotStatus::Finished);
    /// assert_eq!(late, Err(Refusal::NoSnapshot(id(3)).into()));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`Core::report_snapshot`].
    pub fn report_snapshot(&mut self, peer: NodeId, status: SnapshotStatus) -> Result<(), Error> {
        self.ask(Input::ReportSnapshot(peer, status), |core| {
            core.report_snapshot(peer, status)
        })
    }

    /// Whether there is anything to do.
    pub fn has_ready(&self) -> bool {
        self.core.has_ready()
    }

    /// Takes what has to be done; see [`Ready`].
    ///
    /// # Errors
    ///
    /// Those of [`Core::ready`].
    pub fn ready(&mut self) -> Result<Ready, Error> {
        let mut ready = Ready::default();
        self.ready_into(&mut ready)?;
        Ok(ready)
    }

    /// Takes what has to be done into a value whose buffers are used again.
    ///
    /// # Errors
    ///
    /// Those of [`Core::ready`].
    pub fn ready_into(&mut self, ready: &mut Ready) -> Result<(), Error> {
        self.core.show_input(Input::Ready);
        let result = self.core.ready_into(ready);
        self.core.show_effect(&result, Some(ready));
        result
    }

    /// Everything in the last [`Ready`] is persisted and applied.
    ///
    /// # Errors
    ///
    /// Those of [`Core::advance`].
    pub fn advance(&mut self) -> Result<(), Error> {
        self.call(Input::Advance, Core::advance)
    }

    /// The state of this server in numbers; does not allocate.
    pub fn basic_status(&self) -> BasicStatus {
        self.core.basic_status()
    }

    /// The state of this server with its view of the group.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc_support/servers.rs"));
    /// # fn main() -> Result<(), Error> {
    /// let mut servers = group(&[1, 2, 3], |_| {})?;
    /// servers[0].propose("seen by two".into())?;
    /// settle(&mut servers[..2])?;
    /// let status = servers[0].status();
    /// assert_eq!(status.config.to_string(), "voters=(1 2 3)");
    /// assert_eq!(status.progress.get(id(2)).unwrap().matched(), status.basic.hard_state.commit);
    /// assert!(servers[1].status().progress.is_empty(), "only a leader knows");
    /// # Ok(())
    /// # }
    /// ```
    pub fn status(&self) -> Status {
        Status {
            short_logs: self.health.short_logs(&self.core),
            refused: self.health.refused.clone(),
            ..self.core.status()
        }
    }

    /// Shows the progress of every member; see [`Core::with_progress`].
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc_support/servers.rs"));
    /// # fn main() -> Result<(), Error> {
    /// let mut servers = group(&[1, 2, 3], |_| {})?;
    /// servers[0].propose("seen by two".into())?;
    /// settle(&mut servers[..2])?;
    /// let commit = servers[0].basic_status().hard_state.commit;
    /// let mut behind = Vec::new();
    /// servers[0].with_progress(|id, progress| {
    ///     if progress.matched() < commit {
    ///         behind.push(id);
    ///     }
    /// });
    /// assert_eq!(behind, [id(3)]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn with_progress(&self, visit: impl FnMut(NodeId, &Progress)) {
        self.core.with_progress(visit);
    }

    /// The storage, to be read.
    pub fn storage(&self) -> &S {
        self.core.storage()
    }

    /// The storage, to be written as [`Ready`] says, or compacted.
    pub fn storage_mut(&mut self) -> &mut S {
        self.core.storage_mut()
    }

    /// The observer of this server.
    pub fn observer(&self) -> &O {
        self.core.observer()
    }

    /// The observer of this server.
    pub fn observer_mut(&mut self) -> &mut O {
        self.core.observer_mut()
    }

    /// The protocol state.
    pub fn core(&self) -> &Core<S, O> {
        &self.core
    }

    /// The timer.
    pub fn timer(&self) -> &Timer {
        &self.timer
    }

    /// The timer, to set the election timeout in tests.
    pub fn timer_mut(&mut self) -> &mut Timer {
        &mut self.timer
    }
}

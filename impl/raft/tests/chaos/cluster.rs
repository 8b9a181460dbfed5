//! A group of servers under a random schedule of everything that can go wrong, and its recovery.

use std::collections::BTreeSet;

use bytes::Bytes;
use lockstep_raft::{
    Body, ConfChangeKind, ConfChangeSingle, ConfChangeV2, ConfState, Config, DropReason, EntryId,
    Error, HardState, Index, MemoryStorage, Message, MessageKind, NodeId, ReadOnly, Role, Snapshot,
    SnapshotMetadata, SnapshotStatus, Term, Transition, wire,
};
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};

use crate::history::{Checked, History, Observed, Violation, known, logs_match};
use crate::recovery::RECOVERY;
use crate::server::{Effects, Mistakes, Running, Server, take_in};
use crate::tally::Tally;

/// The number of members at the start.
pub const FIRST_MEMBERS: u64 = 5;
/// The number of servers that may ever be members.
const SERVERS: u64 = 7;
/// The number of phases before everything heals, each with its own weather.
const PHASES: usize = 12;
const ACTIONS_PER_PHASE: usize = 250;
/// More messages than that on their way, and the oldest are lost.
const MAX_IN_FLIGHT: usize = 80;
/// The election timeout of every server.
pub const ELECTION_TIMEOUT_TICKS: u32 = 5;

/// The group.
pub struct Cluster {
    pub(crate) rng: SmallRng,
    pub(crate) servers: Vec<Server>,
    pub(crate) network: Vec<Message>,
    /// Servers on one side of a partition; empty if there is none.
    pub(crate) one_side: BTreeSet<NodeId>,
    /// Chance that a message is lost, and that it stays in the network after its delivery.
    pub(crate) loss: f64,
    pub(crate) duplication: f64,
    pub(crate) crash_chance: f64,
    pub(crate) reordering: bool,
    pub(crate) history: History,
    pub(crate) proposals: u64,
    reads: u64,
    /// Whether reads are answered by lease, and the world is one in which that is right.
    pub(crate) timed: bool,
    pub(crate) slow_leaders: bool,
    /// For how many ticks of all clocks each server has been down.
    pub(crate) ticks_down: Vec<u32>,
    /// Whether more than a minority of the voters may be taken away at once.
    takes_majorities: bool,
    pub(crate) tally: Tally,
}

/// The server with this number, counted from 1.
pub fn id(number: u64) -> NodeId {
    NodeId::new(number).expect("servers are counted from 1")
}

/// The disk of a server that was set up with the group: a snapshot that holds the members.
fn first_disk() -> MemoryStorage {
    let mut disk = MemoryStorage::new();
    let conf_state = ConfState {
        voters: (1..=FIRST_MEMBERS).map(id).collect(),
        ..ConfState::default()
    };
    let metadata = SnapshotMetadata {
        conf_state,
        index: Index(1),
        term: Term(1),
    };
    let data = Bytes::copy_from_slice(&0u64.to_le_bytes());
    known(disk.apply_snapshot(Snapshot { metadata, data }));
    disk.set_hard_state(HardState {
        term: Term(1),
        vote: None,
        commit: Index(1),
    });
    disk
}

fn random_config(rng: &mut SmallRng) -> Config {
    let mut config = Config::new(id(1));
    config.election_timeout_ticks = ELECTION_TIMEOUT_TICKS;
    config.pre_vote = rng.random_bool(0.5);
    config.check_quorum = rng.random_bool(0.5);
    config.async_storage_writes = rng.random_bool(0.4);
    config.max_message_bytes = any(rng, &[0, 40, u64::MAX]);
    config.max_committed_bytes_per_ready = any(rng, &[0, 60]);
    config.max_inflight_messages = rng.random_range(1..6);
    config.max_inflight_bytes = match config.max_message_bytes {
        u64::MAX => 0,
        least => any(rng, &[0, least.max(12), 100]),
    };
    config.max_uncommitted_entries_bytes = any(rng, &[0, 0, 60]);
    config.step_down_on_removal = rng.random_bool(0.5);
    config.proposal_forwarding = rng.random_bool(0.5);
    if config.check_quorum && rng.random_bool(0.4) {
        config.read_only = ReadOnly::LeaseBased;
    }
    config
}

fn any(rng: &mut SmallRng, values: &[u64]) -> u64 {
    *values.choose(rng).expect("not empty")
}

impl Cluster {
    /// The group as this seed makes it.
    pub fn new(seed: u64, mistakes: Mistakes) -> Cluster {
        let mut rng = SmallRng::seed_from_u64(seed);
        let config = random_config(&mut rng);
        let timed = config.read_only == ReadOnly::LeaseBased;
        let takes_majorities = !timed && rng.random_bool(0.1);
        let mut tally = Tally::default();
        tally.count_options(&config);
        let server = |number| {
            let config = Config {
                id: id(number),
                seed: rng.random(),
                ..config.clone()
            };
            let disk = match number <= FIRST_MEMBERS {
                true => first_disk(),
                false => MemoryStorage::new(),
            };
            let mut server = Server::new(config, disk, mistakes);
            server.start();
            server
        };
        let servers = (1..=SERVERS).map(server).collect();
        Cluster {
            servers,
            network: Vec::new(),
            one_side: BTreeSet::new(),
            loss: 0.0,
            duplication: 0.0,
            crash_chance: 0.0,
            reordering: false,
            rng,
            history: History::default(),
            proposals: 0,
            reads: 0,
            timed,
            slow_leaders: mistakes.slow_leaders,
            ticks_down: vec![0; SERVERS as usize],
            takes_majorities,
            tally,
        }
    }

    /// Runs the whole schedule and the recovery.
    pub fn run(mut self) -> Result<Tally, Violation> {
        for server in 0..self.servers.len() {
            self.settle(server)?;
        }
        for _ in 0..PHASES {
            self.change_weather();
            for action in 0..ACTIONS_PER_PHASE {
                self.random_action()?;
                if action % 50 == 0 {
                    self.compare_logs()?;
                }
            }
        }
        let recovered = self.recover();
        self.compare_logs()?;
        match recovered {
            Err(violation) if violation.property == RECOVERY && self.lost_majority() => {
                self.tally
                    .count("seeds that did not recover from the loss of a majority");
            }
            recovered => recovered?,
        }
        let history = &self.history;
        self.tally.add("elections", history.elections() as u64);
        self.tally.add("commits", history.highest_commit().0);
        self.tally
            .add("configurations", history.configurations() as u64);
        Ok(self.tally)
    }

    /// Whether a change was proposed after which nobody can be asked to recover.
    fn lost_majority(&self) -> bool {
        self.tally.of("seeds that took a majority away") > 0
    }

    /// Chooses how bad the next phase is. Without calm ones hardly anything would ever be committed.
    fn change_weather(&mut self) {
        let calm = self.rng.random_bool(0.4);
        let worst = if calm { 0.01 } else { 0.25 };
        self.loss = self.rng.random_range(0.0..worst);
        self.duplication = self.rng.random_range(0.0..worst);
        self.crash_chance = if calm {
            0.0
        } else {
            self.rng.random_range(0.0..0.01)
        };
        self.reordering = !calm;
        self.one_side.clear();
        if !calm && self.rng.random_bool(0.4) {
            self.one_side = (1..=SERVERS)
                .map(id)
                .filter(|_| self.rng.random_bool(0.4))
                .collect();
        }
    }

    fn random_action(&mut self) -> Checked {
        let server = self.rng.random_range(0..self.servers.len());
        match self.rng.random_range(0..1000) {
            0..550 => self.deliver_any(),
            // As many ticks for each server, in all.
            550..700 if self.timed && self.rng.random_ratio(6, SERVERS as u32) => Ok(()),
            550..700 if self.timed => self.tick_together(),
            550..700 => self.tick(server),
            700..850 => self.storage_thread(server),
            850..910 => self.propose(server),
            910..925 if self.timed => self.read_at_a_leader(),
            910..925 => self.change_membership(),
            925..940 => self.read(server),
            940..944 => self.transfer(server),
            944..948 if self.timed => Ok(()),
            944..948 => self.campaign(server),
            948..952 => {
                self.crash(server);
                Ok(())
            }
            952..980 => self.restart(),
            _ => {
                let (keep, sync) = (self.rng.random_range(0..4), self.rng.random_bool(0.5));
                self.servers[server].compact(keep, sync);
                Ok(())
            }
        }
    }

    /// Lets a server do what follows from an input, and looks at it in between.
    pub(crate) fn settle(&mut self, at: usize) -> Checked {
        loop {
            self.observe(at)?;
            let mut sent = Vec::new();
            let mut effects = Effects {
                rng: &mut self.rng,
                crash_chance: self.crash_chance,
                sent: &mut sent,
                history: &mut self.history,
                tally: &mut self.tally,
            };
            let was_running = self.servers[at].running.is_some();
            let more = self.servers[at].settle(&mut effects)?;
            self.count_crash(at, was_running);
            self.send(sent);
            if !more {
                return Ok(());
            }
        }
    }

    fn observe(&mut self, at: usize) -> Checked {
        let Some(running) = &self.servers[at].running else {
            return Ok(());
        };
        count_windows(
            running.node.core(),
            self.servers[at].config(),
            &mut self.tally,
        );
        let durable = |id: NodeId, entry: EntryId| {
            let server = self.servers.iter().find(|server| server.id() == id);
            server.is_some_and(|server| server.has_durable(entry))
        };
        let durable_term = self.servers[at].durable.hard_state().term;
        self.history
            .observe(running.node.core(), durable_term, durable)
    }

    fn compare_logs(&self) -> Checked {
        let running: Vec<&Observed> = self
            .running()
            .map(|(_, running)| running.node.core())
            .collect();
        for (at, one) in running.iter().enumerate() {
            for other in &running[at + 1..] {
                logs_match(one, other)?;
            }
        }
        Ok(())
    }

    pub(crate) fn running(&self) -> impl Iterator<Item = (usize, &Running)> {
        let with_position = self.servers.iter().enumerate();
        with_position.filter_map(|(at, server)| Some((at, server.running.as_ref()?)))
    }

    /// An input at a running server, and what follows from it.
    pub(crate) fn input(&mut self, at: usize, input: impl FnOnce(&mut Running)) -> Checked {
        if let Some(running) = &mut self.servers[at].running {
            input(running);
        }
        self.settle(at)
    }

    fn send(&mut self, messages: Vec<Message>) {
        for message in messages {
            if let Body::AppendEntries { entries, .. } = &message.body
                && let Some(last) = entries.last()
                && let Some(sender) = self.running_mut(message.from)
                && sender
                    .node
                    .core()
                    .log()
                    .last_index()
                    .is_ok_and(|end| last.index < end)
            {
                self.tally.count("appends that end before the log");
            }
            // Over the wire, as it would be.
            let bytes = wire::encode(&message);
            let arrived: Message = known(wire::decode(bytes));
            assert_eq!(arrived, message, "the wire format lost something");
            self.network.push(arrived);
        }
        while self.network.len() > MAX_IN_FLIGHT {
            let oldest = self.network.remove(0);
            self.lose(&oldest);
        }
    }

    /// The sender of a snapshot has to be told what became of it.
    pub(crate) fn lose(&mut self, message: &Message) {
        if message.kind() == MessageKind::InstallSnapshot {
            self.report(message, SnapshotStatus::Failed);
        } else if self.rng.random_bool(0.1)
            && let Some(running) = self.running_mut(message.from)
        {
            // A report that comes too late is refused.
            let _ = running.node.report_unreachable(message.to);
        }
    }

    fn report(&mut self, message: &Message, status: SnapshotStatus) {
        if let Some(running) = self.running_mut(message.from) {
            let _ = running.node.report_snapshot(message.to, status);
        }
    }

    fn running_mut(&mut self, id: NodeId) -> Option<&mut Running> {
        let server = self.servers.iter_mut().find(|server| server.id() == id)?;
        server.running.as_mut()
    }

    fn deliver_any(&mut self) -> Checked {
        if self.network.is_empty() {
            return Ok(());
        }
        let at = match self.reordering {
            true => self.rng.random_range(0..self.network.len()),
            false => 0,
        };
        let message = match self.rng.random_bool(self.duplication) {
            true => self.network[at].clone(),
            false => self.network.remove(at),
        };
        self.deliver(message)
    }

    pub(crate) fn deliver(&mut self, message: Message) -> Checked {
        let divided = self.one_side.contains(&message.from) != self.one_side.contains(&message.to);
        let to = self
            .servers
            .iter()
            .position(|server| server.id() == message.to);
        let Some(to) = to.filter(|&to| !divided && self.servers[to].running.is_some()) else {
            self.lose(&message);
            return Ok(());
        };
        if self.rng.random_bool(self.loss) {
            self.lose(&message);
            return Ok(());
        }
        if message.kind() == MessageKind::InstallSnapshot {
            self.tally.count("snapshots");
            self.report(&message, SnapshotStatus::Finished);
        }
        self.input(to, |running| take_in(running, message))
    }

    pub(crate) fn tick(&mut self, at: usize) -> Checked {
        self.input(at, |running| {
            running.node.tick().expect("a tick cannot fail")
        })
    }

    pub(crate) fn storage_thread(&mut self, at: usize) -> Checked {
        let mut sent = Vec::new();
        let mut effects = Effects {
            rng: &mut self.rng,
            crash_chance: self.crash_chance,
            sent: &mut sent,
            history: &mut self.history,
            tally: &mut self.tally,
        };
        let was_running = self.servers[at].running.is_some();
        self.servers[at].storage_thread(&mut effects)?;
        self.count_crash(at, was_running);
        self.send(sent);
        self.settle(at)
    }

    fn count_crash(&mut self, at: usize, was_running: bool) {
        let crashed = was_running && self.servers[at].running.is_none();
        self.tally.add("crashes", u64::from(crashed));
    }

    pub(crate) fn propose(&mut self, at: usize) -> Checked {
        self.proposals += 1;
        let (number, width) = (self.proposals, self.rng.random_range(1..24));
        let data = Bytes::from(format!("{number:0width$}"));
        // Dropped without a leader, at a server that does not forward, or for its size.
        let mut result = Ok(());
        self.input(at, |running| result = running.node.propose(data))?;
        let limit = Err(Error::ProposalDropped(DropReason::UncommittedLimit));
        let too_much = u64::from(result == limit);
        self.tally
            .add("proposals beyond the limit on uncommitted bytes", too_much);
        Ok(())
    }

    pub(crate) fn leader(&self) -> Option<usize> {
        let leads = self
            .running()
            .filter(|(_, running)| running.node.core().role() == Role::Leader);
        leads
            .max_by_key(|(_, running)| running.node.core().term())
            .map(|(at, _)| at)
    }

    fn change_membership(&mut self) -> Checked {
        let Some(leader) = self.leader() else {
            return Ok(());
        };
        let kinds = [
            ConfChangeKind::AddNode,
            ConfChangeKind::AddNode,
            ConfChangeKind::AddLearner,
            ConfChangeKind::RemoveNode,
        ];
        let transitions = [
            Transition::Auto,
            Transition::JointImplicit,
            Transition::JointExplicit,
        ];
        let count = *[0, 1, 1, 2, 3].choose(&mut self.rng).expect("not empty");
        let changes = (0..count).map(|_| {
            let kind = *kinds.choose(&mut self.rng).expect("not empty");
            ConfChangeSingle::new(kind, id(self.rng.random_range(1..=SERVERS)))
        });
        let changes: Vec<ConfChangeSingle> = changes.collect();
        if !self.keeps_a_majority(leader, &changes) {
            if !self.takes_majorities {
                return Ok(());
            }
            if !self.lost_majority() {
                self.tally.count("seeds that took a majority away");
            }
        }
        let transition = match count {
            0 => Transition::Auto,
            _ => *transitions.choose(&mut self.rng).expect("not empty"),
        };
        let change = ConfChangeV2 {
            transition,
            changes,
            context: Bytes::new(),
        };
        // Refused while another change is under way.
        self.input(leader, |running| {
            drop(running.node.propose_conf_change(&change))
        })
    }

    /// Whether most of the present voters stay voters. If more go at once, a removed leader can be
    /// left with the longest log and without the right to lead, while the others cannot do without
    /// its vote: Raft with membership that takes effect when it is applied promises nothing then.
    fn keeps_a_majority(&self, leader: usize, changes: &[ConfChangeSingle]) -> bool {
        let Some(running) = &self.servers[leader].running else {
            return false;
        };
        let voters = &running.node.core().tracker().config.voters.incoming;
        let leaves = |voter: &NodeId| {
            let last = changes.iter().rfind(|change| change.node == Some(*voter));
            last.is_some_and(|change| change.kind != ConfChangeKind::AddNode)
        };
        let staying = voters.ids().iter().filter(|voter| !leaves(voter)).count();
        staying >= voters.quorum_len()
    }

    fn read(&mut self, at: usize) -> Checked {
        if self.servers[at].running.is_none() {
            return Ok(());
        }
        self.reads += 1;
        let read = self.reads;
        self.history.read_asked(read);
        let context = Bytes::copy_from_slice(&read.to_le_bytes());
        let before = self.history.reads_granted();
        self.input(at, |running| {
            running
                .node
                .read_index(context)
                .or_else(refused)
                .expect("nobody leads, at worst")
        })?;
        self.tally.count("reads");
        // Nobody else was asked: the lease was enough, as there are always several voters.
        let at_once = self.history.reads_granted() - before;
        self.tally.add("reads granted at once", at_once);
        Ok(())
    }

    /// Also at one that was deposed and does not know it yet: the only place where a lease is wrong.
    fn read_at_a_leader(&mut self) -> Checked {
        let leading = self
            .running()
            .filter(|(_, running)| running.node.core().role() == Role::Leader);
        let leading: Vec<usize> = leading.map(|(at, _)| at).collect();
        match leading.choose(&mut self.rng) {
            Some(&at) => self.read(at),
            None => Ok(()),
        }
    }

    fn transfer(&mut self, to: usize) -> Checked {
        let leader = self.leader();
        let Some(leader) = leader.filter(|&leader| self.may_be_transferred_to(leader, to)) else {
            return Ok(());
        };
        let to = self.servers[to].id();
        self.input(leader, |running| drop(running.node.transfer_leadership(to)))
    }

    fn campaign(&mut self, at: usize) -> Checked {
        self.input(at, |running| {
            let campaign = running.node.campaign();
            campaign
                .or_else(refused)
                .expect("it may not campaign, at worst");
        })
    }

    fn crash(&mut self, at: usize) {
        let was_running = self.servers[at].running.is_some();
        self.servers[at].crash(&mut self.history);
        self.count_crash(at, was_running);
    }

    fn restart(&mut self) -> Checked {
        let crashed: Vec<usize> = (0..self.servers.len())
            .filter(|&at| self.servers[at].running.is_none() && self.may_restart(at))
            .collect();
        match crashed.choose(&mut self.rng) {
            Some(&at) => self.start(at),
            None => Ok(()),
        }
    }

    pub(crate) fn start(&mut self, at: usize) -> Checked {
        self.servers[at].start();
        self.settle(at)
    }
}

/// Counts the followers for whom the leader has to wait, by the limit that makes it wait.
fn count_windows(server: &Observed, config: &Config, tally: &mut Tally) {
    if server.role() != Role::Leader {
        return;
    }
    for (_, progress) in &server.tracker().progress {
        if progress.inflights.is_full() {
            tally.count(
                match progress.inflights.len() < config.max_inflight_messages {
                    true => "windows full of bytes",
                    false => "windows full of messages",
                },
            );
        }
    }
}

/// A request that cannot be served is no mistake.
fn refused(error: Error) -> Result<(), Error> {
    match error {
        Error::Refused(_) => Ok(()),
        other => Err(other),
    }
}

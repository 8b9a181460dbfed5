//! The recovery of a healed group.

use std::collections::BTreeSet;

use lockstep_raft::{ConfChangeV2, Index, NodeId, Role};

use crate::cluster::{Cluster, ELECTION_TIMEOUT_TICKS, FIRST_MEMBERS, id};
use crate::history::{Checked, Violation, known};
use crate::server::Running;

/// The time that a healed group may take to agree, in ticks of every server.
const RECOVERY_TICKS: usize = 3_000;

/// The property that a healed group agrees and commits again.
pub const RECOVERY: &str = "a healed group recovers";

impl Cluster {
    /// Heals everything and waits until the group agrees and commits again.
    pub fn recover(&mut self) -> Checked {
        self.one_side.clear();
        (self.loss, self.duplication, self.crash_chance) = (0.0, 0.0, 0.0);
        if self.timed {
            // Nobody is started before the leases have ended.
            for _ in 0..=ELECTION_TIMEOUT_TICKS {
                self.tick_together()?;
            }
        }
        let mut target = None;
        for _ in 0..RECOVERY_TICKS {
            self.start_members()?;
            for at in 0..self.servers.len() {
                // A snapshot that was made before a server joined is of no use to it.
                self.servers[at].compact(u64::MAX, true);
                self.tick(at)?;
            }
            self.deliver_all()?;
            self.leave_joint()?;
            if target.is_some_and(|target| self.agrees(target)) {
                return Ok(());
            }
            if self.agrees(Index::ZERO) {
                // Agreed; now a new entry must get everywhere too. It is dropped while a transfer
                // of leadership is under way.
                target = target.or(Some(self.history.highest_commit().next()));
                let leader = self.leader().expect("they agree on one");
                self.propose(leader)?;
            }
        }
        Err(Violation {
            property: RECOVERY,
            detail: self.describe(),
        })
    }

    /// Starts every server, but not those that the members have agreed to do without.
    fn start_members(&mut self) -> Checked {
        let members = self.members();
        let at_index = self
            .history
            .latest_configuration()
            .map_or(Index::ZERO, |(index, _)| index);
        let everybody_knows = members.iter().all(|&member| {
            self.running().any(|(_, running)| {
                running.node.core().id() == member && running.application.index >= at_index
            })
        });
        for at in 0..self.servers.len() {
            let needed = !everybody_knows || members.contains(&self.servers[at].id());
            match (needed, self.servers[at].running.is_some()) {
                (true, false) => self.start(at)?,
                (false, true) => self.servers[at].crash(&mut self.history),
                _ => {}
            }
        }
        Ok(())
    }

    fn members(&self) -> BTreeSet<NodeId> {
        match self.history.latest_configuration() {
            None => (1..=FIRST_MEMBERS).map(id).collect(),
            Some((_, state)) => {
                let lists = [&state.voters, &state.voters_outgoing, &state.learners];
                lists.into_iter().flatten().copied().collect()
            }
        }
    }

    pub(crate) fn deliver_all(&mut self) -> Checked {
        // An answer draws an answer draws an answer: some rounds, the rest after the next tick.
        for _ in 0..10 {
            for at in 0..self.servers.len() {
                while self.servers[at].waiting_work() > 0 {
                    self.storage_thread(at)?;
                }
            }
            for message in std::mem::take(&mut self.network) {
                self.deliver(message)?;
            }
        }
        Ok(())
    }

    /// An explicit transition is left by whoever asked for it.
    fn leave_joint(&mut self) -> Checked {
        let Some(leader) = self.leader() else {
            return Ok(());
        };
        self.input(leader, |running| {
            let config = &running.node.core().tracker().config;
            if config.voters.is_joint() && !config.auto_leave {
                // Refused if it is under way already.
                drop(running.node.propose_conf_change(ConfChangeV2::default()));
            }
        })
    }

    /// Whether all members follow one leader and have applied the same log, up to `target` at least.
    fn agrees(&self, target: Index) -> bool {
        let Some(leader) = self.leader() else {
            return false;
        };
        let Some(leading) = &self.servers[leader].running else {
            return false;
        };
        let core = leading.node.core();
        let last = known(core.log().last_index());
        let complete = |running: &Running| {
            let follower = running.node.core();
            follower.leader() == Some(core.id())
                && follower.term() == core.term()
                && follower.commit() == last
                && running.application == leading.application
                && running.application.index == last
        };
        let members = core.tracker().config.conf_state();
        let (_, known_members) = match self.history.latest_configuration() {
            Some(latest) => latest,
            None => (Index::ZERO, &members),
        };
        last >= target.max(self.history.highest_commit())
            && !core.tracker().config.voters.is_joint()
            && *known_members == members
            && self.members().iter().all(|&member| {
                self.running()
                    .any(|(_, running)| running.node.core().id() == member && complete(running))
            })
    }

    fn describe(&self) -> String {
        let members = self.history.latest_configuration();
        let mut text = format!("no agreement after {RECOVERY_TICKS} ticks, members {members:?}\n");
        for (_, running) in self.running() {
            let core = running.node.core();
            text += &format!(
                "{}: {:?} term {} leader {:?} commit {} applied {} last {:?} {}\n",
                core.id(),
                core.role(),
                core.term(),
                core.leader(),
                core.commit(),
                running.application.index,
                known(core.log().last_id()),
                core.tracker().config,
            );
            if core.role() == Role::Leader {
                text += &core.tracker().progress.to_string();
            }
        }
        text
    }
}

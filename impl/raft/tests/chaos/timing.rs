//! The world in which leases may be relied on: clocks that tick together, messages that arrive
//! before the next tick or never, and servers that stay down until their lease would have ended.
//! (`ReadOnly::LeaseBased` says what it needs; the other runs have none of it.)

use lockstep_raft::Role;
use rand::Rng as _;

use crate::cluster::{Cluster, ELECTION_TIMEOUT_TICKS};
use crate::history::Checked;

impl Cluster {
    /// One tick of every clock; what is still on its way by then is lost.
    pub(crate) fn tick_together(&mut self) -> Checked {
        self.deliver_all()?;
        self.lose_all()?;
        for at in 0..self.servers.len() {
            let down = self.servers[at].running.is_none();
            self.ticks_down[at] = if down { self.ticks_down[at] + 1 } else { 0 };
            let leads = self.running().any(|(running, server)| {
                running == at && server.node.core().role() == Role::Leader
            });
            if leads && self.slow_leaders && self.rng.random_bool(0.8) {
                continue;
            }
            self.tick(at)?;
        }
        Ok(())
    }

    /// Whether a crashed server has been down for longer than any lease it may have granted.
    pub(crate) fn may_restart(&self, at: usize) -> bool {
        !self.timed || self.ticks_down[at] > ELECTION_TIMEOUT_TICKS
    }

    /// Whether a transfer to this server cannot postpone the leader's next quorum check: it is told
    /// to campaign at once, and from then on the leader does not rely on its lease.
    pub(crate) fn may_be_transferred_to(&self, leader: usize, to: usize) -> bool {
        let Some(leading) = &self.servers[leader].running else {
            return false;
        };
        let core = leading.node.core();
        let progress = core.tracker().progress.get(self.servers[to].id());
        let complete =
            progress.is_some_and(|progress| Ok(progress.matched()) == core.log().last_index());
        !self.timed || complete
    }

    /// Nothing that was sent, or waits for storage, counts after the next tick.
    fn lose_all(&mut self) -> Checked {
        for at in 0..self.servers.len() {
            while self.servers[at].waiting_work() > 0 {
                self.storage_thread(at)?;
            }
        }
        for message in std::mem::take(&mut self.network) {
            self.lose(&message);
        }
        for at in 0..self.servers.len() {
            // What the reports of lost snapshots lead to is too late as well.
            self.settle(at)?;
        }
        self.network.clear();
        Ok(())
    }
}

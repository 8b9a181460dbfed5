//! Requests about members.

use std::time::{Duration, Instant};

use lockstep_raft::{ConfChange, ConfChangeKind, NodeId, Role};
use prost::Message as _;
use tokio::sync::oneshot;

use super::command::{Applied, ConfChangeContext};
use super::error::Error;
use super::inner::{ASK_PROMOTE, Input};
use super::requests::unexpected;
use super::{Server, apply::Outcome, ids, membership};
use crate::api::pb::{Member, MemberPromoteResponse};

/// A member counts as connected to a change of membership if it has been for this long, as in etcd.
const HEALTH_INTERVAL: Duration = Duration::from_secs(5);

/// The share of the leader's log that a learner must have to be promoted, as in etcd.
const READY_PERCENT: u64 = 90;

impl Server {
    /// All members as this server knows them; first it catches up if `linearizable`.
    ///
    /// # Errors
    /// There is no quorum in time.
    pub async fn members(&self, linearizable: bool) -> Result<Vec<Member>, Error> {
        if linearizable {
            self.refuse_as_learner()?;
            self.linearize().await?;
        }
        Ok(self.inner().members())
    }

    async fn change(
        &self,
        kind: ConfChangeKind,
        id: NodeId,
        member: Option<Member>,
        is_promote: bool,
    ) -> Result<Vec<Member>, Error> {
        let request = self.inner().ids.next();
        let context = ConfChangeContext {
            request,
            member,
            is_promote,
        };
        membership::check(
            &self.inner().members(),
            self.inner().is_removed(id.get()),
            kind,
            id,
            &context,
        )?;
        let context = context.encode_to_vec().into();
        let change = ConfChange {
            id: request,
            kind,
            node: Some(id),
            context,
        };
        let (reply, answer) = oneshot::channel::<Outcome>();
        self.inner().input(Input::Change {
            id: request,
            change,
            reply,
        })?;
        match self.within(answer).await? {
            Applied::Members(members) => Ok(members),
            other => Err(unexpected(&other)),
        }
    }

    /// Adds a member, and returns it and all members.
    ///
    /// # Errors
    /// The change is refused; [`Error`] says why.
    pub async fn member_add(
        &self,
        peer_urls: Vec<String>,
        is_learner: bool,
    ) -> Result<(Member, Vec<Member>), Error> {
        self.refuse_as_learner()?;
        membership::check_urls(&peer_urls)?;
        let members = self.inner().members();
        let kind = if is_learner {
            membership::check_learners(&members, self.inner().config.max_learners)?;
            ConfChangeKind::AddLearner
        } else {
            if self.inner().config.strict_reconfig_check {
                membership::check_add_voter(&members)?;
                self.check_all_connected(&members)?;
            }
            ConfChangeKind::AddNode
        };
        let token = &self.inner().config.initial_cluster_token;
        let id = ids::member(&peer_urls, token, Some(ids::now_seconds()));
        let node = NodeId::new(id)
            .filter(|id| !id.is_storage_thread())
            .ok_or(Error::MemberExists)?;
        let member = Member {
            id,
            peer_urls,
            is_learner,
            ..Member::default()
        };
        let members = self.change(kind, node, Some(member.clone()), false).await?;
        Ok((member, members))
    }

    /// Removes a member for good, and returns the others.
    ///
    /// # Errors
    /// The change is refused; [`Error`] says why.
    pub async fn member_remove(&self, id: u64) -> Result<Vec<Member>, Error> {
        self.refuse_as_learner()?;
        let node = NodeId::new(id).ok_or(Error::MemberNotFound)?;
        let members = self.inner().members();
        let is_voter = self
            .inner()
            .member(id)
            .is_none_or(|member| !member.is_learner);
        if self.inner().config.strict_reconfig_check && is_voter {
            membership::check_remove_voter(&members, id)?;
            self.check_quorum_without(&members, id)?;
        }
        self.change(ConfChangeKind::RemoveNode, node, None, false)
            .await
    }

    /// Changes the peer addresses of a member, and returns all members.
    ///
    /// # Errors
    /// The change is refused; [`Error`] says why.
    pub async fn member_update(
        &self,
        id: u64,
        peer_urls: Vec<String>,
    ) -> Result<Vec<Member>, Error> {
        self.refuse_as_learner()?;
        membership::check_urls(&peer_urls)?;
        let node = NodeId::new(id).ok_or(Error::MemberNotFound)?;
        let member = Member {
            id,
            peer_urls,
            ..Member::default()
        };
        self.change(ConfChangeKind::UpdateNode, node, Some(member), false)
            .await
    }

    /// Makes a learner a voter, and returns all members. Only the leader knows whether the learner is
    /// ready, so another server asks the leader.
    ///
    /// # Errors
    /// The change is refused; [`Error`] says why.
    pub async fn member_promote(&self, id: u64) -> Result<Vec<Member>, Error> {
        self.refuse_as_learner()?;
        let raft = self.inner().raft();
        if raft.role == Role::Leader {
            return self.promote_here(id).await;
        }
        let leader = raft.leader.ok_or(Error::NoLeader)?;
        let transport = self.inner().transport.get().ok_or(Error::Stopped)?;
        let body = id.encode_to_vec().into();
        let answer = transport
            .ask(leader, ASK_PROMOTE, body)
            .await
            .map_err(Error::Elsewhere)?;
        let answer = MemberPromoteResponse::decode(answer);
        Ok(answer
            .map_err(|error| Error::Failed(error.to_string()))?
            .members)
    }

    /// Makes a learner a voter, at the leader.
    pub(super) async fn promote_here(&self, id: u64) -> Result<Vec<Member>, Error> {
        let node = NodeId::new(id).ok_or(Error::MemberNotFound)?;
        let member = self.inner().member(id).ok_or(Error::MemberNotFound)?;
        if !member.is_learner {
            return Err(Error::NotLearner);
        }
        let (reply, answer) = oneshot::channel();
        self.inner().input(Input::Inspect(reply))?;
        let status = answer.await.map_err(|_| Error::Stopped)?;
        let matched = |id| {
            status
                .progress
                .get(id)
                .map_or(0, |progress| progress.matched().get())
        };
        if status.progress.is_empty() {
            return Err(Error::NotLeader);
        }
        let (leader, learner) = (matched(self.inner().id), matched(node));
        if u128::from(learner) * 100 < u128::from(leader) * u128::from(READY_PERCENT) {
            return Err(Error::LearnerNotReady);
        }
        if self.inner().config.strict_reconfig_check {
            membership::check_promote(&self.inner().members())?;
        }
        self.change(ConfChangeKind::AddNode, node, None, true).await
    }

    /// Whether this server has had a connection to a member since this long, or is it.
    fn is_connected(&self, id: u64, since: Duration) -> bool {
        if id == self.inner().identity.member {
            return true;
        }
        let active = NodeId::new(id).and_then(|id| self.inner().transport.get()?.active_since(id));
        active.is_some_and(|active| Instant::now().duration_since(active) >= since)
    }

    fn check_all_connected(&self, members: &[Member]) -> Result<(), Error> {
        let mut voters = members.iter().filter(|member| !member.is_learner);
        if voters.all(|voter| self.is_connected(voter.id, HEALTH_INTERVAL)) {
            Ok(())
        } else {
            Err(Error::Unhealthy)
        }
    }

    /// Checks that a quorum is connected once a member is gone. A member that is not connected is no loss.
    fn check_quorum_without(&self, members: &[Member], id: u64) -> Result<(), Error> {
        if !self.is_connected(id, Duration::ZERO) {
            return Ok(());
        }
        let voters = members.iter().filter(|member| !member.is_learner);
        let connected = voters
            .clone()
            .filter(|voter| self.is_connected(voter.id, HEALTH_INTERVAL))
            .count();
        let left = voters.count().saturating_sub(1);
        if connected.saturating_sub(1) > left / 2 {
            Ok(())
        } else {
            Err(Error::Unhealthy)
        }
    }
}

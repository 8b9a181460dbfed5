//! Requests about keys, and about the server itself.

use std::time::Duration;

use lockstep_raft::{NodeId, Role};
use tokio::sync::oneshot;

use super::command::{
    Applied, Attributes, ClusterMemberAttrSetRequest, Command, InternalRaftRequest,
};
use super::error::Error;
use super::inner::{Inner, Input};
use super::{Server, apply::Outcome};
use crate::api::check;
use crate::api::pb::{
    AlarmAction, AlarmMember, AlarmRequest, AlarmResponse, AlarmType, CompactionRequest,
    CompactionResponse, DeleteRangeRequest, DeleteRangeResponse, HashKvResponse, PutRequest,
    PutResponse, RangeRequest, RangeResponse, ResponseHeader, StatusResponse, TxnRequest,
    TxnResponse,
};
use crate::store::{self, Snapshot};

/// Committed entries that may wait to be applied before new proposals are refused, as in etcd.
const MAX_APPLY_LAG: u64 = 5000;

/// The version that clients are told: that of the interface, and of this server.
pub const VERSION: &str = concat!("3.6.0+lockstep.", env!("CARGO_PKG_VERSION"));

impl Server {
    pub(super) fn inner(&self) -> &Inner {
        &self.inner
    }

    pub(super) async fn within<T>(
        &self,
        answer: oneshot::Receiver<Result<T, Error>>,
    ) -> Result<T, Error> {
        match tokio::time::timeout(self.inner.config.request_timeout(), answer).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(Error::Stopped),
            Err(_) => Err(Error::Timeout),
        }
    }

    /// Proposes a command and waits until this server has applied it.
    pub(super) async fn propose(&self, command: Command) -> Result<Applied, Error> {
        let raft = self.inner.raft();
        if raft.committed.get() > raft.applied.get() + MAX_APPLY_LAG {
            return Err(Error::TooManyRequests);
        }
        let id = self.inner.ids.next();
        let data = InternalRaftRequest::encode(id, command);
        if data.len() > self.inner.config.max_request_bytes {
            return Err(Error::RequestTooLarge);
        }
        let (reply, answer) = oneshot::channel::<Outcome>();
        self.inner.input(Input::Propose { id, data, reply })?;
        let result = self.within(answer).await;
        if result.is_err() {
            self.inner.metrics.proposals_failed.inc();
        }
        result
    }

    /// Waits until everything is applied that was acknowledged anywhere when this was called.
    ///
    /// # Errors
    /// There is no quorum for it in time.
    pub async fn linearize(&self) -> Result<(), Error> {
        let (reader, answer) = oneshot::channel();
        self.inner.input(Input::Read(reader))?;
        self.within(answer).await
    }

    /// Reads the store on a thread where that may block.
    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Snapshot) -> store::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        let inner = self.inner.clone();
        let read = tokio::task::spawn_blocking(move || work(&mut inner.store.snapshot()?));
        match read.await {
            Ok(result) => Ok(result?),
            Err(error) => Err(Error::Failed(error.to_string())),
        }
    }

    /// Completes the header of an answer, which has the revision.
    fn header(&self, header: Option<ResponseHeader>) -> Option<ResponseHeader> {
        Some(
            self.inner
                .header(header.map_or(0, |header| header.revision)),
        )
    }

    /// The header of an answer as of now.
    ///
    /// # Errors
    /// The store fails.
    pub async fn current_header(&self) -> Result<ResponseHeader, Error> {
        let revision = self.read(|snapshot| Ok(snapshot.revision())).await?;
        Ok(self.inner.header(revision))
    }

    fn check_learner(&self) -> Result<(), Error> {
        if self.inner.is_learner() {
            Err(Error::NotSupportedForLearner)
        } else {
            Ok(())
        }
    }

    /// Refuses what a learner does not do: everything but serializable reads and its status.
    ///
    /// # Errors
    /// This server is a learner.
    pub fn refuse_as_learner(&self) -> Result<(), Error> {
        self.check_learner()
    }

    /// Answers a range request.
    ///
    /// # Errors
    /// The request cannot be answered; [`Error`] says why.
    pub async fn range(&self, request: RangeRequest) -> Result<RangeResponse, Error> {
        check::range(&request)?;
        if !request.serializable {
            self.check_learner()?;
            self.linearize().await?;
        }
        let mut response = self.read(move |snapshot| snapshot.range(&request)).await?;
        response.header = self.header(response.header);
        Ok(response)
    }

    /// Carries out a put.
    ///
    /// # Errors
    /// The request was refused, or did not finish in time and may still be carried out.
    pub async fn put(&self, request: PutRequest) -> Result<PutResponse, Error> {
        self.check_learner()?;
        check::put(&request)?;
        self.check_quota().await?;
        match self.propose(Command::Put(request)).await? {
            Applied::Put(response) => Ok(PutResponse {
                header: self.header(response.header),
                ..response
            }),
            other => Err(unexpected(&other)),
        }
    }

    /// Carries out a delete.
    ///
    /// # Errors
    /// The request was refused, or did not finish in time and may still be carried out.
    pub async fn delete_range(
        &self,
        request: DeleteRangeRequest,
    ) -> Result<DeleteRangeResponse, Error> {
        self.check_learner()?;
        check::delete_range(&request)?;
        match self.propose(Command::DeleteRange(request)).await? {
            Applied::DeleteRange(response) => Ok(DeleteRangeResponse {
                header: self.header(response.header),
                ..response
            }),
            other => Err(unexpected(&other)),
        }
    }

    /// Carries out a transaction; one that only reads does not go through the log.
    ///
    /// # Errors
    /// The request was refused, or did not finish in time and may still be carried out.
    pub async fn txn(&self, request: TxnRequest) -> Result<TxnResponse, Error> {
        self.check_learner()?;
        check::txn(&request, self.inner.config.max_txn_ops)?;
        let response = if store::is_read_only(&request) {
            if !store::is_serializable(&request) {
                self.linearize().await?;
            }
            self.read(move |snapshot| snapshot.txn(&request)).await?
        } else {
            // Deletes make room, so they are never refused for want of it.
            if store::writes_values(&request) {
                self.check_quota().await?;
            }
            match self.propose(Command::Txn(request)).await? {
                Applied::Txn(response) => response,
                other => return Err(unexpected(&other)),
            }
        };
        Ok(TxnResponse {
            header: self.header(response.header),
            ..response
        })
    }

    /// Discards old versions.
    ///
    /// # Errors
    /// The request was refused, or did not finish in time and may still be carried out.
    pub async fn compact(&self, request: CompactionRequest) -> Result<CompactionResponse, Error> {
        self.check_learner()?;
        match self.propose(Command::Compaction(request)).await? {
            Applied::Compaction(response) => Ok(CompactionResponse {
                header: self.header(response.header),
            }),
            other => Err(unexpected(&other)),
        }
    }

    /// Raises the alarm for space if the store has outgrown its quota.
    async fn check_quota(&self) -> Result<(), Error> {
        let size = self.inner.store.file_bytes()?;
        if size <= self.inner.config.quota_bytes() {
            return Ok(());
        }
        let request = AlarmRequest {
            action: AlarmAction::Activate as i32,
            member_id: self.inner.identity.member,
            alarm: AlarmType::Nospace as i32,
        };
        let known = self.read(|snapshot| snapshot.alarms()).await?;
        let alarm = AlarmMember {
            member_id: request.member_id,
            alarm: request.alarm,
        };
        if !known.contains(&alarm) {
            self.propose(Command::Alarm(request)).await?;
        }
        Err(store::Refusal::NoSpace.into())
    }

    /// Lists, raises or clears alarms.
    ///
    /// # Errors
    /// The request was refused, or did not finish in time and may still be carried out.
    pub async fn alarm(&self, request: AlarmRequest) -> Result<AlarmResponse, Error> {
        self.check_learner()?;
        let alarms = if request.action() == AlarmAction::Get {
            let (member, kind) = (request.member_id, request.alarm);
            let mut alarms = self.read(|snapshot| snapshot.alarms()).await?;
            alarms.retain(|raised| member == 0 || raised.member_id == member);
            alarms.retain(|raised| kind == AlarmType::None as i32 || raised.alarm == kind);
            alarms
        } else {
            match self.propose(Command::Alarm(request)).await? {
                Applied::Alarm(response) => response.alarms,
                other => return Err(unexpected(&other)),
            }
        };
        Ok(AlarmResponse {
            header: Some(self.current_header().await?),
            alarms,
        })
    }

    /// The state of this server.
    ///
    /// # Errors
    /// The store fails.
    pub async fn status(&self) -> Result<StatusResponse, Error> {
        let (revision, alarms) = self
            .read(|snapshot| Ok((snapshot.revision(), snapshot.alarms()?)))
            .await?;
        let raft = self.inner.raft();
        let size = i64::try_from(self.inner.store.file_bytes()?).unwrap_or(i64::MAX);
        let mut errors = Vec::new();
        if raft.leader.is_none() {
            errors.push(Error::NoLeader.to_string());
        }
        errors.extend(alarms.iter().map(|alarm| {
            format!(
                "memberID:{} alarm:{} ",
                alarm.member_id,
                alarm_name(alarm.alarm)
            )
        }));
        Ok(StatusResponse {
            header: Some(self.inner.header(revision)),
            version: VERSION.to_owned(),
            db_size: size,
            leader: raft.leader.map_or(0, NodeId::get),
            raft_index: raft.committed.get(),
            raft_term: raft.term.get(),
            raft_applied_index: raft.applied.get(),
            errors,
            db_size_in_use: size,
            is_learner: self.inner.is_learner(),
            storage_version: String::new(),
            db_size_quota: i64::try_from(self.inner.config.quota_bytes()).unwrap_or(i64::MAX),
            downgrade_info: None,
        })
    }

    /// Hashes the versions up to a revision.
    ///
    /// # Errors
    /// The revision is compacted or not there yet; the store fails.
    pub async fn hash_kv(&self, revision: i64) -> Result<HashKvResponse, Error> {
        let (hash, current) = self
            .read(move |snapshot| Ok((snapshot.hash(revision)?, snapshot.revision())))
            .await?;
        Ok(HashKvResponse {
            header: Some(self.inner.header(current)),
            hash: hash.hash,
            compact_revision: hash.compacted,
            hash_revision: hash.revision,
        })
    }

    /// The store as of now.
    ///
    /// # Errors
    /// The store fails.
    pub fn snapshot(&self) -> Result<Snapshot, Error> {
        Ok(self.inner.store.snapshot()?)
    }

    /// Gives unused space of the store back to the file system. Requests wait meanwhile.
    ///
    /// # Errors
    /// The store fails, or is read without end.
    pub async fn defragment(&self) -> Result<(), Error> {
        let inner = self.inner.clone();
        match tokio::task::spawn_blocking(move || inner.store.defragment()).await {
            Ok(result) => Ok(result?),
            Err(error) => Err(Error::Failed(error.to_string())),
        }
    }

    /// Hands leadership over to another voter, and waits until it leads.
    ///
    /// # Errors
    /// This server does not lead; the other one is no voter, or does not come to lead in time.
    pub async fn move_leader(&self, target: u64) -> Result<(), Error> {
        self.check_learner()?;
        let raft = self.inner.raft();
        if raft.role != Role::Leader {
            return Err(Error::NotLeader);
        }
        let to = NodeId::new(target).ok_or(Error::BadTransferee)?;
        if self
            .inner
            .member(target)
            .is_none_or(|member| member.is_learner)
        {
            return Err(Error::BadTransferee);
        }
        if to == self.inner.id {
            return Ok(());
        }
        let (reply, answer) = oneshot::channel();
        self.inner.input(Input::Transfer { to, reply })?;
        self.within(answer).await?;
        let mut changes = self.inner.raft.subscribe();
        let patience = self.inner.config.election_timeout * 3;
        let moved = changes.wait_for(|raft| raft.leader == Some(to));
        match tokio::time::timeout(patience, moved).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(Error::Stopped),
            Err(_) => Err(Error::TransferTimeout),
        }
    }

    /// Moves leadership away from this server, to the voter that has been connected the longest, if it
    /// leads and there is one.
    pub(super) async fn hand_over(&self) {
        if self.inner.raft().role != Role::Leader {
            return;
        }
        let members = self.inner.members();
        let voters = members.iter().filter(|member| !member.is_learner);
        let connected = voters.filter_map(|voter| {
            let id = NodeId::new(voter.id).filter(|&id| id != self.inner.id)?;
            Some((self.inner.transport.get()?.active_since(id)?, id))
        });
        if let Some((_, to)) = connected.min() {
            match self.move_leader(to.get()).await {
                Ok(()) => tracing::info!(%to, "leadership was handed over"),
                Err(error) => tracing::warn!(%to, %error, "leadership was not handed over"),
            }
        }
    }

    /// The id of the leader, if one is known.
    pub fn leader(&self) -> Option<u64> {
        self.inner.raft().leader.map(NodeId::get)
    }

    /// The id of this member.
    pub fn member_id(&self) -> u64 {
        self.inner.identity.member
    }

    /// The settings of this server.
    pub fn config(&self) -> &super::Config {
        &self.inner.config
    }

    /// The receiving side of the transport between servers, to be mounted on a gRPC server.
    pub fn peer_service(&self) -> Option<impl PeerRoutes + use<>> {
        self.inner
            .transport
            .get()
            .map(lockstep_net::Transport::service)
    }

    /// All numbers in the text format of Prometheus.
    pub(crate) fn metrics_text(&self) -> String {
        self.inner
            .metrics
            .text()
            .unwrap_or_else(|error| format!("# {error}\n"))
    }

    /// Checks that requests are served; the error says why not.
    pub(crate) async fn health(&self) -> Result<(), String> {
        let alarms = self
            .read(|snapshot| snapshot.alarms())
            .await
            .map_err(|error| error.to_string())?;
        if let Some(alarm) = alarms.first() {
            return Err(format!("ALARM {}", alarm_name(alarm.alarm)));
        }
        if self.inner.raft().leader.is_none() {
            return Err("RAFT NO LEADER".to_owned());
        }
        self.linearize()
            .await
            .map_err(|error| format!("QGET ERROR:{error}"))
    }

    /// Tells the others the name and the client addresses of this server, again and again until they
    /// know.
    pub(super) async fn publish(self) {
        let member_attributes = Some(Attributes {
            name: self.inner.config.name.clone(),
            client_urls: self.inner.config.advertise_client_urls.clone(),
        });
        let member_id = self.inner.identity.member;
        let request = ClusterMemberAttrSetRequest {
            member_id,
            member_attributes,
        };
        loop {
            match self
                .propose(Command::ClusterMemberAttrSet(request.clone()))
                .await
            {
                Ok(_) => break tracing::info!("the others know this member"),
                Err(Error::Stopped) => break,
                Err(error) => tracing::info!(%error, "this member is not published yet"),
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// The service for peers.
pub trait PeerRoutes {
    /// The service as routes.
    fn into_routes(self) -> tonic::service::Routes;
}

impl<H: lockstep_net::Handler> PeerRoutes for lockstep_net::PeerService<H> {
    fn into_routes(self) -> tonic::service::Routes {
        tonic::service::Routes::new(self.into_server())
    }
}

fn alarm_name(alarm: i32) -> &'static str {
    match AlarmType::try_from(alarm) {
        Ok(AlarmType::Nospace) => "NOSPACE",
        Ok(AlarmType::Corrupt) => "CORRUPT",
        Ok(AlarmType::None) | Err(_) => "NONE",
    }
}

pub(super) fn unexpected(applied: &Applied) -> Error {
    Error::Failed(format!("the answer to another request: {applied:?}"))
}

//! The service `Cluster`.

use tonic::{Request, Response, Status};

use super::Service;
use crate::api::pb::{
    MemberAddRequest, MemberAddResponse, MemberListRequest, MemberListResponse,
    MemberPromoteRequest, MemberPromoteResponse, MemberRemoveRequest, MemberRemoveResponse,
    MemberUpdateRequest, MemberUpdateResponse, ResponseHeader,
};
use crate::api::rpc::cluster_server::Cluster;

impl Service {
    async fn header(&self) -> Result<Option<ResponseHeader>, Status> {
        Ok(Some(self.server.current_header().await?))
    }
}

#[tonic::async_trait]
impl Cluster for Service {
    async fn member_add(
        &self,
        request: Request<MemberAddRequest>,
    ) -> Result<Response<MemberAddResponse>, Status> {
        let MemberAddRequest {
            peer_urls,
            is_learner,
        } = request.into_inner();
        let (member, members) = self.server.member_add(peer_urls, is_learner).await?;
        let header = self.header().await?;
        Ok(Response::new(MemberAddResponse {
            header,
            member: Some(member),
            members,
        }))
    }

    async fn member_remove(
        &self,
        request: Request<MemberRemoveRequest>,
    ) -> Result<Response<MemberRemoveResponse>, Status> {
        let members = self.server.member_remove(request.get_ref().id).await?;
        let header = self.header().await?;
        Ok(Response::new(MemberRemoveResponse { header, members }))
    }

    async fn member_update(
        &self,
        request: Request<MemberUpdateRequest>,
    ) -> Result<Response<MemberUpdateResponse>, Status> {
        let MemberUpdateRequest { id, peer_urls } = request.into_inner();
        let members = self.server.member_update(id, peer_urls).await?;
        let header = self.header().await?;
        Ok(Response::new(MemberUpdateResponse { header, members }))
    }

    async fn member_list(
        &self,
        request: Request<MemberListRequest>,
    ) -> Result<Response<MemberListResponse>, Status> {
        let members = self.server.members(request.get_ref().linearizable).await?;
        let header = self.header().await?;
        Ok(Response::new(MemberListResponse { header, members }))
    }

    async fn member_promote(
        &self,
        request: Request<MemberPromoteRequest>,
    ) -> Result<Response<MemberPromoteResponse>, Status> {
        let members = self.server.member_promote(request.get_ref().id).await?;
        let header = self.header().await?;
        Ok(Response::new(MemberPromoteResponse { header, members }))
    }
}

//! The effect of a committed command on the store.

use super::command::{Applied, ClusterMemberAttrSetRequest, Command, InternalRaftRequest};
use super::error::Error;
use crate::api::pb::{AlarmAction, AlarmMember, AlarmRequest, AlarmResponse, Member};
use crate::store::{self, Batch, StoreError};

/// The outcome of a command: a refusal is one, too.
pub(super) type Outcome = Result<Applied, Error>;

/// Applies a command. The outer error is a failure of the store.
pub(super) fn apply(batch: &mut Batch<'_>, request: InternalRaftRequest) -> store::Result<Outcome> {
    let result = match request.command {
        Some(Command::Put(put)) => batch.put(&put).map(Applied::Put),
        Some(Command::DeleteRange(delete)) => batch.delete_range(&delete).map(Applied::DeleteRange),
        Some(Command::Txn(txn)) => batch.txn(&txn).map(Applied::Txn),
        Some(Command::Compaction(compact)) => {
            batch.compact(compact.revision).map(Applied::Compaction)
        }
        Some(Command::Alarm(alarm)) => apply_alarm(batch, &alarm).map(Applied::Alarm),
        Some(Command::ClusterMemberAttrSet(attributes)) => {
            apply_attributes(batch, attributes).map(|()| Applied::MemberAttributes)
        }
        // A later version's command. Guessing would make the servers differ.
        None => Err(StoreError::corrupt("the log has a command of unknown kind")),
    };
    match result {
        Ok(applied) => Ok(Ok(applied)),
        Err(StoreError::Refused(refusal)) => Ok(Err(refusal.into())),
        Err(error) => Err(error),
    }
}

fn apply_alarm(batch: &mut Batch<'_>, request: &AlarmRequest) -> store::Result<AlarmResponse> {
    let alarms = match request.action() {
        AlarmAction::Get => Vec::new(), // Answered without the log.
        AlarmAction::Activate => {
            batch.raise(request.member_id, request.alarm())?;
            vec![AlarmMember {
                member_id: request.member_id,
                alarm: request.alarm,
            }]
        }
        AlarmAction::Deactivate => batch.clear(request.member_id, request.alarm())?,
    };
    Ok(AlarmResponse {
        header: None,
        alarms,
    })
}

fn apply_attributes(
    batch: &mut Batch<'_>,
    request: ClusterMemberAttrSetRequest,
) -> store::Result<()> {
    let attributes = request.member_attributes.unwrap_or_default();
    // A member that was removed meanwhile has none.
    if let Some(member) = batch.member(request.member_id)? {
        let (name, client_urls) = (attributes.name, attributes.client_urls);
        batch.set_member(&Member {
            name,
            client_urls,
            ..member
        })?;
    }
    Ok(())
}

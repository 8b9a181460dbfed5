//! The values beside the keys: numbers, configuration, members, alarms.

use prost::Message as _;
use redb::ReadableTable;

use super::error::{Result, StoreError};
use crate::api::pb::{AlarmMember, Member};
use crate::log::Identity;

pub(super) const REVISION: &str = "revision";
pub(super) const COMPACTED: &str = "compacted";
pub(super) const APPLIED_INDEX: &str = "applied-index";
pub(super) const APPLIED_TERM: &str = "applied-term";
pub(super) const CONF_STATE: &str = "conf-state";
pub(super) const FORMAT: &str = "format";
/// The cluster and the member that the file belongs to. They are of this file, not of its content: dumps do not have them.
pub(super) const CLUSTER: &str = "cluster-id";
pub(super) const MEMBER: &str = "member-id";
/// The version of the layout of the tables.
pub(super) const FORMAT_VERSION: u64 = 1;

/// A number of the table `meta`.
pub(super) fn number(
    meta: &impl ReadableTable<&'static str, &'static [u8]>,
    name: &'static str,
) -> Result<Option<u64>> {
    let Some(bytes) = meta.get(name)? else {
        return Ok(None);
    };
    match bytes.value().try_into() {
        Ok(bytes) => Ok(Some(u64::from_be_bytes(bytes))),
        Err(_) => Err(StoreError::corrupt(format!("{name} is no number"))),
    }
}

/// The owner of the file; `None` if that was never set.
pub(super) fn identity(
    meta: &impl ReadableTable<&'static str, &'static [u8]>,
) -> Result<Option<Identity>> {
    let (cluster, member) = (number(meta, CLUSTER)?, number(meta, MEMBER)?);
    let pair = cluster.zip(member);
    Ok(pair.map(|(cluster, member)| Identity { cluster, member }))
}

/// The members in ascending order of their ids.
pub(super) fn members(table: &impl ReadableTable<u64, &'static [u8]>) -> Result<Vec<Member>> {
    let members = table.iter()?.map(|entry| {
        let (_, bytes) = entry?;
        Member::decode(bytes.value()).map_err(StoreError::corrupt)
    });
    members.collect()
}

/// The alarms that are raised.
pub(super) fn alarms(table: &impl ReadableTable<(u64, i32), ()>) -> Result<Vec<AlarmMember>> {
    let alarms = table.iter()?.map(|entry| {
        let (member_id, alarm) = entry?.0.value();
        Ok(AlarmMember { member_id, alarm })
    });
    alarms.collect()
}

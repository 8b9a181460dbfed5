//! From the keys of a range to the answer: filters, order, limit.

use bytes::Bytes;

use crate::api::pb::{
    KeyValue, RangeRequest, RangeResponse, ResponseHeader, SortOrder, SortTarget,
};

/// The first keys of a range, and the number of all of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Page {
    pub(crate) kvs: Vec<KeyValue>,
    pub(crate) count: usize,
}

fn limit(request: &RangeRequest) -> usize {
    match usize::try_from(request.limit) {
        Ok(0) | Err(_) => usize::MAX,
        Ok(limit) => limit,
    }
}

/// Returns the number of keys that must be read: all if they are filtered or sorted.
pub(crate) fn scan_limit(request: &RangeRequest) -> usize {
    let filtered = [
        request.min_mod_revision,
        request.max_mod_revision,
        request.min_create_revision,
        request.max_create_revision,
    ];
    if request.count_only {
        0
    } else if request.sort_order() != SortOrder::None || filtered.iter().any(|&bound| bound != 0) {
        usize::MAX
    } else {
        // One more, to know whether there are more.
        limit(request).saturating_add(1)
    }
}

/// The answer to a request whose keys were read with [`scan_limit`].
pub(crate) fn answer(request: &RangeRequest, page: Page, revision: i64) -> RangeResponse {
    let Page { mut kvs, count } = page;
    let within =
        |value: i64, min: i64, max: i64| (min == 0 || value >= min) && (max == 0 || value <= max);
    kvs.retain(|kv| {
        within(
            kv.mod_revision,
            request.min_mod_revision,
            request.max_mod_revision,
        ) && within(
            kv.create_revision,
            request.min_create_revision,
            request.max_create_revision,
        )
    });
    sort(&mut kvs, request);
    let more = kvs.len() > limit(request);
    kvs.truncate(limit(request));
    if request.keys_only {
        kvs.iter_mut().for_each(|kv| kv.value = Bytes::new());
    }
    RangeResponse {
        header: Some(ResponseHeader {
            revision,
            ..ResponseHeader::default()
        }),
        kvs,
        more,
        count: i64::try_from(count).unwrap_or(i64::MAX),
    }
}

/// Sorts what is in ascending order of keys. As in etcd, a target other than the key is sorted by
/// even if no order is given.
fn sort(kvs: &mut [KeyValue], request: &RangeRequest) {
    let (order, target) = (request.sort_order(), request.sort_target());
    match target {
        SortTarget::Key => {}
        SortTarget::Version => kvs.sort_by_key(|kv| kv.version),
        SortTarget::Create => kvs.sort_by_key(|kv| kv.create_revision),
        SortTarget::Mod => kvs.sort_by_key(|kv| kv.mod_revision),
        SortTarget::Value => kvs.sort_by(|one, other| one.value.cmp(&other.value)),
    }
    if order == SortOrder::Descend {
        kvs.reverse();
    }
}

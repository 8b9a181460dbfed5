//! The ids of members, clusters and requests, made as etcd makes them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use sha1::{Digest as _, Sha1};

fn first_eight(digest: impl IntoIterator<Item = u8>) -> u64 {
    digest
        .into_iter()
        .take(8)
        .fold(0, |id, byte| id << 8 | u64::from(byte))
}

/// The id of a member: of its addresses and the token of the cluster, and for members that join later
/// of the second in which they were added.
pub(crate) fn member(peer_urls: &[String], token: &str, seconds: Option<u64>) -> u64 {
    let mut urls = peer_urls.to_vec();
    urls.sort();
    let mut digest = Sha1::new();
    urls.iter().for_each(|url| digest.update(url));
    digest.update(token);
    if let Some(seconds) = seconds {
        digest.update(seconds.to_string());
    }
    first_eight(digest.finalize())
}

/// The id of a cluster: of the ids of its first members.
pub(crate) fn cluster(members: &[u64]) -> u64 {
    let mut members = members.to_vec();
    members.sort_unstable();
    let mut digest = Sha1::new();
    members
        .iter()
        .for_each(|id| digest.update(id.to_be_bytes()));
    first_eight(digest.finalize())
}

/// Seconds since 1970.
pub(crate) fn now_seconds() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |passed| passed.as_secs())
}

/// Ids of requests, which no other server and no earlier life of this one uses.
pub(crate) struct RequestIds {
    next: AtomicU64,
}

impl RequestIds {
    /// Two bytes of the member, then the time in milliseconds, then a counter.
    pub(crate) fn new(member: u64) -> RequestIds {
        let passed = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |passed| passed.as_millis());
        let time = u64::try_from(passed).unwrap_or(0) & 0xff_ffff_ffff;
        RequestIds {
            next: AtomicU64::new(member << 48 | time << 8),
        }
    }

    pub(crate) fn next(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The ids that every etcd with the default settings has.
    #[test]
    fn ids_are_those_of_etcd() {
        let id = member(&["http://localhost:2380".to_owned()], "etcd-cluster", None);
        assert_eq!(format!("{id:x}"), "8e9e05c52164694d");
        assert_eq!(format!("{:x}", cluster(&[id])), "cdf818194e3a8c32");
    }
}

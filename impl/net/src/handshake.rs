//! The handshake: every call carries the version of the protocol, the cluster, and both servers.

use lockstep_raft::NodeId;
use tonic::metadata::{AsciiMetadataValue, MetadataMap};
use tonic::{Code, Status};

/// The version of the protocol between servers.
pub const VERSION: u64 = 1;

const VERSION_KEY: &str = "lockstep-version";
const CLUSTER_KEY: &str = "lockstep-cluster-id";
const FROM_KEY: &str = "lockstep-from";
const TO_KEY: &str = "lockstep-to";
const REMOVED_KEY: &str = "lockstep-removed";

/// The cluster and the two ends of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Handshake {
    pub(crate) cluster: u64,
    pub(crate) from: NodeId,
    pub(crate) to: NodeId,
}

impl Handshake {
    /// Writes the handshake of a call.
    pub(crate) fn write(&self, metadata: &mut MetadataMap) {
        let values = [
            (VERSION_KEY, VERSION),
            (CLUSTER_KEY, self.cluster),
            (FROM_KEY, self.from.get()),
            (TO_KEY, self.to.get()),
        ];
        for (key, value) in values {
            metadata.insert(key, AsciiMetadataValue::from(value));
        }
    }

    /// Reads the handshake of a call, and compares it with this server.
    ///
    /// # Errors
    /// The status that tells the caller why it was refused.
    pub(crate) fn accept(
        metadata: &MetadataMap,
        cluster: u64,
        here: NodeId,
    ) -> Result<NodeId, Status> {
        let version = number(metadata, VERSION_KEY)?;
        if version != VERSION {
            return Err(Status::failed_precondition(format!(
                "this server speaks version {VERSION} of the peer protocol, the caller version {version}"
            )));
        }
        let theirs = number(metadata, CLUSTER_KEY)?;
        if theirs != cluster {
            return Err(Status::failed_precondition(format!(
                "this server is of cluster {cluster:x}, the caller of cluster {theirs:x}"
            )));
        }
        let to = number(metadata, TO_KEY)?;
        if to != here.get() {
            return Err(Status::failed_precondition(format!(
                "this server is member {:x}, the call is for member {to:x}",
                here.get()
            )));
        }
        match NodeId::new(number(metadata, FROM_KEY)?) {
            Some(from) if from != here && !from.is_storage_thread() => Ok(from),
            _ => Err(Status::invalid_argument("the caller has no id of its own")),
        }
    }
}

fn number(metadata: &MetadataMap, key: &'static str) -> Result<u64, Status> {
    let text = metadata.get(key).and_then(|value| value.to_str().ok());
    text.and_then(|text| text.parse().ok())
        .ok_or_else(|| Status::invalid_argument(format!("the call has no {key}")))
}

/// The answer to a member that was removed.
pub(crate) fn removed() -> Status {
    let mut metadata = MetadataMap::new();
    metadata.insert(REMOVED_KEY, AsciiMetadataValue::from(1));
    let text = "the caller was removed from the cluster";
    Status::with_metadata(Code::PermissionDenied, text, metadata)
}

/// Whether a refusal says that this server was removed.
pub(crate) fn says_removed(status: &Status) -> bool {
    status.metadata().contains_key(REMOVED_KEY)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(id: u64) -> NodeId {
        NodeId::new(id).unwrap()
    }

    #[test]
    fn only_the_right_server_is_accepted() {
        let handshake = Handshake {
            cluster: 7,
            from: id(1),
            to: id(2),
        };
        let mut metadata = MetadataMap::new();
        assert_eq!(
            Handshake::accept(&metadata, 7, id(2)).unwrap_err().code(),
            Code::InvalidArgument
        );
        handshake.write(&mut metadata);
        assert_eq!(Handshake::accept(&metadata, 7, id(2)).unwrap(), id(1));
        let refused = |cluster, here| {
            let status = Handshake::accept(&metadata, cluster, id(here)).unwrap_err();
            status.message().to_owned()
        };
        assert!(refused(8, 2).contains("cluster 8"));
        assert!(refused(7, 3).contains("member 3"));
        metadata.insert(VERSION_KEY, AsciiMetadataValue::from(2));
        let status = Handshake::accept(&metadata, 7, id(2)).unwrap_err();
        assert!(status.message().contains("version 1"));
    }

    #[test]
    fn nobody_speaks_for_this_server_or_its_threads() {
        for from in [id(2), NodeId::APPEND_THREAD] {
            let mut metadata = MetadataMap::new();
            Handshake {
                cluster: 7,
                from,
                to: id(2),
            }
            .write(&mut metadata);
            assert!(Handshake::accept(&metadata, 7, id(2)).is_err());
        }
    }
}

//! Generates the traits and clients of etcd's services from the tables below. The messages are
//! written by hand, so no protobuf compiler is needed.

use tonic_build::manual::{Builder, Method, Service};

/// Rust name, route name, request and response type of one call.
type Call = (&'static str, &'static str, &'static str, &'static str);

const KV: &[Call] = &[
    ("range", "Range", "RangeRequest", "RangeResponse"),
    ("put", "Put", "PutRequest", "PutResponse"),
    (
        "delete_range",
        "DeleteRange",
        "DeleteRangeRequest",
        "DeleteRangeResponse",
    ),
    ("txn", "Txn", "TxnRequest", "TxnResponse"),
    (
        "compact",
        "Compact",
        "CompactionRequest",
        "CompactionResponse",
    ),
];

const CLUSTER: &[Call] = &[
    (
        "member_add",
        "MemberAdd",
        "MemberAddRequest",
        "MemberAddResponse",
    ),
    (
        "member_remove",
        "MemberRemove",
        "MemberRemoveRequest",
        "MemberRemoveResponse",
    ),
    (
        "member_update",
        "MemberUpdate",
        "MemberUpdateRequest",
        "MemberUpdateResponse",
    ),
    (
        "member_list",
        "MemberList",
        "MemberListRequest",
        "MemberListResponse",
    ),
    (
        "member_promote",
        "MemberPromote",
        "MemberPromoteRequest",
        "MemberPromoteResponse",
    ),
];

const MAINTENANCE: &[Call] = &[
    ("alarm", "Alarm", "AlarmRequest", "AlarmResponse"),
    ("status", "Status", "StatusRequest", "StatusResponse"),
    (
        "defragment",
        "Defragment",
        "DefragmentRequest",
        "DefragmentResponse",
    ),
    ("hash", "Hash", "HashRequest", "HashResponse"),
    ("hash_kv", "HashKV", "HashKvRequest", "HashKvResponse"),
    (
        "snapshot",
        "Snapshot",
        "SnapshotRequest",
        "SnapshotResponse",
    ),
    (
        "move_leader",
        "MoveLeader",
        "MoveLeaderRequest",
        "MoveLeaderResponse",
    ),
];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let services = [
        ("KV", KV),
        ("Cluster", CLUSTER),
        ("Maintenance", MAINTENANCE),
    ];
    Builder::new().compile(&services.map(|(name, calls)| service(name, calls)));
}

fn service(name: &str, calls: &[Call]) -> Service {
    let mut service = Service::builder().name(name).package("etcdserverpb");
    for &(name, route, input, output) in calls {
        let method = Method::builder()
            .name(name)
            .route_name(route)
            .input_type(format!("crate::api::pb::{input}"))
            .output_type(format!("crate::api::pb::{output}"))
            .codec_path("tonic_prost::ProstCodec");
        service = service.method(match output {
            "SnapshotResponse" => method.server_streaming().build(),
            _ => method.build(),
        });
    }
    service.build()
}

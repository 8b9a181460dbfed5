//! Bytes that nobody should write, and messages that anybody may.

use bytes::Bytes;
use lockstep_raft::wire::{self, WireError};
use lockstep_raft::{
    Body, ConfChange, ConfChangeV2, ConfState, Entry, EntryId, EntryKind, HardState, Index,
    Message, NodeId, Rejection, Snapshot, Term,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index as Pick;

use crate::recorded::cases;

/// Reads the bytes as every type; each must end in a value or an error.
fn read_as_everything(bytes: &Bytes) {
    let _ = wire::decode::<Message>(bytes.clone());
    let _ = wire::decode::<Entry>(bytes.clone());
    let _ = wire::decode::<Snapshot>(bytes.clone());
    let _ = wire::decode::<HardState>(bytes.clone());
    let _ = wire::decode::<ConfState>(bytes.clone());
    let _ = wire::decode::<ConfChange>(bytes.clone());
    let _ = wire::decode::<ConfChangeV2>(bytes.clone());
}

#[derive(Clone, Debug)]
enum Damage {
    Flip(Pick, u8),
    Cut(Pick),
    Insert(Pick, Vec<u8>),
    Repeat(Pick),
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        (any::<Pick>(), 1..=255u8).prop_map(|(at, bits)| Damage::Flip(at, bits)),
        any::<Pick>().prop_map(Damage::Cut),
        (any::<Pick>(), vec(any::<u8>(), 1..4)).prop_map(|(at, more)| Damage::Insert(at, more)),
        any::<Pick>().prop_map(Damage::Repeat),
    ]
}

fn apply(bytes: &mut Vec<u8>, damage: &Damage) {
    if bytes.is_empty() {
        return;
    }
    match damage {
        Damage::Flip(at, bits) => {
            let at = at.index(bytes.len());
            bytes[at] ^= bits;
        }
        Damage::Cut(at) => bytes.truncate(at.index(bytes.len())),
        Damage::Insert(at, more) => {
            let at = at.index(bytes.len());
            bytes.splice(at..at, more.iter().copied());
        }
        Damage::Repeat(at) => {
            let tail = bytes[at.index(bytes.len())..].to_vec();
            bytes.extend(tail);
        }
    }
}

fn node() -> impl Strategy<Value = NodeId> {
    prop_oneof![1..9u64, 1..=u64::MAX].prop_map(|id| NodeId::new(id).expect("not zero"))
}

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![0..300u64, any::<u64>()]
}

fn payload() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..12).prop_map(Bytes::from)
}

fn entry() -> impl Strategy<Value = Entry> {
    let kind = prop_oneof![
        Just(EntryKind::Normal),
        Just(EntryKind::ConfChange),
        Just(EntryKind::ConfChangeV2),
    ];
    (number(), number(), kind, payload()).prop_map(|(term, index, kind, data)| Entry {
        term: Term(term),
        index: Index(index),
        kind,
        data,
    })
}

fn body() -> impl Strategy<Value = Body> {
    let id =
        || (number(), number()).prop_map(|(term, index)| EntryId::new(Term(term), Index(index)));
    let entries = || vec(entry(), 0..4);
    prop_oneof![
        entries().prop_map(|entries| Body::Propose { entries }),
        (id(), entries(), number()).prop_map(|(prev, entries, commit)| Body::AppendEntries {
            prev,
            entries,
            commit: Index(commit),
        }),
        (number(), any::<bool>(), id()).prop_map(|(index, refused, hint)| {
            Body::AppendEntriesResponse {
                index: Index(index),
                rejection: refused.then_some(Rejection {
                    hint_index: hint.index,
                    hint_term: hint.term,
                }),
            }
        }),
        (id(), any::<bool>()).prop_map(|(last, force)| Body::RequestVote { last, force }),
        any::<bool>().prop_map(|granted| Body::RequestPreVoteResponse { granted }),
        (number(), payload()).prop_map(|(commit, context)| Body::Heartbeat {
            commit: Index(commit),
            context
        }),
        (number(), payload()).prop_map(|(index, context)| Body::ReadIndexResponse {
            index: Index(index),
            context
        }),
        payload().prop_map(|context| Body::HeartbeatResponse { context }),
        Just(Body::TimeoutNow),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn arbitrary_bytes_are_refused_without_a_panic(bytes in vec(any::<u8>(), 0..64)) {
        read_as_everything(&bytes.into());
    }

    #[test]
    fn damaged_bytes_are_refused_without_a_panic(
        case in any::<Pick>(),
        damages in vec(damage(), 1..4),
    ) {
        let cases = cases();
        let mut bytes = cases[case.index(cases.len())].bytes.to_vec();
        for damage in &damages {
            apply(&mut bytes, damage);
        }
        read_as_everything(&bytes.into());
    }

    #[test]
    fn what_is_written_is_read_again(from in node(), to in node(), term in number(), body in body()) {
        let message = Message { from, to, term: Term(term), body };
        prop_assert_eq!(wire::decode::<Message>(wire::encode(&message)), Ok(message));
    }

    #[test]
    fn the_size_of_an_entry_is_the_size_of_its_bytes(entry in entry()) {
        prop_assert_eq!(entry.encoded_len(), wire::encode(&entry).len() as u64);
    }
}

#[test]
fn each_kind_of_nonsense_has_its_error() {
    let decode = |bytes: &'static [u8]| wire::decode::<Message>(Bytes::from_static(bytes));
    assert!(matches!(decode(&[0xff]), Err(WireError::Protobuf(_))));
    // Type 24, from 1 to 2.
    let unknown = decode(&[0x08, 24, 0x10, 2, 0x18, 1]);
    assert!(matches!(unknown, Err(WireError::Unknown { value: 24, .. })));
    // Of a server to itself: it asks itself to campaign.
    assert_eq!(
        decode(&[0x08, 0, 0x10, 1, 0x18, 1]),
        Err(WireError::ToItself(0))
    );
    assert_eq!(
        decode(&[0x08, 14, 0x18, 1]),
        Err(WireError::NoServer("the addressee"))
    );
    assert_eq!(
        decode(&[0x08, 14, 0x10, 2]),
        Err(WireError::NoServer("the sender"))
    );
    assert!(matches!(
        decode(&[0x08, 15, 0x10, 2, 0x18, 1]),
        Err(WireError::Context { entries: 0, .. })
    ));
    // A member with the number zero.
    assert!(wire::decode::<ConfState>(Bytes::from_static(&[0x08, 0])).is_err());
    // A change of the kind 4, and a transition 3.
    assert!(wire::decode_conf_change(&[0x10, 4]).is_err());
    assert!(wire::decode_conf_change_v2(&[0x08, 3]).is_err());
    assert_eq!(
        wire::decode_conf_change_v2(&[]),
        Ok(ConfChangeV2::default())
    );
}

/// Responses within responses end somewhere, before the stack does.
#[test]
fn deep_nesting_is_refused() {
    let mut bytes = Vec::new();
    for _ in 0..200 {
        let mut outer = vec![0x72];
        prost::encoding::encode_varint(bytes.len() as u64, &mut outer);
        outer.extend(bytes);
        bytes = outer;
    }
    assert!(matches!(
        wire::decode::<Message>(bytes.into()),
        Err(WireError::Protobuf(_))
    ));
}

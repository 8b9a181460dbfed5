//! Every recorded case is understood, and written again as it was.

use bytes::Bytes;
use lockstep_raft::wire::{self, Wire, WireError};
use lockstep_raft::{
    ConfChange, ConfChangeV2, ConfState, Entry, HardState, Message, MessageKind, Snapshot,
};
use prost::Message as _;

use crate::text;

const RECORDED: &str = include_str!("../wire_data/raftpb.tsv");

/// The same values, by name, as v3.7 writes them if no zero was ever set.
const WITHOUT_ZEROS: &str = include_str!("../wire_data/raftpb-3.7.tsv");

/// One line of the file.
pub struct Case {
    pub name: &'static str,
    pub kind: &'static str,
    pub bytes: Bytes,
    fields: &'static str,
}

pub fn cases() -> Vec<Case> {
    let case = |line: &'static str| {
        let [name, kind, hex, fields] = line
            .split('\t')
            .collect::<Vec<_>>()
            .try_into()
            .expect("four fields");
        Case {
            name,
            kind,
            bytes: bytes(hex),
            fields,
        }
    };
    RECORDED.lines().map(case).collect()
}

fn bytes(hex: &str) -> Bytes {
    let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal");
    (0..hex.len()).step_by(2).map(byte).collect()
}

/// The bytes say what the fields say, and the same fields become the same bytes.
fn raw_agrees<T: Wire>(case: &Case, show: impl Fn(&T::Raw) -> String) {
    let raw = T::Raw::decode(case.bytes.clone()).expect(case.name);
    assert_eq!(show(&raw), case.fields, "{}", case.name);
    assert_eq!(
        text::hex(&raw.encode_to_vec()),
        text::hex(&case.bytes),
        "{}",
        case.name
    );
}

/// In our own types the value keeps everything that has a meaning: written and read again it is
/// unchanged. If etcd fills in messages this way (`exact`), the bytes are the same too.
fn typed_agrees<T: Wire + PartialEq + std::fmt::Debug>(case: &Case, exact: bool) {
    let value: T = wire::decode(case.bytes.clone()).expect(case.name);
    let bytes = wire::encode(&value);
    if exact {
        assert_eq!(text::hex(&bytes), text::hex(&case.bytes), "{}", case.name);
    }
    assert_eq!(wire::decode::<T>(bytes), Ok(value), "{}", case.name);
}

#[test]
fn what_etcd_wrote_is_read_and_written_the_same() {
    for case in cases() {
        match case.kind {
            "Message" => raw_agrees::<Message>(&case, text::message),
            "Entry" => raw_agrees::<Entry>(&case, text::entry),
            "HardState" => raw_agrees::<HardState>(&case, text::hard_state),
            "ConfState" => raw_agrees::<ConfState>(&case, text::conf_state),
            "Snapshot" => raw_agrees::<Snapshot>(&case, text::snapshot),
            "ConfChange" => raw_agrees::<ConfChange>(&case, text::conf_change),
            "ConfChangeV2" => raw_agrees::<ConfChangeV2>(&case, text::conf_change_v2),
            other => panic!("{other} is a type that nobody checks"),
        }
    }
}

/// Other bytes for the value of a case say the same.
fn reads_the_same<T: Wire + PartialEq + std::fmt::Debug>(case: &Case, other: Bytes) {
    assert_eq!(
        wire::decode::<T>(other),
        wire::decode::<T>(case.bytes.clone()),
        "{}",
        case.name
    );
}

/// Since v3.7 the fields have presence, and what was never set is not written. With everything set v3.7 writes what v3.6
/// did, which the program that records the bytes checks.
#[test]
fn what_newer_etcd_leaves_out_is_zero() {
    let (cases, lines) = (cases(), WITHOUT_ZEROS.lines());
    assert_eq!(cases.len(), lines.clone().count());
    let mut shorter = 0;
    for (case, line) in cases.iter().zip(lines) {
        let (name, hex) = line.split_once('\t').expect("a name and bytes");
        assert_eq!(name, case.name);
        let other = bytes(hex);
        shorter += usize::from(other.len() < case.bytes.len());
        match case.kind {
            "Message" => reads_the_same::<Message>(case, other),
            "Entry" => reads_the_same::<Entry>(case, other),
            "HardState" => reads_the_same::<HardState>(case, other),
            "ConfState" => reads_the_same::<ConfState>(case, other),
            "Snapshot" => reads_the_same::<Snapshot>(case, other),
            "ConfChange" => reads_the_same::<ConfChange>(case, other),
            "ConfChangeV2" => reads_the_same::<ConfChangeV2>(case, other),
            other => panic!("{other} is a type that nobody checks"),
        }
    }
    assert!(shorter > cases.len() / 2, "{shorter}");
}

/// The types of messages that a server of etcd sends to itself.
const TO_ITSELF: [i32; 5] = [0, 1, 10, 11, 12];

#[test]
fn our_own_types_write_what_etcd_writes() {
    for case in cases() {
        let exact = !case.name.starts_with("arbitrary");
        match case.kind {
            "Message"
                if matches!(
                    wire::decode::<Message>(case.bytes.clone()),
                    Err(WireError::ToItself(_))
                ) =>
            {
                let is_one = |number: &i32| case.fields.contains(&format!("{{{number} "));
                assert!(TO_ITSELF.iter().any(is_one), "{}", case.name);
            }
            // A read with no or several contexts has no meaning.
            "Message" if !exact && wire::decode::<Message>(case.bytes.clone()).is_err() => {
                let has_read = ["{15 ", "{16 "]
                    .iter()
                    .any(|read| case.fields.contains(read));
                assert!(has_read, "{} is not understood", case.name);
            }
            "Message" => typed_agrees::<Message>(&case, exact),
            "Entry" => typed_agrees::<Entry>(&case, exact),
            "HardState" => typed_agrees::<HardState>(&case, exact),
            "ConfState" => typed_agrees::<ConfState>(&case, exact),
            "Snapshot" => typed_agrees::<Snapshot>(&case, exact),
            "ConfChange" => typed_agrees::<ConfChange>(&case, exact),
            "ConfChangeV2" => typed_agrees::<ConfChangeV2>(&case, exact),
            other => panic!("{other} is a type that nobody checks"),
        }
    }
}

#[test]
fn every_kind_of_message_is_recorded() {
    assert_eq!(MessageKind::from_wire_number(24), None);
    for number in 0..24 {
        let Some(kind) = MessageKind::from_wire_number(number) else {
            let refused = |case: Case| wire::decode::<Message>(case.bytes).err();
            let is_recorded = cases()
                .into_iter()
                .any(|case| refused(case) == Some(WireError::ToItself(number)));
            assert!(is_recorded && TO_ITSELF.contains(&number), "{number}");
            continue;
        };
        let usual = cases().into_iter().any(|case| {
            case.kind == "Message"
                && !case.name.starts_with("arbitrary")
                && wire::decode::<Message>(case.bytes).is_ok_and(|message| message.kind() == kind)
        });
        assert!(usual, "{kind:?}");
    }
}

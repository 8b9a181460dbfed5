//! Entry points of the fuzzer. Not part of the interface.

use std::fmt::Debug;

use bytes::Bytes;

use super::{Wire, WireError, decode, encode};
use crate::types::{ConfChange, ConfChangeV2, ConfState, Entry, HardState, Message, Snapshot};

/// Decodes any bytes as a value of every type. True if one of them takes the bytes.
///
/// # Panics
/// If a value is another one after it was encoded and decoded again, or has two encodings.
pub fn decode_all(bytes: &[u8]) -> bool {
    let bytes = &Bytes::copy_from_slice(bytes);
    let entry = check::<Entry>(bytes);
    if let Some(entry) = &entry {
        assert_eq!(entry.encoded_len(), encode(entry).len() as u64);
    }
    let taken = [
        entry.is_some(),
        check::<Message>(bytes).is_some(),
        check::<Snapshot>(bytes).is_some(),
        check::<HardState>(bytes).is_some(),
        check::<ConfState>(bytes).is_some(),
        check::<ConfChange>(bytes).is_some(),
        check::<ConfChangeV2>(bytes).is_some(),
    ];
    taken.contains(&true)
}

fn check<T: Wire + PartialEq + Debug>(bytes: &Bytes) -> Option<T> {
    match decode::<T>(bytes.clone()) {
        Ok(value) => {
            check_round_trip(&value, encode, decode);
            Some(value)
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            None
        }
    }
}

fn check_round_trip<T: PartialEq + Debug>(
    value: &T,
    encode: impl Fn(&T) -> Bytes,
    decode: impl Fn(Bytes) -> Result<T, WireError>,
) {
    let bytes = encode(value);
    let again = decode(bytes.clone()).expect("what was encoded is decoded");
    assert_eq!(&again, value, "another value after encoding and decoding");
    assert_eq!(encode(&again), bytes, "one value has two encodings");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Term;

    #[test]
    #[should_panic(expected = "another value after encoding")]
    fn an_encoding_that_loses_the_term_is_noticed() {
        let state = HardState {
            term: Term(3),
            ..HardState::default()
        };
        let forgetful = |state: &HardState| {
            encode(&HardState {
                term: Term(0),
                ..*state
            })
        };
        check_round_trip(&state, forgetful, decode);
    }

    #[test]
    fn a_type_that_takes_the_bytes_is_enough() {
        assert!(decode_all(&[]));
        assert!(!decode_all(&[0xff]));
    }
}

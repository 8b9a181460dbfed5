//! Numbers of variable length: seven bits a byte, the lowest first.

/// Appends `value` to `out`.
#[inline]
pub fn put(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Takes a number off the front of `bytes`.
///
/// # Panics
///
/// If `bytes` does not begin with what [`put`] wrote.
#[inline]
pub fn take(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    let mut shift = 0;
    loop {
        let (&byte, rest) = bytes.split_first().expect("the number was written whole");
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return value;
        }
        shift += 7;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn comes_back(values in prop::collection::vec(any::<u64>().prop_map(|v| v >> (v % 64)), 0..20)) {
            let mut bytes = Vec::new();
            values.iter().for_each(|value| put(*value, &mut bytes));
            let mut rest = bytes.as_slice();
            for value in values {
                prop_assert_eq!(take(&mut rest), value);
            }
            prop_assert!(rest.is_empty());
        }
    }
}

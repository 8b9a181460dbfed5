//! Ranges of keys as clients write them.

use std::ops::Bound;

use bytes::Bytes;

/// A key with a main and a sub revision.
type Version<'a> = (&'a [u8], u64, u64);

/// The keys that a pair of `key` and `range_end` stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Span {
    /// One key.
    Key(Bytes),
    /// The keys from the first up to but without the second.
    Between(Bytes, Bytes),
    /// The keys from this one on.
    From(Bytes),
}

impl Span {
    /// The span of a request: an empty `end` stands for one key, a zero byte for no end.
    pub(crate) fn new(key: &Bytes, end: &Bytes) -> Span {
        match end.as_ref() {
            [] => Span::Key(key.clone()),
            [0] => Span::From(key.clone()),
            _ => Span::Between(key.clone(), end.clone()),
        }
    }

    /// Whether no key can lie in it.
    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, Span::Between(from, to) if from >= to)
    }

    /// Whether this key lies in it.
    pub(crate) fn contains(&self, key: &[u8]) -> bool {
        match self {
            Span::Key(one) => one == key,
            Span::Between(from, to) => from <= key && key < to.as_ref(),
            Span::From(from) => from <= key,
        }
    }

    /// The two ends, for a scan of keys.
    pub(crate) fn bounds(&self) -> (Bound<&[u8]>, Bound<&[u8]>) {
        match self {
            Span::Key(key) => (Bound::Included(key), Bound::Included(key)),
            Span::Between(from, to) => (Bound::Included(from), Bound::Excluded(to)),
            Span::From(from) => (Bound::Included(from), Bound::Unbounded),
        }
    }

    /// The two ends, for a scan of all versions of the keys.
    pub(crate) fn version_bounds(&self) -> (Bound<Version<'_>>, Bound<Version<'_>>) {
        let (from, to) = self.bounds();
        let from = from.map(|key| (key, 0, 0));
        let to = match to {
            Bound::Included(key) => Bound::Included((key, u64::MAX, u64::MAX)),
            Bound::Excluded(key) => Bound::Excluded((key, 0, 0)),
            Bound::Unbounded => Bound::Unbounded,
        };
        (from, to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(key: &'static str, end: &'static str) -> Span {
        Span::new(&Bytes::from(key), &Bytes::from(end))
    }

    #[test]
    fn ends_mean_what_clients_mean() {
        assert!(span("b", "").contains(b"b") && !span("b", "").contains(b"ba"));
        assert!(span("b", "c").contains(b"ba") && !span("b", "c").contains(b"c"));
        assert!(span("b", "\0").contains(b"zz") && !span("b", "\0").contains(b"a"));
        assert!(span("b", "a").is_empty() && span("b", "b").is_empty());
        assert!(!span("b", "\0").is_empty() && !span("b", "").is_empty());
    }
}

//! A list that is an inline array while short and shared by all its clones when long.
//!
//! A state of an exhaustive search has logs of two or three entries: an array costs no allocation. A long
//! random walk has logs of thousands: there a clone must not copy them. The two forms never overlap (a
//! list is inline exactly when it fits), so equality and order of the forms are those of the lists.

use im::Vector;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// A plain value that a list can hold.
pub trait Item: Copy + Default {}

impl<T: Copy + Default> Item for T {}

/// A list of small values; up to `N` of them are kept inline.
#[derive(Clone)]
pub struct Seq<T: Item, const N: usize>(Form<T, N>);

#[derive(Clone)]
enum Form<T: Item, const N: usize> {
    // A plain array: copying it whole is faster than looking at its length.
    Short { len: u8, items: [T; N] },
    // Invariant: longer than N.
    Long(Arc<Vector<T>>),
}

impl<T: Item, const N: usize> Seq<T, N> {
    /// The empty list.
    pub fn new() -> Self {
        const { assert!(N < 256) };
        Seq(Form::Short {
            len: 0,
            items: [T::default(); N],
        })
    }

    /// The number of values.
    pub fn len(&self) -> usize {
        match &self.0 {
            Form::Short { len, .. } => usize::from(*len),
            Form::Long(long) => long.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value at a position, counted from zero.
    pub fn get(&self, position: usize) -> Option<T> {
        match self.parts() {
            Parts::Short(short) => short.get(position).copied(),
            Parts::Long(long) => long.get(position).copied(),
        }
    }

    /// The last value.
    pub fn last(&self) -> Option<T> {
        match self.parts() {
            Parts::Short(short) => short.last().copied(),
            Parts::Long(long) => long.last().copied(),
        }
    }

    /// Appends a value.
    pub fn push(&mut self, value: T) {
        match &mut self.0 {
            Form::Short { len, items } => match items.get_mut(usize::from(*len)) {
                Some(place) => {
                    *place = value;
                    *len += 1;
                }
                None => {
                    let mut long: Vector<T> = items.iter().copied().collect();
                    long.push_back(value);
                    self.0 = Form::Long(Arc::new(long));
                }
            },
            Form::Long(long) => Arc::make_mut(long).push_back(value),
        }
    }

    /// Replaces the value at a position, which must exist.
    pub(crate) fn set(&mut self, position: usize, value: T) {
        match &mut self.0 {
            Form::Short { len, items } => items[..usize::from(*len)][position] = value,
            Form::Long(long) => {
                Arc::make_mut(long).set(position, value);
            }
        }
    }

    /// Keeps the first `len` values.
    pub fn truncate(&mut self, len: usize) {
        match &mut self.0 {
            Form::Short { len: current, .. } => {
                *current = (*current).min(u8::try_from(len).unwrap_or(u8::MAX));
            }
            Form::Long(long) if len >= long.len() => {}
            Form::Long(long) if len > N => Arc::make_mut(long).truncate(len),
            Form::Long(long) => {
                let kept = long.clone();
                *self = kept.iter().copied().take(len).collect();
            }
        }
    }

    /// The values from a position on, at most `limit` of them.
    pub(crate) fn slice<const M: usize>(&self, from: usize, limit: usize) -> Seq<T, M> {
        let len = self.len().saturating_sub(from).min(limit);
        match &self.0 {
            Form::Long(long) if len > M => {
                let mut part = (**long).clone();
                let mut part = part.split_off(from);
                part.truncate(len);
                Seq(Form::Long(Arc::new(part)))
            }
            _ => self.iter().skip(from).take(len).collect(),
        }
    }

    /// The values in order.
    pub fn iter(&self) -> Iter<'_, T> {
        match self.parts() {
            Parts::Short(short) => Iter::Short(short.iter()),
            Parts::Long(long) => Iter::Long(long.iter()),
        }
    }

    fn parts(&self) -> Parts<'_, T> {
        match &self.0 {
            Form::Short { len, items } => Parts::Short(&items[..usize::from(*len)]),
            Form::Long(long) => Parts::Long(long),
        }
    }

    /// Calls `visit` with the values in order: without the choice between the forms at every step that
    /// an iterator has to make.
    pub(crate) fn for_each(&self, visit: impl FnMut(T)) {
        match self.parts() {
            Parts::Short(short) => short.iter().copied().for_each(visit),
            Parts::Long(long) => long.iter().copied().for_each(visit),
        }
    }
}

enum Parts<'a, T: Item> {
    Short(&'a [T]),
    Long(&'a Arc<Vector<T>>),
}

/// The values of a [`Seq`] in order.
pub enum Iter<'a, T: Item> {
    #[doc(hidden)]
    Short(std::slice::Iter<'a, T>),
    #[doc(hidden)]
    Long(im::vector::Iter<'a, T>),
}

impl<T: Item> Iterator for Iter<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        match self {
            Iter::Short(iter) => iter.next().copied(),
            Iter::Long(iter) => iter.next().copied(),
        }
    }

    // Skipping is by position, so that the end of a long log is near.
    fn nth(&mut self, n: usize) -> Option<T> {
        match self {
            Iter::Short(iter) => iter.nth(n).copied(),
            Iter::Long(iter) => iter.nth(n).copied(),
        }
    }
}

impl<T: Item, const N: usize> Default for Seq<T, N> {
    fn default() -> Self {
        Seq::new()
    }
}

impl<T: Item, const N: usize> FromIterator<T> for Seq<T, N> {
    fn from_iter<I: IntoIterator<Item = T>>(values: I) -> Self {
        let mut seq = Seq::new();
        for value in values {
            seq.push(value);
        }
        seq
    }
}

impl<T: Item + PartialEq, const N: usize> PartialEq for Seq<T, N> {
    fn eq(&self, other: &Self) -> bool {
        match (self.parts(), other.parts()) {
            (Parts::Short(a), Parts::Short(b)) => a == b,
            (Parts::Long(a), Parts::Long(b)) => Arc::ptr_eq(a, b) || a == b,
            _ => false,
        }
    }
}

impl<T: Item + Eq, const N: usize> Eq for Seq<T, N> {}

impl<T: Item + Ord, const N: usize> PartialOrd for Seq<T, N> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T: Item + Ord, const N: usize> Ord for Seq<T, N> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.iter().cmp(other.iter())
    }
}

// Not derived: the `Hash` of `im::Vector` writes no length, so two neighbouring lists would be the same
// bytes as one list.
impl<T: Item + Hash, const N: usize> Hash for Seq<T, N> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_usize(self.len());
        self.for_each(|value| value.hash(state));
    }
}

impl<T: Item + fmt::Debug, const N: usize> fmt::Debug for Seq<T, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

//! A list that is an inline array while short and shared by all its clones when long.
//!
//! A state of an exhaustive search has logs of two or three entries: an array costs no allocation. A long
//! random walk has logs of thousands: there a clone must not copy them. The two forms never overlap (a
//! list is inline exactly when it fits), so equality and order of the forms are those of the lists.

use arrayvec::ArrayVec;
use im::Vector;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// A list of small values; up to `N` of them are kept inline.
#[derive(Clone)]
pub struct Seq<T: Copy, const N: usize>(Form<T, N>);

#[derive(Clone)]
enum Form<T: Copy, const N: usize> {
    Short(ArrayVec<T, N>),
    // Invariant: longer than N.
    Long(Arc<Vector<T>>),
}

impl<T: Copy, const N: usize> Seq<T, N> {
    /// The empty list.
    pub fn new() -> Self {
        Seq(Form::Short(ArrayVec::new()))
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        match &self.0 {
            Form::Short(short) => short.len(),
            Form::Long(long) => long.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value at a position, counted from zero.
    pub fn get(&self, position: usize) -> Option<T> {
        match &self.0 {
            Form::Short(short) => short.get(position).copied(),
            Form::Long(long) => long.get(position).copied(),
        }
    }

    /// The last value.
    pub fn last(&self) -> Option<T> {
        match &self.0 {
            Form::Short(short) => short.last().copied(),
            Form::Long(long) => long.last().copied(),
        }
    }

    /// Appends a value.
    pub fn push(&mut self, value: T) {
        match &mut self.0 {
            Form::Short(short) => {
                if short.try_push(value).is_err() {
                    let mut long: Vector<T> = short.iter().copied().collect();
                    long.push_back(value);
                    self.0 = Form::Long(Arc::new(long));
                }
            }
            Form::Long(long) => Arc::make_mut(long).push_back(value),
        }
    }

    /// Replaces the value at a position, which must exist.
    pub(crate) fn set(&mut self, position: usize, value: T) {
        match &mut self.0 {
            Form::Short(short) => short[position] = value,
            Form::Long(long) => {
                Arc::make_mut(long).set(position, value);
            }
        }
    }

    /// Keeps the first `len` values.
    pub fn truncate(&mut self, len: usize) {
        match &mut self.0 {
            Form::Short(short) => short.truncate(len),
            Form::Long(long) if len >= long.len() => {}
            Form::Long(long) if len > N => Arc::make_mut(long).truncate(len),
            Form::Long(long) => self.0 = Form::Short(long.iter().copied().take(len).collect()),
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
        match &self.0 {
            Form::Short(short) => Iter::Short(short.iter()),
            Form::Long(long) => Iter::Long(long.iter()),
        }
    }
}

/// The values of a [`Seq`] in order.
pub enum Iter<'a, T: Copy> {
    #[doc(hidden)]
    Short(std::slice::Iter<'a, T>),
    #[doc(hidden)]
    Long(im::vector::Iter<'a, T>),
}

impl<T: Copy> Iterator for Iter<'_, T> {
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

impl<T: Copy, const N: usize> Default for Seq<T, N> {
    fn default() -> Self {
        Seq::new()
    }
}

impl<T: Copy, const N: usize> FromIterator<T> for Seq<T, N> {
    fn from_iter<I: IntoIterator<Item = T>>(values: I) -> Self {
        let mut seq = Seq::new();
        for value in values {
            seq.push(value);
        }
        seq
    }
}

impl<T: Copy + PartialEq, const N: usize> PartialEq for Seq<T, N> {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Form::Short(a), Form::Short(b)) => a == b,
            (Form::Long(a), Form::Long(b)) => Arc::ptr_eq(a, b) || a == b,
            _ => false,
        }
    }
}

impl<T: Copy + Eq, const N: usize> Eq for Seq<T, N> {}

impl<T: Copy + Ord, const N: usize> PartialOrd for Seq<T, N> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T: Copy + Ord, const N: usize> Ord for Seq<T, N> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.iter().cmp(other.iter())
    }
}

// Not derived: the `Hash` of `im::Vector` writes no length, so two neighbouring lists would be the same
// bytes as one list.
impl<T: Copy + Hash, const N: usize> Hash for Seq<T, N> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_usize(self.len());
        for value in self.iter() {
            value.hash(state);
        }
    }
}

impl<T: Copy + fmt::Debug, const N: usize> fmt::Debug for Seq<T, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

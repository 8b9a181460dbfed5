//! Delta debugging: takes out of a list whatever is not needed for it to fail. Divergences of covers and traces and the
//! choices of walks are all made shorter by this; what an attempt is, and when to give up, is theirs to say.

use crate::stop;

/// The result of trying a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trial {
    /// It fails; the number of elements it took.
    Fails(usize),
    /// It does not fail.
    Passes,
    /// Nobody wants to try any more.
    GivenUp,
}

/// The shortest list that was found to fail still.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shrunk<T> {
    /// The list.
    pub list: Vec<T>,
    /// Whether every element of it was seen to be needed: the search was not given up.
    pub whole: bool,
}

/// Leaves elements out of `list` as long as it fails; it must fail. A request to stop ends the search as well as
/// [`Trial::GivenUp`] does, with the shortest list so far.
pub(crate) fn shrink<T: Clone>(
    mut list: Vec<T>,
    attempt: &mut dyn FnMut(&[T]) -> Trial,
) -> Shrunk<T> {
    let mut size = list.len() / 2;
    while size > 0 {
        let mut from = 0;
        let before = list.len();
        while from < list.len() {
            let until = (from + size).min(list.len());
            let without: Vec<T> = [&list[..from], &list[until..]].concat();
            let trial = match stop::requested() {
                true => Trial::GivenUp,
                false => attempt(&without),
            };
            match trial {
                Trial::Fails(end) => {
                    list = without;
                    list.truncate(end);
                }
                Trial::Passes => from = until,
                Trial::GivenUp => return Shrunk { list, whole: false },
            }
        }
        // The last sweep is repeated while it still finds something.
        if size > 1 || list.len() == before {
            size /= 2;
        }
    }
    Shrunk { list, whole: true }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails once a 3 and, later, a 7 have been seen.
    fn three_and_seven(list: &[u32]) -> Trial {
        let three = list.iter().position(|number| *number == 3);
        let seven = three.and_then(|three| {
            let seven = list[three..].iter().position(|number| *number == 7)?;
            Some(three + seven + 1)
        });
        seven.map_or(Trial::Passes, Trial::Fails)
    }

    fn numbers() -> Vec<u32> {
        (0..200).map(|number| number % 11).collect()
    }

    #[test]
    fn only_what_is_needed_is_left() {
        let shrunk = shrink(numbers(), &mut three_and_seven);
        assert_eq!((shrunk.list, shrunk.whole), (vec![3, 7], true));
    }

    #[test]
    fn a_search_that_is_given_up_keeps_what_it_has() {
        let mut left = 3;
        let shrunk = shrink(numbers(), &mut |list| {
            left -= 1;
            if left == 0 {
                Trial::GivenUp
            } else {
                three_and_seven(list)
            }
        });
        assert!(!shrunk.whole);
        assert!(
            matches!(three_and_seven(&shrunk.list), Trial::Fails(end) if end == shrunk.list.len())
        );
        assert!(shrunk.list.len() < 200);
    }
}

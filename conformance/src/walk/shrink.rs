//! Delta debugging: takes out of a list whatever is not needed for it to fail.

use crate::stop;

/// The shortest list that was found to fail still, made from `list` by leaving out elements.
/// `fails_after` says after how many elements a list fails, if it does; `list` must fail. A request to stop
/// ends it with the shortest so far.
pub(crate) fn shrink<T: Copy>(
    mut list: Vec<T>,
    fails_after: &mut dyn FnMut(&[T]) -> Option<usize>,
) -> Vec<T> {
    let mut size = list.len() / 2;
    while size > 0 {
        let mut from = 0;
        let before = list.len();
        while from < list.len() && !stop::requested() {
            let until = (from + size).min(list.len());
            let without: Vec<T> = [&list[..from], &list[until..]].concat();
            match fails_after(&without) {
                Some(end) => {
                    list = without;
                    list.truncate(end);
                }
                None => from = until,
            }
        }
        // The last sweep is repeated while it still finds something.
        if size > 1 || list.len() == before || stop::requested() {
            size /= 2;
        }
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_needed_is_left() {
        // Fails once a 3 and, later, a 7 have been seen.
        let mut fails_after = |list: &[u32]| {
            let three = list.iter().position(|number| *number == 3)?;
            let seven = list[three..].iter().position(|number| *number == 7)?;
            Some(three + seven + 1)
        };
        let list: Vec<u32> = (0..200).map(|number| number % 11).collect();
        assert_eq!(shrink(list, &mut fails_after), [3, 7]);
    }
}

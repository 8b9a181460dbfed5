//! Sharing out work among threads.

use std::sync::Mutex;

/// Calls `work` once for each of `items` on up to `threads` threads, which take them in order. Each
/// thread makes itself a `scratch` first.
///
/// # Panics
///
/// If `work` does.
pub(super) fn for_each<T, S>(
    threads: usize,
    items: impl Iterator<Item = T> + Send,
    scratch: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, T) + Sync,
) {
    let items = Mutex::new(items);
    // A poisoned lock means that another thread is already panicking; this one just ends.
    let next = || items.lock().ok().and_then(|mut items| items.next());
    let run = || {
        let mut scratch = scratch();
        while let Some(item) = next() {
            work(&mut scratch, item);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(run);
        }
        run();
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_worked_on_once() {
        for threads in 1..4 {
            let mut items = vec![0; 1000];
            for_each(threads, items.iter_mut(), || 1, |one, item| *item += *one);
            assert_eq!(items, vec![1; 1000]);
        }
    }
}

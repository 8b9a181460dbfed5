use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

/// Skewed ones too: many neighbours, many at the ends.
fn any_fingerprint() -> impl Strategy<Value = u64> {
    let first_of_shard = (0..SHARDS as u64).prop_map(|shard| shard << (64 - SHARD_BITS));
    prop_oneof![
        any::<u64>(),
        0u64..300,
        (EMPTY - 300)..EMPTY,
        (first_of_shard, 0u64..3).prop_map(|(first, n)| first.wrapping_sub(n).min(EMPTY - 1)),
    ]
}

fn sealing(folder: &tempfile::TempDir) -> Sealing {
    Sealing {
        folder: folder.path().to_owned(),
        seed: 3,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn it_is_a_set(
        levels in prop::collection::vec(
            (prop::collection::vec(any_fingerprint(), 0..100), prop::option::of(0u32..6)), 0..12)
    ) {
        let folder = tempfile::tempdir().unwrap();
        let mut reference = BTreeSet::new();
        let mut table = Fingerprints::new();
        for (depth, (inputs, kept)) in levels.into_iter().enumerate() {
            let tag = Tag::of(depth as u32);
            for input in inputs {
                prop_assert_eq!(table.contains(input), reference.contains(&input));
                prop_assert_eq!(table.insert(input, tag), reference.insert(input));
                prop_assert!(table.contains(input));
            }
            if let Some(kept) = kept {
                let (before, old) = (table.in_table(), table.older(tag, kept));
                table.seal(tag, kept, &[0; SHARDS], 0, &sealing(&folder)).unwrap();
                prop_assert_eq!(table.in_table(), before - old);
                prop_assert!(kept > 0 || table.in_table() == 0);
                prop_assert_eq!(table.older(tag, kept), 0);
            }
            let sealed = table.sealed.as_ref().map_or(0, Sealed::len);
            prop_assert_eq!(table.in_table() as usize + sealed, reference.len());
        }
        prop_assert!(reference.iter().all(|it| table.contains(*it)));
        table.sound().unwrap();
        table.verify().unwrap();
    }

    /// Without asking first: what is in the table is not inserted again.
    #[test]
    fn the_table_alone_is_a_set(inputs in prop::collection::vec(any_fingerprint(), 0..1000)) {
        let mut reference = BTreeSet::new();
        let mut table = Fingerprints::new();
        for input in inputs {
            prop_assert_eq!(table.insert(input, Tag::of(0)), reference.insert(input));
        }
        prop_assert_eq!(table.in_table() as usize, reference.len());
    }
}

fn spread_evenly(from: u64, count: u64) -> impl Iterator<Item = u64> {
    (from..from + count).map(|n| fingerprint(&n.to_le_bytes()))
}

#[test]
fn sealing_leaves_the_newest_and_what_it_may() {
    let folder = tempfile::tempdir().unwrap();
    let mut table = Fingerprints::new();
    // More levels than there are tags.
    for depth in 0..70 {
        for fingerprint in spread_evenly(u64::from(depth) * 1000, 1000) {
            assert!(table.insert(fingerprint, Tag::of(depth)));
        }
    }
    let (before, newest) = (table.bytes(), Tag::of(69));
    // The levels 0 to 6 have the tags of 63 to 69, so they pass for young.
    assert_eq!(table.older(newest, 3), 70_000 - 6000);
    let room = 200_000;
    table
        .seal(newest, 3, &[0; SHARDS], room, &sealing(&folder))
        .unwrap();
    assert_eq!(table.in_table(), 6000);
    assert!(table.bytes() <= room && table.bytes() + 64 * 8 > room);
    table
        .seal(newest, 1, &[0; SHARDS], 0, &sealing(&folder))
        .unwrap();
    assert!(table.bytes() < before / 4);
    assert!(spread_evenly(0, 70_000).all(|it| table.contains(it)));
    assert!(!spread_evenly(70_000, 70_000).any(|it| table.contains(it)));
}

/// The set holds fingerprints with the last home of a shard, even more than there is room for before the shard is
/// settled.
#[test]
fn what_is_left_over_is_in_the_set() {
    let mut table = Fingerprints::new();
    let last = SHARDS - 1;
    let inputs = EMPTY - 200..EMPTY;
    let mut more = [0; SHARDS];
    more[last] = 200;
    table.reserve(&more, &Threads::alone());
    let mut shard = table.shards_mut().nth(last).unwrap();
    for first in [true, false] {
        for input in inputs.clone() {
            assert_eq!(shard.insert(input, Tag::of(0)), first);
        }
    }
    assert!(!table.counts[last].left_over.is_empty());
    table.settle();
    assert_eq!(table.in_table(), 200);
    assert!(inputs.clone().all(|input| table.contains(input)));
    // Farther from their homes than others: they stay in order when the table grows.
    more[last] = 1000;
    table.reserve(&more, &Threads::alone());
    assert!(inputs.clone().all(|input| table.contains(input)));
}

#[test]
fn what_is_sealed_is_not_inserted() {
    let folder = tempfile::tempdir().unwrap();
    let mut table = Fingerprints::new();
    assert!(table.insert(77, Tag::of(0)));
    table
        .seal(Tag::of(0), 0, &[0; SHARDS], 0, &sealing(&folder))
        .unwrap();
    assert!(!table.insert(77, Tag::of(0)));
    assert!(table.insert(78, Tag::of(0)));
    table.sound().unwrap();
}

#[test]
fn a_look_up_that_fails_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let mut table = Fingerprints::new();
    for fingerprint in spread_evenly(0, 1000) {
        table.insert(fingerprint, Tag::of(0));
    }
    table
        .seal(Tag::of(0), 0, &[0; SHARDS], 0, &sealing(&folder))
        .unwrap();
    spread_evenly(0, 1000).for_each(|it| assert!(table.contains(it)));
    table.sound().unwrap();
    table.sealed.as_ref().unwrap().cut_short();
    table.contains(fingerprint(&5u64.to_le_bytes()));
    assert!(matches!(table.sound(), Err(SearchError::Io { .. })));
    table.sound().unwrap();
    assert!(table.verify().is_err());
}

#[test]
fn growth_is_foreseen() {
    let mut table = Fingerprints::new();
    for round in 0..50u64 {
        let new: Vec<u64> = (0..1000)
            .map(|n| fingerprint(&(round * 1000 + n).to_le_bytes()))
            .collect();
        let mut more = [0; SHARDS];
        new.iter()
            .for_each(|fingerprint| more[shard_of(*fingerprint)] += 1);
        let foreseen = table.bytes_after(&more);
        table.reserve(&more, &Threads::new(1 + round as usize % 2).unwrap());
        assert_eq!(table.bytes(), foreseen);
        assert!(
            new.into_iter()
                .all(|fingerprint| table.insert(fingerprint, Tag::of(0)))
        );
        assert_eq!(table.bytes(), foreseen);
    }
}

#[test]
fn the_collision_estimate() {
    assert_eq!(collision_probability(0), 0.0);
    assert_eq!(collision_probability(1 << 32), 0.5);
    assert_eq!(collision_probability(1 << 40), 1.0);
}

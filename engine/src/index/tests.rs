// SPDX-License-Identifier: BSD-3-Clause

use std::collections::{HashMap, HashSet};

use mpool::testing::Random;

use super::testing::{at, content};
use super::*;
use crate::fingerprint::Fingerprint;
use crate::format::MappingState;
use crate::units::Pbn;

/// The key of a fingerprint in a table that uses `key_bits`.
fn key(fingerprint: Fingerprint, key_bits: u32) -> u64 {
    Spread::of(fingerprint.into()).top_bits(key_bits)
}

/// Contents from 0 on, of which no two have the same key of `key_bits` bits.
fn distinct_contents(count: usize, key_bits: u32) -> Vec<Fingerprint> {
    let mut keys = HashSet::new();
    (0..).map(content).filter(|&f| keys.insert(key(f, key_bits))).take(count).collect()
}

fn finish_resize(index: &mut Index) {
    while index.migrate(1) {}
}

#[test]
fn a_location_is_found_after_its_update_and_not_after_its_removal() {
    let mut index = Index::new(1 << 16);
    let compressed = Mapped { pbn: Pbn((1 << 36) - 1), state: MappingState::Compressed(13) };
    assert_eq!(index.lookup(content(1)), None);
    assert_eq!(index.update(content(1), at(5)), Update::Added);
    assert_eq!(index.lookup(content(1)), Some(at(5)));
    assert_eq!(index.update(content(1), compressed), Update::Changed);
    assert_eq!(index.lookup(content(1)), Some(compressed));
    assert!(!index.remove(content(1), at(5)), "it names another location by now");
    assert_eq!((index.len(), index.is_empty()), (1, false));
    assert!(index.remove(content(1), compressed));
    assert!(!index.remove(content(1), compressed));
    assert_eq!(index.lookup(content(1)), None);
    assert_eq!((index.len(), index.is_empty(), index.discarded()), (0, true, 0));
}

/// Key 0 has tag 0, which looks like an empty slot.
#[test]
fn the_zero_fingerprint_is_like_any_other() {
    let zero = Fingerprint(0);
    let mut index = Index::new(0);
    assert_eq!(key(zero, 64), 0);
    assert_eq!(index.lookup(zero), None);
    assert!(!index.remove(zero, at(1)));
    assert_eq!(index.update(zero, at(1)), Update::Added);
    assert_eq!(index.lookup(zero), Some(at(1)));
    assert_eq!(index.update(zero, at(2)), Update::Changed);
    assert!(index.remove(zero, at(2)));
    assert_eq!(index.lookup(zero), None);
}

#[test]
fn memory_is_rounded_down_but_not_below_two_buckets() {
    for (bytes, records) in [(0, 16), (255, 16), (256, 32), (4095, 256), (4096, 512), (1000 * 64, 7680)] {
        assert_eq!(Index::new(bytes).capacity(), records, "{bytes} bytes");
    }
}

/// A large index has its first memory at once, and the rest as it is updated or extended; what has no memory is dropped.
#[test]
fn memory_comes_with_the_records() {
    let mut index = Index::new(16 << 20);
    let added = (0..64).filter(|&n| index.update(content(n), at(n + 1)) != Update::Dropped).count();
    assert!((8..48).contains(&added), "{added} of 64 in 4 to 8 of 16 MiB");
    assert_eq!(index.len(), added as u64);
    for n in 64..300 {
        index.update(content(n), at(n + 1));
    }
    assert!(!index.extend(), "all of it is there");
    assert_eq!((300..400).filter(|&n| index.update(content(n), at(n + 1)) == Update::Added).count(), 100);

    let mut index = Index::new(16 << 20);
    while index.extend() {}
    assert_eq!((0..100).filter(|&n| index.restore(content(n), at(n + 1), Age::Old) == Restored::Added).count(), 100);

    let mut index = Index::new(16 << 20);
    index.update(content(1), at(2));
    index.resize(8 << 20);
    finish_resize(&mut index);
    assert_eq!(index.capacity(), 1 << 20);
    assert_eq!((2..100).filter(|&n| index.update(content(n), at(n + 1)) == Update::Added).count(), 98);
}

/// Only the high bits of the first byte's neighbours differ in a shard, and a weakened fingerprint has few bits.
#[test]
fn fingerprints_of_few_bits_are_told_apart() {
    let mut index = Index::new(1 << 16);
    for n in 0..4096_u128 {
        index.update(Fingerprint(n << 8 | 0x33), at(n as u64 + 1));
    }
    let right = (0..4096_u128).filter(|n| index.lookup(Fingerprint(n << 8 | 0x33)) == Some(at(*n as u64 + 1))).count();
    assert!(right > 4080, "{right} of 4096");
}

/// At 85% and 90% of capacity nearly every record has found room without evicting another one.
#[test]
fn recall_of_a_nearly_full_index() {
    for (bytes, percent, least) in [(1 << 22, 85, 0.995), (5_000_000, 85, 0.995), (1 << 22, 90, 0.99)] {
        let mut index = Index::new(bytes);
        let records = index.capacity() * percent / 100;
        for n in 0..records {
            index.update(content(n), at(n + 1));
        }
        let found = (0..records).filter(|&n| index.lookup(content(n)) == Some(at(n + 1))).count();
        let recall = found as f64 / records as f64;
        assert!(recall >= least, "{recall} at {percent}% of {bytes} bytes");
    }
}

/// Advice about content that was never recorded is rare.
#[test]
fn false_advice_is_rare() {
    for (bytes, most) in [(1 << 20, 1.6e-4), ((1 << 21) - 4096, 3.0e-4)] {
        let mut index = Index::new(bytes);
        let records = index.capacity();
        for n in 0..records {
            index.update(content(n), at(n + 1));
        }
        let asked = 1_000_000;
        let answered = (0..asked).filter(|n| index.lookup(content(1 << 40 | n)).is_some()).count();
        let rate = answered as f64 / asked as f64;
        assert!(rate > 0.0 && rate < most, "{rate}");
    }
}

/// A record in regular use survives a flood of four times the capacity; records that are not used do not.
#[test]
fn what_is_used_stays_and_what_is_not_goes() {
    for bytes in [1 << 13, 1 << 18] {
        let mut index = Index::new(bytes);
        let capacity = index.capacity();
        let used: Vec<u64> = (0..capacity / 16).map(|n| 1 << 40 | n).collect();
        let unused: Vec<u64> = (0..capacity / 16).map(|n| 1 << 41 | n).collect();
        for &n in used.iter().chain(&unused) {
            index.update(content(n), at(n % 1000 + 1));
        }
        for n in 0..4 * capacity {
            index.update(content(n), at(n + 1));
            if n % (capacity / 8) == 0 {
                for &n in &used {
                    index.lookup(content(n));
                }
            }
        }
        let kept = |index: &mut Index, set: &[u64]| {
            set.iter().filter(|&&n| index.lookup(content(n)) == Some(at(n % 1000 + 1))).count() as f64
                / set.len() as f64
        };
        assert!(kept(&mut index, &used) > 0.995);
        assert!(kept(&mut index, &unused) < 0.01);
        let recent = (7 * capacity / 2..4 * capacity).filter(|&n| index.lookup(content(n)) == Some(at(n + 1))).count();
        assert!(recent as f64 > 0.95 * capacity as f64 / 2.0, "{recent} of {}", capacity / 2);
    }
}

/// Two fingerprints with one key: the later update answers for both, and removal checks the location.
#[test]
fn a_collision_only_misleads() {
    let mut index = Index::new(0);
    let one = content(1);
    let other = (2..).map(content).find(|&f| key(f, 17) == key(one, 17)).expect("17 bits collide soon");
    assert_eq!(index.update(one, at(1)), Update::Added);
    assert_eq!(index.lookup(other), Some(at(1)), "advice that a compare refuses");
    assert_eq!(index.update(other, at(2)), Update::Changed);
    assert_eq!(index.lookup(one), Some(at(2)));
    assert!(!index.remove(one, at(1)));
    assert!(index.remove(other, at(2)));
    assert_eq!(index.lookup(one), None);
}

/// Touching only affects speed, also during a resize.
#[test]
fn touching_changes_nothing() {
    let mut index = Index::new(1 << 16);
    for n in 0..100 {
        index.update(content(n), at(n + 1));
    }
    index.resize(1 << 17);
    while index.migrate(1) {
        let _ = black_box(index.touch(content(1)) ^ index.touch(content(2)));
        index.touch_all((0..200).map(content));
    }
    index.touch_all((0..200).map(content));
    index.touch_all([Fingerprint(0); 0]);
    assert!((0..100).all(|n| index.lookup(content(n)) == Some(at(n + 1))));
    assert_eq!((index.lookup(content(100)), index.len(), index.discarded()), (None, 100, 0));
}

/// Growing by up to 16 times loses no record, and records used meanwhile are found at every moment.
#[test]
fn growing_loses_nothing() {
    for (before, after) in [(64 * 128, 64 * 192), (64 * 128, 64 * 256), (64 * 64, 64 * 960), (64 * 64, 64 * 1024)] {
        let mut index = Index::new(before);
        let contents = distinct_contents(before / 64 * 5, 16 + (before / 64).ilog2());
        for (n, &f) in contents.iter().enumerate() {
            index.update(f, at(n as u64 + 1));
        }
        let (len, discarded) = (index.len(), index.discarded());
        let held: Vec<usize> = (0..contents.len()).filter(|&n| index.lookup(contents[n]).is_some()).collect();
        assert_eq!(held.len() as u64, len);
        index.resize(after);
        let mut looks = held.iter().cycle();
        while index.migrate(1) {
            let n = *looks.next().expect("a cycle has no end");
            assert_eq!(index.lookup(contents[n]), Some(at(n as u64 + 1)));
            assert_eq!(index.len(), len);
        }
        for &n in &held {
            assert_eq!(index.lookup(contents[n]), Some(at(n as u64 + 1)), "{before} to {after} bytes");
        }
        assert_eq!((index.len(), index.discarded()), (len, discarded));
        assert_eq!(index.capacity(), after as u64 / 8);
    }
}

/// Growing by more loses the records, and the index is fully usable afterwards.
#[test]
fn growing_by_far_starts_anew() {
    let mut index = Index::new(64 * 64);
    for n in 0..256 {
        index.update(content(n), at(n + 1));
    }
    let len = index.len();
    index.resize(64 * 64 * 64);
    assert!(index.lookup(content(255)).is_some());
    finish_resize(&mut index);
    assert_eq!((index.len(), index.discarded()), (0, len));
    for n in 0..20_000 {
        index.update(content(n), at(n + 1));
    }
    let found = (0..20_000).filter(|&n| index.lookup(content(n)) == Some(at(n + 1))).count();
    assert!(found > 19_980, "{found}");
}

/// Shrinking keeps the most recently used records.
#[test]
fn shrinking_keeps_the_most_recently_used() {
    let mut index = Index::new(1 << 18);
    let capacity = index.capacity();
    let mut added = 0;
    for n in 0..capacity * 3 / 4 {
        added += u64::from(index.update(content(n), at(n + 1)) != Update::Changed);
    }
    index.resize(1 << 16);
    finish_resize(&mut index);
    assert_eq!(index.capacity(), capacity / 4);
    assert!(index.len() > index.capacity() * 98 / 100 && index.len() <= index.capacity());
    assert_eq!(index.len() + index.discarded(), added);
    let mut found =
        |from: u64, to: u64| (from..to).filter(|&n| index.lookup(content(n)) == Some(at(n + 1))).count() as u64;
    let last = found(capacity * 5 / 8, capacity * 3 / 4);
    let first = found(0, capacity / 4);
    assert!(last > capacity / 8 * 85 / 100, "{last} of the last {}", capacity / 8);
    assert!(first < capacity / 4 / 100, "{first} of the first {}", capacity / 4);
}

/// A resize requested during another one follows it; a request for the current size does nothing.
#[test]
fn the_last_of_several_sizes_counts() {
    let mut index = Index::new(1 << 12);
    index.resize(1 << 12);
    assert!(!index.migrate(1));
    index.resize(1 << 14);
    index.migrate(2);
    index.resize(1 << 15);
    index.resize(1 << 13);
    finish_resize(&mut index);
    assert_eq!(index.capacity(), 1 << 10);
    assert!(!index.migrate(0));
}

/// Updates alone complete a resize.
#[test]
fn updates_finish_a_resize() {
    for (before, after) in [(1_usize << 20, 1_usize << 21), (1 << 21, 1 << 16), (1 << 16, 1 << 21)] {
        let mut index = Index::new(before);
        for n in 0..before as u64 / 16 {
            index.update(content(n), at(n + 1));
        }
        index.resize(after);
        let steps = before.div_ceil(64 * GROUP) + after.div_ceil(64 * GROUP);
        for _ in 0..=steps * UPDATES_PER_STEP as usize {
            index.update(content(7), at(8));
        }
        assert!(!index.migrate(0), "{before} to {after} bytes");
        assert_eq!((index.capacity(), index.lookup(content(7))), (after as u64 / 8, Some(at(8))));
    }
}

/// Records from chapters count as older than used ones, and never evict them.
#[test]
fn restoring_pushes_out_nothing_that_is_used() {
    let mut index = Index::new(1 << 16);
    let capacity = index.capacity();
    for n in 0..2 * capacity {
        index.update(content(n), at(n + 1));
    }
    let full = index.len();
    let recent: Vec<u64> = (7 * capacity / 4..2 * capacity).filter(|&n| index.lookup(content(n)).is_some()).collect();
    let older: Vec<u64> = (capacity..7 * capacity / 4).collect();
    let restore = |index: &mut Index, from: u64, count: u64, age| {
        let came = |restored| matches!(restored, Restored::Added | Restored::Replaced(_));
        (from..from + count).filter(|&n| came(index.restore(content(n), at(1), age))).count() as u64
    };
    let room = capacity - full;
    let evictions = index.statistics().evictions;
    let old = restore(&mut index, 1 << 40, 4 * capacity, Age::Old);
    assert!(old <= room);
    assert_eq!(index.statistics().evictions, evictions, "old records push out nothing");
    let taken = restore(&mut index, 1 << 41, 4 * capacity, Age::Young);
    assert!(taken > capacity / 3, "{taken}");
    let before = index.statistics();
    assert_eq!(before.restored, old + taken, "every record that came in counts");
    let held = |index: &mut Index, set: &[u64]| {
        set.iter().filter(|&&n| index.lookup(content(n)) == Some(at(n + 1))).count() as f64 / set.len() as f64
    };
    assert_eq!(held(&mut index, &recent).to_bits(), 1_f64.to_bits(), "what was used in the last quarter stays");
    assert!(held(&mut index, &older) < 0.6, "what was not makes room");
    let after = index.statistics();
    assert_eq!(after.lookups - before.lookups, (recent.len() + older.len()) as u64);
    assert!((recent.len() as u64..after.lookups).contains(&(after.hits - before.hits)));
    assert_eq!((after.entries, after.capacity), (index.len(), capacity));
}

/// A restore does not change an existing record; a restored record behaves like any other.
#[test]
fn restoring_does_not_replace_newer_records() {
    let mut index = Index::new(1 << 12);
    assert_eq!(index.restore(content(1), at(1), Age::Old), Restored::Added);
    assert_eq!(index.restore(content(1), at(2), Age::Young), Restored::Known(at(1)));
    assert_eq!(index.lookup(content(1)), Some(at(1)));
    assert_eq!(index.update(content(1), at(3)), Update::Changed);
    assert_eq!(index.restore(content(1), at(1), Age::Young), Restored::Known(at(3)));
    assert_eq!(index.lookup(ShortFingerprint::from(content(1))), Some(at(3)), "88 bits are enough");
    assert!(index.has_room());
}

/// Random use against a map, with resizes up and down: advice is what the last update recorded, or nothing, and every
/// record that was not removed is held or was counted as discarded.
#[test]
fn random_use_agrees_with_a_map() {
    for seed in 0..40 {
        let mut random = Random::new(seed);
        // The smallest table that occurs has 2 buckets; the contents differ in the key that it uses.
        let contents = distinct_contents(2500, 17);
        let mut model: HashMap<usize, Mapped> = HashMap::new();
        let mut index = Index::new(random.below(40_000) as usize);
        let mut balance = 0;
        for step in 0..20_000_u64 {
            let n = random.below(contents.len() as u64) as usize;
            match random.below(1000) {
                0..450 => {
                    let location = Mapped {
                        pbn: Pbn(1 + random.below((1 << 36) - 1)),
                        state: MappingState::from_bits(1 + random.below(15) as u8),
                    };
                    let discarded = index.discarded();
                    let held = index.lookup(contents[n]).is_some();
                    // A record that is held can still be lost: in a step of a resize inside the update.
                    let update = index.update(contents[n], location);
                    let lost = index.discarded() - discarded;
                    match update {
                        Update::Added => assert!(lost >= u64::from(held)),
                        Update::Replaced(_) => assert!(lost > u64::from(held)),
                        Update::Changed => assert!(held),
                        Update::Dropped => panic!("a small index has all of its memory"),
                    }
                    balance += u64::from(update != Update::Changed);
                    assert_eq!(index.lookup(contents[n]), Some(location), "seed {seed} step {step}");
                    model.insert(n, location);
                }
                450..850 => {
                    let found = index.lookup(contents[n]);
                    assert!(found.is_none() || found == model.get(&n).copied(), "seed {seed} step {step}");
                }
                850..990 => {
                    let named = model.get(&n).copied().unwrap_or(at(1));
                    assert!(!index.remove(contents[n], at(named.pbn.0 ^ 1 << 35)));
                    if index.remove(contents[n], named) {
                        balance -= 1;
                        model.remove(&n);
                    }
                    if !model.contains_key(&n) {
                        assert_eq!(index.lookup(contents[n]), None);
                    }
                }
                990..996 => drop(index.migrate(random.below(50) as usize)),
                _ => index.resize(random.below(40_000) as usize),
            }
            assert_eq!(index.len() + index.discarded(), balance, "seed {seed} step {step}");
        }
        finish_resize(&mut index);
        for (n, &f) in contents.iter().enumerate() {
            let found = index.lookup(f);
            assert!(found.is_none() || found == model.get(&n).copied());
        }
    }
}

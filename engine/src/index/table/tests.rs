// SPDX-License-Identifier: BSD-3-Clause

use super::*;
use crate::units::Pbn;

fn spread(bits: u128) -> Spread {
    Spread::of(ShortFingerprint::from_bits(bits))
}

/// Every key of a table is recovered from its record's position, in tables of any size.
#[test]
fn bucket_and_tag_determine_the_key() {
    for count in [2, 4, 8, 64, 128, 640, 1 << 20, (1 << 20) + 64 * 123] {
        let table = Table::reserve(count, key_bits_for(count, TAG_BITS));
        for seed in 0..2000_u128 {
            let spread = spread(seed.wrapping_mul(0x1234_5678_9abc_def1_1357_9bdf) << 8);
            let place = table.place(spread);
            let known = Spread(spread.0 & u64::MAX << (u64::BITS - table.key_bits));
            let location = Mapped::uncompressed(Pbn(1));
            let primary = Record::new(place.tag, Side::Primary, location, 0);
            let partner = Record::new(place.tag, Side::Partner, location, 0);
            assert_eq!(table.spread_of(place.primary, primary), known, "{count} buckets");
            assert_eq!(table.spread_of(place.partner, partner), known, "{count} buckets");
        }
    }
}

/// The same while a larger table keeps the smaller one's key.
#[test]
fn growth_by_up_to_16_keeps_the_key() {
    let small = Table::new(8);
    for (count, kept) in [(16, true), (64, true), (128, true), (192, true), (256, false)] {
        let large = Table::reserve_for(&small, count);
        assert_eq!(large.key_bits == small.key_bits, kept, "{count} buckets");
    }
    assert_eq!(Table::reserve_for(&small, 2).key_bits, 17);
}

/// A record that is not used must never look younger than one in use, however long the table runs.
#[test]
fn ages_saturate() {
    for count in [2, 4, 16, 64, 192] {
        let mut table = Table::new(count);
        let idle = table.place(spread(0));
        let busy = table.place(spread(u128::MAX));
        table.insert(idle, Mapped::uncompressed(Pbn(1)), 0);
        table.insert(busy, Mapped::uncompressed(Pbn(2)), 0);
        let mut last = 0;
        for _ in 0..2000 * count {
            let at = table.find(busy).expect("inserted above");
            table.change(at, Mapped::uncompressed(Pbn(3)));
            let at = table.find(idle).expect("inserted above");
            let age = table.record(at).age(table.generation);
            assert!(age >= last.min(OLDEST), "{count} buckets: age fell from {last} to {age}");
            last = age;
        }
        assert!(last >= OLDEST);
    }
}

/// `len` equals the number of used slots.
#[test]
fn len_counts_slots() {
    let mut table = Table::new(4);
    for seed in 0..200_u128 {
        let place = table.place(spread(seed << 40));
        match table.find(place) {
            Some(at) if seed % 3 == 0 => table.remove(at),
            Some(at) => table.change(at, Mapped::uncompressed(Pbn(9))),
            None => drop(table.insert(place, Mapped::uncompressed(Pbn(8)), 0)),
        }
        let buckets = table.segments.iter().flatten().flat_map(Segment::buckets);
        let used: u32 = buckets.map(|bucket| SLOTS as u32 - bucket.free().count_ones()).sum();
        assert_eq!(table.len(), u64::from(used));
    }
}

/// The new table has memory wherever the keys of an old table's first buckets go.
#[test]
fn keys_ascend_with_buckets_in_tables_of_every_size() {
    for (before, after) in [(2, 4), (16, 64), (960, 64), (64, 960), (128, 192), (4992, 4928), (1 << 14, 1 << 18)] {
        let old = Table::reserve(before, key_bits_for(before, TAG_BITS));
        let new = Table::reserve_for(&old, after);
        for seed in 0..5000_u128 {
            let spread = spread(seed.wrapping_mul(0x1234_5678_9abc_def1_1357_9bdf) << 8);
            let end = (old.place(spread).primary / GROUP * GROUP + GROUP).min(before);
            let place = new.place(spread);
            assert!(place.primary.max(place.partner) < new.reach(&old, end), "{before} to {after} buckets");
        }
        assert!(new.reach(&old, 1) <= after && new.reach(&old, before) == after);
    }
}

/// Memory comes by the segment, and is freed as its records are taken. Where there is none, nothing is kept or found.
#[test]
fn memory_is_held_only_for_what_is_in_use() {
    let mut table = Table::reserve(SEGMENT + 2 * GROUP, 30);
    let held = |table: &Table| table.segments.iter().flatten().map(|segment| segment.buckets().len()).sum::<usize>();
    let place = table.place(spread(1 << 70));
    assert_eq!(held(&table), 0);
    assert_eq!(table.insert(place, Mapped::uncompressed(Pbn(1)), 0), Inserted::Refused);
    assert!(table.find(place).is_none() && table.touch(place) == 0);
    assert!(table.extend(), "there is more to come");
    assert_eq!((held(&table), table.extent()), (SEGMENT, SEGMENT));
    assert!(!table.extend());
    assert_eq!((held(&table), table.extent()), (SEGMENT + 2 * GROUP, SEGMENT + 2 * GROUP));
    assert!(!table.extend() && held(&table) == SEGMENT + 2 * GROUP, "there is no more");
    while table.taken() < SEGMENT {
        table.take_group(|_, _, _| panic!("nothing was inserted"));
    }
    assert_eq!(held(&table), 2 * GROUP);
    table.take_group(|_, _, _| panic!("nothing was inserted"));
    table.take_group(|_, _, _| panic!("nothing was inserted"));
    assert_eq!((held(&table), table.taken()), (0, SEGMENT + 2 * GROUP));
}

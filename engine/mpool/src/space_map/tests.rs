// SPDX-License-Identifier: BSD-3-Clause

//! Compares the space map with a naive one, and with mpool's worked example.

use Policy::{SpareOnly, SpareThenUsable, UsableOnly, UsableThenSpare};

use super::*;

const NAME: &str = "drive 'd'";

fn map(zones: u64, regions: u64, spare_percent: u8) -> SpaceMap {
    SpaceMap::new(NAME, zones, regions, spare_percent).expect("a map")
}

fn extent(first: u64, zones: u64) -> Extent {
    Extent { first, zones }
}

/// Zones in use as usable space, and as spare space.
fn used(map: &SpaceMap) -> (u64, u64) {
    let usage = map.usage();
    (usage.used_zones, usage.spare_zones - usage.free_spare_zones)
}

/// mpool-106: successive allocations begin at successive regions; inside a region the first that fits is taken; the last
/// region has the remainder; no allocation reaches over a border.
#[test]
fn allocations_rotate_over_the_regions() {
    let mut map = map(43, 4, 0);
    let firsts: Vec<_> = (0..6).map(|_| map.allocate(2, UsableOnly).expect("space").first).collect();
    assert_eq!(firsts, [0, 10, 20, 30, 2, 12]);
    assert_eq!(
        map.allocate(13, UsableOnly),
        Err(SpaceError::NoSpace(13).on(NAME)),
        "41 zones are free, in four pieces"
    );
    // That call began with region 2, so the next begins with region 3.
    map.free(extent(30, 1)).expect("was taken");
    assert_eq!(map.allocate(1, UsableOnly), Ok(extent(30, 1)), "first fit");
    assert_eq!(map.allocate(11, UsableOnly), Ok(extent(32, 11)), "region 3 has 13 zones; regions 0 to 2 lack them");
    assert_eq!(map.allocate(8, UsableOnly), Ok(extent(22, 8)), "region 1 has only 6 left, so region 2");
}

/// mpool-106, mpool-107: against a naive map, with every policy, inserts, changes of the spare percentage, and frees that
/// must be refused.
#[test]
fn the_map_agrees_with_a_naive_one() {
    for seed in 0..60_u64 {
        naive::compare(seed);
    }
}

/// Many extents are inserted as if one by one, or none of them.
#[test]
fn extents_in_order_are_inserted_as_one_by_one() {
    let mut random = crate::testing::Random::new(3);
    for _ in 0..500 {
        let mut before = map(100, 1 + random.below(5) as u64, 0);
        for _ in 0..random.below(8) {
            // Some of these are refused.
            let _ = before.insert(extent(random.below(100) as u64, 1 + random.below(9) as u64));
        }
        let mut extents: Vec<_> =
            (0..random.below(6)).map(|_| (random.below(100) as u64, random.below(20) as u64)).collect();
        extents.sort_unstable();
        let (mut one_by_one, mut in_order) = (before.clone(), before.clone());
        let failed = extents.iter().position(|(first, zones)| one_by_one.insert(extent(*first, *zones)).is_err());
        let outcome = in_order.insert_in_order(extents.iter().map(|(first, zones)| extent(*first, *zones)));
        assert_eq!(outcome.err().map(|(index, _)| index), failed, "{extents:?}");
        let expected = if failed.is_some() { &before } else { &one_by_one };
        assert_eq!(in_order.usage(), expected.usage());
        assert!(in_order.free_extents().eq(expected.free_extents()), "{extents:?}");
    }
}

/// mpool-106, partly: alignment.
#[test]
fn allocations_can_be_aligned() {
    let mut map = map(64, 1, 0);
    map.insert(extent(0, 1)).expect("free");
    let mut aligned = |align, zones| {
        map.set_alignment(align).expect("a power of two");
        map.allocate(zones, UsableOnly)
    };
    assert_eq!(aligned(4, 3), Ok(extent(4, 3)));
    assert_eq!(aligned(1, 3), Ok(extent(1, 3)));
    assert_eq!(aligned(32, 32), Ok(extent(32, 32)));
    assert_eq!(aligned(16, 16), Ok(extent(16, 16)));
    assert_eq!(aligned(1 << 63, 1), Err(SpaceError::NoSpace(1).on(NAME)), "the next multiple is not a zone");
    assert_eq!(map.set_alignment(3), Err(SpaceError::Alignment(3).on(NAME)));
}

/// mpool-107: neighbours are merged; free zones cannot be freed, not even partly.
#[test]
fn freed_neighbours_are_joined_and_double_frees_are_found() {
    let mut map = map(12, 1, 0);
    map.insert(extent(0, 12)).expect("free");
    map.free(extent(2, 2)).expect("taken");
    map.free(extent(6, 2)).expect("taken");
    for double in [extent(2, 2), extent(1, 2), extent(3, 2), extent(0, 12), extent(7, 1)] {
        assert_eq!(map.free(double), Err(SpaceError::Free(double.first, double.first + double.zones - 1).on(NAME)));
    }
    assert_eq!(map.free_extents().collect::<Vec<_>>(), [extent(2, 2), extent(6, 2)], "a refused free changes nothing");
    map.free(extent(4, 2)).expect("taken");
    assert_eq!(map.free_extents().collect::<Vec<_>>(), [extent(2, 6)]);
    map.free(extent(8, 4)).expect("taken");
    map.free(extent(0, 2)).expect("taken");
    assert_eq!(map.free_extents().collect::<Vec<_>>(), [extent(0, 12)]);
    assert_eq!((map.allocated_zones(), used(&map)), (0, (0, 0)));
}

/// mpool-96, partly: zones that belong to two objects are found when they are inserted.
#[test]
fn taken_zones_cannot_be_inserted() {
    let mut map = map(16, 4, 5);
    map.insert(extent(2, 4)).expect("free, over a border");
    for twice in [extent(2, 4), extent(0, 3), extent(5, 9), extent(0, 16)] {
        assert_eq!(map.insert(twice), Err(SpaceError::Taken(twice.first, twice.first + twice.zones - 1).on(NAME)));
    }
    assert_eq!(map.allocated_zones(), 4, "a refused insert changes nothing");
    assert_eq!(map.free_extents().map(|free| free.zones).sum::<u64>(), 12);
    assert_eq!(Kind::Invalid, SpaceError::Taken(2, 5).on("drive").kind());
    assert_eq!(Kind::NoSpace, SpaceError::NoSpace(2).on("drive").kind());
}

/// Extents come from media, so any numbers must be handled.
#[test]
fn extents_outside_the_drive_are_refused() {
    let mut map = map(16, 4, 5);
    for outside in [extent(16, 1), extent(15, 2), extent(u64::MAX, 2), extent(1, u64::MAX), extent(3, 0)] {
        assert_eq!(map.insert(outside), Err(SpaceError::Outside(outside.first, outside.zones, 16).on(NAME)));
        assert_eq!(map.free(outside), Err(SpaceError::Outside(outside.first, outside.zones, 16).on(NAME)));
    }
    assert_eq!(map.allocate(0, UsableOnly), Err(SpaceError::Outside(0, 0, 16).on(NAME)));
    assert_eq!(map.allocate(u64::MAX, SpareThenUsable), Err(SpaceError::NoSpace(u64::MAX).on(NAME)));
}

#[test]
fn a_drive_has_at_least_a_zone_for_each_region() {
    let refused = |zones, regions, percent| SpaceMap::new(NAME, zones, regions, percent).err();
    assert_eq!(refused(3, 4, 5), Some(SpaceError::Regions(3, 4).on(NAME)));
    assert_eq!(refused(3, 0, 5), Some(SpaceError::Regions(3, 0).on(NAME)));
    assert_eq!(refused(4, 4, 101), Some(SpaceError::Percent(101).on(NAME)));
    assert_eq!(map(4, 4, 100).usage().spare_zones, 4);
    assert_eq!(map(u64::MAX, 4, 50).usage().usable_zones, u64::MAX / 2, "without overflow");
}

/// mpool-108: what was allocated with some number of regions is inserted with any other, and freed.
#[test]
fn the_number_of_regions_may_change() {
    let objects = {
        let mut before = map(101, 3, 0);
        [20, 33, 30, 5, 1].map(|zones| before.allocate(zones, UsableOnly).expect("space"))
    };
    for regions in [1, 2, 4, 7, 50, 101] {
        let mut after = map(101, regions, 0);
        for object in objects {
            after.insert(object).expect("apart from each other");
        }
        assert_eq!(after.allocated_zones(), 89);
        for object in objects {
            after.free(object).expect("inserted");
        }
        assert_eq!(after.free_extents().map(|free| free.zones).sum::<u64>(), 101);
        assert_eq!(after.free_extents().count() as u64, regions, "each region is one extent again");
    }
}

/// mpool-109: what each policy allocates from where, and what it refuses.
#[test]
fn policies() {
    // 20 zones, 16 usable and 4 spare; (in use, policy, zones) -> in use, or refused.
    let table = [
        ((0, 0), UsableOnly, 16, Some((16, 0))),
        ((0, 0), UsableOnly, 17, None),
        ((16, 0), UsableOnly, 1, None),
        ((12, 4), UsableOnly, 4, Some((16, 4))),
        ((18, 0), UsableOnly, 1, None),
        ((0, 0), SpareOnly, 4, Some((0, 4))),
        ((0, 0), SpareOnly, 5, None),
        ((16, 3), SpareOnly, 1, Some((16, 4))),
        ((0, 0), UsableThenSpare, 16, Some((16, 0))),
        ((0, 0), UsableThenSpare, 18, Some((16, 2))),
        ((0, 0), UsableThenSpare, 20, Some((16, 4))),
        ((1, 0), UsableThenSpare, 20, None),
        ((18, 0), UsableThenSpare, 1, Some((16, 3))),
        ((0, 0), SpareThenUsable, 3, Some((0, 3))),
        ((0, 0), SpareThenUsable, 6, Some((2, 4))),
        ((0, 0), SpareThenUsable, 20, Some((16, 4))),
        ((18, 0), SpareThenUsable, 2, Some((18, 2))),
        ((18, 1), SpareThenUsable, 2, None),
    ];
    for (before, policy, zones, after) in table {
        let mut map = map(20, 1, 20);
        let (usable, spare) = before;
        if spare > 0 {
            map.allocate(spare, SpareOnly).expect("spare space");
        }
        if usable > 0 {
            map.insert(extent(spare, usable)).expect("free");
        }
        assert_eq!(used(&map), before);
        assert_eq!(map.allocate(zones, policy).is_ok(), after.is_some(), "{before:?} {policy:?} {zones}");
        assert_eq!(used(&map), after.unwrap_or(before), "{before:?} {policy:?} {zones}");
    }
}

/// mpool-27, mpool-109, partly: the worked example of spare accounting, mpool.
#[test]
fn example_of_spare_accounting() {
    let mut map = map(100, DEFAULT_REGIONS, DEFAULT_SPARE_PERCENT);
    assert_eq!((map.usage().usable_zones, map.usage().spare_zones), (95, 5));
    map.insert(extent(0, 1)).expect("superblock zone");
    assert_eq!(used(&map), (1, 0));
    let objects: Vec<_> =
        [24, 24, 24, 24, 1].map(|zones| map.allocate(zones, SpareThenUsable).expect("97 of 99 zones")).into();
    assert_eq!(used(&map), (93, 5));

    let mut reactivated = self::map(100, DEFAULT_REGIONS, DEFAULT_SPARE_PERCENT);
    reactivated.insert(extent(0, 1)).expect("superblock zone");
    for object in &objects {
        reactivated.insert(*object).expect("apart");
    }
    let expected = ZoneUsage {
        total_zones: 100,
        available_zones: 100,
        usable_zones: 95,
        free_usable_zones: 0,
        used_zones: 98,
        spare_zones: 5,
        free_spare_zones: 5,
    };
    assert_eq!(reactivated.usage(), expected);
    assert_eq!(reactivated.usage().bytes(1 << 20).used_bytes, 98 << 20);
    for object in objects {
        reactivated.free(object).expect("in use");
        map.free(object).expect("in use");
    }
    assert_eq!((used(&reactivated), used(&map)), ((1, 0), (1, 0)));
}

/// mpool-28: spare space in use beyond the new target counts as usable space, which may then exceed its own.
#[test]
fn a_smaller_spare_percentage_moves_the_excess() {
    let mut map = map(100, 1, 50);
    map.allocate(45, SpareOnly).expect("of 50");
    map.allocate(40, UsableOnly).expect("of 50");
    map.set_spare_percent(10).expect("a percentage");
    assert_eq!((map.spare_percent(), used(&map)), (10, (75, 10)));
    map.set_spare_percent(60).expect("a percentage");
    assert_eq!(used(&map), (75, 10), "used exceeds the 40 that are usable");
    assert_eq!((map.usage().usable_zones, map.usage().free_usable_zones), (40, 0));
    assert_eq!(map.set_spare_percent(101), Err(SpaceError::Percent(101).on(NAME)));
    assert_eq!(map.spare_percent(), 60, "a refused change changes nothing");
    map.set_spare_percent(0).expect("a percentage");
    assert_eq!(used(&map), (85, 0));
}

/// mpool-27, partly: ordinary allocation stops where spare space begins; with the spare flag it goes on.
#[test]
fn spare_space_is_for_those_who_ask() {
    let mut map = map(100, 1, 20);
    assert_eq!((0..100).take_while(|_| map.allocate(1, UsableOnly).is_ok()).count(), 80);
    assert_eq!((0..100).take_while(|_| map.allocate(1, SpareThenUsable).is_ok()).count(), 20);
}

/// A map that stores for each zone whether it is free, and does everything the slow way.
mod naive {
    use super::*;

    struct Naive {
        free: Vec<bool>,
        region: Vec<usize>,
        regions: usize,
        turn: usize,
        percent: u64,
        usable: u64,
        spare: u64,
    }

    impl Naive {
        fn usable_target(&self) -> u64 {
            self.free.len() as u64 * (100 - self.percent) / 100
        }

        fn spare_target(&self) -> u64 {
            self.free.len() as u64 - self.usable_target()
        }

        fn zones(&self, extent: Extent) -> core::ops::Range<usize> {
            extent.first as usize..(extent.first + extent.zones) as usize
        }

        fn allocate(&mut self, zones: u64, policy: Policy, align: u64) -> Option<Extent> {
            let start = self.turn;
            self.turn = (self.turn + 1) % self.regions;
            let region_of = |first: usize| {
                let run = self.free.get(first..first + zones as usize)?;
                let region = self.region[first];
                let one_region = self.region[first + zones as usize - 1] == region;
                (run.iter().all(|free| *free) && one_region && (first as u64).is_multiple_of(align)).then_some(region)
            };
            let first = (0..self.regions)
                .map(|step| (start + step) % self.regions)
                .find_map(|region| (0..self.free.len()).find(|first| region_of(*first) == Some(region)))?;
            self.charge(zones, policy)?;
            let extent = extent(first as u64, zones);
            let range = self.zones(extent);
            self.free[range].fill(false);
            Some(extent)
        }

        /// Zone by zone.
        fn charge(&mut self, zones: u64, policy: Policy) -> Option<()> {
            let (mut usable, mut spare) = (self.usable, self.spare);
            let spilling = matches!(policy, UsableThenSpare | SpareThenUsable);
            if spilling && usable + spare + zones > self.free.len() as u64 {
                return None;
            }
            while policy == UsableThenSpare && usable > self.usable_target() {
                (usable, spare) = (usable - 1, spare + 1);
            }
            for _ in 0..zones {
                let usable_free = usable < self.usable_target();
                let spare_free = spare < self.spare_target();
                match policy {
                    UsableOnly if usable_free => usable += 1,
                    SpareOnly if spare_free => spare += 1,
                    UsableThenSpare if usable_free => usable += 1,
                    UsableThenSpare => spare += 1,
                    SpareThenUsable if spare_free => spare += 1,
                    SpareThenUsable => usable += 1,
                    _ => return None,
                }
            }
            (self.usable, self.spare) = (usable, spare);
            Some(())
        }

        fn set(&mut self, extent: Extent, free: bool) -> bool {
            let range = self.zones(extent);
            let possible = self.free[range.clone()].iter().all(|zone| *zone != free);
            if possible {
                self.free[range].fill(free);
            }
            possible
        }
    }

    /// Xorshift.
    fn next(state: &mut u64, below: u64) -> u64 {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        (*state >> 11) % below
    }

    pub(super) fn compare(seed: u64) {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let zones = 8 + next(&mut state, 120);
        let regions = 1 + next(&mut state, 7);
        let mut map = map(zones, regions, 5);
        let size = zones / regions;
        let mut naive = Naive {
            free: vec![true; zones as usize],
            region: (0..zones).map(|zone| (zone / size).min(regions - 1) as usize).collect(),
            regions: regions as usize,
            turn: 0,
            percent: 5,
            usable: 0,
            spare: 0,
        };
        for step in 0..400 {
            let first = next(&mut state, zones);
            let somewhere = extent(first, 1 + next(&mut state, (zones - first).min(12)));
            match next(&mut state, 8) {
                0..=3 => {
                    let policy =
                        [UsableOnly, UsableThenSpare, SpareOnly, SpareThenUsable][next(&mut state, 4) as usize];
                    let (count, align) = (1 + next(&mut state, 9), 1 << next(&mut state, 3));
                    map.set_alignment(align).expect("a power of two");
                    let taken = map.allocate(count, policy).ok();
                    assert_eq!(taken, naive.allocate(count, policy, align), "seed {seed}, step {step}");
                }
                4 | 5 => {
                    let freed = naive.set(somewhere, true);
                    assert_eq!(map.free(somewhere).is_ok(), freed, "seed {seed}, step {step}");
                    for _ in 0..if freed { somewhere.zones } else { 0 } {
                        *(if naive.spare > 0 { &mut naive.spare } else { &mut naive.usable }) -= 1;
                    }
                }
                6 => {
                    let taken = naive.set(somewhere, false);
                    assert_eq!(map.insert(somewhere).is_ok(), taken, "seed {seed}, step {step}");
                    naive.usable += if taken { somewhere.zones } else { 0 };
                }
                _ => {
                    naive.percent = next(&mut state, 101);
                    map.set_spare_percent(naive.percent as u8).expect("a percentage");
                    while naive.spare > naive.spare_target() {
                        (naive.usable, naive.spare) = (naive.usable + 1, naive.spare - 1);
                    }
                }
            }
            assert_eq!(used(&map), (naive.usable, naive.spare), "seed {seed}, step {step}");
            let mut free = vec![false; zones as usize];
            map.free_extents().for_each(|run| free[naive.zones(run)].fill(true));
            assert_eq!(free, naive.free, "seed {seed}, step {step}");
            assert_eq!(map.allocated_zones(), naive.free.iter().filter(|free| !**free).count() as u64);
        }
    }
}

/// mpool-16, adapted: added zones are free, and merge with the free ones before them.
#[test]
fn a_map_grows_while_zones_are_in_use() {
    let mut map = map(100, 4, 10);
    let taken = map.allocate(25, UsableOnly).expect("room");
    map.grow(200).expect("larger");
    assert_eq!((map.usage().total_zones, map.usage().usable_zones, map.usage().used_zones), (200, 180, 25));
    assert_eq!(map.free_extents().last(), Some(extent(75, 125)), "the last region is one piece");
    let large = map.allocate(120, UsableOnly).expect("only the last region has so many in one piece");
    assert_eq!(large.first, 75);
    for extent in [taken, large] {
        map.free(extent).expect("taken");
    }
    assert_eq!(map.allocated_zones(), 0);
    map.grow(200).expect("no change");
    assert!(map.grow(199).is_err(), "it does not shrink");
}

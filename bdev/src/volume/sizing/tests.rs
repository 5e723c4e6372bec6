// SPDX-License-Identifier: BSD-3-Clause

use super::*;

const GIB: u64 = 1 << 30;

/// A pool of zones of 1 MiB, all of them free.
fn room(bytes: u64) -> Room {
    Room { zone_bytes: MIB, usable_zones: bytes / MIB, free_zones: bytes / MIB, metadata: None, memory_mib: None }
}

fn planned(bytes: u64, shards: usize) -> SlabPlan {
    plan(&room(bytes), shards, &Wishes::default()).expect("fits")
}

fn laid_out(slabs: u64, plan: &SlabPlan, shards: usize, wishes: &Wishes) -> VolumeConfig {
    let mut config = VolumeConfig::default();
    lay_out(slabs, plan, shards, wishes, &mut config);
    config
}

fn slab_mib(bytes: u64, shards: usize) -> u64 {
    planned(bytes, shards).slab_blocks / BLOCKS_PER_MIB
}

#[test]
fn slabs_are_many_and_at_most_two_gib() {
    assert_eq!(slab_mib(1024 * GIB, 1), 2048);
    assert_eq!(slab_mib(GIB - MIB, 1), 8);
    assert_eq!(slab_mib(GIB, 1), 16);
    assert_eq!(slab_mib(64 * MIB, 1), 8);
    for shards in [1, 2, 3, 7, 32] {
        for bytes in [GIB, 3 * GIB, 100 * GIB, 5000 * GIB] {
            let plan = planned(bytes, shards);
            let enough = SLABS_AT_LEAST.max(SLABS_PER_SHARD * shards as u64);
            let (slab, slabs) = (plan.slab_blocks, plan.wanted);
            assert!(slabs >= enough * 3 / 4 || slab == MIN_SLAB_BLOCKS, "{shards} shards, {bytes} bytes: {slabs}");
            assert!(slabs / 2 < enough || slab == AUTO_SLAB_BLOCKS, "{shards} shards, {bytes} bytes: {slabs}");
        }
    }
}

#[test]
fn what_a_plan_wants_fits_and_one_slab_more_does_not() {
    for (bytes, shards) in [(64 * MIB, 1), (64 * MIB, 2), (GIB, 2), (100 * GIB, 4), (5000 * GIB, 32)] {
        let (room, plan) = (room(bytes), planned(bytes, shards));
        let (slab_blocks, journal_mib) = (plan.slab_blocks, plan.journal_mib);
        let indexing = Some(Indexing { wishes: &Wishes::default(), limits: plan.index_limits });
        let needs = Needs { room: &room, shards, slab_blocks, journal_mib, indexing };
        assert!(needs.fit(plan.wanted) && !needs.fit(plan.wanted + 1), "{bytes} bytes, {shards} shards");
        let metadata = room.free_zones - plan.wanted * slab_blocks / BLOCKS_PER_MIB;
        assert!(bytes < GIB || metadata * 4 < room.free_zones, "{metadata} zones of {}", room.free_zones);
    }
}

#[test]
fn slabs_are_made_of_zones() {
    let large = Room { zone_bytes: 32 * MIB, usable_zones: 40, free_zones: 40, metadata: None, memory_mib: None };
    let found = plan(&large, 1, &Wishes::default()).expect("fits");
    assert_eq!((found.slab_blocks, found.least), (32 * 256, 1));
    let found = plan(&large, 1, &Wishes { slab_size_mib: Some(64), ..Wishes::default() }).expect("fits");
    assert_eq!(found.slab_blocks, 64 * 256);
    let error = plan(&large, 2, &Wishes { slab_size_mib: Some(8), ..Wishes::default() }).expect_err("below a zone");
    assert_eq!(error, SizingError::SlabBelowZone { slab_mib: 8, zone_mib: 32 });
}

#[test]
fn metadata_goes_to_the_staging_drive() {
    let metadata = Some(MetadataRoom { zone_bytes: MIB, free_zones: 200 });
    let with = Room { metadata, ..room(GIB) };
    let (with, without) = (plan(&with, 1, &Wishes::default()).expect("fits"), planned(GIB, 1));
    assert!(with.wanted > without.wanted, "{with:?} {without:?}");
    let metadata = Some(MetadataRoom { zone_bytes: MIB, free_zones: 3 });
    let error = plan(&Room { metadata, ..room(GIB) }, 1, &Wishes::default()).expect_err("too small");
    assert!(matches!(error, SizingError::StagingTooSmall { free_mib: 3, shards: 1, .. }), "{error}");
}

#[test]
fn journals_take_a_small_share() {
    assert_eq!(planned(64 * MIB, 1).journal_mib, 4);
    assert_eq!(planned(GIB, 1).journal_mib, 32);
    assert_eq!(planned(GIB, 4).journal_mib, 16);
    let wishes = Wishes { journal_size_mib: Some(8), ..Wishes::default() };
    assert_eq!(plan(&room(GIB), 4, &wishes).expect("fits").journal_mib, 8);
}

#[test]
fn a_small_pool_is_refused_with_the_least_size() {
    let least = (1..64).find(|mib| plan(&room(mib * MIB), 1, &Wishes::default()).is_ok()).expect("64 MiB do");
    let error = plan(&room((least - 1) * MIB), 1, &Wishes::default()).expect_err("too small");
    let SizingError::TooSmall { free_mib, shards: 1, slab_mib: 8, least_mib, metadata_mib } = error else {
        panic!("{error}")
    };
    assert_eq!((free_mib, least_mib, metadata_mib), (least - 1, least, least - 8));
    assert!(least < 24, "{least} MiB");
    let wishes = Wishes { slab_size_mib: Some(64), ..Wishes::default() };
    let error = plan(&room(65 * MIB), 2, &wishes).expect_err("too small").to_string();
    assert!(error.contains("65 MiB are free, but 2 shard(s) with slabs of 64 MiB need at least"), "{error}");
    assert!(plan(&room(0), 1, &Wishes::default()).is_err());
}

#[test]
fn wishes_are_kept() {
    let wishes = Wishes {
        logical_size_mib: Some(1 << 32),
        slab_size_mib: Some(32),
        physical_size_mib: Some(100),
        index_memory_mib: Some(3),
        index_history_mib: Some(7),
        journal_size_mib: Some(16),
    };
    let found = plan(&room(GIB), 1, &wishes).expect("fits");
    assert_eq!((found.slab_blocks, found.wanted, found.least), (32 * 256, 3, 3), "whole slabs, and no fewer");
    let expected =
        VolumeConfig { logical_blocks: Blocks(1 << 40), index_mib: 3, history_mib: 7, ..VolumeConfig::default() };
    assert_eq!(laid_out(3, &found, 1, &wishes), expected);
    let wishes = Wishes { physical_size_mib: Some(15), slab_size_mib: Some(8), ..Wishes::default() };
    let error = plan(&room(GIB), 2, &wishes).expect_err("one slab for two shards").to_string();
    assert!(error.contains("'physical_size_mib' is 15") && error.contains("need at least 16"), "{error}");
    let wishes = Wishes { physical_size_mib: Some(1 << 40), ..Wishes::default() };
    let error = plan(&room(GIB), 1, &wishes).expect_err("more than there is");
    let SizingError::NoRoom { room_mib, metadata_mib, .. } = error else { panic!("{error}") };
    assert_eq!(room_mib + metadata_mib, 1024);
}

#[test]
fn growth_takes_what_is_asked_for_or_all() {
    let slab_blocks = 8 * BLOCKS_PER_MIB;
    let all = plan_growth(&room(GIB), (10, slab_blocks), None).expect("room");
    assert!((110..125).contains(&all), "{all} slabs of 8 MiB");
    assert_eq!(plan_growth(&room(GIB), (10, slab_blocks), Some(100)), Ok(2));
    assert_eq!(plan_growth(&room(GIB), (10, slab_blocks), Some(40)), Ok(0), "no fewer");
    assert!(plan_growth(&room(GIB), (10, slab_blocks), Some(2048)).is_err());
}

#[test]
fn the_logical_size_leaves_blocks_for_overwriting_a_full_volume_and_for_its_map() {
    let data = 124 * 8 * BLOCKS_PER_MIB;
    let plan = planned(GIB - MIB, 1);
    let logical = |shards| laid_out(124, &plan, shards, &Wishes::default()).logical_blocks.0;
    let pages = data.div_ceil(504) + 180;
    assert_eq!(data - logical(1), 4096 + pages);
    assert_eq!(data - logical(2), 8192 + pages);
    assert!(pages >= logical(1).div_ceil(504), "each page that can come to be has a block");
}

#[test]
fn the_index_of_a_small_volume_has_room_for_every_block() {
    let index_limits = IndexLimits { history_mib: 1 << 20, memory_mib: None };
    let plan = SlabPlan { slab_blocks: 1 << 18, least: 1, wanted: 1, journal_mib: 1, index_limits };
    let index = |slabs| laid_out(slabs, &plan, 1, &Wishes::default());
    assert_eq!(index(1).index_mib, 3, "10 bytes for each of 2^18 blocks, in whole MiB");
    assert_eq!((index(1 << 7).index_mib, index(1 << 7).history_mib), (320, 1280));
    let short = SlabPlan { index_limits: IndexLimits { history_mib: 5, ..index_limits }, ..plan };
    assert_eq!(laid_out(1, &short, 1, &Wishes::default()).history_mib, 5);
}

/// Room for chapters stays free. Small pools have a history of one chapter, tiny ones none unless it is asked for.
#[test]
fn room_is_left_for_the_index() {
    let most_history = |bytes| planned(bytes, 1).index_limits.history_mib;
    assert_eq!((most_history(GIB), most_history(63 * MIB), most_history(31 * MIB)), (16, 1, 0));
    let without = plan(&room(GIB), 1, &Wishes { index_history_mib: Some(0), ..Wishes::default() }).expect("fits");
    let long = plan(&room(GIB), 1, &Wishes { index_history_mib: Some(160), ..Wishes::default() }).expect("fits");
    assert_eq!(without.slab_blocks, long.slab_blocks);
    let zones = (without.wanted - long.wanted) * without.slab_blocks / BLOCKS_PER_MIB;
    assert!(zones.abs_diff(162) <= 16, "{zones} zones for 160 chapters and two more");
}

/// Small volumes have a record for each block; large ones a bounded share, and none takes more memory than it may.
#[test]
fn the_default_index_is_modest() {
    let index = |gib: u64, most_mib: Option<u64>| default_index(gib * GIB / BLOCK_SIZE as u64, most_mib);
    assert_eq!(index(1, None), 3);
    assert_eq!(index(64, None), 160);
    assert_eq!(index(256, None), 608);
    assert_eq!(index(1 << 10, None), 896);
    assert_eq!(index(10 << 10, None), 512 + 3840);
    assert_eq!(index(10 << 10, Some(4096)), 4096 - 2560 - 256, "a quarter of 16 GiB");
    assert_eq!(index(256 << 10, Some(4096)), 16, "reference counts alone are more");
    assert_eq!(index(1, Some(0)), 3);
}

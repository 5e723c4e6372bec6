// SPDX-License-Identifier: BSD-3-Clause

//! The volumes that the tests are on, and what they look at.

use engine::format::Geometry;
use engine::statistics::Statistics;
use engine::units::ENTRIES_PER_LEAF_PAGE as PAGE;
use engine::{Blocks, Pbn, ShardId};
use tests::sim::client::Request;
use tests::sim::cluster::Cluster;
use tests::sim::faults::Faults;
use tests::sim::rig::{nothing, Rig};
use tests::sim::sizes::Sizes;

/// Pages that the first block of each shard's first tree needs: the leaf and two above it.
pub const PAGES: u64 = 3;

/// A volume of `shards` shards with `slabs` slabs of `slab_blocks` blocks each, all of them free. One more slab for
/// each shard holds the pages of the block map that the shard's first leaf page needs, and is full.
pub fn volume(shards: usize, slabs: u64, slab_blocks: u64, sizes: &Sizes) -> Rig {
    let end = Pbn(9 + (slabs + shards as u64) * slab_blocks);
    let geometry = Geometry::new(shards, Blocks(16 * PAGE), Pbn(9), end, slab_blocks).expect("valid");
    let mut cluster = Cluster::new(geometry, &Sizes::default(), Faults::none());
    let mut value = 1 << 20;
    for shard in 0..shards as u64 {
        for filler in 0..slab_blocks - PAGES {
            value = value_of(&cluster, ShardId(shard as u16), value + 1);
            cluster.write((shard + 1) * PAGE - 1 - filler, value);
        }
    }
    cluster.save_all();
    let used = cluster.statistics();
    assert_eq!((used.data_blocks_used, used.block_map_pages), (overhead(&geometry), PAGES * shards as u64));
    let mut rig = Rig::new(cluster.restart(sizes));
    rig.settle(nothing);
    rig
}

/// Blocks in use before a test, by pages of the block map and by what fills up their slabs.
pub fn overhead(geometry: &Geometry) -> u64 {
    geometry.shards() as u64 * geometry.slab_blocks()
}

/// A volume of one shard and so many blocks.
pub fn small(blocks: u64) -> Rig {
    volume(1, blocks / 8, 8, &Sizes::default())
}

/// The statistics of what the test does, without what was there before.
pub fn own_statistics(rig: &Rig) -> Statistics {
    let statistics = rig.statistics();
    let geometry = &rig.world.geometry;
    let (shards, overhead) = (geometry.shards() as u64, overhead(geometry));
    Statistics {
        data_blocks: statistics.data_blocks - overhead,
        data_blocks_used: statistics.data_blocks_used - overhead,
        logical_blocks_used: statistics.logical_blocks_used - (overhead - PAGES * shards),
        slabs: statistics.slabs - shards,
        slabs_opened: statistics.slabs_opened - shards,
        ..statistics
    }
}

/// Blocks written to the disk so far.
pub fn blocks_written(rig: &Rig) -> u64 {
    rig.world.disk.counts.written
}

/// Fills all free blocks with values from `value` on, at LBNs from `lbn` on; returns how many.
pub fn fill(rig: &mut Rig, lbn: u64, value: u64) -> u64 {
    let mut count = 0;
    while rig.execute(&Request::write(lbn + count, &[value + count])).is_ok() {
        count += 1;
    }
    count
}

/// A value from `from` on whose hash zone is in `shard`.
pub fn value_of(cluster: &Cluster, shard: ShardId, from: u64) -> u64 {
    (from..).find(|value| cluster.hash_shard(*value) == shard).expect("half of all values or so")
}

// SPDX-License-Identifier: BSD-3-Clause

//! Where the objects of a simulated volume lie: data on one virtual bdev, metadata on another, at no regular distance.

use engine::format::area::AreaLayout;
use engine::format::{DeviceByte, Geometry, Placement, ROOTS};
use engine::BLOCK_SIZE;

/// Bytes in a journal segment.
pub const SEGMENT_BYTES: u64 = 1 << 20;

/// Bytes between the starts of two objects, beyond the longest of them.
const GAP: u64 = 7 * BLOCK_SIZE as u64;

/// The placement of a volume with so many journal segments for each shard.
#[must_use]
pub fn placement(geometry: Geometry, segments: u32) -> Placement {
    let on = |device, at| DeviceByte { device, at };
    let slab_bytes = geometry.slab_blocks() * BLOCK_SIZE as u64;
    let area_bytes = u64::from(AreaLayout::of(geometry.slab_blocks()).blocks()) * BLOCK_SIZE as u64;
    let journals = u64::from(segments) * geometry.shards() as u64;
    let roots = journals * (SEGMENT_BYTES + GAP);
    let areas = roots + (ROOTS + 1) * BLOCK_SIZE as u64;
    // Neighbours in numbers are no neighbours on the bdev.
    let scattered = |slab: u64| slab ^ 1;
    Placement {
        geometry,
        slabs: (0..geometry.slabs()).map(|slab| on(0, scattered(slab) * (slab_bytes + GAP))).collect(),
        areas: (0..geometry.slabs()).map(|slab| on(1, areas + scattered(slab) * (area_bytes + GAP))).collect(),
        roots: on(1, roots),
        segments: (0..journals).map(|segment| on(1, segment * (SEGMENT_BYTES + GAP))).collect(),
    }
}

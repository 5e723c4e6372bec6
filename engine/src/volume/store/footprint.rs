// SPDX-License-Identifier: BSD-3-Clause

//! The number of zones that the objects of a volume take. Arithmetic only.

use super::ledger::mdc_bytes;
use crate::format::area::AreaLayout;
use crate::format::ROOTS;
use crate::units::BLOCK_SIZE;

const MIB: u64 = 1 << 20;

/// The fewest segments of a recovery journal: one is filled, one is being reaped, and two more keep both from waiting.
pub const MIN_SEGMENTS: u32 = 4;

/// Bytes of a segment, where the journal is large enough for it.
const SEGMENT_BYTES: u64 = 4 * MIB;

/// The fewest bytes of a segment.
const MIN_SEGMENT_BYTES: u64 = 256 << 10;

/// Bytes of the object with the roots of the block map.
pub(super) const ROOT_BYTES: u64 = ROOTS * BLOCK_SIZE as u64;

/// The segments of the recovery journal of one shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JournalLayout {
    /// The number of segments.
    pub segments: u32,
    /// Bytes used in each segment; its log has them rounded up to whole zones.
    pub segment_bytes: u64,
}

impl JournalLayout {
    /// The layout of a journal of `journal_mib` MiB on a drive with zones of `zone_bytes`. Where the journal is large
    /// enough, segments are not smaller than a zone, because a log has whole zones.
    #[must_use]
    pub fn of(journal_mib: u32, zone_bytes: u64) -> JournalLayout {
        let bytes = u64::from(journal_mib) * MIB;
        let segments = (bytes / SEGMENT_BYTES.max(zone_bytes)).max(u64::from(MIN_SEGMENTS));
        let segment_bytes = (bytes / segments).max(MIN_SEGMENT_BYTES) / BLOCK_SIZE as u64 * BLOCK_SIZE as u64;
        // At most 2^32 MiB in segments of 4 MiB.
        JournalLayout { segments: segments as u32, segment_bytes }
    }
}

/// The packing of slab areas in a metadata object: as many areas as fit the fewest zones that hold one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AreaPacking {
    /// Slab areas in an object.
    pub areas: u32,
    /// Zones of an object.
    pub zones: u64,
}

impl AreaPacking {
    /// The packing for slabs of `slab_blocks` on a drive with zones of `zone_bytes`.
    #[must_use]
    pub fn of(slab_blocks: u64, zone_bytes: u64) -> AreaPacking {
        let area_bytes = u64::from(AreaLayout::of(slab_blocks).blocks()) * BLOCK_SIZE as u64;
        let zones = area_bytes.div_ceil(zone_bytes.max(1));
        let areas = zones.saturating_mul(zone_bytes) / area_bytes;
        AreaPacking { areas: u32::try_from(areas).unwrap_or(u32::MAX).max(1), zones }
    }
}

/// The zones that the index takes in the pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct IndexLayout {
    /// Closed chapters that are kept; 0 without a history.
    pub chapters: u64,
    /// Zones for them, for the open chapter, and for the one that is being closed.
    pub zones: u64,
}

impl IndexLayout {
    /// The layout of a history of `history_mib` MiB, which has at least one chapter, in zones of `zone_bytes`.
    #[must_use]
    pub fn of(history_mib: u32, zone_bytes: u64) -> IndexLayout {
        if history_mib == 0 {
            return IndexLayout::default();
        }
        let chapters = (u64::from(history_mib) * MIB / zone_bytes.max(1)).max(1);
        IndexLayout { chapters, zones: chapters + 2 }
    }
}

/// The zones that a volume needs besides its slabs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Footprint {
    /// Zones of the CAPACITY drive: the volume's MDC.
    pub capacity_zones: u64,
    /// Zones of the drive of the metadata class, which may be the same drive: slab areas, roots, journals.
    pub metadata_zones: u64,
}

impl Footprint {
    /// Computes the footprint from slab size and number, journal size and shards, and the zone sizes of both drives.
    #[must_use]
    pub fn of(
        (slab_blocks, slabs): (u64, u64),
        (journal_mib, shards): (u32, usize),
        (capacity_zone_bytes, metadata_zone_bytes): (u64, u64),
    ) -> Footprint {
        let packing = AreaPacking::of(slab_blocks, metadata_zone_bytes);
        let journal = JournalLayout::of(journal_mib, metadata_zone_bytes);
        let zone_bytes = metadata_zone_bytes.max(1);
        let areas = slabs.div_ceil(packing.areas.into()) * packing.zones;
        let segments = u64::from(journal.segments) * shards as u64 * journal.segment_bytes.div_ceil(zone_bytes);
        Footprint {
            capacity_zones: 2 * mdc_bytes(slabs).div_ceil(capacity_zone_bytes.max(1)),
            metadata_zones: areas + segments + ROOT_BYTES.div_ceil(zone_bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn journals_are_cut_into_segments() {
        let cut = |journal_mib, zone_mib| {
            let layout = JournalLayout::of(journal_mib, zone_mib * MIB);
            (layout.segments, layout.segment_bytes >> 10)
        };
        assert_eq!(cut(32, 1), (8, 4096));
        assert_eq!(cut(16, 1), (4, 4096));
        assert_eq!(cut(4, 1), (4, 1024));
        assert_eq!(cut(1, 1), (4, 256));
        assert_eq!(cut(0, 1), (4, 256), "never none");
        assert_eq!(cut(64, 32), (4, 16 << 10), "not 16 zones for 4 MiB each");
        assert_eq!(cut(256, 32), (8, 32 << 10));
        assert_eq!(cut(7, 1), (4, 1792));
    }

    #[test]
    fn areas_are_packed_into_whole_zones() {
        let pack = |slab_blocks, zone_mib| {
            let packing = AreaPacking::of(slab_blocks, zone_mib * MIB);
            (packing.areas, packing.zones)
        };
        assert_eq!(pack(1 << 11, 1), (7, 1), "34 blocks each");
        assert_eq!(pack(1 << 19, 32), (23, 1), "356 blocks each");
        assert_eq!(pack(1 << 19, 1), (1, 2));
        assert_eq!(pack(1 << 23, 1), (1, 10));
    }

    #[test]
    fn a_history_fills_its_window() {
        let lay_out = |history_mib, zone_mib| {
            let layout = IndexLayout::of(history_mib, zone_mib * MIB);
            (layout.chapters, layout.zones)
        };
        assert_eq!(lay_out(32, 1), (32, 34));
        assert_eq!(lay_out(32, 8), (4, 6));
        assert_eq!(lay_out(4, 32), (1, 3), "never less than one");
        assert_eq!(lay_out(0, 32), (0, 0), "none");
    }

    #[test]
    fn footprints_count_every_object() {
        let small = Footprint::of((1 << 11, 8), (4, 2), (MIB, MIB));
        assert_eq!(small, Footprint { capacity_zones: 2, metadata_zones: 2 + 8 + 1 });
        let large = Footprint::of((1 << 19, 1 << 17), (256, 4), (32 * MIB, 64 * MIB));
        let areas = (1_u64 << 17).div_ceil(46);
        assert_eq!(large, Footprint { capacity_zones: 2, metadata_zones: areas + 16 + 1 });
    }
}

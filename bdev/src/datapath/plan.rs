// SPDX-License-Identifier: BSD-3-Clause

//! What a shard is started with.

use std::sync::Arc;

use engine::fingerprint::Fingerprinter;
use engine::format::slab_summary::SlabSummary;
use engine::format::{Geometry, JournalSegment, Placement};
use engine::journal::JOURNAL_BLOCKS;
use engine::packing::candidates::RepackCandidates;
use engine::packing::packer::Packer;
use engine::packing::relocator::Relocator;
use engine::request::Piece;
use engine::slabs::ReserveConfig;
use engine::swapper::{HOLDS, MAX_SWAPS};
use engine::{HistoryConfig, IndexImage, MetadataConfig, BLOCK_SIZE};

use super::app_calls::AppSide;
use super::env::Mail;
use super::peers::Peers;
use super::request::RequestHandle;
use super::ring::{self, Receiver, Sender};
use super::transfer::SLOT_BYTES;
use crate::spdk::buffer::Buf;
use crate::spdk::open_bdev::BaseHandle;
use crate::spdk::thread::Thread;

/// Blocks in flight in one shard (2048 data_vios).
pub const VIOS: usize = 2048;
/// Pieces in one shard.
pub const PIECES: usize = 2048;
/// Blocks for the content of blocks in flight. Fewer than those: with 4 MiB under way any base has enough to do, and what
/// is parked, or waits for a lock or the journal, leaves it the rest.
pub const BOUNCE_BLOCKS: usize = 1024;
/// Blocks for verify reads.
pub const VERIFY_BLOCKS: usize = 512;
/// Blocks for compressed blocks on their way to the base.
pub const CONTAINER_BLOCKS: usize = 128;
/// Blocks for compressed blocks whose fragments may be moved.
pub const RELOCATION_BLOCKS: usize = 8;
/// Blocks for compressed blocks that are written anew because the volume is full.
pub const SWAP_BLOCKS: usize = MAX_SWAPS;
/// Blocks for transfers of block-map pages.
pub const MAP_BLOCKS: usize = 128;
/// Blocks for transfers of slab journals, reference counts and summaries.
pub const SLAB_BLOCKS: usize = 256;
/// DMA memory of one shard, in bytes.
pub const DMA_BYTES: u64 = (TRANSFERS * BLOCK_SIZE) as u64;

/// What a shard takes for compression in bytes, whether that is on or off, besides buffers.
const COMPRESSION_BYTES: u64 = (Packer::BYTES + Relocator::<Buf>::QUEUE_BYTES + RepackCandidates::BYTES) as u64;

/// Foreign pieces that wait for the engine without memory being allocated.
pub const WAITING_PIECES: usize = 4096;
/// Transfers that can be under way without memory being allocated. A volume of one shard never has more: each has at least
/// one block of a pool. With several, a shard may have more blocks of others' requests to write than others have of its
/// own, and then may need more.
pub const TRANSFERS: usize = BOUNCE_BLOCKS
    + VERIFY_BLOCKS
    + CONTAINER_BLOCKS
    + RELOCATION_BLOCKS
    + SWAP_BLOCKS
    + JOURNAL_BLOCKS
    + MAP_BLOCKS
    + SLAB_BLOCKS;

/// What a block in flight takes in its logical zone, as was measured.
const VIO_BYTES: usize = 944;
/// What a block in flight anywhere in the volume takes in the hash zone and the physical zone of each shard, as was
/// measured: all of them may have the same.
const MEMBER_BYTES: usize = 432;
/// What a piece takes, as was measured.
const PIECE_BYTES: usize = 128;
/// What a shard takes besides, as was measured: mostly tables of the block map's cache, journal and index.
const REST_BYTES: usize = 3 << 20;

/// Memory of the arenas of one of so many shards, in bytes, rounded up: requests, locks, rings, compression.
pub fn arena_bytes(shards: usize) -> u64 {
    let engine = (VIOS + HOLDS) * VIO_BYTES + VIOS * shards * MEMBER_BYTES + PIECES * PIECE_BYTES + REST_BYTES;
    let (ring, outbox) = ring::capacities(shards);
    let mail = (shards - 1) * (ring + outbox) * size_of::<Mail>();
    let host = TRANSFERS * SLOT_BYTES + WAITING_PIECES * size_of::<Piece<RequestHandle>>() + mail;
    (engine + host) as u64 + COMPRESSION_BYTES
}

/// What a shard is started with.
#[derive(Debug)]
pub struct Plan {
    /// The volume's layout.
    pub geometry: Geometry,
    /// The bdevs that the pool's drives are, in the order in which the placement numbers them.
    pub bases: Vec<BaseHandle>,
    /// Where the volume's objects lie on them.
    pub placement: Arc<Placement>,
    /// SPDK's application thread.
    pub app: Thread,
    /// What it does there for the shard.
    pub app_side: &'static dyn AppSide,
    /// The volume's key there.
    pub key: u64,
    /// Bytes of this shard's part of the index.
    pub index_bytes: usize,
    /// This shard's part of the index as the last stop has left it.
    pub index_image: Option<IndexImage>,
    /// This shard's part of the index's history; none without one.
    pub history: Option<HistoryConfig>,
    /// Compression is on.
    pub compression: bool,
    /// The volume's fingerprints.
    pub fingerprinter: Fingerprinter,
    /// The volume's name, for the log.
    pub volume_name: Arc<str>,
    /// What load has found on media.
    pub metadata: MetadataPlan,
    /// Rings to the other shards.
    pub outgoing: Vec<Option<Sender<Mail>>>,
    /// Rings from the other shards.
    pub incoming: Vec<Option<Receiver<Mail>>>,
    /// All shards of the volume.
    pub peers: Peers,
}

/// A shard's metadata at its start.
#[derive(Debug)]
pub struct MetadataPlan {
    /// The volume's nonce.
    pub nonce: u64,
    /// Load generation.
    pub generation: u64,
    /// Writes that have ended may be in a volatile cache.
    pub volatile_cache: bool,
    /// What is kept back when the volume is full.
    pub reserve: ReserveConfig,
    /// Block-map pages of this shard kept in memory.
    pub map_pages_cached: usize,
    /// Erased segments for the shard's journal.
    pub segments: Vec<JournalSegment>,
    /// Summaries of the shard's slabs, in the order of their numbers.
    pub summaries: Vec<SlabSummary>,
    /// Logical blocks in use, for the shard that begins with all of them.
    pub logical_blocks_used: i64,
    /// Likewise pages of the block map.
    pub map_pages: i64,
}

/// Block-map pages that each of `shards` shards keeps in memory when all have `mib` MiB for them, but as many as its
/// blocks in flight need.
pub fn map_pages_cached(mib: u64, shards: usize) -> usize {
    let share = (mib << 20) / BLOCK_SIZE as u64 / shards as u64;
    (share as usize).max(MetadataConfig::<Buf>::minimum_map_pages(VIOS))
}

/// Memory of the block map's cache over all shards.
pub fn map_cache_bytes(mib: u64, shards: usize) -> u64 {
    (map_pages_cached(mib, shards) * shards * BLOCK_SIZE) as u64
}

#[cfg(test)]
mod tests {
    use core::ptr::NonNull;

    use engine::fingerprint::SECRET_BYTES;
    use engine::{Blocks, Pbn, Shard, ShardConfig, ShardId};
    use mpool::mlog::Stamp;
    use uuid::Uuid;

    use super::*;
    use crate::datapath::env::HostEnv;

    #[test]
    fn the_cache_is_dealt_to_the_shards_and_has_a_least_size() {
        assert_eq!(map_pages_cached(128, 2), 128 * 256 / 2);
        assert_eq!(map_cache_bytes(128, 2), 128 << 20);
        let least = map_pages_cached(1, 1);
        assert!(least > VIOS, "{least} pages for {VIOS} blocks in flight");
        assert_eq!(map_pages_cached(128, 32), least);
        assert_eq!(map_cache_bytes(1, 32), (32 * least * BLOCK_SIZE) as u64);
    }

    /// What the engine of the first of so many shards allocates, with a small cache of the block map and 1 MiB of index.
    fn engine_bytes(shards: usize) -> u64 {
        const SLABS: usize = 32;
        const SLAB_BLOCKS_EACH: u64 = 64;
        let end = Pbn(1 + SLABS as u64 * SLAB_BLOCKS_EACH);
        let geometry = Geometry::new(shards, Blocks(504 * 64), Pbn(1), end, SLAB_BLOCKS_EACH).expect("a valid layout");
        // The engine is built and does nothing.
        let buf = Buf::at(NonNull::dangling());
        let bufs = |count| vec![buf; count];
        let segment = |number| JournalSegment {
            number,
            capacity_bytes: 32 << 20,
            sector_bytes: BLOCK_SIZE,
            stamp: Stamp { uuid: Uuid::from_u128(u128::from(number) + 1), generation: 1 },
        };
        let config = ShardConfig {
            id: ShardId(0),
            geometry,
            vios: VIOS,
            pieces: PIECES,
            bounce: bufs(BOUNCE_BLOCKS),
            verify: bufs(VERIFY_BLOCKS),
            containers: bufs(CONTAINER_BLOCKS),
            relocation: bufs(RELOCATION_BLOCKS),
            swaps: bufs(SWAP_BLOCKS),
            compression: true,
            index_bytes: 1 << 20,
            index_image: None,
            history: None,
            fingerprinter: Fingerprinter::new([7; SECRET_BYTES]),
            metadata: MetadataConfig {
                nonce: 1,
                generation: 1,
                volatile_cache: true,
                reserve: ReserveConfig::default(),
                map_pages_cached: map_pages_cached(1, shards),
                map_bufs: bufs(MAP_BLOCKS),
                journal_bufs: bufs(JOURNAL_BLOCKS),
                slab_bufs: bufs(SLAB_BLOCKS),
                segments: (0..4).map(segment).collect(),
                summaries: vec![SlabSummary::new(SLAB_BLOCKS_EACH as u32); SLABS / shards],
                logical_blocks_used: 0,
                map_pages: 0,
            },
        };
        let mut shard = None;
        let counted = allocation_counter::measure(|| shard = Some(Shard::<HostEnv>::new(config)));
        counted.bytes_current.unsigned_abs()
    }

    #[test]
    fn no_more_is_allocated_than_planned_and_little_less() {
        for shards in [1, 2, 4, 8, 16, 32] {
            let (ring, outbox) = ring::capacities(shards);
            let mail = (shards - 1) * (ring + outbox) * size_of::<Mail>();
            let host = TRANSFERS * SLOT_BYTES + WAITING_PIECES * size_of::<Piece<RequestHandle>>() + mail;
            let taken = engine_bytes(shards) + host as u64;
            let planned = arena_bytes(shards) + map_cache_bytes(1, shards) / shards as u64 + (1 << 20);
            assert!((planned * 4 / 5..=planned).contains(&taken), "{shards} shards: {taken} of {planned} bytes");
        }
    }

    #[test]
    fn compression_takes_what_the_readme_says() {
        let kib = COMPRESSION_BYTES / 1024;
        assert!((1230..=1331).contains(&kib), "{kib} KiB are not 1.3 MiB");
    }
}

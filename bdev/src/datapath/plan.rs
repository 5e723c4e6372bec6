// SPDX-License-Identifier: BSD-3-Clause

//! What a shard is started with, and how much memory it takes.

use std::sync::Arc;

use engine::format::Placement;
use engine::journal::JOURNAL_BLOCKS;
use engine::packing::candidates::RepackCandidates;
use engine::packing::packer::Packer;
use engine::packing::relocator::Relocator;
use engine::request::Piece;
use engine::swapper::{HOLDS, MAX_SWAPS};
use engine::{MetadataConfig, ShardConfig, BLOCK_SIZE};

use super::app_calls::AppSide;
use super::env::Mail;
use super::peers::Peers;
use super::request::RequestHandle;
use super::ring::{self, Receiver, Sender};
use super::transfer::SLOT_BYTES;
use crate::spdk::buffer::Buf;
use crate::spdk::open_bdev::BaseHandle;
use crate::spdk::thread::Thread;

/// Blocks in flight in one shard (dm-vdo: 2048 data_vios).
pub const VIOS: usize = 2048;
/// Pieces in one shard.
pub const PIECES: usize = 2048;
/// Buffers for the content of blocks in flight. Fewer than `VIOS`: 4 MiB in flight keep any base busy, and a block that
/// is parked, or waits for a lock or the journal, leaves its buffer to the others.
pub const BOUNCE_BLOCKS: usize = 1024;
pub const VERIFY_BLOCKS: usize = 512;
/// Buffers for compressed blocks that are being written to the base.
pub const CONTAINER_BLOCKS: usize = 128;
/// Buffers for compressed blocks whose fragments may be moved.
pub const RELOCATION_BLOCKS: usize = 8;
/// Buffers for compressed blocks that are rewritten because the volume is full.
pub const SWAP_BLOCKS: usize = MAX_SWAPS;
/// Buffers for transfers of block-map pages.
pub const MAP_BLOCKS: usize = 128;
/// Buffers for transfers of slab journals, reference counts and summaries.
pub const SLAB_BLOCKS: usize = 256;
/// DMA memory of one shard, in bytes.
pub const DMA_BYTES: u64 = (TRANSFERS * BLOCK_SIZE) as u64;

/// What a shard needs for compression besides buffers, in bytes, whether compression is on or off.
const COMPRESSION_BYTES: u64 = (Packer::BYTES + Relocator::<Buf>::QUEUE_BYTES + RepackCandidates::BYTES) as u64;

/// Pieces of other shards' requests that can wait for the engine before the queue allocates more memory.
pub const WAITING_PIECES: usize = 4096;
/// Transfers that can be in flight before another slot is allocated. A volume of one shard never exceeds this: each
/// transfer has at least one buffer of a pool. With several shards, one shard may have to write more blocks of the
/// other shards' requests than those have buffers of their own, and then may need more.
pub const TRANSFERS: usize = BOUNCE_BLOCKS
    + VERIFY_BLOCKS
    + CONTAINER_BLOCKS
    + RELOCATION_BLOCKS
    + SWAP_BLOCKS
    + JOURNAL_BLOCKS
    + MAP_BLOCKS
    + SLAB_BLOCKS;

/// Memory of a block in flight in its logical zone, measured.
const VIO_BYTES: usize = 944;
/// Memory of a block in flight in the hash zone and the physical zone, measured. Every shard has room for all blocks in
/// flight in the volume, because all of them may have the same content.
const MEMBER_BYTES: usize = 432;
/// Memory of a piece, measured.
const PIECE_BYTES: usize = 128;
/// Other memory of a shard, measured: mostly tables of the block map's cache, the journal and the index.
const REST_BYTES: usize = 3 << 20;

/// Memory of the arenas of one of `shards` shards, in bytes, rounded up: requests, locks, rings, compression.
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
    pub engine: ShardConfig,
    /// The bdevs of the pool's drives, in the order in which the placement numbers them.
    pub bases: Vec<BaseHandle>,
    /// Where the volume's objects lie on the bdevs.
    pub placement: Arc<Placement>,
    pub app: Thread,
    /// What the application thread does for the shard.
    pub app_side: &'static dyn AppSide,
    /// The volume's key on the application thread.
    pub key: u64,
    /// For the log.
    pub volume_name: Arc<str>,
    /// Rings to the other shards; none for the shard itself.
    pub outgoing: Vec<Option<Sender<Mail>>>,
    /// Rings from the other shards; none for the shard itself.
    pub incoming: Vec<Option<Receiver<Mail>>>,
    /// All shards of the volume, this one included.
    pub peers: Peers,
}

/// Block-map pages that each of `shards` shards caches when all together have `mib` MiB for them, but at least as many
/// as its blocks in flight need.
pub fn map_pages_cached(mib: u64, shards: usize) -> usize {
    let share = (mib << 20) / BLOCK_SIZE as u64 / shards as u64;
    (share as usize).max(MetadataConfig::minimum_map_pages(VIOS))
}

/// Memory of the block map's cache over all shards, in bytes.
pub fn map_cache_bytes(mib: u64, shards: usize) -> u64 {
    (map_pages_cached(mib, shards) * shards * BLOCK_SIZE) as u64
}

#[cfg(test)]
mod tests {
    use core::ptr::NonNull;

    use engine::fingerprint::{Fingerprinter, SECRET_BYTES};
    use engine::format::slab_summary::SlabSummary;
    use engine::format::{Geometry, JournalSegment};
    use engine::slabs::ReserveConfig;
    use engine::{Blocks, Pbn, Shard, ShardBufs, ShardId};
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

    /// Memory that the engine of the first of `shards` shards allocates, with a small block-map cache and 1 MiB of
    /// index.
    fn engine_bytes(shards: usize) -> u64 {
        const SLABS: usize = 32;
        const SLAB_BLOCKS_EACH: u64 = 64;
        let end = Pbn(1 + SLABS as u64 * SLAB_BLOCKS_EACH);
        let geometry = Geometry::new(shards, Blocks(504 * 64), Pbn(1), end, SLAB_BLOCKS_EACH).expect("a valid layout");
        // The engine is only built; it does not run.
        let buf = Buf::at(NonNull::dangling());
        let bufs = |count| vec![buf; count];
        let bufs = ShardBufs {
            bounce: bufs(BOUNCE_BLOCKS),
            verify: bufs(VERIFY_BLOCKS),
            containers: bufs(CONTAINER_BLOCKS),
            relocation: bufs(RELOCATION_BLOCKS),
            swaps: bufs(SWAP_BLOCKS),
            map: bufs(MAP_BLOCKS),
            journal: bufs(JOURNAL_BLOCKS),
            slabs: bufs(SLAB_BLOCKS),
        };
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
            compression: true,
            index_bytes: 1 << 20,
            history: None,
            fingerprinter: Fingerprinter::new([7; SECRET_BYTES]),
            metadata: MetadataConfig {
                nonce: 1,
                generation: 1,
                volatile_cache: true,
                reserve: ReserveConfig::default(),
                map_pages_cached: map_pages_cached(1, shards),
                segments: (0..4).map(segment).collect(),
                summaries: vec![SlabSummary::new(SLAB_BLOCKS_EACH as u32); SLABS / shards],
                logical_blocks_used: 0,
                map_pages: 0,
            },
        };
        let mut shard = None;
        let counted = allocation_counter::measure(|| shard = Some(Shard::<HostEnv>::new(config, bufs)));
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

// SPDX-License-Identifier: BSD-3-Clause

//! What a shard is started with.

use std::sync::Arc;

use engine::hash::{Fingerprinter, HistoryConfig, IndexImage};
use engine::io::packer::BINS;
use engine::io::stock::Stock;
use engine::logical::journal::JOURNAL_BLOCKS;
use engine::media::slab_summary::SlabSummary;
use engine::volume::{Geometry, JournalSegment, Placement};
use engine::{MetadataConfig, Pbn, BLOCK_SIZE};

use crate::buffer::Buf;
use crate::host_env::Mail;
use crate::mail::{Receiver, Sender};
use crate::peers::Peers;
use crate::thread::Thread;
use crate::transfer::BaseHandle;

/// Blocks in flight in one shard (vdo.md section 0: 2048 data_vios).
pub const VIOS: usize = 2048;
/// Pieces in one shard.
pub const PIECES: usize = 2048;
/// Blocks for data that cannot be used where the client has it.
pub const BOUNCE_BLOCKS: usize = 256;
/// Blocks for verify reads.
pub const VERIFY_BLOCKS: usize = 512;
/// Blocks for compressed blocks on their way to the base.
pub const CONTAINER_BLOCKS: usize = 128;
/// Blocks for compressed blocks whose fragments may be moved.
pub const RELOCATION_BLOCKS: usize = 8;
/// Blocks for transfers of block-map pages.
pub const MAP_BLOCKS: usize = 128;
/// Blocks for transfers of slab journals, reference counts and summaries.
pub const SLAB_BLOCKS: usize = 256;
/// DMA memory of one shard, in bytes.
pub const DMA_BYTES: u64 =
    ((BOUNCE_BLOCKS + VERIFY_BLOCKS + CONTAINER_BLOCKS + RELOCATION_BLOCKS + JOURNAL_BLOCKS + MAP_BLOCKS + SLAB_BLOCKS)
        * BLOCK_SIZE) as u64;

/// Memory of a shard's packer: of each bin a block, and whose fragments are in it.
const PACKER_BYTES: usize = BINS * (BLOCK_SIZE + 384);
/// Memory of the queue of a shard's relocator: numbers of 2^16 blocks.
const RELOCATOR_BYTES: usize = (1 << 16) * size_of::<Pbn>();
/// What a shard takes for compression in bytes, whether that is on or off, besides buffers.
const COMPRESSION_BYTES: u64 = (PACKER_BYTES + RELOCATOR_BYTES + Stock::BYTES) as u64;

/// Rough size of a shard's arenas: requests, locks, rings, compression.
pub const ARENA_BYTES: u64 = (VIOS as u64) * 2048 + (PIECES as u64) * 256 + (1 << 20) + COMPRESSION_BYTES;

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
    use super::*;

    #[test]
    fn the_cache_is_dealt_to_the_shards_and_has_a_least_size() {
        assert_eq!(map_pages_cached(128, 2), 128 * 256 / 2);
        assert_eq!(map_cache_bytes(128, 2), 128 << 20);
        let least = map_pages_cached(1, 1);
        assert!(least > VIOS, "{least} pages for {VIOS} blocks in flight");
        assert_eq!(map_pages_cached(128, 32), least);
        assert_eq!(map_cache_bytes(1, 32), (32 * least * BLOCK_SIZE) as u64);
    }

    #[test]
    fn compression_takes_what_the_readme_says() {
        let kib = COMPRESSION_BYTES / 1024;
        assert!((1230..=1331).contains(&kib), "{kib} KiB are not 1.3 MiB");
    }
}

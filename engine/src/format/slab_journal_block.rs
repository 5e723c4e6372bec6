// SPDX-License-Identifier: BSD-3-Clause

//! Blocks of a slab journal: changes of reference counts, in order.
//!
//! ```text
//!  sector 0                                   sectors 1 .. 7
//!  offset size                                offset size
//!       0    8  sequence number of the block       0  504  126 entries of 4 bytes
//!       8    8  number of the first entry
//!      16    2  entries in the block
//!      18    2  0
//!      20  484  121 entries of 4 bytes
//!
//!  entry, little-endian:   31 30 29              7 6      0
//!                         +-----+-----------------+--------+
//!                         | kind| offset (23 bit) | count-1|
//!                         +-----+-----------------+--------+
//! ```
//! An entry changes 1 to 128 consecutive counters in the same way. The entries of a slab are numbered from 0 over all
//! its blocks; a run is one entry. The stamp of every sector is the low 32 bits of the block's sequence number, so a
//! torn block does not pass for a whole one.
//!
//! Differs from dm-vdo: entries carry their kind instead of a bitmap behind them, and there are runs, for discards.
//! Head and recovery points are in the summary, which is written after each block anyway.

use mpool::format::fields::{FieldReader, FieldWriter, Truncated};
use thiserror::Error;

use super::area::AreaBlock;
use super::sector::{self, DamagedSector, Kind, CONTENT_BYTES, SECTORS_PER_BLOCK};
use crate::units::Block;

/// The most entries in a block.
pub const ENTRIES_PER_BLOCK: usize = ENTRIES_IN_FIRST_SECTOR + (SECTORS_PER_BLOCK - 1) * CONTENT_BYTES / ENTRY_BYTES;

/// The most blocks that one entry can change.
pub const MAX_RUN: u32 = 1 << RUN_BITS;

const ENTRIES_IN_FIRST_SECTOR: usize = (CONTENT_BYTES - HEADER_BYTES) / ENTRY_BYTES;
const HEADER_BYTES: usize = 20;
const ENTRY_BYTES: usize = 4;
const RUN_BITS: u32 = 7;
const OFFSET_BITS: u32 = 23;
const KIND_SHIFT: u32 = RUN_BITS + OFFSET_BITS;

const _: () = assert!(ENTRIES_PER_BLOCK == 121 + 7 * 126);
const _: () = assert!(KIND_SHIFT + 2 == u32::BITS);

/// A change of one counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SlabChange {
    /// A data block gains a reference.
    Increment,
    /// A data block loses a reference.
    Decrement,
    /// A free block becomes a page of the block map: 254 references.
    BlockMapIncrement,
    /// The block of a block map page becomes free: no reference is left.
    BlockMapDecrement,
}

/// One entry of a slab journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlabEntry {
    /// The first block, counted from the start of the slab; below 2^23.
    pub offset: u32,
    /// The number of blocks, 1 to [`MAX_RUN`].
    pub count: u8,
    /// The change of each block's counter.
    pub change: SlabChange,
}

impl SlabEntry {
    /// Encodes the entry in 4 bytes.
    ///
    /// # Panics
    /// If offset or count is out of range.
    #[must_use]
    pub const fn pack(self) -> u32 {
        assert!(self.offset < 1 << OFFSET_BITS, "offsets are below 2^23");
        assert!(self.count >= 1 && self.count as u32 <= MAX_RUN, "a run has 1 to 128 blocks");
        (self.change as u32) << KIND_SHIFT | self.offset << RUN_BITS | (self.count as u32 - 1)
    }

    /// Decodes an entry; all four kinds are valid. The run may still end beyond the slab.
    #[must_use]
    pub const fn unpack(raw: u32) -> SlabEntry {
        let change = match raw >> KIND_SHIFT {
            0 => SlabChange::Increment,
            1 => SlabChange::Decrement,
            2 => SlabChange::BlockMapIncrement,
            _ => SlabChange::BlockMapDecrement,
        };
        let offset = raw >> RUN_BITS & ((1 << OFFSET_BITS) - 1);
        let count = (raw & (MAX_RUN - 1)) as u8 + 1;
        SlabEntry { offset, count, change }
    }

    /// Splits the same change of any number of blocks into entries.
    pub fn runs(offset: u32, blocks: u32, change: SlabChange) -> impl Iterator<Item = SlabEntry> {
        (0..blocks).step_by(MAX_RUN as usize).map(move |done| SlabEntry {
            offset: offset + done,
            count: (blocks - done).min(MAX_RUN) as u8,
            change,
        })
    }
}

/// The fields in the header of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The sequence number of the block; the first block of a slab is 1.
    pub sequence: u64,
    /// The number of the block's first entry.
    pub first_entry: u64,
    /// The number of entries, up to [`ENTRIES_PER_BLOCK`].
    pub count: u16,
}

impl Header {
    /// The number of the entry behind the block's last.
    #[must_use]
    pub const fn next_entry(&self) -> u64 {
        self.first_entry + self.count as u64
    }
}

/// Why a block is not a block of a slab journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SlabJournalDamage {
    /// A sector is damaged, or belongs elsewhere.
    #[error(transparent)]
    Sector(#[from] DamagedSector),
    /// A sector belongs to another block that was written to the same place.
    #[error("sector {sector} is of block {stamp:#x} (low 32 bits), not of block {sequence}")]
    Torn {
        /// The sector's number in the block.
        sector: u8,
        /// The stamp that it has.
        stamp: u32,
        /// The sequence number in the first sector.
        sequence: u64,
    },
    /// More entries than a block holds, or than there are numbers for.
    #[error("{count} entries from number {first_entry} on are more than possible")]
    Count {
        /// The number of the first entry.
        first_entry: u64,
        /// The number of entries.
        count: u16,
    },
}

/// The 4-byte fields of the entries, in order.
fn fields(block: &Block) -> impl Iterator<Item = [u8; ENTRY_BYTES]> + '_ {
    sector::sectors(block).iter().enumerate().flat_map(|(number, sector)| {
        let from = if number == 0 { HEADER_BYTES } else { 0 };
        sector[from..CONTENT_BYTES].as_chunks::<ENTRY_BYTES>().0.iter().copied()
    })
}

/// Encodes a block of `entries`.
///
/// # Panics
/// If there are more entries than fit.
pub fn encode(
    id: AreaBlock,
    sequence: u64,
    first_entry: u64,
    entries: impl ExactSizeIterator<Item = SlabEntry>,
    block: &mut Block,
) {
    assert!(entries.len() <= ENTRIES_PER_BLOCK, "{} entries in a block", entries.len());
    block.fill(0);
    let count = entries.len() as u16;
    FieldWriter::new(&mut block[..HEADER_BYTES]).u64(sequence).u64(first_entry).u16(count);
    let mut entries = entries;
    for (number, sector) in sector::sectors_mut(block).iter_mut().enumerate() {
        let from = if number == 0 { HEADER_BYTES } else { 0 };
        let (fields, _) = sector[from..CONTENT_BYTES].as_chunks_mut::<ENTRY_BYTES>();
        for (field, entry) in fields.iter_mut().zip(&mut entries) {
            *field = entry.pack().to_le_bytes();
        }
    }
    sector::seal_block(block, id.identity(Kind::SlabJournal), sequence as u32);
}

/// Decodes a block: its header, and its entries in order.
///
/// # Errors
/// The first defect found.
pub fn decode(
    id: AreaBlock,
    block: &Block,
) -> Result<(Header, impl Iterator<Item = SlabEntry> + '_), SlabJournalDamage> {
    let stamps = sector::open_block(block, id.identity(Kind::SlabJournal))?;
    let header = read_header(block).map_err(|Truncated| DamagedSector(0))?;
    for (sector, stamp) in (0..).zip(stamps) {
        if stamp != header.sequence as u32 {
            return Err(SlabJournalDamage::Torn { sector, stamp, sequence: header.sequence });
        }
    }
    let Header { first_entry, count, .. } = header;
    if usize::from(count) > ENTRIES_PER_BLOCK || first_entry.checked_add(u64::from(count)).is_none() {
        return Err(SlabJournalDamage::Count { first_entry, count });
    }
    let raw = fields(block).map(u32::from_le_bytes).take(usize::from(count));
    Ok((header, raw.map(SlabEntry::unpack)))
}

fn read_header(block: &Block) -> Result<Header, Truncated> {
    let mut reader = FieldReader::new(&block[..HEADER_BYTES]);
    Ok(Header { sequence: reader.u64()?, first_entry: reader.u64()?, count: reader.u16()? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::testing::{code_at, Mutations, Numbers};
    use crate::units::BLOCK_SIZE;

    const ID: AreaBlock = AreaBlock { nonce: 0x1122_3344_5566_7788, slab: 5, block: 40 };
    const SEQUENCE: u64 = 0x0a_0102_0304;

    fn entries(count: usize) -> Vec<SlabEntry> {
        let mut numbers = Numbers::new(3);
        let kinds = [
            SlabChange::Increment,
            SlabChange::Decrement,
            SlabChange::BlockMapIncrement,
            SlabChange::BlockMapDecrement,
        ];
        (0..count)
            .map(|_| SlabEntry {
                offset: numbers.below(1 << 23) as u32,
                count: 1 + numbers.below(128) as u8,
                change: kinds[numbers.below(4) as usize],
            })
            .collect()
    }

    fn sealed(first_entry: u64, entries: &[SlabEntry]) -> Block {
        let mut block = [0xee; BLOCK_SIZE];
        encode(ID, SEQUENCE, first_entry, entries.iter().copied(), &mut block);
        block
    }

    fn read(id: AreaBlock, block: &Block) -> Result<(Header, Vec<SlabEntry>), SlabJournalDamage> {
        decode(id, block).map(|(header, entries)| (header, entries.collect()))
    }

    /// A block in which some bytes are replaced, sealed again.
    fn altered(good: &Block, at: usize, bytes: &[u8]) -> Block {
        let mut bad = *good;
        bad[at..at + bytes.len()].copy_from_slice(bytes);
        sector::seal_block(&mut bad, ID.identity(Kind::SlabJournal), SEQUENCE as u32);
        bad
    }

    #[test]
    fn golden_bytes() {
        let entry = SlabEntry { offset: 0x40_0001, count: 128, change: SlabChange::BlockMapIncrement };
        assert_eq!(entry.pack().to_le_bytes(), [0xff, 0, 0, 0xa0]);
        let block = sealed(0x0b0c, &[entry; 122]);
        assert_eq!(block[..12], [4, 3, 2, 1, 10, 0, 0, 0, 0x0c, 0x0b, 0, 0]);
        assert_eq!(block[16..24], [122, 0, 0, 0, 0xff, 0, 0, 0xa0]);
        assert_eq!(block[500..508], [0xff, 0, 0, 0xa0, 4, 3, 2, 1]);
        assert_eq!(block[512..520], [0xff, 0, 0, 0xa0, 0, 0, 0, 0], "entry 121 begins the second sector");
        assert_eq!([0, 7].map(|sector| code_at(&block, sector)), GOLDEN);
    }

    /// Check codes by another implementation of the layout above.
    const GOLDEN: [u32; 2] = [0x0bc7_b3ad, 0x7970_c745];

    #[test]
    fn what_was_written_is_read() {
        for count in [0, 1, 121, 122, 500, ENTRIES_PER_BLOCK] {
            let entries = entries(count);
            let block = sealed(77, &entries);
            let header = Header { sequence: SEQUENCE, first_entry: 77, count: count as u16 };
            assert_eq!(header.next_entry(), 77 + count as u64);
            assert_eq!(read(ID, &block), Ok((header, entries)));
        }
    }

    #[test]
    fn long_runs_are_several_entries() {
        let runs = |blocks| {
            let entries = SlabEntry::runs(7, blocks, SlabChange::Decrement);
            entries.map(|entry| (entry.offset, entry.count)).collect::<Vec<_>>()
        };
        assert_eq!(runs(1), [(7, 1)]);
        assert_eq!(runs(128), [(7, 128)]);
        assert_eq!(runs(504), [(7, 128), (135, 128), (263, 128), (391, 120)]);
    }

    #[test]
    fn damage_is_found() {
        let good = sealed(0, &entries(ENTRIES_PER_BLOCK));
        for (sector, bad) in Mutations::of(&good, 4).take(300) {
            assert_eq!(read(ID, &bad), Err(DamagedSector(sector).into()));
        }
        for id in [AreaBlock { slab: 6, ..ID }, AreaBlock { block: 2, ..ID }, AreaBlock { nonce: 0, ..ID }] {
            assert_eq!(read(id, &good), Err(DamagedSector(0).into()));
        }
        let too_many = altered(&good, 16, &1004u16.to_le_bytes());
        assert_eq!(read(ID, &too_many), Err(SlabJournalDamage::Count { first_entry: 0, count: 1004 }));
        let no_numbers = altered(&good, 8, &[0xff; 8]);
        assert_eq!(read(ID, &no_numbers), Err(SlabJournalDamage::Count { first_entry: u64::MAX, count: 1003 }));
        let sequence = altered(&good, 0, &[0]);
        let torn = SlabJournalDamage::Torn { sector: 0, stamp: SEQUENCE as u32, sequence: SEQUENCE & !0xff };
        assert_eq!(read(ID, &sequence), Err(torn));
    }

    /// vdo-101, partly: a block of the slab journal that is a mix of two that were written to its place is refused.
    #[test]
    fn torn_blocks_are_found() {
        let mut older = [0; BLOCK_SIZE];
        encode(ID, SEQUENCE - 32, 0, entries(900).into_iter(), &mut older);
        let newer = sealed(900, &entries(900));
        for mask in 1..255u8 {
            let mut torn = newer;
            for sector in (0..8).filter(|sector| mask & 1 << sector != 0) {
                torn[sector * 512..][..512].copy_from_slice(&older[sector * 512..][..512]);
            }
            assert!(matches!(read(ID, &torn), Err(SlabJournalDamage::Torn { .. })), "mask {mask:08b}");
        }
    }

    /// Sealed blocks with any content: one that decodes is encoded again as it was read.
    #[test]
    fn any_sealed_bytes_are_judged() {
        let mut numbers = Numbers::new(9);
        let mut passed = 0;
        for _ in 0..3_000 {
            let mut block = sealed(5, &entries(numbers.below(1004) as usize));
            for _ in 0..numbers.below(4) {
                let at = [numbers.below(20), numbers.below(4096)][numbers.below(2) as usize] as usize;
                block[at] = numbers.below(256) as u8;
            }
            let stamp = u32::from_le_bytes([block[0], block[1], block[2], block[3]]);
            sector::seal_block(&mut block, ID.identity(Kind::SlabJournal), stamp);
            if let Ok((header, entries)) = read(ID, &block) {
                passed += 1;
                assert_eq!(entries.len(), usize::from(header.count));
                let mut again = [0; BLOCK_SIZE];
                encode(ID, header.sequence, header.first_entry, entries.iter().copied(), &mut again);
                assert_eq!(read(ID, &again), Ok((header, entries)));
            }
        }
        assert!((1_000..2_990).contains(&passed), "{passed} passed");
    }
}

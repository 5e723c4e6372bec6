// SPDX-License-Identifier: BSD-3-Clause

//! The summary of a slab: what must be known of the slab before it is loaded.
//!
//! ```text
//!  offset size  (one sealed sector; the rest of the block is zero)
//!       0    8  head: oldest journal block that is needed
//!       8    8  tail: next journal block to be written
//!      16    8  number of the next journal entry
//!      24    4  free blocks
//!      28    1  bit 0: counts have been written, bit 1: opened
//!      29    3  0
//!      32    8  load generation that the points belong to
//!      40  256  32 points of 8 bytes, one for each recovery journal
//!     296  208  0
//! ```
//! The stamp is the low 32 bits of a number that the writer raises with each update; it is not interpreted.
//!
//! The summary is the commit point of everything in the area: it is one sector, so a power cut leaves the old one or
//! the new one. Journal blocks from `head` to before `tail` count; others do not, whatever they contain.
//!
//! Differs from dm-vdo, where two bytes for each slab say where the journal's last block is, and that block has head
//! and recovery point.

use mpool::format::fields::{FieldReader, FieldWriter, Truncated};
use thiserror::Error;

use super::area::{AreaBlock, MAX_JOURNAL_BLOCKS, SUMMARY_BLOCK};
use super::journal_record::Point;
use super::sector::{self, DamagedSector, Kind, CONTENT_BYTES};
use super::slab_journal_block::ENTRIES_PER_BLOCK;
use crate::units::{Block, MAX_SHARDS};

const BYTES: usize = 40 + 8 * MAX_SHARDS;

const _: () = assert!(BYTES == 296 && BYTES <= CONTENT_BYTES, "a summary is one sector");

/// Sequence numbers are below this (JOURNAL_OVERFLOW). At a million blocks a second they last for nine years.
pub const MAX_SEQUENCE: u64 = 1 << 48;

/// Entry numbers are below this.
const MAX_ENTRY_NUMBER: u64 = MAX_SEQUENCE * ENTRIES_PER_BLOCK as u64;

const COUNTS_WRITTEN: u8 = 1;
const OPENED: u8 = 2;

/// The fields of a slab's summary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlabSummary {
    /// Sequence number of the oldest journal block that is needed.
    pub head: u64,
    /// Sequence number of the next journal block to be written: blocks from `head` to before it count.
    pub tail: u64,
    /// Number of the next journal entry.
    pub next_entry: u64,
    /// Free blocks when the summary was written.
    pub free_blocks: u32,
    /// All reference blocks have been written once; until then the journal alone gives the counts.
    pub counts_written: bool,
    /// Blocks of the slab have been in use.
    pub opened: bool,
    /// Load generation that the points belong to.
    pub generation: u64,
    /// For each recovery journal the first point that the slab journal below `tail` does not contain.
    pub points: [Point; MAX_SHARDS],
}

/// Why a block is not the slab's summary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SummaryDamage {
    /// The sector is damaged, or belongs elsewhere.
    #[error(transparent)]
    Sector(#[from] DamagedSector),
    /// Head and tail are impossible for a journal.
    #[error("its journal has blocks {head} to {tail}")]
    Journal {
        /// The head that the summary names.
        head: u64,
        /// The tail that the summary names.
        tail: u64,
    },
    /// More entries than a journal can have had.
    #[error("its journal has had {0} entries")]
    Entries(u64),
    /// More free blocks than the slab has blocks.
    #[error("it counts {0} free blocks, more than there are")]
    FreeBlocks(u32),
    /// An unknown flag is set.
    #[error("its flags are {0:#04x}")]
    Flags(u8),
}

impl SlabSummary {
    /// The summary of a slab that has never been used.
    #[must_use]
    pub const fn new(slab_blocks: u32) -> SlabSummary {
        SlabSummary {
            head: 1,
            tail: 1,
            next_entry: 0,
            free_blocks: slab_blocks,
            counts_written: false,
            opened: false,
            generation: 0,
            points: [Point(0); MAX_SHARDS],
        }
    }

    /// The number of journal blocks that are needed.
    #[must_use]
    pub const fn journal_length(&self) -> u64 {
        self.tail - self.head
    }

    /// The points, if they belong to `generation`; points of another generation say nothing about its journals.
    #[must_use]
    pub const fn points_of(&self, generation: u64) -> [Point; MAX_SHARDS] {
        if self.generation == generation {
            self.points
        } else {
            [Point(0); MAX_SHARDS]
        }
    }

    /// Encodes the summary's block.
    pub fn encode(&self, nonce: u64, slab: u64, update: u32, block: &mut Block) {
        block.fill(0);
        let [sector, ..] = sector::sectors_mut(block);
        let flags = if self.counts_written { COUNTS_WRITTEN } else { 0 } | if self.opened { OPENED } else { 0 };
        let mut writer = FieldWriter::new(&mut sector[..BYTES]);
        writer.u64(self.head).u64(self.tail).u64(self.next_entry).u32(self.free_blocks).u8(flags).skip(3);
        writer.u64(self.generation);
        for point in self.points {
            writer.u64(point.0);
        }
        sector::seal(sector, identity(nonce, slab), update);
    }

    /// Decodes a summary, and the stamp of its update.
    ///
    /// # Errors
    /// The first defect found. The sequence numbers returned are at least 1, and no further apart than a journal has
    /// blocks; they and the number of the next entry leave room for the journal to continue.
    pub fn decode(nonce: u64, slab: u64, block: &Block) -> Result<(SlabSummary, u32), SummaryDamage> {
        let [sector, ..] = sector::sectors(block);
        let update = sector::open(sector, identity(nonce, slab)).ok_or(DamagedSector(0))?;
        let (summary, flags) = read(&sector[..BYTES]).map_err(|Truncated| DamagedSector(0))?;
        let SlabSummary { head, tail, .. } = summary;
        let length = tail.checked_sub(head);
        // The journal of a slab whose counts were never written begins with its first block.
        let begun = summary.counts_written || head == 1;
        if head == 0
            || tail >= MAX_SEQUENCE
            || !begun
            || length.is_none_or(|length| length > u64::from(MAX_JOURNAL_BLOCKS))
        {
            return Err(SummaryDamage::Journal { head, tail });
        }
        if summary.next_entry >= MAX_ENTRY_NUMBER {
            return Err(SummaryDamage::Entries(summary.next_entry));
        }
        if flags & !(COUNTS_WRITTEN | OPENED) != 0 {
            return Err(SummaryDamage::Flags(flags));
        }
        Ok((summary, update))
    }
}

fn identity(nonce: u64, slab: u64) -> sector::Identity {
    AreaBlock { nonce, slab, block: SUMMARY_BLOCK }.identity(Kind::SlabSummary)
}

/// The unchecked fields and flags.
fn read(bytes: &[u8]) -> Result<(SlabSummary, u8), Truncated> {
    let mut reader = FieldReader::new(bytes);
    let [head, tail, next_entry] = [reader.u64()?, reader.u64()?, reader.u64()?];
    let free_blocks = reader.u32()?;
    let flags = reader.u8()?;
    reader.skip(3)?;
    let generation = reader.u64()?;
    let mut points = [Point(0); MAX_SHARDS];
    for point in &mut points {
        *point = Point(reader.u64()?);
    }
    let (counts_written, opened) = (flags & COUNTS_WRITTEN != 0, flags & OPENED != 0);
    Ok((SlabSummary { head, tail, next_entry, free_blocks, counts_written, opened, generation, points }, flags))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::testing::{code_at, Mutations, Numbers};
    use crate::units::{BLOCK_SIZE, SECTOR_SIZE};

    const NONCE: u64 = 0x1122_3344_5566_7788;

    fn summary() -> SlabSummary {
        SlabSummary {
            head: 0x0a0b,
            tail: 0x0a0c,
            next_entry: 0x0102_0304_0506,
            free_blocks: 0x0708,
            counts_written: true,
            opened: true,
            generation: 9,
            points: core::array::from_fn(|journal| Point::new(journal as u64, 3)),
        }
    }

    fn sealed(summary: &SlabSummary) -> Block {
        let mut block = [0xee; BLOCK_SIZE];
        summary.encode(NONCE, 5, 0x0a0b_0c0d, &mut block);
        block
    }

    #[test]
    fn golden_bytes() {
        let block = sealed(&summary());
        assert_eq!(block[..16], [0x0b, 0x0a, 0, 0, 0, 0, 0, 0, 0x0c, 0x0a, 0, 0, 0, 0, 0, 0]);
        assert_eq!(block[16..32], [6, 5, 4, 3, 2, 1, 0, 0, 8, 7, 0, 0, 3, 0, 0, 0]);
        assert_eq!(block[32..56], [9, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 3, 4, 0, 0, 0, 0, 0, 0]);
        assert_eq!(block[288..297], [3, 124, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(block[504..508], [0x0d, 0x0c, 0x0b, 0x0a]);
        assert_eq!(code_at(&block, 0), GOLDEN);
        assert!(block[SECTOR_SIZE..].iter().all(|&byte| byte == 0));
        assert_eq!(SlabSummary::decode(NONCE, 5, &block), Ok((summary(), 0x0a0b_0c0d)));
    }

    /// Check code by another implementation of the layout above.
    const GOLDEN: u32 = 0xf8a9_e61f;

    #[test]
    fn a_new_slab_is_blank() {
        let new = SlabSummary::new(64);
        assert_eq!((new.head, new.tail, new.journal_length(), new.free_blocks), (1, 1, 0, 64));
        assert_eq!(SlabSummary::decode(NONCE, 5, &sealed(&new)), Ok((new, 0x0a0b_0c0d)));
        for (counts_written, opened) in [(true, false), (false, true)] {
            let summary = SlabSummary { counts_written, opened, ..new };
            assert_eq!(SlabSummary::decode(NONCE, 5, &sealed(&summary)).map(|(read, _)| read), Ok(summary));
        }
    }

    #[test]
    fn points_of_another_generation_are_void() {
        assert_eq!(summary().points_of(9), summary().points);
        assert_eq!(summary().points_of(10), [Point(0); MAX_SHARDS]);
        assert_eq!(summary().points_of(8), [Point(0); MAX_SHARDS]);
    }

    #[test]
    fn damage_is_found() {
        let good = sealed(&summary());
        for (sector, bad) in Mutations::of(&good, 5).take(500) {
            let read = SlabSummary::decode(NONCE, 5, &bad);
            let expected = if sector == 0 { Err(DamagedSector(0).into()) } else { Ok((summary(), 0x0a0b_0c0d)) };
            assert_eq!(read, expected, "only the first sector is the summary");
        }
        for (nonce, slab) in [(NONCE, 6), (NONCE + 1, 5)] {
            assert_eq!(SlabSummary::decode(nonce, slab, &good), Err(DamagedSector(0).into()));
        }
        for (head, tail, right) in [(0, 0, false), (2, 1, false), (1, 1, true), (7, 231, true), (7, 232, false)] {
            let read = SlabSummary::decode(NONCE, 5, &sealed(&SlabSummary { head, tail, ..summary() }));
            let expected = if right { None } else { Some(SummaryDamage::Journal { head, tail }) };
            assert_eq!(read.err(), expected);
        }
        let never_written = SlabSummary { counts_written: false, ..summary() };
        let refusal = SummaryDamage::Journal { head: 0x0a0b, tail: 0x0a0c };
        assert_eq!(SlabSummary::decode(NONCE, 5, &sealed(&never_written)), Err(refusal));
        let last = SlabSummary { head: MAX_SEQUENCE, tail: MAX_SEQUENCE, ..summary() };
        let refusal = SummaryDamage::Journal { head: MAX_SEQUENCE, tail: MAX_SEQUENCE };
        assert_eq!(SlabSummary::decode(NONCE, 5, &sealed(&last)), Err(refusal));
        let many = SlabSummary { next_entry: u64::MAX, ..summary() };
        assert_eq!(SlabSummary::decode(NONCE, 5, &sealed(&many)), Err(SummaryDamage::Entries(u64::MAX)));
        let mut flags = good;
        flags[28] = 7;
        let [sector, ..] = sector::sectors_mut(&mut flags);
        sector::seal(sector, identity(NONCE, 5), 0);
        assert_eq!(SlabSummary::decode(NONCE, 5, &flags), Err(SummaryDamage::Flags(7)));
    }

    /// Sealed summaries with any content: one that decodes is encoded again as it was read.
    #[test]
    fn any_sealed_bytes_are_judged() {
        let mut numbers = Numbers::new(8);
        let mut passed = 0;
        for _ in 0..20_000 {
            let mut block = sealed(&summary());
            for _ in 0..=numbers.below(4) {
                block[numbers.below(BYTES as u64) as usize] = numbers.below(256) as u8;
            }
            sector::seal(&mut sector::sectors_mut(&mut block)[0], identity(NONCE, 5), 9);
            if let Ok((summary, update)) = SlabSummary::decode(NONCE, 5, &block) {
                passed += 1;
                assert_eq!(SlabSummary::decode(NONCE, 5, &sealed(&summary)).map(|(read, _)| read), Ok(summary));
                assert_eq!((update, summary.journal_length() <= u64::from(MAX_JOURNAL_BLOCKS)), (9, true));
            }
        }
        assert!((5_000..19_000).contains(&passed), "{passed} passed");
    }
}

// SPDX-License-Identifier: BSD-3-Clause

//! Computes a slab's counts from reference blocks and journal, for scrubbing, recovery and check alike.
//!
//! The caller owns the counters, one byte for each block. The order of the calls:
//! 1. [`SlabRebuild::new`];
//! 2. [`SlabRebuild::load_reference_block`] for each reference block, if [`SlabRebuild::needs_reference_blocks`];
//! 3. [`SlabRebuild::apply_journal_block`] for each block of [`SlabRebuild::journal_blocks`], in order;
//! 4. [`SlabRebuild::finish`].
//!
//! An entry is skipped where the sector of its counter includes the entry already: the sector's commit point is behind
//! it. A point outside of the range that the journal holds is taken to be older than the journal, by any distance: 32
//! bits would tell "older" from "newer" only within 2^31 entries, and a sector that never changes is not written again.
//! (The remaining case: a sector that was idle for very nearly 2^32 changes of its slab and has changed since its block
//! was last written.)
//!
//! Differs from dm-vdo: an entry beyond the slab's data blocks is damage; a slab has no other blocks.

use core::ops::Range;

use thiserror::Error;

use super::area::{AreaBlock, AreaLayout};
use super::reference_block::{self, COUNTS_PER_BLOCK, COUNTS_PER_SECTOR};
use super::sector::{DamagedSector, SECTORS_PER_BLOCK};
use super::slab_journal_block::{self, SlabChange, SlabEntry, SlabJournalDamage};
use super::slab_summary::SlabSummary;
use crate::units::{Block, MAX_REFERENCES};

/// Why a slab's counts cannot be computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ScrubError {
    /// A reference block is damaged.
    #[error("reference block {number}: {damage}")]
    ReferenceBlock {
        /// The reference block's number in the slab.
        number: u32,
        /// The sector that is damaged.
        damage: DamagedSector,
    },
    /// A block of the journal is damaged.
    #[error("slab journal block {sequence}: {damage}")]
    JournalBlock {
        /// The sequence number that the block should have.
        sequence: u64,
        /// The damage found by the decoder.
        damage: SlabJournalDamage,
    },
    /// A block of the journal is intact, but is not the expected one.
    #[error("slab journal block {sequence}: block {found} is in its place")]
    Sequence {
        /// The sequence number that the block should have.
        sequence: u64,
        /// The sequence number that it has.
        found: u64,
    },
    /// Entry numbers are not consecutive from block to block, or do not end where the summary says.
    #[error("slab journal block {sequence}: it begins with entry {found} instead of {expected}")]
    EntryNumber {
        /// The journal block; the tail for the end of the journal.
        sequence: u64,
        /// The entry number that should follow.
        expected: u64,
        /// The entry number that follows.
        found: u64,
    },
    /// An entry names blocks that the slab does not have.
    #[error("slab journal block {sequence}: {count} blocks from {offset} on are not in the slab")]
    Offset {
        /// The journal block that holds the entry.
        sequence: u64,
        /// The first block of the entry.
        offset: u32,
        /// The entry's number of blocks.
        count: u8,
    },
    /// The counter does not allow the change (REF_COUNT_INVALID).
    #[error("slab journal block {sequence}: {change:?} of block {offset}, which has {counter} references")]
    Counter {
        /// The journal block that holds the entry.
        sequence: u64,
        /// The block, counted from the start of the slab.
        offset: u32,
        /// The references that it has.
        counter: u8,
        /// The refused change.
        change: SlabChange,
    },
}

/// The counter after a change; none when the change is not allowed: dm-vdo's table for replay.
const fn changed(counter: u8, change: SlabChange) -> Option<u8> {
    match (change, counter) {
        (SlabChange::Increment, 0..MAX_REFERENCES) => Some(counter + 1),
        (SlabChange::BlockMapIncrement, 0) => Some(MAX_REFERENCES),
        (SlabChange::BlockMapDecrement, MAX_REFERENCES) => Some(0),
        (SlabChange::Decrement, 1..=MAX_REFERENCES) => Some(counter - 1),
        _ => None,
    }
}

/// The state of a slab whose counts are being computed.
#[derive(Debug)]
pub struct SlabRebuild {
    nonce: u64,
    slab: u64,
    layout: AreaLayout,
    counts_written: bool,
    tail: u64,
    next_sequence: u64,
    /// Numbers of the journal's entries; the first is known with the first block.
    first_entry: Option<u64>,
    next_entry: u64,
    end_entry: u64,
    /// The commit point of each sector of the reference blocks.
    points: Vec<u32>,
}

impl SlabRebuild {
    /// Begins with a slab, and sets all its counts to zero.
    #[must_use]
    pub fn new(nonce: u64, slab: u64, summary: &SlabSummary, counts: &mut [u8]) -> SlabRebuild {
        counts.fill(0);
        let layout = AreaLayout::of(counts.len() as u64);
        SlabRebuild {
            nonce,
            slab,
            layout,
            counts_written: summary.counts_written,
            tail: summary.tail,
            next_sequence: summary.head,
            first_entry: None,
            next_entry: summary.next_entry,
            end_entry: summary.next_entry,
            // Counts that were never written include nothing: the journal has all entries from 0 on.
            points: vec![0; layout.reference_blocks as usize * SECTORS_PER_BLOCK],
        }
    }

    /// True if the reference blocks are valid: all have been written once.
    #[must_use]
    pub fn needs_reference_blocks(&self) -> bool {
        self.counts_written
    }

    /// The sequence numbers of the journal blocks still to be applied.
    #[must_use]
    pub fn journal_blocks(&self) -> Range<u64> {
        self.next_sequence..self.tail
    }

    /// Loads the counters of a reference block, before any block of the journal is applied.
    ///
    /// # Errors
    /// ReferenceBlock.
    ///
    /// # Panics
    /// If the slab has no such reference block, or a block of the journal was applied.
    pub fn load_reference_block(&mut self, number: u32, block: &Block, counts: &mut [u8]) -> Result<(), ScrubError> {
        assert!(number < self.layout.reference_blocks && self.first_entry.is_none(), "blocks are loaded in order");
        let first = (number * COUNTS_PER_BLOCK) as usize;
        let end = counts.len().min(first + COUNTS_PER_BLOCK as usize);
        let id = AreaBlock { nonce: self.nonce, slab: self.slab, block: self.layout.reference_block(number) };
        let damaged = |damage| ScrubError::ReferenceBlock { number, damage };
        let points = reference_block::decode(id, block, &mut counts[first..end]).map_err(damaged)?;
        self.points[number as usize * SECTORS_PER_BLOCK..][..SECTORS_PER_BLOCK].copy_from_slice(&points);
        Ok(())
    }

    /// Applies the next block of the journal.
    ///
    /// # Errors
    /// JournalBlock, Sequence, EntryNumber, Offset, Counter. The counts are meaningless then.
    ///
    /// # Panics
    /// If another block is the next, or none is left.
    pub fn apply_journal_block(&mut self, sequence: u64, block: &Block, counts: &mut [u8]) -> Result<(), ScrubError> {
        assert!(sequence == self.next_sequence && sequence < self.tail, "blocks are applied in order");
        let id = AreaBlock { nonce: self.nonce, slab: self.slab, block: self.layout.journal_block(sequence) };
        let damaged = |damage| ScrubError::JournalBlock { sequence, damage };
        let (header, entries) = slab_journal_block::decode(id, block).map_err(damaged)?;
        if header.sequence != sequence {
            return Err(ScrubError::Sequence { sequence, found: header.sequence });
        }
        self.follow(sequence, header.first_entry)?;
        for (number, entry) in (header.first_entry..).zip(entries) {
            self.apply(sequence, number, entry, counts)?;
        }
        self.next_entry = header.next_entry();
        self.next_sequence += 1;
        Ok(())
    }

    /// Checks that the entries of a block follow those of the block before it.
    fn follow(&mut self, sequence: u64, found: u64) -> Result<(), ScrubError> {
        let expected = match self.first_entry {
            Some(_) => self.next_entry,
            // The slab's first block begins with its first entry.
            None if sequence == 1 => 0,
            None => found.min(self.end_entry),
        };
        self.first_entry.get_or_insert(found);
        if found == expected {
            Ok(())
        } else {
            Err(ScrubError::EntryNumber { sequence, expected, found })
        }
    }

    fn apply(&self, sequence: u64, number: u64, entry: SlabEntry, counts: &mut [u8]) -> Result<(), ScrubError> {
        let SlabEntry { offset, count, change } = entry;
        let end = offset + u32::from(count);
        if end as usize > counts.len() {
            return Err(ScrubError::Offset { sequence, offset, count });
        }
        for offset in offset..end {
            if self.includes(offset, number) {
                continue;
            }
            let counter = &mut counts[offset as usize];
            let refused = ScrubError::Counter { sequence, offset, counter: *counter, change };
            *counter = changed(*counter, change).ok_or(refused)?;
        }
        Ok(())
    }

    /// True if a counter as it was loaded includes an entry.
    fn includes(&self, offset: u32, number: u64) -> bool {
        let first = self.first_entry.unwrap_or(number);
        let point = self.points[(offset / COUNTS_PER_SECTOR) as usize];
        let behind_first = u64::from(point.wrapping_sub(first as u32));
        behind_first <= self.end_entry.saturating_sub(first) && number.saturating_sub(first) < behind_first
    }

    /// Checks that the journal ended where the summary says.
    ///
    /// # Errors
    /// EntryNumber.
    ///
    /// # Panics
    /// If not all blocks of the journal were applied.
    pub fn finish(&self) -> Result<(), ScrubError> {
        assert!(self.next_sequence == self.tail, "all blocks are applied");
        if self.next_entry == self.end_entry {
            return Ok(());
        }
        Err(ScrubError::EntryNumber { sequence: self.tail, expected: self.end_entry, found: self.next_entry })
    }
}

#[cfg(test)]
mod tests;

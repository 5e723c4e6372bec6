// SPDX-License-Identifier: BSD-3-Clause

//! A slab of the model: delivered changes, the tail of its journal, and the timing of its writes.

use std::collections::VecDeque;

use mpool::error::Result;

use super::memory::MemoryMedia;
use crate::format::area::{AreaBlock, AreaLayout, SUMMARY_BLOCK};
use crate::format::journal_record::{Change, Point};
use crate::format::slab_journal_block::{self, SlabChange, SlabEntry, ENTRIES_PER_BLOCK};
use crate::format::slab_summary::SlabSummary;
use crate::format::testing::Numbers;
use crate::format::{reference_block, Place};
use crate::units::{Pbn, BLOCK_SIZE, MAX_SHARDS};
use crate::volume::access::VolumeMedia;

#[derive(Debug, Clone)]
pub(super) struct Slab {
    pub nonce: u64,
    pub number: u64,
    pub start: Pbn,
    pub layout: AreaLayout,
    pub generation: u64,
    /// The counts with all delivered changes.
    pub counts: Vec<u8>,
    /// Changes not yet delivered, by journal.
    pub queues: Vec<VecDeque<Change>>,
    /// The entries of the journal that are not written.
    tail: Vec<SlabEntry>,
    /// The oldest entry of each journal in the tail.
    tail_from: [Option<u64>; MAX_SHARDS],
    /// The first points that have not been delivered.
    points: [Point; MAX_SHARDS],
    /// The summary that is certainly on media.
    pub summary: SlabSummary,
}

impl Slab {
    pub fn new(nonce: u64, number: u64, start: Pbn, counts: Vec<u8>, summary: SlabSummary, generation: u64) -> Slab {
        Slab {
            nonce,
            number,
            start,
            layout: AreaLayout::of(counts.len() as u64),
            generation,
            counts,
            queues: vec![VecDeque::new(); MAX_SHARDS],
            tail: Vec::new(),
            tail_from: [None; MAX_SHARDS],
            points: [Point(0); MAX_SHARDS],
            summary,
        }
    }

    pub fn offset(&self, pbn: Pbn) -> usize {
        (pbn.0 - self.start.0) as usize
    }

    /// No change of the block is in flight.
    pub fn is_quiet(&self, pbn: Pbn) -> bool {
        let mut changes = self.queues.iter().flatten();
        !changes.any(|change| (change.first.0..change.first.0 + u64::from(change.count)).contains(&pbn.0))
    }

    /// The oldest entry of a journal that is not durable in the slab's own.
    pub fn oldest_uncommitted(&self, journal: usize) -> Option<u64> {
        self.tail_from[journal].or(self.queues[journal].front().map(|change| change.point.entry()))
    }

    /// Applies the next change from a journal.
    pub async fn deliver(&mut self, media: &MemoryMedia, journal: usize) -> Result<()> {
        let Some(change) = self.queues[journal].front().copied() else { return Ok(()) };
        if self.room() == 0 {
            self.checkpoint(media).await?;
        }
        let first = self.offset(change.first);
        let entries: Vec<_> = SlabEntry::runs(first as u32, change.count, change.change).collect();
        if self.tail.len() + entries.len() > ENTRIES_PER_BLOCK {
            self.commit(media).await?;
            if self.room() == 0 {
                self.checkpoint(media).await?;
            }
        }
        self.queues[journal].pop_front();
        for count in &mut self.counts[first..first + change.count as usize] {
            *count = match change.change {
                SlabChange::Increment => *count + 1,
                SlabChange::Decrement => *count - 1,
                SlabChange::BlockMapIncrement => 254,
                SlabChange::BlockMapDecrement => 0,
            };
        }
        self.tail.extend(entries);
        assert!(self.points[journal] <= change.point, "points rise");
        self.points[journal] = change.point.next();
        self.tail_from[journal].get_or_insert(change.point.entry());
        Ok(())
    }

    fn place(&self, block: u32) -> Place {
        Place::SlabMetadata { slab: self.number, block }
    }

    fn id(&self, block: u32) -> AreaBlock {
        AreaBlock { nonce: self.nonce, slab: self.number, block }
    }

    /// Makes the tail durable: block, flush, summary, flush.
    pub async fn commit(&mut self, media: &MemoryMedia) -> Result<()> {
        if self.tail.is_empty() {
            return Ok(());
        }
        assert!(self.room() > 0, "what is in the tail has room");
        let SlabSummary { tail, next_entry, .. } = self.summary;
        let place = self.layout.journal_block(tail);
        let mut block = [0; BLOCK_SIZE];
        slab_journal_block::encode(self.id(place), tail, next_entry, self.tail.iter().copied(), &mut block);
        media.write(self.place(place), &block).await?;
        media.flush().await?;
        let summary = SlabSummary {
            tail: tail + 1,
            next_entry: next_entry + self.tail.len() as u64,
            opened: true,
            generation: self.generation,
            points: self.points,
            ..self.summary
        };
        self.publish(media, summary).await?;
        self.tail.clear();
        self.tail_from = [None; MAX_SHARDS];
        Ok(())
    }

    async fn publish(&mut self, media: &MemoryMedia, summary: SlabSummary) -> Result<()> {
        let mut block = [0; BLOCK_SIZE];
        summary.encode(self.nonce, self.number, 0, &mut block);
        media.write(self.place(SUMMARY_BLOCK), &block).await?;
        media.flush().await?;
        self.summary = summary;
        Ok(())
    }

    async fn write_count(&self, media: &MemoryMedia, number: u32) -> Result<()> {
        assert!(self.tail.is_empty(), "images are made when the tail is empty");
        let place = self.layout.reference_block(number);
        let counts = self.counts.chunks(4032).nth(number as usize).expect("it exists");
        let mut block = [0; BLOCK_SIZE];
        reference_block::encode(self.id(place), self.summary.next_entry as u32, counts, &mut block);
        media.write(self.place(place), &block).await
    }

    /// Writes a random selection of reference blocks.
    pub async fn write_some_counts(&mut self, media: &MemoryMedia, numbers: &mut Numbers) -> Result<()> {
        self.commit(media).await?;
        for number in 0..self.layout.reference_blocks {
            if numbers.below(2) == 0 {
                self.write_count(media, number).await?;
            }
        }
        Ok(())
    }

    /// Writes all reference blocks, and empties the journal.
    pub async fn checkpoint(&mut self, media: &MemoryMedia) -> Result<()> {
        self.commit(media).await?;
        for number in 0..self.layout.reference_blocks {
            self.write_count(media, number).await?;
        }
        media.flush().await?;
        let free_blocks = self.counts.iter().filter(|&&count| count == 0).count() as u32;
        let summary = SlabSummary { head: self.summary.tail, counts_written: true, free_blocks, ..self.summary };
        self.publish(media, summary).await
    }

    /// Blocks that the journal can still take.
    pub fn room(&self) -> u64 {
        u64::from(self.layout.journal_blocks) - self.summary.journal_length()
    }
}

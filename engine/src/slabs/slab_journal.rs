// SPDX-License-Identifier: BSD-3-Clause

//! The journal of one slab in memory: which blocks it has and which of them are on media.
//!
//! ```text
//!            head           committed        written          tail
//!  ring  ------+----------------+----------------+--------------+------
//!              | the summary    | written, not   | being written | being
//!              | names these    | yet named      | (`closed`)    | filled (`open`)
//! ```
//! A block counts once the summary names it (rule 4 of the write order). So the summary is written after the blocks
//! that it names, with a flush between, and a change is safe only after the flush behind the summary.
//!
//! Invariants (I8, I11): `head <= committed.tail <= written.tail <= tail`; entries and the points of each recovery
//! journal only grow; all entries of one point are in one block, because a summary covers a point or does not.
//!
//! Differs from dm-vdo: there are no lock counts for each block. A reference block knows the oldest journal block that
//! it needs ([`super::dirty_blocks`]), and the head follows the oldest need. Head and recovery points are in the
//! summary.

use std::collections::VecDeque;

use super::event::Source;
use super::tail_block::{Stage, TailPool};
use crate::format::journal_record::Point;
use crate::format::slab_journal_block::{SlabEntry, ENTRIES_PER_BLOCK};
use crate::format::slab_summary::SlabSummary;
use crate::units::{ShardId, MAX_SHARDS};

/// Blocks of one slab journal that can be closed but not yet written.
pub(super) const MAX_CLOSED: usize = 4;

/// One point of each recovery journal.
pub(super) type Points = [Point; MAX_SHARDS];

/// A position between two blocks of the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Boundary {
    /// Sequence number of the block behind it.
    pub tail: u64,
    /// Number of the first entry behind it.
    pub next_entry: u64,
    /// For each recovery journal, the first point that is not before it.
    pub points: Points,
}

/// A point arrived that is not behind all earlier ones of its journal (I8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OutOfOrder;

#[derive(Debug)]
pub(super) struct SlabJournal {
    /// Oldest block that is needed, according to the summary on media.
    pub head: u64,
    /// The block that is being filled, or will be next.
    pub tail: u64,
    pub next_entry: u64,
    /// The points behind the last entry: everything before them is in the journal.
    points: Points,
    /// The points behind the last update that has arrived, even if it is still queued.
    arrived: Points,
    /// The block that is being filled, if any.
    open: Option<u32>,
    /// Blocks that are closed but not written, or whose predecessors are not; in order.
    closed: VecDeque<u32>,
    /// Everything before it is written.
    pub written: Boundary,
    /// Everything before it is named by a summary on media.
    pub committed: Boundary,
}

impl SlabJournal {
    /// The journal that a summary describes, with the points of `generation`.
    pub fn load(summary: &SlabSummary, generation: u64) -> SlabJournal {
        let SlabSummary { head, tail, next_entry, .. } = *summary;
        let points = summary.points_of(generation);
        let boundary = Boundary { tail, next_entry, points };
        SlabJournal {
            head,
            tail,
            next_entry,
            points,
            arrived: points,
            open: None,
            closed: VecDeque::with_capacity(MAX_CLOSED),
            written: boundary,
            committed: boundary,
        }
    }

    /// Blocks from the oldest that is needed to the one that is being filled.
    pub const fn length(&self) -> u64 {
        self.tail - self.head
    }

    pub const fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// True when all entries are on media.
    pub fn is_committed(&self) -> bool {
        self.open.is_none() && self.committed.tail == self.tail
    }

    /// Notes the arrival of an update.
    pub fn arrive(&mut self, source: Source) -> Result<(), OutOfOrder> {
        let arrived = self.arrived.get_mut(source.journal.index()).ok_or(OutOfOrder)?;
        if source.point < *arrived {
            return Err(OutOfOrder);
        }
        *arrived = source.point.next();
        Ok(())
    }

    /// Whether changes of a recovery journal up to a point have arrived that are not on media yet. May be true of a
    /// journal whose only such changes are later.
    pub fn holds(&self, journal: ShardId, up_to: Point) -> bool {
        let committed = self.committed.points[journal.index()];
        committed < self.arrived[journal.index()] && committed <= up_to
    }

    /// Whether the block being filled has changes of a recovery journal up to a point. May be true when it has only
    /// later ones.
    pub fn open_holds(&self, tails: &TailPool, journal: ShardId, up_to: Point) -> bool {
        let closed = self.closed.back().map_or(&self.written.points, |&block| &tails[block].points);
        let closed = closed[journal.index()];
        self.is_open() && closed < self.points[journal.index()] && closed <= up_to
    }

    /// Advances all points to the last arrival: every update that arrived is in the journal and on media, or was
    /// refused.
    pub fn settle(&mut self) {
        self.committed.points = self.arrived;
        self.written.points = self.arrived;
        self.points = self.arrived;
    }

    /// Entries that the block being filled can still take; none when no block is open.
    pub fn room(&self, tails: &TailPool) -> Option<usize> {
        self.open.map(|open| ENTRIES_PER_BLOCK - tails[open].entries.len())
    }

    /// Opens a block; false when the pool has none free.
    pub fn open(&mut self, tails: &mut TailPool) -> bool {
        debug_assert!(self.open.is_none(), "one block is filled at a time");
        self.open = tails.acquire(self.tail, self.next_entry);
        self.open.is_some()
    }

    /// Adds an entry to the block being filled, which has room.
    pub fn append(&mut self, tails: &mut TailPool, entry: SlabEntry) {
        let open = self.open.expect("a block was opened");
        tails[open].entries.push(entry);
        self.next_entry += 1;
    }

    /// Notes that the last entry of a source was added, or that the source's change was refused.
    pub fn appended(&mut self, source: Source) {
        self.points[source.journal.index()] = source.point.next();
    }

    /// Closes the block being filled, so that it is written; false when none is open, or [`MAX_CLOSED`] are not written
    /// yet.
    pub fn close(&mut self, tails: &mut TailPool) -> bool {
        let Some(open) = self.open else { return false };
        if self.closed.len() == MAX_CLOSED {
            return false;
        }
        tails[open].points = self.points;
        tails[open].stage = Stage::Closed;
        self.closed.push_back(open);
        self.open = None;
        self.tail += 1;
        true
    }

    /// The next block whose write can be started.
    pub fn next_to_write(&self, tails: &TailPool) -> Option<u32> {
        self.closed.iter().copied().find(|&block| tails[block].stage == Stage::Closed)
    }

    /// Advances `written` past the blocks whose write has ended.
    pub fn collect_written(&mut self, tails: &mut TailPool) {
        while let Some(&block) = self.closed.front() {
            if tails[block].stage != Stage::Written {
                break;
            }
            let written = &tails[block];
            let next_entry = written.first_entry + written.entries.len() as u64;
            self.written = Boundary { tail: written.sequence + 1, next_entry, points: written.points };
            self.closed.pop_front();
            tails.release(block);
        }
    }

    /// Checks the invariants that hold at any time.
    ///
    /// # Errors
    /// The invariant that does not hold.
    pub fn audit(&self) -> Result<(), String> {
        let SlabJournal { head, tail, written, committed, .. } = self;
        let order = [*head, committed.tail, written.tail, *tail];
        if !order.is_sorted() || written.tail + self.closed.len() as u64 != *tail {
            return Err(format!("I11: head, committed, written, tail are {order:?}, {} closed", self.closed.len()));
        }
        let points = [&committed.points, &written.points, &self.points, &self.arrived];
        if (0..MAX_SHARDS).any(|journal| !points.iter().map(|points| points[journal]).is_sorted()) {
            return Err("I8: points go back".into());
        }
        if ![committed.next_entry, written.next_entry, self.next_entry].is_sorted() {
            return Err("I8: entries go back".into());
        }
        Ok(())
    }
}

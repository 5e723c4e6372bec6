// SPDX-License-Identifier: BSD-3-Clause

//! Everything that a zone knows of the metadata of one slab.

use super::dirty_blocks::DirtyBlocks;
use super::slab_journal::SlabJournal;
use super::updates::UpdateQueue;
use crate::format::area::AreaLayout;
use crate::format::slab_summary::SlabSummary;

/// Whether the counts of a slab are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    /// The counts in memory are right.
    Rebuilt,
    /// They are on media. Updates go to the journal only; nothing is allocated. Waits for the scrubber.
    Unloaded,
    /// The scrubber is at it. Updates wait.
    Rebuilding,
}

/// What an update waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Obstacle {
    /// The scrubber is at the slab, or earlier updates wait.
    Busy,
    /// The journal is at its blocking threshold.
    Blocked,
    /// The ring has no room: its oldest block is still needed.
    RingFull,
    /// No memory for a block, or too many are being written.
    TailBusy,
}

/// What the summary on media says, beyond the journal's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Recorded {
    /// Free blocks.
    pub free_blocks: u32,
    /// All reference blocks have been written.
    pub counts_written: bool,
}

/// One slab.
#[derive(Debug)]
pub(super) struct SlabState {
    /// Its number in the volume.
    pub number: u64,
    /// Whether its counts are known.
    pub status: Status,
    /// Its journal.
    pub journal: SlabJournal,
    /// Its reference blocks that have changed.
    pub dirty: DirtyBlocks,
    /// Reference blocks that have never been written.
    pub first_writes: u32,
    /// Reference blocks that are to be written back as soon as it can be.
    pub quota: usize,
    /// The round of write-back that is under way.
    pub round: Option<u32>,
    /// The update of the summary that is under way.
    pub summary: Option<u32>,
    /// The summary on media.
    pub recorded: Recorded,
    /// Updates that wait.
    pub waiting: UpdateQueue,
    /// What they wait for, so that each wait is counted once.
    pub obstacle: Option<Obstacle>,
    /// Somebody has waited for its counts in vain.
    pub was_late: bool,
    /// Recovery journals whose request waits for this slab, as bits.
    pub awaited: u32,
    /// The block being filled is to be closed even if it is not full.
    pub commit_wanted: bool,
    /// The slab is in the list of those that have something to do.
    pub scheduled: bool,
    /// The slab is in the list of those that may have changes which are not on media.
    pub unsettled: bool,
}

impl SlabState {
    /// The slab that a summary describes.
    pub fn load(number: u64, summary: &SlabSummary, generation: u64, area: &AreaLayout) -> SlabState {
        let unused = !summary.opened && summary.head == summary.tail;
        SlabState {
            number,
            status: if unused { Status::Rebuilt } else { Status::Unloaded },
            journal: SlabJournal::load(summary, generation),
            dirty: DirtyBlocks::new(area.reference_blocks),
            first_writes: if summary.counts_written { 0 } else { area.reference_blocks },
            quota: 0,
            round: None,
            summary: None,
            recorded: Recorded { free_blocks: summary.free_blocks, counts_written: summary.counts_written },
            waiting: UpdateQueue::EMPTY,
            obstacle: None,
            was_late: false,
            awaited: 0,
            commit_wanted: false,
            scheduled: false,
            unsettled: false,
        }
    }

    /// True when nothing that has come is anywhere but on media.
    pub fn is_settled(&self) -> bool {
        self.journal.is_committed() && self.waiting.is_empty()
    }
}

// SPDX-License-Identifier: BSD-3-Clause

//! The state of one slab's metadata.

use super::dirty_blocks::DirtyBlocks;
use super::slab_journal::SlabJournal;
use super::updates::UpdateQueue;
use crate::format::area::AreaLayout;
use crate::format::slab_summary::SlabSummary;

/// Whether the counts of a slab are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    /// The counts in memory are valid.
    Rebuilt,
    /// The counts are on media only; the slab waits for the scrubber. Updates go to the journal only; nothing is
    /// allocated.
    Unloaded,
    /// The scrubber is loading the slab. Updates wait.
    Rebuilding,
}

/// What an update waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Obstacle {
    /// The slab is being scrubbed.
    Busy,
    /// The journal is at its blocking threshold.
    Blocked,
    /// The ring has no room: its oldest block is still needed.
    RingFull,
    /// No free block in the pool, or too many are being written.
    TailBusy,
}

/// What the summary on media says, apart from the journal's own fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Recorded {
    pub free_blocks: u32,
    /// Whether all reference blocks have been written once.
    pub counts_written: bool,
}

#[derive(Debug)]
pub(super) struct SlabState {
    /// Its number in the volume.
    pub number: u64,
    pub status: Status,
    pub journal: SlabJournal,
    pub dirty: DirtyBlocks,
    /// Reference blocks that have never been written.
    pub first_writes: u32,
    /// Reference blocks that are to be written back as soon as possible.
    pub quota: usize,
    /// The round of write-back in flight.
    pub round: Option<u32>,
    /// The update of the summary in flight.
    pub summary: Option<u32>,
    /// The content of the summary on media.
    pub recorded: Recorded,
    /// Queued updates.
    pub waiting: UpdateQueue,
    /// What the queued updates wait for, so that each wait is counted once.
    pub obstacle: Option<Obstacle>,
    /// A hash lock has waited for the counts of this slab until its patience ended.
    pub was_late: bool,
    /// Bits of the recovery journals whose commit request waits for this slab.
    pub awaited: u32,
    /// The open block is to be closed even if it is not full.
    pub commit_wanted: bool,
    /// The slab is in the depot's work list.
    pub scheduled: bool,
    /// The slab is in the depot's list of slabs that may have changes which are not on media.
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

    /// True when every update that has arrived is on media.
    pub fn is_settled(&self) -> bool {
        self.journal.is_committed() && self.waiting.is_empty()
    }
}

// SPDX-License-Identifier: BSD-3-Clause

//! The sections that a shard knows, and where each can be read.
//!
//! A shard numbers its sections: those that it creates when it begins them, those that it reads for a refill when it
//! finds them. A section can be read once its chapter is closed; until then it is *pending*. The number of a section
//! that was dropped, lost or deleted is neither pending nor readable.
//!
//! Invariants: runs ascend by number and do not overlap; pending numbers ascend.

use std::collections::VecDeque;

use super::hooks::SectionNumber;
use crate::format::index_section::SectionAt;

/// Consecutive sections of a chapter with consecutive numbers.
#[derive(Debug, Clone, Copy)]
struct Run {
    first: u64,
    count: u16,
    at: SectionAt,
}

impl Run {
    const fn end(&self) -> u64 {
        self.first + self.count as u64
    }
}

/// The sections that a shard knows.
#[derive(Debug, Default)]
pub(super) struct Sections {
    next: u64,
    pending: VecDeque<SectionNumber>,
    runs: Vec<Run>,
    readable: u64,
    /// The oldest and the newest chapter with known sections.
    oldest: u32,
    newest: u32,
}

impl Sections {
    /// Assigns a number to a section that is begun.
    pub(super) fn begin(&mut self) -> SectionNumber {
        let number = SectionNumber(self.next);
        self.next += 1;
        number
    }

    /// A section was handed over: it is pending.
    pub(super) fn handed_over(&mut self, number: SectionNumber) {
        self.pending.push_back(number);
    }

    /// Drops the last pending section, which will never be readable; false if there is none.
    pub(super) fn drop_last(&mut self) -> bool {
        self.pending.pop_back().is_some()
    }

    /// Drops the oldest `count` pending sections, or as many as there are; returns their number.
    pub(super) fn lose(&mut self, count: u16) -> usize {
        let count = self.pending.len().min(usize::from(count));
        self.pending.drain(..count);
        count
    }

    /// Makes the oldest `count` pending sections, or as many as there are, readable in a chapter.
    pub(super) fn closed(&mut self, chapter: u32, count: u16) {
        for section in 0..count {
            let Some(number) = self.pending.pop_front() else { break };
            self.place(number, SectionAt { chapter, section });
        }
    }

    /// A section of an earlier run of the volume, or of another shard, can be read; returns its new number.
    pub(super) fn found(&mut self, at: SectionAt) -> SectionNumber {
        let number = self.begin();
        self.place(number, at);
        number
    }

    fn place(&mut self, number: SectionNumber, at: SectionAt) {
        (self.oldest, self.newest) = if self.runs.is_empty() {
            (at.chapter, at.chapter)
        } else {
            (self.oldest.min(at.chapter), self.newest.max(at.chapter))
        };
        self.readable += 1;
        let behind = self.runs.partition_point(|run| run.first <= number.0);
        let previous = behind.checked_sub(1).and_then(|previous| self.runs.get_mut(previous));
        match previous {
            Some(run) if run.end() == number.0 && run.at.chapter == at.chapter && follows(run, at.section) => {
                run.count += 1;
            }
            _ => self.runs.insert(behind, Run { first: number.0, count: 1, at }),
        }
    }

    /// Location of a section, if it is readable.
    pub(super) fn at(&self, number: SectionNumber) -> Option<SectionAt> {
        let behind = self.runs.partition_point(|run| run.first <= number.0);
        let run = self.runs.get(behind.checked_sub(1)?)?;
        let within = number.0 - run.first;
        let section = run.at.section + u16::try_from(within).ok().filter(|within| *within < run.count)?;
        Some(SectionAt { section, ..run.at })
    }

    /// Whether a section was handed over and is not readable yet.
    pub(super) fn is_pending(&self, number: SectionNumber) -> bool {
        self.pending.binary_search(&number).is_ok()
    }

    /// Removes the sections of chapters before `oldest`, which are deleted.
    pub(super) fn forget_before(&mut self, oldest: u32) {
        self.runs.retain(|run| run.at.chapter >= oldest);
        self.readable = self.runs.iter().map(|run| u64::from(run.count)).sum();
        self.oldest = self.oldest.max(oldest);
    }

    /// Number of readable sections.
    pub(super) const fn readable(&self) -> u64 {
        self.readable
    }

    /// Number of pending sections.
    pub(super) fn pending(&self) -> u64 {
        self.pending.len() as u64
    }

    /// Whether a chapter belongs to the older half of the known ones.
    pub(super) const fn is_in_older_half(&self, chapter: u32) -> bool {
        chapter < self.oldest + self.newest.saturating_sub(self.oldest) / 2
    }
}

/// Whether a section comes directly after those of a run.
const fn follows(run: &Run, section: u16) -> bool {
    run.at.section as u32 + run.count as u32 == section as u32
}

// SPDX-License-Identifier: BSD-3-Clause

//! The level-2 index of a shard: records older than those that level 1 holds.
//!
//! Every new record also goes to the open *section*. A full section is sealed ([`index_section`]) and handed to the
//! host, which appends it to a *chapter*; when the chapter is closed, its sections can be read. Content that is written
//! again mostly comes in its old order, so level 2 never looks for a single record: when a *hook* of a section is
//! written again (one fingerprint in 32 is a hook), the whole section is loaded into level 1, where the writes of
//! neighbouring content find their records.
//!
//! ```text
//!   update -> add -> open section -> handed over (pending) -> chapter closed: readable
//!   miss -> hook -> the host reads the section -> loaded -> level 1, where the waiting misses look again
//!   start -> the host reads all sections, newest first -> refill -> level 1 while it has room, and hooks
//! ```
//!
//! **Used records stay**: when the window is nearly full and a section of its older half is loaded, its records go to
//! the open section again, except those for which level 1 has a different location. So when chapters fall out of the
//! window, only records that were not used during half a window are lost.
//!
//! Differs from dm-vdo: no delta index and no search in chapters (see [`index_section`]), no dense part of the window
//! (that is level 1), no zones that close a chapter together (each shard has its own chapters), and the refresh is by
//! sections.
//!
//! Invariants: everything here is advice. After start, memory is allocated only for the sections handed over (64 KiB
//! each), for sorting a section, and 16 bytes for each run of readable sections.

use std::collections::VecDeque;
use std::ops::RangeInclusive;

use super::hooks::{Hooks, SectionNumber};
use super::sections::Sections;
use super::{Age, Index, Restored};
use crate::fingerprint::ShortFingerprint;
use crate::format::index_section;
pub use crate::format::index_section::SectionAt;
use crate::format::index_section::{Section, SectionError, SectionRecord, SECTION_RECORDS};
use crate::format::Mapped;

/// Number of recently loaded sections that are not requested again for a while: a miss on one of their hooks has
/// another cause than that the section is not loaded.
const RECENT_SECTIONS: usize = 16;

/// Records to be made before a section that could not be read is requested again.
const PAUSE_AFTER_FAILURE: u64 = 4 * SECTION_RECORDS as u64;

/// A loaded section is requested again when 1/N of level 1 has been filled since, because some of its records may have
/// been evicted.
const PART_OF_INDEX_TO_RELOAD: u64 = 4;

/// A shard's configuration of the index history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistoryConfig {
    /// The volume's nonce.
    pub nonce: u64,
    /// Number of full sections of this shard in the window, which is also the room for hooks in sections.
    pub window_sections: u32,
    /// Number of records that fill a section, at most [`SECTION_RECORDS`]. It never changes for a volume.
    pub section_records: u16,
}

/// Gauges of a shard's index history, and counts since it was created.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HistoryStatistics {
    /// Number of hooks held.
    pub hooks: u64,
    /// Sections that can be read.
    pub sections_readable: u64,
    /// Sections handed over whose chapter is still open.
    pub sections_pending: u64,
    /// Sections handed over.
    pub sections_sealed: u64,
    /// Sections that the host dropped, or whose chapter was lost.
    pub sections_dropped: u64,
    /// Sections loaded because of a hook.
    pub sections_loaded: u64,
    /// Sections read to refill level 1.
    pub sections_refilled: u64,
    /// Sections that could not be read, or were damaged.
    pub sections_failed: u64,
    /// Records of old sections copied to the open one.
    pub records_carried: u64,
}

/// The level-2 index of one shard.
#[derive(Debug)]
pub struct History {
    config: HistoryConfig,
    /// Partitions that this shard owns.
    partitions: RangeInclusive<u8>,
    open: Vec<SectionRecord>,
    open_number: SectionNumber,
    sections: Sections,
    hooks: Hooks,
    /// Recently loaded sections, each with the clock value until which it is not requested again.
    recent: VecDeque<(SectionAt, u64)>,
    /// Number of records that came to level 1, new or restored.
    clock: u64,
    statistics: HistoryStatistics,
}

impl History {
    /// An empty history for the shard that owns `partitions` (`Geometry::hash_partitions`).
    #[must_use]
    pub fn new(config: HistoryConfig, partitions: RangeInclusive<u8>) -> History {
        let mut sections = Sections::default();
        History {
            config,
            partitions,
            open: Vec::with_capacity(SECTION_RECORDS),
            open_number: sections.begin(),
            sections,
            hooks: Hooks::new(config.window_sections),
            recent: VecDeque::with_capacity(RECENT_SECTIONS),
            clock: 0,
            statistics: HistoryStatistics::default(),
        }
    }

    /// Adds a record that was given to level 1. Returns the section to be handed over if this record fills it.
    ///
    /// # Panics
    /// If no content can be stored at the location: see [`SectionRecord::new`].
    #[must_use]
    pub fn add(&mut self, fingerprint: impl Into<ShortFingerprint>, location: Mapped) -> Option<Vec<u8>> {
        let fingerprint = fingerprint.into();
        self.clock += 1;
        self.open.push(SectionRecord::new(fingerprint, location));
        if fingerprint.is_hook() {
            self.hooks.add(fingerprint, self.open_number);
        }
        if self.open.len() >= usize::from(self.config.section_records).min(SECTION_RECORDS) {
            self.seal()
        } else {
            None
        }
    }

    /// Closes the open section before it is full, for a volume that stops; `None` if it has no records.
    #[must_use]
    pub fn seal(&mut self) -> Option<Vec<u8>> {
        if self.open.is_empty() {
            return None;
        }
        let image = index_section::encode(self.config.nonce, self.open_number.0 as u32, &mut self.open);
        self.open.clear();
        self.sections.handed_over(self.open_number);
        self.open_number = self.sections.begin();
        self.statistics.sections_sealed += 1;
        Some(image)
    }

    /// Number of records in the open section.
    #[must_use]
    pub fn open_records(&self) -> u64 {
        self.open.len() as u64
    }

    /// The host has dropped the last section that was handed over.
    pub fn section_dropped(&mut self) {
        self.statistics.sections_dropped += u64::from(self.sections.drop_last());
    }

    /// The chapter with the oldest `sections` pending sections is closed: they can be read.
    pub fn chapter_closed(&mut self, chapter: u32, sections: u16) {
        self.sections.closed(chapter, sections);
    }

    /// The chapter with the oldest `sections` pending sections could not be written: they are lost.
    pub fn chapter_lost(&mut self, sections: u16) {
        self.statistics.sections_dropped += self.sections.lose(sections) as u64;
    }

    /// Chapters before `oldest` are deleted.
    pub fn forget_before(&mut self, oldest: u32) {
        self.sections.forget_before(oldest);
    }

    /// The section to load when level 1 does not know a fingerprint: `None` if the fingerprint is not a hook or is
    /// unknown, or if its section is not readable yet or was loaded recently.
    ///
    /// The same section is returned until [`History::loaded`] or [`History::load_failed`] is called for it; the caller
    /// must not request it twice.
    #[must_use]
    pub fn hook(&mut self, fingerprint: impl Into<ShortFingerprint>) -> Option<SectionAt> {
        let hook = fingerprint.into();
        if !hook.is_hook() {
            return None;
        }
        let number = self.hooks.section(hook)?;
        let Some(at) = self.sections.at(number) else {
            if number != self.open_number && !self.sections.is_pending(number) {
                self.hooks.forget(hook, number);
            }
            return None;
        };
        let recent = self.recent.iter().any(|&(recent, until)| recent == at && self.clock < until);
        (!recent).then_some(at)
    }

    /// A section requested for a hook was read: its records go to level 1. Returns a section to be handed over if
    /// copied records have filled one.
    ///
    /// # Errors
    /// The defect of the section. The section counts as loaded, so that it is not requested again at once.
    pub fn loaded(&mut self, index: &mut Index, at: SectionAt, image: &[u8]) -> Result<Option<Vec<u8>>, SectionError> {
        self.remember(at, PAUSE_AFTER_FAILURE);
        let section = self.decode(image)?;
        self.statistics.sections_loaded += 1;
        let carry = self.must_carry(at);
        let records = section.records(self.partitions.clone());
        let mut filled = None;
        index.touch_all(section.records(self.partitions.clone()).map(SectionRecord::fingerprint));
        for record in records {
            let (fingerprint, location) = (record.fingerprint(), record.location());
            let restored = index.restore(fingerprint, location, Age::Young);
            self.clock += u64::from(matches!(restored, Restored::Added | Restored::Replaced(_)));
            if carry && !matches!(restored, Restored::Known(known) if known != location) {
                self.statistics.records_carried += 1;
                // At most one: a section does not have enough records to fill the open section twice.
                filled = self.add(fingerprint, location).or(filled);
            }
        }
        self.remember(at, index.capacity() / PART_OF_INDEX_TO_RELOAD);
        Ok(filled)
    }

    /// A section requested for a hook could not be read.
    pub fn load_failed(&mut self, at: SectionAt) {
        self.statistics.sections_failed += 1;
        self.remember(at, PAUSE_AFTER_FAILURE);
    }

    /// A section of an earlier run of the volume, or of another shard, was read: the records that this shard owns go to
    /// level 1 while it has room, and its hooks are added. Newest sections must come first. Returns the number of
    /// records that level 1 took.
    ///
    /// # Errors
    /// The defect of the section.
    pub fn refill(&mut self, index: &mut Index, at: SectionAt, image: &[u8]) -> Result<u64, SectionError> {
        let section = self.decode(image)?;
        self.statistics.sections_refilled += 1;
        let number = self.sections.found(at);
        let fingerprints = section.records(self.partitions.clone()).map(SectionRecord::fingerprint);
        for hook in fingerprints.filter(|fingerprint| fingerprint.is_hook()) {
            self.hooks.add_old(hook, number);
        }
        if !index.has_room() {
            return Ok(0);
        }
        index.touch_all(section.records(self.partitions.clone()).map(SectionRecord::fingerprint));
        let added = section
            .records(self.partitions.clone())
            .filter(|record| index.restore(record.fingerprint(), record.location(), Age::Old) == Restored::Added);
        Ok(added.count() as u64)
    }

    /// The current gauges and counts.
    #[must_use]
    pub fn statistics(&self) -> HistoryStatistics {
        HistoryStatistics {
            hooks: self.hooks.len(),
            sections_readable: self.sections.readable(),
            sections_pending: self.sections.pending(),
            ..self.statistics
        }
    }

    fn decode<'a>(&mut self, image: &'a [u8]) -> Result<Section<'a>, SectionError> {
        let section = Section::decode(self.config.nonce, image);
        self.statistics.sections_failed += u64::from(section.is_err());
        section
    }

    /// Does not request a section again until `records` more records have come.
    fn remember(&mut self, at: SectionAt, records: u64) {
        self.recent.retain(|&(recent, _)| recent != at);
        if self.recent.len() == RECENT_SECTIONS {
            self.recent.pop_front();
        }
        self.recent.push_back((at, self.clock + records));
    }

    /// Whether the records of a section that is in use again would soon fall out of the window.
    const fn must_carry(&self, at: SectionAt) -> bool {
        let window = self.config.window_sections as u64;
        self.sections.readable() >= window - window / 4 && self.sections.is_in_older_half(at.chapter)
    }
}

#[cfg(test)]
mod tests;

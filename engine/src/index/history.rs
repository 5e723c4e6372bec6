// SPDX-License-Identifier: BSD-3-Clause

//! The level-2 index of a shard: what was stored before the time that level 1 remembers.
//!
//! Every record that is made goes to the open *section* too. A full section is sealed ([`index_section`]) and handed to
//! the host, which appends it to a *chapter*; when the chapter is closed its sections can be read. Content that is written
//! again mostly comes again in the order in which it came, so nobody looks for a single record: when a *hook* of a section is
//! written again (one fingerprint in 32 is a hook), the whole section comes back to level 1, and those who write its
//! neighbours find them there.
//!
//! ```text
//!   update -> add -> open section -> handed over (pending) -> chapter closed: readable
//!   miss -> hook -> the host reads the section -> loaded -> level 1, where the waiting misses look again
//!   start -> the host reads all sections, newest first -> refill -> level 1 while it has room, and hooks
//! ```
//!
//! **What is met stays**: when the window is nearly full and a section of its older half is loaded, its
//! records go to the open section once more, those excepted of which level 1 knows better. So chapters that fall off take
//! only what was not met during half a window.
//!
//! Differs from dm-vdo: no delta index and no search in chapters (see [`index_section`]), no dense part of the window
//! (that is level 1), no zones that close a chapter together (shards have chapters of their own), and the refresh is by
//! sections.
//!
//! Invariants: all of it is advice. No memory is taken after start but for the sections handed over, one piece of 64 KiB
//! each, what sorting one takes, and 16 bytes for each run of sections that can be read.

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

/// Sections that were loaded last, which are not asked for again for a while: a miss on a hook of theirs has another
/// reason than that nobody has loaded them.
const RECENT_SECTIONS: usize = 16;

/// A section that could not be read is asked for again when so many records have been made.
const PAUSE_AFTER_FAILURE: u64 = 4 * SECTION_RECORDS as u64;

/// A section that was loaded is asked for again when so much of level 1 has come in since: some of it can be gone.
const PART_OF_INDEX_TO_RELOAD: u64 = 4;

/// What a shard must know of the volume's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistoryConfig {
    /// The volume's nonce.
    pub nonce: u64,
    /// Full sections of this shard that the window holds: for so many there is room for hooks.
    pub window_sections: u32,
    /// Records that fill a section, at most [`SECTION_RECORDS`]. A volume keeps to one number.
    pub section_records: u16,
}

/// What the history of a shard has, and has done since it was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HistoryStatistics {
    /// Hooks held.
    pub hooks: u64,
    /// Sections that can be read.
    pub sections_readable: u64,
    /// Sections handed over whose chapter is not closed.
    pub sections_pending: u64,
    /// Sections handed over.
    pub sections_sealed: u64,
    /// Sections that the host did not take, or whose chapter was lost.
    pub sections_dropped: u64,
    /// Sections loaded because of a hook.
    pub sections_loaded: u64,
    /// Sections read to refill level 1.
    pub sections_refilled: u64,
    /// Sections that could not be read, or were damaged.
    pub sections_failed: u64,
    /// Records of old sections that went to the open one again.
    pub records_carried: u64,
}

/// The level-2 index of one shard.
#[derive(Debug)]
pub struct History {
    config: HistoryConfig,
    /// Partitions that are this shard's.
    partitions: RangeInclusive<u8>,
    open: Vec<SectionRecord>,
    open_number: SectionNumber,
    sections: Sections,
    hooks: Hooks,
    /// What was loaded last, each until when it is not asked for again.
    recent: VecDeque<(SectionAt, u64)>,
    /// Records that have come to level 1, made or restored.
    clock: u64,
    statistics: HistoryStatistics,
}

impl History {
    /// An empty history of the shard to which `partitions` belong (`Geometry::hash_partitions`).
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

    /// Takes a record that level 1 was told of. Returns a section that is to be handed over, when it fills one.
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

    /// Ends the open section before it is full, for a volume that stops; `None` if it has no records.
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

    /// Records that fill no section yet.
    #[must_use]
    pub fn open_records(&self) -> u64 {
        self.open.len() as u64
    }

    /// The section handed over last could not be taken.
    pub fn section_dropped(&mut self) {
        self.statistics.sections_dropped += u64::from(self.sections.drop_last());
    }

    /// The chapter that holds the oldest `sections` of those handed over is closed: they can be read.
    pub fn chapter_closed(&mut self, chapter: u32, sections: u16) {
        self.sections.closed(chapter, sections);
    }

    /// The chapter that held the oldest `sections` of those handed over could not be written: they are lost.
    pub fn chapter_lost(&mut self, sections: u16) {
        self.statistics.sections_dropped += self.sections.lose(sections) as u64;
    }

    /// Chapters before `oldest` are no more.
    pub fn forget_before(&mut self, oldest: u32) {
        self.sections.forget_before(oldest);
    }

    /// The section to load when level 1 does not know a fingerprint: `None` if it is no hook, nobody knows it, or its
    /// section is not readable yet or was loaded just before.
    ///
    /// The same section is answered until [`History::loaded`] or [`History::load_failed`] has been called for it: who has
    /// asked for it already must not do so again.
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

    /// A section that a hook asked for has been read: its records go to level 1. Returns a section that is to be handed
    /// over, if records that are carried on have filled one.
    ///
    /// # Errors
    /// What is wrong with the section. It counts as loaded, so that it is not asked for at once again.
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
                // At most one: a section has no more records than the open one has room for before it is empty again.
                filled = self.add(fingerprint, location).or(filled);
            }
        }
        self.remember(at, index.capacity() / PART_OF_INDEX_TO_RELOAD);
        Ok(filled)
    }

    /// A section that a hook asked for could not be read.
    pub fn load_failed(&mut self, at: SectionAt) {
        self.statistics.sections_failed += 1;
        self.remember(at, PAUSE_AFTER_FAILURE);
    }

    /// A section of an earlier life of the volume, or of another shard, has been read: what of it is this shard's goes to
    /// level 1 as long as there is room, and its hooks are known from now on. Newest sections are to come first. Returns
    /// the records that level 1 took.
    ///
    /// # Errors
    /// What is wrong with the section.
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

    /// What it has and has done.
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

    /// A section is not asked for until so many more records have come.
    fn remember(&mut self, at: SectionAt, records: u64) {
        self.recent.retain(|&(recent, _)| recent != at);
        if self.recent.len() == RECENT_SECTIONS {
            self.recent.pop_front();
        }
        self.recent.push_back((at, self.clock + records));
    }

    /// Whether the records of a section that is in use again would fall off before long.
    const fn must_carry(&self, at: SectionAt) -> bool {
        let window = self.config.window_sections as u64;
        self.sections.readable() >= window - window / 4 && self.sections.is_in_older_half(at.chapter)
    }
}

#[cfg(test)]
mod tests;

// SPDX-License-Identifier: BSD-3-Clause

//! The combined content of an inventory's records.
//!
//! Invariants: the objects of a kind are numbered 0, 1, 2, ... without gaps. Objects recorded beyond the counts were
//! left by an interrupted step, or belong to one in progress; the next record with the same number replaces them.
//! Numbers of chapters grow, with gaps.

use mpool::ObjectId;
use thiserror::Error;

use super::{ChapterEntry, InventoryRecord, VolumeConfig, VolumeState};

/// The numbers of recorded objects that count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Slabs; their number implies that of the objects with their areas.
    pub slabs: u64,
    /// Segments of recovery journals.
    pub segments: u64,
}

/// Why a record does not follow the earlier ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ContentsError {
    /// The number leaves a gap, or belongs to an object that counts already.
    #[error("{what} {number} follows {known} that are known, {counted} of which count")]
    Number {
        /// The kind of the object.
        what: &'static str,
        /// The number in the record.
        number: u64,
        /// The number of objects of the kind.
        known: u64,
        /// The number of them that count.
        counted: u64,
    },
    /// The roots are recorded again after they count.
    #[error("the roots are recorded twice")]
    Roots,
    /// The record counts objects that are not recorded, or fewer objects than before.
    #[error("{counts:?} count, but there are {known:?}, and there were {before:?}")]
    Counts {
        /// The counts in the record.
        counts: Counts,
        /// The objects that are recorded.
        known: Counts,
        /// The counts before.
        before: Counts,
    },
    /// Objects are counted before the records that they depend on.
    #[error("objects are to count before the configuration, the state and the roots are recorded")]
    TooEarly,
    /// The configuration is another volume's.
    #[error("a configuration changes what cannot change")]
    OtherVolume,
    /// A record follows that of the deletion.
    #[error("a record follows that of the volume's deletion")]
    Deleted,
}

/// The combined content of an inventory's records.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Contents {
    /// The configuration; none before it is recorded.
    pub config: Option<VolumeConfig>,
    /// The state; none before it is recorded.
    pub state: Option<VolumeState>,
    /// The objects that count; none before the volume's creation has ended.
    pub counts: Option<Counts>,
    /// Objects of the slabs, by slab number.
    pub slabs: Vec<ObjectId>,
    /// Objects with slab areas, by number.
    pub areas: Vec<ObjectId>,
    /// The object with the roots of the block map.
    pub roots: Option<ObjectId>,
    /// Logs of the journal segments, by number.
    pub segments: Vec<ObjectId>,
    /// Closed chapters of the index's history, oldest first.
    pub chapters: Vec<ChapterEntry>,
    /// The log of the open chapter.
    pub history_log: Option<ObjectId>,
    /// The volume is being deleted.
    pub deleted: bool,
}

impl Contents {
    /// Whether the volume exists: its creation has ended, and its deletion has not begun.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.counts.is_some() && !self.deleted
    }

    /// The number of objects with slab areas that count.
    #[must_use]
    pub fn counted_areas(&self) -> u64 {
        let slabs = self.counts.unwrap_or_default().slabs;
        self.config.as_ref().map_or(0, |config| config.area_objects(slabs))
    }

    /// Applies the next record.
    ///
    /// # Errors
    /// The record does not follow the earlier ones; then nothing changes.
    pub fn apply(&mut self, record: InventoryRecord) -> Result<(), ContentsError> {
        if self.deleted && record != InventoryRecord::Deleted {
            return Err(ContentsError::Deleted);
        }
        let counts = self.counts.unwrap_or_default();
        let counted_areas = self.counted_areas();
        match record {
            InventoryRecord::Config(config) => {
                if self.config.as_ref().is_some_and(|known| !known.is_same_volume(&config)) {
                    return Err(ContentsError::OtherVolume);
                }
                self.config = Some(*config);
            }
            InventoryRecord::Slab { number, object } => put(&mut self.slabs, "slab", number, object, counts.slabs)?,
            InventoryRecord::Areas { number, object } => {
                put(&mut self.areas, "metadata object", number, object, counted_areas)?;
            }
            InventoryRecord::Segment { number, object } => {
                put(&mut self.segments, "segment", number, object, counts.segments)?;
            }
            InventoryRecord::Roots { object } => {
                if self.counts.is_some() {
                    return Err(ContentsError::Roots);
                }
                self.roots = Some(object);
            }
            InventoryRecord::State(state) => self.state = Some(*state),
            InventoryRecord::Counts(new) => self.count(new, counts)?,
            InventoryRecord::Deleted => self.deleted = true,
            InventoryRecord::Chapter(chapter) => self.add_chapter(chapter)?,
            InventoryRecord::ChapterGone(number) => self.chapters.retain(|chapter| chapter.number != number),
            InventoryRecord::HistoryLog { object } => self.history_log = Some(object),
        }
        Ok(())
    }

    fn add_chapter(&mut self, chapter: ChapterEntry) -> Result<(), ContentsError> {
        let (number, known) = (chapter.number, self.chapters.len() as u64);
        if let Some(newest) = self.chapters.last().filter(|newest| newest.number >= number) {
            return Err(ContentsError::Number { what: "chapter", number, known, counted: newest.number });
        }
        self.chapters.push(chapter);
        Ok(())
    }

    fn count(&mut self, counts: Counts, before: Counts) -> Result<(), ContentsError> {
        let (Some(config), Some(_), Some(_)) = (&self.config, &self.state, &self.roots) else {
            return Err(ContentsError::TooEarly);
        };
        let known = Counts { slabs: self.slabs.len() as u64, segments: self.segments.len() as u64 };
        let there = counts.slabs <= known.slabs.min(config.max_slabs()) && counts.segments <= known.segments;
        let grown = counts.slabs >= before.slabs && counts.segments >= before.segments;
        if !there || !grown || config.area_objects(counts.slabs) > self.areas.len() as u64 {
            return Err(ContentsError::Counts { counts, known, before });
        }
        self.counts = Some(counts);
        Ok(())
    }

    /// All recorded objects, including logs of segments, in the order in which they are to be deleted.
    #[must_use]
    pub fn objects(&self) -> Vec<ObjectId> {
        let slabs = self.slabs.iter().rev().chain(self.areas.iter().rev());
        let metadata = slabs.chain(self.segments.iter().rev()).chain(&self.roots).copied();
        let chapters = self.chapters.iter().map(|chapter| chapter.object);
        chapters.chain(self.history_log).chain(metadata).collect()
    }

    /// The objects that are recorded but do not count.
    #[must_use]
    pub fn strays(&self) -> Vec<ObjectId> {
        let counts = self.counts.unwrap_or_default();
        let beyond = |objects: &[ObjectId], counted: u64| {
            let counted = usize::try_from(counted).unwrap_or(usize::MAX);
            objects.get(counted..).unwrap_or_default().iter().rev().copied().collect::<Vec<_>>()
        };
        let mut strays = beyond(&self.slabs, counts.slabs);
        strays.extend(beyond(&self.areas, self.counted_areas()));
        strays.extend(beyond(&self.segments, counts.segments));
        strays
    }

    /// The fewest records with the same content.
    #[must_use]
    pub fn records(&self) -> Vec<InventoryRecord> {
        let mut records = Vec::new();
        records.extend(self.config.clone().map(|config| InventoryRecord::Config(Box::new(config))));
        records.extend(self.roots.map(|object| InventoryRecord::Roots { object }));
        let slabs = (0..).zip(&self.slabs);
        records.extend(slabs.map(|(number, object)| InventoryRecord::Slab { number, object: *object }));
        let areas = (0..).zip(&self.areas);
        records.extend(areas.map(|(number, object)| InventoryRecord::Areas { number, object: *object }));
        let segments = (0..).zip(&self.segments);
        records.extend(segments.map(|(number, object)| InventoryRecord::Segment { number, object: *object }));
        records.extend(self.state.clone().map(|state| InventoryRecord::State(Box::new(state))));
        records.extend(self.history_log.map(|object| InventoryRecord::HistoryLog { object }));
        records.extend(self.chapters.iter().copied().map(InventoryRecord::Chapter));
        records.extend(self.counts.map(InventoryRecord::Counts));
        records.extend(self.deleted.then_some(InventoryRecord::Deleted));
        records
    }
}

fn put(
    objects: &mut Vec<ObjectId>,
    what: &'static str,
    number: u64,
    object: ObjectId,
    counted: u64,
) -> Result<(), ContentsError> {
    let known = objects.len() as u64;
    if number > known || number < counted {
        return Err(ContentsError::Number { what, number, known, counted });
    }
    // At most the number of objects.
    objects.truncate(number as usize);
    objects.push(object);
    Ok(())
}

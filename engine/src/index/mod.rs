// SPDX-License-Identifier: BSD-3-Clause

//! The level-1 index: where a block's content was stored before, as advice.
//!
//! One shard's part of it, wholly in memory, 8 bytes a record, allocated when it is made or resized and never else. It
//! differs from the UDS index of dm-vdo, which costs two reads per hit: here advice costs two cache lines.
//!
//! What it promises:
//! * **Advice only.** A record holds 16 bits of its key and no fingerprint, so a lookup may answer with the location of
//!   other content: 1.2 to 2.4 times in 10000 when the index is full (8 candidates on average, each of which agrees by
//!   chance once in 65536, or in 32768 when the number of buckets is just below a power of two). Whoever asks must
//!   compare the content before sharing it. For the same reason an update may take over a record of other
//!   content; the price of either is a duplicate not found or a read in vain.
//! * **The least recently used go.** See the module `table` for how recency is kept.
//! * **The latest update wins**: after `update(f, x)` a lookup of `f` answers `x`, nothing, or, where a later update
//!   was given another fingerprint with the same key, what that one recorded. Never an earlier location of `f`.
//!
//! **Resizing** is online and in small steps, taken by some updates and by [`Index::migrate`]: the groups of the old
//! table are emptied into the new one in the order of their keys, so that every key is in one table or in the other,
//! and which one is known. Memory of the new table is allocated as it is reached, that of the old one given back as it
//! is left, both by the megabyte. What is lost on the way:
//! * shrinking: the least recently used records that no longer fit, and of those whose keys become equal (one in some
//!   thousands) all but one;
//! * growing by up to 16 times (after rounding to powers of two): nothing but a record that finds its buckets full. The
//!   larger table keeps the smaller one's key, so wrong advice is up to 16 times more frequent until the index is made
//!   anew;
//! * growing by more: every record. They are at most one in 16 of those that will fit.

mod history;
mod hooks;
mod image;
mod record;
mod sections;
pub mod state;
mod table;

use core::hint::black_box;

use crate::fingerprint::ShortFingerprint;
use crate::format::Mapped;
use record::{Bucket, SLOTS};
use table::{Inserted, Place, Spread, Table, GROUP};

/// Buckets of a new table that are cleared in one step of a resize: a few pages of memory.
const CLEARED_PER_STEP: usize = 8 * GROUP;

/// A resize takes one step in so many updates. A step moves up to 512 records, which takes about ten microseconds.
const UPDATES_PER_STEP: u32 = 8;

/// Fingerprints whose places are worked out before the first of them is read.
const TOUCH_BATCH: usize = 32;

/// Generations since the supposed last use of a record that was restored because those around it are in use. It must
/// stay until it is its turn, and of several streams each takes its turn.
const YOUNG: u64 = 2;

/// Generations for which a record must not have been used for such a one to push it out. So what is used again before
/// six sixteenths of the index have been renewed stays, however much is restored in vain.
const YIELDS_TO_YOUNG: u64 = 6;

/// Generations since the supposed last use of a record that fills memory which nobody else wants: as old as those that
/// go next.
const OLD: u64 = 16;

/// How old a record is that comes back from a chapter, and what it may push out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Age {
    /// It is wanted soon, as it seems: it may push out what has not been used for a good while.
    Young,
    /// It only fills free memory.
    Old,
}

/// What restoring a record did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restored {
    /// There was room.
    Added,
    /// It took the place of a record that named this location.
    Replaced(Mapped),
    /// The fingerprint has a record, which is newer or was used since, and names this location.
    Known(Mapped),
    /// There was no room for a record of its age.
    Refused,
}

/// What an index holds, and has done since it was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct IndexStatistics {
    /// Records that fit.
    pub capacity: u64,
    /// Records held.
    pub entries: u64,
    /// Lookups.
    pub lookups: u64,
    /// Lookups that were answered.
    pub hits: u64,
    /// Records pushed out by others, or lost by resizing.
    pub evictions: u64,
    /// Records restored from chapters.
    pub restored: u64,
}

/// What an update did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Update {
    /// A record was added to an empty slot.
    Added,
    /// The fingerprint had a record, which now names the given location (if it did not before).
    Changed,
    /// A record was added in the place of another's, which named this location.
    Replaced(Mapped),
}

/// The index of one shard.
#[derive(Debug)]
pub struct Index {
    table: Table,
    /// The table that is being emptied into `table`.
    old: Option<Table>,
    /// Buckets that the next resize shall give.
    wanted: Option<usize>,
    updates_to_step: u32,
    discarded: u64,
    lookups: u64,
    hits: u64,
    restored: u64,
}

impl Index {
    /// An index in at most `bytes` bytes of memory, rounded down: to pages of 4096 bytes, or below that
    /// to a power of two of buckets of 64 bytes, of which it has two at least.
    #[must_use]
    pub fn new(bytes: usize) -> Index {
        Index::with(Table::new(buckets_in(bytes)))
    }

    const fn with(table: Table) -> Index {
        Index {
            table,
            old: None,
            wanted: None,
            updates_to_step: UPDATES_PER_STEP,
            discarded: 0,
            lookups: 0,
            hits: 0,
            restored: 0,
        }
    }

    /// Records that fit.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        (self.table.count() * SLOTS) as u64
    }

    /// Records held; while a smaller table is being filled that can be more than fit.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.table.len() + self.old.as_ref().map_or(0, Table::len)
    }

    /// True when no record is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Records pushed out by others since the index was made, those lost by resizing included, removed ones not.
    #[must_use]
    pub const fn discarded(&self) -> u64 {
        self.discarded
    }

    /// What it holds and has done.
    #[must_use]
    pub fn statistics(&self) -> IndexStatistics {
        IndexStatistics {
            capacity: self.capacity(),
            entries: self.len(),
            lookups: self.lookups,
            hits: self.hits,
            evictions: self.discarded,
            restored: self.restored,
        }
    }

    /// Brings the cache lines of a fingerprint near: touch a batch of fingerprints first, then look them up, and their
    /// cache misses overlap.
    ///
    /// The result means nothing, but the reads happen only if it is used: combine those of a batch, for instance with
    /// `^`, and give that to [`black_box`]. Better, use [`Index::touch_all`].
    #[must_use]
    #[inline]
    pub fn touch(&self, fingerprint: impl Into<ShortFingerprint>) -> u64 {
        let spread = Spread::of(fingerprint.into());
        if let Some(old) = &self.old {
            let place = old.place(spread);
            if !old.is_taken(place) {
                return old.touch(place);
            }
        }
        self.table.touch(self.table.place(spread))
    }

    /// Brings the cache lines of many fingerprints near, as [`Index::touch`] does for one, but with more of them on
    /// their way at a time: a processor looks only some hundred instructions ahead, so where to read is worked out
    /// before the first read.
    pub fn touch_all(&self, fingerprints: impl IntoIterator<Item = impl Into<ShortFingerprint>>) {
        let mut fingerprints = fingerprints.into_iter();
        if self.old.is_some() {
            black_box(fingerprints.fold(0, |sum, fingerprint| sum ^ self.touch(fingerprint)));
            return;
        }
        loop {
            let mut places = [Place::default(); TOUCH_BATCH];
            let mut count = 0;
            for (place, fingerprint) in places.iter_mut().zip(&mut fingerprints) {
                *place = self.table.place(Spread::of(fingerprint.into()));
                count += 1;
            }
            black_box(places[..count].iter().fold(0, |sum, &place| sum ^ self.table.touch(place)));
            if count < TOUCH_BATCH {
                return;
            }
        }
    }

    /// Where the content with this fingerprint may be stored. Counts as a use of the record.
    #[inline]
    pub fn lookup(&mut self, fingerprint: impl Into<ShortFingerprint>) -> Option<Mapped> {
        self.lookups += 1;
        let (table, place) = self.table_of(fingerprint.into());
        let at = table.find(place)?;
        table.refresh(at);
        let location = table.location(at);
        self.hits += 1;
        Some(location)
    }

    /// Records that the content with this fingerprint is stored at `location`. May take a step of a resize.
    ///
    /// # Panics
    /// If the location is the zero block, unmapped, or beyond 36 bits: no content is stored there.
    pub fn update(&mut self, fingerprint: impl Into<ShortFingerprint>, location: Mapped) -> Update {
        if self.old.is_some() {
            self.pace();
        }
        let (table, place) = self.table_of(fingerprint.into());
        if let Some(at) = table.find(place) {
            table.change(at, location);
            return Update::Changed;
        }
        match table.insert(place, location, 0) {
            Inserted::Evicted(record) => {
                self.discarded += 1;
                Update::Replaced(record.location())
            }
            Inserted::Added | Inserted::Refused => Update::Added,
        }
    }

    /// Records what a chapter says, unless the fingerprint has a record: that one is newer, or as good.
    ///
    /// # Panics
    /// As [`Index::update`].
    pub fn restore(&mut self, fingerprint: impl Into<ShortFingerprint>, location: Mapped, age: Age) -> Restored {
        let (table, place) = self.table_of(fingerprint.into());
        if let Some(at) = table.find(place) {
            return Restored::Known(table.location(at));
        }
        let inserted = match age {
            Age::Young => table.suppose(place, location, YOUNG, YIELDS_TO_YOUNG),
            Age::Old => table.suppose(place, location, OLD, u64::MAX),
        };
        self.restored += u64::from(inserted != Inserted::Refused);
        match inserted {
            Inserted::Added => Restored::Added,
            Inserted::Refused => Restored::Refused,
            Inserted::Evicted(record) => {
                self.discarded += 1;
                Restored::Replaced(record.location())
            }
        }
    }

    /// True while there is so much free memory that a record mostly finds some.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.len() < self.capacity() - self.capacity() / 16
    }

    /// Forgets the record of a fingerprint if it still names `location`; says whether it did.
    pub fn remove(&mut self, fingerprint: impl Into<ShortFingerprint>, location: Mapped) -> bool {
        let (table, place) = self.table_of(fingerprint.into());
        match table.find(place) {
            Some(at) if table.location(at) == location => {
                table.remove(at);
                true
            }
            _ => false,
        }
    }

    /// Asks for another size, rounded as by [`Index::new`]; the work is done by and by. A resize under way is completed
    /// first; of several that wait for it, the last counts.
    pub fn resize(&mut self, bytes: usize) {
        self.wanted = Some(buckets_in(bytes));
        self.start_resize();
    }

    /// Takes up to `steps` steps of a resize, each about ten microseconds; says whether there are more to take.
    ///
    /// A shard with nothing else to do may call it to finish sooner.
    pub fn migrate(&mut self, steps: usize) -> bool {
        for _ in 0..steps {
            let Some(mut old) = self.old.take() else { return false };
            self.step(&mut old);
            if old.taken() < old.count() {
                self.old = Some(old);
            } else {
                debug_assert_eq!(old.len(), 0, "every record has been taken");
                self.start_resize();
            }
        }
        self.old.is_some()
    }

    /// The table that has a fingerprint's record, if there is one, and where.
    #[inline]
    fn table_of(&mut self, fingerprint: ShortFingerprint) -> (&mut Table, Place) {
        let spread = Spread::of(fingerprint);
        if let Some(old) = &mut self.old {
            let place = old.place(spread);
            if !old.is_taken(place) {
                return (old, place);
            }
        }
        let place = self.table.place(spread);
        (&mut self.table, place)
    }

    /// Starts the resize that is wanted, unless one is under way.
    fn start_resize(&mut self) {
        if self.old.is_some() {
            return;
        }
        if let Some(count) = self.wanted.take().filter(|&count| count != self.table.count()) {
            let new = Table::reserve_for(&self.table, count);
            self.old = Some(core::mem::replace(&mut self.table, new));
        }
    }

    /// Takes a step of a resize when it is time for one.
    #[cold]
    fn pace(&mut self) {
        self.updates_to_step -= 1;
        if self.updates_to_step == 0 {
            self.updates_to_step = UPDATES_PER_STEP;
            self.migrate(1);
        }
    }

    /// Clears memory for the next group of the old table, or, when there is enough, moves its records.
    fn step(&mut self, old: &mut Table) {
        let needed = self.table.reach(old, old.taken() + GROUP);
        if self.table.cleared() < needed {
            self.table.clear(CLEARED_PER_STEP.min(needed - self.table.cleared()));
            return;
        }
        let known = old.key_bits() >= self.table.key_bits();
        old.take_group(|spread, location, age| {
            let place = self.table.place(spread);
            // Keys can have become equal.
            let kept =
                known && self.table.find(place).is_none() && self.table.insert(place, location, age) == Inserted::Added;
            // If not, then this record was dropped, or else another that it replaced.
            self.discarded += u64::from(!kept);
        });
    }
}

/// Buckets for `bytes`: whole groups, or a power of two.
const fn buckets_in(bytes: usize) -> usize {
    let buckets = bytes / size_of::<Bucket>();
    if buckets >= GROUP {
        buckets / GROUP * GROUP
    } else if buckets > 2 {
        1 << buckets.ilog2()
    } else {
        2
    }
}

pub use crate::format::index_section::SectionAt;
pub use history::{History, HistoryConfig, HistoryStatistics};
pub use image::{ImageError, ImageOf};

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

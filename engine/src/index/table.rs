// SPDX-License-Identifier: BSD-3-Clause

//! A table of index records in buckets of one cache line: where a record may be, and which record is evicted.
//!
//! **Key.** A table identifies a fingerprint by its *key*: the top W bits of 64 bits taken from the fingerprint. The
//! key gives the primary bucket, `key * N / 2^W` of N (a multiple of 64, or a power of two below), and its low 16 bits
//! are the tag. W is at most `16 + log2 N` rounded down, so the keys of one bucket are an interval of at most 2^16
//! numbers, and bucket and tag together determine the key. This is why a record can move to a table of another size
//! although it does not contain its fingerprint.
//!
//! **Two choices.** Buckets form groups of 64, one page of memory (a table with fewer buckets is one group), and a
//! record's other bucket is in the same group: the number of one bucket, exclusive-or an odd number given by the tag,
//! is the number of the other. So it follows from the bucket that the record is in. A record goes into the emptier of
//! the two. Records are told apart by tag *and* side, so a lookup matches exactly the records with its own key. Of the
//! records that fill a table to 85% and to 90%, 0.3% and 1% find no room and evict another one.
//!
//! **Order.** Keys ascend with groups, in tables of every size. So a table can be emptied group by group into another
//! one, whose memory is needed only as far as the keys moved so far reach; see [`Table::reach`].
//!
//! **Recency.** Time is counted in *generations* of N/2 events (an insertion, or a hit on a record that was not yet
//! used in the current generation), so a table's worth of insertions is 16 generations. When both buckets are full, the
//! least recently used of all 16 records is evicted. Stamps have 7 bits; a sweep visits each bucket within 32 N events
//! and sets every age above 63 generations to 63, so no record gets old enough (128) to look young.
//!
//! Invariants: no two records have the same key; `len` counts the slots in use.

use super::memory::{Segment, SEGMENT};
use super::record::{Bucket, Record, Side, Slots, SLOTS, STAMPS, TAG_BITS};
use crate::fingerprint::ShortFingerprint;
use crate::format::Mapped;

/// The highest age that is kept.
const OLDEST: u64 = STAMPS / 2 - 1;

/// Minimum number of tag bits that must be left to tell records apart when a table keeps a smaller one's key.
const LEAST_TAG_BITS: u32 = TAG_BITS - 4;

/// Events per bucket visited by the sweep.
const EVENTS_PER_SWEPT_BUCKET: u32 = 16;

/// Buckets of a group: one page of memory.
pub(super) const GROUP: usize = 64;

const _: () = assert!(SEGMENT.is_multiple_of(GROUP), "both buckets of a record are in one segment");

/// Segments that a new table has from the start, which take half a millisecond.
const FIRST_SEGMENTS: usize = 2;

/// Buckets visited at a time by the sweep: neighbours, so that their cache misses overlap.
const SWEEP_BATCH: usize = 16;

/// A multiplier that spreads bits: the golden ratio in 64 bits.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// The 64 bits of a fingerprint from which every table takes its key.
///
/// Bits 8 to 71: the first byte selects the shard and is the same, or nearly so, for all of them. The multiplication
/// loses nothing, and spreads the few bits that a test's fingerprint has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spread(u64);

impl Spread {
    pub(super) const fn of(fingerprint: ShortFingerprint) -> Spread {
        Spread(((fingerprint.to_bits() >> 8) as u64).wrapping_mul(SPREAD))
    }

    /// The key of a table that uses `bits` bits.
    #[cfg(test)]
    pub(super) const fn top_bits(self, bits: u32) -> u64 {
        self.0 >> (u64::BITS - bits)
    }
}

/// Where the record of a key may be.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Place {
    primary: usize,
    partner: usize,
    tag: u16,
}

/// A slot of the table.
#[derive(Debug, Clone, Copy)]
pub(super) struct At {
    bucket: usize,
    slot: usize,
}

/// Result of an insertion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Inserted {
    /// The record went into a free slot.
    Added,
    /// The record replaced this one.
    Evicted(Record),
    /// Every record that it could have replaced was used more recently.
    Refused,
}

/// The buckets of an index, or of its part that is not taken yet.
#[derive(Debug)]
pub(super) struct Table {
    /// The memory, from the start as far as the table has it; none where all records were taken.
    segments: Vec<Option<Segment>>,
    /// Number of buckets (N).
    count: usize,
    /// Mask for the numbers that lead from a bucket to its partner: the buckets of a group, less one.
    partner_mask: usize,
    /// Number of buckets from the start whose records were taken.
    taken: usize,
    key_bits: u32,
    len: u64,
    generation: u64,
    events_to_generation: usize,
    events_to_sweep: u32,
    sweep: usize,
}

/// `floor(log2 count) + bits`.
const fn key_bits_for(count: usize, bits: u32) -> u32 {
    count.ilog2() + bits
}

/// `a * b / 2^64`.
const fn high_product(a: u64, b: usize) -> usize {
    ((a as u128 * b as u128) >> 64) as usize
}

impl Table {
    /// An empty table of `count` buckets, at least 2, with its first memory: see [`Table::extend`].
    pub(super) fn new(count: usize) -> Table {
        let mut table = Table::reserve(count, key_bits_for(count, TAG_BITS));
        while table.segments.len() < FIRST_SEGMENTS && table.extend() {}
        table
    }

    /// A table without memory to which the records of `other` can move.
    ///
    /// A larger table keeps the key of the smaller one, because its records have no more bits; then fewer bits of the
    /// tag tell records apart. This is worth it down to 12 bits; below that the table starts with a key of its own.
    pub(super) fn reserve_for(other: &Table, count: usize) -> Table {
        let full = key_bits_for(count, TAG_BITS);
        let key_bits =
            if other.key_bits >= key_bits_for(count, LEAST_TAG_BITS) { full.min(other.key_bits) } else { full };
        Table::reserve(count, key_bits)
    }

    fn reserve(count: usize, key_bits: u32) -> Table {
        let groups = if count < GROUP { count.is_power_of_two() } else { count.is_multiple_of(GROUP) };
        assert!(count >= 2 && groups && key_bits <= u64::BITS, "an index cannot have {count} buckets");
        Table {
            segments: Vec::with_capacity(count.div_ceil(SEGMENT)),
            count,
            partner_mask: GROUP.min(count) - 1,
            taken: 0,
            key_bits,
            len: 0,
            generation: 0,
            events_to_generation: count.div_ceil(2),
            events_to_sweep: 0,
            sweep: 0,
        }
    }

    /// Adds memory for the next buckets, if some have none; returns whether there are still such buckets. A table has no
    /// room for records whose buckets have no memory, and finds none.
    pub(super) fn extend(&mut self) -> bool {
        let buckets = SEGMENT.min(self.count - self.extent());
        if buckets > 0 {
            self.segments.push(Some(Segment::new(buckets)));
        }
        self.extent() < self.count
    }

    /// Number of buckets from the start that have memory, or had it until their records were taken.
    pub(super) fn extent(&self) -> usize {
        (self.segments.len() * SEGMENT).min(self.count)
    }

    /// Number of buckets, from the start and in whole groups, that this table needs for the keys of the first `buckets`
    /// buckets of `other`.
    pub(super) fn reach(&self, other: &Table, buckets: usize) -> usize {
        if buckets >= other.count {
            return self.count;
        }
        // The first key after those is at least `buckets / other.count` of all keys.
        let last = (buckets as u128 * self.count as u128 / other.count as u128) as usize;
        (last / GROUP * GROUP + GROUP).min(self.count)
    }

    /// Number of buckets from the start whose records were taken.
    pub(super) const fn taken(&self) -> usize {
        self.taken
    }

    #[inline]
    fn bucket(&self, bucket: usize) -> &Bucket {
        &self.segment(bucket).expect("the bucket has memory").buckets()[bucket % SEGMENT]
    }

    #[inline]
    fn bucket_mut(&mut self, bucket: usize) -> &mut Bucket {
        let segment = self.segments[bucket / SEGMENT].as_mut().expect("the bucket has memory");
        &mut segment.buckets_mut()[bucket % SEGMENT]
    }

    #[inline]
    fn segment(&self, bucket: usize) -> Option<&Segment> {
        self.segments.get(bucket / SEGMENT)?.as_ref()
    }

    /// Both buckets of a place, if they have memory.
    #[inline]
    fn pair(&self, place: Place) -> Option<(&Bucket, &Bucket)> {
        let buckets = self.segment(place.primary)?.buckets();
        Some((&buckets[place.primary % SEGMENT], &buckets[place.partner % SEGMENT]))
    }

    #[inline]
    fn record(&self, at: At) -> Record {
        self.bucket(at.bucket).get(at.slot)
    }

    #[inline]
    fn set(&mut self, at: At, record: Record) {
        self.bucket_mut(at.bucket).set(at.slot, record);
    }

    pub(super) const fn count(&self) -> usize {
        self.count
    }

    pub(super) const fn len(&self) -> u64 {
        self.len
    }

    pub(super) const fn key_bits(&self) -> u32 {
        self.key_bits
    }

    /// Where the record of a fingerprint may be.
    #[inline]
    pub(super) fn place(&self, spread: Spread) -> Place {
        let shift = u64::BITS - self.key_bits;
        let key = spread.0 >> shift;
        let tag = key as u16;
        let primary = high_product(key << shift, self.count);
        Place { primary, partner: self.partner(primary, tag), tag }
    }

    /// The other bucket of a record with this tag.
    #[inline]
    const fn partner(&self, bucket: usize, tag: u16) -> usize {
        bucket ^ (tag as usize & self.partner_mask | 1)
    }

    /// The primary bucket of a record found in `bucket`.
    const fn primary_of(&self, bucket: usize, record: Record) -> usize {
        match record.side() {
            Side::Primary => bucket,
            Side::Partner => self.partner(bucket, record.tag()),
        }
    }

    /// The key of a record found in `bucket`.
    const fn key_of(&self, bucket: usize, record: Record) -> u64 {
        let primary = self.primary_of(bucket, record);
        let first = ((primary as u128) << self.key_bits).div_ceil(self.count as u128) as u64;
        first + record.tag().wrapping_sub(first as u16) as u64
    }

    /// The top bits of the key of a record found in `bucket`, in the position in which [`Spread::of`] has them.
    fn spread_of(&self, bucket: usize, record: Record) -> Spread {
        let spread = self.key_of(bucket, record) << (u64::BITS - self.key_bits);
        debug_assert_eq!(
            high_product(spread, self.count),
            self.primary_of(bucket, record),
            "bucket and tag determine the key"
        );
        Spread(spread)
    }

    /// Prefetches both buckets of a place: reads a word of each.
    #[inline]
    pub(super) fn touch(&self, place: Place) -> u64 {
        self.pair(place).map_or(0, |(primary, partner)| primary.touch() ^ partner.touch())
    }

    /// The slot of the record with the place's key.
    #[inline]
    pub(super) fn find(&self, place: Place) -> Option<At> {
        // Read both buckets at once: reading the second only after a miss in the first would cost a second cache miss.
        let (primary, partner) = self.pair(place)?;
        let primary = primary.matches(place.tag, Side::Primary);
        let partner = partner.matches(place.tag, Side::Partner);
        let found = primary | partner << SLOTS;
        if found == 0 {
            return None;
        }
        // Which bucket it is cannot be predicted, so this is a selection and not a branch.
        let slot = found.trailing_zeros() as usize;
        let bucket = [place.primary, place.partner][slot / SLOTS % 2];
        Some(At { bucket, slot: slot % SLOTS })
    }

    /// True when the records of a place were taken.
    #[inline]
    pub(super) const fn is_taken(&self, place: Place) -> bool {
        place.primary < self.taken
    }

    /// The location in a slot's record.
    #[inline]
    pub(super) fn location(&self, at: At) -> Mapped {
        self.record(at).location()
    }

    /// Records a use of a slot's record.
    #[inline]
    pub(super) fn refresh(&mut self, at: At) {
        let record = self.record(at);
        if record.age(self.generation) != 0 {
            self.set(at, record.stamped(self.generation));
            self.tick();
        }
    }

    /// Changes the location of a slot's record, and records a use.
    pub(super) fn change(&mut self, at: At, location: Mapped) {
        let record = self.record(at);
        self.set(at, Record::new(record.tag(), record.side(), location, self.generation));
        self.tick();
    }

    /// Empties a slot.
    pub(super) fn remove(&mut self, at: At) {
        self.set(at, Record::EMPTY);
        self.len -= 1;
    }

    /// Inserts a record, last used `age` generations ago, whose key is not in the table.
    pub(super) fn insert(&mut self, place: Place, location: Mapped, age: u64) -> Inserted {
        let age = age.min(OLDEST);
        // A record that moves here from an older table does not evict records that were used more recently.
        let inserted = self.put(place, location, age, if age > 0 { age + 1 } else { 0 });
        if inserted != Inserted::Refused {
            self.tick();
        }
        inserted
    }

    /// Inserts a record that is only assumed to be useful, and whose key is not in the table. It may evict a record
    /// that has not been used for `least` generations. This is not an event: assumed records make nothing older.
    pub(super) fn suppose(&mut self, place: Place, location: Mapped, age: u64, least: u64) -> Inserted {
        self.put(place, location, age.min(OLDEST), least)
    }

    /// Puts a record into a free slot, or replaces one that has not been used for `least` generations.
    fn put(&mut self, place: Place, location: Mapped, age: u64, least: u64) -> Inserted {
        let Some((at, side)) = self.room(place).or_else(|| self.oldest(place, least)) else { return Inserted::Refused };
        let record = Record::new(place.tag, side, location, self.generation.wrapping_sub(age));
        let before = self.record(at);
        self.set(at, record);
        if before.is_empty() {
            self.len += 1;
            return Inserted::Added;
        }
        Inserted::Evicted(before)
    }

    /// A free slot in the emptier bucket of a place; in the primary one if they are equal.
    fn room(&self, place: Place) -> Option<(At, Side)> {
        let (primary, partner) = self.pair(place)?;
        let primary = primary.free();
        let partner = partner.free();
        if primary | partner == 0 {
            return None;
        }
        Some(if partner.count_ones() > primary.count_ones() {
            (At { bucket: place.partner, slot: partner.trailing_zeros() as usize }, Side::Partner)
        } else {
            (At { bucket: place.primary, slot: primary.trailing_zeros() as usize }, Side::Primary)
        })
    }

    /// The least recently used record of a place whose buckets are both full, if it has not been used for `least`
    /// generations.
    fn oldest(&self, place: Place, least: u64) -> Option<(At, Side)> {
        let (primary, partner) = self.pair(place)?;
        let primary = primary.oldest(self.generation);
        let partner = partner.oldest(self.generation);
        let (oldest, slot, side) = if partner.0 > primary.0 {
            (partner.0, At { bucket: place.partner, slot: partner.1 }, Side::Partner)
        } else {
            (primary.0, At { bucket: place.primary, slot: primary.1 }, Side::Primary)
        };
        (oldest >= least).then_some((slot, side))
    }

    /// Takes all records out of the next group of buckets, and passes each on with the known bits of its fingerprint,
    /// its location and its age. Frees the memory of a segment once all its records are taken.
    pub(super) fn take_group(&mut self, mut each: impl FnMut(Spread, Mapped, u64)) {
        let end = (self.taken + GROUP).min(self.count);
        for bucket in self.taken..end {
            let Some(segment) = self.segment(bucket) else { break };
            let records = segment.buckets()[bucket % SEGMENT];
            for record in records.records() {
                if !record.is_empty() {
                    self.len -= 1;
                    each(self.spread_of(bucket, record), record.location(), record.age(self.generation));
                }
            }
        }
        self.taken = end;
        if end.is_multiple_of(SEGMENT) || end == self.count {
            if let Some(segment) = self.segments.get_mut((end - 1) / SEGMENT) {
                *segment = None;
            }
        }
    }

    /// Counts an event.
    #[inline]
    fn tick(&mut self) {
        self.events_to_generation -= 1;
        if self.events_to_generation == 0 {
            self.events_to_generation = self.count.div_ceil(2);
            self.generation += 1;
        }
        if self.events_to_sweep == 0 {
            self.sweep();
        }
        self.events_to_sweep -= 1;
    }

    /// Limits the ages in some buckets to what a stamp can represent.
    fn sweep(&mut self) {
        let batch = SWEEP_BATCH.min(self.count);
        self.events_to_sweep = batch as u32 * EVENTS_PER_SWEPT_BUCKET;
        let generation = self.generation;
        for _ in 0..batch {
            if self.sweep < self.taken || self.sweep >= self.extent() {
                self.sweep = self.taken;
            }
            self.bucket_mut(self.sweep).limit_age(generation, OLDEST);
            self.sweep += 1;
        }
    }
}

#[cfg(test)]
mod tests;

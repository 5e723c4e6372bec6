// SPDX-License-Identifier: BSD-3-Clause

//! A table of index records in buckets of one cache line: where a record may lie, and which one makes room.
//!
//! **Key.** A table knows a fingerprint by its *key*: the top W bits of 64 bits taken from the fingerprint. The key
//! names the primary bucket, `key * N / 2^W` of N (N need not be a power of two), and its low 16 bits are the tag. W is
//! at least `16 + log2 N` rounded down when the table is born, so that bucket and tag together determine the key: the
//! keys of one bucket are an interval of at most 2^16 numbers. That is what lets a record move to a table of another
//! size although it does not hold its fingerprint.
//!
//! **Two choices.** The partner of bucket b for a tag is `(h(tag) - b) mod N`, which is its own inverse, so a record's
//! other bucket follows from where it lies. A record goes into the emptier of the two. Records are told apart by tag
//! *and* side, hence a lookup matches exactly the records with its own key, and nothing else.
//!
//! **Recency.** Time is counted in *generations* of N/2 events (an insertion, or a hit on a record that was not used in
//! the present generation), so a table's worth of insertions is 16 generations. When both buckets are full, the record
//! not used for the longest time of all 16 goes. Stamps have 7 bits; a sweep visits each bucket within 32 N events and
//! makes every age above 63 generations 63, so no record gets old enough (128) to look young.
//!
//! Invariants: no two records have the same key; `len` counts the slots in use.

use super::record::{Record, Side, STAMPS, TAG_BITS};
use crate::logical::Mapped;

/// Records in a bucket.
pub(super) const SLOTS: usize = 8;

/// The oldest age that is told apart.
const OLDEST: u64 = STAMPS / 2 - 1;

/// Events for each bucket that the sweep visits.
const EVENTS_PER_SWEPT_BUCKET: u32 = 16;

/// Buckets that the sweep visits at a time: neighbours, so that their cache misses overlap.
const SWEEP_BATCH: usize = 16;

/// Fractional powers of two that spread bits: the golden ratio in 64 bits.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// One cache line of records.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
pub(super) struct Bucket([Record; SLOTS]);

const _: () = assert!(core::mem::size_of::<Bucket>() == SLOTS * 8, "a record takes 8 bytes and no more");
const _: () = assert!(core::mem::align_of::<Bucket>() == 64, "a bucket is one cache line");

impl Bucket {
    const EMPTY: Bucket = Bucket([Record::EMPTY; SLOTS]);

    /// The slots that hold this identity, as bits.
    fn matches(&self, identity: u64) -> u32 {
        let mut mask = 0;
        for (slot, record) in self.0.iter().enumerate() {
            mask |= u32::from(record.identity() == identity) << slot;
        }
        // Only a record of tag 0 can be mistaken for an empty slot.
        if identity == 0 {
            mask &= !self.free();
        }
        mask
    }

    /// The empty slots, as bits.
    fn free(&self) -> u32 {
        let mut mask = 0;
        for (slot, record) in self.0.iter().enumerate() {
            mask |= u32::from(record.is_empty()) << slot;
        }
        mask
    }

    /// Age and slot of the record not used for the longest time. Only for a full bucket.
    fn oldest(&self, generation: u64) -> (u64, usize) {
        let mut oldest = (self.0[0].age(generation), 0);
        for (slot, record) in self.0.iter().enumerate().skip(1) {
            let age = record.age(generation);
            if age > oldest.0 {
                oldest = (age, slot);
            }
        }
        oldest
    }
}

/// 64 bits of a fingerprint from which every table takes its key.
///
/// Bits 8 to 71: the first byte chose the shard and is the same, or nearly so, for all of them. The multiplication
/// loses nothing, and puts to use what a fingerprint with few bits (a test's) has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spread(u64);

impl Spread {
    pub(super) const fn of(fingerprint: u128) -> Spread {
        Spread(((fingerprint >> 8) as u64).wrapping_mul(SPREAD))
    }

    /// The key of a table that uses so many bits.
    pub(super) const fn top_bits(self, bits: u32) -> u64 {
        self.0 >> (u64::BITS - bits)
    }
}

/// Where a key's record may lie.
#[derive(Debug, Clone, Copy)]
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

/// What became of a record that was to be inserted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Inserted {
    /// There was room.
    Added,
    /// It took the place of this one.
    Evicted(Record),
    /// Every record that it could have replaced was used since it was.
    Refused,
}

/// The table.
#[derive(Debug)]
pub(super) struct Table {
    buckets: Vec<Bucket>,
    /// N: what `buckets` will have when the table is complete.
    count: usize,
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
    /// A table of `count` buckets, at least 2, complete and empty.
    pub(super) fn new(count: usize) -> Table {
        let mut table = Table::reserve(count, key_bits_for(count, TAG_BITS));
        table.grow(count);
        table
    }

    /// A table for the records of `other` and more, its memory reserved but not yet cleared: see [`Table::grow`].
    ///
    /// A larger table keeps the key of the smaller, because its records have no more bits to give; then fewer bits of
    /// the tag tell records apart. Down to 12 of them that is worth it, below the table starts with a key of its own.
    pub(super) fn reserve_for(other: &Table, count: usize) -> Table {
        let full = key_bits_for(count, TAG_BITS);
        let key_bits =
            if other.key_bits >= key_bits_for(count, TAG_BITS - 4) { full.min(other.key_bits) } else { full };
        Table::reserve(count, key_bits)
    }

    fn reserve(count: usize, key_bits: u32) -> Table {
        assert!(count >= 2 && key_bits <= u64::BITS, "an index cannot have {count} buckets");
        Table {
            buckets: Vec::with_capacity(count),
            count,
            key_bits,
            len: 0,
            generation: 0,
            events_to_generation: count.div_ceil(2),
            events_to_sweep: 0,
            sweep: 0,
        }
    }

    /// Clears up to `buckets` more buckets of a reserved table; says whether it is complete.
    pub(super) fn grow(&mut self, buckets: usize) -> bool {
        let cleared = (self.buckets.len() + buckets).min(self.count);
        self.buckets.resize(cleared, Bucket::EMPTY);
        cleared == self.count
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

    /// Generations since the table was made.
    pub(super) const fn generation(&self) -> u64 {
        self.generation
    }

    /// Where the record of a fingerprint may lie.
    #[inline]
    pub(super) fn place(&self, spread: Spread) -> Place {
        let key = spread.top_bits(self.key_bits);
        let tag = key as u16;
        let primary = high_product(key << (u64::BITS - self.key_bits), self.count);
        Place { primary, partner: self.partner(primary, tag), tag }
    }

    /// The other bucket for a tag; now and then (one time in N) the same one.
    #[inline]
    fn partner(&self, bucket: usize, tag: u16) -> usize {
        let sum = high_product(u64::from(tag).wrapping_mul(SPREAD), self.count);
        if sum >= bucket {
            sum - bucket
        } else {
            sum + self.count - bucket
        }
    }

    /// The top bits of the key of a record found in `bucket`, in the place where [`Spread::of`] has them.
    fn spread_of(&self, bucket: usize, record: Record) -> Spread {
        let primary = match record.side() {
            Side::Primary => bucket,
            Side::Partner => self.partner(bucket, record.tag()),
        };
        let first = ((primary as u128) << self.key_bits).div_ceil(self.count as u128) as u64;
        let key = first + u64::from(record.tag().wrapping_sub(first as u16));
        let spread = key << (u64::BITS - self.key_bits);
        debug_assert_eq!(high_product(spread, self.count), primary, "bucket and tag determine the key");
        Spread(spread)
    }

    /// Reads a word of each bucket of a place.
    #[inline]
    pub(super) fn touch(&self, place: Place) -> u64 {
        self.buckets[place.primary].0[0].word() ^ self.buckets[place.partner].0[0].word()
    }

    /// The record with the place's key.
    #[inline]
    pub(super) fn find(&self, place: Place) -> Option<At> {
        // Both buckets at once: asking for the second only after the first has answered would cost a second cache miss.
        let primary = self.buckets[place.primary].matches(Record::identity_of(place.tag, Side::Primary));
        let partner = self.buckets[place.partner].matches(Record::identity_of(place.tag, Side::Partner));
        match (primary | partner << SLOTS).trailing_zeros() as usize {
            slot if slot < SLOTS => Some(At { bucket: place.primary, slot }),
            slot if slot < 2 * SLOTS => Some(At { bucket: place.partner, slot: slot - SLOTS }),
            _ => None,
        }
    }

    /// True when both buckets of a place lie below `bucket`.
    pub(super) const fn is_below(place: Place, bucket: usize) -> bool {
        place.primary < bucket && place.partner < bucket
    }

    /// The location in a slot.
    #[inline]
    pub(super) fn location(&self, at: At) -> Mapped {
        self.buckets[at.bucket].0[at.slot].location()
    }

    /// Notes that a slot's record was used.
    #[inline]
    pub(super) fn refresh(&mut self, at: At) {
        let record = &mut self.buckets[at.bucket].0[at.slot];
        if record.age(self.generation) != 0 {
            *record = record.stamped(self.generation);
            self.tick();
        }
    }

    /// Gives a slot's record another location, and notes that it was used.
    pub(super) fn change(&mut self, at: At, location: Mapped) {
        let record = &mut self.buckets[at.bucket].0[at.slot];
        *record = Record::new(record.tag(), record.side(), location, self.generation);
        self.tick();
    }

    /// Empties a slot.
    pub(super) fn clear(&mut self, at: At) {
        self.buckets[at.bucket].0[at.slot] = Record::EMPTY;
        self.len -= 1;
    }

    /// Inserts a record, last used `age` generations ago, whose key the table does not hold.
    pub(super) fn insert(&mut self, place: Place, location: Mapped, age: u64) -> Inserted {
        let age = age.min(OLDEST);
        let (at, side) = match self.room(place) {
            Some(room) => room,
            None => {
                let (oldest, at, side) = self.oldest(place);
                // A record that moves here from an older table yields to those that were used since it was.
                if age > 0 && age >= oldest {
                    return Inserted::Refused;
                }
                (at, side)
            }
        };
        let slot = &mut self.buckets[at.bucket].0[at.slot];
        let before = *slot;
        *slot = Record::new(place.tag, side, location, self.generation.wrapping_sub(age));
        self.tick();
        if before.is_empty() {
            self.len += 1;
            return Inserted::Added;
        }
        Inserted::Evicted(before)
    }

    /// A free slot in the emptier bucket of a place, the primary when they are equal.
    fn room(&self, place: Place) -> Option<(At, Side)> {
        let primary = self.buckets[place.primary].free();
        let partner = self.buckets[place.partner].free();
        if primary | partner == 0 {
            return None;
        }
        Some(if partner.count_ones() > primary.count_ones() {
            (At { bucket: place.partner, slot: partner.trailing_zeros() as usize }, Side::Partner)
        } else {
            (At { bucket: place.primary, slot: primary.trailing_zeros() as usize }, Side::Primary)
        })
    }

    /// The record not used for the longest time of all in a place whose buckets are both full.
    fn oldest(&self, place: Place) -> (u64, At, Side) {
        let primary = self.buckets[place.primary].oldest(self.generation);
        let partner = self.buckets[place.partner].oldest(self.generation);
        if partner.0 > primary.0 {
            (partner.0, At { bucket: place.partner, slot: partner.1 }, Side::Partner)
        } else {
            (primary.0, At { bucket: place.primary, slot: primary.1 }, Side::Primary)
        }
    }

    /// Takes all records out of a bucket, each with what can be known of its fingerprint, its location and its age.
    pub(super) fn take(&mut self, bucket: usize) -> [Option<(Spread, Mapped, u64)>; SLOTS] {
        let records = core::mem::replace(&mut self.buckets[bucket], Bucket::EMPTY).0;
        records.map(|record| {
            if record.is_empty() {
                return None;
            }
            self.len -= 1;
            Some((self.spread_of(bucket, record), record.location(), record.age(self.generation)))
        })
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

    /// Keeps the ages of some buckets within what a stamp can tell.
    fn sweep(&mut self) {
        let batch = SWEEP_BATCH.min(self.count);
        self.events_to_sweep = batch as u32 * EVENTS_PER_SWEPT_BUCKET;
        for _ in 0..batch {
            for record in &mut self.buckets[self.sweep].0 {
                if !record.is_empty() && record.age(self.generation) > OLDEST {
                    *record = record.stamped(self.generation.wrapping_sub(OLDEST));
                }
            }
            self.sweep = if self.sweep + 1 == self.count { 0 } else { self.sweep + 1 };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Pbn;

    /// Every key of a table is recovered from where its record lies, in tables of any size.
    #[test]
    fn bucket_and_tag_determine_the_key() {
        for count in [2, 3, 7, 8, 100, 1000, 1 << 20, (1 << 20) + 12_345] {
            let table = Table::reserve(count, key_bits_for(count, TAG_BITS));
            for seed in 0..2000_u128 {
                let spread = Spread::of(seed.wrapping_mul(0x1234_5678_9abc_def1_1357_9bdf) << 8);
                let place = table.place(spread);
                let known = Spread(spread.0 & u64::MAX << (u64::BITS - table.key_bits));
                let location = Mapped::uncompressed(Pbn(1));
                let primary = Record::new(place.tag, Side::Primary, location, 0);
                let partner = Record::new(place.tag, Side::Partner, location, 0);
                assert_eq!(table.spread_of(place.primary, primary), known, "{count} buckets");
                assert_eq!(table.spread_of(place.partner, partner), known, "{count} buckets");
            }
        }
    }

    /// The same while a larger table keeps the smaller one's key.
    #[test]
    fn growth_by_up_to_16_keeps_the_key() {
        let small = Table::new(8);
        for (count, kept) in [(9, true), (16, true), (128, true), (200, true), (256, false)] {
            let large = Table::reserve_for(&small, count);
            assert_eq!(large.key_bits == small.key_bits, kept, "{count} buckets");
        }
        assert_eq!(Table::reserve_for(&small, 3).key_bits, 17);
    }

    /// A record that nobody uses must never look younger than one in use, however long the table runs.
    #[test]
    fn ages_saturate() {
        for count in [2, 3, 16, 17, 50] {
            let mut table = Table::new(count);
            let idle = table.place(Spread::of(0));
            let busy = table.place(Spread::of(u128::MAX));
            table.insert(idle, Mapped::uncompressed(Pbn(1)), 0);
            table.insert(busy, Mapped::uncompressed(Pbn(2)), 0);
            let mut last = 0;
            for _ in 0..2000 * count {
                let at = table.find(busy).expect("inserted above");
                table.change(at, Mapped::uncompressed(Pbn(3)));
                let at = table.find(idle).expect("inserted above");
                let age = table.buckets[at.bucket].0[at.slot].age(table.generation);
                assert!(age >= last.min(OLDEST), "{count} buckets: age fell from {last} to {age}");
                last = age;
            }
            assert!(last >= OLDEST);
        }
    }

    /// `len` is what the slots say.
    #[test]
    fn len_counts_slots() {
        let mut table = Table::new(5);
        for seed in 0..200_u128 {
            let place = table.place(Spread::of(seed << 40));
            match table.find(place) {
                Some(at) if seed % 3 == 0 => table.clear(at),
                Some(at) => table.change(at, Mapped::uncompressed(Pbn(9))),
                None => drop(table.insert(place, Mapped::uncompressed(Pbn(8)), 0)),
            }
            let used: u32 = table.buckets.iter().map(|bucket| SLOTS as u32 - bucket.free().count_ones()).sum();
            assert_eq!(table.len(), u64::from(used));
        }
    }
}

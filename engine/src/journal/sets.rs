// SPDX-License-Identifier: BSD-3-Clause

//! Flush sets in flight.
//!
//! Each set has a slot with memory for its transfer; the slots are used in turn. Transfers end in any order; sets
//! settle in the order of their entries. Invariant: the memory of a slot is rewritten only after its set has settled.

use std::ops::Range;

use mpool::mlog::{FlushSet, SetId};

use super::config::{MAX_SETS, SET_BLOCKS};
use crate::env::{Direction, Env};
use crate::format::Place;
use crate::io::{MetadataIo, MetadataOwner};
use crate::units::BLOCK_SIZE;

/// The entries of a flush set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Batch {
    /// Index of the segment in the ring.
    pub segment: usize,
    /// Range of their numbers.
    pub entries: Range<u64>,
}

/// A set that is written, like all sets before it.
#[derive(Debug)]
pub(super) struct Settled {
    pub batch: Batch,
    /// Identifies the set to the log.
    pub id: SetId,
    /// Memory to be returned to the log.
    pub memory: Vec<u8>,
}

/// A set in flight.
#[derive(Debug)]
struct UnderWay {
    settled: Settled,
    written: bool,
}

/// Memory for a transfer, and the set that uses it.
#[derive(Debug)]
struct Slot<Buf> {
    bufs: [Buf; SET_BLOCKS],
    set: Option<UnderWay>,
}

/// The sets in flight, in a ring of slots.
#[derive(Debug)]
pub(super) struct FlushSets<Buf> {
    slots: Vec<Slot<Buf>>,
    /// Slot of the oldest set.
    first: usize,
    /// Sets that have not settled.
    len: usize,
    /// Transfers in flight.
    writing: usize,
}

impl<Buf: Copy> FlushSets<Buf> {
    /// # Panics
    /// If `bufs` are too few for one set.
    pub fn new(bufs: &[Buf]) -> FlushSets<Buf> {
        let (places, _) = bufs.as_chunks::<SET_BLOCKS>();
        let slots: Vec<_> = places.iter().take(MAX_SETS).map(|&bufs| Slot { bufs, set: None }).collect();
        assert!(!slots.is_empty(), "{} blocks of memory are too few for a flush set", bufs.len());
        FlushSets { slots, first: 0, len: 0, writing: 0 }
    }

    /// Number of sets that have not settled.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether another set can be written.
    pub fn has_room(&self) -> bool {
        self.len < self.slots.len()
    }

    /// Number of transfers in flight.
    pub fn writing(&self) -> usize {
        self.writing
    }

    /// Starts the transfer of a set to segment number `segment` of the volume. The caller has checked that there is
    /// room here and in `io`.
    pub fn write<E: Env<Buf = Buf>>(
        &mut self,
        (env, io): (&mut E, &mut MetadataIo<Buf>),
        segment: u32,
        set: FlushSet<Vec<u8>>,
        batch: Batch,
    ) {
        let index = (self.first + self.len) % self.slots.len();
        let slot = &mut self.slots[index];
        let bytes = &set.buffer[set.range];
        for (part, &buf) in bytes.chunks(BLOCK_SIZE).zip(&slot.bufs) {
            env.block_mut(buf)[..part.len()].copy_from_slice(part);
        }
        let place = Place::Journal { segment, offset: set.at };
        let bufs = &slot.bufs[..bytes.len().div_ceil(BLOCK_SIZE)];
        // The cast is safe: there are at most MAX_SETS slots.
        let owner = MetadataOwner::Journal(index as u32);
        io.submit_bytes(env, (Direction::Write, place), bufs, bytes.len(), owner);
        slot.set = Some(UnderWay { settled: Settled { batch, id: set.id, memory: set.buffer }, written: false });
        self.len += 1;
        self.writing += 1;
    }

    /// The transfer of the set in a slot has ended. If `ok`, the set counts as written. Returns its entries.
    ///
    /// # Panics
    /// If no transfer is in flight there.
    pub fn ended(&mut self, place: u32, ok: bool) -> &Batch {
        let set = self.slots[place as usize].set.as_mut().filter(|set| !set.written);
        let set = set.expect("a transfer of the journal that ends is under way");
        set.written = ok;
        self.writing -= 1;
        &set.settled.batch
    }

    /// Takes the oldest set if it is written.
    pub fn settle(&mut self) -> Option<Settled> {
        let set = self.slots[self.first].set.take_if(|set| set.written)?;
        self.first = (self.first + 1) % self.slots.len();
        self.len -= 1;
        Some(set.settled)
    }
}

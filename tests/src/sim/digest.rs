// SPDX-License-Identifier: BSD-3-Clause

//! A digest of all events of a run: two runs are compared by it, and neither is kept.

use engine::Place;
use mpool::testing::mix;

/// A kind of event.
#[derive(Debug, Clone, Copy)]
pub enum Happening {
    /// A message arrives.
    Message = 1,
    /// A shard accepts a piece.
    Piece = 2,
    /// A transfer begins.
    Transfer = 3,
    /// A piece is answered.
    Answer = 4,
    /// A transfer or a flush has ended.
    Ended = 5,
    /// A timer fires.
    Timer = 6,
    /// A shard runs.
    Run = 7,
    /// The index gets another size.
    Resize = 8,
    /// A flush begins.
    Flush = 9,
    /// The erasure of a journal segment begins.
    Erase = 10,
    /// It has ended.
    Erased = 11,
    /// A section of the index's history is handed over.
    Section = 12,
    /// The read of one begins.
    ReadSection = 13,
    /// Something happens in the history.
    History = 14,
    /// Deduplication is turned on or off.
    Deduplication = 15,
    /// The index is emptied.
    ClearIndex = 16,
    /// Compression is turned on or off.
    Compression = 17,
    /// A client changes its memory.
    Scribble = 18,
}

/// A number that two runs share only if all their events are the same.
#[derive(Debug, Clone, Copy, Default)]
pub struct Digest(u64);

impl Digest {
    /// Adds what happens at time `now`.
    pub fn add(&mut self, now: u32, what: Happening, detail: u64) {
        self.0 = mix(self.0 ^ what as u64 ^ detail.rotate_left(8)).wrapping_add(u64::from(now));
    }

    /// The number.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }
}

/// A number for a place.
#[must_use]
pub fn number_of(place: Place) -> u64 {
    match place {
        Place::Data(pbn) => pbn.0,
        Place::SlabMetadata { slab, block } => 1 << 40 | slab << 16 | u64::from(block),
        Place::Roots { block } => 2 << 40 | u64::from(block),
        Place::Journal { segment, offset } => 3 << 40 | u64::from(segment) << 30 | offset >> 9,
    }
}

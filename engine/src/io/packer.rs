// SPDX-License-Identifier: BSD-3-Clause

//! The packer of a shard (vdo.md 6.6): bins in which fragments wait for company until they are written together.
//!
//! A pure data structure. The hash zone asks it where a fragment should go ([`Packer::choose`]), parks it there, says
//! when bins should be written ([`Packer::mark_all`] and its like), and takes them one by one ([`Packer::next_due`]).
//!
//! Choice: the fullest bin that has room for the fragment; else a free bin; else, if the newcomer is at least as large as
//! what the fullest bin holds, it is not packed; else the fullest bin is to be written first and gets the newcomer then.
//! A bin is due at once when it has 14 members or less than [`USEFUL`] bytes left, where the smallest fragments could not
//! go.
//!
//! When nobody else is on the way ([`Packer::mark_alone`]) the fullest bin is due, and so is each bin that a fragment of
//! average size would not fit: it may wait long for a small one, and one bin at a time would be as slow as one request at
//! a time. Bins with room go on waiting for the company that the end of the others brings.
//!
//! Invariants: a parked fragment is in exactly one bin; the fragments of a bin fit a block with their entries; nothing is
//! allocated after [`Packer::new`].
//!
//! Differs from vdo.md 6.6: the bins are not kept sorted, since looking at 16 costs less than moving them; there is no
//! canceled bin and no rendezvous, because nobody cancels: a fragment waits for a bounded time only, and whoever waits
//! behind it waits as long. Sizes count with their entry in the head of the block.

use crate::env::Block;
use crate::media::compressed_block::{encode, FragmentEntry, ENTRY_BYTES, MAX_FRAGMENTS, ROOM};
use crate::units::{Lbn, Nanos, BLOCK_SIZE};

/// Bins (vdo.md section 0).
pub const BINS: usize = 16;

/// Room that is of use: about what the smallest fragment of a block takes.
pub const USEFUL: usize = 40;

/// Longest time that a fragment waits.
pub const PACK_BOUND: Nanos = Nanos(2_000_000);

/// Weight of the newest size in the average of sizes: one in 2^4.
const AVERAGE_SHIFT: u32 = 4;

/// Where a fragment should go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// Into this bin.
    Bin(usize),
    /// Into this bin, after it has been written.
    Replace(usize),
    /// Into none: the block is better written as it is.
    GiveUp,
}

/// A fragment's owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parked {
    /// The hash zone's name for it.
    pub member: u32,
    /// The block that it is written for.
    pub lbn: Lbn,
}

/// The owners of the fragments of a bin, in the order of their slots.
#[derive(Debug, Clone, Copy)]
pub struct Members {
    members: [u32; MAX_FRAGMENTS],
    count: u8,
}

impl Members {
    /// None.
    pub const NONE: Members = Members { members: [0; MAX_FRAGMENTS], count: 0 };

    /// The owners.
    #[must_use]
    pub fn as_slice(&self) -> &[u32] {
        &self.members[..usize::from(self.count)]
    }

    fn push(&mut self, member: u32) {
        self.members[usize::from(self.count)] = member;
        self.count += 1;
    }
}

#[derive(Debug)]
struct Bin {
    members: Members,
    entries: [FragmentEntry; MAX_FRAGMENTS],
    bytes: Box<[u8; BLOCK_SIZE]>,
    used: usize,
    /// When its first fragment came.
    since: Nanos,
    /// It shall be written.
    due: bool,
}

impl Bin {
    fn new() -> Bin {
        Bin {
            members: Members::NONE,
            entries: [FragmentEntry::default(); MAX_FRAGMENTS],
            bytes: Box::new([0; BLOCK_SIZE]),
            used: 0,
            since: Nanos(0),
            due: false,
        }
    }

    fn is_empty(&self) -> bool {
        self.members.count == 0
    }

    fn taken(&self) -> usize {
        self.used + self.members.as_slice().len() * ENTRY_BYTES
    }

    fn left(&self) -> usize {
        ROOM - self.taken()
    }

    fn has_room(&self, size: usize) -> bool {
        self.members.as_slice().len() < MAX_FRAGMENTS && size + ENTRY_BYTES <= self.left()
    }
}

/// The packer.
#[derive(Debug)]
pub struct Packer {
    bins: Vec<Bin>,
    parked: usize,
    /// Average size of the fragments that came, times 2^[`AVERAGE_SHIFT`].
    average: usize,
}

impl Default for Packer {
    fn default() -> Packer {
        Packer::new()
    }
}

impl Packer {
    /// An empty packer; 64 KiB of memory.
    #[must_use]
    pub fn new() -> Packer {
        Packer { bins: (0..BINS).map(|_| Bin::new()).collect(), parked: 0, average: 0 }
    }

    /// Fragments that wait.
    #[must_use]
    pub const fn parked(&self) -> usize {
        self.parked
    }

    /// Where a fragment of `size` bytes should go.
    #[must_use]
    pub fn choose(&self, size: usize) -> Choice {
        let with_room = self.filled().filter(|(_, bin)| bin.has_room(size));
        if let Some((index, _)) = with_room.min_by_key(|(_, bin)| (bin.left(), bin.since)) {
            return Choice::Bin(index);
        }
        if let Some(free) = self.bins.iter().position(Bin::is_empty) {
            return Choice::Bin(free);
        }
        match self.fullest() {
            Some(fullest) if size + ENTRY_BYTES < self.bins[fullest].taken() => Choice::Replace(fullest),
            _ => Choice::GiveUp,
        }
    }

    /// Whether a fragment of `size` bytes fits a bin now.
    #[must_use]
    pub fn has_room(&self, bin: usize, size: usize) -> bool {
        self.bins[bin].has_room(size)
    }

    /// Parks a fragment in the bin that was chosen for it.
    ///
    /// # Panics
    /// If it does not fit.
    pub fn park(&mut self, bin: usize, parked: Parked, fragment: &[u8], now: Nanos) {
        let bin = &mut self.bins[bin];
        assert!(bin.has_room(fragment.len()), "a fragment of {} bytes goes where it does not fit", fragment.len());
        if bin.is_empty() {
            bin.since = now;
        }
        bin.entries[bin.members.as_slice().len()] = FragmentEntry { size: fragment.len() as u16, lbn: parked.lbn };
        bin.members.push(parked.member);
        bin.bytes[bin.used..bin.used + fragment.len()].copy_from_slice(fragment);
        bin.used += fragment.len();
        bin.due |= !bin.has_room(USEFUL);
        self.parked += 1;
        self.average += fragment.len();
        self.average -= self.average >> AVERAGE_SHIFT;
    }

    /// All bins are due.
    pub fn mark_all(&mut self) {
        for bin in self.bins.iter_mut().filter(|bin| !bin.is_empty()) {
            bin.due = true;
        }
    }

    /// The bin is due.
    pub fn mark(&mut self, bin: usize) {
        self.bins[bin].due = !self.bins[bin].is_empty();
    }

    /// Nobody else is on the way: the fullest bin is due, and each that could not take a fragment of average size.
    pub fn mark_alone(&mut self) {
        let average = self.average >> AVERAGE_SHIFT;
        let fullest = self.fullest();
        for (index, bin) in self.bins.iter_mut().enumerate().filter(|(_, bin)| !bin.is_empty()) {
            bin.due |= Some(index) == fullest || !bin.has_room(average);
        }
    }

    /// Bins whose first fragment has waited for [`PACK_BOUND`] are due. Returns when the next will be.
    pub fn mark_expired(&mut self, now: Nanos) -> Option<Nanos> {
        for bin in self.bins.iter_mut().filter(|bin| !bin.is_empty()) {
            bin.due |= bin.since.0 + PACK_BOUND.0 <= now.0;
        }
        let waiting = self.filled().filter(|(_, bin)| !bin.due);
        waiting.map(|(_, bin)| Nanos(bin.since.0 + PACK_BOUND.0)).min()
    }

    /// The bin that has been due, or has waited, the longest of those that are due.
    #[must_use]
    pub fn next_due(&self) -> Option<usize> {
        self.filled().filter(|(_, bin)| bin.due).min_by_key(|(_, bin)| bin.since).map(|(index, _)| index)
    }

    /// The owners of the fragments in a bin.
    #[must_use]
    pub fn members(&self, bin: usize) -> Members {
        self.bins[bin].members
    }

    /// Writes a bin into a block as a compressed block.
    ///
    /// # Panics
    /// If the bin is empty.
    pub fn encode(&self, bin: usize, block: &mut Block) {
        let bin = &self.bins[bin];
        encode(&bin.entries[..bin.members.as_slice().len()], &bin.bytes[..bin.used], block);
    }

    /// Empties a bin.
    pub fn empty(&mut self, bin: usize) {
        let bin = &mut self.bins[bin];
        self.parked -= bin.members.as_slice().len();
        (bin.members, bin.used, bin.due) = (Members::NONE, 0, false);
    }

    fn filled(&self) -> impl Iterator<Item = (usize, &Bin)> {
        self.bins.iter().enumerate().filter(|(_, bin)| !bin.is_empty())
    }

    /// The fullest bin, of several the one that has waited longest.
    fn fullest(&self) -> Option<usize> {
        self.filled().min_by_key(|(_, bin)| (bin.left(), bin.since)).map(|(index, _)| index)
    }
}

#[cfg(test)]
mod tests;

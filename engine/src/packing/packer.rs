// SPDX-License-Identifier: BSD-3-Clause

//! The packer of a shard: bins in which fragments wait for partners until they are written together.
//!
//! A pure data structure. The hash zone asks where a fragment should go ([`Packer::choose`]), parks it there, marks
//! bins as due ([`Packer::mark_all`] and the like), and takes the due bins one by one ([`Packer::next_due`]).
//!
//! Choice: the fullest bin that has room for the fragment; else a free bin; else, if the new fragment is at least as
//! large as the content of the fullest bin, the fragment is not packed; else the fullest bin is written first and then
//! gets the fragment. A bin is due at once when it has 14 members or less than [`USEFUL`] bytes left, into which not
//! even the smallest fragments would fit.
//!
//! When no other write is in flight, all bins are due ([`Packer::mark_alone`]). Keeping the nearly empty ones for later
//! partners saves little, since a block stored uncompressed can be repacked, and costs tail latency: with a quarter of
//! the bins written at a time, p99 was three times as high.
//!
//! A bin can expect the fragment of a repack candidate that is being moved ([`Packer::expect`]): room is kept for this
//! fragment until it arrives or the bin is written.
//!
//! Invariants: a parked fragment is in exactly one bin; the fragments of a bin and the one that it expects fit a block
//! with their entries; nothing is allocated after [`Packer::new`].
//!
//! Differs from dm-vdo: there are 128 bins instead of 16, because with few bins the large fragments of real files find
//! no partner (on file system trees 16 bins reached 91% of the possible savings, 128 reach 93%); the bins are not kept
//! sorted, since searching an array of their free room costs less than moving them; there is no canceled bin and no
//! rendezvous, because packing is never canceled: a fragment waits for a bounded time only, and so does whatever waits
//! behind it. Sizes include the fragment's entry in the head of the block.

use std::cmp::Reverse;

use mpool::units::Nanos;

use crate::format::compressed_block::{encode, FragmentEntry, ENTRY_BYTES, MAX_FRAGMENTS, ROOM};
use crate::units::{Block, Lbn, Pbn, BLOCK_SIZE};

/// Number of bins: as many as a client with 128 requests in flight can have fragments waiting.
pub const BINS: usize = 128;

/// Smallest useful room in bytes: about what the smallest fragment of a block takes.
pub const USEFUL: usize = 40;

/// Longest time that a fragment waits.
pub const PACK_BOUND: Nanos = Nanos(4_000_000);

/// Longest time that internal fragments wait among themselves: clients that access these blocks wait as long.
pub const OWN_BOUND: Nanos = Nanos(1_000_000);

/// Marks an empty bin in `Packer::room`.
const EMPTY: u16 = u16::MAX;

const _: () = assert!(BINS <= 256, "a bin's number fits a byte");

/// Where a fragment should go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// Into this bin.
    Bin(usize),
    /// Into this bin after the bin has been written.
    Replace(usize),
    /// Into no bin: the block is better written uncompressed.
    GiveUp,
}

/// The owner of a fragment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parked {
    /// Number of the member in the hash zone.
    pub member: u32,
    /// The logical block that the fragment is written for.
    pub lbn: Lbn,
    /// An internal operation stores the block; no client waits for it.
    pub own: bool,
}

/// A fragment for which a bin keeps room.
#[derive(Debug, Clone, Copy)]
struct Expected {
    lbn: Lbn,
    /// Its current location.
    from: Pbn,
    size: usize,
}

/// The owners of the fragments of a bin, in slot order.
#[derive(Debug, Clone, Copy)]
pub struct Members {
    members: [u32; MAX_FRAGMENTS],
    count: u8,
}

impl Members {
    /// No owners.
    pub const NONE: Members = Members { members: [0; MAX_FRAGMENTS], count: 0 };

    /// The owners in slot order.
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
    /// Number of fragments that clients wait for.
    clients: u8,
    expected: Option<Expected>,
    /// Arrival time of the first fragment.
    since: Nanos,
    /// Whether the bin is to be written.
    due: bool,
}

impl Bin {
    fn new() -> Bin {
        Bin {
            members: Members::NONE,
            entries: [FragmentEntry::default(); MAX_FRAGMENTS],
            bytes: Box::new([0; BLOCK_SIZE]),
            used: 0,
            clients: 0,
            expected: None,
            since: Nanos(0),
            due: false,
        }
    }

    fn is_empty(&self) -> bool {
        self.members.count == 0
    }

    /// When the first fragment has waited long enough.
    fn deadline(&self) -> Nanos {
        let bound = if self.clients > 0 { PACK_BOUND } else { OWN_BOUND };
        Nanos(self.since.0 + bound.0)
    }

    /// Bytes in use, including entries.
    fn taken(&self) -> usize {
        self.used + self.members.as_slice().len() * ENTRY_BYTES
    }

    /// Free bytes for a fragment with its entry, including the room kept for an expected one.
    fn space(&self) -> usize {
        if self.members.as_slice().len() < MAX_FRAGMENTS {
            ROOM - self.taken()
        } else {
            0
        }
    }

    /// Free bytes for a fragment with its entry.
    fn room(&self) -> usize {
        match self.expected {
            None => self.space(),
            Some(_) if self.members.as_slice().len() + 1 == MAX_FRAGMENTS => 0,
            Some(Expected { size, .. }) => self.space() - (size + ENTRY_BYTES),
        }
    }
}

/// The bins in which fragments of a shard wait for partners.
#[derive(Debug)]
pub struct Packer {
    bins: Vec<Bin>,
    /// The room of each bin, in one array for fast search; [`EMPTY`] for an empty bin.
    room: [u16; BINS],
    /// Number of bins that are due.
    due: usize,
    parked: usize,
    /// Number of parked fragments that clients wait for.
    clients: usize,
    /// Number of bins that expect a fragment.
    expecting: usize,
}

impl Default for Packer {
    fn default() -> Packer {
        Packer::new()
    }
}

impl Packer {
    /// Memory of a packer in bytes.
    pub const BYTES: usize = BINS * (size_of::<Bin>() + BLOCK_SIZE) + size_of::<Packer>();

    /// An empty packer.
    #[must_use]
    pub fn new() -> Packer {
        let bins = (0..BINS).map(|_| Bin::new()).collect();
        Packer { bins, room: [EMPTY; BINS], due: 0, parked: 0, clients: 0, expecting: 0 }
    }

    /// Number of parked fragments.
    #[must_use]
    pub const fn parked(&self) -> usize {
        self.parked
    }

    /// Number of bins that expect a fragment.
    #[must_use]
    pub const fn expecting(&self) -> usize {
        self.expecting
    }

    /// Where a fragment of `size` bytes should go.
    #[must_use]
    pub fn choose(&self, size: usize) -> Choice {
        if let Some(bin) = self.tightest(size + ENTRY_BYTES) {
            return Choice::Bin(bin);
        }
        if let Some(free) = self.room.iter().position(|room| *room == EMPTY) {
            return Choice::Bin(free);
        }
        match self.fullest() {
            Some(fullest) if size + ENTRY_BYTES < self.bins[fullest].taken() => Choice::Replace(fullest),
            _ => Choice::GiveUp,
        }
    }

    /// The bin in which a member's fragment is parked.
    #[must_use]
    pub fn bin_of(&self, member: u32) -> Option<usize> {
        self.bins.iter().position(|bin| bin.members.as_slice().contains(&member))
    }

    /// Whether a fragment of `size` bytes fits a bin now. Room kept for an expected fragment does not count.
    #[must_use]
    pub fn has_room(&self, bin: usize, size: usize) -> bool {
        size + ENTRY_BYTES <= self.bins[bin].room()
    }

    /// Keeps room in a bin for the fragment of a repack candidate that is being moved. Returns false if there is no
    /// room.
    ///
    /// # Panics
    /// If the bin is empty.
    pub fn expect(&mut self, bin: usize, lbn: Lbn, from: Pbn, size: usize) -> bool {
        assert!(!self.bins[bin].is_empty(), "an empty bin is never due, and would wait for ever");
        let expects = self.bins[bin].expected.is_none() && self.has_room(bin, size);
        if expects {
            self.bins[bin].expected = Some(Expected { lbn, from, size });
            self.room[bin] = self.bins[bin].room() as u16;
            self.expecting += 1;
        }
        expects
    }

    /// A repack candidate has arrived. Returns the bin that expected its fragment; the bin keeps no room for it any
    /// more.
    pub fn arrived(&mut self, lbn: Lbn) -> Option<usize> {
        self.expect_no_more(|expected| expected.lbn == lbn)
    }

    /// The repack candidate at `from` will not arrive any more, unless it already has.
    pub fn cancel(&mut self, from: Pbn) {
        self.expect_no_more(|expected| expected.from == from);
    }

    /// Parks a fragment in the bin that was chosen for it.
    ///
    /// # Panics
    /// If the fragment does not fit.
    pub fn park(&mut self, bin: usize, parked: Parked, fragment: &[u8], now: Nanos) {
        assert!(self.has_room(bin, fragment.len()), "{} bytes of a fragment go where they do not fit", fragment.len());
        let index = bin;
        let bin = &mut self.bins[index];
        if bin.is_empty() {
            bin.since = now;
        }
        bin.entries[bin.members.as_slice().len()] = FragmentEntry { size: fragment.len() as u16, lbn: parked.lbn };
        bin.members.push(parked.member);
        bin.bytes[bin.used..bin.used + fragment.len()].copy_from_slice(fragment);
        bin.used += fragment.len();
        bin.clients += u8::from(!parked.own);
        self.room[index] = bin.room() as u16;
        if bin.expected.is_none() && bin.room() < USEFUL + ENTRY_BYTES {
            self.make_due(index);
        }
        self.parked += 1;
        self.clients += usize::from(!parked.own);
    }

    /// Marks all bins as due.
    pub fn mark_all(&mut self) {
        (0..BINS).for_each(|bin| self.make_due(bin));
    }

    /// Marks a bin as due.
    pub fn mark(&mut self, bin: usize) {
        self.make_due(bin);
    }

    /// No other write is in flight: marks all bins as due, or with `of_clients` only those with fragments that clients
    /// wait for.
    pub fn mark_alone(&mut self, of_clients: bool) {
        if of_clients && self.clients == 0 {
            return;
        }
        for bin in 0..BINS {
            if self.room[bin] != EMPTY && (!of_clients || self.bins[bin].clients > 0) {
                self.make_due(bin);
            }
        }
    }

    /// Marks the bins as due whose first fragment has waited for [`PACK_BOUND`], or [`OWN_BOUND`]. Returns when the
    /// next one expires.
    pub fn mark_expired(&mut self, now: Nanos) -> Option<Nanos> {
        for bin in 0..BINS {
            if self.bins[bin].deadline() <= now {
                self.make_due(bin);
            }
        }
        let waiting = self.filled().filter(|(_, bin)| !bin.due);
        waiting.map(|(_, bin)| bin.deadline()).min()
    }

    /// The due bin whose first fragment is the oldest.
    #[must_use]
    pub fn next_due(&self) -> Option<usize> {
        if self.due == 0 {
            return None;
        }
        self.filled().filter(|(_, bin)| bin.due).min_by_key(|(_, bin)| bin.since).map(|(index, _)| index)
    }

    /// The owners of the fragments in a bin, in slot order.
    #[must_use]
    pub fn members(&self, bin: usize) -> Members {
        self.bins[bin].members
    }

    /// Writes a bin into `block` as a compressed block.
    ///
    /// # Panics
    /// If the bin is empty.
    pub fn encode(&self, bin: usize, block: &mut Block) {
        let bin = &self.bins[bin];
        encode(&bin.entries[..bin.members.as_slice().len()], &bin.bytes[..bin.used], block);
    }

    /// Empties a bin, and frees the room that it keeps for an expected fragment.
    pub fn empty(&mut self, bin: usize) {
        self.expecting -= usize::from(self.bins[bin].expected.is_some());
        self.room[bin] = EMPTY;
        let bin = &mut self.bins[bin];
        self.parked -= bin.members.as_slice().len();
        self.clients -= usize::from(bin.clients);
        self.due -= usize::from(bin.due);
        (bin.members, bin.used, bin.clients) = (Members::NONE, 0, 0);
        (bin.expected, bin.due) = (None, false);
    }

    /// Marks a bin as due unless it is empty.
    fn make_due(&mut self, bin: usize) {
        let bin = &mut self.bins[bin];
        self.due += usize::from(!bin.due && !bin.is_empty());
        bin.due |= !bin.is_empty();
    }

    /// Finds the bin that expects a fragment, and frees the room kept for it.
    fn expect_no_more(&mut self, is_it: impl Fn(&Expected) -> bool) -> Option<usize> {
        if self.expecting == 0 {
            return None;
        }
        let bin = self.bins.iter().position(|bin| bin.expected.as_ref().is_some_and(&is_it))?;
        self.bins[bin].expected = None;
        self.room[bin] = self.bins[bin].room() as u16;
        self.expecting -= 1;
        Some(bin)
    }

    /// The bin with the least room of at least `bytes`; among equals, the one whose first fragment is the oldest.
    fn tightest(&self, bytes: usize) -> Option<usize> {
        let mut best = None;
        let mut least = EMPTY;
        for (bin, &room) in self.room.iter().enumerate() {
            if room == EMPTY || usize::from(room) < bytes || room > least {
                continue;
            }
            let older = |best: usize| self.bins[bin].since < self.bins[best].since;
            if room < least || best.is_none_or(older) {
                (best, least) = (Some(bin), room);
            }
        }
        best
    }

    fn filled(&self) -> impl Iterator<Item = (usize, &Bin)> {
        self.bins.iter().enumerate().filter(|(_, bin)| !bin.is_empty())
    }

    /// The fullest bin; among equals, the one whose first fragment is the oldest.
    fn fullest(&self) -> Option<usize> {
        self.filled().max_by_key(|(_, bin)| (bin.taken(), Reverse(bin.since))).map(|(index, _)| index)
    }
}

#[cfg(test)]
mod tests;

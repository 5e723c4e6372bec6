// SPDX-License-Identifier: BSD-3-Clause

//! The I/O submitter: merges data requests for neighbouring blocks into runs, and starts each run as one vectored
//! transfer.
//!
//! Each request is for one block. It waits from [`Submitter::enqueue`] to the next [`Submitter::issue`], and may join a
//! waiting run at either end: same direction, exactly the block before or after, not longer than the limit. A request
//! that fills a gap joins the higher neighbour; the two runs are not joined.
//!
//! Differs from dm-vdo:
//! * One submitter per shard, on its own thread: no lock, no choice of a bio queue, and the merge map is emptied at
//!   each issue instead of key by key.
//! * There is no elevator below, so a run is one transfer. A failed transfer of several blocks is retried block by
//!   block, so that every good block succeeds. Only a block that fails alone has failed. Apart from that the submitter
//!   never retries.
//! * A second request for a block starts a run of its own, where dm-vdo may append it to an earlier one. So two waiting
//!   requests for one block are started in the order of their arrival.
//!
//! Invariants: each request is answered exactly once; a run's requests have consecutive PBNs; a run is identified by
//! one of its own requests, so there are never more runs than requests, and all memory is allocated at the start.

mod merge_map;

use std::slice;

use crate::env::{Direction, Run, RunToken};
use crate::error::RequestError;
use crate::format::Place;
use crate::statistics::Statistics;
use crate::units::{Pbn, BLOCK_SIZE};
use merge_map::MergeMap;

/// The index of no request.
const NONE: u32 = u32::MAX;

/// Counters of a submitter. Requests that wait or are merged are not transfers. When nothing is in flight,
/// `bios_submitted == bios_completed`, and both are the number of requests, less the merged ones, plus the retried
/// ones.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SubmitterStatistics {
    /// Transfers started.
    pub bios_submitted: u64,
    /// Transfers completed, successfully or not.
    pub bios_completed: u64,
    /// Transfers that failed, including those that were then split.
    pub bios_out_failed: u64,
    /// Requests appended to a run.
    pub bios_merged_back: u64,
    /// Requests prepended to a run.
    pub bios_merged_front: u64,
    /// Transfers of several blocks that failed and were retried block by block.
    pub bios_split_retries: u64,
    /// Requests in these transfers.
    pub requests_retried: u64,
    /// Data requests enqueued.
    pub data_requests: u64,
    /// Direct requests enqueued.
    pub direct_requests: u64,
}

/// The result of one request: its owner, the block, the direction and the result.
pub type Outcome<Owner> = (Owner, Pbn, Direction, Result<(), RequestError>);

/// Use of a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Not in use.
    Free,
    /// A request in the run of another slot.
    Member,
    /// A request whose own run waits.
    Waiting,
    /// A request whose own run is in flight.
    InFlight,
}

/// A request, and the run that is identified by it.
#[derive(Debug)]
struct Slot<Buf, Owner> {
    buf: Buf,
    owner: Owner,
    /// The request for the next block of the run.
    next: u32,
    state: State,
    // The other fields describe the run and are meaningless in state `Free` or `Member`.
    direction: Direction,
    first: Pbn,
    blocks: u32,
    head: u32,
    tail: u32,
}

impl<Buf, Owner> Slot<Buf, Owner> {
    /// A waiting run of one request.
    const fn alone(index: u32, direction: Direction, pbn: Pbn, buf: Buf, owner: Owner) -> Slot<Buf, Owner> {
        Slot {
            buf,
            owner,
            next: NONE,
            state: State::Waiting,
            direction,
            first: pbn,
            blocks: 1,
            head: index,
            tail: index,
        }
    }
}

/// Positions at which neighbouring block numbers may be apart on the base: the first blocks of slabs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seams {
    first: Pbn,
    /// Number of blocks between two seams, less one.
    mask: u64,
}

impl Seams {
    /// Seams at `first` and every `blocks` blocks, a power of two, from there on.
    #[must_use]
    pub fn new(first: Pbn, blocks: u64) -> Seams {
        assert!(blocks.is_power_of_two(), "seams lie a power of two of blocks apart");
        Seams { first, mask: blocks - 1 }
    }

    /// True when a block and its predecessor may not be in one transfer.
    #[must_use]
    pub const fn before(self, pbn: Pbn) -> bool {
        pbn.0.wrapping_sub(self.first.0) & self.mask == 0
    }
}

/// The requests that one shard has queued or in flight.
#[derive(Debug)]
pub struct Submitter<Buf, Owner> {
    capacity: usize,
    max_run: u32,
    seams: Seams,
    /// Grows to the largest number ever in use at once; room for `capacity`.
    slots: Vec<Slot<Buf, Owner>>,
    /// Free slots; the one used last is on top.
    free: Vec<u32>,
    /// Waiting runs of each class, in the order of their creation.
    direct: Vec<u32>,
    retries: Vec<u32>,
    data: Vec<u32>,
    /// The waiting data requests by block.
    map: MergeMap,
    /// Buffers of the run being started.
    bufs: Vec<Buf>,
    in_flight: usize,
    statistics: SubmitterStatistics,
}

impl<Buf: Copy, Owner: Copy> Submitter<Buf, Owner> {
    /// A submitter for at most `capacity` requests at a time, and transfers of at most `max_run` blocks, none of which
    /// crosses a seam.
    ///
    /// # Panics
    /// If `capacity` or `max_run` is 0 or does not fit 32 bits.
    #[must_use]
    pub fn new(capacity: usize, max_run: usize, seams: Seams) -> Submitter<Buf, Owner> {
        assert!(capacity > 0 && capacity < NONE as usize, "a submitter cannot hold {capacity} requests");
        assert!(max_run > 0 && max_run < NONE as usize, "a run cannot have {max_run} blocks");
        Submitter {
            capacity,
            max_run: max_run as u32,
            seams,
            slots: Vec::with_capacity(capacity),
            free: Vec::with_capacity(capacity),
            direct: Vec::with_capacity(capacity),
            retries: Vec::with_capacity(capacity),
            data: Vec::with_capacity(capacity),
            map: MergeMap::new(capacity),
            bufs: Vec::with_capacity(max_run.min(capacity)),
            in_flight: 0,
            statistics: SubmitterStatistics::default(),
        }
    }

    /// Queues a data request for the next [`Submitter::issue`].
    ///
    /// # Panics
    /// If the submitter holds `capacity` requests.
    pub fn enqueue(&mut self, direction: Direction, pbn: Pbn, buf: Buf, owner: Owner) {
        self.statistics.data_requests += 1;
        let request = self.take_slot(direction, pbn, buf, owner);
        let (at, first_for_block) = self.map.add(pbn, request);
        if first_for_block {
            // As in dm-vdo, the next block's run is preferred. One run cannot be both neighbours: it would have to end
            // before this block and begin after it.
            if let Some(run) = self.run_from(pbn, direction) {
                self.prepend(run, request);
                self.map.set(at, run);
                return;
            }
            if let Some(run) = self.run_up_to(pbn, direction) {
                self.append(run, request);
                self.map.set(at, run);
                return;
            }
        }
        self.data.push(request);
    }

    /// Queues a request that is never merged and starts before all data: a verify read.
    ///
    /// # Panics
    /// If the submitter holds `capacity` requests.
    pub fn enqueue_direct(&mut self, direction: Direction, pbn: Pbn, buf: Buf, owner: Owner) {
        self.statistics.direct_requests += 1;
        let request = self.take_slot(direction, pbn, buf, owner);
        self.direct.push(request);
    }

    /// Starts everything that is queued: direct requests, then retries, then data, each in order of arrival (for data,
    /// that of each run's first request). Every [`Run::token`] must be passed to one [`Submitter::complete`].
    pub fn issue(&mut self, mut start: impl FnMut(Run<'_, Buf>)) {
        self.map.clear();
        for queue in [&mut self.direct, &mut self.retries, &mut self.data] {
            self.in_flight += queue.len();
            self.statistics.bios_submitted += queue.len() as u64;
            for index in queue.drain(..) {
                let run = &mut self.slots[index as usize];
                debug_assert_eq!(run.state, State::Waiting);
                run.state = State::InFlight;
                let (direction, pbn, token) = (run.direction, run.first, RunToken(index));
                if run.blocks == 1 {
                    let place = Place::Data(pbn);
                    start(Run { direction, place, bufs: slice::from_ref(&run.buf), bytes: BLOCK_SIZE, token });
                    continue;
                }
                let mut member = run.head;
                self.bufs.clear();
                while member != NONE {
                    let slot = &self.slots[member as usize];
                    self.bufs.push(slot.buf);
                    member = slot.next;
                }
                let (place, bytes) = (Place::Data(pbn), self.bufs.len() * BLOCK_SIZE);
                start(Run { direction, place, bufs: &self.bufs, bytes, token });
            }
        }
    }

    /// Takes the result of a transfer and appends the outcome of each of its requests to `out`, in ascending order of
    /// PBN. A failed transfer of several blocks has no outcome yet: the next [`Submitter::issue`] retries it block by
    /// block.
    ///
    /// # Panics
    /// If no transfer with that token is in flight: the host completed one twice, or one that it never got.
    pub fn complete(&mut self, token: RunToken, result: Result<(), RequestError>, out: &mut Vec<Outcome<Owner>>) {
        let index = token.0;
        let run = match self.slots.get(index as usize) {
            Some(run) if run.state == State::InFlight => run,
            _ => panic!("transfer {index} was completed, but is not in flight"),
        };
        let (direction, first, blocks, head) = (run.direction, run.first, run.blocks, run.head);
        self.in_flight -= 1;
        self.statistics.bios_completed += 1;
        self.statistics.bios_out_failed += u64::from(result.is_err());
        if result.is_err() && blocks > 1 {
            self.split(direction, first, blocks, head);
            return;
        }
        let mut member = head;
        for pbn in (first.0..).map(Pbn).take(blocks as usize) {
            let slot = &mut self.slots[member as usize];
            slot.state = State::Free;
            self.free.push(member);
            out.push((slot.owner, pbn, direction, result));
            member = slot.next;
        }
        debug_assert_eq!(member, NONE, "a run has as many requests as blocks");
    }

    /// Number of transfers in flight.
    #[must_use]
    pub const fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Number of transfers that the next [`Submitter::issue`] starts.
    #[must_use]
    pub const fn waiting(&self) -> usize {
        self.direct.len() + self.retries.len() + self.data.len()
    }

    /// Number of requests held, waiting or in flight.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// True when every request has been answered.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The counts since the start.
    #[must_use]
    pub const fn statistics(&self) -> SubmitterStatistics {
        self.statistics
    }

    /// Sets the shard's transfer counters.
    pub const fn count(&self, stats: &mut Statistics) {
        let counted = &self.statistics;
        stats.bios_submitted = counted.bios_submitted;
        stats.bios_completed = counted.bios_completed;
        stats.bios_out_failed = counted.bios_out_failed;
        stats.bios_merged_back = counted.bios_merged_back;
        stats.bios_merged_front = counted.bios_merged_front;
        stats.bios_split_retries = counted.bios_split_retries;
    }

    /// Takes a slot for a request, as a waiting run of its own.
    fn take_slot(&mut self, direction: Direction, pbn: Pbn, buf: Buf, owner: Owner) -> u32 {
        if let Some(index) = self.free.pop() {
            self.slots[index as usize] = Slot::alone(index, direction, pbn, buf, owner);
            return index;
        }
        assert!(self.slots.len() < self.capacity, "the submitter holds {} requests already", self.capacity);
        let index = self.slots.len() as u32;
        self.slots.push(Slot::alone(index, direction, pbn, buf, owner));
        index
    }

    /// The waiting run that begins just after a block and has room for it.
    fn run_from(&self, pbn: Pbn, direction: Direction) -> Option<u32> {
        let next = Pbn(pbn.0.checked_add(1)?);
        let index = self.map.get(next).filter(|_| !self.seams.before(next))?;
        let run = &self.slots[index as usize];
        (run.first.0 == pbn.0 + 1 && self.can_join(run, direction)).then_some(index)
    }

    /// The waiting run that ends just before a block and has room for it.
    fn run_up_to(&self, pbn: Pbn, direction: Direction) -> Option<u32> {
        let index = self.map.get(Pbn(pbn.0.checked_sub(1)?)).filter(|_| !self.seams.before(pbn))?;
        let run = &self.slots[index as usize];
        (run.first.0 + u64::from(run.blocks) == pbn.0 && self.can_join(run, direction)).then_some(index)
    }

    fn can_join(&self, run: &Slot<Buf, Owner>, direction: Direction) -> bool {
        debug_assert_eq!(run.state, State::Waiting, "the map is emptied when runs are issued");
        run.direction == direction && run.blocks < self.max_run
    }

    fn prepend(&mut self, index: u32, request: u32) {
        let run = &mut self.slots[index as usize];
        let head = core::mem::replace(&mut run.head, request);
        run.first = Pbn(run.first.0 - 1);
        run.blocks += 1;
        let member = &mut self.slots[request as usize];
        member.state = State::Member;
        member.next = head;
        self.statistics.bios_merged_front += 1;
    }

    fn append(&mut self, index: u32, request: u32) {
        let run = &mut self.slots[index as usize];
        let tail = core::mem::replace(&mut run.tail, request);
        run.blocks += 1;
        self.slots[tail as usize].next = request;
        self.slots[request as usize].state = State::Member;
        self.statistics.bios_merged_back += 1;
    }

    /// Makes each request of a failed run a run of its own.
    fn split(&mut self, direction: Direction, first: Pbn, blocks: u32, head: u32) {
        self.statistics.bios_split_retries += 1;
        self.statistics.requests_retried += u64::from(blocks);
        let mut member = head;
        for pbn in (first.0..).map(Pbn).take(blocks as usize) {
            let slot = &mut self.slots[member as usize];
            let next = slot.next;
            *slot = Slot::alone(member, direction, pbn, slot.buf, slot.owner);
            self.retries.push(member);
            member = next;
        }
    }
}

#[cfg(test)]
mod tests;

// SPDX-License-Identifier: BSD-3-Clause

//! Metadata transfers and flushes of the recovery journal, the block map and the slabs.
//!
//! Metadata transfers go straight to the host, without merging or queueing. A failed read is retried once, a failed
//! write as often as [`DELAYS`] says, because a final failure makes the volume read-only; so a path failover or a
//! controller reset is survived. The owner gets only the last failure. A failed flush is not retried: data in the cache
//! may be lost, whatever a later flush reports. A flush makes every write durable that had completed when it was
//! requested; flushes requested while one is in flight share the next one. Without a volatile cache there is nothing to
//! flush, and the answer is ready at the next [`MetadataIo::take_ended`].
//!
//! Invariants: every request is answered exactly once; nothing starts while the volume is quiescent, because its
//! recorded state says that media are complete; nothing is allocated once the largest number of concurrent transfers,
//! with the largest number of blocks, has been reached.

use std::collections::VecDeque;

use mpool::units::Nanos;

use crate::arena::Arena;
use crate::env::{Direction, Env, Run, RunToken};
use crate::error::RequestError;
use crate::format::Place;
use crate::units::BLOCK_SIZE;

/// Delay after each failure before a write is retried. A read is retried once, without delay.
const DELAYS: [Nanos; 5] = [Nanos(0), Nanos(1_000_000), Nanos(10_000_000), Nanos(50_000_000), Nanos(250_000_000)];

/// The token of the only flush in flight.
const FLUSH: RunToken = RunToken(u32::MAX);

/// The owner of a transfer, which gets the result. The number is the owner's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetadataOwner {
    /// The recovery journal.
    Journal(u32),
    /// The block map.
    Map(u32),
    /// The physical zone.
    Physical(u32),
}

/// The result of a transfer or flush.
pub type MetadataOutcome = (MetadataOwner, Result<(), RequestError>);

/// A transfer in flight, or waiting for its retry.
#[derive(Debug, Clone)]
struct Transfer<Buf> {
    owner: MetadataOwner,
    direction: Direction,
    place: Place,
    bufs: Vec<Buf>,
    bytes: usize,
    /// Number of failures so far.
    failures: u8,
}

/// The metadata transfers of one shard.
#[derive(Debug)]
pub struct MetadataIo<Buf> {
    transfers: Arena<Transfer<Buf>>,
    /// Transfers to be retried, and when.
    later: Vec<(Nanos, u32)>,
    /// Vectors of earlier transfers, for reuse.
    spare: Vec<Vec<Buf>>,
    volatile_cache: bool,
    /// The volume is saved: nothing may start.
    quiescent: bool,
    /// Owners of the flush in flight; empty when there is none.
    flushing: Vec<MetadataOwner>,
    /// Owners that share the next flush.
    flush_next: Vec<MetadataOwner>,
    ended: VecDeque<MetadataOutcome>,
    /// Counts of transfers and flushes.
    counts: MetadataCounts,
}

/// Counts of transfers (dm-vdo's class `bios_meta`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MetadataCounts {
    /// Transfers that read.
    pub read: u64,
    /// Transfers that write.
    pub write: u64,
    /// Bytes written.
    pub written_bytes: u64,
    /// Flushes of the underlying bdevs.
    pub flush: u64,
    /// Transfers retried.
    pub retries: u64,
}

impl<Buf: Copy> MetadataIo<Buf> {
    /// Room for `capacity` transfers in flight.
    #[must_use]
    pub fn new(capacity: usize, volatile_cache: bool) -> MetadataIo<Buf> {
        let transfer = Transfer {
            owner: MetadataOwner::Journal(0),
            direction: Direction::Read,
            place: Place::Roots { block: 0 },
            bufs: Vec::new(),
            bytes: 0,
            failures: 0,
        };
        MetadataIo {
            transfers: Arena::new(capacity, transfer),
            later: Vec::with_capacity(capacity),
            spare: Vec::with_capacity(capacity),
            volatile_cache,
            quiescent: false,
            flushing: Vec::with_capacity(capacity),
            flush_next: Vec::with_capacity(capacity),
            ended: VecDeque::with_capacity(2 * capacity),
            counts: MetadataCounts::default(),
        }
    }

    /// Number of transfers that can start now. Owners ask before they start one.
    #[must_use]
    pub fn room(&self) -> usize {
        self.transfers.available()
    }

    /// True when nothing is in flight and no result is queued.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.transfers.in_use() == 0 && self.flushing.is_empty() && self.flush_next.is_empty() && self.ended.is_empty()
    }

    /// Forbids all transfers, because the volume is saved; or returns to normal operation.
    ///
    /// # Panics
    /// If something is in flight in a volume that is saved.
    pub fn set_quiescent(&mut self, quiescent: bool) {
        assert!(!quiescent || self.is_idle(), "metadata is under way in a volume that is saved");
        self.quiescent = quiescent;
    }

    /// Whether completed writes may be in a volatile cache.
    #[must_use]
    pub const fn volatile_cache(&self) -> bool {
        self.volatile_cache
    }

    /// The counts since the start.
    #[must_use]
    pub const fn counts(&self) -> MetadataCounts {
        self.counts
    }

    /// Starts a transfer of whole blocks.
    ///
    /// # Panics
    /// As [`MetadataIo::submit_bytes`].
    pub fn submit<E: Env<Buf = Buf>>(
        &mut self,
        env: &mut E,
        (direction, place): (Direction, Place),
        bufs: &[Buf],
        owner: MetadataOwner,
    ) {
        self.submit_bytes(env, (direction, place), bufs, bufs.len() * BLOCK_SIZE, owner);
    }

    /// Starts a transfer that ends inside the last block, for [`Place::Journal`].
    ///
    /// # Panics
    /// If there is no [`MetadataIo::room`], `bytes` does not end in the last of `bufs`, or the volume is quiescent.
    pub fn submit_bytes<E: Env<Buf = Buf>>(
        &mut self,
        env: &mut E,
        (direction, place): (Direction, Place),
        bufs: &[Buf],
        bytes: usize,
        owner: MetadataOwner,
    ) {
        assert!(!self.quiescent, "{direction:?} of {place:?} begins in a volume that is saved");
        assert!(bytes > 0 && bytes.div_ceil(BLOCK_SIZE) == bufs.len(), "{bytes} bytes in {} blocks", bufs.len());
        let mut kept = self.spare.pop().unwrap_or_default();
        kept.extend_from_slice(bufs);
        let transfer = Transfer { owner, direction, place, bufs: kept, bytes, failures: 0 };
        let index = self.transfers.acquire(transfer).expect("owners ask for room before they start a transfer");
        match direction {
            Direction::Read => self.counts.read += 1,
            Direction::Write => {
                self.counts.write += 1;
                self.counts.written_bytes += bytes as u64;
            }
        }
        env.submit(Run { direction, place, bufs, bytes, token: RunToken(RunToken::METADATA | index) });
    }

    /// Requests a flush: when it is answered, every write that has completed by now is durable.
    ///
    /// # Panics
    /// If the volume is quiescent.
    pub fn flush<E: Env<Buf = Buf>>(&mut self, env: &mut E, owner: MetadataOwner) {
        assert!(!self.quiescent, "a flush begins in a volume that is saved");
        if !self.volatile_cache {
            self.ended.push_back((owner, Ok(())));
        } else if self.flushing.is_empty() {
            self.flushing.push(owner);
            self.counts.flush += 1;
            env.flush(FLUSH);
        } else {
            self.flush_next.push(owner);
        }
    }

    /// Whether a token names a transfer or flush of metadata.
    #[must_use]
    pub const fn is_ours(token: RunToken) -> bool {
        token.is_metadata()
    }

    /// Takes the result of a transfer or flush; [`MetadataIo::take_ended`] passes it to its owner.
    ///
    /// # Panics
    /// If no transfer or flush with that token is in flight.
    pub fn done<E: Env<Buf = Buf>>(&mut self, env: &mut E, token: RunToken, result: Result<(), RequestError>) {
        if token == FLUSH {
            return self.flushed(env, result);
        }
        let index = token.0 & !RunToken::METADATA;
        let transfer = &mut self.transfers[index];
        assert!(!transfer.bufs.is_empty(), "transfer {index} of metadata was completed, but is not under way");
        if result.is_err() {
            let delays = if transfer.direction == Direction::Read { &DELAYS[..1] } else { &DELAYS[..] };
            if let Some(delay) = delays.get(usize::from(transfer.failures)) {
                transfer.failures += 1;
                self.later.push((Nanos(env.now().0 + delay.0), index));
                return self.try_again(env, env.now());
            }
        }
        let mut bufs = std::mem::take(&mut transfer.bufs);
        bufs.clear();
        self.ended.push_back((transfer.owner, result));
        self.spare.push(bufs);
        self.transfers.release(index);
    }

    /// Time of the next retry, if there is one.
    #[must_use]
    pub fn next_try(&self) -> Option<Nanos> {
        self.later.iter().map(|(at, _)| *at).min()
    }

    /// Starts the retries that are due.
    pub fn try_again<E: Env<Buf = Buf>>(&mut self, env: &mut E, now: Nanos) {
        while let Some(due) = self.later.iter().position(|(at, _)| *at <= now) {
            let (_, index) = self.later.swap_remove(due);
            self.counts.retries += 1;
            let Transfer { direction, place, ref bufs, bytes, .. } = self.transfers[index];
            env.submit(Run { direction, place, bufs, bytes, token: RunToken(RunToken::METADATA | index) });
        }
    }

    fn flushed<E: Env<Buf = Buf>>(&mut self, env: &mut E, result: Result<(), RequestError>) {
        assert!(!self.flushing.is_empty(), "a flush was completed, but none is under way");
        let owners = self.flushing.drain(..);
        self.ended.extend(owners.map(|owner| (owner, result)));
        if !self.flush_next.is_empty() {
            std::mem::swap(&mut self.flushing, &mut self.flush_next);
            self.counts.flush += 1;
            env.flush(FLUSH);
        }
    }

    /// Takes the next result that its owner has not got.
    pub fn take_ended(&mut self) -> Option<MetadataOutcome> {
        self.ended.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_device::TestDevice;
    use crate::units::Block;

    /// Records the requests that it gets.
    #[derive(Default)]
    struct Device {
        started: Vec<(Direction, Place, Vec<u32>, usize, RunToken)>,
        flushes: usize,
        now: Nanos,
    }

    impl TestDevice for Device {
        fn memory(&self, buf: u32) -> &Block {
            unreachable!("block {buf} is not looked into")
        }

        fn memory_mut(&mut self, buf: u32) -> &mut Block {
            unreachable!("block {buf} is not changed")
        }

        fn start(&mut self, run: Run<'_, u32>) {
            self.started.push((run.direction, run.place, run.bufs.to_vec(), run.bytes, run.token));
        }

        fn start_flush(&mut self, token: RunToken) {
            assert_eq!(token, FLUSH);
            self.flushes += 1;
        }

        fn time(&self) -> Nanos {
            self.now
        }
    }

    fn ended(io: &mut MetadataIo<u32>) -> Vec<MetadataOutcome> {
        std::iter::from_fn(|| io.take_ended()).collect()
    }

    /// vdo-80, adapted: a transfer goes to the base as it is, and its outcome to its owner alone; one that fails is tried
    /// again, in full, before the owner hears of it: a read once.
    #[test]
    fn a_transfer_is_tried_again() {
        let (mut io, mut device) = (MetadataIo::new(2, false), Device::default());
        let journal = Place::Journal { segment: 3, offset: 512 };
        io.submit_bytes(&mut device, (Direction::Write, journal), &[7, 8], 4096 + 512, MetadataOwner::Journal(1));
        io.submit(&mut device, (Direction::Read, Place::Roots { block: 9 }), &[5], MetadataOwner::Map(2));
        assert_eq!(io.room(), 0);
        let tokens: Vec<_> = device.started.iter().map(|started| started.4).collect();
        assert!(tokens.iter().all(|&token| MetadataIo::<u32>::is_ours(token)));
        assert!(!MetadataIo::<u32>::is_ours(RunToken(2)), "the submitter's tokens are not taken for ours");

        io.done(&mut device, tokens[0], Err(RequestError::Io));
        assert_eq!(ended(&mut io), []);
        assert_eq!(device.started[2], device.started[0], "the same again");
        io.done(&mut device, tokens[0], Ok(()));
        assert_eq!(ended(&mut io), [(MetadataOwner::Journal(1), Ok(()))]);
        io.done(&mut device, tokens[1], Err(RequestError::Io));
        assert_eq!((ended(&mut io), device.started.len()), (vec![], 4));
        io.done(&mut device, tokens[1], Err(RequestError::Io));
        assert_eq!(ended(&mut io), [(MetadataOwner::Map(2), Err(RequestError::Io))]);
        assert!(io.is_idle() && io.room() == 2);
        let MetadataCounts { read, write, written_bytes, retries, .. } = io.counts();
        assert_eq!((read, write, written_bytes, retries), (1, 1, 4608, 2));
    }

    /// A write is retried for a third of a second, and succeeds if a retry does.
    #[test]
    fn a_write_is_tried_for_a_while() {
        for succeeds in [None, Some(3)] {
            let (mut io, mut device) = (MetadataIo::new(1, false), Device::default());
            let place = Place::SlabMetadata { slab: 1, block: 2 };
            io.submit(&mut device, (Direction::Write, place), &[7], MetadataOwner::Physical(3));
            let token = device.started[0].4;
            let mut tries = Vec::new();
            while ended(&mut io).is_empty() {
                tries.push(device.now.0 / 1_000_000);
                assert_eq!(device.started.len(), tries.len());
                if succeeds == Some(tries.len()) {
                    io.done(&mut device, token, Ok(()));
                    assert_eq!(ended(&mut io), [(MetadataOwner::Physical(3), Ok(()))]);
                    break;
                }
                io.done(&mut device, token, Err(RequestError::Io));
                if let Some(at) = io.next_try() {
                    assert!(!io.is_idle() && io.room() == 0, "it is still under way");
                    io.try_again(&mut device, Nanos(at.0 - 1));
                    assert_eq!(device.started.len(), tries.len(), "not yet");
                    device.now = at;
                    io.try_again(&mut device, at);
                }
            }
            assert_eq!(tries, [0, 0, 1, 11, 61, 311][..succeeds.unwrap_or(6)]);
            assert!(io.is_idle() && io.next_try().is_none());
        }
    }

    /// vdo-81: flushes that are asked for while one is under way share the next, which begins after it; without a
    /// volatile cache there is none.
    #[test]
    fn flushes_are_shared() {
        let (mut io, mut device) = (MetadataIo::new(8, true), Device::default());
        io.flush(&mut device, MetadataOwner::Journal(0));
        io.flush(&mut device, MetadataOwner::Map(1));
        io.flush(&mut device, MetadataOwner::Physical(2));
        assert_eq!(device.flushes, 1, "one at a time");
        io.done(&mut device, FLUSH, Ok(()));
        assert_eq!(ended(&mut io), [(MetadataOwner::Journal(0), Ok(()))], "the others came too late for it");
        assert_eq!(device.flushes, 2);
        io.done(&mut device, FLUSH, Err(RequestError::Io));
        let failed = [MetadataOwner::Map(1), MetadataOwner::Physical(2)].map(|owner| (owner, Err(RequestError::Io)));
        assert_eq!(ended(&mut io), failed);
        assert!(io.is_idle());

        let mut io = MetadataIo::new(8, false);
        io.flush(&mut device, MetadataOwner::Journal(0));
        assert!(!io.is_idle(), "an answer waits");
        assert_eq!((ended(&mut io), device.flushes), (vec![(MetadataOwner::Journal(0), Ok(()))], 2));
    }
}

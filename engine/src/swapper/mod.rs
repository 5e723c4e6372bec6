// SPDX-License-Identifier: BSD-3-Clause

//! Swaps: overwrites of fragments on a full volume.
//!
//! Overwriting a fragment frees no block, because its compressed block holds other fragments. So when no zone has a
//! block for a client's write in place of a fragment, the swapper rewrites the compressed block with the new content in
//! place of the old, and records all its logical blocks at the new location. The old block is then freed and pays back
//! the block that was lent ([`crate::slabs`], module `reserve`): such an overwrite succeeds for ever, at any queue
//! depth.
//!
//! # What is promised
//! An overwrite of a fragment succeeds on a full volume if
//! * the new content, compressed, fits into the block with all other fragments that are in use (the unused part of the
//!   block and its dead fragments are room for it); and
//! * each of these fragments is mapped by the logical block for which it was written, and by no other.
//!
//! Everything else is new data and gets no space, even if other compressed blocks have room. Only the head of a block
//! tells how much room it has, so a block with room could only be found by reading while the client waits; and to
//! rewrite it, its logical blocks must be held in order together with the client's, so all locks held so far would have
//! to be released and taken again. Blocks of which more than half is unused are emptied by the relocator, which frees
//! blocks for this and all other data. A logical block that shares a fragment without being its first owner is known
//! only from its own mapping, and could be found only by reading the whole block map. A block that cannot be read, or
//! is not what its mappings say, is not rewritten either.
//!
//! ```text
//!  write without space: parked   each logical block, in order      client's content       a loan
//!  -----> Locking, Looking ----------------> Holding ------> Reading ------> Filling ------> Allocating
//!                   whose fragments?          |  ^ another block  |            | zeros, or      | lent nothing
//!                                             |  '----------------'            | does not fit   |
//!                                             | the write has found another    |                |
//!                                             v place: let go                  v                v
//!                                            end <------------------------ no space <-----------'
//!                                             ^
//!       Writing ------> Sharing ------> Recording: each logical block journals its new mapping
//! ```
//! One shard's swapper (`HOME`) serves the volume; it sends requests to the zones that own the blocks.
//!
//! # No deadlock
//! * A parked write holds nothing but its data_vio: no LBN lock, no buffer, no page, no member of a hash zone. It
//!   cannot block anything.
//! * A swap takes LBN locks only in ascending order, over all shards, so swaps do not wait for each other in a circle.
//!   Any other holder of an LBN lock holds only that one, and needs no lock of a swap to release it.
//! * [`HOLDS`] data_vios of each logical zone, with room for their pages, are reserved for swaps.
//! * The client's content gets its buffer when all locks are held. From then on a swap waits only for transfers, the
//!   journal and loans, and holders of loans wait only for transfers and the journal.
//!
//! # Why the loan comes back
//! The loan is given only if the block has exactly as many references as logical blocks are held, and no PBN lock;
//! while the loan is out, no PBN lock on the block is granted. Each of the held blocks then moves to the new block, or
//! the volume becomes read-only. If other logical blocks shared a fragment, the old block could not be freed: then the
//! overwrite counts as new data. A decrement may still be in flight from a shard that has already given up its
//! reference: before a swap gives up because of the reference count, all shards are asked to deliver their decrements
//! ([`Message::Settle`]).
//!
//! Each fragment that moves is first verified against the check code of its mapping, because recovery trusts what it
//! finds in a block. The index gets the new locations.
//!
//! Invariants: at most [`MAX_SWAPS`] swaps are in progress, never two of one block; every request is answered by a
//! recorded mapping or by `Context::write_failed`. Nothing is allocated after [`Swapper::new`].
//!
//! dm-vdo refuses overwrites when it is full.

mod packing;
mod swap;

use std::collections::VecDeque;

use crate::arena::Arena;
use crate::context::swap::HOME;
use crate::context::{Context, Owner};
use crate::env::{Direction, Env, Event};
use crate::error::RequestError;
use crate::format::compressed_block::Fragments;
use crate::format::{Mapped, Mapping, MappingState};
use crate::message::{Allocation, Claim, MemberRef, Message, SwapRequest, ToSwapper, VioRef};
use crate::packing::compression::Compressor;
use crate::slabs::Requester;
use crate::units::{Block, Lbn, Pbn, ShardId, BLOCK_SIZE};
use swap::{Step, Swap, MAX_PARTS, NO_PART};

pub use crate::context::swap::{HOLDS, MAX_SWAPS};

/// How often a swap starts over because the block differs from the one that it read before, as happens without end on a
/// base that returns different data each time.
const LOOKS: u8 = 100;

/// Rounds over the other zones for a loan that the block's own zone cannot give.
const ROUNDS_ABROAD: u16 = 2;

/// The requests and swaps of one shard's swapper.
#[derive(Debug)]
pub struct Swapper<Buf> {
    requests: VecDeque<SwapRequest>,
    swaps: Arena<Swap<Buf>>,
    compressor: Compressor,
    /// Buffers: for decompressing fragments to check them, and for assembling the new block.
    restored: Box<Block>,
    packed: Box<Block>,
}

impl<Buf: Copy> Swapper<Buf> {
    /// A swapper with one buffer per swap and room for `requests` queued requests.
    ///
    /// # Panics
    /// If there are no buffers, or more than [`MAX_SWAPS`].
    #[must_use]
    pub fn new(bufs: &[Buf], requests: usize) -> Swapper<Buf> {
        assert!((1..=MAX_SWAPS).contains(&bufs.len()), "{} blocks of memory for swaps", bufs.len());
        let request = SwapRequest { vio: VioRef { shard: HOME, index: 0 }, lbn: Lbn(0), pbn: Pbn::ZERO };
        let swap = Swap {
            step: Step::Idle,
            request,
            parts: [NO_PART; MAX_PARTS],
            count: 0,
            at: 0,
            buf: bufs[0],
            old: Box::new([0; BLOCK_SIZE]),
            looks: 0,
            abroad: 0,
            settled: false,
            retried: false,
            allocation: None,
            lease: 0,
            left: 0,
            failed: false,
        };
        let mut swaps = Arena::new(bufs.len(), swap);
        for (index, buf) in (0..).zip(bufs) {
            swaps[index].buf = *buf;
        }
        Swapper {
            requests: VecDeque::with_capacity(requests),
            swaps,
            compressor: Compressor::new(),
            restored: Box::new([0; BLOCK_SIZE]),
            packed: Box::new([0; BLOCK_SIZE]),
        }
    }

    /// True when no request is queued and no swap is in progress.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.requests.is_empty() && self.swaps.in_use() == 0
    }

    /// Maximum number of swaps in progress; each holds at most one PBN lock.
    #[must_use]
    pub fn swaps_at_most(&self) -> usize {
        self.swaps.capacity()
    }

    /// Queues a request.
    fn request(&mut self, request: SwapRequest) {
        self.requests.push_back(request);
    }

    /// The next request that can start: no swap of its block is in progress.
    fn next(&mut self) -> Option<SwapRequest> {
        if self.swaps.available() == 0 {
            return None;
        }
        let swaps = &self.swaps;
        let is_busy = |pbn: Pbn| {
            (0..swaps.capacity() as u32).any(|swap| swaps[swap].step != Step::Idle && swaps[swap].request.pbn == pbn)
        };
        let at = self.requests.iter().position(|request| !is_busy(request.pbn))?;
        self.requests.remove(at)
    }

    fn end(&mut self, swap: u32) {
        self.swaps[swap].step = Step::Idle;
        self.swaps.release(swap);
    }
}

impl<Buf: Copy + core::fmt::Debug> Swapper<Buf> {
    /// Processes the messages to the swapper.
    fn take_events<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>) -> bool {
        let mut progress = false;
        while let Some(event) = cx.handoff.to_swapper.pop_front() {
            progress = true;
            match event {
                ToSwapper::Requested(request) => self.request(request),
                ToSwapper::Held { swap, vio, mapping } => self.held(cx, swap, vio, mapping),
                ToSwapper::Filled { swap, content } => self.filled(cx, swap, content),
                ToSwapper::Settled { swap } => self.settled(cx, swap),
                ToSwapper::Finished { swap, result } => self.finished(cx, swap, result),
            }
        }
        progress
    }

    /// Processes messages and starts the swaps that can start. Returns whether there was progress.
    pub fn advance<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>) -> bool {
        let mut progress = self.take_events(cx);
        if cx.is_read_only() {
            while let Some(request) = self.requests.pop_front() {
                cx.write_failed(request.vio, RequestError::ReadOnly);
                progress = true;
            }
            return progress;
        }
        while let Some(request) = self.next() {
            let index = self.swaps.acquire_kept().expect("availability was checked");
            let swap = &mut self.swaps[index];
            (swap.step, swap.request, swap.count) = (Step::Locking, request, 0);
            (swap.abroad, swap.settled, swap.retried, swap.failed) = (0, false, false, false);
            (swap.allocation, swap.looks) = (None, 0);
            self.lock(cx, index);
            progress = true;
        }
        progress
    }

    /// Asks for a read lock on the old block: until a part is held, the block may be freed, allocated again and
    /// overwritten.
    fn lock<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>, index: u32) {
        let pbn = self.swaps[index].request.pbn;
        let member = MemberRef::of_swap(cx.id, index);
        match cx.geometry.physical_shard(pbn) {
            Some(owner) if owner != cx.id => cx.send(owner, Message::LockForRead { member, pbn, at_most: 1 }),
            _ => {
                if let Some(lease) = cx.lock_candidate(member, pbn, 1) {
                    self.locked(cx, index, lease);
                }
            }
        }
    }

    /// The old block is locked; or it cannot be locked, because it was allocated again or has the maximum number of
    /// references. In that case only the client's block is held.
    pub fn locked<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>, index: u32, lease: Option<u8>) {
        let swap = &mut self.swaps[index];
        debug_assert_eq!(swap.step, Step::Locking);
        let Some(lease) = lease else {
            swap.old.fill(0);
            swap.collect(std::iter::empty());
            swap.step = Step::Holding;
            return self.hold_next(cx, index);
        };
        (swap.step, swap.lease) = (Step::Looking, lease);
        cx.io.enqueue_direct(Direction::Read, swap.request.pbn, swap.buf, Owner::Swap(index));
    }

    /// A transfer of a swap has ended.
    pub fn io_done<E: Env<Buf = Buf>>(
        &mut self,
        cx: &mut Context<'_, E>,
        index: u32,
        result: Result<(), RequestError>,
    ) {
        match self.swaps[index].step {
            Step::Looking => self.looked(cx, index, result),
            Step::Reading => self.read_done(cx, index, result),
            Step::Writing => self.write_done(cx, index, result),
            step => unreachable!("no transfer is under way in {step:?}"),
        }
    }

    /// The block, or what is now stored in its place, has been read: asks for the logical blocks that it names. This
    /// list is only a hint.
    fn looked<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>, index: u32, result: Result<(), RequestError>) {
        let swap = &mut self.swaps[index];
        match result {
            Ok(()) => swap.old.copy_from_slice(cx.env.block(swap.buf)),
            Err(_) => swap.old.fill(0),
        }
        let (pbn, lease) = (swap.request.pbn, swap.lease);
        cx.release(pbn, lease, None);
        self.hold_all(cx, index);
    }

    /// Asks for all logical blocks that the old block names, and for the client's.
    fn hold_all<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>, index: u32) {
        let (geometry, swap) = (cx.geometry, &mut self.swaps[index]);
        let owners = Fragments::decode(&swap.old).ok().map(|fragments| fragments.owners());
        let lbns = owners.iter().flat_map(|owners| owners.lbns());
        swap.collect(lbns.filter(|lbn| geometry.contains(*lbn, 1)));
        swap.step = Step::Holding;
        self.hold_next(cx, index);
    }

    /// Asks for the next logical block. When all are held, reads the block again: nothing can change it any more.
    fn hold_next<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>, index: u32) {
        let swap = &mut self.swaps[index];
        if swap.at < swap.count {
            let SwapRequest { vio, lbn: requested, pbn } = swap.request;
            let lbn = swap.parts[swap.at].lbn;
            let vio = (lbn == requested).then_some(vio.index);
            return cx.hold(index, lbn, pbn, vio);
        }
        swap.step = Step::Reading;
        cx.io.enqueue_direct(Direction::Read, swap.request.pbn, swap.buf, Owner::Swap(index));
    }

    /// A logical block is held by a data_vio, with a mapping to the old block; or it has no mapping to the old block.
    pub fn held<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>, index: u32, vio: u32, mapping: Option<Mapping>) {
        let swap = &mut self.swaps[index];
        debug_assert_eq!(swap.step, Step::Holding);
        let part = &mut swap.parts[swap.at];
        (part.vio, part.mapping) = (vio, mapping);
        swap.at += 1;
        if mapping.is_none() && part.lbn == swap.request.lbn {
            // The client's block is no longer stored in the old block.
            swap.count = swap.at;
            return self.let_go(cx, index);
        }
        self.hold_next(cx, index);
    }

    /// The old block is in memory, and cannot change as long as the client's block is held. Usually it is the block
    /// that was read before, and the swapper asks for the client's content. If the block was freed meanwhile and
    /// another one was written there that also holds the client's block, starts over with the logical blocks of that
    /// one.
    fn read_done<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>, index: u32, result: Result<(), RequestError>) {
        let swap = &mut self.swaps[index];
        if result.is_err() {
            let pbn = swap.request.pbn;
            cx.report(Event::IoFailed { direction: Direction::Read, pbn, purpose: "compressed client data" });
            return self.abort(cx, index, RequestError::NoSpace);
        }
        let (vio, is_another) = (swap.request.vio, *swap.old != *cx.env.block(swap.buf));
        if is_another && swap.looks < LOOKS {
            swap.looks += 1;
            swap.old.copy_from_slice(cx.env.block(swap.buf));
            self.release_neighbours(cx, index);
            cx.park(vio);
            return self.hold_all(cx, index);
        }
        swap.keep_held();
        swap.step = Step::Filling;
        cx.fill(vio);
    }

    /// The client's content is in memory; or the write needs no room any more, or has failed.
    pub fn filled<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>, index: u32, content: Option<E::Buf>) {
        debug_assert_eq!(self.swaps[index].step, Step::Filling);
        match content {
            None => self.let_go(cx, index),
            Some(content) if packing::pack(self, cx, index, content).is_some() => self.allocate(cx, index),
            Some(_) => self.abort(cx, index, RequestError::NoSpace),
        }
    }

    /// Asks for a loan against the old block: first its own zone, then the others.
    fn allocate<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>, index: u32) {
        let swap = &mut self.swaps[index];
        swap.step = Step::Allocating;
        let (pbn, references, abroad) = (swap.request.pbn, swap.count as u8, swap.abroad);
        let shards = cx.geometry.shards() as u16;
        let Some(home) = cx.geometry.physical_shard(pbn) else { return self.abort(cx, index, RequestError::NoSpace) };
        let (zone, claim) = match abroad {
            0 => (home, Claim::Replace { pbn, references }),
            asked if asked <= ROUNDS_ABROAD * (shards - 1) => {
                (ShardId((home.0 + 1 + (asked - 1) % (shards - 1)) % shards), Claim::Abroad(pbn))
            }
            _ => return self.abort(cx, index, RequestError::NoSpace),
        };
        let member = MemberRef::of_swap(cx.id, index);
        if zone != cx.id {
            return cx.send(zone, Message::Allocate { member, claim, wait: true });
        }
        match cx.allocate(Requester::Data(member), claim, true) {
            Allocation::Waiting => {}
            answer => self.allocated(cx, index, answer),
        }
    }

    /// The answer of a zone: a block or none.
    pub fn allocated<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>, index: u32, answer: Allocation) {
        let shards = cx.geometry.shards() as u16;
        let swap = &mut self.swaps[index];
        debug_assert_eq!(swap.step, Step::Allocating);
        match answer {
            Allocation::Block(pbn) => {
                (swap.step, swap.allocation) = (Step::Writing, Some(pbn));
                cx.stats.bios_out_write += 1;
                return cx.io.enqueue(Direction::Write, pbn, swap.buf, Owner::Swap(index));
            }
            Allocation::ReadOnly => return self.abort(cx, index, RequestError::ReadOnly),
            Allocation::Again => swap.abroad = 0,
            Allocation::Elsewhere if shards > 1 => swap.abroad += 1,
            _ if swap.abroad > 0 => swap.abroad += 1,
            _ if shards > 1 && !swap.settled => return self.settle(cx, index),
            _ => return self.abort(cx, index, RequestError::NoSpace),
        }
        self.allocate(cx, index);
    }

    /// The old block has more references than blocks are held: a decrement may be in flight.
    fn settle<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>, index: u32) {
        let swap = &mut self.swaps[index];
        (swap.step, swap.settled, swap.left) = (Step::Settling, true, cx.geometry.shards() as u16);
        let Some(owner) = cx.geometry.physical_shard(swap.request.pbn) else { return };
        for shard in cx.geometry.shard_ids() {
            if shard != cx.id {
                cx.send(shard, Message::Settle { swap: index, owner });
            } else {
                cx.settle(index, owner);
            }
        }
    }

    /// One shard has delivered all its messages to the old block's shard.
    pub fn settled<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>, index: u32) {
        let swap = &mut self.swaps[index];
        debug_assert_eq!(swap.step, Step::Settling);
        swap.left -= 1;
        if swap.left == 0 {
            self.allocate(cx, index);
        }
    }

    /// The new block is on the base bdev, or the write failed: then it is retried once, in another block.
    fn write_done<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>, index: u32, result: Result<(), RequestError>) {
        let swap = &mut self.swaps[index];
        let pbn = swap.allocation.expect("a write has a block");
        if let Err(error) = result {
            swap.allocation = None;
            let is_second = std::mem::replace(&mut swap.retried, true);
            swap.abroad = 0;
            cx.report(Event::IoFailed { direction: Direction::Write, pbn, purpose: "compressed client data" });
            cx.release(pbn, 0, None);
            if is_second {
                return self.abort(cx, index, error);
            }
            cx.stats.data_write_retries += 1;
            return self.allocate(cx, index);
        }
        swap.step = Step::Sharing;
        let holders = swap.count as u8;
        if let Some(lease) = cx.share_compressed(MemberRef::of_swap(cx.id, index).index, pbn, holders) {
            self.shared(cx, index, lease);
        }
    }

    /// Each part holds the new block's lock, with `lease` references; `None` when the lock was in an impossible state.
    pub fn shared<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>, index: u32, lease: Option<u8>) {
        let Some(lease) = lease else {
            // Do not release the lock: it is in an impossible state, so the effect of a release is unknown.
            return self.abort(cx, index, RequestError::Lock);
        };
        let swap = &mut self.swaps[index];
        debug_assert_eq!(swap.step, Step::Sharing);
        (swap.step, swap.lease, swap.left) = (Step::Recording, lease, swap.count as u16);
        let pbn = swap.allocation.expect("a block was written");
        let (parts, count) = (swap.parts, swap.count);
        let member = MemberRef::of_swap(cx.id, index).index;
        for part in &parts[..count] {
            let vio = VioRef { shard: cx.geometry.logical_shard(part.lbn), index: part.vio };
            cx.remap(vio, member, Mapped { pbn, state: MappingState::Compressed(part.slot) });
        }
    }

    /// One part has recorded its mapping, or failed to. The last one ends the swap.
    pub fn finished<E: Env<Buf = Buf>>(
        &mut self,
        cx: &mut Context<'_, E>,
        index: u32,
        result: Result<(), RequestError>,
    ) {
        let swap = &mut self.swaps[index];
        debug_assert_eq!(swap.step, Step::Recording);
        let pbn = swap.allocation.expect("a block was written");
        swap.left -= 1;
        swap.failed |= result.is_err();
        let (left, failed, unused) = (swap.left, swap.failed, swap.lease - 1);
        cx.release(pbn, unused, None);
        if left > 0 {
            return;
        }
        let (parts, count) = (self.swaps[index].parts, self.swaps[index].count);
        self.end(index);
        if failed {
            return;
        }
        cx.stats.blocks_swapped += 1;
        for part in &parts[..count] {
            cx.advise(part.fingerprint, Mapped { pbn, state: MappingState::Compressed(part.slot) });
        }
    }

    /// Fails the client's write; all other blocks stay where they are.
    fn abort<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>, index: u32, error: RequestError) {
        let vio = self.swaps[index].request.vio;
        self.let_go(cx, index);
        cx.write_failed(vio, error);
    }

    /// Ends a swap without result: releases all held blocks except the client's; they stay where they are.
    fn let_go<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>, index: u32) {
        self.release_neighbours(cx, index);
        self.end(index);
    }

    /// Releases all held blocks except the client's; they stay where they are.
    fn release_neighbours<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>, index: u32) {
        let swap = &self.swaps[index];
        let (request, parts, count) = (swap.request, swap.parts, swap.count);
        for part in &parts[..count] {
            if part.mapping.is_some() && part.lbn != request.lbn {
                let vio = VioRef { shard: cx.geometry.logical_shard(part.lbn), index: part.vio };
                cx.write_failed(vio, RequestError::NoSpace);
            }
        }
    }
}

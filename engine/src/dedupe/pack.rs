// SPDX-License-Identifier: BSD-3-Clause

//! Storing new copies compressed, several in one block: the other way through WRITING.
//!
//! ```text
//!                    fits a bin           bin due, two or more         block allocated, written
//!  agent of a lock -------------> parked --------------------> packed ----------------------------> remapped
//!                 \                  | bin due, alone             | write failed: retry, each alone
//!                  `-> plain <-------+----------------------------'      (internal blocks stay where they are)
//! ```
//! The first member of a compressed block allocates the block for all. When the block is written, all members become
//! holders of its PBN lock, each with an equal share of its 254 references; then each owner's hash lock holds a
//! verified copy and goes on as if it had found one.
//!
//! A fragment waits only while other work in the shard could bring it partners ([`HashZone::pack`]): with one request
//! in flight nothing waits, and a host that stops sending requests finds the shard idle. Parked members and those that
//! wait behind them do not count as such work. No fragment waits longer than
//! [`PACK_BOUND`](crate::packing::packer::PACK_BOUND), nor while a client waits for a flush, for an equal block or for
//! the fragment's LBN.
//!
//! Invariants: a parked member is the agent of a lock in WRITING, holds nothing but its content, and is in exactly one
//! bin; a packed member is in exactly one compressed block in flight.
//!
//! Differs from dm-vdo:
//! * Packing is never canceled. When a member joins the lock of a parked agent, or a request waits for the agent's LBN,
//!   the bin is written with everything in it.
//! * The block is allocated when it is full, not before compression, so the other members have no block to give back.
//!   Without space all members fail alike.
//! * A compressible block that was stored uncompressed for lack of partners is repacked when partners come; dm-vdo
//!   never looks at it again.
//! * A lock with more members than the guaranteed share of references ([`FRAGMENT_LEASE`]) writes its copy
//!   uncompressed, which has a reference for each of them.

use mpool::units::Nanos;

use super::hash_lock::{HashLock, LockState};
use super::member::{Member, Packing};
use super::repack::COMPANY;
use super::HashZone;
use crate::arena::{Arena, NONE};
use crate::context::{Context, Owner};
use crate::env::{Direction, Env, Event};
use crate::error::RequestError;
use crate::format::compressed_block::MAX_FRAGMENTS;
use crate::format::{Mapped, MappingState};
use crate::message::Awaited;
use crate::owner_count::OwnerCount;
use crate::packing::candidates::RepackCandidates;
use crate::packing::compression::Compressor;
use crate::packing::packer::{Choice, Members, Packer, Parked, OWN_BOUND};
use crate::timers::TimerUser;
use crate::units::{Block, Pbn, BLOCK_SIZE, MAX_REFERENCES};

/// References that each of 14 fragments in a block is guaranteed.
pub(super) const FRAGMENT_LEASE: u8 = MAX_REFERENCES / MAX_FRAGMENTS as u8;

/// A compressed block in flight.
#[derive(Debug, Clone, Copy)]
struct Container<Buf> {
    buf: Buf,
    /// Owners of the fragments; the first has allocated the block.
    members: Members,
}

/// The hash zone's state for storing blocks compressed.
#[derive(Debug)]
pub(crate) struct Compression<Buf> {
    enabled: bool,
    compressor: Compressor,
    pub(super) packer: Packer,
    pub(super) stock: RepackCandidates,
    /// Number of blocks that may still be moved, in return for the clients' writes so far.
    pub(super) calls: usize,
    containers: Arena<Container<Buf>>,
    /// Buffer for decompressing a candidate before the compare.
    pub(super) restored: Box<Block>,
    /// Members that are parked or wait for a parked one.
    pub(super) held_up: OwnerCount,
    /// Whether the packer's timer is armed.
    timed: bool,
}

impl<Buf: Copy + std::fmt::Debug> Compression<Buf> {
    /// With one buffer per compressed block in flight; at least one.
    pub fn new(enabled: bool, bufs: &[Buf]) -> Compression<Buf> {
        let buf = *bufs.first().expect("without memory for a compressed block none could be written");
        let mut containers = Arena::new(bufs.len(), Container { buf, members: Members::NONE });
        for (index, buf) in (0..).zip(bufs) {
            containers[index].buf = *buf;
        }
        Compression {
            enabled,
            compressor: Compressor::new(),
            packer: Packer::new(),
            stock: RepackCandidates::new(),
            calls: 0,
            containers,
            restored: Box::new([0; BLOCK_SIZE]),
            held_up: OwnerCount::ZERO,
            timed: false,
        }
    }

    pub const fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// Fragments that wait for partners.
    pub const fn parked(&self) -> usize {
        self.packer.parked()
    }

    /// Owners of the fragments of a compressed block in flight; the first has asked for the block.
    pub(super) fn owners(&self, container: u32) -> Members {
        self.containers[container].members
    }

    /// Number of repack candidates.
    pub fn stocked(&self) -> usize {
        self.stock.len()
    }

    /// Checks what must hold when nothing is in flight.
    pub fn audit_at_rest(&self) -> Result<(), String> {
        let (parked, expecting) = (self.packer.parked(), self.packer.expecting());
        if parked > 0 || expecting > 0 || self.held_up != OwnerCount::ZERO {
            let held_up = self.held_up;
            return Err(format!(
                "packer at rest has {parked} fragments, expects {expecting}; {held_up:?} wait behind it"
            ));
        }
        Ok(())
    }
}

impl<Buf: Copy + std::fmt::Debug> HashZone<Buf> {
    /// Whether new data is compressed.
    pub const fn compresses(&self) -> bool {
        self.packing.enabled
    }

    /// Turns compression of new data on or off; after turning it off, the next [`HashZone::pack`] writes the parked
    /// fragments.
    pub fn set_compression(&mut self, enabled: bool) {
        self.packing.enabled = enabled;
    }

    /// Compresses a member's content and parks it. Returns false when the content is to be stored uncompressed.
    pub(super) fn park<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>, member: u32) -> bool {
        let Member { lock, data, lbn, retried, relocating, .. } = self.members[member];
        if lock == NONE || retried {
            return false;
        }
        let HashLock { state, agent, members, .. } = self.locks[lock];
        if state != LockState::Writing || agent != member || members.total() > u32::from(FRAGMENT_LEASE) {
            return false;
        }
        let Some(size) = self.packing.compressor.compress(cx.env.block(data)) else {
            cx.stats.incompressible_blocks += 1;
            return false;
        };
        self.members[member].compressed = size as u16;
        let bin = match self.choose(size, lbn, relocating) {
            Choice::Bin(bin) => bin,
            Choice::Replace(bin) => {
                self.packing.packer.mark(bin);
                self.write_due(cx);
                bin
            }
            Choice::GiveUp => return false,
        };
        // The bin to be replaced may still wait for a buffer, and a block written instead may have come back here
        // already.
        if !self.packing.packer.has_room(bin, size) || self.packing.compressor.fragment().len() != size {
            return false;
        }
        let now = cx.env.now();
        // An internal block that clients wait behind counts as a client's.
        let own = members.clients == 0;
        let has_company = !self.packing.packer.members(bin).as_slice().is_empty();
        self.packing.packer.park(bin, Parked { member, lbn, own }, self.packing.compressor.fragment(), now);
        self.members[member].packing = Packing::Parked;
        self.packing.held_up += members;
        if self.locks[lock].awaited {
            self.packing.packer.mark(bin);
        } else if !has_company && (own || self.in_use.clients >= COMPANY) {
            self.call_company(cx, bin, size);
        }
        if !std::mem::replace(&mut self.packing.timed, true) {
            cx.timers.arm(cx.env, TimerUser::Packer, Nanos(now.0 + OWN_BOUND.0));
        }
        self.write_due(cx);
        true
    }

    /// Requests wait for blocks that the hash zone has: a parked one is written at once, with the partners that it has;
    /// the others will not wait for partners. Returns whether there were such requests.
    pub(super) fn hasten<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>) -> bool {
        let progress = !cx.handoff.hastened.is_empty();
        while let Some(Awaited { vio, fingerprint }) = cx.handoff.hastened.pop_front() {
            // The block may still be queued for a free member.
            if let Some(arrival) = cx.handoff.arrivals.iter_mut().find(|arrival| arrival.vio == vio) {
                arrival.awaited = true;
            } else if let Some(lock) = self.find(fingerprint) {
                self.locks[lock].awaited = true;
                let agent = self.locks[lock].agent;
                if agent != NONE && self.members[agent].packing == Packing::Parked {
                    self.mark_bin_of(agent);
                }
            }
        }
        if progress {
            self.write_due(cx);
        }
        progress
    }

    /// Marks the bin in which a member is parked as due.
    pub(super) fn mark_bin_of(&mut self, member: u32) {
        let bin = self.packing.packer.bin_of(member).expect("a parked fragment is in a bin");
        self.packing.packer.mark(bin);
    }

    /// Writes the bins that are due. `moving` counts the runnable data_vios of the logical zone, which may bring
    /// partners; `flushing` is true while a client waits for a flush. Returns whether any bin was written.
    pub fn pack<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>, moving: OwnerCount, flushing: bool) -> bool {
        while let Some(from) = cx.relocator.take_moved() {
            self.packing.packer.cancel(from);
        }
        let parked = self.packing.parked();
        if parked == 0 {
            return false;
        }
        if cx.is_read_only() {
            self.fail_parked(cx);
        } else {
            if flushing || !self.packing.enabled {
                self.packing.packer.mark_all();
            } else {
                self.mark_alone(moving);
            }
            self.write_due(cx);
        }
        self.packing.parked() != parked
    }

    /// Marks bins as due when no client request can bring partners any more. Internal operations may bring partners
    /// too: internal fragments wait for these. Client fragments do not, unless there are many client requests and the
    /// block was called for one of them.
    fn mark_alone(&mut self, mut moving: OwnerCount) {
        moving += self.in_use - self.packing.held_up;
        if moving.clients > 0 {
            return;
        }
        let packer = &mut self.packing.packer;
        if packer.expecting() == 0 && moving.own == 0 {
            packer.mark_alone(false);
        } else if packer.expecting() == 0 || self.in_use.clients < COMPANY {
            packer.mark_alone(true);
        }
    }

    /// The packer's timer fired: marks bins that have waited long enough; the next [`HashZone::pack`] writes them.
    pub fn pack_timer<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>) {
        let next = self.packing.packer.mark_expired(cx.env.now());
        self.packing.timed = next.is_some();
        if let Some(next) = next {
            cx.timers.arm(cx.env, TimerUser::Packer, next);
        }
    }

    /// Writes the bins that are due, as long as there are buffers. A single fragment is stored uncompressed, since a
    /// block of its own saves nothing.
    fn write_due<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>) {
        while let Some(bin) = self.packing.packer.next_due() {
            let members = self.packing.packer.members(bin);
            if let [alone] = *members.as_slice() {
                self.packing.packer.empty(bin);
                self.leave_packer(alone, Packing::None);
                self.write_alone(cx, alone);
                continue;
            }
            let Some(container) = self.packing.containers.acquire_kept() else { return };
            let buf = self.packing.containers[container].buf;
            self.packing.packer.encode(bin, cx.env.block_mut(buf));
            self.packing.packer.empty(bin);
            self.packing.containers[container].members = members;
            for member in members.as_slice() {
                self.leave_packer(*member, Packing::In(container));
            }
            self.write_plain(cx, members.as_slice()[0]);
        }
    }

    /// A member leaves the packer; the members behind it are no longer held up either.
    fn leave_packer(&mut self, member: u32, packing: Packing) {
        let lock = self.members[member].lock;
        self.members[member].packing = packing;
        self.packing.held_up -= self.locks[lock].members;
    }

    /// The volume is read-only: fails all parked members.
    fn fail_parked<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>) {
        self.packing.packer.mark_all();
        while let Some(bin) = self.packing.packer.next_due() {
            let members = self.packing.packer.members(bin);
            self.packing.packer.empty(bin);
            for member in members.as_slice() {
                self.leave_packer(*member, Packing::None);
                self.fail(cx, *member, RequestError::ReadOnly);
            }
        }
    }

    /// A block is allocated for a compressed block: writes it.
    pub(super) fn write_container<E: Env<Buf = Buf>>(&self, cx: &mut Context<'_, E>, container: u32, pbn: Pbn) {
        cx.io.enqueue(Direction::Write, pbn, self.packing.containers[container].buf, Owner::Container(container));
    }

    /// A compressed block is on the base bdev, or its write failed. After a failure each member's content is written
    /// uncompressed, to a block of its own.
    pub fn container_written<E: Env<Buf = Buf>>(
        &mut self,
        cx: &mut Context<'_, E>,
        container: u32,
        result: Result<(), RequestError>,
    ) {
        let members = self.packing.containers[container].members;
        let first = members.as_slice()[0];
        let pbn = self.members[first].allocation.expect("the first member has allocated the block");
        if result.is_ok() {
            if let Some(lease) = cx.share_compressed(container, pbn, members.as_slice().len() as u8) {
                self.shared(cx, container, lease);
            }
            return;
        }
        cx.report(Event::IoFailed { direction: Direction::Write, pbn, purpose: "compressed client data" });
        self.packing.containers.release(container);
        self.release_allocation(cx, first);
        for member in members.as_slice() {
            cx.stats.data_write_retries += 1;
            (self.members[*member].packing, self.members[*member].retried) = (Packing::None, true);
            self.start_write(cx, *member);
        }
    }

    /// The members of a compressed block hold its lock, with `lease` references each, and can record their mappings;
    /// `None` when the lock was in an impossible state.
    pub fn shared<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>, container: u32, lease: Option<u8>) {
        let Some(lease) = lease else {
            return self.container_failed(cx, container, RequestError::Lock);
        };
        assert!(lease > 0, "each member can have a reference");
        let members = self.packing.containers[container].members;
        self.packing.containers.release(container);
        let first = members.as_slice()[0];
        let pbn = self.members[first].allocation.take().expect("the first member has allocated the block");
        cx.stats.compressed_blocks_written += 1;
        for (slot, member) in (0..).zip(members.as_slice().iter().copied()) {
            cx.stats.compressed_fragments_written += 1;
            (self.members[member].packing, self.members[member].claimed) = (Packing::None, true);
            let location = Mapped { pbn, state: MappingState::Compressed(slot) };
            let lock = &mut self.locks[self.members[member].lock];
            lock.duplicate = Some(location);
            (lock.holds_duplicate, lock.verified, lock.lease) = (true, true, lease - 1);
            self.send_remap(cx, member, location);
        }
    }

    /// A compressed block cannot be stored: fails all its members.
    pub(super) fn container_failed<E: Env<Buf = Buf>>(
        &mut self,
        cx: &mut Context<'_, E>,
        container: u32,
        error: RequestError,
    ) {
        let members = self.packing.containers[container].members;
        self.packing.containers.release(container);
        for member in members.as_slice() {
            self.members[*member].packing = Packing::None;
            self.fail(cx, *member, error);
        }
    }
}

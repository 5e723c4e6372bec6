// SPDX-License-Identifier: BSD-3-Clause

//! Storing a new copy: WRITING (vdo.md 2.5).

use super::HashZone;
use crate::context::{Context, Owner};
use crate::env::{Direction, Env, Event};
use crate::error::RequestError;
use crate::hash::hash_lock::LockState;
use crate::hash::member::{Member, Packing};
use crate::logical::Mapped;
use crate::message::{MemberRef, Message};
use crate::physical::{Allocation, Requester};
use crate::units::{Pbn, ShardId};

impl<Buf: Copy + std::fmt::Debug> HashZone<Buf> {
    /// The agent stores a new copy.
    pub(super) fn start_writing<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>, lock: u32) {
        self.locks[lock].state = LockState::Writing;
        self.start_write(cx, self.locks[lock].agent);
    }

    /// Stores a member's content in a block of its own.
    pub(super) fn start_write<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>, member: u32) {
        if cx.is_read_only() {
            return self.fail(cx, member, RequestError::ReadOnly);
        }
        if self.packing.is_enabled() && self.park(cx, member) {
            return;
        }
        self.write_alone(cx, member);
    }

    /// Stores the content of a member that shares no block with others; what is stored already stays where it is then.
    pub(super) fn write_alone<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>, member: u32) {
        let Member { anew, compressed, retried, .. } = self.members[member];
        if anew {
            return self.fail(cx, member, RequestError::NoSpace);
        }
        if compressed > 0 && !retried {
            cx.stats.fragments_written_plain += 1;
        }
        self.write_plain(cx, member);
    }

    /// Stores a member's content as it is.
    pub(super) fn write_plain<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>, member: u32) {
        self.members[member].zones_tried = 0;
        self.allocate(cx, member);
    }

    /// Looks for a free block, in this shard first, then in each other one in turn; in a second round every zone that
    /// still scrubs slabs keeps the request until one is done (vdo.md 3.4).
    pub(super) fn allocate<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>, member: u32) {
        let shards = cx.geometry.shards() as u16;
        let tried = self.members[member].zones_tried;
        if tried == 2 * shards {
            if !std::mem::replace(&mut self.full, true) {
                cx.report(Event::OutOfSpace);
            }
            return match self.members[member].packing {
                Packing::In(container) => self.container_failed(cx, container, RequestError::NoSpace),
                _ => self.fail(cx, member, RequestError::NoSpace),
            };
        }
        let wait = tried >= shards;
        let zone = ShardId((cx.id.0 + tried) % shards);
        let reference = MemberRef { shard: cx.id, index: member };
        if zone != cx.id {
            return cx.send(zone, Message::Allocate { member: reference, wait });
        }
        match cx.allocate(Requester::Data(reference), wait) {
            Allocation::Waiting => {}
            Allocation::Block(pbn) => self.allocated(cx, member, Some(pbn)),
            Allocation::Full => self.allocated(cx, member, None),
        }
    }

    /// A physical zone has given a block, or is full.
    pub fn allocated<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>, member: u32, pbn: Option<Pbn>) {
        let Some(pbn) = pbn else {
            self.members[member].zones_tried += 1;
            return self.allocate(cx, member);
        };
        if std::mem::replace(&mut self.full, false) {
            cx.report(Event::SpaceReturned);
        }
        self.members[member].allocation = Some(pbn);
        cx.stats.bios_out_write += 1;
        let Member { data, packing, .. } = self.members[member];
        match packing {
            Packing::In(container) => self.write_container(cx, container, pbn),
            _ => cx.io.enqueue(Direction::Write, pbn, data, Owner::Write(member)),
        }
    }

    /// The content is on the base bdev, or the write failed: then once more in another block (architecture.md 5).
    pub fn write_done<E: Env<Buf = Buf>>(
        &mut self,
        cx: &mut Context<'_, E>,
        member: u32,
        result: Result<(), RequestError>,
    ) {
        let pbn = self.members[member].allocation.expect("a write has a block");
        match result {
            Ok(()) => self.send_remap(cx, member, Mapped::uncompressed(pbn)),
            Err(error) => {
                cx.report(Event::IoFailed { direction: Direction::Write, pbn, purpose: "client data" });
                self.release_allocation(cx, member);
                if std::mem::replace(&mut self.members[member].retried, true) {
                    self.fail(cx, member, error);
                } else {
                    cx.stats.data_write_retries += 1;
                    self.start_write(cx, member);
                }
            }
        }
    }

    pub(super) fn release_allocation<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>, member: u32) {
        if let Some(pbn) = self.members[member].allocation.take() {
            // After a remap the write lock is a read lock whose whole lease was the writer's; before, nothing was
            // leased, and the physical zone ignores what is returned.
            cx.release(pbn, 0, None);
        }
    }
}

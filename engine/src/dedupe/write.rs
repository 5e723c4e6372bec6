// SPDX-License-Identifier: BSD-3-Clause

//! Storing a new copy: WRITING.

use super::hash_lock::LockState;
use super::member::Member;
use super::HashZone;
use crate::context::Context;
use crate::env::{Direction, Env, Event};
use crate::error::RequestError;
use crate::format::Mapped;

impl<Buf: Copy + std::fmt::Debug> HashZone<Buf> {
    /// The agent stores a new copy.
    pub(super) fn start_writing<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>, lock: u32) {
        self.locks[lock].state = LockState::Writing;
        self.start_write(cx, self.locks[lock].agent);
    }

    /// Stores a member's content compressed if possible, otherwise in a block of its own.
    pub(super) fn start_write<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>, member: u32) {
        if cx.is_read_only() {
            return self.fail(cx, member, RequestError::ReadOnly);
        }
        if self.packing.is_enabled() && self.park(cx, member) {
            return;
        }
        self.write_alone(cx, member);
    }

    /// Stores a member's content in a block of its own; an internal block stays where it is instead.
    pub(super) fn write_alone<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>, member: u32) {
        let Member { relocating, compressed, retried, .. } = self.members[member];
        if relocating {
            return self.fail(cx, member, RequestError::NoSpace);
        }
        if compressed > 0 && !retried {
            cx.stats.fragments_written_plain += 1;
        }
        self.write_plain(cx, member);
    }

    /// The content is on the base bdev, or the write failed: then it is retried once, in another block.
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

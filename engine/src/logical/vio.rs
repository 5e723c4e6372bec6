// SPDX-License-Identifier: BSD-3-Clause

//! One block of a request, from its LBN lock to the hash zone and back, and its end. The picture is in `data_vio`.

use super::data_vio::{Role, Stage};
use super::{LogicalZone, Retired};
use crate::block_map::{Fetch, Frame, Purpose};
use crate::context::{Context, Owner};
use crate::env::{Direction, Env, Event};
use crate::error::RequestError;
use crate::fingerprint::Fingerprinter;
use crate::format::journal_record::Entry;
use crate::format::{Mapped, Mapping, MappingState, PageId};
use crate::journal::Waiter;
use crate::message::{Arrival, Awaited, MemberRef, ToLogical, VioRef};
use crate::owner_count::OwnerCount;
use crate::packing::compression::extract;
use crate::read_check;
use crate::request::Operation;
use crate::units::{Block, Lbn, BLOCK_SIZE};

impl<E: Env> LogicalZone<E> {
    /// Locks the block of a data_vio, or queues the data_vio: for the lock, or behind a range operation on its leaf
    /// page.
    pub(super) fn lock(&mut self, cx: &mut Context<'_, E>, index: u32) {
        let lbn = self.vios[index].lbn;
        if self.page_has_range(PageId::leaf_of(lbn).index) {
            self.mark_blocked(index);
            self.range_waiters.push(&mut self.vios, index);
        } else if self.locks.acquire(lbn, &mut self.vios, index) {
            self.locked(cx, index);
        } else {
            self.mark_blocked(index);
            self.hasten(cx, lbn);
        }
    }

    /// A request waits for a block. If a hash zone has the block, it is told, so that the block does not wait for
    /// partners there. An internal block does wait: for a millisecond at most, and moving it alone would save nothing.
    fn hasten(&mut self, cx: &mut Context<'_, E>, lbn: Lbn) {
        let Some(writer) = self.locks.writer(lbn) else { return };
        let vio = &mut self.vios[writer];
        let is_known = std::mem::replace(&mut vio.awaited, true);
        // A block in a swap is not in a hash zone.
        if is_known || vio.stage != Stage::Deduping || vio.role != Role::None || vio.is_own() {
            return;
        }
        let data = vio.data.expect("content has memory");
        let fingerprint = cx.fingerprinter.fingerprint(cx.env.block(data));
        cx.hasten(Awaited { vio: VioRef { shard: cx.id, index: writer }, fingerprint });
    }

    /// The LBN lock is held: gets the leaf page. A missing page is created only when it is known that the block is not
    /// zero.
    pub(super) fn locked(&mut self, cx: &mut Context<'_, E>, index: u32) {
        let vio = &mut self.vios[index];
        vio.stage = Stage::MapPage;
        let purpose = match vio.operation {
            Operation::Read => Purpose::Read,
            _ => Purpose::Discard,
        };
        match self.map.fetch(vio.lbn, purpose, index) {
            Fetch::Wait => {}
            Fetch::NoPage => self.mapped(cx, index),
            Fetch::Page(frame) => self.page_ready(cx, index, frame),
        }
    }

    /// The leaf page is in memory and pinned. A read unpins it right after looking up its mapping.
    pub(super) fn page_ready(&mut self, cx: &mut Context<'_, E>, index: u32, frame: Frame) {
        let vio = &mut self.vios[index];
        if vio.stage == Stage::NewPage {
            return self.page_made(cx, index, frame);
        }
        vio.old = self.map.get(frame, vio.lbn.slot());
        if vio.operation == Operation::Read {
            self.map.unpin(frame);
        } else {
            vio.page = Some(frame);
        }
        self.mapped(cx, index);
    }

    /// The mapping is known (unmapped where there is no page): gets a bounce block if one is needed.
    pub(super) fn mapped(&mut self, cx: &mut Context<'_, E>, index: u32) {
        let vio = &mut self.vios[index];
        vio.stage = Stage::Mapped;
        if let Role::Requester { swap, pbn } | Role::Neighbour { swap, pbn } = vio.role {
            return self.begin_hold(cx, index, swap, pbn);
        }
        if vio.is_relocation() {
            return self.begin_move(cx, index);
        }
        let (lbn, part, stored) = (vio.lbn, vio.part, vio.old.has_block());
        let client = self.client(self.vios[index].piece);
        let vio = &mut self.vios[index];
        match vio.operation {
            Operation::Read if !stored => {
                cx.env.zero_client(client, lbn, part);
                self.finish(cx, index, Ok(()));
            }
            Operation::Unmap | Operation::WriteZeroes if part.is_whole() || !stored => {
                vio.new = Mapping::UNMAPPED;
                self.record(cx, index);
            }
            _ => self.bounce(cx, index),
        }
    }

    /// Takes a bounce block, or waits for one.
    pub(super) fn bounce(&mut self, cx: &mut Context<'_, E>, index: u32) {
        match self.bounce.pop() {
            Some(buf) => {
                self.vios[index].data = Some(buf);
                self.buffered(cx, index);
            }
            None => {
                self.mark_blocked(index);
                self.bounce_waiters.push(&mut self.vios, index);
            }
        }
    }

    /// The data_vio has a bounce block.
    fn buffered(&mut self, cx: &mut Context<'_, E>, index: u32) {
        let vio = &mut self.vios[index];
        let data = vio.data.expect("memory was just assigned");
        let needs_content = vio.operation == Operation::Read || (!vio.part.is_whole() && vio.old.has_block());
        if needs_content || vio.is_relocation() {
            vio.stage = Stage::Reading;
            cx.stats.bios_out_read += 1;
            cx.io.enqueue(Direction::Read, vio.old.pbn(), data, Owner::Vio(index));
        } else {
            self.await_fingerprint(index);
        }
    }

    /// Everything but the client's bytes is in memory.
    fn await_fingerprint(&mut self, index: u32) {
        self.vios[index].stage = Stage::Fingerprinting;
        self.fingerprints.push(index);
    }

    /// The read of a data_vio has ended.
    pub fn read_done(&mut self, cx: &mut Context<'_, E>, index: u32, result: Result<(), RequestError>) {
        let vio = &self.vios[index];
        debug_assert_eq!(vio.stage, Stage::Reading);
        let (lbn, pbn, part) = (vio.lbn, vio.old.pbn(), vio.part);
        let data = vio.data.expect("a read has memory");
        if let Err(error) = result {
            cx.report(Event::IoFailed { direction: Direction::Read, pbn, purpose: "client data" });
            return self.finish(cx, index, Err(error));
        }
        let (old, operation) = (vio.old, vio.operation);
        let restored = match old.state() {
            MappingState::Compressed(slot) => self.restore(cx, data, slot),
            _ => true,
        };
        let (expected, found) = (old.check(), read_check::code_found(cx.env.block(data), old.check()));
        if expected != found || !restored {
            cx.stats.check_error_count += 1;
            cx.report(Event::CheckMismatch { lbn, pbn, expected, found });
            return self.finish(cx, index, Err(RequestError::Corrupt));
        }
        if operation != Operation::Read {
            return self.await_fingerprint(index);
        }
        let client = self.client(self.vios[index].piece);
        cx.env.copy_to_client(client, lbn, part, data);
        self.finish(cx, index, Ok(()));
    }

    /// Replaces a compressed block in `data` by the content of one of its slots. Returns whether this was possible.
    fn restore(&mut self, cx: &mut Context<'_, E>, data: E::Buf, slot: u8) -> bool {
        cx.stats.compressed_fragments_read += 1;
        let restored = extract(cx.env.block(data), slot, &mut self.restored).is_ok();
        if restored {
            cx.env.block_mut(data).copy_from_slice(&self.restored[..]);
        }
        restored
    }

    /// Completes the content of all blocks that wait for their fingerprint, and hands them to their hash zones. Each
    /// block is copied from the client, compared with zeros and hashed before the next, so it stays in the nearest CPU
    /// cache.
    pub(super) fn fingerprint_batch(&mut self, cx: &mut Context<'_, E>) -> bool {
        let progress = !self.fingerprints.is_empty();
        let mut batch = std::mem::take(&mut self.fingerprints);
        for index in batch.drain(..) {
            let data = self.complete_content(cx, index);
            if is_zero(cx.env.block(data)) {
                cx.stats.zero_blocks += 1;
                self.needs_no_swap(cx, index);
                self.vios[index].new = Mapping::UNMAPPED;
                self.record(cx, index);
            } else if self.vios[index].page.is_some() {
                self.hand_over(cx, index);
            } else {
                self.make_page(cx, index);
            }
        }
        debug_assert!(self.fingerprints.is_empty(), "no block gets memory by another's fingerprint");
        self.fingerprints = batch;
        progress
    }

    /// A block with content has no leaf page: creates one.
    fn make_page(&mut self, cx: &mut Context<'_, E>, index: u32) {
        let vio = &mut self.vios[index];
        vio.stage = Stage::NewPage;
        match self.map.fetch(vio.lbn, Purpose::Write, index) {
            Fetch::Wait => {}
            Fetch::NoPage => unreachable!("for a write a page is made"),
            Fetch::Page(frame) => self.page_made(cx, index, frame),
        }
    }

    /// The leaf page is in memory; this block or another one had it created.
    fn page_made(&mut self, cx: &mut Context<'_, E>, index: u32, frame: Frame) {
        self.vios[index].page = Some(frame);
        self.hand_over(cx, index);
    }

    /// Hands a block with complete content to its hash zone.
    fn hand_over(&mut self, cx: &mut Context<'_, E>, index: u32) {
        let vio = &mut self.vios[index];
        let data = vio.data.expect("content has memory");
        let block = cx.env.block(data);
        let fingerprint = cx.fingerprinter.fingerprint(block);
        vio.check = Fingerprinter::check_code(block);
        vio.stage = Stage::Deduping;
        self.moving -= OwnerCount::one(vio.is_own());
        if let Role::Requester { swap, .. } = vio.role {
            vio.role = Role::Done;
            return cx.filled(swap, Some(data));
        }
        cx.dedupe(Arrival {
            vio: VioRef { shard: cx.id, index },
            lbn: vio.lbn,
            data,
            fingerprint,
            old: vio.old,
            relocating: vio.is_relocation(),
            awaited: vio.awaited && !vio.is_own(),
        });
    }

    /// Copies the client's bytes into the block, which is complete then.
    fn complete_content(&mut self, cx: &mut Context<'_, E>, index: u32) -> E::Buf {
        let vio = &self.vios[index];
        let data = vio.data.expect("content has memory");
        let (lbn, part) = (vio.lbn, vio.part);
        if vio.is_relocation() {
            return data;
        }
        if !part.is_whole() && !vio.old.has_block() {
            cx.env.block_mut(data).fill(0);
        }
        if vio.operation == Operation::Write {
            cx.env.copy_from_client(self.client(vio.piece), lbn, part, data);
        } else {
            cx.env.block_mut(data)[part.range()].fill(0);
        }
        data
    }

    pub(super) fn event(&mut self, cx: &mut Context<'_, E>, event: ToLogical) {
        match event {
            ToLogical::Remap { vio, member, location } => {
                self.mark_runnable(vio);
                self.remap(cx, vio, member, location);
            }
            ToLogical::Relocate { lbn, location } => self.relocate(lbn, location),
            ToLogical::Hold { swap, lbn, pbn, vio } => self.hold(cx, (swap, pbn), lbn, vio),
            ToLogical::Park { vio } => {
                self.mark_runnable(vio);
                self.park(vio);
            }
            ToLogical::Fill { vio } => self.fill(cx, vio),
            ToLogical::WriteFailed { vio, error } => {
                self.mark_runnable(vio);
                if self.may_swap(vio, error) {
                    return self.ask_for_swap(cx, vio);
                }
                if self.ends_parked(cx, vio, error) {
                    return;
                }
                if error == RequestError::NoSpace && !self.vios[vio].is_own() {
                    cx.stats.no_space_error_count += 1;
                }
                self.finish(cx, vio, Err(error));
            }
        }
    }

    /// The content is stored: records its location.
    fn remap(&mut self, cx: &mut Context<'_, E>, index: u32, member: MemberRef, location: Mapped) {
        let vio = &mut self.vios[index];
        debug_assert_eq!(vio.stage, Stage::Deduping);
        vio.member = Some(member);
        vio.new = Mapping::new(location, vio.check);
        self.record(cx, index);
    }

    /// Journals the new mapping as soon as there is room; an unchanged mapping without a block needs no entry.
    pub(super) fn record(&mut self, cx: &mut Context<'_, E>, index: u32) {
        let vio = &mut self.vios[index];
        vio.stage = Stage::Journaling;
        if vio.new == vio.old && !vio.new.has_block() {
            return self.finish(cx, index, Ok(()));
        }
        if !self.journal_waiters.is_empty() || !self.try_record(cx, index) {
            self.journal_waiters.push_back(index);
        }
    }

    /// Journals the new mapping if there is room now. Returns false if not.
    pub(super) fn try_record(&mut self, cx: &mut Context<'_, E>, index: u32) -> bool {
        if cx.is_read_only() {
            self.unrecorded(cx, index, RequestError::ReadOnly);
            return true;
        }
        let vio = &self.vios[index];
        let entry = Entry::Remap { lbn: vio.lbn, old: vio.old.pbn(), new: vio.new };
        let mut counters = self.counters;
        counters.logical_blocks_used += i64::from(!vio.new.is_unmapped()) - i64::from(!vio.old.is_unmapped());
        let journaled = cx.append(&entry, Waiter::Vio(index), counters);
        if journaled {
            self.counters = counters;
        }
        journaled
    }

    /// The new mapping is not journaled and never will be.
    pub(super) fn unrecorded(&mut self, cx: &mut Context<'_, E>, index: u32, error: RequestError) {
        if let Some(member) = self.vios[index].member {
            cx.finished(member, Err(error));
        }
        self.finish(cx, index, Err(error));
    }

    /// The block has its reference, or the increment failed.
    pub fn incremented(&mut self, cx: &mut Context<'_, E>, index: u32, result: Result<(), RequestError>) {
        debug_assert_eq!(self.vios[index].stage, Stage::Incrementing);
        if let Some(member) = self.vios[index].member {
            cx.finished(member, result);
        }
        self.finish(cx, index, result);
    }

    /// Ends a data_vio and grants its lock to the waiters. If the hash zone may still compare its content, the rest
    /// happens in [`LogicalZone::retire`].
    pub(super) fn finish(&mut self, cx: &mut Context<'_, E>, index: u32, result: Result<(), RequestError>) {
        self.needs_no_swap(cx, index);
        let vio = &self.vios[index];
        let (lbn, piece, compared) = (vio.lbn, vio.piece, vio.member.is_some());
        let bounce = vio.data;
        if vio.is_relocation() {
            // Until it is remapped, `new` is the expected location.
            cx.relocated(if compared { vio.old.pbn() } else { vio.new.pbn() });
        }
        if let Some(frame) = vio.page {
            self.map.unpin(frame);
        }
        if vio.operation.is_discard() {
            self.discards -= 1;
        }
        self.holds -= usize::from(matches!(vio.role, Role::Neighbour { .. }));
        self.mark_blocked(index);
        self.unlock(lbn);
        self.vios.release(index);
        if compared || bounce.is_some() {
            self.retired.push(Retired { piece, result, bounce });
        } else {
            self.block_done(cx, piece, result);
        }
    }

    /// Releases the lock on a block and queues the data_vios that get it.
    pub(super) fn unlock(&mut self, lbn: Lbn) {
        let before = self.granted.len();
        let granted = &mut self.granted;
        self.locks.release(lbn, &mut self.vios, |waiter| granted.push_back(waiter));
        for at in before..self.granted.len() {
            let granted = self.granted[at];
            self.vios[granted].awaited = self.locks.is_awaited(lbn);
            self.mark_runnable(granted);
        }
    }
}

/// Whether a block is all zeros. For nearly every block that is not, the first chunk decides.
fn is_zero(block: &Block) -> bool {
    const CHUNK: usize = 128;
    const _: () = assert!(BLOCK_SIZE.is_multiple_of(CHUNK));
    block.chunks_exact(CHUNK).all(|chunk| chunk.iter().fold(0, |bits, byte| bits | byte) == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// vdo-89: only a block that is zero in every byte counts as a zero block.
    #[test]
    fn zero_detection_sees_every_byte() {
        let mut block = [0; BLOCK_SIZE];
        assert!(is_zero(&block));
        for at in 0..BLOCK_SIZE {
            block[at] = 1;
            assert!(!is_zero(&block), "byte {at}");
            block[at] = 0;
        }
    }
}

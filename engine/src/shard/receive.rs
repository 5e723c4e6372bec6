// SPDX-License-Identifier: BSD-3-Clause

//! What a shard does with the messages of others: each variant of [`Message`] in one place.

use super::Shard;
use crate::context::{Arrival, Context, LogicalEvent};
use crate::env::{Env, ReadOnlyReason};
use crate::message::{swap_of, Allocation, Claim, Message};
use crate::slabs::Requester;
use crate::units::ShardId;

impl<E: Env> Shard<E> {
    /// Takes a message from another shard.
    pub fn receive(&mut self, env: &mut E, from: ShardId, message: Message<E::Buf>) {
        debug_assert_ne!(from, self.id, "a shard does not send messages to itself");
        let (mut cx, logical, hash, swapper) = split!(self, env);
        match message {
            Message::Dedupe { vio, lbn, data, fingerprint, old, anew, awaited } => {
                cx.handoff.arrivals.push_back(Arrival { vio, lbn, data, fingerprint, old, anew, awaited });
            }
            Message::Hasten(awaited) => cx.handoff.hastened.push_back(awaited),
            Message::Remap { vio, member, location } => {
                cx.handoff.to_logical.push_back(LogicalEvent::Remap { vio, member, location });
            }
            Message::WriteFailed { vio, error } => {
                cx.handoff.to_logical.push_back(LogicalEvent::WriteFailed { vio, error });
            }
            Message::Finished { member, result } => cx.finished_here(member, result),
            Message::Incremented { vio, result } => logical.incremented(&mut cx, vio, result),
            Message::Relocate { lbn, location } => logical.relocate(lbn, location),
            Message::Relocated { from } => cx.relocator.moved(from),
            Message::Swap(request) => swapper.request(request),
            Message::Hold { swap, lbn, pbn, vio } => {
                cx.handoff.to_logical.push_back(LogicalEvent::Hold { swap, lbn, pbn, vio });
            }
            Message::Held { swap, vio, mapping } => swapper.held(&mut cx, swap, vio, mapping),
            Message::Park { vio } => cx.handoff.to_logical.push_back(LogicalEvent::Park { vio }),
            Message::Fill { vio } => cx.handoff.to_logical.push_back(LogicalEvent::Fill { vio }),
            Message::Filled { swap, content } => swapper.filled(&mut cx, swap, content),
            Message::Settle { swap, owner } => cx.settle(swap, owner),
            Message::Settled { swap } => swapper.settled(&mut cx, swap),
            Message::Advise { fingerprint, location } => cx.handoff.advice.push_back((fingerprint, location)),
            Message::PageAllocated { ticket, answer } => logical.page_allocated(&mut cx, ticket, answer),
            Message::SlabJournalsCommitted { up_to } => cx.journal.slabs_committed(from, up_to),
            Message::Locked { member, lease } => match swap_of(member) {
                Some(swap) => swapper.locked(&mut cx, swap, lease),
                None => hash.locked(&mut cx, member, lease),
            },
            Message::LeaseExtended { member, lease } => hash.extended(&mut cx, member, lease),
            Message::Allocated { member, answer } => match swap_of(member) {
                Some(swap) => swapper.allocated(&mut cx, swap, answer),
                None => hash.allocated(&mut cx, member, answer),
            },
            Message::Shared { container, lease } => match swap_of(container) {
                Some(swap) => swapper.shared(&mut cx, swap, lease),
                None => hash.shared(&mut cx, container, lease),
            },
            Message::Released { member } => hash.released(&mut cx, member),
            Message::Increment { .. }
            | Message::Decrement { .. }
            | Message::ReferencePage { .. }
            | Message::FreePage { .. }
            | Message::AllocatePage { .. }
            | Message::CommitSlabJournals { .. }
            | Message::LockForRead { .. }
            | Message::ExtendLease { .. }
            | Message::Allocate { .. }
            | Message::ShareCompressed { .. }
            | Message::Release { .. } => ask_physical(&mut cx, from, message),
            Message::ReadOnly => cx.enter_read_only(ReadOnlyReason::Told),
        }
    }
}

/// What other shards ask of this one's physical zone.
fn ask_physical<E: Env>(cx: &mut Context<'_, E>, from: ShardId, message: Message<E::Buf>) {
    match message {
        Message::Increment { vio, pbn, point } => {
            if let Some(result) = cx.increment_here(from, vio, pbn, point) {
                cx.send(vio.shard, Message::Incremented { vio: vio.index, result });
            }
        }
        Message::Decrement { first, count, compressed, point } => {
            cx.decrement_here(from, first, count, compressed, point);
        }
        Message::ReferencePage { pbn, point } => cx.reference_page_here(from, pbn, point),
        Message::FreePage { pbn, point } => cx.free_page_here(from, pbn, point),
        Message::AllocatePage { page, wait } => match cx.allocate(Requester::Page(page), Claim::Upkeep, wait) {
            Allocation::Waiting => {}
            answer => cx.send(page.shard, Message::PageAllocated { ticket: page.index, answer }),
        },
        Message::CommitSlabJournals { up_to } => cx.physical.commit_journals(from, up_to),
        Message::LockForRead { member, pbn, at_most } => {
            if let Some(lease) = cx.lock_candidate(member, pbn, at_most) {
                cx.send(member.shard, Message::Locked { member: member.index, lease });
            }
        }
        Message::ExtendLease { member, pbn, at_most } => {
            let lease = cx.extend_lease_here(pbn, at_most);
            cx.send(member.shard, Message::LeaseExtended { member: member.index, lease });
        }
        Message::Allocate { member, claim, wait } => match cx.allocate(Requester::Data(member), claim, wait) {
            Allocation::Waiting => {}
            answer => cx.send(member.shard, Message::Allocated { member: member.index, answer }),
        },
        Message::ShareCompressed { container, pbn, holders } => {
            let lease = cx.share_compressed_here(pbn, holders);
            cx.send(from, Message::Shared { container, lease });
        }
        Message::Release { pbn, unused, waiting } => {
            if let Err(error) = cx.physical.release(pbn, unused) {
                cx.physical_error(&error);
            }
            if let Some(member) = waiting {
                cx.send(member.shard, Message::Released { member: member.index });
            }
        }
        _ => unreachable!("{message:?} is not for a physical zone"),
    }
}

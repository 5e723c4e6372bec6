// SPDX-License-Identifier: BSD-3-Clause

//! Handles messages of other shards: messages for a zone's queue go there ([`Context::take`]), the others are processed
//! at once.

use super::Shard;
use crate::context::Context;
use crate::env::{Env, ReadOnlyReason};
use crate::message::{swap_of, Allocation, Claim, Message};
use crate::slabs::Requester;
use crate::units::ShardId;

impl<E: Env> Shard<E> {
    /// Receives a message from another shard.
    pub fn receive(&mut self, env: &mut E, from: ShardId, message: Message<E::Buf>) {
        debug_assert_ne!(from, self.id, "a shard does not send messages to itself");
        let (mut cx, logical, hash, swapper) = split!(self, env);
        let Some(message) = cx.take(message) else { return };
        match message {
            Message::Incremented { vio, result } => logical.incremented(&mut cx, vio, result),
            Message::Relocated { from } => cx.relocator.moved(from),
            Message::Settle { swap, owner } => cx.settle(swap, owner),
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
            Message::Dedupe(_)
            | Message::Hasten(_)
            | Message::Finished { .. }
            | Message::Advise { .. }
            | Message::Logical(_)
            | Message::Swapper(_) => unreachable!("a queue has taken it"),
        }
    }
}

/// Handles requests of other shards to this shard's physical zone.
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

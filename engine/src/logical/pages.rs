// SPDX-License-Identifier: BSD-3-Clause

//! Requests of the block map to the zone: blocks for new pages, and journal entries that record new pages and pages
//! that are gone.
//!
//! A page is created in four steps: a physical zone allocates a block, the journal records it, the map enters it into
//! the parent, and the block's reference count becomes 254. A shard whose own zone is full asks the others in turn:
//! first without waiting, then waiting for slabs that are being scrubbed. A request that has waited in vain asks all of
//! them again.

use super::data_vio::Role;
use super::{LogicalZone, RANGE_WAITER};
use crate::block_map::{Leaving, MapEvent};
use crate::context::Context;
use crate::env::Env;
use crate::error::RequestError;
use crate::format::journal_record::{Entry, Point};
use crate::format::PageId;
use crate::journal::Waiter;
use crate::message::{Allocation, Claim, Message, VioRef};
use crate::slabs::Requester;
use crate::units::{Pbn, ShardId};

/// A page being created.
#[derive(Debug, Clone, Copy)]
pub(super) struct PageAllocation {
    /// The block map's ticket for the page.
    ticket: u32,
    /// Zones asked since the last wait, over both rounds.
    zones_tried: u16,
    /// The allocated block.
    pbn: Option<Pbn>,
    /// The page; known when the map asks for its journal entry.
    page: Option<PageId>,
    /// Life number of the page, once journaled.
    life: u32,
}

impl<E: Env> LogicalZone<E> {
    /// Serves the requests of the block map. Returns whether there were any.
    pub(super) fn take_map_events(&mut self, cx: &mut Context<'_, E>) -> bool {
        let mut progress = false;
        while let Some(event) = self.map.pop_event() {
            progress = true;
            match event {
                MapEvent::Ready { waiter, frame } if waiter & RANGE_WAITER != 0 => {
                    self.range_page_ready(cx, waiter & !RANGE_WAITER, frame);
                }
                MapEvent::Ready { waiter, frame } => self.page_ready(cx, waiter, frame),
                MapEvent::NoPage { waiter } if waiter & RANGE_WAITER != 0 => {
                    self.end_range(cx, waiter & !RANGE_WAITER, Ok(()));
                }
                MapEvent::NoPage { waiter } => self.mapped(cx, waiter),
                MapEvent::Failed { waiter, error } => self.page_failed(cx, waiter, error),
                MapEvent::Allocate { ticket } => {
                    let allocation = PageAllocation { ticket, zones_tried: 0, pbn: None, page: None, life: 0 };
                    self.page_allocations.push(allocation);
                    self.allocate_page(cx, ticket);
                }
                MapEvent::Append { ticket, page, pbn: _ } => self.record_page(cx, ticket, page),
                MapEvent::ReadOnly(reason) => cx.enter_read_only(reason),
            }
        }
        progress
    }

    /// A leaf page cannot be loaded or created.
    fn page_failed(&mut self, cx: &mut Context<'_, E>, waiter: u32, error: RequestError) {
        if error == RequestError::NoSpace {
            cx.stats.no_space_error_count += 1;
        }
        if waiter & RANGE_WAITER != 0 {
            self.end_range(cx, waiter & !RANGE_WAITER, Err(error));
        } else if let Role::Requester { swap, .. } | Role::Neighbour { swap, .. } = self.vios[waiter].role {
            self.cannot_hold(cx, waiter, swap, error);
        } else {
            self.finish(cx, waiter, Err(error));
        }
    }

    fn page_allocation(&mut self, ticket: u32) -> &mut PageAllocation {
        let found = self.page_allocations.iter_mut().find(|allocation| allocation.ticket == ticket);
        found.expect("the block map asked for this page")
    }

    fn forget_page(&mut self, ticket: u32) -> PageAllocation {
        let at = self.page_allocations.iter().position(|allocation| allocation.ticket == ticket);
        self.page_allocations.swap_remove(at.expect("the block map asked for this page"))
    }

    /// Asks the next physical zone for a block.
    fn allocate_page(&mut self, cx: &mut Context<'_, E>, ticket: u32) {
        let shards = cx.geometry.shards() as u16;
        let tried = self.page_allocation(ticket).zones_tried;
        if tried == 2 * shards {
            self.forget_page(ticket);
            return self.map.allocated(ticket, None);
        }
        let wait = tried >= shards;
        let zone = ShardId((cx.id.0 + tried) % shards);
        let page = VioRef { shard: cx.id, index: ticket };
        if zone != cx.id {
            return cx.send(zone, Message::AllocatePage { page, wait });
        }
        match cx.allocate(Requester::Page(page), Claim::Upkeep, wait) {
            Allocation::Waiting => {}
            answer => self.page_allocated(cx, ticket, answer),
        }
    }

    /// The answer of a physical zone: a block or none.
    pub fn page_allocated(&mut self, cx: &mut Context<'_, E>, ticket: u32, answer: Allocation) {
        let allocation = self.page_allocation(ticket);
        match answer {
            Allocation::Block(pbn) => {
                allocation.pbn = Some(pbn);
                return self.map.allocated(ticket, Some(pbn));
            }
            Allocation::ReadOnly => {
                self.forget_page(ticket);
                return self.map.refused(ticket, RequestError::ReadOnly);
            }
            Allocation::Again => allocation.zones_tried = 0,
            Allocation::Full | Allocation::Elsewhere | Allocation::Waiting => allocation.zones_tried += 1,
        }
        self.allocate_page(cx, ticket);
    }

    /// Journals a page, ahead of any write that waits for room.
    fn record_page(&mut self, cx: &mut Context<'_, E>, ticket: u32, page: PageId) {
        self.page_allocation(ticket).page = Some(page);
        if !self.pages_to_record.is_empty() || !self.try_record_page(cx, ticket) {
            self.pages_to_record.push_back(ticket);
        }
    }

    /// Journals a page if there is room now. Returns false if not.
    fn try_record_page(&mut self, cx: &mut Context<'_, E>, ticket: u32) -> bool {
        if cx.is_read_only() {
            self.page_unrecorded(cx, ticket);
            return true;
        }
        let PageAllocation { page, pbn, .. } = *self.page_allocation(ticket);
        let (Some(page), Some(pbn)) = (page, pbn) else { unreachable!("the map records pages that have a block") };
        let mut counters = self.counters;
        counters.map_pages += 1;
        let life = cx.journal.next_life();
        let journaled = cx.append(&Entry::Page { page, pbn, life }, Waiter::Page(ticket), counters);
        if journaled {
            self.counters = counters;
            self.page_allocation(ticket).life = life;
        }
        journaled
    }

    /// Releases pages that have become holes, while there is room in the journal that nothing else waits for. Returns
    /// whether any release started.
    pub(super) fn release_pages(&mut self, cx: &mut Context<'_, E>) -> bool {
        let mut progress = false;
        let nobody_waits = self.pages_to_record.is_empty() && self.journal_waiters.is_empty();
        while nobody_waits && !cx.is_read_only() && cx.journal.room() > 0 {
            let Some(Leaving { ticket, page, pbn }) = self.map.begin_release() else { break };
            let mut counters = self.counters;
            counters.map_pages -= 1;
            let journaled = cx.append(&Entry::PageGone { page, pbn }, Waiter::PageGone { ticket, pbn }, counters);
            assert!(journaled, "a journal with room takes an entry");
            self.counters = counters;
            progress = true;
        }
        progress
    }

    /// Journals the pages that have waited for room, in order, while there is room. Returns whether none is left.
    pub(super) fn use_room_for_pages(&mut self, cx: &mut Context<'_, E>) -> bool {
        while let Some(&ticket) = self.pages_to_record.front() {
            if !self.try_record_page(cx, ticket) {
                return false;
            }
            self.pages_to_record.pop_front();
        }
        true
    }

    /// The page's entry is committed.
    pub(super) fn page_committed(&mut self, cx: &mut Context<'_, E>, ticket: u32, entry: u64) {
        let PageAllocation { pbn, life, .. } = self.forget_page(ticket);
        let pbn = pbn.expect("a page that was journaled has a block");
        self.map.committed(ticket, entry, life);
        cx.reference_page(pbn, Point::new(entry, 0));
    }

    /// The page was not journaled, or writing its entry failed, and the volume is read-only. Its block stays locked:
    /// the entry may be on media nevertheless, and the next load finds out.
    pub(super) fn page_unrecorded(&mut self, cx: &mut Context<'_, E>, ticket: u32) {
        debug_assert!(cx.is_read_only(), "an entry fails only when writing ends");
        self.forget_page(ticket);
        self.map.refused(ticket, RequestError::ReadOnly);
    }
}

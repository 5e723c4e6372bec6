// SPDX-License-Identifier: BSD-3-Clause

//! From the recovery journal to the block map: what happens when entries are committed, in their order.

use super::data_vio::Stage;
use super::{LogicalZone, RANGE_WAITER};
use crate::context::Context;
use crate::env::Env;
use crate::error::RequestError;
use crate::format::journal_record::Point;
use crate::journal::Waiter;

impl<E: Env> LogicalZone<E> {
    /// Takes all entries that are committed and, after a failure of the journal, those that never will be. Returns
    /// whether there were any.
    pub(super) fn take_committed(&mut self, cx: &mut Context<'_, E>) -> bool {
        let mut progress = false;
        while let Some((entry, waiter)) = cx.journal.pop_committed() {
            progress = true;
            match waiter {
                Waiter::Vio(index) => self.remapped(cx, index, entry),
                Waiter::Range(index) => self.range_committed(cx, index, entry),
                Waiter::Page(ticket) => self.page_committed(cx, ticket, entry),
                Waiter::PageGone { ticket, pbn } => {
                    self.map.released(ticket, entry);
                    cx.free_page(pbn, Point::new(entry, 0));
                }
            }
        }
        while let Some((_, waiter)) = cx.journal.pop_failed() {
            progress = true;
            match waiter {
                Waiter::Vio(index) => self.unrecorded(cx, index, RequestError::ReadOnly),
                Waiter::Range(index) => self.end_range(cx, index, Err(RequestError::ReadOnly)),
                Waiter::Page(ticket) => self.page_unrecorded(cx, ticket),
                Waiter::PageGone { ticket, .. } => self.map.release_refused(ticket),
            }
        }
        progress
    }

    /// A data_vio's entry is committed: the mapping changes, the new block gets a reference, the old block loses one.
    fn remapped(&mut self, cx: &mut Context<'_, E>, index: u32, entry: u64) {
        let vio = &mut self.vios[index];
        debug_assert_eq!(vio.stage, Stage::Journaling);
        let frame = vio.page.expect("a changed mapping has a leaf page");
        let old = self.map.set(frame, vio.lbn.slot(), vio.new, entry);
        assert_eq!(old, vio.old, "the mapping of {} changed under its lock", vio.lbn);
        let new = vio.new;
        if new.has_block() {
            vio.stage = Stage::Incrementing;
        }
        // Increment first, so that the points are in order for a slab that gets both.
        let incremented = new.has_block().then(|| cx.increment(index, new.pbn(), Point::new(entry, 0)));
        if old.has_block() {
            cx.decrement(old.pbn(), 1, old.is_compressed(), Point::new(entry, 1));
        }
        match incremented {
            None => self.finish(cx, index, Ok(())),
            Some(Some(result)) => self.incremented(cx, index, result),
            Some(None) => {}
        }
    }

    /// Journals what has waited for room, in order, while there is room. Returns whether there was progress.
    pub(super) fn use_journal_room(&mut self, cx: &mut Context<'_, E>) -> bool {
        let mut progress = !self.pages_to_record.is_empty();
        if !self.use_room_for_pages(cx) {
            return false;
        }
        while let Some(&waiter) = self.journal_waiters.front() {
            let done = if waiter & RANGE_WAITER == 0 {
                self.try_record(cx, waiter)
            } else {
                self.try_record_range(cx, waiter & !RANGE_WAITER)
            };
            if !done {
                break;
            }
            self.journal_waiters.pop_front();
            progress = true;
        }
        progress
    }
}

// SPDX-License-Identifier: BSD-3-Clause

//! A walk through all trees of the block map, parents before children.
//!
//! Leaf pages of one parent are read concurrently, all other pages one after the other. A changed page is written after
//! the pages below it have been visited, so that entries of dropped pages are cleared in the same write.

use std::cell::RefCell;

use futures::stream::{self, StreamExt, TryStreamExt};
use mpool::error::{PoolError, Result as PoolResult};

use crate::format::map_page::Salvage;
use crate::format::{Mapping, PageId, ROOTS};
use crate::units::Pbn;
use crate::volume::recovery::{AtRest, PageEntries, CONCURRENT_BLOCKS};

/// What the walk does with a visited page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::volume) enum Verdict {
    /// Leave it as it was.
    Keep,
    /// Write it: the visitor has changed its entries.
    Write,
    /// Do not visit the pages below, and clear the parent's entry: the block does not hold the page, or the page is
    /// unusable. Roots stay.
    Drop,
}

/// Inspects the pages of a walk.
pub(in crate::volume) trait Visitor {
    /// Whether pages may be changed; if not, the walk does not carry out [`Verdict::Write`] or clear entries.
    const CHANGES: bool;

    /// Called before a page is read, with the place that its parent names: false if the page cannot be there, and is to
    /// be dropped.
    fn link(&mut self, page: PageId, pbn: Pbn) -> bool;

    /// Called with a page as far as it could be read; unreadable entries are unmapped.
    fn page(&mut self, page: PageId, pbn: Pbn, read: Salvage, entries: &mut PageEntries) -> Verdict;

    /// Called for a page with no entry left after the visits of it and of all pages below it: true to clear its
    /// parent's entry.
    fn hole(&mut self, pbn: Pbn) -> bool;

    /// Called after each tree.
    fn tree_done(&mut self, tree: u64);
}

/// Shows all pages to a visitor.
///
/// # Errors
/// A write failed, or memory was short. Failed reads are passed to the visitor instead.
pub(in crate::volume) async fn walk<V: Visitor>(volume: &AtRest<'_>, visitor: &mut V) -> PoolResult<()> {
    let walk = Walk { volume, visitor: RefCell::new(visitor) };
    for tree in 0..ROOTS {
        walk.page(PageId::root(tree), Mapping::UNMAPPED).await?;
        walk.visitor.borrow_mut().tree_done(tree);
    }
    Ok(())
}

struct Walk<'a, V> {
    volume: &'a AtRest<'a>,
    visitor: RefCell<&'a mut V>,
}

impl<V: Visitor> Walk<'_, V> {
    /// Visits a page and all below it. False if its parent's entry is to be cleared.
    async fn page(&self, page: PageId, link: Mapping) -> PoolResult<bool> {
        let pbn = link.pbn();
        if !page.is_root() && !self.visitor.borrow_mut().link(page, pbn) {
            return Ok(false);
        }
        let (read, mut entries) = self.volume.salvage_page(page, link).await?;
        let verdict = self.visitor.borrow_mut().page(page, pbn, read, &mut entries);
        if verdict == Verdict::Drop && !page.is_root() {
            return Ok(false);
        }
        let forgotten = if verdict == Verdict::Drop { false } else { self.children(page, &mut entries).await? };
        let is_hole = !page.is_root() && entries.iter().all(|&raw| raw == Mapping::UNMAPPED.to_raw());
        if is_hole && self.visitor.borrow_mut().hole(pbn) {
            return Ok(false);
        }
        if V::CHANGES && (verdict != Verdict::Keep || forgotten) {
            self.volume.write_page(page, link, &entries).await?;
        }
        Ok(true)
    }

    /// Visits the pages below a page. True if any of their entries was cleared.
    async fn children(&self, page: PageId, entries: &mut PageEntries) -> PoolResult<bool> {
        if page.is_leaf() {
            return Ok(false);
        }
        let links: Vec<_> = entries
            .iter()
            .enumerate()
            .filter_map(|(slot, &raw)| {
                let link = Mapping::from_raw(raw);
                link.has_block().then_some((slot, page.child(slot)?, link))
            })
            .collect();
        // Only leaves run concurrently: a visit of an interior page holds what its children hold, and so on.
        let together = if page.level == 1 { CONCURRENT_BLOCKS } else { 1 };
        let visits = links.into_iter().map(|(slot, child, link)| async move {
            let stays = Box::pin(self.page(child, link)).await?;
            Ok::<_, PoolError>((slot, stays))
        });
        let dropped: Vec<usize> = stream::iter(visits)
            .buffered(together)
            .try_filter_map(|(slot, stays)| async move { Ok((!stays).then_some(slot)) })
            .try_collect()
            .await?;
        for &slot in &dropped {
            entries[slot] = Mapping::UNMAPPED.to_raw();
        }
        Ok(!dropped.is_empty())
    }
}

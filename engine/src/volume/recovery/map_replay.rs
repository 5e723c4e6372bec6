// SPDX-License-Identifier: BSD-3-Clause

//! Replays the journals into the block map.
//!
//! Goes level by level from the roots down, so that a page tells where the pages below it are before they are needed.
//! Pages are written in place, in any order: until the journals are erased, another replay makes the same pages,
//! whatever a power cut has left of them.

use std::collections::BTreeMap;

use futures::stream::{self, StreamExt, TryStreamExt};

use super::at_rest::{AtRest, PageEntries, CONCURRENT_BLOCKS};
use super::error::RecoveryError;
use super::map_changes::{MapChanges, PageWork};
use crate::format::map_page::ENTRIES;
use crate::format::{Mapping, PageId};

/// What to do about a page that is unreadable or does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::volume) enum OnDamage {
    /// Fail the recovery.
    Fail,
    /// Continue with what is readable, as a rebuild does.
    Salvage,
}

/// Applies changes to the block map. Returns the number of pages written; a later flush makes them durable.
///
/// # Errors
/// Pool; with [`OnDamage::Fail`] also Page, PageMissing, PagePlace.
pub(in crate::volume) async fn replay_map(
    volume: &AtRest<'_>,
    mut changes: MapChanges,
    on_damage: OnDamage,
) -> Result<u64, RecoveryError> {
    let levels = changes.plan();
    let replay = Replay { volume, changes: &changes, on_damage };
    let mut written = 0;
    let mut places = BTreeMap::new();
    for level in levels.into_iter().rev() {
        let mut found = BTreeMap::new();
        let pages = level.into_iter().map(|(page, work)| replay.page(page, work, &places));
        let mut done = stream::iter(pages).buffered(CONCURRENT_BLOCKS);
        while let Some(page) = done.try_next().await? {
            written += u64::from(page.written);
            found.extend(page.children);
        }
        drop(done);
        places = found;
    }
    Ok(written)
}

/// A replayed page.
struct Done {
    written: bool,
    /// The links of the pages below it.
    children: Vec<(PageId, Mapping)>,
}

struct Replay<'a> {
    volume: &'a AtRest<'a>,
    changes: &'a MapChanges,
    on_damage: OnDamage,
}

impl Replay<'_> {
    async fn page(
        &self,
        page: PageId,
        work: PageWork,
        places: &BTreeMap<PageId, Mapping>,
    ) -> Result<Done, RecoveryError> {
        let none = Done { written: false, children: Vec::new() };
        let link = if page.is_root() { Some(Mapping::UNMAPPED) } else { work.made.or(places.get(&page).copied()) };
        let Some(link) = link else {
            return self.damage(RecoveryError::PageMissing { page }).map(|()| none);
        };
        let mut entries = match (self.on_damage, work.made) {
            // The readable content of an allocated page is newer than its allocation, and later entries may be missing.
            (OnDamage::Salvage, _) => self.volume.salvage_page(page, link).await?.1,
            (OnDamage::Fail, Some(_)) => Box::new([Mapping::UNMAPPED.to_raw(); ENTRIES]),
            (OnDamage::Fail, None) => self.volume.read_page(page, link).await?,
        };
        self.changes.apply(&work, &mut entries);
        if work.is_changed() {
            self.volume.write_page(page, link, &entries).await?;
        }
        let mut children = Vec::with_capacity(work.children.len());
        for &(slot, child) in &work.children {
            match self.child(&entries, slot, child) {
                Ok(link) => children.push((child, link)),
                Err(error) => self.damage(error)?,
            }
        }
        Ok(Done { written: work.is_changed(), children })
    }

    /// The link of a page, from its parent's entries.
    fn child(&self, entries: &PageEntries, slot: usize, page: PageId) -> Result<Mapping, RecoveryError> {
        let link = Mapping::from_raw(entries[slot]);
        if link.is_unmapped() {
            return Err(RecoveryError::PageMissing { page });
        }
        let pbn = link.pbn();
        self.volume.geometry.slab_of(pbn).map(|_| link).ok_or(RecoveryError::PagePlace { page, pbn })
    }

    fn damage(&self, error: RecoveryError) -> Result<(), RecoveryError> {
        match self.on_damage {
            OnDamage::Fail => Err(error),
            OnDamage::Salvage => Ok(()),
        }
    }
}

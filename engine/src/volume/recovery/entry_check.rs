// SPDX-License-Identifier: BSD-3-Clause

//! Checks whether a journal entry can belong to this volume.

use super::error::EntryFault;
use super::RecoveryConfig;
use crate::format::journal_record::Entry;
use crate::format::{Geometry, PageId};
use crate::units::{Lbn, Pbn, ShardId};

/// Checks an entry that was found in the journal of `shard`.
///
/// # Errors
/// The first fault found.
pub(in crate::volume) fn check_entry(
    config: &RecoveryConfig,
    shard: ShardId,
    entry: &Entry<'_>,
) -> Result<(), EntryFault> {
    let geometry = &config.geometry;
    match *entry {
        Entry::Remap { lbn, old, new } => {
            let page = check_lbns(geometry, lbn, 1)?;
            for pbn in [old, new.pbn()].into_iter().filter(|&pbn| pbn != Pbn::ZERO) {
                check_blocks(geometry, pbn, 1)?;
            }
            check_shard(config, shard, page)
        }
        Entry::Range { first, count, runs, .. } => {
            let page = check_lbns(geometry, first, u64::from(count))?;
            for run in runs {
                check_blocks(geometry, run.first, run.count)?;
            }
            check_shard(config, shard, page)
        }
        Entry::Page { page, pbn, .. } | Entry::PageGone { page, pbn } => {
            check_blocks(geometry, pbn, 1)?;
            check_shard(config, shard, page)
        }
    }
}

fn check_lbns(geometry: &Geometry, first: Lbn, count: u64) -> Result<PageId, EntryFault> {
    geometry.contains(first, count).then_some(PageId::leaf_of(first)).ok_or(EntryFault::Lbn(first))
}

fn check_blocks(geometry: &Geometry, first: Pbn, count: u32) -> Result<(), EntryFault> {
    let last = first.0.checked_add(u64::from(count).saturating_sub(1)).map(Pbn);
    let slabs = (geometry.slab_of(first), last.and_then(|last| geometry.slab_of(last)));
    match slabs {
        (Some(first), Some(last)) if first == last => Ok(()),
        _ => Err(EntryFault::Blocks { first, count }),
    }
}

fn check_shard(config: &RecoveryConfig, shard: ShardId, page: PageId) -> Result<(), EntryFault> {
    let right = page.tree() % u64::from(config.shards) == u64::from(shard.0);
    right.then_some(()).ok_or(EntryFault::Shard(page))
}

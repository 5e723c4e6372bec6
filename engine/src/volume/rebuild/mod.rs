// SPDX-License-Identifier: BSD-3-Clause

//! Rebuild of a damaged volume: makes a consistent volume of everything that can be read.
//!
//! 1. Every readable record of the load generation is used, also past holes; entries that cannot belong to this volume
//!    are dropped. Their mappings go into the block map.
//! 2. A walk through the block map assigns the pages their blocks. Lost sectors lose their entries. A page that is
//!    entirely lost, or whose block is not a data block or is another page's, is dropped from its parent.
//! 3. A second walk counts references. A mapping beyond the logical size, to no data block, to a page of the block map
//!    or to a block that has 254 references already is unmapped. A page that maps nothing any more is dropped from its
//!    parent.
//! 4. The counts of all slabs are written, slab journals are zeroed, and new summaries are written.
//!
//! The result is consistent; data may be lost, and the report says how much. A rebuild that is interrupted and started
//! again ends consistent as well: the counts always derive from the block map. So one flush at the end suffices; then
//! the caller records the next load generation and erases the journals.
//!
//! Differs from dm-vdo: an unreadable page is empty and loses its block; in dm-vdo it keeps the block.

mod repair;
mod slabs;
#[cfg(test)]
mod tests;

use crate::format::slab_summary::SlabSummary;
use crate::format::ROOTS;
use crate::volume::access::VolumeMedia;
use crate::volume::check::{walk, Progress, Tally};
use crate::volume::recovery::{
    check_entry, read_journals, replay_map, MapChanges, OnDamage, RecoveryConfig, RecoveryError, Unusable,
};
use repair::{Claim, Count};

/// What a rebuild could not keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lost {
    /// Journal segments that could not be read.
    pub segments: u64,
    /// Journal records that were damaged.
    pub records: u64,
    /// Journal entries that cannot belong to this volume.
    pub entries: u64,
    /// Gaps in the journals: places where entries between others are missing.
    pub holes: u64,
    /// Pages of the block map, with everything below them.
    pub pages: u64,
    /// Sectors of other pages, with 63 entries each.
    pub sectors: u64,
    /// Single mappings that were damaged or impossible.
    pub mappings: u64,
}

/// The result of a rebuild.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RebuildReport {
    /// Journal entries that were applied to the block map.
    pub entries_used: u64,
    /// What could not be kept.
    pub lost: Lost,
    /// Logical blocks that are mapped.
    pub logical_blocks_used: u64,
    /// Pages of the block map, without the roots.
    pub map_pages: u64,
    /// Blocks that are referenced, including pages of the block map.
    pub blocks_used: u64,
    /// The summaries of all slabs, as they are on media now.
    pub summaries: Vec<SlabSummary>,
}

/// Rebuilds a volume, and reports progress. `config` is as for recovery.
///
/// # Errors
/// Pool: a write failed. A failed read only loses what was to be read.
pub async fn rebuild(
    media: &dyn VolumeMedia,
    config: &RecoveryConfig,
    progress: &mut dyn FnMut(Progress),
) -> Result<RebuildReport, RecoveryError> {
    let volume = config.at_rest(media);
    let total = 2 * ROOTS + config.geometry.slabs();
    let mut report = RebuildReport::default();

    // As in recovery: the blocks that are read may be in volatile caches only.
    media.flush().await?;
    let changes = journaled(media, config, &mut report).await?;
    replay_map(&volume, changes, OnDamage::Salvage).await?;

    let mut tally = Tally::new(config.geometry);
    let mut step = |done| progress(Progress { done, total });
    let mut claim = Claim { tally: &mut tally, lost: &mut report.lost, map_pages: 0, progress: &mut step };
    walk(&volume, &mut claim).await?;
    let map_pages = claim.map_pages;

    let mut step = |done| progress(Progress { done: ROOTS + done, total });
    let mut count = Count {
        geometry: config.geometry,
        tally: &mut tally,
        lost: &mut report.lost,
        logical_blocks_used: 0,
        map_pages,
        progress: &mut step,
    };
    walk(&volume, &mut count).await?;
    (report.logical_blocks_used, report.map_pages) = (count.logical_blocks_used, count.map_pages);

    report.blocks_used = tally.used();
    let mut step = |done| progress(Progress { done: 2 * ROOTS + done, total });
    report.summaries = slabs::write_slabs(&volume, &tally, &mut step).await?;
    Ok(report)
}

/// The changes of the block map in the journals, as far as they can be read.
async fn journaled(
    media: &dyn VolumeMedia,
    config: &RecoveryConfig,
    report: &mut RebuildReport,
) -> Result<MapChanges, RecoveryError> {
    let mut unusable = Unusable::default();
    let journals = read_journals(media, config, Some(&mut unusable)).await?;
    report.lost.segments = u64::from(unusable.segments);
    report.lost.records = unusable.records;
    let mut changes = MapChanges::default();
    for journal in &journals {
        let map_head = journal.map_head();
        let mut expected = None;
        for record in &journal.records {
            report.lost.holes += u64::from(expected.is_some_and(|expected| expected != record.header.first));
            expected = Some(record.header.end());
            let Ok(entries) = record.entries() else {
                report.lost.records += 1;
                continue;
            };
            for (number, entry) in (record.header.first..).zip(entries) {
                let entry = entry.as_entry();
                if check_entry(config, journal.shard, &entry).is_err() {
                    report.lost.entries += 1;
                } else if number >= map_head {
                    report.entries_used += 1;
                    changes.add(&entry);
                }
            }
        }
    }
    Ok(changes)
}

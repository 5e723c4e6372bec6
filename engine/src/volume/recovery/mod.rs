// SPDX-License-Identifier: BSD-3-Clause

//! Recovery of a volume that was not stopped cleanly: replays the journals into block map and slab journals.
//!
//! 1. Read and check the summaries of all slabs and all records of the load generation.
//! 2. Block map: apply allocations of pages and the last mapping of each block, from the entry on that the oldest dirty
//!    page needed; write the pages; flush.
//! 3. Slabs: write the net change of each block over all journals, as far as the slab does not contain it, as new
//!    blocks of its journal; flush; write summaries that cover them; flush.
//!
//! Then the caller records the next load generation, which voids the journals, and erases their segments. Counts are
//! not read: the scrubber loads them later, while the volume is online.
//!
//! Invariant: a recovery that is interrupted anywhere and started again ends with the same mappings and the same
//! counts. The same entries make the same pages again; one sector, its summary, makes a slab contain its changes.
//!
//! Differs from dm-vdo: there was a journal for each shard, so changes are summed up instead of ordered; the load
//! generation takes the place of the recovery count. A journal that ends before what a slab contains is damage, where
//! dm-vdo only looks at the heads.

mod at_rest;
#[cfg(test)]
mod damage_tests;
mod entry_check;
mod error;
mod journals;
mod map_changes;
mod map_replay;
mod slab_changes;
mod slab_replay;
#[cfg(test)]
pub(in crate::volume) mod testing;
#[cfg(test)]
mod tests;

use crate::format::slab_summary::SlabSummary;
use crate::format::Geometry;
use crate::journal::Counters;
use crate::volume::access::VolumeMedia;

pub use at_rest::AtRest;
pub use error::{EntryFault, RecoveryError};

pub(in crate::volume) use at_rest::{PageEntries, CONCURRENT_BLOCKS, CONCURRENT_SLABS, TRANSFER_BLOCKS};
pub(in crate::volume) use entry_check::check_entry;
pub(in crate::volume) use journals::{read_journals, Unusable};
pub(in crate::volume) use map_changes::MapChanges;
pub(in crate::volume) use map_replay::{replay_map, OnDamage};

use slab_changes::SlabChanges;

/// The volume to recover, and the generation from its STATE record.
#[derive(Debug, Clone, Copy)]
pub struct RecoveryConfig {
    /// The layout. Its number of shards does not matter.
    pub geometry: Geometry,
    /// The nonce, which binds sectors to the volume.
    pub nonce: u64,
    /// The load generation whose journals count.
    pub generation: u64,
    /// The number of shards in that generation.
    pub shards: u16,
}

impl RecoveryConfig {
    /// The volume on `media`, at rest.
    pub(in crate::volume) fn at_rest<'a>(&self, media: &'a dyn VolumeMedia) -> AtRest<'a> {
        AtRest { media, geometry: self.geometry, nonce: self.nonce }
    }
}

/// Statistics of a replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReplayStatistics {
    /// Records of the generation that were used.
    pub records: u64,
    /// Records dropped because entries before them were never acknowledged.
    pub unacknowledged_records: u64,
    /// Entries in the used records.
    pub entries: u64,
    /// Pages of the block map that were written.
    pub pages_written: u64,
    /// Changes that the slabs contained already.
    pub changes_contained: u64,
    /// Changes that were replayed into slabs.
    pub changes_replayed: u64,
    /// Slabs whose journals got new blocks.
    pub slabs_changed: u64,
    /// Slab journal blocks that were written.
    pub slab_journal_blocks: u64,
    /// Slab journal entries in those blocks.
    pub slab_journal_entries: u64,
    /// Slabs whose journals had no room, and were emptied into the counts.
    pub slabs_scrubbed: u64,
}

/// The result of a recovery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovered {
    /// The summaries of all slabs, as they are on media now.
    pub summaries: Vec<SlabSummary>,
    /// For each shard of the generation the counters in its journal's last record; none for a journal without records,
    /// whose shard has changed nothing since it was loaded.
    pub counters: Vec<Option<Counters>>,
    /// What the replay did.
    pub statistics: ReplayStatistics,
}

impl Recovered {
    /// The usage of the volume, when it was `at_load` at its last load: shard 0 began with all of that, the others with
    /// nothing. A shard whose journal has no records still has what it began with.
    #[must_use]
    pub fn used(&self, at_load: Counters) -> Counters {
        let began_with = (0..).map(|shard| if shard == 0 { at_load } else { Counters::default() });
        let counted = self.counters.iter().zip(began_with).map(|(found, began_with)| found.unwrap_or(began_with));
        counted.reduce(Counters::plus).unwrap_or(at_load)
    }
}

/// Recovers a volume, so that it can be loaded.
///
/// # Errors
/// See [`RecoveryError`]: after `Pool` the recovery may be retried; after any other error the volume needs a rebuild.
pub async fn recover(media: &dyn VolumeMedia, config: &RecoveryConfig) -> Result<Recovered, RecoveryError> {
    let volume = config.at_rest(media);
    // After a kill without a power cut, the blocks that are read here may be in volatile caches only. No result of them
    // may become durable before they are.
    media.flush().await?;
    let mut summaries = volume.read_summaries().await?;
    let (journals, unacknowledged) = journals::read_committed(media, config).await?;

    let mut statistics =
        ReplayStatistics { unacknowledged_records: unacknowledged as u64, ..ReplayStatistics::default() };
    let mut map_changes = MapChanges::default();
    let mut slab_changes = SlabChanges::new(&config.geometry, &summaries, config.generation);
    slab_changes.check_reach(journals.iter().filter_map(|journal| Some((journal.shard, journal.end()?))))?;
    for journal in &journals {
        let (shard, map_head) = (journal.shard, journal.map_head());
        for record in &journal.records {
            statistics.records += 1;
            for (number, entry) in (record.header.first..).zip(record.entries()?) {
                let entry = entry.as_entry();
                check_entry(config, shard, &entry).map_err(|fault| RecoveryError::Entry {
                    shard,
                    entry: number,
                    fault,
                })?;
                statistics.entries += 1;
                if number >= map_head {
                    map_changes.add(&entry);
                }
                for change in entry.changes(number) {
                    slab_changes.add(shard, &change);
                }
            }
        }
    }
    (statistics.changes_contained, statistics.changes_replayed) = slab_changes.counted();
    let slab_entries = slab_changes.into_entries()?;

    statistics.pages_written = replay_map(&volume, map_changes, OnDamage::Fail).await?;
    media.flush().await?;
    let slabs = slab_replay::replay_slabs(&volume, config.generation, &slab_entries, &mut summaries).await?;
    statistics.slabs_changed = slabs.slabs;
    statistics.slab_journal_blocks = slabs.blocks;
    statistics.slab_journal_entries = slabs.entries;
    statistics.slabs_scrubbed = slabs.scrubbed;

    let counters = journals.iter().map(|journal| {
        let header = journal.records.last()?.header;
        Some(Counters { logical_blocks_used: header.logical_blocks_used, map_pages: header.map_pages })
    });
    Ok(Recovered { summaries, counters: counters.collect(), statistics })
}

/// Reads the summaries of all slabs, for the load of a volume that was stopped cleanly.
///
/// # Errors
/// Pool, Summary.
pub async fn load_summaries(
    media: &dyn VolumeMedia,
    geometry: Geometry,
    nonce: u64,
) -> Result<Vec<SlabSummary>, RecoveryError> {
    AtRest { media, geometry, nonce }.read_summaries().await
}

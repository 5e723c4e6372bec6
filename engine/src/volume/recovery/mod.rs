// SPDX-License-Identifier: BSD-3-Clause

//! Recovery of a volume that was not stopped cleanly: journals into block map and slab journals.
//!
//! 1. Summaries of all slabs and all records of the load generation are read and judged.
//! 2. Block map: allocations of pages and the last mapping of each block, from the entry that the oldest dirty page
//!    needed; pages written, flush.
//! 3. Slabs: the net change of each block over all journals, as far as the slab does not contain it, as new blocks of its
//!    journal; flush; summaries that say so; flush.
//!
//! Then the caller records the next load generation, which voids the journals, and erases their segments. Counts are not
//! looked at: the scrubber makes them later, while the volume is online.
//!
//! Invariant: interrupted anywhere and begun again, recovery ends with the same mappings and the same counts. Pages are
//! made by the same entries again; a slab takes its changes in one sector, and then says so.
//!
//! Differs from dm-vdo: a journal for each shard of that time, so changes are summed up instead of ordered; the load
//! generation is what the recovery count is there. A journal that ends before what a slab contains is damage, where
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

/// Which volume is recovered, and what its record of state says.
#[derive(Debug, Clone, Copy)]
pub struct RecoveryConfig {
    /// The layout. Its number of shards does not matter.
    pub geometry: Geometry,
    /// The volume's nonce.
    pub nonce: u64,
    /// The load generation whose journals count.
    pub generation: u64,
    /// Shards that the volume had in it.
    pub shards: u16,
}

impl RecoveryConfig {
    /// The volume as it lies on `media`.
    pub(in crate::volume) fn at_rest<'a>(&self, media: &'a dyn VolumeMedia) -> AtRest<'a> {
        AtRest { media, geometry: self.geometry, nonce: self.nonce }
    }
}

/// What was replayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReplayStatistics {
    /// Records of the generation.
    pub records: u64,
    /// Records left out because entries before them were never acknowledged.
    pub unacknowledged_records: u64,
    /// Entries of the records.
    pub entries: u64,
    /// Pages of the block map written.
    pub pages_written: u64,
    /// Changes of slabs that the slabs contained already.
    pub changes_contained: u64,
    /// Changes of slabs that were replayed.
    pub changes_replayed: u64,
    /// Slabs among whose journal blocks were added.
    pub slabs_changed: u64,
    /// Slab journal blocks written.
    pub slab_journal_blocks: u64,
    /// Slab journal entries in them.
    pub slab_journal_entries: u64,
    /// Slabs scrubbed because their journals had no room.
    pub slabs_scrubbed: u64,
}

/// A recovered volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovered {
    /// The summaries of all slabs, as they are on media now.
    pub summaries: Vec<SlabSummary>,
    /// For each shard of the generation what its journal's last record says; none for a journal without records, whose
    /// shard has changed nothing since it was loaded.
    pub counters: Vec<Option<Counters>>,
    /// What was replayed.
    pub statistics: ReplayStatistics,
}

impl Recovered {
    /// What the volume uses, when it used `at_load` at its last load: shard 0 began with all of that, the others with
    /// nothing. A journal without records says nothing, so its shard still uses what it began with.
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
/// One of [`RecoveryError`]: after `Pool` it may be tried again; after any other the volume needs a rebuild.
pub async fn recover(media: &dyn VolumeMedia, config: &RecoveryConfig) -> Result<Recovered, RecoveryError> {
    let volume = config.at_rest(media);
    // After a kill without a power cut, what is read here may be in volatile caches only. Nothing that follows from it
    // may become durable before it.
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

/// The summaries of all slabs, for the load of a volume that was stopped cleanly.
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

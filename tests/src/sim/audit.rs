// SPDX-License-Identifier: BSD-3-Clause

//! What must hold when a volume is at rest: nothing in flight, nothing leaked, every count right, every block right.

use async_trait::async_trait;
use engine::fingerprint::Fingerprinter;
use engine::format::{Geometry, Mapping};
use engine::request::Operation;
use engine::units::MAX_REFERENCES;
use engine::volume::access::VolumeMedia;
use engine::{Lbn, Pbn, Place, BLOCK_SIZE};
use futures::future::FutureExt;
use mpool::PoolError;

use super::base::Base;
use super::cluster::Cluster;
use super::content::{decode_block, value_of, SECTORS};
use super::disk::Disk;
use super::inspect::{inspect, Inspection, Trouble};
use super::load::NONCE;
use super::model::{Kind, Model};

/// What an audit found out besides that all is well.
#[derive(Debug, Clone, Copy, Default)]
pub struct Findings {
    /// Logical blocks with a mapping.
    pub mapped: u64,
    /// Physical blocks that hold data.
    pub used: u64,
    /// Pages of the block map.
    pub pages: u64,
}

/// Audits a volume in memory that is at rest and was saved.
///
/// # Errors
/// The first thing that is not as it must be.
pub fn audit(cluster: &Cluster) -> Result<Findings, String> {
    check_nothing_in_flight(cluster)?;
    let disk = &cluster.world.disk;
    let media = DiskMedia(disk);
    let found = inspect(&media, &cluster.world.geometry, NONCE).now_or_never().expect("memory does not wait");
    let found = found.map_err(|(Trouble::Unread(what) | Trouble::Wrong(what))| what)?;
    check_mappings(&cluster.world.model, &found, &cluster.world.geometry)?;
    for (lbn, mapping) in &found.mappings {
        check_content(disk, &cluster.world.model, *lbn, *mapping)?;
    }
    check_counts(cluster, &found)
}

/// Compares the counts of shards that were saved with what is on the media.
///
/// # Errors
/// The first difference.
pub fn check_counts<D: Base>(cluster: &Cluster<D>, found: &Inspection) -> Result<Findings, String> {
    let findings =
        Findings { mapped: found.mappings.len() as u64, used: found.data_blocks, pages: found.pages.len() as u64 };
    let geometry = &cluster.world.geometry;
    let mut expected = vec![0; geometry.data_blocks().0 as usize];
    let first = geometry.slab_start(0).0;
    for mapping in found.mappings.values().filter(|mapping| mapping.has_block()) {
        expected[(mapping.pbn().0 - first) as usize] += 1;
    }
    for pbn in found.pages.keys() {
        expected[(pbn.0 - first) as usize] = u32::from(MAX_REFERENCES);
    }
    for (pbn, expected) in (first..).map(Pbn).zip(expected) {
        let counted = cluster.references(pbn);
        if counted.map(u32::from) != Some(expected) {
            return Err(format!("{pbn} has {expected} references, but is counted to have {counted:?}"));
        }
    }
    let statistics = cluster.statistics();
    let said = (statistics.logical_blocks_used, statistics.data_blocks_used, statistics.block_map_pages);
    if said != (findings.mapped, findings.used + findings.pages, findings.pages) {
        let (logical, data, pages) = said;
        return Err(format!(
            "statistics say {logical} logical and {data} physical blocks are used, {pages} of them by pages, \
             but it is {findings:?}"
        ));
    }
    for id in cluster.ids() {
        cluster.shard(id).audit().map_err(|what| format!("{id:?} at rest: {what}"))?;
    }
    Ok(findings)
}

/// The media of a volume in memory, to be looked at.
struct DiskMedia<'a>(&'a Disk);

#[async_trait(?Send)]
impl VolumeMedia for DiskMedia<'_> {
    async fn read(&self, place: Place, blocks: u32) -> Result<Vec<u8>, PoolError> {
        Ok(self.0.peek(place, blocks as usize * BLOCK_SIZE))
    }

    async fn write(&self, place: Place, _bytes: &[u8]) -> Result<(), PoolError> {
        Err(PoolError::invalid(format!("{place:?}"), "an audit changes nothing"))
    }

    async fn flush(&self) -> Result<(), PoolError> {
        Ok(())
    }

    fn segments(&self) -> u32 {
        self.0.placement().segments.len() as u32
    }

    async fn segment_records(&self, segment: u32) -> Result<Vec<Vec<u8>>, PoolError> {
        Err(PoolError::invalid(format!("segment {segment}"), "after a save journals do not count"))
    }
}

/// Checks that no request has left anything behind.
///
/// # Errors
/// What is still there.
pub fn check_nothing_in_flight<D: Base>(cluster: &Cluster<D>) -> Result<(), String> {
    for id in cluster.ids() {
        if !cluster.shard(id).is_idle() {
            return Err(format!("{id:?} is not idle at rest"));
        }
        let statistics = cluster.statistics_of(id);
        let gauges = [
            ("vios in progress", statistics.current_vios_in_progress),
            ("hash locks", statistics.hash_locks),
            ("PBN locks", statistics.pbn_locks),
            ("queries", statistics.curr_dedupe_queries),
            ("unanswered pieces", statistics.pieces_in - statistics.pieces_done),
            ("transfers", statistics.bios_submitted - statistics.bios_completed),
        ];
        if let Some((name, value)) = gauges.into_iter().find(|(_, value)| *value != 0) {
            return Err(format!("{id:?} has {value} {name} at rest"));
        }
    }
    Ok(())
}

/// Compares which blocks are mapped with the model.
///
/// # Errors
/// The first block that is mapped, or not, for no reason.
pub fn check_mappings(model: &Model, found: &Inspection, geometry: &Geometry) -> Result<(), String> {
    for lbn in (0..geometry.logical_blocks().0).map(Lbn) {
        let mapping = found.mappings.get(&lbn).copied().unwrap_or(Mapping::UNMAPPED);
        if let Some(kind) = model.whole_content_kind(lbn) {
            let unmapped = kind != Kind::By(Operation::Write);
            if unmapped && !mapping.is_unmapped() {
                return Err(format!("{lbn} has {mapping:?}, but it should be unmapped"));
            }
        }
        if mapping.is_unmapped() {
            model.check_at_rest(lbn, &[Some(0); SECTORS])?;
        }
    }
    Ok(())
}

/// Compares what is stored for a block with its check code and with the model.
fn check_content(disk: &Disk, model: &Model, lbn: Lbn, mapping: Mapping) -> Result<(), String> {
    if !mapping.has_block() {
        return Ok(());
    }
    let pbn = mapping.pbn();
    if disk.is_wrong(pbn) || disk.has_misled(pbn) {
        return Ok(());
    }
    let Some(block) = disk.content(mapping) else {
        return Err(format!("{lbn} is stored in {mapping:?}, which was never written, or has no such fragment"));
    };
    let check = Fingerprinter::check_code(&block);
    if check != mapping.check() {
        return Err(format!("{lbn} has {mapping:?}, but the check code of what is stored there is {check:06x}"));
    }
    let seen = decode_block(&block);
    if seen == [Some(0); SECTORS] {
        return Err(format!("{lbn} is stored in {pbn}, but it is a block of zeros"));
    }
    model.check_at_rest(lbn, &seen)
}

/// Checks that no value is stored more often than it has to be, given how often each was `written`: one block takes 254
/// references before another is needed. `spare` blocks more are allowed.
///
/// # Errors
/// The first value that is.
pub fn check_efficiency(
    cluster: &Cluster,
    written: &std::collections::BTreeMap<u64, u64>,
    spare: u64,
) -> Result<(), String> {
    let mut stored = std::collections::BTreeMap::<u64, u64>::new();
    let geometry = &cluster.world.geometry;
    let end = geometry.slab_start(geometry.slabs());
    for pbn in (geometry.slab_start(0).0..end.0).map(Pbn) {
        if cluster.references(pbn).is_some_and(|count| count > 0) {
            if let Some(token) = cluster.world.disk.decode(pbn)[0] {
                *stored.entry(value_of(token)).or_default() += 1;
            }
        }
    }
    for (value, copies) in stored {
        let writes = written.get(&value).copied().unwrap_or(0);
        if copies > writes.div_ceil(u64::from(MAX_REFERENCES)) + spare {
            return Err(format!("value {value} was written {writes} times, and takes {copies} blocks"));
        }
    }
    Ok(())
}

// SPDX-License-Identifier: BSD-3-Clause

//! What must hold when a volume is at rest: nothing in flight, nothing leaked, every count right, every block right.

use engine::hash::Fingerprinter;
use engine::io::Operation;
use engine::logical::{Mapping, MappingState};
use engine::units::MAX_REFERENCES;
use engine::{Lbn, Pbn};

use super::cluster::Cluster;
use super::content::SECTORS;
use super::model::Kind;

/// What an audit found out besides that all is well.
#[derive(Debug, Clone, Copy, Default)]
pub struct Findings {
    /// Logical blocks with a mapping.
    pub mapped: u64,
    /// Physical blocks that hold data.
    pub used: u64,
}

/// Audits a volume at rest.
///
/// # Errors
/// The first thing that is not as it must be.
pub fn audit(cluster: &Cluster) -> Result<Findings, String> {
    check_nothing_in_flight(cluster)?;
    let counts = check_mappings(cluster)?;
    let findings = check_references(cluster, &counts)?;
    let statistics = cluster.statistics();
    if (statistics.logical_blocks_used, statistics.data_blocks_used) != (findings.mapped, findings.used) {
        let (logical, data) = (statistics.logical_blocks_used, statistics.data_blocks_used);
        return Err(format!(
            "statistics say {logical} logical and {data} data blocks are used, but it is {findings:?}"
        ));
    }
    for id in cluster.ids() {
        cluster.shard(id).audit().map_err(|what| format!("{id:?} at rest: {what}"))?;
    }
    Ok(findings)
}

fn check_nothing_in_flight(cluster: &Cluster) -> Result<(), String> {
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

/// Compares every block with the model. Returns how many mappings refer to each data block.
fn check_mappings(cluster: &Cluster) -> Result<References, String> {
    let world = &cluster.world;
    let geometry = &world.geometry;
    let mut references = References { first: geometry.slab_start(0), counts: Vec::new(), mapped: 0 };
    references.counts.resize(geometry.data_blocks().0 as usize, 0);
    let mut mappings = vec![Mapping::UNMAPPED; geometry.logical_blocks().0 as usize];
    let mut wrong = None;
    for id in cluster.ids() {
        cluster.shard(id).for_each_mapping(|lbn, mapping| {
            let known = geometry.contains(lbn, 1) && geometry.logical_shard(lbn) == id;
            match mappings.get_mut(lbn.0 as usize).filter(|place| known && place.is_unmapped()) {
                Some(place) => *place = mapping,
                None => wrong = Some(format!("{id:?} maps {lbn}, which is not its own, or twice")),
            }
        });
    }
    for (lbn, mapping) in (0u64..).map(Lbn).zip(mappings) {
        references.mapped += u64::from(!mapping.is_unmapped());
        check_mapping(cluster, lbn, mapping)?;
        if mapping.has_block() {
            references.count(mapping.pbn())?;
        }
    }
    wrong.map_or(Ok(references), Err)
}

fn check_mapping(cluster: &Cluster, lbn: Lbn, mapping: Mapping) -> Result<(), String> {
    let world = &cluster.world;
    let unmapped = match world.model.whole_content_kind(lbn) {
        None => mapping.is_unmapped(),
        Some(kind) => kind == Kind::Initial || kind == Kind::By(Operation::Unmap),
    };
    if mapping.is_unmapped() != unmapped {
        return Err(format!("{lbn} has {mapping:?}, but it should be unmapped: {unmapped}"));
    }
    if !mapping.has_block() {
        return world.model.check_at_rest(lbn, &[Some(0); SECTORS]);
    }
    let pbn = mapping.pbn();
    if mapping.state() != MappingState::Uncompressed {
        return Err(format!("{lbn} has {mapping:?}, but nothing is compressed yet"));
    }
    let Some(bytes) = world.disk.bytes(pbn) else {
        return Err(format!("{lbn} is stored in {pbn}, which was never written"));
    };
    if world.disk.is_rotten(pbn) {
        return Ok(());
    }
    let check = Fingerprinter::check_code(bytes);
    if check != mapping.check() {
        return Err(format!("{lbn} has {mapping:?}, but the check code of what is stored there is {check:06x}"));
    }
    let seen = world.disk.decode(pbn);
    if seen == [Some(0); SECTORS] {
        return Err(format!("{lbn} is stored in {pbn}, but it is a block of zeros"));
    }
    world.model.check_at_rest(lbn, &seen)
}

struct References {
    first: Pbn,
    counts: Vec<u32>,
    mapped: u64,
}

impl References {
    fn count(&mut self, pbn: Pbn) -> Result<(), String> {
        let index = pbn.0.checked_sub(self.first.0).map(|index| index as usize);
        match index.and_then(|index| self.counts.get_mut(index)) {
            Some(count) => *count += 1,
            None => return Err(format!("a mapping refers to {pbn}, which is not a data block")),
        }
        Ok(())
    }
}

fn check_references(cluster: &Cluster, references: &References) -> Result<Findings, String> {
    let mut findings = Findings { mapped: references.mapped, used: 0 };
    for (pbn, expected) in (references.first.0..).map(Pbn).zip(&references.counts) {
        let counted = cluster.references(pbn);
        if *expected > u32::from(MAX_REFERENCES) || counted.map(u32::from) != Some(*expected) {
            return Err(format!("{pbn} has {expected} references, but is counted to have {counted:?}"));
        }
        findings.used += u64::from(*expected > 0);
    }
    Ok(findings)
}

/// How many blocks hold each value, for blocks that hold one value throughout.
///
/// # Errors
/// When a value is stored more often than it has to be, given how often each was `written`: one block takes 254
/// references before another is needed. `spare` blocks more are allowed.
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
                *stored.entry(token >> 3).or_default() += 1;
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

// SPDX-License-Identifier: BSD-3-Clause

//! A volume: its inventory, and whether the objects in the inventory exist.

use engine::units::BLOCK_SIZE;
use engine::volume::catalog::VolumeEntry;
use engine::volume::inventory::{Contents, InventoryRecord, VolumeConfig, VolumeState};
use mpool::{MediaClass, ObjectId, ObjectType};
use serde::Serialize;
use serde_json::{json, Value};
use uuid::Uuid;

use crate::findings::Findings;
use crate::objects::{LogError, Objects};
use crate::pair::PairReport;
use crate::shown;
use crate::volume_records::state_name;
use crate::volumes::{self, MAX_RECORD_BYTES};

/// The report on a volume.
#[derive(Debug, Serialize)]
pub struct VolumeReport {
    /// Its name.
    pub name: String,
    /// Its identity.
    pub uuid: Uuid,
    /// Ids of the logs of its MDC.
    pub logs: [String; 2],
    /// The logs; none if one is missing: creation or deletion was interrupted.
    pub mdc: Option<PairReport>,
    /// Whether the creation has ended and no deletion has begun.
    pub whole: bool,
    /// The volume's configuration.
    pub config: Option<Value>,
    /// The volume's recorded state.
    pub state: Option<Value>,
    /// The slab objects that count.
    pub slabs: Vec<String>,
    /// The objects with the slabs' areas.
    pub areas: Vec<String>,
    /// Object with the roots of the block map.
    pub roots: Option<String>,
    /// Logs of the journal segments that count.
    pub segments: Vec<String>,
    /// Mblocks of the closed chapters of the index's history, oldest first.
    pub chapters: Vec<String>,
    /// Log of the open chapter.
    pub history_log: Option<String>,
    /// Objects that exist and do not count: a step was interrupted, or is in progress.
    pub uncounted: Vec<String>,
}

/// A volume's configuration, without its secret.
fn config_tree(config: &VolumeConfig) -> Value {
    json!({
        "nonce": format!("{:#018x}", config.nonce),
        "slab_blocks": config.slab_blocks,
        "slab_zones": config.slab_zones,
        "logical_blocks": config.logical_blocks.0,
        "areas_per_object": config.areas_per_object,
        "block_size": config.block_size,
        "index_mib": config.index_mib,
        "map_cache_mib": config.map_cache_mib,
        "journal_mib": config.journal_mib,
        "history_mib": config.history_mib,
        "compression": config.compression,
        "deduplication": config.deduplication,
        "reserve_percent": config.reserve_percent,
        "metadata_class": config.metadata_class.to_string(),
        "core_mask": config.core_mask,
    })
}

/// A volume's state when it was written.
fn state_tree(state: &VolumeState) -> Value {
    json!({
        "state": state_name(state.kind),
        "generation": state.generation,
        "shards": state.shards,
        "logical_blocks_used": state.logical_blocks_used,
        "map_pages": state.map_pages,
        "complete_recoveries": state.complete_recoveries,
        "read_only_recoveries": state.read_only_recoveries,
        "reason": state.reason,
        "counters": state.counters,
    })
}

/// Reads a volume's MDC.
pub(crate) fn look(entry: &VolumeEntry, objects: &mut Objects<'_>, findings: &mut Findings) -> VolumeReport {
    let subject = format!("volume '{}'", shown::text(&entry.name));
    let (mdc, contents) = match read(&subject, entry, objects, findings) {
        Ok((mdc, contents)) => (Some(mdc), contents),
        Err(error) => {
            if let LogError::Missing(_) = error {
                findings.note(&subject, format!("{error}: the volume's creation or deletion was cut short"));
            } else {
                findings.error(&subject, error.to_string());
            }
            (None, Contents::default())
        }
    };
    if mdc.is_some() && !contents.is_whole() {
        findings.note(&subject, "its creation or deletion was cut short; deleting it does the rest");
    }
    for id in &contents.segments {
        objects.note_segment(*id);
    }
    check(&subject, &contents, objects, findings);
    let counts = contents.counts.unwrap_or_default();
    let first = |ids: &[ObjectId], count: u64| -> Vec<String> {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        ids.iter().take(count).map(|id| shown::id(*id)).collect()
    };
    let strays = contents.strays().into_iter().filter(|id| objects.get(*id).is_some());
    VolumeReport {
        name: entry.name.clone(),
        uuid: entry.uuid,
        logs: entry.logs.map(shown::id),
        mdc,
        whole: contents.is_whole(),
        config: contents.config.as_ref().map(config_tree),
        state: contents.state.as_ref().map(state_tree),
        slabs: first(&contents.slabs, counts.slabs),
        areas: first(&contents.areas, contents.counted_areas()),
        roots: contents.roots.map(shown::id),
        segments: first(&contents.segments, counts.segments),
        chapters: contents.chapters.iter().map(|chapter| shown::id(chapter.object)).collect(),
        history_log: contents.history_log.map(shown::id),
        uncounted: strays.map(shown::id).collect(),
    }
}

fn read(
    subject: &str,
    entry: &VolumeEntry,
    objects: &mut Objects<'_>,
    findings: &mut Findings,
) -> Result<(PairReport, Contents), LogError> {
    let pair = volumes::open(subject, entry.logs, objects, findings)?;
    let mut contents = Contents::default();
    let read = pair.records(MAX_RECORD_BYTES, |bytes| {
        let record = InventoryRecord::decode(bytes).map_err(|error| error.to_string());
        let applied = record.and_then(|record| contents.apply(record).map_err(|error| error.to_string()));
        if let Err(error) = applied {
            findings.error(&subject, format!("a record of its inventory is malformed: {error}"));
        }
    });
    if let Err(fault) = read {
        findings.error(&subject, fault.to_string());
    }
    Ok((pair.report, contents))
}

/// Checks the objects that count. The objects of a volume that is being deleted may be gone.
fn check(subject: &str, contents: &Contents, objects: &Objects<'_>, findings: &mut Findings) {
    let (true, Some(config)) = (contents.is_whole(), &contents.config) else { return };
    let counts = contents.counts.unwrap_or_default();
    let area_bytes = config.area_bytes().saturating_mul(config.areas_per_object.into());
    let metadata = config.metadata_class;
    let slab_bytes = config.slab_blocks.saturating_mul(BLOCK_SIZE as u64);
    let root_bytes = engine::format::ROOTS * BLOCK_SIZE as u64;
    let slab = (ObjectType::Slab, MediaClass::Capacity, slab_bytes);
    let roots: Vec<_> = contents.roots.into_iter().collect();
    let kinds = [
        ("slab", &contents.slabs, counts.slabs, slab),
        ("metadata object", &contents.areas, contents.counted_areas(), (ObjectType::Slab, metadata, area_bytes)),
        ("roots", &roots, 1, (ObjectType::Slab, metadata, root_bytes)),
        ("segment", &contents.segments, counts.segments, (ObjectType::Mlog, metadata, 0)),
    ];
    for (what, ids, count, wanted) in kinds {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        for (number, id) in ids.iter().take(count).enumerate() {
            if let Err(fault) = check_object(*id, wanted, objects) {
                findings.error(&subject, format!("{what} {number}: {fault}"));
            }
        }
    }
}

fn check_object(
    id: ObjectId,
    (kind, class, least_bytes): (ObjectType, MediaClass, u64),
    objects: &Objects<'_>,
) -> Result<(), String> {
    let Some(object) = objects.get(id) else { return Err(format!("its object {} does not exist", shown::id(id))) };
    if id.kind() != Some(kind) {
        return Err(format!("its object is {id}"));
    }
    if object.class != class {
        return Err(format!("{id} lies on {} instead of {class}", object.class));
    }
    let Some(drive) = objects.drive(class) else { return Ok(()) };
    let bytes = object.extent.zones.saturating_mul(drive.zone_bytes());
    if bytes < least_bytes {
        return Err(format!("{id} has {bytes} bytes instead of {least_bytes}"));
    }
    Ok(())
}

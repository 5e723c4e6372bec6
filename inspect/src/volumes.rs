// SPDX-License-Identifier: BSD-3-Clause

//! The root MDC, the catalog of volumes in it, and each volume's inventory (architecture.md 6).

use std::collections::BTreeMap;

use engine::pool::{ObjectId, ObjectType};
use engine::volume::catalog::{CatalogRecord, VolumeEntry};
use engine::volume::inventory::InventoryRecord;
use serde::Serialize;
use uuid::Uuid;

use crate::findings::Findings;
use crate::objects::{LogError, Objects};
use crate::pair::{Pair, PairReport};
use crate::shown;

/// Largest record that is read of a client's MDC; the catalog's and the inventory's are much smaller.
const MAX_RECORD_BYTES: usize = 1 << 20;

/// What is shown of the root MDC.
#[derive(Debug, Serialize)]
pub struct RootReport {
    /// Its logs; none when one is missing.
    pub mdc: Option<PairReport>,
    /// Records of the catalog of volumes.
    pub catalog_records: u64,
    /// Records of others.
    pub other_records: u64,
    /// Bytes of all records.
    pub record_bytes: u64,
    /// The volumes that there are.
    pub volumes: Vec<VolumeReport>,
}

/// What is shown of a volume.
#[derive(Debug, Serialize)]
pub struct VolumeReport {
    /// Its name.
    pub name: String,
    /// Its identity.
    pub uuid: Uuid,
    /// Ids of the logs of its MDC.
    pub logs: [String; 2],
    /// The logs; none when one is missing: its creation or deletion was cut short.
    pub mdc: Option<PairReport>,
    /// Zones in each slab.
    pub slab_zones: u64,
    /// Slabs that there are.
    pub slabs: u64,
    /// Records of slabs whose objects do not exist, at the end: an addition or deletion was cut short.
    pub unfinished_slabs: u64,
}

/// Looks into the root MDC.
pub fn look(logs: [ObjectId; 2], objects: &mut Objects<'_>, findings: &mut Findings) -> RootReport {
    let mut report =
        RootReport { mdc: None, catalog_records: 0, other_records: 0, record_bytes: 0, volumes: Vec::new() };
    let pair = match open("root MDC", logs, objects, findings) {
        Ok(pair) => pair,
        Err(error) => {
            if let LogError::Missing(_) = error {
                findings.warning("root MDC", format!("{error}; the next activation makes it again"));
            } else {
                findings.error("root MDC", error.to_string());
            }
            return report;
        }
    };
    let mut entries = BTreeMap::new();
    let read = pair.records(MAX_RECORD_BYTES, |bytes| {
        report.record_bytes = report.record_bytes.saturating_add(bytes.len() as u64);
        match CatalogRecord::decode(bytes) {
            Ok(None) => report.other_records += 1,
            Ok(Some(record)) => {
                report.catalog_records += 1;
                if let Err(fault) = apply(&mut entries, record) {
                    findings.error("catalog of volumes", fault);
                }
            }
            Err(error) => {
                report.catalog_records += 1;
                findings.error("catalog of volumes", format!("record {}: {error}", report.catalog_records));
            }
        }
    });
    if let Err(fault) = read {
        findings.error("root MDC", fault.to_string());
    }
    report.mdc = Some(pair.report);
    check_names(&entries, findings);
    report.volumes = entries.values().map(|entry| volume(entry, objects, findings)).collect();
    report
}

fn apply(entries: &mut BTreeMap<Uuid, VolumeEntry>, record: CatalogRecord) -> Result<(), String> {
    match record {
        CatalogRecord::Volume(entry) => {
            let (uuid, name) = (entry.uuid, shown::text(&entry.name));
            let other = entries.insert(uuid, entry).map(|other| shown::text(&other.name));
            other.map_or(Ok(()), |other| Err(format!("volumes '{other}' and '{name}' have the same UUID, {uuid}")))
        }
        CatalogRecord::Removed(uuid) => {
            entries.remove(&uuid);
            Ok(())
        }
    }
}

fn check_names(entries: &BTreeMap<Uuid, VolumeEntry>, findings: &mut Findings) {
    let mut names = BTreeMap::new();
    for entry in entries.values() {
        if let Some(other) = names.insert(&entry.name, entry.uuid) {
            let name = shown::text(&entry.name);
            findings.error("catalog of volumes", format!("{other} and {} are both called '{name}'", entry.uuid));
        }
    }
}

fn volume(entry: &VolumeEntry, objects: &mut Objects<'_>, findings: &mut Findings) -> VolumeReport {
    let object = format!("volume '{}'", shown::text(&entry.name));
    let mut report = VolumeReport {
        name: entry.name.clone(),
        uuid: entry.uuid,
        logs: entry.logs.map(shown::id),
        mdc: None,
        slab_zones: 0,
        slabs: 0,
        unfinished_slabs: 0,
    };
    let pair = match open(&object, entry.logs, objects, findings) {
        Ok(pair) => pair,
        Err(error) => {
            if let LogError::Missing(_) = error {
                findings.note(&object, format!("{error}: the volume's creation or deletion was cut short"));
            } else {
                findings.error(&object, error.to_string());
            }
            return report;
        }
    };
    let mut slabs = Vec::new();
    let read = pair.records(MAX_RECORD_BYTES, |bytes| match InventoryRecord::decode(bytes) {
        Ok(InventoryRecord::Config { slab_zones }) => report.slab_zones = slab_zones,
        Ok(InventoryRecord::Slab { number, object: slab }) => {
            // A slab that was never committed is followed by another try for the same number.
            slabs.truncate(usize::try_from(number).unwrap_or(usize::MAX));
            if slabs.len() as u64 == number {
                slabs.push(slab);
            } else {
                findings.error(&object, format!("slab {number} follows slab {}", slabs.len()));
            }
        }
        Err(error) => findings.error(&object, format!("a record of its inventory is malformed: {error}")),
    });
    if let Err(fault) = read {
        findings.error(&object, fault.to_string());
    }
    report.mdc = Some(pair.report);
    let there = slabs.iter().rposition(|slab| objects.get(*slab).is_some()).map_or(0, |last| last + 1);
    report.unfinished_slabs = (slabs.len() - there) as u64;
    report.slabs = there as u64;
    for (number, slab) in slabs.iter().take(there).enumerate() {
        if let Err(fault) = check_slab(*slab, report.slab_zones, objects) {
            findings.error(&object, format!("slab {number}: {fault}"));
        }
    }
    report
}

fn check_slab(slab: ObjectId, zones: u64, objects: &Objects<'_>) -> Result<(), String> {
    let Some(object) = objects.get(slab) else { return Err(format!("its object {} does not exist", shown::id(slab))) };
    if slab.kind() != Some(ObjectType::Slab) {
        return Err(format!("its object is {slab}"));
    }
    if object.extent.zones != zones {
        return Err(format!("{slab} has {} zones instead of {zones}", object.extent.zones));
    }
    Ok(())
}

/// The pair of two committed logs.
fn open<'a>(
    object: &str,
    logs: [ObjectId; 2],
    objects: &mut Objects<'a>,
    findings: &mut Findings,
) -> Result<Pair<'a>, LogError> {
    // Both are looked up before either is taken for read.
    objects.peek_log(logs[0])?;
    objects.peek_log(logs[1])?;
    let logs = [objects.log(logs[0])?, objects.log(logs[1])?];
    Ok(Pair::look(object, logs, findings))
}

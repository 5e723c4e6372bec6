// SPDX-License-Identifier: BSD-3-Clause

//! The root MDC, and its catalog of volumes.

use std::collections::BTreeMap;

use engine::volume::catalog::{CatalogRecord, VolumeEntry};
use mpool::ObjectId;
use serde::Serialize;
use uuid::Uuid;

use crate::findings::Findings;
use crate::objects::{LogError, Objects};
use crate::pair::{Pair, PairReport};
use crate::shown;
use crate::volume::{self, VolumeReport};

/// Largest record read from a client's MDC; the records of catalog and inventory are much smaller.
pub(crate) const MAX_RECORD_BYTES: usize = 1 << 20;

/// The report on the root MDC.
#[derive(Debug, Serialize)]
pub struct RootReport {
    /// The root MDC's logs; none if one is missing.
    pub mdc: Option<PairReport>,
    /// Records of the catalog of volumes.
    pub catalog_records: u64,
    /// Other clients' records.
    pub other_records: u64,
    /// Bytes of all records.
    pub record_bytes: u64,
    /// The volumes in the catalog.
    pub volumes: Vec<VolumeReport>,
}

/// Reads the root MDC.
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
    report.volumes = entries.values().map(|entry| volume::look(entry, objects, findings)).collect();
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

/// The pair of two committed logs.
pub(crate) fn open<'a>(
    object: &str,
    logs: [ObjectId; 2],
    objects: &mut Objects<'a>,
    findings: &mut Findings,
) -> Result<Pair<'a>, LogError> {
    // Both logs are looked up before either counts as read.
    objects.peek_log(logs[0])?;
    objects.peek_log(logs[1])?;
    let logs = [objects.log(logs[0])?, objects.log(logs[1])?];
    Ok(Pair::look(object, logs, findings))
}

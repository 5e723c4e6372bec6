// SPDX-License-Identifier: BSD-3-Clause

//! The pool as its metadata describe it: MDC0, then the other containers, then what clients store in the root MDC.

use std::collections::BTreeMap;

use mpool::format::{DriveDescriptor, Mdc0Location, MpConfig, ObjectCreate, SuperblockFlags, MAX_RECORD_BYTES};
use mpool::{MediaClass, ObjectId, ObjectType, Slot};
use serde::Serialize;
use serde_json::{json, Value};
use uuid::Uuid;

use crate::container::Container;
use crate::drive::Drive;
use crate::findings::Findings;
use crate::objects::{LogError, Objects};
use crate::pair::{Pair, PairReport};
use crate::shown;
use crate::space::{Space, SpaceReport, Use};
use crate::volumes::{self, RootReport};

/// The report on a pool.
#[derive(Debug, Serialize)]
pub struct PoolReport {
    /// Its name.
    pub name: String,
    /// Its identity.
    pub uuid: Uuid,
    /// The pool's parameters; none before they are first written.
    pub parameters: Option<Value>,
    /// The root MDC's logs.
    #[serde(skip)]
    pub root_logs: [ObjectId; 2],
    /// The drives that MDC0 records.
    pub recorded_drives: Vec<Value>,
    /// The metadata containers.
    pub containers: Vec<ContainerReport>,
    /// The space maps of the given drives.
    pub space: Vec<SpaceReport>,
    /// The root MDC and the volumes in it.
    pub root: RootReport,
    /// The objects, the logs of the containers among them.
    pub objects: Vec<Value>,
}

/// A metadata container.
#[derive(Debug, Serialize)]
pub struct ContainerReport {
    /// Its number.
    pub slot: u8,
    /// The container's logs; none if they cannot be read.
    pub mdc: Option<PairReport>,
    /// Version of its content.
    pub content_version: String,
    /// Records by type.
    pub records: BTreeMap<&'static str, u64>,
    /// Objects that the container describes.
    pub objects: u64,
    /// The uniquifier in the last checkpoint.
    pub checkpoint: u64,
}

/// Reads the metadata of the pool that `metadata_drive` belongs to. Also returns the objects, for their logs.
pub fn look<'a>(
    metadata_drive: &'a Drive,
    location: &Mdc0Location,
    drives: [Option<&'a Drive>; 2],
    findings: &mut Findings,
) -> (PoolReport, Objects<'a>) {
    let superblock = metadata_drive.superblock();
    let mut objects = Objects::new(drives, superblock.flags.contains(SuperblockFlags::LEGACY_LOGS));
    let mut mdc0 = Container::new(Slot::ZERO);
    let pair = mdc0_pair(location, &mut objects, findings);
    let mut containers = vec![read(Slot::ZERO, pair, &mut mdc0, findings)];
    if mdc0.records > 0 {
        check_drives(&mdc0.drives, drives, findings);
    }
    objects.add(std::mem::take(&mut mdc0.objects).into_values());
    for slot in container_set(&objects, findings) {
        let mut container = Container::new(slot);
        let pair = container_pair(slot, &mut objects, findings);
        containers.push(read(slot, pair, &mut container, findings));
        objects.add(container.objects.into_values());
    }
    objects.check(findings);
    let root_logs = mdc0.config.as_ref().map_or(ObjectId::ROOT_LOGS, |config| config.root_logs);
    let root = volumes::look(root_logs, &mut objects, findings);
    let space = space(location, &objects, root_logs, mdc0.spares, findings);
    let report = PoolReport {
        name: superblock.name.to_string(),
        uuid: superblock.pool,
        parameters: mdc0.config.as_ref().map(parameters),
        root_logs,
        recorded_drives: recorded_drives(&mdc0, drives),
        containers,
        space,
        root,
        objects: objects.report(),
    };
    (report, objects)
}

fn mdc0_pair<'a>(location: &Mdc0Location, objects: &mut Objects<'a>, findings: &mut Findings) -> Option<Pair<'a>> {
    let ids = ObjectId::mdc_logs(Slot::ZERO);
    let mut log =
        |side: usize| objects.mdc0_log(ids[side], &location.logs[side]).and_then(|log| objects.read_once(log));
    match log(0).and_then(|first| Ok([first, log(1)?])) {
        Ok(logs) => Some(Pair::look("MDC0", logs, findings)),
        Err(error) => {
            findings.error("MDC0", error.to_string());
            None
        }
    }
}

fn container_pair<'a>(slot: Slot, objects: &mut Objects<'a>, findings: &mut Findings) -> Option<Pair<'a>> {
    let ids = ObjectId::mdc_logs(slot);
    match objects.log(ids[0]).and_then(|first| Ok([first, objects.log(ids[1])?])) {
        Ok(logs) => Some(Pair::look(&slot.to_string(), logs, findings)),
        // A missing log is reported for the whole set of containers.
        Err(LogError::Missing(_)) => None,
        Err(error) => {
            findings.error(&slot, error.to_string());
            None
        }
    }
}

fn read(slot: Slot, pair: Option<Pair<'_>>, container: &mut Container, findings: &mut Findings) -> ContainerReport {
    if let Some(pair) = &pair {
        if let Err(fault) = pair.records(MAX_RECORD_BYTES, |bytes| container.take(bytes, findings)) {
            findings.error(&slot, fault.to_string());
        }
    }
    ContainerReport {
        slot: slot.0,
        mdc: pair.map(|pair| pair.report),
        content_version: container.version.to_string(),
        records: container.counts.clone(),
        objects: container.objects.len() as u64,
        checkpoint: container.checkpoint.map_or(0, ObjectId::uniquifier),
    }
}

/// The containers whose logs MDC0 has. Reports a gap or half a pair.
fn container_set(objects: &Objects<'_>, findings: &mut Findings) -> Vec<Slot> {
    let has = |slot: u8| ObjectId::mdc_logs(Slot(slot)).map(|id| objects.get(id).is_some());
    let Some(last) = (1..=u8::MAX).rev().find(|slot| has(*slot) != [false, false]) else { return Vec::new() };
    for slot in 1..=last {
        match has(slot) {
            [true, true] => {}
            [false, false] => findings.error(&Slot(slot), "it has no logs, but containers above it have"),
            _ if slot == last => {
                findings
                    .note(&Slot(slot), "it has one log: its creation was cut short; the next activation removes it");
            }
            _ => findings.error(&Slot(slot), "it has one log instead of two"),
        }
    }
    (1..=last).map(Slot).collect()
}

/// Compares the recorded drives with the given drives.
fn check_drives(recorded: &[Option<DriveDescriptor>; 2], given: [Option<&Drive>; 2], findings: &mut Findings) {
    for class in MediaClass::ALL {
        match (recorded[class.index()], given[class.index()]) {
            (Some(recorded), Some(drive)) => {
                let own = drive.superblock().drive;
                if recorded.uuid != own.uuid || recorded.class_tuple() != own.class_tuple() {
                    findings.error(&drive.subject(), "MDC0 records another drive of this class, or another geometry");
                } else if recorded != own {
                    findings.warning(&drive.subject(), "MDC0 records another size: a resize was not completed");
                }
            }
            (Some(recorded), None) => {
                let text = format!("the drive {} was not given; what is on it is not checked", recorded.uuid);
                findings.warning(&format!("{class} drive"), text);
            }
            (None, Some(drive)) => {
                findings.error(&drive.subject(), "MDC0 does not record it: it is no member, and activation refuses it");
            }
            (None, None) => {}
        }
    }
}

/// The drives that MDC0 records, and whether they are among the given ones.
fn recorded_drives(mdc0: &Container, given: [Option<&Drive>; 2]) -> Vec<Value> {
    let tree = |drive: &DriveDescriptor| {
        let given = given[drive.class.index()].is_some_and(|given| given.superblock().drive.uuid == drive.uuid);
        json!({
            "class": drive.class.to_string(),
            "uuid": drive.uuid,
            "zones": drive.zones,
            "zone_bytes": drive.zone_bytes(),
            "bytes": drive.bytes,
            "spare_percent": mdc0.spares[drive.class.index()],
            "given": given,
        })
    };
    mdc0.drives.iter().flatten().map(tree).collect()
}

fn parameters(config: &MpConfig) -> Value {
    json!({
        "uid": config.uid,
        "gid": config.gid,
        "mode": config.mode,
        "label": config.label.to_string(),
        "user_type": config.user_type,
        "readahead_pages": config.readahead_pages,
        "map_bytes_shift": config.map_bytes_shift,
        "root_log_bytes": config.mdc_capacity_bytes,
        "root_logs": config.root_logs.map(shown::id),
    })
}

fn space(
    location: &Mdc0Location,
    objects: &Objects<'_>,
    root_logs: [ObjectId; 2],
    spares: [Option<u8>; 2],
    findings: &mut Findings,
) -> Vec<SpaceReport> {
    let mut spaces = MediaClass::ALL.map(|class| objects.drive(class).map(Space::of));
    if let Some(capacity) = &mut spaces[MediaClass::Capacity.index()] {
        for (id, log) in ObjectId::mdc_logs(Slot::ZERO).into_iter().zip(&location.logs) {
            capacity.claim(id, log.extent, Use::Mdc0Log, findings);
        }
    }
    for object in objects.iter() {
        if let Some(space) = &mut spaces[object.class.index()] {
            space.claim(object.id, object.extent, use_of(object, root_logs), findings);
        }
    }
    let maps = spaces.into_iter().zip(spares);
    maps.filter_map(|(space, spare)| Some(space?.report(spare, findings))).collect()
}

fn use_of(object: &ObjectCreate, root_logs: [ObjectId; 2]) -> Use {
    match object.id.kind() {
        _ if object.id.slot() == Slot::ZERO => Use::MdcLog,
        _ if root_logs.contains(&object.id) => Use::RootLog,
        Some(ObjectType::Mblock) => Use::Mblock,
        Some(ObjectType::Slab) => Use::Slab,
        Some(ObjectType::Mlog) | None => Use::Mlog,
    }
}

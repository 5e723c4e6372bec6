// SPDX-License-Identifier: BSD-3-Clause

//! All objects of a pool, and its logs for reading.
//!
//! Each zone is read as part of a log at most once, whatever the metadata say, so the image's size bounds the time.

use std::collections::{BTreeMap, BTreeSet};

use mpool::format::{Mdc0Log, ObjectCreate};
use mpool::mlog::block::Stamp;
use mpool::{Extent, MediaClass, ObjectId, ObjectType};
use serde_json::{json, Value};
use thiserror::Error;

use crate::drive::Drive;
use crate::findings::Findings;
use crate::log::Log;
use crate::shown;

/// Why a log is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum LogError {
    /// There is no such object.
    #[error("{0} does not exist")]
    Missing(ObjectId),
    /// The object is not a log.
    #[error("{0} is no log")]
    NotALog(ObjectId),
    /// The log's drive was not given.
    #[error("{0} lies on the {1} drive, which was not given")]
    NoDrive(ObjectId, MediaClass),
    /// The log's zones are not on the drive.
    #[error("{0} does not lie on its drive")]
    Outside(ObjectId),
    /// The log's zones were read as those of another log.
    #[error("{0} has zones that were read as another log's, or is used twice")]
    Shared(ObjectId),
}

/// The objects of a pool, and their drives.
#[derive(Debug)]
pub struct Objects<'a> {
    drives: [Option<&'a Drive>; 2],
    accept_v1: bool,
    objects: BTreeMap<ObjectId, ObjectCreate>,
    /// Logs that are segments of recovery journals.
    segments: BTreeSet<ObjectId>,
    /// Zones that were read as part of a log: the first one and the one after the last, by class.
    read: [BTreeMap<u64, u64>; 2],
}

impl<'a> Objects<'a> {
    /// No objects yet.
    #[must_use]
    pub fn new(drives: [Option<&'a Drive>; 2], accept_v1: bool) -> Objects<'a> {
        let read = [BTreeMap::new(), BTreeMap::new()];
        Objects { drives, accept_v1, objects: BTreeMap::new(), segments: BTreeSet::new(), read }
    }

    /// Adds the objects of a container.
    pub fn add(&mut self, objects: impl IntoIterator<Item = ObjectCreate>) {
        self.objects.extend(objects.into_iter().map(|object| (object.id, object)));
    }

    /// Records that a log is a segment of a recovery journal.
    pub fn note_segment(&mut self, id: ObjectId) {
        self.segments.insert(id);
    }

    /// The drive of a class.
    #[must_use]
    pub fn drive(&self, class: MediaClass) -> Option<&'a Drive> {
        self.drives[class.index()]
    }

    /// All objects in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = &ObjectCreate> {
        self.objects.values()
    }

    /// An object.
    #[must_use]
    pub fn get(&self, id: ObjectId) -> Option<&ObjectCreate> {
        self.objects.get(&id)
    }

    /// A log, whichever drive it is on and whether it was read or not.
    ///
    /// # Errors
    /// Missing; NotALog; NoDrive; Outside.
    pub fn peek_log(&self, id: ObjectId) -> Result<Log<'a>, LogError> {
        let object = self.get(id).ok_or(LogError::Missing(id))?;
        let uuid = object.uuid.filter(|_| id.kind() == Some(ObjectType::Mlog)).ok_or(LogError::NotALog(id))?;
        let stamp = Stamp { uuid, generation: object.generation };
        self.place(id, object.class, object.extent, stamp)
    }

    /// A log, to be read now.
    ///
    /// # Errors
    /// As for [`Objects::peek_log`]; Shared.
    pub fn log(&mut self, id: ObjectId) -> Result<Log<'a>, LogError> {
        let log = self.peek_log(id)?;
        self.read_once(log)
    }

    /// A log of MDC0, which the superblock describes, whether it was read or not.
    ///
    /// # Errors
    /// NoDrive; Outside.
    pub fn mdc0_log(&self, id: ObjectId, place: &Mdc0Log) -> Result<Log<'a>, LogError> {
        let stamp = Stamp { uuid: place.uuid, generation: place.generation };
        self.place(id, MediaClass::Capacity, place.extent, stamp)
    }

    /// Records that a log is read now.
    ///
    /// # Errors
    /// Shared.
    pub fn read_once(&mut self, log: Log<'a>) -> Result<Log<'a>, LogError> {
        if self.was_read(&log) {
            return Err(LogError::Shared(log.id));
        }
        let end = log.extent.end().unwrap_or(u64::MAX);
        self.read[log.drive.class().index()].insert(log.extent.first, end);
        Ok(log)
    }

    /// Whether the log's zones were read already.
    #[must_use]
    pub fn was_read(&self, log: &Log<'_>) -> bool {
        let read = &self.read[log.drive.class().index()];
        let end = log.extent.end().unwrap_or(u64::MAX);
        read.range(..end).next_back().is_some_and(|(_, read_end)| log.extent.first < *read_end)
    }

    fn place(&self, id: ObjectId, class: MediaClass, extent: Extent, stamp: Stamp) -> Result<Log<'a>, LogError> {
        let drive = self.drive(class).ok_or(LogError::NoDrive(id, class))?;
        if !drive.holds(extent) {
            return Err(LogError::Outside(id));
        }
        let one_in_flight = !self.segments.contains(&id);
        Ok(Log { id, drive, extent, stamp, accept_v1: self.accept_v1, one_in_flight })
    }

    /// Checks each object by itself.
    pub fn check(&self, findings: &mut Findings) {
        for object in self.iter() {
            let Some(drive) = self.drive(object.class) else { continue };
            let capacity = object.extent.zones.saturating_mul(drive.zone_bytes());
            if object.written_bytes > capacity {
                let text = format!("{} bytes are written, but it has room for {capacity}", object.written_bytes);
                findings.error(&object.id, text);
            }
        }
    }

    /// All objects, for the report.
    #[must_use]
    pub fn report(&self) -> Vec<Value> {
        self.iter().map(|object| self.tree(object)).collect()
    }

    fn tree(&self, object: &ObjectCreate) -> Value {
        let zone_bytes = self.drive(object.class).map(Drive::zone_bytes);
        json!({
            "id": shown::id(object.id),
            "kind": shown::kind(object.id),
            "slot": object.id.slot().0,
            "class": object.class.to_string(),
            "first_zone": object.extent.first,
            "zones": object.extent.zones,
            "capacity_bytes": zone_bytes.map(|bytes| object.extent.zones.saturating_mul(bytes)),
            "written_bytes": object.written_bytes,
            "generation": object.generation,
            "uuid": object.uuid,
        })
    }
}

// SPDX-License-Identifier: BSD-3-Clause

//! The sum of one metadata container's records, and what is wrong with them.
//!
//! The pool stops at the first invalid record; this module reports each one and goes on, so that the list of errors is
//! complete.

use std::collections::BTreeMap;

use mpool::format::{ContentVersion, DriveDescriptor, MpConfig, ObjectCreate, Record};
use mpool::metadata::UNIQUIFIERS_PER_CHECKPOINT;
use mpool::tunables::KeptTunable;
use mpool::{ObjectId, ObjectType, Slot};

use crate::findings::Findings;
use crate::records;

/// Most objects listed per container: more than any real one has, few enough to hold in memory.
const MOST_OBJECTS: usize = 4_000_000;

/// The sum of a container's records.
#[derive(Debug)]
pub struct Container {
    slot: Slot,
    /// Version of the content.
    pub version: ContentVersion,
    /// Records by type.
    pub counts: BTreeMap<&'static str, u64>,
    /// Records of all types, including unreadable ones.
    pub records: u64,
    /// The id in the last checkpoint.
    pub checkpoint: Option<ObjectId>,
    /// The objects that exist.
    pub objects: BTreeMap<ObjectId, ObjectCreate>,
    /// MDC0: the drives by class.
    pub drives: [Option<DriveDescriptor>; 2],
    /// MDC0: the spare percentages by class.
    pub spares: [Option<u8>; 2],
    /// MDC0: the parameters.
    pub config: Option<MpConfig>,
    /// MDC0: the tunables that were set.
    pub tunables: BTreeMap<KeptTunable, u64>,
}

impl Container {
    /// A container without records.
    #[must_use]
    pub fn new(slot: Slot) -> Container {
        Container {
            slot,
            version: ContentVersion::ORIGINAL,
            counts: BTreeMap::new(),
            records: 0,
            checkpoint: None,
            objects: BTreeMap::new(),
            drives: [None; 2],
            spares: [None; 2],
            config: None,
            tunables: BTreeMap::new(),
        }
    }

    /// Takes the next record.
    pub fn take(&mut self, bytes: &[u8], findings: &mut Findings) {
        self.records += 1;
        let number = self.records;
        match Record::decode_as(self.version, bytes) {
            Ok(record) => {
                *self.counts.entry(records::type_name(&record)).or_default() += 1;
                if let Err(fault) = self.apply(record) {
                    findings.error(&self.slot, format!("record {number}: {fault}"));
                }
            }
            Err(error) => {
                *self.counts.entry("malformed").or_default() += 1;
                findings.error(&self.slot, format!("record {number} is malformed: {error}"));
            }
        }
    }

    fn apply(&mut self, record: Record) -> Result<(), String> {
        match record {
            Record::ObjectCreate(object) => self.create(object),
            Record::ObjectUpdate(object) => {
                self.check_slot(object.id)?;
                *self.known(object.id)? = object;
                Ok(())
            }
            Record::ObjectDelete(id) => {
                self.check_slot(id)?;
                self.objects.remove(&id).map(|_| ()).ok_or_else(|| format!("{id} is deleted, but was not created"))
            }
            Record::ObjectErase { id, generation } => {
                self.check_slot(id)?;
                let object = self.known(id)?;
                if generation < object.generation {
                    return Err(format!("{id} is erased to generation {generation}, but has {}", object.generation));
                }
                object.generation = generation;
                Ok(())
            }
            Record::IdCheckpoint(id) => self.note_checkpoint(id),
            Record::Version(version) => self.note_version(version),
            Record::McConfig(drive) => self.property().map(|of| of.drives[drive.class.index()] = Some(drive)),
            Record::McSpare { class, percent } => self.property().map(|of| of.spares[class.index()] = Some(percent)),
            Record::MpConfig(config) => self.property().map(|of| of.config = Some(config)),
            Record::Tunable { tunable, value } => self.property().map(|of| {
                of.tunables.insert(tunable, value);
            }),
        }
    }

    fn create(&mut self, object: ObjectCreate) -> Result<(), String> {
        self.check_slot(object.id)?;
        if self.objects.contains_key(&object.id) {
            return Err(format!("{} is created twice", object.id));
        }
        if self.objects.len() >= MOST_OBJECTS {
            return Err(format!("{} is not listed: there are more than {MOST_OBJECTS} objects", object.id));
        }
        let (id, last) = (object.id, self.last_uniquifier());
        self.objects.insert(id, object);
        if self.slot == Slot::ZERO {
            let is_log = id.kind() == Some(ObjectType::Mlog) && (2..512).contains(&id.uniquifier());
            return if is_log { Ok(()) } else { Err(format!("{id} is no log of a container")) };
        }
        if id.uniquifier() > last {
            return Err(format!("{id} has a uniquifier above {last}, the last that was checkpointed"));
        }
        Ok(())
    }

    /// The largest uniquifier that can have been handed out.
    #[must_use]
    pub fn last_uniquifier(&self) -> u64 {
        let logged = self.checkpoint.map_or(0, ObjectId::uniquifier);
        logged.saturating_add(UNIQUIFIERS_PER_CHECKPOINT - 1)
    }

    fn known(&mut self, id: ObjectId) -> Result<&mut ObjectCreate, String> {
        self.objects.get_mut(&id).ok_or_else(|| format!("a record names {id}, which was not created"))
    }

    fn check_slot(&self, id: ObjectId) -> Result<(), String> {
        if id.slot() == self.slot {
            return Ok(());
        }
        Err(format!("{id} belongs into {}", id.slot()))
    }

    fn note_checkpoint(&mut self, id: ObjectId) -> Result<(), String> {
        if self.slot == Slot::ZERO || (id != ObjectId(0) && id.slot() != self.slot) {
            return Err(format!("the checkpoint {:#x} belongs into another container", id.0));
        }
        // An empty checkpoint may come first.
        if id == ObjectId(0) && self.checkpoint.is_none() {
            return Ok(());
        }
        if let Some(last) = self.checkpoint.filter(|last| last.uniquifier() >= id.uniquifier()) {
            return Err(format!("the checkpoint {:#x} is not after the one before, {:#x}", id.0, last.0));
        }
        self.checkpoint = Some(id);
        Ok(())
    }

    fn note_version(&mut self, version: ContentVersion) -> Result<(), String> {
        if self.records != 1 {
            return Err("the version record is not the first".to_owned());
        }
        version.check_known(self.slot.to_string()).map_err(|error| error.reason().to_owned())?;
        self.version = version;
        Ok(())
    }

    fn property(&mut self) -> Result<&mut Container, String> {
        if self.slot == Slot::ZERO {
            return Ok(self);
        }
        Err("a property of the pool stands in the container of clients' objects".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mpool::{Extent, MediaClass};

    fn mblock(uniquifier: u64, slot: u8) -> ObjectCreate {
        ObjectCreate {
            id: ObjectId::new(uniquifier, ObjectType::Mblock, Slot(slot)),
            class: MediaClass::Capacity,
            extent: Extent { first: 5, zones: 1 },
            generation: 0,
            written_bytes: 4096,
            uuid: None,
        }
    }

    fn faults(slot: u8, records: &[Record]) -> Vec<String> {
        let (mut container, mut findings) = (Container::new(Slot(slot)), Findings::default());
        for record in records {
            container.take(record.encode().as_ref(), &mut findings);
        }
        findings.list.into_iter().map(|finding| finding.text).collect()
    }

    #[test]
    fn a_good_container_has_no_faults() {
        let records = [
            Record::Version(ContentVersion::CURRENT),
            Record::IdCheckpoint(ObjectId(0)),
            Record::ObjectCreate(mblock(9, 2)),
            Record::IdCheckpoint(ObjectId::new(256, ObjectType::Mblock, Slot(2))),
            Record::ObjectCreate(mblock(300, 2)),
            Record::ObjectDelete(mblock(9, 2).id),
        ];
        assert_eq!(faults(2, &records), [""; 0]);
    }

    #[test]
    fn each_fault_is_told_and_the_rest_goes_on() {
        let checkpoint = |uniquifier| Record::IdCheckpoint(ObjectId::new(uniquifier, ObjectType::Mblock, Slot(2)));
        let found = faults(
            2,
            &[
                Record::ObjectCreate(mblock(9, 2)),
                Record::ObjectCreate(mblock(9, 2)),
                Record::ObjectCreate(mblock(9, 3)),
                Record::ObjectCreate(mblock(256, 2)),
                Record::ObjectDelete(mblock(10, 2).id),
                checkpoint(512),
                checkpoint(256),
                Record::McSpare { class: MediaClass::Capacity, percent: 5 },
                Record::Version(ContentVersion::ORIGINAL),
            ],
        );
        let expected = [
            "record 2: mblock 0x9102 is created twice",
            "record 3: mblock 0x9103 belongs into MDC3",
            "record 4: mblock 0x100102 has a uniquifier above 255, the last that was checkpointed",
            "record 5: mblock 0xa102 is deleted, but was not created",
            "record 7: the checkpoint 0x100102 is not after the one before, 0x200102",
            "record 8: a property of the pool stands in the container of clients' objects",
            "record 9: the version record is not the first",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn bytes_that_are_no_record_are_counted() {
        let (mut container, mut findings) = (Container::new(Slot(1)), Findings::default());
        container.take(&[77, 0], &mut findings);
        assert_eq!(container.counts.get("malformed"), Some(&1));
        assert_eq!(findings.list[0].text, "record 1 is malformed: there is no record type 77");
    }
}

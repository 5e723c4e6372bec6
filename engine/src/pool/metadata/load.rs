// SPDX-License-Identifier: BSD-3-Clause

//! Reading the metadata of all objects at activation.
//!
//! MDC0 first, for the logs of the others; then these, several at a time. Records are applied in the order in which
//! they were written. What does not fit together fails the activation: nothing is guessed.

use std::cell::Cell;
use std::rc::Rc;

use futures::stream::{self, StreamExt};

use super::container::Container;
use super::object::{Object, ObjectState};
use crate::pool::error::{Kind, PoolError, Result};
use crate::pool::format::{ContentVersion, ObjectCreate, Record, MAX_RECORD_BYTES};
use crate::pool::host::Level;
use crate::pool::ids::{ObjectId, ObjectType, Slot, SLOTS};
use crate::pool::lock::ordered;
use crate::pool::Pool;

impl Pool {
    /// Reads all objects, puts their zones into the space maps, and opens all containers. MDC0 is open.
    ///
    /// # Errors
    /// Metadata that is corrupt, contradicts itself or is newer than this software; Io.
    pub(in crate::pool) async fn load_objects(&self) -> Result<()> {
        let mdc0 = self.container(Slot::ZERO);
        self.load_container(mdc0).await?;
        let count = self.validate_container_set().await?;
        self.container_count.set(count);
        let jobs = (self.tunables.borrow().load_jobs() as usize).clamp(1, count.max(1));
        let failure = &Cell::new(None);
        stream::iter(1..count)
            .for_each_concurrent(jobs, |slot| {
                ordered(async move {
                    // The first failure stops those that have not begun. The others end: they may be erasing a log.
                    let failed = failure.take();
                    if failed.is_some() {
                        return failure.set(failed);
                    }
                    if let Err(error) = self.open_and_load(self.container(Slot(slot as u8))).await {
                        let first = failure.take().unwrap_or(error);
                        failure.set(Some(first));
                    }
                })
            })
            .await;
        failure.take().map_or(Ok(()), Err)?;
        self.learn_log_size();
        Ok(())
    }

    async fn open_and_load(&self, container: &Container) -> Result<()> {
        let slot = container.slot();
        container.unread.set(true);
        let opened = self.open_pair(slot).await;
        let mdc = opened.map_err(|error| error.while_doing(&format!("loading {slot}")))?;
        *container.mdc.borrow_mut() = Some(mdc);
        self.load_container(container).await
    }

    async fn load_container(&self, container: &Container) -> Result<()> {
        let slot = container.slot();
        let read = self.read_records(container, |record| self.apply(container, record)).await;
        read.map_err(|error| error.while_doing(&format!("loading {slot}")))?;
        container.unread.set(false);
        container.resume_identifiers();
        for object in container.all_committed() {
            self.check_loaded(container, &object)?;
            object
                .drive()
                .space()
                .borrow_mut()
                .insert(object.extent())
                .map_err(|error| error.while_doing(&format!("loading {slot}: taking the zones of {}", object.id())))?;
        }
        Ok(())
    }

    /// What no single record shows. An id that was never handed out would be handed out once more.
    fn check_loaded(&self, container: &Container, object: &Object) -> Result<()> {
        let (id, last) = (object.id(), container.last_uniquifier.get());
        if container.slot() != Slot::ZERO && id.uniquifier() > last {
            return Err(PoolError::invalid(id.to_string(), format!("{} has handed out no id above {last}", id.slot())));
        }
        if object.written_bytes() > object.capacity_bytes() {
            let reason = format!("{} bytes written, but room for {}", object.written_bytes(), object.capacity_bytes());
            return Err(PoolError::invalid(id.to_string(), reason));
        }
        Ok(())
    }

    /// Hands all records of an open container to `apply`, the version record checked.
    pub(super) async fn read_records(
        &self,
        container: &Container,
        mut apply: impl FnMut(&Record) -> Result<()>,
    ) -> Result<()> {
        let slot = container.slot();
        let mdc = container.mdc().ok_or_else(|| PoolError::invalid(self.subject(), format!("{slot} is not open")))?;
        mdc.rewind().await?;
        container.version.set(ContentVersion::ORIGINAL);
        let mut first = true;
        while let Some(bytes) = mdc.next_vec(MAX_RECORD_BYTES).await? {
            let record = Record::decode_as(container.version.get(), &bytes)
                .map_err(|error| PoolError::invalid(slot.to_string(), format!("a record is malformed: {error}")))?;
            if let Record::Version(version) = record {
                if !first {
                    return Err(PoolError::invalid(slot.to_string(), "the version record is not the first"));
                }
                if version > self.content_version() {
                    let reason = format!("its content has version {version}, newer than this software");
                    return Err(PoolError::new(Kind::NotSupported, slot.to_string(), reason));
                }
                container.version.set(version);
            }
            first = false;
            apply(&record)?;
        }
        Ok(())
    }

    /// Applies one record of an object to memory.
    fn apply(&self, container: &Container, record: &Record) -> Result<()> {
        match *record {
            Record::ObjectCreate(ref create) => {
                self.check_slot(container, create.id)?;
                if container.knows(create.id) {
                    return Err(PoolError::new(Kind::Exists, create.id.to_string(), "it is created twice"));
                }
                container.insert(self.object_of(create)?);
                container.count(|counts| counts.creates += 1);
            }
            Record::ObjectUpdate(ref create) => {
                self.recorded(container, create.id)?;
                container.replace(self.object_of(create)?);
                container.count(|counts| counts.updates += 1);
            }
            Record::ObjectDelete(id) => {
                let object = self.recorded(container, id)?;
                container.remove(&object);
                container.count(|counts| counts.deletes += 1);
            }
            Record::ObjectErase { id, generation } => {
                let object = self.recorded(container, id)?;
                if generation < object.generation() {
                    let reason = format!("it is erased to generation {generation}, but has {}", object.generation());
                    return Err(PoolError::invalid(id.to_string(), reason));
                }
                object.set_generation(generation);
                container.count(|counts| counts.erases += 1);
            }
            Record::IdCheckpoint(id) => {
                self.check_slot_number(container, id)?;
                // An empty checkpoint may stand at the beginning.
                let empty = id == ObjectId(0) && container.checkpoint.get().is_none();
                if !empty && container.checkpoint.get().is_some_and(|last| last.uniquifier() >= id.uniquifier()) {
                    return Err(PoolError::invalid(id.to_string(), "its checkpoint is not after the one before"));
                }
                container.checkpoint.set((!empty).then_some(id));
            }
            Record::McConfig(_) | Record::McSpare { .. } | Record::MpConfig(_) | Record::Tunable { .. } => {
                if container.slot() != Slot::ZERO {
                    return Err(PoolError::new(
                        Kind::WrongSlot,
                        container.slot().to_string(),
                        "a property of the pool stands in the container of a client's objects",
                    ));
                }
            }
            Record::Version(_) => {}
        }
        Ok(())
    }

    fn object_of(&self, create: &ObjectCreate) -> Result<Rc<Object>> {
        Object::new(create, self.drive_of(create.class)?, ObjectState::Committed)
    }

    fn recorded(&self, container: &Container, id: ObjectId) -> Result<Rc<Object>> {
        self.check_slot(container, id)?;
        container
            .committed(id)
            .ok_or_else(|| PoolError::new(Kind::NotFound, id.to_string(), "a record names it, but it was not created"))
    }

    fn check_slot(&self, container: &Container, id: ObjectId) -> Result<()> {
        let reserved = container.slot() == Slot::ZERO && id.uniquifier() < 2;
        if id.slot() != container.slot() || reserved {
            let reason = format!("its metadata stands in {}", container.slot());
            return Err(PoolError::new(Kind::WrongSlot, id.to_string(), reason));
        }
        Ok(())
    }

    fn check_slot_number(&self, container: &Container, id: ObjectId) -> Result<()> {
        if container.slot() == Slot::ZERO || (id != ObjectId(0) && id.slot() != container.slot()) {
            let reason = format!("its checkpoint stands in {}", container.slot());
            return Err(PoolError::new(Kind::WrongSlot, id.to_string(), reason));
        }
        Ok(())
    }

    /// Checks that MDC0 describes whole pairs of logs, and removes the half of a pair that a power cut may have left.
    /// Returns the number of containers.
    async fn validate_container_set(&self) -> Result<usize> {
        let mdc0 = self.container(Slot::ZERO);
        let mut logs = [0_u8; SLOTS];
        for object in mdc0.all_committed() {
            let number = object.id().uniquifier() / 2;
            match logs.get_mut(usize::try_from(number).unwrap_or(usize::MAX)) {
                Some(count) if object.kind() == ObjectType::Mlog => *count += 1,
                _ => return Err(PoolError::invalid(object.id().to_string(), "it is no log of a container")),
            }
        }
        let Some(last) = (1..SLOTS).rev().find(|slot| logs[*slot] > 0) else { return Ok(1) };
        if let Some(missing) = (1..last).find(|slot| logs[*slot] != 2) {
            let reason = format!("{} has {} logs instead of two", Slot(missing as u8), logs[missing]);
            return Err(PoolError::new(Kind::NotFound, self.subject(), reason));
        }
        if logs[last] == 2 {
            return Ok(last + 1);
        }
        self.remove_half_pair(Slot(last as u8)).await?;
        Ok(last)
    }

    async fn remove_half_pair(&self, slot: Slot) -> Result<()> {
        let mdc0 = self.container(Slot::ZERO);
        for id in ObjectId::mdc_logs(slot) {
            if let Some(log) = mdc0.committed(id) {
                self.log(Level::Info, format!("{slot} was not finished; its log {id} is removed"));
                self.delete_object(log.hold()).await?;
            }
        }
        Ok(())
    }

    /// New containers get logs of the average size of those that are there.
    fn learn_log_size(&self) {
        let zones: Vec<_> = self.container(Slot::ZERO).all_committed().iter().map(|log| log.extent().zones).collect();
        if !zones.is_empty() {
            self.mdc_log_zones.set((zones.iter().sum::<u64>() / zones.len() as u64).max(1));
        }
    }

    /// Brings content of older versions to the present one: MDC0 first, so that it never mixes old and new records.
    ///
    /// # Errors
    /// Io.
    pub(in crate::pool) async fn convert_content(&self) -> Result<()> {
        for container in self.containers() {
            if container.version.get() != self.content_version() {
                let (slot, old) = (container.slot(), container.version.get());
                let _rest = container.compaction.exclusive().await;
                self.compact(container).await?;
                self.log(Level::Info, format!("{slot} was brought from version {old} to {}", self.content_version()));
            }
        }
        Ok(())
    }
}

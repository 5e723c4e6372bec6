// SPDX-License-Identifier: BSD-3-Clause

//! Reads the metadata of all objects at activation.
//!
//! MDC0 comes first, for the logs of the others; then these, several at a time. Records are applied in the order in
//! which they were written, to a [`Roll`]; the final content becomes objects. Their zones are marked as in use when all
//! are known, in zone order. An inconsistency fails the activation: nothing is guessed.

use std::cell::{Cell, RefCell};

use futures::stream::{self, StreamExt};

use super::container::Container;
use super::object::{Object, ObjectState};
use super::roll::Roll;
use crate::error::{Kind, PoolError, Result};
use crate::format::{ContentVersion, ObjectCreate, Record, MAX_RECORD_BYTES};
use crate::host::Level;
use crate::ids::{Extent, MediaClass, ObjectId, ObjectType, Slot, SLOTS};
use crate::lock::ordered;
use crate::Pool;

/// The zones of the objects that were read, by [`MediaClass::index`].
type Found = [Vec<(Extent, ObjectId)>; 2];

impl Pool {
    /// Reads all objects, marks their zones in the space maps, and opens all containers. MDC0 must be open.
    ///
    /// # Errors
    /// Metadata that is corrupt, inconsistent or newer than this software; Io.
    pub(crate) async fn load_objects(&self) -> Result<()> {
        let mdc0 = self.container(Slot::ZERO);
        let found = RefCell::new(Found::default());
        self.load_container(mdc0, &found).await?;
        // The repair of a container may need free zones.
        self.take_found(found.take())?;
        let count = self.validate_container_set().await?;
        self.container_count.set(count);
        let jobs = (self.tunables.borrow().load_jobs() as usize).clamp(1, count.max(1));
        let (failure, found) = (&Cell::new(None), &found);
        stream::iter(1..count)
            .for_each_concurrent(jobs, |slot| {
                ordered(async move {
                    // The first failure stops the loads that have not begun. The others finish: they may be erasing a
                    // log.
                    let failed = failure.take();
                    if failed.is_some() {
                        return failure.set(failed);
                    }
                    if let Err(error) = self.open_and_load(self.container(Slot(slot as u8)), found).await {
                        let first = failure.take().unwrap_or(error);
                        failure.set(Some(first));
                    }
                })
            })
            .await;
        failure.take().map_or(Ok(()), Err)?;
        self.take_found(found.take())?;
        self.learn_log_size();
        Ok(())
    }

    async fn open_and_load(&self, container: &Container, found: &RefCell<Found>) -> Result<()> {
        let slot = container.slot();
        container.unread.set(true);
        let opened = self.open_pair(slot).await;
        let mdc = opened.map_err(|error| error.while_doing(&format!("loading {slot}")))?;
        *container.mdc.borrow_mut() = Some(mdc);
        self.load_container(container, found).await
    }

    async fn load_container(&self, container: &Container, found: &RefCell<Found>) -> Result<()> {
        let slot = container.slot();
        let mut roll = Roll::default();
        let read = self.read_records(container, |record| self.apply(container, &mut roll, record)).await;
        read.map_err(|error| error.while_doing(&format!("loading {slot}")))?;
        container.unread.set(false);
        container.resume_identifiers();
        let (mut objects, mut found) = (Vec::new(), found.borrow_mut());
        for create in roll.finish() {
            let object = Object::new(&create, self.drive_of(create.class)?, ObjectState::Committed)?;
            self.check_loaded(container, &object)?;
            found[create.class.index()].push((create.extent, create.id));
            objects.push(object);
        }
        container.fill(objects);
        Ok(())
    }

    /// Marks the zones of objects as in use in the space maps.
    fn take_found(&self, found: Found) -> Result<()> {
        for (class, mut found) in MediaClass::ALL.into_iter().zip(found) {
            if found.is_empty() {
                continue;
            }
            found.sort_unstable_by_key(|(extent, _)| extent.first);
            let drive = self.drive_of(class)?;
            let taken = drive.space().borrow_mut().insert_in_order(found.iter().map(|(extent, _)| *extent));
            taken.map_err(|(index, error)| {
                let id = found[index].1;
                error.while_doing(&format!("loading {}: taking the zones of {id}", id.slot()))
            })?;
        }
        Ok(())
    }

    /// Checks what no single record shows. An id that was never allocated would be allocated again.
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

    /// Passes all records of an open container to `apply`, after checking the version record.
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
        mdc.read_on(MAX_RECORD_BYTES, |bytes| {
            let record = Record::decode_as(container.version.get(), bytes)
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
            apply(&record)
        })
        .await
    }

    /// Applies one record of an object.
    fn apply(&self, container: &Container, roll: &mut Roll, record: &Record) -> Result<()> {
        match *record {
            Record::ObjectCreate(ref create) => {
                self.check_slot(container, create.id)?;
                self.drive_of(create.class)?;
                if !roll.insert(*create) {
                    return Err(PoolError::new(Kind::Exists, create.id.to_string(), "it is created twice"));
                }
                container.count(|counts| counts.creates += 1);
            }
            Record::ObjectUpdate(ref create) => {
                self.drive_of(create.class)?;
                *self.recorded(container, roll, create.id)? = *create;
                container.count(|counts| counts.updates += 1);
            }
            Record::ObjectDelete(id) => {
                self.check_slot(container, id)?;
                if !roll.remove(id) {
                    return Err(never_created(id));
                }
                container.count(|counts| counts.deletes += 1);
            }
            Record::ObjectErase { id, generation } => {
                let object = self.recorded(container, roll, id)?;
                if generation < object.generation {
                    let reason = format!("it is erased to generation {generation}, but has {}", object.generation);
                    return Err(PoolError::invalid(id.to_string(), reason));
                }
                object.generation = generation;
                container.count(|counts| counts.erases += 1);
            }
            Record::IdCheckpoint(id) => {
                self.check_slot_number(container, id)?;
                // An empty checkpoint may be the first.
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

    fn recorded<'a>(&self, container: &Container, roll: &'a mut Roll, id: ObjectId) -> Result<&'a mut ObjectCreate> {
        self.check_slot(container, id)?;
        roll.get_mut(id).ok_or_else(|| never_created(id))
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

    /// Checks that MDC0 describes whole pairs of logs, and removes the half pair that a power cut may have left.
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

    /// New containers get logs of the average size of the existing ones.
    fn learn_log_size(&self) {
        let zones: Vec<_> = self.container(Slot::ZERO).all_committed().iter().map(|log| log.extent().zones).collect();
        if !zones.is_empty() {
            self.mdc_log_zones.set((zones.iter().sum::<u64>() / zones.len() as u64).max(1));
        }
    }

    /// Converts content of older versions to the present one: MDC0 first, so that it never mixes old and new records.
    ///
    /// # Errors
    /// Io.
    pub(crate) async fn convert_content(&self) -> Result<()> {
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

fn never_created(id: ObjectId) -> PoolError {
    PoolError::new(Kind::NotFound, id.to_string(), "a record names it, but it was not created")
}

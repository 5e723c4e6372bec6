// SPDX-License-Identifier: BSD-3-Clause

//! The lifecycle of objects: allocation, commit, abort and deletion, the same for all kinds.
//!
//! Crash rule: an object exists after a power cut if and only if its creation was logged and its deletion was not.
//!
//! Differs from mpool: an allocation that finds no space waits for erasures in progress and for nothing else, instead
//! of retrying 1024 times; other errors are not retried. Whether an object is busy, committed or removed is checked
//! under its lock.

use std::rc::Rc;

use uuid::Uuid;

use super::container::Container;
use super::object::{Hold, Object, ObjectState};
use crate::drive::Drive;
use crate::error::{Kind, PoolError, Result};
use crate::format::{ObjectCreate, Record};
use crate::ids::{Extent, MediaClass, ObjectId, ObjectType};
use crate::lock::Lock;
use crate::space_map::Policy;
use crate::Pool;

/// The most objects whose creations, or deletions, are one batch of records: less than the smallest container holds.
const CHANGED_TOGETHER: usize = 256;

/// The states of objects that a lookup considers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Search {
    /// Committed objects only.
    Committed,
    /// Uncommitted objects only.
    Uncommitted,
    /// Objects in either state.
    Both,
}

/// The properties of a new object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wish {
    /// The kind of object.
    pub kind: ObjectType,
    /// The media class of its drive.
    pub class: MediaClass,
    /// The number of zones, at least 1.
    pub zones: u64,
    /// Spare zones may be used, and are used first.
    pub spare: bool,
}

impl Pool {
    /// Finds a client's object.
    ///
    /// # Errors
    /// NotFound: there is none in that state.
    pub fn find(&self, id: ObjectId, search: Search) -> Result<Rc<Object>> {
        let container = self.client_container(id.slot());
        let object = container.and_then(|container| match search {
            Search::Committed => container.committed(id),
            Search::Uncommitted => container.uncommitted(id),
            Search::Both => container.committed(id).or_else(|| container.uncommitted(id)),
        });
        object.ok_or_else(|| {
            let state = match search {
                Search::Committed => "no such committed object",
                Search::Uncommitted => "no such uncommitted object",
                Search::Both => "no such object",
            };
            PoolError::new(Kind::NotFound, id.to_string(), state)
        })
    }

    /// Finds an object of one kind.
    pub(crate) fn find_kind(&self, id: ObjectId, kind: ObjectType, search: Search) -> Result<Rc<Object>> {
        if id.kind() != Some(kind) {
            return Err(PoolError::invalid(id.to_string(), format!("it is no {kind}")));
        }
        self.find(id, search)
    }

    /// Allocates an uncommitted object with a new id, in a container of the pool's choice.
    pub(crate) async fn allocate(&self, wish: Wish) -> Result<Rc<Object>> {
        let drive = self.drive_of(wish.class)?;
        let slot = self.select_container()?;
        let container = self.container(slot);
        let id = self.new_id(container, wish.kind).await?;
        let object = self.place(id, wish, drive).await?;
        container.insert(Rc::clone(&object));
        Ok(object)
    }

    /// Allocates an uncommitted object with a given id that was allocated before.
    pub(crate) async fn reallocate(&self, id: ObjectId, wish: Wish) -> Result<Rc<Object>> {
        let refuse = |reason: &str| Err(PoolError::invalid(id.to_string(), reason));
        let Some(container) = self.client_container(id.slot()).filter(|_| id.kind() == Some(wish.kind)) else {
            return refuse("no container describes such objects");
        };
        if id.uniquifier() > container.last_uniquifier.get() {
            return refuse("the id was never handed out");
        }
        if container.knows(id) {
            return Err(PoolError::new(Kind::Exists, id.to_string(), "the object is there already"));
        }
        let object = self.place(id, wish, self.drive_of(wish.class)?).await?;
        // Another task may have run while this one waited for space.
        if container.knows(id) {
            self.erase_later(object);
            return Err(PoolError::new(Kind::Exists, id.to_string(), "the object is there already"));
        }
        container.insert(Rc::clone(&object));
        Ok(object)
    }

    /// Allocates zones for an object, waiting for erasures when there are none.
    pub(super) async fn place(&self, id: ObjectId, wish: Wish, drive: Rc<Drive>) -> Result<Rc<Object>> {
        let extent = self.take_zones(wish, &drive).await?;
        let uuid = (wish.kind == ObjectType::Mlog).then(|| self.new_uuid());
        let create = ObjectCreate { id, class: wish.class, extent, generation: 0, written_bytes: 0, uuid };
        Object::new(&create, drive, ObjectState::Uncommitted)
    }

    async fn take_zones(&self, wish: Wish, drive: &Rc<Drive>) -> Result<Extent> {
        let policy = if wish.spare { Policy::SpareThenUsable } else { Policy::UsableOnly };
        loop {
            let taken = drive.space().borrow_mut().allocate(wish.zones, policy);
            match taken {
                Err(error) if error.kind() == Kind::NoSpace => {
                    if !self.erasures.wait_for_one().await {
                        return Err(error.while_doing(&format!("allocating in {}", wish.class)));
                    }
                }
                other => return other,
            }
        }
    }

    pub(super) fn new_uuid(&self) -> Uuid {
        let mut bytes = [0; 16];
        self.host.random(&mut bytes);
        uuid::Builder::from_random_bytes(bytes).into_uuid()
    }

    /// Commits an object whose content is durable: from here on it survives. Committing again does nothing.
    pub(crate) async fn commit_object(&self, object: &Rc<Object>) -> Result<()> {
        let container = self.container(object.id().slot());
        let _rest = container.compaction.exclusive().await;
        match object.state() {
            ObjectState::Committed => return Ok(()),
            ObjectState::Removed => return Err(gone(object)),
            ObjectState::Uncommitted => {}
        }
        self.append_record(container, &Record::ObjectCreate(object.creation())).await?;
        container.count(|counts| counts.creates += 1);
        container.commit(object);
        Ok(())
    }

    /// Commits logs and slab objects together: those of one container with one write of its log. After a failure or a
    /// power cut any of them may be committed; the rest is uncommitted. Committed ones stay so.
    ///
    /// # Errors
    /// NotFound. Invalid: an mblock, whose length could still change. Io.
    pub async fn commit_together(&self, ids: &[ObjectId]) -> Result<()> {
        let mut objects = Vec::with_capacity(ids.len());
        let mut written = [false; 2];
        for id in ids {
            if id.kind() == Some(ObjectType::Mblock) {
                return Err(PoolError::invalid(id.to_string(), "mblocks are committed one by one"));
            }
            // A held object cannot be aborted meanwhile.
            let object = self.find(*id, Search::Both)?.hold();
            written[object.class().index()] |= object.kind() == ObjectType::Slab;
            objects.push(object);
        }
        for class in MediaClass::ALL {
            if written[class.index()] {
                self.drive_of(class)?.make_durable().await?;
            }
        }
        for some in batches(&mut objects) {
            self.commit_some(self.container(some[0].id().slot()), some).await?;
        }
        Ok(())
    }

    /// Commits objects of one container with one batch of records.
    async fn commit_some(&self, container: &Container, objects: &[Hold]) -> Result<()> {
        let _rest = container.compaction.exclusive().await;
        if let Some(removed) = objects.iter().find(|object| object.state() == ObjectState::Removed) {
            return Err(gone(removed));
        }
        let new: Vec<_> = objects.iter().filter(|object| object.state() == ObjectState::Uncommitted).collect();
        let records: Vec<_> = new.iter().map(|object| Record::ObjectCreate(object.creation())).collect();
        if records.is_empty() {
            return Ok(());
        }
        self.append_records(container, &records).await?;
        container.count(|counts| counts.creates += records.len() as u64);
        for object in new {
            container.commit(object);
        }
        Ok(())
    }

    /// Frees an uncommitted object.
    pub(crate) async fn abort_object(&self, object: Hold) -> Result<()> {
        let _changing = object.lock().exclusive().await;
        self.refuse_unless(&object, ObjectState::Uncommitted)?;
        let container = self.container(object.id().slot());
        container.remove(&object);
        self.release_zones(container, Rc::clone(&object));
        Ok(())
    }

    /// Deletes a committed object.
    pub(crate) async fn delete_object(&self, object: Hold) -> Result<()> {
        let _changing = object.lock().exclusive().await;
        self.delete_locked(std::slice::from_ref(&object)).await
    }

    /// Deletes committed objects together: those of one container with one write of its log. After a failure or a power
    /// cut any of them may be deleted; the rest is as before.
    ///
    /// # Errors
    /// NotFound. Busy: one of them is in use. Io.
    pub async fn delete_together(&self, ids: &[ObjectId]) -> Result<()> {
        let found = ids.iter().map(|id| Ok(self.find(*id, Search::Committed)?.hold()));
        let mut objects = found.collect::<Result<Vec<_>>>()?;
        for some in batches(&mut objects) {
            let Some(_changing) = Lock::try_exclusive_all(some.iter().map(|object| object.lock())) else {
                return Err(PoolError::new(Kind::Busy, "objects to be deleted", "one of them is being used"));
            };
            self.delete_locked(some).await?;
        }
        Ok(())
    }

    /// Deletes objects of one container, whose locks the caller holds, with one batch of records.
    async fn delete_locked(&self, objects: &[Hold]) -> Result<()> {
        let Some(first) = objects.first() else { return Ok(()) };
        let container = self.container(first.id().slot());
        let _rest = container.compaction.exclusive().await;
        for object in objects {
            self.refuse_unless(object, ObjectState::Committed)?;
        }
        let records: Vec<_> = objects.iter().map(|object| Record::ObjectDelete(object.id())).collect();
        objects.iter().for_each(|object| object.set_leaving(true));
        let logged = self.append_records(container, &records).await;
        objects.iter().for_each(|object| object.set_leaving(false));
        logged?;
        container.count(|counts| counts.deletes += records.len() as u64);
        for object in objects {
            container.remove(object);
            self.erase_later(Rc::clone(object));
        }
        Ok(())
    }

    /// Refuses an object in another state, or one with holds besides the caller's.
    fn refuse_unless(&self, object: &Hold, state: ObjectState) -> Result<()> {
        if object.state() == ObjectState::Removed {
            return Err(gone(object));
        }
        if object.state() != state {
            return Err(PoolError::invalid(object.id().to_string(), format!("it is {:?}", object.state())));
        }
        if object.holds() > 1 {
            return Err(PoolError::new(Kind::Busy, object.id().to_string(), "it is open, mapped or in use"));
        }
        Ok(())
    }
}

/// The objects in order of their containers, in parts that are one batch of records each.
fn batches(objects: &mut [Hold]) -> impl Iterator<Item = &[Hold]> {
    objects.sort_by_key(|object| object.id().slot());
    let of_one_container = objects.chunk_by(|one, other| one.id().slot() == other.id().slot());
    of_one_container.flat_map(|objects| objects.chunks(CHANGED_TOGETHER))
}

pub(crate) fn gone(object: &Object) -> PoolError {
    PoolError::new(Kind::NotFound, object.id().to_string(), "the object was deleted")
}

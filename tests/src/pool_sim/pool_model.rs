// SPDX-License-Identifier: BSD-3-Clause

//! What a pool may contain, given what its users were told.
//!
//! An object is there after a power cut if its commit was acknowledged and its deletion was not begun; it is not
//! there if it was never being committed, or its deletion was acknowledged; else it is there or not. Its content is
//! right in any case. No id is handed out twice, over all lives. The space in use is that of the objects, of the
//! superblocks and of the metadata containers, to the zone.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use mpool::{MediaClass, ObjectId, ObjectType};

use super::log_model::LogModel;
use super::slab_model::SlabModel;

/// A value that a call may or may not have changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Possible<T> {
    /// The value before.
    pub sure: T,
    /// Values that calls were to set which have not been acknowledged.
    pub maybe: Vec<T>,
}

impl<T: Clone + PartialEq + fmt::Debug> Possible<T> {
    /// A value that is known.
    pub const fn known(value: T) -> Possible<T> {
        Possible { sure: value, maybe: Vec::new() }
    }

    /// A call that changes the value begins.
    pub fn begin(&mut self, value: T) {
        self.maybe.push(value);
    }

    /// The last call was acknowledged.
    pub fn done(&mut self) {
        if let Some(value) = self.maybe.pop() {
            *self = Possible::known(value);
        }
    }

    /// It can be this one.
    pub fn can_be(&self, value: &T) -> bool {
        self.sure == *value || self.maybe.contains(value)
    }

    /// The value was seen.
    ///
    /// # Errors
    /// It cannot be that one.
    pub fn settle(&mut self, what: &str, seen: &T) -> Result<(), String> {
        if !self.can_be(seen) {
            return Err(format!("{what} is {seen:?}, but {self:?} is possible"));
        }
        *self = Possible::known(seen.clone());
        Ok(())
    }
}

/// Whether an object is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// In memory only.
    Uncommitted,
    /// For good.
    Committed,
    /// A commit or a deletion has begun and was not acknowledged.
    Doubtful,
}

/// What an object contains.
#[derive(Debug, Clone)]
pub enum Content {
    /// Bytes of a pattern that follows from the id: how many.
    Mblock(u64),
    /// Records, and the log's generation.
    Mlog(LogModel, Possible<u64>),
    /// Sectors.
    Slab(SlabModel),
}

/// An object.
#[derive(Debug, Clone)]
pub struct ObjectModel {
    /// Where it lies.
    pub class: MediaClass,
    /// Zones.
    pub zones: u64,
    /// Whether it is there.
    pub standing: Standing,
    /// What is in it.
    pub content: Content,
}

/// The expected pool.
#[derive(Debug, Clone)]
pub struct PoolModel {
    /// It exists.
    pub exists: Possible<bool>,
    /// Its name.
    pub name: Possible<String>,
    /// Its label.
    pub label: Possible<String>,
    /// Spare zones of the classes, in percent.
    pub spare: [Possible<u8>; 2],
    /// The drive for STAGING has joined.
    pub staging: Possible<bool>,
    /// An addition of that drive was begun at some time. One that is cut off in its first write leaves a superblock
    /// that cannot be told from a damaged one, so that a later addition may be refused.
    pub staging_tried: bool,
    /// Zones of the drives of the classes.
    pub zones: [Possible<u64>; 2],
    /// Client objects, those of the pool's users.
    pub objects: BTreeMap<ObjectId, ObjectModel>,
    /// Every id ever handed out.
    pub issued: BTreeSet<ObjectId>,
    /// The largest number of metadata containers that was seen.
    pub containers: usize,
}

impl PoolModel {
    /// No pool.
    #[must_use]
    pub fn none() -> PoolModel {
        PoolModel {
            exists: Possible::known(false),
            name: Possible::known(String::new()),
            label: Possible::known(String::new()),
            spare: [Possible::known(0), Possible::known(0)],
            staging: Possible::known(false),
            staging_tried: false,
            zones: [Possible::known(0), Possible::known(0)],
            objects: BTreeMap::new(),
            issued: BTreeSet::new(),
            containers: 0,
        }
    }

    /// An id was handed out for a new object.
    ///
    /// # Errors
    /// It was handed out before.
    pub fn issue(&mut self, id: ObjectId, object: ObjectModel) -> Result<(), String> {
        if !self.issued.insert(id) {
            return Err(format!("{id} was handed out twice"));
        }
        self.objects.insert(id, object);
        Ok(())
    }

    /// An object.
    ///
    /// # Errors
    /// The model does not know it.
    pub fn object(&mut self, id: ObjectId) -> Result<&mut ObjectModel, String> {
        self.objects.get_mut(&id).ok_or_else(|| format!("the model knows no {id}"))
    }

    /// A log's records.
    ///
    /// # Errors
    /// The model knows no such log.
    pub fn log(&mut self, id: ObjectId) -> Result<&mut LogModel, String> {
        match &mut self.object(id)?.content {
            Content::Mlog(log, _) => Ok(log),
            _ => Err(format!("{id} is no log")),
        }
    }

    /// A slab object's sectors.
    ///
    /// # Errors
    /// The model knows no such slab object.
    pub fn slab(&mut self, id: ObjectId) -> Result<&mut SlabModel, String> {
        match &mut self.object(id)?.content {
            Content::Slab(slab) => Ok(slab),
            _ => Err(format!("{id} is no slab object")),
        }
    }

    /// The power was cut, or the pool was deactivated: what is only in memory is gone.
    pub fn crash(&mut self) {
        self.objects.retain(|_, object| object.standing != Standing::Uncommitted);
        for object in self.objects.values_mut() {
            match &mut object.content {
                Content::Mblock(_) => {}
                Content::Mlog(log, _) => log.crash(),
                Content::Slab(slab) => slab.crash(),
            }
        }
    }

    /// A device has failed: what logs had acknowledged, but was not durable, may be lost.
    pub fn device_failed(&mut self) {
        for object in self.objects.values_mut() {
            if let Content::Mlog(log, _) = &mut object.content {
                log.device_failed();
            }
        }
    }

    /// Zones of the objects of a class.
    #[must_use]
    pub fn zones_of(&self, class: MediaClass) -> u64 {
        self.objects.values().filter(|object| object.class == class).map(|object| object.zones).sum()
    }

    /// Objects of a kind: how many, and their zones.
    #[must_use]
    pub fn count(&self, kind: ObjectType, class: Option<MediaClass>) -> (u64, u64) {
        let of_kind = self.objects.iter().filter(|(id, _)| id.kind() == Some(kind));
        let of_class = of_kind.filter(|(_, object)| class.is_none_or(|class| class == object.class));
        of_class.fold((0, 0), |(count, zones), (_, object)| (count + 1, zones + object.zones))
    }

    /// Bytes written to the mblocks of a class.
    #[must_use]
    pub fn written(&self, class: Option<MediaClass>) -> u64 {
        let of_class = self.objects.values().filter(|object| class.is_none_or(|class| class == object.class));
        of_class.map(|object| if let Content::Mblock(written) = object.content { written } else { 0 }).sum()
    }
}

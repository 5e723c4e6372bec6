// SPDX-License-Identifier: BSD-3-Clause

//! The names of things in a pool: media classes, objects, metadata slots, zones.
//!
//! Object id, a u64 on media:
//! ```text
//!  63                        12 11    8 7        0
//! +----------------------------+-------+----------+
//! |     uniquifier (52 bit)    | type  |   slot   |
//! +----------------------------+-------+----------+
//! ```
//! Differs from mpool: a third type, the slab object.

use core::fmt;

/// Bytes in a page, the unit of object I/O.
pub const PAGE_BYTES: usize = 4096;

/// The most metadata containers of a pool, including MDC0.
pub const SLOTS: usize = 256;

/// A media class; a pool has at most one drive in each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum MediaClass {
    /// Ingest, hot: optional.
    Staging = 0,
    /// Primary, cold: every pool has it, and its metadata lies there.
    Capacity = 1,
}

impl MediaClass {
    /// Both classes, by number.
    pub const ALL: [MediaClass; 2] = [MediaClass::Staging, MediaClass::Capacity];

    /// The class with a number on media; none when there is no such class.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<MediaClass> {
        match number {
            0 => Some(MediaClass::Staging),
            1 => Some(MediaClass::Capacity),
            _ => None,
        }
    }

    /// The index of the class in a table.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for MediaClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            MediaClass::Staging => "STAGING",
            MediaClass::Capacity => "CAPACITY",
        })
    }
}

/// The kind of an object; the numbers are those on media.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum ObjectType {
    /// Written once, then immutable.
    Mblock = 1,
    /// A log of records.
    Mlog = 2,
    /// A run of zones with block I/O in place.
    Slab = 3,
}

impl ObjectType {
    /// The type with a number on media; none when there is no such type.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<ObjectType> {
        match number {
            1 => Some(ObjectType::Mblock),
            2 => Some(ObjectType::Mlog),
            3 => Some(ObjectType::Slab),
            _ => None,
        }
    }
}

impl fmt::Display for ObjectType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ObjectType::Mblock => "mblock",
            ObjectType::Mlog => "mlog",
            ObjectType::Slab => "slab object",
        })
    }
}

/// The number of a metadata container, 0 to 255. Slot 0 (MDC0) describes the logs of the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(pub u8);

impl Slot {
    /// The slot of MDC0.
    pub const ZERO: Slot = Slot(0);

    /// The index of the slot in a table.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MDC{}", self.0)
    }
}

/// The largest uniquifier.
pub const MAX_UNIQUIFIER: u64 = (1 << 52) - 1;

/// The id of an object. Any u64 can be one; [`ObjectId::kind`] says whether it is well-formed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId(pub u64);

impl ObjectId {
    /// Composes an id. The uniquifier is at most [`MAX_UNIQUIFIER`].
    #[must_use]
    pub const fn new(uniquifier: u64, kind: ObjectType, slot: Slot) -> ObjectId {
        assert!(uniquifier <= MAX_UNIQUIFIER, "a uniquifier has 52 bits");
        ObjectId(uniquifier << 12 | (kind as u64) << 8 | slot.0 as u64)
    }

    /// The part that is unique within the slot.
    #[must_use]
    pub const fn uniquifier(self) -> u64 {
        self.0 >> 12
    }

    /// The kind of object that the id names; none when there is no such kind.
    #[must_use]
    pub const fn kind(self) -> Option<ObjectType> {
        ObjectType::from_number((self.0 >> 8 & 0xf) as u8)
    }

    /// The container that holds the object's metadata.
    #[must_use]
    pub const fn slot(self) -> Slot {
        Slot(self.0 as u8)
    }

    /// True for an id of a client's object: an existing type, and not in slot 0.
    #[must_use]
    pub const fn is_user(self) -> bool {
        self.kind().is_some() && self.slot().0 != 0
    }

    /// The ids of a container's two logs: uniquifiers 2n and 2n+1 in slot 0.
    #[must_use]
    pub const fn mdc_logs(slot: Slot) -> [ObjectId; 2] {
        let first = 2 * slot.0 as u64;
        [ObjectId::new(first, ObjectType::Mlog, Slot::ZERO), ObjectId::new(first + 1, ObjectType::Mlog, Slot::ZERO)]
    }

    /// The ids of the root MDC's two logs.
    pub const ROOT_LOGS: [ObjectId; 2] =
        [ObjectId::new(0, ObjectType::Mlog, Slot(1)), ObjectId::new(1, ObjectType::Mlog, Slot(1))];
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind() {
            Some(kind) => write!(f, "{kind} {:#x}", self.0),
            None => write!(f, "object {:#x}", self.0),
        }
    }
}

impl fmt::Debug for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A run of zones of one drive. An extent from media may be any; [`Extent::end`] is none if it overflows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Extent {
    /// The first zone.
    pub first: u64,
    /// The number of zones.
    pub zones: u64,
}

impl Extent {
    /// The zone after the last; none when there is no such number.
    #[must_use]
    pub const fn end(self) -> Option<u64> {
        self.first.checked_add(self.zones)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// mpool-89, partly: mpool's object ids.
    #[test]
    fn ids_are_those_of_the_specification() {
        assert_eq!(ObjectId::mdc_logs(Slot(0)).map(|id| id.0), [0x200, 0x1200]);
        assert_eq!(ObjectId::mdc_logs(Slot(1)).map(|id| id.0), [0x2200, 0x3200]);
        assert_eq!(ObjectId::ROOT_LOGS.map(|id| id.0), [0x201, 0x1201]);
        assert_eq!(ObjectId::new(1, ObjectType::Mblock, Slot(2)).0, 0x1102);
    }

    #[test]
    fn an_id_comes_apart_as_it_was_put_together() {
        let id = ObjectId::new(MAX_UNIQUIFIER, ObjectType::Slab, Slot(255));
        assert_eq!((id.uniquifier(), id.kind(), id.slot()), (MAX_UNIQUIFIER, Some(ObjectType::Slab), Slot(255)));
        assert!(id.is_user() && !ObjectId::mdc_logs(Slot(1))[0].is_user() && !ObjectId(0xf01).is_user());
    }
}

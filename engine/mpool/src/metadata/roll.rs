// SPDX-License-Identifier: BSD-3-Clause

//! The objects that a container's records describe, while the records are read.
//!
//! Most records come in id order, those of a compacted container all do. So descriptions are kept in a sorted list, and
//! only late ones in a tree beside it: a million objects are appended without a search for each. Objects are made of
//! the final content when all records have been read.

use std::collections::btree_map::{BTreeMap, Entry};

use crate::format::ObjectCreate;
use crate::ids::ObjectId;

/// The descriptions read so far.
#[derive(Debug, Default)]
pub(super) struct Roll {
    /// Sorted by id; removed ones keep their places.
    listed: Vec<(ObjectCreate, bool)>,
    /// Objects with ids below the last listed one that are not in the list.
    late: BTreeMap<ObjectId, ObjectCreate>,
}

impl Roll {
    /// The place in the list of an id, present or removed.
    fn place(&self, id: ObjectId) -> Option<usize> {
        self.listed.binary_search_by_key(&id, |(object, _)| object.id).ok()
    }

    /// A present object, by id.
    pub(super) fn get_mut(&mut self, id: ObjectId) -> Option<&mut ObjectCreate> {
        match self.place(id) {
            Some(place) => Some(&mut self.listed[place]).filter(|(_, there)| *there).map(|(object, _)| object),
            None => self.late.get_mut(&id),
        }
    }

    /// Adds an object. False if it is present already.
    pub(super) fn insert(&mut self, object: ObjectCreate) -> bool {
        if self.listed.last().is_none_or(|(last, _)| last.id < object.id) {
            self.listed.push((object, true));
            return true;
        }
        match self.place(object.id) {
            Some(place) if self.listed[place].1 => false,
            Some(place) => {
                self.listed[place] = (object, true);
                true
            }
            None => match self.late.entry(object.id) {
                Entry::Occupied(_) => false,
                Entry::Vacant(free) => {
                    free.insert(object);
                    true
                }
            },
        }
    }

    /// Removes an object. False if it is not present.
    pub(super) fn remove(&mut self, id: ObjectId) -> bool {
        match self.place(id) {
            Some(place) => std::mem::replace(&mut self.listed[place].1, false),
            None => self.late.remove(&id).is_some(),
        }
    }

    /// All present objects, by id.
    pub(super) fn finish(self) -> Vec<ObjectCreate> {
        let listed = self.listed.into_iter().filter(|(_, there)| *there).map(|(object, _)| object);
        let mut objects: Vec<_> = listed.chain(self.late.into_values()).collect();
        // These are two sorted runs, which a stable sort merges.
        objects.sort_by_key(|object| object.id);
        objects
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{Extent, MediaClass, ObjectType, Slot};

    fn object(uniquifier: u64, written_bytes: u64) -> ObjectCreate {
        let id = ObjectId::new(uniquifier, ObjectType::Mblock, Slot(1));
        let extent = Extent { first: 1, zones: 1 };
        ObjectCreate { id, class: MediaClass::Capacity, extent, generation: 0, written_bytes, uuid: None }
    }

    /// Compares a roll with a tree, with ids that mostly grow, and with ids in any order.
    #[test]
    fn a_roll_agrees_with_a_tree() {
        let mut random = crate::testing::Random::new(5);
        for round in 0..200 {
            let (mut roll, mut tree) = (Roll::default(), BTreeMap::new());
            for step in 0..200_u64 {
                let spread = if round % 2 == 0 { 8 } else { 200 };
                let base = if round % 2 == 0 { step } else { 0 };
                let made = object(base + random.below(spread) as u64, step);
                match random.below(4) {
                    0 | 1 => {
                        assert_eq!(roll.insert(made), !tree.contains_key(&made.id));
                        tree.entry(made.id).or_insert(made);
                    }
                    2 => assert_eq!(roll.remove(made.id), tree.remove(&made.id).is_some()),
                    _ => {
                        assert_eq!(roll.get_mut(made.id), tree.get_mut(&made.id));
                        if let (Some(listed), Some(kept)) = (roll.get_mut(made.id), tree.get_mut(&made.id)) {
                            listed.written_bytes = step;
                            kept.written_bytes = step;
                        }
                    }
                }
            }
            assert!(roll.finish().iter().eq(tree.values()), "round {round}");
        }
    }
}

// SPDX-License-Identifier: BSD-3-Clause

//! Converts a table to and from the buckets of an image.
//!
//! Invariant: a table made from any buckets holds only records that updates could have put where they are.

use super::{high_product, key_bits_for, Table, LEAST_TAG_BITS, OLDEST};
use crate::index::record::{Bucket, Record, SLOTS, TAG_BITS};

impl Table {
    /// All buckets of a complete table, in order.
    pub(in crate::index) fn buckets(&self) -> impl Iterator<Item = &Bucket> {
        debug_assert!(self.taken == 0 && self.cleared == self.count, "a complete table");
        self.segments.iter().flatten()
    }

    /// The current generation.
    pub(in crate::index) const fn generation(&self) -> u64 {
        self.generation
    }

    /// An empty table with the key and the generation of a saved one; `None` if no table can have them.
    pub(in crate::index) fn like_saved(count: usize, key_bits: u32, generation: u64) -> Option<Table> {
        let possible = key_bits_for(count, LEAST_TAG_BITS)..=key_bits_for(count, TAG_BITS);
        if !possible.contains(&key_bits) {
            return None;
        }
        let mut table = Table::reserve(count, key_bits);
        table.clear(count);
        table.generation = generation;
        Some(table)
    }

    /// Restores a bucket of a saved table. False if the table has no such bucket, or a record cannot be in it.
    pub(in crate::index) fn restore_bucket(&mut self, at: usize, mut saved: Bucket) -> bool {
        if at >= self.count || !saved.is_valid() {
            return false;
        }
        let placed = |record: &Record| record.is_empty() || self.can_hold(at, *record);
        if !saved.records().all(|record| placed(&record)) {
            return false;
        }
        saved.limit_age(self.generation, OLDEST);
        self.len += u64::from(SLOTS as u32 - saved.free().count_ones());
        *self.bucket_mut(at) = saved;
        true
    }

    /// Whether some key leads from `bucket` to a record. If a bucket has fewer keys than there are tags, some tags are
    /// impossible.
    fn can_hold(&self, bucket: usize, record: Record) -> bool {
        let key = self.key_of(bucket, record);
        let primary = self.primary_of(bucket, record);
        key >> self.key_bits == 0 && high_product(key << (u64::BITS - self.key_bits), self.count) == primary
    }
}

// SPDX-License-Identifier: BSD-3-Clause

//! The recovery journal's part of a dump.

use super::Journal;
use crate::dump::JournalDump;

impl<Buf: Copy> Journal<Buf> {
    /// Positions and state of the journal.
    #[must_use]
    pub fn dump(&self) -> JournalDump {
        JournalDump {
            next_entry: self.next_entry(),
            committed: self.committed,
            applied: self.applied,
            map_head: self.map_head,
            slab_head: self.slabs.head(),
            free_sectors: self.ring.free_sectors(),
            sets: self.sets.len(),
            full: self.full,
            erasing: self.is_erasing(),
            failed: self.failed.is_some(),
        }
    }
}

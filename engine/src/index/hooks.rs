// SPDX-License-Identifier: BSD-3-Clause

//! Hooks: the sampled fingerprints by which a section of old records is found again.
//!
//! One fingerprint in 32 is a hook ([`ShortFingerprint::is_hook`]), so a full section has about 128 of them. The table
//! maps a hook to the section that had it last. It is an [`Index`] like level 1, 8 bytes per entry, with a section
//! number in place of the location. So its memory is allocated only when the table is created, it has room for the
//! hooks of the whole window at 90% fill (0.28 bytes per record of the window), and when there are too many hooks,
//! those not used for the longest time are evicted.
//!
//! Differs from dm-vdo: hooks of deleted sections are removed when a lookup finds them, not by walking a list.
//!
//! Invariant: an entry is advice, like everything in the index: 1.2 to 2.4 times in 10000 a hook that was never seen
//! has the key of another one, and a section is read in vain.

use super::{Age, Index};
use crate::fingerprint::ShortFingerprint;
use crate::format::index_section::SECTION_RECORDS;
use crate::format::{Mapped, MappingState};
use crate::units::Pbn;

/// One fingerprint in this many is a hook.
const SAMPLING: usize = 32;

/// Bytes of an entry.
const ENTRY_BYTES: usize = 8;

/// Number of a section, assigned by the shard in the order in which it created or found its sections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SectionNumber(pub u64);

impl SectionNumber {
    /// All numbers are smaller: at a million records a second they last for thousands of years.
    const END: u64 = (1 << 36) - 1;

    fn location(self) -> Mapped {
        assert!(self.0 < SectionNumber::END, "an index section has number {}", self.0);
        Mapped { pbn: Pbn(self.0 + 1), state: MappingState::Uncompressed }
    }

    const fn of(location: Mapped) -> SectionNumber {
        SectionNumber(location.pbn.0 - 1)
    }
}

/// The hooks of one shard.
#[derive(Debug)]
pub(super) struct Hooks {
    table: Index,
}

impl Hooks {
    /// Room for the hooks of `sections` full sections.
    pub(super) fn new(sections: u32) -> Hooks {
        let hooks = (sections as usize * SECTION_RECORDS).div_ceil(SAMPLING);
        // 90% full; the rounding down to pages in `Index::new` must not take the reserve away.
        Hooks { table: Index::new((hooks * ENTRY_BYTES * 10 / 9).next_multiple_of(4096)) }
    }

    /// Number of hooks held.
    pub(super) fn len(&self) -> u64 {
        self.table.len()
    }

    /// The section that had a hook last.
    pub(super) fn section(&mut self, hook: ShortFingerprint) -> Option<SectionNumber> {
        self.table.lookup(hook).map(SectionNumber::of)
    }

    /// A new section contains the hook.
    pub(super) fn add(&mut self, hook: ShortFingerprint, section: SectionNumber) {
        self.table.update(hook, section.location());
    }

    /// An old section contains the hook; ignored if a newer section is known to contain it.
    pub(super) fn add_old(&mut self, hook: ShortFingerprint, section: SectionNumber) {
        self.table.restore(hook, section.location(), Age::Old);
    }

    /// The section of a hook is deleted.
    pub(super) fn forget(&mut self, hook: ShortFingerprint, section: SectionNumber) {
        self.table.remove(hook, section.location());
    }
}

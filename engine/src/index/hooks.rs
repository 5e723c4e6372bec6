// SPDX-License-Identifier: BSD-3-Clause

//! Hooks: the sampled fingerprints by which a section of old records is found again.
//!
//! One fingerprint in 32 is a hook ([`ShortFingerprint::is_hook`]), so a full section has some 128 of them. The table
//! says of a hook which section had it last. It is kept as the level-1 index keeps locations, in 8 bytes each, with a
//! section number in the place of a location. From there it has: memory that is taken when the table is made and never
//! after, room for the hooks of the whole window at 90% fill (0.28 bytes for each record of the window), and hooks that are
//! not met for the longest time go when there are more of them than there should be.
//!
//! Differs from dm-vdo: hooks of sections that have been forgotten are removed when they are met, not by walking a list.
//!
//! Invariant: an entry is advice, as everything in the index is: 1.2 to 2.4 times in 10000 a hook that was never seen has
//! the key of another, and a section is read in vain.

use super::{Age, Index};
use crate::fingerprint::ShortFingerprint;
use crate::format::index_section::SECTION_RECORDS;
use crate::format::{Mapped, MappingState};
use crate::units::Pbn;

/// One fingerprint in so many is a hook.
const SAMPLING: usize = 32;

/// Bytes of an entry.
const ENTRY_BYTES: usize = 8;

/// Number of a section as the shard counts them, in the order in which it has made them or come to know them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SectionNumber(pub u64);

impl SectionNumber {
    /// Numbers are smaller: at a million records a second they last for thousands of years.
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
    /// Room for the hooks of so many full sections.
    pub(super) fn new(sections: u32) -> Hooks {
        let hooks = (sections as usize * SECTION_RECORDS).div_ceil(SAMPLING);
        // Full at 90%; rounding down to pages must not take it away again.
        Hooks { table: Index::new((hooks * ENTRY_BYTES * 10 / 9).next_multiple_of(4096)) }
    }

    /// Hooks held.
    pub(super) fn len(&self) -> u64 {
        self.table.len()
    }

    /// The section that had a hook last.
    pub(super) fn section(&mut self, hook: ShortFingerprint) -> Option<SectionNumber> {
        self.table.lookup(hook).map(SectionNumber::of)
    }

    /// A new section has the hook.
    pub(super) fn add(&mut self, hook: ShortFingerprint, section: SectionNumber) {
        self.table.update(hook, section.location());
    }

    /// An old section has the hook, which counts if no newer one is known to have it.
    pub(super) fn add_old(&mut self, hook: ShortFingerprint, section: SectionNumber) {
        self.table.restore(hook, section.location(), Age::Old);
    }

    /// The section of a hook is no more.
    pub(super) fn forget(&mut self, hook: ShortFingerprint, section: SectionNumber) {
        self.table.remove(hook, section.location());
    }
}

// SPDX-License-Identifier: BSD-3-Clause

//! Blocks of data, which are stored wrong or arrive wrong now and then.

use engine::format::{Mapping, MappingState};
use engine::packing::compression::extract;
use engine::{Block, Pbn, Place, BLOCK_SIZE};

use super::Disk;
use crate::sim::damage::{Damage, Kind};
use crate::sim::faults::{Cause, Faults};
use crate::sim::memory::{Buf, Memory, Owner};

impl Disk {
    /// The content that a mapping names; none if nothing was ever written there, or no such fragment.
    #[must_use]
    pub fn content(&self, mapping: Mapping) -> Option<Block> {
        let bytes = self.bytes(mapping.pbn())?;
        match mapping.state() {
            MappingState::Compressed(slot) => {
                let mut block = [0; BLOCK_SIZE];
                extract(bytes, slot, &mut block).ok()?;
                Some(block)
            }
            _ => Some(*bytes),
        }
    }

    /// True when a block holds something else than the data that it was last given.
    #[must_use]
    pub fn is_wrong(&self, pbn: Pbn) -> bool {
        self.history.present(pbn).is_some_and(|present| self.bytes(pbn) != Some(present))
    }

    /// True when a block was shown wrong to somebody who compared it: he may share it though it does not hold his
    /// content, which its check code tells whoever reads it.
    #[must_use]
    pub fn has_misled(&self, pbn: Pbn) -> bool {
        self.misled.contains(&pbn)
    }

    /// Spoils a stored block.
    pub fn spoil(&mut self, pbn: Pbn, (byte, bits): (usize, u8)) {
        let at = self.placement.locate(Place::Data(pbn));
        self.images[usize::from(at.device)].flip(at.at + byte as u64, bits);
    }

    /// A block of data was read into memory; it may turn out wrong.
    pub(super) fn read_data(&mut self, pbn: Pbn, buf: Buf, time: u32, memory: &mut Memory, faults: &mut Faults) {
        let target = memory.transfer(buf);
        if let Some(damage) = faults.rots() {
            let elsewhere = self.history.elsewhere(&damage, pbn).and_then(|other| self.bytes(other));
            let stored = *target;
            let kind = damage.apply(target, self.history.older(pbn), elsewhere);
            if *target != stored {
                faults.counts.read_wrong.count(kind);
            }
        }
        let wrong = self.history.present(pbn).is_some_and(|present| present != target);
        let verify = matches!(memory.owner(buf), Owner::Verify(_) | Owner::Relocation(_) | Owner::Swap(_));
        if wrong && verify {
            faults.counts.wrong_verifies += 1;
            self.misled.insert(pbn);
        } else if wrong || self.has_misled(pbn) {
            let count = if wrong { &mut faults.counts.wrong_reads } else { &mut faults.counts.misled_reads };
            *count += 1;
            faults.note(Cause::Rot, time);
        }
        if verify {
            self.counts.verified += 1;
        } else {
            self.counts.read += 1;
        }
    }

    /// Stores a block of data, or something wrong.
    pub(super) fn store_data(&mut self, pbn: Pbn, block: &Block, faults: &mut Faults) {
        let before = self.bytes(pbn).copied();
        self.history.given(pbn, block);
        self.poke(Place::Data(pbn), block);
        if let Some(damage) = faults.decays() {
            self.damage_stored(pbn, before.as_ref(), &damage, faults);
        }
    }

    fn damage_stored(&mut self, pbn: Pbn, before: Option<&Block>, damage: &Damage, faults: &mut Faults) {
        let Some(mut stored) = self.history.present(pbn).copied() else { return };
        let mut spoilt = Vec::from([pbn]);
        let kind = match self.history.elsewhere(damage, pbn) {
            // The write has gone to another block: that one is wrong now, and this one holds what it held before.
            Some(other) if damage.kind() == Kind::Misplaced && before.is_some() => {
                self.poke(Place::Data(other), &stored);
                spoilt.push(other);
                damage.apply(&mut stored, before, before)
            }
            _ => damage.apply(&mut stored, before, None),
        };
        self.poke(Place::Data(pbn), &stored);
        let wrong = spoilt.iter().filter(|pbn| self.is_wrong(**pbn));
        wrong.for_each(|_| faults.counts.stored_wrong.count(kind));
    }
}

// SPDX-License-Identifier: BSD-3-Clause

//! Wrong blocks: a disk stores or returns something else than it was given, without saying so.
//!
//! [`History`] keeps the present and the former content of each block of data. Damage can then be an older content or
//! another block's, and a wrong block can be recognised.

use std::collections::BTreeMap;

use engine::{Block, Pbn, BLOCK_SIZE, SECTOR_SIZE};
use mpool::testing::Random;

use super::content::SECTORS;
use super::model::SectorMask;

/// A kind of damage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Bits of one byte have flipped.
    Rot,
    /// An older content: of a write that was lost, or of a read that shows what was there before.
    Stale,
    /// Another block's content: of a write or a read that went to a wrong place. Such a write spoils two blocks.
    Misplaced,
    /// The older content in some sectors.
    Torn,
}

impl Kind {
    /// All kinds, in the order of [`DamageCounts`].
    pub const ALL: [Kind; 4] = [Kind::Rot, Kind::Stale, Kind::Misplaced, Kind::Torn];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Rot => "rotten",
            Kind::Stale => "stale",
            Kind::Misplaced => "misplaced",
            Kind::Torn => "torn",
        }
    }
}

/// Wrong blocks, by kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DamageCounts([u64; Kind::ALL.len()]);

impl DamageCounts {
    /// Counts one.
    pub fn count(&mut self, kind: Kind) {
        self.0[kind as usize] += 1;
    }

    /// Those of one kind.
    #[must_use]
    pub const fn of(&self, kind: Kind) -> u64 {
        self.0[kind as usize]
    }

    /// Those of all kinds.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Adds others.
    pub fn add(&mut self, other: &DamageCounts) {
        self.0.iter_mut().zip(other.0).for_each(|(count, more)| *count += more);
    }

    /// As words: how many of each kind.
    #[must_use]
    pub fn words(&self) -> String {
        let words: Vec<_> = Kind::ALL.iter().map(|kind| format!("{} {}", self.of(*kind), kind.name())).collect();
        words.join(", ")
    }
}

/// A damage, with all details that any kind needs.
#[derive(Debug, Clone, Copy)]
pub struct Damage {
    kind: Kind,
    byte: usize,
    bits: u8,
    older: SectorMask,
    place: u64,
}

impl Damage {
    /// Any damage.
    pub fn draw(random: &mut Random) -> Damage {
        Damage {
            kind: random.pick(&Kind::ALL),
            byte: random.index(BLOCK_SIZE),
            bits: 1 << random.below(8),
            older: random.between(1, u64::from(SectorMask::MAX) - 1) as SectorMask,
            place: random.draw(),
        }
    }

    /// The kind.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Applies it to what is right. Where what it needs is not there, it is rot.
    ///
    /// Returns the kind that it has become.
    pub fn apply(&self, block: &mut Block, older: Option<&Block>, elsewhere: Option<&Block>) -> Kind {
        match (self.kind, older, elsewhere) {
            (Kind::Stale, Some(older), _) => *block = *older,
            (Kind::Misplaced, _, Some(elsewhere)) => *block = *elsewhere,
            (Kind::Torn, Some(older), _) => {
                for sector in (0..SECTORS).filter(|sector| self.older >> sector & 1 == 1) {
                    let part = sector * SECTOR_SIZE..(sector + 1) * SECTOR_SIZE;
                    block[part.clone()].copy_from_slice(&older[part]);
                }
            }
            _ => {
                block[self.byte] ^= self.bits;
                return Kind::Rot;
            }
        }
        self.kind
    }
}

#[derive(Debug)]
struct Versions {
    present: Box<Block>,
    older: Option<Box<Block>>,
}

/// What blocks of data were given.
#[derive(Debug, Default)]
pub struct History(BTreeMap<Pbn, Versions>);

impl History {
    /// A block of data is written.
    pub fn given(&mut self, pbn: Pbn, block: &Block) {
        let older = self.0.remove(&pbn).map(|versions| versions.present);
        self.0.insert(pbn, Versions { present: Box::new(*block), older });
    }

    /// Something else than data is written there.
    pub fn forget(&mut self, pbn: Pbn) {
        self.0.remove(&pbn);
    }

    /// What the block should hold; none if it was never given any data.
    #[must_use]
    pub fn present(&self, pbn: Pbn) -> Option<&Block> {
        self.0.get(&pbn).map(|versions| &*versions.present)
    }

    /// What it should have held before.
    #[must_use]
    pub fn older(&self, pbn: Pbn) -> Option<&Block> {
        self.0.get(&pbn)?.older.as_deref()
    }

    /// Another block of data, the damage's choice.
    #[must_use]
    pub fn elsewhere(&self, damage: &Damage, pbn: Pbn) -> Option<Pbn> {
        let end = self.0.last_key_value()?.0 .0 + 1;
        let from = Pbn(damage.place % end);
        self.0.range(from..).chain(self.0.range(..from)).map(|(other, _)| *other).find(|other| *other != pbn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RIGHT: Block = [1; BLOCK_SIZE];
    const OLDER: Block = [2; BLOCK_SIZE];
    const OTHER: Block = [3; BLOCK_SIZE];

    fn damage(kind: Kind) -> Damage {
        Damage { kind, byte: 700, bits: 8, older: 0b10, place: 5 }
    }

    fn applied(kind: Kind, older: Option<&Block>) -> (Block, Kind) {
        let mut block = RIGHT;
        let kind = damage(kind).apply(&mut block, older, older.map(|_| &OTHER));
        (block, kind)
    }

    #[test]
    fn each_kind_does_what_its_name_says() {
        let (mut rotten, mut torn) = (RIGHT, RIGHT);
        rotten[700] ^= 8;
        torn[512..1024].fill(2);
        assert_eq!(applied(Kind::Rot, Some(&OLDER)), (rotten, Kind::Rot));
        assert_eq!(applied(Kind::Stale, Some(&OLDER)), (OLDER, Kind::Stale));
        assert_eq!(applied(Kind::Misplaced, Some(&OLDER)), (OTHER, Kind::Misplaced));
        assert_eq!(applied(Kind::Torn, Some(&OLDER)), (torn, Kind::Torn));
        for kind in Kind::ALL {
            assert_eq!(applied(kind, None), (rotten, Kind::Rot), "{kind:?} with nothing to take");
        }
    }

    #[test]
    fn history_knows_two_versions_and_other_blocks() {
        let mut history = History::default();
        history.given(Pbn(7), &OLDER);
        assert_eq!((history.older(Pbn(7)), history.elsewhere(&damage(Kind::Misplaced), Pbn(7))), (None, None));
        history.given(Pbn(7), &RIGHT);
        history.given(Pbn(9), &OTHER);
        assert_eq!((history.present(Pbn(7)), history.older(Pbn(7))), (Some(&RIGHT), Some(&OLDER)));
        assert_eq!(history.elsewhere(&damage(Kind::Misplaced), Pbn(7)), Some(Pbn(9)));
        assert_eq!(history.elsewhere(&damage(Kind::Misplaced), Pbn(9)), Some(Pbn(7)));
        history.forget(Pbn(9));
        assert_eq!(history.present(Pbn(9)), None);
    }
}

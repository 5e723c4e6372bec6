// SPDX-License-Identifier: BSD-3-Clause

//! Pages of the block map on media: 504 entries in eight sealed sectors.
//!
//! ```text
//!  sector 0 .. 7, each:  offset 0: 63 entries of 8 bytes, see `format::Mapping`     stamp: the writer's
//! ```
//! A leaf page's entries say where blocks are. An interior page's say where pages are: uncompressed, with the page's
//! life in place of a check code. A page that a power cut has torn is a mix of sectors of two images of the same page;
//! replay repairs it.
//!
//! Differs from dm-vdo: no flag in a page tells that it was never written. The recovery journal keeps a page's
//! allocation until the page has been written; so no page is written twice.

use thiserror::Error;

use super::sector::{self, DamagedSector, Identity, Kind, CONTENT_BYTES, SECTORS_PER_BLOCK};
use super::{Mapping, MappingState, PageId};
use crate::units::Block;

/// Entries in a page, and so mappings in a leaf page.
pub const ENTRIES: usize = ENTRIES_PER_SECTOR * SECTORS_PER_BLOCK;

/// Entries in each of a page's eight sectors.
pub const ENTRIES_PER_SECTOR: usize = CONTENT_BYTES / ENTRY_BYTES;

const ENTRY_BYTES: usize = 8;

const _: () = assert!(ENTRIES as u64 == crate::units::ENTRIES_PER_LEAF_PAGE);
const _: () = assert!(ENTRIES_PER_SECTOR * ENTRY_BYTES == CONTENT_BYTES, "no byte of a sector is unused");

/// Why a page cannot be used as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PageDamage {
    /// A sector is damaged, or belongs elsewhere.
    #[error(transparent)]
    Sector(#[from] DamagedSector),
    /// A sector is intact, but holds an entry that is never written.
    #[error("entry {entry} is {raw:#018x}, which no page of this level has")]
    Entry {
        /// The number of the entry, 0 to 503.
        entry: u16,
        /// The entry's 8 bytes, as a little-endian number.
        raw: u64,
    },
}

/// What a damaged page has lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Salvage {
    /// The lost sectors, one bit for each.
    pub lost_sectors: u8,
    /// Entries of the other sectors that are never written, and so count as unmapped.
    pub invalid_entries: u16,
}

/// Distinguishes a page's images from all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageName {
    /// Level and index of the page.
    pub page: PageId,
    /// The volume's nonce.
    pub nonce: u64,
    /// The check field of the entry that points to the page; 0 for a root. Pages are freed and allocated again: an
    /// image of an earlier page of the same name, perhaps in the same block, must not pass for this one's.
    pub life: u32,
}

impl PageName {
    /// The name of a page that `link`, an entry of its parent, points to; for a root, which has no parent, the link is
    /// unmapped.
    #[must_use]
    pub const fn new(page: PageId, nonce: u64, link: Mapping) -> PageName {
        PageName { page, nonce, life: link.check() }
    }

    fn identity(self) -> Identity {
        let PageName { page, nonce, life } = self;
        Identity { nonce, kind: Kind::MapPage, level: page.level, sector: 0, object: page.index, block: life }
    }
}

/// Encodes a page. `stamp` is not interpreted.
pub fn encode(name: PageName, stamp: u32, entries: &[u64; ENTRIES], block: &mut Block) {
    let identity = name.identity();
    let (entries, _) = entries.as_chunks::<ENTRIES_PER_SECTOR>();
    for (number, (sector, entries)) in sector::sectors_mut(block).iter_mut().zip(entries).enumerate() {
        let (fields, _) = sector[..CONTENT_BYTES].as_chunks_mut::<ENTRY_BYTES>();
        for (field, entry) in fields.iter_mut().zip(entries) {
            *field = entry.to_le_bytes();
        }
        sector::seal(sector, identity.at(number), stamp);
    }
}

/// Decodes a page. On an error, the content of `entries` is meaningless.
///
/// # Errors
/// The first sector or entry that is not valid.
pub fn decode(name: PageName, block: &Block, entries: &mut [u64; ENTRIES]) -> Result<(), PageDamage> {
    let identity = name.identity();
    let (chunks, _) = entries.as_chunks_mut::<ENTRIES_PER_SECTOR>();
    for (number, (sector, entries)) in sector::sectors(block).iter().zip(chunks).enumerate() {
        sector::open(sector, identity.at(number)).ok_or(DamagedSector(number as u8))?;
        let (fields, _) = sector[..CONTENT_BYTES].as_chunks::<ENTRY_BYTES>();
        for (slot, (field, entry)) in fields.iter().zip(entries).enumerate() {
            let damage = || PageDamage::Entry {
                entry: (number * ENTRIES_PER_SECTOR + slot) as u16,
                raw: u64::from_le_bytes(*field),
            };
            *entry = read_entry(name.page, *field).ok_or_else(damage)?;
        }
    }
    Ok(())
}

/// Decodes what is intact of a page, for a rebuild; all other entries become unmapped.
pub fn salvage(name: PageName, block: &Block, entries: &mut [u64; ENTRIES]) -> Salvage {
    let identity = name.identity();
    let mut salvage = Salvage::default();
    let (chunks, _) = entries.as_chunks_mut::<ENTRIES_PER_SECTOR>();
    for (number, (sector, entries)) in sector::sectors(block).iter().zip(chunks).enumerate() {
        if sector::open(sector, identity.at(number)).is_none() {
            salvage.lost_sectors |= 1 << number;
            entries.fill(Mapping::UNMAPPED.to_raw());
            continue;
        }
        let (fields, _) = sector[..CONTENT_BYTES].as_chunks::<ENTRY_BYTES>();
        for (field, entry) in fields.iter().zip(entries) {
            let read = read_entry(name.page, *field);
            salvage.invalid_entries += u16::from(read.is_none());
            *entry = read.unwrap_or(Mapping::UNMAPPED.to_raw());
        }
    }
    salvage
}

/// The entry, if a page of this level can have it.
fn read_entry(page: PageId, field: [u8; ENTRY_BYTES]) -> Option<u64> {
    let mapping = Mapping::from_bytes(field)?;
    (page.is_leaf() || is_link(mapping)).then_some(mapping.to_raw())
}

/// True for what an interior page can hold: an unmapped entry, or the place of a page.
fn is_link(entry: Mapping) -> bool {
    entry.is_unmapped() || (entry.has_block() && entry.state() == MappingState::Uncompressed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::testing::{code_at, Mutations};
    use crate::format::Mapped;
    use crate::units::{Pbn, BLOCK_SIZE};

    const NONCE: u64 = 0x1122_3344_5566_7788;
    const LEAF: PageName = PageName { page: PageId { level: 0, index: 0x0a0b }, nonce: NONCE, life: 0x0c_0d0e };

    fn leaf() -> [u64; ENTRIES] {
        core::array::from_fn(|slot| match slot {
            0 | 503 => Mapping::UNMAPPED.to_raw(),
            _ => Mapping::new(Mapped::uncompressed(Pbn(0x9_0000_0000 + slot as u64)), 0xab_cdef).to_raw(),
        })
    }

    fn sealed(name: PageName, entries: &[u64; ENTRIES]) -> Block {
        let mut block = [0xee; BLOCK_SIZE];
        encode(name, 0x0102_0304, entries, &mut block);
        block
    }

    #[test]
    fn golden_bytes() {
        let block = sealed(LEAF, &leaf());
        assert_eq!(block[..16], [0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0x19, 0xef, 0xcd, 0xab]);
        assert_eq!(block[504..508], [4, 3, 2, 1]);
        assert_eq!(block[512..516], [63, 0, 0, 0], "entry 63 begins the second sector");
        assert_eq!(block[4096 - 16..4096 - 8], [0; 8]);
        assert_eq!([0, 7].map(|sector| code_at(&block, sector)), GOLDEN);
        let mut read = [1; ENTRIES];
        assert_eq!(decode(LEAF, &block, &mut read), Ok(()));
        assert_eq!(read, leaf());
    }

    /// Check codes by another implementation of the layout above.
    const GOLDEN: [u32; 2] = [0xe3e7_109b, 0x1fcb_8d91];

    #[test]
    fn a_page_opens_only_as_itself() {
        let block = sealed(LEAF, &leaf());
        let mut read = [0; ENTRIES];
        let page = |page| PageName { page, ..LEAF };
        let others = [
            page(PageId { level: 1, ..LEAF.page }),
            page(PageId { index: 0, ..LEAF.page }),
            PageName { nonce: NONCE + 1, ..LEAF },
            PageName { life: 0, ..LEAF },
        ];
        for name in others {
            assert_eq!(decode(name, &block, &mut read), Err(DamagedSector(0).into()), "{name:?}");
        }
        for (sector, bad) in Mutations::of(&block, 2).take(300) {
            assert_eq!(decode(LEAF, &bad, &mut read), Err(DamagedSector(sector).into()));
        }
    }

    /// An interior page holds only places of pages; a leaf page holds whatever a mapping can be.
    #[test]
    fn entries_that_are_never_written_are_refused() {
        let at = |pbn| Mapped::uncompressed(Pbn(pbn));
        let compressed = Mapping::new(Mapped { pbn: Pbn(7), state: MappingState::Compressed(3) }, 0).to_raw();
        let (good, checked) = (Mapping::new(at(7), 0).to_raw(), Mapping::new(at(7), 1).to_raw());
        let (unmapped_with_block, nowhere, high) = (7, 1 << 36, 0xff << 56);
        let cases = [
            (Mapping::UNMAPPED.to_raw(), true, true),
            (good, true, true),
            (nowhere, false, false),
            (compressed, true, false),
            (checked, true, true),
            (unmapped_with_block, false, false),
            (high, false, false),
        ];
        for (raw, in_leaf, in_interior) in cases {
            for (level, allowed) in [(0, in_leaf), (1, in_interior), (2, in_interior), (3, in_interior)] {
                let name = PageName { page: PageId { level, index: 9 }, ..LEAF };
                let mut entries = [good; ENTRIES];
                entries[100] = raw;
                let (block, mut read) = (sealed(name, &entries), [0; ENTRIES]);
                let expected = if allowed { Ok(()) } else { Err(PageDamage::Entry { entry: 100, raw }) };
                assert_eq!(decode(name, &block, &mut read), expected, "{raw:#x} on level {level}");
                let lost = Salvage { lost_sectors: 0, invalid_entries: u16::from(!allowed) };
                assert_eq!(salvage(name, &block, &mut read), lost);
                assert_eq!((read[99], read[100]), (good, if allowed { raw } else { 0 }));
            }
        }
    }

    #[test]
    fn a_damaged_sector_loses_its_entries_only() {
        let mut block = sealed(LEAF, &leaf());
        block[512 * 2 + 9] ^= 1;
        let mut read = [1; ENTRIES];
        assert_eq!(salvage(LEAF, &block, &mut read), Salvage { lost_sectors: 4, invalid_entries: 0 });
        let mut expected = leaf();
        expected[126..189].fill(0);
        assert_eq!(read, expected);
    }
}

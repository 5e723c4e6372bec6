// SPDX-License-Identifier: BSD-3-Clause

//! A sealed sector: 504 bytes of content with a check code that is bound to their place.
//!
//! ```text
//!  offset size
//!       0  504  content
//!     504    4  stamp: a number of the owner's, little-endian
//!     508    4  CRC32C of the identity (24 bytes) and bytes 0 to 507, little-endian
//! ```
//! The identity is not stored: the reader of a sector knows which one it must be. Invariant: a sector of another
//! volume, kind, block or place in the block does not open.

use thiserror::Error;

use crate::units::{Block, SECTOR_SIZE};

/// Bytes of content in a sector; stamp and check code take the other 8.
pub const CONTENT_BYTES: usize = SECTOR_SIZE - 8;

/// The number of sectors in a block: 8.
pub const SECTORS_PER_BLOCK: usize = crate::units::BLOCK_SIZE / SECTOR_SIZE;

/// The kind of metadata that a sector is part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A page of the block map.
    MapPage = 1,
    /// A block of reference counts.
    ReferenceBlock = 2,
    /// A block of a slab journal.
    SlabJournal = 3,
    /// The summary of a slab.
    SlabSummary = 4,
}

/// The identity that a sector must have: the volume, the kind, the block, the sector in the block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// The volume's nonce.
    pub nonce: u64,
    /// The kind of metadata.
    pub kind: Kind,
    /// The level of a map page; 0 for others.
    pub level: u8,
    /// The sector's number in its block, 0 to 7.
    pub sector: u8,
    /// The page's index, or the slab number.
    pub object: u64,
    /// The block in the slab's area; for a map page its life.
    pub block: u32,
}

impl Identity {
    fn bytes(self) -> [u8; 24] {
        let mut bytes = [0; 24];
        bytes[..8].copy_from_slice(&self.nonce.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.object.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.block.to_le_bytes());
        bytes[20..23].copy_from_slice(&[self.kind as u8, self.level, self.sector]);
        bytes
    }

    /// The identity of another sector of the same block.
    #[must_use]
    pub const fn at(self, sector: usize) -> Identity {
        Identity { sector: sector as u8, ..self }
    }
}

/// The number in its block of a sector that is damaged, or belongs elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("sector {0} is damaged or belongs elsewhere")]
pub struct DamagedSector(pub u8);

/// The bytes of one sector, sealed or not.
pub type Sector = [u8; SECTOR_SIZE];

fn check_code(sector: &Sector, identity: Identity) -> u32 {
    let mut digest = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi);
    digest.update(&identity.bytes());
    digest.update(&sector[..SECTOR_SIZE - 4]);
    // CRC32C has 32 bits; the library returns them in 64.
    digest.finalize() as u32
}

/// Adds stamp and check code to a sector whose content is in place.
pub fn seal(sector: &mut Sector, identity: Identity, stamp: u32) {
    sector[CONTENT_BYTES..CONTENT_BYTES + 4].copy_from_slice(&stamp.to_le_bytes());
    let code = check_code(sector, identity);
    sector[CONTENT_BYTES + 4..].copy_from_slice(&code.to_le_bytes());
}

/// The stamp of a sector; none when the sector is damaged or has another identity.
#[must_use]
pub fn open(sector: &Sector, identity: Identity) -> Option<u32> {
    let [.., a, b, c, d, e, f, g, h] = *sector;
    (u32::from_le_bytes([e, f, g, h]) == check_code(sector, identity)).then_some(u32::from_le_bytes([a, b, c, d]))
}

/// Splits a block into its sectors.
#[must_use]
pub fn sectors(block: &Block) -> &[Sector; SECTORS_PER_BLOCK] {
    let (sectors, _) = block.as_chunks();
    sectors.first_chunk().expect("a block is eight sectors")
}

/// Splits a block into its sectors, to be changed.
pub fn sectors_mut(block: &mut Block) -> &mut [Sector; SECTORS_PER_BLOCK] {
    let (sectors, _) = block.as_chunks_mut();
    sectors.first_chunk_mut().expect("a block is eight sectors")
}

/// Seals the sectors of a block whose content is in place; all get the same stamp.
pub fn seal_block(block: &mut Block, identity: Identity, stamp: u32) {
    for (number, sector) in sectors_mut(block).iter_mut().enumerate() {
        seal(sector, identity.at(number), stamp);
    }
}

/// Checks the sectors of a block and returns their stamps.
///
/// # Errors
/// The first sector that is damaged or belongs elsewhere.
pub fn open_block(block: &Block, identity: Identity) -> Result<[u32; SECTORS_PER_BLOCK], DamagedSector> {
    let mut stamps = [0; SECTORS_PER_BLOCK];
    for (number, (sector, stamp)) in sectors(block).iter().zip(&mut stamps).enumerate() {
        *stamp = open(sector, identity.at(number)).ok_or(DamagedSector(number as u8))?;
    }
    Ok(stamps)
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDENTITY: Identity =
        Identity { nonce: 0x0123_4567_89ab_cdef, kind: Kind::ReferenceBlock, level: 0, sector: 3, object: 9, block: 2 };

    fn sealed() -> Sector {
        let mut sector = [0; SECTOR_SIZE];
        for (at, byte) in sector[..CONTENT_BYTES].iter_mut().enumerate() {
            *byte = at as u8;
        }
        seal(&mut sector, IDENTITY, 0x0a0b_0c0d);
        sector
    }

    #[test]
    fn golden_bytes() {
        let sector = sealed();
        assert_eq!(sector[504..508], [0x0d, 0x0c, 0x0b, 0x0a]);
        assert_eq!(open(&sector, IDENTITY), Some(0x0a0b_0c0d));
        assert_eq!(sector[508..], GOLDEN);
    }

    /// By another implementation of the layout above.
    const GOLDEN: [u8; 4] = [0x40, 0xe1, 0x3e, 0x78];

    #[test]
    fn a_sector_opens_only_as_what_it_is() {
        let sector = sealed();
        let others = [
            Identity { nonce: IDENTITY.nonce + 1, ..IDENTITY },
            Identity { kind: Kind::MapPage, ..IDENTITY },
            Identity { level: 1, ..IDENTITY },
            Identity { object: 8, ..IDENTITY },
            Identity { block: 3, ..IDENTITY },
            IDENTITY.at(4),
        ];
        for other in others {
            assert_eq!(open(&sector, other), None, "{other:?}");
        }
        for bit in 0..SECTOR_SIZE * 8 {
            let mut bad = sector;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(open(&bad, IDENTITY), None, "bit {bit}");
        }
        assert_eq!(open(&[0; SECTOR_SIZE], IDENTITY), None, "zeros are no sector");
    }

    #[test]
    fn a_block_is_eight_sectors() {
        let mut block = [0x5a; crate::units::BLOCK_SIZE];
        seal_block(&mut block, IDENTITY, 7);
        assert_eq!(open_block(&block, IDENTITY), Ok([7; 8]), "the sector of the identity does not matter");
        assert_eq!(open(&sectors(&block)[5], IDENTITY.at(5)), Some(7));
        sectors_mut(&mut block).swap(2, 6);
        assert_eq!(open_block(&block, IDENTITY), Err(DamagedSector(2)), "sectors know their place");
    }
}

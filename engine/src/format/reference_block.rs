// SPDX-License-Identifier: BSD-3-Clause

//! Reference counts on media: a block of 4032 counters in eight sealed sectors.
//!
//! ```text
//!  sector 0 .. 7, each:  offset 0: 504 counters of one byte    stamp: commit point
//! ```
//! The commit point of a sector is the low 32 bits of the number of the first slab journal entry that its counters do
//! not include. A write that a power cut has torn leaves sectors with different points, each of them valid by itself.
//!
//! A provisional counter, 255, means nothing on media: it reads as 0, a free block.

use super::area::AreaBlock;
use super::sector::{self, DamagedSector, Kind, CONTENT_BYTES, SECTORS_PER_BLOCK};
use crate::units::Block;

/// Counters in a sector, one byte each.
pub const COUNTS_PER_SECTOR: u32 = CONTENT_BYTES as u32;

/// Counters in a block of eight sectors.
pub const COUNTS_PER_BLOCK: u32 = COUNTS_PER_SECTOR * SECTORS_PER_BLOCK as u32;

const _: () = assert!(COUNTS_PER_BLOCK == 4032, "a slab has ceil(blocks / 4032) reference blocks, as in dm-vdo");

/// The counter of a block that is only locked.
const PROVISIONAL: u8 = 255;

/// Encodes a block of `counts`; counters that the last block of a slab lacks are zero.
///
/// # Panics
/// If there are more counters than fit.
pub fn encode(id: AreaBlock, point: u32, counts: &[u8], block: &mut Block) {
    assert!(counts.len() <= COUNTS_PER_BLOCK as usize, "{} counters in a block", counts.len());
    block.fill(0);
    for (sector, counts) in sector::sectors_mut(block).iter_mut().zip(counts.chunks(CONTENT_BYTES)) {
        sector[..counts.len()].copy_from_slice(counts);
    }
    sector::seal_block(block, id.identity(Kind::ReferenceBlock), point);
}

/// Decodes as many counters as `counts` has room for, and the commit points of all sectors. On an error `counts` is
/// unchanged.
///
/// # Errors
/// The first sector that is damaged or belongs elsewhere.
pub fn decode(id: AreaBlock, block: &Block, counts: &mut [u8]) -> Result<[u32; SECTORS_PER_BLOCK], DamagedSector> {
    let points = sector::open_block(block, id.identity(Kind::ReferenceBlock))?;
    for (sector, counts) in sector::sectors(block).iter().zip(counts.chunks_mut(CONTENT_BYTES)) {
        for (count, &stored) in counts.iter_mut().zip(sector) {
            *count = if stored == PROVISIONAL { 0 } else { stored };
        }
    }
    Ok(points)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::testing::{code_at, Mutations};
    use crate::units::BLOCK_SIZE;

    const ID: AreaBlock = AreaBlock { nonce: 0x1122_3344_5566_7788, slab: 5, block: 1 };

    fn counts() -> Vec<u8> {
        (0..COUNTS_PER_BLOCK).map(|at| (at % 255) as u8).collect()
    }

    #[test]
    fn golden_bytes() {
        let mut block = [0xee; BLOCK_SIZE];
        encode(ID, 0x0102_0304, &counts()[..600], &mut block);
        assert_eq!(block[..3], [0, 1, 2]);
        assert_eq!(block[503..508], [248, 4, 3, 2, 1], "the last counter of the sector, its commit point");
        assert_eq!(block[512], 249, "counter 504");
        assert_eq!(block[607..609], [89, 0], "counter 599, and what a short block leaves");
        assert_eq!([0, 1, 7].map(|sector| code_at(&block, sector)), GOLDEN);
        let mut read = [9; 600];
        assert_eq!(decode(ID, &block, &mut read), Ok([0x0102_0304; 8]));
        assert_eq!(read, counts()[..600]);
    }

    /// Check codes by another implementation of the layout above.
    const GOLDEN: [u32; 3] = [0x857f_ebd8, 0x9073_91ff, 0x96c5_5074];

    #[test]
    fn provisional_references_are_forgotten() {
        let mut block = [0; BLOCK_SIZE];
        encode(ID, 0, &[254, 255, 1], &mut block);
        let mut read = [9; 3];
        assert_eq!(decode(ID, &block, &mut read), Ok([0; 8]));
        assert_eq!(read, [254, 0, 1]);
    }

    #[test]
    fn torn_writes_show_in_the_points() {
        let (mut old, mut new) = ([0; BLOCK_SIZE], [0; BLOCK_SIZE]);
        encode(ID, 7, &[1; 4032], &mut old);
        encode(ID, 9, &[2; 4032], &mut new);
        new[512 * 3..].copy_from_slice(&old[512 * 3..]);
        let mut read = [0; 4032];
        assert_eq!(decode(ID, &new, &mut read), Ok([9, 9, 9, 7, 7, 7, 7, 7]));
        assert_eq!((read[504 * 3 - 1], read[504 * 3]), (2, 1));
    }

    #[test]
    fn damage_is_found() {
        let mut good = [0; BLOCK_SIZE];
        encode(ID, 7, &counts(), &mut good);
        let mut read = [0; 4032];
        for (sector, bad) in Mutations::of(&good, 1).take(300) {
            assert_eq!(decode(ID, &bad, &mut read), Err(DamagedSector(sector)));
            assert_eq!(read, [0; 4032], "nothing was taken from it");
        }
        let elsewhere = [AreaBlock { slab: 6, ..ID }, AreaBlock { block: 2, ..ID }, AreaBlock { nonce: 0, ..ID }];
        for id in elsewhere {
            assert_eq!(decode(id, &good, &mut read), Err(DamagedSector(0)));
        }
    }
}

// SPDX-License-Identifier: BSD-3-Clause

//! The references to all data blocks in the block map, one byte for each block.

use crate::format::Geometry;
use crate::units::{Pbn, MAX_REFERENCES};

/// Marks a block map page in memory. On media its count is [`MAX_REFERENCES`], which a data block may have too.
const PAGE: u8 = u8::MAX;

/// Why a reference is impossible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::volume) enum Refused {
    /// The block is not a data block.
    Outside,
    /// The block holds a page of the block map; or, for a page, it is used already.
    Taken,
    /// The block has all references that it can have.
    Full,
}

#[derive(Debug)]
pub(in crate::volume) struct Tally {
    geometry: Geometry,
    counts: Vec<u8>,
}

impl Tally {
    pub fn new(geometry: Geometry) -> Tally {
        Tally { geometry, counts: vec![0; geometry.data_blocks().0 as usize] }
    }

    fn count(&mut self, pbn: Pbn) -> Result<&mut u8, Refused> {
        self.geometry.slab_of(pbn).ok_or(Refused::Outside)?;
        let at = pbn.0 - self.geometry.slab_start(0).0;
        self.counts.get_mut(at as usize).ok_or(Refused::Outside)
    }

    /// Counts a page of the block map.
    pub fn add_page(&mut self, pbn: Pbn) -> Result<(), Refused> {
        let count = self.count(pbn)?;
        if *count != 0 {
            return Err(Refused::Taken);
        }
        *count = PAGE;
        Ok(())
    }

    /// Uncounts a page that turned out not to be one, or that has been dropped.
    pub fn remove_page(&mut self, pbn: Pbn) {
        if let Ok(count) = self.count(pbn) {
            *count = 0;
        }
    }

    /// Counts a mapping to a block.
    pub fn add_reference(&mut self, pbn: Pbn) -> Result<(), Refused> {
        let count = self.count(pbn)?;
        match *count {
            PAGE => Err(Refused::Taken),
            MAX_REFERENCES => Err(Refused::Full),
            _ => {
                *count += 1;
                Ok(())
            }
        }
    }

    /// Blocks with a reference.
    pub fn used(&self) -> u64 {
        self.counts.iter().filter(|&&count| count != 0).count() as u64
    }

    /// The counts of a slab, as reference blocks hold them.
    pub fn slab(&self, slab: u64) -> impl Iterator<Item = u8> + '_ {
        let blocks = self.geometry.slab_blocks() as usize;
        self.counts[slab as usize * blocks..][..blocks].iter().map(|&count| count.min(MAX_REFERENCES))
    }
}

// SPDX-License-Identifier: BSD-3-Clause

//! References of all data blocks as the block map has them: a byte a block.

use crate::format::Geometry;
use crate::units::{Pbn, MAX_REFERENCES};

/// What marks a page of the block map: on media it has [`MAX_REFERENCES`], as a data block may.
const PAGE: u8 = u8::MAX;

/// Why a reference cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::volume) enum Refused {
    /// Not a data block.
    Outside,
    /// A page of the block map is there, or, for a page, something else is.
    Taken,
    /// The block has all references that it can have.
    Full,
}

/// The references.
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

    /// A page of the block map is in a block.
    pub fn add_page(&mut self, pbn: Pbn) -> Result<(), Refused> {
        let count = self.count(pbn)?;
        if *count != 0 {
            return Err(Refused::Taken);
        }
        *count = PAGE;
        Ok(())
    }

    /// What was taken for a page is none.
    pub fn remove_page(&mut self, pbn: Pbn) {
        if let Ok(count) = self.count(pbn) {
            *count = 0;
        }
    }

    /// A logical block is mapped to a block.
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

    /// The counts of a slab, as reference blocks have them.
    pub fn slab(&self, slab: u64) -> impl Iterator<Item = u8> + '_ {
        let blocks = self.geometry.slab_blocks() as usize;
        self.counts[slab as usize * blocks..][..blocks].iter().map(|&count| count.min(MAX_REFERENCES))
    }
}

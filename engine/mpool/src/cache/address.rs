// SPDX-License-Identifier: BSD-3-Clause

//! The places of a map's mblocks in a pool's linear address space.
//!
//! ```text
//!  offset = region << map_log2 | mblock << bucket_log2 | byte
//!
//!  region r, r >= 1:  | mblock 0 .... | mblock 1 .... | mblock 2 ..   | nothing ...          |
//!                     |<-- bucket --->|<-- bucket --->|<-- bucket --->|
//!                     |<------------------------ 1 << map_log2 ----------------------------->|
//! ```
//! A bucket is the next power of two of the largest mblock, at least a page.

use crate::error::{Kind, PoolError, Result};
use crate::ids::PAGE_BYTES;

/// The layout of one map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    map_log2: u32,
    bucket_log2: u32,
    region: u64,
    mblocks: usize,
}

/// A byte in a map, by mblock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The mblock's index in its map.
    pub mblock: usize,
    /// The byte in the mblock's bucket, possibly beyond the written bytes.
    pub byte: u64,
}

impl Layout {
    /// Lays out mblocks of these written `lengths`, in bytes, in region `region`.
    ///
    /// # Errors
    /// Invalid: no mblocks. TooBig: they do not fit.
    pub fn new(map_log2: u32, region: u64, lengths: &[u64]) -> Result<Layout> {
        let subject = || format!("cache map of {} mblocks", lengths.len());
        let largest = *lengths.iter().max().ok_or_else(|| PoolError::invalid(subject(), "it needs at least one"))?;
        let bucket = largest.max(PAGE_BYTES as u64).checked_next_power_of_two();
        let bytes = bucket.and_then(|bucket| bucket.checked_mul(lengths.len() as u64));
        match (bucket, bytes) {
            (Some(bucket), Some(bytes)) if bytes <= 1 << map_log2 => {
                Ok(Layout { map_log2, bucket_log2: bucket.trailing_zeros(), region, mblocks: lengths.len() })
            }
            _ => {
                let reason = format!("buckets for mblocks of {largest} bytes exceed 2^{map_log2} bytes");
                Err(PoolError::new(Kind::TooBig, subject(), reason))
            }
        }
    }

    /// The map's first byte in the address space.
    #[must_use]
    pub const fn offset(&self) -> u64 {
        self.region << self.map_log2
    }

    /// Bytes from the start of one mblock to that of the next.
    #[must_use]
    pub const fn bucket_bytes(&self) -> u64 {
        1 << self.bucket_log2
    }

    /// Bytes of the region, used or not.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        1 << self.map_log2
    }

    /// The number of the region, from 1.
    #[must_use]
    pub const fn region(&self) -> u64 {
        self.region
    }

    /// The number of pages in all buckets.
    #[must_use]
    pub const fn virtual_pages(&self) -> u64 {
        self.mblocks as u64 * (self.bucket_bytes() / PAGE_BYTES as u64)
    }

    /// The place of a byte; none when it is in no mblock's bucket.
    #[must_use]
    pub fn place(&self, offset: u64) -> Option<Place> {
        let within = offset.checked_sub(self.offset()).filter(|within| *within < self.bytes())?;
        let mblock = usize::try_from(within >> self.bucket_log2).ok().filter(|index| *index < self.mblocks)?;
        Some(Place { mblock, byte: within & (self.bucket_bytes() - 1) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: u64 = PAGE_BYTES as u64;

    /// mpool-118, adapted: offset = region << log2, buckets are powers of two, and every byte of a bucket belongs to its mblock.
    #[test]
    fn mblocks_lie_in_power_of_two_buckets() {
        let layout = Layout::new(30, 3, &[PAGE, 5 * PAGE, 2 * PAGE]).unwrap();
        assert_eq!((layout.offset(), layout.bucket_bytes(), layout.bytes()), (3 << 30, 8 * PAGE, 1 << 30));
        assert_eq!(layout.virtual_pages(), 24);
        for (offset, mblock, byte) in
            [(0, 0, 0), (8 * PAGE - 1, 0, 8 * PAGE - 1), (8 * PAGE, 1, 0), (16 * PAGE + 77, 2, 77)]
        {
            assert_eq!(layout.place((3 << 30) + offset), Some(Place { mblock, byte }));
        }
        for outside in [0, (3 << 30) - 1, (3 << 30) + 24 * PAGE, 4 << 30, u64::MAX] {
            assert_eq!(layout.place(outside), None, "{outside:#x}");
        }
    }

    /// mpool-118, adapted: a length that is a power of two is its own bucket; one page more doubles it; empty ones have a page.
    #[test]
    fn buckets_are_no_larger_than_needed() {
        let bucket = |length| Layout::new(30, 1, &[length]).unwrap().bucket_bytes();
        assert_eq!([0, PAGE, 2 * PAGE, 3 * PAGE].map(bucket), [PAGE, PAGE, 2 * PAGE, 4 * PAGE]);
        assert_eq!(bucket(32 << 20), 32 << 20);
    }

    /// mpool-119: buckets that fill the region exactly are accepted, one more is too big; none is invalid.
    #[test]
    fn maps_fit_their_region() {
        assert!(Layout::new(27, 1, &[32 << 20; 4]).is_ok());
        assert_eq!(Layout::new(27, 1, &[32 << 20; 5]).unwrap_err().kind(), Kind::TooBig);
        assert_eq!(Layout::new(27, 1, &[(32 << 20) + PAGE; 3]).unwrap_err().kind(), Kind::TooBig);
        assert_eq!(Layout::new(27, 1, &[u64::MAX]).unwrap_err().kind(), Kind::TooBig);
        assert_eq!(Layout::new(27, 1, &[1 << 63, 1]).unwrap_err().kind(), Kind::TooBig);
        assert_eq!(Layout::new(27, 1, &[]).unwrap_err().kind(), Kind::Invalid);
        assert!(Layout::new(27, 1, &[PAGE; 300]).is_ok(), "more than 32 mblocks");
    }
}

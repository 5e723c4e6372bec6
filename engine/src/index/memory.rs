// SPDX-License-Identifier: BSD-3-Clause

//! Memory of the index, in segments of one huge page.
//!
//! Records are spread over all of a table's memory, so with pages of 4 KiB most lookups would miss the processor's TLB.
//! A segment is mapped by itself and touched as a whole, which takes a quarter of a millisecond; so a table gets its
//! segments one by one, and gives each back to the system when it is dropped. The shard that touches a segment has it
//! on its own NUMA node.

use core::hint::black_box;

use memmap2::{Advice, MmapMut};

use super::record::{Bucket, SLOTS};

const BUCKET_BYTES: usize = SLOTS * 8;

/// Buckets of a segment: 2 MiB.
pub(super) const SEGMENT: usize = (2 << 20) / BUCKET_BYTES;

/// Buckets of a page of 4 KiB.
const PAGE: usize = 4096 / BUCKET_BYTES;

const _: () = assert!(size_of::<Bucket>() == BUCKET_BYTES);

/// Consecutive buckets of a table.
#[derive(Debug)]
pub(super) struct Segment {
    memory: MmapMut,
}

impl Segment {
    /// Empty buckets, at most [`SEGMENT`].
    ///
    /// # Panics
    /// If the system has no memory, as for any allocation.
    pub(super) fn new(buckets: usize) -> Segment {
        let memory = match MmapMut::map_anon(buckets * BUCKET_BYTES) {
            Ok(memory) => memory,
            Err(error) => panic!("no memory for {buckets} buckets of the index: {error}"),
        };
        let mut segment = Segment { memory };
        if buckets == SEGMENT {
            // Only advice: where the system has no huge pages, small ones serve.
            let _ = segment.memory.advise(Advice::HugePage);
            for bucket in segment.buckets_mut().iter_mut().step_by(PAGE) {
                // A write, which the compiler must not omit: a read would map the system's page of zeros.
                bucket[0] = black_box(0);
            }
        }
        segment
    }

    #[inline]
    pub(super) fn buckets(&self) -> &[Bucket] {
        bytemuck::cast_slice(&self.memory)
    }

    #[inline]
    pub(super) fn buckets_mut(&mut self) -> &mut [Bucket] {
        bytemuck::cast_slice_mut(&mut self.memory)
    }
}

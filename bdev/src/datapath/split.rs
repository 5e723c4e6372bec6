// SPDX-License-Identifier: BSD-3-Clause

//! Cutting a client's byte range into pieces, each inside one leaf page and hence inside one shard.
//!
//! Invariants: the pieces of a range are disjoint, ascending and cover it exactly. Each is well formed for the engine
//! (1 to 504 blocks; `skip` and `cut` below one block). Any multiple of 512 bytes is a valid start and end.

use engine::format::Geometry;
use engine::units::ENTRIES_PER_LEAF_PAGE;
use engine::{Lbn, BLOCK_SIZE};

/// The blocks of one piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    pub lbn: Lbn,
    /// Number of blocks touched, 1 to 504.
    pub blocks: u16,
    /// Bytes at the start of the first block outside the range.
    pub skip: u16,
    /// Bytes at the end of the last block outside the range.
    pub cut: u16,
}

const BLOCK: u64 = BLOCK_SIZE as u64;

const PAGE: u64 = ENTRIES_PER_LEAF_PAGE * BLOCK;

/// Fewest whole leaf pages for which a sweep is made.
const SWEPT_PAGES: u64 = 64;

/// The whole leaf pages at the start of the byte range `from..end`, and where the rest of the range starts. None unless
/// the range starts at a page boundary and has at least `SWEPT_PAGES` whole pages.
pub fn whole_pages(from: u64, end: u64) -> Option<(core::ops::Range<u64>, u64)> {
    let pages = from / PAGE..end / PAGE;
    let many = from.is_multiple_of(PAGE) && end >= from && pages.end - pages.start >= SWEPT_PAGES;
    many.then_some((pages.clone(), pages.end * PAGE))
}

/// The first piece of the volume's byte range `from..end`, and where the next one starts. None if the range is empty.
pub fn first_piece(from: u64, end: u64) -> Option<(Extent, u64)> {
    if from >= end {
        return None;
    }
    let lbn = Lbn(from / BLOCK);
    let blocks = Geometry::run_in_page(lbn, end.div_ceil(BLOCK) - lbn.0);
    debug_assert!((1..=ENTRIES_PER_LEAF_PAGE).contains(&blocks));
    let page_end = (lbn.0 + blocks) * BLOCK;
    let next = page_end.min(end);
    let extent = Extent { lbn, blocks: blocks as u16, skip: (from % BLOCK) as u16, cut: (page_end - next) as u16 };
    Some((extent, next))
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::request::{Operation, Piece};

    fn cut(mut from: u64, end: u64) -> Vec<Extent> {
        let mut pieces = Vec::new();
        while let Some((extent, next)) = first_piece(from, end) {
            pieces.push(extent);
            from = next;
        }
        pieces
    }

    #[test]
    fn many_whole_pages_are_swept() {
        assert_eq!(whole_pages(0, 64 * PAGE), Some((0..64, 64 * PAGE)));
        assert_eq!(whole_pages(3 * PAGE, 1000 * PAGE + 512), Some((3..1000, 1000 * PAGE)));
        assert_eq!(whole_pages(512, 1000 * PAGE), None, "the first page is not whole");
        assert_eq!(whole_pages(0, 64 * PAGE - 1), None);
        assert_eq!(whole_pages(PAGE, PAGE), None);
        assert_eq!(whole_pages(0, 1 << 52), Some((0..(1 << 40) / 504, (1 << 40) / 504 * PAGE)));
    }

    #[test]
    fn an_aligned_range_inside_a_page_is_one_piece() {
        assert_eq!(cut(4096, 12288), [Extent { lbn: Lbn(1), blocks: 2, skip: 0, cut: 0 }]);
        assert_eq!(cut(0, 504 * 4096), [Extent { lbn: Lbn(0), blocks: 504, skip: 0, cut: 0 }]);
        assert_eq!(cut(8192, 8192), []);
    }

    #[test]
    fn a_range_is_cut_where_a_leaf_page_ends() {
        let pieces = cut(503 * 4096, 1009 * 4096);
        assert_eq!(
            pieces,
            [
                Extent { lbn: Lbn(503), blocks: 1, skip: 0, cut: 0 },
                Extent { lbn: Lbn(504), blocks: 504, skip: 0, cut: 0 },
                Extent { lbn: Lbn(1008), blocks: 1, skip: 0, cut: 0 },
            ]
        );
    }

    #[test]
    fn sectors_leave_a_skip_and_a_cut() {
        assert_eq!(cut(512, 1024), [Extent { lbn: Lbn(0), blocks: 1, skip: 512, cut: 3072 }]);
        assert_eq!(cut(3584, 4608), [Extent { lbn: Lbn(0), blocks: 2, skip: 3584, cut: 3584 }]);
        let pieces = cut(504 * 4096 - 512, 504 * 4096 + 512);
        assert_eq!(
            pieces,
            [
                Extent { lbn: Lbn(503), blocks: 1, skip: 3584, cut: 0 },
                Extent { lbn: Lbn(504), blocks: 1, skip: 0, cut: 3584 },
            ]
        );
    }

    #[test]
    fn every_cut_covers_its_range_exactly_with_well_formed_pieces() {
        let page = 504 * 4096;
        let edges = [0, 512, 3584, 4096, 4608, 8192];
        let starts: Vec<u64> = edges.iter().flat_map(|edge| [*edge, page - 8192 + edge, 3 * page + edge]).collect();
        let lengths = [512, 1024, 3584, 4096, 4608, 65536, page - 512, page, page + 512, 3 * page + 1536];
        for start in starts {
            for length in lengths {
                let mut at = start;
                for extent in cut(start, start + length) {
                    let piece = Piece {
                        client: (),
                        operation: Operation::Write,
                        lbn: extent.lbn,
                        blocks: extent.blocks,
                        skip: extent.skip,
                        cut: extent.cut,
                    };
                    assert!(piece.is_well_formed(), "{start}+{length}: {extent:?}");
                    assert_eq!(extent.lbn.0 * 4096 + u64::from(extent.skip), at);
                    at = (extent.lbn.0 + u64::from(extent.blocks)) * 4096 - u64::from(extent.cut);
                }
                assert_eq!(at, start + length, "{start}+{length}");
            }
        }
    }
}

// SPDX-License-Identifier: BSD-3-Clause

//! The names of block map pages, and how the pages form trees.
//!
//! There are 60 trees. Leaf page p belongs to tree `p mod 60` and is number `p / 60` in it; its parent is number `p /
//! 60 / 504` of the level above, and so on. A page's index counts the pages of its level over all trees, as for leaf
//! pages: `number * 60 + tree`. The root of each tree, on level [`ROOT_LEVEL`], has a fixed place; all other pages are
//! allocated when first needed.
//!
//! ```text
//!  level 3   root of tree t               60 pages, in an object of their own
//!  level 2   up to 504 a tree
//!  level 1   up to 504^2 a tree
//!  level 0   leaf pages, up to 504^3 a tree: 7.7e9 in all, where 4 PiB need 2.2e9
//! ```
//! Invariant: all pages of a tree belong to one shard. Differs from dm-vdo: a page has 504 entries, and so there are
//! three levels above the leaves instead of four, for any logical size, so that growing never changes a tree's shape.

use crate::units::{Lbn, ENTRIES_PER_LEAF_PAGE};

/// The number of trees (and roots) of the block map. Divisible by most numbers of shards.
pub const ROOTS: u64 = 60;

/// The level of the roots; leaves are on level 0.
pub const ROOT_LEVEL: u8 = 3;

/// Names a page of the block map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PageId {
    /// 0 for a leaf, up to [`ROOT_LEVEL`].
    pub level: u8,
    /// The page's number among the pages of its level.
    pub index: u64,
}

impl PageId {
    /// The leaf page that holds the mapping of a block.
    #[must_use]
    pub const fn leaf_of(lbn: Lbn) -> PageId {
        PageId { level: 0, index: lbn.0 / ENTRIES_PER_LEAF_PAGE }
    }

    /// The root page of a tree.
    #[must_use]
    pub const fn root(tree: u64) -> PageId {
        PageId { level: ROOT_LEVEL, index: tree }
    }

    /// The tree that the page belongs to, below [`ROOTS`].
    #[must_use]
    pub const fn tree(self) -> u64 {
        self.index % ROOTS
    }

    /// True for the root page of a tree.
    #[must_use]
    pub const fn is_root(self) -> bool {
        self.level == ROOT_LEVEL
    }

    /// True for a page that maps blocks.
    #[must_use]
    pub const fn is_leaf(self) -> bool {
        self.level == 0
    }

    /// The page that points to this one, and the number of the entry; none for a root.
    #[must_use]
    pub const fn parent(self) -> Option<(PageId, usize)> {
        if self.is_root() {
            return None;
        }
        let number = self.index / ROOTS;
        let parent = number / ENTRIES_PER_LEAF_PAGE * ROOTS + self.tree();
        Some((PageId { level: self.level + 1, index: parent }, (number % ENTRIES_PER_LEAF_PAGE) as usize))
    }

    /// The page that entry `slot` of this one points to; none for a leaf.
    #[must_use]
    pub const fn child(self, slot: usize) -> Option<PageId> {
        if self.is_leaf() {
            return None;
        }
        let number = self.index / ROOTS * ENTRIES_PER_LEAF_PAGE + slot as u64;
        Some(PageId { level: self.level - 1, index: number * ROOTS + self.tree() })
    }

    /// The first logical block that a leaf page maps.
    #[must_use]
    pub const fn first_lbn(self) -> Lbn {
        Lbn(self.index * ENTRIES_PER_LEAF_PAGE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::MAX_LOGICAL_BLOCKS;

    #[test]
    fn parents_and_children_agree() {
        let last = PageId::leaf_of(Lbn(MAX_LOGICAL_BLOCKS - 1));
        for leaf in [0, 1, 59, 60, 503, 504 * 60 - 1, 504 * 60, 504 * 504 * 60 + 77, last.index] {
            let mut page = PageId { level: 0, index: leaf };
            assert_eq!(PageId::leaf_of(page.first_lbn()), page);
            assert_eq!(PageId::leaf_of(page.first_lbn().plus(503)), page);
            assert_eq!(page.first_lbn().plus(503).slot(), 503);
            while let Some((parent, slot)) = page.parent() {
                assert!(slot < 504);
                assert_eq!(parent.child(slot), Some(page));
                assert_eq!(parent.tree(), page.tree());
                page = parent;
            }
            assert_eq!(page, PageId::root(leaf % ROOTS), "three levels reach every leaf of the largest volume");
        }
        assert_eq!(PageId { level: 0, index: 5 }.child(0), None);
    }
}

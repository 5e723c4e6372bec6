// SPDX-License-Identifier: BSD-3-Clause

//! The device of a block map.

use crate::block_map::page_memory::{Entries, ENTRIES};
use crate::format::map_page::{self, PageName};
use crate::format::{PageId, Place, ROOTS};
use crate::test_media::{Address, Content, TestMedia};
use crate::units::{Block, BLOCK_SIZE};

pub const NONCE: u64 = 0x5eed;

/// A block on the device: a root, or a block of a slab.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum At {
    Root(u32),
    Pbn(u64),
}

impl Address for At {
    fn of(place: Place, number: u32) -> At {
        assert_eq!(number, 0, "pages go one by one");
        match place {
            Place::Data(pbn) => At::Pbn(pbn.0),
            Place::Roots { block } => At::Root(block),
            place => panic!("{place:?} is no place for a map page"),
        }
    }
}

pub type World = TestMedia<At>;

/// The roots of an empty map.
pub fn roots() -> Content<At> {
    let root = |tree: u64| (At::Root(tree as u32), image(PageId::root(tree), 0, &[0; ENTRIES]));
    (0..ROOTS).map(root).collect()
}

/// A page as stored on the device.
pub fn image(page: PageId, life: u32, entries: &Entries) -> Box<Block> {
    let mut block = Box::new([0; BLOCK_SIZE]);
    map_page::encode(PageName { page, nonce: NONCE, life }, 0, entries, &mut block);
    block
}

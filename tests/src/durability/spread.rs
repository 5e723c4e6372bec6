// SPDX-License-Identifier: BSD-3-Clause

//! Where in a namespace data goes: everywhere, or in parts of 128 KiB with room between them.
//!
//! With room between, little data touches many pages of a block map. The room is never written, but deallocated and zeroed
//! together with its surroundings.

use std::ops::Range;

use crate::nvme_tcp::Namespace;

/// Bytes of a part.
const PART_BYTES: u64 = 128 << 10;

/// Where data goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spread {
    /// One of so many parts holds data, at least 1.
    pub factor: u64,
}

impl Spread {
    /// Data goes everywhere.
    pub const EVERYWHERE: Spread = Spread { factor: 1 };

    /// Logical blocks of a part.
    const fn part(self, namespace: Namespace) -> u64 {
        if self.factor > 1 {
            PART_BYTES / namespace.block_bytes as u64
        } else {
            namespace.blocks
        }
    }

    /// Logical blocks that may hold data.
    pub(super) const fn data_blocks(self, namespace: Namespace) -> u64 {
        let part = self.part(namespace);
        // What is left of a namespace that is no multiple of all this holds none.
        let parts = namespace.blocks / (part * self.factor);
        parts * part
    }

    /// Where `blocks` logical blocks of data go, counted without the room between; less of them at the end of a part.
    pub(super) fn place(self, namespace: Namespace, at: u64, blocks: u64) -> (u64, u64) {
        let part = self.part(namespace);
        let (index, offset) = (at / part, at % part);
        (index * part * self.factor + offset, blocks.min(part - offset))
    }

    /// The parts that may hold data.
    pub(super) fn parts(self, namespace: Namespace) -> impl Iterator<Item = Range<u64>> {
        let part = self.part(namespace);
        let starts = (0..self.data_blocks(namespace) / part).map(move |index| index * part * self.factor);
        starts.map(move |start| start..start + part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_have_room_between() {
        let namespace = Namespace { blocks: 1000, block_bytes: 4096 };
        let spread = Spread { factor: 4 };
        assert_eq!(spread.data_blocks(namespace), 7 * 32);
        assert_eq!(spread.parts(namespace).take(2).collect::<Vec<_>>(), [0..32, 128..160]);
        assert_eq!(spread.parts(namespace).last(), Some(768..800));
        assert_eq!(spread.place(namespace, 33, 100), (129, 31));
        assert_eq!(spread.place(namespace, 33, 3), (129, 3));
    }

    #[test]
    fn everywhere_is_one_part() {
        let namespace = Namespace { blocks: 1000, block_bytes: 512 };
        let mut parts = Spread::EVERYWHERE.parts(namespace);
        assert_eq!((parts.next(), parts.next()), (Some(0..1000), None));
        assert_eq!(Spread::EVERYWHERE.place(namespace, 990, 10), (990, 10));
    }
}

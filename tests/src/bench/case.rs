// SPDX-License-Identifier: BSD-3-Clause

//! The cases, and what each needs to find on the bdev.

use bdev_dedupe::load::{Content, Operation, Order};
use engine::units::ENTRIES_PER_LEAF_PAGE;
use engine::BLOCK_SIZE;

/// A kind of load.
#[derive(Debug)]
pub struct Case {
    /// Its name on the command line and in the results.
    pub name: &'static str,
    /// What a request does.
    pub operation: Operation,
    /// Where requests go.
    pub order: Order,
    /// Blocks of 4 KiB in a request.
    pub blocks: u32,
    /// Each block once, instead of for a time.
    pub one_pass: bool,
    /// What the region holds at the start.
    pub before: Content,
    /// What it holds at the end, when that is known.
    pub after: Option<Content>,
}

impl Case {
    /// Bytes in a request.
    #[must_use]
    pub fn request_bytes(&self) -> u64 {
        u64::from(self.blocks) * BLOCK_SIZE as u64
    }
}

const PAGE: u32 = ENTRIES_PER_LEAF_PAGE as u32;

/// Steady states: the content before is what the case itself writes, so that each write replaces such a block.
const fn write(name: &'static str, order: Order, blocks: u32, content: Content) -> Case {
    Case {
        name,
        operation: Operation::Write(content),
        order,
        blocks,
        one_pass: false,
        before: content,
        after: Some(content),
    }
}

const fn read(name: &'static str, order: Order, blocks: u32) -> Case {
    let before = Content::Unique;
    let operation = Operation::Read { verify: true };
    Case { name, operation, order, blocks, one_pass: false, before, after: Some(before) }
}

/// Frees unique blocks, each once.
const fn free(name: &'static str, operation: Operation, blocks: u32) -> Case {
    let (order, before) = (Order::Random, Content::Unique);
    Case { name, operation, order, blocks, one_pass: true, before, after: None }
}

/// All cases, in an order that needs little rewriting between them.
pub const CASES: &[Case] = &[
    write("randwrite-unique", Order::Random, 1, Content::Unique),
    write("seqwrite-unique", Order::Sequential, 16, Content::Unique),
    read("randread", Order::Random, 1),
    read("seqread", Order::Sequential, 16),
    free("randwrite-zero", Operation::Write(Content::Zero), 1),
    free("unmap-4k", Operation::Unmap, 1),
    free("unmap-page", Operation::Unmap, PAGE),
    write("randwrite-dup50", Order::Random, 1, Content::Duplicate(50)),
    write("randwrite-dup100", Order::Random, 1, Content::Duplicate(100)),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_differ_and_whole_pages_are_whole() {
        for (index, case) in CASES.iter().enumerate() {
            assert!(CASES[..index].iter().all(|other| other.name != case.name), "{}", case.name);
        }
        let page = CASES.iter().find(|case| case.name == "unmap-page").expect("the case exists");
        assert_eq!(page.request_bytes(), 504 * 4096);
    }
}

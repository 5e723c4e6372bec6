// SPDX-License-Identifier: BSD-3-Clause

//! The cases, and what each needs to find on the bdev.

use bdev_dedupe::load::{Content, Operation, Order};
use engine::units::ENTRIES_PER_LEAF_PAGE;
use engine::BLOCK_SIZE;

/// A kind of load.
#[derive(Debug, Clone, Copy)]
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
    /// Whether our bdev compresses.
    pub compression: bool,
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
        compression: false,
        before: content,
        after: Some(content),
    }
}

const fn read(name: &'static str, order: Order, blocks: u32) -> Case {
    let before = Content::Unique;
    let operation = Operation::Read { verify: true };
    Case { name, operation, order, blocks, one_pass: false, compression: false, before, after: Some(before) }
}

/// With compression, on data that can be compressed so far.
const fn compressed(case: Case, percent: u8) -> Case {
    let content = if percent == 0 { Content::Unique } else { Content::Compressible(percent) };
    let operation = match case.operation {
        Operation::Write(_) => Operation::Write(content),
        other => other,
    };
    Case { operation, compression: true, before: content, after: Some(content), ..case }
}

/// As in the data that savings are measured with: two fragments fit into a block.
const COMPRESSIBLE: u8 = 65;

/// Frees unique blocks, each once.
const fn free(name: &'static str, operation: Operation, blocks: u32) -> Case {
    let (order, before) = (Order::Random, Content::Unique);
    Case { name, operation, order, blocks, one_pass: true, compression: false, before, after: None }
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
    compressed(write("randwrite-compr0", Order::Random, 1, Content::Unique), 0),
    compressed(write("randwrite-compr65", Order::Random, 1, Content::Unique), COMPRESSIBLE),
    compressed(write("seqwrite-compr65", Order::Sequential, 16, Content::Unique), COMPRESSIBLE),
    compressed(read("randread-compr65", Order::Random, 1), COMPRESSIBLE),
];

/// The cases of `--checks`, which read alone.
pub const READS: &[Case] = &[read("randread", Order::Random, 1), read("seqread-128k", Order::Sequential, 32)];

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

    #[test]
    fn compressed_cases_find_what_they_write() {
        let of = |name: &str| CASES.iter().find(|case| case.name == name).expect("the case exists");
        let write = of("randwrite-compr65");
        assert_eq!(
            (write.operation, write.before),
            (Operation::Write(Content::Compressible(65)), Content::Compressible(65))
        );
        assert_eq!((of("randread-compr65").before, of("randwrite-compr0").before), (write.before, Content::Unique));
        assert!(CASES.iter().all(|case| case.compression == case.name.contains("compr")));
    }
}

// SPDX-License-Identifier: BSD-3-Clause

//! A compressed block: up to 14 fragments in one block of a slab.
//!
//! ```text
//!  byte
//!  0     magic, u16: "DC"
//!  2     version, u8: 1
//!  3     number of fragments n, u8: 1 to 14
//!  4     n times 7 bytes: { size in bytes, u16; LBN of the block that it was written for, 40 bits }
//!  4+7n  the fragments, back to back, in the order of their slots
//!  ...   zeros up to 4096
//! ```
//! All numbers are little-endian. Slot k of a mapping is the k-th fragment. There is no CRC: a reader compares the
//! restored block with the check code of a mapping, or with the bytes that it should equal. The LBN is only a hint for
//! finding live fragments when they are to be moved: mappings of other LBNs may have come to share the fragment, and
//! this LBN may no longer map to it.
//!
//! Invariant: [`Fragments::decode`] accepts what [`encode`] writes. The decoder copes with any bytes, and every
//! fragment that it returns lies inside the block.
//!
//! Differs from dm-vdo: sizes are stored only for the fragments that exist instead of for 14, so that two large ones
//! have more room; and there are LBN hints.

use thiserror::Error;

use crate::units::{Block, Lbn, BLOCK_SIZE};

/// The most fragments in a block.
pub const MAX_FRAGMENTS: usize = 14;

/// Bytes of a fragment's entry in the head.
pub const ENTRY_BYTES: usize = 7;

/// Bytes available for fragments and their entries.
pub const ROOM: usize = BLOCK_SIZE - HEADER_BYTES;

const MAGIC: [u8; 2] = *b"DC";
const VERSION: u8 = 1;
const HEADER_BYTES: usize = 4;
const LBN_BYTES: usize = 5;

/// Why a block is not a compressed block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum InvalidContainer {
    /// Magic or version does not match.
    #[error("no compressed block: wrong magic or version")]
    NotCompressed,
    /// The number of fragments is not in 1 to 14.
    #[error("a compressed block of {0} fragments")]
    Count(u8),
    /// A fragment is empty, or the fragments together are longer than the block.
    #[error("a compressed block whose fragments do not fit it")]
    Sizes,
    /// The block has fewer fragments than the slot requires.
    #[error("a compressed block without fragment {0}")]
    NoSlot(u8),
}

/// A fragment's entry in the head of a compressed block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FragmentEntry {
    /// Bytes of the compressed fragment.
    pub size: u16,
    /// The block that the fragment was written for; a hint only.
    pub lbn: Lbn,
}

/// Writes a compressed block; `bytes` are the fragments, back to back.
///
/// # Panics
/// If there are not 1 to 14 fragments, their sizes do not add up to `bytes`, or they do not fit.
pub fn encode(entries: &[FragmentEntry], bytes: &[u8], block: &mut Block) {
    let count = entries.len();
    assert!((1..=MAX_FRAGMENTS).contains(&count), "{count} fragments in a block");
    let total: usize = entries.iter().map(|entry| usize::from(entry.size)).sum();
    assert_eq!(total, bytes.len(), "the sizes of fragments and their bytes");
    let (head, tail) = block.split_at_mut(HEADER_BYTES + count * ENTRY_BYTES);
    head[..2].copy_from_slice(&MAGIC);
    head[2] = VERSION;
    head[3] = count as u8;
    for (entry, at) in entries.iter().zip(head[HEADER_BYTES..].chunks_exact_mut(ENTRY_BYTES)) {
        at[..2].copy_from_slice(&entry.size.to_le_bytes());
        at[2..].copy_from_slice(&entry.lbn.0.to_le_bytes()[..LBN_BYTES]);
    }
    tail[..total].copy_from_slice(bytes);
    tail[total..].fill(0);
}

/// The LBNs for which the fragments of a compressed block were written, by slot.
#[derive(Debug, Clone, Copy)]
pub struct Owners {
    lbns: [Lbn; MAX_FRAGMENTS],
    count: usize,
}

impl Owners {
    /// The number of fragments.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.count
    }

    /// The LBNs, by slot.
    pub fn lbns(&self) -> impl Iterator<Item = Lbn> + use<> {
        self.lbns.into_iter().take(self.count)
    }
}

/// The fragments of a compressed block, borrowed from the block.
#[derive(Debug, Clone, Copy)]
pub struct Fragments<'a> {
    entries: &'a [u8],
    bytes: &'a [u8],
}

impl<'a> Fragments<'a> {
    /// Reads and checks the head of a block.
    ///
    /// # Errors
    /// Why the block is not a compressed one. Its first bytes nearly always tell a block that was written as something
    /// else.
    pub fn decode(block: &'a Block) -> Result<Fragments<'a>, InvalidContainer> {
        let (head, rest) = block.split_at(HEADER_BYTES);
        if head[..2] != MAGIC || head[2] != VERSION {
            return Err(InvalidContainer::NotCompressed);
        }
        let count = usize::from(head[3]);
        if !(1..=MAX_FRAGMENTS).contains(&count) {
            return Err(InvalidContainer::Count(head[3]));
        }
        let (entries, bytes) = rest.split_at(count * ENTRY_BYTES);
        let fragments = Fragments { entries, bytes };
        let mut total = 0;
        for entry in fragments.entries() {
            if entry.size == 0 {
                return Err(InvalidContainer::Sizes);
            }
            total += usize::from(entry.size);
        }
        if total > bytes.len() {
            return Err(InvalidContainer::Sizes);
        }
        Ok(fragments)
    }

    /// The entries of the fragments, by slot.
    pub fn entries(&self) -> impl Iterator<Item = FragmentEntry> + use<'a> {
        self.entries.chunks_exact(ENTRY_BYTES).map(|bytes| {
            let mut lbn = [0; 8];
            lbn[..LBN_BYTES].copy_from_slice(&bytes[2..]);
            FragmentEntry { size: u16::from_le_bytes([bytes[0], bytes[1]]), lbn: Lbn(u64::from_le_bytes(lbn)) }
        })
    }

    /// The LBNs that the fragments were written for.
    #[must_use]
    pub fn owners(&self) -> Owners {
        let mut owners = Owners { lbns: [Lbn(0); MAX_FRAGMENTS], count: 0 };
        for (lbn, entry) in owners.lbns.iter_mut().zip(self.entries()) {
            *lbn = entry.lbn;
            owners.count += 1;
        }
        owners
    }

    /// The bytes of the fragment in a slot.
    ///
    /// # Errors
    /// [`InvalidContainer::NoSlot`].
    pub fn get(&self, slot: u8) -> Result<&'a [u8], InvalidContainer> {
        let mut start = 0;
        for (number, entry) in self.entries().enumerate() {
            let end = start + usize::from(entry.size);
            if number == usize::from(slot) {
                return self.bytes.get(start..end).ok_or(InvalidContainer::Sizes);
            }
            start = end;
        }
        Err(InvalidContainer::NoSlot(slot))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(size: u16, lbn: u64) -> FragmentEntry {
        FragmentEntry { size, lbn: Lbn(lbn) }
    }

    #[test]
    fn golden_bytes() {
        let mut block = [0xff; BLOCK_SIZE];
        encode(&[entry(3, 0x12_3456_789a), entry(2, 7)], b"abcde", &mut block);
        let golden =
            [b'D', b'C', 1, 2, 3, 0, 0x9a, 0x78, 0x56, 0x34, 0x12, 2, 0, 7, 0, 0, 0, 0, b'a', b'b', b'c', b'd', b'e'];
        assert_eq!(block[..golden.len()], golden);
        assert!(block[golden.len()..].iter().all(|byte| *byte == 0));
        let fragments = Fragments::decode(&block).unwrap();
        assert_eq!(fragments.entries().collect::<Vec<_>>(), [entry(3, 0x12_3456_789a), entry(2, 7)]);
        assert_eq!((fragments.get(0), fragments.get(1)), (Ok(&b"abc"[..]), Ok(&b"de"[..])));
        assert_eq!(fragments.get(2), Err(InvalidContainer::NoSlot(2)));
    }

    /// vdo-94, partly: 14 fragments fit, and the last byte of the block can be used.
    #[test]
    fn a_block_can_be_filled_to_the_last_byte() {
        for count in 1..=MAX_FRAGMENTS {
            let payload = ROOM - count * ENTRY_BYTES;
            let bytes: Vec<u8> = (0..payload).map(|at| at as u8 | 1).collect();
            let mut entries = vec![entry(1, (1 << 40) - 1); count];
            entries[0].size = (payload - (count - 1)) as u16;
            let mut block = [0; BLOCK_SIZE];
            encode(&entries, &bytes, &mut block);
            assert_ne!(block[BLOCK_SIZE - 1], 0);
            let fragments = Fragments::decode(&block).unwrap();
            assert_eq!(fragments.entries().collect::<Vec<_>>(), entries);
            let last = if count == 1 { &bytes[..] } else { &bytes[payload - 1..] };
            assert_eq!(fragments.get(count as u8 - 1), Ok(last));
        }
    }

    #[test]
    fn hostile_blocks_are_refused() {
        let mut good = [0; BLOCK_SIZE];
        encode(&[entry(4000, 1), entry(50, 2)], &[7; 4050], &mut good);
        for (at, value, error) in [
            (0, b'd', InvalidContainer::NotCompressed),
            (2, 2, InvalidContainer::NotCompressed),
            (3, 0, InvalidContainer::Count(0)),
            (3, 15, InvalidContainer::Count(15)),
            (3, 255, InvalidContainer::Count(255)),
            (12, 1, InvalidContainer::Sizes),
            (5, 0xff, InvalidContainer::Sizes),
        ] {
            let mut block = good;
            block[at] = value;
            assert_eq!(Fragments::decode(&block).err(), Some(error), "byte {at} is {value}");
        }
        let mut empty = good;
        empty[11] = 0;
        assert_eq!(Fragments::decode(&empty).err(), Some(InvalidContainer::Sizes));
        let mut random = 1u64;
        for _ in 0..100_000 {
            let mut block = good;
            for byte in &mut block[2..40] {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                if random >> 62 == 0 {
                    *byte = (random >> 32) as u8;
                }
            }
            if let Ok(fragments) = Fragments::decode(&block) {
                for slot in 0..=255 {
                    let _ = fragments.get(slot);
                }
            }
        }
    }
}

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
//! All numbers are little-endian. Slot k of a mapping is the k-th fragment. There is no CRC: whoever uses a fragment holds
//! the restored block against the check code of a mapping, or against the bytes that it should equal. The LBN is only a
//! hint, by which live fragments can be found again to be moved; mappings of other LBNs may have come to share the
//! fragment, and this one may be gone.
//!
//! Invariant: [`encode`] gives what [`Fragments::decode`] takes; the decoder takes any bytes, and every fragment that it
//! gives lies inside the block.
//!
//! Differs from dm-vdo: sizes for the fragments that there are instead of for 14, so that two large ones have more
//! room, and the LBN hints.

use thiserror::Error;

use crate::units::{Block, Lbn, BLOCK_SIZE};

/// Most fragments in a block.
pub const MAX_FRAGMENTS: usize = 14;

/// Bytes that each fragment takes besides its own.
pub const ENTRY_BYTES: usize = 7;

/// Bytes for fragments and their entries.
pub const ROOM: usize = BLOCK_SIZE - HEADER_BYTES;

const MAGIC: [u8; 2] = *b"DC";
const VERSION: u8 = 1;
const HEADER_BYTES: usize = 4;
const LBN_BYTES: usize = 5;

/// What is wrong with a block that should be a compressed block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum InvalidContainer {
    /// It does not begin as one.
    #[error("no compressed block: wrong magic or version")]
    NotCompressed,
    /// The number of fragments is none of 1 to 14.
    #[error("a compressed block of {0} fragments")]
    Count(u8),
    /// A fragment is empty, or they are longer than the block together.
    #[error("a compressed block whose fragments do not fit it")]
    Sizes,
    /// It has no such fragment.
    #[error("a compressed block without fragment {0}")]
    NoSlot(u8),
}

/// What the head of a compressed block says of one fragment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FragmentEntry {
    /// Bytes.
    pub size: u16,
    /// The block for which it was written.
    pub lbn: Lbn,
}

/// Writes a compressed block; `bytes` are the fragments back to back.
///
/// # Panics
/// If the fragments are not 1 to 14, their sizes do not add up to `bytes`, or they do not fit.
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

/// The LBNs for which the fragments of a compressed block were written, in the order of their slots.
#[derive(Debug, Clone, Copy)]
pub struct Owners {
    lbns: [Lbn; MAX_FRAGMENTS],
    count: usize,
}

impl Owners {
    /// Number of fragments.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.count
    }

    /// The LBNs.
    pub fn lbns(&self) -> impl Iterator<Item = Lbn> + use<> {
        self.lbns.into_iter().take(self.count)
    }
}

/// The fragments of a compressed block.
#[derive(Debug, Clone, Copy)]
pub struct Fragments<'a> {
    entries: &'a [u8],
    bytes: &'a [u8],
}

impl<'a> Fragments<'a> {
    /// Reads the head of a block.
    ///
    /// # Errors
    /// What is wrong with it. A block that was written as something else is nearly always told apart by its first bytes.
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

    /// What the head says of each, in the order of their slots.
    pub fn entries(&self) -> impl Iterator<Item = FragmentEntry> + use<'a> {
        self.entries.chunks_exact(ENTRY_BYTES).map(|bytes| {
            let mut lbn = [0; 8];
            lbn[..LBN_BYTES].copy_from_slice(&bytes[2..]);
            FragmentEntry { size: u16::from_le_bytes([bytes[0], bytes[1]]), lbn: Lbn(u64::from_le_bytes(lbn)) }
        })
    }

    /// Whom the fragments were written for.
    #[must_use]
    pub fn owners(&self) -> Owners {
        let mut owners = Owners { lbns: [Lbn(0); MAX_FRAGMENTS], count: 0 };
        for (lbn, entry) in owners.lbns.iter_mut().zip(self.entries()) {
            *lbn = entry.lbn;
            owners.count += 1;
        }
        owners
    }

    /// The fragment in a slot.
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

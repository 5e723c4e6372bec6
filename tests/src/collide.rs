// SPDX-License-Identifier: BSD-3-Clause

//! Blocks that differ and have the same fingerprint, for whoever knows a volume's secret.
//!
//! The fingerprint is XXH3-128 with a secret (see `engine::dedupe`). XXH3 adds up stripes of 64 bytes: a lane d of a
//! stripe with key k adds d itself to one sum and lo(d ^ k) * hi(d ^ k) to another. Where the low half of d equals
//! that of k, the product is zero whatever the high half is, and two such lanes of neighbouring stripes can share out
//! a sum between their high halves at will. So every block has 2^32 others with its fingerprint, all 128 bits of it.
//!
//! Tests of the real target take the secret from where it is kept: in the inventory, on media.

use engine::fingerprint::SECRET_BYTES;
use engine::volume::inventory::InventoryRecord;
use engine::Block;
use mpool::testing::mix;

/// Bytes of a stripe; the key of each one begins eight bytes after that of the one before.
const STRIPE: usize = 64;
const LANE: usize = 8;

/// How a record of an inventory begins.
const MAGIC: &[u8] = b"DINV";
/// More than the longest of them.
const MOST_BYTES: usize = 2048;
const PAGE: usize = 4096;
const HOLE: [u8; PAGE] = [0; PAGE];

/// A block of a family: all members of one family have the same fingerprint, and all of them differ.
#[must_use]
pub fn colliding(secret: &[u8; SECRET_BYTES], family: u64, member: u32) -> Block {
    let mut block = [0; engine::BLOCK_SIZE];
    for (place, word) in block.chunks_exact_mut(LANE).zip(0..) {
        place.copy_from_slice(&mix(mix(family) ^ word).to_le_bytes());
    }
    let mut set = |stripe: usize, high: u32| {
        let (lane, key) = (stripe * STRIPE, stripe * LANE);
        block[lane..lane + 4].copy_from_slice(&secret[key..key + 4]);
        block[lane + 4..lane + 8].copy_from_slice(&high.to_le_bytes());
    };
    set(0, member);
    set(1, (family as u32).wrapping_sub(member));
    block
}

/// The secret of the only volume in an image of a pool's drive; none if no inventory is found in it.
#[must_use]
pub fn find_secret(image: &[u8]) -> Option<[u8; SECRET_BYTES]> {
    // Most of an image is holes.
    let pages = (0..image.len()).step_by(PAGE).filter(|at| !image[*at..].starts_with(&HOLE));
    let starts = pages.flat_map(|page| page..(page + PAGE).min(image.len()));
    starts.map(|at| &image[at..]).filter(|bytes| bytes.starts_with(MAGIC)).find_map(|bytes| {
        let longest = bytes.len().min(MOST_BYTES);
        (SECRET_BYTES..longest).find_map(|length| match InventoryRecord::decode(&bytes[..length]) {
            Ok(InventoryRecord::Config(config)) => Some(config.secret),
            _ => None,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::fingerprint::Fingerprinter;

    #[test]
    fn members_of_a_family_differ_and_have_one_fingerprint() {
        let secret = core::array::from_fn(|at| (at as u8).wrapping_mul(101) ^ 0x5e);
        let fingerprinter = Fingerprinter::new(secret);
        let first = colliding(&secret, 9, 0);
        for member in [1, 2, 77, u32::MAX] {
            let other = colliding(&secret, 9, member);
            assert_ne!(other, first);
            assert_eq!(fingerprinter.fingerprint(&other), fingerprinter.fingerprint(&first), "member {member}");
        }
        let strange = colliding(&secret, 10, 0);
        assert_ne!(fingerprinter.fingerprint(&strange), fingerprinter.fingerprint(&first));
        let other = Fingerprinter::new([1; SECRET_BYTES]);
        assert_ne!(other.fingerprint(&colliding(&secret, 9, 1)), other.fingerprint(&first), "the secret matters");
    }
}

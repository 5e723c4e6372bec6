// SPDX-License-Identifier: BSD-3-Clause

//! What blocks hold: 32 bytes that tell place and time, then zeros. All blocks are different, and cheap to make.
//!
//! ```text
//!  off size
//!    0   16  magic
//!   16    8  logical block, little-endian
//!   24    8  how often it was written, little-endian
//! ```

/// Bytes of a block.
pub const BLOCK_BYTES: usize = 4096;
const MAGIC: &[u8; 16] = b"restart_bench\xd5\x7e\x01";
/// Blocks whose space is never given back: the first read after a restart goes to one of them.
const KEPT_EVERY: u64 = 4096;

/// Writes a block.
pub fn fill(bytes: &mut [u8], block: u64, generation: u64) {
    bytes.fill(0);
    bytes[..16].copy_from_slice(MAGIC);
    bytes[16..24].copy_from_slice(&block.to_le_bytes());
    bytes[24..32].copy_from_slice(&generation.to_le_bytes());
}

/// Which block it is, if it is one of these.
pub fn recognise(bytes: &[u8]) -> Option<u64> {
    let (magic, rest) = bytes.split_first_chunk::<16>()?;
    (magic == MAGIC).then_some(u64::from_le_bytes(*rest.first_chunk()?))
}

/// Whether a block's data must stay.
pub const fn is_kept(block: u64) -> bool {
    block.is_multiple_of(KEPT_EVERY)
}

/// One of the kept blocks below `blocks`, another one each time.
pub const fn kept(number: u64, blocks: u64) -> u64 {
    let count = blocks.div_ceil(KEPT_EVERY);
    number.wrapping_mul(0x9e37_79b9) % count * KEPT_EVERY
}

// SPDX-License-Identifier: BSD-3-Clause

//! The content of blocks: each 512-byte sector spells out one number, its token.
//!
//! The model compares tokens instead of bytes, yet every byte counts: a sector that does not spell a token exactly is
//! garbage. Token 0 is a sector of zeros. Any other token is the first and the last eight bytes of the sector. For many
//! values the bytes between are the same for all tokens, so that two blocks can differ in little, and only a full compare
//! tells them apart. For other values some or all of these bytes are noise: some blocks compress to a tenth, others to a
//! half, some not at all. Blocks with 64 and with 360 bytes of noise a sector fill a compressed block together.

use engine::{Block, BLOCK_SIZE, SECTOR_SIZE};
use mpool::testing::mix;

/// Content of a sector.
pub type Token = u64;

/// Sectors in a block.
pub const SECTORS: usize = BLOCK_SIZE / SECTOR_SIZE;

/// Content of a block.
pub type Tokens = [Token; SECTORS];

/// What client memory holds where nothing was read.
pub const GUARD: Token = u64::MAX;

/// What memory holds when nobody may look at it.
pub const POISON: Token = u64::MAX - 1;

const WORD: usize = size_of::<Token>();
const LAST: usize = SECTOR_SIZE - WORD;

static ZEROS: [u8; SECTOR_SIZE] = [0; SECTOR_SIZE];

/// The bytes between the two copies of the token.
static FILLER: [u8; SECTOR_SIZE] = {
    let mut bytes = [0; SECTOR_SIZE];
    let mut at = 0;
    while at < SECTOR_SIZE {
        // A short period, so that 14 blocks of it fit one compressed block.
        bytes[at] = (at as u8 & 31).wrapping_mul(37) ^ 0xa5;
        at += 1;
    }
    bytes
};

/// Bytes of noise from which sectors take theirs.
const NOISE_BYTES: usize = 1 << 16;

static NOISE: [u8; NOISE_BYTES] = {
    let mut bytes = [0; NOISE_BYTES];
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut at = 0;
    while at < NOISE_BYTES {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        bytes[at] = (state >> 56) as u8;
        at += 1;
    }
    bytes
};

/// How many bytes of a sector are noise, by the last three bits of what its value is mixed to.
const NOISE_OF: [usize; 8] = [0, 0, 0, 64, 120, 240, 360, LAST - WORD];

/// Bytes of noise in each sector of a block of value `value`: 0 compresses best, 496 not at all.
#[must_use]
pub const fn noise_of(value: u64) -> usize {
    NOISE_OF[(mix(value) & 7) as usize]
}

/// The noise in a sector.
fn noise(token: Token) -> &'static [u8] {
    let length = noise_of(value_of(token));
    let start = (mix(token) as usize) % (NOISE_BYTES - length);
    &NOISE[start..start + length]
}

/// The token of sector `sector` of a block of value `value`; value 0 is a block of zeros.
#[must_use]
pub const fn token(value: u64, sector: usize) -> Token {
    if value == 0 {
        0
    } else {
        value << 3 | sector as u64
    }
}

/// The value of the block that a token is from.
#[must_use]
pub const fn value_of(token: Token) -> u64 {
    token >> 3
}

/// The tokens of a block of value `value`.
#[must_use]
pub fn block_of(value: u64) -> Tokens {
    core::array::from_fn(|sector| token(value, sector))
}

/// Writes a sector. `sector` is 512 bytes long.
pub fn fill(sector: &mut [u8], token: Token) {
    if token == 0 {
        sector.fill(0);
    } else {
        let noise = noise(token);
        sector.copy_from_slice(&FILLER);
        sector[WORD..WORD + noise.len()].copy_from_slice(noise);
        sector[..WORD].copy_from_slice(&token.to_le_bytes());
        sector[LAST..].copy_from_slice(&token.to_le_bytes());
    }
}

/// Writes a block.
pub fn fill_block(block: &mut Block, tokens: &Tokens) {
    for (sector, token) in block.chunks_exact_mut(SECTOR_SIZE).zip(tokens) {
        fill(sector, *token);
    }
}

/// Reads a sector of 512 bytes; none if it is garbage.
#[must_use]
pub fn decode(sector: &[u8]) -> Option<Token> {
    let mut word = [0; WORD];
    word.copy_from_slice(&sector[..WORD]);
    let token = Token::from_le_bytes(word);
    let good = if token == 0 {
        *sector == ZEROS
    } else {
        let noise = noise(token);
        let rest = WORD + noise.len();
        sector[WORD..rest] == *noise && sector[rest..LAST] == FILLER[rest..LAST] && sector[LAST..] == word
    };
    good.then_some(token)
}

/// Reads a block, sector by sector.
#[must_use]
pub fn decode_block(block: &Block) -> [Option<Token>; SECTORS] {
    core::array::from_fn(|sector| decode(&block[sector * SECTOR_SIZE..(sector + 1) * SECTOR_SIZE]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_counts() {
        (70..90).for_each(every_byte_counts_of);
    }

    fn every_byte_counts_of(value: u64) {
        let tokens = block_of(value);
        let mut block = [0; BLOCK_SIZE];
        fill_block(&mut block, &tokens);
        assert_eq!(decode_block(&block), tokens.map(Some));
        for at in 0..BLOCK_SIZE {
            block[at] ^= 1;
            assert_ne!(decode_block(&block), tokens.map(Some), "byte {at}");
            block[at] ^= 1;
        }
        let mut zeros = [0; BLOCK_SIZE];
        assert_eq!(decode_block(&zeros), [Some(0); SECTORS]);
        zeros[1000] = 1;
        assert_eq!(decode_block(&zeros)[1], None);
    }
}

// SPDX-License-Identifier: BSD-3-Clause

//! Changes of inputs, drawn from a seed.

/// Values at which decoders change their mind.
const EDGES: [u64; 12] =
    [0, 1, 2, 0x7f, 0xff, 0x100, 0xffff, 0x7fff_ffff, 0xffff_ffff, 1 << 32, i64::MAX as u64, u64::MAX];

/// Draws changes.
pub struct Mutator {
    state: u64,
}

impl Mutator {
    /// The same seed draws the same changes.
    pub fn new(seed: u64) -> Mutator {
        Mutator { state: seed }
    }

    /// SplitMix64.
    fn draw(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// A number below `bound`, or 0 when there is none.
    fn below(&mut self, bound: usize) -> usize {
        (self.draw() % bound.max(1) as u64) as usize
    }

    /// One of `inputs`, changed at one to eight places.
    pub fn change(&mut self, inputs: &[Vec<u8>]) -> Vec<u8> {
        let mut input = inputs[self.below(inputs.len())].clone();
        for _ in 0..1 + self.below(8) {
            self.change_once(&mut input, inputs);
        }
        input
    }

    fn change_once(&mut self, input: &mut Vec<u8>, inputs: &[Vec<u8>]) {
        let at = self.below(input.len());
        match self.below(8) {
            0 | 1 if !input.is_empty() => input[at] ^= 1 << self.below(8),
            2 if !input.is_empty() => input[at] = self.draw() as u8,
            3 | 4 => {
                let width = 1 << self.below(4);
                let value = EDGES[self.below(EDGES.len())].to_le_bytes();
                if let Some(field) = input.get_mut(at..at + width) {
                    field.copy_from_slice(&value[..width]);
                }
            }
            5 => input.truncate(at),
            6 => {
                // Part of another input at the same place: sectors of two logs, fields of two records.
                let other = &inputs[self.below(inputs.len())];
                let bytes = 1 + self.below(512);
                let end = (at + bytes).min(other.len()).min(input.len());
                if at < end {
                    input[at..end].copy_from_slice(&other[at..end]);
                }
            }
            _ => {
                // A part moves: a block that is written to the wrong place.
                let bytes = (1 + self.below(512)).min(input.len() - at);
                let to = self.below(input.len() - bytes + 1);
                input.copy_within(at..at + bytes, to);
            }
        }
    }
}

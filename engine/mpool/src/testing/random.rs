// SPDX-License-Identifier: BSD-3-Clause

//! Random numbers that depend on a seed and on nothing else, so that a test can be repeated.

/// A generator (SplitMix64, after Steele, Lea and Flood).
#[derive(Debug, Clone)]
pub struct Random(u64);

/// Scrambles a number; equal numbers give equal results.
#[must_use]
pub const fn mix(number: u64) -> u64 {
    let mut mixed = number;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// What numbers can be drawn as.
pub trait Number: Copy {
    /// Of 64 bits, of which it has enough.
    fn from_u64(number: u64) -> Self;

    /// In 64 bits.
    fn to_u64(self) -> u64;
}

macro_rules! numbers {
    ($($number:ty),+) => {
        $(impl Number for $number {
            fn from_u64(number: u64) -> $number {
                number as $number
            }

            fn to_u64(self) -> u64 {
                self as u64
            }
        })+
    };
}

numbers!(u64, usize, u32, i32);

impl Random {
    /// One that begins with a seed.
    #[must_use]
    pub const fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// One of a seed's independent streams. What is drawn from one does not shift another, so that a seed without its
    /// faults is still the same workload.
    #[must_use]
    pub const fn stream(seed: u64, stream: u64) -> Random {
        Random(
            mix(seed.wrapping_add(0x5851_f42d_4c95_7f2d))
                ^ mix(stream.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x1234_5678),
        )
    }

    /// The next number, all 64 bits random.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number from 0 to `bound - 1`. `bound` is not 0.
    pub fn below<N: Number>(&mut self, bound: N) -> N {
        N::from_u64(((u128::from(self.draw()) * u128::from(bound.to_u64())) >> 64) as u64)
    }

    /// An index into something of length `len`, which is not 0.
    pub fn index(&mut self, len: usize) -> usize {
        self.below(len)
    }

    /// True in one of `cases` cases.
    pub fn one_in<N: Number>(&mut self, cases: N) -> bool {
        self.below(cases).to_u64() == 0
    }

    /// A number from `low` to `high`, both possible.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// True in `per_mille` of 1000 cases.
    pub fn chance(&mut self, per_mille: u32) -> bool {
        per_mille > 0 && self.below(1000_u64) < u64::from(per_mille)
    }

    /// One of several values.
    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.index(of.len())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_repeat_and_differ() {
        let draw = |seed, stream| {
            let mut random = Random::stream(seed, stream);
            (0..8).map(|_| random.draw()).collect::<Vec<_>>()
        };
        assert_eq!(draw(1, 2), draw(1, 2));
        assert_ne!(draw(1, 2), draw(1, 3));
        assert_ne!(draw(1, 2), draw(2, 2));
    }

    #[test]
    fn bounds_hold_and_are_reached() {
        let mut random = Random::stream(7, 0);
        let mut seen = [false; 5];
        for _ in 0..1000 {
            seen[random.between(3, 7) as usize - 3] = true;
            assert!(!random.chance(0) && random.chance(1000));
        }
        assert_eq!(seen, [true; 5]);
    }
}

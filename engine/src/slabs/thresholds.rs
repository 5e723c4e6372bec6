// SPDX-License-Identifier: BSD-3-Clause

//! The lengths of a slab journal at which write-back, blocking and scrubbing begin.
//!
//! Lengths are in blocks: from the oldest block that is needed to the one being filled.

/// The thresholds of the slab journals of a volume; they follow from the ring's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Thresholds {
    /// From here on reference blocks are written back, a share of the dirty ones at a time.
    pub flushing: u64,
    /// From here on all dirty reference blocks are written back.
    pub deadline: u64,
    /// From here on updates wait.
    pub blocking: u64,
    /// From here on a slab that is not loaded is scrubbed before others.
    pub scrubbing: u64,
}

/// Entries for which room is kept: the number of requests that dm-vdo has in flight.
const REQUESTS: u64 = 2048;

/// Blocks between the deadline and the blocking threshold.
const DEADLINE_LEAD: u64 = 5;

impl Thresholds {
    /// The thresholds of a ring of `blocks` with `entries` in each.
    pub const fn new(blocks: u64, entries: u64) -> Thresholds {
        let flushing = (3 * blocks).div_ceil(4);
        let blocking = flushing + (blocks - flushing) * 5 / 7;
        let extra = 1 + REQUESTS / entries;
        let scrubbing = if blocks > extra { blocks - extra } else { blocking };
        let blocking = if blocking < scrubbing { blocking } else { scrubbing };
        let deadline =
            if blocking.saturating_sub(flushing) > DEADLINE_LEAD { blocking - DEADLINE_LEAD } else { flushing };
        Thresholds { flushing, deadline, blocking, scrubbing }
    }

    /// How many of `dirty` reference blocks are to be written back now.
    pub const fn quota(&self, length: u64, dirty: usize) -> usize {
        if length < self.flushing || dirty == 0 {
            return 0;
        }
        if length >= self.deadline {
            return dirty;
        }
        let share = dirty / (self.deadline - length + 1) as usize;
        if share == 0 {
            1
        } else {
            share
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(blocks: u64, entries: u64) -> [u64; 4] {
        let Thresholds { flushing, deadline, blocking, scrubbing } = Thresholds::new(blocks, entries);
        [flushing, deadline, blocking, scrubbing]
    }

    /// vdo-70: the figures of dm-vdo for its block format, and those of small rings and of our format.
    #[test]
    fn thresholds_are_as_specified() {
        assert_eq!(of(224, 1299), [168, 203, 208, 222]);
        assert_eq!(of(224, 1003), [168, 203, 208, 221]);
        assert_eq!(of(32, 1003), [24, 24, 29, 29]);
        assert_eq!(of(8, 1299), [6, 6, 6, 6], "blocking is not beyond scrubbing");
        assert_eq!(of(2, 1299), [2, 2, 2, 2]);
        for blocks in 4..=224 {
            let [flushing, deadline, blocking, scrubbing] = of(blocks, 1003);
            assert!(deadline <= flushing.max(blocking) && blocking <= scrubbing && scrubbing < blocks, "{blocks}");
        }
    }

    /// vdo-70: a share of the dirty blocks from the flushing threshold on, all of them from the deadline on.
    #[test]
    fn write_back_gets_more_urgent() {
        let thresholds = Thresholds::new(224, 1299);
        let quotas = [0, 167, 168, 186, 202, 203, 222].map(|length| thresholds.quota(length, 130));
        assert_eq!(quotas, [0, 0, 3, 7, 65, 130, 130]);
        assert_eq!(thresholds.quota(168, 5), 1, "one at least");
        assert_eq!(thresholds.quota(222, 0), 0);
    }
}

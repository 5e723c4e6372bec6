// SPDX-License-Identifier: BSD-3-Clause

//! Flush generations: a flush waits for the pieces accepted before it, and for no later ones.
//!
//! Each piece belongs to the generation that is open when it is accepted; a flush closes that generation. Invariant:
//! generations end in order, each after its last piece and after all older ones. Differs from dm-vdo, which counts
//! writes only: reads end quickly, and counting every piece alike needs no second rule.
//!
//! What a flush must cover is what was answered before it, and that is durable by its answer. So a flush may leave out what
//! is not answered yet, and it leaves out sweeps, which may take as long as the volume is large: it waits for those of their
//! pieces that are under way, and not for the pages that they have still to come to.

use std::collections::VecDeque;

/// The open generation and the closed ones that still have work.
#[derive(Debug)]
pub struct FlushGenerations {
    /// Number of the oldest generation that is kept.
    oldest: u64,
    /// Pieces in flight of each generation, oldest first; the last entry is the open one.
    active: VecDeque<u32>,
    /// The flush that closed each closed generation, oldest first.
    flushes: VecDeque<u32>,
}

impl FlushGenerations {
    /// Room for `capacity` flushes waiting at once.
    pub fn new(capacity: usize) -> FlushGenerations {
        let mut active = VecDeque::with_capacity(capacity + 1);
        active.push_back(0);
        FlushGenerations { oldest: 0, active, flushes: VecDeque::with_capacity(capacity) }
    }

    /// A piece begins; returns its generation.
    pub fn begin(&mut self) -> u64 {
        let open = self.active.len() - 1;
        self.active[open] += 1;
        self.oldest + open as u64
    }

    /// A piece of `generation` ends.
    pub fn end(&mut self, generation: u64) {
        let index = usize::try_from(generation - self.oldest).expect("a kept generation");
        assert!(self.active[index] > 0, "generation {generation} ends more pieces than it began");
        self.active[index] -= 1;
    }

    /// A flush arrives and closes the open generation.
    pub fn close(&mut self, flush: u32) {
        self.flushes.push_back(flush);
        self.active.push_back(0);
    }

    /// True when a flush waits.
    pub fn is_waiting(&self) -> bool {
        !self.flushes.is_empty()
    }

    /// The next flush whose turn has come, if any.
    pub fn pop_done(&mut self) -> Option<u32> {
        if self.active[0] > 0 {
            return None;
        }
        let flush = self.flushes.pop_front()?;
        self.active.pop_front();
        self.oldest += 1;
        Some(flush)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// vdo-93: a flush waits for older pieces only, and flushes end in order.
    #[test]
    fn a_flush_waits_for_older_pieces_only() {
        let mut generations = FlushGenerations::new(4);
        let (old1, old2) = (generations.begin(), generations.begin());
        generations.close(70);
        let newer = generations.begin();
        generations.close(71);
        let newest = generations.begin();
        assert_eq!(generations.pop_done(), None);
        generations.end(newer);
        generations.end(old1);
        assert_eq!(generations.pop_done(), None);
        generations.end(old2);
        assert_eq!(generations.pop_done(), Some(70));
        assert_eq!(generations.pop_done(), Some(71), "the second flush does not wait for the newest piece");
        assert_eq!(generations.pop_done(), None);
        generations.end(newest);
        generations.close(72);
        assert_eq!(generations.pop_done(), Some(72));
    }
}

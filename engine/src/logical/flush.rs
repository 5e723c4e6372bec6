// SPDX-License-Identifier: BSD-3-Clause

//! Flush generations: a flush waits for the pieces accepted before it, and for no later ones.
//!
//! Each piece belongs to the generation that is open when it is accepted; a flush closes that generation. Invariant:
//! generations end in order, each after its last piece and after all older ones. Differs from dm-vdo, which counts only
//! writes: reads end quickly, and counting every piece needs no second rule.
//!
//! A flush must cover what was answered before it, and that is durable when it is answered. So a flush may ignore what
//! is not answered yet, and it ignores sweeps, which may take a time proportional to the size of the volume: it waits
//! for those of their pieces that are in flight, not for the pages that they have not reached.

use std::collections::VecDeque;

/// The open generation and the closed ones that still have work.
#[derive(Debug)]
pub struct FlushGenerations {
    /// Number of the oldest generation kept.
    oldest: u64,
    /// Pieces in flight of each generation, oldest first; the last entry is the open one.
    active: VecDeque<u32>,
    /// The flush that closed each closed generation, oldest first.
    flushes: VecDeque<u32>,
}

impl FlushGenerations {
    /// Room for `capacity` queued flushes.
    pub fn new(capacity: usize) -> FlushGenerations {
        let mut active = VecDeque::with_capacity(capacity + 1);
        active.push_back(0);
        FlushGenerations { oldest: 0, active, flushes: VecDeque::with_capacity(capacity) }
    }

    /// A piece starts; returns its generation.
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

    /// Takes the oldest flush if its generation and all older ones have ended.
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

// SPDX-License-Identifier: BSD-3-Clause

//! Defects put into the world on purpose, to show that the simulator notices them.

use engine::request::Operation;
use engine::SECTOR_SIZE;

use super::base::Base;
use super::client::Client;
use super::world::World;

/// A defect, and after how many chances it strikes. It strikes once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sabotage {
    /// One byte that a read returned is wrong.
    FlipReadByte {
        /// Reads before it strikes.
        after: u32,
    },
    /// An answer is lost.
    LoseAnswer {
        /// Answers before it strikes.
        after: u32,
    },
    /// An answer is given twice.
    AnswerTwice {
        /// Answers before it strikes.
        after: u32,
    },
}

impl Sabotage {
    /// Counts a chance, and tells whether this is the one.
    pub fn strikes(&mut self, is_read: bool) -> bool {
        let (after, chance) = match self {
            Sabotage::FlipReadByte { after } => (after, is_read),
            Sabotage::LoseAnswer { after } | Sabotage::AnswerTwice { after } => (after, true),
        };
        let strikes = chance && *after == 0;
        // After striking, the counter wraps to a number that no run reaches.
        *after = after.wrapping_sub(u32::from(chance));
        strikes
    }
}

impl<D: Base> World<D> {
    /// Spoils an answer if that is to be; returns how often the answer arrives.
    pub(super) fn sabotage_answer(&mut self, client: Client) -> u32 {
        let Some(mut sabotage) = self.sabotage.take() else { return 1 };
        let state = self.pieces.delivered(client);
        let reads = state.is_some_and(|state| state.operation == Operation::Read && !state.beyond_end);
        let times = if sabotage.strikes(reads) {
            match sabotage {
                Sabotage::FlipReadByte { .. } => {
                    let lbn = self.pieces.get(client).lbn;
                    let block = self.pieces.get(client).block(0);
                    let offset = block.sectors.trailing_zeros() as usize * SECTOR_SIZE + 100;
                    let buf = self.client_buf(client, lbn);
                    self.memory.get_mut(buf)[offset] ^= 4;
                    1
                }
                Sabotage::LoseAnswer { .. } => 0,
                Sabotage::AnswerTwice { .. } => 2,
            }
        } else {
            1
        };
        self.sabotage = Some(sabotage);
        times
    }
}

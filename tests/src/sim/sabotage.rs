// SPDX-License-Identifier: BSD-3-Clause

//! Defects put into the world on purpose, to show that the simulator notices them.

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

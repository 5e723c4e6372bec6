// SPDX-License-Identifier: BSD-3-Clause

//! Which requests come, drawn from a seed, and what each of them writes.

use mpool::testing::{mix, Random};

use super::content::{Content, BLOCK_BYTES};
use super::spread::Spread;
use crate::nvme_tcp::{Capabilities, IoCommand, Namespace};

/// How often each kind of request comes, in per mille; the rest are reads.
#[derive(Debug, Clone, Copy)]
pub struct Mix {
    /// Writes.
    pub write: u32,
    /// Deallocations, if the controller knows them.
    pub deallocate: u32,
    /// Writes of zeros by command.
    pub write_zeroes: u32,
    /// Flushes.
    pub flush: u32,
    /// Different duplicates. 0: everything that is written is unique.
    pub classes: u64,
    /// Most bytes that a request reads or writes, as far as the controller takes so many.
    pub transfer_bytes: u64,
}

impl Mix {
    /// Single blocks, nearly all of them written, and hardly a range given back.
    #[must_use]
    pub const fn small_writes() -> Mix {
        Mix { write: 900, deallocate: 1, write_zeroes: 1, flush: 5, classes: 300, transfer_bytes: 4096 }
    }
}

impl Default for Mix {
    fn default() -> Self {
        Mix { write: 620, deallocate: 80, write_zeroes: 60, flush: 40, classes: 300, transfer_bytes: 128 << 10 }
    }
}

/// A kind of request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestKind {
    /// Reads and compares.
    Read,
    /// Writes content.
    Write,
    /// Gives the range back; it reads as zeros then.
    Deallocate,
    /// Fills the range with zeros.
    WriteZeroes,
    /// Flushes; without a range.
    Flush,
}

/// A request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// Its number, from 1 over all lives of the target; no two requests have the same.
    pub number: u64,
    /// Its kind.
    pub kind: RequestKind,
    /// First logical block.
    pub lba: u64,
    /// Logical blocks.
    pub blocks: u32,
}

impl Request {
    /// Whether it changes its range.
    #[must_use]
    pub const fn changes(&self) -> bool {
        !matches!(self.kind, RequestKind::Read | RequestKind::Flush)
    }

    /// The command that carries it out.
    #[must_use]
    pub const fn command(&self) -> IoCommand {
        let (lba, blocks) = (self.lba, self.blocks);
        match self.kind {
            RequestKind::Read => IoCommand::Read { lba, blocks },
            RequestKind::Write => IoCommand::Write { lba, blocks },
            RequestKind::Deallocate => IoCommand::Deallocate { lba, blocks },
            RequestKind::WriteZeroes => IoCommand::WriteZeroes { lba, blocks },
            RequestKind::Flush => IoCommand::Flush,
        }
    }

    /// What it leaves in a logical block of its range, whose 4 KiB block is `block`.
    #[must_use]
    pub fn content(&self, seed: u64, mix_of: &Mix, block: u64) -> Content {
        if self.kind != RequestKind::Write {
            return Content::Zero;
        }
        let drawn = mix(seed ^ mix(self.number ^ mix(block)));
        match drawn % 20 {
            0..=2 => Content::Zero,
            3..=9 if mix_of.classes > 0 => Content::Duplicate { class: (drawn >> 32) % mix_of.classes },
            _ => Content::Unique { generation: self.number },
        }
    }
}

impl std::fmt::Display for Request {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{:?} of {} blocks at LBA {}", self.kind, self.blocks, self.lba)
    }
}

/// Draws requests.
#[derive(Debug, Clone)]
pub struct Plan {
    random: Random,
    mix: Mix,
    spread: Spread,
    next_number: u64,
}

/// Largest range of one command that has no data, and how many times as much where data is spread.
const RANGE_BYTES: u64 = 2 << 20;
const MOST_RANGES: u64 = 8;

impl Plan {
    /// The requests of a seed.
    #[must_use]
    pub const fn new(seed: u64, mix: Mix, spread: Spread) -> Plan {
        Plan { random: Random::stream(seed, 1), mix, spread, next_number: 1 }
    }

    /// A number for a request that is not drawn.
    pub const fn number(&mut self) -> u64 {
        let number = self.next_number;
        self.next_number += 1;
        number
    }

    /// The next request.
    pub fn draw(&mut self, namespace: Namespace, capabilities: Capabilities) -> Request {
        let number = self.number();
        let kind = self.kind(capabilities);
        if kind == RequestKind::Flush {
            return Request { number, kind, lba: 0, blocks: 0 };
        }
        let (lba, blocks) = match kind {
            RequestKind::Read | RequestKind::Write => {
                let most = self.mix.transfer_bytes.min(capabilities.max_transfer_bytes as u64);
                let data = Namespace { blocks: self.spread.data_blocks(namespace), ..namespace };
                let (at, blocks) = self.range(data, most);
                self.spread.place(namespace, at, blocks)
            }
            _ => self.range(namespace, RANGE_BYTES * self.spread.factor.min(MOST_RANGES)),
        };
        Request { number, kind, lba, blocks: blocks as u32 }
    }

    fn kind(&mut self, capabilities: Capabilities) -> RequestKind {
        let kinds = [
            (self.mix.write, RequestKind::Write, true),
            (self.mix.deallocate, RequestKind::Deallocate, capabilities.deallocate),
            (self.mix.write_zeroes, RequestKind::WriteZeroes, capabilities.write_zeroes),
            (self.mix.flush, RequestKind::Flush, true),
        ];
        let mut drawn = self.random.below(1000) as u32;
        for (share, kind, possible) in kinds {
            if drawn < share {
                return if possible { kind } else { RequestKind::Write };
            }
            drawn -= share;
        }
        RequestKind::Read
    }

    /// Half of all requests go to a sixteenth of the namespace, so that they meet; small ones are the most frequent.
    /// Half of those to a namespace of 512-byte blocks do not keep to 4 KiB.
    fn range(&mut self, namespace: Namespace, most_bytes: u64) -> (u64, u64) {
        let whole = (BLOCK_BYTES / namespace.block_bytes).max(1) as u64;
        let step = if whole > 1 && self.random.chance(500) { 1 } else { whole };
        let most = (most_bytes / namespace.block_bytes as u64).min(namespace.blocks).max(step);
        let blocks = match self.random.below(10) {
            0..=3 => self.random.between(1, (whole * 2).min(most)),
            4..=7 => self.random.between(1, (most / 8).max(1)),
            8 => most,
            _ => self.random.between(1, most),
        };
        let blocks = blocks.next_multiple_of(step).min(most);
        let places = namespace.blocks - blocks + 1;
        let places = if self.random.chance(500) { places.div_ceil(16) } else { places };
        (self.random.below(places) / step * step, blocks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAPABILITIES: Capabilities =
        Capabilities { max_transfer_bytes: 128 << 10, in_capsule_bytes: 4096, deallocate: true, write_zeroes: true };

    #[test]
    fn requests_lie_inside_and_come_in_all_kinds() {
        for block_bytes in [512, 4096] {
            let namespace = Namespace { blocks: (8 << 20) / block_bytes as u64, block_bytes };
            let mut plan = Plan::new(3, Mix::default(), Spread::EVERYWHERE);
            let mut seen = [0_u32; 5];
            let mut unaligned = 0;
            for number in 1..=4000 {
                let request = plan.draw(namespace, CAPABILITIES);
                assert_eq!(request.number, number);
                seen[request.kind as usize] += 1;
                if request.kind == RequestKind::Flush {
                    continue;
                }
                let end = request.lba + u64::from(request.blocks);
                assert!(request.blocks > 0 && end <= namespace.blocks, "{request}");
                if request.kind == RequestKind::Write {
                    assert!(request.blocks as usize * block_bytes <= 128 << 10, "{request}");
                }
                unaligned += u32::from(!(request.lba * block_bytes as u64).is_multiple_of(4096));
            }
            assert!(seen.iter().all(|&count| count > 80), "{seen:?}");
            assert_eq!(unaligned > 1000, block_bytes == 512);
        }
    }

    #[test]
    fn data_that_is_spread_stays_in_its_parts() {
        let namespace = Namespace { blocks: 32 << 10, block_bytes: 4096 };
        let mut plan = Plan::new(3, Mix::default(), Spread { factor: 8 });
        let mut across = 0;
        for _ in 0..2000 {
            let Request { kind, lba, blocks, .. } = plan.draw(namespace, CAPABILITIES);
            let end = lba + u64::from(blocks);
            assert!(end <= namespace.blocks);
            if matches!(kind, RequestKind::Read | RequestKind::Write) {
                assert!(lba % 256 < 32 && end - lba <= 32 - lba % 256, "{lba}, {blocks}");
            } else {
                across += u32::from(blocks > 512);
            }
        }
        assert!(across > 20, "{across}");
    }

    #[test]
    fn what_is_not_known_is_not_asked_for() {
        let namespace = Namespace { blocks: 64, block_bytes: 4096 };
        let capabilities = Capabilities { deallocate: false, write_zeroes: false, ..CAPABILITIES };
        let mut plan = Plan::new(3, Mix::default(), Spread::EVERYWHERE);
        for _ in 0..1000 {
            let kind = plan.draw(namespace, capabilities).kind;
            assert!(!matches!(kind, RequestKind::Deallocate | RequestKind::WriteZeroes));
        }
    }

    #[test]
    fn content_comes_in_all_classes_and_again() {
        let request = Request { number: 9, kind: RequestKind::Write, lba: 0, blocks: 1 };
        let draw = |block| request.content(5, &Mix::default(), block);
        let drawn: Vec<_> = (0..200).map(draw).collect();
        assert_eq!(drawn, (0..200).map(draw).collect::<Vec<_>>());
        let count = |wanted: fn(&Content) -> bool| drawn.iter().filter(|content| wanted(content)).count();
        assert!(count(|content| *content == Content::Zero) > 10);
        assert!(count(|content| matches!(content, Content::Duplicate { .. })) > 40);
        assert!(count(|content| *content == Content::Unique { generation: 9 }) > 60);
        let unique = Mix { classes: 0, ..Mix::default() };
        assert!((0..200).all(|block| !matches!(request.content(5, &unique, block), Content::Duplicate { .. })));
        let trim = Request { kind: RequestKind::Deallocate, ..request };
        assert_eq!(trim.content(5, &Mix::default(), 3), Content::Zero);
    }
}

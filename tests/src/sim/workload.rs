// SPDX-License-Identifier: BSD-3-Clause

//! The load of a seed: a sequence of client requests.

use std::collections::BTreeMap;
use std::ops::Range;

use engine::request::Operation;
use engine::units::ENTRIES_PER_LEAF_PAGE as PAGE;
use mpool::testing::Random;

use super::client::Request;
use super::content::{self, Token, SECTORS};
use super::plan::Plan;

/// First value of blocks that are like no other.
const UNIQUE: u64 = 1 << 32;

/// A source of requests.
#[derive(Debug, Clone)]
pub struct Workload {
    random: Random,
    unique: u64,
    /// Unique values that are being written again, in the order in which they were first, and the chance of that.
    again: Range<u64>,
    chance_of_again: Random,
    whole_pages: Random,
    /// How often each value was written, for whole blocks.
    written: BTreeMap<u64, u64>,
}

impl Workload {
    /// The load of a seed.
    #[must_use]
    pub const fn new(seed: u64) -> Workload {
        Workload {
            random: Random::stream(seed, 1),
            unique: UNIQUE,
            again: 0..0,
            chance_of_again: Random::stream(seed, 8),
            whole_pages: Random::stream(seed, 10),
            written: BTreeMap::new(),
        }
    }

    /// How often blocks of each value were written, for values that are stored.
    #[must_use]
    pub const fn written(&self) -> &BTreeMap<u64, u64> {
        &self.written
    }

    /// The next request.
    pub fn next(&mut self, plan: &Plan) -> Request {
        let mix = &plan.mix;
        let random = &mut self.random;
        let drawn = random.below(1000) as u32;
        let bound = [mix.read, mix.unmap, mix.write_zeroes, mix.flush];
        let kinds = [Operation::Read, Operation::Unmap, Operation::WriteZeroes, Operation::Flush];
        let mut sum = 0;
        let operation = kinds.into_iter().zip(bound).find_map(|(kind, share)| {
            sum += share;
            (drawn < sum).then_some(kind)
        });
        let operation = operation.unwrap_or(Operation::Write);
        if operation == Operation::Flush {
            return Request::flush();
        }
        let (lbn, blocks) = self.draw_range(plan, operation);
        let mut request = Request::on_blocks(operation, lbn, blocks);
        if self.random.chance(mix.unaligned) {
            let skip = self.random.below(SECTORS as u64);
            let cut = self.random.below(if blocks == 1 { SECTORS as u64 - skip } else { SECTORS as u64 });
            request.sector += skip;
            request.sectors -= skip + cut;
        }
        if operation == Operation::Write {
            request.tokens = self.draw_content(plan, request.sector, request.sectors);
        }
        request
    }

    fn draw_range(&mut self, plan: &Plan, operation: Operation) -> (u64, u64) {
        let random = &mut self.random;
        let range = &plan.hot[random.index(plan.hot.len())];
        let lbn = range.start + random.below(range.end - range.start);
        let mut blocks = if random.chance(plan.mix.long) { random.between(2, plan.mix.longest.max(2)) } else { 1 };
        if operation != Operation::Write && random.chance(20) {
            blocks = random.between(1, 600);
        }
        // Very rarely, a range that ends beyond the volume: the engine has to refuse it.
        if random.chance(2) {
            return (plan.geometry.logical_blocks().0 - 1, 2 + random.below(2));
        }
        // Whole leaf pages, which are given back then.
        let whole = &mut self.whole_pages;
        let (lbn, blocks) = if operation.is_discard() && whole.chance(plan.whole_pages) {
            (lbn / PAGE * PAGE, whole.between(1, 3) * PAGE)
        } else {
            (lbn, blocks)
        };
        (lbn, blocks.min(plan.geometry.logical_blocks().0 - lbn))
    }

    fn draw_value(&mut self, plan: &Plan) -> u64 {
        if self.random.chance(plan.mix.zero) {
            0
        } else if self.random.chance(plan.mix.unique) {
            self.again(plan).unwrap_or_else(|| self.unique_with(plan.mix.noise))
        } else {
            1 + self.random.below(plan.mix.values)
        }
    }

    /// A value that was unique until now, with those that were written behind it to follow: the index may have
    /// forgotten them.
    fn again(&mut self, plan: &Plan) -> Option<u64> {
        let written = self.unique - UNIQUE;
        let random = &mut self.chance_of_again;
        if self.again.is_empty() && written > 0 && random.chance(plan.again) {
            let first = UNIQUE + 1 + random.below(written);
            self.again = first..(first + random.between(1, 40)).min(self.unique + 1);
        }
        self.again.next()
    }

    fn unique(&mut self) -> u64 {
        self.unique += 1;
        self.unique
    }

    /// One that compresses as this noise does.
    fn unique_with(&mut self, noise: Option<usize>) -> u64 {
        while noise.is_some_and(|noise| content::noise_of(self.unique + 1) != noise) {
            self.unique += 1;
        }
        self.unique()
    }

    /// A write of one block that is like no other.
    pub fn unique_write(&mut self, lbn: u64) -> Request {
        let value = self.unique();
        self.written.insert(value, 1);
        Request::write(lbn, &[value])
    }

    fn draw_content(&mut self, plan: &Plan, first: u64, sectors: u64) -> Vec<Token> {
        let mut value = self.draw_value(plan);
        let mut tokens = Vec::with_capacity(sectors as usize);
        for at in first..first + sectors {
            let sector = (at % SECTORS as u64) as usize;
            if sector == 0 && at > first {
                value = self.draw_value(plan);
            }
            // In a block of mixed content, sectors have values of their own now and then.
            if plan.mix.unaligned > 0 && self.random.chance(20) {
                value = self.draw_value(plan);
            }
            tokens.push(content::token(value, sector));
        }
        for block in tokens.chunks_exact(SECTORS) {
            if block[0] != 0 {
                *self.written.entry(content::value_of(block[0])).or_default() += 1;
            }
        }
        tokens
    }
}

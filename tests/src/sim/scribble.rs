// SPDX-License-Identifier: BSD-3-Clause

//! Clients that change their memory while the engine works on their requests, as a guest can.
//!
//! The engine may take each byte of a write once, or, without space, once for each attempt to store it. The write writes
//! what the engine took last, all of it at the moment of that one call; `World::took` tells the model. A read's memory is
//! judged only where its client has not written since the engine last did.

use engine::Lbn;
use mpool::testing::Random;

use super::base::Base;
use super::client::{Client, RequestId};
use super::cluster::Cluster;
use super::content::{self, Tokens};
use super::digest::Happening;
use super::model::{SectorMask, ALL_SECTORS};
use super::plan::Plan;
use super::world::{trace, World};

/// First of the values that are written by nobody else.
const NOBODYS: u64 = 1 << 33;

/// The clients of a seed that do so.
#[derive(Debug)]
pub struct Scribbler {
    random: Random,
    /// Events before which some client does, in 1000.
    rate: u32,
    values: u64,
}

impl Scribbler {
    /// As `plan` says, in the way that `seed` says.
    #[must_use]
    pub const fn new(plan: &Plan, seed: u64) -> Scribbler {
        Scribbler { random: Random::stream(seed, 9), rate: plan.scribble, values: plan.mix.values }
    }

    /// Before an event: maybe some client changes its memory.
    pub fn now_and_then<D: Base>(&mut self, world: &mut World<D>) {
        let random = &mut self.random;
        if !random.chance(self.rate) {
            return;
        }
        let open = world.pieces.with_memory();
        let Some((client, blocks)) = (!open.is_empty()).then(|| random.pick(&open)) else { return };
        let index = random.below(u64::from(blocks)) as u16;
        // Content that others write too, zeros, or what nobody else has.
        let value = match random.below(3) {
            0 => 0,
            1 => 1 + random.below(self.values),
            _ => NOBODYS + random.below(1 << 20),
        };
        let sectors = if random.chance(600) { ALL_SECTORS } else { random.below(256) as SectorMask };
        world.scribble(client, index, sectors, &content::block_of(value));
    }
}

impl<D: Base> World<D> {
    /// A client writes into its memory for block `index` of a piece that is not over: `tokens` where `sectors` says so.
    pub fn scribble(&mut self, client: Client, index: u16, sectors: SectorMask, tokens: &Tokens) {
        let block = self.pieces.block_mut(client, index);
        let (sectors, buf) = (sectors & block.sectors, block.buf.expect("pieces with memory were asked for"));
        for sector in (0..content::SECTORS).filter(|sector| sectors >> sector & 1 == 1) {
            block.tokens[sector] = tokens[sector];
        }
        block.scribbled |= sectors;
        self.memory.scribble(buf, sectors, tokens);
        self.counts.scribbles += 1;
        self.record(Happening::Scribble, client.digest() << 16 | u64::from(index) << 8 | u64::from(sectors));
        trace!(self, "{client:?} changes sectors {sectors:08b} of its block {index}");
    }

    /// The engine has taken the bytes of some sectors of a block from the client.
    pub(super) fn took(&mut self, client: Client, lbn: Lbn, sectors: SectorMask) {
        let state = self.pieces.get(client);
        let (start, index) = (state.start, (lbn.0 - state.lbn.0) as u16);
        let block = self.pieces.block_mut(client, index);
        let twice = block.taken & sectors;
        block.taken |= sectors;
        let tokens = block.tokens;
        if twice != 0 && !self.was_full {
            self.fail(format!("{client:?} {lbn}: sectors {twice:08b} are taken from the client a second time"));
        }
        self.model.write_takes(lbn, start, sectors, &tokens);
    }

    /// The engine has written to some sectors of a client's block.
    pub(super) fn gave(&mut self, client: Client, lbn: Lbn, sectors: SectorMask) {
        let index = (lbn.0 - self.pieces.get(client).lbn.0) as u16;
        self.pieces.block_mut(client, index).scribbled &= !sectors;
    }
}

impl<D: Base> Cluster<D> {
    /// The client of a request that is not over makes all its memory blocks of a value.
    pub fn scribble(&mut self, id: RequestId, value: u64) {
        for (client, blocks) in self.world.pieces.with_memory() {
            if self.world.pieces.get(client).is_of(id) {
                (0..blocks).for_each(|index| {
                    self.world.scribble(client, index, ALL_SECTORS, &content::block_of(value));
                });
            }
        }
    }
}

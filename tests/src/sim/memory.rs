// SPDX-License-Identifier: BSD-3-Clause

//! The memory of the virtual machine: one pool of 4 KiB blocks, each with an owner.
//!
//! Invariants, checked by panic because a breach is a defect of the engine (or of the simulator) and nothing after it
//! can be trusted: nobody looks at a block that has no owner, or that a transfer is filling; nobody changes a block
//! that a transfer is writing out; a block with transfers is not given back.

use engine::{Block, ShardId, BLOCK_SIZE, SECTOR_SIZE};

use super::content::{self, Token, Tokens, SECTORS};
use super::model::SectorMask;

/// Handle of a block of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Buf(pub u32);

/// Whose a block is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// Nobody's.
    Free,
    /// A shard's, for data that is not used in place.
    Bounce(ShardId),
    /// A shard's, for verify reads.
    Verify(ShardId),
    /// A shard's, for compressed blocks.
    Container(ShardId),
    /// For compressed blocks whose fragments may be moved.
    Relocation(ShardId),
    /// For compressed blocks that are read and written anew.
    Swap(ShardId),
    /// A shard's, for metadata.
    Metadata(ShardId),
    /// A client's, to be read only.
    Source,
    /// A client's, to be filled by a read.
    Target,
}

/// The pool.
#[derive(Debug, Default)]
pub struct Memory {
    blocks: Vec<Block>,
    owners: Vec<Owner>,
    /// Transfers that read the block's memory (writes to the base).
    draining: Vec<u16>,
    /// A transfer writes the block's memory (a read from the base).
    filling: Vec<bool>,
    free: Vec<u32>,
}

impl Memory {
    /// Takes a block for `owner`. Its content is garbage.
    pub fn take(&mut self, owner: Owner) -> Buf {
        let index = self.free.pop().unwrap_or_else(|| {
            self.blocks.push([0xee; BLOCK_SIZE]);
            self.owners.push(Owner::Free);
            self.draining.push(0);
            self.filling.push(false);
            (self.blocks.len() - 1) as u32
        });
        self.owners[index as usize] = owner;
        Buf(index)
    }

    /// Gives a block back and spoils its content.
    pub fn give_back(&mut self, buf: Buf) {
        assert!(!self.in_transfer(buf), "{buf:?} is given back while a transfer uses it");
        self.fill(buf, &[content::POISON; SECTORS]);
        self.owners[buf.0 as usize] = Owner::Free;
        self.free.push(buf.0);
    }

    /// Whose a block is.
    #[must_use]
    pub fn owner(&self, buf: Buf) -> Owner {
        self.owners[buf.0 as usize]
    }

    /// True while a transfer uses the block.
    #[must_use]
    pub fn in_transfer(&self, buf: Buf) -> bool {
        self.draining[buf.0 as usize] > 0 || self.filling[buf.0 as usize]
    }

    /// The bytes of a block that somebody owns.
    #[must_use]
    pub fn get(&self, buf: Buf) -> &Block {
        let index = buf.0 as usize;
        assert_ne!(self.owners[index], Owner::Free, "{buf:?} is used after its owner gave it back");
        assert!(!self.filling[index], "{buf:?} is looked at while a read fills it");
        &self.blocks[index]
    }

    /// The bytes of a block that somebody owns, to be changed.
    pub fn get_mut(&mut self, buf: Buf) -> &mut Block {
        let index = buf.0 as usize;
        assert_ne!(self.owners[index], Owner::Free, "{buf:?} is changed after its owner gave it back");
        assert!(!self.in_transfer(buf), "{buf:?} is changed while a transfer uses it");
        &mut self.blocks[index]
    }

    /// Sets all sectors of a block.
    pub fn fill(&mut self, buf: Buf, tokens: &Tokens) {
        content::fill_block(&mut self.blocks[buf.0 as usize], tokens);
    }

    /// Decodes all sectors of a block.
    #[must_use]
    pub fn decode(&self, buf: Buf) -> [Option<Token>; SECTORS] {
        content::decode_block(self.get(buf))
    }

    /// A client sets some sectors of its own block, whatever a transfer or the engine does with it.
    pub fn scribble(&mut self, buf: Buf, sectors: SectorMask, tokens: &Tokens) {
        assert!(matches!(self.owner(buf), Owner::Source | Owner::Target), "{buf:?} is no client's");
        let block = &mut self.blocks[buf.0 as usize];
        for sector in (0..SECTORS).filter(|sector| sectors >> sector & 1 == 1) {
            content::fill(&mut block[sector * SECTOR_SIZE..(sector + 1) * SECTOR_SIZE], tokens[sector]);
        }
    }

    /// Copies a range of bytes to the same place of another block.
    pub fn copy(&mut self, from: Buf, range: core::ops::Range<usize>, to: Buf) {
        let _ = self.get(from);
        let _ = self.get_mut(to);
        let start = from.0 as usize * BLOCK_SIZE;
        let place = to.0 as usize * BLOCK_SIZE + range.start;
        self.blocks.as_flattened_mut().copy_within(start + range.start..start + range.end, place);
    }

    /// A transfer to the base starts with this block.
    pub fn start_draining(&mut self, buf: Buf) {
        let _ = self.get(buf);
        self.draining[buf.0 as usize] += 1;
    }

    /// It ends.
    pub fn stop_draining(&mut self, buf: Buf) {
        self.draining[buf.0 as usize] -= 1;
    }

    /// A transfer from the base starts; from now on the content is not defined.
    pub fn start_filling(&mut self, buf: Buf) {
        let block = self.get_mut(buf);
        // One sector is enough to notice who looks too early, and costs less than all eight.
        content::fill(&mut block[..engine::SECTOR_SIZE], content::POISON);
        self.filling[buf.0 as usize] = true;
    }

    /// It ends.
    pub fn stop_filling(&mut self, buf: Buf) {
        self.filling[buf.0 as usize] = false;
    }

    /// The bytes as a transfer sees them.
    pub fn transfer(&mut self, buf: Buf) -> &mut Block {
        &mut self.blocks[buf.0 as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "used after its owner gave it back")]
    fn use_after_give_back_is_noticed() {
        let mut memory = Memory::default();
        let buf = memory.take(Owner::Source);
        memory.give_back(buf);
        let _ = memory.get(buf);
    }

    #[test]
    #[should_panic(expected = "while a read fills it")]
    fn a_look_during_a_read_is_noticed() {
        let mut memory = Memory::default();
        let buf = memory.take(Owner::Target);
        memory.start_filling(buf);
        let _ = memory.get(buf);
    }

    #[test]
    #[should_panic(expected = "given back while a transfer uses it")]
    fn an_early_answer_is_noticed() {
        let mut memory = Memory::default();
        let buf = memory.take(Owner::Source);
        memory.start_draining(buf);
        memory.give_back(buf);
    }
}

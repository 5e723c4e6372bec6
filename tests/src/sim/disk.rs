// SPDX-License-Identifier: BSD-3-Clause

//! The virtual base bdev: a sparse array of blocks, and the transfers in flight on it.
//!
//! A transfer takes effect at some point between submission and completion, and both points are chosen by the
//! scheduler. Blocks that were never written hold garbage. Invariants (a breach is a defect of the engine): transfers
//! stay inside the data blocks; no transfer touches a block that another one is writing.

use engine::{Direction, Pbn, RequestError, RunToken, ShardId, BLOCK_SIZE};

use super::content::{self, Token, SECTORS};
use super::faults::{Cause, Faults};
use super::memory::{Buf, Memory, Owner};

const UNWRITTEN: u32 = u32::MAX;

/// A transfer in flight.
#[derive(Debug)]
pub struct Transfer {
    /// Who started it.
    pub shard: ShardId,
    /// Its name there.
    pub token: RunToken,
    /// Direction.
    pub direction: Direction,
    /// First block.
    pub pbn: Pbn,
    /// Memory, block by block.
    pub bufs: Vec<Buf>,
    /// The outcome, once it has taken effect.
    pub outcome: Option<Result<(), RequestError>>,
    /// It takes very long.
    pub slow: bool,
}

/// Counts of what was done, in blocks unless said otherwise.
#[derive(Debug, Clone, Copy, Default)]
pub struct DiskCounts {
    /// Transfers that ended.
    pub transfers: u64,
    /// Blocks read, verify reads not among them.
    pub read: u64,
    /// Blocks read into memory for verifying.
    pub verified: u64,
    /// Blocks written.
    pub written: u64,
    /// Most transfers at one time.
    pub most_in_flight: u64,
}

/// The base bdev.
#[derive(Debug)]
pub struct Disk {
    first: Pbn,
    end: Pbn,
    /// Place of each block in `blocks`, from `first` on.
    index: Vec<u32>,
    blocks: Vec<engine::Block>,
    readers: Vec<u16>,
    writers: Vec<u16>,
    rotten: Vec<bool>,
    spare: Vec<Vec<Buf>>,
    /// What is in flight, in no particular order.
    pub transfers: Vec<Transfer>,
    /// Totals.
    pub counts: DiskCounts,
}

impl Disk {
    /// A disk on which the blocks from `first` to before `end` may be used.
    #[must_use]
    pub fn new(first: Pbn, end: Pbn) -> Disk {
        let blocks = (end.0 - first.0) as usize;
        Disk {
            first,
            end,
            index: vec![UNWRITTEN; blocks],
            blocks: Vec::new(),
            readers: vec![0; blocks],
            writers: vec![0; blocks],
            rotten: vec![false; blocks],
            spare: Vec::new(),
            transfers: Vec::new(),
            counts: DiskCounts::default(),
        }
    }

    fn at(&self, pbn: Pbn) -> usize {
        (pbn.0 - self.first.0) as usize
    }

    /// The content of a block, sector by sector; garbage if it was never written.
    #[must_use]
    pub fn decode(&self, pbn: Pbn) -> [Option<Token>; SECTORS] {
        match self.bytes(pbn) {
            Some(block) => content::decode_block(block),
            None => [None; SECTORS],
        }
    }

    /// The bytes of a block; none if it was never written or lies outside.
    #[must_use]
    pub fn bytes(&self, pbn: Pbn) -> Option<&engine::Block> {
        let inside = pbn >= self.first && pbn < self.end;
        let place = inside.then(|| self.index[self.at(pbn)])?;
        (place != UNWRITTEN).then(|| &self.blocks[place as usize])
    }

    /// True when the block was spoilt on the disk since it was written.
    #[must_use]
    pub fn is_rotten(&self, pbn: Pbn) -> bool {
        self.rotten[self.at(pbn)]
    }

    /// Spoils a stored block.
    pub fn spoil(&mut self, pbn: Pbn, (byte, bits): (usize, u8)) {
        let at = self.at(pbn);
        self.store(pbn)[byte] ^= bits;
        self.rotten[at] = true;
    }

    fn store(&mut self, pbn: Pbn) -> &mut engine::Block {
        let at = self.at(pbn);
        if self.index[at] == UNWRITTEN {
            self.index[at] = self.blocks.len() as u32;
            self.blocks.push([0xdd; BLOCK_SIZE]);
        }
        &mut self.blocks[self.index[at] as usize]
    }

    /// Starts a transfer.
    ///
    /// # Errors
    /// What the transfer breaks of the rules.
    pub fn submit(
        &mut self,
        shard: ShardId,
        (direction, pbn, token): (Direction, Pbn, RunToken),
        bufs: &[Buf],
        memory: &mut Memory,
        faults: &mut Faults,
    ) -> Result<(), String> {
        let end = pbn.0 + bufs.len() as u64;
        if bufs.is_empty() || pbn < self.first || end > self.end.0 {
            return Err(format!("{direction:?} of {pbn} to {end} is not inside the data blocks"));
        }
        if self.transfers.iter().any(|other| other.shard == shard && other.token == token) {
            return Err(format!("{shard:?} uses {token:?} for two transfers at once"));
        }
        for (pbn, buf) in (pbn.0..).map(Pbn).zip(bufs) {
            let at = self.at(pbn);
            let reads = direction == Direction::Read;
            if self.writers[at] > 0 || (!reads && self.readers[at] > 0) {
                return Err(format!("{direction:?} of {pbn} while another transfer of it is in flight"));
            }
            let owner = memory.owner(*buf);
            let allowed = match owner {
                Owner::Free => false,
                Owner::Bounce(of) => !reads || of == shard,
                Owner::Verify(of) => reads && of == shard,
                Owner::Source => !reads,
                Owner::Target => reads,
            };
            if !allowed {
                return Err(format!("{direction:?} of {pbn} by {shard:?} uses memory of {owner:?}"));
            }
            if reads {
                self.readers[at] += 1;
                memory.start_filling(*buf);
            } else {
                self.writers[at] += 1;
                memory.start_draining(*buf);
            }
        }
        let mut list = self.spare.pop().unwrap_or_default();
        list.extend_from_slice(bufs);
        let slow = faults.is_slow();
        self.transfers.push(Transfer { shard, token, direction, pbn, bufs: list, outcome: None, slow });
        self.counts.most_in_flight = self.counts.most_in_flight.max(self.transfers.len() as u64);
        Ok(())
    }

    /// Lets a transfer take effect at `time`.
    pub fn apply(&mut self, transfer: usize, time: u32, memory: &mut Memory, faults: &mut Faults) {
        let Transfer { direction, pbn, .. } = self.transfers[transfer];
        let bufs = std::mem::take(&mut self.transfers[transfer].bufs);
        let fails = faults.fails(direction, pbn, bufs.len() as u64);
        for (pbn, buf) in (pbn.0..).map(Pbn).zip(&bufs) {
            match (direction, fails) {
                (Direction::Read, false) => self.read(pbn, *buf, time, memory, faults),
                (Direction::Write, false) => self.write(pbn, *buf, memory, faults),
                // What a failed read leaves in memory, and a failed write on the disk, is not defined.
                (Direction::Read, true) => content::fill_block(memory.transfer(*buf), &[content::POISON; SECTORS]),
                (Direction::Write, true) if faults.coin() => self.write(pbn, *buf, memory, faults),
                (Direction::Write, true) => {}
            }
        }
        if fails {
            let cause = match direction {
                Direction::Read => Cause::ReadError,
                Direction::Write => Cause::WriteError,
            };
            // A failed transfer of several blocks is tried again block by block, so it excuses nobody.
            if bufs.len() == 1 && !matches!(memory.owner(bufs[0]), Owner::Verify(_)) {
                faults.note(cause, time);
            }
            match direction {
                Direction::Read => faults.counts.read_errors += 1,
                Direction::Write => faults.counts.write_errors += 1,
            }
        }
        self.transfers[transfer].bufs = bufs;
        self.transfers[transfer].outcome = Some(if fails { Err(RequestError::Io) } else { Ok(()) });
    }

    fn read(&mut self, pbn: Pbn, buf: Buf, time: u32, memory: &mut Memory, faults: &mut Faults) {
        let rot = faults.rots();
        let target = memory.transfer(buf);
        match self.bytes(pbn) {
            Some(block) => target.copy_from_slice(block),
            None => target.fill(0xdd),
        }
        if let Some((byte, bits)) = rot {
            target[byte] ^= bits;
        }
        let spoilt = rot.is_some() || self.is_rotten(pbn);
        faults.counts.rotten_reads += u64::from(spoilt);
        let verify = matches!(memory.owner(buf), Owner::Verify(_));
        if spoilt && !verify {
            faults.note(Cause::Rot, time);
        }
        if verify {
            self.counts.verified += 1;
        } else {
            self.counts.read += 1;
        }
    }

    fn write(&mut self, pbn: Pbn, buf: Buf, memory: &mut Memory, faults: &mut Faults) {
        let at = self.at(pbn);
        self.store(pbn).copy_from_slice(memory.transfer(buf));
        self.rotten[at] = false;
        self.counts.written += 1;
        if let Some(spot) = faults.decays() {
            self.spoil(pbn, spot);
        }
    }

    /// Takes a transfer that has taken effect off the list, and returns whom to tell what.
    pub fn finish(&mut self, transfer: usize, memory: &mut Memory) -> (ShardId, RunToken, Result<(), RequestError>) {
        let mut transfer = self.transfers.swap_remove(transfer);
        for (pbn, buf) in (transfer.pbn.0..).map(Pbn).zip(transfer.bufs.drain(..)) {
            let at = self.at(pbn);
            match transfer.direction {
                Direction::Read => {
                    self.readers[at] -= 1;
                    memory.stop_filling(buf);
                }
                Direction::Write => {
                    self.writers[at] -= 1;
                    memory.stop_draining(buf);
                }
            }
        }
        self.spare.push(transfer.bufs);
        self.counts.transfers += 1;
        (transfer.shard, transfer.token, transfer.outcome.expect("only a transfer that has taken effect is finished"))
    }
}

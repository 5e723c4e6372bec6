// SPDX-License-Identifier: BSD-3-Clause

//! The virtual base bdevs of a volume: one for data, one for its metadata objects, and the transfers in flight on them.
//!
//! A transfer takes effect at some point between submission and completion, and both points are chosen by the
//! scheduler. What was never written is garbage. Invariants (a breach is a defect of the engine): transfers stay inside
//! one object; no transfer touches bytes that another one is writing. Faults meet data only: metadata that fails ends
//! writing, which [`crate::volume_sim`] is about. Flushes and erasures take as long as the scheduler likes.

mod data;

use std::collections::BTreeSet;

use engine::format::compressed_block::MAX_FRAGMENTS;
use engine::format::{DeviceByte, Placement};
use engine::io::MetadataIo;
use engine::{Block, Direction, Pbn, Place, RequestError, Run, RunToken, ShardId, BLOCK_SIZE};
use mpool::testing::Image;

use super::base::{check_memory, check_place, Base, Ending};
use super::content::{self, Token, SECTORS};
use super::counts::DiskCounts;
use super::damage::History;
use super::faults::{Cause, Faults};
use super::memory::{Buf, Memory, Owner};

/// A transfer in flight.
#[derive(Debug)]
pub struct Transfer {
    /// Who started it.
    pub shard: ShardId,
    /// Its name there.
    pub token: RunToken,
    /// Direction.
    pub direction: Direction,
    /// Where it begins.
    pub place: Place,
    /// Memory, block by block.
    pub bufs: Vec<Buf>,
    /// The outcome, once it has taken effect.
    pub outcome: Option<Result<(), RequestError>>,
    /// It takes very long.
    pub slow: bool,
    at: DeviceByte,
    bytes: usize,
}

impl Transfer {
    /// Its first block, if it is a transfer of data or of a page of the block map.
    #[must_use]
    pub const fn pbn(&self) -> Option<Pbn> {
        match self.place {
            Place::Data(pbn) => Some(pbn),
            _ => None,
        }
    }

    /// True for a transfer of metadata.
    #[must_use]
    pub const fn is_metadata(&self) -> bool {
        MetadataIo::<Buf>::is_ours(self.token)
    }

    fn overlaps(&self, at: DeviceByte, bytes: usize) -> bool {
        self.at.device == at.device && self.at.at < at.at + bytes as u64 && at.at < self.at.at + self.bytes as u64
    }
}

/// Something else than a transfer.
#[derive(Debug, Clone, Copy)]
enum Command {
    Flush(ShardId, RunToken),
    Erase(ShardId, u32),
}

/// The base bdevs.
#[derive(Debug)]
pub struct Disk {
    placement: Placement,
    segment_bytes: u64,
    /// By number of the device.
    images: [Image; 2],
    history: History,
    /// Blocks that were shown wrong to somebody who compared them.
    misled: BTreeSet<Pbn>,
    /// The present generation of each journal segment.
    generations: Vec<u64>,
    spare: Vec<Vec<Buf>>,
    /// What is in flight, in no particular order.
    pub transfers: Vec<Transfer>,
    commands: Vec<Command>,
    /// Totals.
    pub counts: DiskCounts,
}

impl Disk {
    /// Empty bdevs on which a volume lies.
    #[must_use]
    pub fn new(placement: Placement, segment_bytes: u64) -> Disk {
        let generations = vec![1; placement.segments.len()];
        Disk {
            placement,
            segment_bytes,
            images: [Image::unwritten(1), Image::unwritten(2)],
            history: History::default(),
            misled: BTreeSet::new(),
            generations,
            spare: Vec::new(),
            transfers: Vec::new(),
            commands: Vec::new(),
            counts: DiskCounts::default(),
        }
    }

    fn inside(&self, pbn: Pbn) -> bool {
        self.placement.geometry.slab_of(pbn).is_some()
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
    pub fn bytes(&self, pbn: Pbn) -> Option<&Block> {
        let at = self.inside(pbn).then(|| self.placement.locate(Place::Data(pbn)))?;
        self.images[usize::from(at.device)].written_page(at.at / BLOCK_SIZE as u64)
    }

    /// Reads `count` bytes at a place at once, beside all transfers.
    #[must_use]
    pub fn peek(&self, place: Place, count: usize) -> Vec<u8> {
        let at = self.placement.locate(place);
        let mut bytes = vec![0; count];
        self.images[usize::from(at.device)].read(at.at, &mut bytes);
        bytes
    }

    /// Writes at a place at once, beside all transfers.
    pub fn poke(&mut self, place: Place, bytes: &[u8]) {
        let at = self.placement.locate(place);
        self.images[usize::from(at.device)].write(at.at, bytes);
    }

    /// Where the objects of the volume lie.
    #[must_use]
    pub const fn placement(&self) -> &Placement {
        &self.placement
    }

    /// The volume's objects from now on: it has grown.
    pub fn set_placement(&mut self, placement: Placement) {
        self.placement = placement;
    }

    /// Erases a journal segment at once. Returns its generation from now on.
    pub fn erase(&mut self, segment: u32) -> u64 {
        let generation = &mut self.generations[segment as usize];
        *generation += 1;
        *generation
    }

    fn apply_read(&mut self, transfer: &Transfer, time: u32, memory: &mut Memory, faults: &mut Faults) {
        let mut left = transfer.bytes;
        for (index, buf) in (0u64..).zip(&transfer.bufs) {
            let part = left.min(BLOCK_SIZE);
            left -= part;
            let from = transfer.at.plus(index * BLOCK_SIZE as u64);
            let target = memory.transfer(*buf);
            self.images[usize::from(from.device)].read(from.at, &mut target[..part]);
            if let Some(pbn) = transfer.pbn().filter(|_| !transfer.is_metadata()) {
                self.read_data(pbn.plus(index), *buf, time, memory, faults);
            }
        }
    }

    fn apply_write(&mut self, transfer: &Transfer, memory: &mut Memory, faults: &mut Faults, surely: bool) {
        let mut left = transfer.bytes;
        for (index, buf) in (0u64..).zip(&transfer.bufs) {
            let part = left.min(BLOCK_SIZE);
            left -= part;
            // What a failed write leaves on the disk is not defined.
            if !surely && !faults.coin() {
                continue;
            }
            let to = transfer.at.plus(index * BLOCK_SIZE as u64);
            let pbn = transfer.pbn().map(|pbn| pbn.plus(index));
            match pbn {
                Some(pbn) if !transfer.is_metadata() => {
                    self.counts.written += 1;
                    self.store_data(pbn, memory.transfer(*buf), faults);
                }
                _ => {
                    self.images[usize::from(to.device)].write(to.at, &memory.transfer(*buf)[..part]);
                    pbn.inspect(|pbn| self.history.forget(*pbn));
                }
            }
        }
    }

    fn finish(&mut self, number: usize, memory: &mut Memory) -> Ending {
        let mut transfer = self.transfers.swap_remove(number);
        if transfer.is_metadata() {
            self.counts.metadata += 1;
        } else {
            self.counts.transfers += 1;
        }
        for buf in transfer.bufs.drain(..) {
            match transfer.direction {
                Direction::Read => memory.stop_filling(buf),
                Direction::Write => memory.stop_draining(buf),
            }
        }
        self.spare.push(transfer.bufs);
        let result = transfer.outcome.expect("only a transfer that has taken effect is finished");
        Ending::Io { shard: transfer.shard, token: transfer.token, result }
    }

    fn end_command(&mut self, number: usize) -> Ending {
        match self.commands.remove(number) {
            Command::Flush(shard, token) => {
                self.counts.flushes += 1;
                Ending::Io { shard, token, result: Ok(()) }
            }
            Command::Erase(shard, segment) => {
                self.counts.erasures += 1;
                Ending::Erased { shard, segment, result: Ok(self.erase(segment)) }
            }
        }
    }
}

impl Base for Disk {
    fn submit(
        &mut self,
        shard: ShardId,
        run: &Run<'_, Buf>,
        memory: &mut Memory,
        faults: &mut Faults,
    ) -> Result<(), String> {
        let at = check_place(shard, run, &self.placement, self.segment_bytes)?;
        check_memory(shard, run, memory)?;
        let Run { direction, place, bufs, bytes, token } = *run;
        for other in &self.transfers {
            if other.shard == shard && other.token == token {
                return Err(format!("{shard:?} uses {token:?} for two transfers at once"));
            }
            let writes = direction == Direction::Write || other.direction == Direction::Write;
            if writes && other.overlaps(at, bytes) {
                return Err(format!("{direction:?} of {bytes} bytes at {place:?} while {other:?} is in flight"));
            }
        }
        let mut list = self.spare.pop().unwrap_or_default();
        list.extend_from_slice(bufs);
        for buf in bufs {
            match direction {
                Direction::Read => memory.start_filling(*buf),
                Direction::Write => memory.start_draining(*buf),
            }
        }
        let slow = faults.is_slow();
        self.transfers.push(Transfer { shard, token, direction, place, bufs: list, outcome: None, slow, at, bytes });
        self.counts.most_in_flight = self.counts.most_in_flight.max(self.transfers.len() as u64);
        Ok(())
    }

    fn flush(&mut self, shard: ShardId, token: RunToken) {
        self.commands.push(Command::Flush(shard, token));
    }

    fn erase_segment(&mut self, shard: ShardId, segment: u32) {
        self.commands.push(Command::Erase(shard, segment));
    }

    fn is_idle(&self) -> bool {
        self.transfers.is_empty() && self.commands.is_empty()
    }

    fn endable(&self) -> usize {
        self.transfers.len() + self.commands.len()
    }

    fn is_slow(&self, number: usize) -> bool {
        self.transfers.get(number).is_some_and(|transfer| transfer.slow)
    }

    fn apply(&mut self, number: usize, time: u32, memory: &mut Memory, faults: &mut Faults) {
        if self.transfers.get(number).is_none_or(|transfer| transfer.outcome.is_some()) {
            return;
        }
        // Out of the list for the moment, so that all of the disk can be used; then back in its place.
        let mut transfer = self.transfers.swap_remove(number);
        let data = transfer.pbn().filter(|_| !transfer.is_metadata());
        let blocks = transfer.bufs.len() as u64;
        let fails = match data {
            Some(pbn) => faults.fails(transfer.direction, pbn, blocks),
            None => faults.fails_metadata(transfer.direction, transfer.place),
        };
        match transfer.direction {
            Direction::Read if fails => {
                // What a failed read leaves in memory is not defined.
                for buf in &transfer.bufs {
                    content::fill_block(memory.transfer(*buf), &[content::POISON; SECTORS]);
                }
            }
            Direction::Read => self.apply_read(&transfer, time, memory, faults),
            Direction::Write => self.apply_write(&transfer, memory, faults, !fails),
        }
        if fails {
            note_failure(&transfer, time, memory, faults);
        }
        transfer.outcome = Some(if fails { Err(RequestError::Io) } else { Ok(()) });
        self.transfers.push(transfer);
        let last = self.transfers.len() - 1;
        self.transfers.swap(number, last);
    }

    fn end(&mut self, number: usize, time: u32, memory: &mut Memory, faults: &mut Faults) -> Ending {
        if number >= self.transfers.len() {
            return self.end_command(number - self.transfers.len());
        }
        self.apply(number, time, memory, faults);
        self.finish(number, memory)
    }

    fn excuses(&self, _error: RequestError) -> bool {
        false
    }

    fn dump(&self) -> Vec<String> {
        let transfers = self.transfers.iter().map(|transfer| format!("{transfer:?}"));
        transfers.chain(self.commands.iter().map(|command| format!("{command:?}"))).collect()
    }
}

fn note_failure(transfer: &Transfer, time: u32, memory: &Memory, faults: &mut Faults) {
    let cause = match transfer.direction {
        Direction::Read => Cause::ReadError,
        Direction::Write => Cause::WriteError,
    };
    // A failed transfer of several blocks is tried again block by block, so it excuses nobody.
    if let [buf] = transfer.bufs[..] {
        let met_by = match memory.owner(buf) {
            Owner::Verify(_) | Owner::Relocation(_) => 0,
            Owner::Swap(_) => usize::from(transfer.direction == Direction::Write),
            // Each of its owners may have met the fault.
            Owner::Container(_) => MAX_FRAGMENTS,
            _ => 1,
        };
        (0..met_by).for_each(|_| faults.note(cause, time));
    }
    match transfer.direction {
        Direction::Read => faults.counts.read_errors += 1,
        Direction::Write => faults.counts.write_errors += 1,
    }
}

// SPDX-License-Identifier: BSD-3-Clause

//! The bdevs under a volume as virtual disks of a machine whose power can be cut ([`mpool::testing::Machine`]).
//!
//! The shards' transfers become operations of the machine, beside those of the pool; its scheduler decides when they
//! take effect and end. What has ended arrives here when the base is polled, and waits for the scheduler of the shards.

use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use engine::format::{DeviceByte, Placement};
use engine::io::MetadataIo;
use engine::{Direction, Place, RequestError, Run, RunToken, ShardId, BLOCK_SIZE};
use futures::future::{join_all, LocalBoxFuture};
use futures::stream::{FuturesUnordered, Stream};
use mpool::device::PlainMemory;
use mpool::IoBuf;

use crate::sim::base::{check_memory, check_place, Base, Ending};
use crate::sim::faults::Faults;
use crate::sim::memory::{Buf, Memory};
use mpool::testing::{command_end, transfer_end, Action, Call, Change, Content, Disk, SimHost};

/// Erases a journal segment; yields its new generation.
pub type Erase = Rc<dyn Fn(u32) -> LocalBoxFuture<'static, Result<u64, ()>>>;

/// A defect put in on purpose, to show that the campaign notices it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Defect {
    /// Flushes of the shards are answered, but not done.
    NoFlush,
    /// Writes to recovery journals are answered, but of five one is not done.
    LosesJournal,
    /// Writes of pages of the block map are answered, but of five one is not done.
    LosesPages,
    /// Writes of slab metadata are answered, but of five one is not done.
    LosesSlabMetadata,
}

/// What was started.
#[derive(Debug)]
enum Started {
    Transfer { token: RunToken, direction: Direction, bufs: Vec<Buf>, bytes: usize },
    Flush(RunToken),
    Erasure(u32),
}

/// What has ended: which, its memory if it was a read, and how.
type Arrival = (u64, Option<IoBuf>, Result<u64, ()>);

/// The bdevs.
pub struct MachineBase {
    host: Rc<SimHost>,
    placement: Placement,
    segment_bytes: u64,
    /// The disk of the machine for each device of the placement.
    disks: Vec<usize>,
    erase: Erase,
    /// What is wrong on purpose.
    pub defect: Option<Defect>,
    under_way: BTreeMap<u64, (ShardId, Started)>,
    next: u64,
    running: FuturesUnordered<LocalBoxFuture<'static, Arrival>>,
    arrived: Vec<Arrival>,
    /// Transfers, flushes and erasures so far.
    pub started: u64,
}

impl fmt::Debug for MachineBase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MachineBase with {:?}", self.under_way)
    }
}

impl MachineBase {
    /// The bdevs of a volume that lies where `placement` says, on these disks of the machine.
    #[must_use]
    pub fn new(
        host: &Rc<SimHost>,
        (placement, segment_bytes): (Placement, u64),
        disks: Vec<usize>,
        erase: Erase,
    ) -> MachineBase {
        MachineBase {
            host: Rc::clone(host),
            placement,
            segment_bytes,
            disks,
            erase,
            defect: None,
            under_way: BTreeMap::new(),
            next: 0,
            running: FuturesUnordered::new(),
            arrived: Vec::new(),
            started: 0,
        }
    }

    /// The volume has grown.
    pub fn set_placement(&mut self, placement: Placement) {
        self.placement = placement;
    }

    /// Looks which of the things under way have ended. Ready when any has arrived, now or before.
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        while let Poll::Ready(Some(arrival)) = Pin::new(&mut self.running).poll_next(context) {
            self.arrived.push(arrival);
        }
        if self.arrived.is_empty() {
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    }

    /// True when nothing is under way.
    #[must_use]
    pub fn is_resting(&self) -> bool {
        self.under_way.is_empty()
    }

    /// True when the machine has failed an operation by plan.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.host.machine().borrow().counts.failed > 0
    }

    /// True when a transfer is not to be done.
    fn loses(&self, run: &Run<'_, Buf>) -> bool {
        let (Some(defect), Direction::Write) = (self.defect, run.direction) else { return false };
        let strikes = match (defect, run.place) {
            (Defect::LosesJournal, Place::Journal { .. }) | (Defect::LosesSlabMetadata, Place::SlabMetadata { .. }) => {
                true
            }
            (Defect::LosesPages, Place::Data(_) | Place::Roots { .. }) => MetadataIo::<Buf>::is_ours(run.token),
            _ => false,
        };
        strikes && self.next.is_multiple_of(5)
    }

    fn start(
        &mut self,
        shard: ShardId,
        started: Started,
        future: impl FnOnce(u64) -> LocalBoxFuture<'static, Arrival>,
    ) {
        let number = self.next;
        self.next += 1;
        self.started += 1;
        self.under_way.insert(number, (shard, started));
        self.running.push(future(number));
    }

    /// Begins the one operation of a transfer. Returns where its end is announced.
    fn begin(&self, at: DeviceByte, direction: Direction, bytes: Vec<u8>) -> mpool::testing::Waiting {
        let disk = self.disks[usize::from(at.device)];
        let mut machine = self.host.machine().borrow_mut();
        let (count, sector) = (bytes.len(), u64::from(machine.disks[disk].properties.sector_bytes));
        // A misuse ends the life with its own message; the transfer is begun all the same.
        let _ = machine.check_range(disk, at.at, count as u64, sector);
        let number = machine.next_number();
        let (action, buf): (_, Option<IoBuf>) = match direction {
            Direction::Read => (Action::Read { at: at.at, range: 0..count }, Some(Box::new(PlainMemory(bytes)))),
            Direction::Write => (Action::Change(Change::new(number, at.at, Content::Data(bytes.into()), false)), None),
        };
        let (call, waiting) = Call::new(buf, 1);
        machine.begin(disk, action, call);
        waiting
    }
}

impl Base for MachineBase {
    fn submit(
        &mut self,
        shard: ShardId,
        run: &Run<'_, Buf>,
        memory: &mut Memory,
        _faults: &mut Faults,
    ) -> Result<(), String> {
        let at = check_place(shard, run, &self.placement, self.segment_bytes)?;
        check_memory(shard, run, memory)?;
        let Run { direction, bufs, bytes, token, .. } = *run;
        let mut content = vec![0; bytes];
        for (buf, part) in bufs.iter().zip(content.chunks_mut(BLOCK_SIZE)) {
            match direction {
                Direction::Read => memory.start_filling(*buf),
                Direction::Write => {
                    memory.start_draining(*buf);
                    part.copy_from_slice(&memory.transfer(*buf)[..part.len()]);
                }
            }
        }
        if self.loses(run) {
            let started = Started::Transfer { token, direction, bufs: bufs.to_vec(), bytes };
            self.start(shard, started, |number| Box::pin(async move { (number, None, Ok(0)) }));
            return Ok(());
        }
        let waiting = self.begin(at, direction, content);
        let started = Started::Transfer { token, direction, bufs: bufs.to_vec(), bytes };
        self.start(shard, started, |number| match direction {
            Direction::Read => Box::pin(async move {
                let (buf, result) = transfer_end(waiting).await;
                (number, Some(buf), result.map_or(Err(()), |()| Ok(0)))
            }),
            Direction::Write => Box::pin(async move {
                let result = command_end(waiting).await;
                (number, None, result.map_or(Err(()), |()| Ok(0)))
            }),
        });
        Ok(())
    }

    fn flush(&mut self, shard: ShardId, token: RunToken) {
        let flushes: Vec<_> = {
            let mut machine = self.host.machine().borrow_mut();
            let begin = |disk: &usize| {
                let began = machine.disks.get(*disk).map_or(0, Disk::begin_flush);
                let (call, waiting) = Call::new(None, 1);
                machine.begin(*disk, Action::Flush { began }, call);
                command_end(waiting)
            };
            let disks = if self.defect == Some(Defect::NoFlush) { &[] } else { &self.disks[..] };
            disks.iter().map(begin).collect()
        };
        self.start(shard, Started::Flush(token), |number| {
            Box::pin(async move {
                let all_good = join_all(flushes).await.iter().all(Result::is_ok);
                (number, None, if all_good { Ok(0) } else { Err(()) })
            })
        });
    }

    fn erase_segment(&mut self, shard: ShardId, segment: u32) {
        let erasure = (self.erase)(segment);
        self.start(shard, Started::Erasure(segment), |number| Box::pin(async move { (number, None, erasure.await) }));
    }

    fn is_idle(&self) -> bool {
        self.is_resting()
    }

    fn endable(&self) -> usize {
        self.arrived.len()
    }

    fn is_slow(&self, _number: usize) -> bool {
        false
    }

    fn apply(&mut self, _number: usize, _time: u32, _memory: &mut Memory, _faults: &mut Faults) {
        // The machine lets transfers take effect.
    }

    fn end(&mut self, number: usize, _time: u32, memory: &mut Memory, _faults: &mut Faults) -> Ending {
        let (name, content, result) = self.arrived.swap_remove(number);
        let (shard, started) = self.under_way.remove(&name).expect("what arrives was started");
        let io = result.map_or(Err(RequestError::Io), |_| Ok(()));
        match started {
            Started::Flush(token) => Ending::Io { shard, token, result: io },
            Started::Erasure(segment) => Ending::Erased { shard, segment, result },
            Started::Transfer { token, direction, bufs, bytes } => {
                for (index, buf) in bufs.into_iter().enumerate() {
                    match (direction, &content) {
                        (Direction::Read, Some(content)) => {
                            let part = index * BLOCK_SIZE..((index + 1) * BLOCK_SIZE).min(bytes);
                            let source = &(**content).as_ref()[part];
                            memory.transfer(buf)[..source.len()].copy_from_slice(source);
                            memory.stop_filling(buf);
                        }
                        _ => memory.stop_draining(buf),
                    }
                }
                Ending::Io { shard, token, result: io }
            }
        }
    }

    fn excuses(&self, error: RequestError) -> bool {
        match error {
            RequestError::Io | RequestError::ReadOnly => self.has_failed(),
            // What is free cannot be told from outside while slabs are scrubbed.
            RequestError::NoSpace => true,
            RequestError::Corrupt | RequestError::OutOfRange | RequestError::Lock | RequestError::Aborted => false,
        }
    }

    fn dump(&self) -> Vec<String> {
        self.under_way.iter().map(|(number, what)| format!("{number}: {what:?}")).collect()
    }
}

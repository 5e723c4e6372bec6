// SPDX-License-Identifier: BSD-3-Clause

//! Mblocks filled from end to end and read back.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use futures::future::try_join_all;
use mpool::units::Nanos;
use mpool::{Host, IoBuf, Kind, MediaClass, ObjectId, Pool, PoolError};

/// Time between looks at whether deleted mblocks have been discarded.
const PAUSE: Nanos = Nanos(1_000_000);

/// What is to be done.
#[derive(Debug, Clone, Copy)]
pub struct BandwidthLoad {
    /// Writers, then readers, each with one transfer at a time.
    pub workers: u32,
    /// Bytes in a transfer.
    pub transfer_bytes: usize,
    /// Bytes in all: as many mblocks as that takes.
    pub total_bytes: u64,
}

/// Bytes per second.
#[derive(Debug, Clone, Copy)]
pub struct BandwidthReport {
    /// Filling and committing.
    pub write: f64,
    /// Reading.
    pub read: f64,
}

/// Fills mblocks and reads them back; they are deleted at the end, and their zones discarded.
///
/// # Errors
/// An operation failed, or something else was read than was written.
pub async fn run(pool: Rc<Pool>, host: Rc<dyn Host>, load: BandwidthLoad) -> Result<BandwidthReport, PoolError> {
    let free = free_bytes(&pool);
    let mut ids = Vec::new();
    let mut capacity = 0;
    while capacity * (ids.len() as u64) < load.total_bytes {
        let mblock = pool.mblock_alloc(MediaClass::Capacity, false).await?;
        capacity = mblock.capacity_bytes;
        ids.push(mblock.id);
    }
    let work = Work { pool: &pool, load, capacity, queue: RefCell::default(), moved: Cell::new(0) };
    let write = work.time(&host, &ids, Direction::Write).await?;
    let read = work.time(&host, &ids, Direction::Read).await?;
    for id in ids {
        pool.mblock_delete(id).await?;
    }
    while free_bytes(&pool) < free {
        host.sleep(PAUSE).await;
    }
    Ok(BandwidthReport { write, read })
}

fn free_bytes(pool: &Pool) -> u64 {
    let space = pool.usage().space;
    space.free_usable_bytes + space.free_spare_bytes
}

#[derive(Debug, Clone, Copy)]
enum Direction {
    Write,
    Read,
}

struct Work<'a> {
    pool: &'a Rc<Pool>,
    load: BandwidthLoad,
    /// Bytes of each mblock.
    capacity: u64,
    /// Those that no worker has begun with.
    queue: RefCell<VecDeque<ObjectId>>,
    moved: Cell<u64>,
}

impl Work<'_> {
    /// Bytes per second when all workers do all mblocks.
    async fn time(&self, host: &Rc<dyn Host>, ids: &[ObjectId], direction: Direction) -> Result<f64, PoolError> {
        self.queue.borrow_mut().extend(ids);
        self.moved.set(0);
        let buffers = (0..self.load.workers).map(|_| self.buffer()).collect::<Result<Vec<_>, _>>()?;
        let begin = host.now();
        try_join_all(buffers.into_iter().map(|buffer| self.work(buffer, direction))).await?;
        Ok(self.moved.get() as f64 / (host.now().0 - begin.0) as f64 * 1e9)
    }

    fn buffer(&self) -> Result<IoBuf, PoolError> {
        self.pool.drive_of(MediaClass::Capacity)?.allocate(self.load.transfer_bytes)
    }

    /// One worker.
    async fn work(&self, mut buffer: IoBuf, direction: Direction) -> Result<(), PoolError> {
        loop {
            let Some(id) = self.queue.borrow_mut().pop_front() else { return Ok(()) };
            buffer = match direction {
                Direction::Write => self.fill(id, buffer).await?,
                Direction::Read => self.read(id, buffer).await?,
            };
        }
    }

    async fn fill(&self, id: ObjectId, mut buffer: IoBuf) -> Result<IoBuf, PoolError> {
        for (offset, length) in self.transfers() {
            (*buffer).as_mut()[..8].copy_from_slice(&content(id, offset));
            let (returned, outcome) = self.pool.mblock_write(id, buffer, 0..length).await;
            outcome?;
            buffer = returned;
            self.moved.set(self.moved.get() + length as u64);
        }
        self.pool.mblock_commit(id).await?;
        Ok(buffer)
    }

    async fn read(&self, id: ObjectId, mut buffer: IoBuf) -> Result<IoBuf, PoolError> {
        for (offset, length) in self.transfers() {
            let (returned, outcome) = self.pool.mblock_read(id, offset, buffer, 0..length).await;
            outcome?;
            buffer = returned;
            if (*buffer).as_ref()[..8] != content(id, offset) {
                let what = format!("byte {offset} reads as something else than was written");
                return Err(PoolError::new(Kind::Io, id.to_string(), what));
            }
            self.moved.set(self.moved.get() + length as u64);
        }
        Ok(buffer)
    }

    /// Offset and length of each transfer of an mblock.
    fn transfers(&self) -> impl Iterator<Item = (u64, usize)> {
        let (capacity, transfer) = (self.capacity, self.load.transfer_bytes as u64);
        (0..capacity).step_by(transfer as usize).map(move |at| (at, transfer.min(capacity - at) as usize))
    }
}

/// The first bytes of a transfer.
fn content(id: ObjectId, offset: u64) -> [u8; 8] {
    (id.0 ^ offset << 32 ^ offset.rotate_left(7)).to_le_bytes()
}

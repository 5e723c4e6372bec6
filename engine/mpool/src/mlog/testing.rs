// SPDX-License-Identifier: BSD-3-Clause

//! For tests of logs and of what is built on them: a log without I/O on an image, a medium in memory that delays, fails
//! and records writes, and pseudo-random numbers.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::ops::Range;
use std::rc::Rc;

use async_trait::async_trait;
use futures::channel::oneshot;
use futures::executor::LocalPool;
use futures::task::LocalSpawnExt;
use uuid::Uuid;

use super::block::{classify, BlockKind, LogFormat, SetIds, Stamp, HEADER_BYTES};
use super::check::{check_image, ContentError, LogContent};
use super::geometry::Geometry;
use super::media::LogMedia;
use super::record::{ChunkType, Descriptor, DESCRIPTOR_BYTES};
use super::scan::{Recovered, Scan, ScanConfig};
use super::writer::{FlushSet, LogWriter, Policy, Settled, WriterConfig};
use crate::device::{IoBuf, PlainMemory};
use crate::error::{Kind, PoolError, Result};
use crate::testing::Random;

/// The log that tests write.
pub(crate) const STAMP: Stamp = Stamp { uuid: Uuid::from_u128(0x006d_706f_6f6c), generation: 3 };

/// A record that differs from all others, if it has more than a few bytes.
pub(crate) fn record(number: u64, bytes: usize) -> Vec<u8> {
    let mut random = Random::new(number);
    let mut record: Vec<u8> = number.to_le_bytes().into_iter().take(bytes).collect();
    while record.len() < bytes {
        let left = bytes - record.len();
        record.extend(random.draw().to_le_bytes().into_iter().take(left));
    }
    record
}

/// A writer and the image of its space.
#[derive(Debug)]
pub(crate) struct PureLog {
    pub writer: LogWriter<Vec<u8>>,
    pub config: WriterConfig,
    pub image: Vec<u8>,
    pub buffer_bytes: usize,
}

impl PureLog {
    pub(crate) fn new(config: WriterConfig, buffer_bytes: usize) -> PureLog {
        let image = vec![0; config.geometry.capacity_bytes() as usize];
        PureLog::with_image(config, buffer_bytes, image, &Recovered::EMPTY)
    }

    fn with_image(config: WriterConfig, buffer_bytes: usize, image: Vec<u8>, recovered: &Recovered) -> PureLog {
        let mut writer = LogWriter::new(config, recovered);
        for _ in 0..config.buffers {
            assert!(writer.supply(vec![0xa5; buffer_bytes]).is_none());
        }
        PureLog { writer, config, image, buffer_bytes }
    }

    /// A log of `blocks` blocks, with buffers of 4 blocks.
    pub(crate) fn small(sector_bytes: usize, blocks: u64, policy: Policy, format: LogFormat) -> PureLog {
        let max_in_flight = if policy == Policy::Fresh { 3 } else { 1 };
        let geometry = Geometry { sector_bytes, blocks };
        let config = WriterConfig { format, stamp: STAMP, geometry, policy, buffers: 4, max_in_flight };
        PureLog::new(config, 4 * sector_bytes)
    }

    pub(crate) fn scan_config(&self) -> ScanConfig {
        ScanConfig {
            geometry: self.config.geometry,
            stamp: self.config.stamp,
            compact_sem: false,
            accept_v1: self.config.format == LogFormat::V1,
            one_in_flight: self.config.max_in_flight == 1,
        }
    }

    pub(crate) fn write(&mut self, set: &FlushSet<Vec<u8>>) {
        let bytes = &set.buffer[set.range.clone()];
        self.image[set.at as usize..set.at as usize + bytes.len()].copy_from_slice(bytes);
    }

    /// Writes everything, without failures.
    pub(crate) fn flush(&mut self) {
        while let Some(set) = self.writer.next_flush(true) {
            self.write(&set);
            let settled = self.writer.flushed(set.id, set.buffer, true);
            assert_eq!(settled.lost, None);
        }
        assert_eq!(self.writer.durable(), self.writer.appended());
    }

    /// Appends a record, whatever its size, and flushes.
    pub(crate) fn append_flushed(&mut self, record: &[u8]) {
        let mut progress = self.writer.begin(record).expect("there is room");
        let mut taken = 0;
        while let super::writer::Progress::Taken(bytes) = progress {
            taken += bytes;
            self.flush_full();
            progress = self.writer.feed(&record[taken..]).expect("buffers are free");
        }
        self.flush();
    }

    fn flush_full(&mut self) {
        while let Some(set) = self.writer.next_flush(false) {
            self.write(&set);
            self.writer.flushed(set.id, set.buffer, true);
        }
    }

    /// Makes one flush that fails after `apply` has changed the media.
    pub(crate) fn fail_flush(&mut self, apply: impl FnOnce(&mut PureLog, &FlushSet<Vec<u8>>)) -> Settled {
        let set = self.writer.next_flush(true).expect("something is dirty");
        apply(self, &set);
        self.writer.flushed(set.id, set.buffer, false)
    }

    pub(crate) fn content(&self) -> core::result::Result<LogContent, ContentError> {
        check_image(&self.image, self.scan_config())
    }

    pub(crate) fn records(&self) -> Vec<Vec<u8>> {
        self.content().expect("the log is whole").records
    }

    /// Recovers from the image alone.
    pub(crate) fn reopen(self) -> PureLog {
        let recovered = self.content().expect("the log is whole").recovered;
        self.reopen_as(&recovered)
    }

    pub(crate) fn reopen_as(self, recovered: &Recovered) -> PureLog {
        PureLog::with_image(self.config, self.buffer_bytes, self.image, recovered)
    }

    /// `pfsetid`, `cfsetid`, `wsoff` and `aoff`.
    pub(crate) fn state(&self) -> (u32, u64, u64, usize) {
        let ((previous, next), end) = (self.writer.set_ids(), self.writer.end());
        (previous, next, end.block, end.byte)
    }

    /// A block in mpool's notation.
    pub(crate) fn block(&self, number: usize) -> (SetIds, Vec<(ChunkType, u16)>) {
        let sector = self.config.geometry.sector_bytes;
        let image = &self.image[number * sector..(number + 1) * sector];
        let BlockKind::Ours(ids) = classify(image, STAMP, true) else { panic!("block {number} is not of the log") };
        (ids, chunks(image))
    }
}

/// The chunks of a block: their types and lengths.
pub(crate) fn chunks(image: &[u8]) -> Vec<(ChunkType, u16)> {
    let mut found = Vec::new();
    let mut at = HEADER_BYTES;
    while let Some(bytes) = image.get(at..).and_then(|rest| rest.first_chunk::<DESCRIPTOR_BYTES>()) {
        let descriptor = Descriptor::decode(*bytes).expect("the type is known");
        if descriptor.kind == ChunkType::EndOfBlock {
            break;
        }
        found.push((descriptor.kind, descriptor.chunk_bytes));
        at += DESCRIPTOR_BYTES + usize::from(descriptor.chunk_bytes);
    }
    found
}

/// A write to a [`MemoryMedia`].
#[derive(Debug, Clone)]
pub(crate) struct Write {
    pub at: u64,
    pub bytes: Vec<u8>,
}

/// The space of a log in memory.
#[derive(Debug)]
pub(crate) struct MemoryMedia {
    pub sector_bytes: usize,
    pub continue_allowed: bool,
    pub image: RefCell<Vec<u8>>,
    pub writes: RefCell<Vec<Write>>,
    pub reads: Cell<usize>,
    /// Bytes of memory that were allocated.
    pub allocated: Cell<usize>,
    pub flushes: Cell<usize>,
    /// This many writes succeed, then `failing` of them fail without effect.
    pub before_failure: Cell<usize>,
    pub failing: Cell<usize>,
    pub held: Cell<bool>,
    waiting: RefCell<Vec<oneshot::Sender<()>>>,
}

impl MemoryMedia {
    pub(crate) fn new(sector_bytes: usize, bytes: usize, continue_allowed: bool) -> Rc<MemoryMedia> {
        MemoryMedia::of(sector_bytes, vec![0; bytes], continue_allowed)
    }

    pub(crate) fn of(sector_bytes: usize, image: Vec<u8>, continue_allowed: bool) -> Rc<MemoryMedia> {
        Rc::new(MemoryMedia {
            sector_bytes,
            continue_allowed,
            image: RefCell::new(image),
            writes: RefCell::default(),
            reads: Cell::new(0),
            allocated: Cell::new(0),
            flushes: Cell::new(0),
            before_failure: Cell::new(0),
            failing: Cell::new(0),
            held: Cell::new(false),
            waiting: RefCell::default(),
        })
    }

    /// The media after a power cut now.
    pub(crate) fn cut(&self) -> Rc<MemoryMedia> {
        MemoryMedia::of(self.sector_bytes, self.image.borrow().clone(), self.continue_allowed)
    }

    /// Fails the next `count` writes.
    pub(crate) fn fail(&self, count: usize) {
        self.before_failure.set(0);
        self.failing.set(count);
    }

    /// Releases the delayed writes, and delays no more.
    pub(crate) fn release(&self) {
        self.held.set(false);
        self.release_waiting();
    }

    /// Releases the writes that are delayed now.
    pub(crate) fn release_waiting(&self) {
        for waiting in self.waiting.borrow_mut().drain(..) {
            let _ = waiting.send(());
        }
    }

    /// True when writes are being delayed.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.waiting.borrow().is_empty()
    }

    fn put(&self, at: u64, bytes: Vec<u8>) {
        assert!(bytes.len().is_multiple_of(self.sector_bytes) && at.is_multiple_of(self.sector_bytes as u64));
        self.image.borrow_mut()[at as usize..at as usize + bytes.len()].copy_from_slice(&bytes);
        self.writes.borrow_mut().push(Write { at, bytes });
    }

    fn fails_now(&self) -> bool {
        if self.failing.get() == 0 {
            return false;
        }
        if self.before_failure.get() > 0 {
            self.before_failure.set(self.before_failure.get() - 1);
            return false;
        }
        self.failing.set(self.failing.get() - 1);
        true
    }
}

#[async_trait(?Send)]
impl LogMedia for MemoryMedia {
    fn sector_bytes(&self) -> usize {
        self.sector_bytes
    }

    fn capacity_bytes(&self) -> u64 {
        self.image.borrow().len() as u64
    }

    fn continue_allowed(&self) -> bool {
        self.continue_allowed
    }

    fn allocate(&self, bytes: usize) -> Result<IoBuf> {
        self.allocated.set(self.allocated.get() + bytes);
        Ok(Box::new(PlainMemory(vec![0; bytes])))
    }

    async fn read(&self, at: u64, mut buf: IoBuf, range: Range<usize>) -> (IoBuf, Result<()>) {
        self.reads.set(self.reads.get() + 1);
        let at = at as usize;
        (*buf).as_mut()[range.clone()].copy_from_slice(&self.image.borrow()[at..at + range.len()]);
        (buf, Ok(()))
    }

    async fn write_durable(&self, at: u64, buf: IoBuf, range: Range<usize>) -> (IoBuf, Result<()>) {
        if self.held.get() {
            let (release, released) = oneshot::channel();
            self.waiting.borrow_mut().push(release);
            let _ = released.await;
        }
        if self.fails_now() {
            return (buf, Err(PoolError::new(Kind::Io, "memory", "a write was made to fail")));
        }
        self.put(at, (*buf).as_ref()[range].to_vec());
        (buf, Ok(()))
    }

    async fn flush(&self) -> Result<()> {
        self.flushes.set(self.flushes.get() + 1);
        Ok(())
    }
}

/// Runs `future` on a slow medium: a write ends only when no task can run.
pub(crate) fn run_slowly<T: 'static>(media: &MemoryMedia, future: impl Future<Output = T> + 'static) -> T {
    let mut pool = LocalPool::new();
    let outcome = pool.spawner().spawn_local_with_handle(future).expect("the pool runs");
    media.held.set(true);
    loop {
        pool.run_until_stalled();
        if !media.is_waiting() {
            break;
        }
        media.release_waiting();
    }
    media.held.set(false);
    pool.run_until(outcome)
}

/// Recovers from an image, fed in pieces of at most `piece_bytes`.
pub(crate) fn scan_in_pieces(
    image: &[u8],
    config: ScanConfig,
    piece_bytes: usize,
) -> core::result::Result<Recovered, super::scan::ScanError> {
    let mut scan = Scan::new(config);
    while let Some(piece) = scan.wants(piece_bytes) {
        scan.feed(&image[piece.start as usize..piece.end as usize])?;
    }
    scan.finish()
}

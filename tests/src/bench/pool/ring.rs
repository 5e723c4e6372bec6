// SPDX-License-Identifier: BSD-3-Clause

//! Two logs that take turns, as a journal's do: a full one is erased while appends go on in the other.
//!
//! Invariant: a log is erased when no append to it is under way, and used again only after that.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use mpool::mlog::OpenFlags;
use mpool::units::Nanos;
use mpool::{Host, Kind, LogHandle, MediaClass, Pool, PoolError};

/// What comes before the payload of each record: the appender's number, and the number of its append.
pub const STAMP_BYTES: usize = 16;

/// Time between looks at whether a log can be erased, or used again.
const PAUSE: Nanos = Nanos(20_000);

/// Logs that take records in turn.
pub struct Ring {
    pool: Rc<Pool>,
    host: Rc<dyn Host>,
    logs: Vec<RingLog>,
    current: Cell<usize>,
    erases: Cell<u64>,
    /// Appends that found both logs full.
    stalls: Cell<u64>,
    /// Why an erasure failed.
    failure: RefCell<Option<PoolError>>,
}

struct RingLog {
    handle: LogHandle,
    /// Appends under way.
    users: Cell<usize>,
    /// It has been erased since it was full.
    clean: Cell<bool>,
    /// Acknowledged since it was erased.
    records: Cell<u64>,
}

impl Ring {
    /// Two empty logs of `log_bytes` each.
    ///
    /// # Errors
    /// As for allocating a log.
    pub async fn create(pool: Rc<Pool>, host: Rc<dyn Host>, log_bytes: u64) -> Result<Rc<Ring>, PoolError> {
        let mut logs = Vec::new();
        for _ in 0..2 {
            let id = pool.mlog_alloc(MediaClass::Capacity, log_bytes, false).await?.id;
            pool.mlog_commit(id).await?;
            let handle = pool.mlog_open(id, OpenFlags::default()).await?;
            logs.push(RingLog { handle, users: Cell::new(0), clean: Cell::new(true), records: Cell::new(0) });
        }
        let (current, erases, stalls) = (Cell::new(0), Cell::new(0), Cell::new(0));
        Ok(Rc::new(Ring { pool, host, logs, current, erases, stalls, failure: RefCell::new(None) }))
    }

    /// Appends a record durably.
    ///
    /// # Errors
    /// The append failed, or an erasure has.
    pub async fn append(self: &Rc<Self>, record: &[u8]) -> Result<(), PoolError> {
        loop {
            let at = self.current.get();
            let log = &self.logs[at];
            log.users.set(log.users.get() + 1);
            let outcome = log.handle.log().append(record, true).await;
            log.users.set(log.users.get() - 1);
            match outcome {
                Ok(()) => {
                    log.records.set(log.records.get() + 1);
                    return Ok(());
                }
                Err(error) if error.kind() == Kind::LogFull => self.move_on(at).await?,
                Err(error) => return Err(error),
            }
        }
    }

    /// The log `full` is: goes on with the other one.
    async fn move_on(self: &Rc<Self>, full: usize) -> Result<(), PoolError> {
        if let Some(error) = self.failure.borrow().as_ref() {
            return Err(error.clone());
        }
        if self.current.get() != full {
            return Ok(());
        }
        let next = (full + 1) % self.logs.len();
        if !self.logs[next].clean.get() {
            self.stalls.set(self.stalls.get() + 1);
            self.host.sleep(PAUSE).await;
            return Ok(());
        }
        self.current.set(next);
        self.logs[full].clean.set(false);
        let ring = Rc::clone(self);
        self.host.spawn(Box::pin(async move {
            if let Err(error) = ring.erase(full).await {
                ring.failure.borrow_mut().get_or_insert(error);
            }
        }));
        Ok(())
    }

    async fn erase(&self, at: usize) -> Result<(), PoolError> {
        let log = &self.logs[at];
        while log.users.get() > 0 {
            self.host.sleep(PAUSE).await;
        }
        self.pool.mlog_erase(log.handle.id(), 0).await?;
        log.records.set(0);
        log.clean.set(true);
        self.erases.set(self.erases.get() + 1);
        Ok(())
    }

    /// Logs erased so far.
    pub fn erases(&self) -> u64 {
        self.erases.get()
    }

    /// Appends that found both logs full so far.
    pub fn stalls(&self) -> u64 {
        self.stalls.get()
    }

    /// Flush sets written so far.
    pub fn flushes(&self) -> u64 {
        self.logs.iter().map(|log| log.handle.log().flushes()).sum()
    }

    /// Reads the logs back, then deletes them. Nobody appends any more.
    ///
    /// # Errors
    /// A record that was acknowledged is missing, or one is not what was appended; or reading fails.
    pub async fn close(self: Rc<Self>, record_bytes: usize) -> Result<(), PoolError> {
        let other = (self.current.get() + 1) % self.logs.len();
        while !self.logs[other].clean.get() && self.failure.borrow().is_none() {
            self.host.sleep(PAUSE).await;
        }
        if let Some(error) = self.failure.take() {
            return Err(error);
        }
        // An erasure that has ended lets its reference go with its task.
        let mut ring = self;
        let ring = loop {
            match Rc::try_unwrap(ring) {
                Ok(ring) => break ring,
                Err(shared) => ring = shared,
            }
            ring.host.sleep(PAUSE).await;
        };
        for log in ring.logs {
            let id = log.handle.id();
            check(&log, record_bytes).await?;
            log.handle.close().await?;
            ring.pool.mlog_delete(id).await?;
        }
        Ok(())
    }
}

/// Compares what a log holds with what was acknowledged.
async fn check(of: &RingLog, record_bytes: usize) -> Result<(), PoolError> {
    let log = of.handle.log();
    let wrong = |what: String| PoolError::new(Kind::CorruptLog, of.handle.id().to_string(), what);
    let mut buffer = vec![0; record_bytes];
    let (mut found, mut last) = (0, std::collections::BTreeMap::new());
    log.rewind().await?;
    while let Some(bytes) = log.next(&mut buffer).await.map_err(PoolError::from)? {
        let stamp = buffer[..bytes].first_chunk::<STAMP_BYTES>().filter(|_| bytes == record_bytes);
        let Some(stamp) = stamp else { return Err(wrong(format!("a record of {bytes} bytes"))) };
        let number = u128::from_le_bytes(*stamp);
        let (appender, serial) = (number as u64, (number >> 64) as u64);
        if last.insert(appender, serial).is_some_and(|before| serial <= before) {
            return Err(wrong(format!("append {serial} of appender {appender} is not in its place")));
        }
        found += 1;
    }
    if found != of.records.get() {
        return Err(wrong(format!("{found} records of {} that were acknowledged", of.records.get())));
    }
    Ok(())
}

/// Writes the stamp of an append into its record.
pub fn stamp(record: &mut [u8], appender: u64, serial: u64) {
    record[..STAMP_BYTES].copy_from_slice(&(u128::from(serial) << 64 | u128::from(appender)).to_le_bytes());
}

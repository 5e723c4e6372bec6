// SPDX-License-Identifier: BSD-3-Clause

//! Sync appends to a log from a number of appenders.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use bdev_dedupe::load::{busy_time, Histogram};
use futures::channel::oneshot;
use mpool::units::Nanos;
use mpool::{Host, Pool, PoolError};

use super::ring::{stamp, Ring};

/// Bytes in a record.
pub const RECORD_BYTES: usize = 4096;

/// What is to be done.
#[derive(Debug, Clone, Copy)]
pub struct AppendLoad {
    /// Appenders, each with one append at a time.
    pub appenders: u32,
    /// Bytes of each of the two logs.
    pub log_bytes: u64,
    /// Not counted.
    pub warm_up: Duration,
    /// Counted.
    pub measure: Duration,
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct AppendReport {
    /// Appends per second.
    pub per_second: f64,
    /// Time that the pool's thread worked for each append.
    pub busy_per_append: Duration,
    /// Appends for each flush set.
    pub group: f64,
    /// Logs that were erased.
    pub erases: u64,
    /// Appends that found both logs full.
    pub stalls: u64,
    /// Latencies in nanoseconds.
    pub latency: Histogram,
}

/// Shared by the appenders.
struct Run {
    ring: Rc<Ring>,
    host: Rc<dyn Host>,
    appends: Cell<u64>,
    counting: Cell<bool>,
    stop: Cell<bool>,
    latency: RefCell<Histogram>,
}

/// What is read at the start and at the end of the counted time.
struct Mark {
    at: Nanos,
    busy: Duration,
    appends: u64,
    flushes: u64,
    erases: u64,
    stalls: u64,
}

/// Runs a load on new logs, which are read back and deleted at the end.
///
/// # Errors
/// An append failed, or what was appended is not there.
pub async fn run(pool: Rc<Pool>, host: Rc<dyn Host>, load: AppendLoad) -> Result<AppendReport, PoolError> {
    let ring = Ring::create(pool, Rc::clone(&host), load.log_bytes).await?;
    let run = Rc::new(Run {
        ring: Rc::clone(&ring),
        host,
        appends: Cell::new(0),
        counting: Cell::new(false),
        stop: Cell::new(false),
        latency: RefCell::default(),
    });
    let ends: Vec<_> = (0..load.appenders).map(|number| start(&run, u64::from(number))).collect();
    run.sleep(load.warm_up).await;
    let begin = run.mark();
    run.counting.set(true);
    run.sleep(load.measure).await;
    run.counting.set(false);
    let end = run.mark();
    run.stop.set(true);
    let mut outcome = Ok(());
    for appender in ends {
        // An appender that is gone without a word has panicked, and so has all of this.
        outcome = outcome.and(appender.await.unwrap_or(Ok(())));
    }
    let report = run.report(&begin, &end);
    drop(run);
    outcome?;
    ring.close(RECORD_BYTES).await?;
    Ok(report)
}

/// Starts one appender.
fn start(run: &Rc<Run>, number: u64) -> oneshot::Receiver<Result<(), PoolError>> {
    let (sender, receiver) = oneshot::channel();
    let of = Rc::clone(run);
    run.host.spawn(Box::pin(async move {
        let outcome = of.append_until_stopped(number).await;
        drop(of);
        // Who waits for it is there until it comes.
        let _ = sender.send(outcome);
    }));
    receiver
}

impl Run {
    async fn append_until_stopped(&self, number: u64) -> Result<(), PoolError> {
        let mut record = vec![number as u8; RECORD_BYTES];
        let mut serial = 0;
        while !self.stop.get() {
            serial += 1;
            stamp(&mut record, number, serial);
            let begin = self.host.now();
            self.ring.append(&record).await?;
            self.appends.set(self.appends.get() + 1);
            if self.counting.get() {
                self.latency.borrow_mut().record(self.host.now().0 - begin.0);
            }
        }
        Ok(())
    }

    async fn sleep(&self, time: Duration) {
        self.host.sleep(Nanos(time.as_nanos() as u64)).await;
    }

    fn mark(&self) -> Mark {
        Mark {
            at: self.host.now(),
            busy: busy_time(),
            appends: self.appends.get(),
            flushes: self.ring.flushes(),
            erases: self.ring.erases(),
            stalls: self.ring.stalls(),
        }
    }

    fn report(&self, begin: &Mark, end: &Mark) -> AppendReport {
        let appends = end.appends - begin.appends;
        let each = appends.max(1) as f64;
        AppendReport {
            per_second: appends as f64 / (end.at.0 - begin.at.0) as f64 * 1e9,
            busy_per_append: (end.busy - begin.busy).div_f64(each),
            group: each / (end.flushes - begin.flushes).max(1) as f64,
            erases: end.erases - begin.erases,
            stalls: end.stalls - begin.stalls,
            latency: self.latency.borrow().clone(),
        }
    }
}

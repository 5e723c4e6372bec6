// SPDX-License-Identifier: BSD-3-Clause

//! One round on one bdev: raw, then a new pool.

use std::rc::Rc;
use std::time::Duration;

use bdev_dedupe::load::{App, AppError, Content, Limit, LoadError, LoadReport, LoadSpec, Operation, Order};
use engine::BLOCK_SIZE;
use mpool::device::Transfer;
use mpool::management::create::CreateRequest;
use mpool::management::destroy::DestroyRequest;
use mpool::params::{CreateParams, LayoutWish};
use mpool::registry::Registry;
use mpool::tunables::Tunables;
use mpool::units::Nanos;
use mpool::{Host, PoolError};
use thiserror::Error;

use super::appenders::{self, AppendLoad, AppendReport, RECORD_BYTES};
use super::bandwidth::{self, BandwidthLoad, BandwidthReport};

const POOL_NAME: &str = "bench";

/// Size of zones, and so of mblocks: the usual one of devices of 8 GiB or more, while the bdevs here may be smaller.
const ZONE_MIB: u32 = 32;

/// What a round does.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Numbers of appenders.
    pub appenders: Vec<u32>,
    /// Numbers of writers and readers of mblocks.
    pub workers: Vec<u32>,
    /// Bytes of each of the two logs.
    pub log_bytes: u64,
    /// Bytes in a transfer of an mblock.
    pub transfer_bytes: usize,
    /// Bytes of mblocks.
    pub mblock_bytes: u64,
    /// Not counted.
    pub warm_up: Duration,
    /// Counted.
    pub measure: Duration,
}

/// What came of a round.
#[derive(Debug, Clone)]
pub struct Round {
    /// Raw sequential writes of 4 KiB per second, for each number of appenders in flight.
    pub raw_writes: Vec<f64>,
    /// Writes of 4 KiB with a flush after each, one at a time, per second.
    pub durable_writes: f64,
    /// Bytes per second of raw writes and reads, for each number of workers in flight.
    pub raw_bandwidth: Vec<BandwidthReport>,
    /// The same of these writes when the time of one flush behind them counts.
    pub flushed_bandwidth: Vec<f64>,
    /// For each number of appenders.
    pub appends: Vec<AppendReport>,
    /// For each number of workers.
    pub mblocks: Vec<BandwidthReport>,
}

/// Why a round did not come to its end.
#[derive(Debug, Error)]
pub enum RoundError {
    /// The bdev alone.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The pool.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// The application.
    #[error(transparent)]
    App(#[from] AppError),
}

/// Runs a round on `bdev`, whose content is lost.
///
/// # Errors
/// See [`RoundError`].
pub fn run(app: &App, bdev: &str, plan: &Plan) -> Result<Round, RoundError> {
    let raw_writes = plan.appenders.iter().map(|&in_flight| raw_writes(app, bdev, plan, in_flight));
    let raw_writes = raw_writes.collect::<Result<_, _>>()?;
    let (mut raw_bandwidth, mut flushed_bandwidth) = (Vec::new(), Vec::new());
    for &in_flight in &plan.workers {
        let write = raw_bandwidth_of(app, bdev, plan, in_flight, Operation::Write(Content::Unique))?;
        let flush = app.run_pool({
            let bdev = bdev.to_owned();
            move |host| async move { flush(&*host, &bdev).await }
        })??;
        let bytes = plan.mblock_bytes as f64;
        flushed_bandwidth.push(bytes / (bytes / write + flush.as_secs_f64()));
        let read = raw_bandwidth_of(app, bdev, plan, in_flight, Operation::Read { verify: true })?;
        raw_bandwidth.push(BandwidthReport { write, read });
    }
    let (name, measure) = (bdev.to_owned(), plan.measure);
    let durable_writes = app.run_pool(move |host| async move { durable_writes(&*host, &name, measure).await })??;
    let (name, plan) = (bdev.to_owned(), plan.clone());
    let (appends, mblocks) = app.run_pool(move |host| on_a_pool(host, name, plan))??;
    Ok(Round { raw_writes, durable_writes, raw_bandwidth, flushed_bandwidth, appends, mblocks })
}

/// Over as many bytes as the logs have.
fn raw_writes(app: &App, bdev: &str, plan: &Plan, in_flight: u32) -> Result<f64, LoadError> {
    let limit = Limit::Time { warm_up: plan.warm_up, measure: plan.measure };
    let write = Operation::Write(Content::Unique);
    raw(app, bdev, write, RECORD_BYTES, 2 * plan.log_bytes, in_flight, limit).map(|report| report.iops)
}

/// Bytes per second, over as many bytes as the mblocks have.
fn raw_bandwidth_of(
    app: &App,
    bdev: &str,
    plan: &Plan,
    in_flight: u32,
    operation: Operation,
) -> Result<f64, LoadError> {
    let report = raw(app, bdev, operation, plan.transfer_bytes, plan.mblock_bytes, in_flight, Limit::OnePass)?;
    Ok(report.iops * plan.transfer_bytes as f64)
}

/// A sequential load on the bdev alone.
pub fn raw(
    app: &App,
    bdev: &str,
    operation: Operation,
    request_bytes: usize,
    region_bytes: u64,
    in_flight: u32,
    limit: Limit,
) -> Result<LoadReport, LoadError> {
    app.run_load(&LoadSpec {
        bdev: bdev.to_owned(),
        operation,
        order: Order::Sequential,
        blocks_per_request: (request_bytes / BLOCK_SIZE) as u32,
        region_blocks: region_bytes / BLOCK_SIZE as u64,
        queue_depth: in_flight,
        limit,
        seed: 1,
    })
}

/// How long it takes to make durable what was written.
async fn flush(host: &dyn Host, bdev: &str) -> Result<Duration, PoolError> {
    let device = host.open(bdev).await?;
    let begin = host.now();
    device.flush().await.map_err(|error| PoolError::device(bdev, "flushing", error))?;
    Ok(Duration::from_nanos(host.now().0 - begin.0))
}

/// Writes of 4 KiB to the same place and a flush after each, as many as end within `time`, per second.
async fn durable_writes(host: &dyn Host, bdev: &str, time: Duration) -> Result<f64, PoolError> {
    let device = host.open(bdev).await?;
    let failed = |error| PoolError::device(bdev, "writing and flushing", error);
    let mut buf = device.allocate(RECORD_BYTES).map_err(failed)?;
    let begin = host.now();
    let mut count = 0u32;
    loop {
        let transfer = Transfer { at: 0, buf, range: 0..RECORD_BYTES, chunk: RECORD_BYTES };
        let (returned, outcome) = device.write(transfer, false).await;
        outcome.map_err(failed)?;
        device.flush().await.map_err(failed)?;
        buf = returned;
        count += 1;
        let Nanos(elapsed) = Nanos(host.now().0 - begin.0);
        if u128::from(elapsed) >= time.as_nanos() {
            return Ok(f64::from(count) / elapsed as f64 * 1e9);
        }
    }
}

/// All that is done with a pool, which is created for that and destroyed.
async fn on_a_pool(
    host: Rc<dyn Host>,
    bdev: String,
    plan: Plan,
) -> Result<(Vec<AppendReport>, Vec<BandwidthReport>), PoolError> {
    let registry = Registry::new(Rc::clone(&host), Tunables::default());
    let layout = LayoutWish { zone_mib: Some(ZONE_MIB), ..LayoutWish::default() };
    let request = CreateRequest {
        name: POOL_NAME.to_owned(),
        capacity: bdev,
        params: CreateParams { layout, ..CreateParams::default() },
        force: true,
        ..CreateRequest::default()
    };
    let active = registry.create(&request).await?;
    let (mut appends, mut mblocks) = (Vec::new(), Vec::new());
    for &appenders in &plan.appenders {
        let Plan { log_bytes, warm_up, measure, .. } = plan;
        let load = AppendLoad { appenders, log_bytes, warm_up, measure };
        appends.push(appenders::run(Rc::clone(active.pool()), Rc::clone(&host), load).await?);
    }
    for &workers in &plan.workers {
        let load = BandwidthLoad { workers, transfer_bytes: plan.transfer_bytes, total_bytes: plan.mblock_bytes };
        mblocks.push(bandwidth::run(Rc::clone(active.pool()), Rc::clone(&host), load).await?);
    }
    drop(active);
    registry.destroy(&DestroyRequest { name: Some(POOL_NAME.to_owned()), ..DestroyRequest::default() }).await?;
    Ok((appends, mblocks))
}

// SPDX-License-Identifier: BSD-3-Clause

//! The environment of a pool besides its devices: time, tasks, random bytes, the log for the operator.
//!
//! A pool lives on one thread. The host runs its `async` functions: `bdev` polls them on SPDK's application thread, the
//! simulator in a random order.

use core::fmt;
use std::rc::Rc;

use async_trait::async_trait;
use futures::future::LocalBoxFuture;

use super::device::Device;
use super::error::PoolError;
use crate::units::Nanos;

/// The health of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PoolStatus {
    /// All drives are present and work.
    Optimal,
    /// A drive is missing or suspect, or metadata is in doubt.
    Faulted,
}

/// The services that a pool needs besides its devices.
#[async_trait(?Send)]
pub trait Host: fmt::Debug {
    /// The present time.
    fn now(&self) -> Nanos;

    /// Completes after `time`.
    async fn sleep(&self, time: Nanos);

    /// Runs a task concurrently, on the same thread, until it ends.
    fn spawn(&self, task: LocalBoxFuture<'static, ()>);

    /// Fills `bytes` with random bytes, good enough for UUIDs.
    fn random(&self, bytes: &mut [u8]);

    /// Opens the device `path` exclusively for this pool.
    ///
    /// # Errors
    /// There is no such device, it is in use (busy), or it is unsuitable.
    async fn open(&self, path: &str) -> Result<Rc<dyn Device>, PoolError>;

    /// Called when the status of an active pool, or the reason for its faults, has changed. It has been logged too.
    fn pool_changed(&self, _name: &str, _status: PoolStatus) {}

    /// Logs a line for the operator.
    fn log(&self, level: Level, line: &str);
}

/// The severity of a line in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Something does not work.
    Error,
    /// Something may soon not work.
    Warning,
    /// An event that is no problem.
    Info,
    /// Details for debugging.
    Debug,
}

// SPDX-License-Identifier: BSD-3-Clause

//! The world as a pool sees it, its devices apart: time, tasks, randomness, the operator's log.
//!
//! A pool lives on one thread. Its `async` functions are run by the host: `bdev` polls them on SPDK's application
//! thread, the simulator in an order drawn from a seed.

use core::fmt;
use std::rc::Rc;

use async_trait::async_trait;
use futures::future::LocalBoxFuture;

use super::device::Device;
use super::error::PoolError;
use crate::units::Nanos;

/// How a pool fares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PoolStatus {
    /// All drives are there.
    Optimal,
    /// A drive is missing or suspect, or metadata is in doubt.
    Faulted,
}

/// What a pool can ask of the world besides its devices.
#[async_trait(?Send)]
pub trait Host: fmt::Debug {
    /// The present time.
    fn now(&self) -> Nanos;

    /// Waits.
    async fn sleep(&self, time: Nanos);

    /// Runs a task beside the present one, on the same thread, until it ends.
    fn spawn(&self, task: LocalBoxFuture<'static, ()>);

    /// Fills `bytes` with random ones, good enough for identities.
    fn random(&self, bytes: &mut [u8]);

    /// Opens the device `path` for this pool alone.
    ///
    /// # Errors
    /// There is none, it is in use (busy), or it cannot be used.
    async fn open(&self, path: &str) -> Result<Rc<dyn Device>, PoolError>;

    /// An active pool has become, or is no longer, faulted; or why it is has changed. The log has said it, too.
    fn pool_changed(&self, _name: &str, _status: PoolStatus) {}

    /// Tells the operator.
    fn log(&self, level: Level, line: &str);
}

/// How much a line in the log matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Something does not work.
    Error,
    /// Something may soon not work.
    Warning,
    /// Something happened.
    Info,
    /// For those who look for a defect.
    Debug,
}

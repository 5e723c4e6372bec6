// SPDX-License-Identifier: BSD-3-Clause

//! SPDK's application thread as the pool's [`Host`].

use std::rc::Rc;

use async_trait::async_trait;
use futures::future::LocalBoxFuture;
use mpool::host::PoolStatus;
use mpool::units::Nanos;
use mpool::{Device, Host, Level, PoolError};

use super::device::BdevDevice;
use crate::spdk::open_bdev::Access;
use crate::spdk::{notify, tasks, timer};

/// See the module's documentation. There is one application thread, so all values are equal.
#[derive(Debug, Clone, Copy, Default)]
pub struct SpdkHost;

#[async_trait(?Send)]
impl Host for SpdkHost {
    fn now(&self) -> Nanos {
        timer::now()
    }

    async fn sleep(&self, time: Nanos) {
        timer::sleep(time).await;
    }

    fn spawn(&self, task: LocalBoxFuture<'static, ()>) {
        tasks::spawn(task);
    }

    /// Aborts without random bytes: otherwise two pools could get one identity. Linux always has random bytes once it
    /// has started.
    fn random(&self, bytes: &mut [u8]) {
        if let Err(error) = getrandom::fill(bytes) {
            log::error!("the operating system has no random bytes for identities: {error}");
            std::process::abort();
        }
    }

    async fn open(&self, path: &str) -> Result<Rc<dyn Device>, PoolError> {
        Ok(Rc::new(BdevDevice::open(path, Access::Claim)?))
    }

    fn pool_changed(&self, name: &str, status: PoolStatus) {
        notify::pool_changed(name, status);
    }

    fn log(&self, level: Level, line: &str) {
        let level = match level {
            Level::Error => log::Level::Error,
            Level::Warning => log::Level::Warn,
            Level::Info => log::Level::Info,
            Level::Debug => log::Level::Debug,
        };
        log::log!(level, "{line}");
    }
}

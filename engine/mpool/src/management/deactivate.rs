// SPDX-License-Identifier: BSD-3-Clause

//! Deactivation: removes a pool from memory, and releases its devices.

use std::rc::Rc;

use crate::error::Result;
use crate::host::Level;
use crate::registry::{ActivePool, Registry};
use crate::Pool;

impl Registry {
    /// Deactivates a pool, given by its name or its UUID as text.
    ///
    /// # Errors
    /// NotMember: no such active pool. Busy: the pool is open, or one of its objects is in use.
    pub async fn deactivate(&self, name_or_uuid: &str) -> Result<()> {
        self.alone(async { self.deactivate_alone(&self.find(name_or_uuid)?).await }).await
    }

    pub(super) async fn deactivate_alone(&self, active: &Rc<ActivePool>) -> Result<()> {
        active.close_doors()?;
        shut_down(active.pool()).await;
        active.pool().log(Level::Info, "deactivated");
        self.remove(active.pool().uuid());
        Ok(())
    }
}

/// Ends all tasks of a pool, then closes it. Failures are only logged: acknowledged changes are on media, and the pool
/// is not used any more.
pub(super) async fn shut_down(pool: &Rc<Pool>) {
    pool.tasks.stop();
    // This includes erasures: their zones are discarded before the devices are released.
    pool.tasks.drain().await;
    pool.close_maps().await;
    if let Err(error) = pool.close_containers().await {
        pool.log(Level::Warning, format!("closing the metadata containers failed: {error}"));
    }
}

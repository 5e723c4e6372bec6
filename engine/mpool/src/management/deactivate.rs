// SPDX-License-Identifier: BSD-3-Clause

//! Deactivation: a pool leaves memory, and lets go of its devices.

use std::rc::Rc;

use crate::error::Result;
use crate::host::Level;
use crate::registry::{ActivePool, Registry};
use crate::Pool;

impl Registry {
    /// Deactivates a pool, given by its name or, as text, its UUID.
    ///
    /// # Errors
    /// NotMember: no such active pool. Busy: it is open, or an object of it is in use.
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

/// Ends everything that a pool has under way, then closes it. What fails is logged: what was acknowledged is on media,
/// and the pool is of no use any more.
pub(super) async fn shut_down(pool: &Rc<Pool>) {
    pool.tasks.stop();
    // Erasures among them: their zones are discarded before the devices go.
    pool.tasks.drain().await;
    pool.close_maps().await;
    if let Err(error) = pool.close_containers().await {
        pool.log(Level::Warning, format!("closing the metadata containers failed: {error}"));
    }
}

// SPDX-License-Identifier: BSD-3-Clause

//! Adopts the growth of the devices of an active pool, while the pool is in use.

use crate::error::Result;
use crate::host::Level;
use crate::registry::Registry;

impl Registry {
    /// Lets an active pool use the space by which its devices have grown. Returns whether any drive has grown.
    ///
    /// # Errors
    /// NotMember: no such active pool. Io: a drive keeps its old size, and may get the new one at the next activation.
    pub async fn drives_grow(&self, pool: &str) -> Result<bool> {
        self.alone(self.drives_grow_alone(pool)).await
    }

    async fn drives_grow_alone(&self, pool: &str) -> Result<bool> {
        let active = self.find(pool)?;
        let pool = active.pool();
        let mut any = false;
        for drive in pool.drives() {
            if pool.grow_drive(drive.class()).await? {
                any = true;
                pool.log(Level::Info, format!("{} has {} zones now", drive.subject(), drive.descriptor().zones));
            }
        }
        Ok(any)
    }
}

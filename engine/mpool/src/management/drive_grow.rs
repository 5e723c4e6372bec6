// SPDX-License-Identifier: BSD-3-Clause

//! The drives of an active pool take in what their devices have grown by, while the pool is in use.

use crate::error::Result;
use crate::host::Level;
use crate::registry::Registry;

impl Registry {
    /// Lets an active pool use what its devices have grown by. Returns whether there is more now.
    ///
    /// # Errors
    /// NotMember: no such active pool. Io: a drive has its old size, at the latest after the next activation the new.
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

// SPDX-License-Identifier: BSD-3-Clause

//! The commands on properties. The handle names the pool, so a command cannot reach the wrong one (defect 7).

use super::PoolHandle;
use crate::error::Result;
use crate::ids::MediaClass;
use crate::management::props::{ClassProps, DriveProps, PoolProps};
use crate::metadata::Usage;
use crate::params::PoolParams;

impl PoolHandle {
    /// PROP_GET: all properties of the pool.
    #[must_use]
    pub fn props(&self) -> PoolProps {
        self.active.pool().props()
    }

    /// MP_MCLASS_GET: the properties of a media class.
    ///
    /// # Errors
    /// NotFound: the class has no drive.
    pub fn class_props(&self, class: MediaClass) -> Result<ClassProps> {
        self.active.pool().class_props(class)
    }

    /// DEVPROPS_GET: the properties of a drive, by the name of its device.
    ///
    /// # Errors
    /// NotFound.
    pub fn drive_props(&self, name: &str) -> Result<DriveProps> {
        self.active.pool().drive_props(name)
    }

    /// Space in use, and numbers of objects.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.active.pool().usage()
    }

    /// PARAMS_GET: the parameters of the pool.
    ///
    /// # Errors
    /// ReadOnly, as in mpool.
    pub fn params(&self) -> Result<PoolParams> {
        Ok(self.writable()?.params())
    }
}

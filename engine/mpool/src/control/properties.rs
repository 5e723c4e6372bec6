// SPDX-License-Identifier: BSD-3-Clause

//! The commands on properties. The pool is named by the handle, so none of them can be asked of the wrong one (defect 7).

use super::PoolHandle;
use crate::error::Result;
use crate::ids::MediaClass;
use crate::management::props::{ClassProps, DriveProps, PoolProps};
use crate::metadata::Usage;
use crate::params::PoolParams;

impl PoolHandle {
    /// PROP_GET: everything about the pool.
    #[must_use]
    pub fn props(&self) -> PoolProps {
        self.active.pool().props()
    }

    /// MP_MCLASS_GET: a media class.
    ///
    /// # Errors
    /// NotFound: it has no drive.
    pub fn class_props(&self, class: MediaClass) -> Result<ClassProps> {
        self.active.pool().class_props(class)
    }

    /// DEVPROPS_GET: a drive, by the name of its device.
    ///
    /// # Errors
    /// NotFound.
    pub fn drive_props(&self, name: &str) -> Result<DriveProps> {
        self.active.pool().drive_props(name)
    }

    /// Space and objects.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.active.pool().usage()
    }

    /// PARAMS_GET.
    ///
    /// # Errors
    /// ReadOnly, as in mpool.
    pub fn params(&self) -> Result<PoolParams> {
        Ok(self.writable()?.params())
    }
}

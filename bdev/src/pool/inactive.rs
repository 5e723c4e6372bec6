// SPDX-License-Identifier: BSD-3-Clause

//! Pools that were found and could not be activated, and why: queries about their volumes are answered with that error.

use core::cell::RefCell;
use std::collections::BTreeMap;

use mpool::PoolError;
use uuid::Uuid;

use crate::spdk::bdevs;

/// See the module's documentation.
#[derive(Debug, Default)]
pub struct InactivePools(RefCell<BTreeMap<Uuid, Inactive>>);

#[derive(Debug)]
struct Inactive {
    name: String,
    bdev: String,
    error: PoolError,
}

impl InactivePools {
    /// Records that a pool on `bdev` was not activated.
    pub fn note(&self, uuid: Uuid, name: &str, bdev: &str, error: &PoolError) {
        let inactive = Inactive { name: name.to_owned(), bdev: bdev.to_owned(), error: error.clone() };
        self.0.borrow_mut().insert(uuid, inactive);
    }

    /// Why a volume is not there: the error of the pool that `is_its` accepts, else of the first pool. Pools that are
    /// active by now, or whose bdev is gone, are forgotten.
    pub fn why(&self, is_active: impl Fn(Uuid) -> bool, is_its: impl Fn(&str) -> bool) -> Option<PoolError> {
        let mut pools = self.0.borrow_mut();
        pools.retain(|uuid, pool| !is_active(*uuid) && bdevs::claim_of(&pool.bdev).is_some());
        let its = pools.values().find(|pool| is_its(&pool.name)).or_else(|| pools.values().next())?;
        let reason = format!(
            "it is not loaded: the pool could not be activated: {}. See to that, then mpool_activate with the name '{}' \
             loads its volumes",
            its.error, its.name
        );
        Some(PoolError::new(its.error.kind(), format!("pool '{}' on bdev '{}'", its.name, its.bdev), reason))
    }
}

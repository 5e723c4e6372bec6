// SPDX-License-Identifier: BSD-3-Clause

//! The shards of a volume as they know each other.

use core::ptr::NonNull;
use std::sync::Arc;

use engine::ShardId;

use crate::shard_host::ShardHost;

/// All shards of a volume, for shards to wake each other.
#[derive(Debug, Clone, Copy)]
pub struct Peers(NonNull<[ShardHost]>);

// SAFETY: shards are shared between threads, and stay in place until all of them have stopped and dropped this.
unsafe impl Send for Peers {}

impl Peers {
    /// The shards that `shards` keeps; it outlives every started shard.
    pub fn of(shards: &Arc<[ShardHost]>) -> Peers {
        Peers(NonNull::from(&**shards))
    }

    /// All of them. Only for a shard that has not stopped, and for what it waits for.
    pub fn all<'a>(self) -> &'a [ShardHost] {
        // SAFETY: the shards stay in place until all of them have stopped.
        unsafe { self.0.as_ref() }
    }

    /// One of them. Only for what a shard that has not stopped waits for.
    pub fn shard<'a>(self, id: ShardId) -> &'a ShardHost {
        &self.all()[id.index()]
    }
}

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
    /// The shards that `shards` keeps.
    ///
    /// # Safety
    /// What this is given to drops it, and all copies, before `shards` goes: so does each shard, whose volume lets its shards go
    /// when the last of them has stopped.
    pub unsafe fn of(shards: &Arc<[ShardHost]>) -> Peers {
        Peers(NonNull::from(&**shards))
    }

    /// All of them.
    pub fn all(&self) -> &[ShardHost] {
        // SAFETY: the shards stay in place as long as there is one of these, as whoever made the first has promised.
        unsafe { self.0.as_ref() }
    }

    /// One of them.
    pub fn shard(&self, id: ShardId) -> &ShardHost {
        &self.all()[id.index()]
    }
}

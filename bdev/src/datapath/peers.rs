// SPDX-License-Identifier: BSD-3-Clause

//! The shards of a volume as they know each other.

use std::sync::Arc;

use engine::ShardId;

use super::shard_host::ShardHost;

/// All shards of a volume, for shards to wake each other.
///
/// A shard that runs keeps all of them, itself included; it lets go when it stops.
#[derive(Debug, Clone)]
pub struct Peers(Arc<[ShardHost]>);

impl Peers {
    /// These shards.
    pub fn new(shards: &Arc<[ShardHost]>) -> Peers {
        Peers(Arc::clone(shards))
    }

    /// All of them.
    pub fn all(&self) -> &[ShardHost] {
        &self.0
    }

    /// One of them.
    pub fn shard(&self, id: ShardId) -> &ShardHost {
        &self.0[id.index()]
    }
}

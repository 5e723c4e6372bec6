// SPDX-License-Identifier: BSD-3-Clause

//! The shards of a volume, as each of them knows the others.

use std::sync::Arc;

use engine::ShardId;

use super::shard_host::ShardHost;

/// All shards of a volume, so that shards can wake each other.
///
/// A running shard holds a reference to all shards, itself included, and drops it when it stops.
#[derive(Debug, Clone)]
pub struct Peers(Arc<[ShardHost]>);

impl Peers {
    pub fn new(shards: &Arc<[ShardHost]>) -> Peers {
        Peers(Arc::clone(shards))
    }

    pub fn all(&self) -> &[ShardHost] {
        &self.0
    }

    pub fn shard(&self, id: ShardId) -> &ShardHost {
        &self.0[id.index()]
    }
}

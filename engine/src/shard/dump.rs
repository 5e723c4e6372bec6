// SPDX-License-Identifier: BSD-3-Clause

//! A dump of a shard.

use super::Shard;
use crate::dump::{DumpScope, ShardDump};
use crate::env::Env;

impl<E: Env> Shard<E> {
    /// What the shard holds now, and what waits. Changes nothing; allocates memory for the answer.
    #[must_use]
    pub fn dump(&self, scope: &DumpScope) -> ShardDump {
        ShardDump {
            logical: self.logical.dump(scope),
            hash: self.hash.dump(self.handoff.arrivals.len(), scope),
            physical: self.physical.dump(scope),
            journal: self.journal.dump(),
            transfers: self.io.in_flight(),
            transfers_waiting: self.io.waiting(),
            metadata_transfers_free: self.metadata.room(),
        }
    }
}

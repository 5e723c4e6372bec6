// SPDX-License-Identifier: BSD-3-Clause

//! What a shard asks of SPDK's application thread, where its volume's objects in the pool are.
//!
//! Invariant: a shard is not idle, so not stopped, while an answer is under way to it.

use engine::{ReadOnlyReason, ShardId};

use crate::peers::Peers;
use crate::pool::storage;
use crate::thread::Thread;

/// One shard's way to the application thread.
#[derive(Debug)]
pub struct Uplink {
    app: Thread,
    /// The volume's key there.
    key: u64,
    id: ShardId,
    peers: Peers,
    /// Questions without an answer.
    open: usize,
}

impl Uplink {
    /// The way of shard `id` of the volume with the key `key` to the thread `app`.
    pub fn new(app: Thread, key: u64, id: ShardId, peers: Peers) -> Uplink {
        Uplink { app, key, id, peers, open: 0 }
    }

    /// True when no answer is under way.
    pub fn is_idle(&self) -> bool {
        self.open == 0
    }

    /// Has a journal segment erased. The answer comes to [`crate::shard_host::ShardHost::segment_erased`].
    pub fn erase_segment(&mut self, segment: u32) {
        self.open += 1;
        let (key, id, peers) = (self.key, self.id, self.peers);
        self.app.post(move || {
            storage::erase_segment(key, segment, move |result| {
                let thread = peers.shard(id).thread;
                thread.run(move || peers.shard(id).segment_erased(segment, result));
            });
        });
    }

    /// Notes an answer.
    pub fn answered(&mut self) {
        self.open -= 1;
    }

    /// Tells that the volume takes no writes any more.
    pub fn read_only(&self, reason: ReadOnlyReason) {
        let key = self.key;
        self.app.post(move || storage::read_only(key, reason));
    }
}

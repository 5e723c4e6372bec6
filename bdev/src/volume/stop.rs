// SPDX-License-Identifier: BSD-3-Clause

//! Taking a volume out of service: its shards quiesce, its metadata is saved, its shards stop, and its objects in the
//! pool are released or destroyed.
//!
//! The metadata is not saved if the objects are to be destroyed or a bdev below is gone; the shards then become
//! read-only instead. The volume is recorded as clean only when every shard has saved: after an earlier failure the
//! next load recovers it.

use std::sync::Arc;

use engine::statistics::Statistics;
use engine::ReadOnlyReason;
use futures::channel::oneshot;
use mpool::PoolError;

use super::for_each_shard::for_each_shard;
use super::quiesce::{come_to_rest, wait_for_all, LOOK_AGAIN};
use super::storage::{self, Closing, End};
use super::{iostat, registry, Volume};
use crate::datapath::shard_host::ShardHost;
use crate::spdk::{tasks, timer};

impl Volume {
    /// Takes the volume out of service, and destroys or keeps its objects. Returns when that is done. On the app
    /// thread.
    ///
    /// # Errors
    /// Io on the volume's objects in the pool; the volume is out of service nevertheless.
    pub async fn remove(self: &Arc<Volume>, end: End) -> Result<(), PoolError> {
        let receiver = self.await_end(end);
        self.unregister();
        // The sender is dropped only at the end of the application, after which nobody is answered.
        receiver.await.unwrap_or(Ok(()))
    }

    /// Notes what shall happen to the volume's objects, and adds a waiter for its end.
    fn await_end(&self, end: End) -> oneshot::Receiver<Result<(), PoolError>> {
        let (sender, receiver) = oneshot::channel();
        let mut control = self.control();
        if end == End::Destroy {
            control.end = end;
        }
        control.waiters.push(sender);
        receiver
    }

    /// Takes the volume out of service because a bdev below is removed.
    pub fn base_removed(self: &Arc<Volume>, bdev: &str) {
        self.control().base_gone = true;
        if self.state() != super::State::Starting {
            log::warn!("{}: base bdev '{bdev}' was removed", self.name);
            self.unregister();
        }
    }

    /// No channel is left: ends the volume.
    pub(super) fn take_down(self: Arc<Volume>) {
        tasks::spawn(async move {
            while self.operation().is_some() {
                timer::sleep(LOOK_AGAIN).await;
            }
            let end = self.control().end;
            let closing = bring_down(&self, end).await;
            while !self.frontend.is_quiet() {
                timer::sleep(LOOK_AGAIN).await;
            }
            let outcome = storage::end(self.storage.key, end, closing).await;
            registry::remove(&self);
            match &outcome {
                Ok(()) => log::info!("{}: removed", self.name),
                Err(error) => log::error!("{}: removed, but not all is well with its pool: {error}", self.name),
            }
            self.bdev.destructed();
            let waiters = core::mem::take(&mut self.control().waiters);
            for waiter in waiters {
                // Nobody listens when the application ends.
                let _ = waiter.send(outcome.clone());
            }
            registry::gone();
        });
    }
}

/// Ends the work of a volume's shards, which get no more requests, and stops them. Returns what to record for a volume
/// that was saved.
async fn bring_down(volume: &Arc<Volume>, end: End) -> Option<Closing> {
    let saves = end == End::Keep && !volume.control().base_gone;
    if !saves {
        for_each_shard(volume, |shard| shard.enter_read_only(ReadOnlyReason::Told)).await;
    }
    save(volume).await;
    let statistics = for_each_shard(volume, ShardHost::statistics).await;
    iostat::keep(volume).await;
    let clean = saves && for_each_shard(volume, ShardHost::is_writable).await.into_iter().all(|writable| writable);
    volume.close_index(clean).await;
    for_each_shard(volume, ShardHost::stop).await;
    if saves && !clean {
        log::warn!("{}: it takes no writes, so it was not saved; the next load recovers it", volume.name);
    }
    clean.then(|| closing(volume, &statistics))
}

/// Quiesces a volume and saves its metadata; after a failure its shards are read-only.
pub(super) async fn save(volume: &Arc<Volume>) {
    come_to_rest(volume).await;
    for_each_shard(volume, ShardHost::save).await;
    // Saving may send messages, and receiving them may make work.
    wait_for_all(volume, ShardHost::is_saved).await;
    come_to_rest(volume).await;
    wait_for_all(volume, ShardHost::is_saved).await;
    for_each_shard(volume, ShardHost::quiesce).await;
}

fn closing(volume: &Volume, shards: &[Statistics]) -> Closing {
    let mut total = Statistics::default();
    shards.iter().for_each(|shard| total.add(shard));
    Closing {
        logical_blocks_used: total.logical_blocks_used,
        map_pages: total.block_map_pages,
        counters: volume.kept.with(&total),
    }
}

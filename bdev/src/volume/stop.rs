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

use super::error::VolumeError;
use super::for_each_shard::for_each_shard;
use super::quiesce::{come_to_rest, wait_for_all, LOOK_AGAIN};
use super::steps::{table, Table};
use super::storage::{self, Closing, End};
use super::{iostat, registry, Volume};
use crate::datapath::shard_host::ShardHost;
use crate::spdk::{tasks, timer};

const STOP: Table<Stop> = table! { "stop":
    "wait for the operation in progress" => |stop| stop.wait_for_operation().await;
    "see what is to become of it" => |stop| stop.read_wishes();
    "stop the shards" => |stop| stop.stop_shards().await;
    "wait for the last answers" => |stop| stop.wait_for_answers().await;
    "release the objects" => |stop| storage::end(stop.volume.storage.key, stop.end, stop.closing()).await;
};

const STOP_SHARDS: Table<Stop> = table! { "stop of the shards":
    "end writing, unless it is saved" => |stop| stop.end_writing().await;
    "save the metadata" => |stop| save(&stop.volume).await;
    "take the counters" => |stop| stop.take_counters().await;
    "close the index" => |stop| stop.close_index().await;
    "end the shards" => |stop| drop(for_each_shard(&stop.volume, ShardHost::stop).await);
};

/// A volume that is being stopped: no channel is left.
struct Stop {
    volume: Arc<Volume>,
    end: End,
    /// The metadata is to be saved.
    saves: bool,
    /// Every shard has saved.
    clean: bool,
    statistics: Statistics,
}

impl Volume {
    /// Takes the volume out of service, and destroys or keeps its objects. Returns when that is done. On the app
    /// thread.
    ///
    /// # Errors
    /// Io on the volume's objects in the pool; the volume is out of service nevertheless.
    pub async fn remove(self: &Arc<Volume>, end: End) -> Result<(), VolumeError> {
        let receiver = self.await_end(end);
        self.unregister();
        // The sender is dropped only at the end of the application, after which nobody is answered.
        receiver.await.unwrap_or(Ok(()))
    }

    /// Notes what shall happen to the volume's objects, and adds a waiter for its end.
    fn await_end(&self, end: End) -> oneshot::Receiver<Result<(), VolumeError>> {
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
            let outcome = STOP.run(&self.name, &mut Stop::of(&self)).await;
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

/// Stops the shards of a volume that no request has reached, so the next recovery misses nothing that is not saved.
pub(super) async fn stop_shards(volume: &Arc<Volume>) -> Result<(), VolumeError> {
    STOP_SHARDS.run(&volume.name, &mut Stop::of(volume)).await
}

impl Stop {
    fn of(volume: &Arc<Volume>) -> Stop {
        let (volume, statistics) = (Arc::clone(volume), Statistics::default());
        Stop { volume, end: End::Keep, saves: false, clean: false, statistics }
    }

    async fn wait_for_operation(&self) {
        while self.volume.operation().is_some() {
            timer::sleep(LOOK_AGAIN).await;
        }
    }

    fn read_wishes(&mut self) {
        let control = self.volume.control();
        (self.end, self.saves) = (control.end, control.end == End::Keep && !control.base_gone);
    }

    async fn stop_shards(&mut self) -> Result<(), VolumeError> {
        let name = Arc::clone(&self.volume.name);
        STOP_SHARDS.run(&name, self).await?;
        if self.saves && !self.clean {
            log::warn!("{name}: it takes no writes, so it was not saved; the next load recovers it");
        }
        Ok(())
    }

    async fn end_writing(&self) {
        if !self.saves {
            for_each_shard(&self.volume, |shard| shard.enter_read_only(ReadOnlyReason::Told)).await;
        }
    }

    async fn take_counters(&mut self) {
        let shards = for_each_shard(&self.volume, ShardHost::statistics).await;
        shards.iter().for_each(|shard| self.statistics.add(shard));
        iostat::keep(&self.volume).await;
    }

    async fn close_index(&mut self) {
        let writable = for_each_shard(&self.volume, ShardHost::is_writable).await;
        self.clean = self.saves && writable.into_iter().all(|writable| writable);
        self.volume.close_index(self.clean).await;
    }

    async fn wait_for_answers(&self) {
        while !self.volume.frontend.is_quiet() {
            timer::sleep(LOOK_AGAIN).await;
        }
    }

    /// What to record, if the volume was saved.
    fn closing(&self) -> Option<Closing> {
        self.clean.then(|| Closing {
            logical_blocks_used: self.statistics.logical_blocks_used,
            map_pages: self.statistics.block_map_pages,
            counters: self.volume.kept.with(&self.statistics),
        })
    }
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

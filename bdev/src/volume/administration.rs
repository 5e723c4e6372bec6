// SPDX-License-Identifier: BSD-3-Clause

//! An operator's changes to a loaded volume.
//!
//! Operations exclude each other: while one is in progress, others are refused as busy. An operation that needs
//! quiescent shards pauses the volume: its requests wait, none fails.

use std::sync::Arc;

use engine::volume::inventory::{StateKind, VolumeConfig, VolumeState};
use engine::ReadOnlyReason;
use mpool::PoolError;

use super::error::VolumeError;
use super::for_each_shard::for_each_shard;
use super::memory_plan::Memory;
use super::quiesce::come_to_rest;
use super::stop::save;
use super::{lock, registry, setup, storage, Operation, State, Volume};
use crate::datapath::plan::{map_cache_bytes, map_pages_cached};
use crate::datapath::shard_host::ShardHost;
use crate::spdk::{notify, tasks};

/// The loaded volume of this name.
///
/// # Errors
/// There is none, or it is being taken down.
pub fn find(name: &str) -> Result<Arc<Volume>, VolumeError> {
    let volume = registry::find(name).ok_or_else(|| setup::missing(name))?;
    match volume.state() {
        State::Online | State::Suspended => Ok(volume),
        state => Err(VolumeError::NotOnline { name: name.to_owned(), state: state.name() }),
    }
}

/// The right to run an operation on a volume. Dropping it ends the operation.
#[derive(Debug)]
pub(super) struct Turn(Arc<Volume>);

impl Turn {
    /// Publishes the operation's progress.
    pub(super) fn show(&self, operation: Operation) {
        self.0.control().operation = Some(operation);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.control().operation = None;
    }
}

impl Volume {
    /// Begins an operation on a volume in service.
    pub(super) fn begin(self: &Arc<Volume>, name: &'static str) -> Result<Turn, VolumeError> {
        let mut control = self.control();
        let volume = || self.name.to_string();
        if let Some(Operation { name: operation, .. }) = control.operation {
            return Err(VolumeError::Busy { name: volume(), operation });
        }
        if !matches!(control.state, State::Online | State::Suspended) {
            return Err(VolumeError::NotOnline { name: volume(), state: control.state.name() });
        }
        control.operation = Some(Operation { name, percent: None });
        Ok(Turn(Arc::clone(self)))
    }

    /// Refuses what a read-only volume cannot do.
    pub(super) fn refuse_read_only(&self) -> Result<(), VolumeError> {
        match self.read_only_reason() {
            Some(reason) => Err(VolumeError::ReadOnly { name: self.name.to_string(), reason }),
            None => Ok(()),
        }
    }

    fn failed(&self, error: PoolError) -> VolumeError {
        VolumeError::pool(&self.name, error)
    }

    /// Queues new requests and waits until the accepted ones are done.
    pub(super) async fn pause(self: &Arc<Volume>) {
        for_each_shard(self, ShardHost::close).await;
        come_to_rest(self).await;
    }

    /// Accepts requests again, unless the volume is suspended.
    pub(super) async fn unpause(self: &Arc<Volume>) {
        if self.state() != State::Suspended {
            for_each_shard(self, ShardHost::open).await;
        }
    }

    /// Suspends the volume: its requests wait until it is resumed, and its media hold all its metadata. Does nothing if
    /// the volume is suspended.
    ///
    /// # Errors
    /// Busy; the volume is being taken down; Io.
    pub async fn suspend(self: &Arc<Volume>) -> Result<(), VolumeError> {
        let _turn = self.begin("suspend")?;
        if self.state() == State::Suspended {
            return Ok(());
        }
        self.pause().await;
        self.suspend_index();
        save(self).await;
        if self.change_state(State::Online, State::Suspended) {
            log::info!("{}: suspended", self.name);
            return Ok(());
        }
        // Unregistering has begun in the meantime.
        self.resume_index().await;
        self.open_again().await;
        Err(VolumeError::NotOnline { name: self.name.to_string(), state: self.state().name() })
    }

    /// Resumes a suspended volume. Does nothing if the volume is not suspended.
    ///
    /// # Errors
    /// Busy; the volume is being taken down.
    pub async fn resume(self: &Arc<Volume>) -> Result<(), VolumeError> {
        let _turn = self.begin("resume")?;
        if self.state() == State::Suspended {
            self.wake_up().await;
            log::info!("{}: resumed", self.name);
        }
        Ok(())
    }

    /// Ends a suspension, if there is one.
    pub async fn wake_up(self: &Arc<Volume>) {
        if self.change_state(State::Suspended, State::Online) {
            self.resume_index().await;
            self.open_again().await;
        }
    }

    /// Changes the state from `from` to `to`. False if the state is not `from`.
    fn change_state(&self, from: State, to: State) -> bool {
        let mut control = self.control();
        let there = control.state == from;
        if there {
            control.state = to;
        }
        there
    }

    /// Returns the shards to normal operation after a save.
    pub(super) async fn resume_shards(self: &Arc<Volume>) {
        for_each_shard(self, ShardHost::resume).await;
    }

    /// Returns the shards to normal operation and accepts requests again.
    pub(super) async fn open_again(self: &Arc<Volume>) {
        self.resume_shards().await;
        for_each_shard(self, ShardHost::open).await;
    }

    /// Changes the size of the index, for the running volume and for later loads. Records move over as the index is
    /// used (engine, `hash::Index::resize`).
    ///
    /// # Errors
    /// There is not enough memory; Busy; Io.
    pub async fn set_index_memory(self: &Arc<Volume>, mib: u64) -> Result<(), VolumeError> {
        let _turn = self.begin("set_index_memory")?;
        let more = mib.saturating_sub(self.config().index_mib.into()) << 20;
        setup::refuse_too_large(&self.name, &Memory { index: more, ..Memory::default() })?;
        self.record(|config| config.index_mib = u32::try_from(mib).unwrap_or(u32::MAX)).await?;
        let bytes = (mib << 20) / self.shards().len() as u64;
        log::info!("{}: the index changes to {mib} MiB", self.name);
        for_each_shard(self, move |shard| shard.resize_index(bytes as usize)).await;
        Ok(())
    }

    /// Changes the size of the block map's cache, for the running volume and for later loads.
    ///
    /// # Errors
    /// There is not enough memory; Busy; Io.
    pub async fn set_block_map_cache(self: &Arc<Volume>, mib: u64) -> Result<(), VolumeError> {
        let _turn = self.begin("set_block_map_cache")?;
        let bytes = |mib| map_cache_bytes(mib, self.shards().len());
        let more = bytes(mib).saturating_sub(bytes(self.config().map_cache_mib.into()));
        setup::refuse_too_large(&self.name, &Memory { block_map: more, ..Memory::default() })?;
        self.record(|config| config.map_cache_mib = u32::try_from(mib).unwrap_or(u32::MAX)).await?;
        let pages = map_pages_cached(mib, self.shards().len());
        log::info!("{}: the block map's cache changes to {} MiB", self.name, bytes(mib) >> 20);
        for_each_shard(self, move |shard| shard.set_map_pages(pages)).await;
        Ok(())
    }

    /// Changes the percent of the data blocks that are kept back until the operator releases them, for the running
    /// volume and for later loads; 0 releases them.
    ///
    /// # Errors
    /// Busy; the volume is being taken down; Io.
    pub async fn set_reserve(self: &Arc<Volume>, percent: u8) -> Result<(), VolumeError> {
        let _turn = self.begin("set_reserve")?;
        self.record(|config| config.reserve_percent = percent).await?;
        log::info!("{}: {percent}% of the blocks are kept for the operator", self.name);
        for_each_shard(self, move |shard: &ShardHost| shard.set_reserve(percent)).await;
        Ok(())
    }

    /// Turns compression on or off, for the running volume and for later loads.
    ///
    /// # Errors
    /// Busy; the volume is being taken down; Io.
    pub async fn set_compression(self: &Arc<Volume>, enabled: bool) -> Result<(), VolumeError> {
        let _turn = self.begin("set_compression")?;
        self.record(|config| config.compression = enabled).await?;
        log::info!("{}: compression is {}", self.name, if enabled { "on" } else { "off" });
        for_each_shard(self, move |shard: &ShardHost| shard.set_compression(enabled)).await;
        Ok(())
    }

    /// Records a change of the volume's configuration.
    pub(super) async fn record(&self, change: impl FnOnce(&mut VolumeConfig)) -> Result<(), VolumeError> {
        let store = storage::store(self.storage.key).map_err(|error| self.failed(error))?;
        let mut config = store.config();
        change(&mut config);
        store.set_config(config.clone()).await.map_err(|error| self.failed(error))?;
        *lock(&self.config) = config;
        Ok(())
    }

    /// Makes the volume read-only on the operator's order. Does nothing if it is read-only.
    ///
    /// # Errors
    /// Busy; the volume is being taken down.
    pub async fn set_read_only(self: &Arc<Volume>) -> Result<(), VolumeError> {
        let _turn = self.begin("set_read_only")?;
        for_each_shard(self, |shard| shard.enter_read_only(ReadOnlyReason::Told)).await;
        self.note_read_only("the operator has ended writing".to_owned());
        Ok(())
    }

    /// A shard has become read-only, for `reason`, and has told the other shards. On the app thread.
    pub fn became_read_only(self: &Arc<Volume>, reason: ReadOnlyReason) {
        self.note_read_only(reason.to_string());
    }

    /// Notes, reports and records the first reason for which the volume accepts no writes.
    fn note_read_only(self: &Arc<Volume>, reason: String) {
        let mut control = self.control();
        // Without its base nothing can be written, and the volume itself is not at fault.
        if control.read_only.is_some() || control.base_gone {
            return;
        }
        control.read_only = Some(reason.clone());
        drop(control);
        log::error!("{}: read-only: {reason}", self.name);
        notify::read_only(&self.name);
        let volume = Arc::clone(self);
        tasks::spawn(async move {
            let Ok(store) = storage::store(volume.storage.key) else { return };
            let reason = VolumeState::reason_of(&reason);
            let state = VolumeState { kind: StateKind::ReadOnly, reason, ..store.state() };
            if let Err(error) = store.set_state(state).await {
                log::error!("{}: it is not recorded that it is read-only: {error}", volume.name);
            }
        });
    }
}

// SPDX-License-Identifier: BSD-3-Clause

//! A volume's index as a whole: opened when the volume starts, closed when it stops, and changed by the operator in
//! between.
//!
//! The engine decides whether it is open ([`IndexControl`]); the application thread does the work here:
//!
//! | work | what is done |
//! |---|---|
//! | load | open the history and read it in the background: always for the hooks, and for level 1 where it has room |
//! | create | every shard clears its part, and the history is emptied |
//! | close | records that do not fill a section yet go to the history |
//!
//! Shards query the index only while it is open and deduplication is on.
//!
//! Differs from dm-vdo: closing keeps the level-1 index in memory, where the next opening finds it. It is never written
//! as a whole: stopping costs the last records of each shard, whatever the size of the index, and after a start level 1
//! is filled from the history while the volume is online. An index without a history, or whose history has no room for
//! its log, is open nevertheless, and empty after each start. A history that cannot be read is logged and done without.

use std::rc::Rc;
use std::sync::Arc;

use engine::index::state::{IndexControl, IndexOutcome, IndexRequest, IndexWork};
use engine::volume::inventory::{VolumeConfig, VolumeState};
use engine::volume::store::VolumeStore;
use mpool::{Kind, MediaClass};

use super::error::VolumeError;
use super::for_each_shard::for_each_shard;
use super::history::{self, History, HistoryStatus};
use super::load_params::IndexAction;
use super::quiesce::wait_for_all;
use super::{lock, storage, Volume};
use crate::datapath::shard_host::ShardHost;

/// The index of a volume that is being loaded. A volume's first load has nothing to open.
pub(super) fn control_of(config: &VolumeConfig, state: &VolumeState) -> IndexControl {
    match state.generation {
        0 | 1 => IndexControl::of_new_volume(config.deduplication),
        _ => IndexControl::of_loaded_volume(config.deduplication),
    }
}

/// Sections of which each shard keeps hooks, and the memory of the history in bytes; none without a history.
pub(super) fn window(store: &VolumeStore, shards: usize) -> Option<(u32, u64)> {
    let drive = store.pool().drive_of(MediaClass::Capacity).ok()?;
    history::window(store.config().history_mib, shards, drive.zone_bytes())
}

impl From<IndexAction> for IndexRequest {
    fn from(action: IndexAction) -> IndexRequest {
        match action {
            IndexAction::Create => IndexRequest::Create,
            IndexAction::Close => IndexRequest::Close,
            IndexAction::Disable => IndexRequest::Disable,
            IndexAction::Enable => IndexRequest::Enable,
        }
    }
}

impl Volume {
    pub fn index_state(&self) -> &'static str {
        lock(&self.index).name()
    }

    /// The status of the index's history; none without one. On the app thread.
    pub fn history_status(&self) -> Option<HistoryStatus> {
        storage::history(self.storage.key).map(|history| history.status())
    }

    /// Opens the index when the volume starts. The volume starts even if this fails.
    pub(super) async fn open_index(self: &Arc<Volume>) {
        self.work_on_index().await;
    }

    /// Enables, disables or otherwise changes the index for the operator. Later loads remember whether deduplication is
    /// on.
    ///
    /// # Errors
    /// Busy; the volume is being taken down; Io.
    pub async fn set_index(self: &Arc<Volume>, action: IndexAction) -> Result<(), VolumeError> {
        let _turn = self.begin("set_index")?;
        if let IndexAction::Disable | IndexAction::Enable = action {
            let enabled = action == IndexAction::Enable;
            self.record(|config| config.deduplication = enabled).await?;
        }
        lock(&self.index).request(action.into());
        self.work_on_index().await;
        log::info!("{}: its index is {}", self.name, self.index_state());
        Ok(())
    }

    /// Stops work on the index while the volume is suspended.
    pub(super) fn suspend_index(&self) {
        lock(&self.index).suspend();
    }

    /// Continues as configured.
    pub(super) async fn resume_index(self: &Arc<Volume>) {
        if self.read_only_reason().is_some() {
            return;
        }
        lock(&self.index).resume(self.config().deduplication);
        self.work_on_index().await;
    }

    /// Works until the index is in the wanted state, and lets the shards use it if they should.
    async fn work_on_index(self: &Arc<Volume>) {
        loop {
            let next = lock(&self.index).next_work();
            let Some(work) = next else { break };
            // The shards must not query the index meanwhile.
            for_each_shard(self, |shard: &ShardHost| shard.set_deduplication(false)).await;
            let outcome = match work {
                IndexWork::Load => self.load_index().await,
                IndexWork::Create => self.create_index().await,
                IndexWork::Close => self.save_sections().await,
            };
            lock(&self.index).work_done(outcome);
        }
        let used = lock(&self.index).is_used();
        for_each_shard(self, move |shard: &ShardHost| shard.set_deduplication(used)).await;
    }

    async fn load_index(self: &Arc<Volume>) -> IndexOutcome {
        match self.open_history().await {
            Ok(Some(history)) => {
                history.begin_refill();
                IndexOutcome::Done
            }
            Ok(None) => IndexOutcome::Done,
            Err(outcome) => outcome,
        }
    }

    /// The history, if this call has opened it.
    async fn open_history(self: &Arc<Volume>) -> Result<Option<Rc<History>>, IndexOutcome> {
        if self.config().history_mib == 0 || storage::history(self.storage.key).is_some() {
            return Ok(None);
        }
        let store = storage::store(self.storage.key).map_err(|_| IndexOutcome::Failed)?;
        match History::open(store, self).await {
            Ok(history) => {
                storage::set_history(self.storage.key, Some(Rc::clone(&history)));
                history.begin_sealing();
                Ok(Some(history))
            }
            Err(error) if error.kind() == Kind::NoSpace => {
                log::warn!("{}: its index has no history: {error}", self.name);
                Ok(None)
            }
            Err(error) => {
                log::error!("{}: its index is not opened; writes go on without: {error}", self.name);
                Err(IndexOutcome::Failed)
            }
        }
    }

    async fn create_index(self: &Arc<Volume>) -> IndexOutcome {
        if let Err(outcome) = self.open_history().await {
            return outcome;
        }
        for_each_shard(self, ShardHost::clear_index).await;
        if let Some(history) = storage::history(self.storage.key) {
            history.clear().await;
        }
        IndexOutcome::Done
    }

    /// Sends records that do not fill a section yet to the history.
    async fn save_sections(self: &Arc<Volume>) -> IndexOutcome {
        if let Some(history) = storage::history(self.storage.key) {
            history.seal(1).await;
        }
        IndexOutcome::Done
    }

    /// Closes the index of a quiescent volume; with `clean`, the history gets the records that do not fill a section yet.
    /// The volume stops even if this fails. On the app thread.
    pub(super) async fn close_index(self: &Arc<Volume>, clean: bool) {
        lock(&self.index).suspend();
        if let Some(history) = storage::history(self.storage.key) {
            history.quiesce().await;
            if clean {
                history.seal(1).await;
            }
            // An answer in flight would reach a shard that no longer exists.
            wait_for_all(self, ShardHost::is_saved).await;
            history.stop().await;
            storage::set_history(self.storage.key, None);
        }
    }
}

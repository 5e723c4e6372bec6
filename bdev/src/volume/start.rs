// SPDX-License-Identifier: BSD-3-Clause

//! Bringing a volume into service whose objects are open, on any number of shards, after a clean stop or a crash.
//!
//! A volume that was saved needs only its summaries; any other is recovered first ([`super::recovery`]). Then the new
//! generation is recorded, which voids the journals; their segments are erased and distributed to the shards; and the
//! shards start.
//!
//! A read-only volume stays read-only: its operator decides about a rebuild.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use engine::format::slab_summary::SlabSummary;
use engine::format::{Geometry, JournalSegment};
use engine::volume::inventory::{StateKind, VolumeConfig, VolumeState};
use engine::volume::store::VolumeStore;
use engine::ReadOnlyReason;
use mpool::{Kind, PoolError};

use super::control::Control;
use super::error::VolumeError;
use super::for_each_shard::for_each_shard;
use super::memory_plan::Memory;
use super::saved_counters::SavedCounters;
use super::steps::{table, Failure, Table};
use super::stop::stop_shards;
use super::storage::{self, Storage};
use super::{index, recovery, registry, setup, Recoveries, Volume};
use crate::datapath::frontend::Frontend;
use crate::datapath::plan::Plan;
use crate::datapath::shard_host::ShardHost;
use crate::spdk::cpumask;
use crate::spdk::thread::Thread;
use crate::spdk::virtual_bdev::VirtualBdev;

const START: Table<Start> = table! { "start":
    "see whether there is memory" => |start| setup::refuse_too_large(&start.name, &start.memory);
    "make the metadata consistent" => |start| start.recover().await;
    "record that it is loaded" => |start| start.record().await;
    "erase the journals" => |start| start.erase_journals().await;
    "create the shards" => |start| start.create_shards(), undo stop_shards(start.volume()).await;
    "watch the bdevs" => |start| start.watch();
    "start the shards" => |start| start.start_shards().await;
    "open the index" => |start| start.volume().open_index().await;
    // From here on nothing waits, so SPDK gets the bdev before the application thread does anything else.
    "take clients" => |start| start.volume().go_online(), undo start.volume().go_offline();
    "enter the registry" => |start| registry::add(Arc::clone(start.volume())), undo registry::remove(start.volume());
    "register the bdev" => |start| start.volume().register();
};

/// A volume that is being started.
pub(super) struct Start {
    pub(super) name: String,
    /// One for each shard.
    cores: Vec<u32>,
    pub(super) storage: Arc<Storage>,
    store: Rc<VolumeStore>,
    pub(super) config: VolumeConfig,
    /// The layout on the shards of this start.
    pub(super) geometry: Geometry,
    /// The recorded state; once it is recorded, with the generation that begins now.
    pub(super) state: VolumeState,
    pub(super) summaries: Vec<SlabSummary>,
    /// Erased segments for each shard's journal.
    pub(super) segments: Vec<Vec<JournalSegment>>,
    /// Sections of the index's history of which each shard keeps hooks; none without a history.
    pub(super) history_sections: Option<u32>,
    memory: Memory,
    /// Until the shards have them.
    plans: VecDeque<Plan>,
    /// Once it has shards.
    volume: Option<Arc<Volume>>,
}

/// Brings a volume into service whose objects are open.
///
/// # Errors
/// Its metadata is damaged; there is not enough memory of some kind; a bdev below was removed; SPDK refuses the bdev;
/// Io. No shard is left.
pub async fn start(name: &str, storage: Arc<Storage>, cores: Vec<u32>) -> Result<Arc<Volume>, VolumeError> {
    let mut start = Start::new(name, storage, cores)?;
    START.run(name, &mut start).await?;
    Ok(start.volume.expect("it was started"))
}

impl Start {
    fn new(name: &str, storage: Arc<Storage>, cores: Vec<u32>) -> Result<Start, VolumeError> {
        let failed = |error| VolumeError::pool(name, error);
        let store = storage::store(storage.key).map_err(failed)?;
        if cores.len() as u64 > store.slabs() {
            let reason = format!("{} have no slab", cpumask::format(&cores));
            return Err(failed(PoolError::new(Kind::Invalid, "its cores", reason)));
        }
        let (config, geometry) = (store.config(), store.geometry(cores.len()).map_err(failed)?);
        let history = index::window(&store, cores.len());
        let memory = Memory::of(&geometry, &config, history.map_or(0, |(_, bytes)| bytes));
        Ok(Start {
            name: name.to_owned(),
            cores,
            storage,
            config,
            geometry,
            state: store.state(),
            store,
            summaries: Vec::new(),
            segments: Vec::new(),
            history_sections: history.map(|(sections, _)| sections),
            memory,
            plans: VecDeque::new(),
            volume: None,
        })
    }

    fn volume(&self) -> &Arc<Volume> {
        self.volume.as_ref().expect("an earlier step made it")
    }

    async fn recover(&mut self) -> Result<(), VolumeError> {
        (self.state, self.summaries) = recovery::make_whole(&self.name, &self.store, &self.geometry).await?;
        Ok(())
    }

    /// Before the journals are erased: half of a journal that still counts would be damage.
    async fn record(&mut self) -> Result<(), PoolError> {
        if self.state.kind != StateKind::ReadOnly {
            self.state.kind = StateKind::Dirty;
        }
        self.state.generation += 1;
        self.state.shards = self.cores.len() as u16;
        self.store.set_state(self.state.clone()).await
    }

    async fn erase_journals(&mut self) -> Result<(), PoolError> {
        self.segments = self.store.prepare_journals(self.cores.len()).await?;
        Ok(())
    }

    fn create_shards(&mut self) -> Result<(), Failure> {
        let placement = self.store.placement(self.geometry)?;
        let owner =
            Thread::current().ok_or_else(|| VolumeError::Thread { name: self.name.clone(), core: self.cores[0] })?;
        let shards = setup::make_shards(&self.name, &self.cores, owner)?;
        self.plans = setup::make_plans(self, &Arc::new(placement), &shards, owner);
        self.volume = Some(Arc::new(self.assemble(owner, shards)));
        Ok(())
    }

    fn assemble(&self, owner: Thread, shards: Arc<[ShardHost]>) -> Volume {
        let (name, state): (Arc<str>, _) = (Arc::from(self.name.as_str()), &self.state);
        let read_only = (state.kind == StateKind::ReadOnly).then(|| state.reason.clone());
        Volume {
            frontend: Arc::new(Frontend::new(Arc::clone(&name), self.config.block_size, self.geometry, shards)),
            bdev: VirtualBdev::new(&name),
            name,
            uuid: self.store.entry().uuid,
            storage: Arc::clone(&self.storage),
            owner,
            geometry: Mutex::new(self.geometry),
            memory: self.memory,
            index: Mutex::new(index::control_of(&self.config, state)),
            config: Mutex::new(self.config.clone()),
            kept: SavedCounters::new(state.counters.clone()),
            recoveries: Recoveries { complete: state.complete_recoveries, read_only: state.read_only_recoveries },
            control: Mutex::new(Control { read_only, ..Control::default() }),
        }
    }

    fn watch(&self) {
        if !storage::watch(self.storage.key, self.volume()) {
            self.volume().control().base_gone = true;
        }
    }

    async fn start_shards(&mut self) -> Result<(), VolumeError> {
        let volume = Arc::clone(self.volume());
        let mut plans = core::mem::take(&mut self.plans);
        let start = move |shard: &ShardHost| plans.pop_front().map_or(Ok(()), |plan| shard.start(plan));
        let results = for_each_shard(&volume, start).await;
        for (shard, result) in volume.shards().iter().zip(results) {
            let name = self.name.clone();
            result.map_err(|error| VolumeError::Start { name, core: shard.core, error })?;
        }
        if self.state.kind == StateKind::ReadOnly {
            for_each_shard(&volume, |shard| shard.enter_read_only(ReadOnlyReason::Told)).await;
        }
        Ok(())
    }
}

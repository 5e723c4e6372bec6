// SPDX-License-Identifier: BSD-3-Clause

//! What a volume is started from: its cores, shards and plans, and the reasons not to start it.

use std::collections::VecDeque;
use std::sync::Arc;

use engine::fingerprint::Fingerprinter;
use engine::format::index_section::SECTION_RECORDS;
use engine::format::slab_summary::SlabSummary;
use engine::format::{Geometry, Placement};
use engine::slabs::ReserveConfig;
use engine::{HistoryConfig, MetadataConfig, ShardConfig, ShardId};

use super::error::VolumeError;
use super::memory_plan::Memory;
use super::start::Start;
use super::{machine_memory, registry, storage};
use crate::datapath::peers::Peers;
use crate::datapath::plan::{map_pages_cached, Plan, PIECES, VIOS};
use crate::datapath::ring;
use crate::datapath::shard_host::ShardHost;
use crate::pool::runtime;
use crate::spdk::thread::{self, Thread};
use crate::spdk::{bdevs, cpumask};

/// Whether a bdev has this name, or a volume that SPDK does not know yet or no longer knows.
pub fn is_taken(name: &str) -> bool {
    bdevs::exists(name) || registry::named(name).is_some()
}

/// The error for a name that no volume has. On the app thread.
pub fn missing(name: &str) -> VolumeError {
    if bdevs::exists(name) {
        return VolumeError::Missing(format!("bdev '{name}' is not a dedupe bdev"));
    }
    match runtime::get().and_then(|runtime| runtime.service.why_missing(name)) {
        Some(error) => VolumeError::pool(name, error),
        None => VolumeError::Missing(format!(
            "there is no bdev '{name}', nor does an active pool have a volume of that name that could be loaded"
        )),
    }
}

/// The cores to run on: those that `mask` names, or all (at most 32, the most that a volume can use).
///
/// # Errors
/// The application does not have one of the cores.
pub fn choose_cores(mask: Option<&str>) -> Result<Vec<u32>, VolumeError> {
    let available = thread::cores();
    // The mask was checked when the parameters were parsed.
    match mask.map(cpumask::parse).transpose().ok().flatten() {
        Some(asked) => match asked.iter().find(|core| !available.contains(core)) {
            Some(&core) => Err(VolumeError::Core { core, available }),
            None => Ok(asked),
        },
        None => Ok(all_cores()),
    }
}

/// The cores to load a volume on whose recorded mask is `mask`: these if the application has them, else all. At most
/// one for each slab.
pub fn usable_cores(name: &str, mask: &str, slabs: u64) -> Vec<u32> {
    let mask = Some(mask).filter(|mask| !mask.is_empty());
    let mut cores = choose_cores(mask).unwrap_or_else(|error| {
        let cores = all_cores();
        log::warn!("{name}: {error}; it runs on cores {}", cpumask::format(&cores));
        cores
    });
    let most = usize::try_from(slabs).unwrap_or(usize::MAX);
    if cores.len() > most {
        cores.truncate(most);
        log::warn!("{name}: it has {slabs} slabs, so it runs on cores {} only", cpumask::format(&cores));
    }
    cores
}

fn all_cores() -> Vec<u32> {
    let mut cores = thread::cores();
    cores.truncate(engine::units::MAX_SHARDS);
    cores
}

/// Refuses a volume that would not fit into memory.
///
/// # Errors
/// It would not.
pub fn refuse_too_large(name: &str, memory: &Memory) -> Result<(), VolumeError> {
    let Some(machine) = machine_memory::machine() else { return Ok(()) };
    let mib = |bytes: u64| bytes.div_ceil(1 << 20);
    if memory.heap() > machine.available {
        return Err(VolumeError::Memory {
            name: name.to_owned(),
            needed_mib: mib(memory.heap()),
            available_mib: mib(machine.available),
        });
    }
    Ok(())
}

/// Makes a shard for each core: on the owner's thread for the core that runs it, else on a thread of its own.
///
/// # Errors
/// SPDK has no memory for a thread.
pub fn make_shards(name: &str, cores: &[u32], owner: Thread) -> Result<Arc<[ShardHost]>, VolumeError> {
    let own_core = thread::current_core();
    let mut shards = Vec::with_capacity(cores.len());
    for (index, &core) in cores.iter().enumerate() {
        let id = ShardId(index as u16);
        if Some(core) == own_core {
            shards.push(ShardHost::new(id, core, owner, false));
            continue;
        }
        let Some(thread) = Thread::create(&format!("dedupe_{name}_{core}"), core) else {
            for shard in shards.iter().filter(|shard: &&ShardHost| shard.thread != owner) {
                shard.thread.post(Thread::exit_current);
            }
            return Err(VolumeError::Thread { name: name.to_owned(), core });
        };
        shards.push(ShardHost::new(id, core, thread, true));
    }
    Ok(Arc::from(shards))
}

/// The plans that the shards are started with, and the rings between the shards.
pub fn make_plans(start: &Start, placement: &Arc<Placement>, shards: &Arc<[ShardHost]>, app: Thread) -> VecDeque<Plan> {
    let count = shards.len();
    let fingerprinter = Fingerprinter::new(start.config.secret);
    let (ring, outbox) = ring::capacities(count);
    let mut plans: VecDeque<Plan> = start
        .geometry
        .shard_ids()
        .map(|id| Plan {
            engine: engine_of(start, id, fingerprinter.clone()),
            bases: start.storage.handles.clone(),
            placement: Arc::clone(placement),
            app,
            app_side: &storage::Calls,
            key: start.storage.key,
            volume_name: Arc::from(start.name.as_str()),
            outgoing: (0..count).map(|_| None).collect(),
            incoming: (0..count).map(|_| None).collect(),
            peers: Peers::new(shards),
        })
        .collect();
    for from in 0..count {
        for to in (0..count).filter(|to| *to != from) {
            let (sender, receiver) = ring::ring(ring, outbox);
            plans[from].outgoing[to] = Some(sender);
            plans[to].incoming[from] = Some(receiver);
        }
    }
    plans
}

/// A shard's engine. The first shard starts with all that is in use, because the distribution over the shards is not
/// recorded.
fn engine_of(start: &Start, id: ShardId, fingerprinter: Fingerprinter) -> ShardConfig {
    let (config, state, geometry) = (&start.config, &start.state, start.geometry);
    let first = id == ShardId(0);
    let used = |count: u64| if first { i64::try_from(count).unwrap_or(i64::MAX) } else { 0 };
    ShardConfig {
        id,
        geometry,
        vios: VIOS,
        pieces: PIECES,
        compression: config.compression,
        index_bytes: ((u64::from(config.index_mib) << 20) / geometry.shards() as u64) as usize,
        history: start.history_sections.map(|window_sections| HistoryConfig {
            nonce: config.nonce,
            window_sections,
            // 4080.
            section_records: SECTION_RECORDS as u16,
        }),
        fingerprinter,
        metadata: MetadataConfig {
            nonce: config.nonce,
            generation: state.generation,
            volatile_cache: start.storage.volatile_cache,
            reserve: ReserveConfig { operator_percent: config.reserve_percent, ..ReserveConfig::default() },
            map_pages_cached: map_pages_cached(config.map_cache_mib.into(), geometry.shards()),
            segments: start.segments[id.index()].clone(),
            summaries: summaries_of(&geometry, id, 0, &start.summaries),
            logical_blocks_used: used(state.logical_blocks_used),
            map_pages: used(state.map_pages),
        },
    }
}

/// The summaries of a shard's slabs, out of those of the slabs from `first` on.
pub fn summaries_of(geometry: &Geometry, id: ShardId, first: u64, summaries: &[SlabSummary]) -> Vec<SlabSummary> {
    let numbered = (first..).zip(summaries);
    numbered.filter(|(slab, _)| geometry.shard_of_slab(*slab) == id).map(|(_, summary)| *summary).collect()
}

// SPDX-License-Identifier: BSD-3-Clause

//! From the state in which a volume was found to what its shards start from: recovery, rebuild, or neither.

use engine::format::slab_summary::SlabSummary;
use engine::format::JournalSegment;
use engine::journal::Counters;
use engine::volume::inventory::{StateKind, VolumeState};
use engine::volume::rebuild::rebuild;
use engine::volume::recovery::{load_summaries, recover, Recovered, RecoveryConfig, RecoveryError};
use engine::volume::store::VolumeStore;

use super::open::{excuse, step, Outcome};
use super::shared::Shared;
use mpool::testing::SimHost;

/// A volume that shards can start on.
pub struct Ready {
    /// The load generation that begins.
    pub generation: u64,
    /// Empty journal segments, for each shard.
    pub segments: Vec<Vec<JournalSegment>>,
    /// The summaries of all slabs.
    pub summaries: Vec<SlabSummary>,
    /// Logical blocks in use.
    pub logical_blocks_used: u64,
    /// Pages of the block map.
    pub map_pages: u64,
}

/// What was found on media.
struct Found {
    summaries: Vec<SlabSummary>,
    logical_blocks_used: u64,
    map_pages: u64,
}

/// Makes a volume ready for so many shards.
///
/// # Errors
/// A defect.
pub async fn make_ready(host: &SimHost, known: &Shared, store: &VolumeStore, shards: usize) -> Outcome<Ready> {
    let state = store.state();
    if known.borrow().faulty && matches!(state.kind, StateKind::ReadOnly | StateKind::Rebuild) {
        // What cannot be read is lost in a rebuild, so an operator has the devices mended first.
        return Ok(None);
    }
    host.trace(|| format!("loading from {:?}, generation {}", state.kind, state.generation));
    let found = match find(host, known, store, &state).await {
        Ok(found) => found,
        Err(RecoveryError::Pool(error)) => return excuse(host, "recovery", &error),
        Err(error) => return Err(format!("recovery fails: {error}")),
    };
    let Found { summaries, logical_blocks_used, map_pages } = found;
    let next = VolumeState {
        kind: StateKind::Dirty,
        generation: state.generation + 1,
        shards: shards as u16,
        logical_blocks_used,
        map_pages,
        reason: String::new(),
        ..state
    };
    let generation = next.generation;
    step!(host, "recording the load", store.set_state(next).await);
    let segments = step!(host, "preparing journals", store.prepare_journals(shards).await);
    Ok(Some(Ready { generation, segments, summaries, logical_blocks_used, map_pages }))
}

async fn find(
    host: &SimHost,
    known: &Shared,
    store: &VolumeStore,
    state: &VolumeState,
) -> Result<Found, RecoveryError> {
    let nonce = store.config().nonce;
    let geometry = store.geometry(1)?;
    let config = RecoveryConfig { geometry, nonce, generation: state.generation, shards: state.shards };
    match state.kind {
        StateKind::New | StateKind::Clean => Ok(Found {
            summaries: load_summaries(store, geometry, nonce).await?,
            logical_blocks_used: state.logical_blocks_used,
            map_pages: state.map_pages,
        }),
        StateKind::Dirty => {
            let recovered = recover(store, &config).await?;
            known.borrow_mut().recoveries += 1;
            host.trace(|| format!("recovered: {:?}", recovered.statistics));
            let (logical_blocks_used, map_pages) = counters(&recovered, state);
            Ok(Found { summaries: recovered.summaries, logical_blocks_used, map_pages })
        }
        StateKind::ReadOnly | StateKind::Rebuild => {
            let report = rebuild(store, &config, &mut |_| {}).await?;
            known.borrow_mut().rebuilds += 1;
            host.trace(|| format!("rebuilt: {:?}", report.lost));
            Ok(Found {
                summaries: report.summaries,
                logical_blocks_used: report.logical_blocks_used,
                map_pages: report.map_pages,
            })
        }
    }
}

fn counters(recovered: &Recovered, state: &VolumeState) -> (u64, u64) {
    let at_load = Counters { logical_blocks_used: state.logical_blocks_used as i64, map_pages: state.map_pages as i64 };
    let used = recovered.used(at_load);
    (used.logical_blocks_used.max(0) as u64, used.map_pages.max(0) as u64)
}

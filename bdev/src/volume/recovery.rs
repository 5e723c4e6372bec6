// SPDX-License-Identifier: BSD-3-Clause

//! Making a volume's metadata consistent before it is loaded: nothing to do for a volume that was saved, replay of the
//! journals for any other (engine, `volume::recovery`).
//!
//! A volume whose journals cannot be replayed is not loaded, because without them it would serve old data. The operator
//! is told, and can have it rebuilt.

use engine::format::slab_summary::SlabSummary;
use engine::format::Geometry;
use engine::journal::Counters;
use engine::volume::inventory::{StateKind, VolumeState};
use engine::volume::recovery::{load_summaries, recover, Recovered, RecoveryConfig, RecoveryError};
use engine::volume::store::VolumeStore;

use super::error::VolumeError;
use crate::spdk::timer;

/// Makes a volume's metadata consistent. Returns the recorded state, with what is in use now but still the previous
/// generation, and the summaries of all slabs.
///
/// # Errors
/// The metadata is damaged and needs a rebuild; Io.
pub async fn make_whole(
    name: &str,
    store: &VolumeStore,
    geometry: &Geometry,
) -> Result<(VolumeState, Vec<SlabSummary>), VolumeError> {
    let (state, nonce) = (store.state(), store.config().nonce);
    let failed = |error| damaged(name, error);
    match state.kind {
        StateKind::New | StateKind::Clean => {
            let summaries = load_summaries(store, *geometry, nonce).await.map_err(failed)?;
            Ok((state, summaries))
        }
        StateKind::Rebuild => Err(VolumeError::Damaged {
            name: name.to_owned(),
            reason: "its rebuild was cut short; bdev_dedupe_rebuild does it again".to_owned(),
        }),
        StateKind::Dirty | StateKind::ReadOnly => {
            let began = timer::now();
            let config =
                RecoveryConfig { geometry: *geometry, nonce, generation: state.generation, shards: state.shards };
            let recovered = recover(store, &config).await.map_err(failed)?;
            report(name, &recovered, began);
            Ok((recovered_state(state, &recovered), recovered.summaries))
        }
    }
}

/// The damage in words.
pub fn damaged(name: &str, error: RecoveryError) -> VolumeError {
    match error {
        RecoveryError::Pool(error) => VolumeError::pool(name, error),
        damage => VolumeError::Damaged {
            name: name.to_owned(),
            reason: format!("it cannot be recovered: {damage}; bdev_dedupe_rebuild makes it usable again"),
        },
    }
}

fn report(name: &str, recovered: &Recovered, began: mpool::units::Nanos) {
    let statistics = &recovered.statistics;
    let millis = timer::now().0.saturating_sub(began.0) / 1_000_000;
    log::info!(
        "{name}: it was not saved; {} journal entries were replayed, {} pages of the block map and {} slab journal \
         blocks written, in {millis} ms. Reference counts are read in the background",
        statistics.entries,
        statistics.pages_written,
        statistics.slab_journal_blocks,
    );
}

/// The state with what is in use after a recovery.
fn recovered_state(before: VolumeState, recovered: &Recovered) -> VolumeState {
    let signed = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let at_load =
        Counters { logical_blocks_used: signed(before.logical_blocks_used), map_pages: signed(before.map_pages) };
    let used = recovered.used(at_load);
    VolumeState {
        logical_blocks_used: u64::try_from(used.logical_blocks_used).unwrap_or(0),
        map_pages: u64::try_from(used.map_pages).unwrap_or(0),
        complete_recoveries: before.complete_recoveries + 1,
        ..before
    }
}

#[cfg(test)]
mod tests {
    use engine::volume::recovery::ReplayStatistics;

    use super::*;

    fn used(before: u64, counters: &[Option<i64>]) -> u64 {
        let before = VolumeState { logical_blocks_used: before, map_pages: before, ..VolumeState::default() };
        let counters =
            counters.iter().map(|used| used.map(|used| Counters { logical_blocks_used: used, map_pages: used }));
        let recovered =
            Recovered { summaries: Vec::new(), counters: counters.collect(), statistics: ReplayStatistics::default() };
        let after = recovered_state(before, &recovered);
        assert_eq!((after.logical_blocks_used, after.complete_recoveries), (after.map_pages, 1));
        after.logical_blocks_used
    }

    #[test]
    fn what_is_in_use_is_what_the_journals_say_last() {
        assert_eq!(used(100, &[Some(120), Some(-30)]), 90);
        assert_eq!(used(100, &[None, Some(-30)]), 70, "the first shard still has what it began with");
        assert_eq!(used(100, &[Some(5), None]), 5);
        assert_eq!(used(100, &[None, None]), 100);
        assert_eq!(used(100, &[]), 100);
        assert_eq!(used(0, &[Some(-1)]), 0, "never negative");
    }
}

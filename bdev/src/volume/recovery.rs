// SPDX-License-Identifier: BSD-3-Clause

//! Making a volume's metadata whole before it is loaded: nothing to do for one that was saved, replay of its journals for
//! any other (engine, `volume::recovery`).
//!
//! A volume whose journals cannot be replayed is not loaded: to serve it without them would be to serve old data. Its
//! operator is told, and can have it rebuilt.

use engine::media::slab_summary::SlabSummary;
use engine::volume::inventory::{StateKind, VolumeState};
use engine::volume::recovery::{load_summaries, recover, JournalCounters, Recovered, RecoveryConfig, RecoveryError};
use engine::volume::store::VolumeStore;
use engine::volume::Geometry;

use crate::error::VolumeError;
use crate::pool::timer;

/// A volume whose metadata is whole.
#[derive(Debug)]
pub struct Whole {
    /// What became of it, with what it uses now. The generation is still that of before.
    pub state: VolumeState,
    /// Summaries of all slabs.
    pub summaries: Vec<SlabSummary>,
}

/// Makes a volume whole.
///
/// # Errors
/// Its metadata is damaged, and needs a rebuild; Io.
pub async fn make_whole(name: &str, store: &VolumeStore, geometry: &Geometry) -> Result<Whole, VolumeError> {
    let (state, nonce) = (store.state(), store.config().nonce);
    let failed = |error| damaged(name, error);
    match state.kind {
        StateKind::New | StateKind::Clean => {
            let summaries = load_summaries(store, *geometry, nonce).await.map_err(failed)?;
            Ok(Whole { state, summaries })
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
            Ok(Whole { state: recovered_state(state, &recovered.counters), summaries: recovered.summaries })
        }
    }
}

/// What is wrong with a volume, in words.
pub fn damaged(name: &str, error: RecoveryError) -> VolumeError {
    match error {
        RecoveryError::Pool(error) => VolumeError::pool(name, error),
        damage => VolumeError::Damaged {
            name: name.to_owned(),
            reason: format!("it cannot be recovered: {damage}; bdev_dedupe_rebuild makes it usable again"),
        },
    }
}

fn report(name: &str, recovered: &Recovered, began: engine::Nanos) {
    let statistics = &recovered.statistics;
    let millis = timer::now().0.saturating_sub(began.0) / 1_000_000;
    log::info!(
        "{name}: it was not saved; {} journal entries were replayed, {} pages of the block map and {} slab journal blocks \
         written, in {millis} ms. Reference counts are read in the background",
        statistics.entries,
        statistics.pages_written,
        statistics.slab_journal_blocks,
    );
}

/// The state with what is in use after a recovery. A journal without records says nothing: its shard still has what it
/// began with, the first all that was in use then, the others none.
fn recovered_state(before: VolumeState, counters: &[Option<JournalCounters>]) -> VolumeState {
    let total = |began_with: u64, counted: fn(&JournalCounters) -> i64| {
        let first = i64::try_from(began_with).unwrap_or(i64::MAX);
        let shards = counters.iter().enumerate();
        let sum: i64 =
            shards.map(|(shard, found)| found.as_ref().map_or(if shard == 0 { first } else { 0 }, counted)).sum();
        if counters.is_empty() {
            began_with
        } else {
            u64::try_from(sum).unwrap_or(0)
        }
    };
    VolumeState {
        logical_blocks_used: total(before.logical_blocks_used, |counters| counters.logical_blocks_used),
        map_pages: total(before.map_pages, |counters| counters.map_pages),
        complete_recoveries: before.complete_recoveries + 1,
        ..before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(before: u64, counters: &[Option<i64>]) -> u64 {
        let before = VolumeState { logical_blocks_used: before, map_pages: before, ..VolumeState::default() };
        let counters: Vec<_> = counters
            .iter()
            .map(|used| used.map(|used| JournalCounters { logical_blocks_used: used, map_pages: used }))
            .collect();
        let after = recovered_state(before, &counters);
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

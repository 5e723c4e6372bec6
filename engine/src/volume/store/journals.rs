// SPDX-License-Identifier: BSD-3-Clause

//! The segments of the recovery journals.
//!
//! Segments belong to no particular shard: each load distributes the existing segments over its shards, creates missing
//! ones, and keeps surplus ones. So a volume can be loaded on any number of shards.

use mpool::error::{Kind, Result};
use mpool::host::Level;
use mpool::mlog::Stamp;
use mpool::units::Nanos;

use super::footprint::{JournalLayout, MIN_SEGMENTS};
use super::VolumeStore;
use crate::format::JournalSegment;
use crate::units::MAX_SHARDS;

/// Pauses before the retries of an erasure, a minute in all.
const ERASURE_PAUSES: [Nanos; 8] = {
    const TENTH: u64 = 100_000_000;
    [
        Nanos(TENTH),
        Nanos(3 * TENTH),
        Nanos(10 * TENTH),
        Nanos(30 * TENTH),
        Nanos(60 * TENTH),
        Nanos(100 * TENTH),
        Nanos(200 * TENTH),
        Nanos(200 * TENTH),
    ]
};

impl VolumeStore {
    /// Erases all segments, and distributes them over `shards` shards. The content of the journals is lost: recovery
    /// must come first.
    ///
    /// If there is no room for the segments that the configured size asks for, journals are shorter, down to
    /// [`MIN_SEGMENTS`] segments.
    ///
    /// # Errors
    /// Invalid: no shard, or too many. NoSpace: no room even for the fewest segments. Io.
    pub async fn prepare_journals(&self, shards: usize) -> Result<Vec<Vec<JournalSegment>>> {
        let _alone = self.changing.lock().await;
        if !(1..=MAX_SHARDS).contains(&shards) {
            return Err(self.ledger.refuse(Kind::Invalid, format!("{shards} shards have no journals")));
        }
        let config = self.config();
        let zone_bytes = self.pool.drive_of(config.metadata_class)?.zone_bytes();
        let layout = JournalLayout::of(config.journal_mib, zone_bytes);
        let present = self.objects.borrow().segments.len();
        let missing = (layout.segments as usize * shards).saturating_sub(present);
        let (least, bytes) = (MIN_SEGMENTS as usize * shards, layout.segment_bytes);
        let outcome = self.add_segments(missing, bytes).await;
        match outcome {
            Err(error) if error.kind() == Kind::NoSpace => {
                self.add_segments(least.saturating_sub(present), bytes).await?;
            }
            other => other?,
        }
        let segments = self.erase_all(layout.segment_bytes).await?;
        let each = (segments.len() / shards).min(layout.segments as usize);
        Ok(segments.chunks_exact(each).take(shards).map(<[_]>::to_vec).collect())
    }

    async fn add_segments(&self, count: usize, bytes: u64) -> Result<()> {
        if count == 0 {
            return Ok(());
        }
        let class = self.config().metadata_class;
        self.add(async |addition| addition.take_segments(&self.pool, class, count as u64, bytes).await).await
    }

    async fn erase_all(&self, wanted_bytes: u64) -> Result<Vec<JournalSegment>> {
        let logs = self.objects.borrow().segments.clone();
        let mut segments = Vec::with_capacity(logs.len());
        for (number, log) in (0..).zip(logs) {
            let generation = log.erase().await?;
            let props = log.props()?;
            segments.push(JournalSegment {
                number,
                capacity_bytes: props.capacity_bytes.min(wanted_bytes),
                stamp: Stamp { uuid: props.uuid, generation },
                // 512 or 4096.
                sector_bytes: props.sector_bytes as usize,
            });
        }
        Ok(segments)
    }

    /// Erases a segment whose entries are no longer needed. Returns its new generation. A failed erasure is retried for
    /// a minute, as long as `is_wanted`; meanwhile the shard continues in its other segments.
    ///
    /// # Errors
    /// NotFound: there is no segment of this number. Io.
    pub async fn erase_segment(&self, number: u32, is_wanted: impl Fn() -> bool) -> Result<u64> {
        let log = self.segment(number)?;
        let mut erased = log.erase().await;
        for pause in ERASURE_PAUSES {
            let Err(error) = &erased else { break };
            if !is_wanted() {
                break;
            }
            let line =
                format!("{}: journal segment {number} is tried again, it is not erased: {error}", self.entry.name);
            self.pool.host().log(Level::Warning, &line);
            self.pool.host().sleep(pause).await;
            erased = log.erase().await;
        }
        erased
    }
}

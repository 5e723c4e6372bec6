// SPDX-License-Identifier: BSD-3-Clause

//! Writes new metadata of all slabs: counts, a zeroed journal, a summary.

use futures::stream::{self, StreamExt, TryStreamExt};
use mpool::error::{PoolError, Result as PoolResult};

use crate::format::slab_summary::SlabSummary;
use crate::format::Place;
use crate::units::BLOCK_SIZE;
use crate::volume::check::Tally;
use crate::volume::recovery::{AtRest, CONCURRENT_BLOCKS, CONCURRENT_SLABS, TRANSFER_BLOCKS};

/// Writes the metadata of all slabs with the counts of `tally`, and makes it durable. Returns the summaries.
///
/// # Errors
/// Io.
pub(super) async fn write_slabs(
    volume: &AtRest<'_>,
    tally: &Tally,
    progress: &mut dyn FnMut(u64),
) -> PoolResult<Vec<SlabSummary>> {
    let slabs = 0..volume.geometry.slabs();
    let writes = slabs.clone().map(|slab| async move {
        let counts: Vec<u8> = tally.slab(slab).collect();
        // The next entry has number 0, so the counts include all entries before that.
        volume.write_counts(slab, &counts, 0).await?;
        erase_journal(volume, slab).await?;
        let free_blocks = counts.iter().filter(|&&count| count == 0).count() as u32;
        let opened = u64::from(free_blocks) < volume.geometry.slab_blocks();
        Ok::<_, PoolError>(SlabSummary { free_blocks, counts_written: true, opened, ..SlabSummary::new(free_blocks) })
    });
    let mut writes = stream::iter(writes).buffered(CONCURRENT_SLABS);
    let mut summaries = Vec::new();
    while let Some(summary) = writes.try_next().await? {
        summaries.push(summary);
        progress(summaries.len() as u64);
    }
    drop(writes);
    let writes = slabs.zip(&summaries).map(|(slab, summary)| volume.write_summary(slab, summary));
    stream::iter(writes).buffered(CONCURRENT_BLOCKS).try_collect::<Vec<()>>().await?;
    volume.media.flush().await?;
    Ok(summaries)
}

/// Zeroes the journal of a slab, so that no old block can be taken for one that is written later.
async fn erase_journal(volume: &AtRest<'_>, slab: u64) -> PoolResult<()> {
    let layout = volume.layout();
    let zeros = vec![0; TRANSFER_BLOCKS.min(layout.journal_blocks) as usize * BLOCK_SIZE];
    for first in (0..layout.journal_blocks).step_by(TRANSFER_BLOCKS as usize) {
        let blocks = TRANSFER_BLOCKS.min(layout.journal_blocks - first);
        let place = Place::SlabMetadata { slab, block: layout.journal_block(u64::from(first)) };
        volume.media.write(place, &zeros[..blocks as usize * BLOCK_SIZE]).await?;
    }
    Ok(())
}

// SPDX-License-Identifier: BSD-3-Clause

//! Replays the journals into the slab journals.
//!
//! A slab's new blocks are written behind its tail, where nothing counts yet. After a flush its summary is written, a
//! single sector that moves the tail and says that all journals are contained. So each slab takes all changes exactly
//! once, whenever the power is cut. A slab whose journal has no room is scrubbed first: its counts are written, and its
//! head is moved to the tail.

use std::collections::BTreeMap;

use futures::stream::{self, StreamExt, TryStreamExt};

use super::at_rest::{AtRest, CONCURRENT_BLOCKS, CONCURRENT_SLABS, TRANSFER_BLOCKS};
use super::error::RecoveryError;
use crate::format::area::AreaBlock;
use crate::format::journal_record::Point;
use crate::format::slab_journal_block::{self, SlabEntry, ENTRIES_PER_BLOCK};
use crate::format::slab_summary::SlabSummary;
use crate::format::Place;
use crate::units::{BLOCK_SIZE, MAX_SHARDS};

/// Statistics of the replay into slabs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct SlabReplay {
    pub slabs: u64,
    pub blocks: u64,
    pub entries: u64,
    pub scrubbed: u64,
}

/// Appends entries to slab journals, and makes them durable. `summaries` has an element for each slab, and is updated
/// to what is on media.
///
/// # Errors
/// Pool, Slab, SlabJournalTooSmall.
pub(super) async fn replay_slabs(
    volume: &AtRest<'_>,
    generation: u64,
    changes: &BTreeMap<u64, Vec<SlabEntry>>,
    summaries: &mut [SlabSummary],
) -> Result<SlabReplay, RecoveryError> {
    let blocks = volume.layout().journal_blocks;
    let mut crowded = Vec::new();
    for (&slab, entries) in changes {
        let needed = blocks_for(entries);
        if needed > u64::from(blocks) {
            return Err(RecoveryError::SlabJournalTooSmall { slab, needed, blocks });
        }
        if summaries[slab as usize].journal_length() + needed > u64::from(blocks) {
            crowded.push(slab);
        }
    }
    scrub(volume, &crowded, summaries).await?;
    if changes.is_empty() {
        return Ok(SlabReplay::default());
    }

    let appends = changes.iter().map(|(&slab, entries)| append(volume, slab, entries, summaries[slab as usize]));
    let updated: Vec<_> = stream::iter(appends).buffered(CONCURRENT_BLOCKS).try_collect().await?;
    volume.media.flush().await?;
    let updated: Vec<_> = changes
        .keys()
        .zip(updated)
        .map(|(&slab, summary)| (slab, SlabSummary { generation, points: [Point(u64::MAX); MAX_SHARDS], ..summary }))
        .collect();
    publish(volume, &updated, summaries).await?;
    Ok(SlabReplay {
        slabs: changes.len() as u64,
        blocks: changes.values().map(|entries| blocks_for(entries)).sum(),
        entries: changes.values().map(|entries| entries.len() as u64).sum(),
        scrubbed: crowded.len() as u64,
    })
}

fn blocks_for(entries: &[SlabEntry]) -> u64 {
    entries.len().div_ceil(ENTRIES_PER_BLOCK) as u64
}

/// Writes and flushes summaries, then updates those in memory. What the summaries refer to is durable already.
async fn publish(
    volume: &AtRest<'_>,
    updated: &[(u64, SlabSummary)],
    summaries: &mut [SlabSummary],
) -> Result<(), RecoveryError> {
    let writes = updated.iter().map(|(slab, summary)| volume.write_summary(*slab, summary));
    stream::iter(writes).buffered(CONCURRENT_BLOCKS).try_collect::<Vec<()>>().await?;
    volume.media.flush().await?;
    for (slab, summary) in updated {
        summaries[*slab as usize] = *summary;
    }
    Ok(())
}

/// Empties the journals of slabs into their counts.
///
/// # Errors
/// Pool, Slab.
async fn scrub(volume: &AtRest<'_>, slabs: &[u64], summaries: &mut [SlabSummary]) -> Result<(), RecoveryError> {
    if slabs.is_empty() {
        return Ok(());
    }
    let scrubs = slabs.iter().map(|&slab| {
        let summary = summaries[slab as usize];
        async move {
            let counts = volume.read_counts(slab, &summary).await?;
            volume.write_counts(slab, &counts, summary.next_entry).await?;
            let free_blocks = counts.iter().filter(|&&count| count == 0).count() as u32;
            let scrubbed = SlabSummary { head: summary.tail, counts_written: true, free_blocks, ..summary };
            Ok::<_, RecoveryError>((slab, scrubbed))
        }
    });
    let scrubbed: Vec<_> = stream::iter(scrubs).buffered(CONCURRENT_SLABS).try_collect().await?;
    volume.media.flush().await?;
    publish(volume, &scrubbed, summaries).await
}

/// Writes entries into new blocks behind the tail of a slab's journal. Returns the summary that will make them count.
async fn append(
    volume: &AtRest<'_>,
    slab: u64,
    entries: &[SlabEntry],
    summary: SlabSummary,
) -> Result<SlabSummary, RecoveryError> {
    let layout = volume.layout();
    let mut next = SlabSummary { opened: true, ..summary };
    let mut chunks = entries.chunks(ENTRIES_PER_BLOCK);
    while chunks.len() > 0 {
        let first = next.tail;
        let blocks = TRANSFER_BLOCKS.min(layout.to_ring_end(first));
        let mut bytes = Vec::new();
        for entries in chunks.by_ref().take(blocks as usize) {
            let id = AreaBlock { nonce: volume.nonce, slab, block: layout.journal_block(next.tail) };
            let mut block = [0; BLOCK_SIZE];
            slab_journal_block::encode(id, next.tail, next.next_entry, entries.iter().copied(), &mut block);
            bytes.extend_from_slice(&block);
            next.tail += 1;
            next.next_entry += entries.len() as u64;
        }
        volume.media.write(Place::SlabMetadata { slab, block: layout.journal_block(first) }, &bytes).await?;
    }
    Ok(next)
}

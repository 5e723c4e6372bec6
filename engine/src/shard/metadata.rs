// SPDX-License-Identifier: BSD-3-Clause

//! Maintenance of a shard's metadata between requests: results of transfers, events of the physical zone, write-back,
//! and the heads of the recovery journal, which depend on how far its entries are applied and durable elsewhere.

use super::Shard;
use crate::block_map::MapStatistics;
use crate::context::Context;
use crate::dedupe::HashZone;
use crate::env::{Env, Event};
use crate::error::RequestError;
use crate::io::MetadataOwner;
use crate::journal::JournalStatistics;
use crate::logical::LogicalZone;
use crate::message::{swap_of, Allocation, Message, VioRef};
use crate::slabs::{PhysicalEvent, PhysicalStatistics, Requester};
use crate::statistics::Statistics;
use crate::swapper::Swapper;

/// Passes the results of metadata transfers to their owners. Returns whether there were any.
pub(super) fn take_outcomes<E: Env>(cx: &mut Context<'_, E>, logical: &mut LogicalZone<E>) -> bool {
    let mut progress = false;
    while let Some((owner, result)) = cx.metadata.take_ended() {
        progress = true;
        match owner {
            MetadataOwner::Journal(tag) => cx.journal.io_done(tag, result),
            MetadataOwner::Map(tag) => logical.map_mut().io_done(cx.env, cx.metadata, tag, result),
            MetadataOwner::Physical(tag) => cx.physical.io_done(cx.env, cx.metadata, tag, result),
        }
    }
    // Before anything learns of failed entries: their blocks must not be reused.
    if let Some(reason) = cx.journal.failed() {
        cx.enter_read_only(reason);
    }
    progress
}

/// Forwards the events of the physical zone. Returns whether there were any.
pub(super) fn take_physical_events<E: Env>(
    cx: &mut Context<'_, E>,
    logical: &mut LogicalZone<E>,
    hash: &mut HashZone<E::Buf>,
    swapper: &mut Swapper<E::Buf>,
) -> bool {
    let mut progress = false;
    while let Some(event) = cx.physical.pop_event() {
        progress = true;
        match event {
            PhysicalEvent::Incremented { vio, result } => incremented(cx, logical, vio, result),
            PhysicalEvent::Allocated { requester, answer } => allocated(cx, logical, hash, swapper, requester, answer),
            PhysicalEvent::Locked { member, lease } if member.shard == cx.id => match swap_of(member.index) {
                Some(swap) => swapper.locked(cx, swap, lease),
                None => hash.locked(cx, member.index, lease),
            },
            PhysicalEvent::Locked { member, lease } => {
                cx.send(member.shard, Message::Locked { member: member.index, lease });
            }
            PhysicalEvent::JournalsCommitted { journal, up_to } if journal == cx.id => {
                cx.journal.slabs_committed(journal, up_to);
            }
            PhysicalEvent::JournalsCommitted { journal, up_to } => {
                cx.send(journal, Message::SlabJournalsCommitted { up_to });
            }
            PhysicalEvent::ScrubbingDone => cx.report(Event::ScrubbingDone),
            PhysicalEvent::Inconsistent { pbn, operation } => cx.inconsistent(pbn, operation),
            PhysicalEvent::ReadOnly(reason) => cx.enter_read_only(reason),
        }
    }
    progress
}

/// An increment that had to wait is done.
fn incremented<E: Env>(
    cx: &mut Context<'_, E>,
    logical: &mut LogicalZone<E>,
    vio: VioRef,
    result: Result<(), RequestError>,
) {
    if vio.shard == cx.id {
        logical.incremented(cx, vio.index, result);
    } else {
        cx.send(vio.shard, Message::Incremented { vio: vio.index, result });
    }
}

/// An allocation that had to wait is done, or nothing is left to wait for in this zone.
fn allocated<E: Env>(
    cx: &mut Context<'_, E>,
    logical: &mut LogicalZone<E>,
    hash: &mut HashZone<E::Buf>,
    swapper: &mut Swapper<E::Buf>,
    requester: Requester,
    answer: Allocation,
) {
    match requester {
        Requester::Page(page) if page.shard == cx.id => logical.page_allocated(cx, page.index, answer),
        Requester::Page(page) => cx.send(page.shard, Message::PageAllocated { ticket: page.index, answer }),
        Requester::Data(member) if member.shard == cx.id => match swap_of(member.index) {
            Some(swap) => swapper.allocated(cx, swap, answer),
            None => hash.allocated(cx, member.index, answer),
        },
        Requester::Data(member) => cx.send(member.shard, Message::Allocated { member: member.index, answer }),
    }
}

/// Starts the metadata transfers that are due. Returns whether there was anything to do.
pub(super) fn advance<E: Env>(cx: &mut Context<'_, E>, logical: &mut LogicalZone<E>) -> bool {
    let mut progress = cx.physical.advance(cx.env, cx.metadata);
    let era = cx.journal.era();
    progress |= logical.map_mut().advance(cx.env, cx.metadata, era);
    let applied = cx.journal.next_to_apply();
    cx.journal.set_map_head(logical.map().oldest_need().map_or(applied, |oldest| oldest.min(applied)));
    progress |= cx.journal.advance(cx.env, cx.metadata);
    if cx.is_read_only() {
        logical.map_mut().read_only();
    }
    while let Some(segment) = cx.journal.take_erasure() {
        cx.env.erase_segment(segment);
    }
    if let Some(up_to) = cx.journal.wanted_commit() {
        progress = true;
        for shard in cx.geometry.shard_ids() {
            if shard == cx.id {
                cx.physical.commit_journals(shard, up_to);
            } else {
                cx.send(shard, Message::CommitSlabJournals { up_to });
            }
        }
    }
    progress
}

/// Adds the counters of a shard's metadata.
pub(super) fn count<E: Env>(shard: &Shard<E>, stats: &mut Statistics) {
    count_journal(&shard.journal.statistics(), stats);
    count_map(&shard.logical.map().statistics(), stats);
    count_physical(&shard.physical.statistics(), stats);
    let counters = shard.logical.counters();
    stats.logical_blocks_used = counters.logical_blocks_used.cast_unsigned();
    stats.block_map_pages = counters.map_pages.cast_unsigned();
    let transfers = shard.metadata.counts();
    stats.bios_meta_read = transfers.read;
    stats.bios_meta_write = transfers.write;
    stats.bios_meta_bytes_written = transfers.written_bytes;
    stats.bios_meta_flush = transfers.flush;
    stats.bios_meta_retries = transfers.retries;
}

fn count_journal(journal: &JournalStatistics, stats: &mut Statistics) {
    stats.journal_disk_full = journal.disk_full;
    stats.journal_slab_journal_commits_requested = journal.slab_journal_commits_requested;
    stats.journal_entries_started = journal.entries.started;
    stats.journal_entries_written = journal.entries.written;
    stats.journal_entries_committed = journal.entries.committed;
    stats.journal_blocks_started = journal.blocks.started;
    stats.journal_blocks_written = journal.blocks.written;
    stats.journal_blocks_committed = journal.blocks.committed;
    stats.journal_bytes_written = journal.bytes_written;
}

fn count_map(map: &MapStatistics, stats: &mut Statistics) {
    stats.block_map_dirty_pages = map.dirty_pages;
    stats.block_map_clean_pages = map.clean_pages;
    stats.block_map_free_pages = map.free_pages;
    stats.block_map_incoming_pages = map.incoming_pages;
    stats.block_map_outgoing_pages = map.outgoing_pages;
    stats.block_map_cache_pressure = map.cache_pressure;
    stats.block_map_read_count = map.read_count;
    stats.block_map_write_count = map.write_count;
    stats.block_map_failed_reads = map.failed_reads;
    stats.block_map_failed_writes = map.failed_writes;
    stats.block_map_found_in_cache = map.found_in_cache;
    stats.block_map_fetch_required = map.fetch_required;
    stats.block_map_wait_for_page = map.wait_for_page;
    stats.block_map_pages_loaded = map.pages_loaded;
    stats.block_map_pages_saved = map.pages_saved;
    stats.block_map_flush_count = map.flush_count;
}

fn count_physical(physical: &PhysicalStatistics, stats: &mut Statistics) {
    stats.slabs = physical.slabs;
    stats.slabs_opened = physical.slabs_opened;
    stats.slabs_reopened = physical.slabs_reopened;
    stats.slabs_unrecovered = physical.slabs_unrecovered;
    stats.slab_journal_disk_full_count = physical.slab_journal_disk_full;
    stats.slab_journal_flush_count = physical.slab_journal_flushes;
    stats.slab_journal_blocked_count = physical.slab_journal_blocked;
    stats.slab_journal_blocks_written = physical.slab_journal_blocks_written;
    stats.slab_journal_tail_busy_count = physical.slab_journal_tail_busy;
    stats.slab_summary_blocks_written = physical.slab_summaries_written;
    stats.ref_counts_blocks_written = physical.reference_blocks_written;
}

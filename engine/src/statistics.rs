// SPDX-License-Identifier: BSD-3-Clause

//! Counters and gauges of a shard. Names are those of dm-vdo wherever the same thing is counted.
//!
//! Every field is a plain sum that one shard owns. A volume's statistics are the field-wise sum over its shards, taken
//! shard by shard, so a total read under load is not a snapshot of one instant.

macro_rules! counters {
    ($(#[$outer:meta])* $name:ident { $($(#[$doc:meta])* $field:ident,)* }) => {
        $(#[$outer])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub struct $name { $($(#[$doc])* pub $field: u64,)* }

        impl $name {
            /// Adds another shard's counters to these.
            pub fn add(&mut self, other: &$name) {
                // One shard's share of a volume-wide gauge may be below zero; only the sum is meaningful.
                $(self.$field = self.$field.wrapping_add(other.$field);)*
            }

            /// Every counter with its name, in the order of declaration.
            pub fn fields(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($field), self.$field),)*].into_iter()
            }
        }
    };
}

counters! {
    /// Blocks or flushes by kind of request.
    BioCounts {
        /// Blocks read.
        read,
        /// Blocks written.
        write,
        /// Blocks unmapped.
        discard,
        /// Flushes.
        flush,
    }
}

counters! {
    /// Counters and gauges of one shard, or their sum over a volume.
    Statistics {
        /// Data blocks in the shard's slabs.
        data_blocks,
        /// Data blocks that hold data or are allocated for it.
        data_blocks_used,
        /// Data blocks reserved for overwrites of stored blocks.
        reserved_blocks,
        /// Data blocks reserved until the operator releases them.
        operator_reserve_blocks,
        /// Logical blocks that are mapped; zero blocks count, unmapped blocks do not.
        logical_blocks_used,
        /// Pieces of client requests accepted.
        pieces_in,
        /// Pieces answered.
        pieces_done,
        /// Blocks that clients read.
        bios_in_read,
        /// Blocks that clients wrote.
        bios_in_write,
        /// Blocks that clients unmapped or zeroed by command.
        bios_in_discard,
        /// Flushes of clients, counted in each shard.
        bios_in_flush,
        /// Blocks of client requests that touched only a part of the block.
        bios_in_partial,
        /// Failed client requests, counted by piece.
        bios_failed,
        /// Blocks currently in flight.
        current_vios_in_progress,
        /// Maximum number of blocks in flight.
        max_vios,
        /// Data blocks read from the base for clients and for relocations.
        bios_out_read,
        /// Data blocks written to the base for clients, relocations and swaps; a compressed block counts once.
        bios_out_write,
        /// Blocks read from the base to verify advice.
        bios_verify_read,
        /// Transfers submitted to the base.
        bios_submitted,
        /// Transfers completed by the base.
        bios_completed,
        /// Transfers that failed on the base.
        bios_out_failed,
        /// Blocks appended to a transfer that ended just before them.
        bios_merged_back,
        /// Blocks prepended to a transfer that began just after them.
        bios_merged_front,
        /// Merged transfers that failed and were retried block by block.
        bios_split_retries,
        /// Data writes retried in another block after the base had failed the first one.
        data_write_retries,
        /// Written blocks that were all zeros and so are stored nowhere.
        zero_blocks,
        /// Writes that ended by sharing a stored block.
        dedupe_hits,
        /// Writes that stored a new block.
        unique_blocks,
        /// Blocks stored as fragments of a compressed block.
        compressed_fragments_written,
        /// Compressed blocks written.
        compressed_blocks_written,
        /// Fragments currently parked until partners arrive.
        compressed_fragments_in_packer,
        /// Blocks meant for compression that did not become small enough, or looked as if they would not.
        incompressible_blocks,
        /// Compressible blocks that found no partners and were stored uncompressed.
        fragments_written_plain,
        /// Repack candidates: compressible blocks that were stored uncompressed and may still be repacked with
        /// partners.
        blocks_in_stock,
        /// Blocks stored uncompressed for which a repack with partners was started.
        blocks_called_back,
        /// Compressed blocks read because few of their fragments are in use.
        relocation_reads,
        /// Relocated blocks: moved out of a compressed block that is to be freed, or out of a block of their own.
        fragments_relocated,
        /// Compressed blocks queued for the relocator.
        relocations_waiting,
        /// Compressed blocks that the relocator skipped because its queue was full.
        relocations_skipped,
        /// Compressed blocks rewritten for overwrites of their fragments when there was no space.
        blocks_swapped,
        /// Compressed fragments read from the base for clients.
        compressed_fragments_read,
        /// Index queries with correct advice.
        dedupe_advice_valid,
        /// Index queries with stale advice.
        dedupe_advice_stale,
        /// Writes that found an equal block in flight.
        concurrent_data_matches,
        /// Writes that found a different block with the same fingerprint in flight.
        concurrent_hash_collisions,
        /// Index queries in progress.
        curr_dedupe_queries,
        /// Hash locks forked because a block had reached its maximum number of references.
        hash_lock_forks,
        /// Hash locks currently in use.
        hash_locks,
        /// PBN locks currently in use.
        pbn_locks,
        /// Advice that named no data block.
        invalid_advice_pbn_count,
        /// Blocks lent to overwrites when the volume was full.
        blocks_lent,
        /// Requests failed for lack of space.
        no_space_error_count,
        /// Blocks whose check code did not match when read.
        check_error_count,
        /// Reference-count and lock errors.
        lock_error_count,
        /// Index queries that found a record.
        posts_found,
        /// Index queries that found no record.
        posts_not_found,
        /// Index records updated to a newer location.
        updates_found,
        /// Index records added.
        updates_not_found,
        /// Index records evicted by newer ones.
        entries_discarded,
        /// Records currently in the index.
        entries_indexed,
        /// Index records that fit.
        index_capacity,
        /// Index queries that went on without advice because they had waited too long, or had to wait and found no free
        /// dedupe context.
        dedupe_advice_timeouts,
        /// Queries of `dedupe_advice_timeouts` that found no free dedupe context.
        dedupe_context_busy,
        /// Hooks by which the index finds old sections.
        index_hooks,
        /// Stale advice whose block could be locked and read but holds other content: the index took another record for
        /// this one, or the block has been rewritten since.
        index_false_tags,
        /// Sections of the index history that can be read.
        index_sections_readable,
        /// Sections handed to the host whose chapter is still open.
        index_sections_pending,
        /// Sections handed to the host.
        index_sections_sealed,
        /// Sections that the host dropped, or whose chapter was lost.
        index_sections_dropped,
        /// Sections read because a query hit a hook.
        index_sections_loaded,
        /// Sections read to refill the index after a start.
        index_sections_refilled,
        /// Sections that could not be read or were damaged.
        index_sections_failed,
        /// Index records restored from sections.
        index_records_restored,
        /// Index records copied from old sections to new ones because their section was used.
        index_records_carried,
        /// Number of slabs.
        slabs,
        /// Slabs opened for the first time.
        slabs_opened,
        /// Slabs opened again after they had been closed.
        slabs_reopened,
        /// Slabs whose reference counts are not known yet.
        slabs_unrecovered,
        /// Block-map pages that lie in slabs.
        block_map_pages,
        /// Times that a shard became read-only: at most once per shard.
        read_only_error_count,
        /// Times that the recovery journal was full.
        journal_disk_full,
        /// Times that the recovery journal asked slab journals to be committed.
        journal_slab_journal_commits_requested,
        /// Journal entries started.
        journal_entries_started,
        /// Journal entries whose write has succeeded.
        journal_entries_written,
        /// Journal entries that are durable.
        journal_entries_committed,
        /// Journal writes started.
        journal_blocks_started,
        /// Journal writes that have succeeded.
        journal_blocks_written,
        /// Journal writes that are durable.
        journal_blocks_committed,
        /// Journal bytes submitted to the base.
        journal_bytes_written,
        /// Cached block-map pages that are newer in memory than on media and not being written.
        block_map_dirty_pages,
        /// Cached block-map pages that are the same in memory and on media.
        block_map_clean_pages,
        /// Empty page frames.
        block_map_free_pages,
        /// Block-map pages being read or allocated.
        block_map_incoming_pages,
        /// Block-map pages being written.
        block_map_outgoing_pages,
        /// Times that a page was requested and no frame was free at once.
        block_map_cache_pressure,
        /// Mapping lookups for reading.
        block_map_read_count,
        /// Mapping lookups for changing.
        block_map_write_count,
        /// Page reads that failed.
        block_map_failed_reads,
        /// Page writes that failed.
        block_map_failed_writes,
        /// Lookups that found their page in memory.
        block_map_found_in_cache,
        /// Pages that had to be read for lookups.
        block_map_fetch_required,
        /// Times that a lookup waited for a page that was already being read or allocated.
        block_map_wait_for_page,
        /// Block-map pages read.
        block_map_pages_loaded,
        /// Block-map pages written.
        block_map_pages_saved,
        /// Flushes requested by page writes.
        block_map_flush_count,
        /// Times that a slab journal wrapped to a block that was still needed.
        slab_journal_disk_full_count,
        /// Times that a slab journal started to write reference counts to make room.
        slab_journal_flush_count,
        /// Times that a slab journal made changes wait.
        slab_journal_blocked_count,
        /// Slab journal blocks written.
        slab_journal_blocks_written,
        /// Times that changes waited because a slab journal block was in flight.
        slab_journal_tail_busy_count,
        /// Slab summaries written.
        slab_summary_blocks_written,
        /// Reference blocks written.
        ref_counts_blocks_written,
        /// Metadata reads.
        bios_meta_read,
        /// Metadata writes.
        bios_meta_write,
        /// Metadata bytes written, including the journal.
        bios_meta_bytes_written,
        /// Flushes of the underlying bdevs for metadata.
        bios_meta_flush,
        /// Metadata transfers retried after a failure.
        bios_meta_retries,
        /// Messages sent to other shards.
        messages_sent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_are_field_wise_sums() {
        let mut one = Statistics { dedupe_hits: 2, ..Statistics::default() };
        one.add(&Statistics { dedupe_hits: 3, zero_blocks: 1, ..Statistics::default() });
        assert_eq!((one.dedupe_hits, one.zero_blocks, one.unique_blocks), (5, 1, 0));
        assert!(one.fields().any(|field| field == ("dedupe_hits", 5)));
    }
}

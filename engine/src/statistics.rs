// SPDX-License-Identifier: BSD-3-Clause

//! What a shard counts. Names are those of dm-vdo wherever the thing counted is the same.
//!
//! Every field is a plain sum that one shard owns; a volume's statistics are the field-wise sum over its shards, taken
//! shard by shard, so a total read under load is not a snapshot of one instant.

macro_rules! counters {
    ($(#[$outer:meta])* $name:ident { $($(#[$doc:meta])* $field:ident,)* }) => {
        $(#[$outer])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub struct $name { $($(#[$doc])* pub $field: u64,)* }

        impl $name {
            /// Adds another shard's counters to these.
            pub fn add(&mut self, other: &$name) {
                // A shard's share of what the volume uses may be below zero; only the sum means something.
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
    /// Requests or transfers by kind.
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
        /// Data blocks of the shard's slabs.
        data_blocks,
        /// Data blocks that hold data (or are about to).
        data_blocks_used,
        /// Data blocks that are kept for overwrites of what is stored.
        reserved_blocks,
        /// Data blocks that are kept until the operator releases them.
        operator_reserve_blocks,
        /// Logical blocks that are mapped; zero blocks count, unmapped blocks do not.
        logical_blocks_used,
        /// Pieces of client requests accepted.
        pieces_in,
        /// Pieces answered.
        pieces_done,
        /// Blocks that clients asked to read.
        bios_in_read,
        /// Blocks that clients asked to write.
        bios_in_write,
        /// Blocks that clients asked to unmap or to zero by command.
        bios_in_discard,
        /// Flushes that clients asked for, counted in each shard.
        bios_in_flush,
        /// Blocks among them of which only a part was touched.
        bios_in_partial,
        /// Requests that failed, counted by piece.
        bios_failed,
        /// Blocks in flight now.
        current_vios_in_progress,
        /// Blocks that can be in flight at once.
        max_vios,
        /// Blocks read from the base for clients.
        bios_out_read,
        /// Blocks written to the base for clients.
        bios_out_write,
        /// Blocks read from the base to verify advice.
        bios_verify_read,
        /// Transfers submitted to the base.
        bios_submitted,
        /// Transfers completed by the base.
        bios_completed,
        /// Transfers that the base failed.
        bios_out_failed,
        /// Blocks appended to a transfer that ended just before them.
        bios_merged_back,
        /// Blocks prepended to a transfer that began just after them.
        bios_merged_front,
        /// Merged transfers that failed and were issued again block by block.
        bios_split_retries,
        /// Data writes tried again in another block after the base failed the first.
        data_write_retries,
        /// Written blocks found to be all zeros, and so stored nowhere.
        zero_blocks,
        /// Writes that ended by sharing a stored block.
        dedupe_hits,
        /// Writes that stored a new block.
        unique_blocks,
        /// Blocks stored compressed, each with others in one block.
        compressed_fragments_written,
        /// Compressed blocks written.
        compressed_blocks_written,
        /// Fragments that wait for company now.
        compressed_fragments_in_packer,
        /// Blocks that were to be compressed, but did not become small enough, or looked as if they would not.
        incompressible_blocks,
        /// Compressed blocks that found no company, and were stored as they are.
        fragments_written_plain,
        /// Blocks that could be compressed, but were stored as they are, and may still be called back for company.
        blocks_in_stock,
        /// Blocks stored as they are that were moved to share a block with others, or were to be.
        blocks_called_back,
        /// Compressed blocks looked at because few of their fragments are in use.
        relocation_reads,
        /// Blocks that were stored in another place: out of a compressed block that is to come free, or out of one of their
        /// own.
        fragments_relocated,
        /// Compressed blocks that wait to be looked at.
        relocations_waiting,
        /// Compressed blocks not looked at, because too many waited.
        relocations_skipped,
        /// Compressed blocks written anew for overwrites of their fragments, because there was no space.
        blocks_swapped,
        /// Blocks read from the base for clients that were compressed.
        compressed_fragments_read,
        /// Index queries whose advice was right.
        dedupe_advice_valid,
        /// Index queries whose advice was not.
        dedupe_advice_stale,
        /// Writes that found an equal block in flight.
        concurrent_data_matches,
        /// Writes that found a different block with the same fingerprint in flight.
        concurrent_hash_collisions,
        /// Index queries running now.
        curr_dedupe_queries,
        /// Hash locks forked because a block had all its references.
        hash_lock_forks,
        /// Hash locks in use now.
        hash_locks,
        /// Physical-block locks in use now.
        pbn_locks,
        /// Advice that named no data block.
        invalid_advice_pbn_count,
        /// Blocks lent to overwrites when the volume was full.
        blocks_lent,
        /// Requests failed for want of space.
        no_space_error_count,
        /// Blocks whose check code did not match when read.
        check_error_count,
        /// Reference count or lock errors met.
        lock_error_count,
        /// Index records found by queries.
        posts_found,
        /// Index queries that found nothing.
        posts_not_found,
        /// Index records changed to a newer location.
        updates_found,
        /// Index records added.
        updates_not_found,
        /// Index records pushed out by newer ones.
        entries_discarded,
        /// Index records now.
        entries_indexed,
        /// Index records that fit.
        index_capacity,
        /// Index queries that went on without advice because they had waited too long, or would have waited and there
        /// was no dedupe context.
        dedupe_advice_timeouts,
        /// Those among them for which there was no dedupe context.
        dedupe_context_busy,
        /// Hooks by which the index finds old sections.
        index_hooks,
        /// Stale advice whose block could be locked and read, but holds other content: the index took another record for
        /// this one's, or the block has been written anew since.
        index_false_tags,
        /// Sections of the index's history that can be read.
        index_sections_readable,
        /// Sections handed to the host whose chapter is not closed.
        index_sections_pending,
        /// Sections handed to the host.
        index_sections_sealed,
        /// Sections that the host could not take, or whose chapter was lost.
        index_sections_dropped,
        /// Sections read because a hook was met.
        index_sections_loaded,
        /// Sections read to fill the index after a start.
        index_sections_refilled,
        /// Sections that could not be read, or were damaged.
        index_sections_failed,
        /// Index records that came back from sections.
        index_records_restored,
        /// Index records of old sections that went to new ones, because their section was used.
        index_records_carried,
        /// Slabs.
        slabs,
        /// Slabs opened for the first time.
        slabs_opened,
        /// Slabs opened again.
        slabs_reopened,
        /// Slabs whose reference counts are not known yet.
        slabs_unrecovered,
        /// Pages of the block map that lie in slabs.
        block_map_pages,
        /// Requests failed because the volume had become read-only, counted by cause.
        read_only_error_count,
        /// Times that the recovery journal was full.
        journal_disk_full,
        /// Times that the recovery journal asked slab journals to be committed.
        journal_slab_journal_commits_requested,
        /// Journal entries begun.
        journal_entries_started,
        /// Journal entries given to the base.
        journal_entries_written,
        /// Journal entries that are durable.
        journal_entries_committed,
        /// Journal writes begun.
        journal_blocks_started,
        /// Journal writes given to the base.
        journal_blocks_written,
        /// Journal writes that are durable.
        journal_blocks_committed,
        /// Bytes of the journal given to the base.
        journal_bytes_written,
        /// Block-map pages in memory that are newer than on media.
        block_map_dirty_pages,
        /// Block-map pages in memory that are as on media.
        block_map_clean_pages,
        /// Page frames that hold nothing.
        block_map_free_pages,
        /// Pages being read.
        block_map_incoming_pages,
        /// Pages being written.
        block_map_outgoing_pages,
        /// Times that a page was wanted and no frame was to be had at once.
        block_map_cache_pressure,
        /// Lookups of mappings to be read.
        block_map_read_count,
        /// Lookups of mappings to be changed.
        block_map_write_count,
        /// Page reads that failed.
        block_map_failed_reads,
        /// Page writes that failed.
        block_map_failed_writes,
        /// Lookups that found their page in memory.
        block_map_found_in_cache,
        /// Lookups that had to read their page.
        block_map_fetch_required,
        /// Lookups that waited for a page that another was already reading.
        block_map_wait_for_page,
        /// Pages read.
        block_map_pages_loaded,
        /// Pages written.
        block_map_pages_saved,
        /// Flushes that page writes asked for.
        block_map_flush_count,
        /// Times that a slab journal's next block was still needed.
        slab_journal_disk_full_count,
        /// Times that a slab journal began to write reference counts to make room.
        slab_journal_flush_count,
        /// Times that a slab journal made changes wait.
        slab_journal_blocked_count,
        /// Slab journal blocks written.
        slab_journal_blocks_written,
        /// Times that changes waited because a slab journal's block was on its way.
        slab_journal_tail_busy_count,
        /// Slab summaries written.
        slab_summary_blocks_written,
        /// Reference blocks written.
        ref_counts_blocks_written,
        /// Metadata transfers that read.
        bios_meta_read,
        /// Metadata transfers that wrote.
        bios_meta_write,
        /// Bytes of metadata written, the journal's included.
        bios_meta_bytes_written,
        /// Flushes of the bdevs below for metadata's sake.
        bios_meta_flush,
        /// Metadata transfers tried again after a failure.
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

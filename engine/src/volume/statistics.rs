// SPDX-License-Identifier: BSD-3-Clause

//! What a shard counts. Names are those of vdo.md 9.3 and 2.9 wherever the thing counted is the same.
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
                $(self.$field += other.$field;)*
            }

            /// Every counter with its name, in the order of declaration.
            pub fn fields(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($field), self.$field),)*].into_iter()
            }
        }
    };
}

counters! {
    /// Requests or transfers by kind (vdo.md 5.4).
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
        /// Blocks appended to a transfer that ended just before them (vdo.md 5.2).
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
        /// Slabs.
        slabs,
        /// Slabs opened for the first time.
        slabs_opened,
        /// Slabs opened again.
        slabs_reopened,
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

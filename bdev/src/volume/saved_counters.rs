// SPDX-License-Identifier: BSD-3-Clause

//! Statistics that are kept across restarts: the counters of a volume when it was last saved, and how they are
//! recorded.
//!
//! On media a counter has an identity and a value. The identity is the 64-bit FNV-1a of its name, so that counters may
//! come and go with releases. Gauges are not kept: they tell what is there, not what was.

use engine::statistics::Statistics;

/// Figures that tell what is there now.
const GAUGES: &[&str] = &[
    "data_blocks",
    "data_blocks_used",
    "reserved_blocks",
    "operator_reserve_blocks",
    "logical_blocks_used",
    "block_map_pages",
    "block_map_dirty_pages",
    "block_map_clean_pages",
    "block_map_free_pages",
    "block_map_incoming_pages",
    "block_map_outgoing_pages",
    "entries_indexed",
    "index_capacity",
    "current_vios_in_progress",
    "max_vios",
    "curr_dedupe_queries",
    "hash_locks",
    "compressed_fragments_in_packer",
    "blocks_in_stock",
    "relocations_waiting",
    "index_hooks",
    "index_sections_readable",
    "index_sections_pending",
    "pbn_locks",
    "slabs",
    "slabs_unrecovered",
];

fn identity(name: &str) -> u64 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    name.bytes().fold(OFFSET, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME))
}

fn is_gauge(name: &str) -> bool {
    GAUGES.contains(&name)
}

/// What a volume had counted before it was loaded.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SavedCounters(Vec<(u64, u64)>);

impl SavedCounters {
    /// From the recorded identities and values.
    pub fn new(recorded: Vec<(u64, u64)>) -> SavedCounters {
        SavedCounters(recorded)
    }

    /// The value of a counter before the load; 0 for gauges.
    pub fn of(&self, name: &str) -> u64 {
        if is_gauge(name) {
            return 0;
        }
        let id = identity(name);
        self.0.iter().find(|(known, _)| *known == id).map_or(0, |(_, value)| *value)
    }

    /// What to record after `since` was counted since the load: the counters that are not zero.
    pub fn with(&self, since: &Statistics) -> Vec<(u64, u64)> {
        let counters = since.fields().filter(|(name, _)| !is_gauge(name));
        let totals = counters.map(|(name, value)| (identity(name), value.wrapping_add(self.of(name))));
        totals.filter(|(_, total)| *total > 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_go_on_and_gauges_do_not() {
        let first =
            Statistics { data_blocks_used: 7, dedupe_hits: 5, unique_blocks: u64::MAX, ..Statistics::default() };
        let recorded = SavedCounters::default().with(&first);
        assert_eq!(recorded.len(), 2);
        let kept = SavedCounters::new(recorded);
        assert_eq!((kept.of("dedupe_hits"), kept.of("unique_blocks")), (5, u64::MAX));
        assert_eq!((kept.of("data_blocks_used"), kept.of("zero_blocks")), (0, 0));
        let second = Statistics { dedupe_hits: 2, zero_blocks: 1, ..Statistics::default() };
        let kept = SavedCounters::new(kept.with(&second));
        assert_eq!((kept.of("dedupe_hits"), kept.of("zero_blocks")), (7, 1));
    }

    #[test]
    fn every_gauge_is_a_field_and_no_two_fields_have_one_identity() {
        let names: Vec<_> = Statistics::default().fields().map(|(name, _)| name).collect();
        for gauge in GAUGES {
            assert!(names.contains(gauge), "{gauge}");
        }
        let mut identities: Vec<_> = names.iter().map(|name| identity(name)).collect();
        identities.sort_unstable();
        identities.dedup();
        assert_eq!(identities.len(), names.len());
        assert_eq!(identity("a"), 0xaf63_dc4c_8601_ec8c, "FNV-1a, 64 bits");
    }
}

// SPDX-License-Identifier: BSD-3-Clause

//! Records of a volume in words: those of its inventory, and of its recovery journals.

use std::fmt::Write;

use engine::format::journal_record::{OwnedEntry, RecordHeader};
use engine::format::{Mapping, MappingState, PageId};
use engine::volume::inventory::{InventoryRecord, StateKind, VolumeConfig, VolumeState};
use engine::BLOCK_SIZE;

use crate::shown;

/// A record of an inventory in one line.
#[must_use]
pub fn inventory(record: &InventoryRecord) -> String {
    match record {
        InventoryRecord::Config(config) => format!("CONFIG {}", config_text(config)),
        InventoryRecord::Slab { number, object } => format!("SLAB {number} is {:#x}", object.0),
        InventoryRecord::Areas { number, object } => format!("AREAS {number} is {:#x}", object.0),
        InventoryRecord::Roots { object } => format!("ROOTS is {:#x}", object.0),
        InventoryRecord::Segment { number, object } => format!("SEGMENT {number} is {:#x}", object.0),
        InventoryRecord::State(state) => format!("STATE {}", state_text(state)),
        InventoryRecord::Counts(counts) => format!("COUNTS {} slabs, {} segments", counts.slabs, counts.segments),
        InventoryRecord::Deleted => "DELETED".to_owned(),
        InventoryRecord::Chapter(chapter) => {
            format!("CHAPTER {} of {} sections is {:#x}", chapter.number, chapter.sections, chapter.object.0)
        }
        InventoryRecord::ChapterGone(number) => format!("CHAPTER {number} is gone"),
        InventoryRecord::HistoryLog { object } => format!("HISTORY LOG is {:#x}", object.0),
    }
}

fn config_text(config: &VolumeConfig) -> String {
    let bytes = |blocks: u64| shown::bytes(blocks.saturating_mul(BLOCK_SIZE as u64));
    format!(
        "slabs of {} in {} zones, {} areas in an object on {}, logical size {}, blocks of {} B, nonce {:#018x}, index {} MiB, \
         history {} MiB, map cache {} MiB, journals {} MiB, compression {}, deduplication {}, reserve {}%, cores '{}'",
        bytes(config.slab_blocks),
        config.slab_zones,
        config.areas_per_object,
        config.metadata_class,
        bytes(config.logical_blocks.0),
        config.block_size,
        config.nonce,
        config.index_mib,
        config.history_mib,
        config.map_cache_mib,
        config.journal_mib,
        shown::on(config.compression),
        shown::on(config.deduplication),
        config.reserve_percent,
        shown::text(&config.core_mask)
    )
}

fn state_text(state: &VolumeState) -> String {
    let reason = if state.reason.is_empty() { String::new() } else { format!(" ({})", shown::text(&state.reason)) };
    format!(
        "{}{reason}, generation {} of {} shards, {} logical blocks in use, {} map pages, {} recoveries, {} rebuilds, {} counters",
        state_name(state.kind),
        state.generation,
        state.shards,
        state.logical_blocks_used,
        state.map_pages,
        state.complete_recoveries,
        state.read_only_recoveries,
        state.counters.len()
    )
}

/// A volume's state, as dm-vdo names it.
#[must_use]
pub fn state_name(kind: StateKind) -> &'static str {
    match kind {
        StateKind::New => "NEW",
        StateKind::Dirty => "DIRTY",
        StateKind::Clean => "CLEAN",
        StateKind::ReadOnly => "READ_ONLY",
        StateKind::Rebuild => "FORCE_REBUILD",
    }
}

/// A record of a recovery journal: its header, and each entry on a line of its own.
#[must_use]
pub fn journal(header: &RecordHeader, entries: &[OwnedEntry]) -> String {
    let mut text = format!(
        "JOURNAL shard {} of {}, generation {}, entries from {} on: {}, committed {}, map head {}, {} logical blocks in use, {} map pages",
        header.shard.0,
        header.shards,
        header.generation,
        header.first,
        header.count,
        header.committed,
        header.map_head,
        header.logical_blocks_used,
        header.map_pages
    );
    for (number, entry) in (header.first..).zip(entries) {
        // Writing to a String cannot fail.
        let _ = write!(text, "\n{number} {}", entry_text(entry));
    }
    text
}

fn entry_text(entry: &OwnedEntry) -> String {
    match entry {
        OwnedEntry::Remap { lbn, old, new } => format!("REMAP lbn {}: {} -> {}", lbn.0, old.0, mapping_text(*new)),
        OwnedEntry::Range { first, count, runs } => {
            let runs: Vec<_> = runs.iter().map(|run| format!("{}+{}", run.first.0, run.count)).collect();
            format!("RANGE lbn {}+{count}: {} -> unmapped", first.0, runs.join(" "))
        }
        OwnedEntry::Page { page: PageId { level, index }, pbn, life } => {
            format!("PAGE level {level} number {index}: {} life {life:06x}", pbn.0)
        }
        OwnedEntry::PageGone { page: PageId { level, index }, pbn } => {
            format!("PAGE GONE level {level} number {index}: {}", pbn.0)
        }
    }
}

fn mapping_text(mapping: Mapping) -> String {
    match (mapping.is_unmapped(), mapping.state()) {
        (true, _) => "unmapped".to_owned(),
        (_, MappingState::Uncompressed) => format!("{} check {:06x}", mapping.pbn().0, mapping.check()),
        (_, state) => format!("{} {state:?} check {:06x}", mapping.pbn().0, mapping.check()),
    }
}

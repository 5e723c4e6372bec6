// SPDX-License-Identifier: BSD-3-Clause

//! Counters of one volume or of all, in total and by shard.
//!
//! Counters are read on each shard's own thread, one shard after the other, so a total taken under load is not a
//! snapshot. `saving_percent`, `used_percent` and `write_amplification_percent` are dm-vdo's derived figures; a
//! negative saving is shown as 0. Overhead is what holds no data: the part of the pool outside slabs, and the pages of
//! the block map. Totals continue over restarts; a shard's own counters start with each load.
//!
//! Fields of dm-vdo that have another name or form here:
//!
//! | there | here |
//! |---|---|
//! | in_recovery_mode | `mode` is `recovering` |
//! | bios_in, bios_out | `bios_in_*`, `bios_out_*` |
//! | bios_meta, bios_journal, bios_page_cache | together `bios_meta_*` |
//! | bios_in_progress | `bios_submitted` less `bios_completed` |
//! | bios_acknowledged | `pieces_done` |
//! | flush_out | `bios_meta_flush` |
//! | memory bytes_used, peak | `memory_bytes_used`: all of it is taken at the start, so the two are the same |
//! | journal, slab_journal, slab_summary, ref_counts, block_map | fields that begin so |
//! | packer | fields that begin with `compressed_` |
//! | allocator slab_count | `slabs` |
//! | index | `index`; its counters are in `total` |

use std::sync::Arc;

use engine::statistics::Statistics;

use crate::datapath::plan::map_cache_bytes;
use crate::datapath::shard_host::ShardHost;
use crate::rpc::method::Answer;
use crate::spdk::json::Writer;
use crate::volume::administration::find;
use crate::volume::error::VolumeError;
use crate::volume::saved_counters::SavedCounters;
use crate::volume::{for_each_shard, mode, registry, storage, Operation, State, Volume};

/// The statistics of the volumes asked.
#[derive(Debug, Default)]
pub struct Gathered {
    loaded: Vec<(Arc<Volume>, Vec<Statistics>)>,
    /// Volumes that are not in service, and the operations in progress on them.
    others: Vec<(String, Operation)>,
}

impl Answer for Gathered {
    const WORDS: &'static str = "of each volume: its state, and counters as `total` and by `shards`";
    const TYPE: &'static str = "array";

    fn write(&self, writer: &mut Writer) {
        writer.array(|writer| {
            self.loaded.iter().for_each(|(volume, shards)| write(writer, volume, shards));
            self.others.iter().for_each(|(name, operation)| write_other(writer, name, *operation));
        });
    }
}

/// Asks the volumes one after the other.
///
/// # Errors
/// There is no volume of this name.
pub async fn gather(name: Option<String>) -> Result<Gathered, VolumeError> {
    let mut gathered = Gathered { others: storage::operations(), ..Gathered::default() };
    let in_service = |volume: &Arc<Volume>| matches!(volume.state(), State::Online | State::Suspended);
    let volumes = match &name {
        None => registry::all().into_iter().filter(in_service).collect(),
        Some(name) => {
            gathered.others.retain(|(other, _)| other == name);
            match find(name) {
                Ok(volume) => vec![volume],
                Err(_) if !gathered.others.is_empty() => Vec::new(),
                Err(error) => return Err(error),
            }
        }
    };
    for volume in volumes {
        let shards = for_each_shard(&volume, ShardHost::statistics).await;
        gathered.loaded.push((volume, shards));
    }
    Ok(gathered)
}

fn write_other(writer: &mut Writer, name: &str, operation: Operation) {
    writer.object(|writer| {
        writer.named_string("name", name);
        writer.named_string("state", "unloaded");
        mode::write_operation(writer, operation);
    });
}

fn write(writer: &mut Writer, volume: &Volume, shards: &[Statistics]) {
    let mut total = Statistics::default();
    shards.iter().for_each(|shard| total.add(shard));
    // Pages of the block map lie in data blocks, too, and count as overhead.
    total.data_blocks_used = total.data_blocks_used.saturating_sub(total.block_map_pages);
    let (geometry, config) = (volume.geometry(), volume.config());
    let physical = volume.physical_blocks();
    let logical = geometry.logical_blocks().0;
    let overhead = physical.saturating_sub(geometry.data_blocks().0) + total.block_map_pages;
    writer.object(|writer| {
        writer.named_string("name", volume.name());
        writer.named_string("state", volume.state().name());
        mode::write(writer, volume, total.slabs_unrecovered);
        let cache = map_cache_bytes(config.map_cache_mib.into(), volume.shards().len());
        writer.named_number("block_map_cache_size", cache / engine::BLOCK_SIZE as u64);
        writer.named_number("block_size", engine::BLOCK_SIZE as u64);
        writer.named_number("logical_block_size", u64::from(volume.block_bytes()));
        writer.named_number("instance", volume.storage().key);
        writer.named_number("memory_bytes_used", volume.memory().total());
        writer.named_boolean("compression", config.compression);
        writer.named_boolean("deduplication", config.deduplication);
        writer.named_number("reserve_percent", u64::from(config.reserve_percent));
        writer.named_number("physical_blocks", physical);
        writer.named_number("logical_blocks", logical);
        writer.named_number("overhead_blocks_used", overhead);
        writer.named_number("used_percent", used_percent(&total, geometry.data_blocks().0));
        writer.named_number("saving_percent", saving_percent(&total));
        writer.named_number("write_amplification_percent", write_amplification_percent(&total));
        writer.named_object("index", |writer| write_index(writer, volume, &total));
        writer.named_object("total", |writer| write_fields(writer, &total, volume.kept()));
        writer.named_array("shards", |writer| {
            for (host, shard) in volume.shards().iter().zip(shards) {
                writer.object(|writer| {
                    writer.named_number("shard", u64::from(host.id.0));
                    writer.named_number("core", u64::from(host.core));
                    write_fields(writer, shard, &SavedCounters::default());
                });
            }
        });
    });
}

/// Writes the index's figures.
fn write_index(writer: &mut Writer, volume: &Volume, total: &Statistics) {
    writer.named_string("state", volume.index_state());
    let config = volume.config();
    writer.named_number("memory_bytes", u64::from(config.index_mib) << 20);
    writer.named_number("entries", total.entries_indexed);
    writer.named_number("capacity", total.index_capacity);
    writer.named_number("history_bytes", u64::from(config.history_mib) << 20);
    let history = volume.history_status().unwrap_or_default();
    writer.named_number("chapters", history.chapters);
    writer.named_number("sections", history.sections);
    writer.named_number("sections_lost", history.sections_lost);
    writer.named_number("refill_percent", history.refill.percent());
}

/// Writes the figures, each with what was counted before the volume was loaded.
fn write_fields(writer: &mut Writer, statistics: &Statistics, kept: &SavedCounters) {
    for (name, value) in statistics.fields() {
        if SHARES.contains(&name) {
            writer.named_signed(name, value.cast_signed());
        } else {
            writer.named_number(name, value.wrapping_add(kept.of(name)));
        }
    }
}

/// Figures that are only meaningful for the whole volume: a shard's share may be negative.
const SHARES: [&str; 2] = ["logical_blocks_used", "block_map_pages"];

/// Share of the data blocks that are in use, for data or for pages of the block map. What the volume takes for itself
/// before anything is written does not count: an empty volume shows 0.
fn used_percent(total: &Statistics, data_blocks: u64) -> u64 {
    (total.data_blocks_used + total.block_map_pages) * 100 / data_blocks.max(1)
}

/// Blocks written to the base, data and metadata, for every hundred that clients wrote.
fn write_amplification_percent(total: &Statistics) -> u64 {
    let metadata = total.bios_meta_bytes_written.div_ceil(engine::BLOCK_SIZE as u64);
    (total.bios_out_write + metadata) * 100 / total.bios_in_write.max(1)
}

/// Share of the mapped blocks that need no block of their own.
fn saving_percent(total: &Statistics) -> u64 {
    total.logical_blocks_used.saturating_sub(total.data_blocks_used) * 100 / total.logical_blocks_used.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derived_figures_are_those_of_the_specification() {
        let mut total =
            Statistics { data_blocks_used: 25, block_map_pages: 5, logical_blocks_used: 100, ..Statistics::default() };
        assert_eq!(saving_percent(&total), 75);
        assert_eq!(used_percent(&total, 60), 50);
        assert_eq!(used_percent(&Statistics::default(), 60), 0, "an empty volume");
        total.data_blocks_used = 120;
        assert_eq!(saving_percent(&total), 0, "not negative");
        assert_eq!(saving_percent(&Statistics::default()), 0);
        assert_eq!(write_amplification_percent(&total), 0);
        let written = Statistics { bios_in_write: 100, bios_out_write: 50, ..total };
        let written = Statistics { bios_meta_bytes_written: 4096 * 20 + 1, ..written };
        assert_eq!(write_amplification_percent(&written), 71);
    }
}

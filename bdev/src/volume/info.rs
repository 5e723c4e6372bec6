// SPDX-License-Identifier: BSD-3-Clause

//! What `bdev_get_bdevs` shows of a volume. `save_config` writes nothing: a volume is loaded with its pool.

use core::sync::atomic::Ordering;

use super::mode;
use crate::datapath::gauges::Gauges;
use crate::datapath::plan::map_cache_bytes;
use crate::spdk::json::Writer;
use crate::volume::Volume;

/// Writes the member `dedupe` into the open object of `driver_specific`.
pub fn write(volume: &Volume, writer: &mut Writer) {
    let (geometry, config) = (volume.geometry(), volume.config());
    // A shard's share of a figure may be negative, in two's complement.
    let sum = |gauge: fn(&Gauges) -> u64| {
        volume.shards().iter().fold(0_u64, |sum, shard| sum.wrapping_add(gauge(&shard.gauges)))
    };
    let unrecovered = sum(|gauges| gauges.slabs_unrecovered.load(Ordering::Relaxed));
    writer.named_object("dedupe", |writer| {
        let bdevs = &volume.storage().bdev_names;
        writer.named_string("base_bdev_name", bdevs.first().map_or("", String::as_str));
        if let Some(staging) = bdevs.get(1) {
            writer.named_string("metadata_bdev_name", staging);
        }
        writer.named_string("pool_name", &volume.storage().pool_name);
        writer.named_string("pool_uuid", &volume.storage().pool_uuid.to_string());
        writer.named_string("uuid", &volume.uuid().to_string());
        writer.named_string("state", volume.state().name());
        mode::write(writer, volume, unrecovered);
        writer.named_number("block_size", u64::from(volume.block_bytes()));
        writer.named_number("data_block_size", engine::BLOCK_SIZE as u64);
        writer.named_array("shard_cores", |writer| {
            volume.shards().iter().for_each(|shard| writer.number(u64::from(shard.core)));
        });
        writer.named_number("logical_blocks", geometry.logical_blocks().0);
        writer.named_number("logical_blocks_used", sum(|gauges| gauges.logical_blocks_used.load(Ordering::Relaxed)));
        writer.named_number("physical_blocks", volume.physical_blocks());
        writer.named_number("data_blocks", geometry.data_blocks().0);
        let pages = sum(|gauges| gauges.block_map_pages.load(Ordering::Relaxed));
        let used = sum(|gauges| gauges.data_blocks_used.load(Ordering::Relaxed));
        writer.named_number("data_blocks_used", used.saturating_sub(pages));
        writer.named_number("block_map_pages", pages);
        writer.named_number("reserve_percent", u64::from(config.reserve_percent));
        writer.named_number("slabs", geometry.slabs());
        writer.named_number("slab_blocks", geometry.slab_blocks());
        writer.named_number("index_bytes", u64::from(config.index_mib) << 20);
        writer.named_number("index_history_bytes", u64::from(config.history_mib) << 20);
        writer.named_string("index_state", volume.index_state());
        writer.named_boolean("deduplication", config.deduplication);
        writer.named_boolean("compression", config.compression);
        writer
            .named_number("block_map_cache_bytes", map_cache_bytes(config.map_cache_mib.into(), volume.shards().len()));
        writer.named_number("memory_bytes", volume.memory().total());
    });
}

// SPDX-License-Identifier: BSD-3-Clause

//! What `bdev_get_bdevs` shows of a volume, and the call that `save_config` notes for it.

use core::sync::atomic::Ordering;

use crate::ffi;
use crate::json::Writer;
use crate::volume::Volume;

/// Writes the member `dedupe` into the open object of `driver_specific`.
///
/// # Safety
/// `document` is a document of SPDK's with an open object.
pub unsafe fn write_info(volume: &Volume, document: *mut ffi::spdk_json_write_ctx) {
    // SAFETY: the caller's promise.
    let Some(mut writer) = (unsafe { Writer::new(document) }) else { return };
    let sizes = volume.sizes();
    let sum =
        |gauge: fn(&crate::shard_host::Gauges) -> u64| volume.shards().iter().map(|shard| gauge(&shard.gauges)).sum();
    writer.named_object("dedupe", |writer| {
        writer.named_string("base_bdev_name", &volume.storage().bdev_name);
        writer.named_string("pool_name", &volume.storage().pool_name);
        writer.named_string("pool_uuid", &volume.storage().pool_uuid.to_string());
        writer.named_string("uuid", &volume.uuid().to_string());
        writer.named_string("state", volume.state().name());
        writer.named_string("metadata", "ram");
        writer.named_number("block_size", u64::from(volume.block_bytes()));
        writer.named_number("data_block_size", engine::BLOCK_SIZE as u64);
        writer.named_array("shard_cores", |writer| {
            volume.shards().iter().for_each(|shard| writer.number(u64::from(shard.core)));
        });
        writer.named_number("logical_blocks", sizes.geometry.logical_blocks().0);
        writer.named_number("logical_blocks_used", sum(|gauges| gauges.logical_blocks_used.load(Ordering::Relaxed)));
        writer.named_number("physical_blocks", volume.storage().physical_blocks);
        writer.named_number("data_blocks", sizes.geometry.data_blocks().0);
        writer.named_number("data_blocks_used", sum(|gauges| gauges.data_blocks_used.load(Ordering::Relaxed)));
        writer.named_number("slabs", sizes.geometry.slabs());
        writer.named_number("slab_blocks", sizes.geometry.slab_blocks());
        writer.named_number("index_bytes", volume.index_bytes());
        writer.named_number("memory_bytes_at_most", volume.memory().at_most() + volume.memory().dma);
    });
}

/// Writes the call that makes this volume again. Saved, loaded and saved again it is the same: the identity is
/// always given.
///
/// # Safety
/// `document` is a document of SPDK's that expects an object.
pub unsafe fn write_config(volume: &Volume, document: *mut ffi::spdk_json_write_ctx) {
    // SAFETY: the caller's promise.
    let Some(mut writer) = (unsafe { Writer::new(document) }) else { return };
    let params = volume.params();
    writer.object(|writer| {
        writer.named_string("method", "bdev_dedupe_create");
        writer.named_object("params", |writer| {
            for (name, place) in [("base_bdev_name", &params.base_bdev_name), ("pool_name", &params.pool_name)] {
                if let Some(place) = place {
                    writer.named_string(name, place);
                }
            }
            writer.named_string("name", &params.name);
            writer.named_string("uuid", &volume.uuid().to_string());
            if let Some(mask) = &params.cpumask {
                writer.named_string("cpumask", mask);
            }
            let numbers = [
                ("block_size", params.block_size.map(|size| u64::from(size.bytes()))),
                ("logical_size_mib", params.logical_size_mib),
                ("slab_size_mib", params.slab_size_mib),
                ("physical_size_mib", params.physical_size_mib),
                ("index_memory_mib", volume.index_memory_mib()),
            ];
            for (name, value) in numbers {
                if let Some(value) = value {
                    writer.named_number(name, value);
                }
            }
        });
    });
}

// SPDX-License-Identifier: BSD-3-Clause

//! `bdev_dedupe_get_stats`: counters of one volume or of all, in total and by shard.
//!
//! Counters are read on each shard's own thread, one shard after the other, so a total taken under load is no
//! snapshot of one instant. `saving_percent` and `used_percent` are vdo.md 9.3's derived figures; a saving below
//! zero is shown as 0. Overhead is what no slab holds: the reserved start of the base and the tail smaller than a
//! slab.

use std::sync::Arc;

use engine::volume::Statistics;

use crate::ffi;
use crate::json::Writer;
use crate::params;
use crate::registry;
use crate::rpc::delete::missing;
use crate::rpc::{parameters, Request};
use crate::shard_host::ShardHost;
use crate::volume::{tour, State, Volume};

/// SPDK's callback.
///
/// # Safety
/// Called by SPDK with a request and its decoded parameters.
pub unsafe extern "C" fn handle(request: *mut ffi::spdk_jsonrpc_request, params: *const ffi::spdk_json_val) {
    // SAFETY: the caller's promise.
    let parsed = unsafe { parameters(request, params, "name (optional)", params::parse_get_stats) };
    let Some((request, name)) = parsed else { return };
    let volumes = match &name {
        None => registry::all().into_iter().filter(|volume| volume.state() == State::Online).collect(),
        Some(name) => match registry::find(name) {
            None => return request.refuse(-libc::ENODEV, missing(name)),
            Some(volume) if volume.state() != State::Online => {
                return request.refuse(-libc::EBUSY, format!("'{name}' is being removed"));
            }
            Some(volume) => vec![volume],
        },
    };
    gather(request, volumes, Vec::new());
}

type Gathered = Vec<(Arc<Volume>, Vec<Statistics>)>;

/// Asks the volumes one after the other, then answers.
fn gather(request: Request, mut volumes: Vec<Arc<Volume>>, mut gathered: Gathered) {
    if volumes.is_empty() {
        request.reply(|writer| {
            writer.array(|writer| gathered.iter().for_each(|(volume, shards)| write(writer, volume, shards)));
        });
        return;
    }
    let volume = volumes.remove(0);
    let asked = Arc::clone(&volume);
    tour(volume, ShardHost::statistics, move |shards| {
        gathered.push((asked, shards));
        gather(request, volumes, gathered);
    });
}

fn write(writer: &mut Writer, volume: &Volume, shards: &[Statistics]) {
    let mut total = Statistics::default();
    for shard in shards {
        total.add(shard);
    }
    let physical = volume.storage().physical_blocks;
    let logical = volume.sizes().geometry.logical_blocks().0;
    let overhead = physical - volume.sizes().geometry.data_blocks().0;
    writer.object(|writer| {
        writer.named_string("name", volume.name());
        writer.named_number("block_size", engine::BLOCK_SIZE as u64);
        writer.named_number("physical_blocks", physical);
        writer.named_number("logical_blocks", logical);
        writer.named_number("overhead_blocks_used", overhead);
        writer.named_number("used_percent", used_percent(&total, overhead, physical));
        writer.named_number("saving_percent", saving_percent(&total));
        writer.named_object("total", |writer| write_fields(writer, &total));
        writer.named_array("shards", |writer| {
            for (host, shard) in volume.shards().iter().zip(shards) {
                writer.object(|writer| {
                    writer.named_number("shard", u64::from(host.id.0));
                    writer.named_number("core", u64::from(host.core));
                    write_fields(writer, shard);
                });
            }
        });
    });
}

fn write_fields(writer: &mut Writer, statistics: &Statistics) {
    for (name, value) in statistics.fields() {
        writer.named_number(name, value);
    }
}

/// Share of the base that is taken, by data or otherwise.
fn used_percent(total: &Statistics, overhead: u64, physical: u64) -> u64 {
    (total.data_blocks_used + overhead) * 100 / physical.max(1)
}

/// Share of the mapped blocks that needs no block of its own.
fn saving_percent(total: &Statistics) -> u64 {
    total.logical_blocks_used.saturating_sub(total.data_blocks_used) * 100 / total.logical_blocks_used.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derived_figures_are_those_of_the_specification() {
        let mut total = Statistics { data_blocks_used: 25, logical_blocks_used: 100, ..Statistics::default() };
        assert_eq!(saving_percent(&total), 75);
        assert_eq!(used_percent(&total, 25, 100), 50);
        total.data_blocks_used = 120;
        assert_eq!(saving_percent(&total), 0, "not negative");
        assert_eq!(saving_percent(&Statistics::default()), 0);
    }
}

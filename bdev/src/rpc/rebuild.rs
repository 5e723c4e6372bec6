// SPDX-License-Identifier: BSD-3-Clause

//! `bdev_dedupe_rebuild`: makes a read-only or damaged volume consistent again, at the price of what cannot be saved,
//! brings it into service, and answers with what was given up.

use engine::volume::rebuild::RebuildReport;

use crate::ffi;
use crate::json::Writer;
use crate::rpc::serve::{serve_named, Named};
use crate::volume::offline;

/// SPDK's callback.
///
/// # Safety
/// Called by SPDK with a request and its decoded parameters.
pub unsafe extern "C" fn handle(request: *mut ffi::spdk_jsonrpc_request, params: *const ffi::spdk_json_val) {
    // SAFETY: the caller's promise.
    unsafe {
        serve_named(request, params, Named::Volume, |_, name| async move { offline::rebuild(&name).await }, write);
    }
}

fn write(writer: &mut Writer, report: &RebuildReport) {
    let lost = &report.lost;
    let losses = [
        ("journal_segments", lost.segments),
        ("journal_records", lost.records),
        ("journal_entries", lost.entries),
        ("journal_holes", lost.holes),
        ("block_map_pages", lost.pages),
        ("block_map_sectors", lost.sectors),
        ("mappings", lost.mappings),
    ];
    writer.object(|writer| {
        writer.named_number("logical_blocks_used", report.logical_blocks_used);
        writer.named_number("block_map_pages", report.map_pages);
        writer.named_number("blocks_used", report.blocks_used);
        writer.named_object("lost", |writer| losses.iter().for_each(|(name, count)| writer.named_number(name, *count)));
    });
}

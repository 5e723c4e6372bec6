// SPDX-License-Identifier: BSD-3-Clause

//! `bdev_dedupe_check`: recounts the references of a volume and answers with what is wrong, and what is in use.

use core::fmt::Display;

use engine::volume::check::{CheckReport, Findings};

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
        serve_named(request, params, Named::Volume, |_, name| async move { offline::check(&name).await }, write);
    }
}

fn write(writer: &mut Writer, report: &CheckReport) {
    writer.object(|writer| {
        writer.named_boolean("clean", report.is_clean());
        writer.named_number("logical_blocks_used", report.logical_blocks_used);
        writer.named_number("block_map_pages", report.map_pages);
        writer.named_number("empty_block_map_pages", report.empty_pages);
        writer.named_number("blocks_used", report.blocks_used);
        write_findings(writer, "damaged_pages", &report.pages);
        write_findings(writer, "wrong_mappings", &report.mappings);
        write_findings(writer, "damaged_slabs", &report.slabs);
        write_findings(writer, "wrong_reference_counts", &report.mismatches);
    });
}

/// Findings of one kind: how many, and the first of them in words.
fn write_findings<T: Display>(writer: &mut Writer, name: &str, findings: &Findings<T>) {
    writer.named_object(name, |writer| {
        writer.named_number("count", findings.count);
        writer.named_array("first", |writer| findings.first.iter().for_each(|one| writer.string(&one.to_string())));
    });
}

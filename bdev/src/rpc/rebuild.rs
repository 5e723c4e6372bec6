// SPDX-License-Identifier: BSD-3-Clause

//! What the rebuild of a volume saved, and what it gave up.

use engine::volume::rebuild::RebuildReport;

use crate::rpc::method::Answer;
use crate::spdk::json::Writer;

impl Answer for RebuildReport {
    const WORDS: &'static str = "what is in use, and what was `lost`";
    const TYPE: &'static str = "object";

    fn write(&self, writer: &mut Writer) {
        write(writer, self);
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

// SPDX-License-Identifier: BSD-3-Clause

//! What the check of a volume found: what is in use, and what is wrong.

use core::fmt::Display;

use engine::volume::check::{CheckReport, Findings};

use crate::rpc::method::Answer;
use crate::spdk::json::Writer;

impl Answer for CheckReport {
    const WORDS: &'static str = "whether it is `clean`, what is in use, and what is wrong";
    const TYPE: &'static str = "object";

    fn write(&self, writer: &mut Writer) {
        write(writer, self);
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

/// Writes the findings of one kind: their number, and the first of them in words.
fn write_findings<T: Display>(writer: &mut Writer, name: &str, findings: &Findings<T>) {
    writer.named_object(name, |writer| {
        writer.named_number("count", findings.count);
        writer.named_array("first", |writer| findings.first.iter().for_each(|one| writer.string(&one.to_string())));
    });
}

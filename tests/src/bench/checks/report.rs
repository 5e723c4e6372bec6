// SPDX-License-Identifier: BSD-3-Clause

//! What the check costs, as text.

use std::fmt::{Result, Write};

use super::record::{CheckRecord, ChecksOutput};

/// Everything that was measured, for people.
#[must_use]
pub fn text(outputs: &[ChecksOutput]) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write_all(&mut out, outputs);
    out
}

fn write_all(out: &mut String, outputs: &[ChecksOutput]) -> Result {
    if let Some(output) = outputs.first() {
        writeln!(out, "{}", output.spdk)?;
    }
    head(out)?;
    for record in outputs.iter().flat_map(|output| &output.records) {
        line(out, record)?;
    }
    for output in outputs {
        writeln!(out, "check code of a hot block, alone: {:.0} ns", output.alone_ns)?;
        for failure in &output.failures {
            writeln!(out, "FAILED: {failure}")?;
        }
    }
    Ok(())
}

fn head(out: &mut String) -> Result {
    writeln!(
        out,
        "{:<13} {:>4} {:>4} {:>6} {:>9} {:>9} {:>9} {:>9} {:>15} {:>8} {:>8} {:>8} {:>8} {:>8} {:>5}",
        "case",
        "KiB",
        "QD",
        "shards",
        "raw kIOPS",
        "unchecked",
        "checked",
        "on/off",
        "range",
        "off/raw",
        "on/raw",
        "cpu off",
        "cpu on",
        "check ns",
        "share"
    )
}

fn line(out: &mut String, record: &CheckRecord) -> Result {
    let (least, most) = record.ratio_range;
    writeln!(
        out,
        "{:<13} {:>4} {:>4} {:>6} {:>9.1} {:>9.1} {:>9.1} {:>9.3} {:>15} {:>8.2} {:>8.2} {:>8.3} {:>8.3} {:>8.0} {:>5}",
        record.case,
        record.block_size >> 10,
        record.qd,
        record.shards,
        record.raw_iops / 1e3,
        record.unchecked_iops / 1e3,
        record.checked_iops / 1e3,
        record.ratio,
        format!("{least:.3} to {most:.3}"),
        record.unchecked_of_raw,
        record.checked_of_raw,
        record.unchecked_cpu_us,
        record.checked_cpu_us,
        record.check_ns,
        record.core_share.map_or_else(|| "-".to_owned(), |share| format!("{share:.2}"))
    )
}

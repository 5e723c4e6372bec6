// SPDX-License-Identifier: BSD-3-Clause

//! A log block by block.

use std::io::{self, Write};

use crate::dump::{ChunkReport, HeaderReport, Item};
use crate::log::LogReport;
use crate::shown;

/// Hexadecimal digits in a line.
const DIGITS_IN_LINE: usize = 64;

/// Prints a dump.
///
/// # Errors
/// The output cannot be written.
pub fn dump(out: &mut impl Write, log: &LogReport, items: impl Iterator<Item = Item>) -> io::Result<()> {
    writeln!(out, "\nLOG {} generation {} uuid {}", shown::id(log.id), log.generation, log.uuid)?;
    let zones = shown::zones(mpool::Extent { first: log.first_zone, zones: log.zones });
    let fill = format!("{} of {} blocks of {} B in use", log.used_blocks, log.blocks, log.block_bytes);
    writeln!(out, "  {} zones {zones}, {fill}, last set {}, next set {}", log.class, log.last_set, log.next_set)?;
    writeln!(out, "  {}{}", log.state, log.fault.as_ref().map_or(String::new(), |fault| format!(": {fault}")))?;
    for each in items {
        item(out, &each)?;
    }
    Ok(())
}

fn item(out: &mut impl Write, item: &Item) -> io::Result<()> {
    match item {
        Item::Block { block, header, chunks, hex } => {
            writeln!(out, "block {block:>8}  {}", header_line(header))?;
            for chunk in chunks {
                writeln!(out, "  {}", chunk_line(chunk))?;
            }
            hex_lines(out, hex.as_deref())
        }
        Item::End { block, why } => writeln!(out, "block {block:>8}  END OF LOG: {why}"),
        Item::Stale { block, header, hex } => {
            writeln!(out, "block {block:>8}  stale: {}", header_line(header))?;
            hex_lines(out, hex.as_deref())
        }
        Item::Foreign { block, blocks, what } => writeln!(out, "block {block:>8}  {blocks} blocks: {what}"),
    }
}

fn header_line(header: &HeaderReport) -> String {
    let check = match header.check_code_good {
        Some(true) => ", check code good",
        Some(false) => ", check code WRONG",
        None => "",
    };
    let sets = format!("set {} after set {}", header.set, header.previous_set);
    format!("{sets}, generation {}, header version {}{check}", header.generation, header.version)
}

fn chunk_line(chunk: &ChunkReport) -> String {
    let bytes = format!("{} of {} B", chunk.chunk_bytes, chunk.record_bytes);
    // Further lines of the content are placed below the first.
    let content = chunk.content.as_deref().unwrap_or_default().replace('\n', "\n                                    ");
    format!("{:>5}  {:<6} {bytes:<18} {content}", chunk.at_byte, chunk.chunk).trim_end().to_owned()
}

fn hex_lines(out: &mut impl Write, hex: Option<&str>) -> io::Result<()> {
    let digits = hex.unwrap_or_default();
    for (line, start) in (0..digits.len()).step_by(DIGITS_IN_LINE).enumerate() {
        let end = digits.len().min(start + DIGITS_IN_LINE);
        // Digits are ASCII, so a cut anywhere is between characters.
        writeln!(out, "        {:04x}  {}", line * DIGITS_IN_LINE / 2, digits.get(start..end).unwrap_or_default())?;
    }
    Ok(())
}

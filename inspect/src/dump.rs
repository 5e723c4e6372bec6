// SPDX-License-Identifier: BSD-3-Clause

//! A log block by block: headers, records, where it ends and why, and what lies behind its end.
//!
//! An iterator, so that a log of any size takes little memory. It walks like recovery: the engine classifies each block
//! and parses its records; this module only describes what was seen.
//! engine classifies each block and parses its records; here it is only said what was seen.

use mpool::mlog::block::{classify, BlockKind, Header, SetIds, HEADER_BYTES};
use mpool::mlog::record::{ChunkType, Descriptor, Parser, Step, DESCRIPTOR_BYTES};
use mpool::mlog::scan::Recovered;
use serde::Serialize;
use uuid::Uuid;

use crate::content::{Assembly, Content};
use crate::log::{Blocks, Log, Scanned};
use crate::shown;

/// Bytes shown of a record whose meaning is unknown.
const PREVIEW_BYTES: usize = 16;

/// The header of a block.
#[derive(Debug, Serialize)]
pub struct HeaderReport {
    /// Version.
    pub version: u16,
    /// UUID of the log that the block claims to belong to.
    pub uuid: Uuid,
    /// Generation.
    pub generation: u64,
    /// Flush set of the previous block.
    pub previous_set: u32,
    /// Flush set of this block.
    pub set: u32,
    /// Whether the check code matches; none in version 1.
    pub check_code_good: Option<bool>,
}

/// A chunk of a record, or a marker.
#[derive(Debug, Serialize)]
pub struct ChunkReport {
    /// Offset in the block of the chunk's descriptor.
    pub at_byte: usize,
    /// FULL, FIRST, MID, LAST, CSTART or CEND.
    pub chunk: &'static str,
    /// Bytes of the chunk.
    pub chunk_bytes: usize,
    /// Bytes of the whole record.
    pub record_bytes: u32,
    /// The record in words, if it is complete with this chunk.
    pub content: Option<String>,
}

/// The next item of a dump.
#[derive(Debug, Serialize)]
#[serde(tag = "item", rename_all = "kebab-case")]
pub enum Item {
    /// A block of the log.
    Block {
        /// Its number.
        block: u64,
        /// Its header.
        header: HeaderReport,
        /// Its chunks and markers.
        chunks: Vec<ChunkReport>,
        /// All its bytes, if requested.
        #[serde(skip_serializing_if = "Option::is_none")]
        hex: Option<String>,
    },
    /// The log ends before this block.
    End {
        /// The first block that is not part of the log.
        block: u64,
        /// Why that block is not part of the log.
        why: String,
    },
    /// Behind the end: a block of this log and generation that does not count.
    Stale {
        /// Its number.
        block: u64,
        /// Its header.
        header: HeaderReport,
        /// All its bytes, if requested.
        #[serde(skip_serializing_if = "Option::is_none")]
        hex: Option<String>,
    },
    /// Behind the end: blocks of other logs, or of none.
    Foreign {
        /// The first of them.
        block: u64,
        /// Their number.
        blocks: u64,
        /// What they are.
        what: String,
    },
}

/// A walk over a log.
#[derive(Debug)]
pub struct Dump<'a> {
    log: Log<'a>,
    blocks: Blocks<'a>,
    found: Recovered,
    why: String,
    parser: Parser,
    content: Content,
    assembly: Assembly,
    raw: bool,
    next: u64,
    stop: u64,
    ended: bool,
    /// The item after a run of foreign blocks, to be returned next.
    ahead: Option<Item>,
}

impl<'a> Dump<'a> {
    /// A walk over a scanned log. `raw`: with all bytes of each block.
    #[must_use]
    pub fn new(log: Log<'a>, scanned: &Scanned, content: Content, raw: bool) -> Dump<'a> {
        let config = log.config(scanned.compact_sem);
        let end = scanned.found.blocks;
        let why = end_reason(&log, scanned);
        Dump {
            log,
            blocks: Blocks::new(log),
            found: scanned.found,
            why,
            parser: Parser::new(scanned.compact_sem, config.geometry.max_record_bytes()),
            content,
            assembly: Assembly::default(),
            raw,
            next: 0,
            stop: end.saturating_add(config.geometry.stale_blocks()).min(config.geometry.blocks),
            ended: false,
            ahead: None,
        }
    }

    fn valid(&mut self) -> Item {
        let block = self.next;
        self.next += 1;
        let image = match self.blocks.get(block) {
            Ok(image) => image,
            Err(error) => return Item::Foreign { block, blocks: 1, what: format!("the image {error}") },
        };
        let (mut chunks, mut at) = (Vec::new(), HEADER_BYTES);
        loop {
            let name = chunk_name(image, at);
            // Recovery walked over the block with the same parser.
            let Ok(step) = self.parser.step(block, image, at) else { break };
            let chunk = match step {
                Step::EndOfBlock => break,
                Step::Marker { next } => {
                    let marker =
                        ChunkReport { at_byte: at, chunk: name, chunk_bytes: 0, record_bytes: 0, content: None };
                    at = next;
                    marker
                }
                Step::Chunk { begins, ends, total_bytes, payload } => {
                    let bytes = image.get(payload.clone()).unwrap_or_default();
                    let record = self.assembly.take(bytes, begins, ends);
                    let content = record.map(|record| describe(self.content, record, total_bytes));
                    let (chunk_bytes, at_byte) = (payload.len(), at);
                    at = payload.end;
                    ChunkReport { at_byte, chunk: name, chunk_bytes, record_bytes: total_bytes, content }
                }
            };
            chunks.push(chunk);
        }
        let hex = self.raw.then(|| shown::hex(image));
        match Header::decode(image) {
            Some(header) => Item::Block { block, header: header_report(&header, image), chunks, hex },
            None => Item::Foreign { block, blocks: 1, what: "too short for a header".to_owned() },
        }
    }

    /// The next item behind the end. Successive foreign blocks of one kind are one item.
    fn behind(&mut self) -> Option<Item> {
        let first = self.ahead.take().or_else(|| self.one_behind())?;
        let Item::Foreign { block, mut blocks, what } = first else { return Some(first) };
        while let Some(next) = self.one_behind() {
            match next {
                Item::Foreign { what: other, .. } if other == what => blocks += 1,
                other => {
                    self.ahead = Some(other);
                    break;
                }
            }
        }
        Some(Item::Foreign { block, blocks, what })
    }

    fn one_behind(&mut self) -> Option<Item> {
        let block = self.next;
        if block >= self.stop {
            return None;
        }
        self.next += 1;
        let image = match self.blocks.get(block) {
            Ok(image) => image,
            Err(error) => return Some(Item::Foreign { block, blocks: 1, what: format!("the image {error}") }),
        };
        let kind = classify(image, self.log.stamp, self.log.accept_v1);
        Some(match (kind, Header::decode(image)) {
            (BlockKind::Ours(_) | BlockKind::UnknownVersion { .. }, Some(header)) => {
                let hex = self.raw.then(|| shown::hex(image));
                Item::Stale { block, header: header_report(&header, image), hex }
            }
            (_, header) => Item::Foreign { block, blocks: 1, what: foreign(image, header, &self.log) },
        })
    }
}

impl Iterator for Dump<'_> {
    type Item = Item;

    fn next(&mut self) -> Option<Item> {
        if self.next < self.found.blocks {
            return Some(self.valid());
        }
        if !self.ended {
            self.ended = true;
            return Some(Item::End { block: self.next, why: std::mem::take(&mut self.why) });
        }
        self.behind()
    }
}

fn describe(content: Content, record: &[u8], total_bytes: u32) -> String {
    if record.len() as u64 == u64::from(total_bytes) {
        if let Some(meaning) = content.describe(record) {
            return meaning;
        }
    }
    let preview = record.get(..PREVIEW_BYTES).unwrap_or(record);
    let more = if u64::from(total_bytes) > preview.len() as u64 { "..." } else { "" };
    format!("{}{more}", shown::hex(preview))
}

fn chunk_name(image: &[u8], at: usize) -> &'static str {
    let bytes = image.get(at..).and_then(|rest| rest.first_chunk::<DESCRIPTOR_BYTES>());
    match bytes.and_then(|bytes| Descriptor::decode(*bytes).ok()).map(|descriptor| descriptor.kind) {
        Some(ChunkType::Full) => "FULL",
        Some(ChunkType::First) => "FIRST",
        Some(ChunkType::Middle) => "MID",
        Some(ChunkType::Last) => "LAST",
        Some(ChunkType::CompactionStart) => "CSTART",
        Some(ChunkType::CompactionEnd) => "CEND",
        Some(ChunkType::EndOfBlock) | None => "EOLB",
    }
}

fn header_report(header: &Header, image: &[u8]) -> HeaderReport {
    HeaderReport {
        version: header.version,
        uuid: header.stamp.uuid,
        generation: header.stamp.generation,
        previous_set: header.ids.previous,
        set: header.ids.current,
        check_code_good: (header.version != 1).then(|| header.matches(image)),
    }
}

/// Why the block at the end is not part of the log.
fn end_reason(log: &Log<'_>, scanned: &Scanned) -> String {
    if let Some(fault) = &scanned.fault {
        return format!("DAMAGED: {fault}");
    }
    let (end, last_set) = (scanned.found.blocks, scanned.found.last_set);
    if end >= log.geometry().blocks {
        return "the log is full".to_owned();
    }
    let mut blocks = Blocks::new(*log);
    let image = match blocks.get(end) {
        Ok(image) => image,
        Err(error) => return format!("the image {error}"),
    };
    match (classify(image, log.stamp, log.accept_v1), Header::decode(image)) {
        (
            BlockKind::Ours(SetIds { previous, .. }) | BlockKind::UnknownVersion { ids: SetIds { previous, .. }, .. },
            _,
        ) => {
            format!("its block names {previous} as the set before, not {last_set}: it is left over from a cut write")
        }
        (BlockKind::Foreign | BlockKind::Torn(_), header) => foreign(image, header, log),
    }
}

/// What a block is that does not belong to the log.
fn foreign(image: &[u8], header: Option<Header>, log: &Log<'_>) -> String {
    match header {
        _ if image.iter().all(|byte| *byte == 0) => "zeros".to_owned(),
        Some(header) if header.stamp == log.stamp => {
            "a torn or damaged block of the log: its check code is wrong".to_owned()
        }
        Some(header) if header.stamp.uuid == log.stamp.uuid => {
            format!("a block of generation {} of the log, erased since", header.stamp.generation)
        }
        Some(header) if matches!(header.version, 1 | 2) && header.matches(image) => {
            format!("a block of another log, {}", header.stamp.uuid)
        }
        _ => "no block of a log".to_owned(),
    }
}

// SPDX-License-Identifier: BSD-3-Clause

//! Decoding of records.

use mpool::format::fields::{FieldReader, Truncated};
use thiserror::Error;

use super::codec::layout;
use super::entry::{OwnedEntry, PbnRun, MAX_RANGE_BLOCKS};
use super::header::{RecordHeader, HEADER_BYTES};
use crate::format::{Geometry, Mapping, PageId, MAX_LOGICAL_BLOCKS, MAX_PHYSICAL_BLOCKS};
use crate::units::{Lbn, Pbn, ShardId};

/// Bytes of the smallest entry.
const MIN_ENTRY_BYTES: usize = 16;

/// Why bytes are not a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RecordDamage {
    /// The magic is different, or the version unknown.
    #[error("it does not begin as a record does")]
    Foreign,
    /// The bytes end before the record's last entry does.
    #[error("it ends before its last entry does")]
    Truncated,
    /// Bytes follow the last entry.
    #[error("{0} bytes follow its last entry")]
    Excess(usize),
    /// The shard number is impossible.
    #[error("it is of {shard:?} of {shards}")]
    Shard {
        /// The shard that the header names.
        shard: ShardId,
        /// The number of shards in the header.
        shards: u16,
    },
    /// The entry numbers are impossible.
    #[error("its {count} entries from number {first} on do not fit its other numbers")]
    Numbers {
        /// The number of the first entry.
        first: u64,
        /// The number of entries.
        count: u32,
    },
    /// An entry that no writer makes.
    #[error("its entry {0} makes no sense")]
    Entry(u32),
}

/// Decodes a record's header and entries. All numbers returned are within the limits of any volume; the caller checks
/// them against the limits of its own.
///
/// # Errors
/// The first defect found.
pub fn decode(bytes: &[u8]) -> Result<(RecordHeader, Vec<OwnedEntry>), RecordDamage> {
    let header = RecordHeader::decode(bytes)?;
    let mut words = Words { reader: FieldReader::new(bytes), left: bytes.len() };
    words.skip(HEADER_BYTES)?;
    // The header's count sizes the allocation only as far as the bytes suffice.
    let mut entries = Vec::with_capacity((header.count as usize).min(words.left / MIN_ENTRY_BYTES));
    for number in 0..header.count {
        entries.push(words.entry()?.ok_or(RecordDamage::Entry(number))?);
    }
    if words.left > 0 {
        return Err(RecordDamage::Excess(words.left));
    }
    Ok((header, entries))
}

struct Words<'a> {
    reader: FieldReader<'a>,
    left: usize,
}

impl Words<'_> {
    fn skip(&mut self, bytes: usize) -> Result<(), RecordDamage> {
        self.reader.skip(bytes).map_err(|Truncated| RecordDamage::Truncated)?;
        self.left -= bytes;
        Ok(())
    }

    fn next(&mut self) -> Result<u64, RecordDamage> {
        let word = self.reader.u64().map_err(|Truncated| RecordDamage::Truncated)?;
        self.left -= size_of::<u64>();
        Ok(word)
    }

    /// Decodes the next entry; none when its fields make no sense.
    fn entry(&mut self) -> Result<Option<OwnedEntry>, RecordDamage> {
        let (first, second) = (self.next()?, self.next()?);
        let number = first >> layout::NUMBER_SHIFT;
        match first as u8 {
            layout::REMAP => Ok(remap(number, second, self.next()?)),
            layout::RANGE => self.range(number, second),
            layout::PAGE => Ok(page(number, second)),
            layout::PAGE_GONE => Ok(page_gone(number, second)),
            _ => Ok(None),
        }
    }

    fn range(&mut self, first: u64, word: u64) -> Result<Option<OwnedEntry>, RecordDamage> {
        let (count, runs) = (u64::from(word as u16), u64::from((word >> layout::RUNS_SHIFT) as u16));
        let one_page = first < MAX_LOGICAL_BLOCKS && count > 0 && Geometry::run_in_page(Lbn(first), count) == count;
        if !one_page || runs > count || word >> u32::BITS != 0 {
            return Ok(None);
        }
        let (mut list, mut blocks) = (Vec::with_capacity(runs as usize), 0);
        for _ in 0..runs {
            let word = self.next()?;
            let run = PbnRun {
                first: Pbn(word & ((1 << layout::RUN_BLOCKS_SHIFT) - 1)),
                count: (word >> layout::RUN_BLOCKS_SHIFT) as u32,
            };
            blocks += u64::from(run.count);
            if run.count == 0 || !is_block(run.first) || !is_block(run.first.plus(u64::from(run.count) - 1)) {
                return Ok(None);
            }
            list.push(run);
        }
        let entry = OwnedEntry::Range { first: Lbn(first), count: count as u32, runs: list };
        Ok((blocks <= count).then_some(entry))
    }
}

const _: () = assert!(MAX_RANGE_BLOCKS <= u16::MAX as u32);

fn is_block(pbn: Pbn) -> bool {
    pbn != Pbn::ZERO && pbn.0 < MAX_PHYSICAL_BLOCKS
}

fn remap(lbn: u64, old: u64, new: u64) -> Option<OwnedEntry> {
    let new = Mapping::from_bytes(new.to_le_bytes())?;
    let possible = lbn < MAX_LOGICAL_BLOCKS && old < MAX_PHYSICAL_BLOCKS;
    possible.then_some(OwnedEntry::Remap { lbn: Lbn(lbn), old: Pbn(old), new })
}

fn page(index: u64, word: u64) -> Option<OwnedEntry> {
    let (page, pbn) = page_and_block(index, word)?;
    Some(OwnedEntry::Page { page, pbn, life: (word >> layout::LIFE_SHIFT) as u32 })
}

fn page_gone(index: u64, word: u64) -> Option<OwnedEntry> {
    let (page, pbn) = page_and_block(index, word)?;
    (word >> layout::LIFE_SHIFT == 0).then_some(OwnedEntry::PageGone { page, pbn })
}

fn page_and_block(index: u64, word: u64) -> Option<(PageId, Pbn)> {
    let page = PageId { level: (word >> layout::LEVEL_SHIFT) as u8 & 0xf, index };
    let pbn = Pbn(word & ((1 << layout::LEVEL_SHIFT) - 1));
    let exists = page.level < crate::format::ROOT_LEVEL && index <= last_index(page.level);
    (exists && is_block(pbn)).then_some((page, pbn))
}

/// The largest index of a page of a level, in the largest volume.
fn last_index(level: u8) -> u64 {
    let mut page = PageId::leaf_of(Lbn(MAX_LOGICAL_BLOCKS - 1));
    while page.level < level {
        match page.parent() {
            // The last leaf's tree is not the last tree.
            Some((parent, _)) => page = parent,
            None => break,
        }
    }
    page.index - page.tree() + (crate::format::ROOTS - 1)
}

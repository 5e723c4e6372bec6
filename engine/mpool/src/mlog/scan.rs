// SPDX-License-Identifier: BSD-3-Clause

//! Recovery of a log when it is opened: reads all of it.
//!
//! A block counts when it belongs to the log and its generation, and names the flush set of its predecessor. The first
//! that does not is the logical end (LEOL). Blocks that an interrupted write has left behind the end must not be taken
//! for successors of blocks written later; so all blocks of this log within 1 MiB behind the end are examined, and the
//! next flush set's id is above all of theirs.
//!
//! Where flush sets are written one after the other, a set begins only once everything before it is durable. So the
//! first block of a set behind the logical end proves that a block before it existed and is damaged; the log is corrupt
//! then, and not just shorter.
//!
//! Where the medium tears a block, what is left of one may be completed by a later write in its place: a beginning with the
//! header, and a rest that both have in common, such as zeros. So the id of a torn block counts, too: what is written later
//! has another one, and does not become its successor. And a header at the logical end ([`Recovered::remains`]) is wiped out before
//! anything is written there.
//!
//! Differs from mpool: damage is told from the end where it can be, as above; torn blocks are told from others'. Set ids
//! that go back are corrupt.

use core::ops::Range;

use thiserror::Error;

use super::block::{classify, BlockKind, SetIds, Stamp};
use super::geometry::{Geometry, STALE_SCAN_BYTES};
use super::record::{Malformed, Parser};

/// What to scan, and by which rules.
#[derive(Debug, Clone, Copy)]
pub struct ScanConfig {
    /// The size of the log.
    pub geometry: Geometry,
    /// The log and generation whose blocks count.
    pub stamp: Stamp,
    /// The log has compaction markers.
    pub compact_sem: bool,
    /// Blocks of version 1 count.
    pub accept_v1: bool,
    /// Flush sets are written one after the other, each begun after its predecessor had succeeded.
    pub one_in_flight: bool,
}

/// The result of recovery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recovered {
    /// The number of valid blocks: `wsoff`, where the next set begins.
    pub blocks: u64,
    /// `pfsetid`: the set of the last valid block, 0 if there is none.
    pub last_set: u32,
    /// `cfsetid`: the next set's id, above all ids that were seen. It may exceed 32 bits: then the log is full.
    pub next_set: u64,
    /// CSTART was found.
    pub compaction_started: bool,
    /// CEND was found.
    pub compaction_ended: bool,
    /// The block behind the last valid one is torn. Where blocks can be torn its header is to be wiped out, and that to be
    /// durable, before the next set is written.
    pub remains: bool,
}

impl Recovered {
    /// An empty log.
    pub const EMPTY: Recovered = Recovered {
        blocks: 0,
        last_set: 0,
        next_set: 1,
        compaction_started: false,
        compaction_ended: false,
        remains: false,
    };

    /// True when the log has no valid block.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.blocks == 0
    }
}

/// Why a log cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ScanError {
    /// ENODATA: a block has records that no writer leaves.
    #[error("block {block} has {error}")]
    Malformed {
        /// The number of the block.
        block: u64,
        /// The defect of its records.
        error: Malformed,
    },
    /// ENODATA: the header's version is unknown.
    #[error("block {block} has header version {version}")]
    UnknownVersion {
        /// The number of the block.
        block: u64,
        /// The version in the header.
        version: u16,
    },
    /// ENODATA: a block's flush set is older than its predecessor's.
    #[error("block {block} has a flush-set id that goes back")]
    SetGoesBack {
        /// The number of the block.
        block: u64,
    },
    /// ENODATA: a block that was durable does not exist any more.
    #[error("block {block} is damaged: a later flush set begins at block {witness}")]
    Damaged {
        /// The number of the block.
        block: u64,
        /// A later block that was written after the damaged one was durable.
        witness: u64,
    },
    /// ENODATA: a log with compaction markers does not begin with one.
    #[error("there is no mark of a compaction's start")]
    NoStart,
    /// EMSGSIZE: a compaction into this log was interrupted.
    #[error("a compaction into the log was interrupted")]
    Unfinished,
}

/// A recovery in progress. It requests pieces of the log, one after the other, until it has seen enough.
#[derive(Debug)]
pub struct Scan {
    config: ScanConfig,
    parser: Parser,
    next_block: u64,
    logical_end: Option<u64>,
    last_set: u32,
    max_set: u32,
    remains: bool,
}

/// Flush sets that a torn block may be ahead of the last valid one: more would be damage, and leave no ids.
const TORN_AHEAD: u32 = 1 << 20;

impl Scan {
    /// A recovery before the first block.
    #[must_use]
    pub fn new(config: ScanConfig) -> Scan {
        Scan {
            config,
            parser: Parser::new(config.compact_sem, config.geometry.max_record_bytes()),
            next_block: 0,
            logical_end: None,
            last_set: 0,
            max_set: 0,
            remains: false,
        }
    }

    /// The next byte range of the log to feed, at most `max_bytes` of whole blocks; none when everything is seen.
    #[must_use]
    pub fn wants(&self, max_bytes: usize) -> Option<Range<u64>> {
        let geometry = self.config.geometry;
        let sector = geometry.sector_bytes as u64;
        let stop = self.logical_end.map_or(geometry.blocks, |end| end.saturating_add(geometry.stale_blocks()));
        let left = stop.min(geometry.blocks).saturating_sub(self.next_block);
        let blocks = left.min((max_bytes.min(STALE_SCAN_BYTES) as u64 / sector).max(1));
        (blocks > 0).then(|| self.next_block * sector..(self.next_block + blocks) * sector)
    }

    /// Takes the requested piece.
    ///
    /// # Errors
    /// The log is corrupt.
    pub fn feed(&mut self, piece: &[u8]) -> Result<(), ScanError> {
        for image in piece.chunks_exact(self.config.geometry.sector_bytes) {
            let kind = classify(image, self.config.stamp, self.config.accept_v1);
            if self.logical_end.is_none() && !self.take_valid(image, kind)? {
                self.logical_end = Some(self.next_block);
            }
            if let Some(end) = self.logical_end {
                self.take_stale(end, kind)?;
            }
            self.next_block += 1;
        }
        Ok(())
    }

    /// Takes a block that continues the log. False if it does not.
    fn take_valid(&mut self, image: &[u8], kind: BlockKind) -> Result<bool, ScanError> {
        let block = self.next_block;
        match kind {
            BlockKind::UnknownVersion { version, ids } if ids.previous == self.last_set => {
                Err(ScanError::UnknownVersion { block, version })
            }
            BlockKind::Ours(ids) if ids.previous == self.last_set => {
                if ids.current == 0 || ids.current < self.last_set {
                    return Err(ScanError::SetGoesBack { block });
                }
                self.parser.take_block(block, image).map_err(|error| ScanError::Malformed { block, error })?;
                self.last_set = ids.current;
                self.max_set = ids.current;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    fn take_stale(&mut self, end: u64, kind: BlockKind) -> Result<(), ScanError> {
        if let BlockKind::Ours(ids) = kind {
            let begins_a_set = ids.previous != ids.current;
            if self.config.one_in_flight && begins_a_set && self.next_block > end {
                return Err(ScanError::Damaged { block: end, witness: self.next_block });
            }
        }
        if let BlockKind::Ours(ids) | BlockKind::UnknownVersion { ids, .. } = kind {
            let SetIds { previous, current } = ids;
            // No writer names a newer predecessor; but whatever is here must not become a successor.
            self.max_set = self.max_set.max(current).max(previous);
        }
        if let BlockKind::Torn(ids) = kind {
            self.remains |= self.next_block == end;
            if ids.current.saturating_sub(self.last_set) <= TORN_AHEAD {
                self.max_set = self.max_set.max(ids.current);
            }
        }
        Ok(())
    }

    /// The result so far, whether or not the log can be used.
    #[must_use]
    pub fn found(&self) -> Recovered {
        Recovered {
            blocks: self.logical_end.unwrap_or(self.next_block),
            last_set: self.last_set,
            next_set: u64::from(self.max_set) + 1,
            compaction_started: self.parser.compaction_started(),
            compaction_ended: self.parser.compaction_ended(),
            remains: self.remains,
        }
    }

    /// The final result, when nothing more is requested.
    ///
    /// # Errors
    /// NoStart, Unfinished: a log with compaction markers lacks one.
    pub fn finish(&self) -> Result<Recovered, ScanError> {
        let recovered = self.found();
        if self.config.compact_sem && !recovered.is_empty() {
            if !recovered.compaction_started {
                return Err(ScanError::NoStart);
            }
            if !recovered.compaction_ended {
                return Err(ScanError::Unfinished);
            }
        }
        Ok(recovered)
    }
}

#[cfg(test)]
mod tests;

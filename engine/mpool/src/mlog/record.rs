// SPDX-License-Identifier: BSD-3-Clause

//! Records in log blocks: their descriptors, and the rules for sequences.
//!
//! A record is one chunk, or several in successive blocks; each chunk is a descriptor and its part of the record.
//! ```text
//!  off size
//!    0    4  tlen: bytes of the whole record, the same in each of its chunks
//!    4    2  rlen: bytes of this chunk
//!    6    1  type
//!    7    1  zero
//!    8       rlen bytes
//! ```
//! A block's last chunk is followed by a descriptor of zeros (EOLB), or by fewer than 8 bytes.
//!
//! One state machine, [`Parser`], implements the rules; recovery and reading both run it. Differs from mpool: CSTART
//! must be the first record of the first block, as mpool's text says and its code does not check; lengths that
//! contradict each other, or a log's capacity, are corrupt.

use core::ops::Range;

use thiserror::Error;

use super::block::HEADER_BYTES;

/// Bytes of a descriptor.
pub const DESCRIPTOR_BYTES: usize = 8;

/// The type of a descriptor, with its number on media.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ChunkType {
    /// The end of the block.
    EndOfBlock = 0,
    /// A whole record.
    Full = 1,
    /// The first chunk of several.
    First = 2,
    /// Neither the first chunk nor the last.
    Middle = 3,
    /// The last chunk of several.
    Last = 4,
    /// Marker: a compaction began.
    CompactionStart = 5,
    /// Marker: the compaction ended.
    CompactionEnd = 6,
}

/// The descriptor of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Descriptor {
    /// Bytes of the whole record.
    pub total_bytes: u32,
    /// Bytes of this chunk.
    pub chunk_bytes: u16,
    /// The type of the chunk.
    pub kind: ChunkType,
}

impl Descriptor {
    /// Encodes the descriptor.
    #[must_use]
    pub fn encode(self) -> [u8; DESCRIPTOR_BYTES] {
        let [t0, t1, t2, t3] = self.total_bytes.to_le_bytes();
        let [r0, r1] = self.chunk_bytes.to_le_bytes();
        [t0, t1, t2, t3, r0, r1, self.kind as u8, 0]
    }

    /// Decodes a descriptor.
    ///
    /// # Errors
    /// The type is unknown.
    pub fn decode(bytes: [u8; DESCRIPTOR_BYTES]) -> Result<Descriptor, Malformed> {
        let [t0, t1, t2, t3, r0, r1, kind, _] = bytes;
        let kind = match kind {
            0 => ChunkType::EndOfBlock,
            1 => ChunkType::Full,
            2 => ChunkType::First,
            3 => ChunkType::Middle,
            4 => ChunkType::Last,
            5 => ChunkType::CompactionStart,
            6 => ChunkType::CompactionEnd,
            unknown => return Err(Malformed::Type(unknown)),
        };
        Ok(Descriptor {
            total_bytes: u32::from_le_bytes([t0, t1, t2, t3]),
            chunk_bytes: u16::from_le_bytes([r0, r1]),
            kind,
        })
    }
}

/// A sequence of records that no writer leaves: the log is corrupt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Malformed {
    /// A descriptor has an unknown type.
    #[error("a record of unknown type {0}")]
    Type(u8),
    /// A descriptor's lengths contradict the block, the record's other chunks or the log's size.
    #[error("a record with impossible lengths")]
    Lengths,
    /// A record begins in the middle of a block while another is incomplete.
    #[error("a record begins inside another one")]
    Nested,
    /// A middle or last chunk has no first one.
    #[error("a chunk without the start of its record")]
    Orphan,
    /// A block ends before its first record, or inside a record that continues in the next.
    #[error("a block ends too early")]
    EarlyEnd,
    /// A marker is in a log without compaction, or at the wrong place.
    #[error("a compaction marker out of place")]
    Marker,
}

/// One step through a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// No more chunks in this block.
    EndOfBlock,
    /// A marker; the next chunk is at `next`.
    Marker {
        /// The offset in the block of the next descriptor.
        next: usize,
    },
    /// A chunk of a record.
    Chunk {
        /// The chunk begins a record. An incomplete record before it is void.
        begins: bool,
        /// The chunk ends the record.
        ends: bool,
        /// Bytes of the whole record.
        total_bytes: u32,
        /// The range of its bytes in the block.
        payload: Range<usize>,
    },
}

/// The incomplete record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Partial {
    total: u32,
    seen: u32,
}

/// Checks the sequence of records. One parser serves all blocks of a log, fed in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parser {
    compact_sem: bool,
    max_record_bytes: u64,
    partial: Option<Partial>,
    compaction_started: bool,
    compaction_ended: bool,
}

impl Parser {
    /// A parser for the first block of a log. `max_record_bytes` is the limit that the log's capacity sets.
    #[must_use]
    pub fn new(compact_sem: bool, max_record_bytes: u64) -> Parser {
        Parser { compact_sem, max_record_bytes, partial: None, compaction_started: false, compaction_ended: false }
    }

    /// True when a record has begun and not ended.
    #[must_use]
    pub fn mid_record(&self) -> bool {
        self.partial.is_some()
    }

    /// True when CSTART was seen.
    #[must_use]
    pub fn compaction_started(&self) -> bool {
        self.compaction_started
    }

    /// True when CEND was seen.
    #[must_use]
    pub fn compaction_ended(&self) -> bool {
        self.compaction_ended
    }

    /// Takes the chunk at offset `at` of block `number`; `at` is [`HEADER_BYTES`] for its first one.
    ///
    /// # Errors
    /// The log is corrupt.
    pub fn step(&mut self, number: u64, block: &[u8], at: usize) -> Result<Step, Malformed> {
        let Some(bytes) = block.get(at..).and_then(|rest| rest.first_chunk::<DESCRIPTOR_BYTES>()) else {
            return Ok(Step::EndOfBlock);
        };
        let first_in_block = at == HEADER_BYTES;
        let found = Descriptor::decode(*bytes)?;
        let start = at + DESCRIPTOR_BYTES;
        let payload = start..start + usize::from(found.chunk_bytes);
        if payload.end > block.len() {
            return Err(Malformed::Lengths);
        }
        match found.kind {
            ChunkType::EndOfBlock if first_in_block || self.mid_record() => Err(Malformed::EarlyEnd),
            ChunkType::EndOfBlock => Ok(Step::EndOfBlock),
            ChunkType::CompactionStart | ChunkType::CompactionEnd => {
                self.marker(found, number == 0 && first_in_block)?;
                Ok(Step::Marker { next: start })
            }
            ChunkType::Full | ChunkType::First if self.mid_record() && !first_in_block => Err(Malformed::Nested),
            ChunkType::Full | ChunkType::First | ChunkType::Middle | ChunkType::Last => {
                let begins = matches!(found.kind, ChunkType::Full | ChunkType::First);
                let ends = self.chunk(found, begins)?;
                Ok(Step::Chunk { begins, ends, total_bytes: found.total_bytes, payload })
            }
        }
    }

    fn marker(&mut self, found: Descriptor, first_in_log: bool) -> Result<(), Malformed> {
        if found.total_bytes != 0 || found.chunk_bytes != 0 {
            return Err(Malformed::Lengths);
        }
        let in_place = if found.kind == ChunkType::CompactionStart {
            first_in_log
        } else {
            self.compaction_started && !self.compaction_ended && !self.mid_record()
        };
        if !self.compact_sem || !in_place {
            return Err(Malformed::Marker);
        }
        self.compaction_started = true;
        self.compaction_ended = found.kind == ChunkType::CompactionEnd;
        Ok(())
    }

    /// Adds a chunk to its record. True when that completes the record.
    fn chunk(&mut self, found: Descriptor, begins: bool) -> Result<bool, Malformed> {
        let partial = match self.partial {
            _ if begins => Partial { total: found.total_bytes, seen: 0 },
            Some(partial) => partial,
            None => return Err(Malformed::Orphan),
        };
        let seen = partial.seen.checked_add(u32::from(found.chunk_bytes)).ok_or(Malformed::Lengths)?;
        let ends = matches!(found.kind, ChunkType::Full | ChunkType::Last);
        let fits = seen <= partial.total && (!ends || seen == partial.total);
        if partial.total != found.total_bytes || !fits || u64::from(partial.total) > self.max_record_bytes {
            return Err(Malformed::Lengths);
        }
        self.partial = (!ends).then_some(Partial { total: partial.total, seen });
        Ok(ends)
    }

    /// Takes all chunks of a block.
    ///
    /// # Errors
    /// The log is corrupt.
    pub fn take_block(&mut self, number: u64, block: &[u8]) -> Result<(), Malformed> {
        let mut at = HEADER_BYTES;
        loop {
            match self.step(number, block, at)? {
                Step::EndOfBlock => return Ok(()),
                Step::Marker { next } => at = next,
                Step::Chunk { payload, .. } => at = payload.end,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A block of 512 bytes with these chunks.
    fn block(chunks: &[(u32, u16, u8)]) -> Vec<u8> {
        let mut block = vec![0; HEADER_BYTES];
        for &(total, bytes, kind) in chunks {
            block.extend(total.to_le_bytes());
            block.extend(bytes.to_le_bytes());
            block.extend([kind, 0]);
            block.extend(vec![0xdd; usize::from(bytes)]);
        }
        block.resize(512, 0);
        block
    }

    fn parse(compact_sem: bool, blocks: &[Vec<u8>]) -> Result<Parser, Malformed> {
        let mut parser = Parser::new(compact_sem, 1 << 16);
        for (number, block) in (0..).zip(blocks) {
            parser.take_block(number, block)?;
        }
        Ok(parser)
    }

    #[test]
    fn a_descriptor_has_the_bytes_of_the_specification() {
        let descriptor = Descriptor { total_bytes: 0x0403_0201, chunk_bytes: 0x0605, kind: ChunkType::Last };
        assert_eq!(descriptor.encode(), [1, 2, 3, 4, 5, 6, 4, 0]);
        assert_eq!(Descriptor::decode([1, 2, 3, 4, 5, 6, 4, 0xff]), Ok(descriptor));
        for kind in 7..=255 {
            assert_eq!(Descriptor::decode([0, 0, 0, 0, 0, 0, kind, 0]), Err(Malformed::Type(kind)));
        }
    }

    /// mpool-65: sequences that no writer leaves are corrupt.
    #[test]
    fn malformed_sequences_are_told_apart() {
        use Malformed::{EarlyEnd, Lengths, Marker, Nested, Orphan, Type};
        let first = || block(&[(600, 464, 2)]);
        for (blocks, error) in [
            (vec![block(&[])], EarlyEnd),
            (vec![block(&[(600, 10, 2)])], EarlyEnd),
            (vec![block(&[(1, 1, 3)])], Orphan),
            (vec![block(&[(1, 1, 4)])], Orphan),
            (vec![block(&[(1, 1, 1), (2, 2, 4)])], Orphan),
            (vec![block(&[(1, 1, 9)])], Type(9)),
            (vec![block(&[(600, 10, 2), (1, 1, 1)])], Nested),
            (vec![block(&[(600, 10, 2), (600, 10, 2)])], Nested),
            (vec![first(), block(&[(600, 100, 4)])], Lengths),
            (vec![first(), block(&[(601, 136, 4)])], Lengths),
            (vec![first(), block(&[(600, 137, 3)])], Lengths),
            (vec![block(&[(2, 1, 1)])], Lengths),
            (vec![block(&[(1 << 20, 464, 2)])], Lengths),
            (vec![block(&[(465, 465, 1)])], Lengths),
            (vec![block(&[(0, 0, 5)])], Marker),
            (vec![block(&[(1, 1, 1), (0, 0, 6)])], Marker),
        ] {
            assert_eq!(parse(false, &blocks).err(), Some(error), "{error:?}");
        }
    }

    /// mpool-64: a record that was cut is void when another begins in a new block, and only there.
    #[test]
    fn a_cut_record_is_followed_by_another_in_a_new_block() {
        let cut = block(&[(600, 464, 2)]);
        for next in [block(&[(3, 3, 1)]), block(&[(600, 464, 2)])] {
            assert!(parse(false, &[cut.clone(), next]).is_ok());
        }
        let parser = parse(false, &[cut.clone(), block(&[(600, 136, 4), (3, 3, 1)])]).expect("the record is complete");
        assert!(!parser.mid_record());
        assert!(parse(false, &[cut]).expect("it is cut").mid_record());
    }

    #[test]
    fn markers_are_where_the_specification_wants_them() {
        let (start, end) = ((0, 0, 5), (0, 0, 6));
        let parser = parse(true, &[block(&[start, (1, 1, 1), end, (1, 1, 1)])]).expect("in place");
        assert!(parser.compaction_started() && parser.compaction_ended());
        let parser = parse(true, &[block(&[start])]).expect("in place");
        assert!(parser.compaction_started() && !parser.compaction_ended());
        for (blocks, error) in [
            (vec![block(&[(1, 1, 1)]), block(&[start])], Malformed::Marker),
            (vec![block(&[(1, 1, 1), start])], Malformed::Marker),
            (vec![block(&[start, start])], Malformed::Marker),
            (vec![block(&[end])], Malformed::Marker),
            (vec![block(&[start, end, end])], Malformed::Marker),
            (vec![block(&[start, (600, 456, 2)]), block(&[end])], Malformed::Marker),
            (vec![block(&[(0, 1, 5)])], Malformed::Lengths),
        ] {
            assert_eq!(parse(true, &blocks).err(), Some(error));
        }
    }

    #[test]
    fn any_bytes_end_in_a_result() {
        let mut random = crate::testing::Random::new(1);
        for _ in 0..20_000 {
            let length = random.below(600);
            let mut bytes: Vec<u8> = (0..length).map(|_| [0, 1, 2, 3, 4, 5, 6, 255][random.below(8)]).collect();
            bytes.truncate(length);
            let _ = Parser::new(random.one_in(2), 1 << 32).take_block(0, &bytes);
        }
    }
}

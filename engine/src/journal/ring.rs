// SPDX-License-Identifier: BSD-3-Clause

//! The ring of segments: where records go, how much room is left, which segment can be erased.
//!
//! ```text
//!   erased --first record--> written --no room for a record--> full --entries not needed--> being erased -.
//!     ^                      (one)                                                          (one)         |
//!     `---------------------------------------------------------------------------------------------------'
//! ```
//! Segments are erased one at a time and oldest first: whenever the power fails, the ring holds a run of consecutive
//! entries that ends with the newest. A record never crosses into the next segment; the unused sectors at the end of
//! its segment are lost.

use std::collections::VecDeque;

use mpool::mlog::block::{LogFormat, HEADER_BYTES};
use mpool::mlog::record::DESCRIPTOR_BYTES;
use mpool::mlog::{FlushSet, Geometry, LogWriter, Policy, Recovered, SetId, WriterConfig};

use super::config::{MAX_SETS, SET_BYTES};
use super::eras::Eras;
use crate::format::JournalSegment;

/// Converts between sizes of records and numbers of sectors.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    sector_bytes: usize,
}

impl Sizes {
    pub const fn new(sector_bytes: usize) -> Sizes {
        Sizes { sector_bytes }
    }

    const fn payload_bytes(self) -> usize {
        self.sector_bytes - HEADER_BYTES - DESCRIPTOR_BYTES
    }

    /// Sectors of a record of `record_bytes` bytes.
    pub const fn sectors(self, record_bytes: usize) -> u64 {
        record_bytes.div_ceil(self.payload_bytes()) as u64
    }

    /// Sectors of the longest record.
    pub const fn max_record_sectors(self) -> u64 {
        (SET_BYTES / self.sector_bytes) as u64
    }

    /// Bytes of the longest record.
    pub const fn max_record_bytes(self) -> usize {
        SET_BYTES / self.sector_bytes * self.payload_bytes()
    }
}

/// One log of the ring, with the number of the volume's segment.
#[derive(Debug)]
struct Segment {
    number: u32,
    config: WriterConfig,
    /// `None` from the time that nothing is written any more until the segment is erased.
    writer: Option<LogWriter<Vec<u8>>>,
    /// The number of its last entry plus one.
    end: u64,
}

impl Segment {
    fn new(segment: &JournalSegment) -> Segment {
        let JournalSegment { number, capacity_bytes, sector_bytes, stamp } = *segment;
        let geometry = Geometry::new(sector_bytes, capacity_bytes).expect("drives have sectors of 512 or 4096 bytes");
        let config = WriterConfig {
            format: LogFormat::V2,
            stamp,
            geometry,
            policy: Policy::Fresh,
            buffers: MAX_SETS,
            max_in_flight: MAX_SETS,
        };
        Segment { number, config, writer: Some(erased_log(config)), end: 0 }
    }

    fn sectors(&self) -> u64 {
        self.config.geometry.blocks
    }

    /// Sectors in use, including the whole of a full segment.
    fn consumed(&self) -> u64 {
        self.writer.as_ref().map_or(self.sectors(), |writer| writer.end().block)
    }
}

fn erased_log(config: WriterConfig) -> LogWriter<Vec<u8>> {
    let mut writer = LogWriter::new(config, &Recovered::EMPTY);
    for _ in 0..config.buffers {
        assert!(writer.supply(vec![0; SET_BYTES]).is_none(), "a new log has no buffers");
    }
    writer
}

/// The segments of a journal and their states.
#[derive(Debug)]
pub(super) struct Ring {
    segments: Vec<Segment>,
    /// Indices of the segments with entries, oldest first; the last one is being written.
    used: VecDeque<usize>,
    /// Indices of the erased segments, in the order of their use.
    erased: VecDeque<usize>,
    /// Whether the oldest segment is being erased.
    erasing: bool,
    sizes: Sizes,
    /// Sectors of all segments together.
    sectors: u64,
    /// Sectors of the erased segments.
    erased_sectors: u64,
    /// Sectors of all segments that became full since the journal began.
    passed_sectors: u64,
    eras: Eras,
}

impl Ring {
    /// # Panics
    /// If the segments differ in the size of their sectors.
    pub fn new(segments: &[JournalSegment]) -> Ring {
        let sector_bytes = segments.first().map_or(0, |segment| segment.sector_bytes);
        assert!(segments.iter().all(|segment| segment.sector_bytes == sector_bytes), "sectors of one size");
        let segments: Vec<Segment> = segments.iter().map(Segment::new).collect();
        let sectors = segments.iter().map(Segment::sectors).sum();
        Ring {
            used: VecDeque::with_capacity(segments.len()),
            erased: (0..segments.len()).collect(),
            erasing: false,
            sizes: Sizes::new(sector_bytes),
            sectors,
            erased_sectors: sectors,
            passed_sectors: 0,
            eras: Eras::new(sectors),
            segments,
        }
    }

    pub fn sizes(&self) -> Sizes {
        self.sizes
    }

    /// The volume's number of the segment with this index in the ring.
    pub fn number(&self, segment: usize) -> u32 {
        self.segments[segment].number
    }

    /// Sectors that records can fill, whatever their sizes.
    pub fn free_sectors(&self) -> u64 {
        let here = self.used.back().map_or(0, |&last| self.segments[last].sectors() - self.segments[last].consumed());
        let lost = (self.sizes.max_record_sectors() - 1) * self.erased.len() as u64;
        here + self.erased_sectors.saturating_sub(lost)
    }

    /// Puts a record with the entries from `first` up to `end` into the ring. Returns the segment's index and the set
    /// to be written.
    ///
    /// # Panics
    /// If there is no room: every appended entry has its place reserved.
    pub fn put(&mut self, record: &[u8], first: u64, end: u64) -> (usize, FlushSet<Vec<u8>>) {
        let index = self.segment_for(record.len());
        let position = self.passed_sectors + self.segments[index].consumed();
        self.eras.record_begins(position, first);
        let segment = &mut self.segments[index];
        segment.end = end;
        let writer = segment.writer.as_mut().expect("the segment that is written has a writer");
        let set = match writer.append(record) {
            Ok(_) => writer.next_flush(true),
            Err(error) => panic!("a record of {} bytes does not go into a log with room: {error}", record.len()),
        };
        (index, set.expect("fewer sets are under way than the log allows"))
    }

    /// The segment that takes a record: the last used one, or the next erased one.
    fn segment_for(&mut self, record_bytes: usize) -> usize {
        let fits = |segment: &Segment| segment.sectors() - segment.consumed() >= self.sizes.sectors(record_bytes);
        if let Some(&last) = self.used.back() {
            if fits(&self.segments[last]) {
                return last;
            }
            self.passed_sectors += self.segments[last].sectors();
            self.retire(last);
        }
        let next = self.erased.pop_front().expect("what is appended has its place reserved");
        self.erased_sectors -= self.segments[next].sectors();
        self.used.push_back(next);
        next
    }

    /// A set of a segment is durable. Returns its memory to the log.
    pub fn settled(&mut self, segment: usize, id: SetId, memory: Vec<u8>) {
        let writer = self.segments[segment].writer.as_mut().expect("a log with a set under way has a writer");
        writer.flushed(id, memory, true);
        if self.used.back() != Some(&segment) {
            self.retire(segment);
        }
    }

    /// Drops the writer of a full segment when none of its sets is in flight.
    fn retire(&mut self, segment: usize) {
        self.segments[segment].writer.take_if(|writer| writer.is_idle());
    }

    /// The full segments, oldest first.
    fn full(&self) -> impl DoubleEndedIterator<Item = &Segment> {
        let count = self.used.len().saturating_sub(1);
        self.used.range(..count).map(|&index| &self.segments[index])
    }

    /// The end of the full segments' applied entries, up to which the zones are to confirm, if half of the ring waits
    /// for that. This is always the case when the ring is full and its oldest segment is not confirmed: then no segment
    /// is.
    pub fn wanted_commit(&self, confirmed: u64, applied: u64) -> Option<u64> {
        let end = self.full().rev().map(|segment| segment.end).find(|&end| end <= applied)?;
        let waiting = self.used.iter().map(|&index| &self.segments[index]).filter(|segment| segment.end > confirmed);
        let waiting: u64 = waiting.map(Segment::consumed).sum();
        (end > confirmed && waiting > self.sectors / 2).then_some(end)
    }

    /// Pages that need an entry before this one are to be written: an old entry, or an entry in the oldest segment when
    /// no erased segment is left. With segments of different sizes the entries of the oldest segment need not be old.
    pub fn write_before(&self) -> u64 {
        let oldest = self.full().next().filter(|_| self.erased.is_empty()).map_or(0, |segment| segment.end);
        oldest.max(self.eras.old_before())
    }

    /// Takes the oldest segment to be erased when no entry before `head` is needed, unless a segment is being erased
    /// already. Some entry after the segment is durable, so there is always a last record with the volume's counters.
    pub fn take_erasure(&mut self, head: u64, applied: u64) -> Option<u32> {
        let is_old = |segment: &&Segment| segment.end <= head && segment.end < applied && segment.writer.is_none();
        let oldest = self.full().next().filter(is_old)?;
        let number = oldest.number;
        (!std::mem::replace(&mut self.erasing, true)).then_some(number)
    }

    /// Whether a segment is being erased.
    pub fn is_erasing(&self) -> bool {
        self.erasing
    }

    /// The erasure of a segment has ended: the segment has `generation` now, or is lost to the ring.
    ///
    /// # Panics
    /// If that segment is not being erased.
    pub fn erased(&mut self, number: u32, generation: Option<u64>) {
        assert!(std::mem::take(&mut self.erasing), "segment {number} is not being erased");
        let Some(generation) = generation else { return };
        let index = self.used.pop_front().expect("the segment that was erased is the oldest");
        let segment = &mut self.segments[index];
        assert_eq!(segment.number, number, "the segment that was erased is the oldest");
        assert!(generation > segment.config.stamp.generation, "an erasure makes a new generation");
        segment.config.stamp.generation = generation;
        segment.writer = Some(erased_log(segment.config));
        self.erased_sectors += segment.sectors();
        self.erased.push_back(index);
    }
}

// SPDX-License-Identifier: BSD-3-Clause

//! Drives the framer of a log as a journal does, without a device: records go in, flush sets come out, several are in
//! flight and end out of order.
//!
//! Invariant: allocates nothing once it is built, so that what is counted or timed is the framer's.

use std::collections::VecDeque;

use mpool::mlog::block::Stamp;
use mpool::mlog::scan::Recovered;
use mpool::mlog::{AppendError, FlushSet, Geometry, LogFormat, LogWriter, Policy, Position, WriterConfig};
use uuid::Uuid;

/// Bytes of the log: it is not to get full.
const LOG_BYTES: u64 = 1 << 50;

/// A framer, and the flush sets that would be on their way to a device.
#[derive(Debug)]
pub struct FramerLoad {
    writer: LogWriter<Vec<u8>>,
    in_flight: VecDeque<FlushSet<Vec<u8>>>,
    sets: u64,
    set_bytes: u64,
}

impl FramerLoad {
    /// A log of blocks of `sector_bytes`, with flush sets of up to `buffer_bytes`, up to `depth` of them in flight.
    ///
    /// # Panics
    /// The sizes do not suit a log.
    #[must_use]
    pub fn new(sector_bytes: usize, buffer_bytes: usize, depth: usize) -> FramerLoad {
        let config = WriterConfig {
            format: LogFormat::V2,
            stamp: Stamp { uuid: Uuid::from_u128(7), generation: 1 },
            geometry: Geometry::new(sector_bytes, LOG_BYTES).expect("a sector size that logs have"),
            policy: Policy::Fresh,
            // One is being filled, one is ready for the place of the next set that ends.
            buffers: depth + 2,
            max_in_flight: depth,
        };
        let mut writer = LogWriter::new(config, &Recovered::EMPTY);
        for _ in 0..writer.missing_buffers() {
            writer.supply(vec![0; buffer_bytes]);
        }
        FramerLoad { writer, in_flight: VecDeque::with_capacity(depth + 1), sets: 0, set_bytes: 0 }
    }

    /// Appends a record. Flush sets that have become full are on their way; as many as may be in flight are.
    ///
    /// # Panics
    /// The framer refuses the record.
    pub fn append(&mut self, record: &[u8]) {
        while let Err(error) = self.writer.append(record) {
            assert!(error == AppendError::Busy && !self.in_flight.is_empty(), "{error}");
            self.end_one();
        }
        self.launch(false);
    }

    /// Sends what was appended on its way, in a flush set that is not full.
    pub fn commit(&mut self) {
        let before = self.sets;
        self.launch(true);
        while self.sets == before && !self.in_flight.is_empty() {
            self.end_one();
            self.launch(true);
        }
    }

    /// Ends all that is in flight; everything appended is durable then.
    ///
    /// # Panics
    /// It is not.
    pub fn settle(&mut self) {
        loop {
            self.launch(true);
            if self.in_flight.is_empty() {
                break;
            }
            self.end_one();
        }
        assert_eq!(self.writer.durable(), self.writer.appended());
    }

    /// Everything up to here was appended.
    #[must_use]
    pub fn appended(&self) -> Position {
        self.writer.appended()
    }

    /// Flush sets so far.
    #[must_use]
    pub fn sets(&self) -> u64 {
        self.sets
    }

    /// Bytes that were to be written so far.
    #[must_use]
    pub fn set_bytes(&self) -> u64 {
        self.set_bytes
    }

    fn launch(&mut self, partial: bool) {
        while let Some(set) = self.writer.next_flush(partial) {
            self.sets += 1;
            self.set_bytes += set.range.len() as u64;
            self.in_flight.push_back(set);
        }
    }

    /// In turn the oldest and the one behind it.
    fn end_one(&mut self) {
        let at = (self.sets % 2) as usize % self.in_flight.len();
        if let Some(set) = self.in_flight.remove(at) {
            let settled = self.writer.flushed(set.id, set.buffer, true);
            assert_eq!(settled.lost, None, "nothing fails here");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_appended_is_sent_and_becomes_durable() {
        let mut load = FramerLoad::new(4096, 64 << 10, 4);
        for _ in 0..1000 {
            load.append(&[1; 4096]);
        }
        load.settle();
        assert_eq!(load.appended(), Position(1000));
        // 4048 of the 4096 bytes of a block are a record's, and each chunk has a descriptor.
        let least = 1000 * 4096 / 4048 * 4096;
        assert!((least..least + least / 20).contains(&load.set_bytes()), "{}", load.set_bytes());
        assert!((60..80).contains(&load.sets()), "{}", load.sets());
    }

    #[test]
    fn each_commit_is_a_set() {
        let mut load = FramerLoad::new(512, 64 << 10, 2);
        for _ in 0..100 {
            load.append(&[1; 100]);
            load.commit();
        }
        load.settle();
        assert_eq!((load.sets(), load.set_bytes()), (100, 100 * 512));
    }
}

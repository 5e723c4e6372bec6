// SPDX-License-Identifier: BSD-3-Clause

//! What a log may contain, record by record, given what its users were told.
//!
//! * A record whose durable append was acknowledged is there, and so is each that was acknowledged before such an
//!   append, a flush or a close began.
//! * Of the others, those that are there have all those before them that were acknowledged when they were begun: what
//!   a power cut loses is a suffix.
//! * A failed append leaves itself in doubt, and what was not durable then or was being appended: each may be there or
//!   not. So may what is acknowledged between a failure and its report.
//! * Nothing else is there, nothing twice, and the order is that of the calls, as far as they did not overlap.

use mpool::testing::mix;

/// Bytes that make a record known again.
const NAMED: usize = 8;

/// How sure a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// Its append has not ended.
    Begun,
    /// It was acknowledged; a power cut may lose it.
    Acknowledged,
    /// Nothing may lose it.
    Durable,
    /// It is there or not.
    Doubtful,
}

#[derive(Debug, Clone, Copy)]
struct Record {
    name: u64,
    bytes: usize,
    begun: u64,
    ended: u64,
    standing: Standing,
    /// A flush failed while its append was under way.
    shaken: bool,
}

/// The expected content of one log.
#[derive(Debug, Clone, Default)]
pub struct LogModel {
    records: Vec<Record>,
    next_name: u64,
    clock: u64,
    /// An erasure has begun and was not acknowledged.
    erasing: bool,
    after_crash: bool,
    device_failed: bool,
}

/// The payload of a record.
#[must_use]
pub fn payload(name: u64, bytes: usize) -> Vec<u8> {
    let mut payload = Vec::with_capacity(bytes + NAMED);
    payload.extend_from_slice(&name.to_le_bytes());
    while payload.len() < bytes {
        payload.extend_from_slice(&mix(name ^ (payload.len() as u64) << 40).to_le_bytes());
    }
    payload.truncate(bytes);
    payload
}

impl LogModel {
    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    /// An append of so many bytes begins. Returns the record's name and payload.
    pub fn begin(&mut self, bytes: usize) -> (u64, Vec<u8>) {
        self.next_name += 1;
        let (name, begun) = (self.next_name, self.tick());
        self.records.push(Record { name, bytes, begun, ended: u64::MAX, standing: Standing::Begun, shaken: false });
        (name, payload(name, bytes))
    }

    /// An append was acknowledged; `durable` says as what.
    pub fn acknowledge(&mut self, name: u64, durable: bool) {
        let now = self.tick();
        let Some(record) = self.records.iter_mut().find(|record| record.name == name) else { return };
        record.ended = now;
        record.standing = match (durable, record.shaken) {
            (true, _) => Standing::Durable,
            (false, false) => Standing::Acknowledged,
            (false, true) => Standing::Doubtful,
        };
        let begun = record.begun;
        if durable {
            self.made_durable(begun);
        }
    }

    /// An append was refused, and nothing of it was written.
    pub fn refuse(&mut self, name: u64) {
        self.records.retain(|record| record.name != name);
    }

    /// An append or flush failed: it and what is not durable is in doubt.
    pub fn fail(&mut self, name: Option<u64>) {
        let now = self.tick();
        for record in &mut self.records {
            record.shaken |= record.standing == Standing::Begun;
            let own = Some(record.name) == name;
            if own || record.standing == Standing::Acknowledged {
                record.standing = Standing::Doubtful;
                record.ended = record.ended.min(now);
            }
        }
    }

    /// The moment at which a flush or close begins, for [`LogModel::made_durable`].
    pub fn mark(&mut self) -> u64 {
        self.tick()
    }

    /// All that was acknowledged before `mark` is durable.
    pub fn made_durable(&mut self, mark: u64) {
        for record in &mut self.records {
            if record.standing == Standing::Acknowledged && record.ended < mark {
                record.standing = Standing::Durable;
            }
        }
    }

    /// An erasure begins. No append is under way.
    pub fn begin_erasure(&mut self) {
        self.erasing = true;
    }

    /// The erasure was acknowledged.
    pub fn erased(&mut self) {
        self.records.clear();
        self.erasing = false;
    }

    /// The same log, emptied. Names of records are not used again.
    #[must_use]
    pub fn successor(&self) -> LogModel {
        LogModel { next_name: self.next_name, clock: self.clock, ..LogModel::default() }
    }

    /// After an erasure that was not acknowledged, the log's generation says whether it was erased.
    pub fn erasure_seen(&mut self, erased: bool) {
        if self.erasing && erased {
            self.records.clear();
        }
        self.erasing = false;
    }

    /// The device has failed. What was acknowledged and is not durable may be lost; the next flush, or append that is
    /// to be durable, must say so.
    pub fn device_failed(&mut self) {
        self.device_failed = true;
    }

    /// The power was cut.
    pub fn crash(&mut self) {
        self.after_crash = true;
        for record in self.records.iter_mut().filter(|record| record.standing == Standing::Begun) {
            record.standing = Standing::Doubtful;
        }
    }

    /// Records that have been acknowledged or may be there.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// True when no record can be there.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Compares what was `read` with what may be there.
    ///
    /// # Errors
    /// What is wrong.
    pub fn check(&self, read: &[Vec<u8>]) -> Result<(), String> {
        self.match_records(read).map(drop)
    }

    /// Compares, and takes what was read for all that is there from now on, durably.
    ///
    /// # Errors
    /// What is wrong.
    pub fn settle(&mut self, read: &[Vec<u8>]) -> Result<(), String> {
        let found = self.match_records(read)?;
        let mut records = Vec::with_capacity(found.len());
        for place in found {
            let (begun, ended) = (self.tick(), self.tick());
            records.push(Record { begun, ended, standing: Standing::Durable, shaken: false, ..self.records[place] });
        }
        self.records = records;
        self.erasing = false;
        self.after_crash = false;
        self.device_failed = false;
        Ok(())
    }

    /// Finds out which record each of those read is.
    fn match_records(&self, read: &[Vec<u8>]) -> Result<Vec<usize>, String> {
        let mut there = vec![false; self.records.len()];
        let mut found = Vec::with_capacity(read.len());
        let mut latest = 0;
        for (at, bytes) in read.iter().enumerate() {
            let matches = |place: &usize| !there[*place] && self.is_payload(*place, bytes);
            let Some(place) = (0..self.records.len()).find(matches) else {
                return Err(format!("record {at} of {} bytes was never appended, or is there twice", bytes.len()));
            };
            let record = &self.records[place];
            if record.ended < latest {
                return Err(format!("record {at} comes too late: {record:?}"));
            }
            latest = latest.max(record.begun);
            there[place] = true;
            found.push(place);
        }
        if read.is_empty() && self.erasing {
            return Ok(found);
        }
        for (record, there) in self.records.iter().zip(there) {
            let needed = match record.standing {
                Standing::Begun | Standing::Doubtful => false,
                Standing::Durable => true,
                Standing::Acknowledged => !self.device_failed && (!self.after_crash || record.ended < latest),
            };
            if needed && !there {
                return Err(format!("a record is missing among the {} that are there: {record:?}", read.len()));
            }
        }
        Ok(found)
    }

    fn is_payload(&self, place: usize, bytes: &[u8]) -> bool {
        let record = &self.records[place];
        let head = record.bytes.min(NAMED);
        record.bytes == bytes.len()
            && bytes[..head] == record.name.to_le_bytes()[..head]
            && bytes == payload(record.name, record.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model() -> (LogModel, Vec<Vec<u8>>) {
        let mut model = LogModel::default();
        let payloads = (0..4)
            .map(|_| {
                let (name, bytes) = model.begin(20);
                model.acknowledge(name, name == 2);
                bytes
            })
            .collect();
        (model, payloads)
    }

    #[test]
    fn without_a_crash_all_must_be_there() {
        let (model, all) = model();
        assert!(model.check(&all).is_ok());
        assert!(model.check(&all[..3]).is_err());
        let mut swapped = all.clone();
        swapped.swap(1, 2);
        assert!(model.check(&swapped).is_err());
        let twice = [all.clone(), all[3..].to_vec()].concat();
        assert!(model.check(&twice).is_err());
    }

    #[test]
    fn a_crash_takes_a_suffix_that_was_not_durable() {
        let (mut model, all) = model();
        model.crash();
        for kept in 0..=4 {
            assert_eq!(model.check(&all[..kept]).is_ok(), kept >= 2, "{kept}");
        }
        let hole = [all[..2].to_vec(), all[3..].to_vec()].concat();
        assert!(model.check(&hole).is_err());
        model.settle(&all[..3]).expect("a suffix is missing");
        assert!(model.check(&all[..3]).is_ok() && model.check(&all[..2]).is_err() && model.check(&all).is_err());
    }

    #[test]
    fn a_failure_leaves_doubt_about_what_was_not_durable() {
        let (mut model, all) = model();
        let (failed, lost) = model.begin(9);
        model.fail(Some(failed));
        let (_, later) = model.begin(10);
        model.acknowledge(failed + 1, true);
        assert!(model.check(&[all[..2].to_vec(), vec![later.clone()]].concat()).is_ok());
        assert!(model.check(&[all[..2].to_vec(), vec![lost, later.clone()]].concat()).is_ok());
        assert!(model.check(&[all[..1].to_vec(), vec![later]].concat()).is_err());
        assert!(model.check(&all).is_err());
    }

    #[test]
    fn an_erasure_that_has_not_ended_leaves_all_or_nothing() {
        let (mut model, all) = model();
        model.begin_erasure();
        model.crash();
        assert!(model.check(&all).is_ok() && model.check(&[]).is_ok() && model.check(&all[..1]).is_err());
        model.erased();
        assert!(model.check(&[]).is_ok() && model.check(&all).is_err());
    }

    #[test]
    fn short_records_are_known_by_their_place() {
        let mut model = LogModel::default();
        for bytes in [0, 0, 3, 8] {
            let (name, _) = model.begin(bytes);
            model.acknowledge(name, true);
        }
        let all: Vec<_> = [(1, 0), (2, 0), (3, 3), (4, 8)].map(|(name, bytes)| payload(name, bytes)).to_vec();
        assert!(model.check(&all).is_ok());
        assert!(model.check(&all[1..]).is_err());
    }
}

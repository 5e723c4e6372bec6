// SPDX-License-Identifier: BSD-3-Clause

//! What a namespace may hold, logical block by logical block, given what the target has answered.

use std::collections::BTreeMap;

use super::content::{self, Content, Strange, BLOCK_BYTES, SECTOR_BYTES};
use super::fault::{Divergence, Mismatch, Torn};
use super::plan::{Mix, Request, RequestKind};
use super::unit::{Standing, Unit, Value};
use crate::nvme_tcp::Namespace;

/// A request that is not answered.
#[derive(Debug, Clone, Copy)]
struct Open {
    request: Request,
    submitted: u64,
}

/// The expected content of a namespace.
#[derive(Debug)]
pub struct Model {
    seed: u64,
    mix: Mix,
    namespace: Namespace,
    /// Whether a request changes a 4 KiB block as a whole or not at all, whatever the logical block size.
    whole_blocks: bool,
    units: Vec<Unit>,
    open: BTreeMap<u64, Open>,
    /// Counts submissions and answers.
    clock: u64,
    /// The highest request number of each life of the target that is over.
    lives: Vec<u64>,
    last_request: u64,
}

impl Model {
    /// A namespace full of zeros. With `whole_blocks` no request may leave a 4 KiB block half written.
    #[must_use]
    pub fn new(seed: u64, mix: Mix, namespace: Namespace, whole_blocks: bool) -> Model {
        let units = (0..namespace.blocks).map(|_| Unit::new()).collect();
        let (open, lives) = (BTreeMap::new(), Vec::new());
        Model { seed, mix, namespace, whole_blocks, units, open, clock: 0, lives, last_request: 0 }
    }

    /// The namespace that it is a model of.
    #[must_use]
    pub const fn namespace(&self) -> Namespace {
        self.namespace
    }

    /// Requests that are not answered.
    #[must_use]
    pub fn open(&self) -> usize {
        self.open.len()
    }

    /// A request that is not answered.
    #[must_use]
    pub fn request(&self, number: u64) -> Option<Request> {
        Some(self.open.get(&number)?.request)
    }

    /// The first of the requests that are not answered, in words.
    #[must_use]
    pub fn open_in_words(&self) -> String {
        let words: Vec<_> = self.open.values().take(5).map(|open| open.request.to_string()).collect();
        format!("{} requests: {}", self.open.len(), words.join("; "))
    }

    /// Logical blocks of which more than one content is possible.
    #[must_use]
    pub fn doubtful_blocks(&self) -> usize {
        self.units.iter().filter(|unit| unit.values().len() > 1).count()
    }

    /// A request is submitted. Its range lies inside of the namespace. Returns what it writes.
    pub fn begin(&mut self, request: Request) -> Vec<u8> {
        self.clock += 1;
        self.last_request = request.number;
        self.open.insert(request.number, Open { request, submitted: self.clock });
        let mut data = Vec::new();
        if request.kind == RequestKind::Write {
            data.resize(request.blocks as usize * self.namespace.block_bytes, 0);
        }
        if !request.changes() {
            return data;
        }
        for lba in request.lba..request.lba + u64::from(request.blocks) {
            let sector = lba * self.sectors();
            let content = request.content(self.seed, &self.mix, sector / content::BLOCK_SECTORS);
            self.units[lba as usize].begin(request.number, content, self.clock);
            let at = (lba - request.lba) as usize * self.namespace.block_bytes;
            if let Some(bytes) = data.get_mut(at..at + self.namespace.block_bytes) {
                content::fill(bytes, content, self.seed, sector);
            }
        }
        data
    }

    /// A request has succeeded; `data` is what it read. Returns what is wrong with that.
    pub fn acknowledge(&mut self, number: u64, data: &[u8]) -> Divergence {
        self.clock += 1;
        let Some(Open { request, submitted }) = self.open.remove(&number) else {
            return Divergence::default();
        };
        if request.kind == RequestKind::Read {
            return self.compare(request.lba, data, submitted);
        }
        for unit in range(&mut self.units, &request) {
            unit.acknowledge(number, self.clock);
        }
        Divergence::default()
    }

    /// A request has failed. Returns it.
    pub fn fail(&mut self, number: u64) -> Option<Request> {
        self.clock += 1;
        let request = self.open.remove(&number)?.request;
        self.doubt(&request);
        Some(request)
    }

    /// The target has ended: no open request will be answered.
    pub fn end_life(&mut self) {
        self.clock += 1;
        for open in std::mem::take(&mut self.open).into_values() {
            self.doubt(&open.request);
        }
        self.lives.push(self.last_request);
    }

    fn doubt(&mut self, request: &Request) {
        if request.changes() {
            for unit in range(&mut self.units, request) {
                unit.doubt(request.number, self.clock);
            }
        }
    }

    const fn sectors(&self) -> u64 {
        (self.namespace.block_bytes / SECTOR_BYTES) as u64
    }

    /// Compares what was read by a request that was submitted at `since`, as far as nothing has changed it meanwhile.
    fn compare(&mut self, lba: u64, data: &[u8], since: u64) -> Divergence {
        let mut divergence = Divergence::default();
        let found: Vec<_> = data
            .chunks_exact(self.namespace.block_bytes)
            .zip(lba..)
            .map(|(bytes, lba)| self.recognise(bytes, lba))
            .collect();
        if self.whole_blocks {
            self.look_for_torn_blocks(lba, &found, since, &mut divergence);
        }
        for (lba, found) in (lba..).zip(found) {
            let unit = &mut self.units[lba as usize];
            if !unit.is_quiet_since(since) {
                continue;
            }
            match found {
                Ok(content) if unit.allows(content) => unit.settle(content),
                found => divergence.add(|| self.mismatch(lba, found)),
            }
        }
        divergence
    }

    /// What a logical block holds; for one whose sectors differ, the words for it.
    fn recognise(&self, bytes: &[u8], lba: u64) -> Result<Content, String> {
        let sectors = bytes.chunks_exact(SECTOR_BYTES).zip(lba * self.sectors()..);
        let mut found: Vec<Result<Content, Strange>> =
            sectors.map(|(bytes, sector)| content::recognise(bytes, self.seed, sector)).collect();
        found.dedup();
        match found[..] {
            [Ok(content)] => Ok(content),
            _ => {
                let words = |one: &Result<Content, Strange>| match one {
                    Ok(content) => content.to_string(),
                    Err(strange) => strange.to_string(),
                };
                Err(found.iter().map(words).collect::<Vec<_>>().join(" | "))
            }
        }
    }

    fn mismatch(&self, lba: u64, found: Result<Content, String>) -> Mismatch {
        let found = match found {
            Ok(Content::Unique { generation }) => format!("unique content of {}", self.in_words(generation)),
            Ok(content) => content.to_string(),
            Err(words) => words,
        };
        let possible = |value: &Value| {
            let standing = match value.standing {
                Standing::UnderWay => "under way",
                Standing::Acknowledged(_) => "acknowledged",
                Standing::Doubtful(_) => "never answered",
            };
            format!("{} by {}, {standing}", value.content, self.in_words(value.request))
        };
        Mismatch { lba, found, possible: self.units[lba as usize].values().iter().map(possible).collect() }
    }

    /// A request, and the life of the target in which it was submitted.
    fn in_words(&self, request: u64) -> String {
        format!("request {request} of life {}", self.lives.partition_point(|&last| last < request))
    }

    /// Where a single unanswered request covers a part of a 4 KiB block, it has written all of that part or nothing.
    fn look_for_torn_blocks(&self, lba: u64, found: &[Result<Content, String>], since: u64, into: &mut Divergence) {
        let whole = (BLOCK_BYTES / self.namespace.block_bytes) as u64;
        let first = lba.next_multiple_of(whole);
        for lba_of_block in (first..lba + found.len() as u64).step_by(whole as usize) {
            let at = (lba_of_block - lba) as usize;
            let Some(found) = found.get(at..at + whole as usize) else {
                return;
            };
            let units = &self.units[lba_of_block as usize..][..whole as usize];
            if let Some(request) = torn_by(units, found, since) {
                let units = (lba_of_block..).zip(found).map(|(lba, found)| self.mismatch(lba, found.clone()));
                let request = self.in_words(request);
                into.add_torn(Torn { request, units: units.collect() });
            }
        }
    }
}

/// The unanswered request that has written a part of what it was to write of a block.
fn torn_by(units: &[Unit], found: &[Result<Content, String>], since: u64) -> Option<u64> {
    let doubtful = |value: &&Value| matches!(value.standing, Standing::Doubtful(_));
    let mut requests: Vec<_> =
        units.iter().flat_map(|unit| unit.values().iter().filter(doubtful).map(|value| value.request)).collect();
    requests.sort_unstable();
    requests.dedup();
    let &[request] = &requests[..] else {
        return None;
    };
    let (mut taken, mut kept) = (false, false);
    for (unit, found) in units.iter().zip(found) {
        let (&[first, second], Ok(found)) = (unit.values(), found) else {
            // Not in the request's range, or not clear.
            continue;
        };
        let (new, old) = if first.request == request { (first, second) } else { (second, first) };
        if new.request != request || new.content == old.content || !unit.is_quiet_since(since) {
            continue;
        }
        taken |= *found == new.content;
        // What was written at the same time may have come after it.
        kept |= *found == old.content && old.precedes(&new);
    }
    (taken && kept).then_some(request)
}

fn range<'a>(units: &'a mut [Unit], request: &Request) -> &'a mut [Unit] {
    &mut units[request.lba as usize..][..request.blocks as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMESPACE: Namespace = Namespace { blocks: 64, block_bytes: 512 };
    const UNIQUE: Mix = Mix { write: 1000, deallocate: 0, write_zeroes: 0, flush: 0, classes: 0, transfer_bytes: 4096 };

    fn model() -> Model {
        Model::new(1, UNIQUE, NAMESPACE, true)
    }

    fn request(number: u64, kind: RequestKind, lba: u64, blocks: u32) -> Request {
        Request { number, kind, lba, blocks }
    }

    /// A write of content that is not zero.
    fn write(model: &mut Model, lba: u64, blocks: u32) -> (u64, Vec<u8>) {
        loop {
            let request = request(model.last_request + 1, RequestKind::Write, lba, blocks);
            if (lba..lba + u64::from(blocks)).all(|lba| request.content(1, &UNIQUE, lba / 8) != Content::Zero) {
                return (request.number, model.begin(request));
            }
            model.last_request += 1;
        }
    }

    fn read(model: &mut Model, lba: u64, data: &[u8]) -> Divergence {
        let request = request(model.last_request + 1, RequestKind::Read, lba, (data.len() / 512) as u32);
        assert!(model.begin(request).is_empty());
        model.acknowledge(request.number, data)
    }

    #[test]
    fn acknowledged_writes_must_be_there() {
        let mut model = model();
        let (number, data) = write(&mut model, 8, 16);
        assert!(model.acknowledge(number, &[]).is_none());
        model.end_life();
        assert!(read(&mut model, 8, &data).is_none());
        assert!(read(&mut model, 0, &[0; 8 * 512]).is_none());
        let lost = read(&mut model, 8, &[0; 16 * 512]);
        assert_eq!(lost.blocks, 16);
        assert!(lost.first[0].to_string().contains("LBA 8 holds zeros; possible: unique content of request"));
        let mut half = data.clone();
        half[512 + 100] ^= 1;
        let broken = read(&mut model, 8, &half);
        assert_eq!((broken.blocks, broken.first[0].lba), (1, 9));
        assert!(broken.first[0].found.contains("only in part"), "{broken}");
    }

    #[test]
    fn unanswered_writes_may_be_there_but_block_by_block() {
        let mut base = model();
        let (_, data) = write(&mut base, 4, 8);
        base.end_life();
        assert_eq!(base.doubtful_blocks(), 8);
        // LBAs 4 to 7 are of one block, 8 to 11 of the next.
        let zeros = vec![0; 4 * 512];
        let (head, tail) = data.split_at(4 * 512);
        for (second, first_half_of_third) in [(head, &zeros[..]), (&zeros, tail), (head, tail), (&zeros, &zeros)] {
            let mut model = model();
            write(&mut model, 4, 8);
            model.end_life();
            let all = [&zeros, second, first_half_of_third, &zeros].concat();
            assert!(read(&mut model, 0, &all).is_none());
            assert!(read(&mut model, 0, &all).is_none());
            let other = if second == head { &zeros } else { head };
            assert!(!read(&mut model, 4, other).is_none(), "what was seen stays");
        }
        let torn = [&zeros[..], &head[..1024], &zeros[1024..], &zeros, &zeros].concat();
        let found = read(&mut base, 0, &torn);
        assert_eq!((found.blocks, found.torn.len()), (0, 1), "{found}");
    }

    #[test]
    fn a_block_is_not_torn_by_two_writes_at_the_same_time() {
        let mut model = model();
        let (_, unanswered) = write(&mut model, 0, 8);
        let (number, answered) = write(&mut model, 4, 4);
        model.acknowledge(number, &[]);
        model.end_life();
        let both = [&unanswered[..4 * 512], &answered].concat();
        assert!(read(&mut model, 0, &both).is_none(), "the unanswered one came first");
    }

    #[test]
    fn a_block_is_not_torn_by_others_than_the_unanswered_write() {
        let mut model = model();
        let (first, _) = write(&mut model, 0, 4);
        let (second, data) = write(&mut model, 0, 4);
        model.acknowledge(second, &[]);
        model.acknowledge(first, &[]);
        write(&mut model, 4, 4);
        model.end_life();
        let kept = [&data[..], &[0; 4 * 512]].concat();
        assert!(read(&mut model, 0, &kept).is_none(), "nothing of the unanswered one is there");
    }

    #[test]
    fn reads_that_meet_writes_are_not_judged() {
        let mut model = model();
        let (number, data) = write(&mut model, 0, 8);
        assert!(read(&mut model, 0, &[7; 8 * 512]).is_none(), "a write is under way");
        let reader = request(model.last_request + 1, RequestKind::Read, 0, 8);
        model.begin(reader);
        model.acknowledge(number, &[]);
        assert!(model.acknowledge(reader.number, &[7; 8 * 512]).is_none(), "a write has ended meanwhile");
        assert!(read(&mut model, 0, &data).is_none());
        assert!(!read(&mut model, 0, &[7; 8 * 512]).is_none());
    }

    #[test]
    fn failed_requests_are_in_doubt() {
        let mut model = model();
        let (number, data) = write(&mut model, 0, 8);
        model.acknowledge(number, &[]);
        let trim = request(model.last_request + 1, RequestKind::Deallocate, 0, 8);
        model.begin(trim);
        assert_eq!((model.open(), model.fail(trim.number)), (1, Some(trim)));
        assert!(read(&mut model, 0, &data).is_none());
        assert!(!read(&mut model, 0, &[0; 8 * 512]).is_none());
    }
}

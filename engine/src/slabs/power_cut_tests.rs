// SPDX-License-Identifier: BSD-3-Clause

//! Power cuts at any moment: for every slab, media hold exactly the state that its summary claims.
//!
//! The model keeps, for each slab, every requested change with its place in a recovery journal. After a cut the summary
//! names a point of each journal; the counts on media must be those of all changes before these points, and of no
//! other. Then a new zone continues from there, scrubs in the background and must count as the model does.

use std::collections::{HashMap, HashSet};

use mpool::testing::Random;

use super::event::{Applied, PhysicalEvent, Requester, Source};
use super::test_zone::{Areas, Setup, TestZone, NONCE};
use super::ReadLock;
use crate::env::Direction;
use crate::format::area::AreaLayout;
use crate::format::journal_record::Point;
use crate::format::slab_rebuild::SlabRebuild;
use crate::format::slab_summary::SlabSummary;
use crate::format::Geometry;
use crate::message::{Allocation, Claim, MemberRef, VioRef};
use crate::units::{Blocks, Pbn, ShardId};

const JOURNALS: usize = 3;
const FIRST: Pbn = Pbn(64);

/// One change of one counter.
#[derive(Debug, Clone, Copy)]
struct Change {
    journal: usize,
    point: Point,
    offset: u32,
    by: i16,
}

/// An increment that is not answered yet.
#[derive(Debug, Clone, Copy)]
struct Pending {
    pbn: Pbn,
    unused: u8,
}

/// What a cut must leave of one slab, at least.
#[derive(Debug, Default, Clone)]
struct ModelSlab {
    /// The counts when this load of the volume began.
    base: Vec<u8>,
    /// The changes since then.
    changes: Vec<Change>,
    /// The counts after all changes that have been made or are queued.
    now: Vec<u8>,
}

struct Campaign {
    setup: Setup,
    zone: TestZone,
    random: Random,
    slabs: Vec<ModelSlab>,
    pages: HashSet<Pbn>,
    next_entry: [u64; JOURNALS],
    /// The points up to which each journal was told that its changes are on media.
    committed: [Point; JOURNALS],
    requested: [usize; JOURNALS],
    pending: HashMap<u32, Pending>,
    next_vio: u32,
    waiting: usize,
    scrubbed: u64,
    blocked: u64,
    written_back: u64,
}

/// The counts of a slab according to media.
fn counts_on(areas: &Areas, geometry: &Geometry, slab: u64) -> (SlabSummary, Vec<u8>) {
    let mut counts = vec![9; geometry.slab_blocks() as usize];
    let layout = AreaLayout::of(geometry.slab_blocks());
    let (summary, _) = SlabSummary::decode(NONCE, slab, &areas[&(slab, 0)]).expect("the summary is whole");
    let mut rebuild = SlabRebuild::new(NONCE, slab, &summary, &mut counts);
    if rebuild.needs_reference_blocks() {
        for number in 0..layout.reference_blocks {
            let block = &areas[&(slab, layout.reference_block(number))];
            rebuild.load_reference_block(number, block, &mut counts).expect("counts are whole");
        }
    }
    for sequence in rebuild.journal_blocks() {
        let block = &areas[&(slab, layout.journal_block(sequence))];
        rebuild.apply_journal_block(sequence, block, &mut counts).expect("the journal is whole");
    }
    rebuild.finish().expect("the journal ends where the summary says");
    (summary, counts)
}

impl Campaign {
    fn new(seed: u64, slab_blocks: u64, slabs: u64, volatile_cache: bool, bufs: usize, transfers: usize) -> Campaign {
        let geometry = Geometry::new(1, Blocks(1), FIRST, FIRST.plus(slab_blocks * slabs), slab_blocks).expect("valid");
        let setup = Setup { bufs, transfers, volatile_cache, locks: 4096, ..Setup::new(&geometry) };
        let zero = vec![0; slab_blocks as usize];
        let slab = ModelSlab { base: zero.clone(), changes: vec![], now: zero };
        let mut zone = setup.create();
        zone.random = Random::new(seed ^ 0xff);
        Campaign {
            setup,
            zone,
            random: Random::new(seed),
            slabs: vec![slab; slabs as usize],
            pages: HashSet::new(),
            next_entry: [0; JOURNALS],
            committed: [Point(0); JOURNALS],
            requested: [0; JOURNALS],
            pending: HashMap::new(),
            next_vio: 0,
            waiting: 0,
            scrubbed: 0,
            blocked: 0,
            written_back: 0,
        }
    }

    fn at(&self, pbn: Pbn) -> (usize, u32) {
        let slab = self.setup.geometry.slab_of(pbn).expect("a data block");
        (slab as usize, (pbn.0 - self.setup.geometry.slab_start(slab).0) as u32)
    }

    fn pbn(&self, slab: usize, offset: u32) -> Pbn {
        self.setup.geometry.slab_start(slab as u64).plus(u64::from(offset))
    }

    /// The next change of some journal.
    fn source(&mut self) -> Source {
        let journal = self.random.below(JOURNALS);
        self.next_entry[journal] += 1 + self.random.below(3) as u64;
        Source {
            journal: ShardId(journal as u16),
            point: Point::new(self.next_entry[journal], self.random.below(2) as u32),
        }
    }

    fn note(&mut self, pbn: Pbn, source: Source, by: i16) {
        let (slab, offset) = self.at(pbn);
        let change = Change { journal: source.journal.index(), point: source.point, offset, by };
        self.slabs[slab].changes.push(change);
        if by < 0 {
            self.slabs[slab].now[offset as usize] -= 1;
        }
    }

    /// An increment by the holder of a lock, who then has `unused` claims to give back.
    fn increment(&mut self, pbn: Pbn, unused: u8) {
        let source = self.source();
        self.note(pbn, source, 1);
        let vio = VioRef { shard: ShardId(0), index: self.next_vio };
        match self.zone.zone.increment(pbn, source, vio).expect("allowed") {
            Applied::Now => self.incremented(Pending { pbn, unused }),
            Applied::Later => {
                self.waiting += 1;
                self.pending.insert(self.next_vio, Pending { pbn, unused });
                self.next_vio += 1;
            }
        }
    }

    fn incremented(&mut self, Pending { pbn, unused }: Pending) {
        let (slab, offset) = self.at(pbn);
        self.slabs[slab].now[offset as usize] += 1;
        self.zone.release(pbn, unused).expect("held");
    }

    fn write(&mut self) {
        if self.pending.len() > 3000 {
            return;
        }
        let requester = Requester::Data(MemberRef { shard: ShardId(0), index: 7 });
        match self.zone.zone.allocate(requester, Claim::New, false).expect("no error") {
            Allocation::Block(pbn) => {
                let (slab, offset) = self.at(pbn);
                assert_eq!(self.slabs[slab].now[offset as usize], 0, "{pbn} is in use");
                if self.random.one_in(8) {
                    self.zone.release(pbn, 0).expect("held");
                } else {
                    self.increment(pbn, 253);
                }
            }
            Allocation::Full => {}
            answer => panic!("{answer:?} to one who does not wait"),
        }
    }

    fn write_page(&mut self) {
        let requester = Requester::Page(VioRef { shard: ShardId(0), index: 0 });
        if self.pages.len() > 20 {
            return;
        }
        if let Allocation::Block(pbn) = self.zone.zone.allocate(requester, Claim::New, false).expect("no error") {
            let source = self.source();
            self.note(pbn, source, 254);
            self.zone.zone.reference_page(pbn, source).expect("allowed");
            self.pages.insert(pbn);
            let (slab, offset) = self.at(pbn);
            self.slabs[slab].now[offset as usize] = 254;
        }
    }

    fn any_block(&mut self) -> Pbn {
        let slab = self.random.below(self.slabs.len());
        let offset = self.random.below(self.slabs[slab].now.len().min(6000)) as u32;
        self.pbn(slab, offset)
    }

    fn share(&mut self) {
        if self.pending.len() > 3000 {
            return;
        }
        let pbn = self.any_block();
        if let ReadLock::Granted { lease } = self.zone.lock_for_read(pbn).expect("no error") {
            self.increment(pbn, lease - 1);
        }
    }

    fn decrement(&mut self) {
        let first = self.any_block();
        let most = if self.random.one_in(4) { 504 } else { 1 };
        let (slab, offset) = self.at(first);
        let referenced = |&offset: &u32| {
            let count = self.slabs[slab].now.get(offset as usize);
            count.is_some_and(|&count| count > 0) && !self.pages.contains(&self.pbn(slab, offset))
        };
        let count = (offset..offset + most).take_while(referenced).count() as u32;
        if count == 0 {
            return;
        }
        let source = self.source();
        for distance in 0..count {
            self.note(first.plus(u64::from(distance)), source, -1);
        }
        self.zone.zone.decrement(first, count, source).expect("referenced");
    }

    fn request_commit(&mut self) {
        let journal = self.random.below(JOURNALS);
        let last = self.next_entry[journal];
        let back = self.random.below(5) as u64 * 10;
        self.zone.zone.commit_journals(ShardId(journal as u16), Point::new(last.saturating_sub(back), 1023));
        self.requested[journal] += 1;
    }

    fn take_news(&mut self) {
        for event in self.zone.take_events() {
            match event {
                PhysicalEvent::Incremented { vio, result } => {
                    assert_eq!(result, Ok(()));
                    let pending = self.pending.remove(&vio.index).expect("asked for");
                    self.incremented(pending);
                }
                PhysicalEvent::JournalsCommitted { journal, up_to } => {
                    self.requested[journal.index()] -= 1;
                    let committed = &mut self.committed[journal.index()];
                    *committed = up_to.max(*committed);
                }
                PhysicalEvent::ScrubbingDone => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// Checks what a cut leaves; returns the counts.
    fn check(&self, areas: &Areas) -> Vec<Vec<u8>> {
        let mut all = vec![];
        for (number, slab) in self.slabs.iter().enumerate() {
            let (summary, counts) = counts_on(areas, &self.setup.geometry, number as u64);
            let points = summary.points_of(self.setup.generation);
            let mut expected: Vec<i16> = slab.base.iter().map(|&count| i16::from(count)).collect();
            for change in &slab.changes {
                let contained = change.point < points[change.journal];
                if contained {
                    expected[change.offset as usize] += change.by;
                }
                let promised =
                    change.point <= self.committed[change.journal] && self.committed[change.journal] != Point(0);
                assert!(contained || !promised, "slab {number}: {change:?} was committed to {:?}", self.committed);
            }
            let found: Vec<i16> = counts.iter().map(|&count| i16::from(count)).collect();
            assert!(found == expected, "slab {number}: counts are not those of the points {:?}", &points[..JOURNALS]);
            all.push(counts);
        }
        all
    }

    /// Cuts the power, and reloads the volume from what is left.
    fn cut(&mut self) {
        let left = self.zone.media.cut(&mut self.random);
        self.restart(left);
    }

    fn restart(&mut self, left: Areas) {
        let counts = self.check(&left);
        self.count();
        for (slab, counts) in self.slabs.iter_mut().zip(counts) {
            *slab = ModelSlab { base: counts.clone(), changes: vec![], now: counts };
        }
        let slabs = &self.slabs;
        let geometry = self.setup.geometry;
        self.pages.retain(|&pbn| {
            let slab = geometry.slab_of(pbn).expect("a data block");
            slabs[slab as usize].now[(pbn.0 - geometry.slab_start(slab).0) as usize] == 254
        });
        self.setup.generation += 1;
        self.next_entry = [0; JOURNALS];
        self.committed = [Point(0); JOURNALS];
        self.requested = [0; JOURNALS];
        self.pending.clear();
        let random = self.zone.random.clone();
        self.zone = self.setup.load(left);
        self.zone.random = random;
        if self.random.one_in(2) {
            self.slow_down();
        }
    }

    fn count(&mut self) {
        let statistics = self.zone.statistics();
        self.scrubbed += statistics.slabs_scrubbed;
        self.blocked += statistics.slab_journal_blocked;
        self.written_back += statistics.reference_blocks_written;
    }

    /// From now on write-back, of the first reference blocks at least, or the summaries of some slabs never complete.
    fn slow_down(&mut self) {
        self.zone.media.holds = match self.random.below(3) {
            0 => |direction, (slab, block)| direction == Direction::Write && block == 0 && slab % 2 == 0,
            _ => |direction, (_, block)| direction == Direction::Write && block == 1,
        };
    }

    /// Compares everything with the model, when quiesced.
    fn compare(&mut self) {
        self.zone.media.holds = |_, _| false;
        self.zone.settle();
        self.take_news();
        self.zone.settle();
        assert!(self.pending.is_empty(), "an increment was not answered");
        assert_eq!(self.requested, [0; JOURNALS], "a request was not answered");
        self.zone.audit().expect("consistent");
        assert!(!self.zone.is_scrubbing());
        for (number, slab) in self.slabs.iter().enumerate() {
            for (offset, &count) in (0..).zip(&slab.now) {
                assert_eq!(
                    self.zone.references(self.pbn(number, offset)),
                    Some(count),
                    "slab {number}, block {offset}"
                );
            }
        }
    }

    /// Writes everything to media.
    fn save(&mut self) {
        self.zone.media.holds = |_, _| false;
        self.zone.begin_save();
        self.zone.settle();
        self.take_news();
        assert!(self.zone.is_clean());
        assert_eq!(self.zone.media.pending(), 0);
        let areas = self.zone.media.durable.clone();
        let saved = self.check(&areas);
        for (number, slab) in self.slabs.iter().enumerate() {
            assert!(saved[number] == slab.now, "slab {number}: not everything is on media");
        }
        for summary in self.setup.summaries(&areas) {
            assert!(summary.head == summary.tail || self.zone.is_scrubbing());
        }
    }

    fn run(&mut self, rounds: usize) {
        for _ in 0..rounds {
            let lean = self.random.below(4);
            let operations = self.random.below(120);
            for _ in 0..operations {
                match (self.random.below(20), lean) {
                    (0..5, _) | (15.., 0) => self.write(),
                    (5, _) => self.write_page(),
                    (6..9, _) => self.share(),
                    (9..12, _) | (15.., 1) => self.decrement(),
                    (12, _) | (15.., 3) if self.requested.iter().sum::<usize>() < 4 => self.request_commit(),
                    _ => {
                        self.zone.step();
                        self.take_news();
                    }
                }
            }
            match self.random.below(80) {
                0..2 => self.cut(),
                2 => self.compare(),
                3 => self.slow_down(),
                4 => {
                    self.save();
                    self.zone.resume();
                }
                5 => {
                    self.save();
                    let areas = self.zone.media.durable.clone();
                    self.restart(areas);
                }
                _ => {}
            }
            // At any moment the media are right.
            if self.random.one_in(2) {
                let left = self.zone.media.cut(&mut self.random);
                self.check(&left);
            }
        }
        self.count();
        self.compare();
    }
}

/// vdo-51, vdo-55, vdo-57: cuts at any moment, with any sectors of unflushed writes, leave exactly what the summaries say;
/// a zone on that goes on, scrubs under load, and counts as the model does.
#[test]
fn a_power_cut_leaves_what_the_summaries_say() {
    let (mut scrubbed, mut blocked, mut waiting, mut written_back) = (0, 0, 0, 0);
    for seed in 0..6 {
        for (slab_blocks, slabs, volatile_cache, bufs, transfers) in
            [(64, 5, true, 16, 16), (8192, 2, true, 8, 4), (8192, 3, false, 32, 32), (8, 9, true, 8, 2)]
        {
            let mut campaign = Campaign::new(seed, slab_blocks, slabs, volatile_cache, bufs, transfers);
            campaign.run(120);
            scrubbed += campaign.scrubbed;
            blocked += campaign.blocked;
            waiting += campaign.waiting;
            written_back += campaign.written_back;
        }
    }
    let coverage = [scrubbed, blocked, waiting as u64, written_back];
    assert!(coverage.iter().zip([100, 10, 30, 300]).all(|(&found, least)| found > least), "{coverage:?}");
}

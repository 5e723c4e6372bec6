// SPDX-License-Identifier: BSD-3-Clause

//! A physical zone on media in memory, for tests.

use std::ops::{Deref, DerefMut};

use mpool::testing::Random;
use mpool::units::Nanos;

use super::event::{Applied, PhysicalEvent, Requester, Source};
use super::{PbnLocks, PhysicalConfig, PhysicalError, PhysicalZone, ReserveConfig};
use crate::format::journal_record::Point;
use crate::format::slab_summary::SlabSummary;
use crate::format::Geometry;
use crate::io::{MetadataIo, MetadataOwner};
use crate::message::{Allocation, Claim, MemberRef, VioRef};
use crate::test_media::{Content, TestMedia};
use crate::units::{Block, Pbn, ShardId, BLOCK_SIZE};

/// A block of some slab's area.
pub(super) type Address = (u64, u32);

/// The content of media.
pub(super) type Areas = Content<Address>;

/// The nonce of test volumes.
pub(super) const NONCE: u64 = 7;

/// A requester that does not matter.
pub(super) const DATA: Requester = Requester::Data(MemberRef { shard: ShardId(0), index: 0 });

/// A vio that does not matter.
pub(super) const VIO: VioRef = VioRef { shard: ShardId(0), index: 0 };

/// The setup of a test zone.
#[derive(Debug, Clone, Copy)]
pub(super) struct Setup {
    pub geometry: Geometry,
    pub shard: ShardId,
    pub locks: usize,
    /// Page locks among `locks`.
    pub page_locks: usize,
    pub generation: u64,
    pub bufs: usize,
    /// Metadata transfers at a time.
    pub transfers: usize,
    pub volatile_cache: bool,
    pub reserve: ReserveConfig,
}

impl Setup {
    pub fn new(geometry: &Geometry) -> Setup {
        let (shard, locks, page_locks, generation) = (ShardId(0), 64, 32, 1);
        let (bufs, transfers, volatile_cache) = (16, 16, true);
        // Most tests use the last free block.
        let reserve = ReserveConfig { overwrites: false, operator_percent: 0 };
        Setup { geometry: *geometry, shard, locks, page_locks, generation, bufs, transfers, volatile_cache, reserve }
    }

    /// Numbers of the zone's slabs.
    pub fn slabs(&self) -> impl Iterator<Item = u64> + use<> {
        let Setup { geometry, shard, .. } = *self;
        (0..geometry.slabs()).filter(move |&slab| geometry.shard_of_slab(slab) == shard)
    }

    /// The summaries on media.
    pub fn summaries(&self, areas: &Areas) -> Vec<SlabSummary> {
        let read = |slab| SlabSummary::decode(NONCE, slab, &areas[&(slab, 0)]).expect("a summary is never damaged").0;
        self.slabs().map(read).collect()
    }

    /// Media with the areas of slabs that were never used.
    pub fn format(&self) -> Areas {
        self.slabs().map(|slab| ((slab, 0), self.summary_block(slab, &self.unused()))).collect()
    }

    /// The summary of a slab that was never used.
    pub fn unused(&self) -> SlabSummary {
        SlabSummary::new(self.geometry.slab_blocks() as u32)
    }

    /// A summary on media.
    pub fn summary_block(&self, slab: u64, summary: &SlabSummary) -> Box<Block> {
        let mut block = Box::new([0; BLOCK_SIZE]);
        summary.encode(NONCE, slab, 0, &mut block);
        block
    }

    /// A zone on what lies on media.
    pub fn load(&self, areas: Areas) -> TestZone {
        let zone = PhysicalZone::new(PhysicalConfig {
            geometry: self.geometry,
            shard: self.shard,
            locks: PbnLocks { data: self.locks - self.page_locks, pages: self.page_locks },
            nonce: NONCE,
            generation: self.generation,
            reserve: self.reserve,
            summaries: self.summaries(&areas),
            bufs: (0..self.bufs as u32).collect(),
        });
        TestZone {
            zone,
            media: TestMedia::new(self.bufs, areas, self.volatile_cache),
            io: MetadataIo::new(self.transfers, self.volatile_cache),
            random: Random::new(1),
            next_entry: 0,
            events: vec![],
        }
    }

    /// A zone whose slabs were never used.
    pub fn create(&self) -> TestZone {
        self.load(self.format())
    }
}

/// A zone, its media, and the journal that its updates come from.
pub(super) struct TestZone {
    pub zone: PhysicalZone<u32>,
    pub media: TestMedia<Address>,
    pub io: MetadataIo<u32>,
    pub random: Random,
    next_entry: u64,
    /// Events that no test has taken.
    pub events: Vec<PhysicalEvent>,
}

impl TestZone {
    pub fn new(geometry: &Geometry, shard: ShardId, locks: usize) -> TestZone {
        Setup { shard, locks, page_locks: locks.div_ceil(2), ..Setup::new(geometry) }.create()
    }

    /// The next place in the journal of shard 0.
    pub fn source(&mut self) -> Source {
        self.next_entry += 1;
        Source { journal: ShardId(0), point: Point::new(self.next_entry, 0) }
    }

    /// Starts what can be started.
    pub fn advance(&mut self) {
        while self.zone.advance(&mut self.media, &mut self.io) {}
        self.deliver();
        self.events.extend(std::iter::from_fn(|| self.zone.pop_event()));
    }

    fn deliver(&mut self) {
        while let Some((owner, result)) = self.io.take_ended() {
            let MetadataOwner::Physical(tag) = owner else { panic!("{owner:?}") };
            self.zone.io_done(&mut self.media, &mut self.io, tag, result);
        }
    }

    /// Completes one transfer and continues from there; false when none is in flight.
    pub fn step(&mut self) -> bool {
        self.advance();
        let Some((token, result)) = self.media.end_one(&mut self.random) else {
            return self.zone.advance(&mut self.media, &mut self.io);
        };
        self.io.done(&mut self.media, token, result);
        self.io.try_again(&mut self.media, Nanos(u64::MAX));
        self.deliver();
        self.advance();
        true
    }

    /// Continues until nothing is in flight.
    pub fn settle(&mut self) {
        for _ in 0..1_000_000 {
            if !self.step() {
                return;
            }
        }
        panic!("the zone does not come to rest");
    }

    /// Completes all slow transfers.
    pub fn release_transfers(&mut self) {
        self.media.holds = |_, _| false;
    }

    /// A block of data with one reference.
    pub fn store(&mut self) -> Pbn {
        let pbn = self.allocate().expect("no error").expect("not full");
        self.increment(pbn).expect("claimed");
        self.zone.release(pbn, 253).expect("held");
        pbn
    }

    /// Asks for everything to be committed, and waits for it.
    pub fn commit(&mut self) {
        let up_to = self.source().point;
        self.zone.commit_journals(ShardId(0), up_to);
        self.settle();
    }

    /// Takes the events.
    pub fn take_events(&mut self) -> Vec<PhysicalEvent> {
        self.advance();
        std::mem::take(&mut self.events)
    }

    /// Saves everything; returns the content of media.
    pub fn save(&mut self) -> Areas {
        self.zone.begin_save();
        self.settle();
        assert!(self.zone.is_clean(), "the save does not end");
        self.media.durable.clone()
    }

    fn try_allocate(&mut self, requester: Requester) -> Result<Option<Pbn>, PhysicalError> {
        Ok(match self.zone.allocate(requester, Claim::New, false)? {
            Allocation::Block(pbn) => Some(pbn),
            Allocation::Full | Allocation::ReadOnly => None,
            answer => panic!("{answer:?} to one who does not wait"),
        })
    }

    pub fn allocate(&mut self) -> Result<Option<Pbn>, PhysicalError> {
        self.try_allocate(DATA)
    }

    pub fn allocate_for_block_map(&mut self) -> Result<Option<Pbn>, PhysicalError> {
        self.try_allocate(Requester::Page(VIO))
    }

    /// An increment that has completed when this returns.
    pub fn increment(&mut self, pbn: Pbn) -> Result<(), PhysicalError> {
        let source = self.source();
        if self.zone.increment(pbn, source, VIO)? == Applied::Later {
            self.settle();
            let done = PhysicalEvent::Incremented { vio: VIO, result: Ok(()) };
            let at = self.events.iter().position(|&event| event == done).expect("done");
            self.events.remove(at);
        }
        Ok(())
    }

    /// A decrement that has completed when this returns.
    pub fn decrement(&mut self, first: Pbn, count: u32) -> Result<(), PhysicalError> {
        let source = self.source();
        let result = self.zone.decrement(first, count, source);
        if !self.zone.is_idle() {
            self.settle();
        }
        result
    }
}

impl Deref for TestZone {
    type Target = PhysicalZone<u32>;

    fn deref(&self) -> &PhysicalZone<u32> {
        &self.zone
    }
}

impl DerefMut for TestZone {
    fn deref_mut(&mut self) -> &mut PhysicalZone<u32> {
        &mut self.zone
    }
}

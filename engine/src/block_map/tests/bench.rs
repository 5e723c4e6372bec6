// SPDX-License-Identifier: BSD-3-Clause

//! A block map with a device, a journal that commits what it is given, and users that write and read.

use std::collections::{BTreeMap, VecDeque};

use mpool::testing::Random;
use mpool::units::Nanos;

use super::world::{roots, At, World, NONCE};
use crate::block_map::page_memory::Entries;
use crate::block_map::{BlockMap, EraInput, Fetch, Frame, Leaving, MapConfig, MapEvent, Purpose};
use crate::env::ReadOnlyReason;
use crate::error::RequestError;
use crate::format::map_page::{self, PageName};
use crate::format::{Geometry, Mapped, Mapping, PageId, MAX_LOGICAL_BLOCKS};
use crate::io::{MetadataIo, MetadataOwner};
use crate::test_media::Content;
use crate::units::{Blocks, Lbn, Pbn};

pub const FIRST_PBN: u64 = 256;

pub fn geometry() -> Geometry {
    Geometry::new(1, Blocks(MAX_LOGICAL_BLOCKS), Pbn(FIRST_PBN), Pbn(FIRST_PBN + (1 << 20)), 1 << 10).unwrap()
}

/// An entry for data, told from others by a number.
pub fn data(number: u64) -> Mapping {
    Mapping::new(Mapped::uncompressed(Pbn(FIRST_PBN + number % (1 << 20))), number as u32)
}

/// What a user of the map does.
#[derive(Debug, Clone, Copy)]
pub enum Op {
    Read(Lbn),
    Write(Lbn, Mapping),
    Discard(Lbn),
}

impl Op {
    pub fn lbn(self) -> Lbn {
        match self {
            Op::Read(lbn) | Op::Write(lbn, _) | Op::Discard(lbn) => lbn,
        }
    }

    fn purpose(self) -> Purpose {
        match self {
            Op::Read(_) => Purpose::Read,
            Op::Write(..) => Purpose::Write,
            Op::Discard(_) => Purpose::Discard,
        }
    }
}

/// A record of the journal.
#[derive(Debug, Clone, Copy)]
pub enum Record {
    Remap(Lbn, Mapping),
    Page(PageId, Mapping),
    Gone(PageId),
}

#[derive(Debug, Clone, Copy)]
enum Append {
    /// A user with its page.
    User(u32, Frame),
    Page(u32, PageId, Pbn),
    Gone(Leaving),
}

pub struct Bench {
    pub world: World,
    pub io: MetadataIo<u32>,
    pub map: BlockMap<u32>,
    pub era: EraInput,
    /// What each user does.
    pub users: Vec<Option<Op>>,
    /// Users that hold a page for a while.
    pub holding: Vec<(u32, Frame)>,
    /// Tickets that want a block.
    pub wanted: Vec<u32>,
    appended: VecDeque<Append>,
    pub journal: Vec<Record>,
    pub model: BTreeMap<u64, Mapping>,
    next_pbn: u64,
    /// Blocks of pages that have gone; the last one is used first.
    free: Vec<Pbn>,
    pub no_space: bool,
    pub allocations: u64,
    pub releases: u64,
    pub failures: Vec<(u32, RequestError)>,
    pub read_only: Vec<ReadOnlyReason>,
}

impl Bench {
    pub fn new(pages: usize, users: usize, bufs: usize, volatile_cache: bool) -> Bench {
        Bench::with_world(pages, users, bufs, volatile_cache, World::new(bufs, roots(), volatile_cache))
    }

    fn with_world(pages: usize, users: usize, bufs: usize, volatile_cache: bool, world: World) -> Bench {
        let config = MapConfig { geometry: geometry(), nonce: NONCE, pages, users, mapped: 0, map_pages: 0 };
        Bench {
            world,
            io: MetadataIo::new(bufs + 2, volatile_cache),
            map: BlockMap::new(&config, (0..bufs as u32).collect()),
            era: EraInput { write_before: 0 },
            users: vec![None; users],
            holding: Vec::new(),
            wanted: Vec::new(),
            appended: VecDeque::new(),
            journal: Vec::new(),
            model: BTreeMap::new(),
            next_pbn: FIRST_PBN,
            free: Vec::new(),
            no_space: false,
            allocations: 0,
            releases: 0,
            failures: Vec::new(),
            read_only: Vec::new(),
        }
    }

    /// The same device with another map that has an empty cache.
    pub fn restart(self, pages: usize, users: usize, bufs: usize) -> Bench {
        let volatile_cache = self.io.volatile_cache();
        let world = World::new(bufs, self.world.durable, volatile_cache);
        let mut next = Bench::with_world(pages, users, bufs, volatile_cache, world);
        (next.model, next.next_pbn, next.free) = (self.model, self.next_pbn, self.free);
        next
    }

    /// Begins an operation, and returns its user.
    pub fn begin(&mut self, op: Op) -> u32 {
        let user = self.users.iter().position(Option::is_none).expect("a user is free");
        self.users[user] = Some(op);
        match self.map.fetch(op.lbn(), op.purpose(), user as u32) {
            Fetch::Page(frame) => self.page(user as u32, frame),
            Fetch::NoPage => self.no_page(user as u32),
            Fetch::Wait => {}
        }
        user as u32
    }

    fn page(&mut self, user: u32, frame: Frame) {
        match self.users[user as usize].expect("a user that is at work") {
            Op::Write(..) => self.appended.push_back(Append::User(user, frame)),
            Op::Read(lbn) | Op::Discard(lbn) => {
                assert_eq!(self.map.get(frame, lbn.slot()), self.expected(lbn), "{lbn}");
                self.holding.push((user, frame));
            }
        }
    }

    fn no_page(&mut self, user: u32) {
        let op = self.users[user as usize].take().expect("a user that is at work");
        assert_ne!(op.purpose(), Purpose::Write);
        assert_eq!(self.expected(op.lbn()), Mapping::UNMAPPED, "{:?}", op.lbn());
    }

    pub fn expected(&self, lbn: Lbn) -> Mapping {
        self.model.get(&lbn.0).copied().unwrap_or_default()
    }

    /// Ends the work of a user that holds a page: a discard changes it first.
    pub fn release(&mut self, index: usize) {
        let (user, frame) = self.holding.swap_remove(index);
        if matches!(self.users[user as usize], Some(Op::Discard(_))) {
            self.appended.push_back(Append::User(user, frame));
            return;
        }
        self.users[user as usize] = None;
        self.map.unpin(frame);
    }

    /// Commits the next record, if there is one.
    pub fn commit(&mut self) -> bool {
        let Some(append) = self.appended.pop_front() else { return false };
        let entry = self.journal.len() as u64;
        match append {
            Append::Page(ticket, page, pbn) => {
                let life = entry as u32;
                self.journal.push(Record::Page(page, Mapping::new(Mapped::uncompressed(pbn), life)));
                self.map.committed(ticket, entry, life);
            }
            Append::Gone(Leaving { ticket, page, pbn }) => {
                self.releases += 1;
                self.journal.push(Record::Gone(page));
                self.map.released(ticket, entry);
                self.free.push(pbn);
            }
            Append::User(user, frame) => {
                let (lbn, new) = match self.users[user as usize].take() {
                    Some(Op::Write(lbn, new)) => (lbn, new),
                    Some(Op::Discard(lbn)) => (lbn, Mapping::UNMAPPED),
                    other => panic!("{other:?} changes nothing"),
                };
                self.journal.push(Record::Remap(lbn, new));
                let before = (self.map.mapped(), self.map.mapped_in(frame));
                assert_eq!(self.map.set(frame, lbn.slot(), new, entry), self.expected(lbn));
                if new.is_unmapped() {
                    self.model.remove(&lbn.0);
                } else {
                    self.model.insert(lbn.0, new);
                }
                assert_eq!(self.map.mapped() - before.0, i64::from(self.map.mapped_in(frame)) - i64::from(before.1));
                self.map.unpin(frame);
            }
        }
        self.events();
        true
    }

    /// Gives a block, or none, to an allocation.
    pub fn allocate(&mut self, index: usize) {
        let ticket = self.wanted.swap_remove(index);
        if self.no_space {
            self.map.allocated(ticket, None);
        } else {
            let pbn = self.free.pop().unwrap_or_else(|| {
                self.next_pbn += 1;
                Pbn(self.next_pbn - 1)
            });
            self.map.allocated(ticket, Some(pbn));
        }
        self.events();
    }

    pub fn advance(&mut self) -> bool {
        let mut progress = false;
        while let Some(leaving) = self.map.begin_release() {
            self.appended.push_back(Append::Gone(leaving));
            progress = true;
        }
        progress |= self.map.advance(&mut self.world, &mut self.io, self.era);
        self.events();
        self.ended();
        progress
    }

    /// Ends a transfer.
    pub fn complete(&mut self, index: usize) {
        let (token, result) = self.world.complete(index);
        self.io.done(&mut self.world, token, result);
        self.io.try_again(&mut self.world, Nanos(u64::MAX));
        self.ended();
    }

    fn ended(&mut self) {
        while let Some((MetadataOwner::Map(tag), result)) = self.io.take_ended() {
            self.map.io_done(&mut self.world, &mut self.io, tag, result);
            self.events();
        }
    }

    pub fn events(&mut self) {
        while let Some(event) = self.map.pop_event() {
            match event {
                MapEvent::Ready { waiter, frame } => self.page(waiter, frame),
                MapEvent::NoPage { waiter } => self.no_page(waiter),
                MapEvent::Failed { waiter, error } => {
                    self.users[waiter as usize] = None;
                    self.failures.push((waiter, error));
                }
                MapEvent::Allocate { ticket } => {
                    self.allocations += 1;
                    self.wanted.push(ticket);
                }
                MapEvent::Append { ticket, page, pbn } => self.appended.push_back(Append::Page(ticket, page, pbn)),
                MapEvent::ReadOnly(reason) => self.read_only.push(reason),
            }
        }
    }

    /// Does one thing, chosen by chance, other than to begin an operation.
    pub fn something(&mut self, rng: &mut Random) {
        match rng.below(6) {
            0 if !self.wanted.is_empty() => self.allocate(rng.below(self.wanted.len() as u64) as usize),
            1 if !self.holding.is_empty() => self.release(rng.below(self.holding.len() as u64) as usize),
            2 => drop(self.commit()),
            3 | 4 if self.world.pending() > 0 => self.complete(rng.below(self.world.pending() as u64) as usize),
            _ => drop(self.advance()),
        }
    }

    /// Goes on until nothing is left to be done but for new operations.
    pub fn settle(&mut self) {
        loop {
            let mut progress = self.advance() | self.commit();
            while self.world.pending() > 0 {
                self.complete(0);
                progress = true;
            }
            while !self.wanted.is_empty() {
                self.allocate(0);
                progress = true;
            }
            while !self.holding.is_empty() {
                self.release(0);
                progress = true;
            }
            if !progress {
                return;
            }
        }
    }

    /// One operation from beginning to end.
    pub fn run(&mut self, op: Op) {
        self.begin(op);
        self.settle();
    }

    /// Writes everything back.
    pub fn save(&mut self) {
        self.map.begin_save();
        self.settle();
        assert!(self.map.is_clean() && self.map.is_idle());
        assert_eq!(self.map.oldest_need(), None);
    }

    /// Reads all that is mapped, and some that is not.
    pub fn check_all(&mut self) {
        let lbns: Vec<u64> = self.model.keys().copied().collect();
        for lbn in lbns {
            self.run(Op::Read(Lbn(lbn)));
            self.run(Op::Read(Lbn(lbn ^ 1)));
        }
        assert_eq!(self.failures, []);
    }

    /// What a power cut leaves, with the records that the map says it needs, is the model.
    pub fn check_cut(&self, rng: &mut Random) {
        let need = self.map.oldest_need().unwrap_or(self.journal.len() as u64);
        let records = || self.journal.iter().enumerate().skip(need as usize);
        let turns = records().filter_map(|(at, record)| match *record {
            Record::Page(page, _) | Record::Gone(page) => Some((page, at)),
            Record::Remap(..) => None,
        });
        let mut replay = Replay { blocks: self.world.cut(rng), turns: turns.collect(), pages: BTreeMap::new() };
        for (at, record) in records() {
            replay.apply(at, *record);
        }
        for (lbn, mapping) in &self.model {
            assert_eq!(replay.lookup(Lbn(*lbn)), *mapping, "LBN {lbn} after a cut, replayed from {need}");
        }
        let leaves = |(page, entries): (&PageId, &Entries)| {
            if page.is_leaf() {
                entries.iter().filter(|&&raw| raw != 0).count()
            } else {
                0
            }
        };
        let mapped: usize = replay.pages.iter().map(leaves).sum();
        assert_eq!(mapped, self.model.len(), "nothing else is mapped");
    }
}

/// What recovery makes of a device and a journal.
struct Replay {
    blocks: Content<At>,
    /// The last record by which each page was made, or went: what is before that does not count.
    turns: BTreeMap<PageId, usize>,
    pages: BTreeMap<PageId, Entries>,
}

impl Replay {
    fn page(&mut self, page: PageId) -> Option<&mut Entries> {
        if !self.pages.contains_key(&page) {
            let (at, link) = match page.parent() {
                None => (At::Root(page.index as u32), Mapping::UNMAPPED),
                Some((parent, slot)) => match self.page(parent)?[slot] {
                    0 => return None,
                    raw => (At::Pbn(Mapping::from_raw(raw).pbn().0), Mapping::from_raw(raw)),
                },
            };
            let mut entries = [0; 504];
            let name = PageName::new(page, NONCE, link);
            map_page::decode(name, &self.blocks[&at], &mut entries).expect("a page that replay need not make");
            self.pages.insert(page, entries);
        }
        self.pages.get_mut(&page)
    }

    fn set(&mut self, at: usize, (page, slot): (PageId, usize), new: Mapping) {
        if self.turns.get(&page).is_none_or(|&turn| turn < at) {
            self.page(page).expect("a page comes before its changes")[slot] = new.to_raw();
        }
    }

    fn apply(&mut self, at: usize, record: Record) {
        match record {
            Record::Remap(lbn, new) => self.set(at, (PageId::leaf_of(lbn), lbn.slot()), new),
            Record::Page(page, link) => {
                self.set(at, page.parent().expect("roots are not allocated"), link);
                if self.turns[&page] == at {
                    self.pages.insert(page, [0; 504]);
                }
            }
            Record::Gone(page) => self.set(at, page.parent().expect("roots stay"), Mapping::UNMAPPED),
        }
    }

    fn lookup(&mut self, lbn: Lbn) -> Mapping {
        self.page(PageId::leaf_of(lbn)).map_or(Mapping::UNMAPPED, |page| Mapping::from_raw(page[lbn.slot()]))
    }
}

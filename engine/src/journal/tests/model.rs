// SPDX-License-Identifier: BSD-3-Clause

//! A journal in use: the actions of its owner, and the checks.

use mpool::mlog::block::Stamp;
use mpool::testing::Random;
use mpool::units::Nanos;
use uuid::Uuid;

use super::medium::{Medium, Request};
use super::read;
use crate::env::RunToken;
use crate::format::journal_record::{Entry, PbnRun, Point};
use crate::format::{JournalSegment, Mapped, Mapping, PageId};
use crate::io::{MetadataIo, MetadataOwner};
use crate::journal::{Counters, Journal, JournalConfig, Waiter, JOURNAL_BLOCKS, MAX_SETS};
use crate::units::{Lbn, Pbn, ShardId};
use crate::ReadOnlyReason;

/// Sizes of a journal.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    pub sector_bytes: usize,
    pub segments: usize,
    /// Bytes of a segment beyond the minimum.
    pub extra_bytes: usize,
    /// Bytes of the first segment beyond the others.
    pub first_extra_bytes: usize,
    pub page_reserve: usize,
    /// Blocks of memory for transfers.
    pub blocks: usize,
    pub zones: u16,
    pub volatile_cache: bool,
}

/// The smallest journal of two shards, on 512-byte sectors without a volatile cache: 66 sectors a segment.
pub(super) const SMALL: Sizes = Sizes {
    sector_bytes: 512,
    segments: 3,
    extra_bytes: 0,
    first_extra_bytes: 0,
    page_reserve: 2,
    blocks: JOURNAL_BLOCKS,
    zones: 2,
    volatile_cache: false,
};

/// A journal, its medium and its owner.
#[derive(Debug)]
pub(super) struct Model {
    pub journal: Journal<u32>,
    pub io: MetadataIo<u32>,
    pub medium: Medium,
    pub random: Random,
    /// Entries from this one on are not durable, and neither is the data written before they were appended.
    stable: u64,
    /// The first entry that was not appended yet when the flush in flight started.
    flushing: u64,
    pub popped: u64,
    /// Entries before this one are in written pages.
    pub map_head: u64,
    /// Requests to zones that are not answered.
    asked: Vec<(ShardId, Point)>,
    /// The generation of each segment.
    segments: Vec<JournalSegment>,
    zones: u16,
    pub erasing: Option<u32>,
    pub erasures: u64,
    /// One in this many transfers fails; 0: none.
    pub failures: usize,
    /// Transfers that fail at every attempt.
    pub doomed: Vec<RunToken>,
}

pub(super) const GENERATION: u64 = 7;

const RUNS: usize = 504;

/// Runs of the entry with this number.
fn runs_of(number: u64) -> Vec<PbnRun> {
    let mut random = Random::new(number);
    let count = match random.below(8) {
        0 => RUNS,
        1..=3 => random.below(RUNS),
        _ => random.below(4),
    };
    let longest = RUNS / count.max(1);
    let mut run = || PbnRun { first: Pbn(1 + random.draw() % (1 << 30)), count: 1 + random.below(longest) as u32 };
    (0..count).map(|_| run()).collect()
}

/// Calls `then` with the entry of this number: each number has its own entry.
pub(super) fn with_entry<T>(number: u64, page: bool, then: impl FnOnce(&Entry<'_>) -> T) -> T {
    let mut random = Random::new(number ^ 0x5555);
    if page {
        return then(&Entry::Page {
            page: PageId { level: (number % 3) as u8, index: number },
            pbn: Pbn(1 + number),
            life: 5,
        });
    }
    let lbn = Lbn(number * 504);
    if random.one_in(12) {
        return then(&Entry::Range { first: lbn, count: 504, runs: &runs_of(number) });
    }
    let old = if random.one_in(2) { Pbn::ZERO } else { Pbn(1 + random.draw() % (1 << 30)) };
    let stored = Mapped::uncompressed(Pbn(1 + random.draw() % (1 << 30)));
    let new = if random.one_in(4) { Mapping::UNMAPPED } else { Mapping::new(stored, number as u32 & 0xff_ffff) };
    then(&Entry::Remap { lbn, old, new })
}

/// Appends remaps, independent of the entries' numbers.
pub(super) fn remaps(model: &mut Model, count: usize) {
    for _ in 0..count {
        let entry = Entry::Remap { lbn: Lbn(1), old: Pbn(1), new: Mapping::UNMAPPED };
        let number = model.journal.next_entry();
        assert_eq!(model.journal.append(&entry, waiter(number)), number);
    }
}

/// Whether the entry with this number is a page entry.
pub(super) fn is_page(number: u64) -> bool {
    number % 7 == 3
}

impl Model {
    pub fn config(sizes: Sizes) -> JournalConfig<u32> {
        let least = JournalConfig::<u32>::min_segment_bytes(sizes.sector_bytes, sizes.page_reserve) as usize;
        let first_extra = |number| if number == 0 { sizes.first_extra_bytes } else { 0 };
        let segment = |number| {
            let stamp = Stamp { uuid: Uuid::from_u128(u128::from(number) + 1), generation: 3 };
            let capacity_bytes = (least + sizes.extra_bytes + first_extra(number)) as u64;
            JournalSegment { number, capacity_bytes, sector_bytes: sizes.sector_bytes, stamp }
        };
        JournalConfig {
            shard: ShardId(sizes.zones - 1),
            shards: sizes.zones,
            generation: GENERATION,
            segments: (0..sizes.segments as u32).map(segment).collect(),
            page_reserve: sizes.page_reserve,
            volatile_cache: sizes.volatile_cache,
            counters: Counters::default(),
            bufs: (0..sizes.blocks as u32).collect(),
        }
    }

    pub fn new(sizes: Sizes, seed: u64) -> Model {
        let config = Model::config(sizes);
        let segments = config.segments.clone();
        let segment_bytes = segments.iter().map(|segment| segment.capacity_bytes as usize).collect();
        Model {
            journal: Journal::new(&config),
            io: MetadataIo::new(MAX_SETS + 1, sizes.volatile_cache),
            medium: Medium::new(sizes.volatile_cache, sizes.blocks, segment_bytes),
            random: Random::new(seed),
            stable: 0,
            flushing: 0,
            popped: 0,
            map_head: 0,
            asked: Vec::new(),
            segments,
            zones: sizes.zones,
            erasing: None,
            erasures: 0,
            failures: 0,
            doomed: Vec::new(),
        }
    }

    /// Appends the next entry if there is room.
    pub fn append(&mut self) -> bool {
        let number = self.journal.next_entry();
        let fits = with_entry(number, is_page(number), |entry| self.journal.fits(entry));
        if fits {
            let appended = with_entry(number, is_page(number), |entry| self.journal.append(entry, waiter(number)));
            assert_eq!(appended, number);
            let behind = (number + 1) as i64;
            self.journal.set_counters(Counters { logical_blocks_used: behind, map_pages: -behind });
        }
        fits
    }

    pub fn advance(&mut self) -> bool {
        let flushes = self.io.counts().flush;
        let begun = self.journal.advance(&mut self.medium, &mut self.io);
        if self.io.counts().flush > flushes {
            self.flushing = self.journal.next_entry();
        }
        if self.medium.volatile_cache {
            let given = self.journal.staging.first_entry();
            assert!(given <= self.stable, "entry {given} is written, but data only up to {} is durable", self.stable);
        }
        begun
    }

    /// Ends a request of the medium.
    pub fn end(&mut self, index: usize) {
        let token = self.medium.under_way[index].0;
        let fails = self.failures > 0 && self.random.one_in(self.failures);
        if fails && self.random.one_in(8) {
            self.doomed.push(token);
        }
        let ok = !fails && !self.doomed.contains(&token);
        let is_flush = matches!(self.medium.under_way[index].1, Request::Flush { .. });
        let (token, result) = self.medium.end(index, ok, &mut self.random);
        if is_flush && ok {
            self.stable = self.flushing;
        }
        self.io.done(&mut self.medium, token, result);
        self.io.try_again(&mut self.medium, Nanos(u64::MAX));
        while let Some((owner, result)) = self.io.take_ended() {
            let MetadataOwner::Journal(tag) = owner else { panic!("{owner:?} is another's") };
            self.doomed.retain(|doomed| *doomed != token);
            self.journal.io_done(tag, result);
        }
    }

    pub fn end_any(&mut self) -> bool {
        let under_way = self.medium.under_way.len();
        if under_way > 0 {
            let index = self.random.below(under_way);
            self.end(index);
        }
        under_way > 0
    }

    /// The owner applies the committed entries.
    pub fn apply(&mut self) {
        while let Some((number, found)) = self.journal.pop_committed() {
            assert_eq!((number, found), (self.popped, waiter(number)));
            self.popped += 1;
        }
    }

    /// The block map writes pages: those that are due, or `eagerly` some more.
    pub fn write_pages(&mut self, eagerly: bool) {
        let due = self.journal.era().write_before.min(self.popped);
        let more =
            if eagerly { self.random.below((self.popped - self.map_head.min(self.popped)) as usize + 1) } else { 0 };
        self.map_head = self.map_head.max(due).max((self.map_head + more as u64).min(self.popped));
        self.journal.set_map_head(self.map_head);
    }

    /// Asks the zones to commit if the journal requests it.
    pub fn ask(&mut self) {
        if let Some(up_to) = self.journal.wanted_commit() {
            assert!(self.asked.is_empty(), "asked again before all have answered");
            assert!(up_to.entry() <= self.popped, "the changes have been sent");
            self.asked = (0..self.zones).map(|zone| (ShardId(zone), up_to)).collect();
        }
    }

    pub fn answer_one(&mut self) -> bool {
        if self.asked.is_empty() {
            return false;
        }
        let index = self.random.below(self.asked.len());
        let (zone, up_to) = self.asked.swap_remove(index);
        self.journal.slabs_committed(zone, up_to);
        true
    }

    pub fn begin_erasure(&mut self) {
        if let Some(number) = self.journal.take_erasure() {
            assert_eq!(self.erasing.replace(number), None, "one at a time");
        }
    }

    pub fn end_erasure(&mut self) -> bool {
        let Some(number) = self.erasing.take() else { return false };
        let Stamp { generation, uuid } = self.segments[number as usize].stamp;
        self.segments[number as usize].stamp = Stamp { uuid, generation: generation + 1 };
        self.erasures += 1;
        self.journal.segment_erased(number, Ok(generation + 1));
        true
    }

    /// Does everything that is due, until nothing is left.
    pub fn settle(&mut self) {
        loop {
            let mut busy = self.advance();
            busy |= self.end_any();
            self.apply();
            self.write_pages(false);
            self.ask();
            busy |= self.answer_one();
            self.begin_erasure();
            busy |= self.end_erasure();
            if !busy {
                return;
            }
        }
    }

    /// Cuts the power: for each sector that is not durable, `keeps` tells whether it survives. The segments must hold a
    /// run of entries without a gap, with every entry that was reported as committed and is still needed.
    pub fn check_cut(&mut self, mut keeps: impl FnMut(&mut Random) -> bool) {
        let mut random = Random::new(self.random.draw());
        let images = self.medium.cut(|| keeps(&mut random));
        let mut segments = self.segments.clone();
        if let Some(number) = self.erasing.filter(|_| random.one_in(2)) {
            segments[number as usize].stamp.generation += 1;
        }
        let committed = self.journal.committed;
        let needed = self.map_head.min(self.journal.slabs.head());
        let found = read::entries(&images, &segments, self.zones);
        assert!(found.start <= needed || needed == committed, "{found:?}, but needed from {needed} to {committed}");
        assert!(found.end >= committed || needed == committed, "{found:?}, but committed up to {committed}");
        assert!(found.end <= self.journal.next_entry());
    }

    /// After a failure: every entry that is not committed fails, in order.
    pub fn check_failed(&mut self) {
        assert_eq!(self.journal.failed(), Some(ReadOnlyReason::WriteFailed("recovery journal")));
        assert_eq!(self.journal.room(), 0);
        assert!(!with_entry(0, true, |entry| self.journal.fits(entry)));
        let committed = self.journal.statistics().entries.committed;
        if self.popped < committed {
            assert_eq!(self.journal.pop_failed(), None, "committed ones come first");
        }
        self.apply();
        assert_eq!(self.popped, committed);
        for number in self.popped..self.journal.next_entry() {
            assert_eq!(self.journal.pop_failed(), Some((number, waiter(number))));
        }
        assert_eq!(self.journal.pop_failed(), None);
        assert_eq!((self.journal.wanted_commit(), self.journal.take_erasure()), (None, None));
    }
}

fn waiter(number: u64) -> Waiter {
    match number % 3 {
        0 => Waiter::Vio(number as u32),
        1 => Waiter::Range(number as u32),
        _ => Waiter::Page(number as u32),
    }
}

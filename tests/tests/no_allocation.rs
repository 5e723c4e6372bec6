// SPDX-License-Identifier: BSD-3-Clause

//! Proof that a shard allocates nothing once it runs: the allocator counts.
//!
//! The world here is as plain as can be: a disk that is an array, transfers that complete in the next round, messages
//! in fixed rings. It allocates everything before the count begins, so whatever is counted is the engine's.

use std::collections::VecDeque;

use engine::fingerprint::{Fingerprinter, SECRET_BYTES};
use engine::format::index_section::SECTION_RECORDS;
use engine::format::{DeviceByte, Geometry, Placement};
use engine::request::{Operation, Piece};
use engine::slabs::ReserveConfig;
use engine::{
    Block, Blocks, Direction, Env, Event, HistoryConfig, Lbn, Message, Part, Pbn, RequestError, Run, RunToken,
    SectionAt, Shard, ShardBufs, ShardConfig, ShardId, BLOCK_SIZE, MAX_RUN_BLOCKS,
};
use mpool::units::Nanos;
use tests::framer_load::FramerLoad;
use tests::sim::layout::{placement, SEGMENT_BYTES};
use tests::sim::load::{format, Load};
use tests::sim::sizes::Sizes;

/// Journals of which each round fills a good part, and a cache that holds all pages.
const SIZES: Sizes = Sizes {
    vios: VIOS,
    pieces: 16,
    bounce: 16,
    verify: 16,
    containers: 16,
    swaps: 4,
    compression: false,
    index_bytes: 1 << 14,
    history: None,
    fingerprint_bits: None,
    segments: 4,
    segment_bytes: 256 << 10,
    sector_bytes: 512,
    map_pages: 0,
    map_bufs: 16,
    journal_bufs: 16,
    slab_bufs: 32,
    volatile_cache: false,
    reserve: ReserveConfig { overwrites: true, operator_percent: 1 },
};

/// Blocks of memory of one shard.
const SHARD_BLOCKS: usize = 16 + 16 + 16 + 4 + 4 + 16 + 16 + 32;

/// A journal segment that was erased takes memory for its flush sets when it is used again: a few allocations for some
/// hundred KiB of journal, none for a request.
const ALLOCATIONS_OF_SEGMENT: u64 = 12;

/// A section of the index's history, one in 4080 records, is made in memory of its own, and sorted in some.
const ALLOCATIONS_OF_SECTION: u64 = 3;

/// The shards keep a history of their index; the host takes nothing of it.
const HISTORY: HistoryConfig = HistoryConfig { nonce: 7, window_sections: 16, section_records: SECTION_RECORDS as u16 };

/// Rounds before allocations are counted.
const WARM_UP: u64 = 20;

const VIOS: usize = 64;
const LOGICAL: u64 = 504 * 8;
const PHYSICAL: u64 = 4096;
const CLIENT_BLOCKS: usize = 504;

/// A transfer under way.
#[derive(Clone, Copy)]
struct Transfer {
    direction: Direction,
    at: DeviceByte,
    bufs: [u32; MAX_RUN_BLOCKS],
    bytes: usize,
    token: RunToken,
}

/// What one shard sees; the vectors never grow.
struct World {
    memory: Vec<Block>,
    placement: Placement,
    /// The bdevs, byte by byte.
    disks: [Vec<u8>; 2],
    transfers: VecDeque<Transfer>,
    /// Journal segments to be erased, and how often each was.
    erasures: VecDeque<u32>,
    generations: Vec<u64>,
    mail: Vec<VecDeque<Message<u32>>>,
    /// Sections of the index's history that were handed over, and those whose shard does not know that they were not
    /// taken.
    sections: u64,
    dropped: u64,
    answers: u64,
    errors: u64,
}

impl World {
    /// The first blocks of `memory` are the client's.
    fn new(shards: usize) -> World {
        let placement = placement(geometry(shards), SIZES.segments);
        let end = |objects: &[DeviceByte], bytes: u64| objects.iter().map(|byte| byte.at + bytes).max().unwrap_or(0);
        let data = end(&placement.slabs, 64 * BLOCK_SIZE as u64);
        let metadata = end(&placement.areas, SEGMENT_BYTES).max(end(&placement.segments, SEGMENT_BYTES));
        let generations = vec![1; placement.segments.len()];
        let mut world = World {
            memory: vec![[0; BLOCK_SIZE]; CLIENT_BLOCKS + SHARD_BLOCKS * shards],
            placement,
            disks: [vec![0; data as usize], vec![0; metadata as usize]],
            erasures: VecDeque::with_capacity(64),
            generations,
            transfers: VecDeque::with_capacity(4096),
            mail: (0..shards).map(|_| VecDeque::with_capacity(4096)).collect(),
            sections: 0,
            dropped: 0,
            answers: 0,
            errors: 0,
        };
        format(&geometry(shards), |place, block| {
            let at = world.placement.locate(place);
            let start = at.at as usize;
            world.disks[usize::from(at.device)][start..start + BLOCK_SIZE].copy_from_slice(block);
        });
        world
    }

    fn transfer(&mut self, transfer: &Transfer) {
        let mut left = transfer.bytes;
        for (index, &buf) in transfer.bufs[..transfer.bytes.div_ceil(BLOCK_SIZE)].iter().enumerate() {
            let (part, start) = (left.min(BLOCK_SIZE), transfer.at.at as usize + index * BLOCK_SIZE);
            left -= part;
            let disk = &mut self.disks[usize::from(transfer.at.device)][start..start + part];
            let memory = &mut self.memory[buf as usize][..part];
            match transfer.direction {
                Direction::Read => memory.copy_from_slice(disk),
                Direction::Write => disk.copy_from_slice(memory),
            }
        }
    }
}

impl Env for World {
    type Buf = u32;
    type Client = u64;

    fn now(&self) -> Nanos {
        Nanos(0)
    }
    fn block(&self, buf: u32) -> &Block {
        &self.memory[buf as usize]
    }
    fn block_mut(&mut self, buf: u32) -> &mut Block {
        &mut self.memory[buf as usize]
    }
    fn copy_from_client(&mut self, first: u64, lbn: Lbn, part: Part, to: u32) {
        let from = self.memory[(lbn.0 - first) as usize];
        self.memory[to as usize][part.range()].copy_from_slice(&from[part.range()]);
    }
    fn copy_to_client(&mut self, first: u64, lbn: Lbn, part: Part, from: u32) {
        let from = self.memory[from as usize];
        self.memory[(lbn.0 - first) as usize][part.range()].copy_from_slice(&from[part.range()]);
    }
    fn zero_client(&mut self, first: u64, lbn: Lbn, part: Part) {
        self.memory[(lbn.0 - first) as usize][part.range()].fill(0);
    }
    fn submit(&mut self, run: Run<'_, u32>) {
        let mut bufs = [0; MAX_RUN_BLOCKS];
        bufs[..run.bufs.len()].copy_from_slice(run.bufs);
        let (direction, at, bytes, token) = (run.direction, self.placement.locate(run.place), run.bytes, run.token);
        self.transfers.push_back(Transfer { direction, at, bufs, bytes, token });
    }
    fn flush(&mut self, _token: RunToken) {
        panic!("there is no volatile cache");
    }
    fn erase_segment(&mut self, segment: u32) {
        self.erasures.push_back(segment);
    }
    fn append_section(&mut self, _section: Vec<u8>) {
        self.sections += 1;
        self.dropped += 1;
    }
    fn read_section(&mut self, _at: SectionAt) {
        unreachable!("no section can be read");
    }
    fn send(&mut self, to: ShardId, message: Message<u32>) {
        self.mail[to.index()].push_back(message);
    }
    fn send_room(&self, to: ShardId) -> usize {
        4096 - self.mail[to.index()].len()
    }
    fn complete(&mut self, _client: u64, result: Result<(), RequestError>) {
        self.answers += 1;
        self.errors += u64::from(result.is_err());
    }
    fn arm_timer(&mut self, _at: Nanos) {}
    fn report(&mut self, event: Event) {
        panic!("nothing goes wrong in this world, yet: {event:?}");
    }
}

/// Runs all shards until nothing moves.
fn settle(world: &mut World, shards: &mut [Shard<World>], owners: &mut VecDeque<(usize, Transfer)>) {
    loop {
        let mut progress = false;
        for (index, shard) in shards.iter_mut().enumerate() {
            while let Some(message) = world.mail[index].pop_front() {
                let from = ShardId(((index + 1) % 2) as u16);
                shard.receive(world, from, message);
                progress = true;
            }
            progress |= shard.run(world);
            (0..std::mem::take(&mut world.dropped)).for_each(|_| shard.section_dropped());
            while let Some(transfer) = world.transfers.pop_front() {
                owners.push_back((index, transfer));
            }
            while let Some(segment) = world.erasures.pop_front() {
                world.generations[segment as usize] += 1;
                let generation = world.generations[segment as usize];
                shard.segment_erased(world, segment, Ok(generation));
                progress = true;
            }
        }
        while let Some((index, transfer)) = owners.pop_front() {
            world.transfer(&transfer);
            shards[index].io_done(world, transfer.token, Ok(()));
            progress = true;
        }
        if !progress {
            return;
        }
    }
}

/// One round of every kind of request over the whole volume; `round` varies the content.
fn round(world: &mut World, shards: &mut [Shard<World>], owners: &mut VecDeque<(usize, Transfer)>, round: u64) {
    let geometry = geometry(shards.len());
    let mut asked = 0;
    for page in 0..LOGICAL / 504 {
        let lbn = Lbn(page * 504);
        for (index, block) in world.memory[..CLIENT_BLOCKS].iter_mut().enumerate() {
            let content = match index % 4 {
                0 => 0,                                                // zero block
                1 => index as u64 % 32 + 1,                            // duplicate
                _ => (round << 32 | page << 16 | index as u64) + 1000, // unique
            };
            block[..8].copy_from_slice(&content.to_le_bytes());
        }
        let whole = |operation| Piece { client: lbn.0, operation, lbn, blocks: 504, skip: 0, cut: 0 };
        let partial = Piece { blocks: 3, skip: 512, cut: 1024, ..whole(Operation::Write) };
        let last = if page % 2 == 0 { Operation::Unmap } else { Operation::WriteZeroes };
        let pieces = [whole(Operation::Write), whole(Operation::Read), partial, whole(Operation::Flush), whole(last)];
        let shard = geometry.logical_shard(lbn).index();
        for piece in pieces {
            shards[shard].submit(world, piece);
            settle(world, shards, owners);
            asked += 1;
        }
    }
    assert_eq!((std::mem::take(&mut world.answers), world.errors), (asked, 0));
}

fn geometry(shards: usize) -> Geometry {
    Geometry::new(shards, Blocks(LOGICAL), Pbn(1), Pbn(PHYSICAL), 64).expect("a valid layout")
}

/// Allocations of the rounds that are counted, but for those of journal segments and of sections.
fn allocations(count: usize, compression: bool) -> u64 {
    let mut world = World::new(count);
    let mut owners = VecDeque::with_capacity(4096);
    let mut shards: Vec<Shard<World>> = (0..count)
        .map(|id| {
            let mut bufs = (CLIENT_BLOCKS + SHARD_BLOCKS * id) as u32..;
            let mut take = |count| bufs.by_ref().take(count).collect();
            let bufs = ShardBufs {
                bounce: take(SIZES.bounce),
                verify: take(SIZES.verify),
                containers: take(SIZES.containers),
                relocation: take(4),
                swaps: take(SIZES.swaps),
                map: take(SIZES.map_bufs),
                journal: take(SIZES.journal_bufs),
                slabs: take(SIZES.slab_bufs),
            };
            let (id, geometry) = (ShardId(id as u16), geometry(count));
            let config = ShardConfig {
                id,
                geometry,
                vios: VIOS,
                pieces: SIZES.pieces,
                compression,
                index_bytes: SIZES.index_bytes,
                history: Some(HISTORY),
                fingerprinter: Fingerprinter::new([7; SECRET_BYTES]),
                metadata: Load::of_new(&geometry, &SIZES).of_shard(id, &geometry, &SIZES),
            };
            Shard::new(config, bufs)
        })
        .collect();
    // The checksum library looks at the processor once, when it is first used.
    std::hint::black_box(Fingerprinter::check_code(&world.memory[0]));
    // Queues of metadata keep the room that they once needed; all kinds of work are met in the first rounds.
    for number in 0..WARM_UP {
        round(&mut world, &mut shards, &mut owners, number);
    }
    let erased = |world: &World| world.generations.iter().sum::<u64>();
    let before = (erased(&world), world.sections);
    let counted = allocation_counter::measure(|| {
        for number in WARM_UP..WARM_UP + 20 {
            round(&mut world, &mut shards, &mut owners, number);
        }
    });
    let (erasures, sections) = (erased(&world) - before.0, world.sections - before.1);
    assert!(sections > 0, "the rounds must fill sections of the index's history");
    let hits: u64 = shards.iter().map(|shard| shard.statistics().dedupe_hits).sum();
    assert!(hits > 0, "the rounds must exercise deduplication");
    let packed = |shard: &Shard<World>| shard.statistics().compressed_fragments_written > 0;
    assert_eq!(shards.iter().all(packed), compression, "the rounds must exercise compression");
    assert!(world.generations.iter().any(|generation| *generation > 1), "the journals must be used again");
    counted.count_total.saturating_sub(erasures * ALLOCATIONS_OF_SEGMENT + sections * ALLOCATIONS_OF_SECTION)
}

#[test]
fn one_shard_allocates_nothing_after_start() {
    assert_eq!((allocations(1, false), allocations(1, true)), (0, 0));
}

#[test]
fn two_shards_allocate_nothing_after_start() {
    assert_eq!((allocations(2, false), allocations(2, true)), (0, 0));
}

/// The framer of a log, a shard's journal, with several flush sets in flight: full ones and short ones, records of
/// any size.
#[test]
fn a_logs_framer_allocates_nothing_after_start() {
    std::hint::black_box(Fingerprinter::check_code(&[0; BLOCK_SIZE]));
    for sector_bytes in [512, 4096] {
        let mut load = FramerLoad::new(sector_bytes, 128 << 10, 4);
        let record = [7; 3 * BLOCK_SIZE];
        let counted = allocation_counter::measure(|| {
            for number in 0..20_000 {
                load.append(&record[..number * 7 % record.len()]);
                if number % 5 == 0 {
                    load.commit();
                }
            }
            load.settle();
        });
        assert!(load.sets() >= 4000, "{} sets", load.sets());
        assert_eq!(counted.count_total, 0);
    }
}

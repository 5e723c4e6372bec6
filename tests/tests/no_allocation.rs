// SPDX-License-Identifier: BSD-3-Clause

//! Proof that a shard allocates nothing once it runs (architecture.md principle 4): the allocator counts.
//!
//! The world here is as plain as can be: a disk that is an array, transfers that complete in the next round, messages
//! in fixed rings. It allocates everything before the count begins, so whatever is counted is the engine's.

use std::collections::VecDeque;

use engine::hash::{Fingerprinter, SECRET_BYTES};
use engine::io::{Operation, Piece};
use engine::volume::Geometry;
use engine::{
    Block, Blocks, Direction, Env, Event, Lbn, Message, Nanos, Part, Pbn, RequestError, Run, RunToken, Shard,
    ShardConfig, ShardId, BLOCK_SIZE, MAX_RUN_BLOCKS,
};
use tests::framer_load::FramerLoad;

const VIOS: usize = 64;
const LOGICAL: u64 = 504 * 8;
const PHYSICAL: u64 = 4096;
const CLIENT_BLOCKS: usize = 504;

/// A transfer under way.
#[derive(Clone, Copy)]
struct Transfer {
    direction: Direction,
    pbn: Pbn,
    bufs: [u32; MAX_RUN_BLOCKS],
    count: usize,
    token: RunToken,
}

/// What one shard sees; the vectors never grow.
struct World {
    memory: Vec<Block>,
    disk: Vec<Block>,
    transfers: VecDeque<Transfer>,
    mail: Vec<VecDeque<Message<u32>>>,
    answers: u64,
    errors: u64,
    in_place: bool,
}

impl World {
    /// The first blocks of `memory` are the client's.
    fn new(shards: usize) -> World {
        World {
            memory: vec![[0; BLOCK_SIZE]; CLIENT_BLOCKS + 64],
            disk: vec![[0; BLOCK_SIZE]; PHYSICAL as usize],
            transfers: VecDeque::with_capacity(4096),
            mail: (0..shards).map(|_| VecDeque::with_capacity(4096)).collect(),
            answers: 0,
            errors: 0,
            in_place: true,
        }
    }

    fn transfer(&mut self, transfer: &Transfer) {
        for (index, &buf) in transfer.bufs[..transfer.count].iter().enumerate() {
            let (memory, disk) = (&mut self.memory[buf as usize], &mut self.disk[transfer.pbn.0 as usize + index]);
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
    fn client_block(&mut self, first: u64, lbn: Lbn) -> Option<u32> {
        self.in_place.then_some((lbn.0 - first) as u32)
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
        let (direction, pbn, count, token) = (run.direction, run.pbn, run.bufs.len(), run.token);
        self.transfers.push_back(Transfer { direction, pbn, bufs, count, token });
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
            while let Some(transfer) = world.transfers.pop_front() {
                owners.push_back((index, transfer));
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
            world.in_place = page % 3 != 0;
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

fn allocations(count: usize) -> u64 {
    let mut world = World::new(count);
    let mut owners = VecDeque::with_capacity(4096);
    let mut shards: Vec<Shard<World>> = (0..count)
        .map(|id| {
            let first = (CLIENT_BLOCKS + 32 * id) as u32;
            Shard::new(ShardConfig {
                id: ShardId(id as u16),
                geometry: geometry(count),
                vios: VIOS,
                pieces: 16,
                bounce: (first..first + 16).collect(),
                verify: (first + 16..first + 32).collect(),
                index_bytes: 1 << 14,
                fingerprinter: Fingerprinter::new([7; SECRET_BYTES]),
            })
        })
        .collect();
    // The checksum library looks at the processor once, when it is first used.
    std::hint::black_box(Fingerprinter::check_code(&world.memory[0]));
    let counted = allocation_counter::measure(|| {
        for number in 0..20 {
            round(&mut world, &mut shards, &mut owners, number);
        }
    });
    let hits: u64 = shards.iter().map(|shard| shard.statistics().dedupe_hits).sum();
    assert!(hits > 0, "the rounds must exercise deduplication");
    counted.count_total
}

#[test]
fn one_shard_allocates_nothing_after_start() {
    assert_eq!(allocations(1), 0);
}

#[test]
fn two_shards_allocate_nothing_after_start() {
    assert_eq!(allocations(2), 0);
}

/// The framer of a log, a shard's journal, with several flush sets in flight: full ones and short ones, records of any size.
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

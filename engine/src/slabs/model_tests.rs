// SPDX-License-Identifier: BSD-3-Clause

//! Compares the physical zone with a model of plain maps, over long random histories.
//!
//! Every answer of the zone is compared, all counters are compared at intervals, and the zone audits itself.

use std::collections::HashMap;

use mpool::testing::Random;

use super::test_zone::TestZone;
use super::{PhysicalError, ReadLock};
use crate::format::Geometry;
use crate::units::{Blocks, Pbn, ShardId};

/// A holder of a lock, as a hash zone keeps it.
#[derive(Debug, Clone, Copy)]
struct Holder {
    pbn: Pbn,
    /// Claims that it can still use; for a writer before its increment, none.
    unused: u8,
    /// It allocated the block and has not incremented yet.
    writes: bool,
}

/// The model of a lock.
#[derive(Debug, Clone, Copy)]
struct ModelLock {
    holders: usize,
    /// Claims that no holder has; none while it is a write lock.
    left: u8,
    writer: bool,
}

struct Model {
    zone: TestZone,
    blocks: Vec<Pbn>,
    /// References that mappings hold.
    references: HashMap<Pbn, u8>,
    locks: HashMap<Pbn, ModelLock>,
    holders: Vec<Holder>,
    /// One entry for each reference, to choose decrements from.
    mapped: Vec<Pbn>,
    capacity: usize,
}

impl Model {
    fn new(shards: usize, slab_blocks: u64, slabs: u64, capacity: usize) -> Model {
        let end = Pbn(7 + slab_blocks * slabs);
        let geometry = Geometry::new(shards, Blocks(1), Pbn(7), end, slab_blocks).expect("valid");
        let shard = ShardId(shards as u16 - 1);
        let blocks: Vec<_> = (7..end.0).map(Pbn).filter(|&pbn| geometry.physical_shard(pbn) == Some(shard)).collect();
        let zone = TestZone::new(&geometry, shard, capacity);
        assert_eq!(zone.data_blocks(), blocks.len() as u64);
        let (references, locks) = (HashMap::new(), HashMap::new());
        Model { zone, blocks, references, locks, holders: vec![], mapped: vec![], capacity }
    }

    fn count(&self, pbn: Pbn) -> u8 {
        self.references.get(&pbn).copied().unwrap_or(0)
    }

    fn expected_counter(&self, pbn: Pbn) -> u8 {
        match self.count(pbn) {
            0 if self.locks.contains_key(&pbn) => 255,
            count => count,
        }
    }

    fn free(&self) -> usize {
        self.blocks.iter().filter(|&&pbn| self.expected_counter(pbn) == 0).count()
    }

    fn allocate(&mut self) {
        match self.zone.allocate() {
            Ok(Some(pbn)) => {
                assert_eq!(self.expected_counter(pbn), 0, "{pbn} was not free");
                assert!(self.blocks.contains(&pbn));
                self.locks.insert(pbn, ModelLock { holders: 1, left: 0, writer: true });
                self.holders.push(Holder { pbn, unused: 0, writes: true });
            }
            Ok(None) => assert_eq!(self.free(), 0, "not full"),
            Err(PhysicalError::LockPoolExhausted { .. }) => assert_eq!(self.locks.len(), self.capacity),
            Err(error) => panic!("{error}"),
        }
    }

    fn lock(&mut self, pbn: Pbn, at_most: u8) {
        let count = self.count(pbn);
        let expected = match self.locks.get(&pbn) {
            Some(lock) if lock.writer => 0,
            Some(lock) => lock.left.min(at_most),
            None => (254 - count).min(at_most),
        };
        match self.zone.lock_for_read_sharing(pbn, at_most) {
            Ok(ReadLock::Granted { lease }) => {
                assert_eq!(lease, expected, "{pbn}");
                let lock = self.locks.entry(pbn).or_insert(ModelLock { holders: 0, left: 254 - count, writer: false });
                lock.holders += 1;
                lock.left -= lease;
                self.holders.push(Holder { pbn, unused: lease, writes: false });
            }
            Ok(ReadLock::Refused) => assert_eq!(expected, 0, "{pbn}"),
            Err(PhysicalError::LockPoolExhausted { .. }) => assert_eq!(self.locks.len(), self.capacity),
            Err(error) => panic!("{error}"),
        }
    }

    /// A holder chosen at random uses one claim, if it has one.
    fn increment(&mut self, random: &mut Random) {
        if self.holders.is_empty() {
            return;
        }
        let place = random.below(self.holders.len());
        let holder = &mut self.holders[place];
        match holder {
            Holder { writes: true, .. } => {
                holder.writes = false;
                holder.unused = 253;
                let lock = self.locks.get_mut(&holder.pbn).expect("held");
                lock.writer = false;
            }
            Holder { unused: 0, .. } => return,
            _ => holder.unused -= 1,
        }
        self.zone.increment(holder.pbn).expect("claimed");
        *self.references.entry(holder.pbn).or_insert(0) += 1;
        self.mapped.push(holder.pbn);
    }

    fn decrement(&mut self, random: &mut Random) {
        if self.mapped.is_empty() {
            return;
        }
        let pbn = self.mapped.swap_remove(random.below(self.mapped.len()));
        self.zone.decrement(pbn, 1).expect("referenced");
        *self.references.get_mut(&pbn).expect("referenced") -= 1;
    }

    fn release(&mut self, random: &mut Random) {
        if self.holders.is_empty() {
            return;
        }
        let holder = self.holders.swap_remove(random.below(self.holders.len()));
        self.zone.release(holder.pbn, holder.unused).expect("held");
        let lock = self.locks.get_mut(&holder.pbn).expect("held");
        lock.holders -= 1;
        lock.left += holder.unused;
        if lock.holders == 0 {
            self.locks.remove(&holder.pbn);
        }
    }

    fn compare(&self) {
        self.zone.audit().expect("consistent");
        for &pbn in &self.blocks {
            assert_eq!(self.zone.references(pbn), Some(self.expected_counter(pbn)), "{pbn}");
        }
        assert_eq!(self.zone.free_blocks() as usize, self.free());
        assert_eq!(self.zone.locks_in_use(), self.locks.len());
    }

    /// Ends everything that is in flight and every mapping: nothing may be left.
    fn finish(mut self, random: &mut Random) {
        while !self.holders.is_empty() {
            self.release(random);
        }
        self.compare();
        while !self.mapped.is_empty() {
            self.decrement(random);
        }
        self.compare();
        assert_eq!(self.zone.free_blocks(), self.zone.data_blocks());
        assert_eq!(self.zone.locks_in_use(), 0);
    }
}

fn run(seed: u64, shards: usize, slab_blocks: u64, slabs: u64, capacity: usize) {
    let random = &mut Random::new(seed);
    let mut model = Model::new(shards, slab_blocks, slabs, capacity);
    for batch in 0..150 {
        // Each batch has another bias, so that the zone is empty, full, and everything between.
        let lean = random.below(4);
        for _ in 0..100 {
            match (random.below(12), lean) {
                (0..3, _) | (11, 0) => model.allocate(),
                (3..5, _) => {
                    let pbn = model.blocks[random.below(model.blocks.len())];
                    let at_most = [1, 3, 100, 254][random.below(4)];
                    model.lock(pbn, at_most);
                }
                (5..7, _) | (11, 1) => model.increment(random),
                (7..9, _) | (9.., 2) => model.decrement(random),
                _ => model.release(random),
            }
        }
        if batch % 10 == 0 {
            for _ in 0..300 {
                model.increment(random);
            }
        }
        model.compare();
    }
    model.finish(random);
}

/// vdo-39, vdo-40, vdo-41, vdo-50: thousands of operations in random order agree with the model after every batch.
#[test]
fn random_histories_agree_with_the_model() {
    for seed in 0..8 {
        run(seed, 1, 8, 5, 16);
        run(seed, 3, 8, 20, 200);
        run(seed, 2, 64, 7, 40);
        run(seed, 1, 8192, 2, 1000);
    }
}

/// vdo-11, vdo-39: with one block and many holders the count reaches 254 and never passes it.
#[test]
fn a_crowded_block_reaches_its_maximum() {
    let random = &mut Random::new(11);
    let mut model = Model::new(1, 8, 1, 8);
    let pbn = model.blocks[3];
    let mut reached = 0;
    for _ in 0..3000 {
        match random.below(40) {
            0..4 => model.lock(pbn, 1 + random.below(254) as u8),
            4 => model.release(random),
            5 => model.decrement(random),
            _ => model.increment(random),
        }
        model.zone.audit().expect("consistent");
        assert_eq!(model.zone.references(pbn), Some(model.expected_counter(pbn)));
        reached = reached.max(model.count(pbn));
    }
    assert_eq!(reached, 254);
    model.finish(random);
}

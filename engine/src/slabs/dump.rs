// SPDX-License-Identifier: BSD-3-Clause

//! The physical zone's part of a dump.

use super::layout::SlabIndex;
use super::pbn_lock::{LockType, PbnLock};
use super::slab_state::{Obstacle, Status};
use super::PhysicalZone;
use crate::dump::{DumpScope, Listed, PbnLockDump, PhysicalDump, SlabDump, SlabWaiterDump};
use crate::units::{Pbn, ShardId, MAX_SHARDS};

impl LockType {
    const fn name(self) -> &'static str {
        match self {
            LockType::Read => "read",
            LockType::Write => "write",
            LockType::BlockMapWrite => "block_map_write",
        }
    }
}

impl Status {
    const fn name(self) -> &'static str {
        match self {
            Status::Rebuilt => "rebuilt",
            Status::Unloaded => "unloaded",
            Status::Rebuilding => "rebuilding",
        }
    }
}

impl Obstacle {
    const fn name(self) -> &'static str {
        match self {
            Obstacle::Busy => "scrubbing",
            Obstacle::Blocked => "journal_blocked",
            Obstacle::RingFull => "journal_full",
            Obstacle::TailBusy => "memory",
        }
    }
}

fn dump_lock(pbn: Pbn, lock: &PbnLock) -> PbnLockDump {
    PbnLockDump {
        pbn,
        kind: lock.lock_type().name(),
        holders: lock.holder_count(),
        increment_limit: lock.increment_limit(),
        leased: lock.increment_limit() - lock.unleased(),
        provisional: lock.has_provisional_reference(),
    }
}

impl<Buf: Copy> PhysicalZone<Buf> {
    /// The zone's locks, waiting requests and slabs, within the scope's limits.
    #[must_use]
    pub fn dump(&self, scope: &DumpScope) -> PhysicalDump {
        let locks = self.locks.iter().map(|(pbn, lock)| dump_lock(pbn, lock));
        let slab_waiters =
            self.lock_waiters.iter().map(|waiter| SlabWaiterDump { shard: waiter.member.shard, pbn: waiter.pbn });
        let slabs = self.slabs_to_dump(scope).into_iter().map(|slab| self.dump_slab(slab));
        PhysicalDump {
            locks: Listed::of(self.locks.in_use(), locks, scope),
            slabs: Listed::of(self.depot.slabs.len(), slabs, scope),
            waiting_for_block: self.waiters.len(),
            waiting_for_slab: Listed::of(self.lock_waiters.len(), slab_waiters, scope),
            waiting_updates: self.depot.updates.waiting(),
            scrubber: self.scrubber.dump(&self.depot),
        }
    }

    /// The slabs to list: those from a number on, or else those that are open, being scrubbed, awaited or unsettled.
    fn slabs_to_dump(&self, scope: &DumpScope) -> Vec<SlabIndex> {
        if let Some(number) = scope.first_slab {
            let first = self.layout().first_from(number);
            return self.depot.indices().skip(first).take(scope.most).collect();
        }
        let of_waiters = self.lock_waiters.iter().map(|waiter| waiter.slab);
        let busy = self.allocator.open_slab().into_iter().chain(self.scrubber.foremost()).chain(of_waiters);
        let mut slabs: Vec<SlabIndex> = Vec::with_capacity(scope.most);
        for slab in busy.chain(self.depot.unsettled.iter().copied()) {
            if slabs.len() == scope.most {
                break;
            }
            if !slabs.contains(&slab) {
                slabs.push(slab);
            }
        }
        slabs
    }

    fn dump_slab(&self, slab: SlabIndex) -> SlabDump {
        let state = self.depot.slab(slab);
        let shards = (0..MAX_SHARDS as u16).filter(|shard| state.awaited >> shard & 1 == 1);
        SlabDump {
            number: state.number,
            status: state.status.name(),
            is_open: self.allocator.open_slab() == Some(slab),
            priority: self.allocator.priority(slab),
            free_blocks: self.allocator.free_blocks_of(slab),
            journal_head: state.journal.head,
            journal_committed: state.journal.committed.tail,
            journal_tail: state.journal.tail,
            dirty_reference_blocks: state.dirty.len(),
            waiting_updates: state.waiting.len(&self.depot.updates),
            obstacle: state.obstacle.map(Obstacle::name),
            awaited_by: shards.map(ShardId).collect(),
            lock_waiters: self.lock_waiters.iter().filter(|waiter| waiter.slab == slab).count(),
        }
    }
}

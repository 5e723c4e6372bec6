// SPDX-License-Identifier: BSD-3-Clause

//! The hash zone's part of a dump.

use super::hash_lock::{HashLock, LockState};
use super::HashZone;
use crate::arena::NONE;
use crate::dump::{DumpScope, HashDump, HashLockDump, Listed};
use crate::message::VioRef;

impl LockState {
    /// All states, in the order of a lock's life.
    const ALL: [LockState; 9] = [
        LockState::Initializing,
        LockState::Querying,
        LockState::Writing,
        LockState::Updating,
        LockState::Locking,
        LockState::Verifying,
        LockState::Deduping,
        LockState::Unlocking,
        LockState::Bypassing,
    ];

    const fn name(self) -> &'static str {
        match self {
            LockState::Initializing => "initializing",
            LockState::Querying => "querying",
            LockState::Locking => "locking",
            LockState::Verifying => "verifying",
            LockState::Deduping => "deduping",
            LockState::Writing => "writing",
            LockState::Updating => "updating",
            LockState::Unlocking => "unlocking",
            LockState::Bypassing => "bypassing",
        }
    }
}

impl<Buf: Copy + std::fmt::Debug> HashZone<Buf> {
    /// Dumps the zone; `arrivals` is the number of blocks queued to become members.
    pub fn dump(&self, arrivals: usize, scope: &DumpScope) -> HashDump {
        let of_state = |state| self.locks.iter().filter(|(_, lock)| lock.state == state).count() as u64;
        HashDump {
            locks_by_state: LockState::ALL.map(|state| (state.name(), of_state(state))).to_vec(),
            locks: Listed::of(self.locks.in_use(), self.locks.iter().map(|(_, lock)| self.dump_lock(lock)), scope),
            members: self.members.in_use(),
            arrivals,
            waiting_for_memory: self.scratch_waiters.len(),
            parked: self.packing.parked(),
        }
    }

    fn dump_lock(&self, lock: &HashLock) -> HashLockDump {
        let agent = |member: u32| -> VioRef { self.members[member].vio };
        HashLockDump {
            fingerprint: lock.fingerprint.0,
            state: lock.state.name(),
            registered: lock.registered,
            duplicate: lock.duplicate.map(|duplicate| duplicate.pbn),
            holds_duplicate: lock.holds_duplicate,
            lease: lock.lease,
            agent: (lock.agent != NONE).then(|| agent(lock.agent)),
            members: lock.members.total(),
            waiters: lock.waiters.len(&self.members),
            late: lock.late.len(&self.members),
        }
    }
}

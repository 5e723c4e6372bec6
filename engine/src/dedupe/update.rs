// SPDX-License-Identifier: BSD-3-Clause

//! Updates of the index: UPDATING. Every record goes to both levels.

use super::hash_lock::{HashLock, LockState};
use super::HashZone;
use crate::context::Context;
use crate::env::Env;
use crate::fingerprint::Fingerprint;
use crate::format::Mapped;
use crate::index::Update;

impl<Buf: Copy + std::fmt::Debug> HashZone<Buf> {
    pub(super) fn start_updating(&mut self, lock: u32) {
        self.locks[lock].state = LockState::Updating;
        self.updates.push(lock);
    }

    /// Updates the index for all locks in Updating.
    pub(super) fn update_batch<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>) -> bool {
        let progress = !self.updates.is_empty();
        let mut updates = std::mem::take(&mut self.updates);
        for lock in updates.drain(..) {
            let HashLock { agent, duplicate, holds_duplicate, fingerprint, .. } = self.locks[lock];
            let location = match self.members[agent].allocation {
                Some(pbn) if !holds_duplicate => Mapped::uncompressed(pbn),
                _ => duplicate.expect("a lock that updates the index knows where the copy is"),
            };
            if self.deduplication {
                self.record(cx, fingerprint, location);
            }
            self.locks[lock].update_advice = false;
            self.updated(cx, lock);
        }
        debug_assert!(self.updates.is_empty(), "an update does not cause another at once");
        self.updates = updates;
        progress
    }

    pub(super) fn record<E: Env<Buf = Buf>>(
        &mut self,
        cx: &mut Context<'_, E>,
        fingerprint: Fingerprint,
        location: Mapped,
    ) {
        match self.index.update(fingerprint, location) {
            Update::Added | Update::Replaced(_) | Update::Dropped => cx.stats.updates_not_found += 1,
            Update::Changed => cx.stats.updates_found += 1,
        }
        let filled = self.level2.as_mut().and_then(|level2| level2.history().add(fingerprint, location));
        if let Some(section) = filled {
            cx.env.append_section(section);
        }
    }

    pub(super) fn updated<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>, lock: u32) {
        let agent = self.locks[lock].agent;
        if self.locks[lock].holds_duplicate {
            self.start_unlocking(cx, lock);
        } else {
            self.locks[lock].state = LockState::Bypassing;
            self.exit(cx, agent);
        }
    }
}

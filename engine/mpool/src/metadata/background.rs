// SPDX-License-Identifier: BSD-3-Clause

//! Compacts containers and adds containers ahead of need, so that no client's commit pays for that; chooses the
//! container for a new object.
//!
//! Each period considers one container, in rotation, never MDC0. Meanwhile the containers next in the rotation get no
//! new objects. A log, MDC0's too, that has become much longer than necessary waits for no period: it is compacted
//! right after a write to it, so that a power cut at any time leaves no long logs.

use std::rc::{Rc, Weak};

use super::container::Container;
use crate::error::Result;
use crate::host::Level;
use crate::ids::{Slot, SLOTS};
use crate::params::OWN_LABEL;
use crate::units::Nanos;
use crate::usage_log::{log_usage, ClassSpace};
use crate::{selection, Pool};

/// Bytes that a log may exceed twice its live size by.
const LEAST_WASTE_BYTES: u64 = 1 << 20;

/// The fill of a container's log, and the live part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Fill {
    /// Used bytes of the active log.
    pub used: u64,
    /// Total bytes of the active log.
    pub capacity: u64,
    /// Bytes that a compaction would write.
    pub live: u64,
}

impl Fill {
    /// Used bytes in percent; 0 when there is no log.
    #[must_use]
    pub fn fill_percent(&self) -> u64 {
        percent(self.used, self.capacity)
    }

    /// Bytes that a compaction would free: dead records, and the empty rest of blocks that were written for one record.
    #[must_use]
    pub fn garbage(&self) -> u64 {
        self.used.saturating_sub(self.live)
    }

    /// Garbage in percent of the used bytes.
    #[must_use]
    pub fn garbage_percent(&self) -> u64 {
        percent(self.garbage(), self.used)
    }

    /// True when the log is so much longer than necessary that an activation would take noticeably longer: a compaction
    /// now costs less than was written since the last one.
    #[must_use]
    pub fn is_wasteful(&self) -> bool {
        self.garbage() > self.live.saturating_add(LEAST_WASTE_BYTES)
    }

    /// The sum of two fills.
    #[must_use]
    pub fn plus(self, other: Fill) -> Fill {
        Fill { used: self.used + other.used, capacity: self.capacity + other.capacity, live: self.live + other.live }
    }
}

/// The spaces that the usage log watches: none in a pool whose only client watches them itself.
fn class_spaces(pool: &Weak<Pool>) -> Vec<ClassSpace> {
    let watched = pool.upgrade().filter(|pool| pool.params().label != OWN_LABEL);
    let drives = watched.map(|pool| pool.drives()).unwrap_or_default();
    let spaces = drives.iter().map(|drive| drive.space_usage());
    spaces
        .map(|space| ClassSpace { usable_bytes: space.usable_bytes, free_usable_bytes: space.free_usable_bytes })
        .collect()
}

fn percent(part: u64, whole: u64) -> u64 {
    u64::try_from(u128::from(part) * 100 / u128::from(whole.max(1))).unwrap_or(u64::MAX)
}

/// The number of containers to have when there are `clients` now: the next multiple of a set, at most 255.
#[must_use]
pub fn next_container_count(clients: usize, set: usize) -> usize {
    ((clients / set + 1) * set).min(SLOTS - 1)
}

impl Pool {
    /// The fill of a container.
    pub(crate) fn fill(&self, container: &Container) -> Fill {
        let Some(log) = container.mdc().and_then(|mdc| mdc.active().ok()) else { return Fill::default() };
        let (used, capacity) = log.fill();
        Fill { used, capacity, live: log.packed_bytes(container.live_bytes()) }
    }

    /// The container for a new object.
    ///
    /// # Errors
    /// NoSpace: there is none.
    pub(super) fn select_container(&self) -> Result<Slot> {
        self.selection.borrow_mut().select()
    }

    /// Recomputes the weights of the containers.
    pub(crate) fn rebuild_selection(&self) {
        let clients = self.containers().filter(|container| container.slot() != Slot::ZERO && container.is_open());
        let fills: Vec<_> = clients
            .map(|container| {
                let fill = self.fill(container);
                let slot = container.slot();
                match container.doubt() {
                    // As a full container: chosen only when there is no other.
                    Some(_) => selection::Fill { slot, free_bytes: 0, capacity_bytes: fill.capacity.max(1) },
                    None => {
                        let free_bytes = fill.capacity.saturating_sub(fill.used);
                        selection::Fill { slot, free_bytes, capacity_bytes: fill.capacity }
                    }
                }
            })
            .collect();
        let excluded = self.tunables.borrow().no_alloc_mdcs() as usize;
        let next = Slot(self.next_to_compact.get() as u8);
        if let Err(error) = self.selection.borrow_mut().rebuild(&fills, Some(next), excluded) {
            self.log(Level::Error, format!("no container is left for new objects: {error}"));
        }
    }

    /// Starts the background tasks of a pool: compaction ahead of need and the usage log.
    pub(crate) fn start_background(&self) {
        self.start_usage_log();
        self.start_compaction();
    }

    fn start_usage_log(&self) {
        let (tasks, host, name, weak) =
            (self.tasks.clone(), Rc::clone(&self.host), self.name().to_owned(), self.weak());
        let period = {
            let (weak, mut last) = (self.weak(), Nanos(0));
            move || {
                if let Some(pool) = weak.upgrade() {
                    last = Nanos(u64::from(pool.tunables.borrow().usage_log_period_ms()) * 1_000_000);
                }
                last
            }
        };
        self.tasks.spawn(async move {
            log_usage(tasks, &*host, &name, period, || class_spaces(&weak)).await;
        });
    }

    /// Starts compaction ahead of need. While it is disabled its periods pass without work.
    fn start_compaction(&self) {
        let weak = self.weak();
        self.compacting_waste.set(false);
        self.tasks.spawn(async move {
            loop {
                let Some(pool) = weak.upgrade() else { return };
                let period = Nanos(u64::from(pool.tunables.borrow().precompact_period_seconds()) * 1_000_000_000);
                if pool.tasks.sleep_or_stop(period).await {
                    return;
                }
                if pool.tunables.borrow().no_alloc_mdcs() > 0 {
                    pool.compact_ahead().await;
                }
            }
        });
    }

    /// Does the work of one period.
    pub(crate) async fn compact_ahead(&self) {
        let slot = Slot(self.next_to_compact.get() as u8);
        let container = self.container(slot);
        if self.is_due(container) {
            let _rest = container.compaction.exclusive().await;
            if self.is_due(container) {
                // The failure was logged, and the next period retries.
                let _ = self.compact(container).await;
            }
        }
        self.compact_wasteful().await;
        let following = self.next_to_compact.get() + 1;
        self.next_to_compact.set(if following < self.container_count.get() { following } else { 1 });
        self.grow_if_crowded().await;
        self.rebuild_selection();
        self.trim_logs();
    }

    /// Starts a compaction in the background if a container that was written to is much longer than necessary. With
    /// blocks of 4 KiB that are written for one record, that can happen many times in a period.
    pub(super) fn compact_waste_of(&self, container: &Container) {
        let allowed = self.tunables.borrow().no_alloc_mdcs() > 0 && !self.tasks.is_stopping();
        if !allowed || !self.fill(container).is_wasteful() || self.compacting_waste.replace(true) {
            return;
        }
        let weak = self.weak();
        self.tasks.spawn(async move {
            if let Some(pool) = weak.upgrade() {
                pool.compact_wasteful().await;
                pool.compacting_waste.set(false);
                pool.rebuild_selection();
            }
        });
    }

    /// Compacts the containers that are much longer than necessary, whose turn in the rotation may be far off. MDC0
    /// last: each compaction is recorded there.
    async fn compact_wasteful(&self) {
        let clients = self.containers().filter(|container| container.slot() != Slot::ZERO);
        for container in clients.chain([self.container(Slot::ZERO)]) {
            if self.fill(container).is_wasteful() {
                let _rest = container.compaction.exclusive().await;
                if self.fill(container).is_wasteful() {
                    // The failure was logged, and the next period retries.
                    let _ = self.compact(container).await;
                }
            }
        }
    }

    /// Frees memory that the containers' logs do not need at present.
    fn trim_logs(&self) {
        for log in self.container(Slot::ZERO).all_committed() {
            if let Some(open) = log.open.borrow().as_ref() {
                open.log.trim();
            }
        }
    }

    fn is_due(&self, container: &Container) -> bool {
        let (fill, tunables) = (self.fill(container), self.tunables.borrow());
        container.slot().index() < self.container_count.get()
            && fill.capacity > 0
            && fill.fill_percent() >= u64::from(tunables.precompact_fill_percent())
            && fill.garbage_percent() >= u64::from(tunables.precompact_garbage_percent())
    }

    /// Adds a set of containers when the existing ones are full of live objects.
    async fn grow_if_crowded(&self) {
        let all = self.containers().filter(|container| container.slot() != Slot::ZERO && container.is_open());
        let fill = all.fold(Fill::default(), |sum, container| sum.plus(self.fill(container)));
        let clients = self.container_count.get().saturating_sub(1);
        let crowded = {
            let tunables = self.tunables.borrow();
            fill.fill_percent() > u64::from(tunables.grow_fill_percent())
                && fill.garbage_percent() < u64::from(tunables.grow_garbage_percent())
        };
        if !crowded || clients >= SLOTS - 1 {
            return;
        }
        let wanted = next_container_count(clients, self.tunables.borrow().mdc_set() as usize);
        if let Err(error) = self.ensure_containers(wanted).await {
            self.log(Level::Warning, format!("adding metadata containers failed: {error}"));
        }
    }

    /// Compacts garbage that the next activation would otherwise read. Not essential: a failure changes nothing.
    async fn compact_at_the_end(&self, container: &Container) {
        let (fill, tunables) = (self.fill(container), self.tunables.borrow().clone());
        // A failed activation ends here, too, and must leave what it could not read as it is.
        let worth = !container.unread.get()
            && fill.garbage() > LEAST_WASTE_BYTES
            && fill.garbage_percent() >= u64::from(tunables.precompact_garbage_percent());
        if worth && container.slot() != Slot::ZERO && tunables.no_alloc_mdcs() > 0 {
            let _rest = container.compaction.exclusive().await;
            if let Err(error) = self.compact_once(container).await {
                self.log(Level::Warning, format!("compaction of {} at the end failed: {error}", container.slot()));
            }
        }
    }

    /// Closes all containers, MDC0 last because closing the others may still change it.
    ///
    /// # Errors
    /// The last failure; all containers are closed nevertheless.
    pub(crate) async fn close_containers(&self) -> Result<()> {
        let mut outcome = Ok(());
        for index in (0..self.container_count.get().max(1)).rev() {
            let container = self.container(Slot(index as u8));
            self.compact_at_the_end(container).await;
            let taken = container.mdc.borrow_mut().take();
            if let Some(mdc) = taken {
                outcome = outcome.and(mdc.close().await);
            }
        }
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_have_no_pitfalls() {
        let fill = Fill { used: 70, capacity: 100, live: 56 };
        assert_eq!((fill.fill_percent(), fill.garbage_percent()), (70, 20));
        assert_eq!((Fill::default().fill_percent(), Fill::default().garbage_percent()), (0, 0));
        let odd = Fill { used: u64::MAX - 1, capacity: 1, live: u64::MAX };
        assert_eq!(odd.garbage_percent(), 0);
        let fills =
            |garbage| Fill { used: 5 * LEAST_WASTE_BYTES + garbage, capacity: u64::MAX, live: 5 * LEAST_WASTE_BYTES };
        assert_eq!([6, 7].map(|times| fills(times * LEAST_WASTE_BYTES).is_wasteful()), [false, true]);
    }

    /// mpool-101, partly: containers come in whole sets, and are at most 255.
    #[test]
    fn containers_come_in_whole_sets() {
        assert_eq!(
            [0, 5, 15, 16, 17, 240, 254].map(|clients| next_container_count(clients, 16)),
            [16, 16, 16, 32, 32, 255, 255]
        );
    }
}

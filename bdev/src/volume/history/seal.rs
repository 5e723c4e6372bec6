// SPDX-License-Identifier: BSD-3-Clause

//! Sections that are sealed before they are full: periodically, so that a crash costs little, and at a clean stop.

use std::rc::{Rc, Weak};

use mpool::units::Nanos;

use super::super::for_each_shard::for_each_shard;
use super::{History, Task};
use crate::datapath::shard_host::ShardHost;
use crate::spdk::{tasks, timer};

/// Time between two rounds.
const PERIOD: Nanos = Nanos(2_000_000_000);

/// A section with at least this many records is sealed before it is full: one page of records.
const LEAST_RECORDS: u64 =
    (engine::format::index_section::SECTION_RECORDS / engine::format::index_section::SECTION_PAGES) as u64;

impl History {
    /// Starts to seal sections periodically, until the history ends.
    pub fn begin_sealing(self: &Rc<History>) {
        let history = Rc::downgrade(self);
        tasks::spawn(async move {
            loop {
                timer::sleep(PERIOD).await;
                let Some(history) = Weak::upgrade(&history) else { return };
                if history.log.borrow().is_none() {
                    return;
                }
                if !history.stopping.get() {
                    history.seal(LEAST_RECORDS).await;
                }
            }
        });
    }

    /// Tells the shards to send the records that do not fill a section yet, if they have at least `least`. These are
    /// durable when the shard has got the answer ([`ShardHost::is_saved`]), not when this returns.
    pub async fn seal(&self, least: u64) {
        let Some(volume) = self.volume.upgrade() else { return };
        let _task = Task::of(self);
        for_each_shard(&volume, move |shard: &ShardHost| shard.seal_section(least)).await;
    }
}

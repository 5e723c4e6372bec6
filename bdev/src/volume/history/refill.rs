// SPDX-License-Identifier: BSD-3-Clause

//! Feeding all sections to all shards, newest first, in the background of a volume that has started: this refills level 1,
//! and makes the hooks known again.
//!
//! A section goes to one shard after the other, so at most one shard works on it at a time. After each section a pause
//! follows, in which requests are served.

use std::rc::Rc;
use std::sync::Arc;

use mpool::units::Nanos;

use super::super::for_each_shard::for_each_shard;
use super::super::Volume;
use super::{place_of, History, Progress, Task};
use crate::datapath::shard_host::ShardHost;
use crate::spdk::{tasks, timer};

/// Time between two sections: at most some 20 million records a second.
const PAUSE: Nanos = Nanos(200_000);

impl History {
    /// Starts to refill the shards.
    pub fn begin_refill(self: &Rc<History>) {
        let history = Rc::clone(self);
        tasks::spawn(async move {
            let _task = Task::of(&history);
            history.refill_all().await;
        });
    }

    async fn refill_all(&self) {
        let (open, first, total) = {
            let shelf = self.shelf.borrow();
            (shelf.open().to_vec(), shelf.open_first(), shelf.sections())
        };
        self.refill.set(Progress { done: 0, total });
        if total > 0 && !self.extend().await {
            return;
        }
        for (within, section) in open.iter().enumerate().rev() {
            if !self.give(first.wrapping_add(within as u32), section).await {
                return;
            }
        }
        let mut before = None;
        loop {
            let next = self.shelf.borrow().before(before);
            let Some((chapter, first)) = next else { break };
            before = Some(first);
            match self.store.read_chapter(&chapter).await {
                Ok(content) => {
                    if !self.give_chapter(first, &content).await {
                        return;
                    }
                }
                Err(error) => self.note(Err(error), "reading a chapter of its index"),
            }
        }
        self.refill.set(Progress { done: total, total });
    }

    /// Gives level 1 its memory, step by step. False when it must stop.
    async fn extend(&self) -> bool {
        loop {
            let volume: Option<Arc<Volume>> = self.volume.upgrade();
            let (false, Some(volume)) = (self.stopping.get(), volume) else { return false };
            if !for_each_shard(&volume, ShardHost::extend_index).await.contains(&true) {
                return true;
            }
            timer::sleep(PAUSE).await;
        }
    }

    /// Feeds the sections of a chapter to the shards. False when it must stop.
    async fn give_chapter(&self, first: u32, content: &[u8]) -> bool {
        let starts = self.shelf.borrow_mut().learn(first, content);
        // The chapter may have been deleted in the meantime.
        let starts = starts.unwrap_or_default();
        for (within, place) in starts.windows(2).enumerate().rev() {
            // Both are inside the content.
            let section = &content[place[0] as usize..place[1] as usize];
            if !self.give(first.wrapping_add(within as u32), section).await {
                return false;
            }
        }
        true
    }

    async fn give(&self, number: u32, section: &[u8]) -> bool {
        let volume: Option<Arc<Volume>> = self.volume.upgrade();
        let (false, Some(volume)) = (self.stopping.get(), volume) else { return false };
        let section: Arc<[u8]> = Arc::from(section);
        for_each_shard(&volume, move |shard: &ShardHost| shard.refill(place_of(number), &section)).await;
        let Progress { done, total } = self.refill.get();
        self.refill.set(Progress { done: done + 1, total });
        timer::sleep(PAUSE).await;
        true
    }
}

// SPDX-License-Identifier: BSD-3-Clause

//! What a shard asks of SPDK's application thread, where its volume's objects in the pool are.
//!
//! Invariant: a shard is not idle, so not stopped, while an answer is under way to it.

use engine::{ReadOnlyReason, SectionAt, ShardId};

use super::peers::Peers;
use crate::spdk::thread::Thread;

/// Sections of a shard's index that may be on their way to its history; more are dropped.
const SECTIONS: usize = 2;

/// What is called with an answer.
pub type Done<T> = Box<dyn FnOnce(T)>;

/// The other end of these calls, on the application thread. `key` names the volume.
pub trait AppSide: core::fmt::Debug + Sync {
    /// Erases a journal segment and calls `done` with its new generation.
    fn erase_segment(&self, key: u64, segment: u32, done: Done<Result<u64, ()>>);

    /// Takes a section of the index, and calls `done` with its number when it can be read; with none if it is lost.
    fn append_section(&self, key: u64, section: Vec<u8>, done: Done<Option<u32>>);

    /// Reads a section of the index, and calls `done` with it.
    fn read_section(&self, key: u64, at: SectionAt, done: Done<Result<Vec<u8>, ()>>);

    /// A shard takes no writes any more.
    fn read_only(&self, key: u64, reason: ReadOnlyReason);
}

/// One shard's way to the application thread.
#[derive(Debug)]
pub struct AppCalls {
    app: Thread,
    side: &'static dyn AppSide,
    /// The volume's key there.
    key: u64,
    id: ShardId,
    peers: Peers,
    /// Questions without an answer.
    open: usize,
    /// Sections of the index on their way.
    sections: usize,
    /// How often the index was begun anew: answers to what was asked before count for nothing.
    index_era: u64,
}

impl AppCalls {
    /// The way of shard `id` of the volume with the key `key` to the thread `app`.
    pub fn new(app: Thread, side: &'static dyn AppSide, key: u64, id: ShardId, peers: Peers) -> AppCalls {
        AppCalls { app, side, key, id, peers, open: 0, sections: 0, index_era: 0 }
    }

    /// True when no answer is under way.
    pub fn is_idle(&self) -> bool {
        self.open == 0
    }

    /// Has a journal segment erased. The answer comes to [`super::shard_host::ShardHost::segment_erased`].
    pub fn erase_segment(&mut self, segment: u32) {
        self.open += 1;
        let (side, key, id, peers) = (self.side, self.key, self.id, self.peers.clone());
        self.app.post(move || {
            side.erase_segment(
                key,
                segment,
                Box::new(move |result| {
                    let thread = peers.shard(id).thread;
                    thread.run(move || peers.shard(id).segment_erased(segment, result));
                }),
            );
        });
    }

    /// Whether a section of the index can be sent.
    pub fn takes_section(&self) -> bool {
        self.sections < SECTIONS
    }

    /// Sends a section of the index to its history. The answer comes to
    /// [`super::shard_host::ShardHost::section_stored`].
    pub fn append_section(&mut self, section: Vec<u8>) {
        self.open += 1;
        self.sections += 1;
        let (side, key, id, peers, era) = (self.side, self.key, self.id, self.peers.clone(), self.index_era);
        self.app.post(move || {
            side.append_section(
                key,
                section,
                Box::new(move |number| {
                    let thread = peers.shard(id).thread;
                    thread.run(move || peers.shard(id).section_stored(era, number));
                }),
            );
        });
    }

    /// Notes the answer to a section that was sent. False when the index was begun anew meanwhile.
    pub fn section_stored(&mut self, era: u64) -> bool {
        self.sections -= 1;
        self.answered();
        era == self.index_era
    }

    /// Has a section of the index read. The answer comes to [`super::shard_host::ShardHost::section_read`].
    pub fn read_section(&mut self, at: SectionAt) {
        self.open += 1;
        let (side, key, id, peers) = (self.side, self.key, self.id, self.peers.clone());
        self.app.post(move || {
            side.read_section(
                key,
                at,
                Box::new(move |result| {
                    let thread = peers.shard(id).thread;
                    thread.run(move || peers.shard(id).section_read(at, result.as_deref().or(Err(()))));
                }),
            );
        });
    }

    /// Notes that the index has been begun anew.
    pub fn begin_index_anew(&mut self) {
        self.index_era += 1;
    }

    /// Notes an answer.
    pub fn answered(&mut self) {
        self.open -= 1;
    }

    /// Tells that the volume takes no writes any more.
    pub fn read_only(&self, reason: ReadOnlyReason) {
        let (side, key) = (self.side, self.key);
        self.app.post(move || side.read_only(key, reason));
    }
}

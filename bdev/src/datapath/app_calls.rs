// SPDX-License-Identifier: BSD-3-Clause

//! Calls from a shard to SPDK's application thread, which owns the volume's objects in the pool.
//!
//! Invariant: while a shard waits for an answer, it is not idle and hence not stopped.

use engine::{ReadOnlyReason, SectionAt, ShardId};

use super::peers::Peers;
use crate::spdk::thread::Thread;

/// Sections of a shard's index that may be in flight to its history; further sections are dropped.
const SECTIONS: usize = 2;

/// Gets the answer.
pub type Done<T> = Box<dyn FnOnce(T)>;

/// The receiver of the calls, on the application thread. `key` names the volume.
pub trait AppSide: core::fmt::Debug + Sync {
    /// Erases a journal segment and calls `done` with its new generation.
    fn erase_segment(&self, key: u64, segment: u32, done: Done<Result<u64, ()>>);

    /// Stores a section of the index. Calls `done` with its number once it can be read, or with none if it is lost.
    fn append_section(&self, key: u64, section: Vec<u8>, done: Done<Option<u32>>);

    /// Reads a section of the index and calls `done` with its content.
    fn read_section(&self, key: u64, at: SectionAt, done: Done<Result<Vec<u8>, ()>>);

    /// A shard accepts no more writes.
    fn read_only(&self, key: u64, reason: ReadOnlyReason);
}

/// One shard's calls to the application thread.
#[derive(Debug)]
pub struct AppCalls {
    app: Thread,
    side: &'static dyn AppSide,
    /// The volume's key on the application thread.
    key: u64,
    id: ShardId,
    peers: Peers,
    /// Calls without an answer.
    open: usize,
    /// Sections of the index in flight.
    sections: usize,
    /// Counts how often the index was cleared: answers from an earlier era are ignored.
    index_era: u64,
}

impl AppCalls {
    /// The calls of shard `id` of the volume with the key `key` to the thread `app`.
    pub fn new(app: Thread, side: &'static dyn AppSide, key: u64, id: ShardId, peers: Peers) -> AppCalls {
        AppCalls { app, side, key, id, peers, open: 0, sections: 0, index_era: 0 }
    }

    /// True when every call is answered.
    pub fn is_idle(&self) -> bool {
        self.open == 0
    }

    /// Asks the application thread to erase a journal segment; [`super::shard_host::ShardHost::segment_erased`] gets
    /// the answer.
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

    /// Whether another section of the index can be sent.
    pub fn takes_section(&self) -> bool {
        self.sections < SECTIONS
    }

    /// Sends a section of the index to its history; [`super::shard_host::ShardHost::section_stored`] gets the answer.
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

    /// Notes the answer to a section that was sent. False if the index was cleared in between.
    pub fn section_stored(&mut self, era: u64) -> bool {
        self.sections -= 1;
        self.answered();
        era == self.index_era
    }

    /// Asks the application thread to read a section of the index; [`super::shard_host::ShardHost::section_read`] gets
    /// the answer.
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

    /// Notes that the index was cleared: starts a new era.
    pub fn begin_index_anew(&mut self) {
        self.index_era += 1;
    }

    pub fn answered(&mut self) {
        self.open -= 1;
    }

    /// Tells the application thread that the volume accepts no more writes.
    pub fn read_only(&self, reason: ReadOnlyReason) {
        let (side, key) = (self.side, self.key);
        self.app.post(move || side.read_only(key, reason));
    }
}

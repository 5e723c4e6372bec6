// SPDX-License-Identifier: BSD-3-Clause

//! A shard's part of the index, as its volume drives it ([`crate::volume::history`]), and compression. All of it on the
//! shard's thread.

use engine::SectionAt;

use super::ShardHost;
use crate::datapath::poll::Running;

impl ShardHost {
    /// Whether the engine's index has begun with the image that the last stop has left. On the shard's thread.
    pub fn index_restored(&self) -> bool {
        self.with_running(|running| running.index_restored()).unwrap_or(false)
    }

    /// Takes the number of a section of the index that was sent to its history; none if it is lost. On the shard's
    /// thread.
    pub fn section_stored(&self, era: u64, number: Option<u32>) {
        self.change(|running| running.section_stored(era, number));
    }

    /// Takes a section of the index that the engine asked for. On the shard's thread.
    pub fn section_read(&self, at: SectionAt, result: Result<&[u8], ()>) {
        self.change(|running| running.section_read(at, result));
    }

    /// Gives the index a section of its history. On the shard's thread.
    pub fn refill(&self, at: SectionAt, section: &[u8]) {
        self.change(|running| running.refill(at, section));
    }

    /// Tells the index that sections below a number are no more. On the shard's thread.
    pub fn forget_sections(&self, oldest: u32) {
        self.change(|running| running.forget_sections(oldest));
    }

    /// Sends the records that fill no section of the index yet to its history, if there are as many as `least`. On the
    /// shard's thread.
    pub fn seal_section(&self, least: u64) {
        self.change(|running| running.seal_section(least));
    }

    /// The index as the next start takes it. On the shard's thread, when the volume has come to rest.
    pub fn save_index(&self) -> Vec<u8> {
        self.with_running(Running::save_index).unwrap_or_default()
    }

    /// Has the index asked, or not. On the shard's thread.
    pub fn set_deduplication(&self, enabled: bool) {
        self.change(|running| running.set_deduplication(enabled));
    }

    /// Turns compression on or off. On the shard's thread.
    pub fn set_compression(&self, enabled: bool) {
        self.change(|running| running.set_compression(enabled));
    }

    /// Begins the index anew. On the shard's thread.
    pub fn clear_index(&self) {
        self.change(Running::clear_index);
    }
}

// SPDX-License-Identifier: BSD-3-Clause

//! A shard's part of the index, driven by its volume ([`crate::volume::history`]), and compression. Every method runs
//! on the shard's thread.

use engine::SectionAt;

use super::ShardHost;
use crate::datapath::poll::Running;

impl ShardHost {
    /// Takes the number under which the history stored a section of the index; none if the section is lost. On the
    /// shard's thread.
    pub fn section_stored(&self, era: u64, number: Option<u32>) {
        self.change(|running| running.section_stored(era, number));
    }

    /// Takes a section of the index that the engine asked to read. On the shard's thread.
    pub fn section_read(&self, at: SectionAt, result: Result<&[u8], ()>) {
        self.change(|running| running.section_read(at, result));
    }

    /// Adds memory to the index; true while there is more to add. On the shard's thread.
    pub fn extend_index(&self) -> bool {
        self.with_running(Running::extend_index).unwrap_or(false)
    }

    /// Feeds the index a section of its history. On the shard's thread.
    pub fn refill(&self, at: SectionAt, section: &[u8]) {
        self.change(|running| running.refill(at, section));
    }

    /// Tells the index that sections below number `oldest` are gone. On the shard's thread.
    pub fn forget_sections(&self, oldest: u32) {
        self.change(|running| running.forget_sections(oldest));
    }

    /// Sends the records that do not yet fill a section to the history, if there are at least `least`. On the shard's
    /// thread.
    pub fn seal_section(&self, least: u64) {
        self.change(|running| running.seal_section(least));
    }

    /// Turns deduplication on or off. On the shard's thread.
    pub fn set_deduplication(&self, enabled: bool) {
        self.change(|running| running.set_deduplication(enabled));
    }

    /// Turns compression on or off. On the shard's thread.
    pub fn set_compression(&self, enabled: bool) {
        self.change(|running| running.set_compression(enabled));
    }

    /// Clears the index. On the shard's thread.
    pub fn clear_index(&self) {
        self.change(Running::clear_index);
    }
}

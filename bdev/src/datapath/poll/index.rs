// SPDX-License-Identifier: BSD-3-Clause

//! A running shard's part of the index, driven by the host ([`crate::volume::history`]), and compression.

use engine::{Env, SectionAt};

use super::Running;

impl Running {
    /// Takes the number under which the history stored a section of the index; none if the section is lost. An answer
    /// from before the index was last cleared is ignored.
    pub fn section_stored(&mut self, era: u64, number: Option<u32>) {
        let counts = self.env.app_calls().section_stored(era);
        match number {
            _ if !counts => {}
            Some(number) => self.shard.chapter_closed(number, 1),
            None => self.shard.chapter_lost(1),
        }
    }

    /// Takes a section of the index that the engine asked to read.
    pub fn section_read(&mut self, at: SectionAt, result: Result<&[u8], ()>) {
        self.env.app_calls().answered();
        self.shard.section_read(&mut self.env, at, result);
        self.tell_dropped();
    }

    /// Adds memory to the engine's index; true while there is more to add.
    pub fn extend_index(&mut self) -> bool {
        self.shard.extend_index()
    }

    /// Feeds the engine's index a section of its history.
    pub fn refill(&mut self, at: SectionAt, section: &[u8]) {
        self.shard.refill(at, section);
    }

    /// Tells the engine that sections below number `oldest` are gone.
    pub fn forget_sections(&mut self, oldest: u32) {
        self.shard.forget_chapters(oldest);
    }

    /// Sends the records that do not yet fill a section to the history, if there are at least `least`.
    pub fn seal_section(&mut self, least: u64) {
        if self.shard.open_records() < least || !self.env.app_calls().takes_section() {
            return;
        }
        if let Some(section) = self.shard.seal_section() {
            self.env.append_section(section);
        }
    }

    /// Turns deduplication on or off.
    pub fn set_deduplication(&mut self, enabled: bool) {
        self.shard.set_deduplication(enabled);
    }

    pub fn set_compression(&mut self, enabled: bool) {
        self.shard.set_compression(enabled);
    }

    /// Clears the engine's index and starts a new era.
    pub fn clear_index(&mut self) {
        self.env.app_calls().begin_index_anew();
        self.shard.clear_index();
    }

    /// Tells the engine how many sections of its index were dropped.
    pub(super) fn tell_dropped(&mut self) {
        for _ in 0..self.env.take_sections_dropped() {
            self.shard.section_dropped();
        }
    }
}

// SPDX-License-Identifier: BSD-3-Clause

//! A running shard's part of the index, as the host drives it ([`crate::volume::history`]), and compression.

use engine::{Env, SectionAt};

use super::Running;

impl Running {
    /// Whether the engine's index has begun with the image that was given.
    pub fn index_restored(&self) -> bool {
        self.shard.index_restored()
    }

    /// Takes the answer to a section of the index: its number; none if it is lost.
    pub fn section_stored(&mut self, era: u64, number: Option<u32>) {
        let counts = self.env.app_calls().section_stored(era);
        match number {
            _ if !counts => {}
            Some(number) => self.shard.chapter_closed(number, 1),
            None => self.shard.chapter_lost(1),
        }
    }

    /// Takes a section of the index that the engine asked for.
    pub fn section_read(&mut self, at: SectionAt, result: Result<&[u8], ()>) {
        self.env.app_calls().answered();
        self.shard.section_read(&mut self.env, at, result);
        self.tell_dropped();
    }

    /// Gives the engine's index a section of its history.
    pub fn refill(&mut self, at: SectionAt, section: &[u8]) {
        self.shard.refill(at, section);
    }

    /// Tells the engine that sections below a number are no more.
    pub fn forget_sections(&mut self, oldest: u32) {
        self.shard.forget_chapters(oldest);
    }

    /// Sends the records that fill no section of the index yet, if there are as many as `least`.
    pub fn seal_section(&mut self, least: u64) {
        if self.shard.open_records() < least || !self.env.app_calls().takes_section() {
            return;
        }
        if let Some(section) = self.shard.seal_section() {
            self.env.append_section(section);
        }
    }

    /// The engine's index as the next start takes it.
    pub fn save_index(&mut self) -> Vec<u8> {
        self.shard.save_index().flatten().collect()
    }

    /// Has the engine's index asked, or not.
    pub fn set_deduplication(&mut self, enabled: bool) {
        self.shard.set_deduplication(enabled);
    }

    /// Turns the engine's compression on or off.
    pub fn set_compression(&mut self, enabled: bool) {
        self.shard.set_compression(enabled);
    }

    /// Begins the engine's index anew.
    pub fn clear_index(&mut self) {
        self.env.app_calls().begin_index_anew();
        self.shard.clear_index();
    }

    /// Tells the engine which sections of its index were not taken.
    pub(super) fn tell_dropped(&mut self) {
        for _ in 0..self.env.take_sections_dropped() {
            self.shard.section_dropped();
        }
    }
}

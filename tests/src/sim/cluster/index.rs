// SPDX-License-Identifier: BSD-3-Clause

//! The index of a cluster's shards: its history, and what an operator does to it.

use engine::{Shard, ShardId};

use super::Cluster;
use crate::sim::base::Base;
use crate::sim::chapters::Told;
use crate::sim::digest::Happening;
use crate::sim::world::{trace, World};

impl<D: Base> Cluster<D> {
    /// Lets something happen in the history of the index.
    pub(super) fn perform_index(world: &mut World<D>, shards: &mut [Shard<World<D>>], number: usize) {
        let chapters = world.chapters.as_mut().expect("there is a history if anything is under way for it");
        let told = chapters.perform(number, world.clock);
        world.record(Happening::History, number as u64);
        match told {
            Told::Nothing => {}
            Told::Closed { shard, chapter, sections, oldest } => {
                trace!(world, "chapter {chapter} of {shard:?} is closed with {sections} sections, oldest {oldest}");
                shards[shard.index()].chapter_closed(chapter, sections);
                shards.iter_mut().for_each(|shard| shard.forget_chapters(oldest));
            }
            Told::Lost { shard, sections } => {
                trace!(world, "a chapter of {shard:?} with {sections} sections is lost");
                shards[shard.index()].chapter_lost(sections);
            }
            Told::Read { shard, at, result } => {
                world.current = shard;
                trace!(world, "<- {at:?}: {} bytes", result.as_ref().map_or(0, Vec::len));
                let section = result.as_deref().map_err(|_| ());
                shards[shard.index()].section_read(world, at, section);
                // Records that are carried on may fill a section, too.
                Cluster::tell_of_dropped_sections(world, shards, shard);
            }
            Told::Refill { at, section } => {
                trace!(world, "<- {at:?} for all");
                shards.iter_mut().for_each(|shard| shard.refill(at, &section));
            }
        }
    }

    /// Tells a shard which of the sections that it has handed over were not taken.
    pub(super) fn tell_of_dropped_sections(world: &mut World<D>, shards: &mut [Shard<World<D>>], of: ShardId) {
        if let Some(chapters) = &mut world.chapters {
            (0..chapters.take_dropped(of)).for_each(|_| shards[of.index()].section_dropped());
        }
    }

    /// Saves the index, for the next life; to be called when all is saved.
    pub fn save_index(&mut self) {
        let Some(chapters) = &mut self.world.chapters else { return };
        chapters.save(self.shards.iter_mut().map(Shard::seal_section).collect());
    }

    /// Makes the index empty.
    pub fn clear_index(&mut self) {
        self.world.record(Happening::ClearIndex, 0);
        self.shards.iter_mut().for_each(Shard::clear_index);
        if let Some(chapters) = &mut self.world.chapters {
            chapters.clear();
        }
    }

    /// Turns deduplication against stored data on or off.
    pub fn set_deduplication(&mut self, enabled: bool) {
        self.world.record(Happening::Deduplication, u64::from(enabled));
        self.shards.iter_mut().for_each(|shard| shard.set_deduplication(enabled));
        self.stale.fill(true);
    }

    /// Changes the size of every shard's index, while it is in use.
    pub fn resize_index(&mut self, bytes: usize) {
        self.world.record(Happening::Resize, bytes as u64);
        for shard in &mut self.shards {
            shard.resize_index(bytes);
        }
    }
}

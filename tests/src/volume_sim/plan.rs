// SPDX-License-Identifier: BSD-3-Clause

//! What a seed of the campaign stands for: disks, volume, load, and how each life ends.

use std::ops::Range;

use engine::format::Geometry;
use engine::units::ENTRIES_PER_LEAF_PAGE as PAGE;
use engine::{Blocks, Pbn};
use mpool::testing::{drawn_disk, Faults, Moment, Random};
use mpool::DeviceProperties;

use crate::pool_sim::revive::{CAPACITY, STAGING, ZONE};
use crate::sim::faults::FaultRates;
use crate::sim::plan::{draw_compression, draw_history, draw_range, Flavour, Mix, Plan};
use crate::sim::schedule::Weights;
use crate::sim::sizes::Sizes;

/// Blocks in a slab: one zone.
pub const SLAB_BLOCKS: u64 = ZONE / 4096;

/// What a seed is mostly about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Theme {
    /// A bit of everything on a few pages.
    General,
    /// Few blocks in each of many pages, so that pages are evicted.
    Scattered,
    /// Less room than data.
    Full,
    /// One request after the other on few blocks, so that the journal wraps.
    Steady,
    /// Full of blocks that compress, and are overwritten ([`super::swaps`]).
    Swaps,
}

/// How a life ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The power is cut at an operation of the machine.
    Cut(Moment),
    /// The process is killed there.
    Kill(Moment),
    /// The volume is saved, and the power cut afterwards.
    Stop,
    /// The volume is saved, and the process ends.
    Leave,
    /// The power is cut when the load is done and all is at rest, but nothing was saved.
    CutAtRest,
}

/// One life.
#[derive(Debug, Clone)]
pub struct LifePlan {
    /// Shards of the volume.
    pub shards: usize,
    /// Requests, in each of several rounds; between two rounds the volume is saved and checked.
    pub rounds: Vec<u32>,
    /// Slabs that it grows by, and logical blocks, after the first round.
    pub growth: Option<(u64, u64)>,
    /// How it ends, unless its load does before.
    pub ending: Ending,
    /// What goes wrong.
    pub faults: Faults,
}

/// Everything that follows from a seed.
#[derive(Debug, Clone)]
pub struct VolumePlan {
    /// The seed.
    pub seed: u64,
    /// What it is about.
    pub theme: Theme,
    /// The disks: CAPACITY, and STAGING if there is one.
    pub disks: Vec<DeviceProperties>,
    /// Slabs of the new volume.
    pub slabs: u64,
    /// Blocks that clients see.
    pub logical_blocks: u64,
    /// Load, memory and order of events, as the simulator of shards knows them. Its geometry is that of one shard.
    pub load: Plan,
    /// Seconds of patience: requests are served this often before the machine acts, in 1000.
    pub pauses: u32,
    /// The lives.
    pub lives: Vec<LifePlan>,
}

impl VolumePlan {
    /// What `seed` stands for.
    #[must_use]
    pub fn draw(seed: u64) -> VolumePlan {
        let mut random = Random::stream(seed, 0x766f_6c00);
        let random = &mut random;
        let theme = random.pick(&[Theme::General, Theme::General, Theme::Scattered, Theme::Full, Theme::Steady]);
        let disks = draw_disks(random);
        let slabs = random.between(4, if theme == Theme::Scattered { 6 } else { 5 });
        let pages = match theme {
            Theme::Scattered => random.between(80, 200),
            _ => random.between(1, 8),
        };
        let logical_blocks = pages * PAGE - random.pick(&[0, 0, 1, 100]);
        let load = draw_load(seed, theme, logical_blocks, slabs, metadata_sector(&disks), random);
        let errors = random.chance(200);
        let count = random.between(3, 7);
        let mut lives: Vec<_> =
            (0..count).map(|number| draw_life(theme, errors && number > 0, slabs, random)).collect();
        // After a kill, what recovery has read may still be in the disks' caches only.
        for number in 1..lives.len() {
            if matches!(lives[number - 1].ending, Ending::Kill(_)) && random.chance(600) {
                lives[number].ending = Ending::Cut(draw_moment(250, random));
            }
        }
        let pauses = random.pick(&[1000, 500, 200]);
        let mut plan = VolumePlan { seed, theme, disks, slabs, logical_blocks, load, pauses, lives };
        // A stream of its own, so that other seeds stand for what they were once noted for.
        let random = &mut Random::stream(seed, 0x766f_6c0c);
        if theme == Theme::Full && random.chance(500) {
            plan.swap(random);
        }
        plan
    }

    /// Flushes are needed.
    #[must_use]
    pub fn volatile_cache(&self) -> bool {
        self.disks.iter().any(|disk| disk.volatile_cache)
    }
}

/// Sector size of the disk on which metadata lies.
fn metadata_sector(disks: &[DeviceProperties]) -> usize {
    disks.last().map_or(512, |disk| disk.sector_bytes as usize)
}

fn draw_disks(random: &mut Random) -> Vec<DeviceProperties> {
    let mut disks = vec![drawn_disk(CAPACITY, 64 * ZONE, random)];
    if random.chance(400) {
        disks.push(drawn_disk(STAGING, 48 * ZONE, random));
    }
    disks
}

fn draw_life(theme: Theme, errors: bool, slabs: u64, random: &mut Random) -> LifePlan {
    let latest = random.pick(&[150, 500, 1500, 4000]);
    let moment = draw_moment(latest, random);
    let ending = match random.below(20) {
        0..=10 => Ending::Cut(moment),
        11..=13 => Ending::Kill(moment),
        14..=15 => Ending::Stop,
        16..=17 => Ending::Leave,
        _ => Ending::CutAtRest,
    };
    let most = if theme == Theme::Steady { 500 } else { 150 };
    let rounds = (0..random.between(1, 3)).map(|_| random.between(10, most) as u32).collect();
    let grows = random.chance(150);
    let faults = Faults {
        errors: if errors { random.pick(&[0, 1, 5]) } else { 0 },
        slow: random.pick(&[0, 0, 0, 30]),
        ..Faults::default()
    };
    LifePlan {
        shards: random.between(1, slabs.min(4)) as usize,
        rounds,
        growth: grows.then(|| (random.below(2), random.pick(&[0, 1, PAGE, 3000]))),
        ending,
        faults,
    }
}

pub(super) fn draw_moment(latest: u64, random: &mut Random) -> Moment {
    let at = random.below(latest);
    random.pick(&[Moment::Begun(at), Moment::Torn(at), Moment::Torn(at), Moment::Ended(at)])
}

fn draw_hot(theme: Theme, logical: u64, slabs: u64, random: &mut Random) -> Vec<Range<u64>> {
    let range = |random: &mut Random, longest: u64| draw_range(1, longest, logical, random);
    match theme {
        Theme::Scattered => (0..random.between(60, 150)).map(|_| range(random, 3)).collect(),
        Theme::Full | Theme::Swaps => {
            let blocks = slabs * SLAB_BLOCKS;
            (0..4).map(|_| range(random, blocks / 2)).collect()
        }
        Theme::General => (0..random.between(1, 6)).map(|_| range(random, 60)).collect(),
        Theme::Steady => (0..random.between(1, 3)).map(|_| range(random, 8)).collect(),
    }
}

fn draw_load(seed: u64, theme: Theme, logical: u64, slabs: u64, sector_bytes: usize, random: &mut Random) -> Plan {
    // The smallest segments that a journal works with on such a drive.
    let least = if sector_bytes == 512 { 64 << 10 } else { 192 << 10 };
    let sizes = Sizes {
        vios: random.pick(&[4, 8, 16, 64]),
        pieces: random.pick(&[2, 8, 64]),
        bounce: random.pick(&[2, 8, 64]),
        verify: random.pick(&[1, 2, 16]),
        index_bytes: random.pick(&[64, 1024, 1 << 14]),
        segment_bytes: random.pick(&[least, least, 256 << 10]),
        sector_bytes,
        map_pages: random.pick(&[0, 0, 0, 300]),
        map_bufs: random.pick(&[4, 8, 32]),
        journal_bufs: random.pick(&[4, 8, 32]),
        slab_bufs: random.pick(&[8, 16, 64]),
        ..Sizes::default()
    };
    let compression = &mut Random::stream(seed, 0x766f_6c06);
    let sizes = draw_history(draw_compression(sizes, compression), &mut Random::stream(seed, 0x766f_6c07));
    let mix = Mix {
        read: random.pick(&[100, 250]),
        unmap: random.pick(&[0, 50, 200]),
        write_zeroes: random.pick(&[0, 50]),
        flush: random.pick(&[20, 100]),
        unaligned: random.pick(&[0, 150, 400]),
        long: random.pick(&[50, 300, 600]),
        longest: if theme == Theme::Full { 128 } else { random.pick(&[4, 16, 64]) },
        zero: random.pick(&[0, 100]),
        unique: if theme == Theme::Full { 950 } else { random.pick(&[0, 200, 600, 950]) },
        noise: None,
        values: random.pick(&[1, 3, 10, 100]),
    };
    let end = 256 + slabs * SLAB_BLOCKS;
    let geometry =
        Geometry::new(1, Blocks(logical), Pbn(256), Pbn(end), SLAB_BLOCKS).expect("all numbers are in range");
    Plan {
        seed,
        flavour: Flavour::General,
        geometry,
        sizes,
        hot: draw_hot(theme, logical, slabs, random),
        mix,
        depth: if theme == Theme::Steady { random.pick(&[1, 2]) } else { random.pick(&[1, 2, 4, 8, 32]) },
        rounds: Vec::new(),
        faults: FaultRates::default(),
        weights: Weights::draw(random),
        again: 100,
        scribble: random.pick(&[0, 5, 50, 300]),
        whole_pages: Random::stream(seed, 0x766f_6c0b).pick(&[0, 0, 0, 100, 400, 900]),
        room: random.pick(&[usize::MAX, 2 * PAGE as usize, PAGE as usize]),
        resize: 0,
        switch: 0,
        toggle: compression.pick(&[0, 0, 30]),
        refill: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every seed gives a plan that makes sense, and all themes and endings occur.
    #[test]
    fn all_seeds_are_possible() {
        let (mut themes, mut cuts, mut kills, mut others) = ([0; 5], 0, 0, 0);
        for seed in 0..2000 {
            let plan = VolumePlan::draw(seed);
            themes[plan.theme as usize] += 1;
            assert!(plan.load.hot.iter().all(|range| !range.is_empty() && range.end <= plan.logical_blocks));
            for life in &plan.lives {
                assert!((1..=4).contains(&life.shards) && life.shards as u64 <= plan.slabs, "seed {seed}");
                match life.ending {
                    Ending::Cut(_) => cuts += 1,
                    Ending::Kill(_) => kills += 1,
                    _ => others += 1,
                }
            }
        }
        assert!(themes.iter().chain([&cuts, &kills, &others]).all(|count| *count > 100), "{themes:?}");
    }
}

// SPDX-License-Identifier: BSD-3-Clause

//! What a seed stands for: the volume, its limits, the load, the faults and the schedule.
//!
//! Each seed belongs to a flavour, so that a fixed share of all seeds meets each rare situation: a full volume, more equal
//! blocks than one block has references, many requests for one block. The rest is drawn.

use std::ops::Range;

use engine::format::Geometry;
use engine::slabs::ReserveConfig;
use engine::units::ENTRIES_PER_LEAF_PAGE as PAGE;
use engine::{Blocks, Pbn};
use mpool::testing::Random;

use super::chapters::ChapterPlan;
use super::faults::FaultRates;
use super::schedule::Weights;
use super::sizes::Sizes;

/// What a seed is mostly about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavour {
    /// A bit of everything.
    General,
    /// Less room than data.
    Full,
    /// More equal blocks than one block has references.
    Rollover,
    /// Many requests on few blocks.
    Contention,
    /// One request at a time, no faults, a good hash and a large index: what is saved can be predicted.
    Efficiency,
}

/// How likely operations and contents are, in 1000.
#[derive(Debug, Clone, Copy)]
pub struct Mix {
    /// Reads.
    pub read: u32,
    /// Unmaps.
    pub unmap: u32,
    /// Write zeroes.
    pub write_zeroes: u32,
    /// Flushes; the rest are writes.
    pub flush: u32,
    /// Requests that do not cover whole blocks.
    pub unaligned: u32,
    /// Requests of more than one block.
    pub long: u32,
    /// Most blocks of a long write or read.
    pub longest: u64,
    /// Written blocks of zeros.
    pub zero: u32,
    /// Written blocks that are like no other.
    pub unique: u32,
    /// Noise in blocks that are like no other, if there is as much in all of them.
    pub noise: Option<usize>,
    /// Different contents of all other blocks.
    pub values: u64,
}

/// Everything that follows from a seed.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The seed.
    pub seed: u64,
    /// What it is about.
    pub flavour: Flavour,
    /// The volume.
    pub geometry: Geometry,
    /// Limits of its shards.
    pub sizes: Sizes,
    /// Where the load goes.
    pub hot: Vec<Range<u64>>,
    /// What the load is.
    pub mix: Mix,
    /// Requests in flight.
    pub depth: usize,
    /// Requests, in each of several rounds. After each the volume is quiesced and audited.
    pub rounds: Vec<u32>,
    /// Faults, except in the last phase of a run.
    pub faults: FaultRates,
    /// Unique values behind which a stream of older ones is written again, in 1000.
    pub again: u32,
    /// Unmaps and zeroings of whole leaf pages, in 1000 of all.
    pub whole_pages: u32,
    /// Order of events.
    pub weights: Weights,
    /// Events before which some client changes memory that the engine has, in 1000.
    pub scribble: u32,
    /// Room in the channels.
    pub room: usize,
    /// Requests before which the index is resized, in 1000.
    pub resize: u32,
    /// Requests before which deduplication is turned on or off, or the index emptied, in 1000.
    pub switch: u32,
    /// Requests before which compression is turned on or off, in 1000.
    pub toggle: u32,
    /// At the end, unmap everything and fill the volume again to the last block.
    pub refill: bool,
}

impl Plan {
    /// Whether overwrites of the only copy of a block never want for space: they always give a block back if nothing is
    /// compressed; or else they fit where the old copy was if all blocks compress alike, and none is shared.
    #[must_use]
    pub const fn overwrites_go_on(&self) -> bool {
        match self.mix.noise {
            None => !self.sizes.compression && self.toggle == 0,
            Some(_) => self.mix.unique == 1000 && self.mix.unaligned == 0 && self.again == 0 && self.scribble == 0,
        }
    }

    /// What `seed` stands for.
    ///
    /// # Panics
    /// Never: all geometries that are drawn are possible.
    #[must_use]
    pub fn draw(seed: u64) -> Plan {
        let mut random = Random::stream(seed, 0);
        let random = &mut random;
        let flavour = match random.below(100) {
            0..=44 => Flavour::General,
            45..=69 => Flavour::Full,
            70..=77 => Flavour::Rollover,
            78..=91 => Flavour::Contention,
            _ => Flavour::Efficiency,
        };
        let shards = random.pick(&[1, 1, 1, 2, 2, 3, 4, 5, 6, 7, 8]);
        let logical = draw_logical(shards, random);
        let hot = draw_hot(flavour, logical, random);
        let hot_blocks: u64 = hot.iter().map(|range| range.end - range.start).sum();
        let geometry = draw_geometry(flavour, shards, logical, hot_blocks, random);
        let faults = if flavour == Flavour::Efficiency { FaultRates::default() } else { draw_faults(random) };
        let mix = draw_mix(flavour, random);
        // Streams of their own, so that seeds stand for the loads for which they were once noted.
        let compression = &mut Random::stream(seed, 6);
        let index = &mut Random::stream(seed, 7);
        Plan {
            seed,
            flavour,
            geometry,
            sizes: draw_reserve(draw_history(draw_compression(draw_sizes(flavour, random), compression), index), seed),
            hot,
            mix,
            depth: match flavour {
                Flavour::Efficiency => 1,
                Flavour::Contention => random.pick(&[8, 32, 128]),
                _ => random.pick(&[1, 2, 4, 8, 16, 32, 64, 128, 256]),
            },
            rounds: draw_rounds(flavour, random),
            faults,
            weights: Weights::draw(random),
            again: index.pick(&[0, 100, 300]),
            scribble: match (random.pick(&[0, 5, 50, 300]), flavour) {
                (_, Flavour::Efficiency) => 0,
                (rate, _) => rate,
            },
            whole_pages: Random::stream(seed, 11).pick(&[0, 0, 0, 100, 400, 900]),
            // An empty channel has room for the decrements of a leaf page, each of another run, but maybe not for more.
            room: random.pick(&[usize::MAX, usize::MAX, 2 * PAGE as usize, PAGE as usize]),
            resize: if flavour == Flavour::Efficiency { 0 } else { random.pick(&[0, 0, 0, 50]) },
            switch: if flavour == Flavour::Efficiency { 0 } else { index.pick(&[0, 0, 20]) },
            toggle: if flavour == Flavour::Efficiency { 0 } else { compression.pick(&[0, 0, 30]) },
            refill: geometry.data_blocks().0 <= 512 && random.chance(300),
        }
    }
}

fn draw_logical(shards: u64, random: &mut Random) -> u64 {
    let pages = shards * random.between(1, 4) + random.below(2);
    pages * PAGE - random.pick(&[0, 0, 1, 100, 503])
}

/// Ranges in which the load happens: some at leaf-page boundaries, so that requests cross from shard to shard.
fn draw_hot(flavour: Flavour, logical: u64, random: &mut Random) -> Vec<Range<u64>> {
    let (ranges, longest) = match flavour {
        Flavour::Contention => (random.between(1, 3), 3),
        Flavour::Rollover => (random.between(2, 4), 400),
        Flavour::Efficiency => (random.between(1, 4), 200),
        Flavour::General | Flavour::Full => (random.between(1, 6), random.pick(&[4, 32, 128])),
    };
    let shortest = if flavour == Flavour::Rollover { 150 } else { 1 };
    (0..ranges).map(|_| draw_range(shortest, longest, logical, random)).collect()
}

/// A range of `shortest` to `longest` blocks of a volume of `logical` blocks: often at the start of a leaf page, or
/// across it.
pub fn draw_range(shortest: u64, longest: u64, logical: u64, random: &mut Random) -> Range<u64> {
    let length = random.between(shortest, longest).min(logical);
    let last = logical - length;
    let start = match random.below(3) {
        0 => random.below(logical / PAGE + 1) * PAGE,
        1 => (random.below(logical / PAGE + 1) * PAGE).saturating_sub(length / 2),
        _ => random.below(last + 1),
    };
    let start = start.min(last);
    start..start + length
}

fn draw_geometry(flavour: Flavour, shards: u64, logical: u64, hot: u64, random: &mut Random) -> Geometry {
    let slab = 8u64 << random.below(4);
    let wanted = match flavour {
        Flavour::Full => hot * random.between(20, 90) / 100,
        Flavour::Rollover => random.between(16, 600),
        Flavour::Efficiency => hot + 64,
        Flavour::General | Flavour::Contention => random.pick(&[hot, 2 * hot + 64, 3 * hot + 400]),
    };
    // Each leaf page may be the first of its tree, and need two pages above it.
    let pages = 3 * logical.div_ceil(PAGE);
    let slabs = (wanted + pages).div_ceil(slab).max(shards);
    let first = random.between(1, 40);
    let end = first + slabs * slab + random.below(slab);
    Geometry::new(shards as usize, Blocks(logical), Pbn(first), Pbn(end), slab).expect("all drawn numbers are in range")
}

fn draw_sizes(flavour: Flavour, random: &mut Random) -> Sizes {
    let roomy = flavour == Flavour::Efficiency || random.chance(500);
    let fingerprint_bits = if flavour == Flavour::Efficiency || random.chance(700) {
        None
    } else {
        Some(random.pick(&[0, 1, 2, 4, 8, 12, 16]))
    };
    let metadata = Sizes {
        segments: random.pick(&[3, 4, 6]),
        segment_bytes: random.pick(&[64 << 10, 128 << 10, 1 << 20]),
        sector_bytes: 512,
        map_pages: random.pick(&[0, 0, 200]),
        map_bufs: random.pick(&[4, 8, 32]),
        journal_bufs: random.pick(&[4, 8, 32]),
        slab_bufs: random.pick(&[8, 16, 64]),
        volatile_cache: random.chance(500),
        fingerprint_bits,
        ..Sizes::default()
    };
    if roomy {
        return Sizes { vios: 256, pieces: 64, bounce: 256, verify: 16, index_bytes: 1 << 14, ..metadata };
    }
    Sizes {
        vios: random.pick(&[4, 5, 8, 16, 64, 256]),
        pieces: random.pick(&[1, 2, 8, 64]),
        bounce: random.pick(&[2, 3, 32, 256]),
        verify: random.pick(&[1, 2, 16]),
        index_bytes: random.pick(&[64, 128, 1024, 1 << 14]),
        ..metadata
    }
}

/// Half of all seeds begin with compression.
#[must_use]
pub fn draw_compression(sizes: Sizes, random: &mut Random) -> Sizes {
    Sizes { compression: random.chance(500), containers: random.pick(&[1, 2, 16]), ..sizes }
}

/// The history of the index, and fingerprints of which enough are hooks for it to be used.
pub fn draw_history(sizes: Sizes, random: &mut Random) -> Sizes {
    let bits = random.pick(&[72, 73, 74, 76, 128]);
    Sizes { history: Some(ChapterPlan::draw(random)), fingerprint_bits: sizes.fingerprint_bits.or(Some(bits)), ..sizes }
}

/// What is kept for the operator, in some seeds.
#[must_use]
pub fn draw_reserve(sizes: Sizes, seed: u64) -> Sizes {
    let operator_percent = Random::stream(seed, 9).pick(&[0, 0, 1, 10]);
    Sizes { reserve: ReserveConfig { operator_percent, ..sizes.reserve }, ..sizes }
}

fn draw_mix(flavour: Flavour, random: &mut Random) -> Mix {
    let mut mix = Mix {
        read: random.pick(&[100, 250, 400]),
        unmap: random.pick(&[0, 50, 200]),
        write_zeroes: random.pick(&[0, 50]),
        flush: random.pick(&[0, 20]),
        unaligned: random.pick(&[0, 0, 150, 500]),
        long: random.pick(&[50, 300, 600]),
        longest: random.pick(&[4, 16, 64]),
        zero: random.pick(&[0, 100]),
        unique: random.pick(&[0, 200, 600, 950]),
        noise: None,
        values: random.pick(&[1, 3, 10, 100]),
    };
    match flavour {
        Flavour::Full => mix.unique = random.pick(&[600, 900, 1000]),
        Flavour::Rollover => {
            mix = Mix { unique: random.pick(&[0, 10]), values: random.between(1, 2), long: 700, longest: 128, ..mix };
            (mix.read, mix.unmap, mix.zero, mix.unaligned) = (100, random.pick(&[0, 30]), 0, random.pick(&[0, 50]));
        }
        Flavour::Contention => mix.longest = 4,
        Flavour::Efficiency => mix.unaligned = 0,
        Flavour::General => {}
    }
    mix
}

fn draw_rounds(flavour: Flavour, random: &mut Random) -> Vec<u32> {
    let rounds = random.between(1, 3);
    let most = if flavour == Flavour::Rollover { 30 } else { 120 };
    (0..rounds).map(|_| random.between(10, most) as u32).collect()
}

fn draw_faults(random: &mut Random) -> FaultRates {
    let mut rates = FaultRates { slow: random.pick(&[0, 0, 20, 200]), ..FaultRates::default() };
    if random.chance(550) {
        return rates;
    }
    for rate in [&mut rates.read_error, &mut rates.write_error, &mut rates.bad_read, &mut rates.bad_write] {
        if random.chance(400) {
            *rate = random.pick(&[2, 20, 100, 400]);
        }
    }
    for rate in [&mut rates.rot, &mut rates.decay] {
        if random.chance(200) {
            *rate = random.pick(&[2, 20, 100]);
        }
    }
    rates
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every seed gives a plan that makes sense, and all flavours occur.
    #[test]
    fn all_seeds_are_possible() {
        let mut seen = [0u32; 5];
        for seed in 0..5000 {
            let plan = Plan::draw(seed);
            seen[plan.flavour as usize] += 1;
            let logical = plan.geometry.logical_blocks().0;
            assert!(plan.hot.iter().all(|range| !range.is_empty() && range.end <= logical), "seed {seed}");
            assert!(!plan.rounds.is_empty());
        }
        assert!(seen.iter().all(|count| *count > 100), "{seen:?}");
    }
}

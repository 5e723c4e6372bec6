// SPDX-License-Identifier: BSD-3-Clause

//! Volumes full of compressed blocks whose fragments are overwritten: swaps ([`engine::swapper`]), with cuts and failures.
//!
//! All blocks compress alike, so new content fits in place of old. In most seeds nothing is shared either; then an
//! overwrite that finds no space is a defect.

use std::ops::Range;

use engine::units::ENTRIES_PER_LEAF_PAGE as PAGE;
use mpool::testing::{Faults, Random};

use super::plan::{draw_moment, Ending, LifePlan, Theme, VolumePlan, SLAB_BLOCKS};
use crate::sim::client::Request;
use crate::sim::content::noise_of;
use crate::sim::plan::Mix;

/// Noise in blocks of which 14 fit a compressed block, and in those of which three do; both leave some bytes over.
const NOISES: [usize; 2] = [0, 120];

impl VolumePlan {
    /// Makes it a plan for a small volume that is soon full, and remains so.
    pub(super) fn swap(&mut self, random: &mut Random) {
        let noise = random.pick(&NOISES);
        let best = noise == NOISES[0];
        self.theme = Theme::Swaps;
        self.slabs = if best { 1 } else { random.between(1, 3) };
        let pages = if best { 8 } else { 2 * self.slabs };
        self.logical_blocks = pages * PAGE;
        let load = &mut self.load;
        load.hot = (0..pages).map(|page| page * PAGE..page * PAGE + if best { PAGE } else { 450 }).collect();
        let unmap = random.pick(&[0, 0, 30]);
        load.mix = Mix {
            read: 100,
            unmap,
            write_zeroes: 0,
            flush: 20,
            unaligned: random.pick(&[0, 0, 0, 100]),
            long: 400,
            longest: 128,
            zero: random.pick(&[0, 0, 20]),
            unique: random.pick(&[1000, 1000, 1000, 970]),
            noise: Some(noise),
            values: 10,
        };
        load.depth = random.pick(&[1, 4, 8, 32]);
        (load.again, load.scribble) = (0, random.pick(&[0, 0, 0, 50]));
        load.whole_pages = 0;
        (load.sizes.compression, load.sizes.swaps) = (true, random.pick(&[1, 2, 4]));
        let errors = random.chance(200);
        let fill = (if best { 250 } else { 50 * self.slabs }) as u32;
        let count = random.between(2, 5);
        self.lives = (0..=count).map(|number| draw_life(number, self.slabs, (fill, errors), random)).collect();
    }

    /// Makes it a plan for scripts on a full volume.
    pub(super) fn fill(&mut self, random: &mut Random) -> Full {
        self.swap(random);
        let noise = self.load.mix.noise.expect("all blocks of such a volume are alike");
        self.slabs = random.between(1, 2);
        self.lives.iter_mut().for_each(|life| life.shards = random.between(1, self.slabs) as usize);
        self.logical_blocks = 4 * PAGE;
        self.load.hot = [0..8, 600..604].into_iter().chain(COMPRESSED).collect();
        self.load.scribble = 0;
        self.load.mix = Mix { unaligned: 0, unique: 1000, longest: 16, ..self.load.mix };
        Full { slabs: self.slabs, noise }
    }
}

/// What a full volume of a script holds besides the first blocks: as many that do not compress as leave room for some that do.
/// Of those there are more than fit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Full {
    slabs: u64,
    noise: usize,
}

/// Blocks in a request that fills a volume: those of two compressed ones of the best kind.
const TOGETHER: u64 = 28;

/// Blocks of the volume that are left for data that compress, at least; pages and reserves take some of them.
const LEFT: u64 = 60;

/// Where such data are: in the first page and in the fourth. All others are in the third.
const COMPRESSED: [Range<u64>; 2] = [20..20 + 17 * TOGETHER, 3 * PAGE..3 * PAGE + 17 * TOGETHER];

impl Full {
    /// A number of a value that does not compress, for each number.
    pub fn plain(self, number: u64) -> u64 {
        value(number, 496)
    }

    /// What is written.
    pub fn content(self) -> Vec<Request> {
        let plain = (self.slabs * SLAB_BLOCKS - LEFT) / TOGETHER * TOGETHER;
        let run = |first: u64, noise| {
            let values: Vec<_> = (first..first + TOGETHER).map(|lbn| value(1000 + lbn, noise)).collect();
            Request::write(first, &values)
        };
        let plain = (2 * PAGE..2 * PAGE + plain).step_by(TOGETHER as usize).map(|first| run(first, 496));
        let [one, other] = COMPRESSED.map(|range| range.step_by(TOGETHER as usize));
        plain.chain(one.zip(other).flat_map(|(one, other)| [run(one, self.noise), run(other, self.noise)])).collect()
    }

    /// A request in place of two neighbours, which are different ones for each number.
    pub fn overwrite(self, number: u64) -> Request {
        let [one, other] = COMPRESSED.map(|range| range.start);
        let first = if number.is_multiple_of(2) { one } else { other } + number / 2 * TOGETHER;
        Request::write(first, &[0, 1].map(|at| value(9000 + 2 * number + at, self.noise)))
    }
}

/// A value with this noise, another one for each number.
fn value(number: u64, noise: usize) -> u64 {
    (number * 256..(number + 1) * 256).find(|value| noise_of(*value) == noise).expect("one in eight is such a value")
}

/// The first life fills the volume.
fn draw_life(number: u64, slabs: u64, (fill, errors): (u32, bool), random: &mut Random) -> LifePlan {
    let moment = draw_moment(random.pick(&[500, 2000, 5000]), random);
    let ending = match random.below(10) {
        _ if number == 0 => random.pick(&[Ending::CutAtRest, Ending::Stop]),
        0..=5 => Ending::Cut(moment),
        6..=7 => Ending::Kill(moment),
        8 => Ending::CutAtRest,
        _ => Ending::Stop,
    };
    let rounds =
        if number == 0 { vec![fill] } else { vec![random.between(10, 40) as u32; random.between(1, 2) as usize] };
    let faults = Faults { errors: if errors && number > 0 { random.pick(&[0, 1, 5]) } else { 0 }, ..Faults::default() };
    let growth = (number > 1 && random.chance(50)).then(|| (random.below(2), 0));
    LifePlan { shards: random.between(1, slabs) as usize, rounds, growth, ending, faults }
}

// SPDX-License-Identifier: BSD-3-Clause

//! Directed tests of a full volume: of blocks that are stored as they are, and of compressed ones.

#![forbid(unsafe_code)]

mod compressed;
mod plain;

use engine::format::Geometry;
use engine::units::ENTRIES_PER_LEAF_PAGE as PAGE;
use engine::{Blocks, Pbn, RequestError};
use mpool::testing::Random;
use tests::sim::client::Request;
use tests::sim::cluster::Cluster;
use tests::sim::content::noise_of;
use tests::sim::faults::Faults;
use tests::sim::rig::nothing;
use tests::sim::sizes::Sizes;

/// Blocks in a slab.
const SLAB: u64 = 64;

/// A volume of so many leaf pages, and of `shards` shards with two slabs each.
fn volume(shards: usize, pages: u64, sizes: &Sizes) -> Cluster {
    let end = Pbn(9 + 2 * shards as u64 * SLAB);
    let geometry = Geometry::new(shards, Blocks(pages * PAGE), Pbn(9), end, SLAB).expect("valid");
    Cluster::new(geometry, sizes, Faults::none())
}

/// Values that nobody has written.
struct Values(u64);

impl Values {
    fn next(&mut self) -> u64 {
        self.0 += 1;
        self.0
    }

    /// One that compresses as this noise does.
    fn with(&mut self, noise: usize) -> u64 {
        self.0 = (self.0 + 1..).find(|value| noise_of(*value) == noise).expect("there is no end of them");
        self.0
    }
}

/// Overwrites `rounds` times `depth` of the first `stored` blocks at random. Returns how many found no space.
fn overwrite(rig: &mut Cluster, (stored, rounds, depth): (u64, u64, usize), mut value: impl FnMut() -> u64) -> u64 {
    let mut random = Random::stream(7, depth as u64);
    let mut refused = 0;
    for _ in 0..rounds {
        let requests: Vec<_> = (0..depth).map(|_| rig.begin_write(random.below(stored), value())).collect();
        rig.settle(nothing);
        rig.expect_sound();
        for id in requests {
            match rig.outcome(id) {
                Some(Ok(())) => {}
                Some(Err(RequestError::NoSpace)) => refused += 1,
                outcome => panic!("{outcome:?}"),
            }
        }
    }
    refused
}

/// Reads all of a volume of so many leaf pages.
fn read_back(rig: &mut Cluster, pages: u64) {
    for lbn in (0..pages * PAGE).step_by(56) {
        rig.execute(&Request::read(lbn, 56)).expect("the read succeeds");
    }
    rig.expect_sound();
}

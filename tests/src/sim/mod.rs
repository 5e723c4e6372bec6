// SPDX-License-Identifier: BSD-3-Clause

//! The simulator: a whole volume in one thread, its events in an order drawn from a seed, compared with a model.
//!
//! Virtual reactors, each with one [`engine::Shard`], share a virtual disk, clock and memory ([`world`]). At each
//! step a seeded generator draws what happens next ([`schedule`]): a piece of a client's request reaches its shard, a
//! message arrives (in order between two shards, in any order otherwise), a transfer takes effect or ends, a timer
//! fires, a shard runs. The seed also says what fails, is late or is stored wrong ([`faults`], [`damage`]). The [`model`]
//! knows what each sector may contain and judges every read; every error must have a cause; the [`audit`] recounts
//! everything when the shards are quiescent. [`plan`] says what a seed stands for; [`runner`] runs it;
//! `simulate --seed N --trace` replays it exactly.
//!
//! For directed tests, [`directed`] takes requests one by one and lets the test hold back what it wants; [`rig`] audits
//! at the end.
//!
//! Journals, block map and slab metadata lie on a second virtual bdev that does not fail and is never cut off; the
//! quiescent volume is saved, and its media are compared with the model. [`crate::volume_sim`] covers power cuts and
//! failures of metadata.

pub mod audit;
pub mod base;
pub mod chapters;
pub mod client;
pub mod cluster;
pub mod content;
pub mod counts;
pub mod damage;
pub mod digest;
pub mod directed;
pub mod disk;
pub mod faults;
pub mod inspect;
mod judge;
pub mod layout;
pub mod load;
pub mod memory;
pub mod model;
pub mod plan;
pub mod rig;
pub mod runner;
pub mod sabotage;
pub mod schedule;
pub mod scribble;
pub mod sizes;
pub mod workload;
pub mod world;

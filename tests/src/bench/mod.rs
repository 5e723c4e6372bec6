// SPDX-License-Identifier: BSD-3-Clause

//! The benchmark: what the dedupe bdev costs over its base, and how far that is from what it must cost.
//!
//! With `--pool` the media pool is measured instead; [`pool`] says how.
//!
//! One process per core count runs an SPDK application (`bdev_dedupe::load`) with three equal malloc bdevs: one is
//! driven as it is (*raw*), one through SPDK's passthru, one through ours. Each case runs on the three in turn, several
//! times over, and medians are shown, so that what else happens on the machine meets all three alike.
//!
//! What the figures mean:
//! * `cpu_us`: time that the application's SPDK threads spent in rounds of polling that found work, per request: all
//!   that the request costs, the load generator, SPDK's bdev layer and the malloc bdev's copy included. `generator_us`
//!   is the same for a null bdev: the generator and the bdev layer alone, which every target pays.
//! * `floor_us`: the arithmetic that a request of this kind cannot do without ([`floor`]), timed alone on the same core in the same process.
//! * Queue depth counts requests in flight *per core*; each core runs one job. `shards` is the number of cores, and of our bdev's shards.
//! * A client's buffers are as hot in the caches as the queue depth makes them, for all targets; the base's memory is larger than any cache.
//! * Zero writes and unmaps go over a region full of unique data once, so that each really frees its blocks; all others run for a time.
//!   Reads check the block number that each block was stamped with.
//! * `ratio` is requests per second over the raw bdev's. `core_share` is the part of the time that the busiest-shared reactor
//!   wanted its core and had it: well below 1, the machine was busy with something else.
//!
//! With `--checks` the targets are raw, *checked* and *unchecked* reads: what it costs that no wrong byte is ever returned.
//! Our bdev always checks; a program built with feature `checks` has a switch for it, of the whole process. Checked and unchecked
//! are the same bdev with the same blocks in the same memory: nothing else differs.
//! * Ratios and differences of these two are taken within a round, whose windows are neighbours in time, and are medians of those.
//! * `check_ns` is the CPU time that a block costs more when it is checked. The floor's step `check` is the check code of a hot
//!   block, timed on its own.
//! * The switch itself is one load and one branch for each block, in both; a module without the feature has neither.

mod aims;
mod case;
mod floor;
mod host;
mod options;
mod pool;
mod record;
mod run;
mod worker;

pub use run::run;

// SPDX-License-Identifier: BSD-3-Clause

//! The benchmark of the media pool (`bench --pool`): what its logs and mblocks cost over the bdev that they lie on.
//!
//! One process runs an SPDK application on one core, where the pool lives, with a malloc bdev and an aio bdev over a file. In each
//! round the bdev is driven as it is (*raw*), then a pool is created on it, driven through the engine's interface, and destroyed; medians
//! of the rounds are shown, so that what else happens on the machine meets both alike.
//!
//! What the figures mean:
//! * *sync append*: a record of 4 KiB appended to a log and durable, from a number of appenders, each with one append at a time. *raw* is
//!   the load generator's sequential write of 4 KiB with the same number in flight over as many bytes. The bdev may still hold in a cache
//!   what a raw write has written; an append has flushed it. So there is *durable raw* beside it: one 4 KiB write and a flush at a
//!   time, which is what one appender cannot be faster than.
//! * Two logs take turns: a full one is erased, and its zones discarded, while the appenders go on in the other one. That is in
//!   the figures.
//! * Each run ends with reading the logs back: every append that was acknowledged must be there.
//! * *mblock write*: allocated mblocks of 32 MiB are filled and committed, with so many writers at a time; *read*: they are read back.
//!   Raw writes and reads in the same transfers, as many in flight, over as many bytes. A commit flushes what was written; *raw
//!   flushed* is the raw writes with one flush behind them all.
//! * `cpu_us`: time that the pool's SPDK thread worked (not polling in vain) for each append: the engine, SPDK's bdev layer and, of
//!   a malloc bdev, the copy. SPDK's aio bdev flushes by an `fsync` that blocks the thread, which counts as work, and all that
//!   the thread would do meanwhile waits: many commits of mblocks are slower there than the bdev's bandwidth says.
//! * The file is written once from end to end before anything is timed: no run pays for allocating its blocks.

mod appenders;
mod bandwidth;
mod file;
mod framer;
mod record;
mod ring;
mod rounds;
mod worker;

pub use record::TABLES;
pub use worker::{measure, memory_mib};

// SPDX-License-Identifier: BSD-3-Clause

//! The benchmark of the check of what is read (`bench --checks`): what it costs that no wrong byte is ever returned.
//!
//! Our bdev always checks; a program built with feature `checks` has a switch for it, of the whole process. So one
//! process measures all three, *raw* (a malloc bdev), *checked* and *unchecked* (ours), in turn, in each round in
//! another order, and the last two on the same bdev with the same blocks in the same memory: nothing else differs.
//!
//! What the figures mean:
//! * Requests per second and `cpu_us` are as in the benchmark without `--checks`; medians of the rounds.
//! * Ratios and differences are taken within a round, whose windows are neighbours in time, and are medians of these.
//! * *check ns* is the CPU time that a block costs more when it is checked. *alone* is the check code of a hot block,
//!   timed on its own.
//! * Every window verifies the number that each block was stamped with, unchecked ones too.
//! * The switch itself is one load and one branch for each block, in both; a module without the feature has neither.

mod record;
mod report;
mod worker;

pub use record::ChecksOutput;
pub use report::text;
pub use worker::{measure, memory_mib};

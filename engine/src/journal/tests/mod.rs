// SPDX-License-Identifier: BSD-3-Clause

//! Journals on a medium in memory, in which writes end in any order, fail, and are lost in a power cut by the sector.

mod medium;
mod model;
mod random;
mod read;
mod reaping;
mod trace;

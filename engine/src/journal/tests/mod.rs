// SPDX-License-Identifier: BSD-3-Clause

//! Journals on a medium in memory, on which writes end in any order, fail, and lose single sectors in a power cut.

mod medium;
mod model;
mod random;
mod read;
mod reaping;
mod trace;

// SPDX-License-Identifier: BSD-3-Clause

//! What the programs and tests that run many seeds share: arguments, threads, and how a failing seed is told.

pub mod arguments;
pub mod campaigns;
pub mod runner;

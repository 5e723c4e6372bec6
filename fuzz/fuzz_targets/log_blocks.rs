// SPDX-License-Identifier: BSD-3-Clause

//! The space of a log.

#![no_main]

#[path = "../properties/log_blocks.rs"]
mod log_blocks;

libfuzzer_sys::fuzz_target!(|input: &[u8]| log_blocks::check(input));

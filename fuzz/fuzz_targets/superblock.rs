// SPDX-License-Identifier: BSD-3-Clause

//! A copy of a superblock.

#![no_main]

#[path = "../properties/superblock.rs"]
mod superblock;

libfuzzer_sys::fuzz_target!(|input: &[u8]| superblock::check(input));

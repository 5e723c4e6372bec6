// SPDX-License-Identifier: BSD-3-Clause

//! A drive's descriptor.

#![no_main]

#[path = "../properties/drive_descriptor.rs"]
mod drive_descriptor;

libfuzzer_sys::fuzz_target!(|input: &[u8]| drive_descriptor::check(input));

// SPDX-License-Identifier: BSD-3-Clause

//! A record of a metadata container.

#![no_main]

#[path = "../properties/mdc_records.rs"]
mod mdc_records;

libfuzzer_sys::fuzz_target!(|input: &[u8]| mdc_records::check(input));

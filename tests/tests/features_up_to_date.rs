// SPDX-License-Identifier: BSD-3-Clause

//! `FEATURES.md` says what the tests say.

use tests::features::{table, table_path};

#[test]
fn features_are_up_to_date() {
    let found = std::fs::read_to_string(table_path()).unwrap_or_default();
    let wanted = table().expect("every test names rows that exist");
    let differs = found.lines().zip(wanted.lines()).find(|(found, wanted)| found != wanted);
    assert!(
        found == wanted,
        "tests/FEATURES.md is out of date: run `cargo run -p tests --bin features`; the first difference: {differs:?}"
    );
}

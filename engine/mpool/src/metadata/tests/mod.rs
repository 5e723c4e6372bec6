// SPDX-License-Identifier: BSD-3-Clause

//! Directed tests that need hand-written records. Tests through a pool's operations are in the `tests` package,
//! `pool_rows`.

mod identifiers;
mod load;

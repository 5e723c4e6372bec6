// SPDX-License-Identifier: BSD-3-Clause

//! Directed tests of what only records written on purpose can show. Those through a pool's operations are in the
//! `tests` package, `pool_rows`.

mod identifiers;
mod load;

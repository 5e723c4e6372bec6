// SPDX-License-Identifier: BSD-3-Clause

//! Cache maps.

#[cfg(test)]
pub(in crate::pool) mod test_host;

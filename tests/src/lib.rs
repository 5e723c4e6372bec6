// SPDX-License-Identifier: BSD-3-Clause

//! Programs and libraries that test the engine and the bdev module.

#![forbid(unsafe_code)]

pub mod sim;

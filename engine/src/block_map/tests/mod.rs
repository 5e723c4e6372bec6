// SPDX-License-Identifier: BSD-3-Clause

mod bench;
mod cache;
mod failures;
mod release;
mod trees;
mod world;
mod write_back;

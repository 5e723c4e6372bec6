// SPDX-License-Identifier: BSD-3-Clause

//! End-to-end tests: the module in stock SPDK programs, driven over JSON-RPC, NVMe/TCP, vfio-user, bdevperf and fio.
//!
//! Each test starts its own programs on cores that it leases, so tests that need one core run two at a time on two
//! cores. `E2E_RELEASE=20.07` runs them on that release; otherwise the tree is the one that a build of the module
//! takes.

#![forbid(unsafe_code)]

mod base_file;
mod blocks;
mod disk;
mod fixture;

mod administration;
mod bdevperf;
mod compression;
mod corruption;
mod dump;
mod durable;
mod errors;
mod export;
mod file_system;
mod fio;
mod holes;
mod identity;
mod index;
mod life_cycle;
mod loading;
mod pool;
mod pool_volume;
mod restart;
mod rpc;
mod savings;
mod sharing;

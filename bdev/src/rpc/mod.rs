// SPDX-License-Identifier: BSD-3-Clause

//! JSON-RPC: one table of methods, from which everything else is made.
//!
//! `volumes` and `pools` are the table: an entry has a method's name, help text, parameters, answer and code. From the
//! entry, `methods!` makes the code that reads and checks the parameters and registers the method with SPDK. From the
//! same entry, `generate` writes what others read: the plug-ins for `rpc.py`, the bash completion, the fragment of
//! SPDK's schema, and the reference in `doc/rpc.md`. To add a method, write its entry and the function that it calls;
//! then `make rpc` rewrites the files. A test fails until that is done.
//!
//! The other files are answers: what is shown of volumes and pools.

mod check;
mod dump;
#[cfg(test)]
mod generate;
mod get_stats;
pub mod method;
mod pool_get_iostat;
mod pool_json;
mod pools;
mod rebuild;
mod serve;
mod volumes;

/// Registers the methods. Called once, by the module's constructor.
pub fn register() {
    volumes::register();
    pools::register();
}

// SPDX-License-Identifier: BSD-3-Clause

//! JSON-RPC: one table of methods, from which everything else is made.
//!
//! `volumes` and `pools` are the table: an entry has a method's name, help text and parameters, what it answers and what it
//! does. Parameters are read and refused, and the method is registered with SPDK, by what `methods!` makes of the entry;
//! `generate` writes from the same entries what is for others to read: the plug-ins for `rpc.py`, the completion for bash,
//! the fragment of SPDK's schema, the reference in `doc/rpc.md`. A method is added by its entry and the function that it
//! calls; then `make rpc` writes the files again, and a test fails until that is done.
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

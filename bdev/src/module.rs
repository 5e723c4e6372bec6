// SPDX-License-Identifier: BSD-3-Clause

//! Registration with SPDK: what `SPDK_BDEV_MODULE_REGISTER` and `SPDK_RPC_REGISTER` do in C, in a constructor that runs
//! when the library is loaded (or before `main` of a program that links it).
//!
//! Both of SPDK's registries are statically initialised lists, so the order of constructors does not matter.

use crate::datapath::{channel, request};
use crate::pool::{examine, runtime};
use crate::rpc;
use crate::spdk::module::{self, Hooks};
use crate::spdk::{abi_guard, compat, logger, notify, tasks};
use crate::volume::load::load_all;
use crate::volume::{registration, registry, storage};

extern "C" fn constructor() {
    abi_guard::check();
    logger::register_flag();
    module::register(Hooks {
        init,
        fini_start,
        fini,
        context_bytes: request::CONTEXT_BYTES,
        examine: examine::examine_disk,
        destruct: registration::destruct,
        write_info: registration::write_info,
        submit: channel::submit,
    });
    rpc::register();
}

// Unit tests have no SPDK to register with.
#[cfg_attr(not(test), used)]
#[cfg_attr(not(test), link_section = ".init_array")]
static CONSTRUCTOR: extern "C" fn() = constructor;

/// Does nothing. A program that links this crate calls it so that the linker keeps the constructor.
pub fn link() {
    core::hint::black_box(&CONSTRUCTOR);
}

fn init() {
    logger::install();
    notify::register();
    #[cfg(feature = "measure-unchecked")]
    log::warn!(
        "this build can switch off the check of what is read: it is for measuring, not for data (feature \
         measure-unchecked)"
    );
    if tasks::start() {
        runtime::start(|runtime, pool| Box::pin(async move { load_all(&runtime, pool).await }));
        storage::start();
    }
}

/// Pools without users are closed while their bdevs are still there. The pools of volumes follow when SPDK has
/// unregistered the volumes.
fn fini_start() {
    let Some(runtime) = runtime::get() else { return compat::module_fini_start_done() };
    tasks::spawn(async move {
        // Requests that wait for a resumption would keep their clients from ending.
        for volume in registry::all() {
            volume.abort_unmaps();
            volume.wake_up().await;
        }
        runtime.service.finish().await;
        compat::module_fini_start_done();
    });
}

/// SPDK waits for the last volume: a volume whose removal began before the application's end is no longer in SPDK's
/// list of bdevs, but may still exist.
fn fini() {
    registry::when_empty(|| {
        runtime::finish(|| {
            storage::stop();
            compat::module_fini_done();
        });
    });
}

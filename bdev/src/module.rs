// SPDX-License-Identifier: BSD-3-Clause

//! Registration with SPDK: what `SPDK_BDEV_MODULE_REGISTER` and `SPDK_RPC_REGISTER` do in C, from a constructor
//! that runs when the library is loaded (or, linked into a program, before its `main`).
//!
//! Both of SPDK's registries are statically initialised lists, so the order of constructors does not matter.

use core::cell::UnsafeCell;
use core::ffi::c_int;
use core::sync::atomic::{AtomicBool, Ordering};

use crate::abi_guard;
use crate::client;
use crate::compat;
use crate::ffi;
use crate::logger;
use crate::notify;
use crate::pool::{examine, runtime};
use crate::registry;
use crate::rpc;

struct Module(UnsafeCell<ffi::spdk_bdev_module>);

// SAFETY: filled in by the constructor, before there are other threads; SPDK's alone after that.
unsafe impl Sync for Module {}

static MODULE: Module = Module(UnsafeCell::new(
    // SAFETY: plain data and optional function pointers, for which zero means none.
    unsafe { core::mem::zeroed() },
));

/// The module as SPDK knows it.
pub fn handle() -> *mut ffi::spdk_bdev_module {
    MODULE.0.get()
}

extern "C" fn constructor() {
    abi_guard::check();
    logger::install();
    // SAFETY: runs once, before `main`, in one thread; the module and its name are static. SPDK keeps the pointers
    // for the life of the process.
    unsafe {
        let module = &mut *handle();
        module.name = c"dedupe".as_ptr();
        module.module_init = Some(init);
        module.module_fini = Some(fini);
        module.async_fini = true;
        module.examine_disk = Some(examine::examine_disk);
        compat::set_fini_start(module, fini_start);
        module.get_ctx_size = Some(context_size);
        ffi::spdk_bdev_module_list_add(module);
    }
    rpc::register();
    notify::register();
}

// Unit tests have no SPDK to register with.
#[cfg_attr(not(test), used)]
#[cfg_attr(not(test), link_section = ".init_array")]
static CONSTRUCTOR: extern "C" fn() = constructor;

/// Does nothing; a program that links this crate calls it so that the linker keeps the constructor.
pub fn link() {
    core::hint::black_box(&CONSTRUCTOR);
}

/// # Safety
/// SPDK calls it, with what it was registered with.
unsafe extern "C" fn init() -> c_int {
    #[cfg(feature = "measure-unchecked")]
    log::warn!(
        "this build can switch off the check of what is read: it is for measuring, not for data (feature \
         measure-unchecked)"
    );
    runtime::start();
    0
}

/// SPDK waits for the last volume: one whose removal had begun before the application ended is no longer in SPDK's
/// list of bdevs, but may not be gone yet.
static FINISHING: AtomicBool = AtomicBool::new(false);

/// # Safety
/// SPDK calls it, with what it was registered with.
unsafe extern "C" fn fini() {
    FINISHING.store(true, Ordering::Relaxed);
    volume_gone();
}

/// Closes what is left of the pools and tells SPDK, if it waits, when the last volume is gone. Called after each
/// volume's end, on the app thread.
pub fn volume_gone() {
    if registry::all().is_empty() && FINISHING.swap(false, Ordering::Relaxed) {
        runtime::finish(compat::module_fini_done);
    }
}

/// The end begins: pools that nobody uses are closed while their bdevs are still there. Those of volumes follow when
/// SPDK has unregistered the volumes.
///
/// # Safety
/// SPDK calls it, with what it was registered with.
unsafe extern "C" fn fini_start() {
    let Some(runtime) = runtime::get() else { return compat::module_fini_start_done() };
    runtime::spawn(async move {
        // Requests that wait for a resumption would keep their clients from ending.
        for volume in registry::all() {
            volume.abort_unmaps();
            volume.wake_up().await;
        }
        runtime.service.finish().await;
        compat::module_fini_start_done();
    });
}

/// # Safety
/// SPDK calls it, with what it was registered with.
unsafe extern "C" fn context_size() -> c_int {
    client::CONTEXT_BYTES as c_int
}

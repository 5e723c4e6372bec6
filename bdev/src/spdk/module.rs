// SPDX-License-Identifier: BSD-3-Clause

//! The module structure by which SPDK knows this module, and the callbacks that SPDK calls.

use core::cell::UnsafeCell;
use core::ffi::{c_int, c_void, CStr};
use std::sync::OnceLock;

use super::json::Writer;
use super::{compat, ffi};

/// What the module does when SPDK calls it.
#[derive(Debug)]
pub struct Hooks {
    /// SPDK initialises the module.
    pub init: fn(),
    /// SPDK is about to unregister the first bdev at its end; the module answers with
    /// [`compat::module_fini_start_done`].
    pub fini_start: fn(),
    /// SPDK ends; the module answers with [`compat::module_fini_done`].
    pub fini: fn(),
    /// Bytes that the module needs in each `spdk_bdev_io`.
    pub context_bytes: usize,
    /// A bdev of this name was registered, and nobody claimed it while its configuration was examined; the module
    /// answers with [`examined`].
    pub examine: fn(String),
    /// SPDK no longer uses the bdev of this io_device.
    pub destruct: fn(*mut c_void),
    /// Writes information on the bdev of this io_device into the open object.
    pub write_info: fn(*mut c_void, &mut Writer),
    /// Takes a request. Called with a channel of the io_device on the calling thread and a request that was just
    /// submitted to it.
    pub submit: unsafe extern "C" fn(*mut ffi::spdk_io_channel, *mut ffi::spdk_bdev_io),
}

static HOOKS: OnceLock<Hooks> = OnceLock::new();

struct Module(UnsafeCell<ffi::spdk_bdev_module>);

// SAFETY: the constructor fills it in, before there are other threads; SPDK's alone after that.
unsafe impl Sync for Module {}

static MODULE: Module = Module(UnsafeCell::new(
    // SAFETY: plain data and optional function pointers, for which zero means none.
    unsafe { core::mem::zeroed() },
));

/// The module, as SPDK knows it.
pub fn handle() -> *mut ffi::spdk_bdev_module {
    MODULE.0.get()
}

/// The callbacks. SPDK has nothing to call before [`register`].
pub(super) fn hooks() -> &'static Hooks {
    HOOKS.get().expect("the module is registered")
}

/// Registers the module. Its constructor calls this once, before there are other threads.
pub fn register(hooks: Hooks) {
    HOOKS.set(hooks).expect("the module registers once");
    // SAFETY: runs once, before `main`, in one thread (the line above ensures the first, the caller the rest); the
    // module and its name are static. SPDK keeps the pointers for the life of the process.
    unsafe {
        let module = &mut *handle();
        module.name = c"dedupe".as_ptr();
        module.module_init = Some(init);
        module.module_fini = Some(fini);
        module.async_fini = true;
        module.examine_disk = Some(examine_disk);
        compat::set_fini_start(module, fini_start);
        module.get_ctx_size = Some(context_size);
        ffi::spdk_bdev_module_list_add(module);
    }
}

/// Tells SPDK that a bdev has been examined. Once for each call of [`Hooks::examine`].
pub fn examined() {
    // SAFETY: SPDK has called `examine_disk`, and each call is answered once.
    unsafe { ffi::spdk_bdev_module_examine_done(handle()) };
}

/// # Safety
/// SPDK calls it, with what it was registered with.
unsafe extern "C" fn init() -> c_int {
    (hooks().init)();
    0
}

/// # Safety
/// SPDK calls it, with what it was registered with.
unsafe extern "C" fn fini() {
    (hooks().fini)();
}

/// # Safety
/// SPDK calls it, with what it was registered with.
unsafe extern "C" fn fini_start() {
    (hooks().fini_start)();
}

/// # Safety
/// SPDK calls it, with what it was registered with.
unsafe extern "C" fn context_size() -> c_int {
    hooks().context_bytes as c_int
}

/// # Safety
/// Called by SPDK on the application thread, with a registered bdev.
unsafe extern "C" fn examine_disk(bdev: *mut ffi::spdk_bdev) {
    // SAFETY: the caller's promise; the name is a C string.
    let name = unsafe { CStr::from_ptr((*bdev).name) }.to_string_lossy().into_owned();
    (hooks().examine)(name);
}

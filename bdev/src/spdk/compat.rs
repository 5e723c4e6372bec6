// SPDX-License-Identifier: BSD-3-Clause

//! Everything that differs between the SPDK releases this module is built for, in one place.
//!
//! The build script sets the flags by looking into the headers: what they declare decides, not a version number.

use core::ffi::{c_char, c_void};
use core::sync::atomic::{AtomicUsize, Ordering};

use super::ffi;
use super::thread::Thread;

/// Bytes from the start of a channel to the module's context in it; the same for all channels of a process.
static CONTEXT_OFFSET: AtomicUsize = AtomicUsize::new(0);

/// Records where the module's context lies in a channel.
///
/// `spdk_io_channel_get_ctx` is an inline function over a structure that is visible in 20.07 and opaque in later
/// releases, so it is not in the bindings. Its inverse is a real function in all releases; the first channel gives the
/// distance.
///
/// # Safety
/// `context` is a channel's context, as passed to its create callback.
pub unsafe fn learn_channel_context(context: *mut c_void) {
    // SAFETY: the caller's promise.
    let channel = unsafe { ffi::spdk_io_channel_from_ctx(context) };
    CONTEXT_OFFSET.store(context.addr() - channel.addr(), Ordering::Relaxed);
}

/// The module's context in an I/O channel.
///
/// # Safety
/// `channel` is a live channel of an io_device of this module, and belongs to the calling thread.
pub unsafe fn channel_context(channel: *mut ffi::spdk_io_channel) -> *mut c_void {
    // SAFETY: SPDK allocates a channel and its context as one object, and no channel exists before
    // `learn_channel_context` was called on this thread, for that very channel or an earlier one.
    unsafe { channel.cast::<u8>().add(CONTEXT_OFFSET.load(Ordering::Relaxed)).cast() }
}

/// Creates a thread that runs on the cores of a set. The caller may free the set afterwards.
///
/// # Safety
/// `name` is a C string and `cores` a set that SPDK allocated.
pub unsafe fn create_thread(name: *const c_char, cores: *mut ffi::spdk_cpuset) -> Option<Thread> {
    // SAFETY: SPDK copies both. (Later releases take a const set; a mutable pointer fits both.)
    Thread::from_raw(unsafe { ffi::spdk_thread_create(name, cores) })
}

/// True when the process was started in interrupt mode (20.10 on): threads then sleep until a message or an event wakes
/// them.
pub fn interrupt_mode() -> bool {
    #[cfg(spdk_has_interrupt_mode)]
    {
        // SAFETY: takes no argument and reads a flag that is set before modules are initialised.
        unsafe { ffi::spdk_interrupt_mode_is_enabled() }
    }
    #[cfg(not(spdk_has_interrupt_mode))]
    {
        false
    }
}

/// Tells SPDK that this module has released everything.
pub fn module_fini_done() {
    // SAFETY: SPDK has called the module's fini and waits for this call (the caller sees to it).
    unsafe {
        #[cfg(spdk_has_module_fini_done)]
        ffi::spdk_bdev_module_fini_done();
        #[cfg(not(spdk_has_module_fini_done))]
        ffi::spdk_bdev_module_finish_done();
    }
}

/// Sets the function that SPDK calls at the end, before it unregisters the first bdev. Where the release can, SPDK then
/// waits for [`module_fini_start_done`].
pub fn set_fini_start(module: &mut ffi::spdk_bdev_module, fini_start: unsafe extern "C" fn()) {
    module.fini_start = Some(fini_start);
    #[cfg(spdk_has_async_fini_start)]
    {
        module.async_fini_start = true;
    }
}

/// Tells SPDK that this module is ready for bdevs to be unregistered. (Releases without this call do not wait.)
pub fn module_fini_start_done() {
    #[cfg(spdk_has_async_fini_start)]
    // SAFETY: SPDK has called the module's fini_start and waits for this call (the caller sees to it).
    unsafe {
        ffi::spdk_bdev_module_fini_start_done();
    }
}

/// Tells clients that the volume stores and frees in units of 4 KiB, where the release has fields for that.
pub fn set_hints(bdev: &mut ffi::spdk_bdev, blocks_per_unit: u32) {
    #[cfg(spdk_has_phys_blocklen)]
    {
        bdev.phys_blocklen = bdev.blocklen * blocks_per_unit;
    }
    #[cfg(spdk_has_preferred_sizes)]
    {
        bdev.preferred_write_alignment = blocks_per_unit;
        bdev.preferred_write_granularity = blocks_per_unit;
        bdev.preferred_unmap_alignment = blocks_per_unit;
        bdev.preferred_unmap_granularity = blocks_per_unit;
    }
    #[cfg(not(spdk_has_phys_blocklen))]
    let _ = (bdev, blocks_per_unit);
}

/// True when the bdev's blocks carry metadata besides their data.
pub fn has_metadata(bdev: &ffi::spdk_bdev) -> bool {
    bdev.md_len != 0
}

/// True when the bdev is zoned. (In later releases this is one bit of a bit-field.)
pub fn is_zoned(bdev: &ffi::spdk_bdev) -> bool {
    // SAFETY: the bdev is alive (the caller has a reference); the call only reads.
    unsafe { ffi::spdk_bdev_is_zoned(bdev) }
}

/// Blocks of which writes should be multiples, as far as the release tells; 0 if it does not.
pub fn write_granularity(bdev: &ffi::spdk_bdev) -> u32 {
    #[cfg(spdk_has_preferred_sizes)]
    {
        bdev.preferred_write_granularity
    }
    #[cfg(not(spdk_has_preferred_sizes))]
    {
        let _ = bdev;
        0
    }
}

/// Blocks of which unmaps should be multiples, as far as the release tells; 0 if it does not.
pub fn unmap_granularity(bdev: &ffi::spdk_bdev) -> u32 {
    #[cfg(spdk_has_preferred_sizes)]
    {
        bdev.preferred_unmap_granularity
    }
    #[cfg(not(spdk_has_preferred_sizes))]
    {
        let _ = bdev;
        0
    }
}

/// Who has claimed a bdev.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClaimedBy {
    Nobody,
    /// A module, exclusively.
    Module(*const ffi::spdk_bdev_module),
    /// One or more modules, by one of the other claim types of the release (claims of version 2).
    #[cfg(spdk_has_claim_type)]
    Shared,
}

/// Looks up who has claimed a bdev.
///
/// # Safety
/// `bdev` is a registered bdev that stays during the call, and the caller is on the app thread, where claims change.
pub unsafe fn claiming_module(bdev: *const ffi::spdk_bdev) -> ClaimedBy {
    #[cfg(spdk_has_claim_type)]
    // SAFETY: the caller vouches for the bdev. The union holds a module in case of this claim type only.
    let module = unsafe {
        use ffi::spdk_bdev_claim_type as claim;
        let internal = &(*bdev).internal;
        match internal.claim_type {
            claim::SPDK_BDEV_CLAIM_NONE => return ClaimedBy::Nobody,
            claim::SPDK_BDEV_CLAIM_EXCL_WRITE => internal.claim.v1.module,
            _ => return ClaimedBy::Shared,
        }
    };
    #[cfg(not(spdk_has_claim_type))]
    // SAFETY: the caller vouches for the bdev.
    let module = unsafe { (*bdev).internal.claim_module };
    if module.is_null() {
        ClaimedBy::Nobody
    } else {
        ClaimedBy::Module(module)
    }
}

/// The name of the module that has claimed a bdev exclusively.
///
/// # Safety
/// As for [`claiming_module`].
pub unsafe fn claimer(bdev: *const ffi::spdk_bdev) -> Option<String> {
    // SAFETY: the caller's promise.
    let ClaimedBy::Module(module) = (unsafe { claiming_module(bdev) }) else { return None };
    // SAFETY: a claiming module is registered for the life of the process, and so is its name, a C string.
    let name = unsafe { core::ffi::CStr::from_ptr((*module).name) };
    Some(name.to_string_lossy().into_owned())
}

/// True when the bdev is open.
///
/// # Safety
/// As for [`claiming_module`].
pub unsafe fn is_open(bdev: *const ffi::spdk_bdev) -> bool {
    // SAFETY: the caller vouches for the bdev. Any thread may open and close descriptors, under SPDK's own lock; the
    // head of their list is one pointer, which is only compared.
    !unsafe { core::ptr::addr_of!((*bdev).internal.open_descs.tqh_first).read_volatile() }.is_null()
}

/// The 16 bytes of an SPDK UUID.
pub fn uuid_bytes(uuid: &ffi::spdk_uuid) -> [u8; 16] {
    // SAFETY: both views of the union are 16 plain bytes.
    unsafe { uuid.u.raw }
}

/// An SPDK UUID of these 16 bytes in network order.
pub fn uuid_from_bytes(bytes: [u8; 16]) -> ffi::spdk_uuid {
    ffi::spdk_uuid { u: ffi::spdk_uuid__bindgen_ty_1 { raw: bytes } }
}

// SPDX-License-Identifier: BSD-3-Clause

//! A bdev of this module, as SPDK sees it.
//!
//! Invariant: what SPDK was given stays in place from [`VirtualBdev::register`] to [`VirtualBdev::destructed`].

use core::cell::UnsafeCell;
use core::ffi::{c_int, c_void};
use core::ptr;
use core::sync::atomic::{AtomicBool, Ordering};
use std::ffi::{CStr, CString};
use std::io;
use std::sync::OnceLock;

use super::json::Writer;
use super::{compat, ffi, module};

/// The properties of a bdev that SPDK is told.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    pub uuid: [u8; 16],
    /// Block size in bytes.
    pub block_bytes: u32,
    /// Size in blocks.
    pub blocks: u64,
    /// Preferred I/O unit in blocks.
    pub optimal_blocks: u32,
    /// The io_device whose channels carry the bdev's requests; also the argument of the [`module::Hooks`].
    pub io_device: *mut c_void,
}

/// See the module's documentation.
#[derive(Debug)]
pub struct VirtualBdev {
    bdev: Box<UnsafeCell<ffi::spdk_bdev>>,
    name: CString,
    is_registered: AtomicBool,
}

// SAFETY: while registered the structure is SPDK's, and nobody else touches it.
unsafe impl Send for VirtualBdev {}
// SAFETY: as above.
unsafe impl Sync for VirtualBdev {}

impl VirtualBdev {
    /// A bdev that SPDK does not know yet.
    pub fn new(name: &str) -> VirtualBdev {
        // SAFETY: plain data of SPDK's that expects to be zeroed; filled in before it is registered.
        let bdev = Box::new(UnsafeCell::new(unsafe { core::mem::zeroed() }));
        VirtualBdev { bdev, name: CString::new(name).unwrap_or_default(), is_registered: AtomicBool::new(false) }
    }

    pub fn name(&self) -> &CStr {
        &self.name
    }

    /// Registers the bdev with SPDK.
    ///
    /// # Errors
    /// SPDK's error.
    pub fn register(&self, shape: &Shape) -> Result<(), c_int> {
        assert!(!self.is_registered.swap(true, Ordering::AcqRel), "{:?} is registered", self.name);
        // SAFETY: not yet registered, so this thread's alone.
        let bdev = unsafe { &mut *self.bdev.get() };
        bdev.ctxt = shape.io_device;
        bdev.name = self.name.as_ptr().cast_mut();
        bdev.product_name = c"dedupe".as_ptr().cast_mut();
        bdev.uuid = compat::uuid_from_bytes(shape.uuid);
        bdev.blocklen = shape.block_bytes;
        bdev.blockcnt = shape.blocks;
        // A request that changes the volume completes when it is durable; a flush is accepted and has nothing to add.
        bdev.write_cache = 0;
        bdev.write_unit_size = 1;
        // No requirement on clients' memory, because it is copied.
        bdev.required_alignment = 0;
        compat::set_hints(bdev, shape.optimal_blocks);
        bdev.module = module::handle();
        bdev.fn_table = table();
        // SAFETY: filled in, and in place until `destructed`.
        match unsafe { ffi::spdk_bdev_register(self.bdev.get()) } {
            0 => Ok(()),
            errno => {
                self.is_registered.store(false, Ordering::Release);
                Err(errno)
            }
        }
    }

    /// Adds another name.
    ///
    /// # Errors
    /// SPDK's error.
    pub fn add_alias(&self, alias: &str) -> io::Result<()> {
        let Ok(alias) = CString::new(alias) else { return Err(io::ErrorKind::InvalidInput.into()) };
        // SAFETY: the bdev is registered; SPDK copies the alias.
        errno(unsafe { ffi::spdk_bdev_alias_add(self.bdev.get(), alias.as_ptr()) })
    }

    /// Shows clients another size.
    ///
    /// # Errors
    /// SPDK's error.
    pub fn resize(&self, blocks: u64) -> io::Result<()> {
        // SAFETY: registered, and this is the app thread.
        errno(unsafe { ffi::spdk_bdev_notify_blockcnt_change(self.bdev.get(), blocks) })
    }

    /// Asks SPDK to unregister the bdev; SPDK then calls [`module::Hooks::destruct`].
    pub fn unregister(&self) {
        // SAFETY: registered; SPDK tolerates a second call.
        unsafe { ffi::spdk_bdev_unregister(self.bdev.get(), None, ptr::null_mut()) };
    }

    /// Removes the bdev's aliases. Releases that do not do so themselves would leak the memory of the names.
    pub fn forget_aliases(&self) {
        // SAFETY: registered before, and still in place.
        unsafe { ffi::spdk_bdev_alias_del_all(self.bdev.get()) };
    }

    /// Tells SPDK that the bdev is gone. SPDK does not use it afterwards.
    pub fn destructed(&self) {
        if self.is_registered.swap(false, Ordering::AcqRel) {
            // SAFETY: `destruct` promised this call.
            unsafe { ffi::spdk_bdev_destruct_done(self.bdev.get(), 0) };
        }
    }
}

impl Drop for VirtualBdev {
    fn drop(&mut self) {
        assert!(!*self.is_registered.get_mut(), "SPDK still knows {:?}", self.name);
    }
}

fn errno(rc: c_int) -> io::Result<()> {
    if rc == 0 {
        Ok(())
    } else {
        Err(io::Error::from_raw_os_error(-rc))
    }
}

static TABLE: OnceLock<ffi::spdk_bdev_fn_table> = OnceLock::new();

/// The table of all bdevs of this module, which lives as long as the process. SPDK calls `submit_request` without a detour.
fn table() -> *const ffi::spdk_bdev_fn_table {
    let table = TABLE.get_or_init(|| {
        // SAFETY: a structure of optional function pointers, for which zero means none.
        let mut table: ffi::spdk_bdev_fn_table = unsafe { core::mem::zeroed() };
        table.destruct = Some(destruct);
        table.submit_request = Some(module::hooks().submit);
        table.io_type_supported = Some(io_type_supported);
        table.get_io_channel = Some(get_io_channel);
        table.dump_info_json = Some(dump_info_json);
        table
    });
    ptr::from_ref(table)
}

/// # Safety
/// SPDK calls it, with what it was registered with.
unsafe extern "C" fn destruct(context: *mut c_void) -> c_int {
    (module::hooks().destruct)(context);
    // Not finished yet: `VirtualBdev::destructed` reports the end.
    1
}

/// # Safety
/// SPDK calls it, with what it was registered with.
unsafe extern "C" fn io_type_supported(_: *mut c_void, kind: ffi::spdk_bdev_io_type::Type) -> bool {
    use ffi::spdk_bdev_io_type as io_type;
    matches!(
        kind,
        io_type::SPDK_BDEV_IO_TYPE_READ
            | io_type::SPDK_BDEV_IO_TYPE_WRITE
            | io_type::SPDK_BDEV_IO_TYPE_UNMAP
            | io_type::SPDK_BDEV_IO_TYPE_WRITE_ZEROES
            | io_type::SPDK_BDEV_IO_TYPE_FLUSH
            | io_type::SPDK_BDEV_IO_TYPE_RESET
    )
}

/// # Safety
/// SPDK calls it, with what it was registered with.
unsafe extern "C" fn get_io_channel(context: *mut c_void) -> *mut ffi::spdk_io_channel {
    // SAFETY: the context is the io_device's key, registered before the bdev.
    unsafe { ffi::spdk_get_io_channel(context) }
}

/// # Safety
/// SPDK calls it, with the context of a registered bdev and an open document.
unsafe extern "C" fn dump_info_json(context: *mut c_void, document: *mut ffi::spdk_json_write_ctx) -> c_int {
    // SAFETY: the caller's promise.
    if let Some(mut writer) = unsafe { Writer::new(document) } {
        (module::hooks().write_info)(context, &mut writer);
    }
    0
}

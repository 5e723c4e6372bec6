// SPDX-License-Identifier: BSD-3-Clause

//! SPDK's calls into a volume: the function table of its bdev.

use core::ffi::{c_int, c_void};

use crate::channel;
use crate::ffi;
use crate::rpc::info;
use crate::volume::{volume_of, Volume};

struct FnTable(ffi::spdk_bdev_fn_table);

// SAFETY: constant pointers to functions.
unsafe impl Sync for FnTable {}

static TABLE: FnTable = FnTable({
    // SAFETY: a structure of optional function pointers, for which zero means none.
    let mut table: ffi::spdk_bdev_fn_table = unsafe { core::mem::zeroed() };
    table.destruct = Some(destruct);
    table.submit_request = Some(channel::submit);
    table.io_type_supported = Some(io_type_supported);
    table.get_io_channel = Some(get_io_channel);
    table.dump_info_json = Some(dump_info_json);
    table
});

/// The table, for as long as the process lives.
pub fn table() -> *const ffi::spdk_bdev_fn_table {
    &raw const TABLE.0
}

/// # Safety
/// SPDK calls it, with what it was registered with.
unsafe extern "C" fn destruct(context: *mut c_void) -> c_int {
    // SAFETY: SPDK calls this with the context of a registered bdev, which the registry keeps.
    let volume = unsafe { volume_of(context) };
    volume.owner().run(move || volume.destruct());
    // Not over yet: `Volume::finish` says when.
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
/// SPDK calls it, with what it was registered with.
unsafe extern "C" fn dump_info_json(context: *mut c_void, document: *mut ffi::spdk_json_write_ctx) -> c_int {
    // SAFETY: SPDK calls this with the context of a registered bdev and an open document.
    unsafe { info::write_info(&*context.cast::<Volume>(), document) };
    0
}

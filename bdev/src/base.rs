// SPDX-License-Identifier: BSD-3-Clause

//! The base bdev: open, checked, claimed, watched, and closed again.
//!
//! Everything here happens on the thread that opened the base, as SPDK demands of a descriptor.

use core::ffi::c_void;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicBool, Ordering};
use std::ffi::CString;
use std::sync::{Mutex, PoisonError, Weak};

use engine::BLOCK_SIZE;

use crate::compat;
use crate::error::CreateError;
use crate::ffi;
use crate::module;
use crate::transfer::BaseHandle;
use crate::volume::Volume;

/// Who is told when the base goes away.
#[derive(Debug, Default)]
struct Watch {
    volume: Mutex<Weak<Volume>>,
    removed: AtomicBool,
}

/// An open base bdev. Closed by [`Base::close`] or when dropped, on the thread that opened it.
#[derive(Debug)]
pub struct Base {
    name: String,
    handle: BaseHandle,
    claimed: AtomicBool,
    closed: AtomicBool,
    /// From `Box::into_raw`; SPDK holds it as long as the descriptor is open.
    watch: NonNull<Watch>,
}

// SAFETY: the handle is made for many threads; the watch is a mutex and an atomic; descriptor and claim are given
// up on the opening thread.
unsafe impl Send for Base {}
// SAFETY: as above.
unsafe impl Sync for Base {}

impl Base {
    /// Opens a bdev for writing and checks that a volume can live on it.
    ///
    /// # Errors
    /// It does not exist, cannot be opened, or has blocks of a size or kind that cannot be used.
    pub fn open(name: &str) -> Result<Base, CreateError> {
        let c_name = CString::new(name).map_err(|_| CreateError::NoBase { base: name.to_owned() })?;
        // SAFETY: the name is a C string; the result is only compared with null. Asked for first, because 20.07
        // does not tell a bdev that is missing from other errors.
        if unsafe { ffi::spdk_bdev_get_by_name(c_name.as_ptr()) }.is_null() {
            return Err(CreateError::NoBase { base: name.to_owned() });
        }
        let watch = NonNull::from(Box::leak(Box::<Watch>::default()));
        let mut desc = ptr::null_mut();
        // SAFETY: the name is a C string, the watch outlives the descriptor (freed in `close` only).
        let rc =
            unsafe { ffi::spdk_bdev_open_ext(c_name.as_ptr(), true, Some(event), watch.as_ptr().cast(), &mut desc) };
        let Some(desc) = NonNull::new(desc).filter(|_| rc == 0) else {
            // SAFETY: leaked above, and SPDK has no descriptor with it.
            drop(unsafe { Box::from_raw(watch.as_ptr()) });
            let base = name.to_owned();
            return Err(claimed_by(&c_name, base.clone(), rc).unwrap_or(CreateError::Open { base, errno: rc }));
        };
        // SAFETY: the descriptor is open, so its bdev is there.
        let bdev = unsafe { NonNull::new_unchecked(ffi::spdk_bdev_desc_get_bdev(desc.as_ptr())) };
        let mut base = Base {
            name: name.to_owned(),
            handle: BaseHandle { desc, bdev, shift: 0, num_blocks: 0, alignment: 1, can_flush: false },
            claimed: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            watch,
        };
        base.inspect().map_err(|reason| CreateError::Unsuitable { base: name.to_owned(), reason })?;
        Ok(base)
    }

    /// Reads the geometry. Fails with what stands against a volume.
    fn inspect(&mut self) -> Result<(), String> {
        let raw = self.handle.bdev.as_ptr();
        // SAFETY: the bdev is open.
        let bdev = unsafe { &*raw };
        let unit = match bdev.blocklen {
            4096 => 0,
            512 => 3,
            other => return Err(format!("its blocks have {other} bytes; 512 and 4096 are possible")),
        };
        if compat::has_metadata(bdev) {
            return Err(format!("its blocks carry {} bytes of metadata each; none are possible", bdev.md_len));
        }
        let write_unit = u64::from(bdev.write_unit_size.max(1)) * u64::from(bdev.blocklen);
        if !(BLOCK_SIZE as u64).is_multiple_of(write_unit) {
            return Err(format!("it is written in units of {write_unit} bytes; at most {BLOCK_SIZE} are possible"));
        }
        // SAFETY: the bdev is open; the calls only read.
        unsafe {
            self.handle.can_flush =
                ffi::spdk_bdev_io_type_supported(raw, ffi::spdk_bdev_io_type::SPDK_BDEV_IO_TYPE_FLUSH);
            self.handle.alignment = ffi::spdk_bdev_get_buf_align(raw).max(1);
            self.handle.num_blocks = ffi::spdk_bdev_get_num_blocks(raw);
        }
        self.handle.shift = unit;
        Ok(())
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What shards need to know of it.
    pub fn handle(&self) -> BaseHandle {
        self.handle
    }

    /// Its size in bytes.
    pub fn bytes(&self) -> u64 {
        (self.handle.num_blocks << 12) >> self.handle.shift
    }

    /// The bdev. Valid as long as this is open.
    pub fn bdev(&self) -> &ffi::spdk_bdev {
        // SAFETY: the bdev stays as long as the descriptor is open; its owner changes nothing but internals that
        // are not read here.
        unsafe { self.handle.bdev.as_ref() }
    }

    /// Claims it for this module.
    ///
    /// # Errors
    /// Another module has claimed it.
    pub fn claim(&self) -> Result<(), CreateError> {
        let bdev = self.handle.bdev.as_ptr();
        // SAFETY: bdev and descriptor are open, the module is registered.
        let rc = unsafe { ffi::spdk_bdev_module_claim_bdev(bdev, self.handle.desc.as_ptr(), module::handle()) };
        if rc != 0 {
            // SAFETY: the bdev is open, and this is the app thread.
            return Err(CreateError::Claimed { base: self.name.clone(), by: unsafe { compat::claimer(bdev) } });
        }
        self.claimed.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Tells `volume` when the base goes away. Returns false when it has gone already.
    pub fn watch(&self, volume: Weak<Volume>) -> bool {
        // SAFETY: the watch lives as long as this is open.
        let watch = unsafe { self.watch.as_ref() };
        *watch.volume.lock().unwrap_or_else(PoisonError::into_inner) = volume;
        !watch.removed.load(Ordering::Acquire)
    }

    /// Gives up the claim and closes. On the thread that opened it, when no channel of it is in use any more. A
    /// second call does nothing.
    pub fn close(&self) {
        if self.closed.swap(true, Ordering::Relaxed) {
            return;
        }
        // SAFETY: open until here (flag above), on the opening thread; after the close SPDK does not call `event`
        // any more, so the watch can go.
        unsafe {
            if self.claimed.load(Ordering::Relaxed) {
                ffi::spdk_bdev_module_release_bdev(self.handle.bdev.as_ptr());
            }
            ffi::spdk_bdev_close(self.handle.desc.as_ptr());
            drop(Box::from_raw(self.watch.as_ptr()));
        }
    }
}

impl Drop for Base {
    fn drop(&mut self) {
        self.close();
    }
}

/// The error for a base that could not be opened because it is claimed; none when it is not.
fn claimed_by(c_name: &CString, base: String, rc: i32) -> Option<CreateError> {
    if rc != -libc::EPERM {
        return None;
    }
    // SAFETY: the name is a C string; a bdev that is found stays while the app thread is in this call.
    let by = unsafe {
        let bdev = NonNull::new(ffi::spdk_bdev_get_by_name(c_name.as_ptr()))?;
        compat::claimer(bdev.as_ptr())
    };
    Some(CreateError::Claimed { base, by })
}

/// # Safety
/// SPDK calls it, with what it was registered with.
unsafe extern "C" fn event(kind: ffi::spdk_bdev_event_type::Type, bdev: *mut ffi::spdk_bdev, context: *mut c_void) {
    // SAFETY: SPDK calls this on the opening thread with the context of an open descriptor.
    let watch = unsafe { &*context.cast::<Watch>() };
    let volume = watch.volume.lock().unwrap_or_else(PoisonError::into_inner).upgrade();
    let name = volume.as_ref().map_or("a volume being created", |volume| volume.name());
    match kind {
        ffi::spdk_bdev_event_type::SPDK_BDEV_EVENT_REMOVE => {
            watch.removed.store(true, Ordering::Release);
            if let Some(volume) = volume {
                volume.base_removed();
            }
        }
        ffi::spdk_bdev_event_type::SPDK_BDEV_EVENT_RESIZE => {
            // SAFETY: the bdev is open.
            let blocks = unsafe { ffi::spdk_bdev_get_num_blocks(bdev) };
            log::info!(
                "{name}: the base bdev now has {blocks} blocks; a volume cannot grow in this release, its size stays"
            );
        }
        other => log::debug!("{name}: event {other} of the base bdev needs nothing done"),
    }
}

// SPDX-License-Identifier: BSD-3-Clause

//! An open bdev on SPDK's application thread: opened, checked, claimed, watched, and closed again.
//!
//! A bdev is closed once: when its last user drops it, or, when it is removed, as soon as nothing is in flight on it
//! and nobody holds a lease. SPDK's removal waits for the close, so a removal never hangs on a pool.
//!
//! A *lease* lets other threads use the descriptor: a volume's shards do I/O on the bdev past the pool's own code. Its
//! holder is told of the removal, and returns the lease when its own I/O has ended.
//!
//! Invariants: every operation in flight and every lease holds a counted reference; `desc` and `channel` are given up
//! only when `in_flight` and `leases` are 0 and SPDK holds no wait entry.

use core::cell::{Cell, RefCell, UnsafeCell};
use core::ffi::{c_void, CStr};
use core::fmt;
use core::ptr::{self, NonNull};
use std::collections::VecDeque;
use std::ffi::CString;
use std::rc::{Rc, Weak};

use mpool::ids::PAGE_BYTES;
use mpool::{DeviceProperties, DeviceType, Kind, PoolError};
use uuid::Uuid;

use super::app_local::AppLocal;
use super::open_bdev_io::Piece;
use super::{compat, ffi, product};
use crate::spdk::module;

/// What a shard needs of a bdev.
#[derive(Debug, Clone, Copy)]
pub struct BaseHandle {
    pub desc: NonNull<ffi::spdk_bdev_desc>,
    pub bdev: NonNull<ffi::spdk_bdev>,
    /// Block size as a power of two: 9 or 12.
    pub block_shift: u32,
    /// The bdev supports flush.
    pub can_flush: bool,
}

// SAFETY: descriptor and bdev may be used on every thread that has a channel of the bdev; the descriptor is closed
// after the last such thread has returned its channel.
unsafe impl Send for BaseHandle {}
// SAFETY: as above.
unsafe impl Sync for BaseHandle {}

/// The purpose of opening a bdev.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Reading, whoever else uses the bdev.
    Look,
    /// Exclusive use by this module.
    Claim,
}

static CLAIMED: AppLocal<RefCell<Vec<Weak<OpenBdev>>>> = AppLocal::new();

fn note_claimed(bdev: &Rc<OpenBdev>) {
    let claimed = CLAIMED.get().unwrap_or_default();
    claimed.borrow_mut().retain(|known| known.strong_count() > 0);
    claimed.borrow_mut().push(Rc::downgrade(bdev));
    CLAIMED.set(Some(claimed));
}

/// The claimed bdev of a name that has not been removed.
pub fn find_claimed(name: &str) -> Option<Rc<OpenBdev>> {
    let claimed = CLAIMED.get()?;
    let claimed = claimed.borrow();
    claimed.iter().filter_map(Weak::upgrade).find(|bdev| bdev.name() == name && !bdev.is_removed())
}

/// Whom SPDK tells of events. Leaked while the descriptor is open.
type Watch = RefCell<Weak<OpenBdev>>;

/// Called when a leased bdev is removed.
type Lessee = Box<dyn FnOnce()>;

/// Permission for other threads to use an open bdev's descriptor. Returned when dropped, on the application thread.
#[derive(Debug)]
pub struct Lease {
    bdev: Rc<OpenBdev>,
    number: u64,
}

impl Lease {
    /// What the other threads need.
    pub fn handle(&self) -> BaseHandle {
        self.bdev.handle()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let bdev = &self.bdev;
        bdev.lessees.borrow_mut().retain(|(number, _)| *number != self.number);
        bdev.leases.set(bdev.leases.get() - 1);
        bdev.close_if_removed();
    }
}

/// See the module's documentation.
pub struct OpenBdev {
    properties: DeviceProperties,
    bytes: Cell<u64>,
    access: Access,
    /// Required alignment of buffers.
    pub(super) alignment: usize,
    pub(super) desc: NonNull<ffi::spdk_bdev_desc>,
    pub(super) bdev: NonNull<ffi::spdk_bdev>,
    /// None once the bdev is closed.
    pub(super) channel: Cell<Option<NonNull<ffi::spdk_io_channel>>>,
    pub(super) can_flush: bool,
    pub(super) removed: Cell<bool>,
    pub(super) in_flight: Cell<usize>,
    /// Pieces that found no spdk_bdev_io.
    pub(super) unsent: RefCell<VecDeque<Piece>>,
    /// Keeps the bdev alive while SPDK holds the wait entry.
    pub(super) blocked: RefCell<Option<Rc<OpenBdev>>>,
    pub(super) wait_entry: UnsafeCell<ffi::spdk_bdev_io_wait_entry>,
    leases: Cell<usize>,
    /// Whom to tell of the removal, by the number of the lease.
    lessees: RefCell<Vec<(u64, Lessee)>>,
    next_lease: Cell<u64>,
    /// Called on removal, after all lessees.
    removal: Cell<Option<fn(&str)>>,
    watch: NonNull<Watch>,
}

impl fmt::Debug for OpenBdev {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { properties, in_flight, removed, .. } = self;
        write!(f, "OpenBdev {{ {}, in_flight: {}, removed: {} }}", properties.name, in_flight.get(), removed.get())
    }
}

fn drive(name: &str) -> String {
    format!("drive '{name}'")
}

impl OpenBdev {
    /// Opens a bdev by name or alias, checks that a pool can use it, and with [`Access::Claim`] claims it.
    ///
    /// # Errors
    /// There is no such bdev (not found), another module has it (busy), a pool cannot use it (invalid), or SPDK fails.
    pub fn open(name: &str, access: Access) -> Result<Rc<OpenBdev>, PoolError> {
        let missing = || PoolError::new(Kind::NotFound, drive(name), "there is no bdev of that name");
        let c_name = CString::new(name).map_err(|_| missing())?;
        // SAFETY: the name is a C string. Asked for first, because 20.07 does not distinguish a missing bdev from other
        // errors.
        let found = NonNull::new(unsafe { ffi::spdk_bdev_get_by_name(c_name.as_ptr()) }).ok_or_else(missing)?;
        let watch = NonNull::from(Box::leak(Box::<Watch>::default()));
        let mut desc = ptr::null_mut();
        let write = access == Access::Claim;
        // SAFETY: the name is a C string; the watch outlives the descriptor (it is freed only after the close).
        let rc =
            unsafe { ffi::spdk_bdev_open_ext(c_name.as_ptr(), write, Some(event), watch.as_ptr().cast(), &mut desc) };
        let Some(desc) = NonNull::new(desc).filter(|_| rc == 0) else {
            // SAFETY: leaked above, and SPDK has no descriptor with it.
            drop(unsafe { Box::from_raw(watch.as_ptr()) });
            // SAFETY: a bdev that is found stays while the app thread is in this call.
            let by = unsafe { compat::claimer(found.as_ptr()) };
            return Err(not_opened(name, rc, by));
        };
        let opened = Unchecked { desc, watch };
        // SAFETY: the descriptor is open, so its bdev is there.
        let bdev = unsafe { NonNull::new_unchecked(ffi::spdk_bdev_desc_get_bdev(desc.as_ptr())) };
        // SAFETY: the bdev is open, and its owner changes only internals that are not read here.
        let properties = inspect(unsafe { bdev.as_ref() }).map_err(|reason| PoolError::invalid(drive(name), reason))?;
        // SAFETY: bdev and descriptor are open, the module is registered.
        if write && unsafe { ffi::spdk_bdev_module_claim_bdev(bdev.as_ptr(), desc.as_ptr(), module::handle()) } != 0 {
            // SAFETY: the bdev is open, and this is the app thread.
            return Err(claimed(name, unsafe { compat::claimer(bdev.as_ptr()) }));
        }
        let claim = Claim(write.then_some(bdev));
        // SAFETY: the descriptor is open.
        let Some(channel) = NonNull::new(unsafe { ffi::spdk_bdev_get_io_channel(desc.as_ptr()) }) else {
            return Err(PoolError::new(Kind::NoMemory, drive(name), "SPDK gives no I/O channel of the bdev"));
        };
        core::mem::forget((opened, claim));
        let this = Rc::new(OpenBdev {
            bytes: Cell::new(properties.bytes),
            properties,
            access,
            // SAFETY: the bdev is open; the calls only read.
            alignment: unsafe { ffi::spdk_bdev_get_buf_align(bdev.as_ptr()) },
            desc,
            bdev,
            channel: Cell::new(Some(channel)),
            // SAFETY: as above.
            can_flush: supports(unsafe { bdev.as_ref() }, ffi::spdk_bdev_io_type::SPDK_BDEV_IO_TYPE_FLUSH),
            removed: Cell::new(false),
            in_flight: Cell::new(0),
            unsent: RefCell::default(),
            blocked: RefCell::new(None),
            // SAFETY: plain data of SPDK's, for which zero is a valid state; filled in before it is used.
            wait_entry: UnsafeCell::new(unsafe { core::mem::zeroed() }),
            leases: Cell::new(0),
            lessees: RefCell::default(),
            next_lease: Cell::new(0),
            removal: Cell::new(None),
            watch,
        });
        // SAFETY: the watch lives as long as the descriptor.
        *unsafe { watch.as_ref() }.borrow_mut() = Rc::downgrade(&this);
        if access == Access::Claim {
            note_claimed(&this);
        }
        Ok(this)
    }

    /// Registers `tell` to be called with the name when the bdev is removed, on this thread.
    pub fn on_removal(&self, tell: fn(&str)) {
        self.removal.set(Some(tell));
    }

    /// Lets other threads use the descriptor; `on_removed` is called on this thread when the bdev is removed. None if
    /// it has been removed already.
    pub fn lease(self: &Rc<Self>, on_removed: impl FnOnce() + 'static) -> Option<Lease> {
        if self.removed.get() {
            return None;
        }
        let number = self.next_lease.get();
        self.next_lease.set(number + 1);
        self.leases.set(self.leases.get() + 1);
        self.lessees.borrow_mut().push((number, Box::new(on_removed)));
        Some(Lease { bdev: Rc::clone(self), number })
    }

    fn handle(&self) -> BaseHandle {
        BaseHandle {
            desc: self.desc,
            bdev: self.bdev,
            block_shift: self.properties.sector_bytes.ilog2(),
            can_flush: self.can_flush,
        }
    }

    /// The bdev's properties, with its present size.
    pub fn properties(&self) -> DeviceProperties {
        DeviceProperties { bytes: self.bytes.get(), ..self.properties.clone() }
    }

    pub fn name(&self) -> &str {
        &self.properties.name
    }

    /// Block size in bytes.
    pub fn block_bytes(&self) -> u64 {
        u64::from(self.properties.sector_bytes)
    }

    pub fn is_removed(&self) -> bool {
        self.removed.get()
    }

    /// The bdev supports unmap.
    pub fn can_unmap(&self) -> bool {
        self.properties.discard
    }

    /// Required alignment of buffers.
    pub fn alignment(&self) -> usize {
        self.alignment
    }

    pub fn bytes(&self) -> u64 {
        self.bytes.get()
    }

    /// Closes the bdev if it has been removed and nothing uses it.
    pub(super) fn close_if_removed(&self) {
        let used = self.in_flight.get() > 0 || self.leases.get() > 0 || self.blocked.borrow().is_some();
        if self.removed.get() && !used {
            self.close();
        }
    }

    /// Gives up channel, claim and descriptor. A second call does nothing.
    fn close(&self) {
        let Some(channel) = self.channel.take() else { return };
        // SAFETY: open until here (the channel was there), on the app thread that opened it, and nothing is in flight.
        // After the close SPDK no longer calls `event`, so the watch can be freed.
        unsafe {
            ffi::spdk_put_io_channel(channel.as_ptr());
            if self.access == Access::Claim {
                ffi::spdk_bdev_module_release_bdev(self.bdev.as_ptr());
            }
            ffi::spdk_bdev_close(self.desc.as_ptr());
            drop(Box::from_raw(self.watch.as_ptr()));
        }
    }

    /// The bdev is being removed.
    fn on_removed(&self) {
        self.removed.set(true);
        self.fail_unsent();
        // Taken out first, because a lessee may return its lease at once.
        let lessees = self.lessees.take();
        for (_, tell) in lessees {
            tell();
        }
        self.close_if_removed();
        if let Some(tell) = self.removal.take() {
            tell(self.name());
        }
    }

    fn on_resized(&self) {
        // SAFETY: the bdev is open.
        let blocks = unsafe { ffi::spdk_bdev_get_num_blocks(self.bdev.as_ptr()) };
        let bytes = blocks.saturating_mul(self.block_bytes());
        log::info!("drive '{}': the bdev now has {} MiB instead of {}", self.name(), bytes >> 20, self.bytes() >> 20);
        self.bytes.set(bytes);
    }
}

impl Drop for OpenBdev {
    fn drop(&mut self) {
        // Everything in flight or waiting, and each lease, holds a reference, so there is none left.
        self.close();
    }
}

/// A descriptor that is closed when dropped.
struct Unchecked {
    desc: NonNull<ffi::spdk_bdev_desc>,
    watch: NonNull<Watch>,
}

impl Drop for Unchecked {
    fn drop(&mut self) {
        // SAFETY: just opened, by this thread, and nobody else knows of it.
        unsafe {
            ffi::spdk_bdev_close(self.desc.as_ptr());
            drop(Box::from_raw(self.watch.as_ptr()));
        }
    }
}

/// A claim that is released when dropped. Dropped before the descriptor.
struct Claim(Option<NonNull<ffi::spdk_bdev>>);

impl Drop for Claim {
    fn drop(&mut self) {
        if let Some(bdev) = self.0 {
            // SAFETY: claimed by this module, and still open.
            unsafe { ffi::spdk_bdev_module_release_bdev(bdev.as_ptr()) };
        }
    }
}

fn not_opened(name: &str, rc: i32, by: Option<String>) -> PoolError {
    if rc == -libc::EPERM {
        return claimed(name, by);
    }
    let kind = match -rc {
        libc::ENODEV => Kind::NotFound,
        libc::ENOMEM => Kind::NoMemory,
        _ => Kind::Io,
    };
    PoolError::new(kind, drive(name), format!("opening failed: {}", std::io::Error::from_raw_os_error(-rc)))
}

fn claimed(name: &str, by: Option<String>) -> PoolError {
    let by = by.map_or_else(|| "another module".to_owned(), |by| format!("module '{by}'"));
    PoolError::new(Kind::Busy, drive(name), format!("it is claimed by {by}"))
}

fn supports(bdev: &ffi::spdk_bdev, kind: ffi::spdk_bdev_io_type::Type) -> bool {
    // SAFETY: the bdev is open (the caller has a reference); the call only reads.
    unsafe { ffi::spdk_bdev_io_type_supported(ptr::from_ref(bdev).cast_mut(), kind) }
}

/// The text at an SPDK pointer; empty for null.
fn text(pointer: *const core::ffi::c_char) -> String {
    if pointer.is_null() {
        return String::new();
    }
    // SAFETY: names in a bdev are C strings that live as long as the bdev.
    unsafe { CStr::from_ptr(pointer) }.to_string_lossy().into_owned()
}

/// Reads a bdev's properties. Fails with the reason why a pool cannot use it.
fn inspect(bdev: &ffi::spdk_bdev) -> Result<DeviceProperties, String> {
    let block = bdev.blocklen;
    if block != 512 && block != 4096 {
        return Err(format!("its blocks have {block} bytes; 512 and 4096 are possible"));
    }
    if compat::has_metadata(bdev) {
        return Err(format!("its blocks carry {} bytes of metadata each; none are possible", bdev.md_len));
    }
    if compat::is_zoned(bdev) {
        return Err("it is zoned, and logs are written in place".to_owned());
    }
    let write_unit = u64::from(bdev.write_unit_size.max(1)) * u64::from(block);
    if !(PAGE_BYTES as u64).is_multiple_of(write_unit) {
        return Err(format!("it is written in units of {write_unit} bytes; at most {PAGE_BYTES} are possible"));
    }
    let can_flush = supports(bdev, ffi::spdk_bdev_io_type::SPDK_BDEV_IO_TYPE_FLUSH);
    let product = text(bdev.product_name);
    let uuid = Uuid::from_bytes(compat::uuid_bytes(&bdev.uuid));
    Ok(DeviceProperties {
        name: text(bdev.name),
        uuid,
        uuid_lasts: !uuid.is_nil() && product::has_lasting_uuid(&product),
        layered: product::is_layered(&product),
        model: product,
        kind: DeviceType::StandardBlock,
        bytes: bdev.blockcnt.saturating_mul(u64::from(block)),
        sector_bytes: block,
        optimal_write_bytes: optimal_write_bytes(compat::write_granularity(bdev), block),
        discard: supports(bdev, ffi::spdk_bdev_io_type::SPDK_BDEV_IO_TYPE_UNMAP),
        discard_granularity: u64::from(compat::unmap_granularity(bdev).max(1)) * u64::from(block),
        dif: false,
        sed: false,
        sector_updatable: true,
        // Several bdevs do not pass `write_cache` on from the bdev below (raid, lvol) or do not know it (uring). A bdev
        // that can be flushed may have something to flush.
        volatile_cache: bdev.write_cache != 0 || can_flush,
        fua: false,
        // What every disk writes atomically. NVMe guarantees one logical block, and only for a write of that one block
        // (AWUPF), and flush sets are longer; `acwu` is the unit of compare-and-write and says nothing of power cuts.
        atomic_write: 512,
    })
}

/// The size of which writes should be multiples: the bdev's preference, where it makes sense for pages.
fn optimal_write_bytes(granularity_blocks: u32, block: u32) -> u32 {
    const PAGE: u32 = PAGE_BYTES as u32;
    const LARGEST: u32 = 1 << 20;
    let preferred = granularity_blocks.saturating_mul(block);
    if preferred.is_power_of_two() && (PAGE..=LARGEST).contains(&preferred) {
        preferred
    } else {
        PAGE
    }
}

/// # Safety
/// SPDK calls it, with what it was registered with.
unsafe extern "C" fn event(kind: ffi::spdk_bdev_event_type::Type, _: *mut ffi::spdk_bdev, context: *mut c_void) {
    // SAFETY: SPDK calls this on the opening thread with the context of an open descriptor. The reference ends before
    // the bdev is told, which may close the descriptor and free the watch.
    let bdev = unsafe { (*context.cast::<Watch>()).borrow().upgrade() };
    let Some(bdev) = bdev else { return };
    match kind {
        ffi::spdk_bdev_event_type::SPDK_BDEV_EVENT_REMOVE => bdev.on_removed(),
        ffi::spdk_bdev_event_type::SPDK_BDEV_EVENT_RESIZE => bdev.on_resized(),
        other => log::debug!("drive '{}': event {other} needs nothing done", bdev.name()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_are_sized_as_the_bdev_prefers_within_reason() {
        assert_eq!(optimal_write_bytes(0, 512), 4096);
        assert_eq!(optimal_write_bytes(1, 512), 4096);
        assert_eq!(optimal_write_bytes(32, 512), 16384);
        assert_eq!(optimal_write_bytes(4, 4096), 16384);
        assert_eq!(optimal_write_bytes(3, 4096), 4096, "no power of two");
        assert_eq!(optimal_write_bytes(u32::MAX, 4096), 4096, "larger than makes sense");
    }
}

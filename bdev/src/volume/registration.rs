// SPDX-License-Identifier: BSD-3-Clause

//! A volume as SPDK knows it: an io_device and a bdev, registered together and unregistered together.
//!
//! Unregistering is begun by `bdev_dedupe_delete` and `bdev_dedupe_unload`, by removal of a bdev below, or by the end
//! of the application; all of them come to SPDK's unregistering and so to [`Volume::destruct`]: no more channels,
//! then [`super::stop`].

use core::ffi::c_void;
use core::ptr;
use core::sync::atomic::Ordering;
use std::ffi::CString;
use std::sync::Arc;

use super::tour::tour;
use super::{lock, volume_of, State, Volume};
use crate::channel;
use crate::compat;
use crate::error::VolumeError;
use crate::ffi;
use crate::fn_table;
use crate::module;
use crate::pool::runtime;
use crate::registry;
use crate::shard_host::ShardHost;

impl Volume {
    /// Makes the volume known to SPDK.
    pub(super) fn register(self: &Arc<Volume>) -> Result<(), VolumeError> {
        self.fill_bdev();
        // SAFETY: the volume is the io_device's key and outlives it; the callbacks fit the context size. The bdev
        // is filled in and stays in place until SPDK has been told that it is gone.
        let rc = unsafe {
            ffi::spdk_io_device_register(
                self.device(),
                Some(channel::create),
                Some(channel::destroy),
                channel::CHANNEL_BYTES as u32,
                self.c_name.as_ptr(),
            );
            self.control().state = State::Online;
            registry::add(Arc::clone(self));
            ffi::spdk_bdev_register(self.bdev.get())
        };
        if rc == 0 {
            self.add_alias();
            self.announce();
            return Ok(());
        }
        self.control().state = State::Starting;
        registry::remove(self);
        // SAFETY: registered above; without a bdev nobody has a channel.
        unsafe { ffi::spdk_io_device_unregister(self.device(), None) };
        Err(VolumeError::Register { name: self.name.to_string(), errno: rc })
    }

    /// Gives the bdev the alias "pool/volume", as logical volumes have it.
    fn add_alias(&self) {
        let alias = format!("{}/{}", self.storage.pool_name, self.name);
        let Ok(c_alias) = CString::new(alias.as_str()) else { return };
        // SAFETY: the bdev is registered; SPDK copies the alias.
        let rc = unsafe { ffi::spdk_bdev_alias_add(self.bdev.get(), c_alias.as_ptr()) };
        if rc != 0 {
            let error = std::io::Error::from_raw_os_error(-rc);
            log::warn!("{}: it is not also called '{alias}': {error}", self.name);
        }
    }

    fn fill_bdev(&self) {
        // SAFETY: not yet registered, so this thread's alone.
        let bdev = unsafe { &mut *self.bdev.get() };
        bdev.ctxt = self.device();
        bdev.name = self.c_name.as_ptr().cast_mut();
        bdev.product_name = c"dedupe".as_ptr().cast_mut();
        bdev.uuid = compat::uuid_from_bytes(*self.uuid.as_bytes());
        bdev.blocklen = self.block_bytes;
        bdev.blockcnt = self.exposed_blocks();
        // A request that changes the volume completes when it is durable; flush has nothing to add, and is allowed.
        bdev.write_cache = 0;
        bdev.write_unit_size = 1;
        // Of a client's memory, which is copied.
        bdev.required_alignment = 0;
        compat::set_hints(bdev, engine::BLOCK_SIZE as u32 / self.block_bytes);
        bdev.module = module::handle();
        bdev.fn_table = fn_table::table();
    }

    fn exposed_blocks(&self) -> u64 {
        self.logical_bytes.load(Ordering::Relaxed) / u64::from(self.block_bytes)
    }

    fn announce(&self) {
        let mib = |bytes: u64| bytes.div_ceil(1 << 20);
        let geometry = self.geometry();
        log::info!(
            "{}: {} MiB of {}-byte blocks over {} MiB of pool '{}' on '{}', {} slabs of {} MiB, {} shard(s), {} MiB of \
             memory and {} MiB of DMA memory",
            self.name,
            mib(geometry.logical_blocks().bytes()),
            self.block_bytes,
            mib(geometry.data_blocks().bytes()),
            self.storage.pool_name,
            self.storage.bdev_names.join("' and '"),
            geometry.slabs(),
            mib(geometry.slab_blocks() << 12),
            geometry.shards(),
            mib(self.memory.heap()),
            mib(self.memory.dma),
        );
    }

    /// Has SPDK take the bdev away, if it knows it and has not been asked before. On the app thread.
    pub(super) fn unregister(self: &Arc<Volume>) {
        let before = core::mem::replace(&mut self.control().state, State::Removing);
        self.abort_unmaps();
        if before == State::Suspended {
            // Requests that wait would keep their clients from letting go.
            let volume = Arc::clone(self);
            runtime::spawn(async move { volume.open_again().await });
        }
        if matches!(before, State::Online | State::Suspended) {
            // SAFETY: registered, and not yet asked to unregister by this module; SPDK bears with being asked twice.
            unsafe { ffi::spdk_bdev_unregister(self.bdev.get(), None, ptr::null_mut()) };
        }
    }

    /// Gives up what is left of unmaps of many pages: they would keep the bdev from going for as long as they take. On the
    /// app thread.
    pub fn abort_unmaps(self: &Arc<Volume>) {
        let volume = Arc::clone(self);
        runtime::spawn(async move {
            tour(&volume, ShardHost::abort_unmaps).await;
        });
    }

    /// SPDK has no more use for the bdev: no descriptor is open, no request is on the way.
    pub fn destruct(self: Arc<Volume>) {
        self.control().state = State::Removing;
        // SAFETY: registered before, and still in place. Releases that do not forget the aliases themselves keep the
        // memory of their names else.
        unsafe { ffi::spdk_bdev_alias_del_all(self.bdev.get()) };
        // SAFETY: registered in `register`. SPDK calls back once the last channel is gone, with the key: the
        // volume, which the registry keeps.
        unsafe { ffi::spdk_io_device_unregister(self.device(), Some(channels_gone)) };
    }

    /// Tells SPDK that the bdev is gone. It does not use it afterwards.
    pub(super) fn destructed(&self) {
        // SAFETY: `destruct` promised to say so.
        unsafe { ffi::spdk_bdev_destruct_done(self.bdev.get(), 0) };
    }

    /// Shows clients that the volume has grown.
    pub(super) fn show_growth(&self) {
        self.logical_bytes.store(self.geometry().logical_blocks().bytes(), Ordering::Relaxed);
        // SAFETY: registered, and this is the app thread.
        let rc = unsafe { ffi::spdk_bdev_notify_blockcnt_change(self.bdev.get(), self.exposed_blocks()) };
        if rc != 0 {
            let error = std::io::Error::from_raw_os_error(-rc);
            log::error!("{}: its clients cannot be told of its new size: {error}", self.name);
        }
    }

    /// True when no answer to a client is under way.
    pub(super) fn ports_are_quiet(&self) -> bool {
        // SAFETY: ports live as long as the volume.
        lock(&self.ports).iter().all(|port| unsafe { port.as_ref() }.is_quiet())
    }
}

/// # Safety
/// SPDK calls it, with what it was registered with.
unsafe extern "C" fn channels_gone(device: *mut c_void) {
    // SAFETY: SPDK calls this with the key, a volume that the registry keeps until its end.
    let volume = unsafe { volume_of(device) };
    volume.take_down();
}

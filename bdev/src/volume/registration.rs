// SPDX-License-Identifier: BSD-3-Clause

//! A volume as SPDK knows it: an io_device and a bdev, registered together and unregistered together.
//!
//! `bdev_dedupe_delete`, `bdev_dedupe_unload`, the removal of a bdev below and the end of the application all
//! unregister the bdev, after which SPDK calls [`Volume::destruct`]: no more channels, then [`super::stop`].

use core::ffi::c_void;
use std::sync::Arc;

use super::error::VolumeError;
use super::for_each_shard::for_each_shard;
use super::{info, registry, State, Volume};
use crate::datapath::shard_host::ShardHost;
use crate::spdk::json::Writer;
use crate::spdk::tasks;
use crate::spdk::virtual_bdev::Shape;

impl Volume {
    /// Registers the io_device, so that channels can be made.
    ///
    /// # Errors
    /// A bdev below was removed.
    pub(super) fn go_online(&self) -> Result<(), VolumeError> {
        let mut control = self.control();
        if control.base_gone {
            let (name, base) = (self.name.to_string(), self.storage.bdev_names.join("' or '"));
            return Err(VolumeError::BaseRemoved { name, base });
        }
        control.state = State::Online;
        drop(control);
        self.frontend.open(self.bdev.name());
        Ok(())
    }

    /// Unregisters the io_device of a volume whose bdev is not registered, so that it has no channels.
    pub(super) fn go_offline(&self) {
        self.control().state = State::Starting;
        self.frontend.close(|| {});
    }

    pub(super) fn register(&self) -> Result<(), VolumeError> {
        let shape = Shape {
            uuid: *self.uuid.as_bytes(),
            block_bytes: self.block_bytes(),
            blocks: self.frontend.blocks(),
            optimal_blocks: engine::BLOCK_SIZE as u32 / self.block_bytes(),
            io_device: self.frontend.key(),
        };
        self.bdev.register(&shape).map_err(|errno| VolumeError::Register { name: self.name.to_string(), errno })?;
        self.add_alias();
        self.announce();
        Ok(())
    }

    /// Gives the bdev the alias "pool/volume", as SPDK's logical volumes have it.
    fn add_alias(&self) {
        let alias = format!("{}/{}", self.storage.pool_name, self.name);
        if let Err(error) = self.bdev.add_alias(&alias) {
            log::warn!("{}: it is not also called '{alias}': {error}", self.name);
        }
    }

    fn announce(&self) {
        let mib = |bytes: u64| bytes.div_ceil(1 << 20);
        let geometry = self.geometry();
        log::info!(
            "{}: {} MiB of {}-byte blocks over {} MiB of pool '{}' on '{}', {} slabs of {} MiB, {} shard(s), {} MiB of \
             memory and {} MiB of DMA memory",
            self.name,
            mib(geometry.logical_blocks().bytes()),
            self.block_bytes(),
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

    /// Asks SPDK to unregister the bdev, if it is registered and this was not asked before. On the app thread.
    pub(super) fn unregister(self: &Arc<Volume>) {
        let before = core::mem::replace(&mut self.control().state, State::Removing);
        self.abort_unmaps();
        if before == State::Suspended {
            // Queued requests would keep their clients from closing the bdev.
            let volume = Arc::clone(self);
            tasks::spawn(async move { volume.open_again().await });
        }
        if matches!(before, State::Online | State::Suspended) {
            self.bdev.unregister();
        }
    }

    /// Aborts what remains of unmaps of many pages, which would delay the bdev's removal until they end. On the app
    /// thread.
    pub fn abort_unmaps(self: &Arc<Volume>) {
        let volume = Arc::clone(self);
        tasks::spawn(async move {
            for_each_shard(&volume, ShardHost::abort_unmaps).await;
        });
    }

    /// SPDK no longer uses the bdev: no descriptor is open, no request is in flight.
    pub fn destruct(self: Arc<Volume>) {
        self.control().state = State::Removing;
        self.bdev.forget_aliases();
        let volume = Arc::clone(&self);
        self.frontend.close(move || volume.take_down());
    }

    /// Shows clients that the volume has grown.
    pub(super) fn show_growth(&self) {
        self.frontend.set_bytes(self.geometry().logical_blocks().bytes());
        if let Err(error) = self.bdev.resize(self.frontend.blocks()) {
            log::error!("{}: its clients cannot be told of its new size: {error}", self.name);
        }
    }
}

/// The volume that an io_device belongs to, if it is still in the registry.
fn volume_of(io_device: *mut c_void) -> Option<Arc<Volume>> {
    registry::all().into_iter().find(|volume| volume.frontend.key() == io_device)
}

/// SPDK no longer uses the bdev of this io_device.
pub fn destruct(io_device: *mut c_void) {
    if let Some(volume) = volume_of(io_device) {
        volume.owner().run(move || volume.destruct());
    }
}

/// Writes information on a bdev into the open object of `driver_specific`.
pub fn write_info(io_device: *mut c_void, writer: &mut Writer) {
    if let Some(volume) = volume_of(io_device) {
        info::write(&volume, writer);
    }
}

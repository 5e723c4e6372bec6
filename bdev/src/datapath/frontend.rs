// SPDX-License-Identifier: BSD-3-Clause

//! The part of a volume that its channels need: its size, its shards, and a port for each thread that has channels. It
//! is the key of the volume's io_device, which holds a reference to it.
//!
//! Invariant: a port stays in place from its creation until the front end is dropped, after all channels are gone.

use core::ffi::c_void;
use core::ops::Range;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::ffi::CStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use engine::format::Geometry;
use engine::Lbn;

use super::channel::{self, Port};
use super::shard_host::ShardHost;
use crate::spdk::ffi;
use crate::spdk::thread::{self, Thread};

/// See the module's documentation.
pub struct Frontend {
    name: Arc<str>,
    block_bytes: u32,
    /// Size in bytes that clients see.
    logical_bytes: AtomicU64,
    /// The layout at the start. It determines for good which shard owns a block.
    sharding: Geometry,
    shards: Arc<[ShardHost]>,
    ports: Mutex<Vec<NonNull<Port>>>,
    next_shard: AtomicUsize,
    /// Called when the last channel is gone.
    when_gone: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

// SAFETY: ports are made to be shared by many threads; all else is Send and Sync.
unsafe impl Send for Frontend {}
// SAFETY: as above.
unsafe impl Sync for Frontend {}

impl Frontend {
    pub fn new(name: Arc<str>, block_bytes: u32, geometry: Geometry, shards: Arc<[ShardHost]>) -> Frontend {
        Frontend {
            name,
            block_bytes,
            logical_bytes: AtomicU64::new(geometry.logical_blocks().bytes()),
            sharding: geometry,
            shards,
            ports: Mutex::default(),
            next_shard: AtomicUsize::new(0),
            when_gone: Mutex::new(None),
        }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn shards(&self) -> &[ShardHost] {
        &self.shards
    }

    pub fn block_bytes(&self) -> u32 {
        self.block_bytes
    }

    /// Size that clients see, in exposed blocks.
    pub fn blocks(&self) -> u64 {
        self.logical_bytes.load(Ordering::Relaxed) / u64::from(self.block_bytes)
    }

    pub fn set_bytes(&self, bytes: u64) {
        self.logical_bytes.store(bytes, Ordering::Relaxed);
    }

    /// The byte range of `blocks` exposed blocks from `offset` on; none if it reaches beyond the volume.
    pub fn byte_range(&self, offset: u64, blocks: u64) -> Option<Range<u64>> {
        let unit = u64::from(self.block_bytes);
        let end = offset.checked_add(blocks)?.checked_mul(unit)?;
        (end <= self.logical_bytes.load(Ordering::Relaxed)).then_some(offset * unit..end)
    }

    pub fn logical_shard(&self, lbn: Lbn) -> &ShardHost {
        &self.shards[self.sharding.logical_shard(lbn).index()]
    }

    /// The port of a thread, created on first use.
    pub fn port(&self, thread: Thread) -> NonNull<Port> {
        let mut ports = self.ports();
        // SAFETY: ports live as long as the front end.
        if let Some(port) = ports.iter().find(|port| unsafe { port.as_ref() }.thread() == thread) {
            return *port;
        }
        let port = NonNull::from(Box::leak(Box::new(Port::new(thread))));
        ports.push(port);
        port
    }

    /// The shard for commands without a range: the one on the channel's thread or core, else the next in round-robin
    /// order.
    pub fn deal_shard(&self, thread: Thread) -> usize {
        let core = thread::current_core();
        let near = self.shards.iter().position(|shard| shard.thread == thread);
        let near = near.or_else(|| self.shards.iter().position(|shard| Some(shard.core) == core));
        near.unwrap_or_else(|| self.next_shard.fetch_add(1, Ordering::Relaxed) % self.shards.len())
    }

    /// True when no answer to a client is in flight.
    pub fn is_quiet(&self) -> bool {
        // SAFETY: ports live as long as the front end.
        self.ports().iter().all(|port| unsafe { port.as_ref() }.is_quiet())
    }

    /// Registers the io_device, so that channels can be created. The front end stays in place until the last channel is
    /// gone.
    pub fn open(self: &Arc<Self>, name: &CStr) {
        // `channels_gone` drops this reference.
        let key = Arc::into_raw(Arc::clone(self)).cast_mut().cast();
        // SAFETY: the front end is the io_device's key and outlives it; the callbacks fit the context size.
        unsafe {
            ffi::spdk_io_device_register(
                key,
                Some(channel::create),
                Some(channel::destroy),
                channel::CHANNEL_BYTES as u32,
                name.as_ptr(),
            );
        }
    }

    /// Unregisters the io_device, so that no channel can be created any more, and calls `done` on this thread when the
    /// last one is gone.
    pub fn close(&self, done: impl FnOnce() + Send + 'static) {
        *self.when_gone.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(done));
        // SAFETY: registered by `open`. SPDK calls back once the last channel is gone, with the key.
        unsafe { ffi::spdk_io_device_unregister(self.key(), Some(channels_gone)) };
    }

    pub fn key(&self) -> *mut c_void {
        ptr::from_ref(self).cast_mut().cast()
    }

    /// Locks the list of ports. A panic cannot leave it half-changed, because panics abort.
    fn ports(&self) -> MutexGuard<'_, Vec<NonNull<Port>>> {
        self.ports.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl core::fmt::Debug for Frontend {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Frontend {{ name: {}, shards: {:?} }}", self.name, self.shards)
    }
}

/// # Safety
/// SPDK calls it once with the key.
unsafe extern "C" fn channels_gone(key: *mut c_void) {
    // SAFETY: `open` gave this reference to the io_device.
    let frontend = unsafe { Arc::from_raw(key.cast::<Frontend>().cast_const()) };
    let done = frontend.when_gone.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(done) = done {
        done();
    }
}

impl Drop for Frontend {
    fn drop(&mut self) {
        for port in self.ports().drain(..) {
            // SAFETY: from `Box::leak`, freed once. All channels are gone and the port is quiet, or there never was a
            // channel.
            drop(unsafe { Box::from_raw(port.as_ptr()) });
        }
    }
}

// SPDX-License-Identifier: BSD-3-Clause

//! I/O channels: where clients' requests come in and answers go out.
//!
//! A request goes straight to its home, the shard that owns its first leaf page, whatever thread it came from. (The
//! alternative, a home shard for each channel, would send the many requests that lie in one page through a second shard
//! for nothing.) Commands without a range go to the shard on the channel's own core, or else to one assigned to the
//! channel.
//!
//! Answers are given on the channel's thread; a [`Port`] takes them there from other threads. Each thread that ever had
//! a channel of the volume has one port. A port lives as long as the volume, because a shard may still be about to wake
//! it when its channel goes away.

use core::ffi::{c_int, c_void};
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use engine::request::Operation;
use engine::{Lbn, BLOCK_SIZE};

use super::cache_padded::CachePadded;
use super::frontend::Frontend;
use super::list::{Inbox, List};
use super::request::{Command, Request, RequestHandle};
use super::shard_host::ShardHost;
use crate::spdk::thread::Thread;
use crate::spdk::{compat, ffi};

/// Where a thread gets its answers.
#[derive(Debug)]
pub struct Port {
    thread: Thread,
    interrupt_mode: bool,
    answers: CachePadded<Inbox<Request>>,
    /// A delivery is scheduled and has not begun.
    scheduled: AtomicBool,
    /// Messages to the port that have not been fully processed.
    messages: AtomicUsize,
}

// SAFETY: the inbox is made to be filled by many threads, and emptied on the port's own (`deliver`).
unsafe impl Sync for Port {}
// SAFETY: as above.
unsafe impl Send for Port {}

impl Port {
    /// A port for `thread`. Called on that thread.
    pub fn new(thread: Thread) -> Port {
        Port {
            thread,
            interrupt_mode: compat::interrupt_mode(),
            answers: CachePadded::default(),
            scheduled: AtomicBool::new(false),
            messages: AtomicUsize::new(0),
        }
    }

    pub fn thread(&self) -> Thread {
        self.thread
    }

    /// True when no message to the port is in flight.
    pub fn is_quiet(&self) -> bool {
        self.messages.load(Ordering::Acquire) == 0
    }

    /// Answers a request: directly on the port's thread, else through the inbox.
    ///
    /// # Safety
    /// The request came through a channel of this port's thread, is settled and in no list; the caller forgets it.
    pub unsafe fn answer(&self, client: RequestHandle) {
        if self.thread.is_current() {
            // SAFETY: on the channel's thread; the rest is the caller's promise.
            unsafe { client.complete() };
            return;
        }
        // SAFETY: the caller's promise.
        unsafe { self.answers.push(client.node()) };
        // The exchange orders the push ahead of the delivery that clears the flag, so no answer is missed.
        if self.interrupt_mode && !self.scheduled.swap(true, Ordering::AcqRel) {
            self.messages.fetch_add(1, Ordering::Relaxed);
            let context = ptr::from_ref(self).cast_mut().cast();
            if !self.thread.send(scheduled_delivery, context) {
                self.scheduled.store(false, Ordering::Release);
                self.messages.fetch_sub(1, Ordering::Release);
                log::error!("cannot deliver answers: out of SPDK messages");
            }
        }
    }

    /// Completes the requests in the inbox. On the port's thread. Returns whether there were any.
    fn deliver(&self) -> bool {
        let list = List::default();
        let any = self.answers.take_all(&list);
        while let Some(node) = list.pop() {
            // SAFETY: on the channel's thread; each request was pushed once, settled.
            unsafe { RequestHandle::of(node).complete() };
        }
        any
    }
}

/// # Safety
/// SPDK calls it, with what it was registered with.
unsafe extern "C" fn poll_port(context: *mut c_void) -> c_int {
    // SAFETY: the context is a port, which outlives its poller.
    c_int::from(unsafe { &*context.cast::<Port>() }.deliver())
}

/// # Safety
/// SPDK calls it, with the port that sent the message.
unsafe extern "C" fn scheduled_delivery(context: *mut c_void) {
    // SAFETY: the context is a port; ports are freed only when they are quiet.
    let port = unsafe { &*context.cast::<Port>() };
    // Cleared first: what arrives from now on schedules another delivery.
    port.scheduled.swap(false, Ordering::AcqRel);
    port.deliver();
    // The last access: from here on the port may be freed.
    port.messages.fetch_sub(1, Ordering::Release);
}

/// The module's context in an SPDK I/O channel.
struct Channel {
    frontend: NonNull<Frontend>,
    port: NonNull<Port>,
    /// Index of the shard for commands without a range.
    shard: usize,
    poller: *mut ffi::spdk_poller,
}

/// Size of the context to ask SPDK for.
pub const CHANNEL_BYTES: usize = size_of::<Channel>();

/// SPDK's callback for a new channel.
///
/// # Safety
/// `device` is the front end of a registered volume, `context` the memory of a new channel of the calling thread.
pub unsafe extern "C" fn create(device: *mut c_void, context: *mut c_void) -> c_int {
    // SAFETY: the caller's promise; a front end outlives its channels.
    let frontend_ptr = unsafe {
        compat::learn_channel_context(context);
        NonNull::new_unchecked(device.cast::<Frontend>())
    };
    // SAFETY: as above.
    let frontend = unsafe { frontend_ptr.as_ref() };
    let Some(thread) = Thread::current() else { return -libc::EINVAL };
    let port = frontend.port(thread);
    // If every shard runs on this very thread, all answers are given directly.
    let all_here = frontend.shards().iter().all(|shard| shard.thread == thread);
    let mut poller = ptr::null_mut();
    if !all_here && !compat::interrupt_mode() {
        // SAFETY: the port lives as long as the volume, and the poller is unregistered with the channel.
        poller = unsafe {
            ffi::spdk_poller_register_named(Some(poll_port), port.as_ptr().cast(), 0, c"bdev_dedupe_port".as_ptr())
        };
        if poller.is_null() {
            return -libc::ENOMEM;
        }
    }
    let channel = Channel { frontend: frontend_ptr, port, shard: frontend.deal_shard(thread), poller };
    // SAFETY: SPDK gives as much memory as was asked for, aligned for any C type.
    unsafe { context.cast::<Channel>().write(channel) };
    0
}

/// SPDK's callback for a channel that goes away.
///
/// # Safety
/// `context` is the memory of a channel that [`create`] made, on its thread.
pub unsafe extern "C" fn destroy(_device: *mut c_void, context: *mut c_void) {
    // SAFETY: the caller's promise; a poller is unregistered where it was registered.
    unsafe {
        let channel = &mut *context.cast::<Channel>();
        if !channel.poller.is_null() {
            ffi::spdk_poller_unregister(&mut channel.poller);
        }
    }
}

/// # Safety
/// `channel` is a channel of a volume, alive and of the calling thread.
unsafe fn channel_of<'a>(channel: *mut ffi::spdk_io_channel) -> &'a Channel {
    // SAFETY: the caller's promise; `create` has filled the memory.
    unsafe { &*compat::channel_context(channel).cast::<Channel>() }
}

/// SPDK's callback for a request.
///
/// # Safety
/// `channel` is a channel of a volume on the calling thread, `bdev_io` a request that was just submitted to it.
pub unsafe extern "C" fn submit(channel: *mut ffi::spdk_io_channel, bdev_io: *mut ffi::spdk_bdev_io) {
    use ffi::spdk_bdev_io_type as io_type;
    // SAFETY: the caller's promise.
    let kind = ffi::spdk_bdev_io_type::Type::from(unsafe { (*bdev_io).type_ });
    let command = match kind {
        io_type::SPDK_BDEV_IO_TYPE_READ => Command::Range(Operation::Read),
        io_type::SPDK_BDEV_IO_TYPE_WRITE => Command::Range(Operation::Write),
        io_type::SPDK_BDEV_IO_TYPE_UNMAP => Command::Range(Operation::Unmap),
        io_type::SPDK_BDEV_IO_TYPE_WRITE_ZEROES => Command::Range(Operation::WriteZeroes),
        io_type::SPDK_BDEV_IO_TYPE_FLUSH => Command::Flush,
        io_type::SPDK_BDEV_IO_TYPE_RESET => Command::Reset,
        other => {
            log::error!("request of type {other}, which the volume does not support");
            // SAFETY: the request is this module's to complete.
            unsafe { ffi::spdk_bdev_io_complete(bdev_io, ffi::spdk_bdev_io_status::SPDK_BDEV_IO_STATUS_FAILED) };
            return;
        }
    };
    // SAFETY: the caller's promise.
    unsafe {
        if command == Command::Range(Operation::Read) && lacks_memory(bdev_io) {
            let len = (*bdev_io).u.bdev.num_blocks * u64::from((*(*bdev_io).bdev).blocklen);
            ffi::spdk_bdev_io_get_buf(bdev_io, Some(memory_ready), len);
        } else {
            start(channel, bdev_io, command);
        }
    }
}

/// # Safety
/// `bdev_io` is a read or write.
unsafe fn lacks_memory(bdev_io: *mut ffi::spdk_bdev_io) -> bool {
    // SAFETY: the caller's promise.
    unsafe {
        let params = &(*bdev_io).u.bdev;
        params.iovs.is_null() || (*params.iovs).iov_base.is_null()
    }
}

/// # Safety
/// SPDK calls it, with what it was registered with.
unsafe extern "C" fn memory_ready(channel: *mut ffi::spdk_io_channel, bdev_io: *mut ffi::spdk_bdev_io, success: bool) {
    // SAFETY: SPDK calls this on the request's thread with the request that asked for memory.
    unsafe {
        if success {
            start(channel, bdev_io, Command::Range(Operation::Read));
        } else {
            ffi::spdk_bdev_io_complete(bdev_io, ffi::spdk_bdev_io_status::SPDK_BDEV_IO_STATUS_FAILED);
        }
    }
}

/// Hands the request to its home shard.
///
/// # Safety
/// As for [`submit`], with the request's memory in place.
unsafe fn start(channel: *mut ffi::spdk_io_channel, bdev_io: *mut ffi::spdk_bdev_io, command: Command) {
    // SAFETY: the caller's promise; the front end outlives its channels, and the bdev_io is not null.
    let (channel, io) = unsafe { (channel_of(channel), NonNull::new_unchecked(bdev_io)) };
    // SAFETY: as above.
    let frontend = unsafe { channel.frontend.as_ref() };
    let (home, bytes): (&ShardHost, _) = match command {
        Command::Range(_) => {
            // SAFETY: a request with a range has these parameters.
            let (offset, blocks) = unsafe { ((*bdev_io).u.bdev.offset_blocks, (*bdev_io).u.bdev.num_blocks) };
            let Some(bytes) = frontend.byte_range(offset, blocks) else {
                log::error!(
                    "{}: request for blocks {offset} + {blocks}, which the volume does not have",
                    frontend.name()
                );
                // SAFETY: the request is this module's to complete.
                unsafe { ffi::spdk_bdev_io_complete(bdev_io, ffi::spdk_bdev_io_status::SPDK_BDEV_IO_STATUS_FAILED) };
                return;
            };
            (frontend.logical_shard(Lbn(bytes.start / BLOCK_SIZE as u64)), bytes)
        }
        Command::Flush | Command::Reset => (&frontend.shards()[channel.shard], 0..0),
    };
    // SAFETY: the request was just submitted; port and home live as long as the volume. From here on the home owns it.
    unsafe { home.accept(RequestHandle::begin(io, channel.port, home.id, command, bytes)) };
}

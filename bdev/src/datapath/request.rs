// SPDX-License-Identifier: BSD-3-Clause

//! A client's request: what this module keeps in the `driver_ctx` of an `spdk_bdev_io` from submission to completion.
//!
//! A request has one *home* shard, the owner of its first leaf page. The home cuts the request into pieces, counts them
//! and completes it, so only the home's thread changes a request; other shards read the fields that never change. At
//! most [`MAX_PIECES`] pieces are in flight at once, besides one sweep in each shard.
//!
//! Invariants: a request is in at most one list ([`super::list`]). It is completed exactly once, after its last piece;
//! from then on its memory is SPDK's again and nobody touches it. There is never a `&mut` to a request: what changes is
//! in cells. A [`RequestHandle`] may travel to other threads and only reads; what only the home may change is reached
//! by [`RequestHandle::at`], on the home's thread.

use core::cell::Cell;
use core::ffi::c_int;
use core::marker::PhantomData;
use core::mem::offset_of;
use core::ptr::{self, NonNull};

use engine::request::{Operation, Piece, Sweep};
use engine::units::MAX_SHARDS;
use engine::{Lbn, RequestError, ShardId, BLOCK_SIZE};
use libc::iovec;

use super::channel::Port;
use super::list::Linked;
use super::split;
use crate::spdk::ffi;

/// Pieces of one request that may be in flight at once.
pub const MAX_PIECES: u8 = 16;

/// What the client asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Reads, writes, unmaps or zeroes a range.
    Range(Operation),
    /// Makes everything durable that completed before.
    Flush,
    Reset,
}

/// How a request ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Success,
    /// NVMe status code type and status code.
    Nvme(u8, u8),
    /// Failed without detail.
    Failed,
}

/// The request itself. It fits one cache line where SPDK aligns its memory to that (24.09 on), because it may travel to
/// another core and back.
#[derive(Debug)]
pub struct Request {
    link: Cell<*const Request>,
    port: NonNull<Port>,
    /// First byte of the range, in the volume.
    start: u64,
    /// First byte behind the range.
    end: u64,
    /// First byte that has not been cut into a piece yet.
    next: Cell<u64>,
    /// For a read or write: the client's memory if the request has one entry. A null base means several entries, which
    /// the bdev_io lists.
    memory: iovec,
    home: u8,
    command: Command,
    /// In the home's list of requests that can be cut further.
    queued: Cell<bool>,
    /// Pieces in flight.
    under_way: Cell<u8>,
    outcome: Cell<Outcome>,
}

// SAFETY: `link` always returns the same field, which is private to this module; this module does not write to it.
unsafe impl Linked for Request {
    fn link(&self) -> &Cell<*const Request> {
        &self.link
    }
}

/// Size to ask SPDK for in each `spdk_bdev_io`.
pub const CONTEXT_BYTES: usize = size_of::<Request>();

const _: () = assert!(CONTEXT_BYTES <= 64, "a request is one cache line");
const _: () = assert!(MAX_SHARDS <= u8::MAX as usize, "a shard's number fits its field");
const _: () =
    assert!(MAX_PIECES as usize + MAX_SHARDS <= u8::MAX as usize, "all that is under way is counted in 8 bits");
const _: () = assert!(align_of::<Request>() <= 8, "driver_ctx is aligned to 8 bytes in 20.07");

/// The handle under which the engine knows a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestHandle(NonNull<Request>);

// SAFETY: shards of other threads only read fields that do not change while they hold a piece of the request, and
// return the piece to its home; see the module's documentation.
unsafe impl Send for RequestHandle {}

impl RequestHandle {
    /// Builds the request of an `spdk_bdev_io` in its own context memory.
    ///
    /// `byte_range` is empty for commands without a range.
    ///
    /// # Safety
    /// `bdev_io` was just submitted to this module and not yet completed; its buffers are in place. `port` is the
    /// port of the channel it came through, and outlives it.
    pub unsafe fn begin(
        bdev_io: NonNull<ffi::spdk_bdev_io>,
        port: NonNull<Port>,
        home: ShardId,
        command: Command,
        byte_range: core::ops::Range<u64>,
    ) -> RequestHandle {
        // SAFETY: the bdev_io is valid; the context has the size that the module asked for and is aligned to 8
        // (asserted above). The parameters of a block request are the active member of the union for all commands
        // that have memory; a list has as many entries as it says.
        unsafe {
            let several = iovec { iov_base: ptr::null_mut(), iov_len: 0 };
            let memory = match command {
                Command::Range(Operation::Read | Operation::Write) => {
                    let params = &(*bdev_io.as_ptr()).u.bdev;
                    let single = params.iovcnt == 1 && !params.iovs.is_null();
                    if single {
                        *params.iovs.cast::<iovec>()
                    } else {
                        several
                    }
                }
                _ => several,
            };
            let place = ptr::addr_of_mut!((*bdev_io.as_ptr()).driver_ctx).cast::<Request>();
            place.write(Request {
                link: Cell::new(ptr::null()),
                port,
                start: byte_range.start,
                end: byte_range.end,
                next: Cell::new(byte_range.start),
                memory,
                home: home.0 as u8,
                command,
                queued: Cell::new(false),
                under_way: Cell::new(0),
                outcome: Cell::new(Outcome::Success),
            });
            RequestHandle(NonNull::new_unchecked(place))
        }
    }

    /// The bdev_io that contains the request.
    fn bdev_io(&self) -> *mut ffi::spdk_bdev_io {
        // SAFETY: `begin` put the request at this place of a bdev_io.
        unsafe { self.0.byte_sub(offset_of!(ffi::spdk_bdev_io, driver_ctx)).cast().as_ptr() }
    }

    /// The handle of a request that was popped from a list.
    pub fn of(node: NonNull<Request>) -> RequestHandle {
        RequestHandle(node)
    }

    /// The request as a list node.
    pub fn node(self) -> NonNull<Request> {
        self.0
    }

    fn request(&self) -> &Request {
        // SAFETY: a handle exists only between `begin` and `complete`, while the memory is the module's; there are
        // no exclusive references.
        unsafe { self.0.as_ref() }
    }

    pub fn command(&self) -> Command {
        self.request().command
    }

    /// The port of the channel that the request came through.
    pub fn port(&self) -> NonNull<Port> {
        self.request().port
    }

    /// The shard that cuts, counts and completes the request.
    pub fn home(&self) -> ShardId {
        ShardId(u16::from(self.request().home))
    }

    /// The client's memory; empty for a command without data.
    pub fn memory(&self) -> &[iovec] {
        if !matches!(self.command(), Command::Range(Operation::Read | Operation::Write)) {
            return &[];
        }
        // SAFETY: the request stays in place and its memory does not change. The list in the bdev_io belongs to the
        // request and does not change until completion.
        unsafe {
            let memory = &self.0.as_ref().memory;
            if !memory.iov_base.is_null() {
                return core::slice::from_ref(memory);
            }
            let params = &(*self.bdev_io()).u.bdev;
            let count = usize::try_from(params.iovcnt).unwrap_or(0);
            core::slice::from_raw_parts(params.iovs.cast::<iovec>(), count)
        }
    }

    /// Where byte `offset` of block `lbn` lies, counted from the start of the request; none if before it.
    pub fn offset_of(&self, lbn: Lbn, offset: u16) -> Option<u64> {
        (lbn.0 * BLOCK_SIZE as u64 + u64::from(offset)).checked_sub(self.request().start)
    }

    /// The request, for changing it on its home's thread.
    ///
    /// # Panics
    /// If `home` is not the request's home.
    pub fn at(self, home: &Home) -> HomeRequest {
        assert!(self.home() == home.id, "a request of {:?} is counted by {:?}", self.home(), home.id);
        HomeRequest { handle: self, confined: PhantomData }
    }

    /// Answers the client. From then on the handle and all its copies are dead.
    ///
    /// # Safety
    /// On the thread of the request's channel, once, when no piece is in flight and the request is in no list.
    pub unsafe fn complete(self) {
        debug_assert!(self.request().under_way.get() == 0);
        let bdev_io = self.bdev_io();
        let outcome = self.request().outcome.get();
        // SAFETY: the bdev_io was not completed yet (the caller's promise), and this is its thread.
        unsafe {
            match outcome {
                Outcome::Success => {
                    ffi::spdk_bdev_io_complete(bdev_io, ffi::spdk_bdev_io_status::SPDK_BDEV_IO_STATUS_SUCCESS);
                }
                Outcome::Nvme(kind, code) => {
                    ffi::spdk_bdev_io_complete_nvme_status(bdev_io, 0, c_int::from(kind), c_int::from(code));
                }
                Outcome::Failed => {
                    ffi::spdk_bdev_io_complete(bdev_io, ffi::spdk_bdev_io_status::SPDK_BDEV_IO_STATUS_FAILED);
                }
            }
        }
    }
}

/// A shard's right to change the requests whose home it is. It never leaves the shard's thread.
#[derive(Debug)]
pub struct Home {
    id: ShardId,
    confined: PhantomData<*const ()>,
}

impl Home {
    /// The right of shard `id`.
    ///
    /// # Safety
    /// The caller is on the shard's thread, and creates the shard's only right.
    pub unsafe fn new(id: ShardId) -> Home {
        Home { id, confined: PhantomData }
    }

    pub fn id(&self) -> ShardId {
        self.id
    }
}

/// A request on the thread of its home shard, which cuts, counts and completes it.
#[derive(Debug, Clone, Copy)]
pub struct HomeRequest {
    handle: RequestHandle,
    confined: PhantomData<*const ()>,
}

impl HomeRequest {
    fn request(&self) -> &Request {
        self.handle.request()
    }

    /// The request as a list node.
    pub fn node(self) -> NonNull<Request> {
        self.handle.node()
    }

    /// Cuts the next piece and counts it as in flight. None when nothing is left, or [`MAX_PIECES`] are in flight.
    pub fn next_piece(&self) -> Option<Piece<RequestHandle>> {
        let request = self.request();
        let Command::Range(operation) = request.command else { return None };
        if request.under_way.get() >= MAX_PIECES {
            return None;
        }
        let (extent, next) = split::first_piece(request.next.get(), request.end)?;
        request.next.set(next);
        request.under_way.set(request.under_way.get() + 1);
        Some(Piece {
            client: self.handle,
            operation,
            lbn: extent.lbn,
            blocks: extent.blocks,
            skip: extent.skip,
            cut: extent.cut,
        })
    }

    /// First block that has not been cut into a piece yet.
    pub fn next_lbn(&self) -> Lbn {
        Lbn(self.request().next.get() / BLOCK_SIZE as u64)
    }

    /// Cuts the whole leaf pages at the start of what is left of an unmap or zeroing, as one sweep for each of `shards`
    /// shards, and counts these as in flight. None when there are so few pages that pieces do as well.
    pub fn next_sweep(&self, shards: usize) -> Option<Sweep<RequestHandle>> {
        let request = self.request();
        if !matches!(request.command, Command::Range(operation) if operation.is_discard()) {
            return None;
        }
        let (pages, next) = split::whole_pages(request.next.get(), request.end)?;
        request.next.set(next);
        request.under_way.set(request.under_way.get() + shards as u8);
        Some(Sweep { client: self.handle, first: pages.start, end: pages.end })
    }

    /// Makes a flush piece and counts it as in flight.
    pub fn flush_piece(&self) -> Piece<RequestHandle> {
        let request = self.request();
        request.under_way.set(request.under_way.get() + 1);
        Piece { client: self.handle, operation: Operation::Flush, lbn: Lbn(0), blocks: 0, skip: 0, cut: 0 }
    }

    /// Counts a piece as done. The first error becomes the request's outcome.
    pub fn piece_done(&self, result: Result<(), RequestError>) {
        let request = self.request();
        let under_way = request.under_way.get();
        assert!(under_way > 0, "a piece of a request was answered twice");
        request.under_way.set(under_way - 1);
        if let Err(error) = result {
            self.fail(outcome_of(error));
        }
    }

    /// Records a failure unless one is recorded already, and cuts no more pieces.
    pub fn fail(&self, outcome: Outcome) {
        let request = self.request();
        if request.outcome.get() == Outcome::Success {
            request.outcome.set(outcome);
        }
        request.next.set(request.end);
    }

    /// True when no piece is in flight.
    pub fn is_settled(&self) -> bool {
        self.request().under_way.get() == 0
    }

    /// True when part of the range has not been cut yet.
    pub fn has_more(&self) -> bool {
        self.request().next.get() < self.request().end
    }

    /// Whether the request is in the home's list of requests that can be cut further.
    pub fn is_queued(&self) -> bool {
        self.request().queued.get()
    }

    /// Records whether the request is in that list.
    pub fn set_queued(&self, queued: bool) {
        self.request().queued.set(queued);
    }
}

const GENERIC: u8 = ffi::spdk_nvme_status_code_type::SPDK_NVME_SCT_GENERIC as u8;
/// NVM Express base specification, generic command status: Namespace is Write Protected. SPDK has no name for it.
const NAMESPACE_IS_WRITE_PROTECTED: u8 = 0x20;
const MEDIA: u8 = ffi::spdk_nvme_status_code_type::SPDK_NVME_SCT_MEDIA_ERROR as u8;

/// The status that the client gets for an error of the engine.
pub fn outcome_of(error: RequestError) -> Outcome {
    use ffi::{spdk_nvme_generic_command_status_code as generic, spdk_nvme_media_error_status_code as media};
    match error {
        RequestError::NoSpace => Outcome::Nvme(GENERIC, generic::SPDK_NVME_SC_CAPACITY_EXCEEDED as u8),
        RequestError::Corrupt => Outcome::Nvme(MEDIA, media::SPDK_NVME_SC_UNRECOVERED_READ_ERROR as u8),
        RequestError::OutOfRange => Outcome::Nvme(GENERIC, generic::SPDK_NVME_SC_LBA_OUT_OF_RANGE as u8),
        RequestError::ReadOnly => Outcome::Nvme(GENERIC, NAMESPACE_IS_WRITE_PROTECTED),
        RequestError::Aborted => Outcome::Nvme(GENERIC, generic::SPDK_NVME_SC_ABORTED_BY_REQUEST as u8),
        RequestError::Io | RequestError::Lock => Outcome::Failed,
    }
}

// SPDX-License-Identifier: BSD-3-Clause

//! A client's request: what this module keeps in the `driver_ctx` of its `spdk_bdev_io` from submission to
//! completion.
//!
//! A request has one *home* shard, the owner of its first leaf page. The home cuts it into pieces, counts them, and
//! completes it, so everything that changes is changed by the home's thread alone; other shards read the fields
//! that do not change. At most [`MAX_PIECES`] pieces are under way at once: an unmap of a whole device has
//! thousands.
//!
//! Invariants: a request is in at most one list ([`crate::list`]); it is completed exactly once, after its last
//! piece; after that its memory is SPDK's again and nobody touches it. Never is there a `&mut` to a request: what
//! changes is in cells.

use core::cell::Cell;
use core::ffi::c_int;
use core::ptr::{self, NonNull};

use engine::io::{Operation, Piece};
use engine::{Lbn, RequestError, ShardId, BLOCK_SIZE};
use libc::iovec;

use crate::channel::Port;
use crate::ffi;
use crate::list::Linked;
use crate::pieces;
use crate::transfer::Transfers;

/// Pieces of one request that may be under way at once.
pub const MAX_PIECES: u32 = 16;

/// What the client asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Reads, writes, unmaps or zeroes a range.
    Range(Operation),
    /// Makes everything that completed before durable.
    Flush,
    /// Resets the base bdev.
    Reset,
}

/// How far a request has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Pieces are cut or under way.
    Pieces,
    /// The pieces of a flush are done; the base bdev is to be flushed, or is being flushed or reset.
    Base,
}

/// How a request ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Done.
    Success,
    /// NVMe status code type and status code.
    Nvme(c_int, c_int),
    /// Failed without detail.
    Failed,
}

/// The request itself.
#[derive(Debug)]
pub struct Request {
    link: Cell<*const Request>,
    bdev_io: NonNull<ffi::spdk_bdev_io>,
    port: NonNull<Port>,
    home: ShardId,
    command: Command,
    iovs: *const iovec,
    iovcnt: usize,
    /// First byte of the range.
    start: u64,
    /// First byte behind the range.
    end: u64,
    /// First byte that is in no piece yet.
    next: Cell<u64>,
    /// Pieces under way.
    under_way: Cell<u32>,
    stage: Cell<Stage>,
    /// In the home's list of requests that can go on.
    queued: Cell<bool>,
    outcome: Cell<Outcome>,
    /// Who runs the command on the base.
    transfers: Cell<*const Transfers>,
}

// SAFETY: `link` is one field, private to this module, which does not write to it.
unsafe impl Linked for Request {
    fn link(&self) -> &Cell<*const Request> {
        &self.link
    }
}

/// Size to ask SPDK for in each `spdk_bdev_io`.
pub const CONTEXT_BYTES: usize = size_of::<Request>();

const _: () = assert!(CONTEXT_BYTES <= 256, "driver_ctx is paid for in every bdev_io of the process");
const _: () = assert!(align_of::<Request>() <= 8, "driver_ctx is aligned to 8 bytes in 20.07");

/// The handle under which the engine knows a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Client(NonNull<Request>);

// SAFETY: shards of other threads only read fields that do not change while they hold a piece of the request, and
// hand it back to its home; see the module's documentation.
unsafe impl Send for Client {}

impl Client {
    /// Builds the request of a `spdk_bdev_io` in its own context memory.
    ///
    /// `byte_range` is empty for commands that have none.
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
    ) -> Client {
        // SAFETY: the bdev_io is valid; the context has the size that the module asked for and is aligned to 8
        // (asserted above). The parameters of a block request are the active member of the union for all commands
        // that have buffers.
        unsafe {
            let (iovs, iovcnt) = match command {
                Command::Range(Operation::Read | Operation::Write) => {
                    let params = &(*bdev_io.as_ptr()).u.bdev;
                    (params.iovs.cast::<iovec>().cast_const(), usize::try_from(params.iovcnt).unwrap_or(0))
                }
                _ => (ptr::null(), 0),
            };
            let place = ptr::addr_of_mut!((*bdev_io.as_ptr()).driver_ctx).cast::<Request>();
            place.write(Request {
                link: Cell::new(ptr::null()),
                bdev_io,
                port,
                home,
                command,
                iovs,
                iovcnt,
                start: byte_range.start,
                end: byte_range.end,
                next: Cell::new(byte_range.start),
                under_way: Cell::new(0),
                stage: Cell::new(Stage::Pieces),
                queued: Cell::new(false),
                outcome: Cell::new(Outcome::Success),
                transfers: Cell::new(ptr::null()),
            });
            Client(NonNull::new_unchecked(place))
        }
    }

    /// The handle of a request that was popped from a list.
    pub fn of(node: NonNull<Request>) -> Client {
        Client(node)
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

    /// What is asked.
    pub fn command(&self) -> Command {
        self.request().command
    }

    /// Where the answer goes.
    pub fn port(&self) -> NonNull<Port> {
        self.request().port
    }

    /// The shard that cuts, counts and completes it.
    pub fn home(&self) -> ShardId {
        self.request().home
    }

    /// The client's memory.
    pub fn memory(&self) -> &[iovec] {
        let request = self.request();
        if request.iovs.is_null() {
            return &[];
        }
        // SAFETY: the list belongs to the bdev_io and does not change until it is completed.
        unsafe { core::slice::from_raw_parts(request.iovs, request.iovcnt) }
    }

    /// Byte `offset` of block `lbn`, counted from the start of the request; none when it lies before the request.
    pub fn offset_of(&self, lbn: Lbn, offset: u16) -> Option<u64> {
        (lbn.0 * BLOCK_SIZE as u64 + u64::from(offset)).checked_sub(self.request().start)
    }

    // The following is for the home shard alone.

    /// The next piece, which is now under way; none when there is no more or [`MAX_PIECES`] are.
    pub fn next_piece(&self) -> Option<Piece<Client>> {
        let request = self.request();
        let Command::Range(operation) = request.command else { return None };
        if request.under_way.get() >= MAX_PIECES {
            return None;
        }
        let (extent, next) = pieces::first_piece(request.next.get(), request.end)?;
        request.next.set(next);
        request.under_way.set(request.under_way.get() + 1);
        Some(Piece {
            client: *self,
            operation,
            lbn: extent.lbn,
            blocks: extent.blocks,
            skip: extent.skip,
            cut: extent.cut,
        })
    }

    /// First block of what is in no piece yet.
    pub fn next_lbn(&self) -> Lbn {
        Lbn(self.request().next.get() / BLOCK_SIZE as u64)
    }

    /// Counts a flush piece as under way.
    pub fn flush_piece(&self) -> Piece<Client> {
        let request = self.request();
        request.under_way.set(request.under_way.get() + 1);
        Piece { client: *self, operation: Operation::Flush, lbn: Lbn(0), blocks: 0, skip: 0, cut: 0 }
    }

    /// Counts a piece as done. The first error is the request's.
    pub fn piece_done(&self, result: Result<(), RequestError>) {
        let request = self.request();
        let under_way = request.under_way.get();
        assert!(under_way > 0, "a piece of a request was answered twice");
        request.under_way.set(under_way - 1);
        if let Err(error) = result {
            self.fail(outcome_of(error));
        }
    }

    /// Notes a failure, unless there is one already; pieces not yet cut are given up.
    pub fn fail(&self, outcome: Outcome) {
        let request = self.request();
        if request.outcome.get() == Outcome::Success {
            request.outcome.set(outcome);
        }
        request.next.set(request.end);
    }

    /// True when no piece is under way.
    pub fn is_settled(&self) -> bool {
        self.request().under_way.get() == 0
    }

    /// True when there is more to cut.
    pub fn has_more(&self) -> bool {
        self.request().next.get() < self.request().end
    }

    /// How far it is.
    pub fn stage(&self) -> Stage {
        self.request().stage.get()
    }

    /// Notes how far it is.
    pub fn set_stage(&self, stage: Stage) {
        self.request().stage.set(stage);
    }

    /// Who runs its command on the base.
    pub fn transfers(&self) -> *const Transfers {
        self.request().transfers.get()
    }

    /// Notes who runs its command on the base.
    pub fn set_transfers(&self, transfers: *const Transfers) {
        self.request().transfers.set(transfers);
    }

    /// Whether it stands in the home's list of requests that can go on.
    pub fn is_queued(&self) -> bool {
        self.request().queued.get()
    }

    /// Notes whether it stands in that list.
    pub fn set_queued(&self, queued: bool) {
        self.request().queued.set(queued);
    }

    /// Answers the client. The handle, and every copy of it, is dead afterwards.
    ///
    /// # Safety
    /// On the thread of the request's channel, once, when no piece is under way and the request is in no list.
    pub unsafe fn complete(self) {
        debug_assert!(self.is_settled());
        let bdev_io = self.request().bdev_io.as_ptr();
        let outcome = self.request().outcome.get();
        // SAFETY: the bdev_io was not completed yet (the caller), and this is its thread.
        unsafe {
            match outcome {
                Outcome::Success => {
                    ffi::spdk_bdev_io_complete(bdev_io, ffi::spdk_bdev_io_status::SPDK_BDEV_IO_STATUS_SUCCESS);
                }
                Outcome::Nvme(kind, code) => ffi::spdk_bdev_io_complete_nvme_status(bdev_io, 0, kind, code),
                Outcome::Failed => {
                    ffi::spdk_bdev_io_complete(bdev_io, ffi::spdk_bdev_io_status::SPDK_BDEV_IO_STATUS_FAILED);
                }
            }
        }
    }
}

const GENERIC: c_int = ffi::spdk_nvme_status_code_type::SPDK_NVME_SCT_GENERIC as c_int;
const MEDIA: c_int = ffi::spdk_nvme_status_code_type::SPDK_NVME_SCT_MEDIA_ERROR as c_int;

/// What the client is told of an engine's error.
pub fn outcome_of(error: RequestError) -> Outcome {
    use ffi::{spdk_nvme_generic_command_status_code as generic, spdk_nvme_media_error_status_code as media};
    match error {
        RequestError::NoSpace => Outcome::Nvme(GENERIC, generic::SPDK_NVME_SC_CAPACITY_EXCEEDED as c_int),
        RequestError::Corrupt => Outcome::Nvme(MEDIA, media::SPDK_NVME_SC_UNRECOVERED_READ_ERROR as c_int),
        RequestError::OutOfRange => Outcome::Nvme(GENERIC, generic::SPDK_NVME_SC_LBA_OUT_OF_RANGE as c_int),
        RequestError::Io | RequestError::Lock | RequestError::ShuttingDown => Outcome::Failed,
    }
}

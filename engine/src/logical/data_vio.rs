// SPDX-License-Identifier: BSD-3-Clause

//! One block of a client's request in the logical zone.
//!
//! The stages, and the events that move a data_vio from one to the next:
//!
//! ```text
//!             lock granted           leaf page there              bounce block free
//!  LbnLock ---------------> MapPage ---------------> Mapped ----------------------> Buffered
//!                                                       |  no data needed              |
//!                                                       |                              | read, or partial write
//!                                                       |                              v over stored data
//!                                                       |                           Reading -- client's --> finished
//!                                                       |                              |
//!                                                       |              rest of block v          zero block
//!                                                       |                        Fingerprinting ------------+
//!                                                       |           client's part copied                    |
//!                                                       |                              v                    |
//!                                                       |                          (NewPage)                |
//!                                                       |                       hashed |                    |
//!                                                       |                              v                    |
//!                                                       |                          Deduping -- failed ------|-> finished
//!                                                       |                              | Remap              |
//!                                                       |                              v                    |
//!                                                       +------------------------> Journaling <-------------+
//!                                                                                      | entry committed,
//!                                                                                      v map updated
//!                                                                 no new block --- Incrementing -- done --> finished
//! ```
//!
//! "Buffered" is not a [`Stage`] of its own: the data_vio is at [`Stage::Mapped`] and has its bounce block. A data_vio
//! is at NewPage only if there was no leaf page: the page is created when it is known that the block is not zero.
//!
//! Differs from dm-vdo: a data_vio allocates nothing; the hash zone allocates once it knows that the block must be
//! stored.

use super::lbn_lock::{Access, Locker};
use crate::arena::NONE;
use crate::block_map::Frame;
use crate::env::Part;
use crate::format::{Mapped, Mapping};
use crate::message::MemberRef;
use crate::request::Operation;
use crate::units::{Lbn, Pbn};
use crate::wait_queue::Linked;

/// Stage of a data_vio; see the picture in the module's documentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Waits for its LBN lock.
    LbnLock,
    /// Holds the lock; waits for its leaf page.
    MapPage,
    /// Knows its mapping; may wait for a bounce block.
    Mapped,
    /// A read from the base is in flight.
    Reading,
    /// Waits for the next batch of fingerprints, which copies the client's bytes.
    Fingerprinting,
    /// Its content is copied and is not all zeros; waits for a leaf page to be created.
    NewPage,
    /// In the hash zone.
    Deduping,
    /// Waits for room in the recovery journal, or for its entry to be committed.
    Journaling,
    /// The physical zone increments the reference count: another shard's zone, or one whose slab journal is busy.
    Incrementing,
}

/// A data_vio's role in a swap ([`crate::swapper`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// None.
    None,
    /// A client's write that found no space. It waits for its swap and holds nothing.
    Parked,
    /// A client's write whose swap has started: it locks its block and then waits for the other blocks.
    Requester {
        /// The swap that serves the write.
        swap: u32,
        /// The compressed block being swapped.
        pbn: Pbn,
    },
    /// Holds a block for the swap of the compressed block in which it is stored.
    Neighbour {
        /// The swap that needs the block.
        swap: u32,
        /// The compressed block being swapped.
        pbn: Pbn,
    },
    /// A client's write whose content the swapper has, or does not need. If the write finds no space now, there is
    /// none.
    Done,
}

/// One block of a request, or of an internal operation.
#[derive(Debug, Clone)]
pub struct DataVio<Buf> {
    pub stage: Stage,
    /// The operation; never [`Operation::Flush`].
    pub operation: Operation,
    pub lbn: Lbn,
    /// The part of the block that the client addresses.
    pub part: Part,
    /// The piece that the block belongs to, in the zone's pool of pieces; [`NONE`] for an internal operation.
    pub piece: u32,
    /// The bounce block with the content, released at the end.
    pub data: Option<Buf>,
    /// The leaf page, held until the mapping has changed; `None` for reads, and where there is no page.
    pub page: Option<Frame>,
    /// The mapping in force when the lock was granted; it stays in force until this data_vio changes it.
    pub old: Mapping,
    /// The mapping to be recorded.
    pub new: Mapping,
    /// Check code of the content.
    pub check: u32,
    /// A request waits for the LBN; the hash zone knows this, or is told together with the block.
    pub awaited: bool,
    /// Role in a swap.
    pub role: Role,
    /// The hash-lock member, or the swap, that waits for the result of the remap.
    pub member: Option<MemberRef>,
    /// Link of the wait queue.
    pub next: u32,
}

impl<Buf> DataVio<Buf> {
    /// A data_vio at its first stage.
    pub fn new(operation: Operation, lbn: Lbn, part: Part, piece: u32) -> DataVio<Buf> {
        DataVio {
            stage: Stage::LbnLock,
            operation,
            lbn,
            part,
            piece,
            data: None,
            page: None,
            old: Mapping::UNMAPPED,
            new: Mapping::UNMAPPED,
            check: 0,
            awaited: false,
            role: Role::None,
            member: None,
            next: NONE,
        }
    }
}

impl<Buf> DataVio<Buf> {
    /// A data_vio that relocates a block if it is stored at `location` ([`crate::packing::relocator`]).
    pub fn relocation(lbn: Lbn, location: Mapped) -> DataVio<Buf> {
        DataVio { new: Mapping::new(location, 0), ..DataVio::new(Operation::Write, lbn, Part::WHOLE, NONE) }
    }

    /// A data_vio that holds a block for a swap if it is stored in `pbn`.
    pub fn neighbour(lbn: Lbn, swap: u32, pbn: Pbn) -> DataVio<Buf> {
        let role = Role::Neighbour { swap, pbn };
        DataVio { role, ..DataVio::new(Operation::Write, lbn, Part::WHOLE, NONE) }
    }

    /// Whether it is an internal operation.
    pub const fn is_own(&self) -> bool {
        self.piece == NONE
    }

    /// Whether it is an internal operation that relocates a block.
    pub const fn is_relocation(&self) -> bool {
        self.is_own() && matches!(self.role, Role::None)
    }
}

impl<Buf> Linked for DataVio<Buf> {
    fn link(&mut self) -> &mut u32 {
        &mut self.next
    }

    fn next(&self) -> u32 {
        self.next
    }
}

impl<Buf> Locker for DataVio<Buf> {
    fn access(&self) -> Access {
        match self.operation {
            Operation::Read => Access::Shared,
            _ => Access::Exclusive,
        }
    }
}

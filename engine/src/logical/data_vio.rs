// SPDX-License-Identifier: BSD-3-Clause

//! One block of a client's request on its way through the logical zone.
//!
//! The stages, and what moves a data_vio from one to the next:
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
//! A data_vio is at NewPage only if there was no leaf page: one is made when it is known that the block is not zero.
//!
//! Differs from dm-vdo: a data_vio allocates nothing; the hash zone does when it knows that the block must be stored.

use super::lbn_lock::{Access, Locker};
use crate::arena::NONE;
use crate::block_map::Frame;
use crate::env::Part;
use crate::format::{Mapped, Mapping};
use crate::message::MemberRef;
use crate::request::Operation;
use crate::units::{Lbn, Pbn};
use crate::wait_queue::Linked;

/// Where a data_vio is; see the picture in the module's documentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Waits for its LBN lock.
    LbnLock,
    /// Holds the lock; waits for its leaf page.
    MapPage,
    /// Knows its mapping; may wait for a bounce block.
    Mapped,
    /// A transfer from the base is under way.
    Reading,
    /// Waits for the next batch of fingerprints, in which the client's bytes are taken.
    Fingerprinting,
    /// Its content is taken, and no zeros; waits for a leaf page to be made.
    NewPage,
    /// The hash zone has it.
    Deduping,
    /// Waits for room in the recovery journal, or for its entry to be committed.
    Journaling,
    /// The physical zone raises the reference count: another shard's, or one whose slab journal is busy.
    Incrementing,
}

/// What a data_vio has to do with a swap ([`crate::swapper`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Nothing.
    None,
    /// A client's write that found no space. It waits for its swap, and holds nothing.
    Parked,
    /// A client's write whose swap has begun: it is to lock its block, and then wait for the others.
    Requester {
        /// The swap.
        swap: u32,
        /// The compressed block.
        pbn: Pbn,
    },
    /// It holds a block for the swap of the compressed block in which it is stored.
    Neighbour {
        /// The swap.
        swap: u32,
        /// The compressed block.
        pbn: Pbn,
    },
    /// A client's write whose content the swapper has, or does not need. If that finds no space, there is none.
    Done,
}

/// One block of a request.
#[derive(Debug, Clone)]
pub struct DataVio<Buf> {
    /// Where it is.
    pub stage: Stage,
    /// What to do; never [`Operation::Flush`].
    pub operation: Operation,
    /// The block.
    pub lbn: Lbn,
    /// The part of the block that the client means.
    pub part: Part,
    /// The piece that it belongs to, in the zone's pool of pieces; [`NONE`] for a relocation.
    pub piece: u32,
    /// The bounce block with the block's content, to be given back.
    pub data: Option<Buf>,
    /// Its leaf page, held until the mapping has changed; none for reads, and where there is no page.
    pub page: Option<Frame>,
    /// The mapping that was in force when the lock was granted; it stays so until this data_vio changes it.
    pub old: Mapping,
    /// The mapping to be recorded.
    pub new: Mapping,
    /// Check code of the content.
    pub check: u32,
    /// Somebody waits for the LBN; its hash zone knows, or is told with the block.
    pub awaited: bool,
    /// What it has to do with a swap.
    pub role: Role,
    /// The hash-lock member, or the swap, that awaits the outcome of the remap.
    pub member: Option<MemberRef>,
    /// Link for waiting.
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
    /// A data_vio that stores a block in another place if it is stored at `location` ([`crate::packing::relocator`]).
    pub fn relocation(lbn: Lbn, location: Mapped) -> DataVio<Buf> {
        DataVio { new: Mapping::new(location, 0), ..DataVio::new(Operation::Write, lbn, Part::WHOLE, NONE) }
    }

    /// A data_vio that holds a block for a swap, if it is stored in `pbn`.
    pub fn neighbour(lbn: Lbn, swap: u32, pbn: Pbn) -> DataVio<Buf> {
        let role = Role::Neighbour { swap, pbn };
        DataVio { role, ..DataVio::new(Operation::Write, lbn, Part::WHOLE, NONE) }
    }

    /// Whether it is the volume's own.
    pub const fn is_own(&self) -> bool {
        self.piece == NONE
    }

    /// Whether it is the volume's own, to store a block in another place.
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

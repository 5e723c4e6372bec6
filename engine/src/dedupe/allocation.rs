// SPDX-License-Identifier: BSD-3-Clause

//! Finding a free block for a new copy.
//!
//! ```text
//!  each zone, own first -> each zone, waiting for its scrubber -> a loan, where the old block is -> no space
//!        ^                          | waited in vain       | waited in vain     | lends nothing
//!        `--------------------------+----------------------'                    `-> each other zone -> no space
//! ```
//! A member that has waited in vain in one zone asks all zones again: others may have free blocks by now.
//! `slabs::reserve` describes what a zone keeps in reserve and for whom; a write that replaces the only reference to a
//! block is lent a block. A compressed block has several owners: a loan against the old block of any of them will do.

use super::member::{Member, Packing, Search};
use super::HashZone;
use crate::context::{Context, Owner};
use crate::env::{Direction, Env, Event};
use crate::error::RequestError;
use crate::message::{Allocation, Claim, MemberRef, Message};
use crate::slabs::Requester;
use crate::units::{Pbn, ShardId};

/// Rounds over the other zones for a loan that the old block's own zone cannot give. A loan elsewhere may be returned
/// between two questions; the second round finds it.
const ROUNDS_ABROAD: u16 = 2;

impl<Buf: Copy + std::fmt::Debug> HashZone<Buf> {
    /// Stores a member's content uncompressed.
    pub(super) fn write_plain<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>, member: u32) {
        self.members[member].search = Search::Round(0);
        self.allocate(cx, member);
    }

    /// Asks the next zone in the search for a block.
    fn allocate<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>, member: u32) {
        let shards = cx.geometry.shards() as u16;
        let (zone, claim, wait) = match self.members[member].search {
            Search::Round(tried) if tried < 2 * shards => {
                (ShardId((cx.id.0 + tried) % shards), self.claim(member), tried >= shards)
            }
            Search::Round(_) => return self.ask_for_loan(cx, member, 0),
            Search::Loan(owner) => return self.ask_for_loan(cx, member, owner),
            Search::Abroad { owner, tried } if tried < ROUNDS_ABROAD * (shards - 1) => {
                let old = self.old_block(member, owner).expect("a loan is asked for in place of a block");
                let home = cx.geometry.physical_shard(old).map_or(0, |home| home.0);
                (ShardId((home + 1 + tried % (shards - 1)) % shards), Claim::Abroad(old), true)
            }
            Search::Abroad { owner, .. } => return self.ask_for_loan(cx, member, owner + 1),
        };
        self.ask(cx, member, zone, (claim, wait));
    }

    /// Asks one zone for a block.
    fn ask<E: Env<Buf = Buf>>(
        &mut self,
        cx: &mut Context<'_, E>,
        member: u32,
        zone: ShardId,
        (claim, wait): (Claim, bool),
    ) {
        let reference = MemberRef { shard: cx.id, index: member };
        if zone != cx.id {
            return cx.send(zone, Message::Allocate { member: reference, claim, wait });
        }
        match cx.allocate(Requester::Data(reference), claim, wait) {
            Allocation::Waiting => {}
            answer => self.allocated(cx, member, answer),
        }
    }

    /// The claim of a member's block if nothing is known about the block that it replaces.
    fn claim(&self, member: u32) -> Claim {
        let is_own = |owner: &u32| self.members[*owner].relocating;
        match self.members[member].packing {
            Packing::In(container) if self.packing.owners(container).as_slice().iter().any(is_own) => Claim::Upkeep,
            _ => Claim::New,
        }
    }

    /// The block that owner number `owner` of the content that the member writes replaces.
    fn old_block(&self, member: u32, owner: u8) -> Option<Pbn> {
        let owner = match self.members[member].packing {
            Packing::In(container) => *self.packing.owners(container).as_slice().get(usize::from(owner))?,
            _ => member,
        };
        let old = self.members[owner].old;
        old.has_block().then(|| old.pbn())
    }

    /// Every zone is full: asks for a loan against the block that owner `first` replaces, or the next owner that
    /// replaces one.
    fn ask_for_loan<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>, member: u32, first: u8) {
        let owners = match self.members[member].packing {
            Packing::In(container) => self.packing.owners(container).as_slice().len() as u8,
            _ => 1,
        };
        for owner in first..owners {
            let Some(old) = self.old_block(member, owner) else { continue };
            let Some(zone) = cx.geometry.physical_shard(old) else { continue };
            self.members[member].search = Search::Loan(owner);
            return self.ask(cx, member, zone, (Claim::Instead(old), true));
        }
        self.not_allocated(cx, member);
    }

    /// The answer of a physical zone: a block or none.
    pub fn allocated<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>, member: u32, answer: Allocation) {
        let search = &mut self.members[member].search;
        match (answer, *search) {
            (Allocation::Block(pbn), _) => return self.write_to(cx, member, pbn),
            (Allocation::ReadOnly, _) => return self.unwritten(cx, member, RequestError::ReadOnly),
            (Allocation::Again, _) => *search = Search::Round(0),
            (Allocation::Elsewhere, Search::Loan(owner)) if cx.geometry.shards() > 1 => {
                *search = Search::Abroad { owner, tried: 0 };
            }
            (_, Search::Round(tried)) => *search = Search::Round(tried + 1),
            (_, Search::Loan(owner)) => *search = Search::Loan(owner + 1),
            (_, Search::Abroad { owner, tried }) => *search = Search::Abroad { owner, tried: tried + 1 },
        }
        self.allocate(cx, member);
    }

    /// Writes a member's content to its block.
    fn write_to<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>, member: u32, pbn: Pbn) {
        let Member { data, packing, search, .. } = self.members[member];
        if matches!(search, Search::Round(_)) && std::mem::replace(&mut self.full, false) {
            cx.report(Event::SpaceReturned);
        }
        self.members[member].allocation = Some(pbn);
        cx.stats.bios_out_write += 1;
        match packing {
            Packing::In(container) => self.write_container(cx, container, pbn),
            _ => cx.io.enqueue(Direction::Write, pbn, data, Owner::Write(member)),
        }
    }

    /// No zone has a block for a member.
    fn not_allocated<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>, member: u32) {
        if cx.is_read_only() {
            return self.unwritten(cx, member, RequestError::ReadOnly);
        }
        if !std::mem::replace(&mut self.full, true) {
            cx.report(Event::OutOfSpace);
        }
        self.unwritten(cx, member, RequestError::NoSpace);
    }

    /// A member's content cannot be written.
    fn unwritten<E: Env<Buf = Buf>>(&mut self, cx: &mut Context<'_, E>, member: u32, error: RequestError) {
        match self.members[member].packing {
            Packing::In(container) => self.container_failed(cx, container, error),
            _ => self.fail(cx, member, error),
        }
    }
}

// SPDX-License-Identifier: BSD-3-Clause

//! What the zones of a shard share while one of them runs.
//!
//! Logical and hash zone hand work to each other through the queues of [`Handoff`], never by a call, so neither is ever
//! entered from inside the other. The physical zone and the I/O submitter answer at once and are called. This module
//! also decides between call, queue and message: by where the other end lives, never by load, so that order between two
//! parties is kept.

use std::collections::VecDeque;

use crate::env::{Env, Event};
use crate::error::RequestError;
use crate::hash::{Fingerprint, Fingerprinter};
use crate::io::Submitter;
use crate::logical::Mapped;
use crate::media::journal_record::Point;
use crate::message::{MemberRef, Message, VioRef};
use crate::physical::{PhysicalError, PhysicalZone, ReadLock};
use crate::report::Reporter;
use crate::units::{Pbn, ShardId};
use crate::volume::{Geometry, Statistics};

/// Who gets the outcome of a transfer.
#[derive(Debug, Clone, Copy)]
pub enum Owner {
    /// A data_vio that reads its block.
    Vio(u32),
    /// A hash-lock member that writes its block.
    Write(u32),
    /// A hash-lock member that reads a candidate to compare.
    Verify(u32),
}

/// A block for the hash zone.
#[derive(Debug, Clone, Copy)]
pub struct Arrival<Buf> {
    /// Who asks.
    pub vio: VioRef,
    /// The content.
    pub data: Buf,
    /// Its fingerprint.
    pub fingerprint: Fingerprint,
}

/// News for the logical zone.
#[derive(Debug, Clone, Copy)]
pub enum LogicalEvent {
    /// See [`Message::Remap`].
    Remap {
        /// The data_vio.
        vio: u32,
        /// The member that waits for the outcome.
        member: MemberRef,
        /// Where the content is.
        location: Mapped,
    },
    /// See [`Message::WriteFailed`].
    WriteFailed {
        /// The data_vio.
        vio: u32,
        /// Why.
        error: RequestError,
    },
}

/// The queues between the zones of one shard.
#[derive(Debug)]
pub struct Handoff<Buf> {
    /// Blocks that wait for the hash zone.
    pub arrivals: VecDeque<Arrival<Buf>>,
    /// Outcomes of remaps that wait for the hash zone.
    pub finished: VecDeque<(u32, Result<(), RequestError>)>,
    /// News that waits for the logical zone.
    pub to_logical: VecDeque<LogicalEvent>,
}

impl<Buf> Handoff<Buf> {
    /// Queues with room for `capacity` entries each.
    pub fn new(capacity: usize) -> Handoff<Buf> {
        Handoff {
            arrivals: VecDeque::with_capacity(capacity),
            finished: VecDeque::with_capacity(capacity),
            to_logical: VecDeque::with_capacity(capacity),
        }
    }

    /// True when nothing waits.
    pub fn is_empty(&self) -> bool {
        self.arrivals.is_empty() && self.finished.is_empty() && self.to_logical.is_empty()
    }
}

/// The parts of a shard that its zones use, and the world.
pub struct Context<'a, E: Env> {
    /// The world.
    pub env: &'a mut E,
    /// This shard.
    pub id: ShardId,
    /// The volume's layout.
    pub geometry: &'a Geometry,
    /// The volume's fingerprints.
    pub fingerprinter: &'a Fingerprinter,
    /// This shard's physical zone.
    pub physical: &'a mut PhysicalZone,
    /// This shard's I/O submitter.
    pub io: &'a mut Submitter<E::Buf, Owner>,
    /// Queues between the zones.
    pub handoff: &'a mut Handoff<E::Buf>,
    /// The operator's log.
    pub reporter: &'a mut Reporter,
    /// What the shard counts.
    pub stats: &'a mut Statistics,
}

impl<E: Env> Context<'_, E> {
    /// Sends a message to another shard.
    pub fn send(&mut self, to: ShardId, message: Message<E::Buf>) {
        debug_assert_ne!(to, self.id, "a shard does not send messages to itself");
        self.stats.messages_sent += 1;
        self.env.send(to, message);
    }

    /// Reports an event.
    pub fn report(&mut self, event: Event) {
        self.reporter.report(self.env, event);
    }

    /// Counts and reports an error of the physical zone, and names what the client is told.
    pub fn physical_error(&mut self, error: &PhysicalError) -> RequestError {
        self.stats.lock_error_count += 1;
        let (pbn, operation) = error.object();
        self.report(Event::Inconsistent { pbn, operation });
        RequestError::Lock
    }

    /// Logical to hash: hands a block over.
    pub fn dedupe(&mut self, vio: u32, data: E::Buf, fingerprint: Fingerprint) {
        let vio = VioRef { shard: self.id, index: vio };
        let to = self.geometry.hash_shard(fingerprint.first_byte());
        if to == self.id {
            self.handoff.arrivals.push_back(Arrival { vio, data, fingerprint });
        } else {
            self.send(to, Message::Dedupe { vio, data, fingerprint });
        }
    }

    /// Logical to hash: tells the outcome of a remap.
    pub fn finished(&mut self, member: MemberRef, result: Result<(), RequestError>) {
        if member.shard == self.id {
            self.handoff.finished.push_back((member.index, result));
        } else {
            self.send(member.shard, Message::Finished { member: member.index, result });
        }
    }

    /// Hash to logical: asks for a remap.
    pub fn remap(&mut self, vio: VioRef, member: u32, location: Mapped) {
        let member = MemberRef { shard: self.id, index: member };
        if vio.shard == self.id {
            self.handoff.to_logical.push_back(LogicalEvent::Remap { vio: vio.index, member, location });
        } else {
            self.send(vio.shard, Message::Remap { vio: vio.index, member, location });
        }
    }

    /// Hash to logical: a block could not be stored.
    pub fn write_failed(&mut self, vio: VioRef, error: RequestError) {
        if vio.shard == self.id {
            self.handoff.to_logical.push_back(LogicalEvent::WriteFailed { vio: vio.index, error });
        } else {
            self.send(vio.shard, Message::WriteFailed { vio: vio.index, error });
        }
    }

    /// Logical to physical: one more reference. None when the answer will come as a message.
    pub fn increment(&mut self, vio: u32, pbn: Pbn) -> Option<Result<(), RequestError>> {
        match self.owner(pbn) {
            Err(error) => Some(Err(error)),
            Ok(owner) if owner == self.id => {
                Some(self.physical.increment(pbn).map_err(|error| self.physical_error(&error)))
            }
            Ok(owner) => {
                let vio = VioRef { shard: self.id, index: vio };
                self.send(owner, Message::Increment { vio, pbn, point: Point::default() });
                None
            }
        }
    }

    /// Logical to physical: `count` blocks of one slab lose a reference each.
    pub fn decrement(&mut self, first: Pbn, count: u32) {
        match self.owner(first) {
            Err(_) => {}
            Ok(owner) if owner == self.id => {
                if let Err(error) = self.physical.decrement(first, count) {
                    self.physical_error(&error);
                }
            }
            Ok(owner) => self.send(owner, Message::Decrement { first, count, point: Point::default() }),
        }
    }

    /// A read lock on a block of this shard's own, with the increments leased with it; none when it is not to be had.
    pub fn lock_for_read(&mut self, pbn: Pbn) -> Option<u8> {
        match self.physical.lock_for_read(pbn) {
            Ok(ReadLock::Granted { lease }) => Some(lease),
            Ok(ReadLock::Refused) => None,
            Err(error) => {
                self.physical_error(&error);
                None
            }
        }
    }

    /// Hash to physical: one holder of a lock lets go. True when it is done, false when `waiting` will be told.
    pub fn release(&mut self, pbn: Pbn, unused: u8, waiting: Option<u32>) -> bool {
        match self.owner(pbn) {
            Err(_) => true,
            Ok(owner) if owner == self.id => {
                if let Err(error) = self.physical.release(pbn, unused) {
                    self.physical_error(&error);
                }
                true
            }
            Ok(owner) => {
                let waiting = waiting.map(|index| MemberRef { shard: self.id, index });
                self.send(owner, Message::Release { pbn, unused, waiting });
                waiting.is_none()
            }
        }
    }

    /// The shard that owns a block which must be a data block.
    fn owner(&mut self, pbn: Pbn) -> Result<ShardId, RequestError> {
        match self.geometry.physical_shard(pbn) {
            Some(owner) => Ok(owner),
            None => Err(self.physical_error(&PhysicalError::NotOurs { pbn })),
        }
    }
}

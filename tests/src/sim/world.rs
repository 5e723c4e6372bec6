// SPDX-License-Identifier: BSD-3-Clause

//! The world of the shards of a simulation: [`engine::Env`] over virtual memory, disk, clock and channels.
//!
//! Every call of the engine is checked here, and every answer is judged by the model before the client gets its memory
//! back. [`World::failure`] keeps the first thing that is wrong; the scheduler stops there.

use std::collections::VecDeque;
use std::fmt::Write as _;

use engine::format::Geometry;
use engine::request::{Operation, Piece};
use engine::{
    Block, Env, Event, Lbn, Message, Part, ReadOnlyReason, RequestError, Run, RunToken, SectionAt, ShardId, SECTOR_SIZE,
};
use mpool::units::Nanos;

use super::base::Base;
use super::chapters::Chapters;
use super::client::{Client, Pieces, Request, RequestId};
use super::counts::WorldCounts;
use super::digest::{number_of, Digest, Happening};
use super::disk::Disk;
use super::faults::Faults;
use super::memory::{Buf, Memory, Owner};
use super::model::{Kind, Model, SectorMask};
use super::sabotage::Sabotage;

/// An answer "no space" whose truth the scheduler has to examine.
#[derive(Debug, Clone, Copy)]
pub struct SpaceClaim {
    /// Whom it was given to.
    pub client: Client,
    /// Blocks that could have been in use meanwhile by requests that were in flight.
    pub slack: u64,
}

/// Everything but the shards.
#[derive(Debug)]
pub struct World<D = Disk> {
    /// Layout of the volume.
    pub geometry: Geometry,
    /// The clock, in nanoseconds.
    pub clock: u64,
    /// Number of the present event.
    pub now: u32,
    /// The shard that runs.
    pub current: ShardId,
    /// Memory.
    pub memory: Memory,
    /// The base bdevs.
    pub disk: D,
    /// What goes wrong.
    pub faults: Faults,
    /// The oracle.
    pub model: Model,
    /// Clients' requests.
    pub pieces: Pieces,
    /// Messages under way, by sender and receiver.
    channels: Vec<VecDeque<Message<Buf>>>,
    /// Channels that are not empty.
    pub busy_channels: Vec<(ShardId, ShardId)>,
    /// The history of the index, if there is one.
    pub chapters: Option<Chapters>,
    /// Armed timers, by shard.
    pub timers: Vec<Option<u64>>,
    /// Messages that fit a channel before it reports no room.
    pub room: usize,
    /// Overwrites of the only copy of a block never want for space.
    pub overwrites_go_on: bool,
    /// A shard was full, or may have been: a write that found no space may take its content once more.
    pub was_full: bool,
    /// The host has ended writing.
    pub told_read_only: bool,
    /// The host has aborted sweeps.
    pub told_to_abort: bool,
    /// Queries of the index that timed out, as each report said.
    pub queries_timed_out: Vec<u64>,
    /// Why the volume takes no writes any more, as its shards reported first.
    pub read_only: Option<ReadOnlyReason>,
    /// Answers to examine.
    pub space_claims: Vec<SpaceClaim>,
    /// What is wrong.
    pub failure: Option<String>,
    /// A defect to put in on purpose.
    pub sabotage: Option<Sabotage>,
    /// Totals.
    pub counts: WorldCounts,
    /// Prints each event.
    pub trace: bool,
    /// Digest of all events.
    pub digest: Digest,
}

/// Prints a line of the trace, if there is one.
macro_rules! trace {
    ($world:expr, $($argument:tt)*) => {
        if $world.trace {
            println!("{:>6} {:?}: {}", $world.now, $world.current, format_args!($($argument)*));
        }
    };
}
pub(crate) use trace;

impl<D: Base> World<D> {
    /// A world without clients.
    #[must_use]
    pub fn new(geometry: Geometry, disk: D, faults: Faults) -> World<D> {
        let shards = geometry.shards();
        World {
            geometry,
            clock: 1_000_000,
            now: 1,
            current: ShardId(0),
            memory: Memory::default(),
            disk,
            faults,
            model: Model::new(geometry.logical_blocks().0),
            pieces: Pieces::default(),
            channels: vec![VecDeque::new(); shards * shards],
            busy_channels: Vec::new(),
            chapters: None,
            timers: vec![None; shards],
            room: usize::MAX,
            overwrites_go_on: false,
            was_full: false,
            told_read_only: false,
            told_to_abort: false,
            queries_timed_out: Vec::new(),
            read_only: None,
            space_claims: Vec::new(),
            failure: None,
            sabotage: None,
            counts: WorldCounts::default(),
            trace: false,
            digest: Digest::default(),
        }
    }

    /// Notes something that is wrong; only the first counts.
    pub fn fail(&mut self, what: String) {
        trace!(self, "FAILURE {what}");
        self.failure.get_or_insert(what);
    }

    /// Adds an event to the digest of the run.
    pub fn record(&mut self, what: Happening, detail: u64) {
        self.digest.add(self.now, what, detail);
    }

    fn channel(&self, from: ShardId, to: ShardId) -> usize {
        from.index() * self.geometry.shards() + to.index()
    }

    /// The message that arrives next from one shard at another.
    #[must_use]
    pub fn next_message(&self, from: ShardId, to: ShardId) -> Option<&Message<Buf>> {
        self.channels[self.channel(from, to)].front()
    }

    /// All messages under way from one shard to another.
    pub fn messages(&self, from: ShardId, to: ShardId) -> impl Iterator<Item = &Message<Buf>> {
        self.channels[self.channel(from, to)].iter()
    }

    /// Takes the next message of a busy channel.
    pub fn take_message(&mut self, from: ShardId, to: ShardId) -> Message<Buf> {
        let channel = self.channel(from, to);
        let message = self.channels[channel].pop_front().expect("the channel is in the list of busy ones");
        if self.channels[channel].is_empty() {
            self.busy_channels.retain(|pair| *pair != (from, to));
        }
        self.record(Happening::Message, (u64::from(from.0) << 16) | u64::from(to.0));
        trace!(self, "<- {from:?} {message:?}");
        message
    }

    /// Cuts a request into pieces; the caller queues them at their shards.
    pub fn begin(&mut self, request: &Request) -> (RequestId, Vec<(ShardId, Client)>) {
        self.counts.requests += 1;
        let (id, cut) = self.pieces.begin(request, &self.geometry, &mut self.memory);
        self.counts.pieces += cut.len() as u64;
        trace!(self, "{id:?} {request:?}");
        (id, cut)
    }

    /// A piece is about to be handed to its shard.
    pub fn deliver(&mut self, client: Client) -> Piece<Client> {
        let now = self.now;
        let piece = self.pieces.deliver(client, now);
        let blocks = u64::from(piece.blocks);
        self.record(Happening::Piece, piece.lbn.0 << 20 | blocks << 3 | piece.operation as u64);
        self.counts.blocks += if piece.operation == Operation::Flush { 0 } else { blocks };
        trace!(self, "accepts {piece:?}");
        if piece.operation == Operation::Flush || self.pieces.get(client).beyond_end {
            return piece;
        }
        for index in 0..piece.blocks {
            let lbn = piece.lbn.plus(u64::from(index));
            match piece.operation {
                Operation::Read => self.model.read_starts(lbn),
                operation => {
                    let block = self.pieces.get(client).block(index);
                    let kind = Kind::By(operation);
                    self.model.write_starts(lbn, now, kind, block.sectors, &block.tokens);
                }
            }
        }
        piece
    }

    /// What is not over yet, for the operator of a stuck simulation.
    #[must_use]
    pub fn dump(&self) -> String {
        let mut text = String::new();
        for line in self.pieces.dump() {
            let _ = writeln!(text, "  {line}");
        }
        for line in self.disk.dump() {
            let _ = writeln!(text, "  {line}");
        }
        for (from, to) in &self.busy_channels {
            let _ = writeln!(text, "  {from:?} to {to:?}: {:?}", self.channels[self.channel(*from, *to)]);
        }
        for (shard, timer) in self.timers.iter().enumerate().filter(|(_, timer)| timer.is_some()) {
            let _ = writeln!(text, "  timer of shard {shard} at {timer:?}, now {}", self.clock);
        }
        text
    }

    fn check_copy(&mut self, client: Client, lbn: Lbn, part: Part, reading: bool) {
        let wrong = match self.pieces.delivered(client) {
            None => Some("a piece that is over".to_string()),
            Some(state) if (state.operation == Operation::Read) != reading => Some(format!("a {:?}", state.operation)),
            Some(state) if !state.contains(lbn, part) => Some(format!("{part:?} outside of {state:?}")),
            Some(_) => None,
        };
        if let Some(wrong) = wrong {
            self.fail(format!("memory of {client:?} {lbn} is used for {wrong}"));
        }
    }

    pub(super) fn client_buf(&self, client: Client, lbn: Lbn) -> Buf {
        let state = self.pieces.get(client);
        state.block_at(lbn).buf.expect("check_copy() admits only reads and writes")
    }

    fn check_own(&mut self, buf: Buf) {
        let owner = self.memory.owner(buf);
        let own = [Owner::Bounce, Owner::Verify, Owner::Container, Owner::Relocation, Owner::Swap, Owner::Metadata]
            .map(|owner| owner(self.current));
        if !own.contains(&owner) {
            self.fail(format!("{:?} changes {buf:?}, which is of {owner:?}", self.current));
        }
    }
}

/// The sectors that a part of a block lies in.
fn sectors_of(part: Part) -> SectorMask {
    let range = part.range();
    (range.start / SECTOR_SIZE..range.end.div_ceil(SECTOR_SIZE)).fold(0, |mask, sector| mask | 1 << sector)
}

impl<D: Base> Env for World<D> {
    type Buf = Buf;
    type Client = Client;

    fn now(&self) -> Nanos {
        Nanos(self.clock)
    }

    fn block(&self, buf: Buf) -> &Block {
        self.memory.get(buf)
    }

    fn block_mut(&mut self, buf: Buf) -> &mut Block {
        self.check_own(buf);
        self.memory.get_mut(buf)
    }

    fn copy_from_client(&mut self, client: Client, lbn: Lbn, part: Part, to: Buf) {
        self.check_copy(client, lbn, part, false);
        self.check_own(to);
        if self.failure.is_none() {
            let from = self.client_buf(client, lbn);
            self.memory.copy(from, part.range(), to);
            self.took(client, lbn, sectors_of(part));
        }
    }

    fn copy_to_client(&mut self, client: Client, lbn: Lbn, part: Part, from: Buf) {
        self.check_copy(client, lbn, part, true);
        if self.failure.is_none() {
            let to = self.client_buf(client, lbn);
            self.memory.copy(from, part.range(), to);
            self.gave(client, lbn, sectors_of(part));
        }
    }

    fn zero_client(&mut self, client: Client, lbn: Lbn, part: Part) {
        self.check_copy(client, lbn, part, true);
        if self.failure.is_none() {
            let buf = self.client_buf(client, lbn);
            self.memory.get_mut(buf)[part.range()].fill(0);
            self.gave(client, lbn, sectors_of(part));
        }
    }

    fn submit(&mut self, run: Run<'_, Buf>) {
        let Run { direction, place, bufs, bytes, token } = run;
        self.record(Happening::Transfer, number_of(place) << 20 | (bytes as u64) << 1 | direction as u64);
        trace!(self, "{direction:?} {bytes} bytes at {place:?} {bufs:?} as {token:?}");
        let World { disk, memory, faults, current, .. } = self;
        if let Err(what) = disk.submit(*current, &run, memory, faults) {
            self.fail(what);
        }
    }

    fn flush(&mut self, token: RunToken) {
        self.record(Happening::Flush, u64::from(token.0));
        trace!(self, "flush as {token:?}");
        self.disk.flush(self.current, token);
    }

    fn erase_segment(&mut self, segment: u32) {
        self.record(Happening::Erase, u64::from(segment));
        trace!(self, "erases journal segment {segment}");
        self.disk.erase_segment(self.current, segment);
    }

    fn append_section(&mut self, section: Vec<u8>) {
        self.record(Happening::Section, section.len() as u64);
        trace!(self, "hands over a section of {} bytes", section.len());
        match &mut self.chapters {
            Some(chapters) => chapters.append(self.current, section),
            None => self.fail("a section comes from a shard without a history".to_string()),
        }
    }

    fn read_section(&mut self, at: SectionAt) {
        self.record(Happening::ReadSection, u64::from(at.chapter) << 16 | u64::from(at.section));
        trace!(self, "reads {at:?}");
        match &mut self.chapters {
            Some(chapters) => chapters.read(self.current, at, self.clock),
            None => self.fail("a section is wanted by a shard without a history".to_string()),
        }
    }

    fn send(&mut self, to: ShardId, message: Message<Buf>) {
        let from = self.current;
        trace!(self, "-> {to:?} {message:?}");
        if to == from || to.index() >= self.geometry.shards() {
            return self.fail(format!("{from:?} sends {message:?} to {to:?}"));
        }
        self.counts.messages += 1;
        let channel = self.channel(from, to);
        if self.channels[channel].is_empty() {
            self.busy_channels.push((from, to));
        }
        self.channels[channel].push_back(message);
    }

    fn send_room(&self, to: ShardId) -> usize {
        self.room.saturating_sub(self.channels[self.channel(self.current, to)].len())
    }

    fn complete(&mut self, client: Client, result: Result<(), RequestError>) {
        self.record(Happening::Answer, client.digest() << 8 | result.map_or_else(|error| error as u64 + 1, |()| 0));
        trace!(self, "answers {client:?}: {result:?}");
        let times = self.sabotage_answer(client);
        for _ in 0..times {
            match self.judge(client, result) {
                Ok(()) => self.pieces.end(client, result, &mut self.memory),
                Err(what) => self.fail(what),
            }
        }
    }

    fn arm_timer(&mut self, at: Nanos) {
        trace!(self, "timer at {at:?}");
        self.timers[self.current.index()] = Some(at.0);
    }

    fn report(&mut self, event: Event) {
        trace!(self, "reports {event:?}");
        self.counts.reports += 1;
        // Later ones are not told one by one.
        self.was_full |= event == Event::OutOfSpace || self.counts.reports >= 10;
        match event {
            Event::Inconsistent { .. } => self.fail(format!("the engine reports {event:?}")),
            Event::ReadOnly(_) if !self.told_read_only && !self.disk.excuses(RequestError::ReadOnly) => {
                self.fail(format!("the engine reports {event:?} without a cause"));
            }
            Event::ReadOnly(reason) => {
                self.read_only.get_or_insert(reason);
            }
            Event::QueriesTimedOut(count) => self.queries_timed_out.push(count),
            _ => {}
        }
    }
}

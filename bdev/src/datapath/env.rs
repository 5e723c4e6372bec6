// SPDX-License-Identifier: BSD-3-Clause

//! The engine's environment ([`engine::Env`]) on an SPDK thread.
//!
//! Nothing here calls a client back: a finished request goes into a list, which the shard's poll processes after the
//! engine has returned. So the engine is never entered from inside one of its own calls.

use std::rc::Rc;
use std::sync::Arc;

use engine::format::Geometry;
use engine::request::{Piece, Sweep};
use engine::{Block, Env, Event, Lbn, Message, Part, ReadOnlyReason, RequestError, Run, RunToken, SectionAt, ShardId};
use mpool::units::Nanos;

use super::app_calls::AppCalls;
use super::list::List;
use super::request::{Home, HomeRequest, Request, RequestHandle};
use super::ring::Sender;
use super::sgl::{self, Cursor};
use super::transfer::Transfers;
use crate::spdk::buffer::Buf;
use crate::spdk::ffi;

/// A message from one shard to another.
#[derive(Debug)]
pub enum Mail {
    /// A piece of a request of the sender's, for the owner of its leaf page.
    Piece(Piece<RequestHandle>),
    /// The receiver's part of an unmap of many leaf pages; the sender is the request's home.
    Sweep(Sweep<RequestHandle>),
    /// The result of a piece or sweep, for the request's home.
    PieceDone(RequestHandle, Result<(), RequestError>),
    Engine(Message<Buf>),
}

/// The environment of one shard's engine.
#[derive(Debug)]
pub struct HostEnv {
    id: ShardId,
    home: Home,
    geometry: Geometry,
    volume_name: Arc<str>,
    transfers: Rc<Transfers>,
    app_calls: AppCalls,
    /// Sections of the index that were dropped, of which the engine has not been told yet.
    sections_dropped: usize,
    /// One sender for each other shard; none for this one.
    outgoing: Vec<Option<Sender<Mail>>>,
    /// Shards that got messages in this poll, as bits.
    mailed: u32,
    /// Where the last lookup in a client's memory ended; `cursor_of` is the request it was for.
    cursor: Cursor,
    cursor_of: Option<RequestHandle>,
    nanos_per_tick: f64,
    timer: Option<Nanos>,
    /// Requests that can be cut further.
    pub ready: List<Request>,
    /// Requests of which all pieces are done.
    pub settled: List<Request>,
}

impl HostEnv {
    /// The environment of the shard whose right `home` is.
    pub fn new(
        home: Home,
        geometry: Geometry,
        volume_name: Arc<str>,
        transfers: Rc<Transfers>,
        app_calls: AppCalls,
        outgoing: Vec<Option<Sender<Mail>>>,
    ) -> HostEnv {
        HostEnv {
            id: home.id(),
            home,
            geometry,
            volume_name,
            transfers,
            app_calls,
            sections_dropped: 0,
            outgoing,
            mailed: 0,
            cursor: Cursor::default(),
            cursor_of: None,
            // SAFETY: reads a number that SPDK measured at start.
            nanos_per_tick: 1e9 / unsafe { ffi::spdk_get_ticks_hz() } as f64,
            timer: None,
            ready: List::default(),
            settled: List::default(),
        }
    }

    /// Clears the timer if it has expired, and returns whether it had. The clock is read only while a timer is set.
    pub fn take_timer(&mut self) -> bool {
        let due = self.timer.is_some_and(|at| at <= self.now());
        if due {
            self.timer = None;
        }
        due
    }

    /// When the timer expires.
    pub fn timer(&self) -> Option<Nanos> {
        self.timer
    }

    /// Forgets where the last lookup ended. The host calls this before a piece enters the engine, because the request's
    /// memory may have been another request's before.
    pub fn forget_cursor(&mut self) {
        self.cursor_of = None;
    }

    /// The calls to the application thread.
    pub fn app_calls(&mut self) -> &mut AppCalls {
        &mut self.app_calls
    }

    /// Sections of the index dropped since the last call. They are the last ones that the engine has handed over.
    pub fn take_sections_dropped(&mut self) -> usize {
        core::mem::take(&mut self.sections_dropped)
    }

    /// True when no call to the application thread is unanswered.
    pub fn is_answered(&self) -> bool {
        self.app_calls.is_idle()
    }

    /// The shard that owns `lbn`; none if it is this one.
    pub fn owner(&self, lbn: Lbn) -> Option<ShardId> {
        Some(self.geometry.logical_shard(lbn)).filter(|owner| *owner != self.id)
    }

    pub fn mail(&mut self, to: ShardId, mail: Mail) {
        self.mailed |= 1 << to.0;
        let sender = self.outgoing[to.index()].as_mut().expect("a shard has a ring to every other shard");
        sender.send(mail);
    }

    /// Moves messages from the outboxes into the rings. Returns whether any moved.
    pub fn flush_mail(&mut self) -> bool {
        let mut moved = false;
        for (index, sender) in self.outgoing.iter_mut().enumerate() {
            let Some(sender) = sender else { continue };
            if !sender.is_flushed() && sender.flush() {
                self.mailed |= 1 << index;
                moved = true;
            }
        }
        moved
    }

    /// Shards that got messages since the last call, as bits.
    pub fn take_mailed(&mut self) -> u32 {
        core::mem::take(&mut self.mailed)
    }

    /// True when no outbox holds a message.
    pub fn is_flushed(&self) -> bool {
        self.outgoing.iter().flatten().all(Sender::is_flushed)
    }

    /// Messages sent so far to all shards.
    pub fn sent(&self) -> u64 {
        self.outgoing.iter().flatten().map(Sender::sent).sum()
    }

    /// A request whose home is this shard.
    pub fn at_home(&self, client: RequestHandle) -> HomeRequest {
        client.at(&self.home)
    }

    /// Counts a finished piece of a request whose home is this shard, and queues the request again if it can go on or
    /// is settled.
    pub fn piece_done(&mut self, client: RequestHandle, result: Result<(), RequestError>) {
        let request = self.at_home(client);
        request.piece_done(result);
        self.sort(request);
    }

    /// Queues a request that can be cut further in `ready`, a settled one in `settled`. A request that is in `ready`
    /// already is sorted when it leaves that list.
    pub fn sort(&mut self, client: HomeRequest) {
        if client.is_queued() {
            return;
        }
        // SAFETY: not queued, so in no list; it is not completed before it has come out of `settled`.
        unsafe {
            if client.has_more() {
                client.set_queued(true);
                self.ready.push(client.node());
            } else if client.is_settled() {
                self.settled.push(client.node());
            }
        }
    }

    fn cursor(&mut self, client: RequestHandle) -> &mut Cursor {
        if self.cursor_of != Some(client) {
            self.cursor_of = Some(client);
            self.cursor = Cursor::default();
        }
        &mut self.cursor
    }

    /// Visits the client's memory for `part` of block `lbn`, run by run.
    fn visit(
        &mut self,
        client: RequestHandle,
        lbn: Lbn,
        part: Part,
        visit: impl FnMut(sgl::Run, core::ops::Range<usize>),
    ) {
        let Some(start) = client.offset_of(lbn, part.offset) else {
            log::error!("{}: {lbn} lies before its own request", self.volume_name);
            return;
        };
        let range = start..start + u64::from(part.len);
        if !sgl::walk(client.memory(), self.cursor(client), range, visit) {
            log::error!("{}: the memory of a request ends before {lbn}", self.volume_name);
        }
    }
}

impl Env for HostEnv {
    type Buf = Buf;
    type Client = RequestHandle;

    fn now(&self) -> Nanos {
        // SAFETY: reads the time stamp counter.
        let ticks = unsafe { ffi::spdk_get_ticks() };
        Nanos((ticks as f64 * self.nanos_per_tick) as u64)
    }

    fn block(&self, buf: Buf) -> &Block {
        // SAFETY: buffers are from the pools of this volume's shards, which outlive their engines; the engine reads
        // only blocks that nobody changes meanwhile (contract of `Env`).
        unsafe { buf.block() }
    }

    fn block_mut(&mut self, buf: Buf) -> &mut Block {
        // SAFETY: the engine changes only blocks of its own shard's pools that it has lent to nobody; `self` is
        // borrowed meanwhile, so the shard has no other reference to any block.
        unsafe { buf.block_mut() }
    }

    fn copy_from_client(&mut self, client: RequestHandle, lbn: Lbn, part: Part, to: Buf) {
        let target = to.as_ptr().wrapping_add(usize::from(part.offset));
        self.visit(client, lbn, part, |run, place| {
            // SAFETY: the run lies in the client's memory; the target lies in a block of this shard's pool (`part` is
            // inside a block) that only the engine uses.
            unsafe { run.copy_to(target.add(place.start)) };
        });
    }

    fn copy_to_client(&mut self, client: RequestHandle, lbn: Lbn, part: Part, from: Buf) {
        let source = from.as_ptr().wrapping_add(usize::from(part.offset)).cast_const();
        self.visit(client, lbn, part, |run, place| {
            // SAFETY: as for `copy_from_client`. The memory of a read may be written.
            unsafe { run.copy_from(source.add(place.start)) };
        });
    }

    fn zero_client(&mut self, client: RequestHandle, lbn: Lbn, part: Part) {
        self.visit(client, lbn, part, |run, _| {
            // SAFETY: the run lies in the client's memory, which a read may write.
            unsafe { run.zero() };
        });
    }

    fn submit(&mut self, run: Run<'_, Buf>) {
        self.transfers.submit(&run);
    }

    fn flush(&mut self, token: RunToken) {
        self.transfers.flush(token);
    }

    fn erase_segment(&mut self, segment: u32) {
        self.app_calls.erase_segment(segment);
    }

    fn append_section(&mut self, section: Vec<u8>) {
        if self.app_calls.takes_section() {
            self.app_calls.append_section(section);
        } else {
            self.sections_dropped += 1;
        }
    }

    fn read_section(&mut self, at: SectionAt) {
        self.app_calls.read_section(at);
    }

    fn send(&mut self, to: ShardId, message: Message<Buf>) {
        self.mail(to, Mail::Engine(message));
    }

    fn send_room(&self, to: ShardId) -> usize {
        self.outgoing.get(to.index()).and_then(Option::as_ref).map_or(usize::MAX, Sender::room)
    }

    fn complete(&mut self, client: RequestHandle, result: Result<(), RequestError>) {
        let home = client.home();
        if home == self.id {
            self.piece_done(client, result);
        } else {
            self.mail(home, Mail::PieceDone(client, result));
        }
    }

    fn arm_timer(&mut self, at: Nanos) {
        self.timer = Some(at);
    }

    fn report(&mut self, event: Event) {
        let (name, shard) = (&self.volume_name, self.id);
        match event {
            Event::IoFailed { direction, pbn, purpose } => {
                log::error!("{name} {shard}: {direction:?} of {pbn} on the base bdev failed ({purpose})");
            }
            Event::CheckMismatch { lbn, pbn, expected, found } => {
                log::error!(
                    "{name} {shard}: {pbn} holds other content than {lbn} was given: check code {found:06x} instead \
                     of {expected:06x}"
                );
            }
            Event::OutOfSpace => {
                log::warn!(
                    "{name}: out of physical space; reads, unmaps, overwrites of unshared blocks, zero and duplicate \
                     writes go on, and bdev_dedupe_set_reserve releases what is kept"
                );
            }
            Event::SpaceReturned => log::info!("{name}: physical space is available again"),
            Event::InvalidAdvice { pbn } => log::warn!("{name} {shard}: the index named {pbn}, which cannot hold data"),
            Event::QueriesTimedOut(count) => log::warn!(
                "{name} {shard}: {count} blocks were stored without the advice of the index, which took too long: the base \
                 bdev is slow; no data is at risk, duplicates among them use space"
            ),
            Event::Inconsistent { pbn, operation } => {
                log::error!("{name} {shard}: reference count of {pbn} and mappings disagree; refused: {operation}");
            }
            // Whichever shard or operator told this one has been reported already.
            Event::ReadOnly(ReadOnlyReason::Told) => log::debug!("{name} {shard}: no more writes"),
            Event::ReadOnly(reason) => {
                log::error!("{name} {shard}: no more writes: {reason}; reads go on");
                self.app_calls.read_only(reason);
            }
            Event::ScrubbingDone => log::info!("{name} {shard}: all reference counts are known again"),
            Event::Suppressed(count) => log::warn!("{name} {shard}: {count} more events were not reported one by one"),
        }
    }
}

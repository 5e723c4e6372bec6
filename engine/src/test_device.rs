// SPDX-License-Identifier: BSD-3-Clause

//! The environment of tests that use only metadata: memory and a device, no clients and no other shards.

use mpool::units::Nanos;

use crate::env::{Env, Event, Part, Run, RunToken};
use crate::error::RequestError;
use crate::format::index_section::SectionAt;
use crate::message::Message;
use crate::units::{Block, Lbn, ShardId};

/// Numbered blocks of memory and a device.
pub trait TestDevice {
    /// See [`Env::block`].
    fn memory(&self, buf: u32) -> &Block;

    /// See [`Env::block_mut`].
    fn memory_mut(&mut self, buf: u32) -> &mut Block;

    /// See [`Env::submit`].
    fn start(&mut self, run: Run<'_, u32>);

    /// See [`Env::flush`].
    fn start_flush(&mut self, token: RunToken);

    /// See [`Env::now`].
    fn time(&self) -> Nanos {
        Nanos(0)
    }

    /// See [`Env::arm_timer`].
    fn arm(&mut self, _: Nanos) {
        unreachable!("metadata has no timers")
    }

    /// See [`Env::report`].
    fn note(&mut self, _: Event) {
        unreachable!("the shard reports")
    }
}

impl<T: TestDevice> Env for T {
    type Buf = u32;
    type Client = ();

    fn now(&self) -> Nanos {
        self.time()
    }

    fn block(&self, buf: u32) -> &Block {
        self.memory(buf)
    }

    fn block_mut(&mut self, buf: u32) -> &mut Block {
        self.memory_mut(buf)
    }

    fn submit(&mut self, run: Run<'_, u32>) {
        self.start(run);
    }

    fn flush(&mut self, token: RunToken) {
        self.start_flush(token);
    }

    fn copy_from_client(&mut self, (): (), _: Lbn, _: Part, _: u32) {
        unreachable!("metadata has no clients")
    }

    fn copy_to_client(&mut self, (): (), _: Lbn, _: Part, _: u32) {
        unreachable!("metadata has no clients")
    }

    fn zero_client(&mut self, (): (), _: Lbn, _: Part) {
        unreachable!("metadata has no clients")
    }

    fn erase_segment(&mut self, _: u32) {
        unreachable!("the shard erases segments")
    }

    fn append_section(&mut self, _: Vec<u8>) {
        unreachable!("the shard keeps the index")
    }

    fn read_section(&mut self, _: SectionAt) {
        unreachable!("the shard keeps the index")
    }

    fn send(&mut self, _: ShardId, _: Message<u32>) {
        unreachable!("the shard sends messages")
    }

    fn send_room(&self, _: ShardId) -> usize {
        unreachable!("the shard sends messages")
    }

    fn complete(&mut self, (): (), _: Result<(), RequestError>) {
        unreachable!("metadata has no clients")
    }

    fn arm_timer(&mut self, at: Nanos) {
        self.arm(at);
    }

    fn report(&mut self, event: Event) {
        self.note(event);
    }
}

/// An environment with nothing but time and one timer.
#[derive(Debug, Default)]
pub struct Clock {
    /// The current time.
    pub now: Nanos,
    /// When the timer fires.
    pub armed: Option<Nanos>,
    /// Reported events, oldest first.
    pub reports: Vec<Event>,
}

impl TestDevice for Clock {
    fn memory(&self, _: u32) -> &Block {
        unreachable!("a clock has no memory")
    }

    fn memory_mut(&mut self, _: u32) -> &mut Block {
        unreachable!("a clock has no memory")
    }

    fn start(&mut self, _: Run<'_, u32>) {
        unreachable!("a clock transfers nothing")
    }

    fn start_flush(&mut self, _: RunToken) {
        unreachable!("a clock transfers nothing")
    }

    fn time(&self) -> Nanos {
        self.now
    }

    fn arm(&mut self, at: Nanos) {
        self.armed = Some(at);
    }

    fn note(&mut self, event: Event) {
        self.reports.push(event);
    }
}

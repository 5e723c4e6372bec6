// SPDX-License-Identifier: BSD-3-Clause

//! For directed tests: a cluster that takes requests one by one, while the test holds back transfers and messages.

use engine::request::Operation;
use engine::{Message, RequestError, SectionAt, ShardId};

use super::base::Base;
use super::client::Request;
use super::cluster::{Cluster, Step};
use super::disk::Transfer;
use super::memory::Buf;

/// Something that a test can hold back.
#[derive(Debug)]
pub enum Pending<'a> {
    /// A transfer of data.
    Transfer(&'a Transfer),
    /// A transfer of metadata.
    Metadata(&'a Transfer),
    /// The next message of a channel.
    Message {
        /// Who sent it.
        from: ShardId,
        /// Who gets it.
        to: ShardId,
        /// The message.
        message: &'a Message<Buf>,
    },
    /// A section of the index's history that a shard reads.
    Section(ShardId, SectionAt),
}

impl Cluster {
    /// The part of [`Cluster::settle`] that needs no transfer to end.
    pub fn settle_shards(&mut self, hold: impl Fn(&Pending<'_>) -> bool) {
        loop {
            let mut did = false;
            for shard in self.ids() {
                while self.can_deliver(shard) {
                    did |= self.perform(Step::Piece(shard));
                }
                while self.perform(Step::Run(shard)) {
                    did = true;
                }
            }
            let next = self.world.busy_channels.iter().copied().find(|(from, to)| {
                let message = self.world.next_message(*from, *to).expect("the channel is in the list of busy ones");
                !hold(&Pending::Message { from: *from, to: *to, message })
            });
            if let Some((from, to)) = next {
                did |= self.perform(Step::Message(from, to));
            }
            if !did {
                return;
            }
        }
    }

    /// Lets everything happen that can, except what `hold` keeps back: pieces, messages and runs first, in a fixed
    /// order, transfers when nothing else is left. Timers do not fire, and no time passes.
    pub fn settle(&mut self, hold: impl Fn(&Pending<'_>) -> bool) {
        loop {
            self.settle_shards(&hold);
            let disk = &self.world.disk;
            let held = |number: &usize| {
                disk.transfers.get(*number).is_some_and(|transfer| {
                    let pending =
                        if transfer.is_metadata() { Pending::Metadata(transfer) } else { Pending::Transfer(transfer) };
                    hold(&pending)
                })
            };
            let transfer = (0..disk.endable()).find(|number| !held(number)).map(Step::Finish);
            let index = || {
                let chapters = self.world.chapters.as_ref()?;
                chapters.first(self.world.clock, |shard, at| hold(&Pending::Section(shard, at))).map(Step::Index)
            };
            let Some(next) = transfer.or_else(index) else { return };
            self.perform(next);
        }
    }

    /// Begins a request and lets everything happen; returns the outcome.
    ///
    /// # Panics
    /// If the request does not end, or something is wrong.
    pub fn execute(&mut self, request: &Request) -> Result<(), RequestError> {
        let id = self.submit(request);
        self.settle(|_| false);
        self.expect_sound();
        self.outcome(id).unwrap_or_else(|| panic!("request does not end:\n{}", self.world.dump()))
    }

    /// For tests: nothing is wrong so far.
    ///
    /// # Panics
    /// If something is wrong.
    pub fn expect_sound(&self) {
        assert_eq!(self.world.failure, None);
    }

    /// Asks for a flush, a read and so on without content; see [`Cluster::execute`].
    pub fn execute_on(&mut self, operation: Operation, lbn: u64, blocks: u64) -> Result<(), RequestError> {
        self.execute(&Request::on_blocks(operation, lbn, blocks))
    }
}

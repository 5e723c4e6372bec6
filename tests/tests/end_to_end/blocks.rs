// SPDX-License-Identifier: BSD-3-Clause

//! A volume as an initiator sees it, 4 KiB block by block: many requests at once, each with its own outcome.

use std::time::{Duration, Instant};

use mpool::testing::mix;
use tests::nvme_tcp::{Controller, IoCommand, Shape, Status};
use tests::target::{Export, Server};

use crate::fixture::PATIENCE;

/// Bytes of a block of the volume.
pub const BLOCK: usize = engine::BLOCK_SIZE;

/// The media error that an unreadable block is answered with: "unrecovered read error".
const UNRECOVERED_READ: (u16, u16) = (2, 0x81);

/// The content of a block.
pub type Bytes = Vec<u8>;

/// Content that is like no other's: random bytes that follow from a value.
pub fn content(value: u64) -> Bytes {
    (0..BLOCK as u64 / 8).flat_map(|word| mix(mix(value) ^ word).to_le_bytes()).collect()
}

/// A connection to a volume.
#[derive(Debug)]
pub struct Blocks {
    controller: Controller,
    /// Logical blocks of the namespace in a block.
    factor: u64,
}

impl Blocks {
    /// Exports a volume and connects to it, with so many requests at once.
    pub fn connect(server: &Server, volume: &str, depth: u16) -> Blocks {
        let export = Export::tcp(server, volume).unwrap_or_else(|error| panic!("{error}: {}", server.log()));
        let address = export.tcp_address().expect("over TCP");
        let controller = Controller::connect(&address, Shape { queues: 2, depth: depth.div_ceil(2) });
        let controller = controller.unwrap_or_else(|error| panic!("{error}: {}", server.log()));
        let factor = (BLOCK / controller.namespace().block_bytes) as u64;
        Blocks { controller, factor }
    }

    /// Blocks of the volume.
    pub fn count(&self) -> u64 {
        self.controller.namespace().blocks / self.factor
    }

    /// Most bytes that one command may move.
    pub fn max_transfer_bytes(&self) -> usize {
        self.controller.capabilities().max_transfer_bytes
    }

    /// Executes commands, as many at once as the queues take; outcomes in the order of the commands.
    pub fn execute(&mut self, commands: Vec<(IoCommand, Bytes)>) -> Vec<(Status, Bytes)> {
        self.try_execute(commands).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Executes commands like [`Blocks::execute`], and fails when the target does not answer all of them.
    pub fn try_execute(&mut self, commands: Vec<(IoCommand, Bytes)>) -> Result<Vec<(Status, Bytes)>, String> {
        let count = commands.len();
        let mut outcomes = vec![None; count];
        let mut commands = (0u64..).zip(commands).peekable();
        let (mut left, began) = (count, Instant::now());
        while left > 0 {
            while let Some(queue) = self.controller.queue_with_room().filter(|_| commands.peek().is_some()) {
                let (tag, (command, data)) = commands.next().expect("one is left");
                assert!(self.controller.submit(queue, command, data, tag), "the queue has room");
            }
            self.controller.advance(Duration::from_millis(100)).map_err(|error| error.to_string())?;
            while let Some(answer) = self.controller.pop_answer() {
                outcomes[answer.tag as usize] = Some((answer.status, answer.data));
                left -= 1;
            }
            if let Some(ending) = self.controller.ending() {
                return Err(format!("the connection has ended: {ending:?}"));
            }
            if began.elapsed() > PATIENCE {
                return Err(format!("{left} of {count} requests are not answered"));
            }
        }
        Ok(outcomes.into_iter().map(|outcome| outcome.expect("all are answered")).collect())
    }

    /// Sends commands without data as far as the queues take them, and waits for no answer.
    pub fn begin(&mut self, commands: impl IntoIterator<Item = IoCommand>) {
        for (tag, command) in (0..).zip(commands) {
            let Some(queue) = self.controller.queue_with_room() else { break };
            assert!(self.controller.submit(queue, command, Bytes::new(), tag), "the queue has room");
        }
        self.controller.advance(Duration::from_millis(1)).expect("the target speaks NVMe/TCP");
    }

    /// Writes blocks, which must succeed.
    pub fn write(&mut self, blocks: impl IntoIterator<Item = (u64, Bytes)>) {
        let factor = self.factor;
        let command = |lbn: u64| IoCommand::Write { lba: lbn * factor, blocks: factor as u32 };
        let commands = blocks.into_iter().map(|(lbn, bytes)| (command(lbn), bytes)).collect();
        for (status, _) in self.execute(commands) {
            assert!(status.is_success(), "a write fails: {status}");
        }
    }

    /// Gives blocks back.
    pub fn unmap(&mut self, lbns: impl IntoIterator<Item = u64>) {
        let factor = self.factor;
        let command = |lbn: u64| IoCommand::Deallocate { lba: lbn * factor, blocks: factor as u32 };
        let commands = lbns.into_iter().map(|lbn| (command(lbn), Vec::new())).collect();
        for (status, _) in self.execute(commands) {
            assert!(status.is_success(), "an unmap fails: {status}");
        }
    }

    /// Reads blocks, each by itself; none for a block that is answered with an unrecovered read error.
    pub fn read(&mut self, lbns: impl IntoIterator<Item = u64>) -> Vec<Option<Bytes>> {
        self.read_ranges(lbns.into_iter().map(|lbn| (lbn, 1)))
    }

    /// Reads ranges of blocks, given as the first and how many.
    pub fn read_ranges(&mut self, ranges: impl IntoIterator<Item = (u64, u64)>) -> Vec<Option<Bytes>> {
        let factor = self.factor;
        let command = |(lbn, count): (u64, u64)| IoCommand::Read { lba: lbn * factor, blocks: (count * factor) as u32 };
        let commands = ranges.into_iter().map(|range| (command(range), Vec::new())).collect();
        let read = |(status, bytes): (Status, Bytes)| {
            if status.is_success() {
                return Some(bytes);
            }
            assert_eq!((status.kind(), status.code()), UNRECOVERED_READ, "{status}");
            None
        };
        self.execute(commands).into_iter().map(read).collect()
    }
}

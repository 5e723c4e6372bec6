// SPDX-License-Identifier: BSD-3-Clause

//! Blocks of 4 KiB written and read over NVMe/TCP, so many under way at a time.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use ::tests::nvme_tcp::{Answer, Controller, IoCommand, Shape};

use super::oracle::BLOCK_BYTES;
use super::Outcome;

const WAIT: Duration = Duration::from_millis(10);
/// A request that takes longer is lost.
const PATIENCE: Duration = Duration::from_secs(60);
/// Most queues; a target spreads them over its cores.
const QUEUES: usize = 2;

/// The queues for `depth` requests under way.
pub fn shape(depth: usize) -> Shape {
    let queues = QUEUES.min(depth);
    Shape { queues: queues as u16, depth: depth.div_ceil(queues) as u16 }
}

/// A connection that keeps so many requests under way.
pub struct Traffic {
    controller: Controller,
    depth: usize,
    under_way: usize,
    done: VecDeque<Answer>,
}

impl Traffic {
    /// Requests go to this controller, `depth` at a time, for which it must have [`shape`]d queues.
    pub fn new(controller: Controller, depth: usize) -> Traffic {
        Traffic { controller, depth, under_way: 0, done: VecDeque::new() }
    }

    /// Writes blocks, each at its place, and makes them durable. Returns how long that took.
    pub fn write<E: Into<Box<dyn std::error::Error>>>(
        &mut self,
        blocks: impl Iterator<Item = Result<(u64, [u8; BLOCK_BYTES]), E>>,
    ) -> Outcome<Duration> {
        let began = Instant::now();
        for block in blocks {
            let (lbn, bytes) = block.map_err(Into::into)?;
            let (lba, blocks) = self.range(lbn);
            self.submit(IoCommand::Write { lba, blocks }, bytes.to_vec(), lbn)?;
            self.done.clear();
        }
        self.finish()?;
        self.submit(IoCommand::Flush, Vec::new(), 0)?;
        self.finish()?;
        self.done.clear();
        Ok(began.elapsed())
    }

    /// Reads blocks and gives each to `compare`.
    pub fn read(
        &mut self,
        lbns: impl Iterator<Item = u64>,
        mut compare: impl FnMut(u64, &[u8]) -> Outcome<()>,
    ) -> Outcome<()> {
        for lbn in lbns {
            let (lba, blocks) = self.range(lbn);
            self.submit(IoCommand::Read { lba, blocks }, Vec::new(), lbn)?;
            self.compare(&mut compare)?;
        }
        self.finish()?;
        self.compare(&mut compare)
    }

    fn compare(&mut self, compare: &mut impl FnMut(u64, &[u8]) -> Outcome<()>) -> Outcome<()> {
        self.done.drain(..).try_for_each(|answer| compare(answer.tag, &answer.data))
    }

    /// The namespace's blocks for a block of 4 KiB.
    fn range(&self, lbn: u64) -> (u64, u32) {
        let scale = BLOCK_BYTES / self.controller.namespace().block_bytes;
        (lbn * scale as u64, scale as u32)
    }

    fn submit(&mut self, command: IoCommand, data: Vec<u8>, tag: u64) -> Outcome<()> {
        self.wait_until_below(self.depth)?;
        let queue = self.controller.queue_with_room().ok_or("no queue has room")?;
        self.controller.submit(queue, command, data, tag);
        self.under_way += 1;
        Ok(())
    }

    fn finish(&mut self) -> Outcome<()> {
        self.wait_until_below(1)
    }

    fn wait_until_below(&mut self, count: usize) -> Outcome<()> {
        let mut heard = Instant::now();
        while self.under_way >= count {
            self.controller.advance(WAIT)?;
            while let Some(answer) = self.controller.pop_answer() {
                heard = Instant::now();
                if !answer.status.is_success() {
                    return Err(format!("the request for block {} failed: {}", answer.tag, answer.status).into());
                }
                self.under_way -= 1;
                self.done.push_back(answer);
            }
            if let Some(ending) = self.controller.ending() {
                return Err(format!("the target ended: {ending}").into());
            }
            if heard.elapsed() > PATIENCE {
                return Err(format!("no answer within {PATIENCE:?}, {} requests under way", self.under_way).into());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queues_hold_as_many_as_are_wanted() {
        for depth in [1, 2, 3, 32, 128] {
            let shape = shape(depth);
            assert!(usize::from(shape.queues) * usize::from(shape.depth) >= depth, "{depth}: {shape:?}");
        }
        assert_eq!(shape(1).queues, 1);
    }
}

// SPDX-License-Identifier: BSD-3-Clause

//! Writes blocks over NVMe/TCP, many at a time, and reads one.

use std::time::{Duration, Instant};

use mpool::testing::Random;
use tests::nvme_tcp::{Controller, IoCommand};

use super::block::{self, BLOCK_BYTES};
use super::Outcome;

const WAIT: Duration = Duration::from_millis(1);
/// Of one write while filling.
const FILL_BLOCKS: u64 = 32;

/// Fills a range of blocks.
pub fn fill(controller: &mut Controller, blocks: std::ops::Range<u64>) -> Outcome<()> {
    let mut at = blocks.start;
    while at < blocks.end {
        let count = FILL_BLOCKS.min(blocks.end - at);
        write(controller, at, count, 0)?;
        at += count;
    }
    finish(controller)
}

/// Overwrites single blocks of the first `blocks` at random, never the kept ones, and leaves what is under way alone.
/// Returns how many writes were answered.
pub fn overwrite(controller: &mut Controller, blocks: u64, seed: u64, duration: Duration) -> Outcome<u64> {
    let mut random = Random::stream(seed, 3);
    let until = Instant::now() + duration;
    let mut submitted = 0;
    while Instant::now() < until {
        let block = random.below(blocks);
        if !block::is_kept(block) {
            submitted += 1;
            write(controller, block, 1, seed << 32 | submitted)?;
        }
    }
    Ok(submitted - controller.under_way().len() as u64)
}

/// Reads a block.
pub fn read(controller: &mut Controller, block: u64) -> Outcome<Vec<u8>> {
    let scale = (BLOCK_BYTES / controller.namespace().block_bytes) as u64;
    controller.submit(0, IoCommand::Read { lba: block * scale, blocks: scale as u32 }, Vec::new(), 0);
    loop {
        controller.advance(WAIT)?;
        if let Some(answer) = controller.pop_answer() {
            if !answer.status.is_success() {
                return Err(format!("reading block {block}: {}", answer.status).into());
            }
            return Ok(answer.data);
        }
        lives(controller)?;
    }
}

fn write(controller: &mut Controller, first: u64, count: u64, generation: u64) -> Outcome<()> {
    let queue = loop {
        match controller.queue_with_room() {
            Some(queue) => break queue,
            None => work(controller)?,
        }
    };
    let mut data = vec![0; count as usize * BLOCK_BYTES];
    for (bytes, block) in data.chunks_exact_mut(BLOCK_BYTES).zip(first..) {
        block::fill(bytes, block, generation);
    }
    let scale = (BLOCK_BYTES / controller.namespace().block_bytes) as u64;
    let command = IoCommand::Write { lba: first * scale, blocks: (count * scale) as u32 };
    controller.submit(queue, command, data, first);
    Ok(())
}

fn finish(controller: &mut Controller) -> Outcome<()> {
    while !controller.under_way().is_empty() {
        work(controller)?;
    }
    Ok(())
}

fn work(controller: &mut Controller) -> Outcome<()> {
    controller.advance(WAIT)?;
    while let Some(answer) = controller.pop_answer() {
        if !answer.status.is_success() {
            return Err(format!("writing at block {}: {}", answer.tag, answer.status).into());
        }
    }
    lives(controller)
}

fn lives(controller: &Controller) -> Outcome<()> {
    match controller.ending() {
        Some(ending) => Err(format!("the target ended: {ending}").into()),
        None => Ok(()),
    }
}

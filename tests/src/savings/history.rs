// SPDX-License-Identifier: BSD-3-Clause

//! Many times as many blocks as the level-1 index has records, all different, written in order and then once more in the same order:
//! what of the second time is found, with and without the index's level 2.

use std::convert::Infallible;
use std::time::Duration;

use ::tests::measure::{Record, Results};
use ::tests::target::Rig;

use super::options::History;
use super::oracle::BLOCK_BYTES;
use super::stand::{counter, unknown_parameter, Shape, Stand};
use super::Outcome;

/// Records in a MiB of level-1 index, at most: 8 bytes for each.
const RECORDS_PER_MIB: u64 = (1 << 20) / 8;

/// Measures each window of level 2 at each depth.
pub fn measure(rig: &Rig, options: &History, results: &mut Results) -> Outcome<()> {
    for &depth in &options.common.depths {
        for &window_mib in &options.history_mib {
            let blocks = options.index_mib * RECORDS_PER_MIB * options.times;
            let volume = Shape {
                logical_blocks: 2 * blocks,
                compression: false,
                index_mib: Some(options.index_mib),
                history_mib: Some(window_mib),
            };
            let stand = match Stand::new(rig, options.common.place.as_deref(), volume) {
                Err(error) if unknown_parameter(error.as_ref(), "index_history_mib") => {
                    if window_mib > 0 {
                        log::warn!("the module has no level 2: {error}");
                        continue;
                    }
                    Stand::new(rig, options.common.place.as_deref(), Shape { history_mib: None, ..volume })?
                }
                stand => stand?,
            };
            twice(&stand, Case { depth, window_mib, index_mib: options.index_mib, blocks }, results)?;
        }
    }
    Ok(())
}

#[derive(Clone, Copy)]
struct Case {
    depth: usize,
    window_mib: u64,
    index_mib: u64,
    blocks: u64,
}

fn twice(stand: &Stand<'_>, case: Case, results: &mut Results) -> Outcome<()> {
    let Case { depth, window_mib, index_mib, blocks } = case;
    let first = write(stand, depth, blocks, 0)?;
    let before = stand.usage()?;
    let second = write(stand, depth, blocks, blocks)?;
    let after = stand.usage()?;
    let new = after.data_blocks.saturating_sub(before.data_blocks);
    let percent = blocks.saturating_sub(new) as f64 * 100.0 / blocks as f64;
    let records = counter(&after.statistics, "index_capacity")?;
    let record = Record::new("depth", depth)
        .with("index_mib", index_mib)
        .with("index_records", records)
        .with("index_history_mib", window_mib)
        .with("blocks", blocks)
        .with("found_percent", percent)
        .with("first_seconds", first.as_secs_f64())
        .with("second_seconds", second.as_secs_f64())
        .with("before", before.statistics)
        .with("after", after.statistics);
    log::info!("level 2 of {window_mib} MiB at depth {depth}: {percent:.2}% of the duplicates found");
    results.records.push(record);
    Ok(())
}

fn write(stand: &Stand<'_>, depth: usize, blocks: u64, first_lbn: u64) -> Outcome<Duration> {
    let blocks = (0..blocks).map(|number| Ok::<_, Infallible>((first_lbn + number, content(number))));
    stand.connect(depth)?.write(blocks)
}

/// Pseudo-random bytes, others for each number.
fn content(number: u64) -> [u8; BLOCK_BYTES] {
    let mut bytes = [0; BLOCK_BYTES];
    // xorshift64 must not begin with zero.
    let mut state = (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    for word in bytes.as_chunks_mut::<8>().0 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        *word = state.to_le_bytes();
    }
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contents_differ_and_are_the_same_again() {
        assert_eq!(content(5), content(5));
        assert!((0..100).all(|number| content(number) != content(number + 1)));
    }
}
